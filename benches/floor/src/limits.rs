//! How a caller stands with two limits, in the headers that the real server tells it in: other numbers each time.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, HeaderValue};

/// The headers, of which there are five. What is another value each time is kept out of HPACK's table, as the real server does.
pub fn told() -> HeaderMap {
    let left = LEFT.fetch_sub(1, Ordering::Relaxed);
    let standing = format!("\"days00\";r={left};t=86400, \"minute\";r={left};t=60");
    let fleeting = |mut value: HeaderValue| {
        value.set_sensitive(true);
        value
    };
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(POLICY, HeaderValue::from_static("\"days00\";q=1000000000;w=86400, \"minute\";q=1000000000;w=60"));
    headers.insert(STANDING, fleeting(HeaderValue::from_maybe_shared(standing).expect("digits and letters")));
    headers.insert(LIMIT, HeaderValue::from_static("1000000000"));
    headers.insert(REMAINING, fleeting(left.into()));
    headers.insert(RESET, fleeting(HeaderValue::from_static("86400")));
    headers
}

static LEFT: AtomicU64 = AtomicU64::new(1_000_000_000);
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
