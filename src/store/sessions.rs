//! Sessions: users who signed in, by the hash of their token.
//!
//! Whoever begins a session holds the user's row first, as does whoever ends all of a user's: none is begun past a block, a
//! deletion or another password.

use super::db::{Row, Tx, damaged, values};
use super::error::Result;
use super::pages::{self, Statements};
use super::{Store, changes, key_rows, passwords, scopes};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::credential::ActingUser;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, ProjectId, SessionId, UserId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::password::PasswordHash;
use crate::domain::secret::SecretHash;
use crate::domain::session::{ListedSession, Origin, Session};
use crate::domain::user::{Standing, User};

/// Sessions that have not ended, for each user at most: where one more begins, the oldest ends.
pub const MAX_SESSIONS_OF_USER: u32 = 100;

/// A session that begins.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// The session.
    pub session: &'a Session,
    /// The hash of its token.
    pub hash: &'a SecretHash,
    /// Where it is begun from.
    pub origin: &'a Origin,
}

/// A session that something has turned.
pub(super) struct Turn {
    id: SessionId,
    hash: SecretHash,
}

impl Store {
    /// The session with this hash and its user, whatever their state, unless its project was deleted. One query.
    pub async fn find_session(&self, hash: &SecretHash) -> Result<Option<(Session, ActingUser)>> {
        let Some(row) = self.db.fetch_optional(FIND, values![hash.as_bytes()]).await? else { return Ok(None) };
        let standing = Standing::parse(row.str("standing")?).ok_or_else(|| damaged("sessions.user_id"))?;
        let scopes = key_rows::scopes(row.opt_str("scopes")?)?;
        Ok(Some((read(&row)?, ActingUser { standing, scopes })))
    }

    /// Begins a session of somebody who showed this password, and keeps it in its new form if there is one. What ended for it:
    /// the oldest sessions, where there were too many. None if the user may not sign in any more, or the password is
    /// another by now.
    pub async fn begin_session(
        &self,
        new: &NewSession<'_>,
        shown: &PasswordHash,
        renewed: Option<&PasswordHash>,
        event: &AuditEvent,
    ) -> Result<Option<Vec<Change>>> {
        let session = new.session;
        let mut tx = self.db.begin().await?;
        let user = values![session.user.as_str(), session.project.as_str(), session.environment.as_str()];
        if tx.execute(CLAIM, user).await? == 0
            || !passwords::replace(&mut tx, &session.user, shown, renewed.unwrap_or(shown), None).await?
        {
            return Ok(None);
        }
        insert(&mut tx, new).await?;
        let now = session.created_at;
        let ended = tx.fetch_all(END_OLDEST, values![session.user.as_str(), now, MAX_SESSIONS_OF_USER]).await?;
        let ended = turns(&ended)?;
        tx.execute(FORGET_ENDED, values![session.user.as_str(), now, KEPT_ENDED]).await?;
        self.record_in(&mut tx, event).await?;
        let (project, environment) = (&session.project, session.environment);
        let changes = tell_of(&mut tx, project, environment, ended, ChangeKind::Revoked, now).await?;
        tx.commit().await?;
        Ok(Some(changes))
    }

    /// Stores a new user with their password and their first session.
    ///
    /// # Errors
    /// [`Conflict::Handle`](super::Conflict::Handle), [`Conflict::Email`](super::Conflict::Email),
    /// [`Conflict::UnknownScope`](super::Conflict::UnknownScope).
    pub async fn sign_up(
        &self,
        user: &User,
        password: &PasswordHash,
        new: &NewSession<'_>,
        event: &AuditEvent,
    ) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.insert_user(&mut tx, user).await?;
        passwords::put(&mut tx, user, password, user.created_at).await?;
        insert(&mut tx, new).await?;
        self.record_in(&mut tx, event).await?;
        scopes::require_registered_of_user(&mut tx, user).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The sessions of a user that have not ended, newest first. A page comes after the id of the last session of the one
    /// before.
    pub async fn list_sessions(
        &self,
        user: &User,
        now: Timestamp,
        request: &PageRequest,
    ) -> Result<Page<ListedSession>> {
        let values = values![user.id.as_str(), now];
        let below = pages::after(request).unwrap_or(ABOVE_ALL);
        self.page(LIST, values, below.into(), request, read_listed).await
    }

    /// Ends a session of a user; none if there is none that has not ended.
    pub async fn end_session(
        &self,
        user: &User,
        id: &SessionId,
        now: Timestamp,
        event: &AuditEvent,
    ) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        let values = values![id.as_str(), user.id.as_str(), user.project.as_str(), user.environment.as_str(), now];
        let ended = turns(&tx.fetch_all(END, values).await?)?;
        if ended.is_empty() {
            return Ok(None);
        }
        self.record_in(&mut tx, event).await?;
        let changes = tell(&mut tx, user, ended, ChangeKind::Revoked, now).await?;
        tx.commit().await?;
        Ok(changes.into_iter().next())
    }

    /// Forgets up to `batch` sessions that were past their end before this time; how many it were.
    pub async fn prune_sessions(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let forgotten = tx.execute(PRUNE, values![before, batch]).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// Ends a session: the hash of its token; none if it had ended.
pub(super) async fn end_one(tx: &mut Tx, session: &Session, now: Timestamp) -> Result<Option<SecretHash>> {
    let (project, environment) = (session.project.as_str(), session.environment.as_str());
    let values = values![session.id.as_str(), session.user.as_str(), project, environment, now];
    Ok(turns(&tx.fetch_all(END, values).await?)?.pop().map(|turn| turn.hash))
}

/// Ends the sessions of a user whose row is held, but for this one.
pub(super) async fn end_all(tx: &mut Tx, user: &UserId, but: Option<&SessionId>, now: Timestamp) -> Result<Vec<Turn>> {
    let but = but.map_or("", SessionId::as_str);
    turns(&tx.fetch_all(END_ALL, values![user.as_str(), now, but]).await?)
}

/// The sessions of a user whose row is held that have not ended.
pub(super) async fn live(tx: &mut Tx, user: &UserId, now: Timestamp) -> Result<Vec<Turn>> {
    turns(&tx.fetch_all(LIVE, values![user.as_str(), now]).await?)
}

/// Writes a change for each session.
pub(super) async fn tell(
    tx: &mut Tx,
    user: &User,
    turned: Vec<Turn>,
    kind: ChangeKind,
    now: Timestamp,
) -> Result<Vec<Change>> {
    tell_of(tx, &user.project, user.environment, turned, kind, now).await
}

async fn tell_of(
    tx: &mut Tx,
    project: &ProjectId,
    environment: Environment,
    turned: Vec<Turn>,
    kind: ChangeKind,
    now: Timestamp,
) -> Result<Vec<Change>> {
    let mut told = Vec::with_capacity(turned.len());
    for Turn { id, hash } in turned {
        let subject = CredentialId::Session(id);
        told.push(changes::write_of(tx, project, environment, subject, kind, vec![hash], now).await?);
    }
    Ok(told)
}

/// Holds a session's row until the transaction ends, if the session has not ended; whether it has not. What is done then is not done
/// past the end of the session.
pub(super) async fn hold(tx: &mut Tx, session: &Session, now: Timestamp) -> Result<bool> {
    Ok(tx.execute(HOLD, values![session.id.as_str(), now]).await? > 0)
}

async fn insert(tx: &mut Tx, new: &NewSession<'_>) -> Result<()> {
    let NewSession { session, hash, origin } = new;
    let client_ip = origin.client_ip.map(|address| address.to_string());
    let values = values![
        hash.as_bytes(),
        session.id.as_str(),
        session.project.as_str(),
        session.environment.as_str(),
        session.user.as_str(),
        session.created_at,
        session.expires_at,
        client_ip.as_deref(),
        &origin.user_agent,
    ];
    tx.execute(INSERT, values).await?;
    Ok(())
}

fn turns(rows: &[Row]) -> Result<Vec<Turn>> {
    let turn = |row: &Row| {
        let hash = changes::hash(row.bytes("hash")?, "sessions.hash")?;
        Ok(Turn { id: SessionId::stored(row.text("id")?), hash })
    };
    rows.iter().map(turn).collect()
}

fn read(row: &Row) -> Result<Session> {
    Ok(Session {
        id: SessionId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("sessions.environment"))?,
        user: UserId::stored(row.text("user_id")?),
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}

fn read_listed(row: &Row) -> Result<ListedSession> {
    let client_ip = row.opt_str("client_ip")?.map(|text| text.parse().map_err(|_| damaged("sessions.client_ip")));
    let origin = Origin { client_ip: client_ip.transpose()?, user_agent: row.text("user_agent")? };
    Ok(ListedSession { session: read(row)?, origin })
}

macro_rules! session_columns {
    () => {
        "s.id, s.project, s.environment, s.user_id, s.created_at, s.expires_at, s.revoked_at"
    };
}
/// The sessions of user `$1` that have not ended at `$2`.
macro_rules! listed {
    () => {
        " FROM sessions s WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2"
    };
}

const FIND: &str = concat!(
    "SELECT ",
    session_columns!(),
    ", CASE WHEN u.deleted_at IS NOT NULL THEN 'deleted' WHEN u.blocked_at IS NOT NULL THEN 'blocked' ELSE 'good' END
        AS standing,
    (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM user_scopes c WHERE c.user_id = s.user_id) AS scopes
    FROM sessions s JOIN users u ON u.id = s.user_id JOIN projects o ON o.id = s.project
    WHERE s.hash = $1 AND o.deleted_at IS NULL"
);
/// Changes nothing; the row is held until the transaction ends.
const CLAIM: &str = "UPDATE users SET version = version WHERE id = $1 AND project = $2 AND environment = $3
    AND kind = 'human' AND blocked_at IS NULL AND deleted_at IS NULL";
/// Changes nothing, as above.
const HOLD: &str = "UPDATE sessions SET revoked_at = NULL WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2";
const INSERT: &str = "INSERT INTO sessions (hash, id, project, environment, user_id, created_at, expires_at, client_ip,
        user_agent)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const END_OLDEST: &str = "UPDATE sessions SET revoked_at = $2 WHERE hash IN
    (SELECT s.hash FROM sessions s WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2
        ORDER BY s.id DESC LIMIT 1000 OFFSET $3) RETURNING id, hash";
const FORGET_ENDED: &str = "DELETE FROM sessions WHERE hash IN
    (SELECT s.hash FROM sessions s WHERE s.user_id = $1 AND (s.revoked_at IS NOT NULL OR s.expires_at <= $2)
        ORDER BY s.id DESC LIMIT 1000 OFFSET $3)";
const LIST: Statements = Statements {
    page: concat!(
        "SELECT s.client_ip, s.user_agent, ",
        session_columns!(),
        listed!(),
        " AND s.id < $3 ORDER BY s.id DESC LIMIT $4 OFFSET $5"
    ),
    count: concat!("SELECT COUNT(*) AS total", listed!()),
};
const END: &str = "UPDATE sessions SET revoked_at = $5 WHERE id = $1 AND user_id = $2 AND project = $3
    AND environment = $4 AND revoked_at IS NULL AND expires_at > $5 RETURNING id, hash";
const END_ALL: &str = "UPDATE sessions SET revoked_at = $2
    WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND id <> $3 RETURNING id, hash";
const LIVE: &str = "SELECT s.id, s.hash FROM sessions s
    WHERE s.user_id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2 ORDER BY s.id";
pub(super) const FORGET_ORIGINS: &str = "UPDATE sessions SET client_ip = NULL, user_agent = '' WHERE user_id = $1";
const PRUNE: &str = "DELETE FROM sessions WHERE hash IN
    (SELECT s.hash FROM sessions s WHERE s.expires_at < $1 ORDER BY s.expires_at LIMIT $2)";

/// Comes after every id of a session.
const ABOVE_ALL: &str = "ses_~";
/// Rows of ended sessions, for each user at most, until they are pruned.
const KEPT_ENDED: u32 = 200;

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (FIND, "SEARCH s USING PRIMARY KEY"),
    (CLAIM, "sqlite_autoindex_users_1"),
    (HOLD, "sqlite_autoindex_sessions_2"),
    (END_OLDEST, "sessions_of_user"),
    (FORGET_ENDED, "sessions_of_user"),
    (LIST.page, "sessions_of_user"),
    (LIST.count, "sessions_of_user"),
    (END, "sqlite_autoindex_sessions_2"),
    (END_ALL, "sessions_of_user"),
    (LIVE, "sessions_of_user"),
    (FORGET_ORIGINS, "sessions_of_user"),
    (PRUNE, "sessions_by_end"),
];
