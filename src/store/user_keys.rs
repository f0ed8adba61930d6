//! Users and the keys that act for them: what becomes of the one turns the decisions about the others.
//!
//! Whoever makes a key for a user, blocks the user or deletes them holds the user's row first, so that no key is made past a
//! deletion. Then come the rows of the keys, which hold up a rotation: its new secret is in the change, or is read after.

use super::db::{Row, Tx, values};
use super::error::{Conflict, Result, StoreError};
use super::key_rows::{self, key_columns};
use super::{Store, changes, identities, keys, passwords, sessions, users};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::id::{KeyId, UserId};
use crate::domain::key::{Key, KeyKind};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::user::{Handle, User, UserState};

/// Keys that are not revoked, for each user at most.
pub(super) const MAX_KEYS_OF_USER: u64 = 100;

impl Store {
    /// Stores that a user was blocked or unblocked, if they still have the version expected and were not deleted, and tells
    /// of it for each of their keys. Sessions of a blocked user end.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn set_blocked(&self, user: &User, expected_version: i64, event: &AuditEvent) -> Result<Vec<Change>> {
        let mut tx = self.db.begin().await?;
        let values = values![
            user.id.as_str(),
            user.project.as_str(),
            user.environment.as_str(),
            expected_version,
            user.blocked_at,
            user.updated_at,
            user.version,
        ];
        if tx.execute(SET_BLOCKED, values).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        let mut turned = hold(&mut tx, user).await?;
        for turn in &mut turned {
            turn.kind = match (user.state(), turn.suspended) {
                (UserState::Blocked, _) => ChangeKind::Suspended,
                (UserState::Active, false) => ChangeKind::Resumed,
                // It is suspended by itself and stays so.
                (UserState::Active, true) => ChangeKind::Updated,
            };
        }
        let ended = match user.state() {
            UserState::Blocked => sessions::end_all(&mut tx, &user.id, None, user.updated_at).await?,
            UserState::Active => Vec::new(),
        };
        let shown = identities::hashes(&mut tx, user).await?;
        self.record_in(&mut tx, event).await?;
        let mut changes = tell(&mut tx, user, turned).await?;
        changes.extend(sessions::tell(&mut tx, user, ended, ChangeKind::Revoked, user.updated_at).await?);
        let kind = match user.state() {
            UserState::Blocked => ChangeKind::Suspended,
            UserState::Active => ChangeKind::Resumed,
        };
        changes.push(identities::tell(&mut tx, user, shown, kind).await?);
        tx.commit().await?;
        Ok(changes)
    }

    /// Deletes a user, if they still have the version expected: revokes their keys, ends their sessions and erases what is
    /// known of them.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn delete_user(&self, user: &User, expected_version: i64, event: &AuditEvent) -> Result<Vec<Change>> {
        let mut tx = self.db.begin().await?;
        let values = values![
            user.id.as_str(),
            user.project.as_str(),
            user.environment.as_str(),
            expected_version,
            user.updated_at,
            user.deleted_at,
            user.version,
        ];
        let Some(row) = tx.fetch_optional(ERASE, values).await? else {
            return Err(StoreError::Conflict(Conflict::Version));
        };
        tx.execute(self.db.user_search().remove, values![row.int("seq")?]).await?;
        tx.execute(users::DELETE_SCOPES, values![user.id.as_str()]).await?;
        let mut turned = Vec::new();
        for row in tx.fetch_all(REVOKE_KEYS, values![user.id.as_str(), user.updated_at]).await? {
            let key = KeyId::stored(row.text("id")?);
            turned.push(Turn { key, kind: ChangeKind::Revoked, suspended: false });
        }
        tx.execute(passwords::DELETE, values![user.id.as_str()]).await?;
        let ended = sessions::end_all(&mut tx, &user.id, None, user.updated_at).await?;
        tx.execute(sessions::FORGET_ORIGINS, values![user.id.as_str()]).await?;
        let shown = identities::remove(&mut tx, user).await?;
        self.record_in(&mut tx, event).await?;
        let mut changes = tell(&mut tx, user, turned).await?;
        changes.extend(sessions::tell(&mut tx, user, ended, ChangeKind::Revoked, user.updated_at).await?);
        changes.push(identities::tell(&mut tx, user, shown, ChangeKind::Revoked).await?);
        tx.commit().await?;
        Ok(changes)
    }

    /// The user's own key of this handle, unless it was revoked.
    pub async fn find_user_key(&self, user: &UserId, handle: &Handle) -> Result<Option<Key>> {
        let row = self.db.fetch_optional(FIND_OWN, values![user.as_str(), handle.as_str()]).await?;
        row.as_ref().map(key_rows::read).transpose()
    }

    /// The user's own keys that were not revoked, newest first.
    pub async fn list_user_keys(&self, user: &UserId) -> Result<Vec<Key>> {
        self.db.fetch_all(LIST_OWN, values![user.as_str()]).await?.iter().map(key_rows::read).collect()
    }

    /// Every scope that an unrevoked key of the user holds, or the user in person.
    pub async fn scopes_of_user(&self, user: &UserId) -> Result<ScopeSet> {
        let rows = self.db.fetch_all(SCOPES, values![user.as_str()]).await?;
        let scope = |row: &Row| Ok(Scope::stored(row.str("plain")?, row.str("spelling")?));
        Ok(ScopeSet::new(rows.iter().map(scope).collect::<Result<Vec<_>>>()?))
    }
}

/// Makes sure that the user of a new key is a service account, or for a user key a person, of the key's project and
/// environment that may have one more key, and stays so until the transaction ends.
pub(super) async fn claim(tx: &mut Tx, key: &Key) -> Result<()> {
    let Some(user) = &key.user else { return Ok(()) };
    let values = values![user.as_str(), key.project.as_str(), key.environment.as_str()];
    let (claim, missing) = match key.kind {
        // Who calls was there a moment ago.
        KeyKind::User => (CLAIM_PERSON, Conflict::Version),
        _ => (CLAIM, Conflict::ServiceAccount),
    };
    if tx.execute(claim, values).await? == 0 {
        return Err(StoreError::Conflict(missing));
    }
    let keys = tx.fetch_one(COUNT_KEYS, values![user.as_str()]).await?.int("total")?;
    if u64::try_from(keys).is_ok_and(|keys| keys < MAX_KEYS_OF_USER) {
        Ok(())
    } else {
        Err(StoreError::Conflict(Conflict::TooManyKeys))
    }
}

/// A key that something about its user has turned.
pub(super) struct Turn {
    key: KeyId,
    kind: ChangeKind,
    suspended: bool,
}

/// The unrevoked keys of a user, held until the transaction ends; as updated.
pub(super) async fn hold(tx: &mut Tx, user: &User) -> Result<Vec<Turn>> {
    let rows = tx.fetch_all(HOLD_KEYS, values![user.id.as_str()]).await?;
    let turn = |row: &Row| {
        let (key, suspended) = (KeyId::stored(row.text("id")?), row.opt_time("suspended_at")?.is_some());
        Ok(Turn { key, kind: ChangeKind::Updated, suspended })
    };
    rows.iter().map(turn).collect()
}

/// Writes a change for each key, in the order of their ids.
pub(super) async fn tell(tx: &mut Tx, user: &User, mut turned: Vec<Turn>) -> Result<Vec<Change>> {
    turned.sort_by(|one, other| one.key.cmp(&other.key));
    let mut hashes = Vec::with_capacity(turned.len());
    for turn in &turned {
        hashes.push(keys::hashes(tx, &turn.key).await?);
    }
    let mut changes = Vec::with_capacity(turned.len());
    for (Turn { key, kind, .. }, hashes) in turned.into_iter().zip(hashes) {
        let (project, environment, now) = (&user.project, user.environment, user.updated_at);
        changes.push(changes::write_of(tx, project, environment, key.into(), kind, hashes, now).await?);
    }
    Ok(changes)
}

const SET_BLOCKED: &str = "UPDATE users SET blocked_at = $5, updated_at = $6, version = $7
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4 AND deleted_at IS NULL";
const ERASE: &str = "UPDATE users SET handle = NULL, alias = NULL, email = NULL, email_folded = NULL, first_name = '',
        last_name = '', metadata = '{}', updated_at = $5, deleted_at = $6, version = $7
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4 AND deleted_at IS NULL RETURNING seq";
/// Changes nothing; the rows are held until the transaction ends.
const HOLD_KEYS: &str =
    "UPDATE keys SET version = version WHERE user_id = $1 AND revoked_at IS NULL RETURNING id, suspended_at";
const REVOKE_KEYS: &str = "UPDATE keys SET revoked_at = $2, updated_at = $2, version = version + 1
    WHERE user_id = $1 AND revoked_at IS NULL RETURNING id";
/// Changes nothing; the row is held until the transaction ends.
const CLAIM: &str = "UPDATE users SET version = version
    WHERE id = $1 AND project = $2 AND environment = $3 AND kind = 'service_account' AND deleted_at IS NULL";
const CLAIM_PERSON: &str = "UPDATE users SET version = version
    WHERE id = $1 AND project = $2 AND environment = $3 AND kind = 'human' AND deleted_at IS NULL";
const FIND_OWN: &str = concat!(
    "SELECT ",
    key_columns!(),
    " FROM keys k WHERE k.user_id = $1 AND k.name = $2 AND k.kind = 'uk' AND k.revoked_at IS NULL"
);
/// No user has more: see `claim`.
const LIST_OWN: &str = concat!(
    "SELECT ",
    key_columns!(),
    " FROM keys k WHERE k.user_id = $1 AND k.kind = 'uk' AND k.revoked_at IS NULL ORDER BY k.id DESC LIMIT 100"
);
const COUNT_KEYS: &str = "SELECT COUNT(*) AS total FROM keys k WHERE k.user_id = $1 AND k.revoked_at IS NULL";
/// What a user key holds counts as far as the user holds it.
const SCOPES: &str = "SELECT c.plain, c.spelling FROM keys k JOIN key_scopes c ON c.key_id = k.id
    WHERE k.user_id = $1 AND k.revoked_at IS NULL AND k.kind <> 'uk'
    UNION ALL SELECT c.plain, c.spelling FROM user_scopes c WHERE c.user_id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (SET_BLOCKED, "sqlite_autoindex_users_1"),
    (ERASE, "sqlite_autoindex_users_1"),
    (CLAIM, "sqlite_autoindex_users_1"),
    (CLAIM_PERSON, "sqlite_autoindex_users_1"),
    (FIND_OWN, "keys_one_per_handle"),
    (LIST_OWN, "keys_o"),
    (HOLD_KEYS, "keys_of_user"),
    (REVOKE_KEYS, "keys_of_user"),
    (COUNT_KEYS, "keys_of_user"),
    (SCOPES, "keys_of_user"),
];
