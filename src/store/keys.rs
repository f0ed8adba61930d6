//! Keys: making, changing and rotating them.

#[cfg(doc)]
use super::Conflict;
use super::db::{Tx, damaged, values};
use super::error::Result;
use super::idempotency::{self, NewIdempotent, Remembered};
use super::key_rows::{self, key_columns};
use super::{Store, changes, scopes, user_keys};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::key::Key;
use crate::domain::secret::SecretHash;

/// What came of asking for a new key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyCreated {
    /// The key was made.
    Created(Change),
    /// A request with the idempotency key was answered before; nothing was made.
    Replay(Remembered),
}

impl Store {
    /// Stores a new key with the hash of its secret and, for a recoverable one, the secret sealed.
    ///
    /// # Errors
    /// [`Conflict::Alias`], [`Conflict::ServiceAccount`] or [`Conflict::TooManyKeys`] for the user it acts for, or
    /// [`Conflict::UnknownScope`] where a scope was removed from the registry in the meantime.
    pub async fn create_key(
        &self,
        key: &Key,
        hash: &SecretHash,
        sealed: Option<&[u8]>,
        request: Option<&NewIdempotent<'_>>,
        event: &AuditEvent,
    ) -> Result<KeyCreated> {
        let mut tx = self.db.begin().await?;
        if let Some(request) = request {
            let known = idempotency::claim(&mut tx, &key.project, key.environment, request, key.created_at).await?;
            if let Some(known) = known {
                return Ok(KeyCreated::Replay(known));
            }
        }
        user_keys::claim(&mut tx, key).await?;
        key_rows::insert(&mut tx, key).await?;
        tx.execute(INSERT_SECRET, values![hash.as_bytes(), key.id.as_str(), PEPPER, sealed]).await?;
        key_rows::insert_sets(&mut tx, key).await?;
        self.record_in(&mut tx, event).await?;
        let change = changes::write(&mut tx, key, ChangeKind::Created, vec![*hash], key.created_at).await?;
        scopes::require_registered(&mut tx, key).await?;
        tx.commit().await?;
        Ok(KeyCreated::Created(change))
    }

    /// The key of this id.
    pub async fn find_key(&self, project: &ProjectId, environment: Environment, id: &KeyId) -> Result<Option<Key>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(key_rows::read).transpose()
    }

    /// The sealed secret of a recoverable key: its current one.
    pub async fn find_sealed(
        &self,
        project: &ProjectId,
        environment: Environment,
        id: &KeyId,
    ) -> Result<Option<Vec<u8>>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        let Some(row) = self.db.fetch_optional(FIND_SEALED, values).await? else { return Ok(None) };
        Ok(row.opt_bytes("sealed")?.map(<[u8]>::to_vec))
    }

    /// Stores a key that was changed by anything but a rotation, if it still has the version expected.
    ///
    /// # Errors
    /// [`Conflict::Version`], [`Conflict::Alias`], [`Conflict::UnknownScope`].
    pub async fn update_key(
        &self,
        key: &Key,
        expected_version: i64,
        kind: ChangeKind,
        event: &AuditEvent,
    ) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        key_rows::update(&mut tx, key, expected_version).await?;
        // The sets are details, and only an update changes those.
        let updates = kind == ChangeKind::Updated;
        if updates {
            key_rows::replace_sets(&mut tx, key).await?;
        }
        self.record_in(&mut tx, event).await?;
        let hashes = hashes(&mut tx, &key.id).await?;
        let change = changes::write(&mut tx, key, kind, hashes, key.updated_at).await?;
        if updates {
            scopes::require_registered(&mut tx, key).await?;
        }
        tx.commit().await?;
        Ok(change)
    }

    /// Stores a rotated key, if it still has the version expected, with the hash of its new secret and, for a recoverable
    /// one, the secret sealed. The secret that was current becomes the previous one; one that was previous is gone.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn rotate_key(
        &self,
        key: &Key,
        expected_version: i64,
        hash: &SecretHash,
        sealed: Option<&[u8]>,
        event: &AuditEvent,
    ) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        key_rows::update(&mut tx, key, expected_version).await?;
        let mut hashes = hashes(&mut tx, &key.id).await?;
        tx.execute(DELETE_PREVIOUS, values![key.id.as_str()]).await?;
        tx.execute(DEMOTE_CURRENT, values![key.id.as_str()]).await?;
        tx.execute(INSERT_SECRET, values![hash.as_bytes(), key.id.as_str(), PEPPER, sealed]).await?;
        hashes.push(*hash);
        self.record_in(&mut tx, event).await?;
        let change = changes::write(&mut tx, key, ChangeKind::Rotated, hashes, key.updated_at).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// Begins the grace period of a rotation that waited for the first use of the new secret, which is now. None if that
    /// happened already, or if this secret is not the current one any more. The event gets what changed.
    pub async fn begin_grace(
        &self,
        key: &KeyId,
        current: &SecretHash,
        now: Timestamp,
        event: AuditEvent,
    ) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        let claimed = tx.execute(BEGIN_GRACE, values![key.as_str(), now, current.as_bytes()]).await?;
        if claimed == 0 {
            return Ok(None);
        }
        let row = tx.fetch_one(FIND_ANYWHERE, values![key.as_str()]).await?;
        let key = key_rows::read(&row)?;
        let mut waiting = key.clone();
        waiting.rotation.iter_mut().for_each(|rotation| rotation.old_expires_at = None);
        self.record_in(&mut tx, &event.changing_key(Some(&waiting), &key)).await?;
        let hashes = hashes(&mut tx, &key.id).await?;
        let change = changes::write(&mut tx, &key, ChangeKind::Rotated, hashes, now).await?;
        tx.commit().await?;
        Ok(Some(change))
    }

    /// How many unrevoked keys hold the scope of this plain form; at most [`scopes::HOLDERS_COUNTED`], which means "so many or
    /// more".
    pub async fn count_keys_with_scope(&self, project: &ProjectId, plain: &str) -> Result<u64> {
        let values = values![project.as_str(), plain, scopes::HOLDERS_COUNTED];
        self.db.count(scopes::COUNT_HOLDERS, values).await
    }
}

/// The hashes of a key's secrets, by which caches hold it.
pub(super) async fn hashes(tx: &mut Tx, key: &KeyId) -> Result<Vec<SecretHash>> {
    let rows = tx.fetch_all(HASHES, values![key.as_str()]).await?;
    let hash = |row: &super::db::Row| changes::hash(row.bytes("hash")?, "key_secrets.hash");
    let hashes: Vec<SecretHash> = rows.iter().map(hash).collect::<Result<_>>()?;
    if hashes.is_empty() { Err(damaged("key_secrets.hash")) } else { Ok(hashes) }
}

/// Which pepper hashes are made under. There is one so far.
pub(super) const PEPPER: i64 = 1;

const INSERT_SECRET: &str =
    "INSERT INTO key_secrets (hash, key_id, pepper, role, sealed) VALUES ($1, $2, $3, 'current', $4)";
const DELETE_PREVIOUS: &str = "DELETE FROM key_secrets WHERE key_id = $1 AND role = 'previous'";
/// A secret that is on its way out is not shown again.
const DEMOTE_CURRENT: &str =
    "UPDATE key_secrets SET role = 'previous', sealed = NULL WHERE key_id = $1 AND role = 'current'";
const HASHES: &str = "SELECT hash FROM key_secrets WHERE key_id = $1 ORDER BY role";
const FIND: &str =
    concat!("SELECT ", key_columns!(), " FROM keys k WHERE k.id = $1 AND k.project = $2 AND k.environment = $3");
const FIND_ANYWHERE: &str = concat!("SELECT ", key_columns!(), " FROM keys k WHERE k.id = $1");
const FIND_SEALED: &str = "SELECT s.sealed FROM keys k JOIN key_secrets s ON s.key_id = k.id AND s.role = 'current'
    WHERE k.id = $1 AND k.project = $2 AND k.environment = $3";
const BEGIN_GRACE: &str = "UPDATE keys SET old_expires_at = $2 + grace_micros, updated_at = $2, version = version + 1
    WHERE id = $1 AND rotation_mode = 'first_use' AND old_expires_at IS NULL AND revoked_at IS NULL
        AND EXISTS (SELECT 1 FROM key_secrets s WHERE s.hash = $3 AND s.key_id = keys.id AND s.role = 'current')";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (HASHES, "key_secrets_by_key"),
    (FIND, "sqlite_autoindex_keys_1"),
    (FIND_SEALED, "key_secrets_by_key"),
    (BEGIN_GRACE, "sqlite_autoindex_keys_1"),
    (DELETE_PREVIOUS, "key_secrets_by_key"),
    (DEMOTE_CURRENT, "key_secrets_by_key"),
];
