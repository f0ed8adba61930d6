//! The credits of one key that this node has taken from the store to spend, so that not every call is a write there.
//!
//! Taken is taken: what the store has counts no credit twice, whatever becomes of the node. What is not spent is given
//! back; what is lost with a process is lost for the period, and never comes back by itself.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::quota::{Period, Quota};
use crate::domain::clock::Timestamp;
use crate::domain::id::KeyId;

/// A purse.
pub struct Purse {
    key: KeyId,
    content: Mutex<Content>,
}

/// What is in a purse.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Content {
    /// When the credits were set that these are of.
    epoch: i64,
    /// When the period began that these are of.
    start: Timestamp,
    /// How many are here.
    here: i64,
    /// How many were left in the store when it was last asked.
    there: i64,
    /// From when on it is worth asking for more again.
    ask_at: Timestamp,
    /// Whether something was spent since it was last looked at.
    used: bool,
}

/// Whether a purse has enough for a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offer {
    /// It has.
    Enough,
    /// The store has to be asked.
    Ask,
    /// It has not, and neither has the store.
    Empty,
}

/// Credits that are given back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Returned {
    /// The key.
    pub key: KeyId,
    /// When its credits were set.
    pub epoch: i64,
    /// When the period began.
    pub start: Timestamp,
    /// How many.
    pub credits: i64,
}

impl Purse {
    /// An empty purse.
    pub fn new(key: KeyId) -> Self {
        Self { key, content: Mutex::default() }
    }

    /// A purse of this key with nothing in it, when the store has nothing either.
    pub fn empty(key: KeyId, quota: &Quota, now: Timestamp) -> Self {
        let purse = Self::new(key);
        let mut content = purse.lock();
        content.turn(quota, quota.refill.period(now));
        let terms = content.terms();
        content.put(terms, 1, Some((0, 0, terms.1)), now);
        drop(content);
        purse
    }

    /// Whose it is.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// Holds it: nobody else spends from it meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, Content> {
        // Whatever panicked while it was held left a whole number behind.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what was not spent since the last time that this was asked, or whatever there is.
    pub fn take_back(&self, all: bool) -> Option<Returned> {
        let mut content = self.lock();
        let idle = !std::mem::take(&mut content.used);
        if content.here == 0 || !(idle || all) {
            return None;
        }
        let Content { epoch, start, .. } = *content;
        let credits = std::mem::take(&mut content.here);
        content.there += credits;
        Some(Returned { key: self.key.clone(), epoch, start, credits })
    }
}

impl Content {
    /// Goes on under these terms, in this period: what was taken before credits were set anew, or before the last
    /// refill, belongs to nothing any more.
    pub fn turn(&mut self, quota: &Quota, period: Period) {
        if quota.epoch > self.epoch {
            let there = if period.start > quota.start { quota.full() } else { quota.remaining };
            *self = Self { epoch: quota.epoch, start: period.start, there, ..Self::default() };
        } else if period.start > self.start {
            let there = quota.full();
            *self = Self { epoch: self.epoch, start: period.start, there, ..Self::default() };
        }
    }

    /// Whether there is enough.
    pub fn offers(&self, cost: u32, now: Timestamp) -> Offer {
        if self.here >= i64::from(cost) {
            Offer::Enough
        } else if now >= self.ask_at {
            Offer::Ask
        } else {
            Offer::Empty
        }
    }

    /// Takes what is offered.
    pub fn spend(&mut self, cost: u32) {
        self.here -= i64::from(cost);
        self.used = true;
    }

    /// Puts back what was taken for a call under these terms that was not admitted.
    pub fn put_back(&mut self, terms: (i64, Timestamp), cost: u32) {
        if terms == self.terms() {
            self.here += i64::from(cost);
        }
    }

    /// How many to ask for: so many that the store is seldom asked, and that few are lost with a process.
    pub fn wanted(&self, cost: u32) -> i64 {
        (self.there / PART).clamp(1, MOST).max(i64::from(cost) - self.here)
    }

    /// Puts in what the store gave for the terms and the period that it was asked for: how many, how many it has left,
    /// and of which period they are; none where there is no such quota any more.
    pub fn put(&mut self, asked: (i64, Timestamp), cost: u32, given: Option<(i64, i64, Timestamp)>, now: Timestamp) {
        if asked != self.terms() {
            return;
        }
        let (credits, there, start) = given.unwrap_or((0, 0, self.start));
        if start > self.start {
            // The clock of another node is ahead, and has begun the next period.
            (self.here, self.start) = (0, start);
        }
        (self.here, self.there) = (self.here + credits, there);
        if self.here < i64::from(cost) {
            self.ask_at = now.plus(ASK_AGAIN);
        }
    }

    /// The terms and the period that it counts for.
    pub fn terms(&self) -> (i64, Timestamp) {
        (self.epoch, self.start)
    }

    /// How many are left: here, and in the store when it was last asked.
    pub fn remaining(&self) -> i64 {
        self.here + self.there
    }

    /// How many are here.
    pub fn here(&self) -> i64 {
        self.here
    }
}

impl fmt::Debug for Purse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Purse").field(&self.key).finish()
    }
}

/// Of what is left a node takes this part at once, one credit at least,
const PART: i64 = 100;
/// and no more than this.
pub const MOST: i64 = 1_000;
/// How long a key without credits is refused without asking the store, where another node may have given some back.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::limit::quota::Refill;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + seconds * 1_000_000)
    }

    fn purse() -> Purse {
        Purse::new(KeyId::new(at(0), &SystemEntropy))
    }

    const QUOTA: Quota = Quota {
        remaining: 5_000,
        granted: 5_000,
        refill: Refill::Daily(700),
        epoch: 1,
        start: Timestamp::from_micros(1_767_225_600_000_000),
    };

    fn turn(purse: &Purse, quota: &Quota, now: Timestamp) {
        purse.lock().turn(quota, quota.refill.period(now));
    }

    #[test]
    fn what_is_taken_is_spent_or_given_back() {
        let purse = purse();
        turn(&purse, &QUOTA, at(0));
        let mut content = purse.lock();
        assert_eq!((content.offers(1, at(0)), content.wanted(1), content.wanted(80)), (Offer::Ask, 50, 80));
        let terms = content.terms();
        content.put(terms, 1, Some((50, 4_950, terms.1)), at(0));
        assert_eq!(
            (content.offers(50, at(0)), content.offers(51, at(0)), content.remaining()),
            (Offer::Enough, Offer::Ask, 5_000)
        );
        content.spend(20);
        drop(content);
        assert_eq!(purse.take_back(false), None, "it is in use");
        let returned = purse.take_back(false).unwrap();
        assert_eq!((returned.credits, returned.epoch, purse.lock().remaining()), (30, 1, 4_980));
        assert_eq!(purse.take_back(true), None);
    }

    #[test]
    fn what_was_taken_before_a_change_or_a_refill_belongs_to_nothing() {
        let purse = purse();
        turn(&purse, &QUOTA, at(0));
        let before = purse.lock().terms();
        purse.lock().put(before, 1, Some((50, 4_950, before.1)), at(0));
        turn(&purse, &QUOTA, at(86_400));
        let left = |purse: &Purse| {
            let content = purse.lock();
            (content.here(), content.remaining())
        };
        assert_eq!(left(&purse), (0, 700), "a new day");
        turn(&purse, &QUOTA, at(0));
        assert_eq!(purse.lock().terms().1, at(86_400), "a clock that is set back begins no period again");
        purse.lock().put(before, 1, Some((50, 4_950, before.1)), at(86_400));
        assert_eq!(purse.lock().here(), 0, "what was asked for then comes too late");
        let terms = purse.lock().terms();
        purse.lock().put(terms, 1, Some((7, 693, terms.1)), at(86_400));
        turn(&purse, &Quota { epoch: 2, remaining: 10, start: at(86_400), ..QUOTA }, at(86_400));
        assert_eq!(left(&purse), (0, 10));
        turn(&purse, &QUOTA, at(86_400));
        assert_eq!(purse.lock().terms().0, 2, "what is cached of before changes nothing");
    }

    #[test]
    fn who_has_nothing_is_not_asked_for_all_the_time() {
        let purse = purse();
        turn(&purse, &QUOTA, at(0));
        let terms = purse.lock().terms();
        purse.lock().put(terms, 5, Some((3, 0, terms.1)), at(0));
        let content = *purse.lock();
        assert_eq!(
            [content.offers(3, at(0)), content.offers(5, at(0)), content.offers(5, at(1))],
            [Offer::Enough, Offer::Empty, Offer::Ask]
        );
        purse.lock().put(terms, 5, None, at(1));
        assert_eq!(purse.lock().offers(5, at(1)), Offer::Empty, "there is no quota any more");
    }
}
