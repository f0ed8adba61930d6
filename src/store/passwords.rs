//! Passwords of users, and who may sign in with them.

use std::time::Duration;

use super::db::{Tx, damaged, values};
use super::error::Result;
use super::oauth::given;
use super::{Store, sessions};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ProjectId, SessionId, UserId};
use crate::domain::password::PasswordHash;
use crate::domain::session::Login;
use crate::domain::user::User;

/// Somebody who may sign in.
#[derive(Clone, Debug)]
pub struct Account {
    /// The user.
    pub user: UserId,
    /// Their password.
    pub password: PasswordHash,
    /// How long a session of theirs lasts.
    pub session_lifetime: Duration,
}

/// A password that a user is to have.
#[derive(Debug)]
pub struct NewPassword<'a> {
    /// The user.
    pub user: &'a User,
    /// Their new password.
    pub password: &'a PasswordHash,
    /// What it takes the place of, where that must be known: if it is another by now, nothing is changed.
    pub in_place_of: Option<&'a PasswordHash>,
    /// The session that goes on; all others end.
    pub keep: Option<&'a SessionId>,
    /// When it happens.
    pub now: Timestamp,
}

impl Store {
    /// Who may sign in by this name: a person with a password who is neither blocked nor deleted. One query.
    pub async fn find_account(
        &self,
        project: &ProjectId,
        environment: Environment,
        login: &Login,
    ) -> Result<Option<Account>> {
        let statement = match login {
            Login::Handle(_) => BY_HANDLE,
            Login::Email(_) => BY_EMAIL,
        };
        let name = login.folded();
        let values = values![project.as_str(), environment.as_str(), &name];
        let Some(row) = self.db.fetch_optional(statement, values).await? else { return Ok(None) };
        let lifetime = u64::try_from(row.int("session_micros")?).map_err(|_| damaged("projects.session_micros"))?;
        Ok(Some(Account {
            user: UserId::stored(row.text("id")?),
            password: PasswordHash::parse(row.str("phc")?).ok_or_else(|| damaged("passwords.phc"))?,
            session_lifetime: Duration::from_micros(lifetime),
        }))
    }

    /// The password of a user, if they have one.
    pub async fn find_password(&self, user: &UserId) -> Result<Option<PasswordHash>> {
        let Some(row) = self.db.fetch_optional(FIND, values![user.as_str()]).await? else { return Ok(None) };
        PasswordHash::parse(row.str("phc")?).map(Some).ok_or_else(|| damaged("passwords.phc"))
    }

    /// Gives a user a password, and ends their sessions and what they gave to clients. None if the user is gone, or their password is another by now.
    pub async fn set_password(&self, new: &NewPassword<'_>, event: &AuditEvent) -> Result<Option<Vec<Change>>> {
        let NewPassword { user, password, in_place_of, keep, now } = *new;
        let mut tx = self.db.begin().await?;
        if tx.execute(CLAIM, values![user.id.as_str()]).await? == 0 {
            return Ok(None);
        }
        let changed = match in_place_of {
            Some(old) => replace(&mut tx, &user.id, old, password, Some(now)).await?,
            None => {
                put(&mut tx, user, password, now).await?;
                true
            }
        };
        if !changed {
            return Ok(None);
        }
        let ended = sessions::end_all(&mut tx, &user.id, keep, now).await?;
        let grants = given::end_all(&mut tx, &user.id, now).await?;
        self.record_in(&mut tx, event).await?;
        let mut changes = sessions::tell(&mut tx, user, ended, ChangeKind::Revoked, now).await?;
        changes.extend(given::tell(&mut tx, user, grants, now).await?);
        tx.commit().await?;
        Ok(Some(changes))
    }
}

/// Stores the password of a user, in place of the one there is.
pub(super) async fn put(tx: &mut Tx, user: &User, password: &PasswordHash, now: Timestamp) -> Result<()> {
    let phc = password.to_phc();
    tx.execute(PUT, values![user.id.as_str(), user.project.as_str(), &phc, now]).await?;
    Ok(())
}

/// Stores a password in place of this one, if it is still there; whether it was. It is held until the transaction ends. Without
/// a time it is the same password, hashed in another way.
pub(super) async fn replace(
    tx: &mut Tx,
    user: &UserId,
    old: &PasswordHash,
    new: &PasswordHash,
    changed_at: Option<Timestamp>,
) -> Result<bool> {
    let (old, new) = (old.to_phc(), new.to_phc());
    Ok(tx.execute(REPLACE, values![user.as_str(), &old, &new, changed_at]).await? > 0)
}

macro_rules! account_columns {
    () => {
        "SELECT u.id, p.phc, o.session_micros
        FROM users u JOIN passwords p ON p.user_id = u.id JOIN projects o ON o.id = u.project
        WHERE u.project = $1 AND u.environment = $2 AND u.kind = 'human' AND u.blocked_at IS NULL AND u.deleted_at IS NULL
            AND o.deleted_at IS NULL"
    };
}

const BY_HANDLE: &str = concat!(account_columns!(), " AND u.handle = $3");
const BY_EMAIL: &str = concat!(account_columns!(), " AND u.email_folded = $3");
const FIND: &str = "SELECT phc FROM passwords WHERE user_id = $1";
/// Changes nothing; the row is held until the transaction ends.
const CLAIM: &str = "UPDATE users SET version = version WHERE id = $1 AND kind = 'human' AND deleted_at IS NULL";
const PUT: &str = "INSERT INTO passwords (user_id, project, phc, changed_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET phc = excluded.phc, changed_at = excluded.changed_at";
const REPLACE: &str = "UPDATE passwords SET phc = $3, changed_at = COALESCE($4, changed_at)
    WHERE user_id = $1 AND phc = $2";
pub(super) const DELETE: &str = "DELETE FROM passwords WHERE user_id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (BY_HANDLE, "users_one_per_handle"),
    (BY_EMAIL, "users_one_per_email"),
    (FIND, "sqlite_autoindex_passwords_1"),
    (CLAIM, "sqlite_autoindex_users_1"),
    (REPLACE, "sqlite_autoindex_passwords_1"),
    (DELETE, "sqlite_autoindex_passwords_1"),
];
