//! How a credential stands with its limits, in the headers of every answer to it, on every wire: those of
//! draft-ietf-httpapi-ratelimit-headers-11, and those that clients knew before it. And the writing down of what was
//! spent.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use tokio::time::{MissedTickBehavior, interval};

use super::StartError;
use crate::auth::limit::Limiter;
use crate::config::{Config, RedisSettings};
use crate::domain::clock::Clock;
use crate::domain::limit::report::Report;
use crate::store::Store;
use crate::store::redis::Redis;

/// Opens what was spent, and the way to Redis if that is configured. Whether Redis answers does not matter for a start.
pub(super) async fn open(config: &Config, store: &Store, clock: &Arc<dyn Clock>) -> Result<Arc<Limiter>, StartError> {
    let redis = match &config.redis {
        Some(RedisSettings { url, timeout }) => {
            let opened = Redis::open(url.expose(), *timeout).await;
            Some(opened.map_err(|cause| StartError::Redis { url: url.to_string(), cause })?)
        }
        None => None,
    };
    let limiter = Limiter::open(store.clone(), redis, config.lease_timeout, Arc::clone(clock)).await;
    limiter.map(Arc::new).map_err(|error| StartError::Store(error.into()))
}

/// Adds the headers.
pub(super) fn tell(report: &Report, headers: &mut HeaderMap) {
    headers.reserve(6);
    // Names of limits are letters, digits, hyphens and underscores.
    if let (Ok(policies), Ok(limits)) =
        (HeaderValue::from_maybe_shared(report.policies().clone()), HeaderValue::try_from(report.header()))
    {
        headers.insert(RATELIMIT_POLICY, policies);
        headers.insert(RATELIMIT, fleeting(limits));
    }
    let (limit, remaining, reset) = report.nearest();
    headers.insert(X_RATELIMIT_LIMIT, HeaderValue::from(limit));
    headers.insert(X_RATELIMIT_REMAINING, fleeting(HeaderValue::from(remaining)));
    if let Some(reset) = reset {
        headers.insert(X_RATELIMIT_RESET, fleeting(HeaderValue::from(reset)));
    }
    if let Some(wait) = report.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
}

/// Writes down what was spent, once a second. Never returns; drop the future to stop.
pub(super) async fn write_down(limiter: Arc<Limiter>) {
    let mut ticks = interval(WRITE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 1_u64.. {
        ticks.tick().await;
        write_down_once(&limiter).await;
        if tick % RETURN_EVERY_TICKS == 0 {
            give_back(&limiter, false).await;
        }
    }
}

/// Writes down what was spent, and gives back what was not: the server stops.
pub(super) async fn settle(limiter: &Limiter) {
    write_down_once(limiter).await;
    give_back(limiter, true).await;
}

async fn write_down_once(limiter: &Limiter) {
    if let Err(error) = limiter.write_down().await {
        tracing::warn!(%error, "what was spent of limits could not be written down; it will be tried again");
    }
}

async fn give_back(limiter: &Limiter, all: bool) {
    if let Err(error) = limiter.return_credits(all).await {
        tracing::warn!(%error, "credits could not be given back");
    }
}

/// What is another value each time only pushes other headers out of HPACK's table (RFC 7541, section 7.1.3).
fn fleeting(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

const WRITE_EVERY: Duration = Duration::from_secs(1);
/// What was not spent for so long is given back.
const RETURN_EVERY_TICKS: u64 = 10;
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
