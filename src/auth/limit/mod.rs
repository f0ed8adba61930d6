//! Spending what credentials may spend: the one place where a call is held against limits.
//!
//! A key's limits, or those of the key that a token was exchanged for, are worked out once and kept beside the cached
//! credential, so that a call looks nothing up. What was spent stands in [`buckets`], which outlive what is cached: a
//! key that is changed, rotated or forgotten goes on where it was.
//!
//! Where the store is one node's, what was spent is written down once a second and when the server stops, and read
//! again at the start; limits over windows of up to [`BRIEF`] are not, for they are whole again as soon.
//!
//! Where several nodes share a store, a node takes some of a limit's calls out of it before they are spent
//! (`leases`): a twentieth part, filled up in the background when half of it is gone. What it has taken it may
//! spend later, so that in a window there may be one lease of each node more than the limit says.
//!
//! Where there is a Redis that all nodes share, it counts instead (`together`), and what is in memory is only what it said last.
//!
//! Credits are the store's. A node takes some before they are spent, into `purses`, and gives back what is not.

pub mod buckets;
mod leases;
mod purses;
mod together;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use self::buckets::Buckets;
use self::leases::Leases;
use self::purses::Purses;
use self::together::Together;
use self::turns::Turns;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::Credential;
use crate::domain::error::Result;
use crate::domain::key::Key;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::limits::{Cost, Funds, Limit, Limits};
use crate::domain::limit::report::Report;
use crate::domain::limit::tally::Terms;
use crate::store::redis::Redis;
use crate::store::{Store, StoreError};

/// Holds calls against limits.
#[derive(Debug)]
pub struct Limiter {
    buckets: Buckets,
    purses: Purses,
    store: Store,
    clock: Arc<dyn Clock>,
    turns: Turns,
    sharing: Sharing,
}

/// How nodes that spend from the same buckets go together.
#[derive(Debug)]
enum Sharing {
    /// There is no other node.
    Alone,
    /// Each takes calls out of the store that they share.
    Leases(Leases),
    /// One count for all.
    Together(Together),
}

impl Limiter {
    /// Goes on from what the store has of earlier runs; together with the other nodes by this Redis, if there is one, or by leases
    /// of the store, for which a call waits so long.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        store: Store,
        redis: Option<Redis>,
        lease_timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let buckets = Buckets::new(MOST_BUCKETS);
        if store.is_one_nodes() {
            let now = clock.now();
            let mut after = String::new();
            loop {
                let part = store.list_spent(&after, now, PART).await?;
                let Some(last) = part.last() else { break };
                after = last.id.text.to_string();
                for spent in part {
                    buckets.restore(spent.id, spent.tally);
                }
                if buckets.len() >= MOST_BUCKETS {
                    break;
                }
            }
        }
        let sharing = match redis {
            Some(redis) => Sharing::Together(Together::new(redis)),
            None if store.is_one_nodes() => Sharing::Alone,
            None => Sharing::Leases(Leases::new(store.clone(), lease_timeout)),
        };
        Ok(Self { buckets, purses: Purses::default(), store, clock, turns: Turns::new(), sharing })
    }

    /// Takes the cost of a call that came at this time from the limits and credits of a credential, or says what stands against
    /// it. None where it has neither.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE where the store has to be asked for credits and cannot be.
    pub async fn spend(&self, credential: &Credential, cost: Cost, now: Timestamp) -> Result<Option<Report>> {
        let Some(limits) = self.limits(credential, now) else { return Ok(None) };
        if let Sharing::Together(together) = &self.sharing
            && limits.iter().len() > 0
        {
            if let Some(report) = Box::pin(self.spend_together(together, limits, cost)).await? {
                return Ok(Some(report));
            }
            together.count_alone();
        }
        match self.attempt(limits, cost, now) {
            Some(report) => Ok(Some(report)),
            // Boxed, for it would make the future of every call larger.
            None => Box::pin(self.ask_and_spend(limits, cost)).await.map(Some),
        }
    }

    /// Has the one count of all nodes decide; none where that does not answer. Whoever goes away meanwhile has perhaps spent of
    /// the limits, and of the credits has not.
    async fn spend_together(&self, together: &Together, limits: &Arc<Limits>, cost: Cost) -> Result<Option<Report>> {
        let Some(session) = together.session() else { return Ok(None) };
        let hold = loop {
            match limits.hold_credits(cost, self.clock.now()) {
                Some(hold) => break hold,
                None => self.fetch_credits(limits, cost).await?,
            }
        };
        let told = together.ask(&session, limits, cost, &hold, &*self.clock).await;
        Ok(told.map(|told| {
            let now = self.clock.now();
            limits.take_over(&told, cost, hold, session.number(), now, |limit| self.note(limit))
        }))
    }

    /// Of the calls with one key that find too little here, one asks the store, and the others wait for it.
    async fn ask_and_spend(&self, limits: &Arc<Limits>, cost: Cost) -> Result<Report> {
        loop {
            if let Sharing::Leases(leases) = &self.sharing {
                for limit in limits.iter() {
                    leases.top_up(limit, cost.under(limit.terms), self.clock.now()).await;
                }
            }
            self.fetch_credits(limits, cost).await?;
            if let Some(report) = self.attempt(limits, cost, self.clock.now()) {
                return Ok(report);
            }
        }
    }

    async fn fetch_credits(&self, limits: &Arc<Limits>, cost: Cost) -> Result<()> {
        let Some(Funds { quota, purse }) = limits.funds() else { return Ok(()) };
        let _turn = self.turns.wait(purse.key()).await;
        self.purses.top_up(&self.store, quota, purse, cost.calls, self.clock.now()).await
    }

    fn attempt(&self, limits: &Arc<Limits>, cost: Cost, now: Timestamp) -> Option<Report> {
        limits.spend(cost, now, |limit| match &self.sharing {
            Sharing::Leases(leases) => leases.renew(limit, now),
            Sharing::Alone | Sharing::Together(_) => self.note(limit),
        })
    }

    /// Notes that a bucket is to be written down, where that is this node's to do.
    fn note(&self, limit: &Limit) {
        if self.store.is_one_nodes() {
            self.buckets.note(&limit.bucket);
        }
    }

    /// Whether the one count of all nodes answers, and how many calls were counted by this node alone because it did not; none
    /// where there is no such count.
    pub fn together(&self) -> Option<(bool, u64)> {
        match &self.sharing {
            Sharing::Together(together) => Some((together.session().is_some(), together.counted_alone())),
            Sharing::Alone | Sharing::Leases(_) => None,
        }
    }

    /// What is left of a credential's limits.
    pub fn look(&self, credential: &Credential, now: Timestamp) -> Option<Report> {
        self.limits(credential, now).map(|limits| limits.look(now))
    }

    /// How many credits of a key are on this node, beside those in the store.
    pub fn credits_here(&self, key: &Key) -> i64 {
        key.details.credits.as_deref().map_or(0, |quota| self.purses.here(&key.id, quota, self.clock.now()))
    }

    /// Gives credits back to the store that were not spent for a while, or all.
    ///
    /// # Errors
    /// When the store cannot be written: what was being given back may be lost then, but never comes back twice.
    pub async fn return_credits(&self, all: bool) -> Result<(), StoreError> {
        self.purses.give_back(&self.store, all).await
    }

    /// Writes down what was spent since the last time.
    ///
    /// # Errors
    /// When the store cannot be written; then it is tried again the next time.
    pub async fn write_down(&self) -> Result<(), StoreError> {
        let mut changed = self.buckets.take_changed();
        while !changed.is_empty() {
            let rest = changed.split_off(changed.len().min(PART as usize));
            let part = buckets::spent(&changed);
            if let Err(error) = self.store.write_spent(&part).await {
                for bucket in changed.into_iter().chain(rest) {
                    bucket.lock().changed = true;
                    self.buckets.note(&bucket);
                }
                return Err(error);
            }
            changed = rest;
        }
        Ok(())
    }

    /// Buckets in memory.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.buckets.len() == 0
    }

    fn limits<'c>(&self, credential: &'c Credential, now: Timestamp) -> Option<&'c Arc<Limits>> {
        let limits = credential.limits.get_or_init(|| {
            let secret = credential.key_secret_behind()?;
            let limit = |limit| {
                let terms = Terms::of(limit);
                let bucket = self.buckets.get(BucketId::of(&secret.key, limit), terms, now);
                Limit::new(limit.name.clone(), terms, bucket)
            };
            let funds = secret.key.details.credits.as_deref().map(|quota| {
                let purse = self.purses.get(&secret.key.id);
                Funds { quota: *quota, purse }
            });
            let leased = matches!(self.sharing, Sharing::Leases(_));
            Limits::new(secret.limits.iter().map(limit).collect(), funds, leased)
        });
        limits.as_ref()
    }
}

/// Whose limits a call with a credential is held against: the key that was presented, or that a token was exchanged for, or else the
/// publishable key beside it.
pub fn payer<'a>(credential: &'a Arc<Credential>, beside: Option<&'a Arc<Credential>>) -> &'a Arc<Credential> {
    beside.filter(|_| credential.key_behind().is_none()).unwrap_or(credential)
}

/// Windows up to this long are forgotten with the process.
pub const BRIEF: Duration = Duration::from_secs(10);
/// Buckets that are kept beside those of cached credentials.
const MOST_BUCKETS: usize = 1 << 18;
/// Buckets read or written at once.
const PART: u32 = 500;
