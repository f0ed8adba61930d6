//! What is read off a request before anything is done with it: its id, its wire, its deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::domain::entropy::Entropy;
use crate::domain::secret::SecretShape;
use crate::telemetry;

/// The wire a request came on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Wire {
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web, binary.
    GrpcWeb,
    /// gRPC-Web, base64.
    GrpcWebText,
    /// HTTP with JSON or documents.
    Http,
}

impl Wire {
    /// Tells the wire by the content type.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Http };
        let bytes = value.as_bytes();
        let Some((prefix, rest)) = bytes.split_at_checked(GRPC.len()) else { return Self::Http };
        if !prefix.eq_ignore_ascii_case(GRPC) {
            return Self::Http;
        }
        // `application/grpc`, `application/grpc+proto`, `application/grpc-web-text+proto`, parameters behind `;`.
        let subtype = rest.split(|byte| matches!(byte, b'+' | b';' | b' ')).next().unwrap_or_default();
        match subtype.to_ascii_lowercase().as_slice() {
            b"" => Self::Grpc,
            b"-web" => Self::GrpcWeb,
            b"-web-text" => Self::GrpcWebText,
            _ => Self::Http,
        }
    }

    /// The content type of an answer that is nothing but a status.
    pub(super) fn answer_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Grpc => "application/grpc",
            Self::GrpcWeb => "application/grpc-web+proto",
            Self::GrpcWebText => "application/grpc-web-text+proto",
            Self::Http => "application/json",
        })
    }
}

impl From<Wire> for telemetry::Wire {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::Grpc => Self::Grpc,
            Wire::GrpcWeb | Wire::GrpcWebText => Self::GrpcWeb,
            Wire::Http => Self::Json,
        }
    }
}

/// Gives each request an id: the client's own, or one that no other request of any node has.
#[derive(Debug)]
pub(super) struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// Ids for one life of a server.
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let mut start = [0; 8];
        entropy.fill(&mut start);
        Self { start: u64::from_le_bytes(start), count: AtomicU64::new(0) }
    }

    /// The id of a request. A client's `x-request-id` is taken if it is 1 to 64 letters, digits, `.`, `_` and `-`, and not a
    /// secret in the wrong place: ids are logged and sent back.
    pub(super) fn take(&self, headers: &HeaderMap) -> Arc<str> {
        let own = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_request_id(id));
        match own {
            Some(id) => id.into(),
            None => {
                let mut id = *b"req_0000000000000000000000000000";
                let (start, count) = id[4..].split_at_mut(16);
                put_hex(self.start, start);
                put_hex(self.count.fetch_add(1, Ordering::Relaxed), count);
                // Letters and digits, all of it.
                std::str::from_utf8(&id).unwrap_or("req_0").into()
            }
        }
    }
}

/// Writes as many of the lowest hexadecimal digits as there is room for.
fn put_hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// The time a client gives for an answer: `grpc-timeout` (gRPC over HTTP2, `1S`, `250m`) or `x-request-timeout` (seconds,
/// `2.5`, or with a unit, `250ms`, `30s`). None if it gives none; `Err` names the header that cannot be read.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, &'static str> {
    let read = |name: HeaderName, parse: fn(&str) -> Option<Duration>| match headers.get(&name) {
        None => Ok(None),
        Some(value) => value.to_str().ok().and_then(parse).map(Some).ok_or(()),
    };
    match read(GRPC_TIMEOUT, grpc_timeout).map_err(|()| "grpc-timeout")? {
        Some(timeout) => Ok(Some(timeout)),
        None => read(X_REQUEST_TIMEOUT, request_timeout).map_err(|()| "x-request-timeout"),
    }
}

/// `TimeoutValue TimeoutUnit`: up to eight digits and one of `H M S m u n` (gRPC over HTTP2, "Requests").
fn grpc_timeout(text: &str) -> Option<Duration> {
    let (value, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&value.len()) || !value.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = value.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

fn request_timeout(text: &str) -> Option<Duration> {
    if text.len() > 16 {
        return None;
    }
    let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 0.001),
        (None, Some(number)) => (number, 1.0),
        (None, None) => (text, 1.0),
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds: f64 = number.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(seconds * scale).ok()
}

fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && SecretShape::parse(text).is_none()
}

/// The header that carries a request's id, in both directions.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const X_REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
const GRPC: &[u8] = b"application/grpc";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn wires() {
        for (content_type, wire) in [
            ("application/grpc", Wire::Grpc),
            ("application/grpc+proto", Wire::Grpc),
            ("Application/GRPC;charset=x", Wire::Grpc),
            ("application/grpc-web", Wire::GrpcWeb),
            ("application/grpc-web+proto", Wire::GrpcWeb),
            ("application/grpc-web-text", Wire::GrpcWebText),
            ("application/grpc-web-text+proto", Wire::GrpcWebText),
            ("application/grpcx", Wire::Http),
            ("application/json", Wire::Http),
            ("", Wire::Http),
        ] {
            assert_eq!(Wire::of(&headers("content-type", content_type)), wire, "{content_type}");
        }
    }

    #[test]
    fn timeouts() {
        for (name, text, wanted) in [
            ("grpc-timeout", "1S", Ok(Some(1_000))),
            ("grpc-timeout", "250m", Ok(Some(250))),
            ("grpc-timeout", "99999999H", Ok(Some(99_999_999 * 3_600_000))),
            ("grpc-timeout", "999999999S", Err("grpc-timeout")),
            ("grpc-timeout", "S", Err("grpc-timeout")),
            ("grpc-timeout", "1s", Err("grpc-timeout")),
            ("x-request-timeout", "2.5", Ok(Some(2_500))),
            ("x-request-timeout", "250ms", Ok(Some(250))),
            ("x-request-timeout", "30s", Ok(Some(30_000))),
            ("x-request-timeout", "-1", Err("x-request-timeout")),
            ("x-request-timeout", "1e9", Err("x-request-timeout")),
            ("x-request-timeout", "", Err("x-request-timeout")),
            ("x-other", "1", Ok(None)),
        ] {
            let found = timeout(&headers(name, text)).map(|found| found.map(|d| d.as_millis()));
            assert_eq!(found, wanted, "{name}: {text}");
        }
    }

    #[test]
    fn request_ids() {
        let ids = RequestIds::new(&SystemEntropy);
        assert_eq!(&*ids.take(&headers("x-request-id", "abc-1.2_3")), "abc-1.2_3");
        for bad in ["", "a b", "a/b", &"x".repeat(65)] {
            assert!(ids.take(&headers("x-request-id", bad)).starts_with("req_"), "{bad:?}");
        }
        assert_ne!(ids.take(&HeaderMap::new()), ids.take(&HeaderMap::new()));
    }
}
