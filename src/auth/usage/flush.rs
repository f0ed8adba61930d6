//! Writing down what was counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Ledger;
use crate::domain::usage::{Grain, Tally};
use crate::store::{Store, StoreError};

impl Ledger {
    /// Writes down what was counted, time and again. Never returns; drop the future to stop.
    pub async fn run(self: Arc<Self>, store: Store, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.crowded.notified() => {}
            }
            if let Err(error) = self.flush(&store).await {
                tracing::warn!(%error, "how credentials were used could not be written down; it will be tried again");
            }
        }
    }

    /// Writes down all that was counted up to now; how many rows of the access log it was. What cannot be written is kept for the
    /// next time.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE.
    pub async fn flush(&self, store: &Store) -> Result<usize, StoreError> {
        let mut pending = self.pending.lock().await;
        pending.append(&mut self.take());
        if pending.len() > MOST_PENDING {
            *pending = coarser(std::mem::take(&mut pending));
        }
        let (mut written, mut most) = (0, BATCH);
        while !pending.is_empty() {
            let rest = pending.len().saturating_sub(most);
            let batch = pending.split_off(rest);
            let error = match store.add_usage(&batch, self.alarm.entropy()).await {
                Ok(raised) => {
                    self.alarm.told(&raised);
                    written += batch.len();
                    continue;
                }
                Err(error) => error,
            };
            pending.extend(batch);
            // A store that is slow may have time for fewer.
            if most == SMALL_BATCH {
                return Err(error);
            }
            most = SMALL_BATCH;
        }
        Ok(written)
    }

    /// Writes down the last of it, when nothing more comes. A store that is away for a moment is waited for.
    pub async fn finish(&self, store: &Store) {
        for attempt in 0..ATTEMPTS {
            match self.flush(store).await {
                Ok(_) => return,
                Err(error) if attempt + 1 == ATTEMPTS => {
                    let rows = self.pending.lock().await.len();
                    tracing::error!(%error, rows, "how credentials were used lately could not be written down and is lost");
                }
                Err(_) => sleep(BETWEEN_ATTEMPTS).await,
            }
        }
    }
}

/// The same calls in fewer rows, for a store that is away for long: addresses, clients and minutes are not told apart any more.
fn coarser(tallies: Vec<Tally>) -> Vec<Tally> {
    let rows = tallies.len();
    let mut merged: HashMap<_, Tally> = HashMap::new();
    for mut tally in tallies {
        tally.minute = Grain::Hour.start(tally.minute);
        (tally.address, tally.user_agent) = (None, None);
        let place = (Arc::clone(&tally.subject), tally.method, tally.outcome, tally.minute, Arc::clone(&tally.scopes));
        match merged.get_mut(&place) {
            Some(known) => {
                known.calls += tally.calls;
                known.last_at = known.last_at.max(tally.last_at);
            }
            None => drop(merged.insert(place, tally)),
        }
    }
    tracing::warn!(
        rows,
        left = merged.len(),
        "too much waits to be written down; addresses and minutes are not told apart"
    );
    merged.into_values().collect()
}

/// Rows of the access log in one transaction: some 10 ms, for which others who write have to wait.
const BATCH: usize = 500;
const SMALL_BATCH: usize = 25;
/// Rows that wait for a store that is away: some 50 MB.
const MOST_PENDING: usize = 200_000;
const ATTEMPTS: u32 = 4;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);
