//! Alerts as they are raised on this node: what the log says, what the metrics count, and the walk through the keys that will end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::domain::alert::{Alert, AlertKind, MOST_DAYS_AHEAD};
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::domain::id::CredentialId;
use crate::store::{EndingPlace, Store, StoreError};

/// Tells of alerts.
#[derive(Debug)]
pub struct Alarm {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    raised: [AtomicU64; AlertKind::ALL.len()],
}

impl Alarm {
    /// Nothing was raised yet.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, raised: Default::default() }
    }

    /// Randomness, for the names of alerts.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// Takes note of alerts that were written down. The log names things by their ids alone: what people wrote, and where calls came
    /// from, is for those who may read alerts.
    pub fn told(&self, alerts: &[Alert]) {
        for alert in alerts {
            self.raised[alert.kind as usize].fetch_add(1, Ordering::Relaxed);
            let (id, kind, severity) = (alert.id.as_str(), alert.kind.as_str(), alert.kind.severity());
            let subject = alert.subject.as_ref().map(CredentialId::as_str);
            let (project, environment) = (alert.project.as_str(), alert.environment.as_str());
            tracing::warn!(
                alert_id = id,
                kind,
                severity = severity.as_str(),
                project,
                environment,
                subject,
                "an alert was raised"
            );
        }
    }

    /// How many alerts of a kind were raised on this node.
    pub fn raised(&self, kind: AlertKind) -> u64 {
        self.raised[kind as usize].load(Ordering::Relaxed)
    }

    /// Looks time and again for keys that will end, a part of them at a time. Never returns; drop the future to stop.
    pub async fn run(self: Arc<Self>, store: Store, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut place = None;
        loop {
            ticks.tick().await;
            match self.look_ahead(&store, place.as_ref()).await {
                Ok(next) => place = next,
                Err(error) => {
                    tracing::warn!(%error, "keys that will end could not be looked for; it will be tried again")
                }
            }
        }
    }

    async fn look_ahead(&self, store: &Store, place: Option<&EndingPlace>) -> Result<Option<EndingPlace>, StoreError> {
        let now = self.clock.now();
        // The project's own rule is held against what is found.
        let until = now.plus(Duration::from_secs(MOST_DAYS_AHEAD as u64 * 24 * 60 * 60));
        let (raised, next) = store.raise_expiring(now, until, place, PART, self.entropy()).await?;
        self.told(&raised);
        Ok(next)
    }
}

/// Keys looked at each time.
const PART: u32 = 500;
