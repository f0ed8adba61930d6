//! The paths that are no RPC: for whoever keeps the server running, and for whoever reads its description.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use crate::edge::without_body;
use crate::telemetry::metrics::Metrics;

/// Whether the server can do its work: the store answers, and the server is not about to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Takes note of a change.
    pub(super) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether it is ready.
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `/healthz`, `/readyz`, `/metrics`. They need no credential, and tell nothing about anybody.
pub(super) struct Endpoints {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
}

impl Endpoints {
    /// The answer, if the path is one of these.
    pub(super) fn answer(&self, method: &Method, path: &str) -> Option<Response<Body>> {
        let endpoint: fn(&Self) -> Response<Body> = match path {
            "/healthz" => |_| text(StatusCode::OK, "ok\n"),
            "/readyz" => Self::ready,
            "/metrics" => Self::metrics,
            _ => return None,
        };
        Some(match *method {
            Method::GET => endpoint(self),
            Method::HEAD => without_body(endpoint(self)),
            _ => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET and HEAD\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        })
    }

    fn ready(&self) -> Response<Body> {
        match self.readiness.get() {
            true => text(StatusCode::OK, "ready\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer, or the server is stopping\n"),
        }
    }

    fn metrics(&self) -> Response<Body> {
        let mut response = answer(StatusCode::OK, Bytes::from(self.metrics.encode()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
        response
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = answer(status, Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn answer(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
