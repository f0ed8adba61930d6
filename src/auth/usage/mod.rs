//! Counts every decision about a credential: what the usage reports, the access log and the time of last use are made of.
//!
//! A call that is like one of the last of its credential costs a few comparisons and one atomic addition; no lock, no row, no
//! look at the clock. Others find their counter in a table that is cut into shards, and what nobody knows is counted by address.
//! The counters of up to a flush interval are in memory only. All tables are bounded: of what is over the bound the addresses
//! are not told apart, nor the scopes that Verify was asked about, nor in the end the credentials; but every call is counted.
//! Calls that were refused take no room from those that were accepted: whoever is refused a lot hides nothing.

mod flush;
mod sources;
mod unknown;

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderMap;
use http::header::USER_AGENT;
use tokio::sync::Notify;

use self::sources::Sources;
use self::unknown::Unknown;
use super::alarm::Alarm;
use super::caller::Caller;
use super::guard::Refusal;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::environment::Environment;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::network::unmapped;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::domain::usage::{Cell, Grain, Recorder, Subject, Tally, Use, VERIFICATION};
use crate::proto::MethodId;

/// Counts calls until they are written down.
pub struct Ledger {
    counts: bool,
    shards: Box<[Mutex<Shard>]>,
    unknown: Mutex<Unknown>,
    hasher: RandomState,
    recorders: AtomicU64,
    /// Counters that were made since the last flush.
    made: AtomicUsize,
    /// Those of them with an address.
    detailed: AtomicUsize,
    /// Rings when a flush should not wait for its time.
    crowded: Notify,
    /// What was taken from the counters and could not be written yet.
    pending: tokio::sync::Mutex<Vec<Tally>>,
    /// Told of the alerts that what was written down raised.
    alarm: Arc<Alarm>,
}

/// One call at the door.
#[derive(Clone, Copy, Debug)]
pub struct Knock<'a> {
    /// The RPC.
    pub method: MethodId,
    /// The scopes it asks for.
    pub scopes: &'a [Scope],
    /// Where it came from, or else the nearest proxy.
    pub address: IpAddr,
    /// Its headers.
    pub headers: &'a HeaderMap,
}

/// One question about a credential.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Why the answer is no; none if it is yes.
    pub outcome: Option<Reason>,
    /// When it was decided.
    pub at: Timestamp,
    /// The end client's address, if it was told.
    pub client: Option<IpAddr>,
    /// The scopes asked for.
    pub scopes: &'a [Scope],
}

impl Ledger {
    /// A ledger with nothing in it; one that does not count stays so.
    pub fn new(counts: bool, alarm: Arc<Alarm>) -> Self {
        Self {
            counts,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            unknown: Mutex::default(),
            hasher: RandomState::new(),
            recorders: AtomicU64::new(0),
            made: AtomicUsize::new(0),
            detailed: AtomicUsize::new(0),
            crowded: Notify::new(),
            pending: tokio::sync::Mutex::default(),
            alarm,
        }
    }

    /// Counts a call that was let in.
    pub fn admitted(&self, caller: &Caller, knock: &Knock<'_>) {
        if !self.counts {
            return;
        }
        let (credential, at) = (caller.credential(), caller.at());
        let beside = credential.key_behind().is_none().then(|| caller.publishable_key()).flatten();
        self.count(credential, &knock.call(None, at, beside));
    }

    /// Counts a call that was refused.
    pub fn refused(&self, refusal: &Refusal, knock: &Knock<'_>, at: Timestamp) {
        if !self.counts {
            return;
        }
        let call = knock.call(Some(refusal.reason), at, None);
        match &refusal.credential {
            Some(credential) => self.count(credential, &call),
            None => self.count_unknown(None, &call),
        }
    }

    /// Counts a decision about a credential that a caller asked for.
    pub fn verified(&self, credential: &Credential, asked: &Asked<'_>) {
        if self.counts {
            self.count(credential, &asked.call());
        }
    }

    /// Counts a question of a caller, of this project and environment, about what is no credential there.
    pub fn verified_unknown(&self, project: &ProjectId, environment: Environment, asked: &Asked<'_>) {
        if self.counts {
            self.count_unknown(Some((project.clone(), environment)), &asked.call());
        }
    }

    /// Counts that somebody presented a honey key where it is no call: what they did, when, and where from.
    pub fn touched(&self, credential: &Credential, method: &'static str, at: Timestamp, address: Option<IpAddr>) {
        if self.counts {
            let (address, outcome) = (address.map(unmapped), Some(Reason::NotFound));
            self.count(credential, &Use { method, outcome, at, address, beside: None, scopes: &[], user_agent: None });
        }
    }

    fn count(&self, credential: &Credential, call: &Use<'_>) {
        let recorder = credential.used.get_or_init(|| {
            Arc::new(Recorder::new(self.recorders.fetch_add(1, Ordering::Relaxed), Subject::of(credential)))
        });
        let minute = Grain::Minute.start(call.at);
        if let Some(cell) = recorder.find(call, minute) {
            // It was found by being there.
            if let Some(cell) = cell.as_ref().filter(|cell| cell.add(call)) {
                self.shard(recorder).counted.push(Arc::clone(cell));
            }
            return;
        }
        self.count_elsewhere(recorder, call, minute);
    }

    /// Counts a call that is not like the last ones of its credential.
    fn count_elsewhere(&self, recorder: &Recorder, call: &Use<'_>, minute: Timestamp) {
        let mut shard = self.shard(recorder);
        let mut call = *call;
        if call.method == VERIFICATION && !self.may_tell_scopes(&mut shard, recorder, minute, call.scopes) {
            call.scopes = &[];
        }
        let scopes = Arc::<[Scope]>::from(call.scopes);
        let mut place = Place::of(recorder, &call, minute, &scopes);
        if let Some(address) = call.address.filter(|_| !shard.made.contains_key(&place)) {
            place.address = self.told_address(&mut shard, &mut place, address, recorder);
            if place.address != call.address {
                (call.address, call.user_agent) = (place.address, None);
            }
        }
        if self.made.load(Ordering::Relaxed) >= MOST_MADE && !shard.made.contains_key(&place) {
            drop(shard);
            return self.count_unknown(recorder.subject().place.clone(), &call);
        }
        let cell = match shard.made.entry(place) {
            Entry::Occupied(cell) => Arc::clone(cell.get()),
            Entry::Vacant(place) => {
                if self.made.fetch_add(1, Ordering::Relaxed) + 1 == CROWD {
                    self.crowded.notify_one();
                }
                Arc::clone(place.insert(Arc::new(Cell::new(recorder.subject(), &call, minute, scopes))))
            }
        };
        if cell.add(&call) {
            shard.counted.push(Arc::clone(&cell));
        }
        drop(shard);
        recorder.remember(cell);
    }

    /// What one more counter may tell of where its calls came from: the address, its network if that has had its part, or nothing.
    fn told_address(
        &self,
        shard: &mut Shard,
        place: &mut Place,
        address: IpAddr,
        recorder: &Recorder,
    ) -> Option<IpAddr> {
        let accepted = place.outcome.is_none();
        let own = &mut shard.told_of(recorder, place.minute)?.sources[usize::from(accepted)];
        let shown = own.shown(address);
        place.address = Some(shown);
        let known = self.hasher.hash_one(&*place);
        let is_old = own.counters.contains(&known);
        if !is_old && own.counters.len() >= MOST_OF_ONE || self.detailed.load(Ordering::Relaxed) >= CROWD {
            return None;
        }
        // One that goes on after a flush makes no new row.
        if !is_old && !recorder.tells_one_more(place.minute, accepted, MOST_OF_ONE_IN_HOUR) {
            return None;
        }
        own.counters.insert(known);
        own.tell(shown);
        self.detailed.fetch_add(1, Ordering::Relaxed);
        Some(shown)
    }

    /// Whether a counter may tell which scopes Verify was asked about: whoever asks makes them up.
    fn may_tell_scopes(&self, shard: &mut Shard, recorder: &Recorder, minute: Timestamp, scopes: &[Scope]) -> bool {
        if scopes.is_empty() {
            return true;
        }
        let Some(own) = shard.told_of(recorder, minute) else { return true };
        let known = self.hasher.hash_one(scopes);
        own.scopes.contains(&known) || own.scopes.len() < MOST_SCOPES_OF_ONE && own.scopes.insert(known)
    }

    fn count_unknown(&self, place: Option<(ProjectId, Environment)>, call: &Use<'_>) {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).count(place, call);
    }

    fn shard(&self, recorder: &Recorder) -> MutexGuard<'_, Shard> {
        // The remainder is below the number of shards.
        let shard = &self.shards[(recorder.number() % SHARDS as u64) as usize];
        // Nothing that is done under the lock can leave the tables half changed.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that was counted since the last time.
    fn take(&self) -> Vec<Tally> {
        let mut taken = self.unknown.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.made.store(0, Ordering::Relaxed);
        self.detailed.store(0, Ordering::Relaxed);
        for shard in &self.shards {
            let counted = {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                shard.made.clear();
                let newest = shard.told.keys().map(|(_, minute)| *minute).max();
                shard.told.retain(|(_, minute), _| Some(*minute) == newest);
                std::mem::take(&mut shard.counted)
            };
            taken.extend(counted.iter().filter_map(|cell| cell.take()));
        }
        taken
    }
}

impl<'a> Knock<'a> {
    fn call(&self, outcome: Option<Reason>, at: Timestamp, beside: Option<&'a KeyId>) -> Use<'a> {
        let user_agent = self.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let (address, scopes) = (Some(unmapped(self.address)), needed(outcome, self.scopes));
        Use { method: self.method.name(), outcome, at, address, beside, scopes, user_agent }
    }
}

impl<'a> Asked<'a> {
    fn call(&self) -> Use<'a> {
        let Self { outcome, at, client, scopes } = *self;
        let (address, scopes) = (client.map(unmapped), needed(outcome, scopes));
        Use { method: VERIFICATION, outcome, at, address, beside: None, scopes, user_agent: None }
    }
}

/// What is refused needs no scope.
fn needed(outcome: Option<Reason>, scopes: &[Scope]) -> &[Scope] {
    if outcome.is_none() { scopes } else { &[] }
}

/// A part of the counters.
#[derive(Default)]
struct Shard {
    /// Those made since the last flush, so that no two are made for calls that are alike.
    made: HashMap<Place, Arc<Cell>>,
    /// Those that counted something since the last flush, once each.
    counted: Vec<Arc<Cell>>,
    /// What a credential has in a minute.
    told: HashMap<(u64, Timestamp), Told>,
}

/// What the counters of a credential tell apart, by hashes.
#[derive(Default)]
struct Told {
    /// Where calls came from that were refused, and that were accepted.
    sources: [Sources; 2],
    /// The scopes that Verify was asked about together.
    scopes: HashSet<u64>,
}

impl Shard {
    /// What the counters of a credential tell apart in a minute; none where that is known of too many credentials.
    fn told_of(&mut self, recorder: &Recorder, minute: Timestamp) -> Option<&mut Told> {
        let room = self.told.len() < MOST_TOLD;
        match self.told.entry((recorder.number(), minute)) {
            Entry::Occupied(told) => Some(told.into_mut()),
            Entry::Vacant(place) => room.then(|| place.insert(Told::default())),
        }
    }
}

/// What makes calls alike.
#[derive(Eq, Hash, PartialEq)]
struct Place {
    recorder: u64,
    method: &'static str,
    outcome: Option<Reason>,
    minute: Timestamp,
    address: Option<IpAddr>,
    beside: Option<KeyId>,
    scopes: Arc<[Scope]>,
}

impl Place {
    fn of(recorder: &Recorder, call: &Use<'_>, minute: Timestamp, scopes: &Arc<[Scope]>) -> Self {
        let Use { method, outcome, address, beside, .. } = *call;
        let (recorder, scopes) = (recorder.number(), Arc::clone(scopes));
        Self { recorder, method, outcome, minute, address, beside: beside.cloned(), scopes }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("counts", &self.counts).finish_non_exhaustive()
    }
}

const SHARDS: usize = 64;
/// Counters with an address that one credential has in a minute for calls that were accepted, and again for those that were refused: what
/// of its calls is told apart by where they came from.
const MOST_OF_ONE: usize = 100;
/// The same in an hour, so that a flood with one key, which may be public, leaves some 1.5 million rows in a month at most.
const MOST_OF_ONE_IN_HOUR: u32 = 1_000;
/// Sets of scopes that Verify was asked about of one credential in a minute, and that are told apart.
const MOST_SCOPES_OF_ONE: usize = 200;
/// Counters that are not kept for the next flush but ring for it, and those of all credentials with an address: some 10 MB.
const CROWD: usize = 20_000;
/// Counters of all credentials between two flushes, where the store is slow: some 60 MB. Of what is more only the project is known.
const MOST_MADE: usize = 100_000;
/// Credentials of a shard of which is known what their counters tell apart.
const MOST_TOLD: usize = 2_000;

#[cfg(test)]
mod tests;
