//! When keys were last used, and which scopes they needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::LazyLock;

use super::Store;
use super::access_log::{read_address, stored_address};
use super::db::{Row, Tx, Value, values};
use super::error::Result;
use super::many_rows::{Rows, Upsert, insertion};
use crate::domain::clock::Timestamp;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::scope::Scope;
use crate::domain::usage::{LastUse, Tally};

impl Store {
    /// When and where these keys were accepted last, as far as they were.
    pub async fn list_last_uses(&self, project: &ProjectId, keys: &[&KeyId]) -> Result<HashMap<KeyId, LastUse>> {
        let mut found = HashMap::new();
        for part in keys.chunks(ASKED) {
            let ids = part.iter().map(|key| key.as_str()).chain(iter::repeat("")).take(ASKED);
            let values: Vec<Value<'_>> = iter::once(project.as_str()).chain(ids).map(Value::from).collect();
            for row in self.db.fetch_all(*LAST_USES, &values).await? {
                found.insert(KeyId::stored(row.text("key_id")?), read(&row)?);
            }
        }
        Ok(found)
    }

    /// The scopes that a key needed, each with when it last did, by plain form.
    pub async fn list_scope_uses(&self, project: &ProjectId, key: &KeyId) -> Result<Vec<(Scope, Timestamp)>> {
        let rows = self.db.fetch_all(SCOPES, values![key.as_str(), project.as_str()]).await?;
        let read = |row: &Row| {
            let plain = row.str("plain")?;
            Ok((Scope::stored(plain, plain), row.time("used_at")?))
        };
        rows.iter().map(read).collect()
    }
}

/// Adds these calls, as far as they were accepted. What is known to be later stays.
pub(super) async fn add(tx: &mut Tx, tallies: &[Tally]) -> Result<()> {
    let (mut last, mut scopes) = (BTreeMap::new(), BTreeMap::new());
    for tally in tallies.iter().filter(|tally| tally.outcome.is_none()) {
        let (Some(key), Some((project, _))) = (&tally.subject.key, &tally.subject.place) else { continue };
        let known = last.entry(key.as_str()).or_insert((project.as_str(), tally));
        if known.1.last_at <= tally.last_at {
            known.1 = tally;
        }
        for scope in &*tally.scopes {
            let used = scopes.entry((key.as_str(), scope.plain())).or_insert((project.as_str(), tally.last_at));
            used.1 = used.1.max(tally.last_at);
        }
    }
    let addresses: Vec<Vec<u8>> = last.values().map(|(_, tally)| stored_address(tally.address)).collect();
    let mut rows = Rows::new(&KEYS);
    for ((key, (project, tally)), address) in last.iter().zip(&addresses) {
        let user_agent = tally.user_agent.as_deref().map(|text| &**text);
        rows.add(values![*key, *project, tally.last_at, address, user_agent]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await?;
    let asked = scopes.iter().map(|((_, plain), (project, _))| (*project, *plain)).collect();
    let registered = registered(tx, asked).await?;
    let mut rows = Rows::new(&KEY_SCOPES);
    for ((key, plain), (project, used_at)) in scopes {
        // Of a key with `admin`, Verify may be asked for whatever somebody makes up.
        if !registered.contains(&(project.to_owned(), plain.to_owned())) {
            continue;
        }
        rows.add(values![key, plain, project, used_at]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await
}

/// Which of these scopes there are in these projects.
async fn registered(tx: &mut Tx, asked: BTreeSet<(&str, &str)>) -> Result<BTreeSet<(String, String)>> {
    let is_built_in = |plain: &str| Scope::stored(plain, plain).is_built_in();
    let (built_in, others): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(_, plain)| is_built_in(plain));
    let mut found: BTreeSet<_> =
        built_in.into_iter().map(|(project, plain)| (project.to_owned(), plain.to_owned())).collect();
    for of_project in others.chunk_by(|one, other| one.0 == other.0) {
        for part in of_project.chunks(ASKED) {
            let names = part.iter().map(|(_, plain)| *plain).chain(iter::repeat("")).take(ASKED);
            let values: Vec<Value<'_>> = iter::once(part[0].0).chain(names).map(Value::from).collect();
            for row in tx.fetch_all(*REGISTERED, &values).await? {
                found.insert((part[0].0.to_owned(), row.text("plain")?));
            }
        }
    }
    Ok(found)
}

fn read(row: &Row) -> Result<LastUse> {
    let address = read_address(row.bytes("address")?, "key_uses.address")?;
    Ok(LastUse { at: row.time("used_at")?, address, user_agent: row.opt_text("user_agent")? })
}

/// The places of a list, after the project's.
fn places() -> String {
    let places: Vec<String> = (2..ASKED + 2).map(|place| format!("${place}")).collect();
    places.join(", ")
}

static KEYS: Upsert = insertion!(
    "key_uses (key_id, project, used_at, address, user_agent)",
    5,
    "ON CONFLICT (key_id) DO UPDATE SET used_at = excluded.used_at, address = excluded.address,
        user_agent = excluded.user_agent WHERE key_uses.used_at <= excluded.used_at"
);
static KEY_SCOPES: Upsert = insertion!(
    "key_scope_uses (key_id, plain, project, used_at)",
    4,
    "ON CONFLICT (key_id, plain) DO UPDATE SET used_at = excluded.used_at
        WHERE key_scope_uses.used_at < excluded.used_at"
);
/// It is made once and holds nothing but the numbers of its placeholders, so it may stay.
static LAST_USES: LazyLock<&'static str> = LazyLock::new(|| {
    let keys = places();
    format!("SELECT key_id, used_at, address, user_agent FROM key_uses WHERE project = $1 AND key_id IN ({keys})")
        .leak()
});
static REGISTERED: LazyLock<&'static str> =
    LazyLock::new(|| format!("SELECT plain FROM scopes WHERE project = $1 AND plain IN ({})", places()).leak());
const SCOPES: &str = "SELECT plain, used_at FROM key_scope_uses WHERE key_id = $1 AND project = $2 ORDER BY plain";

/// Keys, or scopes, that one statement asks about.
const ASKED: usize = 50;

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(SCOPES, "PRIMARY KEY")];
