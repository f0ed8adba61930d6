//! Content codings (RFC 9110, sections 8.4 and 12.5.3) for documents and exports.
//!
//! An answer is compressed only where its maker hands it to [`compress`]. Those of the RPCs are not: the length of a
//! compressed answer that holds a secret beside a client's own words tells the secret bit by bit, and a few hundred bytes
//! gain nothing.

use std::convert::Infallible;
use std::future::ready;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, VARY};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;
use tower::{ServiceExt, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;

use super::headers;

/// The answer in the coding that the request's headers accept best: zstd, br, gzip or none. A coding is applied as the body
/// is read, so that it may be a stream. Answers of a few bytes, event streams and what is coded already stay as they are.
///
/// A client that accepts none of these, not even the plain form, is told so: 406.
pub async fn compress(request: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let mut accepts = Request::new(());
    for value in request.get_all(ACCEPT_ENCODING) {
        accepts.headers_mut().append(ACCEPT_ENCODING, value.clone());
    }
    let status = response.status();
    let mut response = response;
    let made = service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(std::mem::take(&mut response))));
    let compression = Compression::new(made).quality(CompressionLevel::Precise(LEVEL));
    let response = compression.oneshot(accepts).await.unwrap_or_else(|never| match never {});
    match response.status() {
        StatusCode::NOT_ACCEPTABLE if status != StatusCode::NOT_ACCEPTABLE => not_acceptable(),
        _ => response.map(Body::new),
    }
}

fn not_acceptable() -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from("this is sent plain or as zstd, br or gzip\n")));
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    let to = response.headers_mut();
    to.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    to.insert(CACHE_CONTROL, headers::NO_STORE);
    to.insert(VARY, ACCEPT_ENCODING.into());
    response
}

/// Of every coding's levels one that is neither slow nor large.
const LEVEL: i32 = 5;

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_ENCODING, ETAG};
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    /// How an answer of this many bytes comes to a client that sends these `Accept-Encoding`.
    async fn coding(accepted: &[&'static str], length: usize) -> Result<String, StatusCode> {
        let mut request = HeaderMap::new();
        for value in accepted {
            request.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        let response = compress(&request, Response::new(Body::new(Full::from("a".repeat(length))))).await;
        assert_eq!(response.headers().contains_key(VARY), length > 100, "{accepted:?}");
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        let coding =
            response.headers().get(CONTENT_ENCODING).map_or("plain", |value| value.to_str().unwrap()).to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len() == length, coding == "plain", "{accepted:?}");
        Ok(coding)
    }

    #[tokio::test]
    async fn the_coding_is_the_one_accepted_best() {
        let none: &[&str] = &[];
        for (accepted, wanted) in [
            (none, "plain"),
            (&[""], "plain"),
            (&["identity"], "plain"),
            (&["compress, deflate"], "plain"),
            (&["gzip"], "gzip"),
            (&["GZIP"], "gzip"),
            (&["x-gzip"], "gzip"),
            (&["br"], "br"),
            (&["zstd"], "zstd"),
            (&["gzip, deflate, br, zstd"], "zstd"),
            (&["gzip", "br"], "br"),
            (&["gzip;q=0.8, br;q=0.2"], "gzip"),
            (&["gzip; q=0.8, br; q=0.800, zstd;q=0"], "br"),
            (&["gzip;q=0"], "plain"),
            (&["gzip;q=0.1, identity;q=0.5"], "plain"),
            (&["identity;q=0, gzip;q=0.001"], "gzip"),
            (&["*"], "zstd"),
            (&["*;q=0.5, gzip"], "gzip"),
            (&["zstd;q=0, br;q=0, *"], "gzip"),
            (&["*;q=0, identity"], "plain"),
            (&["gzip;q=nonsense, br"], "br"),
        ] {
            assert_eq!(coding(accepted, 1_000).await.as_deref(), Ok(wanted), "{accepted:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_accepts_nothing_is_told() {
        for accepted in [&["identity;q=0"], &["*;q=0"], &["identity;q=0, gzip;q=0"]] {
            assert_eq!(coding(accepted, 1_000).await, Err(StatusCode::NOT_ACCEPTABLE), "{accepted:?}");
        }
    }

    #[tokio::test]
    async fn a_few_bytes_stay_as_they_are() {
        assert_eq!(coding(&["gzip"], 10).await.as_deref(), Ok("plain"));
    }

    #[tokio::test]
    async fn streams_are_compressed_as_they_come() {
        let line = |number: u32| Ok::<_, Infallible>(http_body::Frame::data(bytes::Bytes::from(format!("{number}\n"))));
        let lines = futures_util::stream::iter((0..1_000).map(line));
        let mut response = Response::new(Body::new(StreamBody::new(lines)));
        response.headers_mut().insert(ETAG, HeaderValue::from_static("\"1\""));
        let request = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("zstd"))]);
        let response = compress(&request, response).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "zstd");
        assert_eq!(response.headers()[ETAG], "\"1\"");
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        // RFC 8878, section 3.1.1.
        assert_eq!(bytes[..4], [0x28, 0xb5, 0x2f, 0xfd]);
        assert!(bytes.len() < 3_890, "{}", bytes.len());
    }
}
