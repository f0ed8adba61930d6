//! The store: the only SQL of the crate.
//!
//! [`Store`] is one concrete type on both engines, cheap to clone. Each file holds the verbs of one noun: the SQL text, what
//! is bound to it, and one row read back. A verb that changes something is one transaction; when it returns, the change is
//! durable, and when its future is dropped, either all of it happened or nothing.
//!
//! # Rules
//! - A statement is one `&'static str` for both engines, with `$1` placeholders. What cannot be said alike is in
//!   `db/text_search.rs`, and nothing outside `db/` names an engine.
//! - Ids are text, times are microseconds of the caller's [`Timestamp`](crate::domain::clock::Timestamp) (never `now()`),
//!   sets are rows of a child table, free pairs are JSON text.
//! - Anything single-use is claimed with `UPDATE ... WHERE unused ... RETURNING`. A duplicate is made a conflict at the
//!   statement that expects it (`Failure::or_conflict`), because SQLite does not say which index it broke.
//! - Lists are in the order of an index and cost the same at any depth, unless the client asks for page numbers.
//! - Whatever turns a decision about a key writes one row of the change log in the same transaction (`changes.rs`). Its
//!   revision is taken last, because whoever takes one holds the counter until it commits.
//! - Whatever an audit event is about is written with it in one transaction (`audit.rs`). The event comes after all rows that
//!   change and before the revision: whoever writes one holds the project's chain until it commits.
//! - Values are logged nowhere, and a driver's words only where they are about the machine (`db/failure.rs`).
//!
//! # Adding a table
//! Write `migrations/sqlite/NNNN_name.sql` (STRICT) and `migrations/postgres/NNNN_name.sql` (`COLLATE "C"` on text), list
//! the pair in `db/migrations.rs`, and add the verbs in a file of the noun's name. A test compares the tables that the two
//! series end in, and `on_both_engines!` runs a test of the verbs on each.

mod access_log;
mod alert_raising;
mod alert_rules;
mod alert_watch;
mod alerts;
mod audit;
mod audit_check;
mod bulk;
mod changes;
mod client_rows;
mod clients;
mod credentials;
mod credits;
mod db;
mod deliveries;
mod error;
mod idempotency;
mod identities;
mod installation;
mod issuers;
mod key_lists;
mod key_rows;
mod key_uses;
mod keys;
mod leaks;
mod limits;
mod many_rows;
mod master_keys;
mod oauth;
mod options;
mod outbox;
mod pages;
mod passwords;
mod product_search;
mod products;
mod project_data;
mod projects;
pub mod redis;
mod resealing;
mod scopes;
mod sessions;
mod signing_keys;
mod usage;
mod usage_reports;
mod user_keys;
mod user_search;
mod users;
mod webhooks;

#[cfg(test)]
pub(crate) mod tests;

pub use access_log::{AccessEntry, AccessFilter, AddressUse};
pub use alert_watch::EndingPlace;
pub use alerts::AlertFilter;
pub use audit::{AuditFilter, COMMAND_LINE};
pub use audit_check::{AuditCheck, Break, BreakKind};
pub use credentials::RecentPlace;
pub use credits::Taken;
pub use db::{ChangeSignal, PoolUsage};
pub use deliveries::DeliveryFilter;
pub use error::{Conflict, MasterKeyError, OpenError, Result, StoreError};
pub use idempotency::{NewIdempotent, Remembered};
pub use issuers::MAX_ISSUERS;
pub use key_lists::KeyFilter;
pub use keys::KeyCreated;
pub use leaks::{LeakFilter, LeakRecorded, LeakTurns};
pub use limits::Spent;
pub use master_keys::Standing;
pub use oauth::{
    DeviceStarted, GrantFilter, MAX_DEVICE_REQUESTS, NewAccessToken, NewTokens, PushedRequest, Refreshed, Room,
};
pub use options::{Location, StoreOptions};
pub use outbox::{Claim, Claimed, DueWebhook, Enqueued, Settled, Settlement};
pub use passwords::{Account, NewPassword};
pub use products::ProductFilter;
pub use resealing::Resealed;
pub use scopes::{HOLDERS_COUNTED, ScopeDeleted, StoredScope};
pub use sessions::{MAX_SESSIONS_OF_USER, NewSession};
pub use usage_reports::{UsageFilter, UsageGroups, UsageQuery, UsageRow};
pub use users::UserFilter;

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use self::db::Db;
use crate::domain::audit_chain::AuditKey;

/// The data of an installation.
#[derive(Clone)]
pub struct Store {
    db: Db,
    /// Ties the entries of the audit log together; there once the master key was checked.
    audit_key: Arc<OnceLock<AuditKey>>,
    /// There where transactions are written one after the other.
    issuing: Option<oauth::Issuing>,
    /// Deliveries to webhooks that were given up for newer ones.
    outbox_dropped: Arc<AtomicU64>,
}

impl Store {
    /// Opens the database, making it if it is a file that is not there, and brings its tables up to date.
    pub async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let db = Db::open(options).await?;
        let issuing = db.has_one_writer().then(|| oauth::Issuing::begin(db.clone()));
        Ok(Self { db, audit_key: Arc::default(), issuing, outbox_dropped: Arc::default() })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.db.fetch_one("SELECT 1 AS one", &[]).await?;
        Ok(())
    }

    /// How much of each pool of connections is in use, by what it is for (`read`, `write`, `all`). Asks nothing of the
    /// database.
    pub fn pool_usage(&self) -> Vec<(&'static str, PoolUsage)> {
        self.db.usage()
    }

    /// Lets what is under way end and closes the database. Whatever is asked of any clone afterwards is unavailable.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}
