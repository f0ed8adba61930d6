//! Projects: the tenants, and the wall between them.

use super::clock::Timestamp;
use super::id::ProjectId;
use super::secret::SecretPrefix;

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its name.
    pub id: ProjectId,
    /// What its secret keys begin with.
    pub secret_prefix: SecretPrefix,
    /// When it was made.
    pub created_at: Timestamp,
}
