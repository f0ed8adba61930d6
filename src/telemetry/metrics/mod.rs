//! Metrics, in the form Prometheus reads.
//!
//! The handles of what happens on every request are found once, by place in a table: counting takes no lock and looks no
//! label up. [`table::METRICS`] is the one source of names, labels and the README.

mod grid;
pub mod table;

use std::fmt;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::grid::Grid;
use self::table::Metric;
use super::Wire;
use super::request_span::rpc_name;
use crate::domain::alert::AlertKind;
use crate::domain::reason::Reason;
use crate::proto::v1::DecisionCode;
use crate::proto::{METHODS, MethodId};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Everything that is counted in one process.
pub struct Metrics {
    registry: Registry,
    decisions: Grid<IntCounterVec>,
    address_reports: [IntCounter; Door::ALL.len()],
    /// Alerts that were raised.
    pub alerts: AlertMetrics,
    requests: Grid<IntCounterVec>,
    latency: Grid<HistogramVec>,
    /// The cache of keys.
    pub cache: CacheMetrics,
    sign_ins: IntCounterVec,
    /// The hashing of passwords.
    pub passwords: PasswordMetrics,
    /// The connections to the database.
    pub store: StoreMetrics,
    /// The count of limits that all nodes share.
    pub redis: RedisMetrics,
    /// The feed of changes.
    pub feed: FeedMetrics,
    /// Client connections open now.
    pub connections_open: IntGauge,
    webhook_calls: IntCounterVec,
    /// What webhooks are still to be told.
    pub webhooks: WebhookMetrics,
}

/// Who asked for a decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// A call of our own RPCs.
    Guard,
    /// A question about a credential (`Auth.Verify`).
    Verify,
}

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignIn {
    /// The user was let in.
    Right,
    /// The name or the password was wrong.
    Wrong,
    /// There were too many before it.
    TooMany,
    /// It could not be judged.
    Failed,
}

/// How a request was answered, in the words of its wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// A gRPC status code.
    Grpc(i32),
    /// An HTTP status.
    Http(u16),
}

/// The cache of keys.
#[derive(Debug)]
pub struct CacheMetrics {
    /// Look-ups that were answered from memory.
    pub hits: IntCounter,
    /// Look-ups that had to ask the store.
    pub misses: IntCounter,
    /// Entries that made room for others.
    pub evictions: IntCounter,
    /// Entries thrown out because their key changed.
    pub invalidations: IntCounter,
    /// Entries now.
    pub entries: IntGauge,
}

/// Alerts that were raised.
#[derive(Debug)]
pub struct AlertMetrics([IntCounter; AlertKind::ALL.len()]);

/// The hashing of passwords.
#[derive(Debug)]
pub struct PasswordMetrics {
    hashes: IntCounter,
    waiting: IntGauge,
}

/// The connections to the database, by pool.
#[derive(Debug)]
pub struct StoreMetrics {
    in_use: IntGaugeVec,
    most: IntGaugeVec,
}

/// The count of limits that all nodes share.
#[derive(Debug)]
pub struct RedisMetrics {
    up: IntGauge,
    alone: IntCounter,
}

/// What webhooks are still to be told.
#[derive(Debug)]
pub struct WebhookMetrics {
    /// Deliveries that wait, on all nodes.
    pub waiting: IntGauge,
    dropped: IntCounter,
}

/// The feed of changes.
#[derive(Debug)]
pub struct FeedMetrics {
    /// Seconds since everything up to then is known to have been seen.
    pub lag_seconds: Gauge,
    /// The last revision seen.
    pub revision: IntGauge,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let cells = METHODS.len() + 1;
        let lookups = r.counters(&table::CACHE_LOOKUPS);
        let address_reports = r.counters(&table::ADDRESS_REPORTS);
        let alerts = r.counters(&table::ALERTS);
        let metrics = Self {
            decisions: Grid::new(r.counters(&table::DECISIONS), Door::ALL.len() * (Reason::ALL.len() + 1)),
            address_reports: Door::ALL.map(|door| address_reports.with_label_values(&[door.as_str()])),
            alerts: AlertMetrics(AlertKind::ALL.map(|kind| alerts.with_label_values(&[kind.as_str()]))),
            requests: Grid::new(r.counters(&table::REQUESTS), cells * Wire::ALL.len() * Status::PLACES),
            latency: Grid::new(r.histograms(&table::REQUEST_SECONDS), cells * Wire::ALL.len()),
            cache: CacheMetrics {
                hits: lookups.with_label_values(&["hit"]),
                misses: lookups.with_label_values(&["miss"]),
                evictions: r.counters(&table::CACHE_EVICTIONS).with_label_values::<&str>(&[]),
                invalidations: r.counters(&table::CACHE_INVALIDATIONS).with_label_values::<&str>(&[]),
                entries: r.gauges(&table::CACHE_ENTRIES).with_label_values::<&str>(&[]),
            },
            sign_ins: r.counters(&table::SIGN_INS),
            passwords: PasswordMetrics {
                hashes: r.counters(&table::PASSWORD_HASHES).with_label_values::<&str>(&[]),
                waiting: r.gauges(&table::PASSWORDS_WAITING).with_label_values::<&str>(&[]),
            },
            store: StoreMetrics {
                in_use: r.gauges(&table::STORE_CONNECTIONS),
                most: r.gauges(&table::STORE_CONNECTIONS_MAX),
            },
            redis: RedisMetrics {
                up: r.gauges(&table::REDIS_UP).with_label_values::<&str>(&[]),
                alone: r.counters(&table::LIMITS_ALONE).with_label_values::<&str>(&[]),
            },
            feed: FeedMetrics {
                lag_seconds: r.seconds(&table::FEED_LAG_SECONDS),
                revision: r.gauges(&table::FEED_REVISION).with_label_values::<&str>(&[]),
            },
            connections_open: r.gauges(&table::CONNECTIONS_OPEN).with_label_values::<&str>(&[]),
            webhook_calls: r.counters(&table::WEBHOOK_CALLS),
            webhooks: WebhookMetrics {
                waiting: r.gauges(&table::WEBHOOK_WAITING).with_label_values::<&str>(&[]),
                dropped: r.counters(&table::WEBHOOK_DROPPED).with_label_values::<&str>(&[]),
            },
            registry: registry.clone(),
        };
        r.gauges(&table::BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.start_decisions_at_zero();
        for outcome in SignIn::ALL {
            metrics.sign_ins.with_label_values(&[outcome.as_str()]);
        }
        for outcome in ["delivered", "refused", "failed"] {
            metrics.webhook_calls.with_label_values(&[outcome]);
        }
        metrics
    }

    /// Counts a decision: `None` is VALID.
    pub fn decided(&self, door: Door, refused: Option<Reason>) {
        let column = refused.map_or(0, |reason| reason as usize + 1);
        let code = || refused.map_or("VALID", |reason| reason.wording().name);
        self.decisions.at(door as usize * (Reason::ALL.len() + 1) + column, || [code(), door.as_str()]).inc();
    }

    /// Counts a call that an address list would have refused which only reports.
    pub fn address_reported(&self, door: Door) {
        self.address_reports[door as usize].inc();
    }

    /// Counts an answered request. `rpc` is none for paths that are not ours; `took` ends where the head of the answer
    /// does.
    pub fn answered(&self, rpc: Option<MethodId>, wire: Wire, status: Status, took: Duration) {
        let place = rpc.map_or(METHODS.len(), MethodId::index) * Wire::ALL.len() + wire as usize;
        let rpc_label = || rpc.map_or("other", rpc_name);
        let labels = || [rpc_label(), wire.as_str(), status.label()];
        self.requests.at(place * Status::PLACES + status.place(), labels).inc();
        self.latency.at(place, || [rpc_label(), wire.as_str()]).observe(took.as_secs_f64());
    }

    /// Counts a sign-in.
    pub fn signed_in(&self, outcome: SignIn) {
        self.sign_ins.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts a call of a webhook: `delivered`, `refused` by its answer, or `failed` before there was one.
    pub fn webhook_called(&self, outcome: &'static str) {
        self.webhook_calls.with_label_values(&[outcome]).inc();
    }

    /// Everything, as Prometheus reads it. Gauges that are not kept up to date by whoever owns them must be set before.
    pub fn encode(&self) -> String {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written");
                String::new()
            }
        }
    }

    /// A decision that was never made must show as 0, or an alert on its rate sees nothing the first time it is.
    fn start_decisions_at_zero(&self) {
        for door in Door::ALL {
            for reason in Reason::ALL {
                let code = reason.wording().name;
                if DecisionCode::from_str_name(code).is_some() {
                    let column = reason as usize + 1;
                    self.decisions.at(door as usize * (Reason::ALL.len() + 1) + column, || [code, door.as_str()]);
                }
            }
            self.decisions.at(door as usize * (Reason::ALL.len() + 1), || ["VALID", door.as_str()]);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Door {
    const ALL: [Self; 2] = [Self::Guard, Self::Verify];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Verify => "verify",
        }
    }
}

impl SignIn {
    const ALL: [Self; 4] = [Self::Right, Self::Wrong, Self::TooMany, Self::Failed];

    /// The word in the metrics and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::TooMany => "too_many",
            Self::Failed => "failed",
        }
    }
}

impl AlertMetrics {
    /// Takes over how many of a kind were raised since the start.
    pub fn follow(&self, kind: AlertKind, raised: u64) {
        let counter = &self.0[kind as usize];
        counter.inc_by(raised.saturating_sub(counter.get()));
    }
}

impl PasswordMetrics {
    /// Takes over the hashes made since the start, and how many wait now.
    pub fn follow(&self, hashes: u64, waiting: usize) {
        self.hashes.inc_by(hashes.saturating_sub(self.hashes.get()));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

impl WebhookMetrics {
    /// Takes over the deliveries that were given up for newer ones since the start.
    pub fn follow(&self, dropped: u64) {
        self.dropped.inc_by(dropped.saturating_sub(self.dropped.get()));
    }
}

impl Status {
    const PLACES: usize = GRPC_STATUSES.len() + HTTP_STATUSES.len() + 1;

    fn place(self) -> usize {
        let grpc = |code| usize::try_from(code).ok().filter(|code| *code < GRPC_STATUSES.len()).unwrap_or(UNKNOWN);
        let http =
            |status| HTTP_STATUSES.binary_search_by_key(&status, |(known, _)| *known).unwrap_or(HTTP_STATUSES.len());
        match self {
            Self::Grpc(code) => grpc(code),
            Self::Http(status) => GRPC_STATUSES.len() + http(status),
        }
    }

    fn label(self) -> &'static str {
        let names = GRPC_STATUSES.into_iter().chain(HTTP_STATUSES.map(|(_, name)| name));
        names.chain(["other"]).nth(self.place()).unwrap_or("other")
    }
}

impl CacheMetrics {
    /// Takes over what the cache counted itself: totals since its start, and the entries now.
    pub fn follow(&self, hits: u64, misses: u64, evictions: u64, invalidations: u64, entries: usize) {
        let totals = [(&self.hits, hits), (&self.misses, misses), (&self.evictions, evictions)];
        for (counter, total) in totals.into_iter().chain([(&self.invalidations, invalidations)]) {
            counter.inc_by(total.saturating_sub(counter.get()));
        }
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }
}

impl StoreMetrics {
    /// Takes over how much of a pool is in use now, and how much can be.
    pub fn follow(&self, pool: &str, in_use: u32, most: u32) {
        self.in_use.with_label_values(&[pool]).set(in_use.into());
        self.most.with_label_values(&[pool]).set(most.into());
    }
}

impl RedisMetrics {
    /// Takes over whether it answers now, and how many calls since the start were counted without it.
    pub fn follow(&self, up: bool, alone: u64) {
        self.up.set(up.into());
        self.alone.inc_by(alone.saturating_sub(self.alone.get()));
    }
}

/// Makes the collectors of the table's metrics. It cannot fail: names and labels are constants, which a test makes all.
trait Register {
    fn take<C: Collector + Clone + 'static>(&self, metric: &Metric, collector: prometheus::Result<C>) -> C;

    fn counters(&self, metric: &Metric) -> IntCounterVec {
        self.take(metric, IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels))
    }

    fn gauges(&self, metric: &Metric) -> IntGaugeVec {
        self.take(metric, IntGaugeVec::new(Opts::new(metric.name, metric.help), metric.labels))
    }

    fn seconds(&self, metric: &Metric) -> Gauge {
        self.take(metric, Gauge::new(metric.name, metric.help))
    }

    fn histograms(&self, metric: &Metric) -> HistogramVec {
        let options = HistogramOpts::new(metric.name, metric.help).buckets(BUCKETS.to_vec());
        self.take(metric, HistogramVec::new(options, metric.labels))
    }
}

impl Register for Registry {
    fn take<C: Collector + Clone + 'static>(&self, metric: &Metric, collector: prometheus::Result<C>) -> C {
        let made = collector.and_then(|collector| self.register(Box::new(collector.clone())).map(|()| collector));
        made.unwrap_or_else(|error| unreachable!("{}: {error}", metric.name))
    }
}

/// The names of the gRPC status codes (grpc/grpc doc/statuscodes.md), by number.
const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const UNKNOWN: usize = 2;

/// The HTTP statuses that have a series of their own, in order; any other counts as `other`.
const HTTP_STATUSES: [(u16, &str); 20] = [
    (200, "200"),
    (204, "204"),
    (206, "206"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (406, "406"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
    (504, "504"),
];

/// In seconds: from a decision that was in memory to a request that hits its time-out.
const BUCKETS: [f64; 16] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[cfg(test)]
mod tests;
