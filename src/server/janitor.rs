//! What is done beside the requests: looking whether the store answers, sweeping what is past its time, and sampling what
//! metrics cannot count themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::master_key::MasterKeyWatch;
use super::readiness::Readiness;
use crate::auth::alarm::Alarm;
use crate::auth::feed::Progress;
use crate::auth::limit::Limiter;
use crate::auth::lookup::Credentials;
use crate::auth::password::PasswordHasher;
use crate::auth::signing::Signing;
use crate::config::UsageSettings;
use crate::domain::alert::AlertKind;
use crate::domain::clock::Clock;
use crate::domain::sealing::Keyring;
use crate::domain::usage::Grain;
use crate::net;
use crate::store::{Resealed, Store};
use crate::telemetry::metrics::Metrics;

/// Looks after one server.
pub(super) struct Janitor {
    pub(super) store: Store,
    pub(super) keyring: Arc<Keyring>,
    pub(super) master_key: MasterKeyWatch,
    pub(super) credentials: Arc<Credentials>,
    pub(super) signing: Arc<Signing>,
    pub(super) passwords: Arc<PasswordHasher>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) usage: UsageSettings,
    pub(super) alarm: Arc<Alarm>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Readiness,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) connections: net::Open,
}

impl Janitor {
    /// Never returns; drop the future to stop.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.credentials.warm_up(WARM_KEYS).await {
            tracing::warn!(%error, "the most recently used keys could not be loaded; they will be when they are used");
        }
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reseal_at = SWEEP_EVERY_TICKS;
        let mut endings = self.signing.endings();
        for tick in 0_u64.. {
            ticks.tick().await;
            self.look_once().await;
            match self.master_key.look().await {
                // Other nodes may take a while to see it too, and seal with the key before it until then.
                Ok(true) => reseal_at = tick + SWEEP_EVERY_TICKS,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "what became of the master key could not be read"),
            }
            if tick == reseal_at {
                self.reseal().await;
            }
            // Not at the start, which has enough to do.
            if tick % TEND_EVERY_TICKS == TEND_EVERY_TICKS - 1
                && let Err(error) = self.signing.tend().await
            {
                tracing::warn!(%error, "the signing keys could not be read; those known are used");
            }
            if self.signing.endings() != endings {
                endings = self.signing.endings();
                self.credentials.cache().clear();
            }
            if tick % SWEEP_EVERY_TICKS == 0 {
                self.sweep().await;
            }
        }
    }

    /// Looks whether the store answers, and tells whoever asks for it.
    pub(super) async fn look_once(&self) {
        let ready = self.store.ping().await.is_ok();
        if self.readiness.set(ready) {
            tracing::info!(ready, "readiness changed");
        }
        self.sample();
    }

    fn sample(&self) {
        let cache = self.credentials.cache();
        let counts = cache.counts();
        self.metrics.cache.follow(
            counts.hits.load(Ordering::Relaxed),
            counts.misses.load(Ordering::Relaxed),
            counts.evictions.load(Ordering::Relaxed),
            counts.invalidations.load(Ordering::Relaxed),
            cache.len(),
        );
        let load = self.passwords.load();
        self.metrics.passwords.follow(load.hashes.load(Ordering::Relaxed), load.waiting.load(Ordering::Relaxed));
        for (pool, usage) in self.store.pool_usage() {
            self.metrics.store.follow(pool, usage.in_use, usage.size);
        }
        if let Some((up, alone)) = self.limiter.together() {
            self.metrics.redis.follow(up, alone);
        }
        self.metrics.webhooks.follow(self.store.outbox_dropped());
        self.metrics.connections_open.set(i64::try_from(self.connections.count()).unwrap_or(i64::MAX));
        for kind in AlertKind::ALL {
            self.metrics.alerts.follow(kind, self.alarm.raised(kind));
        }
        let progress = *self.progress.borrow();
        self.metrics.feed.revision.set(i64::try_from(progress.revision.0).unwrap_or(i64::MAX));
        self.metrics.feed.lag_seconds.set(progress.confirmed.elapsed().as_secs_f64());
    }

    /// Seals anew what is not sealed with the newest key: as a rule `gatepost master-key` has done it all.
    async fn reseal(&self) {
        match self.store.reseal(&self.keyring).await {
            Ok(Resealed { anew: 0, unreadable: 0 }) => {}
            Ok(Resealed { anew, unreadable }) => tracing::info!(anew, unreadable, "sealed anew with the newest key"),
            Err(error) => tracing::warn!(%error, "what is sealed with an older key could not be sealed anew"),
        }
    }

    /// Removes what nobody can ask for any more, in small batches.
    async fn sweep(&self) {
        let now = self.clock.now();
        let swept = async {
            while self.store.prune_idempotency(now, BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_pushed_requests(now, BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_used_proofs(now.minus(CLOCKS_OF_NODES), BATCH).await? == u64::from(BATCH) {}
            self.store.prune_signing_keys(now).await?;
            while self.store.prune_spent(now, BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_changes(now.minus(KEEP_CHANGES), BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_sessions(now.minus(KEEP_SESSIONS), BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_leak_reports(now.minus(KEEP_LEAK_REPORTS), BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_alerts(now.minus(KEEP_ALERTS), BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_alert_claims(now, BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_webhook_secrets(now, BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_deliveries(now.minus(KEEP_DELIVERIES), BATCH).await? == u64::from(BATCH) {}
            self.metrics
                .webhooks
                .waiting
                .set(i64::try_from(self.store.count_waiting_deliveries().await?).unwrap_or(i64::MAX));
            while self.store.prune_devices(now.minus(KEEP_DEVICES), BATCH).await? == u64::from(BATCH) {}
            // Tokens first: grants take what is left of theirs with them.
            while self.store.prune_access_tokens(now.minus(KEEP_TOKENS), BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_refresh_tokens(now, BATCH).await? == u64::from(BATCH) {}
            while self.store.prune_grants(now.minus(KEEP_TOKENS), GRANT_BATCH).await? == u64::from(GRANT_BATCH) {}
            for (grain, keep) in [
                (Grain::Minute, self.usage.keep_minutes),
                (Grain::Hour, self.usage.keep_hours),
                (Grain::Day, self.usage.keep_days),
            ] {
                let before = now.minus(keep).minus(grain.length());
                while self.store.prune_usage(grain, before, BATCH).await? == u64::from(BATCH) {}
            }
            let before = now.minus(self.usage.keep_access_log);
            while self.store.prune_access_log(before, BATCH).await? == u64::from(BATCH) {}
            let forgotten = now.minus(KEEP_DOCUMENTS);
            while self.store.prune_document_clients(forgotten, GRANT_BATCH).await? == u64::from(GRANT_BATCH) {}
            for (project, deleted_at) in self.store.list_projects_to_empty(BATCH).await? {
                while self.store.empty_project(&project, PROJECT_BATCH).await? {}
                // A call that was let in before the deletion may still have added something.
                if deleted_at <= now.minus(CALLS_END) {
                    self.store.project_is_empty(&project, now).await?;
                }
            }
            Ok::<_, crate::store::StoreError>(())
        };
        if let Err(error) = swept.await {
            tracing::warn!(%error, "what is past its time could not be removed; it will be tried again");
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY_TICKS: u64 = 60;
/// The key set may be kept for minutes, and a new key waits for longer than that.
const TEND_EVERY_TICKS: u64 = 5;
/// How long a watcher of revocations may be away and still miss nothing.
const KEEP_CHANGES: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long it can be told of a session that it is past its end, and not only that it is none.
const KEEP_SESSIONS: Duration = Duration::from_secs(24 * 60 * 60);
/// By how much the clocks of nodes may differ: what one refuses for its age, another may still take.
const CLOCKS_OF_NODES: Duration = Duration::from_secs(60);
/// How long a device can be told that it is too late, and not only that nobody knows it.
const KEEP_DEVICES: Duration = Duration::from_secs(10 * 60);
/// How long it can be told of an access token that it is past its end, and not only that it is none.
const KEEP_TOKENS: Duration = Duration::from_secs(60 * 60);
/// How long a client is kept that is known by its document, that nobody comes for and has given anything. What is known of it can
/// be had again; kept for longer, those that strangers name would keep others out.
const KEEP_DOCUMENTS: Duration = Duration::from_secs(2 * 24 * 60 * 60);
/// How long it is known which leaks were reported. The audit log keeps what was done.
const KEEP_LEAK_REPORTS: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long alerts are kept.
const KEEP_ALERTS: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long it is known what webhooks were told.
const KEEP_DELIVERIES: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const BATCH: u32 = 500;
/// Each removal is several rows.
const GRANT_BATCH: u32 = 100;
/// Of the data of a deleted project: each removal is several rows.
const PROJECT_BATCH: u32 = 100;
/// No call takes longer than this: see the setting `request_timeout`.
const CALLS_END: Duration = Duration::from_secs(60 * 60);
/// Keys loaded after a start.
const WARM_KEYS: usize = 10_000;
