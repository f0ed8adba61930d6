//! The one value that says who is calling. Whoever holds one was checked; nothing acts without one.

use std::net::IpAddr;
use std::sync::Arc;

use super::limit::payer;
use super::outside::claims::Introduction;
use crate::domain::audit::{ActingToken, AuditEvent};
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{AuditEventId, CredentialId, KeyId, ProjectId, UserId};
use crate::domain::key::Key;
use crate::domain::network::AllowList;
use crate::domain::project::administers_installation;
use crate::domain::scope::ScopeSet;
use crate::domain::session::Session;

/// Who is calling, and what they may do. Made by the guard only.
#[derive(Clone, Debug)]
pub struct Caller {
    credential: Arc<Credential>,
    beside: Option<Arc<Credential>>,
    introduced: Option<Arc<Introduction>>,
    client: IpAddr,
    request_id: Arc<str>,
    at: Timestamp,
}

impl Caller {
    /// Only the guard, which has decided about both credentials, may say who is calling.
    pub(super) fn new(
        credential: Arc<Credential>,
        beside: Option<Arc<Credential>>,
        client: IpAddr,
        request_id: Arc<str>,
        at: Timestamp,
    ) -> Self {
        Self { credential, beside, introduced: None, client, request_id, at }
    }

    /// The same caller, a key, with what a token of a trusted issuer beside it tells of a user.
    pub(super) fn introducing(self, introduction: Arc<Introduction>) -> Self {
        Self { introduced: Some(introduction), ..self }
    }

    /// What a token of a trusted issuer tells of the user whom the caller, a key, brings; whether they are known here or not.
    pub fn introduced(&self) -> Option<&Introduction> {
        self.introduced.as_deref()
    }

    /// Whose limits the call is held against.
    pub(super) fn payer(&self) -> &Arc<Credential> {
        payer(&self.credential, self.beside.as_ref())
    }

    /// Whether an address list of what was presented would refuse a call from there, if it did more than report.
    pub fn only_reported(&self, client: Option<IpAddr>) -> bool {
        self.credential.only_reports(client) || self.beside.as_ref().is_some_and(|beside| beside.only_reports(client))
    }

    /// What was presented.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The key that was presented, if it was one.
    pub fn key(&self) -> Option<&Key> {
        self.credential.key()
    }

    /// The session whose token was presented, if it was one.
    pub fn session(&self) -> Option<&Session> {
        self.credential.session()
    }

    /// The user the caller acts as, or for.
    pub fn user(&self) -> Option<&UserId> {
        self.credential.user_id()
    }

    /// Whether the caller is a user in person, and not a key of theirs.
    pub fn is_user_in_person(&self) -> bool {
        self.credential.is_of_the_user_in_person()
    }

    /// Whom to name for what the caller does: a user who does it in person, the client that brings an access token, or else the
    /// key.
    pub fn actor(&self) -> CredentialId {
        match self.credential.token() {
            Some(token) => CredentialId::Client(token.client.clone()),
            None => self.asker(),
        }
    }

    /// Whose requests are repeated when one of this caller's comes again: those of the user in person, or else of what was
    /// presented. Each access token is for itself.
    pub fn asker(&self) -> CredentialId {
        match self.user() {
            Some(user) if self.is_user_in_person() => CredentialId::User(user.clone()),
            _ => self.credential.id(),
        }
    }

    /// The publishable key that was sent beside it.
    pub fn publishable_key(&self) -> Option<&KeyId> {
        self.beside.as_ref().and_then(|credential| credential.key()).map(|key| &key.id)
    }

    /// The project the caller acts in. No call reaches beyond it.
    pub fn project(&self) -> &ProjectId {
        self.credential.project()
    }

    /// The environment the caller acts in.
    pub fn environment(&self) -> Environment {
        self.credential.environment()
    }

    /// What the caller may do.
    pub fn scopes(&self) -> &ScopeSet {
        self.credential.scopes()
    }

    /// Whether the caller governs the installation, all its projects included.
    pub fn governs_installation(&self) -> bool {
        administers_installation(self.project(), self.environment(), self.scopes())
    }

    /// When the caller's credential stops working by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.credential.expires_at()
    }

    /// When what the caller makes has to end at the latest: with their key. Whoever is here in person may make what outlasts
    /// the token they show.
    pub fn makes_until(&self) -> Option<Timestamp> {
        if self.is_user_in_person() { None } else { self.expires_at() }
    }

    /// Where the caller's credential may be used from; none where it was not restricted.
    pub fn allowed_ips(&self) -> Option<&AllowList> {
        self.credential.allowed_ips()
    }

    /// Where the call came from.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// When it was let in.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The request, for the audit log.
    pub fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// The entry of the audit log about something the caller does, in its environment.
    pub fn event(&self, action: &str, target: &str, now: Timestamp, entropy: &dyn Entropy) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::new(now, entropy),
            project: self.project().clone(),
            environment: Some(self.environment()),
            actor: Some(self.actor()),
            token: self.credential.token().map(|token| ActingToken { id: token.id.clone(), user: token.user.clone() }),
            action: action.to_owned(),
            target: target.to_owned(),
            request_id: Some(self.request_id.to_string()),
            client_ip: Some(self.client),
            occurred_at: now,
            before: None,
            after: None,
        }
    }
}
