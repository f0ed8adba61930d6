//! Clients that register themselves (RFC 7591) and manage that (RFC 7592), where the project lets them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{AuthorizationServer, Origin};
use crate::auth::caller::Caller;
use crate::auth::outside::key_set::KeySet;
use crate::domain::audit::AuditEvent;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::{ClientId, CredentialId, ProjectId};
use crate::domain::oauth::client::{Client, ClientDetails, ClientKeys, ClientSecret};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::registration::{Allowance, ClientMetadata};
use crate::domain::project::{ClientRegistration, Project};
use crate::domain::reason::Reason;
use crate::domain::secret::{PlainSecret, SecretPrefix};
use crate::service::clients::told;
use crate::store::Room;

/// What a client may hope for that nobody here knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Welcome {
    /// There is a project that may let it register.
    pub registration: bool,
    /// It may be known by the address of a document that says what it is.
    pub documents: bool,
}

/// Who wants to register a client, once the project lets them.
#[derive(Debug)]
pub struct Registrant<'a> {
    /// The project of the client.
    project: Project,
    /// Who calls, if anybody shows a credential.
    caller: Option<&'a Caller>,
}

/// A client that registered itself, for the answer.
#[derive(Debug)]
pub struct Registered {
    /// The client.
    pub client: Client,
    /// Its secret, which is told this once.
    pub secret: Option<PlainSecret>,
    /// What it manages its registration by.
    pub token: PlainSecret,
}

impl AuthorizationServer {
    /// What a client that nobody here knows and that shows no credential may hope for.
    pub async fn welcome(&self) -> Result<Welcome> {
        let project = self.0.store.find_project(&ProjectId::default_project()).await?;
        let details = project.map(|project| project.details).unwrap_or_default();
        let registration = details.client_registration != ClientRegistration::Closed;
        Ok(Welcome { registration, documents: details.client_documents })
    }

    /// Whether whoever calls may register a client: in the project and environment of their credential, or as live client of the
    /// project `default`.
    ///
    /// # Errors
    /// CALLER_NOT_ALLOWED, MISSING_CREDENTIAL, INSUFFICIENT_SCOPE.
    pub async fn registrant<'a>(&self, caller: Option<&'a Caller>) -> Result<Registrant<'a>> {
        let id = caller.map_or_else(ProjectId::default_project, |caller| caller.project().clone());
        let closed = || Error::new(Reason::CallerNotAllowed, "clients do not register themselves in this project");
        let project = self.0.store.find_project(&id).await?.ok_or_else(closed)?;
        match (project.details.client_registration, caller) {
            (ClientRegistration::Closed, _) => Err(closed()),
            (ClientRegistration::Token, None) => {
                let message = "registering a client takes a credential with the scope write:clients";
                Err(Error::new(Reason::MissingCredential, message))
            }
            (ClientRegistration::Token, Some(caller)) if !caller.scopes().holds(MAY_REGISTER) => {
                Err(Error::insufficient_scope(MAY_REGISTER.to_owned()))
            }
            (ClientRegistration::Token | ClientRegistration::Open, _) => Ok(Registrant { project, caller }),
        }
    }

    /// Registers a client.
    ///
    /// # Errors
    /// What is wrong with what it says; `slow_down` for an address that registers too many, `temporarily_unavailable` where
    /// there are too many.
    pub async fn register(
        &self,
        by: &Registrant<'_>,
        origin: &Origin,
        metadata: &ClientMetadata,
    ) -> Result<Registered, OAuthError> {
        let kind = metadata.kind()?;
        let mut allowed = Allowance::of(&by.project.details, self.issuer());
        if let (ClientRegistration::Token, Some(caller)) = (by.project.details.client_registration, by.caller) {
            // Nobody vouches for more than they hold.
            allowed = allowed.within(caller.scopes());
        }
        let details = usable(metadata.details(ClientDetails::usual(kind), &allowed)?)?;
        // Who may write clients is not bounded by the address it speaks from.
        if !by.caller.is_some_and(|caller| caller.scopes().holds(MAY_REGISTER)) {
            self.0.attempts.registration(origin.address)?;
        }
        let now = self.0.now();
        let environment = by.caller.map_or(Environment::Live, Caller::environment);
        let new = |prefix| PlainSecret::generate(&SecretPrefix::fixed(prefix), environment, &*self.0.entropy);
        let secret = details.authentication.needs_secret().then(|| new(SecretPrefix::CLIENT));
        let client = Client {
            id: ClientId::new(now, &*self.0.entropy),
            project: by.project.id.clone(),
            environment,
            kind,
            details,
            secret: secret.as_ref().map(|secret| ClientSecret { hint: secret.hint().into(), created_at: now }),
            old_secret: None,
            registered_itself: true,
            document: None,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            version: 1,
        };
        let token = new(SecretPrefix::REGISTRATION);
        let event = match by.caller {
            Some(caller) => self.0.audit(caller, "client.registered", client.id.as_str()),
            None => self.registration_event(origin, &client, Some(&client.id), "client.registered"),
        };
        let event = event.changing(None, Some(told(&client)));
        let secret_hash = secret.as_ref().map(|secret| self.0.keyring.hash(secret.expose()));
        let token_hash = self.0.keyring.hash(token.expose());
        let makes_room = |oldest: &Client| {
            let event = self.registration_event(origin, oldest, Some(&client.id), "client.deleted");
            event.changing(Some(told(oldest)), None)
        };
        let room = Room { at_most: MAX_CLIENTS, unused_since: now.minus(UNUSED_AT_LEAST), event: &makes_room };
        let stored = self.0.store.register_client(&client, secret_hash.as_ref(), &token_hash, &room, &event);
        match stored.await? {
            Some(changes) => changes.iter().for_each(|change| self.0.committed(change)),
            None => {
                let what = "the project has as many clients that registered themselves as it may; ask whoever runs it";
                return Err(OAuthError::new(Word::TemporarilyUnavailable, what));
            }
        }
        Ok(Registered { client, secret, token })
    }

    /// The client whose registration is managed by this token.
    ///
    /// # Errors
    /// NOT_FOUND, in the same words whether there is no such client or the token is not its own; TOO_MANY_UNKNOWN.
    pub async fn registered(&self, id: &str, token: &str, address: IpAddr) -> Result<Client> {
        self.0.credentials.may_ask(Some(address))?;
        let hash = self.hash(token, SecretPrefix::REGISTRATION);
        let found = match (ClientId::parse(id), hash) {
            (Some(id), Some(hash)) => self.0.store.find_registered_client(&id, &hash).await?,
            _ => None,
        };
        if found.is_none() {
            self.0.credentials.charge(Some(address));
        }
        found.ok_or_else(|| Error::new(Reason::NotFound, "there is no such client, or this is not its token"))
    }

    /// Puts what a client says of itself in place of what it said before.
    ///
    /// # Errors
    /// What is wrong with what it says.
    pub async fn change_registration(
        &self,
        before: &Client,
        origin: &Origin,
        metadata: &ClientMetadata,
    ) -> Result<Client, OAuthError> {
        let invalid = |what: &str| OAuthError::new(Word::InvalidClientMetadata, what);
        if metadata.client_id.as_deref() != Some(before.id.as_str()) {
            return Err(invalid("client_id must be there, and be that of the client"));
        }
        let only_ours = [
            metadata.registration_access_token.is_some(),
            metadata.registration_client_uri.is_some(),
            metadata.client_id_issued_at.is_some(),
            metadata.client_secret_expires_at.is_some(),
        ];
        if only_ours.contains(&true) {
            let what = "registration_access_token, registration_client_uri, client_id_issued_at and \
                client_secret_expires_at are not for the client to say";
            return Err(invalid(what));
        }
        if metadata.kind()? != before.kind {
            let what = "token_endpoint_auth_method cannot change between none and another: register a client anew";
            return Err(invalid(what));
        }
        if let Some(secret) = &metadata.client_secret
            && !self.is_secret_of(before, secret).await?
        {
            return Err(invalid("client_secret is not the client's; leave it out"));
        }
        let project = self.0.store.find_project(&before.project).await?;
        let project = project.ok_or_else(|| invalid("the project is gone"))?;
        let mut allowed = Allowance::of(&project.details, self.issuer());
        if project.details.client_registration != ClientRegistration::Open {
            // Somebody vouched for what it has, and for no more.
            allowed = allowed.within(&before.details.scopes.registered);
        }
        let details = usable(metadata.details(before.details.clone(), &allowed)?)?;
        if details.authentication.needs_secret() && before.secret.is_none() {
            let what = "token_endpoint_auth_method cannot change to one that needs a secret: register a client anew";
            return Err(invalid(what));
        }
        let (mut client, now) = (before.clone(), self.0.now());
        client.update(details, now);
        let event = self.registration_event(origin, &client, Some(&client.id), "client.updated");
        let event = event.changing(Some(told(before)), Some(told(&client)));
        self.0.committed(&self.0.store.update_client(&client, before.version, &event).await?);
        Ok(client)
    }

    /// Ends a client that wants to be no more.
    pub async fn end_registration(&self, before: &Client, origin: &Origin) -> Result<()> {
        let (mut client, now) = (before.clone(), self.0.now());
        client.delete(now);
        let event = self.registration_event(origin, &client, Some(&client.id), "client.deleted");
        let event = event.changing(Some(told(before)), None);
        self.0.committed(&self.0.store.delete_client(&client, before.version, &event).await?);
        Ok(())
    }

    /// A client with what it may ask for now: of one that registered itself, the project can take back what it has set apart.
    ///
    /// # Errors
    /// `unauthorized_client` where there is no such project any more.
    pub async fn as_allowed(&self, client: Arc<Client>) -> Result<Arc<Client>, OAuthError> {
        if !client.registered_itself {
            return Ok(client);
        }
        let project = self.0.store.find_project(&client.project).await?;
        let gone = || OAuthError::new(Word::UnauthorizedClient, "the project of the client is gone");
        let project = project.ok_or_else(gone)?;
        let mut client = Arc::unwrap_or_clone(client);
        Allowance::of(&project.details, self.issuer()).hold(&mut client.details);
        Ok(Arc::new(client))
    }

    async fn is_secret_of(&self, client: &Client, secret: &str) -> Result<bool, OAuthError> {
        let Some(hash) = self.hash(secret, SecretPrefix::CLIENT) else { return Ok(false) };
        let found = self.0.store.find_client_by_secret(&client.id, &hash).await?;
        Ok(found.is_some_and(|(found, role)| found.accepts(role, self.0.now())))
    }

    pub(super) fn registration_event(
        &self,
        origin: &Origin,
        client: &Client,
        actor: Option<&ClientId>,
        action: &str,
    ) -> AuditEvent {
        let (actor, place) = (actor.cloned().map(CredentialId::Client), (&client.project, client.environment));
        self.event(actor, place, action, client.id.as_str(), origin)
    }
}

/// Refuses keys that nothing can be checked by.
pub(super) fn usable(details: ClientDetails) -> Result<ClientDetails, OAuthError> {
    if let Some(ClientKeys::Inline(set)) = &details.keys
        && let Err(flaw) = KeySet::parse(set.as_bytes())
    {
        return Err(OAuthError::new(Word::InvalidClientMetadata, format!("jwks {flaw}")));
    }
    Ok(details)
}

/// The scope of whoever may register clients where not everybody may, and as many as they like.
pub const MAY_REGISTER: &str = "write:clients";
/// Clients of one project and environment that registered themselves at most, and as many that are known by documents of theirs.
pub(super) const MAX_CLIENTS: i64 = 10_000;
/// How long one waits at least for somebody who agrees to it before it makes room for others.
const UNUSED_AT_LEAST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
