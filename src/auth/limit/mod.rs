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
//! (`leases`): a twentieth part, and the next in the background when half of it is gone. What it has taken it may
//! spend later, so that in a window there may be one lease of each node more than the limit says.
//!
//! Credits are the store's. A node takes some before they are spent, into `purses`, and gives back what is not.

pub mod buckets;
mod leases;
mod purses;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use self::buckets::Buckets;
use self::leases::Leases;
use self::purses::Purses;
use self::turns::Turns;
use crate::domain::clock::Clock;
use crate::domain::credential::Credential;
use crate::domain::error::Result;
use crate::domain::key::Key;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::limits::{Cost, Funds, Limit, Limits};
use crate::domain::limit::report::Report;
use crate::domain::limit::tally::Terms;
use crate::store::{Store, StoreError};

/// Holds calls against limits.
#[derive(Debug)]
pub struct Limiter {
    buckets: Buckets,
    purses: Purses,
    store: Store,
    clock: Arc<dyn Clock>,
    leases: Leases,
    turns: Turns,
    /// Whether other nodes may spend from the same buckets.
    shares: bool,
}

impl Limiter {
    /// Goes on from what the store has of earlier runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(store: Store, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let (buckets, shares) = (Buckets::new(MOST_BUCKETS), !store.is_one_nodes());
        if !shares {
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
        let (purses, leases, turns) = (Purses::default(), Leases::new(store.clone()), Turns::new());
        Ok(Self { buckets, purses, store, clock, leases, turns, shares })
    }

    /// Takes the cost of a call from the limits and credits of a credential, or says what stands against it. None where
    /// it has neither.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE where the store has to be asked for credits and cannot be.
    pub async fn spend(&self, credential: &Credential, cost: Cost) -> Result<Option<Report>> {
        let Some(limits) = self.limits(credential) else { return Ok(None) };
        match self.attempt(limits, cost) {
            Some(report) => Ok(Some(report)),
            // Boxed, for it would make the future of every call larger.
            None => Box::pin(self.ask_and_spend(limits, cost)).await.map(Some),
        }
    }

    /// Of the calls with one key that find too little here, one asks the store, and the others wait for it.
    async fn ask_and_spend(&self, limits: &Arc<Limits>, cost: Cost) -> Result<Report> {
        loop {
            for limit in limits.iter().filter(|_| self.shares) {
                let _turn = self.turns.wait(limit.bucket.id()).await;
                self.leases.top_up(limit, cost.under(limit.terms), self.clock.now()).await;
            }
            if let Some(Funds { quota, purse }) = limits.funds() {
                let _turn = self.turns.wait(purse.key()).await;
                self.purses.top_up(&self.store, quota, purse, cost.calls, self.clock.now()).await?;
            }
            if let Some(report) = self.attempt(limits, cost) {
                return Ok(report);
            }
        }
    }

    fn attempt(&self, limits: &Arc<Limits>, cost: Cost) -> Option<Report> {
        limits.spend(cost, self.clock.now(), |limit| {
            if self.shares {
                self.leases.renew(limit, self.clock.now());
            } else if limit.terms.window() > BRIEF {
                // What is whole again in a moment is not worth a line.
                self.buckets.note(&limit.bucket);
            }
        })
    }

    /// What is left of a credential's limits.
    pub fn look(&self, credential: &Credential) -> Option<Report> {
        self.limits(credential).map(|limits| limits.look(self.clock.now()))
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

    fn limits<'c>(&self, credential: &'c Credential) -> Option<&'c Arc<Limits>> {
        let limits = credential.limits.get_or_init(|| {
            let secret = credential.key_secret_behind()?;
            let limit = |limit| {
                let terms = Terms::of(limit);
                let bucket = self.buckets.get(BucketId::of(&secret.key, limit), terms, self.clock.now());
                Limit { name: limit.name.clone(), terms, bucket }
            };
            let funds = secret.key.details.credits.as_deref().map(|quota| {
                let purse = self.purses.get(&secret.key.id);
                Funds { quota: *quota, purse }
            });
            Limits::new(secret.limits.iter().map(limit).collect(), funds, self.shares)
        });
        limits.as_ref()
    }
}

/// Windows up to this long are forgotten with the process.
pub const BRIEF: Duration = Duration::from_secs(10);
/// Buckets that are kept beside those of cached credentials.
const MOST_BUCKETS: usize = 1 << 18;
/// Buckets read or written at once.
const PART: u32 = 500;
