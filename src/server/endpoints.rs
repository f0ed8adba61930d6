//! The paths that are no RPC: for whoever keeps the server running, and for whoever reads its description.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use super::readiness::Readiness;
use crate::auth::signing::Signing;
use crate::edge::compression::compress;
use crate::edge::document::Document;
use crate::edge::{openapi, without_body};
use crate::proto::descriptor_pool;
use crate::telemetry::metrics::Metrics;

/// They need no credential, and tell nothing about anybody.
pub(super) struct Endpoints {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) openapi: OpenApi,
    pub(super) key_set: KeySet,
}

/// The description of the HTTP API, made when it is first asked for.
pub(super) struct OpenApi {
    key_headers: Box<[HeaderName]>,
    made: OnceLock<Result<Document, String>>,
}

impl OpenApi {
    /// The description of a server that takes keys in these headers, besides `authorization`.
    pub(super) fn new<'a>(key_headers: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        Self { key_headers: key_headers.into_iter().cloned().collect(), made: OnceLock::new() }
    }

    async fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let make = || {
            let bytes = openapi::document(descriptor_pool(), &self.key_headers)?;
            Ok(Document::new("application/json", bytes))
        };
        match self.made.get_or_init(make) {
            Ok(document) => document.answer(headers).await,
            // The server does not start with descriptors that cannot be described: the edge and the policies refuse them.
            Err(what) => {
                tracing::error!(what, "the description of the HTTP API cannot be made");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the description cannot be made\n")
            }
        }
    }
}

/// The public keys that check the tokens of this installation, made into a document again whenever they change.
pub(super) struct KeySet {
    signing: Arc<Signing>,
    made: Mutex<Option<(String, Arc<Document>)>>,
}

impl KeySet {
    /// The key set of these keys.
    pub(super) fn new(signing: Arc<Signing>) -> Self {
        Self { signing, made: Mutex::default() }
    }

    async fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        if let Err(error) = self.signing.can_sign_identities().await {
            tracing::warn!(%error, "the key set is told without a key for id_tokens");
        }
        let mut response = self.document().answer(headers).await;
        // It is meant for everybody, and says nothing about anybody.
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        response
    }

    fn document(&self) -> Arc<Document> {
        let keys = self.signing.key_set();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some((of, document)) if *of == keys => Arc::clone(document),
            _ => {
                // Clients that look at the type know this one; few know `application/jwk-set+json`.
                let document = Arc::new(Document::new("application/json", keys.clone().into_bytes()));
                *made = Some((keys, Arc::clone(&document)));
                document
            }
        }
    }
}

/// A path that is no RPC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Endpoint {
    /// `/healthz`: the process is there.
    Health,
    /// `/readyz`: it can do its work.
    Readiness,
    /// `/metrics`: for Prometheus.
    Metrics,
    /// `/.well-known/jwks.json`: the public keys of tokens (RFC 7517).
    KeySet,
    /// `/openapi.json`: what can be called over HTTP.
    OpenApi,
}

impl Endpoint {
    /// The endpoint at a path.
    pub(super) fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Readiness,
            "/metrics" => Self::Metrics,
            "/.well-known/jwks.json" => Self::KeySet,
            "/openapi.json" => Self::OpenApi,
            _ => return None,
        })
    }
}

impl Endpoints {
    /// The answer to a request.
    pub(super) async fn answer(&self, endpoint: Endpoint, method: &Method, headers: &HeaderMap) -> Response<Body> {
        match *method {
            Method::GET => self.get(endpoint, headers).await,
            Method::HEAD => without_body(self.get(endpoint, headers).await),
            _ => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET and HEAD\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                response
            }
        }
    }

    async fn get(&self, endpoint: Endpoint, headers: &HeaderMap) -> Response<Body> {
        match endpoint {
            Endpoint::Health => text(StatusCode::OK, "ok\n"),
            Endpoint::Readiness => self.ready(),
            Endpoint::Metrics => compress(headers, self.metrics()).await,
            Endpoint::KeySet => self.key_set.answer(headers).await,
            Endpoint::OpenApi => self.openapi.answer(headers).await,
        }
    }

    fn ready(&self) -> Response<Body> {
        match self.readiness.is_ready() {
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
