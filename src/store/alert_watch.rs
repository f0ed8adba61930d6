//! What the rules compare the calls of keys with, and holding what was counted against it.
//!
//! It is one row for each key, which all nodes add to: whoever looks at a key holds its row until the end, so that the rules see
//! what all of them counted, and the sum of two parts is not missed by both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::LazyLock;

use super::alert_raising::{Raised, raise};
use super::db::{Row, Tx, Value, damaged, values};
use super::error::Result;
use super::many_rows::{Rows, Upsert, insertion};
use super::{Store, alert_rules, credits};
use crate::domain::alert::{Alert, AlertRules, Finding, Watched, expiring, nearly_spent};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::limit::quota::Quota;
use crate::domain::usage::Tally;

/// Where a walk through the keys stands that will end.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EndingPlace {
    ends_at: Timestamp,
    key: String,
}

impl Store {
    /// Tells of keys that will end, of up to `limit` of them after this place. The next place; none where all were looked at.
    pub async fn raise_expiring(
        &self,
        now: Timestamp,
        until: Timestamp,
        after: Option<&EndingPlace>,
        limit: u32,
        entropy: &dyn Entropy,
    ) -> Result<(Vec<Alert>, Option<EndingPlace>)> {
        let (ends_at, key) = after.map_or((now, ""), |place| (place.ends_at.max(now), place.key.as_str()));
        let rows = self.db.fetch_all(ENDING, values![ends_at, key, until, limit, now]).await?;
        let mut ending = Vec::with_capacity(rows.len());
        for row in &rows {
            let environment = Environment::parse(row.str("environment")?).ok_or_else(|| damaged("keys.environment"))?;
            let project = ProjectId::stored(row.text("project")?);
            let times = (row.time("created_at")?, row.time("expires_at")?);
            ending.push((project, environment, KeyId::stored(row.text("id")?), times));
        }
        let full = rows.len() == limit as usize;
        let place = ending.last().filter(|_| full);
        let place = place.map(|(_, _, key, (_, ends_at))| EndingPlace { ends_at: *ends_at, key: key.to_string() });
        if ending.is_empty() {
            return Ok((Vec::new(), place));
        }
        let mut tx = self.db.begin().await?;
        let projects: BTreeSet<&ProjectId> = ending.iter().map(|(project, ..)| project).collect();
        let rules = alert_rules::of_projects(&mut tx, &projects.into_iter().collect::<Vec<_>>()).await?;
        let (mut raised, defaults) = (Vec::new(), AlertRules::default());
        for (project, environment, key, (made_at, ends_at)) in &ending {
            let found = expiring(rules.get(project).unwrap_or(&defaults), key, *made_at, *ends_at, now);
            if let Some(found) = found {
                raised.extend(raise(self, &mut tx, (project, *environment), &found, entropy).await?.told());
            }
        }
        tx.commit().await?;
        Ok((raised, place))
    }
}

/// Whose calls are looked at together: those of a key, or with an empty one those with what nobody knows.
type Place<'a> = (&'a ProjectId, Environment, &'a str);

/// Holds these calls against the rules, and remembers what is needed for the next ones.
pub(super) async fn observe(
    store: &Store,
    tx: &mut Tx,
    tallies: &[Tally],
    entropy: &dyn Entropy,
) -> Result<Vec<Alert>> {
    let mut counted: BTreeMap<Place<'_>, Vec<&Tally>> = BTreeMap::new();
    for tally in tallies {
        if let Some(place) = place(tally) {
            counted.entry(place).or_default().push(tally);
        }
    }
    if counted.is_empty() {
        return Ok(Vec::new());
    }
    let projects: BTreeSet<&ProjectId> = counted.keys().map(|(project, ..)| *project).collect();
    let rules = alert_rules::of_projects(tx, &projects.into_iter().collect::<Vec<_>>()).await?;
    let mut watched = hold(tx, counted.keys().copied()).await?;
    let quotas = quotas(tx, &counted).await?;
    let (mut raised, defaults) = (Vec::new(), AlertRules::default());
    for ((project, environment, key), tallies) in &counted {
        let rules = rules.get(*project).unwrap_or(&defaults);
        let watched = watched.entry((*project, *environment, *key)).or_default();
        let key = tallies[0].subject.key.as_ref();
        let mut found = watched.observe(key, tallies, rules);
        found.extend(key.and_then(|key| spent(key, tallies, &quotas, rules)));
        for found in &found {
            let told = raise(store, tx, (project, *environment), found, entropy).await?;
            if !matches!(told, Raised::HeldBack) {
                watched.learn(found);
            }
            raised.extend(told.told());
        }
    }
    keep(tx, &watched).await?;
    Ok(raised)
}

/// Where a call belongs; none for those of users and clients, which are of no key and not of nobody either, and for those of which
/// the project is not known.
fn place(tally: &Tally) -> Option<Place<'_>> {
    let subject = &*tally.subject;
    let (project, environment) = subject.place.as_ref()?;
    let key = match &subject.key {
        Some(key) => key.as_str(),
        None if subject.client.is_some() || subject.user.is_some() => return None,
        None => "",
    };
    Some((project, *environment, key))
}

/// Reads what is known of these keys, and holds it: nobody else reads it until the end.
async fn hold<'a>(tx: &mut Tx, places: impl Iterator<Item = Place<'a>>) -> Result<HashMap<Place<'a>, Watched>> {
    let places: Vec<Place<'a>> = places.collect();
    let mut rows = Rows::new(&HOLD);
    for (project, environment, key) in &places {
        rows.add(values![project.as_str(), environment.as_str(), *key, 0_i64, 0_i64, 0_i64, "", ""]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await?;
    let mut found = HashMap::new();
    for group in places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let (project, environment, _) = group[0];
        for part in group.chunks(ASKED) {
            let known: HashMap<&str, Place<'a>> = part.iter().map(|place| (place.2, *place)).collect();
            let keys = part.iter().map(|place| place.2).chain(iter::repeat(part[0].2)).take(ASKED);
            let values: Vec<Value<'_>> =
                [project.as_str(), environment.as_str()].into_iter().chain(keys).map(Value::from).collect();
            for row in tx.fetch_all(*READ, &values).await? {
                if let Some(place) = known.get(row.str("key_id")?) {
                    found.insert(*place, read(&row)?);
                }
            }
        }
    }
    Ok(found)
}

async fn keep(tx: &mut Tx, watched: &HashMap<Place<'_>, Watched>) -> Result<()> {
    let lists: BTreeMap<_, _> = watched.iter().map(|(place, watched)| (place, (watched, lists(watched)))).collect();
    let mut rows = Rows::new(&KEEP);
    for ((project, environment, key), (watched, (refusals, networks))) in &lists {
        let Watched { minute, calls, average, history, used_at, .. } = **watched;
        let (project, environment) = (project.as_str(), environment.as_str());
        rows.add(values![project, environment, *key, minute, calls, average, history, used_at, refusals, networks]);
        rows.insert_if_full(tx).await?;
    }
    rows.insert(tx).await
}

/// The credits of those of these keys that have any.
async fn quotas(tx: &mut Tx, counted: &BTreeMap<Place<'_>, Vec<&Tally>>) -> Result<HashMap<String, Quota>> {
    let metered = |tallies: &[&Tally]| tallies.iter().any(|tally| tally.subject.watch.metered);
    let keys: Vec<&str> = counted.iter().filter(|(_, tallies)| metered(tallies)).map(|(place, _)| place.2).collect();
    let mut found = HashMap::new();
    for part in keys.chunks(ASKED) {
        let keys = part.iter().copied().chain(iter::repeat("")).take(ASKED);
        let values: Vec<Value<'_>> = keys.map(Value::from).collect();
        for row in tx.fetch_all(*CREDITS, &values).await? {
            if let Some(quota) = credits::read(row.opt_str("credits")?)? {
                found.insert(row.text("key_id")?, quota);
            }
        }
    }
    Ok(found)
}

fn spent(key: &KeyId, tallies: &[&Tally], quotas: &HashMap<String, Quota>, rules: &AlertRules) -> Option<Finding> {
    let at = tallies.iter().map(|tally| tally.last_at).max()?;
    nearly_spent(rules, key, quotas.get(key.as_str())?, at)
}

fn read(row: &Row) -> Result<Watched> {
    let refusals = row.str("refusals")?.split_ascii_whitespace().map(|word| {
        let (minute, calls) = word.split_once(':')?;
        Some((Timestamp::from_micros(minute.parse().ok()?), calls.parse().ok()?))
    });
    let networks = row.str("networks")?.split_ascii_whitespace().map(|word| word.parse().ok());
    Ok(Watched {
        minute: row.opt_time("minute")?,
        calls: row.int("calls")?,
        average: row.int("average")?,
        history: row.int("history")?,
        used_at: row.opt_time("used_at")?,
        refusals: refusals.collect::<Option<_>>().ok_or_else(|| damaged("alert_watch.refusals"))?,
        networks: networks.collect::<Option<_>>().ok_or_else(|| damaged("alert_watch.networks"))?,
    })
}

/// The lists as they are stored: words parted by spaces.
fn lists(watched: &Watched) -> (String, String) {
    let refusals = watched.refusals.iter().map(|(minute, calls)| format!("{}:{calls}", minute.micros()));
    let networks = watched.networks.iter().map(ToString::to_string);
    (refusals.collect::<Vec<_>>().join(" "), networks.collect::<Vec<_>>().join(" "))
}

static HOLD: Upsert = insertion!(
    "alert_watch (project, environment, key_id, calls, average, history, refusals, networks)",
    8,
    "ON CONFLICT (project, environment, key_id) DO UPDATE SET key_id = excluded.key_id"
);
static KEEP: Upsert = insertion!(
    "alert_watch (project, environment, key_id, minute, calls, average, history, used_at, refusals, networks)",
    10,
    "ON CONFLICT (project, environment, key_id) DO UPDATE SET minute = excluded.minute, calls = excluded.calls,
        average = excluded.average, history = excluded.history, used_at = excluded.used_at, refusals = excluded.refusals,
        networks = excluded.networks"
);
/// It is made once and holds nothing but the numbers of its placeholders, so it may stay.
static READ: LazyLock<&'static str> = LazyLock::new(|| {
    let keys = placeholders(3);
    format!(
        "SELECT w.key_id, w.minute, w.calls, w.average, w.history, w.used_at, w.refusals, w.networks FROM alert_watch w
        WHERE w.project = $1 AND w.environment = $2 AND w.key_id IN ({keys})"
    )
    .leak()
});
/// The same.
static CREDITS: LazyLock<&'static str> = LazyLock::new(|| {
    let keys = placeholders(1);
    format!(
        "SELECT q.key_id, q.epoch || ' ' || q.remaining || ' ' || q.granted || ' ' || q.amount || ' ' || q.day || ' '
                || q.period_start || ' ' || q.refill AS credits
        FROM key_credits q WHERE q.key_id IN ({keys})"
    )
    .leak()
});

fn placeholders(from: usize) -> String {
    (from..from + ASKED).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// Keys that nobody was told of yet, or of which it was held back long enough. That a honey key ends is nothing to plan for.
const ENDING: &str =
    "SELECT k.id, k.project, k.environment, k.created_at, k.expires_at FROM keys k JOIN projects o ON o.id = k.project
    WHERE k.revoked_at IS NULL AND (k.expires_at, k.id) > ($1, $2) AND k.expires_at <= $3 AND NOT k.honey
        AND o.deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM alert_claims c WHERE c.project = k.project AND c.environment = k.environment
            AND c.kind = 'key_expiring' AND c.claim = k.id || ' ' || k.expires_at AND c.until > $5)
    ORDER BY k.expires_at, k.id LIMIT $4";

/// Keys that one statement asks about.
const ASKED: usize = 50;

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(ENDING, "keys_ending")];
