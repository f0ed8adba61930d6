//! What keys that are under one limit have spent of it together: one key's, or those of one owner.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RateLimit;
use super::tally::{Short, Tally};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ProjectId, UserId};
use crate::domain::key::Key;

/// A bucket. Whoever locks several does so by their numbers.
pub struct Bucket {
    id: BucketId,
    number: u64,
    state: Mutex<State>,
}

/// What a bucket is known by, and whose it is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct BucketId {
    /// Knows the bucket among those of all projects.
    pub text: Box<str>,
    /// The project.
    pub project: ProjectId,
}

/// What a bucket holds.
#[derive(Debug)]
pub struct State {
    /// What was spent.
    pub tally: Tally,
    /// Whether it was changed since it was last written down.
    pub changed: bool,
    /// Where several nodes share the bucket: calls that this node has taken out of it and not spent. What was taken
    /// counts as spent in the tally, which is then that of the store when it was last asked.
    pub leased: u32,
    /// Where all nodes share one count: the last session with it that knows what is known here.
    pub session: u64,
}

/// Whether a bucket has room for a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offer {
    /// It has.
    Enough,
    /// It may have: the store has to be asked.
    Ask,
    /// It has not.
    Short(Short),
}

impl State {
    /// Whether there is room for a call of this cost, in a bucket that several nodes share or one has for itself.
    pub fn offers(&self, cost: u32, shared: bool, now: Timestamp) -> Offer {
        match self.tally.offers(cost.saturating_sub(self.leased), now) {
            _ if shared && self.leased >= cost => Offer::Enough,
            _ if cost > self.tally.terms().calls => Offer::Short(Short::Forever),
            Err(short) => Offer::Short(short),
            Ok(()) if shared => Offer::Ask,
            Ok(()) => Offer::Enough,
        }
    }

    /// Takes what is offered.
    pub fn spend(&mut self, cost: u32, shared: bool, now: Timestamp) {
        if shared {
            self.leased = self.leased.saturating_sub(cost);
        } else {
            self.tally.spend(cost, now);
            // No other count knows of it.
            self.session = 0;
        }
    }

    /// How many calls to take out of a shared bucket, for a call of this cost: so many that the store is seldom asked, and that
    /// nodes hold little back from each other. With what is here already they are a lease, or the cost.
    pub fn wanted(&self, cost: u32) -> u32 {
        lease(self.tally.terms().calls).max(cost).saturating_sub(self.leased)
    }

    /// Whether a node that spends from a shared bucket had better take more before it has none.
    pub fn is_low(&self) -> bool {
        let whole = lease(self.tally.terms().calls);
        whole > 1 && self.leased <= whole / 2
    }
}

/// How many calls of a limit a node takes at once where several share it: the twentieth part, one at least. It is by so
/// many, for each node, that more calls may be admitted in a window than the limit says.
pub const fn lease(calls: u32) -> u32 {
    if calls < 2 * PARTS { 1 } else { calls / PARTS }
}

const PARTS: u32 = 20;

impl BucketId {
    /// The bucket that a key spends from under this limit.
    pub fn of(key: &Key, limit: &RateLimit) -> Self {
        Self { text: Self::text(key, limit), project: key.project.clone() }
    }

    /// A limit that is shared is its owner's, or its user's where no owner is named, and the same limit only where it is as wide:
    /// what a key has spent of a smaller one says nothing about a larger one. A name holds no slash, so that none of these is
    /// like another.
    fn text(key: &Key, limit: &RateLimit) -> Box<str> {
        let (project, environment) = (&key.project, key.environment);
        let RateLimit { name, calls, window, shared } = limit;
        let shared = *shared;
        let text = match (&key.details.owner, key.user.as_ref().map(UserId::as_str)) {
            (Some(owner), _) if shared => {
                format!("{project}/{environment}/owner/{owner}/{name}/{calls}/{}", window.as_secs())
            }
            (None, Some(user)) if shared => {
                format!("{project}/{environment}/user/{user}/{name}/{calls}/{}", window.as_secs())
            }
            _ => format!("{}/{name}", key.id),
        };
        text.into()
    }
}

impl Bucket {
    /// A bucket of which so much was spent. No other has its number.
    pub fn new(id: BucketId, number: u64, tally: Tally) -> Self {
        Self { id, number, state: Mutex::new(State { tally, changed: false, leased: 0, session: 0 }) }
    }

    /// What it is known by.
    pub fn id(&self) -> &BucketId {
        &self.id
    }

    /// Its place in the order of locking.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Holds it: nobody else spends from it meanwhile.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever panicked while it was held left a number of whole calls behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.id.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::limit::tally::Terms;
    use crate::store::tests::support::{at, full_key};

    #[test]
    fn a_node_spends_what_it_took_and_asks_only_where_there_may_be_more() {
        let terms = Terms { calls: 100, window: 100_000_000 };
        let mut state = State { tally: Tally::fresh(terms), changed: false, leased: 0, session: 0 };
        assert_eq!((state.offers(1, true, at(0)), state.offers(1, false, at(0))), (Offer::Ask, Offer::Enough));
        assert_eq!((state.wanted(1), state.wanted(9)), (5, 9));
        state.tally.spend(100, at(0));
        state.leased = 5;
        assert_eq!((state.offers(5, true, at(0)), state.is_low()), (Offer::Enough, false));
        state.spend(3, true, at(0));
        assert_eq!((state.leased, state.is_low(), state.tally.remaining(at(0))), (2, true, 0));
        assert_eq!((state.wanted(0), state.wanted(9)), (3, 7), "what is missing of a lease, or of the cost");
        let wait = Short::For(Duration::from_secs(1));
        assert_eq!((state.offers(3, true, at(0)), state.offers(3, true, at(1))), (Offer::Short(wait), Offer::Ask));
        assert_eq!(state.offers(101, true, at(100)), Offer::Short(Short::Forever));
        assert_eq!([lease(1), lease(39), lease(40), lease(1_000_000_000)], [1, 1, 2, 50_000_000]);
    }

    #[test]
    fn a_shared_limit_is_its_owners_and_any_other_the_keys() {
        let limit = |shared| RateLimit { name: "day".into(), calls: 1, window: Duration::from_secs(1), shared };
        let key = full_key(at(0));
        let mut ownerless = key.clone();
        ownerless.details.owner = None;
        let mut users = ownerless.clone();
        let user = UserId::new(at(0), &SystemEntropy);
        users.user = Some(user.clone());
        for (key, shared, wanted) in [
            (&key, true, "default/test/owner/team-a/day/1/1".to_owned()),
            (&key, false, format!("{}/day", key.id)),
            (&ownerless, true, format!("{}/day", ownerless.id)),
            (&users, true, format!("default/test/user/{user}/day/1/1")),
        ] {
            assert_eq!(*BucketId::of(key, &limit(shared)).text, *wanted);
        }
    }
}
