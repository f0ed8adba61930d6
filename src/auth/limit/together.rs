//! One count for all nodes, in Redis: exact, whichever of them is called.
//!
//! A Redis that is away, or slow, costs no call and lets none in that a single node would not: until it answers again, each
//! node counts by itself, from what it was told last. What it knows then it tells the next session, so that what was spent stays
//! spent where Redis has lost its memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::clock::Clock;
use crate::domain::limit::limits::together::{Hold, Told};
use crate::domain::limit::limits::{Cost, Limits};
use crate::store::redis::{Redis, Session};

/// The count, and how often there was no answer.
#[derive(Debug)]
pub(super) struct Together {
    redis: Redis,
    alone: AtomicU64,
}

impl Together {
    /// By this Redis.
    pub(super) fn new(redis: Redis) -> Self {
        Self { redis, alone: AtomicU64::new(0) }
    }

    /// The session with it; none while it does not answer.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        self.redis.session()
    }

    /// Holds a call against all of its limits; none where there is no answer.
    pub(super) async fn ask(
        &self,
        session: &Session,
        limits: &Arc<Limits>,
        cost: Cost,
        hold: &Hold<'_>,
        clock: &dyn Clock,
    ) -> Option<Vec<Told>> {
        let questions = limits.questions(cost, session.number(), clock.now());
        // By one clock, that of Redis, rather than by as many as there are nodes.
        let time = (!clock.is_the_machines()).then(|| clock.now());
        self.redis.take(session, &questions, limits.may_take(cost, hold), time).await
    }

    /// Counts a call that is held against what this node knows.
    pub(super) fn count_alone(&self) {
        self.alone.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(super) fn counted_alone(&self) -> u64 {
        self.alone.load(Ordering::Relaxed)
    }
}
