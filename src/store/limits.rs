//! Limits: those of keys and projects, and what was spent of them.

use std::time::Duration;

use super::Store;
use super::db::{Row, Tx, damaged, values};
use super::error::Result;
use crate::domain::clock::Timestamp;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::key::KeyKind;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::tally::{Tally, Terms};
use crate::domain::limit::{RateLimit, RateLimits};
use crate::domain::project::Project;

/// What was spent of one bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// The bucket.
    pub id: BucketId,
    /// What was spent.
    pub tally: Tally,
}

impl Store {
    /// Whether the store is one node's alone, whose memory says what was spent.
    pub fn is_one_nodes(&self) -> bool {
        self.db.has_one_writer()
    }

    /// What was spent and has not come back, by name: up to `limit` buckets after the one of this name.
    pub async fn list_spent(&self, after: &str, now: Timestamp, limit: u32) -> Result<Vec<Spent>> {
        let rows = self.db.fetch_all(LIST_SPENT, values![after, now, limit]).await?;
        rows.iter().map(spent).collect()
    }

    /// Writes down what was spent of these buckets, in place of what was written of them before.
    pub async fn write_spent(&self, spent: &[Spent]) -> Result<()> {
        if spent.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        for Spent { id, tally } in spent {
            let Terms { calls, window } = tally.terms();
            // At most 31 days.
            let window = i64::try_from(window).unwrap_or(i64::MAX);
            let values = values![&*id.text, id.project.as_str(), calls, window, tally.whole_at(), tally.part()];
            tx.execute(WRITE_SPENT, values).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes up to so many calls out of a bucket that several nodes share, under these terms: how many there were, and
    /// how the bucket stands now. Of those who ask at one time each waits for the one before.
    pub async fn lease_calls(&self, id: &BucketId, terms: Terms, most: u32, now: Timestamp) -> Result<(u32, Tally)> {
        let mut tx = self.db.begin().await?;
        // At most 31 days.
        let window = i64::try_from(terms.window).unwrap_or(i64::MAX);
        let whole = values![&*id.text, id.project.as_str(), terms.calls, window, 0_i64, 0_i64];
        let row = tx.fetch_one(HOLD_SPENT, whole).await?;
        let mut tally = spent(&row)?.tally;
        tally.adopt(terms, now);
        let given = most.min(tally.remaining(now));
        tally.spend(given, now);
        let (whole_at, part) = (tally.whole_at(), tally.part());
        let spent = values![&*id.text, id.project.as_str(), terms.calls, window, whole_at, part];
        tx.execute(WRITE_SPENT, spent).await?;
        tx.commit().await?;
        Ok((given, tally))
    }

    /// Forgets up to `batch` buckets that are whole again; how many it were.
    pub async fn prune_spent(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let pruned = tx.execute(PRUNE_SPENT, values![now, batch]).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

/// The limits that the project of a key `k` gives to keys of its type, as [`read`] expects them.
macro_rules! default_limits_column {
    () => {
        "(SELECT string_agg(d.name || ' ' || d.calls || ' ' || d.window_micros || CASE WHEN d.shared THEN ' shared' ELSE ' own' END, ' ')
            FROM project_rate_limits d WHERE d.project = k.project AND d.kind = k.kind) AS default_rate_limits"
    };
}
pub(super) use default_limits_column;

/// Reads limits: name, calls, microseconds and whether it is shared in turn, parted by spaces, which no name holds.
pub(super) fn read(text: Option<&str>) -> Result<RateLimits> {
    let mut words = text.unwrap_or_default().split_ascii_whitespace();
    let mut limits = Vec::new();
    while let Some(name) = words.next() {
        limits.push(read_one(name, &mut words)?);
    }
    Ok(RateLimits::new(limits))
}

/// Reads the limits that a project gives to keys: each with the keys' type before it.
pub(super) fn read_defaults(text: Option<&str>) -> Result<Vec<(KeyKind, RateLimits)>> {
    let mut words = text.unwrap_or_default().split_ascii_whitespace();
    let mut limits = Vec::new();
    while let Some(kind) = words.next() {
        let kind = KeyKind::parse(kind).ok_or_else(|| damaged("project_rate_limits.kind"))?;
        let name = words.next().ok_or_else(|| damaged("project_rate_limits.name"))?;
        limits.push((kind, read_one(name, &mut words)?));
    }
    let of = |kind| RateLimits::new(limits.iter().filter(|(other, _)| *other == kind).map(|(_, limit)| limit.clone()));
    Ok(KeyKind::ALL.map(|kind| (kind, of(kind))).into_iter().filter(|(_, limits)| !limits.is_empty()).collect())
}

fn read_one<'t>(name: &str, words: &mut impl Iterator<Item = &'t str>) -> Result<RateLimit> {
    let mut word = || words.next().ok_or_else(|| damaged("rate_limits"));
    let calls = word()?.parse().map_err(|_| damaged("rate_limits.calls"))?;
    let micros = word()?.parse().map_err(|_| damaged("rate_limits.window_micros"))?;
    Ok(RateLimit { name: name.into(), calls, window: Duration::from_micros(micros), shared: word()? == "shared" })
}

/// Stores the limits of a key that has none.
pub(super) async fn insert_of_key(tx: &mut Tx, key: &KeyId, limits: &RateLimits) -> Result<()> {
    for limit in limits.iter() {
        let values = values![key.as_str(), &*limit.name, limit.calls, window_micros(limit), limit.shared];
        tx.execute(INSERT_OF_KEY, values).await?;
    }
    Ok(())
}

/// Removes the limits of a key.
pub(super) async fn remove_of_key(tx: &mut Tx, key: &KeyId) -> Result<()> {
    tx.execute(DELETE_OF_KEY, values![key.as_str()]).await?;
    Ok(())
}

/// Stores the limits that a project gives to keys, in place of those it gave.
pub(super) async fn replace_of_project(tx: &mut Tx, project: &Project) -> Result<()> {
    tx.execute(DELETE_OF_PROJECT, values![project.id.as_str()]).await?;
    for (kind, limits) in &project.details.default_rate_limits {
        for limit in limits.iter() {
            let values = values![
                project.id.as_str(),
                kind.as_str(),
                &*limit.name,
                limit.calls,
                window_micros(limit),
                limit.shared
            ];
            tx.execute(INSERT_OF_PROJECT, values).await?;
        }
    }
    Ok(())
}

/// A window as it is stored.
pub(super) fn window_micros(limit: &RateLimit) -> i64 {
    // At most 31 days.
    i64::try_from(limit.window.as_micros()).unwrap_or(i64::MAX)
}

fn spent(row: &Row) -> Result<Spent> {
    let calls = u32::try_from(row.int("calls")?).map_err(|_| damaged("spent_limits.calls"))?;
    let window = u64::try_from(row.int("window_micros")?).map_err(|_| damaged("spent_limits.window_micros"))?;
    if calls == 0 || window == 0 {
        return Err(damaged("spent_limits.calls"));
    }
    let id = BucketId { text: row.str("bucket")?.into(), project: ProjectId::stored(row.text("project")?) };
    let part = u32::try_from(row.int("part")?).map_err(|_| damaged("spent_limits.part"))?;
    Ok(Spent { id, tally: Tally::restored(Terms { calls, window }, row.time("whole_at")?, part) })
}

const LIST_SPENT: &str = "SELECT bucket, project, calls, window_micros, whole_at, part FROM spent_limits
    WHERE bucket > $1 AND whole_at >= $2 ORDER BY bucket LIMIT $3";
const WRITE_SPENT: &str = "INSERT INTO spent_limits (bucket, project, calls, window_micros, whole_at, part)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (bucket) DO UPDATE SET calls = excluded.calls,
        window_micros = excluded.window_micros, whole_at = excluded.whole_at, part = excluded.part";
/// Changes nothing of a bucket that is there: nobody else can until the transaction ends.
const HOLD_SPENT: &str = "INSERT INTO spent_limits (bucket, project, calls, window_micros, whole_at, part)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (bucket) DO UPDATE SET bucket = excluded.bucket
    RETURNING bucket, project, calls, window_micros, whole_at, part";
const PRUNE_SPENT: &str = "DELETE FROM spent_limits WHERE bucket IN
    (SELECT s.bucket FROM spent_limits s WHERE s.whole_at < $1 ORDER BY s.whole_at LIMIT $2)";
const INSERT_OF_KEY: &str =
    "INSERT INTO key_rate_limits (key_id, name, calls, window_micros, shared) VALUES ($1, $2, $3, $4, $5)";
const DELETE_OF_KEY: &str = "DELETE FROM key_rate_limits WHERE key_id = $1";
const INSERT_OF_PROJECT: &str = "INSERT INTO project_rate_limits (project, kind, name, calls, window_micros, shared)
    VALUES ($1, $2, $3, $4, $5, $6)";
const DELETE_OF_PROJECT: &str = "DELETE FROM project_rate_limits WHERE project = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (LIST_SPENT, "PRIMARY KEY"),
    (PRUNE_SPENT, "spent_limits_whole"),
    (DELETE_OF_KEY, "PRIMARY KEY"),
    (DELETE_OF_PROJECT, "PRIMARY KEY"),
];
