//! What a credential remembers of how it is used: the counters that its last calls were counted by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use super::{Cell, Grain, Subject, Use};
use crate::domain::clock::Timestamp;

/// The counters of a credential that are found without a lock.
pub struct Recorder {
    number: u64,
    subject: Subject,
    recent: [ArcSwapOption<Cell>; RECENT],
    /// Which of them is the next to be replaced.
    next: AtomicUsize,
    /// The hour in which counters with an address were last made, and how many: each in one half. Of accepted calls, and of refused.
    told: [AtomicU64; 2],
}

impl Recorder {
    /// A recorder for this subject, whose number no other has.
    pub fn new(number: u64, subject: Subject) -> Self {
        Self { number, subject, recent: Default::default(), next: AtomicUsize::new(0), told: Default::default() }
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whose calls it records.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The counter for this call, of this minute, if it is one of those used last.
    pub fn find(&self, call: &Use<'_>, minute: Timestamp) -> Option<Guard<Option<Arc<Cell>>>> {
        let mut cells = self.recent.iter().map(ArcSwapOption::load);
        cells.find(|cell| cell.as_ref().is_some_and(|cell| cell.is_for(call, minute)))
    }

    /// Counts one more counter of this minute that tells where calls came from that were accepted, or that were refused; whether that was
    /// below so many of them in its hour.
    pub fn tells_one_more(&self, minute: Timestamp, accepted: bool, most: u32) -> bool {
        // Hours fit into one half of the number for longer than there will be calls.
        let hour = (Grain::Hour.start(minute).micros() / 3_600_000_000) as u64 & u64::from(u32::MAX);
        let more = |told: u64| {
            let in_hour = if told >> 32 == hour { told & u64::from(u32::MAX) } else { 0 };
            (in_hour < u64::from(most)).then_some(hour << 32 | (in_hour + 1))
        };
        self.told[usize::from(accepted)].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Remembers a counter in the place of another.
    pub fn remember(&self, cell: Arc<Cell>) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % RECENT;
        self.recent[place].store(Some(cell));
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A few methods, or a few places that a service calls from.
const RECENT: usize = 4;
