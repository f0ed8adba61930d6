//! The access log: who called when, and from where, a row for all calls of a minute that are alike.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::Store;
use super::db::{Row as DbRow, Tx, damaged, values};
use super::error::Result;
use super::many_rows::{Rows, Upsert, insertion};
use super::pages::{self, Statements};
use super::usage::{Whose, number};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::network::unmapped;
use crate::domain::page::{Page, PageRequest};
use crate::domain::usage::{Tally, outcome_name};

/// Calls of one minute that are alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessEntry {
    /// The minute.
    pub minute: Timestamp,
    /// The key they came with.
    pub key: Option<String>,
    /// The OAuth client.
    pub client: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// What was called; none where it is not told apart.
    pub method: Option<String>,
    /// How it was decided.
    pub outcome: String,
    /// Where they came from; none where that is not known, or there were too many.
    pub address: Option<IpAddr>,
    /// How many they are.
    pub calls: u64,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// What the client of the last of them called itself.
    pub user_agent: Option<String>,
    /// Where the entry stands in lists.
    pub place: String,
}

/// Which entries a list is to hold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AccessFilter {
    /// Only what nobody knows, of all projects, rather than what is of one.
    pub unknown_at_the_door: bool,
    /// Only calls of this key.
    pub key: Option<String>,
    /// Only calls of this OAuth client.
    pub client: Option<String>,
    /// Only calls of this user.
    pub user: Option<String>,
    /// Only calls of this method.
    pub method: Option<String>,
    /// Only calls that were decided so.
    pub outcome: Option<String>,
    /// Only calls from these addresses.
    pub addresses: Option<IpNet>,
    /// Only minutes that began then or later.
    pub from: Option<Timestamp>,
    /// Only minutes that began before.
    pub before: Option<Timestamp>,
}

/// Where calls came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressUse {
    /// The address; none where it is not known, or not told apart.
    pub address: Option<IpAddr>,
    /// How many calls.
    pub calls: u64,
    /// When the last of them was.
    pub last_at: Timestamp,
}

impl Store {
    /// Where a key was used from since a time, the most calls first.
    pub async fn list_addresses(
        &self,
        project: &ProjectId,
        environment: Environment,
        key: &KeyId,
        from: Timestamp,
        limit: u32,
    ) -> Result<Vec<AddressUse>> {
        let values = values![project.as_str(), environment.as_str(), key.as_str(), from, limit];
        let read = |row: &DbRow| {
            let address = read_address(row.bytes("address")?, "access_log.address")?;
            let calls = u64::try_from(row.int("total")?).map_err(|_| damaged("access_log.calls"))?;
            Ok(AddressUse { address, calls, last_at: row.time("last_at")? })
        };
        self.db.fetch_report(ADDRESSES, values).await?.iter().map(read).collect()
    }

    /// The entries of a project and environment that pass the filter, newest first. A page comes after the place of the last
    /// entry of the one before.
    pub async fn list_access(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &AccessFilter,
        request: &PageRequest,
    ) -> Result<Page<AccessEntry>> {
        let whole = filter.unknown_at_the_door;
        let (project, environment) = if whole { ("", "") } else { (project.as_str(), environment.as_str()) };
        let start = (filter.before.map_or(i64::MAX, Timestamp::micros), Vec::new());
        let (minute, id) = pages::after(request).map_or(Ok(start), place)?;
        let ends = filter.addresses.map(|range| (sixteen(range.network()), sixteen(last(range))));
        let values = values![
            project,
            environment,
            filter.key.as_deref(),
            filter.client.as_deref(),
            filter.user.as_deref(),
            filter.method.as_deref(),
            filter.outcome.as_deref(),
            ends.as_ref().map(|(first, _)| &first[..]),
            ends.as_ref().map(|(_, last)| &last[..]),
            filter.from.map_or(i64::MIN, Timestamp::micros),
            minute,
        ];
        self.page_of_report(statements(filter), values, (&id).into(), request, read).await
    }

    /// Forgets up to `batch` entries whose minute began before this time; how many it were.
    pub async fn prune_access_log(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let pruned = tx.execute(PRUNE, values![before, batch]).await?;
        tx.commit().await?;
        Ok(pruned)
    }
}

/// Adds these calls.
pub(super) async fn add(tx: &mut Tx, tallies: &[Tally]) -> Result<()> {
    let mut merged: BTreeMap<[u8; 16], Row<'_>> = BTreeMap::new();
    for tally in tallies {
        let row = Row::of(tally);
        match merged.get_mut(&row.id()) {
            Some(known) => known.take(row),
            None => drop(merged.insert(row.id(), row)),
        }
    }
    let mut rows = Rows::new(&ROWS);
    for (id, row) in &merged {
        let Whose { project, environment, key, client, user } = row.whose;
        let (minute, address, calls) = (row.minute, &row.address, number(row.calls));
        rows.add(values![
            &id[..],
            project,
            environment,
            minute,
            key,
            client,
            user,
            row.method,
            row.outcome,
            address,
            calls,
            row.last_at,
            row.user_agent,
        ]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await
}

/// An entry on its way to the store.
struct Row<'a> {
    whose: Whose<'a>,
    minute: Timestamp,
    method: &'a str,
    outcome: &'a str,
    address: Vec<u8>,
    calls: u64,
    last_at: Timestamp,
    user_agent: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(tally: &'a Tally) -> Self {
        Self {
            whose: Whose::of(&tally.subject),
            minute: tally.minute,
            method: tally.method,
            outcome: outcome_name(tally.outcome),
            address: stored_address(tally.address),
            calls: tally.calls,
            last_at: tally.last_at,
            user_agent: tally.user_agent.as_deref().map(|text| &**text),
        }
    }

    /// Names what makes its calls alike. Sixteen bytes of BLAKE3: no two that differ will ever be found to share one.
    fn id(&self) -> [u8; 16] {
        let Whose { project, environment, key, client, user } = self.whose;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.minute.micros().to_le_bytes());
        for text in [project, environment, key, client, user, self.method, self.outcome] {
            // None of them holds a NUL.
            hasher.update(text.as_bytes()).update(&[0]);
        }
        hasher.update(&self.address);
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        id
    }

    fn take(&mut self, other: Self) {
        self.calls += other.calls;
        if other.last_at >= self.last_at {
            (self.last_at, self.user_agent) = (other.last_at, other.user_agent);
        }
    }
}

/// An address as it is stored: 16 bytes, so that a range of addresses is a range of values, or none.
pub(super) fn stored_address(address: Option<IpAddr>) -> Vec<u8> {
    address.map(sixteen).unwrap_or_default()
}

/// The address that is stored like this.
pub(super) fn read_address(bytes: &[u8], column: &'static str) -> Result<Option<IpAddr>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| damaged(column))?;
    Ok(Some(unmapped(Ipv6Addr::from(bytes).into())))
}

fn sixteen(address: IpAddr) -> Vec<u8> {
    let v6 = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    v6.octets().to_vec()
}

fn last(range: IpNet) -> IpAddr {
    range.broadcast()
}

fn read(row: &DbRow) -> Result<AccessEntry> {
    let some = |column| Ok::<_, super::StoreError>(Some(row.text(column)?).filter(|text| !text.is_empty()));
    let minute = row.time("minute")?;
    let id: String = row.bytes("id")?.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(AccessEntry {
        minute,
        key: some("key_id")?,
        client: some("client_id")?,
        user: some("user_id")?,
        method: some("method")?,
        outcome: row.text("outcome")?,
        address: read_address(row.bytes("address")?, "access_log.address")?,
        calls: u64::try_from(row.int("calls")?).map_err(|_| damaged("access_log.calls"))?,
        last_at: row.time("last_at")?,
        user_agent: row.opt_text("user_agent")?,
        place: format!("{} {id}", minute.micros()),
    })
}

/// A place in lists: its minute and its id.
fn place(text: &str) -> Result<(i64, Vec<u8>)> {
    let byte = |at: usize, id: &str| id.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    let parts = text.split_once(' ').and_then(|(minute, id)| {
        Some((minute.parse().ok()?, (0..id.len()).step_by(2).map(|at| byte(at, id)).collect::<Option<Vec<u8>>>()?))
    });
    parts.ok_or_else(|| damaged("page_token"))
}

/// The list's statement for the part of the filter that is likely to leave the fewest entries.
fn statements(filter: &AccessFilter) -> Statements {
    match filter {
        AccessFilter { key: Some(_), .. } => BY_KEY,
        AccessFilter { outcome: Some(_), .. } => BY_OUTCOME,
        _ => ALL,
    }
}

/// All statements say the whole filter; they differ in the condition that leads to an index of its own.
macro_rules! statements {
    ($leading:literal) => {
        Statements {
            page: concat!(
                "SELECT l.id, l.minute, l.key_id, l.client_id, l.user_id, l.method, l.outcome, l.address, l.calls, l.last_at,
                l.user_agent FROM access_log l WHERE ",
                statements!(@filter),
                $leading,
                " AND (l.minute, l.id) < ($11, $12) ORDER BY l.minute DESC, l.id DESC LIMIT $13 OFFSET $14"
            ),
            count: concat!(
                "SELECT COUNT(*) AS total FROM access_log l WHERE ",
                statements!(@filter),
                $leading,
                " AND l.minute < $11"
            ),
        }
    };
    (@filter) => {
        "l.project = $1 AND l.environment = $2 AND ($3 IS NULL OR l.key_id = $3) AND ($4 IS NULL OR l.client_id = $4)
            AND ($5 IS NULL OR l.user_id = $5) AND ($6 IS NULL OR l.method = $6) AND ($7 IS NULL OR l.outcome = $7)
            AND ($8 IS NULL OR l.address BETWEEN $8 AND $9) AND l.minute >= $10"
    };
}

const ALL: Statements = statements!("");
const BY_KEY: Statements = statements!(" AND l.key_id = $3");
const BY_OUTCOME: Statements = statements!(" AND l.outcome = $7");

static ROWS: Upsert = insertion!(
    "access_log (id, project, environment, minute, key_id, client_id, user_id, method, outcome, address, calls, last_at,
        user_agent)",
    13,
    "ON CONFLICT (id) DO UPDATE SET calls = access_log.calls + excluded.calls,
        user_agent = CASE WHEN excluded.last_at >= access_log.last_at THEN excluded.user_agent ELSE access_log.user_agent END,
        last_at = CASE WHEN excluded.last_at >= access_log.last_at THEN excluded.last_at ELSE access_log.last_at END"
);
const ADDRESSES: &str = "SELECT l.address, CAST(SUM(l.calls) AS BIGINT) AS total, MAX(l.last_at) AS last_at
    FROM access_log l WHERE l.project = $1 AND l.environment = $2 AND l.key_id = $3 AND l.minute >= $4
    GROUP BY l.address ORDER BY 2 DESC, 1 LIMIT $5";
const PRUNE: &str = "DELETE FROM access_log WHERE id IN
    (SELECT l.id FROM access_log l WHERE l.minute < $1 ORDER BY l.minute LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (ALL.page, "access_log_listed "),
    (ALL.count, "access_log_listed"),
    (BY_KEY.page, "access_log_listed_by_key"),
    (BY_KEY.count, "access_log_listed_by_key"),
    (BY_OUTCOME.page, "access_log_listed_by_outcome"),
    (BY_OUTCOME.count, "access_log_listed_by_outcome"),
    (PRUNE, "access_log_ended"),
];
