//! Projects: the tenants, and the wall between them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::ProjectId;
use super::key::{KeyKind, etag};
use super::leak::LeakPolicy;
use super::limit::RateLimits;
#[cfg(doc)]
use super::oauth::client::MAX_URIS;
use super::oauth::uri::ResourceUri;
use super::scope::{Scope, ScopeSet};
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
    /// Whether people may add themselves as users.
    pub sign_up: SignUp,
    /// How long a session lasts; see [`SESSION_LIFETIMES`].
    pub session_lifetime: Duration,
    /// What users may do who add themselves, or are let in by an issuer that the project trusts.
    pub user_scopes: ScopeSet,
    /// Whether clients may register themselves (RFC 7591).
    pub client_registration: ClientRegistration,
    /// Whether clients may be known by the address of a document that says what they are
    /// (draft-ietf-oauth-client-id-metadata-document). They are clients that register themselves like any other.
    pub client_documents: bool,
    /// What of the scopes of the registry such clients may ask for at most.
    pub registration_scopes: ScopeSet,
    /// The APIs that such clients may ask tokens for (RFC 8707), up to [`MAX_URIS`].
    pub registration_resources: Vec<ResourceUri>,
    /// What is done about a leaked credential.
    pub leak_policy: LeakPolicy,
    /// The limits of keys that have none of these names of their own, by type.
    pub default_rate_limits: Vec<(KeyKind, RateLimits)>,
}

/// Whether people may add themselves as users.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignUp {
    /// They may not.
    Closed,
    /// They may, with a publishable key.
    Open,
}

impl SignUp {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }

    /// The setting of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Closed, Self::Open].into_iter().find(|setting| setting.as_str() == text)
    }
}

/// Whether clients may register themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientRegistration {
    /// They may not.
    Closed,
    /// They may with a credential that may write clients, as an initial access token.
    Token,
    /// Anybody may.
    Open,
}

impl ClientRegistration {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Token => "token",
            Self::Open => "open",
        }
    }

    /// The setting of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Closed, Self::Token, Self::Open].into_iter().find(|setting| setting.as_str() == text)
    }
}

/// How long a session may be set to last.
pub const SESSION_LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(5 * 60)..=Duration::from_secs(24 * 60 * 60);

impl Default for ProjectDetails {
    fn default() -> Self {
        let secret_prefix = SecretPrefix::fixed(SecretPrefix::SECRET);
        Self {
            display_name: String::new(),
            description: String::new(),
            secret_prefix,
            sign_up: SignUp::Closed,
            session_lifetime: Duration::from_secs(60 * 60),
            user_scopes: ScopeSet::default(),
            client_registration: ClientRegistration::Closed,
            client_documents: false,
            registration_scopes: ScopeSet::default(),
            registration_resources: Vec::new(),
            leak_policy: LeakPolicy::default(),
            default_rate_limits: Vec::new(),
        }
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

/// Whether who holds these scopes there administers the whole installation: they hold `admin` in the project that the first
/// start makes, for live data.
pub fn administers_installation(project: &ProjectId, environment: Environment, scopes: &ScopeSet) -> bool {
    project.is_default() && environment == Environment::Live && scopes.iter().any(Scope::is_admin)
}
