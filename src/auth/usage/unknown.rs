//! Calls with what nobody knows, counted by address alone. Whoever floods us with them, from however many addresses, makes a
//! bounded number of rows: enough to see that there is a flood, and from where.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::reason::Reason;
use crate::domain::usage::{Grain, Subject, Tally, Use, agent_unless_known};

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    counted: HashMap<Place, HashMap<Row, Counter>>,
    told: HashMap<Place, Told>,
    hasher: RandomState,
}

/// The project and environment whose caller asked; none at the door.
type Place = Option<(ProjectId, Environment)>;

/// What is counted together.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Row {
    minute: Timestamp,
    outcome: Option<Reason>,
    address: Option<IpAddr>,
}

#[derive(Debug)]
struct Counter {
    calls: u64,
    last_at: Timestamp,
    user_agent: Option<Arc<Box<str>>>,
}

/// Which rows tell their address.
#[derive(Debug, Default)]
struct Told {
    /// Those of the two minutes that were last begun, by their hashes: calls do not come in order.
    minutes: [(Timestamp, HashSet<u64>); 2],
    hour: Timestamp,
    /// How many were begun in it.
    in_hour: u32,
}

impl Unknown {
    /// Counts a call.
    pub(super) fn count(&mut self, place: Place, call: &Use<'_>) {
        let minute = Grain::Minute.start(call.at);
        let rows = self.counted.entry(place.clone()).or_default();
        let row = Row { minute, outcome: call.outcome, address: call.address };
        if let Some(counter) = rows.get_mut(&row) {
            return counter.add(call, call.user_agent);
        }
        let hash = self.hasher.hash_one(row);
        let tells = row.address.is_none() || self.told.entry(place).or_default().tells(minute, hash);
        let row = Row { address: row.address.filter(|_| tells), ..row };
        let counter = rows.entry(row).or_insert(Counter { calls: 0, last_at: call.at, user_agent: None });
        counter.add(call, call.user_agent.filter(|_| tells));
    }

    /// Takes what was counted.
    pub(super) fn take(&mut self) -> Vec<Tally> {
        let mut taken = Vec::new();
        for (place, rows) in std::mem::take(&mut self.counted) {
            let subject = Arc::new(Subject::unknown(place));
            taken.extend(rows.into_iter().map(|(Row { minute, outcome, address }, counter)| Tally {
                subject: Arc::clone(&subject),
                method: "",
                outcome,
                minute,
                address,
                scopes: Arc::default(),
                calls: counter.calls,
                last_at: counter.last_at,
                user_agent: counter.user_agent,
            }));
        }
        // Those of hours gone by are whole again.
        let newest = self.told.values().map(|told| told.hour).max();
        self.told.retain(|_, told| Some(told.hour) == newest);
        taken
    }
}

impl Counter {
    fn add(&mut self, call: &Use<'_>, user_agent: Option<&str>) {
        self.calls += 1;
        self.last_at = self.last_at.max(call.at);
        let Some(given) = user_agent else {
            self.user_agent = None;
            return;
        };
        if let Some(kept) = agent_unless_known(given, self.user_agent.as_ref().map(|known| &***known)) {
            self.user_agent = Some(Arc::new(kept));
        }
    }
}

impl Told {
    /// Whether a row of this minute may tell its address. One that goes on after it was written down makes no new row.
    fn tells(&mut self, minute: Timestamp, row: u64) -> bool {
        let hour = Grain::Hour.start(minute);
        if self.hour != hour {
            (self.hour, self.in_hour) = (hour, 0);
        }
        let place = match self.minutes.iter().position(|(known, _)| *known == minute) {
            Some(place) => place,
            None => {
                let older = usize::from(self.minutes[1].0 < self.minutes[0].0);
                self.minutes[older] = (minute, HashSet::new());
                older
            }
        };
        let told = &mut self.minutes[place].1;
        if told.contains(&row) {
            return true;
        }
        let may = told.len() < MOST_IN_MINUTE && self.in_hour < MOST_IN_HOUR;
        if may {
            told.insert(row);
            self.in_hour += 1;
        }
        may
    }
}

/// Rows with an address that begin in a minute.
pub(super) const MOST_IN_MINUTE: usize = 100;
/// The same in an hour. An attack that goes on for a month leaves less than half a million rows.
const MOST_IN_HOUR: u32 = 500;
