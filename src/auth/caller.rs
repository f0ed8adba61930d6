//! The one value that says who is calling. Whoever holds one was checked; nothing acts without one.

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{AuditEventId, KeyId, ProjectId};
use crate::domain::key::Key;
use crate::domain::project::administers_installation;
use crate::domain::scope::ScopeSet;
use crate::store::StoredCredential;

/// Who is calling, and what they may do. Made by the guard only.
#[derive(Clone, Debug)]
pub struct Caller {
    credential: Arc<StoredCredential>,
    beside: Option<Arc<StoredCredential>>,
    client: IpAddr,
    request_id: Arc<str>,
}

impl Caller {
    /// Only the guard, which has decided about both credentials, may say who is calling.
    pub(super) fn new(
        credential: Arc<StoredCredential>,
        beside: Option<Arc<StoredCredential>>,
        client: IpAddr,
        request_id: Arc<str>,
    ) -> Self {
        Self { credential, beside, client, request_id }
    }

    /// The key that was presented.
    pub fn key(&self) -> &Key {
        &self.credential.key
    }

    /// The publishable key that was sent beside it.
    pub fn publishable_key(&self) -> Option<&KeyId> {
        self.beside.as_ref().map(|credential| &credential.key.id)
    }

    /// The project the caller acts in. No call reaches beyond it.
    pub fn project(&self) -> &ProjectId {
        &self.key().project
    }

    /// The environment the caller acts in.
    pub fn environment(&self) -> Environment {
        self.key().environment
    }

    /// What the caller may do.
    pub fn scopes(&self) -> &ScopeSet {
        &self.key().details.scopes
    }

    /// Whether the caller governs the installation, all its projects included.
    pub fn governs_installation(&self) -> bool {
        administers_installation(self.key())
    }

    /// When the caller's credential stops working by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.credential.expires_at()
    }

    /// Where the call came from.
    pub fn client(&self) -> IpAddr {
        self.client
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
            actor: Some(self.key().id.clone()),
            action: action.to_owned(),
            target: target.to_owned(),
            request_id: Some(self.request_id.to_string()),
            client_ip: Some(self.client),
            occurred_at: now,
            before: None,
            after: None,
        }
    }

    /// The credential as it was found.
    pub(super) fn credential(&self) -> &StoredCredential {
        &self.credential
    }
}
