//! Reports of leaked credentials, each written with what was done about it.

use super::alert_raising::raise;
use super::client_rows::client_columns;
use super::db::{Row, Tx, damaged, values};
use super::error::Result;
use super::oauth::{end_access_token, end_grant};
use super::pages::{self, Statements};
use super::{Store, alert_rules, changes, client_rows, key_rows, keys, sessions};
use crate::domain::alert::{Alert, leaked};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, GrantId, LeakReportId, ProjectId};
use crate::domain::key::Key;
use crate::domain::leak::{LeakAction, LeakPlace, LeakReport};
use crate::domain::oauth::client::Client;
use crate::domain::page::{Page, PageRequest};
use crate::domain::secret::SecretHash;
use crate::domain::secret_kind::SecretKind;
use crate::domain::session::Session;

/// What a report turns.
#[derive(Clone, Copy, Debug)]
pub enum LeakTurns<'a> {
    /// Nothing.
    Nothing,
    /// A key that was changed, the version it was read with, and what happened to it.
    Key(&'a Key, i64, ChangeKind),
    /// All tokens of a grant end.
    Grant(&'a GrantId),
    /// The access token with this hash ends.
    Token(&'a SecretHash),
    /// A session ends.
    Session(&'a Session),
}

/// Which reports a list is to hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LeakFilter {
    /// Only those about this credential.
    pub subject: Option<String>,
}

/// What came of a report.
#[derive(Clone, Debug, PartialEq)]
pub enum LeakRecorded {
    /// It is written down; this has changed, and this alert was raised.
    New(Option<Change>, Option<Box<Alert>>),
    /// The credential was reported with this place before; nothing was done.
    Known,
}

impl Store {
    /// Writes a report down with what it turns, and with the alert about it, if the project wants one.
    ///
    /// # Errors
    /// [`Conflict::Version`](super::Conflict::Version) for a key that was changed since it was read.
    pub async fn record_leak(
        &self,
        report: &LeakReport,
        turns: LeakTurns<'_>,
        event: &AuditEvent,
        entropy: &dyn Entropy,
    ) -> Result<LeakRecorded> {
        let mut tx = self.db.begin().await?;
        if !insert(&mut tx, report).await? {
            return Ok(LeakRecorded::Known);
        }
        let (project, environment) = (report.project.as_str(), report.environment.as_str());
        tx.execute(DELETE_SURPLUS, values![project, environment, report.subject.as_str(), MOST_OF_SUBJECT]).await?;
        let turned = turn(&mut tx, turns, report.reported_at).await?;
        let rules = alert_rules::of_projects(&mut tx, &[&report.project]).await?.remove(&report.project);
        let alert = match leaked(&rules.unwrap_or_default(), report) {
            Some(found) => raise(self, &mut tx, (&report.project, report.environment), &found, entropy).await?.told(),
            None => None,
        };
        self.record_in(&mut tx, event).await?;
        let change = match turned {
            Some((subject, kind, hashes)) => {
                let (project, environment, now) = (&report.project, report.environment, report.reported_at);
                Some(changes::write_of(&mut tx, project, environment, subject, kind, hashes, now).await?)
            }
            None => None,
        };
        tx.commit().await?;
        Ok(LeakRecorded::New(change, alert.map(Box::new)))
    }

    /// The report that has told of this secret of a credential at this place.
    pub async fn find_leak_report(
        &self,
        subject: &CredentialId,
        hint: &str,
        place: &LeakPlace,
    ) -> Result<Option<LeakReport>> {
        let values = values![subject.as_str(), hint, place.source(), place.url()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The reports about credentials of a project and environment, newest first. A page comes after the id of the last report of
    /// the one before.
    pub async fn list_leak_reports(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &LeakFilter,
        request: &PageRequest,
    ) -> Result<Page<LeakReport>> {
        let values = values![project.as_str(), environment.as_str(), filter.subject.as_deref()];
        let statements = match filter.subject {
            Some(_) => Statements { page: LIST_OF_SUBJECT, count: COUNT_OF_SUBJECT },
            None => Statements { page: LIST, count: COUNT },
        };
        self.page(statements, values, pages::after(request).unwrap_or(AFTER_ALL).into(), request, read).await
    }

    /// Removes up to `batch` reports from before this time; how many it were.
    pub async fn prune_leak_reports(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![before, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }

    /// The client that has a secret with this hash, or manages its registration by what has it. Not of a deleted client or
    /// project.
    pub async fn find_client_behind(&self, hash: &SecretHash) -> Result<Option<Client>> {
        for statement in [FIND_BY_SECRET, FIND_BY_REGISTRATION] {
            if let Some(row) = self.db.fetch_optional(statement, values![hash.as_bytes()]).await? {
                return client_rows::read(&row).map(Some);
            }
        }
        Ok(None)
    }
}

/// Stores a report; whether there was none of this secret and place.
async fn insert(tx: &mut Tx, report: &LeakReport) -> Result<bool> {
    let values = values![
        report.id.as_str(),
        report.project.as_str(),
        report.environment.as_str(),
        report.subject.as_str(),
        report.kind.as_str(),
        &report.hint,
        report.place.source(),
        report.place.url(),
        report.reporter.as_str(),
        report.action.as_str(),
        report.reported_at,
    ];
    Ok(tx.execute(INSERT, values).await? > 0)
}

/// Changes what a report turns; none where it had ended meanwhile.
async fn turn(
    tx: &mut Tx,
    turns: LeakTurns<'_>,
    now: Timestamp,
) -> Result<Option<(CredentialId, ChangeKind, Vec<SecretHash>)>> {
    Ok(match turns {
        LeakTurns::Nothing => None,
        LeakTurns::Key(key, version, kind) => {
            key_rows::update(tx, key, version).await?;
            Some((key.id.clone().into(), kind, keys::hashes(tx, &key.id).await?))
        }
        LeakTurns::Grant(id) => {
            end_grant(tx, id, now).await?.map(|hashes| (CredentialId::Grant(id.clone()), ChangeKind::Revoked, hashes))
        }
        LeakTurns::Token(hash) => {
            end_access_token(tx, hash, now).await?.map(|id| (CredentialId::Token(id), ChangeKind::Revoked, vec![*hash]))
        }
        LeakTurns::Session(session) => sessions::end_one(tx, session, now)
            .await?
            .map(|hash| (CredentialId::Session(session.id.clone()), ChangeKind::Revoked, vec![hash])),
    })
}

fn read(row: &Row) -> Result<LeakReport> {
    Ok(LeakReport {
        id: LeakReportId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("leak_reports.environment"))?,
        subject: CredentialId::stored(row.text("subject")?),
        kind: SecretKind::parse(row.str("kind")?).ok_or_else(|| damaged("leak_reports.kind"))?,
        hint: row.text("hint")?,
        place: LeakPlace::stored(row.text("source")?, row.text("url")?),
        reporter: CredentialId::stored(row.text("reporter")?),
        action: LeakAction::parse(row.str("action")?).ok_or_else(|| damaged("leak_reports.action"))?,
        reported_at: row.time("reported_at")?,
    })
}

macro_rules! leak_columns {
    () => {
        "l.id, l.project, l.environment, l.subject, l.kind, l.hint, l.source, l.url, l.reporter, l.action, l.reported_at"
    };
}

const INSERT: &str = "INSERT INTO leak_reports (id, project, environment, subject, kind, hint, source, url, reporter,
        action, reported_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (subject, hint, source, url) DO NOTHING";
const DELETE_SURPLUS: &str = "DELETE FROM leak_reports WHERE id IN
    (SELECT l.id FROM leak_reports l WHERE l.project = $1 AND l.environment = $2 AND l.subject = $3
        ORDER BY l.id DESC LIMIT 100 OFFSET $4)";
const FIND: &str = concat!(
    "SELECT ",
    leak_columns!(),
    " FROM leak_reports l WHERE l.subject = $1 AND l.hint = $2 AND l.source = $3 AND l.url = $4"
);
const LIST: &str = concat!(
    "SELECT ",
    leak_columns!(),
    " FROM leak_reports l WHERE l.project = $1 AND l.environment = $2 AND $3 IS NULL AND l.id < $4
    ORDER BY l.id DESC LIMIT $5 OFFSET $6"
);
const COUNT: &str = "SELECT COUNT(*) AS total FROM leak_reports l
    WHERE l.project = $1 AND l.environment = $2 AND $3 IS NULL";
const LIST_OF_SUBJECT: &str = concat!(
    "SELECT ",
    leak_columns!(),
    " FROM leak_reports l WHERE l.project = $1 AND l.environment = $2 AND l.subject = $3 AND l.id < $4
    ORDER BY l.id DESC LIMIT $5 OFFSET $6"
);
const COUNT_OF_SUBJECT: &str = "SELECT COUNT(*) AS total FROM leak_reports l
    WHERE l.project = $1 AND l.environment = $2 AND l.subject = $3";
const PRUNE: &str = "DELETE FROM leak_reports WHERE id IN
    (SELECT l.id FROM leak_reports l WHERE l.reported_at < $1 ORDER BY l.reported_at LIMIT $2)";
const FIND_BY_SECRET: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_secrets s JOIN clients c ON c.id = s.client_id JOIN projects o ON o.id = c.project
    WHERE s.hash = $1 AND c.deleted_at IS NULL AND o.deleted_at IS NULL"
);
const FIND_BY_REGISTRATION: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_registrations g JOIN clients c ON c.id = g.client_id JOIN projects o ON o.id = c.project
    WHERE g.hash = $1 AND c.deleted_at IS NULL AND o.deleted_at IS NULL"
);

/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";
/// Reports of one credential that are kept; the oldest make room.
const MOST_OF_SUBJECT: u32 = 100;

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (DELETE_SURPLUS, "leak_reports_of_subject"),
    (FIND, "leak_reports_once"),
    (LIST, "leak_reports_listed"),
    (COUNT, "leak_reports_listed"),
    (LIST_OF_SUBJECT, "leak_reports_of_subject"),
    (COUNT_OF_SUBJECT, "leak_reports_of_subject"),
    (PRUNE, "leak_reports_ending"),
    (FIND_BY_SECRET, "SEARCH s USING PRIMARY KEY"),
    (FIND_BY_REGISTRATION, "client_registrations_by_hash"),
];
