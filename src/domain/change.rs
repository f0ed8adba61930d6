//! The change log: everything that can turn a decision, in the order it was committed.

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{CredentialId, ProjectId};
use super::secret::SecretHash;

/// Orders all changes of an installation. Given in commit order: who has seen n has seen all below n.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

/// One change of a credential, or the end of a whole project.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the order.
    pub revision: Revision,
    /// The project.
    pub project: ProjectId,
    /// The environment.
    pub environment: Environment,
    /// What changed: a key, a session, or a user who shows tokens of their own; none where the project ended, with all of it.
    pub subject: Option<CredentialId>,
    /// What happened.
    pub kind: ChangeKind,
    /// The hashes by which caches hold it.
    pub hashes: Vec<SecretHash>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// What happened to a credential, or to a project.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// Its details changed.
    Updated,
    /// It got a new secret, or a waiting grace period began.
    Rotated,
    /// It was suspended, or its user blocked.
    Suspended,
    /// It works again, or its user was unblocked.
    Resumed,
    /// It was revoked.
    Revoked,
    /// Its project was deleted: every credential of the project has ended.
    ProjectDeleted,
    /// The settings of its project changed. Nothing ends by it.
    ProjectUpdated,
}

impl ChangeKind {
    const ALL: [Self; 8] = [
        Self::Created,
        Self::Updated,
        Self::Rotated,
        Self::Suspended,
        Self::Resumed,
        Self::Revoked,
        Self::ProjectDeleted,
        Self::ProjectUpdated,
    ];

    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Rotated => "rotated",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Revoked => "revoked",
            Self::ProjectDeleted => "project_deleted",
            Self::ProjectUpdated => "project_updated",
        }
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
