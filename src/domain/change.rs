//! The change log: everything that can turn a decision, in the order it was committed.

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{KeyId, ProjectId};
use super::secret::SecretHash;

/// Orders all changes of an installation. Given in commit order: who has seen n has seen all below n.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(pub u64);

/// One change of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its place in the order.
    pub revision: Revision,
    /// The key's project.
    pub project: ProjectId,
    /// The key's environment.
    pub environment: Environment,
    /// The key.
    pub key: KeyId,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The hashes of its secrets, by which caches hold it.
    pub hashes: Vec<SecretHash>,
    /// When it happened.
    pub occurred_at: Timestamp,
}

/// What happened to a key.
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
}

impl ChangeKind {
    const ALL: [Self; 6] = [Self::Created, Self::Updated, Self::Rotated, Self::Suspended, Self::Resumed, Self::Revoked];

    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Rotated => "rotated",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Revoked => "revoked",
        }
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
