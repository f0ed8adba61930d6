//! Alerts that were raised: finding them again, and forgetting them. They are raised in `alert_raising`.

use super::Store;
use super::access_log::read_address;
use super::db::{Row, damaged, values};
use super::error::Result;
use super::pages::{self, Statements};
use crate::domain::alert::{Alert, AlertKind};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{AlertId, CredentialId, ProjectId};
use crate::domain::page::{Page, PageRequest};

/// Which alerts a list is to hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AlertFilter {
    /// Only those of this kind.
    pub kind: Option<AlertKind>,
    /// Only those about this credential.
    pub subject: Option<String>,
    /// Only what was seen then or later.
    pub since: Option<Timestamp>,
}

impl Store {
    /// The alert of this id.
    pub async fn find_alert(
        &self,
        project: &ProjectId,
        environment: Environment,
        id: &AlertId,
    ) -> Result<Option<Alert>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The alerts of a project and environment that pass the filter, newest first. A page comes after the id of the last alert of the
    /// one before.
    pub async fn list_alerts(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &AlertFilter,
        request: &PageRequest,
    ) -> Result<Page<Alert>> {
        let values = values![
            project.as_str(),
            environment.as_str(),
            filter.kind.map(AlertKind::as_str),
            filter.subject.as_deref(),
            filter.since.map_or(i64::MIN, Timestamp::micros),
        ];
        let statements = match filter {
            AlertFilter { subject: Some(_), .. } => BY_SUBJECT,
            AlertFilter { kind: Some(_), .. } => BY_KIND,
            _ => ALL,
        };
        self.page(statements, values, pages::after(request).unwrap_or(AFTER_ALL).into(), request, read).await
    }

    /// Forgets up to `batch` alerts that were last seen before this time; how many it were.
    pub async fn prune_alerts(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let pruned = tx.execute(PRUNE, values![before, batch]).await?;
        tx.commit().await?;
        Ok(pruned)
    }

    /// Forgets up to `batch` claims that hold nothing back any more; how many it were.
    pub async fn prune_alert_claims(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let pruned = tx.execute(PRUNE_CLAIMS, values![now, batch]).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

fn read(row: &Row) -> Result<Alert> {
    Ok(Alert {
        id: AlertId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("alerts.environment"))?,
        kind: AlertKind::parse(row.str("kind")?).ok_or_else(|| damaged("alerts.kind"))?,
        subject: Some(row.text("subject")?).filter(|id| !id.is_empty()).map(CredentialId::stored),
        owner: row.opt_text("owner")?,
        observed: row.int("observed")?,
        threshold: row.int("threshold")?,
        calls: row.int("calls")?,
        address: read_address(row.bytes("address")?, "alerts.address")?,
        user_agent: row.opt_text("user_agent")?,
        method: row.opt_text("method")?,
        first_at: row.time("first_at")?,
        last_at: row.time("last_at")?,
        message: row.text("message")?,
    })
}

macro_rules! alert_columns {
    () => {
        "l.id, l.project, l.environment, l.kind, l.subject, l.owner, l.observed, l.threshold, l.calls, l.address, l.user_agent,
        l.method, l.first_at, l.last_at, l.message"
    };
}

/// All statements say the whole filter; they differ in the condition that leads to an index of its own.
macro_rules! statements {
    ($leading:literal) => {
        Statements {
            page: concat!(
                "SELECT ",
                alert_columns!(),
                " FROM alerts l WHERE ",
                statements!(@filter),
                $leading,
                " AND l.id < $6 ORDER BY l.id DESC LIMIT $7 OFFSET $8"
            ),
            count: concat!("SELECT COUNT(*) AS total FROM alerts l WHERE ", statements!(@filter), $leading),
        }
    };
    (@filter) => {
        "l.project = $1 AND l.environment = $2 AND ($3 IS NULL OR l.kind = $3) AND ($4 IS NULL OR l.subject = $4)
            AND l.last_at >= $5"
    };
}

const ALL: Statements = statements!("");
const BY_KIND: Statements = statements!(" AND l.kind = $3");
const BY_SUBJECT: Statements = statements!(" AND l.subject = $4");
const FIND: &str =
    concat!("SELECT ", alert_columns!(), " FROM alerts l WHERE l.id = $1 AND l.project = $2 AND l.environment = $3");
const PRUNE: &str = "DELETE FROM alerts WHERE id IN
    (SELECT l.id FROM alerts l WHERE l.last_at < $1 ORDER BY l.last_at LIMIT $2)";
const PRUNE_CLAIMS: &str = "DELETE FROM alert_claims WHERE (project, environment, kind, claim) IN
    (SELECT c.project, c.environment, c.kind, c.claim FROM alert_claims c WHERE c.until < $1 ORDER BY c.until LIMIT $2)";

/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (ALL.page, "alerts_listed"),
    (ALL.count, "(project=? AND environment=?)"),
    (BY_KIND.page, "alerts_of_kind"),
    (BY_KIND.count, "alerts_of_kind"),
    (BY_SUBJECT.page, "alerts_of_subject"),
    (BY_SUBJECT.count, "alerts_of_subject"),
    (FIND, "sqlite_autoindex_alerts_1"),
    (PRUNE, "alerts_ended"),
    (PRUNE_CLAIMS, "alert_claims_ended"),
];
