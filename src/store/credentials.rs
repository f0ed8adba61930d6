//! Secrets of keys by the hash of what was presented: the look-up behind every decision that is not cached.

use super::db::{Row, damaged, values};
use super::error::Result;
use super::key_rows::{self, key_columns};
use super::limits::{self, default_limits_column};
use super::{Store, changes};
use crate::domain::clock::Timestamp;
use crate::domain::credential::{ActingUser, KeySecret, SecretRole};
use crate::domain::id::KeyId;
use crate::domain::key::{Key, KeyKind, RotationMode};
use crate::domain::scope::ScopeSet;
use crate::domain::secret::SecretHash;
use crate::domain::user::Standing;

/// Where a walk through the recently changed keys stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecentPlace {
    updated_at: Timestamp,
    key: KeyId,
}

impl Store {
    /// The secret of a key with this hash, whatever its state, unless its project was deleted. One query.
    pub async fn find_key_secret(&self, hash: &SecretHash) -> Result<Option<KeySecret>> {
        let row = self.db.fetch_optional(FIND, values![hash.as_bytes()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The credentials of the unrevoked keys that were made or changed last, newest first: of up to `limit` keys after the
    /// place that the part before ended at. The place is none where the walk is at its end.
    pub async fn list_recent_key_secrets(
        &self,
        after: Option<&RecentPlace>,
        limit: u32,
    ) -> Result<(Vec<(SecretHash, KeySecret)>, Option<RecentPlace>)> {
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

fn read(row: &Row) -> Result<KeySecret> {
    let key = key_rows::read(row)?;
    let user = acting_user(&key, row)?;
    let limits = key.details.rate_limits.over(&limits::read(row.opt_str("default_rate_limits")?)?);
    let waits = key
        .rotation
        .as_ref()
        .is_some_and(|rotation| rotation.mode == RotationMode::FirstUse && rotation.old_expires_at.is_none());
    match row.str("role")? {
        "current" => {
            let (role, secret_expires_at) = (SecretRole::Current, None);
            Ok(KeySecret { key, role, secret_expires_at, waits_for_first_use: waits, user, limits })
        }
        "previous" => {
            // An old secret without the rotation that gives it an end would never end.
            let rotation = key.rotation.as_ref().ok_or_else(|| damaged("keys.rotated_at"))?;
            let secret_expires_at = rotation.old_expires_at;
            let role = SecretRole::Previous;
            Ok(KeySecret { key, role, secret_expires_at, waits_for_first_use: false, user, limits })
        }
        _ => Err(damaged("key_secrets.role")),
    }
}

/// A key whose user cannot be found is damage: it may be that of somebody who was blocked.
fn acting_user(key: &Key, row: &Row) -> Result<Option<Box<ActingUser>>> {
    if key.user.is_none() && key.kind != KeyKind::User {
        return Ok(None);
    }
    let standing = row.opt_str("standing")?.and_then(Standing::parse).ok_or_else(|| damaged("keys.user_id"))?;
    let scopes = match key.kind {
        KeyKind::User => key.details.scopes.shared_with(&key_rows::scopes(row.opt_str("user_scopes")?)?),
        _ => ScopeSet::default(),
    };
    Ok(Some(Box::new(ActingUser { standing, scopes })))
}

/// What the user of a key `k` means for it, and what they may do where the key acts as them.
macro_rules! standing_column {
    () => {
        "(SELECT CASE WHEN u.deleted_at IS NOT NULL THEN 'deleted' WHEN u.blocked_at IS NOT NULL THEN 'blocked'
            ELSE 'good' END FROM users u WHERE u.id = k.user_id) AS standing,
        (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM user_scopes c
            WHERE c.user_id = k.user_id AND k.kind = 'uk') AS user_scopes"
    };
}

const FIND: &str = concat!(
    "SELECT s.role, ",
    standing_column!(),
    ", ",
    default_limits_column!(),
    ", ",
    key_columns!(),
    " FROM key_secrets s JOIN keys k ON k.id = s.key_id JOIN projects o ON o.id = k.project
    WHERE s.hash = $1 AND o.deleted_at IS NULL"
);
/// The keys are cut off before their secrets are joined, so that no key is cut in two.
const RECENT: &str = concat!(
    "SELECT s.hash, s.role, ",
    standing_column!(),
    ", ",
    default_limits_column!(),
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
