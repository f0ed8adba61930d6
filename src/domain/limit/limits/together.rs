//! Limits whose count all nodes share: what that is asked about a call, and what becomes of its answer.
//!
//! A bucket of this node then only knows what it was told last. That is what the node goes by where there is no answer, and
//! what it tells to the next session with the count: which may have forgotten, and does not know what was spent meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::{Cost, Funds, Limit, Limits};
use crate::domain::clock::Timestamp;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::purse;
use crate::domain::limit::report::{Report, Standing, Standings};
use crate::domain::limit::tally::{Owed, Short, Tally, Terms};

/// What is asked about one limit.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The bucket.
    pub bucket: &'a BucketId,
    /// The terms it is counted under.
    pub terms: Terms,
    /// What the call costs; nothing, if the limit never allows it.
    pub price: Owed,
    /// What is owed at the least, as far as this node knows and the count may not.
    pub least: Owed,
}

/// The answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    /// What is owed after the call.
    pub owed: Owed,
    /// How long the call has to wait, if it has to.
    pub wait: Option<Duration>,
}

/// Credits that are out of their purse until it is known whether the call is admitted. They go back unless they are kept.
#[derive(Debug)]
pub struct Hold<'a> {
    taken: Option<Taken<'a>>,
    is_short: bool,
}

#[derive(Debug)]
struct Taken<'a> {
    funds: &'a Funds,
    terms: (i64, Timestamp),
    credits: u32,
}

impl Limits {
    /// Takes credits for a call out of the purse; none where the store has to be asked for more first.
    pub fn hold_credits(&self, cost: Cost, now: Timestamp) -> Option<Hold<'_>> {
        let Some(funds) = &self.funds else { return Some(Hold { taken: None, is_short: false }) };
        let mut content = funds.purse.lock();
        content.turn(&funds.quota, funds.quota.refill.period(now));
        match content.offers(cost.calls, now) {
            purse::Offer::Ask => None,
            purse::Offer::Empty => Some(Hold { taken: None, is_short: true }),
            purse::Offer::Enough if !cost.spends => Some(Hold { taken: None, is_short: false }),
            purse::Offer::Enough => {
                content.spend(cost.calls);
                let taken = Taken { funds, terms: content.terms(), credits: cost.calls };
                Some(Hold { taken: Some(taken), is_short: false })
            }
        }
    }

    /// What is asked about a call, in the order of the limits, in this session with the count.
    pub fn questions(&self, cost: Cost, session: u64, now: Timestamp) -> Vec<Question<'_>> {
        let question = |limit: &'_ Limit| {
            let state = limit.hold(now);
            // What was told in this session it knows.
            let least = if state.session == session { Owed::default() } else { state.tally.owes(now) };
            (limit.terms, limit.price(cost).unwrap_or_default(), least)
        };
        let each = self.each.iter().map(|limit| (limit, question(limit)));
        each.map(|(limit, (terms, price, least))| Question { bucket: limit.bucket.id(), terms, price, least }).collect()
    }

    /// Whether a call of this cost takes something, if no limit has it wait.
    pub fn may_take(&self, cost: Cost, hold: &Hold<'_>) -> bool {
        cost.spends && !hold.is_short && self.each.iter().all(|limit| limit.price(cost).is_some())
    }

    /// Takes over what was told about a call. `changed` sees each limit whose bucket is not as it was written down any more;
    /// it must not look into it.
    pub fn take_over(
        self: &Arc<Self>,
        told: &[Told],
        cost: Cost,
        hold: Hold<'_>,
        session: u64,
        now: Timestamp,
        mut changed: impl FnMut(&Limit),
    ) -> Report {
        let standing = |(limit, told): (&Limit, &Told)| {
            let tally = Tally::owing(limit.terms, told.owed, now);
            let mut state = limit.hold(now);
            // Unless something was spent here meanwhile, without the count.
            if session > state.session && !state.tally.is_later_than(&tally) {
                state.session = session;
            }
            if tally.is_later_than(&state.tally) {
                state.tally = tally;
                if !std::mem::replace(&mut state.changed, true) {
                    changed(limit);
                }
            }
            let short = match limit.price(cost) {
                None => Some(Short::Forever),
                Some(_) => told.wait.map(Short::For),
            };
            Standing::of(&tally, 0, short, now)
        };
        let standings: Standings = self.each.iter().zip(told).map(standing).collect();
        let limited = standings.iter().any(|standing| standing.short.is_some());
        let short = (hold.is_short && !limited).then_some(cost.calls);
        if limited {
            drop(hold)
        } else {
            hold.keep()
        }
        let credits = self.funds.as_ref().map(|funds| {
            let mut content = funds.purse.lock();
            content.turn(&funds.quota, funds.quota.refill.period(now));
            funds.left(&content, short, now)
        });
        Report::new(Arc::clone(self), standings, credits)
    }
}

impl Limit {
    /// What a call costs here; none if it never is allowed.
    fn price(&self, cost: Cost) -> Option<Owed> {
        let calls = cost.under(self.terms);
        (calls <= self.terms.calls).then(|| self.terms.price(calls))
    }
}

impl Hold<'_> {
    fn keep(mut self) {
        self.taken = None;
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if let Some(Taken { funds, terms, credits }) = self.taken.take() {
            funds.purse.lock().put_back(terms, credits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::limits;
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::id::KeyId;
    use crate::domain::limit::purse::Purse;
    use crate::domain::limit::quota::{Quota, Refill};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn what_was_spent_without_the_count_is_told_to_its_next_session() {
        let (limits, one) = (limits(&[("minute", 60, 60)]), Cost::asked(1));
        let least = |session| limits.questions(one, session, at(0))[0].least.micros / 1_000_000;
        let told = |seconds: u64, session| {
            let hold = limits.hold_credits(one, at(0)).unwrap();
            let told = [Told { owed: Owed { micros: seconds * 1_000_000, part: 0 }, wait: None }];
            limits.take_over(&told, one, hold, session, at(0), |_| ());
        };
        told(10, 1);
        assert_eq!((least(1), least(2)), (0, 10));
        for _ in 0..5 {
            limits.spend(one, at(0), |_| ()).unwrap();
        }
        assert_eq!((least(1), least(2)), (15, 15));
        told(3, 2);
        assert_eq!(least(2), 15, "it was asked before that was spent");
        told(16, 2);
        assert_eq!((least(2), least(3)), (0, 16));
        told(12, 1);
        assert_eq!((least(2), least(3)), (0, 16), "an answer that comes late changes nothing");
    }

    #[test]
    fn a_call_takes_from_all_or_from_none() {
        let limits = limits(&[("minute", 2, 60), ("day", 10, 86_400)]);
        let may = |cost| limits.may_take(cost, &limits.hold_credits(cost, at(0)).unwrap());
        let costs = [Cost::asked(0), Cost::asked(2), Cost::asked(3), Cost::of_rpc(3), Cost::asked(1).looking()];
        assert_eq!(costs.map(may), [false, true, false, true, false]);
        let told = Told { owed: Owed { micros: 5_000_000, part: 0 }, wait: Some(Duration::from_secs(5)) };
        let free = Told { wait: None, ..told };
        let hold = limits.hold_credits(Cost::asked(1), at(0)).unwrap();
        let report = limits.take_over(&[free, told], Cost::asked(1), hold, 1, at(0), |_| ());
        assert_eq!((report.is_refused(), report.retry_after()), (true, Some(Duration::from_secs(5))));
        let hold = limits.hold_credits(Cost::asked(3), at(0)).unwrap();
        let report = limits.take_over(&[free, free], Cost::asked(3), hold, 1, at(0), |_| ());
        assert_eq!((report.is_refused(), report.retry_after()), (true, None), "there are never so many");
    }

    #[test]
    fn credits_go_back_unless_the_call_is_admitted() {
        let quota = Quota::set(100, Refill::Never, 1, at(0));
        let purse = Arc::new(Purse::new(KeyId::new(at(0), &SystemEntropy)));
        let limits = Limits::new(Vec::new(), Some(Funds { quota, purse: Arc::clone(&purse) }), false).unwrap();
        let (here, three) = (|| purse.lock().here(), Cost::asked(3));
        assert!(limits.hold_credits(three, at(0)).is_none(), "the store has to be asked");
        let terms = purse.lock().terms();
        purse.lock().put(terms, 3, Some((10, 90, terms.1)), at(0));
        let hold = limits.hold_credits(three, at(0)).unwrap();
        assert_eq!(here(), 7);
        drop(hold);
        assert_eq!(here(), 10);
        let hold = limits.hold_credits(three, at(0)).unwrap();
        let report = limits.take_over(&[], three, hold, 1, at(0), |_| ());
        assert_eq!((here(), report.credits().unwrap().remaining), (7, 97));
        let hold = limits.hold_credits(three, at(0)).unwrap();
        let new = Quota::set(50, Refill::Never, 2, at(0));
        purse.lock().turn(&new, new.refill.period(at(0)));
        drop(hold);
        assert_eq!(here(), 0, "what was taken before they were set anew belongs to nothing");
    }
}
