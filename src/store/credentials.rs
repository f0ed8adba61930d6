//! Credentials by the hash of what was presented: the look-up behind every decision that is not cached.

use super::db::{Row, damaged, values};
use super::error::Result;
use super::key_rows::{self, key_columns};
use super::{Store, changes};
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::key::{Key, RotationMode};
use crate::domain::memo::Memo;
use crate::domain::secret::SecretHash;
use crate::domain::user::Standing;

/// What is stored behind a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCredential {
    /// The key.
    pub key: Key,
    /// Which of the key's secrets it is.
    pub role: SecretRole,
    /// When this secret stops working, apart from its key: set for the old secret of a rotation whose grace period has
    /// begun.
    pub secret_expires_at: Option<Timestamp>,
    /// Whether this is the new secret of a rotation whose grace period begins with its first use ([`Store::begin_grace`]).
    pub waits_for_first_use: bool,
    /// What the user means for it that the key acts for; none where there is no such user.
    pub user: Option<Standing>,
    /// What callers are told of it, encoded: kept for who tells it, and nothing the store knows of.
    pub told: Memo<Box<[u8]>>,
}

impl StoredCredential {
    /// When this secret stops working by itself: with its key, or before it.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let ends = [self.key.details.expires_at, self.secret_expires_at];
        ends.into_iter().flatten().min()
    }
}

/// Which of a key's secrets a secret is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecretRole {
    /// The one made last.
    Current,
    /// The one before the last rotation.
    Previous,
}

/// Where a walk through the recently changed keys stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecentPlace {
    updated_at: Timestamp,
    key: KeyId,
}

impl Store {
    /// The credential with this hash, whatever its state. One query.
    pub async fn find_credential(&self, hash: &SecretHash) -> Result<Option<StoredCredential>> {
        let row = self.db.fetch_optional(FIND, values![hash.as_bytes()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The credentials of the unrevoked keys that were made or changed last, newest first: of up to `limit` keys after the
    /// place that the part before ended at. The place is none where the walk is at its end.
    pub async fn list_recent_credentials(
        &self,
        after: Option<&RecentPlace>,
        limit: u32,
    ) -> Result<(Vec<(SecretHash, StoredCredential)>, Option<RecentPlace>)> {
        let (time, id) = after.map_or((i64::MAX, ""), |place| (place.updated_at.micros(), place.key.as_str()));
        let rows = self.db.fetch_all(RECENT, values![time, id, limit]).await?;
        let mut credentials = Vec::with_capacity(rows.len());
        for row in &rows {
            credentials.push((changes::hash(row.bytes("hash")?, "key_secrets.hash")?, read(row)?));
        }
        let place = credentials
            .last()
            .map(|(_, last)| RecentPlace { updated_at: last.key.updated_at, key: last.key.id.clone() });
        Ok((credentials, place))
    }
}

fn read(row: &Row) -> Result<StoredCredential> {
    let key = key_rows::read(row)?;
    let user = standing(&key, row)?;
    let waits = key
        .rotation
        .as_ref()
        .is_some_and(|rotation| rotation.mode == RotationMode::FirstUse && rotation.old_expires_at.is_none());
    match row.str("role")? {
        "current" => Ok(StoredCredential {
            key,
            role: SecretRole::Current,
            secret_expires_at: None,
            waits_for_first_use: waits,
            user,
            told: Memo::default(),
        }),
        "previous" => {
            // An old secret without the rotation that gives it an end would never end.
            let rotation = key.rotation.as_ref().ok_or_else(|| damaged("keys.rotated_at"))?;
            let secret_expires_at = rotation.old_expires_at;
            Ok(StoredCredential {
                key,
                role: SecretRole::Previous,
                secret_expires_at,
                waits_for_first_use: false,
                user,
                told: Memo::default(),
            })
        }
        _ => Err(damaged("key_secrets.role")),
    }
}

/// A key whose user cannot be found is damage: it may be that of somebody who was blocked.
fn standing(key: &Key, row: &Row) -> Result<Option<Standing>> {
    if key.user.is_none() {
        return Ok(None);
    }
    row.opt_str("standing")?.and_then(Standing::parse).map(Some).ok_or_else(|| damaged("keys.user_id"))
}

/// What the user of a key `k` means for it.
macro_rules! standing_column {
    () => {
        "(SELECT CASE WHEN u.deleted_at IS NOT NULL THEN 'deleted' WHEN u.blocked_at IS NOT NULL THEN 'blocked'
            ELSE 'good' END FROM users u WHERE u.id = k.user_id) AS standing"
    };
}

const FIND: &str = concat!(
    "SELECT s.role, ",
    standing_column!(),
    ", ",
    key_columns!(),
    " FROM key_secrets s JOIN keys k ON k.id = s.key_id WHERE s.hash = $1"
);
/// The keys are cut off before their secrets are joined, so that no key is cut in two.
const RECENT: &str = concat!(
    "SELECT s.hash, s.role, ",
    standing_column!(),
    ", ",
    key_columns!(),
    " FROM (SELECT r.id AS recent_id FROM keys r WHERE r.revoked_at IS NULL AND (r.updated_at, r.id) < ($1, $2)
        ORDER BY r.updated_at DESC, r.id DESC LIMIT $3) recent
    JOIN keys k ON k.id = recent.recent_id JOIN key_secrets s ON s.key_id = k.id
    ORDER BY k.updated_at DESC, k.id DESC, s.role"
);

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(FIND, "SEARCH s USING PRIMARY KEY"), (RECENT, "keys_recent")];
