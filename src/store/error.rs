//! What can go wrong in the store, in the words of the domain.

use std::time::Duration;

use thiserror::Error;

use super::db::Failure;
use super::issuers::MAX_ISSUERS;
use super::user_keys::MAX_KEYS_OF_USER;
use crate::domain::error::{self, Error as DomainError};
use crate::domain::oauth::error::OAuthError;
use crate::domain::reason::Reason;
use crate::domain::signing_key::MOST_SIGNING_KEYS;
use crate::domain::webhook::MAX_WEBHOOKS;
use crate::domain::webhook::delivery::MAX_WAITING;

/// Why a call of the store failed. The cause was logged where it happened.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum StoreError {
    /// What is stored stands against it; nothing was changed.
    #[error("{0}")]
    Conflict(Conflict),
    /// What is stored, or a statement of ours, breaks the schema. Names the table and column, or the statement's fault.
    #[error("the stored data is damaged: {0}")]
    Damaged(&'static str),
    /// A report took longer than it may.
    #[error("the report takes too long")]
    TooMuch,
    /// As many reports are made as may be at one time.
    #[error("too many reports are made")]
    Busy,
    /// The database did not do its part in time.
    #[error("the database cannot be reached")]
    Unavailable,
}

/// What stands against a change.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Conflict {
    /// Another unrevoked key of the project and environment has the alias.
    #[error("another key has this alias")]
    Alias,
    /// Another user of the project and environment has the email address.
    #[error("another user has this email address")]
    Email,
    /// A thing of this name exists already.
    #[error("a thing of this name exists already")]
    Exists,
    /// Another user of the project and environment has the handle.
    #[error("another user has this handle")]
    Handle,
    /// Another unrevoked key of the user has the handle.
    #[error("another key of the user has this handle")]
    KeyHandle,
    /// The user that a key is to act for is no service account of its project and environment.
    #[error("there is no such service account")]
    ServiceAccount,
    /// The environment trusts as many issuers as it may.
    #[error("there are too many issuers")]
    TooManyIssuers,
    /// The user has as many keys as a user may have.
    #[error("the user has too many keys")]
    TooManyKeys,
    /// As many signing keys are published as may be.
    #[error("there are too many signing keys")]
    TooManySigningKeys,
    /// As many deliveries wait for the webhook as may.
    #[error("too many deliveries wait for the webhook")]
    TooManyWaiting,
    /// The environment has as many webhooks as it may.
    #[error("there are too many webhooks")]
    TooManyWebhooks,
    /// A scope that is to be granted is not registered.
    #[error("a scope is not registered")]
    UnknownScope,
    /// The thing was changed since it was read, or is gone.
    #[error("it was changed in the meantime")]
    Version,
}

/// As the clients of the authorization server are told.
impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        DomainError::from(error).into()
    }
}

impl From<StoreError> for DomainError {
    /// Callers that can name the field of a conflict do so before; this is what is left to say without it.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(Conflict::Alias) => Self::new(
                Reason::AlreadyExists,
                "another key of this environment has the alias; choose another, or revoke that key first",
            ),
            StoreError::Conflict(Conflict::Email) => {
                Self::new(Reason::AlreadyExists, "another user of this environment has the email address")
            }
            StoreError::Conflict(Conflict::Handle) => {
                Self::new(Reason::AlreadyExists, "another user of this environment has the handle; choose another")
            }
            StoreError::Conflict(Conflict::KeyHandle) => Self::new(
                Reason::AlreadyExists,
                "you have a key with this handle; choose another, or delete that key first",
            ),
            StoreError::Conflict(Conflict::ServiceAccount) => {
                Self::field("user", "must be the id of a service account of this project and environment")
            }
            StoreError::Conflict(Conflict::TooManyIssuers) => Self::new(
                Reason::InvalidState,
                format!("the environment trusts {MAX_ISSUERS} issuers, and may trust no more; delete one first"),
            ),
            StoreError::Conflict(Conflict::TooManyKeys) => Self::new(
                Reason::InvalidState,
                format!(
                    "the user has {MAX_KEYS_OF_USER} keys that are not revoked, and may have no more; revoke one first"
                ),
            ),
            StoreError::Conflict(Conflict::TooManySigningKeys) => Self::new(
                Reason::InvalidState,
                format!(
                    "{MOST_SIGNING_KEYS} signing keys are published, and no more may be; wait until some are past their end"
                ),
            ),
            StoreError::Conflict(Conflict::TooManyWaiting) => Self::new(
                Reason::InvalidState,
                format!("{MAX_WAITING} deliveries wait for the webhook, and no more may; wait until some are made"),
            ),
            StoreError::Conflict(Conflict::TooManyWebhooks) => Self::new(
                Reason::InvalidState,
                format!("the environment has {MAX_WEBHOOKS} webhooks, and may have no more; delete one first"),
            ),
            StoreError::Conflict(Conflict::Exists) => {
                Self::new(Reason::AlreadyExists, "a thing of this name exists already")
            }
            StoreError::Conflict(Conflict::UnknownScope) => {
                Self::field("scopes", "each scope must be registered; register it first with CreateScope")
            }
            StoreError::Conflict(Conflict::Version) => {
                Self::new(Reason::EtagMismatch, "it was changed in the meantime; read it again and repeat the change")
            }
            StoreError::Damaged(_) => Self::new(Reason::Internal, "the service cannot read its own data"),
            StoreError::TooMuch => Self::new(
                Reason::DeadlineExceeded,
                "there is too much to be looked through for this; ask for less time, for one key, for a longer interval or for \
                fewer groups",
            ),
            StoreError::Busy => {
                let message = "other reports are being made; try again, or ask for less";
                Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(Reason::Overloaded, message) }
            }
            StoreError::Unavailable => Self::store_unavailable(),
        }
    }
}

/// Why the store could not be opened, in words for the operator who starts the process.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The location of the database cannot be understood.
    #[error("the database URL {0}; use sqlite:<path> or postgres://user:password@host/database")]
    BadUrl(&'static str),
    /// A migration was changed after it had been applied.
    #[error("migration {version:04} of the database is not the one this gatepost knows; restore a backup")]
    ChangedMigration {
        /// The migration's number.
        version: i64,
    },
    /// The database cannot be reached or used.
    #[error("the database cannot be opened: {0}")]
    Database(String),
    /// A migration did not end.
    #[error("migration {version:04} of the database failed half-way; restore a backup")]
    DirtyMigration {
        /// The migration's number.
        version: i64,
    },
    /// A migration could not be applied.
    #[error("migration {version:04} of the database failed: {cause}")]
    FailedMigration {
        /// The migration's number.
        version: i64,
        /// What the database said.
        cause: String,
    },
    /// The database has a migration that this binary does not know.
    #[error(
        "the database was made by a newer gatepost (migration {version:04}); start that version or restore a backup"
    )]
    Newer {
        /// The migration's number.
        version: i64,
    },
    /// Nothing answered in time.
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
}

/// Why the master key was not accepted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum MasterKeyError {
    /// The database was made under another master key; its secrets cannot be checked with this one.
    #[error("this database belongs to another master key")]
    Other,
    /// Another master key is taking over, which is not here.
    #[error("the master key of this database is being replaced by another one than this")]
    UnderWay,
    /// The new master key is the old one.
    #[error("the new master key is the one that the database has already")]
    Same,
    /// A newer master key took over.
    #[error("a newer master key was made for this database")]
    NotNewest,
    /// The check could not be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Failure> for MasterKeyError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

/// The result of a call of the store.
pub type Result<T, E = StoreError> = error::Result<T, E>;
