//! One request, from its headers to its answer: id, wire, deadline, route, the guard, the RPC.

use std::any::Any;
use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::header::{HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, Method, Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic_types::StatusExt;
use tracing::Instrument;

use super::endpoints::{Endpoint, Endpoints};
use super::grpc::{self, GRPC_DETAILS, GRPC_STATUS, Services};
use super::refusals::Refusals;
use super::request::{RequestIds, Wire, X_REQUEST_ID, timeout};
use crate::auth::guard::{Call, Guard, Refusal};
use crate::domain::dialect::Dialect;
use crate::domain::error::{Error, Result};
use crate::domain::id::KeyId;
use crate::domain::reason::Reason;
use crate::edge::cors::Cors;
use crate::edge::{self, Edge, Resolution, problem, refusal};
use crate::net::{ClientAddress, Connection, client_address, forwarded_https};
use crate::proto::MethodId;
use crate::rpc::auth::AuthService;
use crate::rpc::keys::KeysService;
use crate::rpc::products::ProductsService;
use crate::rpc::request::Deadline;
use crate::rpc::status;
use crate::telemetry::metrics::{Door, Metrics, Status};
use crate::telemetry::{Answered, RequestSpan};

/// The services that the edge calls in process.
pub(super) type Rpcs = edge::Services<KeysService, AuthService, ProductsService>;

/// Answers every request of every connection.
#[derive(Clone)]
pub(super) struct Front(pub(super) Arc<Parts>);

/// What the front works with.
pub(super) struct Parts {
    pub(super) guard: Guard,
    pub(super) grpc: Services,
    pub(super) edge: Edge,
    pub(super) rpcs: Rpcs,
    pub(super) endpoints: Endpoints,
    pub(super) cors: Cors,
    pub(super) ids: RequestIds,
    pub(super) metrics: Arc<Metrics>,
    /// Proxies in front whose word counts.
    pub(super) proxies: usize,
    /// Whether requests that did not come over HTTPS are refused.
    pub(super) https_only: bool,
    /// How long a call may take that gives no time itself.
    pub(super) patience: Duration,
    pub(super) refusals: Refusals,
}

/// What is known of one request while it is answered.
struct Known {
    id: Arc<str>,
    wire: Wire,
    client: ClientAddress,
    began: Instant,
    /// The RPC, once it is resolved.
    rpc: Option<MethodId>,
    /// The key, once it is recognised.
    key: Option<KeyId>,
}

impl tower::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move { Ok(parts.handle(request).await) })
    }
}

impl Parts {
    async fn handle(&self, mut request: Request<Incoming>) -> Response<Body> {
        let connection = request.extensions().get::<Connection>().copied();
        let mut known = Known {
            id: self.ids.take(request.headers()),
            wire: Wire::of(request.headers()),
            client: self.client(connection, request.headers()),
            began: Instant::now(),
            rpc: None,
            key: None,
        };
        // An id is visible ASCII by its own rule.
        let id = HeaderValue::from_str(&known.id).unwrap_or(HeaderValue::from_static("unknown"));
        request.headers_mut().insert(X_REQUEST_ID, id.clone());
        let origin = request.headers().get(http::header::ORIGIN).cloned();
        let tls = connection.is_some_and(|connection| connection.tls);
        let path = request.uri().path().to_owned();
        let head = request.method() == Method::HEAD;

        let span = RequestSpan::open(&known.id, known.wire.into(), request.headers());
        let answer = {
            // Pinned where it stands: the future is large, and every wrapper would move it once more.
            let answer = pin!(self.answer(request, &mut known, tls));
            AssertUnwindSafe(answer.instrument(span.span().clone())).catch_unwind().await
        };
        let mut response = answer.unwrap_or_else(|panic| self.fault(&known, &path, &*panic));
        span.close(Answered {
            request_id: &known.id,
            wire: known.wire.into(),
            rpc: known.rpc,
            key_id: known.key.as_ref().map(KeyId::as_str),
            reason: reason(&response),
            took: known.began.elapsed(),
        });
        if let Some(rpc) = known.rpc {
            self.count(&known, rpc, &response);
        }

        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id);
        self.cors.mark(origin.as_ref(), headers);
        if tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        // Every answer to HEAD, a refusal too: over HTTP/2 nobody else takes the body away (RFC 9110, section 9.3.2).
        if head { edge::without_body(response) } else { response }
    }

    async fn answer(&self, request: Request<Incoming>, known: &mut Known, tls: bool) -> Response<Body> {
        if let Some(endpoint) = Endpoint::at(request.uri().path()) {
            // Boxed, so that what it takes to compress does not make the future of every call larger.
            return Box::pin(self.endpoints.answer(endpoint, request.method(), request.headers())).await;
        }
        // The open services are asked by whoever keeps the server running, past the proxy, and carry no credential.
        let open = Services::is_open(request.uri().path());
        if self.https_only && !tls && !open && !self.came_over_https(request.headers()) {
            let message = "this service is reached over HTTPS only; do not send credentials in the clear";
            return self.refuse(known, request.uri().path(), &Error::new(Reason::HttpsRequired, message));
        }
        match known.wire {
            Wire::Http => self.http(request, known).await,
            _ => self.grpc(request, known).await,
        }
    }

    async fn grpc(&self, mut request: Request<Incoming>, known: &mut Known) -> Response<Body> {
        let path = request.uri().path();
        if request.method() == Method::OPTIONS
            && let Some(preflight) = self.cors.preflight(request.method(), request.headers())
        {
            return preflight;
        }
        if request.method() != Method::POST {
            let error = Error::new(Reason::MethodNotAllowed, "gRPC calls are POST requests");
            return self.refuse(known, path, &error);
        }
        let Some(method) = MethodId::find(path) else {
            if Services::is_open(path) {
                return self.grpc.call(known.wire, request.map(Body::new), &known.id).await;
            }
            return self.refuse(known, path, &Error::new(Reason::UnknownMethod, "there is no such RPC"));
        };
        if let Err(error) = self.admit(&mut request, known, method, Dialect::Standard).await {
            return self.refuse(known, request.uri().path(), &error);
        }
        let path = request.uri().path().to_owned();
        let patience = match self.deadline(&mut request) {
            Ok(patience) => patience,
            Err(error) => return self.refuse(known, &path, &error),
        };
        let call = pin!(self.grpc.call(known.wire, request.map(Body::new), &known.id));
        match tokio::time::timeout(patience, call).await {
            Ok(response) => response,
            Err(_) => self.refuse(known, &path, &too_late()),
        }
    }

    async fn http(&self, mut request: Request<Incoming>, known: &mut Known) -> Response<Body> {
        if let Some(preflight) = self.cors.preflight(request.method(), request.headers()) {
            return preflight;
        }
        let path = request.uri().path().to_owned();
        let matched = match self.edge.resolve(request.method(), &path) {
            Resolution::Found(matched) => matched,
            Resolution::Options(allow) => return edge::options(allow),
            Resolution::MethodNotAllowed(allow) => {
                return problem::response(&refusal::method_not_allowed(allow), &known.id, &path);
            }
            Resolution::NotFound => return problem::response(&refusal::unknown_path(), &known.id, &path),
        };
        let method = matched.route.method;
        let admitted = match self.admit(&mut request, known, method, matched.route.dialect).await {
            Ok(()) => self.deadline(&mut request),
            Err(error) => Err(error),
        };
        let patience = match admitted {
            Ok(patience) => patience,
            Err(error) => return self.refuse(known, &path, &error),
        };
        let call = pin!(self.edge.call(matched, request, &self.rpcs));
        match tokio::time::timeout(patience, call).await {
            Ok(response) => response,
            Err(_) => self.refuse(known, &path, &too_late()),
        }
    }

    /// The one check: leaves the caller in the request, or says why not.
    async fn admit(
        &self,
        request: &mut Request<Incoming>,
        known: &mut Known,
        method: MethodId,
        dialect: Dialect,
    ) -> Result<()> {
        known.rpc = Some(method);
        let call = Call {
            method,
            dialect,
            headers: request.headers(),
            client: known.client.known(),
            address: known.client.or_peer(),
            request_id: &known.id,
        };
        match self.guard.admit(call).await {
            Ok(caller) => {
                self.metrics.decided(Door::Guard, None);
                if let Some(caller) = caller {
                    known.key = Some(caller.key().id.clone());
                    request.extensions_mut().insert(caller);
                }
                request.extensions_mut().insert(dialect);
                Ok(())
            }
            Err(refusal) => {
                known.key = refusal.key.as_ref().map(|credential| credential.key.id.clone());
                self.tell(known, method, &refusal);
                Err(refusal.error)
            }
        }
    }

    /// How long the call may take. A client's own time is left in the request too, for streams to end by.
    fn deadline(&self, request: &mut Request<Incoming>) -> Result<Duration> {
        match timeout(request.headers()) {
            Ok(None) => Ok(self.patience),
            Ok(Some(given)) => {
                request.extensions_mut().insert(Deadline::after(given));
                Ok(given.min(self.patience))
            }
            Err(header) => Err(Error::field(header, "is not a time this header can hold")),
        }
    }

    fn refuse(&self, known: &Known, path: &str, error: &Error) -> Response<Body> {
        match known.wire {
            Wire::Http => problem::response(&status::of(error, &known.id), &known.id, path),
            wire => grpc::refusal(wire, error, &known.id),
        }
    }

    /// Writes a refusal down, with the true reason and the key's id.
    fn tell(&self, known: &Known, method: MethodId, refusal: &Refusal) {
        self.metrics.decided(Door::Guard, Some(refusal.reason));
        let Some(untold) = self.refusals.pass() else { return };
        tracing::info!(
            request_id = %known.id,
            rpc = method.path(),
            code = refusal.reason.wording().name,
            key_id = known.key.as_ref().map(KeyId::as_str),
            client = %known.client.or_peer(),
            untold,
            "refused"
        );
    }

    fn fault(&self, known: &Known, path: &str, panic: &(dyn Any + Send)) -> Response<Body> {
        let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        tracing::error!(request_id = %known.id, path, panic = words, "a request ended in a panic");
        self.refuse(known, path, &Error::new(Reason::Internal, "Something went wrong on the server"))
    }

    fn count(&self, known: &Known, method: MethodId, response: &Response<Body>) {
        let status = match known.wire {
            Wire::Http => Status::Http(response.status().as_u16()),
            // A status that is not in the headers comes after a message, which only successes have.
            _ => Status::Grpc(grpc_code(response.headers()).map_or(0, i32::from)),
        };
        self.metrics.answered(Some(method), known.wire.into(), status, known.began.elapsed());
    }

    fn client(&self, connection: Option<Connection>, headers: &HeaderMap) -> ClientAddress {
        match connection {
            Some(connection) => client_address(connection.peer, values(headers, &FORWARDED_FOR), self.proxies),
            // Every request comes over a connection; without one, nobody's address is known.
            None => ClientAddress::Unknown { peer: IpAddr::from([0; 4]) },
        }
    }

    fn came_over_https(&self, headers: &HeaderMap) -> bool {
        forwarded_https(values(headers, &FORWARDED_PROTO), self.proxies)
    }
}

/// Why a request was refused or failed, read off its answer: a problem document has its reason beside it, a gRPC answer in
/// its status.
fn reason(response: &Response<Body>) -> Option<Reason> {
    if let Some(reason) = response.extensions().get::<Reason>() {
        return Some(*reason);
    }
    if !response.headers().contains_key(GRPC_DETAILS) {
        return None;
    }
    let details = tonic::Status::from_header_map(response.headers())?.get_error_details();
    Reason::find(&details.error_info()?.reason)
}

/// The gRPC status in an answer's headers, if it is there already.
fn grpc_code(headers: &HeaderMap) -> Option<tonic::Code> {
    headers.get(GRPC_STATUS).map(|value| tonic::Code::from_bytes(value.as_bytes()))
}

fn too_late() -> Error {
    Error::new(
        Reason::DeadlineExceeded,
        "the deadline passed before the answer was ready; whether it was done is not known",
    )
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Two years, the length that preload lists ask for (RFC 6797, section 6.1).
const HSTS: &str = "max-age=63072000";
