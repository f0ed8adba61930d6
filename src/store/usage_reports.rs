//! Reports on how credentials were used.

use super::Store;
use super::db::{Row, damaged, values};
use super::error::Result;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::usage::Grain;

/// What is to be counted, and how it is told apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsageQuery {
    /// The length of the spans.
    pub grain: Grain,
    /// Only spans that began then or later.
    pub from: Timestamp,
    /// Only spans that began before.
    pub before: Timestamp,
    /// By what calls are told apart.
    pub by: UsageGroups,
    /// Which calls.
    pub filter: UsageFilter,
    /// Rows at most.
    pub limit: u32,
}

/// Which calls are to be counted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UsageFilter {
    /// Only calls of this key.
    pub key: Option<String>,
    /// Only calls of keys that have this owner now.
    pub owner: Option<String>,
    /// Only calls of this OAuth client.
    pub client: Option<String>,
    /// Only calls of this user.
    pub user: Option<String>,
    /// Only calls of this method.
    pub method: Option<String>,
    /// Only calls that were decided so.
    pub outcome: Option<String>,
}

/// By what calls are told apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UsageGroups {
    /// The key.
    pub key: bool,
    /// The owner that the key has now.
    pub owner: bool,
    /// The OAuth client.
    pub client: bool,
    /// The user.
    pub user: bool,
    /// What was called.
    pub method: bool,
    /// How it was decided.
    pub outcome: bool,
}

/// A number of calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsageRow {
    /// When the span began.
    pub began_at: Timestamp,
    /// The key, if calls are told apart by it and came with one.
    pub key: Option<String>,
    /// The same for the key's owner.
    pub owner: Option<String>,
    /// The same for the OAuth client.
    pub client: Option<String>,
    /// The same for the user.
    pub user: Option<String>,
    /// The same for what was called.
    pub method: Option<String>,
    /// The same for how it was decided.
    pub outcome: Option<String>,
    /// How many calls they were.
    pub calls: u64,
}

impl Store {
    /// Counts the calls of a project and environment, the oldest first.
    pub async fn report_usage(
        &self,
        project: &ProjectId,
        environment: Environment,
        query: &UsageQuery,
    ) -> Result<Vec<UsageRow>> {
        let UsageGroups { key, owner, client, user, method, outcome } = query.by;
        let filter = &query.filter;
        let values = values![
            project.as_str(),
            environment.as_str(),
            query.grain.as_str(),
            query.from,
            query.before,
            filter.key.as_deref(),
            filter.owner.as_deref(),
            filter.client.as_deref(),
            filter.user.as_deref(),
            filter.method.as_deref(),
            filter.outcome.as_deref(),
            key,
            owner,
            client,
            user,
            method,
            outcome,
            query.limit,
        ];
        let statement = match filter {
            UsageFilter { key: Some(_), .. } => OF_KEY,
            UsageFilter { owner: Some(_), .. } => OF_OWNER,
            _ => ALL,
        };
        self.db.fetch_report(statement, values).await?.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<UsageRow> {
    let some = |column| Ok::<_, super::StoreError>(Some(row.text(column)?).filter(|text| !text.is_empty()));
    Ok(UsageRow {
        began_at: row.time("began_at")?,
        key: some("by_key")?,
        owner: some("by_owner")?,
        client: some("by_client")?,
        user: some("by_user")?,
        method: some("by_method")?,
        outcome: some("by_outcome")?,
        calls: u64::try_from(row.int("total")?).map_err(|_| damaged("usage_counts.calls"))?,
    })
}

macro_rules! counted {
    () => {
        "SELECT u.began_at, CASE WHEN $12 THEN u.key_id ELSE '' END AS by_key,
            CASE WHEN $13 THEN COALESCE(k.owner, '') ELSE '' END AS by_owner,
            CASE WHEN $14 THEN u.client_id ELSE '' END AS by_client, CASE WHEN $15 THEN u.user_id ELSE '' END AS by_user,
            CASE WHEN $16 THEN u.method ELSE '' END AS by_method, CASE WHEN $17 THEN u.outcome ELSE '' END AS by_outcome,
            CAST(SUM(u.calls) AS BIGINT) AS total
        FROM usage_counts u LEFT JOIN keys k ON $13 AND k.id = u.key_id AND k.project = u.project
        WHERE u.project = $1 AND u.environment = $2 AND u.grain = $3 AND u.began_at >= $4 AND u.began_at < $5
            AND ($6 IS NULL OR u.key_id = $6) AND ($7 IS NULL OR u.key_id IN (SELECT o.id FROM keys o
                WHERE o.project = $1 AND o.environment = $2 AND o.owner = $7))
            AND ($8 IS NULL OR u.client_id = $8) AND ($9 IS NULL OR u.user_id = $9)
            AND ($10 IS NULL OR u.method = $10) AND ($11 IS NULL OR u.outcome = $11)"
    };
}

macro_rules! together {
    () => {
        " GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7 LIMIT $18"
    };
}

const ALL: &str = concat!(counted!(), together!());
const OF_KEY: &str = concat!(counted!(), " AND u.key_id = $6", together!());
const OF_OWNER: &str = concat!(
    counted!(),
    " AND u.key_id IN (SELECT w.id FROM keys w WHERE w.project = $1 AND w.environment = $2 AND w.owner = $7)",
    together!()
);
