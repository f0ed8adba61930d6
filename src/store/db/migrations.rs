//! Bringing the tables up to date.
//!
//! The two series have the same numbers and names, and end in the same tables and columns. A migration that has been
//! released is never changed: its checksum is stored, and a database that knows another one is refused.

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr};

use crate::store::error::OpenError;

/// One step, as it is said to each engine.
pub(in crate::store) struct Step {
    pub(in crate::store) version: i64,
    pub(in crate::store) name: &'static str,
    pub(in crate::store) postgres: &'static str,
    pub(in crate::store) sqlite: &'static str,
}

macro_rules! step {
    ($version:literal, $file:literal, $name:literal) => {
        Step {
            version: $version,
            name: $name,
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
            sqlite: include_str!(concat!("../migrations/sqlite/", $file)),
        }
    };
}

/// All steps, in order.
pub(in crate::store) const MIGRATIONS: &[Step] = &[
    step!(1, "0001_foundation.sql", "foundation"),
    step!(2, "0002_users.sql", "users"),
    step!(3, "0003_audit.sql", "audit"),
    step!(4, "0004_projects.sql", "projects"),
    step!(5, "0005_user_scopes.sql", "user_scopes"),
    step!(6, "0006_signing_keys.sql", "signing_keys"),
    step!(7, "0007_sessions.sql", "sessions"),
    step!(8, "0008_master_keys.sql", "master_keys"),
    step!(9, "0009_user_keys.sql", "user_keys"),
    step!(10, "0010_issuers.sql", "issuers"),
    step!(11, "0011_clients.sql", "clients"),
    step!(12, "0012_grants.sql", "grants"),
    step!(13, "0013_proofs.sql", "proofs"),
    step!(14, "0014_device_requests.sql", "device_requests"),
    step!(15, "0015_exchanged_tokens.sql", "exchanged_tokens"),
    step!(16, "0016_registration.sql", "registration"),
    step!(17, "0017_token_rows.sql", "token_rows"),
    step!(18, "0018_given_grants.sql", "given_grants"),
    step!(19, "0019_client_documents.sql", "client_documents"),
    step!(20, "0020_leak_reports.sql", "leak_reports"),
    step!(21, "0021_rate_limits.sql", "rate_limits"),
    step!(22, "0022_quotas.sql", "quotas"),
    step!(23, "0023_usage.sql", "usage"),
    step!(24, "0024_scope_uses.sql", "scope_uses"),
    step!(25, "0025_webhooks.sql", "webhooks"),
    step!(26, "0026_alerts.sql", "alerts"),
];

/// Applies what is missing, all or nothing. Another process that does the same is waited for.
pub(super) async fn apply_sqlite(connection: &mut sqlx::SqliteConnection) -> Result<(), OpenError> {
    let steps = migrator(|step| step.sqlite);
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
    steps.run_direct(None, &mut *tx, false).await.map_err(refused)?;
    tx.commit().await.map_err(database)
}

/// Applies what is missing. Other nodes that start at the same time wait at an advisory lock.
pub(super) async fn apply_postgres(connection: &mut sqlx::PgConnection) -> Result<(), OpenError> {
    migrator(|step| step.postgres).run_direct(None, connection, false).await.map_err(refused)
}

/// The driver's `run` would do the same, but its future is not `Send` ("implementation of `Acquire` is not general enough"),
/// so `run_direct` is called where this is used.
fn migrator(text: fn(&Step) -> &'static str) -> Migrator {
    let migration = |step: &Step| {
        let sql = text(step).into_sql_str();
        Migration::new(step.version, step.name.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

fn refused(error: MigrateError) -> OpenError {
    match error {
        MigrateError::Dirty(version) => OpenError::DirtyMigration { version },
        MigrateError::VersionMissing(version) => OpenError::Newer { version },
        MigrateError::VersionMismatch(version) => OpenError::ChangedMigration { version },
        MigrateError::ExecuteMigration(cause, version) => {
            OpenError::FailedMigration { version, cause: cause.to_string() }
        }
        other => OpenError::Database(other.to_string()),
    }
}

fn database(cause: sqlx::Error) -> OpenError {
    OpenError::Database(cause.to_string())
}
