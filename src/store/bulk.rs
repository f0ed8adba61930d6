//! Many keys at once: from another system, or to measure with.

use std::time::Duration;

use super::db::{Tx, values};
use super::error::Result;
use super::key_rows::{self, RotationColumns};
use super::many_rows::{Insertion, ROWS, Rows, insertion};
use super::{Store, changes, credits, keys, limits, projects};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{ChangeKind, Revision};
use crate::domain::id::{CredentialId, UserId};
use crate::domain::key::Key;
use crate::domain::project::Project;
use crate::domain::secret::SecretHash;

impl Store {
    /// Stores new keys with the hashes of their secrets, all or none, and gives the revision of the last. Meant for tens of
    /// thousands at a time: larger batches spare the database work. Nothing is audited, and that the scopes are registered is
    /// for the caller to know.
    ///
    /// # Errors
    /// [`Conflict::Exists`](super::Conflict::Exists) where an id, an alias or a hash is taken.
    pub async fn import_keys(&self, batch: &[(Key, SecretHash)]) -> Result<Revision> {
        let mut tx = self.db.begin_within(PATIENCE).await?;
        let last = insert(&mut tx, batch).await?;
        tx.commit().await?;
        Ok(last)
    }

    /// Makes a project together with its first keys, all or nothing, and writes down these events; whether there never was
    /// one of this name.
    pub async fn found_project(
        &self,
        project: &Project,
        keys: &[(Key, SecretHash)],
        events: &[AuditEvent],
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !projects::insert(&mut tx, project).await? {
            return Ok(false);
        }
        for event in events {
            self.record_in(&mut tx, event).await?;
        }
        insert(&mut tx, keys).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn insert(tx: &mut Tx, batch: &[(Key, SecretHash)]) -> Result<Revision> {
    let many = i64::try_from(batch.len()).unwrap_or(i64::MAX);
    for part in batch.chunks(ROWS) {
        insert_keys(tx, part).await?;
        insert_secrets(tx, part).await?;
    }
    insert_sets(tx, batch).await?;
    let last = changes::take(tx, many).await?;
    insert_changes(tx, batch, last - many).await?;
    tx.announce().await?;
    changes::revision(last)
}

async fn insert_keys(tx: &mut Tx, part: &[(Key, SecretHash)]) -> Result<()> {
    let metadata: Vec<String> = part.iter().map(|(key, _)| key_rows::metadata(key)).collect::<Result<_>>()?;
    let mut rows = Rows::new(&KEYS);
    for ((key, _), metadata) in part.iter().zip(&metadata) {
        let (details, rotation) = (&key.details, RotationColumns::of(key));
        rows.add(values![
            key.id.as_str(),
            key.project.as_str(),
            key.environment.as_str(),
            key.kind.as_str(),
            &details.name,
            details.alias.as_deref(),
            &details.description,
            details.owner.as_deref(),
            metadata,
            key.recoverable,
            &*key.hint,
            details.expires_at,
            rotation.rotated_at,
            rotation.mode,
            rotation.grace_micros,
            rotation.old_expires_at,
            key.created_by.as_ref().map(CredentialId::as_str),
            key.created_at,
            key.updated_at,
            key.suspended_at,
            key.revoked_at,
            key.version,
            key.user.as_ref().map(UserId::as_str),
            details.allowed_ips_mode.as_str(),
            details.honey,
        ]);
    }
    rows.insert(tx).await
}

async fn insert_secrets(tx: &mut Tx, part: &[(Key, SecretHash)]) -> Result<()> {
    let mut rows = Rows::new(&SECRETS);
    for (key, hash) in part {
        rows.add(values![hash.as_bytes(), key.id.as_str(), keys::PEPPER, "current"]);
    }
    rows.insert(tx).await
}

async fn insert_sets(tx: &mut Tx, batch: &[(Key, SecretHash)]) -> Result<()> {
    let mut rows = Rows::new(&SCOPES);
    for (key, _) in batch {
        for scope in &key.details.scopes {
            rows.add(values![key.id.as_str(), scope.plain(), scope.spelling(), key.project.as_str()]);
            rows.insert_if_full(tx).await?;
        }
    }
    rows.insert(tx).await?;

    let ranges: Vec<(&str, String)> = batch
        .iter()
        .flat_map(|(key, _)| key.details.allowed_ips.iter().map(|range| (key.id.as_str(), range.to_string())))
        .collect();
    let mut rows = Rows::new(&ALLOWED_IPS);
    for (key, range) in &ranges {
        rows.add(values![*key, range]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await?;

    let mut rows = Rows::new(&RATE_LIMITS);
    for (key, _) in batch {
        for limit in key.details.rate_limits.iter() {
            let micros = limits::window_micros(limit);
            rows.add(values![key.id.as_str(), &*limit.name, limit.calls, micros, limit.shared]);
            rows.insert_if_full(tx).await?;
        }
    }
    rows.insert(tx).await?;

    for (key, _) in batch.iter().filter(|(key, _)| key.details.credits.is_some()) {
        credits::set(tx, key).await?;
    }
    Ok(())
}

async fn insert_changes(tx: &mut Tx, batch: &[(Key, SecretHash)], before: i64) -> Result<()> {
    let mut rows = Rows::new(&CHANGES);
    for (revision, (key, hash)) in (before + 1..).zip(batch) {
        rows.add(values![
            revision,
            key.project.as_str(),
            key.environment.as_str(),
            key.id.as_str(),
            ChangeKind::Created.as_str(),
            hash.as_bytes(),
            key.created_at,
        ]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await
}

/// How long one import may take.
const PATIENCE: Duration = Duration::from_secs(600);

static KEYS: Insertion = insertion!(
    "keys (id, project, environment, kind, name, alias, description, owner, metadata, recoverable, hint, expires_at,
        rotated_at, rotation_mode, grace_micros, old_expires_at, created_by, created_at, updated_at, suspended_at,
        revoked_at, version, user_id, allowed_ips_mode, honey)",
    25
);
static SECRETS: Insertion = insertion!("key_secrets (hash, key_id, pepper, role)", 4);
static SCOPES: Insertion = insertion!("key_scopes (key_id, plain, spelling, project)", 4);
static ALLOWED_IPS: Insertion = insertion!("key_allowed_ips (key_id, ip_range)", 2);
static RATE_LIMITS: Insertion = insertion!("key_rate_limits (key_id, name, calls, window_micros, shared)", 5);
static CHANGES: Insertion =
    insertion!("changes (revision, project, environment, key_id, kind, hashes, occurred_at)", 7);
