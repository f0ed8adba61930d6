//! The audit log: who did what, from where.

use std::net::IpAddr;

use super::clock::Timestamp;
use super::id::{AuditEventId, KeyId, ProjectId};

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Identifies the entry.
    pub id: AuditEventId,
    /// The project it happened in.
    pub project: ProjectId,
    /// The key that did it; none for the command line.
    pub actor: Option<KeyId>,
    /// What was done, `key.revealed`.
    pub action: String,
    /// What it was done to, by id.
    pub target: String,
    /// The request it was done in.
    pub request_id: Option<String>,
    /// Where the request came from.
    pub client_ip: Option<IpAddr>,
    /// When it was done.
    pub occurred_at: Timestamp,
}
