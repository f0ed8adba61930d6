//! One counter: calls that are alike, until they are taken away to be written down.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::{Subject, Tally, Use, agent_unless_known};
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;

/// Counts the calls of one minute that are alike. A call costs one atomic addition.
#[derive(Debug)]
pub struct Cell {
    subject: Arc<Subject>,
    method: &'static str,
    outcome: Option<Reason>,
    minute: Timestamp,
    address: Option<IpAddr>,
    beside: Option<KeyId>,
    scopes: Arc<[Scope]>,
    calls: AtomicU64,
    last_at: AtomicI64,
    user_agent: ArcSwapOption<Box<str>>,
}

impl Cell {
    /// A counter for calls of this subject that are like this one, which is not counted yet.
    pub fn new(subject: &Subject, call: &Use<'_>, minute: Timestamp, scopes: Arc<[Scope]>) -> Self {
        Self {
            subject: Arc::new(subject.beside(call.beside)),
            method: call.method,
            outcome: call.outcome,
            minute,
            address: call.address,
            beside: call.beside.cloned(),
            scopes,
            calls: AtomicU64::new(0),
            last_at: AtomicI64::new(i64::MIN),
            user_agent: ArcSwapOption::empty(),
        }
    }

    /// Whether this call, of this minute, is counted here.
    pub(super) fn is_for(&self, call: &Use<'_>, minute: Timestamp) -> bool {
        self.minute == minute
            && self.address == call.address
            && self.outcome == call.outcome
            && self.method == call.method
            && self.beside.as_ref() == call.beside
            && *self.scopes == *call.scopes
    }

    /// Counts a call; whether it is the first since the last were taken away.
    pub fn add(&self, call: &Use<'_>) -> bool {
        let at = call.at.micros();
        if self.last_at.load(Ordering::Relaxed) < at {
            self.last_at.store(at, Ordering::Relaxed);
        }
        if let Some(given) = call.user_agent {
            let known = self.user_agent.load();
            if let Some(kept) = agent_unless_known(given, known.as_ref().map(|known| &***known)) {
                self.user_agent.store(Some(Arc::new(kept)));
            }
        }
        self.calls.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// Takes the calls away that were counted since the last time; none if there were none.
    pub fn take(&self) -> Option<Tally> {
        let calls = self.calls.swap(0, Ordering::AcqRel);
        (calls > 0).then(|| Tally {
            subject: Arc::clone(&self.subject),
            method: self.method,
            outcome: self.outcome,
            minute: self.minute,
            address: self.address,
            scopes: Arc::clone(&self.scopes),
            calls,
            last_at: Timestamp::from_micros(self.last_at.load(Ordering::Relaxed)),
            user_agent: self.user_agent.load_full(),
        })
    }
}
