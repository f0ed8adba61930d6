//! Clients in rows.

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{Output, Rows};
use crate::cli::text::{span, time};
use crate::proto::v1;

/// Many clients, one a row.
pub(super) fn list(clients: &[v1::Client]) -> Rows {
    let mut rows = Rows::under(["ID", "NAME", "TYPE", "GRANT TYPES", "SCOPES"]);
    for client in clients {
        let grants: Vec<_> = client.grant_types.iter().map(|grant| short(grant)).collect();
        rows.push([client.id.clone(), client.name.clone(), kind(client), grants.join(" "), client.scopes.join(" ")]);
    }
    rows
}

/// Prints one client.
pub(super) fn print(client: Option<v1::Client>, output: Output) -> Result<(), Failure> {
    let client = present(client)?;
    output.result(&client, || record(&client), [client.id.clone()])
}

/// One client with its new secret.
pub(super) fn with_secret(client: &v1::Client, secret: &str) -> Rows {
    let mut rows = record(client);
    rows.field("secret", secret);
    rows
}

/// The client that an answer always holds.
pub(super) fn present(client: Option<v1::Client>) -> Result<v1::Client, Failure> {
    client.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no client"))
}

/// One client and all that is known of it.
fn record(client: &v1::Client) -> Rows {
    let mut rows = Rows::record();
    rows.field("id", &client.id);
    rows.field("name", &client.name);
    rows.field("type", kind(client));
    rows.field("environment", client.environment().as_str_name().to_ascii_lowercase());
    rows.field("logo", client.logo_uri());
    rows.field("authentication", &client.token_endpoint_auth_method);
    rows.field("keys", if client.jwks.is_some() { "given" } else { client.jwks_uri() });
    for uri in &client.redirect_uris {
        rows.field("redirect URI", uri);
    }
    for uri in &client.post_logout_redirect_uris {
        rows.field("after signing out", uri);
    }
    for grant in &client.grant_types {
        rows.field("grant type", grant);
    }
    rows.field("scopes", if client.scopes.is_empty() { "none".to_owned() } else { client.scopes.join(" ") });
    for uri in &client.resources {
        rows.field("resource", uri);
    }
    rows.field("access tokens", client.access_token_format().as_str_name().to_ascii_lowercase());
    rows.field("access token lives", span(client.access_token_lifetime.as_ref()));
    rows.field("refresh token, unused", span(client.refresh_token_idle_lifetime.as_ref()));
    rows.field("refresh token, at most", span(client.refresh_token_lifetime.as_ref()));
    rows.field("PKCE", if client.require_pkce() { "required" } else { "not required" });
    rows.field("PAR", if client.require_pushed_authorization_requests { "required" } else { "" });
    rows.field("DPoP", if client.dpop_bound_access_tokens { "required" } else { "" });
    rows.field("registered", if client.registered_itself { "by itself" } else { "" });
    rows.field("document", client.metadata_document());
    for secret in &client.secrets {
        let end = secret.expires_at.as_ref();
        let end = end.map_or(String::new(), |end| format!(" until {}", time(Some(end))));
        rows.field("known secret", format!("{}{end}", secret.hint));
    }
    rows.field("created", time(client.created_at.as_ref()));
    rows.field("updated", time(client.updated_at.as_ref()));
    rows.field("deleted", time(client.deleted_at.as_ref()));
    rows.field("etag", &client.etag);
    rows
}

fn kind(client: &v1::Client) -> String {
    client.r#type().as_str_name().to_ascii_lowercase()
}

/// The last part of a grant type that is a URN.
fn short(grant: &str) -> &str {
    grant.rsplit(':').next().unwrap_or(grant)
}
