//! Users: making, changing and listing them.

use super::Store;
use super::db::text_search::stored_words;
use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::pages::{self, Statements};
use super::{identities, key_rows, scopes, sessions, user_keys};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::environment::Environment;
use crate::domain::id::{ProjectId, UserId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::user::{Email, Handle, User, UserDetails, UserKind, UserState};
use crate::domain::words::words;

/// The columns of a user `u`, as [`read`] expects them.
macro_rules! user_columns {
    () => {
        "u.seq, u.id, u.project, u.environment, u.kind, u.handle, u.alias, u.email, u.first_name, u.last_name, u.metadata,
        u.created_at, u.updated_at, u.blocked_at, u.deleted_at, u.version,
        (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM user_scopes c WHERE c.user_id = u.id) AS scopes"
    };
}
pub(super) use user_columns;

/// Which users a list is to hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFilter {
    /// Only users of this kind.
    pub kind: Option<UserKind>,
    /// Only users in this state.
    pub state: Option<UserState>,
    /// Only the user with this email address.
    pub email: Option<Email>,
    /// Only the user with this handle.
    pub handle: Option<Handle>,
}

impl Store {
    /// Stores a new user.
    ///
    /// # Errors
    /// [`Conflict::Handle`], [`Conflict::Email`].
    pub async fn create_user(&self, user: &User, event: &AuditEvent) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.insert_user(&mut tx, user).await?;
        self.record_in(&mut tx, event).await?;
        scopes::require_registered_of_user(&mut tx, user).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stores a new user, whose scopes must be asked for after the event was recorded.
    pub(super) async fn insert_user(&self, tx: &mut Tx, user: &User) -> Result<()> {
        let metadata = metadata(user)?;
        let details = &user.details;
        let values = values![
            user.id.as_str(),
            user.project.as_str(),
            user.environment.as_str(),
            user.kind.as_str(),
            details.alias.as_deref(),
            &details.first_name,
            &details.last_name,
            &metadata,
            user.created_at,
            user.updated_at,
            user.blocked_at,
            user.version,
        ];
        let row = tx.fetch_one(INSERT, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
        let seq = row.int("seq")?;
        set_names(tx, user, seq).await?;
        self.put_user_words(tx, user, seq).await?;
        insert_scopes(tx, user).await
    }

    /// The user of this id, unless they were deleted.
    pub async fn find_user(&self, project: &ProjectId, environment: Environment, id: &UserId) -> Result<Option<User>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The users that pass the filter, newest first. A page comes after the id of the last user of the one before.
    pub async fn list_users(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &UserFilter,
        request: &PageRequest,
    ) -> Result<Page<User>> {
        let statements = statements(filter);
        let email = filter.email.as_ref().map(Email::folded);
        let filter = values![
            project.as_str(),
            environment.as_str(),
            filter.kind.map(UserKind::as_str),
            filter.state.map(|state| state == UserState::Blocked),
            email.as_deref(),
            filter.handle.as_ref().map(Handle::as_str),
        ];
        let below = self.place_of_user(project, environment, pages::after(request)).await?;
        self.page(statements, filter, below.into(), request, read).await
    }

    /// Stores a user whose details were changed, if they still have the version expected and were not deleted. Tells of it
    /// for each of their credentials where their scopes are others now.
    ///
    /// # Errors
    /// [`Conflict::Version`], [`Conflict::Handle`], [`Conflict::Email`], [`Conflict::UnknownScope`].
    pub async fn update_user(&self, user: &User, expected_version: i64, event: &AuditEvent) -> Result<Vec<Change>> {
        let metadata = metadata(user)?;
        let details = &user.details;
        let values = values![
            user.id.as_str(),
            user.project.as_str(),
            user.environment.as_str(),
            expected_version,
            details.alias.as_deref(),
            &details.first_name,
            &details.last_name,
            &metadata,
            user.updated_at,
            user.version,
        ];
        let mut tx = self.db.begin().await?;
        let Some(row) = tx.fetch_optional(UPDATE, values).await? else {
            return Err(StoreError::Conflict(Conflict::Version));
        };
        let seq = row.int("seq")?;
        set_names(&mut tx, user, seq).await?;
        tx.execute(self.db.user_search().remove, values![seq]).await?;
        self.put_user_words(&mut tx, user, seq).await?;
        let held = tx.fetch_one(SCOPES, values![user.id.as_str()]).await?;
        let mut concerned = None;
        if key_rows::scopes(held.opt_str("scopes")?)? != details.scopes {
            tx.execute(DELETE_SCOPES, values![user.id.as_str()]).await?;
            insert_scopes(&mut tx, user).await?;
            let turned = user_keys::hold(&mut tx, user).await?;
            let live = sessions::live(&mut tx, &user.id, user.updated_at).await?;
            concerned = Some((turned, live, identities::hashes(&mut tx, user).await?));
        }
        self.record_in(&mut tx, event).await?;
        let mut changes = Vec::new();
        if let Some((turned, live, shown)) = concerned {
            changes = user_keys::tell(&mut tx, user, turned).await?;
            changes.extend(sessions::tell(&mut tx, user, live, ChangeKind::Updated, user.updated_at).await?);
            changes.push(identities::tell(&mut tx, user, shown, ChangeKind::Updated).await?);
        }
        scopes::require_registered_of_user(&mut tx, user).await?;
        tx.commit().await?;
        Ok(changes)
    }

    /// The place in the order of users that a page begins below.
    pub(super) async fn place_of_user(
        &self,
        project: &ProjectId,
        environment: Environment,
        after: Option<&str>,
    ) -> Result<i64> {
        let Some(after) = after else { return Ok(i64::MAX) };
        let row = self.db.fetch_optional(PLACE, values![after, project.as_str(), environment.as_str()]).await?;
        // A user who never was has nobody after them.
        row.map_or(Ok(i64::MIN), |row| row.int("seq"))
    }

    /// Stores the words by which the user is found.
    async fn put_user_words(&self, tx: &mut Tx, user: &User, seq: i64) -> Result<()> {
        let details = &user.details;
        let names = [&details.first_name, &details.last_name].into_iter().chain(&details.alias).map(String::as_str);
        let handle = details.handle.as_ref().map(Handle::as_str);
        let texts = names.chain(handle).chain(details.email.as_ref().map(Email::as_str));
        let mut found: Vec<String> = texts.flat_map(words).collect();
        found.sort_unstable();
        found.dedup();
        let stored = stored_words(&user.project, user.environment, &found);
        tx.execute(self.db.user_search().put, values![seq, &stored]).await?;
        Ok(())
    }
}

/// Reads a user.
pub(super) fn read(row: &Row) -> Result<User> {
    let environment = Environment::parse(row.str("environment")?).ok_or_else(|| damaged("users.environment"))?;
    let metadata = serde_json::from_str(row.str("metadata")?).map_err(|_| damaged("users.metadata"))?;
    Ok(User {
        id: UserId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment,
        kind: UserKind::parse(row.str("kind")?).ok_or_else(|| damaged("users.kind"))?,
        details: UserDetails {
            handle: row.opt_text("handle")?.map(Handle::stored),
            alias: row.opt_text("alias")?,
            email: row.opt_text("email")?.map(Email::stored),
            first_name: row.text("first_name")?,
            last_name: row.text("last_name")?,
            metadata,
            scopes: key_rows::scopes(row.opt_str("scopes")?)?,
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        blocked_at: row.opt_time("blocked_at")?,
        deleted_at: row.opt_time("deleted_at")?,
        version: row.int("version")?,
    })
}

/// Stores what must be unique, each by itself: SQLite does not say which index a statement broke.
async fn set_names(tx: &mut Tx, user: &User, seq: i64) -> Result<()> {
    let handle = user.details.handle.as_ref().map(Handle::as_str);
    tx.execute(SET_HANDLE, values![seq, handle]).await.map_err(|failure| failure.or_conflict(Conflict::Handle))?;
    let email = user.details.email.as_ref();
    let folded = email.map(Email::folded);
    let values = values![seq, email.map(Email::as_str), folded.as_deref()];
    tx.execute(SET_EMAIL, values).await.map_err(|failure| failure.or_conflict(Conflict::Email))?;
    Ok(())
}

/// Stores the scopes of a user who has none.
async fn insert_scopes(tx: &mut Tx, user: &User) -> Result<()> {
    for scope in &user.details.scopes {
        let values = values![user.id.as_str(), scope.plain(), scope.spelling(), user.project.as_str()];
        tx.execute(INSERT_SCOPE, values).await?;
    }
    Ok(())
}

fn metadata(user: &User) -> Result<String> {
    // Text keys and values can always be written as JSON; the error is passed on only so as not to have to say so.
    serde_json::to_string(&user.details.metadata).map_err(|_| damaged("users.metadata"))
}

/// The part of the filter that leaves the fewest users leads.
fn statements(filter: &UserFilter) -> Statements {
    match (&filter.handle, &filter.email, filter.state, filter.kind) {
        (Some(_), ..) => BY_HANDLE,
        (None, Some(_), ..) => BY_EMAIL,
        (None, None, Some(UserState::Blocked), _) => BLOCKED,
        (None, None, _, Some(_)) => BY_KIND,
        (None, None, Some(UserState::Active), None) => ACTIVE,
        (None, None, None, None) => ALL,
    }
}

/// All statements say the whole filter; they differ in the condition that leads to an index of its own.
macro_rules! statements {
    ($leading:literal) => {
        Statements {
            page: concat!(
                "SELECT ",
                user_columns!(),
                " FROM users u WHERE ",
                statements!(@filter),
                $leading,
                " AND u.seq < $7 ORDER BY u.seq DESC LIMIT $8 OFFSET $9"
            ),
            count: concat!("SELECT COUNT(*) AS total FROM users u WHERE ", statements!(@filter), $leading),
        }
    };
    (@filter) => {
        "u.project = $1 AND u.environment = $2 AND u.deleted_at IS NULL AND ($3 IS NULL OR u.kind = $3)
            AND ($4 IS NULL OR $4 = (u.blocked_at IS NOT NULL)) AND ($5 IS NULL OR u.email_folded = $5)
            AND ($6 IS NULL OR u.handle = $6)"
    };
}

const ALL: Statements = statements!("");
const ACTIVE: Statements = statements!(" AND u.blocked_at IS NULL");
const BLOCKED: Statements = statements!(" AND u.blocked_at IS NOT NULL");
const BY_KIND: Statements = statements!(" AND u.kind = $3");
const BY_EMAIL: Statements = statements!(" AND u.email_folded = $5");
const BY_HANDLE: Statements = statements!(" AND u.handle = $6");

const INSERT: &str =
    "INSERT INTO users (id, project, environment, kind, alias, first_name, last_name, metadata, created_at, updated_at,
        blocked_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING seq";
const UPDATE: &str =
    "UPDATE users SET alias = $5, first_name = $6, last_name = $7, metadata = $8, updated_at = $9, version = $10
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4 AND deleted_at IS NULL RETURNING seq";
const SET_HANDLE: &str = "UPDATE users SET handle = $2 WHERE seq = $1";
const SET_EMAIL: &str = "UPDATE users SET email = $2, email_folded = $3 WHERE seq = $1";
const SCOPES: &str =
    "SELECT string_agg(c.plain || ' ' || c.spelling, ' ') AS scopes FROM user_scopes c WHERE c.user_id = $1";
const INSERT_SCOPE: &str = "INSERT INTO user_scopes (user_id, plain, spelling, project) VALUES ($1, $2, $3, $4)";
pub(super) const DELETE_SCOPES: &str = "DELETE FROM user_scopes WHERE user_id = $1";
const FIND: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u WHERE u.id = $1 AND u.project = $2 AND u.environment = $3 AND u.deleted_at IS NULL"
);
const PLACE: &str = "SELECT seq FROM users WHERE id = $1 AND project = $2 AND environment = $3";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (ALL.page, "users_listed "),
    (ALL.count, "users_listed"),
    (ACTIVE.page, "users_listed_unblocked"),
    (ACTIVE.count, "users_listed_unblocked"),
    (BLOCKED.page, "users_listed_blocked"),
    (BLOCKED.count, "users_listed_blocked"),
    (BY_KIND.page, "users_listed_by_kind"),
    (BY_KIND.count, "users_listed_by_kind"),
    (BY_EMAIL.page, "users_one_per_email"),
    (BY_EMAIL.count, "users_one_per_email"),
    (BY_HANDLE.page, "users_one_per_handle"),
    (BY_HANDLE.count, "users_one_per_handle"),
    (SCOPES, "PRIMARY KEY"),
    (DELETE_SCOPES, "PRIMARY KEY"),
    (FIND, "sqlite_autoindex_users_1"),
    (PLACE, "sqlite_autoindex_users_1"),
    (UPDATE, "sqlite_autoindex_users_1"),
    (SET_HANDLE, "PRIMARY KEY"),
    (SET_EMAIL, "PRIMARY KEY"),
];
