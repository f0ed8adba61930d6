//! How a client lies in its tables.

use std::time::Duration;

use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::key_rows;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, ProjectId};
use crate::domain::oauth::client::{
    Client, ClientAuthentication, ClientDetails, ClientKeys, ClientKind, ClientSecret, TokenFormat,
};
use crate::domain::oauth::document::{ClientDocument, DocumentUrl};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::oauth::scope::{OAuthScopes, OpenIdScope};
use crate::domain::oauth::uri::{LogoUri, ResourceUri};

/// The columns of a client `c` with its lists, as [`read`] expects them.
macro_rules! client_columns {
    () => {
        "c.id, c.project, c.environment, c.kind, c.name, c.logo_uri, c.authentication, c.token_format,
        c.access_token_micros, c.refresh_token_idle_micros, c.refresh_token_micros, c.require_pkce, c.dpop_bound, c.jwks, c.jwks_uri, c.require_pushed,
        c.secret_hint, c.secret_created_at, c.old_secret_hint, c.old_secret_created_at, c.old_secret_expires_at,
        c.created_at, c.updated_at, c.deleted_at, c.version,
        c.document_url, c.document_fetched_at, c.document_fresh_until,
        EXISTS (SELECT 1 FROM client_registrations r WHERE r.client_id = c.id) AS is_registered,
        (SELECT string_agg(p.plain || ' ' || p.spelling, ' ') FROM client_scopes p WHERE p.client_id = c.id) AS scopes,
        (SELECT string_agg(l.list || ' ' || l.entry, ' ' ORDER BY l.list, l.place) FROM client_lists l
            WHERE l.client_id = c.id) AS lists"
    };
}
pub(super) use client_columns;

/// Reads a client.
pub(super) fn read(row: &Row) -> Result<Client> {
    let environment = Environment::parse(row.str("environment")?).ok_or_else(|| damaged("clients.environment"))?;
    let authentication = ClientAuthentication::parse(row.str("authentication")?);
    let token_format = TokenFormat::parse(row.str("token_format")?);
    let mut details = ClientDetails {
        name: row.text("name")?,
        logo_uri: row.opt_text("logo_uri")?.map(LogoUri::stored),
        authentication: authentication.ok_or_else(|| damaged("clients.authentication"))?,
        keys: keys(row)?,
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
        grant_types: [].into(),
        scopes: OAuthScopes { registered: key_rows::scopes(row.opt_str("scopes")?)?, ..OAuthScopes::default() },
        resources: Vec::new(),
        token_format: token_format.ok_or_else(|| damaged("clients.token_format"))?,
        access_token_lifetime: duration(row, "access_token_micros")?,
        refresh_token_idle_lifetime: duration(row, "refresh_token_idle_micros")?,
        refresh_token_lifetime: duration(row, "refresh_token_micros")?,
        require_pkce: row.bool("require_pkce")?,
        dpop_bound_access_tokens: row.bool("dpop_bound")?,
        require_pushed_requests: row.bool("require_pushed")?,
    };
    read_lists(&mut details, row.opt_str("lists")?.unwrap_or_default())?;
    let old_secret = secret(row, "old_secret_hint", "old_secret_created_at")?;
    let document = document(row)?;
    Ok(Client {
        id: ClientId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment,
        kind: ClientKind::parse(row.str("kind")?).ok_or_else(|| damaged("clients.kind"))?,
        details,
        secret: secret(row, "secret_hint", "secret_created_at")?,
        old_secret: old_secret.zip(row.opt_time("old_secret_expires_at")?),
        registered_itself: document.is_some() || row.bool("is_registered")?,
        document,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.opt_time("deleted_at")?,
        version: row.int("version")?,
    })
}

/// Stores a new client without its secret and lists.
pub(super) async fn insert(tx: &mut Tx, client: &Client) -> Result<()> {
    let details = &client.details;
    let (jwks, jwks_uri) = keys_told(details);
    let values = values![
        client.id.as_str(),
        client.project.as_str(),
        client.environment.as_str(),
        client.kind.as_str(),
        &details.name,
        details.logo_uri.as_ref().map(LogoUri::as_str),
        details.authentication.as_str(),
        details.token_format.as_str(),
        micros(details.access_token_lifetime),
        micros(details.refresh_token_idle_lifetime),
        micros(details.refresh_token_lifetime),
        details.require_pkce,
        details.dpop_bound_access_tokens,
        client.secret.as_ref().map(|secret| &*secret.hint),
        client.secret.as_ref().map(|secret| secret.created_at),
        client.created_at,
        client.updated_at,
        client.version,
        jwks,
        jwks_uri,
        details.require_pushed_requests,
        client.document_url().map(DocumentUrl::as_str),
        client.document.as_ref().map(|document| document.fetched_at),
        client.document.as_ref().map(|document| document.fresh_until),
    ];
    tx.execute(INSERT, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
    Ok(())
}

/// Stores what can change about a client, its lists aside, if it still has the version expected and was not deleted.
pub(super) async fn update(tx: &mut Tx, client: &Client, expected_version: i64) -> Result<()> {
    let details = &client.details;
    let old_secret = client.old_secret.as_ref();
    let (jwks, jwks_uri) = keys_told(details);
    let values = values![
        client.id.as_str(),
        client.project.as_str(),
        client.environment.as_str(),
        expected_version,
        &details.name,
        details.logo_uri.as_ref().map(LogoUri::as_str),
        details.authentication.as_str(),
        details.token_format.as_str(),
        micros(details.access_token_lifetime),
        micros(details.refresh_token_idle_lifetime),
        micros(details.refresh_token_lifetime),
        details.require_pkce,
        details.dpop_bound_access_tokens,
        client.secret.as_ref().map(|secret| &*secret.hint),
        client.secret.as_ref().map(|secret| secret.created_at),
        old_secret.map(|(secret, _)| &*secret.hint),
        old_secret.map(|(secret, _)| secret.created_at),
        old_secret.map(|(_, end)| *end),
        client.updated_at,
        client.deleted_at,
        client.version,
        jwks,
        jwks_uri,
        details.require_pushed_requests,
        client.document.as_ref().map(|document| document.fetched_at),
        client.document.as_ref().map(|document| document.fresh_until),
    ];
    if tx.execute(UPDATE, values).await? == 0 { Err(StoreError::Conflict(Conflict::Version)) } else { Ok(()) }
}

/// Stores the scopes and lists of a client that has none.
pub(super) async fn insert_lists(tx: &mut Tx, client: &Client) -> Result<()> {
    let (id, details) = (client.id.as_str(), &client.details);
    for scope in &details.scopes.registered {
        tx.execute(INSERT_SCOPE, values![id, scope.plain(), scope.spelling(), client.project.as_str()]).await?;
    }
    let uris = |uris: &[RedirectUri]| uris.iter().map(|uri| uri.as_str().to_owned()).collect::<Vec<_>>();
    let lists = [
        (REDIRECT_URIS, uris(&details.redirect_uris)),
        (POST_LOGOUT_REDIRECT_URIS, uris(&details.post_logout_redirect_uris)),
        (GRANT_TYPES, details.grant_types.iter().map(|grant| grant.as_str().to_owned()).collect()),
        (OPENID_SCOPES, details.scopes.openid.iter().map(|scope| scope.as_str().to_owned()).collect()),
        (RESOURCES, details.resources.iter().map(ToString::to_string).collect()),
    ];
    for (list, entries) in &lists {
        for (place, entry) in (0_i64..).zip(entries) {
            tx.execute(INSERT_ENTRY, values![id, *list, place, entry]).await?;
        }
    }
    Ok(())
}

/// Removes the scopes and lists of a client.
pub(super) async fn delete_lists(tx: &mut Tx, id: &ClientId) -> Result<()> {
    tx.execute(DELETE_SCOPES, values![id.as_str()]).await?;
    tx.execute(DELETE_LISTS, values![id.as_str()]).await?;
    Ok(())
}

/// Lists lie as their name and an entry in turn, parted by spaces, which neither holds. An entry of a list that is not known is
/// damage: leaving it out could take a limit away.
fn read_lists(details: &mut ClientDetails, text: &str) -> Result<()> {
    let mut words = text.split_ascii_whitespace();
    while let Some(list) = words.next() {
        let entry = words.next().ok_or_else(|| damaged("client_lists.entry"))?;
        let unknown = || damaged("client_lists.entry");
        match list {
            REDIRECT_URIS => details.redirect_uris.push(RedirectUri::stored(entry.to_owned())),
            POST_LOGOUT_REDIRECT_URIS => {
                details.post_logout_redirect_uris.push(RedirectUri::stored(entry.to_owned()));
            }
            RESOURCES => details.resources.push(ResourceUri::stored(entry.to_owned())),
            GRANT_TYPES => drop(details.grant_types.insert(GrantType::parse(entry).ok_or_else(unknown)?)),
            OPENID_SCOPES => drop(details.scopes.openid.insert(OpenIdScope::parse(entry).ok_or_else(unknown)?)),
            _ => return Err(damaged("client_lists.list")),
        }
    }
    Ok(())
}

fn keys(row: &Row) -> Result<Option<ClientKeys>> {
    match (row.opt_text("jwks")?, row.opt_text("jwks_uri")?) {
        (None, None) => Ok(None),
        (Some(jwks), None) => Ok(Some(ClientKeys::Inline(jwks))),
        (None, Some(uri)) => Ok(Some(ClientKeys::At(uri))),
        (Some(_), Some(_)) => Err(damaged("clients.jwks")),
    }
}

/// The columns `jwks` and `jwks_uri`.
fn keys_told(details: &ClientDetails) -> (Option<&str>, Option<&str>) {
    match &details.keys {
        None => (None, None),
        Some(ClientKeys::Inline(jwks)) => (Some(jwks), None),
        Some(ClientKeys::At(uri)) => (None, Some(uri)),
    }
}

/// Where it is does not change; when it was had does.
fn document(row: &Row) -> Result<Option<ClientDocument>> {
    let Some(url) = row.opt_text("document_url")?.map(DocumentUrl::stored) else { return Ok(None) };
    let times = row.opt_time("document_fetched_at")?.zip(row.opt_time("document_fresh_until")?);
    let (fetched_at, fresh_until) = times.ok_or_else(|| damaged("clients.document_fetched_at"))?;
    Ok(Some(ClientDocument { url, fetched_at, fresh_until }))
}

fn secret(row: &Row, hint: &'static str, created_at: &'static str) -> Result<Option<ClientSecret>> {
    let hint = row.opt_str(hint)?.map(Box::from);
    Ok(hint.zip(row.opt_time(created_at)?).map(|(hint, created_at)| ClientSecret { hint, created_at }))
}

fn duration(row: &Row, column: &'static str) -> Result<Duration> {
    let micros = u64::try_from(row.int(column)?).map_err(|_| damaged(column))?;
    Ok(Duration::from_micros(micros))
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

const REDIRECT_URIS: &str = "redirect_uris";
const POST_LOGOUT_REDIRECT_URIS: &str = "post_logout_redirect_uris";
const GRANT_TYPES: &str = "grant_types";
const OPENID_SCOPES: &str = "openid_scopes";
const RESOURCES: &str = "resources";

const INSERT: &str =
    "INSERT INTO clients (id, project, environment, kind, name, logo_uri, authentication, token_format,
        access_token_micros, refresh_token_idle_micros, refresh_token_micros, require_pkce, dpop_bound, secret_hint,
        secret_created_at, created_at, updated_at, version, jwks, jwks_uri, require_pushed, document_url,
        document_fetched_at, document_fresh_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
        $21, $22, $23, $24)";
const UPDATE: &str = "UPDATE clients SET name = $5, logo_uri = $6, authentication = $7, token_format = $8,
        access_token_micros = $9, refresh_token_idle_micros = $10, refresh_token_micros = $11, require_pkce = $12,
        dpop_bound = $13, secret_hint = $14, secret_created_at = $15, old_secret_hint = $16,
        old_secret_created_at = $17, old_secret_expires_at = $18, updated_at = $19, deleted_at = $20, version = $21,
        jwks = $22, jwks_uri = $23, require_pushed = $24, document_fetched_at = $25, document_fresh_until = $26
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4 AND deleted_at IS NULL";
const INSERT_SCOPE: &str = "INSERT INTO client_scopes (client_id, plain, spelling, project) VALUES ($1, $2, $3, $4)";
const INSERT_ENTRY: &str = "INSERT INTO client_lists (client_id, list, place, entry) VALUES ($1, $2, $3, $4)";
const DELETE_SCOPES: &str = "DELETE FROM client_scopes WHERE client_id = $1";
const DELETE_LISTS: &str = "DELETE FROM client_lists WHERE client_id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] =
    &[(UPDATE, "sqlite_autoindex_clients_1"), (DELETE_SCOPES, "PRIMARY KEY"), (DELETE_LISTS, "PRIMARY KEY")];
