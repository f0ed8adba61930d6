//! The limits of one credential with the buckets they are counted in, and how a call is held against all of them at
//! once.

pub mod together;

use std::fmt::Write;
use std::sync::{Arc, MutexGuard};

use smallvec::SmallVec;

use super::CREDITS;
use super::bucket::{Bucket, Offer, State};
use super::purse::{self, Content, Purse};
use super::quota::{Quota, Refill};
use super::report::{CreditsLeft, Report, Standing};
use super::tally::{Short, Terms};
use crate::domain::clock::Timestamp;
use crate::domain::memo::Memo;

/// What a credential's calls are counted in.
#[derive(Debug)]
pub struct Limits {
    /// In the order of locking.
    each: Box<[Limit]>,
    /// Whether several nodes share the buckets.
    shared: bool,
    /// Its credits, if it has a quota.
    funds: Option<Funds>,
    /// The policies as the header `RateLimit-Policy` tells them.
    policies: Box<str>,
}

/// A quota, and the credits of it that are on this node.
#[derive(Debug)]
pub struct Funds {
    /// The quota.
    pub quota: Quota,
    /// The credits.
    pub purse: Arc<Purse>,
}

/// One limit and its bucket.
#[derive(Debug)]
pub struct Limit {
    /// What it is called.
    pub name: Box<str>,
    /// How many calls in how long.
    pub terms: Terms,
    /// Where they are counted.
    pub bucket: Arc<Bucket>,
    /// What callers are told of it and never changes, encoded: kept for who tells it.
    pub told: Memo<Box<[u8]>>,
}

/// What a call costs, and how that is held against limits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cost {
    /// What it costs, in calls.
    pub calls: u32,
    /// Whether it is taken.
    pub spends: bool,
    /// Whether a limit that is smaller is emptied by the call, rather than standing against it for ever.
    pub fits: bool,
}

impl Cost {
    /// What a call of our own RPCs costs. None is dearer than a limit allows.
    pub const fn of_rpc(calls: u32) -> Self {
        Self { calls, spends: true, fits: true }
    }

    /// What somebody who verifies a credential says that a call costs; nothing is taken for 0, but told whether there
    /// is one left.
    pub const fn asked(calls: u32) -> Self {
        match calls {
            0 => Self { calls: 1, spends: false, fits: false },
            _ => Self { calls, spends: true, fits: false },
        }
    }

    /// The same, and nothing is taken.
    pub const fn looking(self) -> Self {
        Self { spends: false, ..self }
    }

    /// What it costs under these terms.
    pub fn under(self, terms: Terms) -> u32 {
        if self.fits { self.calls.min(terms.calls) } else { self.calls }
    }
}

/// All buckets of some limits, held.
struct Held<'a> {
    limits: &'a [Limit],
    states: SmallVec<[MutexGuard<'a, State>; MOST_AT_ONCE]>,
    content: Option<(&'a Funds, MutexGuard<'a, Content>)>,
}

impl Limits {
    /// These limits and credits, in buckets that several nodes share or one has for itself; none if there are none.
    pub fn new(mut each: Vec<Limit>, funds: Option<Funds>, shared: bool) -> Option<Arc<Self>> {
        if each.is_empty() && funds.is_none() {
            return None;
        }
        each.sort_by_key(|limit| limit.bucket.number());
        let mut policies = String::new();
        for limit in &each {
            // Writing into a string does not fail. Names are of letters and digits, so there is nothing to escape.
            let _ = write!(
                policies,
                "{}\"{}\";q={};w={}",
                if policies.is_empty() { "" } else { ", " },
                limit.name,
                limit.terms.calls,
                limit.terms.window().as_secs()
            );
        }
        if let Some(Funds { quota, .. }) = &funds {
            let comma = if policies.is_empty() { "" } else { ", " };
            let window = if let Refill::Daily(_) = quota.refill { ";w=86400" } else { "" };
            let _ = write!(policies, "{comma}\"{CREDITS}\";q={}{window}", quota.full());
        }
        Some(Arc::new(Self { each: each.into(), shared, funds, policies: policies.into() }))
    }

    /// Each of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Limit> {
        self.each.iter()
    }

    /// The policies as the header `RateLimit-Policy` tells them (draft-ietf-httpapi-ratelimit-headers-11, section 3).
    pub fn policies(&self) -> &str {
        &self.policies
    }

    /// Its credits, if it has a quota.
    pub fn funds(&self) -> Option<&Funds> {
        self.funds.as_ref()
    }

    /// Takes the cost of a call from all buckets and the credits, or nothing from any; none where the store has to be
    /// asked for more credits or calls first. `changed` sees each limit whose bucket is not as it was written down any
    /// more or, where several nodes share it, of which this one has little left; it must not look into it.
    pub fn spend(self: &Arc<Self>, cost: Cost, now: Timestamp, mut changed: impl FnMut(&Limit)) -> Option<Report> {
        let mut held = self.hold(now);
        let offer = |(limit, state): (&Limit, &State)| state.offers(cost.under(limit.terms), self.shared, now);
        let offers: SmallVec<[Offer; MOST_AT_ONCE]> = held.each().map(offer).collect();
        let limited = offers.iter().any(|offer| matches!(offer, Offer::Short(_)));
        let credits = match &held.content {
            Some((_, content)) if !limited => content.offers(cost.calls, now),
            _ => purse::Offer::Enough,
        };
        if !limited && (credits == purse::Offer::Ask || offers.contains(&Offer::Ask)) {
            return None;
        }
        if cost.spends && !limited && credits == purse::Offer::Enough {
            if let Some((_, content)) = &mut held.content {
                content.spend(cost.calls);
            }
            for (limit, state) in held.limits.iter().zip(&mut held.states) {
                state.spend(cost.under(limit.terms), self.shared, now);
                let matters = !self.shared || state.is_low();
                if matters && !std::mem::replace(&mut state.changed, true) {
                    changed(limit);
                }
            }
        }
        let standings = held.each().zip(offers).map(|((_, state), offer)| match offer {
            Offer::Short(short) => Standing::of(&state.tally, state.leased, Some(short), now),
            Offer::Enough | Offer::Ask => Standing::of(&state.tally, state.leased, None, now),
        });
        let standings = standings.collect();
        let short = (credits == purse::Offer::Empty).then_some(cost.calls);
        Some(Report::new(Arc::clone(self), standings, held.credits(short, now)))
    }

    /// How much is left, without a call to hold against it.
    pub fn look(self: &Arc<Self>, now: Timestamp) -> Report {
        let held = self.hold(now);
        let standings = held.each().map(|(_, state)| Standing::of(&state.tally, state.leased, None, now)).collect();
        Report::new(Arc::clone(self), standings, held.credits(None, now))
    }

    fn hold(&self, now: Timestamp) -> Held<'_> {
        let states = self.each.iter().map(|limit| limit.hold(now)).collect();
        // After all buckets: nobody who holds it waits for one.
        let content = self.funds.as_ref().map(|funds| {
            let mut content = funds.purse.lock();
            content.turn(&funds.quota, funds.quota.refill.period(now));
            (funds, content)
        });
        Held { limits: &self.each, states, content }
    }
}

impl Limit {
    /// So many calls in so long, counted in this bucket.
    pub fn new(name: Box<str>, terms: Terms, bucket: Arc<Bucket>) -> Self {
        Self { name, terms, bucket, told: Memo::default() }
    }

    fn hold(&self, now: Timestamp) -> MutexGuard<'_, State> {
        let mut state = self.bucket.lock();
        state.tally.adopt(self.terms, now);
        state.leased = state.leased.min(self.terms.calls);
        state
    }
}

impl Held<'_> {
    fn each(&self) -> impl Iterator<Item = (&Limit, &State)> {
        self.limits.iter().zip(self.states.iter().map(|state| &**state))
    }

    /// How it stands with its credits; `short` is the cost of a call that there are not enough for.
    fn credits(&self, short: Option<u32>, now: Timestamp) -> Option<CreditsLeft> {
        self.content.as_ref().map(|(funds, content)| funds.left(content, short, now))
    }
}

impl Funds {
    fn left(&self, content: &Content, short: Option<u32>, now: Timestamp) -> CreditsLeft {
        let refilled_in = self.quota.refill.period(now).left(now);
        let full = self.quota.full();
        let short = short.map(|cost| match refilled_in {
            Some(wait) if i64::from(cost) <= full => Short::For(wait),
            _ => Short::Forever,
        });
        CreditsLeft { remaining: content.remaining(), full, refilled_in, short }
    }
}

/// Limits of a key that are held without memory of their own: hardly any key has more.
const MOST_AT_ONCE: usize = 4;

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::id::ProjectId;
    use crate::domain::limit::bucket::BucketId;
    use crate::domain::limit::tally::Tally;

    pub(crate) fn limits(given: &[(&str, u32, u64)]) -> Arc<Limits> {
        let each = given.iter().zip(0_u64..).map(|((name, calls, seconds), number)| {
            let terms = Terms { calls: *calls, window: seconds * 1_000_000 };
            let id = BucketId { text: (*name).into(), project: ProjectId::default_project() };
            let bucket = Arc::new(Bucket::new(id, 100 - number, Tally::fresh(terms)));
            Limit::new((*name).into(), terms, bucket)
        });
        Limits::new(each.collect(), None, false).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn left(report: &Report) -> Vec<(String, u64)> {
        let mut left: Vec<_> = report.iter().map(|(name, standing)| (name.to_owned(), standing.remaining)).collect();
        left.sort();
        left
    }

    #[test]
    fn a_call_that_one_limit_refuses_spends_nothing_of_the_others() {
        let limits = limits(&[("minute", 2, 60), ("day", 10, 86_400)]);
        let spend = |cost| limits.spend(Cost::asked(cost), at(0), |_| ()).unwrap();
        assert_eq!(limits.policies(), "\"day\";q=10;w=86400, \"minute\";q=2;w=60");
        assert!(!spend(1).is_refused() && !spend(1).is_refused() && spend(1).is_refused());
        assert_eq!(left(&spend(0)), [("day".to_owned(), 8), ("minute".to_owned(), 0)]);
        assert!(spend(0).is_refused(), "nothing is taken, and it is told that there is nothing");
        let later = limits.spend(Cost::asked(2), at(60), |_| ()).unwrap();
        assert_eq!((later.is_refused(), left(&later)), (false, vec![("day".to_owned(), 6), ("minute".to_owned(), 0)]));
        assert_eq!(spend(11).retry_after(), None, "it costs more than there ever is");
    }

    #[test]
    fn a_dear_call_of_ours_empties_a_small_limit() {
        let limits = limits(&[("minute", 2, 60), ("day", 100, 86_400)]);
        let spend = || limits.spend(Cost::of_rpc(10), at(0), |_| ()).unwrap();
        assert_eq!(left(&spend()), [("day".to_owned(), 90), ("minute".to_owned(), 0)]);
        assert_eq!(spend().retry_after(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_changed_is_told_once() {
        let limits = limits(&[("minute", 5, 60)]);
        let mut told = 0;
        for _ in 0..3 {
            limits.spend(Cost::asked(1), at(0), |_| told += 1);
        }
        assert_eq!(told, 1);
        let bucket = &limits.iter().next().unwrap().bucket;
        bucket.lock().changed = false;
        limits.spend(Cost::asked(9), at(0), |_| told += 1);
        assert_eq!(told, 1, "what was refused changed nothing");
    }

    #[test]
    fn many_threads_over_crossing_limits_admit_exactly_what_there_is() {
        let one = limits(&[("a", 100, 3600), ("b", 70, 3600)]);
        let again = |limit: &Limit| Limit::new(limit.name.clone(), limit.terms, Arc::clone(&limit.bucket));
        let mut each: Vec<_> = one.iter().map(again).collect();
        each.reverse();
        let other = Limits::new(each, None, false).unwrap();
        let run = |limits: &Arc<Limits>| {
            (0..500).filter(|_| !limits.spend(Cost::asked(1), at(0), |_| ()).unwrap().is_refused()).count()
        };
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                [&one, &other, &one, &other].into_iter().map(|limits| scope.spawn(|| run(limits))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 70);
        assert_eq!(left(&one.look(at(0))), [("a".to_owned(), 30), ("b".to_owned(), 0)]);
        assert_eq!(one.look(at(36)).iter().map(|(_, standing)| standing.reset).max(), Some(Duration::from_secs(3564)));
    }
}
