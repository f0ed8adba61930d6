//! Raising alerts: each is told once, and so many that somebody reads them.
//!
//! Whoever raises one claims it in the transaction that says why, so that any number of nodes tell it once, and none after a restart.
//! What there is no room for is counted in the alert that says so, which is found by a claim of its own.

use std::time::Duration;

use super::Store;
use super::access_log::stored_address;
use super::db::{Row, Tx, values};
use super::error::Result;
use crate::domain::alert::{Alert, Bound, Finding, MOST, Named, Whose};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{AlertId, CredentialId, ProjectId};
use crate::domain::key::KeyKind;

/// What came of what was found.
pub(super) enum Raised {
    /// It is told.
    Told(Box<Alert>),
    /// It was told before.
    Known,
    /// There was no room to tell it. It is to be told when there is.
    HeldBack,
}

impl Raised {
    /// The alert, if it is told.
    pub(super) fn told(self) -> Option<Alert> {
        match self {
            Self::Told(alert) => Some(*alert),
            Self::Known | Self::HeldBack => None,
        }
    }
}

/// Tells what was found, also to webhooks, unless it was told lately, or there is no room: then it is only counted.
pub(super) async fn raise(
    store: &Store,
    tx: &mut Tx,
    place: (&ProjectId, Environment),
    found: &Finding,
    entropy: &dyn Entropy,
) -> Result<Raised> {
    let (project, environment, kind) = (place.0.as_str(), place.1.as_str(), found.kind.as_str());
    let id = AlertId::new(found.last_at, entropy);
    let values = values![project, environment, kind, &found.claim, id.as_str(), found.until, found.last_at];
    if tx.execute(CLAIM, values).await? == 0 {
        return count_again(tx, place, found).await;
    }
    let (named, whose) = whose(tx, found).await?;
    let bounds = Bound::of(found.kind, &whose, &lately(tx, place, found).await?);
    let in_an_hour = found.last_at.plus(HOUR);
    for bound in bounds.iter().filter(|bound| bound.is_full()) {
        let values = values![project, environment, STORM, &bound.claim, found.last_at];
        // Of one that was filled by what came late nothing says so yet: this will.
        let Some(storm) = tx.fetch_optional(STORMING, values).await? else { continue };
        let storm = storm.text("alert_id")?;
        let held_back = format!("{COUNTED_IN}{storm}");
        let until = found.until.min(in_an_hour);
        tx.execute(HOLD_BACK, values![project, environment, kind, &found.claim, &held_back, until]).await?;
        tx.execute(COUNT_OTHER, values![&storm, found.calls.max(1), found.last_at]).await?;
        return Ok(Raised::HeldBack);
    }
    let mut alert = Alert::about(id, place, found, named);
    for bound in &bounds {
        let Some(words) = bound.filled() else { continue };
        alert.message += &words;
        // Whatever alert it was before.
        let always = Timestamp::from_micros(i64::MAX);
        let values = values![project, environment, STORM, &bound.claim, alert.id.as_str(), in_an_hour, always];
        tx.execute(CLAIM, values).await?;
    }
    insert(tx, &alert).await?;
    // Whoever is to hear of it does if it is there, and only then.
    if let Some(event) = alert.event(entropy) {
        store.enqueue(tx, &event).await?;
    }
    Ok(Raised::Told(Box::new(alert)))
}

/// Counts what is claimed already where it was counted before.
async fn count_again(tx: &mut Tx, place: (&ProjectId, Environment), found: &Finding) -> Result<Raised> {
    if found.more <= 0 {
        return Ok(Raised::Known);
    }
    let values = values![place.0.as_str(), place.1.as_str(), found.kind.as_str(), &found.claim];
    let known = tx.fetch_one(CLAIMED, values).await?;
    let known = known.str("alert_id")?;
    if let Some(storm) = known.strip_prefix(COUNTED_IN) {
        tx.execute(COUNT_OTHER, values![storm, found.more, found.last_at]).await?;
        return Ok(Raised::HeldBack);
    }
    let address = stored_address(found.address);
    let (user_agent, method) = (found.user_agent.as_deref(), found.method.as_deref());
    let is_known = found.address.is_some();
    let values = values![known, found.more, found.observed, found.last_at, &address, user_agent, method, is_known];
    tx.execute(COUNT, values).await?;
    Ok(Raised::Known)
}

/// Whose the credential is that it is about, and what people call it.
async fn whose(tx: &mut Tx, found: &Finding) -> Result<(Named, Whose)> {
    let subject = found.subject.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default();
    let whose = Whose { subject, ..Whose::default() };
    let Some(CredentialId::Key(key)) = &found.subject else { return Ok((Named::default(), whose)) };
    let Some(row) = tx.fetch_optional(NAMED, values![key.as_str()]).await? else {
        return Ok((Named::default(), whose));
    };
    let named = Named { name: row.text("name")?, owner: row.opt_text("owner")? };
    let (user, personal) = (row.opt_text("user_id")?, is_personal(&row)?);
    let whose = Whose { user, personal, owner: named.owner.clone(), ..whose };
    Ok((named, whose))
}

/// Whose the credentials are that alerts of its kind were about within the hour before.
async fn lately(tx: &mut Tx, place: (&ProjectId, Environment), found: &Finding) -> Result<Vec<Whose>> {
    // The ids are in the order of the times.
    let after = format!("alt_{:012x}", found.last_at.minus(HOUR).millis().max(0));
    let most = u32::try_from(MOST).unwrap_or(u32::MAX);
    let values = values![place.0.as_str(), place.1.as_str(), found.kind.as_str(), &after, most];
    let rows = tx.fetch_all(LATELY, values).await?;
    let read = |row: &Row| {
        let (subject, user, owner) = (row.text("subject")?, row.opt_text("user_id")?, row.opt_text("owner")?);
        Ok(Whose { subject, user, personal: is_personal(row)?, owner })
    };
    rows.iter().map(read).collect()
}

fn is_personal(row: &Row) -> Result<bool> {
    Ok(row.opt_str("key_kind")? == Some(KeyKind::User.as_str()))
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

const CLAIM: &str = "INSERT INTO alert_claims (project, environment, kind, claim, alert_id, until)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (project, environment, kind, claim) DO UPDATE SET alert_id = excluded.alert_id, until = excluded.until
        WHERE alert_claims.until <= $7";
const CLAIMED: &str = "SELECT c.alert_id FROM alert_claims c WHERE c.project = $1 AND c.environment = $2 AND c.kind = $3 AND c.claim = $4";
const STORMING: &str = "SELECT c.alert_id FROM alert_claims c
    WHERE c.project = $1 AND c.environment = $2 AND c.kind = $3 AND c.claim = $4 AND c.until > $5";
const HOLD_BACK: &str = "UPDATE alert_claims SET alert_id = $5, until = $6
    WHERE project = $1 AND environment = $2 AND kind = $3 AND claim = $4";
const COUNT: &str =
    "UPDATE alerts SET calls = calls + $2, observed = CASE WHEN observed < $3 THEN $3 ELSE observed END,
        last_at = CASE WHEN last_at < $4 THEN $4 ELSE last_at END,
        address = CASE WHEN $8 THEN $5 ELSE address END, user_agent = COALESCE($6, user_agent),
        method = COALESCE($7, method)
    WHERE id = $1";
/// Where the others came from, and what they called, is nothing that is said of the credential of this alert.
const COUNT_OTHER: &str =
    "UPDATE alerts SET calls = calls + $2, last_at = CASE WHEN last_at < $3 THEN $3 ELSE last_at END WHERE id = $1";
const NAMED: &str = "SELECT k.name, k.owner, k.user_id, k.kind AS key_kind FROM keys k WHERE k.id = $1";
const LATELY: &str =
    "SELECT l.subject, l.owner, k.user_id, k.kind AS key_kind FROM alerts l LEFT JOIN keys k ON k.id = l.subject
    WHERE l.project = $1 AND l.environment = $2 AND l.kind = $3 AND l.id > $4 ORDER BY l.id DESC LIMIT $5";
const INSERT: &str =
    "INSERT INTO alerts (id, project, environment, kind, subject, owner, observed, threshold, calls, address,
        user_agent, method, first_at, last_at, message)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// The kind of the claims by which alerts are found that count others. No kind of alert is called so.
const STORM: &str = "storm";
/// What a claim that is held back says before the id of the alert that counts it.
const COUNTED_IN: &str = "counted in ";
/// How long what is held back is: after that it is told if there is room.
const HOUR: Duration = Duration::from_secs(3600);

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (CLAIMED, "PRIMARY KEY"),
    (STORMING, "PRIMARY KEY"),
    (HOLD_BACK, "PRIMARY KEY"),
    (COUNT, "sqlite_autoindex_alerts_1"),
    (COUNT_OTHER, "sqlite_autoindex_alerts_1"),
    (LATELY, "alerts_of_kind"),
    (NAMED, "sqlite_autoindex_keys_1"),
];
