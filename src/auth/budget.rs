//! Budgets that fill up with time, for more names than there is memory: of addresses, of accounts.
//!
//! A budget is a number of times at once and a time until one more (GCRA). Those of all names stand in a table of fixed size,
//! 8 bytes each, without an entry that could be pushed out; names that share a place share its budget. The place is found by
//! a keyed hash, so that nobody can choose whom to share with.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use crate::domain::clock::Timestamp;

/// The budgets of all names.
#[derive(Debug)]
pub(super) struct Budgets {
    key: RandomState,
    /// When the budget of each place is whole again, in microseconds since the epoch (GCRA's theoretical arrival time).
    whole_at: Box<[AtomicI64]>,
    each: Duration,
    burst: Duration,
}

impl Budgets {
    /// Whole budgets in so many places: so many times `at_once`, and one more after `each`.
    pub(super) fn new(places: usize, each: Duration, at_once: u32) -> Self {
        let whole_at = std::iter::repeat_with(AtomicI64::default).take(places).collect();
        Self { key: RandomState::new(), whole_at, each, burst: each * at_once }
    }

    /// How long until there is budget for one more; none where there is.
    pub(super) fn wait(&self, name: &impl Hash, now: Timestamp) -> Option<Duration> {
        self.short(self.of(name).load(Relaxed), now)
    }

    /// Takes one out of the budget.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&self, name: &impl Hash, now: Timestamp) -> Result<(), Duration> {
        let taken = |stored| self.short(stored, now).is_none().then(|| self.charged(stored, now));
        // What was stored when there was none left says how long.
        let refused = self.of(name).fetch_update(Relaxed, Relaxed, taken).map_err(|stored| self.short(stored, now));
        refused.map(drop).map_err(|wait| wait.unwrap_or(self.each))
    }

    /// Takes one out of the budget, whether it is there or not. No more is ever owed than a whole budget.
    pub(super) fn charge(&self, name: &impl Hash, now: Timestamp) {
        // The update always has an answer.
        let _ = self.of(name).fetch_update(Relaxed, Relaxed, |stored| Some(self.charged(stored, now)));
    }

    /// Gives one back.
    pub(super) fn give_back(&self, name: &impl Hash) {
        let given = |stored| Some(Timestamp::from_micros(stored).minus(self.each).micros());
        let _ = self.of(name).fetch_update(Relaxed, Relaxed, given);
    }

    /// Makes the budget whole.
    pub(super) fn fill(&self, name: &impl Hash) {
        self.of(name).store(0, Relaxed);
    }

    /// The place of a name.
    pub(super) fn place(&self, name: &impl Hash) -> usize {
        (self.key.hash_one(name) % self.whole_at.len() as u64) as usize
    }

    fn of(&self, name: &impl Hash) -> &AtomicI64 {
        &self.whole_at[self.place(name)]
    }

    fn short(&self, stored: i64, now: Timestamp) -> Option<Duration> {
        let room_at = self.believed(stored, now).minus(self.burst - self.each);
        (room_at > now).then(|| room_at.since(now))
    }

    fn charged(&self, stored: i64, now: Timestamp) -> i64 {
        let whole_at = self.believed(stored, now).max(now).plus(self.each);
        whole_at.min(now.plus(self.burst)).micros()
    }

    /// When a budget is whole again, by what its place holds.
    fn believed(&self, stored: i64, now: Timestamp) -> Timestamp {
        let whole_at = Timestamp::from_micros(stored);
        // Nothing is ever owed for longer: the clock was set back, and nobody shall be shut out until it has caught up.
        if whole_at > now.plus(self.burst) { now } else { whole_at }
    }
}

/// A wait as it is told: `Retry-After` has whole seconds, and must not be too short.
pub(super) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_with_time_by_hand_or_at_once() {
        let budgets = Budgets::new(1, Duration::from_secs(10), 3);
        let at = |seconds: i64| Timestamp::from_micros(1_000_000 * seconds);
        let take = |seconds| budgets.take(&"ada", at(seconds)).map_err(|wait| wait.as_secs());
        assert_eq!([take(100), take(100), take(100), take(100)], [Ok(()), Ok(()), Ok(()), Err(10)]);
        assert_eq!([take(104), take(110), take(111)], [Err(6), Ok(()), Err(9)]);
        budgets.give_back(&"ada");
        assert_eq!([take(111), take(111)], [Ok(()), Err(9)]);
        budgets.fill(&"ada");
        assert_eq!([take(111), take(111), take(111), take(111)], [Ok(()), Ok(()), Ok(()), Err(10)]);
        // Nothing is saved up beyond a whole budget, whatever is given back.
        (0..9).for_each(|_| budgets.give_back(&"ada"));
        assert_eq!([take(500), take(500), take(500), take(500)], [Ok(()), Ok(()), Ok(()), Err(10)]);
        assert_eq!(budgets.wait(&"ada", at(500)), Some(Duration::from_secs(10)));
        assert_eq!(take(10), Ok(()), "the clock was set back");
    }

    #[test]
    fn many_at_one_time_take_no_more_than_there_is() {
        let budgets = Budgets::new(1, Duration::from_secs(10), 50);
        let taken = || (0..40).filter(|_| budgets.take(&"ada", Timestamp::from_micros(1)).is_ok()).count();
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(taken)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all, 50);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_not_too_short() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), Duration::from_secs(seconds));
        }
    }
}
