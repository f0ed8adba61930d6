//! The audit log: adding entries and listing them. How they are tied together is checked in `audit_check.rs`.

use super::Store;
use super::db::{Failure, Row, Tx, damaged, values};
use super::error::Result;
use super::pages::{self, Statements};
use crate::domain::audit::{ActingToken, AuditEntry, AuditEvent};
use crate::domain::audit_chain::{AuditKey, BROKEN, Fields, Head, Link};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{AuditEventId, CredentialId, ProjectId, TokenId, UserId};
use crate::domain::page::{Page, PageRequest};

/// Which entries a list is to hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AuditFilter {
    /// Only what this key did, or with none in it, the command line.
    pub actor: Option<Option<CredentialId>>,
    /// Only what was done to this.
    pub target: Option<String>,
    /// Only this, `key.revoked`.
    pub action: Option<String>,
    /// Only what was done to this kind of thing, `key`.
    pub noun: Option<String>,
    /// Only what was done then or later.
    pub from: Option<Timestamp>,
    /// Only what was done before.
    pub before: Option<Timestamp>,
}

impl Store {
    /// Writes an entry about something that changes nothing else.
    pub async fn record(&self, event: &AuditEvent) -> Result<()> {
        let mut tx = self.db.begin().await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The entries of a project that pass the filter, newest first: those of the environment and of the whole project. A page
    /// comes after the place of the last entry of the one before.
    pub async fn list_audit_events(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &AuditFilter,
        request: &PageRequest,
    ) -> Result<Page<AuditEntry>> {
        // What is older than the end of time, and nothing of that very moment.
        let start = (filter.before.map_or(i64::MAX, Timestamp::micros), i64::MIN);
        let (time, seq) = pages::after(request).map_or(Ok(start), place)?;
        let values = values![
            project.as_str(),
            environment.as_str(),
            filter.actor.as_ref().map(actor),
            filter.target.as_deref(),
            filter.action.as_deref(),
            filter.noun.as_deref(),
            filter.from.map_or(i64::MIN, Timestamp::micros),
            time,
        ];
        self.page(statements(filter), values, seq.into(), request, read).await
    }

    /// Writes an entry with what it is about. Comes after every row that the transaction changes and before the change log's
    /// counter: the project's chain is held until the end, and whoever holds it must wait for nobody but for the counter.
    pub(super) async fn record_in(&self, tx: &mut Tx, event: &AuditEvent) -> Result<()> {
        let key = self.audit_key.get();
        let key = key.ok_or_else(|| Failure::fault("the audit log is written before the master key was checked"))?;
        let (project, seq, before, unchained) = take(tx, key, event.project.as_str()).await?;
        let client_ip = event.client_ip.map(|address| address.to_string());
        let fields: Fields<'_> = [
            Some(event.id.as_str()),
            Some(project),
            Some(event.environment.map_or(WHOLE_PROJECT, Environment::as_str)),
            Some(actor(&event.actor)),
            Some(&event.action),
            Some(event.noun()),
            Some(&event.target),
            event.request_id.as_deref(),
            client_ip.as_deref(),
            event.before.as_deref(),
            event.after.as_deref(),
            event.token.as_ref().map(|token| token.id.as_str()),
            event.token.as_ref().and_then(|token| token.user.as_ref()).map(UserId::as_str),
        ];
        let link = key.link(&before, seq, event.occurred_at.micros(), &fields);
        let [id, project_field, environment, actor, action, noun, target, request_id, client_ip, before, after, ..] =
            fields;
        let [.., token, user] = fields;
        let values = values![
            id,
            project_field,
            environment,
            actor,
            action,
            noun,
            target,
            request_id,
            client_ip,
            before,
            after,
            event.occurred_at,
            seq,
            &link,
            token,
            user,
        ];
        tx.execute(INSERT, values).await?;
        let seal = key.seal(project, &Head { seq, link, unchained });
        tx.execute(SET_HEAD, values![project, &link, &seal]).await?;
        Ok(())
    }
}

/// Takes the next number of a project's chain: the project, the number, what the entry is tied to, and how many entries there
/// are from before the chain. Holds the chain until the transaction ends.
async fn take<'p>(tx: &mut Tx, key: &AuditKey, project: &'p str) -> Result<(&'p str, i64, Link, i64)> {
    let taken = match tx.fetch_optional(TAKE, values![project]).await? {
        Some(taken) => taken,
        None => {
            begin(tx, key, project).await?;
            tx.fetch_one(TAKE, values![project]).await?
        }
    };
    let (seq, unchained) = (taken.int("seq")?, taken.int("unchained")?);
    let link = taken.bytes("link")?.try_into().unwrap_or(BROKEN);
    let proven = key.proves(taken.bytes("seal")?, project, &Head { seq: seq - 1, link, unchained });
    if !proven {
        tracing::error!(project, seq, "the end of the audit log was tampered with; see `gatepost audit verify`");
    }
    Ok((project, seq, if proven { link } else { BROKEN }, unchained))
}

/// Begins the chain of a project, unless somebody else does. A chain whose head is gone is not begun anew.
async fn begin(tx: &mut Tx, key: &AuditKey, project: &str) -> Result<()> {
    let standing = tx.fetch_one(STANDING, values![project]).await?;
    let (unchained, last) = (standing.int("unchained")?, standing.int("last")?);
    let head = key.genesis(project, unchained);
    let (link, seal) = if last < 1 { (head.link, key.seal(project, &head)) } else { (BROKEN, BROKEN) };
    tx.execute(BEGIN, values![project, last.max(0), &link, unchained, &seal]).await?;
    Ok(())
}

/// The list's statement for the part of the filter that is likely to leave the fewest entries.
fn statements(filter: &AuditFilter) -> Statements {
    match filter {
        AuditFilter { target: Some(_), .. } => BY_TARGET,
        AuditFilter { actor: Some(_), .. } => BY_ACTOR,
        AuditFilter { action: Some(_), .. } => BY_ACTION,
        AuditFilter { noun: Some(_), .. } => BY_NOUN,
        _ => ALL,
    }
}

fn read(row: &Row) -> Result<AuditEntry> {
    let client_ip = row.opt_str("client_ip")?.map(str::parse).transpose();
    let environment = match row.str("environment")? {
        WHOLE_PROJECT => None,
        word => Some(Environment::parse(word).ok_or_else(|| damaged("audit_events.environment"))?),
    };
    let (seq, occurred_at) = (row.int("seq")?, row.time("occurred_at")?);
    let event = AuditEvent {
        id: AuditEventId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment,
        actor: row.opt_text("actor")?.filter(|actor| actor != COMMAND_LINE).map(CredentialId::stored),
        token: acting_token(row)?,
        action: row.text("action")?,
        target: row.text("target")?,
        request_id: row.opt_text("request_id")?,
        client_ip: client_ip.map_err(|_| damaged("audit_events.client_ip"))?,
        occurred_at,
        before: row.opt_text("fields_before")?,
        after: row.opt_text("fields_after")?,
    };
    Ok(AuditEntry { seq, event, place: format!("{} {seq}", occurred_at.micros()) })
}

fn acting_token(row: &Row) -> Result<Option<ActingToken>> {
    let user = row.opt_text("acting_user")?.map(UserId::stored);
    Ok(row.opt_text("acting_token")?.map(|id| ActingToken { id: TokenId::stored(id), user }))
}

fn actor(actor: &Option<CredentialId>) -> &str {
    actor.as_ref().map_or(COMMAND_LINE, CredentialId::as_str)
}

/// A place in lists: its time and its number.
fn place(text: &str) -> Result<(i64, i64)> {
    let parts = text.split_once(' ').and_then(|(time, seq)| Some((time.parse().ok()?, seq.parse().ok()?)));
    parts.ok_or_else(|| damaged("page_token"))
}

/// The columns of an entry.
macro_rules! entry_columns {
    () => {
        "e.id, e.project, e.environment, e.actor, e.action, e.noun, e.target, e.request_id, e.client_ip, e.fields_before,
        e.fields_after, e.acting_token, e.acting_user, e.occurred_at, e.seq, e.link"
    };
}
pub(super) use entry_columns;

/// All statements say the whole filter; they differ in the condition that leads to an index of its own. The newest of
/// the environment's entries and of those of the whole project are each taken along an index, and put together.
macro_rules! statements {
    ($leading:literal) => {
        Statements {
            page: concat!(
                "SELECT * FROM (SELECT ",
                entry_columns!(),
                " FROM audit_events e WHERE e.environment = $2 AND ",
                statements!(@filter),
                $leading,
                statements!(@newest),
                ") newest_own UNION ALL SELECT * FROM (SELECT ",
                entry_columns!(),
                " FROM audit_events e WHERE e.environment = '' AND ",
                statements!(@filter),
                $leading,
                statements!(@newest),
                ") newest_shared ORDER BY occurred_at DESC, seq DESC LIMIT $10 OFFSET $11"
            ),
            count: concat!(
                "SELECT (SELECT COUNT(*) FROM audit_events e WHERE e.environment = $2 AND ",
                statements!(@filter),
                $leading,
                " AND e.occurred_at < $8) + (SELECT COUNT(*) FROM audit_events e WHERE e.environment = '' AND ",
                statements!(@filter),
                $leading,
                " AND e.occurred_at < $8) AS total"
            ),
        }
    };
    (@newest) => {
        " AND (e.occurred_at, e.seq) < ($8, $9) ORDER BY e.occurred_at DESC, e.seq DESC LIMIT CAST($10 AS BIGINT) + $11"
    };
    (@filter) => {
        "e.project = $1 AND ($3 IS NULL OR e.actor = $3) AND ($4 IS NULL OR e.target = $4)
            AND ($5 IS NULL OR e.action = $5) AND ($6 IS NULL OR e.noun = $6) AND e.occurred_at >= $7"
    };
}

const ALL: Statements = statements!("");
const BY_TARGET: Statements = statements!(" AND e.target = $4");
const BY_ACTOR: Statements = statements!(" AND e.actor = $3");
const BY_ACTION: Statements = statements!(" AND e.action = $5");
const BY_NOUN: Statements = statements!(" AND e.noun = $6");

const TAKE: &str = "UPDATE audit_chains SET seq = seq + 1 WHERE project = $1 RETURNING seq, link, unchained, seal";
const STANDING: &str = "SELECT (SELECT COUNT(*) FROM audit_events WHERE project = $1 AND seq < 1) AS unchained,
    (SELECT COALESCE(MAX(seq), 0) FROM audit_events WHERE project = $1) AS last";
const BEGIN: &str = "INSERT INTO audit_chains (project, seq, link, unchained, seal) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (project) DO NOTHING";
const SET_HEAD: &str = "UPDATE audit_chains SET link = $2, seal = $3 WHERE project = $1";
const INSERT: &str =
    "INSERT INTO audit_events (id, project, environment, actor, action, noun, target, request_id, client_ip,
        fields_before, fields_after, occurred_at, seq, link, acting_token, acting_user)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

/// How the command line is called as an actor.
pub const COMMAND_LINE: &str = "command-line";
/// The environment of what belongs to the whole project.
const WHOLE_PROJECT: &str = "";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (ALL.page, "audit_events_listed "),
    (ALL.count, "audit_events_listed "),
    (BY_TARGET.page, "audit_events_listed_by_target"),
    (BY_TARGET.count, "audit_events_listed_by_target"),
    (BY_ACTOR.page, "audit_events_listed_by_actor"),
    (BY_ACTOR.count, "audit_events_listed_by_actor"),
    (BY_ACTION.page, "audit_events_listed_by_action"),
    (BY_ACTION.count, "audit_events_listed_by_action"),
    (BY_NOUN.page, "audit_events_listed_by_noun"),
    (BY_NOUN.count, "audit_events_listed_by_noun"),
    (TAKE, "sqlite_autoindex_audit_chains_1"),
    (STANDING, "audit_events_chained"),
    (SET_HEAD, "sqlite_autoindex_audit_chains_1"),
];
