//! What was spent of one limit: the generic cell rate algorithm, in whole numbers.
//!
//! A call costs `window / calls` of time, which is seldom a whole number of microseconds. So time is counted in parts
//! of a microsecond, `calls` of them to each: then a call costs exactly `window` parts, and nothing is ever rounded.

use std::time::Duration;

use super::RateLimit;
use crate::domain::clock::Timestamp;

/// So many calls in so long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// How many calls.
    pub calls: u32,
    /// In how long, in microseconds.
    pub window: u64,
}

impl Terms {
    /// The terms of a limit.
    pub fn of(limit: &RateLimit) -> Self {
        // At most 31 days.
        Self { calls: limit.calls, window: u64::try_from(limit.window.as_micros()).unwrap_or(u64::MAX) }
    }

    /// What a call of this cost is worth: what comes back in this time.
    pub fn price(&self, cost: u32) -> Owed {
        Owed::of(u128::from(cost) * u128::from(self.window), *self)
    }

    /// The window.
    pub fn window(&self) -> Duration {
        Duration::from_micros(self.window)
    }
}

/// How long it takes until something has come back: whole microseconds, and parts of one, of which `calls` make one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Owed {
    /// Microseconds.
    pub micros: u64,
    /// Parts.
    pub part: u32,
}

impl Owed {
    fn of(parts: u128, terms: Terms) -> Self {
        let calls = u128::from(terms.calls.max(1));
        // No more than a window, and the remainder is below the number of calls.
        Self {
            micros: u64::try_from(parts / calls).unwrap_or(u64::MAX),
            part: u32::try_from(parts % calls).unwrap_or(0),
        }
    }
}

/// What was spent under some terms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tally {
    terms: Terms,
    /// When everything has come back, in parts of a microsecond since the epoch (the theoretical arrival time).
    whole_at: u128,
}

/// Why a call cannot be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Short {
    /// It can, after this time, if nothing else is spent.
    For(Duration),
    /// It costs more than there ever is.
    Forever,
}

impl Tally {
    /// Nothing was spent.
    pub const fn fresh(terms: Terms) -> Self {
        Self { terms, whole_at: 0 }
    }

    /// What was written down of a tally, see [`Self::whole_at`] and [`Self::part`].
    pub fn restored(terms: Terms, whole_at: Timestamp, part: u32) -> Self {
        Self { terms, whole_at: micros(whole_at) * u128::from(terms.calls) + u128::from(part) }
    }

    /// So much has not come back yet.
    pub fn owing(terms: Terms, owed: Owed, now: Timestamp) -> Self {
        let fresh = Self::fresh(terms);
        let owed = u128::from(owed.micros) * u128::from(terms.calls) + u128::from(owed.part);
        Self { whole_at: fresh.present(now) + owed.min(fresh.most()), ..fresh }
    }

    /// What has not come back yet.
    pub fn owes(&self, now: Timestamp) -> Owed {
        Owed::of(self.owed(now), self.terms)
    }

    /// Whether more was spent than in the other, under the same terms.
    pub fn is_later_than(&self, other: &Self) -> bool {
        self.whole_at > other.whole_at
    }

    /// When everything has come back, in whole microseconds.
    pub fn whole_at(&self) -> Timestamp {
        let micros = self.whole_at / u128::from(self.terms.calls.max(1));
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// And the part of a microsecond after that: so many of which `calls` make one.
    pub fn part(&self) -> u32 {
        // The remainder is below the number of calls.
        u32::try_from(self.whole_at % u128::from(self.terms.calls.max(1))).unwrap_or(0)
    }

    /// What it is counted under.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Counts on under these terms. The calls that were spent stay spent, as far as the new terms know so many.
    pub fn adopt(&mut self, terms: Terms, now: Timestamp) {
        if self.terms == terms {
            return;
        }
        // A call costs a window's parts under either terms. Rounded up, by less than the millionth part of a call.
        let spent = self.owed(now) * u128::from(terms.window);
        let owed = spent.div_ceil(u128::from(self.terms.window.max(1)));
        *self = Self { terms, whole_at: 0 };
        self.whole_at = self.present(now) + owed.min(self.most());
    }

    /// Whether a call of this cost can be made now.
    ///
    /// # Errors
    /// When it can be.
    pub fn offers(&self, cost: u32, now: Timestamp) -> Result<(), Short> {
        if cost > self.terms.calls {
            return Err(Short::Forever);
        }
        let owed = self.owed(now) + self.price(cost);
        match owed.checked_sub(self.most()) {
            None | Some(0) => Ok(()),
            Some(beyond) => {
                let micros = beyond.div_ceil(u128::from(self.terms.calls.max(1)));
                Err(Short::For(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))))
            }
        }
    }

    /// Takes the cost of a call that is offered.
    pub fn spend(&mut self, cost: u32, now: Timestamp) {
        self.whole_at = self.present(now) + (self.owed(now) + self.price(cost)).min(self.most());
    }

    /// How many calls can be made now.
    pub fn remaining(&self, now: Timestamp) -> u32 {
        let left = (self.most() - self.owed(now)) / u128::from(self.terms.window.max(1));
        // No more than `calls`.
        u32::try_from(left).unwrap_or(self.terms.calls)
    }

    /// How long until everything has come back.
    pub fn whole_in(&self, now: Timestamp) -> Duration {
        let micros = self.owed(now).div_ceil(u128::from(self.terms.calls.max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// What has not come back yet. Nothing is owed for longer than a window: where the clock was set back, nobody waits
    /// until it has caught up, and nobody gets back what was spent.
    fn owed(&self, now: Timestamp) -> u128 {
        self.whole_at.saturating_sub(self.present(now)).min(self.most())
    }

    fn price(&self, cost: u32) -> u128 {
        u128::from(cost) * u128::from(self.terms.window)
    }

    fn most(&self) -> u128 {
        self.price(self.terms.calls)
    }

    fn present(&self, now: Timestamp) -> u128 {
        micros(now) * u128::from(self.terms.calls)
    }
}

fn micros(at: Timestamp) -> u128 {
    u128::try_from(at.micros()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + micros)
    }

    fn take(tally: &mut Tally, cost: u32, now: Timestamp) -> Result<(), Short> {
        tally.offers(cost, now)?;
        tally.spend(cost, now);
        Ok(())
    }

    fn burst(tally: &mut Tally, now: Timestamp) -> u32 {
        (0..10_000).take_while(|_| take(tally, 1, now).is_ok()).count() as u32
    }

    #[test]
    fn at_one_instant_exactly_the_limit_is_admitted_and_it_comes_back_evenly() {
        let mut tally = Tally::fresh(Terms { calls: 7, window: 60_000_000 });
        assert_eq!((burst(&mut tally, at(0)), tally.remaining(at(0))), (7, 0));
        let each = Duration::from_micros(8_571_429);
        assert_eq!(tally.offers(1, at(0)), Err(Short::For(each)), "a seventh of a minute, rounded up");
        assert_eq!(burst(&mut tally, at(8_571_428)), 0);
        assert_eq!(burst(&mut tally, at(8_571_429)), 1);
        assert_eq!(burst(&mut tally, at(60_000_000)), 6, "after a window all have come back, with no rounding");
        assert_eq!((tally.whole_in(at(60_000_000)), burst(&mut tally, at(600_000_000))), (Duration::from_secs(60), 7));
    }

    #[test]
    fn a_cost_is_taken_whole_or_not_at_all() {
        let mut tally = Tally::fresh(Terms { calls: 10, window: 10_000_000 });
        assert_eq!(take(&mut tally, 11, at(0)), Err(Short::Forever));
        assert_eq!((take(&mut tally, 7, at(0)), tally.remaining(at(0))), (Ok(()), 3));
        assert_eq!(take(&mut tally, 4, at(0)), Err(Short::For(Duration::from_secs(1))));
        assert_eq!((take(&mut tally, 0, at(0)), tally.remaining(at(0))), (Ok(()), 3));
        assert_eq!(take(&mut tally, 4, at(1_000_000)), Ok(()));
        assert_eq!(take(&mut tally, 10, at(1_000_000)), Err(Short::For(Duration::from_secs(10))));
    }

    #[test]
    fn new_terms_are_no_fresh_start() {
        let mut tally = Tally::fresh(Terms { calls: 100, window: 60_000_000 });
        take(&mut tally, 90, at(0)).unwrap();
        tally.adopt(Terms { calls: 200, window: 3_600_000_000 }, at(0));
        assert_eq!(tally.remaining(at(0)), 110);
        tally.adopt(Terms { calls: 50, window: 1_000_000 }, at(0));
        assert_eq!(
            (tally.remaining(at(0)), tally.whole_in(at(0))),
            (0, Duration::from_secs(1)),
            "no more is owed than all"
        );
        tally.adopt(Terms { calls: 50, window: 1_000_000 }, at(500_000));
        assert_eq!(tally.remaining(at(500_000)), 25);
    }

    #[test]
    fn keys_that_differ_about_a_shared_limit_do_not_starve_each_other() {
        let terms = [Terms { calls: 10, window: 1_000_000 }, Terms { calls: 11, window: 1_000_000 }];
        let mut tally = Tally::fresh(terms[0]);
        take(&mut tally, 10, at(0)).unwrap();
        for step in 0..1_000 {
            tally.adopt(terms[step % 2], at(step as i64 * 1_000));
        }
        assert!(tally.remaining(at(1_000_000)) >= 9, "{tally:?}");
    }

    #[test]
    fn a_clock_that_is_set_back_costs_a_window_at_most_and_gives_nothing_back() {
        let mut tally = Tally::fresh(Terms { calls: 5, window: 60_000_000 });
        assert_eq!(burst(&mut tally, at(3_600_000_000)), 5);
        assert_eq!(burst(&mut tally, at(0)), 0);
        assert_eq!(tally.offers(1, at(0)), Err(Short::For(Duration::from_secs(12))));
        assert_eq!(Tally::restored(tally.terms(), tally.whole_at(), tally.part()), tally);
    }

    #[test]
    fn the_largest_and_the_smallest_limits_are_counted_exactly() {
        let month = 31 * 86_400 * 1_000_000;
        let mut tally = Tally::fresh(Terms { calls: 1_000_000_000, window: month });
        assert_eq!(take(&mut tally, 1_000_000_000, at(0)), Ok(()));
        assert!(take(&mut tally, 1, at(2_678)).is_err());
        assert_eq!(take(&mut tally, 1, at(2_679)), Ok(()), "one comes back after 2,678.4 us");
        let mut tally = Tally::fresh(Terms { calls: 1_000_000_000, window: 1_000_000 });
        assert_eq!(take(&mut tally, 1_000_000_000, at(0)), Ok(()));
        assert_eq!(take(&mut tally, 1_000, at(1)), Ok(()));
        assert_eq!(take(&mut tally, 1, at(1)), Err(Short::For(Duration::from_micros(1))));
    }

    proptest! {
        /// The oracle counts in fractions: what was admitted in any stretch of time is no more than the limit and what
        /// came back in it; and whatever is refused would have been too much for one of these.
        #[test]
        fn no_stretch_of_time_sees_more_than_the_limit_allows_and_nothing_is_refused_that_it_allows(
            calls in 1_u32..40,
            window in 1_000_000_u64..5_000_000,
            steps in proptest::collection::vec((0_i64..700_000, 0_u32..4), 1..120),
        ) {
            let mut tally = Tally::fresh(Terms { calls, window });
            let (mut now, mut admitted) = (0_i64, Vec::<(i64, u32)>::new());
            for (wait, cost) in steps {
                now += wait;
                // For each stretch that ends now: cost of the calls in it, times the window, against (limit + elapsed /
                // each).
                let fits = |cost: u32| {
                    let mut sum = u128::from(cost);
                    let mut fits = sum <= u128::from(calls);
                    for (then, cost) in admitted.iter().rev() {
                        sum += u128::from(*cost);
                        let back = u128::try_from(now - then).unwrap() * u128::from(calls);
                        fits &= sum * u128::from(window) <= u128::from(calls) * u128::from(window) + back;
                    }
                    fits
                };
                let offered = tally.offers(cost, at(now));
                prop_assert_eq!(offered.is_ok(), fits(cost), "cost {} at {} after {:?}", cost, now, &admitted);
                if let Err(Short::For(wait)) = offered {
                    let then = at(now).plus(wait);
                    prop_assert_eq!(tally.offers(cost, then), Ok(()), "whoever waits as told succeeds");
                    prop_assert!(tally.offers(cost, then.minus(Duration::from_micros(1))).is_err(), "and not sooner");
                }
                let left = tally.remaining(at(now));
                prop_assert!(tally.offers(left, at(now)).is_ok() && tally.offers(left + 1, at(now)).is_err());
                prop_assert_eq!(Tally::restored(tally.terms(), tally.whole_at(), tally.part()), tally);
                if offered.is_ok() {
                    tally.spend(cost, at(now));
                    admitted.push((now, cost));
                }
            }
        }
    }
}
