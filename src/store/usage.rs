//! Writing down how credentials were used: counts, access log, last uses.
//!
//! All of it is added to what is there, so that any number of nodes may write, and rows are taken in one order, so that none
//! waits for another that waits for it.

use std::collections::BTreeMap;

use super::access_log;
use super::db::{Tx, values};
use super::error::Result;
use super::many_rows::{Rows, Upsert, insertion};
use super::{Store, alert_watch, key_uses};
use crate::domain::alert::Alert;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::id::{ClientId, KeyId, UserId};
use crate::domain::usage::{Grain, Subject, Tally, outcome_name};

/// Whose calls a row counts, as it is stored: empty is none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Whose<'a> {
    pub(super) project: &'a str,
    pub(super) environment: &'a str,
    pub(super) key: &'a str,
    pub(super) client: &'a str,
    pub(super) user: &'a str,
}

impl Store {
    /// Adds these calls to what was counted, all or none, and holds them against the rules for alerts: those that were raised.
    pub async fn add_usage(&self, tallies: &[Tally], entropy: &dyn Entropy) -> Result<Vec<Alert>> {
        let mut tx = self.db.begin().await?;
        add_counts(&mut tx, tallies).await?;
        access_log::add(&mut tx, tallies).await?;
        key_uses::add(&mut tx, tallies).await?;
        let raised = alert_watch::observe(self, &mut tx, tallies, entropy).await?;
        tx.commit().await?;
        Ok(raised)
    }

    /// Forgets up to `batch` counts of this grain that began before this time; how many it were.
    pub async fn prune_usage(&self, grain: Grain, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let pruned = tx.execute(PRUNE, values![grain.as_str(), before, batch]).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

impl<'a> Whose<'a> {
    pub(super) fn of(subject: &'a Subject) -> Self {
        let place = subject.place.as_ref().map(|(project, environment)| (project.as_str(), environment.as_str()));
        let (project, environment) = place.unwrap_or_default();
        Self {
            project,
            environment,
            key: subject.key.as_ref().map_or("", KeyId::as_str),
            client: subject.client.as_ref().map_or("", ClientId::as_str),
            user: subject.user.as_ref().map_or("", UserId::as_str),
        }
    }
}

/// A number of calls as it is stored.
pub(super) fn number(calls: u64) -> i64 {
    i64::try_from(calls).unwrap_or(i64::MAX)
}

async fn add_counts(tx: &mut Tx, tallies: &[Tally]) -> Result<()> {
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    for tally in tallies {
        for grain in Grain::ALL {
            let row = (
                Whose::of(&tally.subject),
                grain,
                grain.start(tally.minute),
                tally.method,
                outcome_name(tally.outcome),
            );
            *counts.entry(row).or_default() += tally.calls;
        }
    }
    let mut rows = Rows::new(&COUNTS);
    for ((whose, grain, began_at, method, outcome), calls) in counts {
        let Whose { project, environment, key, client, user } = whose;
        let (grain, calls) = (grain.as_str(), number(calls));
        rows.add(values![project, environment, grain, began_at, key, client, user, method, outcome, calls]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await
}

static COUNTS: Upsert = insertion!(
    "usage_counts (project, environment, grain, began_at, key_id, client_id, user_id, method, outcome, calls)",
    10,
    "ON CONFLICT (project, environment, grain, began_at, key_id, client_id, user_id, method, outcome)
        DO UPDATE SET calls = usage_counts.calls + excluded.calls"
);
const PRUNE: &str =
    "DELETE FROM usage_counts WHERE (project, environment, grain, began_at, key_id, client_id, user_id, method, outcome) IN
    (SELECT u.project, u.environment, u.grain, u.began_at, u.key_id, u.client_id, u.user_id, u.method, u.outcome
        FROM usage_counts u WHERE u.grain = $1 AND u.began_at < $2 ORDER BY u.began_at LIMIT $3)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(PRUNE, "usage_counts_ended")];
