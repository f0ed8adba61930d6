//! Alerts: raising each once, and finding them again.
//!
//! Whoever raises one claims it in the transaction that says why, so that any number of nodes tell it once, and none after a restart.

use super::Store;
use super::access_log::{read_address, stored_address};
use super::db::{Row, Tx, damaged, values};
use super::error::Result;
use super::pages::{self, Statements};
use crate::domain::alert::{Alert, AlertKind, Finding, Named};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
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

/// Tells what was found, also to webhooks, unless it was told lately: then it is only counted.
pub(super) async fn raise(
    store: &Store,
    tx: &mut Tx,
    place: (&ProjectId, Environment),
    found: &Finding,
    entropy: &dyn Entropy,
) -> Result<Option<Alert>> {
    let (project, environment, kind) = (place.0.as_str(), place.1.as_str(), found.kind.as_str());
    let id = AlertId::new(found.last_at, entropy);
    let values = values![project, environment, kind, &found.claim, id.as_str(), found.until, found.last_at];
    if tx.execute(CLAIM, values).await? == 0 {
        if found.more > 0 {
            let known = tx.fetch_one(CLAIMED, values![project, environment, kind, &found.claim]).await?;
            count_in(tx, known.str("alert_id")?, found, found.more).await?;
        }
        return Ok(None);
    }
    let hour_ago = format!("alt_{:012x}", found.last_at.millis().saturating_sub(HOUR_MILLIS).max(0));
    let lately = tx.fetch_all(LATELY, values![project, environment, kind, &hour_ago, MOST_IN_HOUR]).await?;
    if let (MOST_IN_HOUR, Some(newest)) = (u32::try_from(lately.len()).unwrap_or(MOST_IN_HOUR), lately.first()) {
        let newest = newest.text("id")?;
        tx.execute(COUNT_WITH, values![project, environment, kind, &found.claim, &newest]).await?;
        count_in(tx, &newest, found, found.calls).await?;
        return Ok(None);
    }
    let mut alert = Alert::about(id, place, found, named(tx, found).await?);
    if lately.len() + 1 == MOST_IN_HOUR as usize {
        alert.message += STORM;
    }
    insert(tx, &alert).await?;
    // Whoever is to hear of it does if it is there, and only then.
    if let Some(event) = alert.event(entropy) {
        store.enqueue(tx, &event).await?;
    }
    Ok(Some(alert))
}

async fn count_in(tx: &mut Tx, id: &str, found: &Finding, calls: i64) -> Result<()> {
    let address = stored_address(found.address);
    let (user_agent, method) = (found.user_agent.as_deref(), found.method.as_deref());
    let known = found.address.is_some();
    let values = values![id, calls, found.observed, found.last_at, &address, user_agent, method, known];
    tx.execute(COUNT_IN, values).await?;
    Ok(())
}

/// What the key is called that it is about.
async fn named(tx: &mut Tx, found: &Finding) -> Result<Named> {
    let Some(CredentialId::Key(key)) = &found.subject else { return Ok(Named::default()) };
    let Some(row) = tx.fetch_optional(NAMED, values![key.as_str()]).await? else { return Ok(Named::default()) };
    Ok(Named { name: row.text("name")?, owner: row.opt_text("owner")? })
}

async fn insert(tx: &mut Tx, alert: &Alert) -> Result<()> {
    let address = stored_address(alert.address);
    let values = values![
        alert.id.as_str(),
        alert.project.as_str(),
        alert.environment.as_str(),
        alert.kind.as_str(),
        alert.subject.as_ref().map_or("", CredentialId::as_str),
        alert.owner.as_deref(),
        alert.observed,
        alert.threshold,
        alert.calls,
        &address,
        alert.user_agent.as_deref(),
        alert.method.as_deref(),
        alert.first_at,
        alert.last_at,
        &alert.message,
    ];
    tx.execute(INSERT, values).await?;
    Ok(())
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
const CLAIM: &str = "INSERT INTO alert_claims (project, environment, kind, claim, alert_id, until)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (project, environment, kind, claim) DO UPDATE SET alert_id = excluded.alert_id, until = excluded.until
        WHERE alert_claims.until <= $7";
const CLAIMED: &str = "SELECT c.alert_id FROM alert_claims c WHERE c.project = $1 AND c.environment = $2 AND c.kind = $3 AND c.claim = $4";
const COUNT_WITH: &str = "UPDATE alert_claims SET alert_id = $5
    WHERE project = $1 AND environment = $2 AND kind = $3 AND claim = $4";
const COUNT_IN: &str =
    "UPDATE alerts SET calls = calls + $2, observed = CASE WHEN observed < $3 THEN $3 ELSE observed END,
        last_at = CASE WHEN last_at < $4 THEN $4 ELSE last_at END,
        address = CASE WHEN $8 THEN $5 ELSE address END, user_agent = COALESCE($6, user_agent),
        method = COALESCE($7, method)
    WHERE id = $1";
const LATELY: &str =
    "SELECT l.id FROM alerts l WHERE l.project = $1 AND l.environment = $2 AND l.kind = $3 AND l.id > $4
    ORDER BY l.id DESC LIMIT $5";
const NAMED: &str = "SELECT k.name, k.owner FROM keys k WHERE k.id = $1";
const INSERT: &str =
    "INSERT INTO alerts (id, project, environment, kind, subject, owner, observed, threshold, calls, address,
        user_agent, method, first_at, last_at, message)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
const PRUNE: &str = "DELETE FROM alerts WHERE id IN
    (SELECT l.id FROM alerts l WHERE l.last_at < $1 ORDER BY l.last_at LIMIT $2)";
const PRUNE_CLAIMS: &str = "DELETE FROM alert_claims WHERE (project, environment, kind, claim) IN
    (SELECT c.project, c.environment, c.kind, c.claim FROM alert_claims c WHERE c.until < $1 ORDER BY c.until LIMIT $2)";

/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";
/// Alerts of one kind that a project gets in an hour: more would be read by nobody.
const MOST_IN_HOUR: u32 = 100;
const HOUR_MILLIS: i64 = 3_600_000;
/// What the last of them says.
const STORM: &str = " This is the 100th alert of its kind within an hour: what else is like it is counted here, and not told by \
    itself.";

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
    (CLAIMED, "PRIMARY KEY"),
    (COUNT_WITH, "PRIMARY KEY"),
    (COUNT_IN, "sqlite_autoindex_alerts_1"),
    (LATELY, "alerts_of_kind"),
    (NAMED, "sqlite_autoindex_keys_1"),
    (PRUNE, "alerts_ended"),
    (PRUNE_CLAIMS, "alert_claims_ended"),
];
