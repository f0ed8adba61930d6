//! How a credential stands with its limits, in the headers of every answer to it, on every wire: those of
//! draft-ietf-httpapi-ratelimit-headers-11, and those that clients knew before it. And the writing down of what was
//! spent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
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
    let policies = report.policies();
    let mut insert = |name, value: Bytes, is_fleeting| {
        // Names of limits are letters, digits, hyphens and underscores, and all else is digits.
        if let Ok(mut value) = HeaderValue::from_maybe_shared(value) {
            // What is another value each time only pushes other headers out of HPACK's table (RFC 7541, section 7.1.3).
            value.set_sensitive(is_fleeting);
            headers.insert(name, value);
        }
    };
    // All in one piece of memory, which is this answer's alone: one that answers share would be handed from processor to
    // processor to count who holds it.
    let (limit, remaining, reset) = report.nearest();
    let mut text = String::with_capacity(policies.len() + NUMBERS);
    text.push_str(policies);
    let mut number = |number: u64| {
        let from = text.len();
        text.push_str(itoa::Buffer::new().format(number));
        from..text.len()
    };
    let (limit, remaining, reset) = (number(limit), number(remaining), reset.map(&mut number));
    let wait = report.retry_after().map(|wait| number(wait.as_secs()));
    let numbers = text.len();
    report.write_header(&mut text);
    let text = Bytes::from(text);
    insert(RATELIMIT_POLICY, text.slice(..policies.len()), false);
    insert(RATELIMIT, text.slice(numbers..), true);
    insert(X_RATELIMIT_LIMIT, text.slice(limit), false);
    insert(X_RATELIMIT_REMAINING, text.slice(remaining), true);
    if let Some(reset) = reset {
        insert(X_RATELIMIT_RESET, text.slice(reset), true);
    }
    if let Some(wait) = wait {
        insert(RETRY_AFTER, text.slice(wait), false);
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

/// Room for four numbers, of which a limit or a quota seldom has a longer one, and what two limits tell of themselves.
const NUMBERS: usize = 160;
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// What was not spent for so long is given back.
const RETURN_EVERY_TICKS: u64 = 10;
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
