//! What a token says (RFC 7662), for those it concerns.

use std::sync::Arc;

use super::AuthorizationServer;
use crate::auth::caller::Caller;
use crate::auth::decide::{Question, decide};
use crate::auth::lookup::Found;
use crate::domain::credential::{Credential, Form};
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error::OAuthError;
use crate::domain::oauth::token::{AccessToken, Grant};
use crate::domain::reason::Reason;
use crate::domain::secret::{SecretHash, SecretPrefix};

/// What is told of a token.
#[derive(Clone, Debug)]
pub enum Introspection {
    /// It opens nothing, or it is not for whoever asks: the two are not told apart (RFC 7662, section 2.2).
    Inactive,
    /// It is good.
    Active(Known),
}

/// What is told of a good token.
#[derive(Clone, Debug)]
pub enum Known {
    /// An access token, a key or a session.
    Access(Arc<Credential>),
    /// A refresh token, by its grant, which ends when the token does, and the `client_id` of its client.
    Refresh(Box<Grant>, String),
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Asker<'a> {
    /// A client, which is told of its own tokens and of those that are meant for it.
    Client(&'a Client),
    /// A caller with `verify:credentials`, who is told of all of their project and environment.
    Caller(&'a Caller),
}

impl Asker<'_> {
    fn place(&self) -> (&ProjectId, Environment) {
        match self {
            Self::Client(client) => (&client.project, client.environment),
            Self::Caller(caller) => (caller.project(), caller.environment()),
        }
    }

    fn may_know(&self, token: &AccessToken) -> bool {
        match self {
            Self::Client(client) => {
                let meant = |audience: &String| client.details.resources.iter().any(|own| own.as_str() == *audience);
                // What a client says of itself makes it no resource server.
                token.client == client.id || !client.registered_itself && token.audiences.iter().any(meant)
            }
            Self::Caller(_) => true,
        }
    }
}

impl AuthorizationServer {
    /// What a token says. Who asks does not say where it came from (RFC 7662 has no word for that), and an address list cannot be
    /// satisfied by an address that nobody knows: what stands behind such a list is inactive here, and Verify takes the address.
    pub async fn introspect(&self, asker: Asker<'_>, token: &str) -> Result<Introspection, OAuthError> {
        if let Some(hash) = self.hash(token, SecretPrefix::REFRESH) {
            return Box::pin(self.introspect_refresh(asker, &hash)).await;
        }
        let (project, environment) = asker.place();
        let credential = match self.0.credentials.find(token).await? {
            Found::Issued(credential) => credential,
            Found::Honey(touched) => {
                if touched.project() == project {
                    self.0.ledger.touched(&touched, "introspection", self.0.now(), None);
                }
                return Ok(Introspection::Inactive);
            }
            _ => return Ok(Introspection::Inactive),
        };
        let question = Question { now: self.0.now(), environment: Some(environment), client: None, scopes: &[] };
        let concerns = match (&credential.form, asker) {
            (Form::Token(token, _), asker) => asker.may_know(token),
            (_, Asker::Caller(_)) => true,
            (_, Asker::Client(_)) => false,
        };
        if !concerns || credential.project() != project {
            return Ok(Introspection::Inactive);
        }
        if let Err(objection) = decide(&credential, &question, &mut ()) {
            let (credential, reason) = (credential.id(), objection.reason);
            if reason == Reason::IpDenied {
                // Whoever put the list there may look for why.
                tracing::info!(
                    credential = credential.as_str(),
                    ?reason,
                    "a token with an address list was told inactive"
                );
            } else {
                tracing::debug!(credential = credential.as_str(), ?reason, "a token was told inactive");
            }
            return Ok(Introspection::Inactive);
        }
        // Whoever is told that it is good accepts it.
        let now = question.now;
        let used = match asker {
            Asker::Client(client) => self.0.credentials.exchanged(token, &credential, &client.id, now).await,
            Asker::Caller(caller) => self.0.credentials.used(token, &credential, caller, now).await,
        };
        match used {
            Ok(()) => Ok(Introspection::Active(Known::Access(credential))),
            Err(error) if error.reason == Reason::NotFound => Ok(Introspection::Inactive),
            Err(error) => Err(error.into()),
        }
    }

    async fn introspect_refresh(&self, asker: Asker<'_>, hash: &SecretHash) -> Result<Introspection, OAuthError> {
        let Some((grant, token)) = self.0.store.find_refresh_token(hash).await? else {
            return Ok(Introspection::Inactive);
        };
        let now = self.0.now();
        let Asker::Client(client) = asker else { return Ok(Introspection::Inactive) };
        let good = grant.is_open(now) && token.spent_at.is_none() && now < token.idle_until;
        if client.id != grant.client || !good || !self.may_act(&grant).await? {
            return Ok(Introspection::Inactive);
        }
        let expires_at = grant.expires_at.min(token.idle_until);
        Ok(Introspection::Active(Known::Refresh(
            Box::new(Grant { expires_at, ..grant }),
            client.public_id().to_owned(),
        )))
    }

    /// The hash of an access token of ours, opaque or signed; none for what is not one.
    pub(super) async fn access_hash(&self, token: &str) -> Result<Option<SecretHash>, OAuthError> {
        if let Some(hash) = self.hash(token, SecretPrefix::ACCESS) {
            return Ok(Some(hash));
        }
        Ok(self.0.signing.verify_access(token).await?.then(|| self.0.keyring.hash(token)))
    }
}
