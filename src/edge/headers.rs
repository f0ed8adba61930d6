//! Which headers cross between HTTP and the services. Everything else stays where it is: no client sets `grpc-*` or any
//! internal metadata, and no service sees a credential.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

/// The request's headers that a service sees, as metadata.
pub(super) fn to_metadata(headers: &HeaderMap) -> MetadataMap {
    let mut to = HeaderMap::new();
    for name in &REQUEST {
        for value in headers.get_all(name) {
            to.append(name, value.clone());
        }
    }
    MetadataMap::from_headers(to)
}

/// Copies a service's metadata that HTTP clients are told into the answer's headers.
pub(super) fn copy_answer(metadata: &MetadataMap, to: &mut HeaderMap) {
    if metadata.is_empty() {
        return;
    }
    for name in &ANSWER {
        for value in metadata.as_ref().get_all(name) {
            to.append(name, value.clone());
        }
    }
}

const REQUEST: [HeaderName; 1] = [HeaderName::from_static("idempotency-key")];

const ANSWER: [HeaderName; 8] = [
    HeaderName::from_static("x-pagination-total"),
    http::header::ETAG,
    http::header::RETRY_AFTER,
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// No answer of an API that guards secrets is for a cache.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Browsers take the answer for what its type says.
pub(super) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
