//! The OAuth clients of a project: live and test clients apart. The rule behind every change is that of keys: no client gives
//! anybody more than they hold themselves.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::audit;
use crate::domain::error::{Error, Result, Violation};
use crate::domain::id::ClientId;
use crate::domain::oauth::client::{Client, ClientDetails, ClientKeys, ClientKind, ClientSecret};
use crate::domain::oauth::document::DocumentUrl;
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::scope::ScopeSet;
use crate::domain::secret::{PlainSecret, SecretPrefix};

/// The clients part of the Auth service.
#[derive(Clone, Debug)]
pub struct Clients(Arc<Context>);

impl Clients {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Registers a client; with its secret, if it needs one.
    pub async fn create(
        &self,
        caller: &Caller,
        kind: ClientKind,
        mut details: ClientDetails,
    ) -> Result<(Client, Option<PlainSecret>)> {
        let now = self.0.now();
        refuse_broken(kind, &details)?;
        refuse_more_than_own(caller, &details)?;
        details.scopes.registered = self.grantable(caller, &details.scopes.registered).await?;
        let secret = details.authentication.needs_secret().then(|| self.new_secret(caller));
        let client = Client {
            id: ClientId::new(now, &*self.0.entropy),
            project: caller.project().clone(),
            environment: caller.environment(),
            kind,
            details,
            secret: secret.as_ref().map(|secret| ClientSecret { hint: secret.hint().into(), created_at: now }),
            old_secret: None,
            registered_itself: false,
            document: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        };
        let hash = secret.as_ref().map(|secret| self.0.keyring.hash(secret.expose()));
        let audit = self.0.audit(caller, "client.created", client.id.as_str());
        let audit = audit.changing(None, Some(told(&client)));
        self.0.committed(&self.0.store.create_client(&client, hash.as_ref(), &audit).await?);
        Ok((client, secret))
    }

    /// Reads a client.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Client> {
        let found = match ClientId::parse(id) {
            Some(id) => self.0.store.find_client(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("client", id))
    }

    /// Lists clients, newest first.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Client>> {
        Ok(self.0.store.list_clients(caller.project(), caller.environment(), page).await?)
    }

    /// Changes the details of a client by `change`, which is told what it is.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(ClientKind, &mut ClientDetails) -> Result<()>,
    ) -> Result<Client> {
        let before = self.governed(caller, id, etag).await?;
        if let Some(url) = before.document_url() {
            let message =
                format!("what this client is, is said by its document at {url}; it changes with that, or is deleted");
            return Err(Error::new(Reason::InvalidState, message));
        }
        let mut details = before.details.clone();
        change(before.kind, &mut details)?;
        refuse_broken(before.kind, &details)?;
        for details in [&before.details, &details] {
            refuse_more_than_own(caller, details)?;
        }
        if details.scopes.registered != before.details.scopes.registered {
            details.scopes.registered = self.grantable(caller, &details.scopes.registered).await?;
        }
        let mut client = before.clone();
        client.update(details, self.0.now());
        let audit = self.0.audit(caller, "client.updated", client.id.as_str());
        let audit = audit.changing(Some(told(&before)), Some(told(&client)));
        self.0.committed(&self.0.store.update_client(&client, before.version, &audit).await?);
        Ok(client)
    }

    /// Deletes a client, for good, and its secrets with it. Answers the client as it was.
    pub async fn delete(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Client> {
        let before = self.governed(caller, id, etag).await?;
        let mut client = before.clone();
        client.delete(self.0.now());
        let audit = self.0.audit(caller, "client.deleted", client.id.as_str());
        let audit = audit.changing(Some(told(&before)), None);
        self.0.committed(&self.0.store.delete_client(&client, before.version, &audit).await?);
        Ok(client)
    }

    /// Gives a client a new secret; the one it has works for the grace period.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        grace: Duration,
    ) -> Result<(Client, PlainSecret)> {
        let before = self.governed(caller, id, etag).await?;
        refuse_more_than_own(caller, &before.details)?;
        let secret = self.new_secret(caller);
        let mut client = before.clone();
        client.rotate_secret(secret.hint(), grace, self.0.now())?;
        let audit = self.0.audit(caller, "client.secret_rotated", client.id.as_str());
        let audit = audit.changing(Some(told(&before)), Some(told(&client)));
        let hash = self.0.keyring.hash(secret.expose());
        self.0.committed(&self.0.store.rotate_client_secret(&client, before.version, &hash, &audit).await?);
        Ok((client, secret))
    }

    fn new_secret(&self, caller: &Caller) -> PlainSecret {
        let prefix = SecretPrefix::fixed(SecretPrefix::CLIENT);
        PlainSecret::generate(&prefix, caller.environment(), &*self.0.entropy)
    }

    /// A client that the caller may change: whoever holds less than a client does not govern it.
    async fn governed(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Client> {
        let client = self.find(caller, id).await?;
        if let Some(scope) = caller.scopes().first_missing(&client.details.scopes.registered) {
            let message = format!(
                "the client may ask for {scope}, which the caller does not hold; only its equals may change it"
            );
            return Err(Error::new(Reason::ExceedsCaller, message));
        }
        expect_etag(etag, &client.etag())?;
        Ok(client)
    }

    /// The scopes a client gets from this caller. Never `admin`: it would hold what nobody has thought of yet.
    async fn grantable(&self, caller: &Caller, wanted: &ScopeSet) -> Result<ScopeSet> {
        let granted = self.0.grantable(caller, wanted, ("client.scopes", "a client"), |scope| !scope.is_admin()).await;
        granted.map_err(|mut error| {
            // The scopes of the registry were counted by themselves: their places are not those in the request.
            for violation in &mut error.violations {
                violation.field = "client.scopes".to_owned();
            }
            error
        })
    }
}

fn refuse_broken(kind: ClientKind, details: &ClientDetails) -> Result<()> {
    let broken = details.broken_rules(kind);
    if broken.is_empty() {
        return Ok(());
    }
    let violation = |(field, rule)| Violation { field: format!("client.{field}"), rule: str::to_owned(rule) };
    Err(Error::fields(broken.into_iter().map(violation).collect()))
}

/// With the secret of a client that acts for itself one gets tokens for ever and anywhere, so nobody makes one whose own
/// credential ends, or is bound to addresses.
fn refuse_more_than_own(caller: &Caller, details: &ClientDetails) -> Result<()> {
    let bound = caller.makes_until().is_some() || caller.allowed_ips().is_some_and(|own| !own.is_open());
    if !bound || !details.acts_for_itself() {
        return Ok(());
    }
    let message = "a client with the grant type client_credentials works without end and from anywhere, which the key that \
        makes this call does not";
    Err(Error::new(Reason::ExceedsCaller, message))
}

/// What the audit log tells of a client: all but its secrets, and what every change changes.
pub(super) fn told(client: &Client) -> Map<String, Value> {
    let details = &client.details;
    let uris = |uris: &[RedirectUri]| uris.iter().map(|uri| json!(uri.as_str())).collect::<Value>();
    let secret = |secret: &ClientSecret| json!(secret.hint);
    let (jwks, jwks_uri) = match &details.keys {
        None => (None, None),
        Some(ClientKeys::Inline(jwks)) => (Some(jwks), None),
        Some(ClientKeys::At(uri)) => (None, Some(uri)),
    };
    audit::fields([
        ("environment", json!(client.environment.as_str())),
        ("type", json!(client.kind.as_str())),
        ("metadataDocument", json!(client.document_url().map(DocumentUrl::as_str))),
        ("name", json!(details.name)),
        ("logoUri", json!(details.logo_uri.as_ref().map(ToString::to_string))),
        ("tokenEndpointAuthMethod", json!(details.authentication.as_str())),
        ("jwks", json!(jwks)),
        ("jwksUri", json!(jwks_uri)),
        ("redirectUris", uris(&details.redirect_uris)),
        ("postLogoutRedirectUris", uris(&details.post_logout_redirect_uris)),
        ("grantTypes", details.grant_types.iter().copied().map(GrantType::as_str).collect()),
        ("scopes", details.scopes.words().collect()),
        ("resources", details.resources.iter().map(|uri| json!(uri.as_str())).collect()),
        ("accessTokenFormat", json!(details.token_format.as_str())),
        ("accessTokenLifetime", seconds(details.access_token_lifetime)),
        ("refreshTokenIdleLifetime", seconds(details.refresh_token_idle_lifetime)),
        ("refreshTokenLifetime", seconds(details.refresh_token_lifetime)),
        ("requirePkce", json!(details.require_pkce)),
        ("requirePushedAuthorizationRequests", json!(details.require_pushed_requests)),
        ("dpopBoundAccessTokens", json!(details.dpop_bound_access_tokens)),
        ("secret", json!(client.secret.as_ref().map(secret))),
        ("oldSecret", json!(client.old_secret.as_ref().map(|(old, _)| secret(old)))),
    ])
}

fn seconds(duration: Duration) -> Value {
    json!(format!("{}s", duration.as_secs_f64()))
}
