//! The purses of all keys that have credits here: filled from the store when they run out, and given back when they lie
//! idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::KeyId;
use crate::domain::limit::purse::{Offer, Purse, Returned};
use crate::domain::limit::quota::Quota;
use crate::store::{Store, StoreError};

/// All purses.
#[derive(Debug, Default)]
pub(super) struct Purses {
    purses: Mutex<HashMap<KeyId, Arc<Purse>>>,
}

impl Purses {
    /// The purse of a key.
    pub(super) fn get(&self, key: &KeyId) -> Arc<Purse> {
        Arc::clone(self.lock().entry(key.clone()).or_insert_with(|| Arc::new(Purse::new(key.clone()))))
    }

    /// How many credits of a key are here that still belong to its quota.
    pub(super) fn here(&self, key: &KeyId, quota: &Quota, now: Timestamp) -> i64 {
        let Some(purse) = self.lock().get(key).cloned() else { return 0 };
        let mut content = purse.lock();
        content.turn(quota, quota.refill.period(now));
        content.here()
    }

    /// Takes credits out of the store, enough for a call of this cost if there are and they are not here.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE.
    pub(super) async fn top_up(
        &self,
        store: &Store,
        quota: &Quota,
        purse: &Arc<Purse>,
        cost: u32,
        now: Timestamp,
    ) -> Result<()> {
        {
            let mut content = purse.lock();
            content.turn(quota, quota.refill.period(now));
            if content.offers(cost, now) != Offer::Ask {
                return Ok(());
            }
        }
        let (store, purse) = (store.clone(), Arc::clone(purse));
        // A task of its own: whoever asks may go away before the answer is here, and what is taken must not be lost
        // with them.
        let fetched = tokio::spawn(async move {
            let (asked, wanted) = {
                let content = purse.lock();
                (content.terms(), content.wanted(cost))
            };
            let taken = store.take_credits(purse.key(), asked.0, asked.1, wanted).await?;
            let given = taken.map(|taken| (taken.credits, taken.remaining, taken.start));
            purse.lock().put(asked, cost, given, now);
            Ok::<_, StoreError>(())
        });
        match fetched.await {
            Ok(fetched) => Ok(fetched?),
            // The server is stopping.
            Err(_) => Err(Error::store_unavailable()),
        }
    }

    /// Gives back what was not spent since the last time, or all, and forgets the purses that nobody holds.
    ///
    /// # Errors
    /// When the store cannot be written: what was being given back may be lost then, but never comes back twice.
    pub(super) async fn give_back(&self, store: &Store, all: bool) -> Result<(), StoreError> {
        let purses: Vec<_> = self.lock().values().cloned().collect();
        // Of what was under way when the store was lost nobody knows whether it was done; so it is gone. Nothing is
        // begun then.
        store.ping().await?;
        for part in purses.chunks(PART) {
            let returned: Vec<Returned> = part.iter().filter_map(|purse| purse.take_back(all)).collect();
            if returned.is_empty() {
                continue;
            }
            store.return_credits(&returned).await?;
        }
        drop(purses);
        // Nobody can take hold of a purse that only the table holds: that takes this lock.
        self.lock().retain(|_, purse| Arc::strong_count(purse) > 1 || purse.lock().here() > 0);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Arc<Purse>>> {
        // Nothing that is done while it is held can stop halfway.
        self.purses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Purses emptied at once.
const PART: usize = 500;
