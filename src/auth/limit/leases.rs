//! Calls that this node takes out of buckets which several nodes share.
//!
//! The store says how a shared bucket stands, and what it says is kept beside the lease: a call that it leaves no room
//! for is refused without asking again. A store that does not answer in time is not waited for any more: until
//! it answers again, which is tried now and then in the background, the node counts by itself from what it knew last,
//! as if it were alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::turns::Turns;
use crate::domain::clock::Timestamp;
use crate::domain::limit::bucket::{Bucket, Offer};
use crate::domain::limit::limits::Limit;
use crate::domain::limit::tally::Terms;
use crate::domain::throttle::Throttle;
use crate::store::Store;

/// Takes calls out of the store.
#[derive(Clone, Debug)]
pub(super) struct Leases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    /// How long a call waits for it.
    patience: Duration,
    /// Whether the store did not answer the last time.
    alone: AtomicBool,
    /// When it is tried again.
    tries: Throttle,
    started: Instant,
    /// Who takes out of a bucket: two at once would take more than a lease.
    turns: Turns,
}

/// What is to be taken.
#[derive(Debug)]
struct Wanted {
    bucket: Arc<Bucket>,
    terms: Terms,
    calls: u32,
    now: Timestamp,
}

impl Leases {
    /// From this store, for which a call waits so long.
    pub(super) fn new(store: Store, patience: Duration) -> Self {
        let (alone, tries) = (AtomicBool::default(), Throttle::new(TRY_EVERY));
        Self(Arc::new(Inner { store, patience, alone, tries, started: Instant::now(), turns: Turns::new() }))
    }

    /// Takes enough for a call of this cost, if there is.
    pub(super) async fn top_up(&self, limit: &Limit, cost: u32, now: Timestamp) {
        let _turn = self.0.turns.wait(limit.bucket.id()).await;
        let calls = {
            let state = limit.bucket.lock();
            if state.offers(cost, true, now) != Offer::Ask {
                return;
            }
            state.wanted(cost)
        };
        let wanted = Wanted { bucket: Arc::clone(&limit.bucket), terms: limit.terms, calls, now };
        if self.0.alone.load(Ordering::Relaxed) {
            wanted.take_alone();
            if self.0.tries.pass(self.0.started.elapsed()).is_some() {
                self.renew(limit, now);
            }
            return;
        }
        // A task of its own: whoever asks may go away before the answer is here, and what is taken must not be lost
        // with them.
        let inner = Arc::clone(&self.0);
        // It fails where the server is stopping; then the call does too.
        let _ = tokio::spawn(async move { inner.take(wanted, true).await }).await;
    }

    /// Takes what is missing of a lease in the background, before it is used up. The bucket counts as changed until that is
    /// done.
    pub(super) fn renew(&self, limit: &Limit, now: Timestamp) {
        let (bucket, terms) = (Arc::clone(&limit.bucket), limit.terms);
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let _turn = inner.turns.wait(bucket.id()).await;
            let calls = bucket.lock().wanted(0);
            if calls > 0 {
                inner.take(Wanted { bucket: Arc::clone(&bucket), terms, calls, now }, false).await;
            }
            bucket.lock().changed = false;
        });
    }
}

impl Inner {
    /// Takes what is wanted out of the store; where that is away and a call waits, out of what is known of it.
    async fn take(&self, wanted: Wanted, waited_for: bool) {
        let Wanted { ref bucket, terms, calls, now } = wanted;
        let asked = timeout(self.patience, self.store.lease_calls(bucket.id(), terms, calls, now)).await;
        let taken = asked.ok().and_then(Result::ok);
        if taken.is_none() != self.alone.swap(taken.is_none(), Ordering::Relaxed) {
            match &taken {
                Some(_) => tracing::info!("rate limits are shared with the other nodes again"),
                None => tracing::warn!("the database does not answer; this node counts rate limits by itself"),
            }
        }
        match taken {
            Some((given, tally)) => {
                let mut state = bucket.lock();
                state.tally = tally;
                state.leased = state.leased.saturating_add(given).min(terms.calls);
            }
            None if waited_for => wanted.take_alone(),
            None => {}
        }
    }
}

impl Wanted {
    fn take_alone(&self) {
        let mut state = self.bucket.lock();
        state.tally.adopt(self.terms, self.now);
        let given = self.calls.min(state.tally.remaining(self.now));
        state.tally.spend(given, self.now);
        state.leased = state.leased.saturating_add(given).min(self.terms.calls);
    }
}

/// How often a store that is away is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);
