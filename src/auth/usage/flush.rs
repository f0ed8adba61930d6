//! Writing down what was counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Ledger;
use crate::domain::scope::Scope;
use crate::domain::usage::{Grain, Subject, Tally, VERIFICATION};
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
            *pending = coarser(std::mem::take(&mut pending), MOST_PENDING / 2);
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

/// The same calls in fewer rows, for a store that is away for long: addresses, agents and minutes are not told apart any more.
/// Where that leaves too many, neither is what was called, and at last only whose project it was.
fn coarser(mut tallies: Vec<Tally>, most: usize) -> Vec<Tally> {
    let rows = tallies.len();
    for step in STEPS {
        tallies = merged(tallies, step);
        if tallies.len() <= most {
            break;
        }
    }
    let left = tallies.len();
    tracing::warn!(rows, left, "too much waits to be written down; addresses and minutes are not told apart");
    tallies
}

/// Makes calls alike by a step, and counts together those that are.
fn merged(tallies: Vec<Tally>, step: fn(&mut Tally)) -> Vec<Tally> {
    let mut merged: HashMap<_, Tally> = HashMap::new();
    for mut tally in tallies {
        step(&mut tally);
        // All calls of a method need the same scopes.
        let told = tally.method == VERIFICATION;
        let scopes = if told { Arc::clone(&tally.scopes) } else { Arc::default() };
        let place = (Arc::clone(&tally.subject), tally.method, tally.outcome, tally.minute, scopes);
        match merged.get_mut(&place) {
            Some(known) => {
                known.calls += tally.calls;
                known.last_at = known.last_at.max(tally.last_at);
                known.scopes = both(&known.scopes, &tally.scopes);
            }
            None => drop(merged.insert(place, tally)),
        }
    }
    merged.into_values().collect()
}

/// The scopes that one or the other needed. A key that used so many that they are too many keeps the ones that were seen first.
fn both(one: &Arc<[Scope]>, other: &Arc<[Scope]>) -> Arc<[Scope]> {
    let more: Vec<&Scope> = other.iter().filter(|scope| !one.contains(scope)).collect();
    if more.is_empty() || one.len() >= MOST_SCOPES {
        return Arc::clone(one);
    }
    one.iter().chain(more).take(MOST_SCOPES).cloned().collect()
}

const STEPS: [fn(&mut Tally); 3] = [
    |tally| {
        tally.minute = Grain::Hour.start(tally.minute);
        (tally.address, tally.user_agent) = (None, None);
    },
    |tally| tally.method = "",
    |tally| {
        tally.subject = Arc::new(Subject::unknown(tally.subject.place.clone()));
        tally.scopes = Arc::default();
    },
];
/// Rows of the access log in one transaction: some 10 ms, for which others who write have to wait.
const BATCH: usize = 500;
const SMALL_BATCH: usize = 25;
/// Rows that wait for a store that is away: some 50 MB.
const MOST_PENDING: usize = 200_000;
/// Scopes that are remembered of calls that are not told apart.
const MOST_SCOPES: usize = 200;
const ATTEMPTS: u32 = 4;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::environment::Environment;
    use crate::domain::id::{KeyId, ProjectId};

    fn tally(subject: &Arc<Subject>, method: &'static str, scope: &str) -> Tally {
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        Tally {
            subject: Arc::clone(subject),
            method,
            outcome: None,
            minute: Grain::Minute.start(at),
            address: Some([192, 0, 2, 1].into()),
            scopes: Scope::parse(scope).into_iter().collect(),
            calls: 3,
            last_at: at,
            user_agent: None,
        }
    }

    #[test]
    fn what_waits_is_bounded_whatever_it_is_and_no_call_is_lost() {
        let place = Some((ProjectId::default_project(), Environment::Live));
        let subject = |n| {
            let key = Some(KeyId::new(Timestamp::from_micros(n), &SystemEntropy));
            Arc::new(Subject { key, ..Subject::unknown(place.clone()) })
        };
        let one = subject(0);
        let of_one = (0..50).map(|n| tally(&one, VERIFICATION, &format!("read:n{n}"))).collect();
        let of_many = (0..50).map(|n| tally(&subject(n), "Keys/ListKeys", "read:keys")).collect();
        let told_apart = vec![tally(&one, "Keys/ListKeys", "read:keys"), tally(&one, "Keys/GetKey", "read:keys")];
        for (tallies, left, methods, scopes) in [
            (told_apart, 2, ["Keys/GetKey", "Keys/ListKeys"], 1),
            // Which scopes a key needed is still known, so that it is not narrowed to less.
            (of_one, 1, ["", ""], 50),
            (of_many, 1, ["", ""], 0),
        ] {
            let calls: u64 = tallies.iter().map(|tally: &Tally| tally.calls).sum();
            let mut coarse = coarser(tallies, 10);
            coarse.sort_by_key(|tally| tally.method);
            assert_eq!((coarse.len(), coarse.iter().map(|tally| tally.calls).sum::<u64>()), (left, calls));
            assert_eq!([coarse[0].method, coarse[left - 1].method], methods);
            assert_eq!(coarse[0].scopes.len(), scopes);
        }
    }
}
