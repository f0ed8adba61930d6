//! Projects: the tenants, and the wall between them.

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::ProjectId;
use super::key::{Key, etag};
use super::scope::Scope;
use super::secret::SecretPrefix;

/// A tenant. What holds for it holds for its live and its test data.
#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    /// Its name. It is given once: not even a deletion frees it.
    pub id: ProjectId,
    /// What may be changed about it.
    pub details: ProjectDetails,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, if it was. None of its credentials works from then on.
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

/// What may be changed about a project.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectDetails {
    /// A name for people, up to 100 characters; may be empty.
    pub display_name: String,
    /// What it is for, in prose.
    pub description: String,
    /// What its new secret keys begin with.
    pub secret_prefix: SecretPrefix,
}

impl Default for ProjectDetails {
    fn default() -> Self {
        let secret_prefix = SecretPrefix::fixed(SecretPrefix::SECRET);
        Self { display_name: String::new(), description: String::new(), secret_prefix }
    }
}

impl Project {
    /// A new project.
    pub fn new(id: ProjectId, details: ProjectDetails, now: Timestamp) -> Self {
        Self { id, details, created_at: now, updated_at: now, deleted_at: None, version: 1 }
    }

    /// Changes with every change of the project.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// Changes the details.
    pub fn update(&mut self, details: ProjectDetails, now: Timestamp) {
        self.details = details;
        self.touch(now);
    }

    /// Ends the project, for good.
    pub fn delete(&mut self, now: Timestamp) {
        self.deleted_at = Some(now);
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// Whether a key is one of an administrator of the whole installation: it holds `admin` in the project that the first start
/// makes, for live data.
pub fn administers_installation(key: &Key) -> bool {
    key.project.is_default() && key.environment == Environment::Live && key.details.scopes.iter().any(Scope::is_admin)
}
