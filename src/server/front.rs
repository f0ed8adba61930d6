//! One request, from its headers to its answer: id, wire, deadline, route, the guard, the RPC.

use std::any::Any;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts as Head;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic_types::StatusExt;
use tracing::Instrument;

use super::endpoints::{Endpoint, Endpoints};
use super::grpc::{self, GRPC_STATUS, Services};
use super::limits;
use super::refusals::Refusals;
use super::request::{RequestIds, Wire, X_REQUEST_ID, timeout};
use super::tarpit::Tarpit;
use crate::auth::dpop::DPOP_NONCE;
use crate::auth::guard::{Call, Guard, Refusal};
use crate::domain::dialect::Dialect;
use crate::domain::error::{Error, Result};
use crate::domain::id::CredentialId;
use crate::domain::limit::report::Report;
use crate::domain::reason::Reason;
use crate::edge::cors::Cors;
use crate::edge::{self, Edge, Resolution, problem, refusal};
use crate::intake::{self, Intake};
use crate::net::{ClientAddress, Connection, Service, client_address, forwarded_https};
use crate::oauth::{self, OAuth};
use crate::proto::MethodId;
use crate::rpc::Rpcs;
use crate::rpc::request::{Arrival, Deadline, Sender};
use crate::rpc::status;
use crate::telemetry::metrics::{Door, Metrics, Status};
use crate::telemetry::{Answered, RequestSpan};

/// Answers every request of every connection.
#[derive(Clone)]
pub(super) struct Front(pub(super) Arc<Parts>);

/// What the front works with.
pub(super) struct Parts {
    pub(super) guard: Arc<Guard>,
    pub(super) oauth: OAuth,
    pub(super) intake: Intake,
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
    pub(super) tarpit: Tarpit,
    /// What stands behind the scheme in a `WWW-Authenticate` to callers: the realm, and where clients learn how to get a token (RFC 9728,
    /// section 5.1).
    pub(super) challenge: String,
}

/// What is known of one request while it is answered.
struct Known {
    id: Arc<str>,
    /// The id as a header.
    header: HeaderValue,
    uri: Uri,
    wire: Wire,
    client: ClientAddress,
    began: Instant,
    /// The endpoint of the authorization server, if its path is that of one.
    oauth: Option<oauth::Endpoint>,
    /// The RPC, once it is resolved.
    rpc: Option<MethodId>,
    /// The key, once it is recognised.
    credential: Option<CredentialId>,
    /// How it stands with its limits, if it has any.
    standing: OnceLock<Report>,
}

impl Service for Front {
    type Answer = Body;
    type Future = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    fn call(&self, connection: Connection, request: Request<Incoming>) -> Self::Future {
        Box::pin(Arc::clone(&self.0).handle(connection, request))
    }
}

impl Parts {
    async fn handle(self: Arc<Self>, connection: Connection, request: Request<Incoming>) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let id = self.ids.take(&head.headers);
        let mut known = Known {
            header: header(&id),
            id,
            oauth: oauth::Endpoint::at(head.uri.path()),
            uri: mem::take(&mut head.uri),
            wire: Wire::of(&head.headers),
            client: self.client(connection, &head.headers),
            began: Instant::now(),
            rpc: None,
            credential: None,
            standing: OnceLock::new(),
        };
        let origin = head.headers.get(http::header::ORIGIN).cloned();

        let span = RequestSpan::open(&known.id, known.wire.into(), &head.headers);
        let answer = {
            // Pinned where it stands: the future is large, and every wrapper would move it once more.
            let answer = pin!(self.answer(&mut head, body, &mut known, connection.tls));
            AssertUnwindSafe(answer.instrument(span.span().clone())).catch_unwind().await
        };
        let mut response = answer.unwrap_or_else(|panic| self.fault(&known, &*panic));
        let reason = reason(&response);
        if reason.is_some()
            || response.status() == StatusCode::UNAUTHORIZED
            || response.status() == StatusCode::FORBIDDEN
        {
            self.point_the_way(response.headers_mut());
        }
        let took = known.began.elapsed();
        span.close(Answered {
            request_id: &known.id,
            wire: known.wire.into(),
            rpc: known.rpc,
            key_id: known.credential.as_ref().map(CredentialId::as_str),
            reason,
            took,
        });
        if let Some(rpc) = known.rpc {
            self.metrics.answered(Some(rpc), known.wire.into(), outcome(known.wire, &response), took);
        }

        let headers = response.headers_mut();
        if let Some(report) = known.standing.get() {
            limits::tell(report, headers);
        }
        headers.insert(X_REQUEST_ID, known.header);
        // Where browsers are sent with their cookies, scripts of other sites have no business.
        let for_scripts = known.oauth.is_none_or(oauth::Endpoint::is_for_scripts);
        self.cors.mark(origin.filter(|_| for_scripts).as_ref(), headers);
        if connection.tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
        }
        // Every answer to HEAD, a refusal too: over HTTP/2 nobody else takes the body away (RFC 9110, section 9.3.2).
        if head.method == Method::HEAD { edge::without_body(response) } else { response }
    }

    async fn answer(&self, head: &mut Head, body: Incoming, known: &mut Known, tls: bool) -> Response<Body> {
        let path = known.uri.path();
        if let Some(endpoint) = Endpoint::at(path) {
            // Boxed, so that what it takes to compress does not make the future of every call larger.
            return Box::pin(self.endpoints.answer(endpoint, &head.method, &head.headers)).await;
        }
        // The open services are asked by whoever keeps the server running, past the proxy, and carry no credential.
        let open = Services::is_open(path);
        if self.https_only && !tls && !open && !self.came_over_https(&head.headers) {
            let message = "this service is reached over HTTPS only; do not send credentials in the clear";
            return self.refuse(known, &Error::new(Reason::HttpsRequired, message));
        }
        if known.oauth.is_none_or(oauth::Endpoint::is_for_scripts)
            && let Some(preflight) = self.cors.preflight(&head.method, &head.headers)
        {
            return preflight;
        }
        if let Some(endpoint) = known.oauth {
            return Box::pin(self.oauth(endpoint, head, body, known)).await;
        }
        if let Some(endpoint) = intake::Endpoint::at(path)
            && known.wire == Wire::Http
            && self.intake.takes(endpoint)
        {
            return Box::pin(self.intake(endpoint, head, body, known)).await;
        }
        match known.wire {
            Wire::Http => self.http(head, body, known).await,
            _ => self.grpc(head, body, known, open).await,
        }
    }

    /// The door for reports of leaked credentials.
    async fn intake(&self, endpoint: intake::Endpoint, head: &Head, body: Incoming, known: &Known) -> Response<Body> {
        if head.method != Method::POST {
            let mut response = self.refuse(known, &Error::new(Reason::MethodNotAllowed, "This path takes POST"));
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        let (address, request_id) = (known.client.or_peer(), &*known.id);
        let request = intake::Request { headers: &head.headers, address, request_id };
        match within(self.patience, pin!(self.intake.take(endpoint, request, body))).await {
            Some(Ok(answer)) => {
                let mut response = Response::new(Body::new(Full::new(Bytes::from(answer.to_string()))));
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
                response
            }
            Some(Err(error)) => self.refuse(known, &error),
            None => self.refuse(known, &too_late()),
        }
    }

    /// The second door: the endpoints of the authorization server.
    async fn oauth(&self, endpoint: oauth::Endpoint, head: &Head, body: Incoming, known: &Known) -> Response<Body> {
        let request = oauth::Request {
            method: &head.method,
            path: known.uri.path(),
            headers: &head.headers,
            query: known.uri.query(),
            uri: &known.uri,
            client: known.client.known(),
            address: known.client.or_peer(),
            request_id: &known.id,
            standing: &known.standing,
        };
        match within(self.patience, pin!(self.oauth.answer(endpoint, request, body))).await {
            Some(response) => response.map(|body| Body::new(Full::new(body))),
            None => self.refuse(known, &too_late()),
        }
    }

    async fn grpc(&self, head: &mut Head, body: Incoming, known: &mut Known, open: bool) -> Response<Body> {
        if head.method != Method::POST {
            let error = Error::new(Reason::MethodNotAllowed, "gRPC calls are POST requests");
            return self.refuse(known, &error);
        }
        if open {
            return Box::pin(self.grpc.stream(known.wire, known.uri.clone(), head, body, &known.id)).await;
        }
        let Some(method) = MethodId::find(known.uri.path()) else {
            return self.refuse(known, &Error::new(Reason::UnknownMethod, "there is no such RPC"));
        };
        let (arrival, patience) = match self.admit(head, known, method, Dialect::Standard).await {
            Ok(admitted) => admitted,
            Err(error) => return self.refuse(known, &error),
        };
        let call = pin!(self.grpc.call(known.wire, method, arrival, head, body, &known.id));
        match within(patience, call).await {
            Some(response) => response,
            None => self.refuse(known, &too_late()),
        }
    }

    async fn http(&self, head: &mut Head, body: Incoming, known: &mut Known) -> Response<Body> {
        let path = known.uri.path();
        let matched = match self.edge.resolve(&head.method, path) {
            Resolution::Found(matched) => matched,
            Resolution::Options(allow) => return edge::options(allow),
            Resolution::MethodNotAllowed(allow) => {
                return problem::response(&refusal::method_not_allowed(allow), &known.id, path);
            }
            Resolution::NotFound => return problem::response(&refusal::unknown_path(), &known.id, path),
        };
        let (arrival, patience) = match self.admit(head, known, matched.route.method, matched.route.dialect).await {
            Ok(admitted) => admitted,
            Err(error) => return self.refuse(known, &error),
        };
        let call = edge::Call { uri: &known.uri, headers: &head.headers, context: arrival, request_id: &known.id };
        let call = pin!(self.edge.call(matched, call, body, &self.rpcs));
        match within(patience, call).await {
            Some(response) => response,
            None => self.refuse(known, &too_late()),
        }
    }

    /// The one check: says who calls and how long that may take, or why not.
    async fn admit(
        &self,
        head: &Head,
        known: &mut Known,
        method: MethodId,
        dialect: Dialect,
    ) -> Result<(Arrival, Duration)> {
        known.rpc = Some(method);
        let call = Call {
            method,
            dialect,
            http_method: &head.method,
            uri: &known.uri,
            headers: &head.headers,
            client: known.client.known(),
            address: known.client.or_peer(),
            request_id: &known.id,
            standing: &known.standing,
        };
        match self.guard.admit(call).await {
            Ok(caller) => {
                self.metrics.decided(Door::Guard, None);
                let (patience, deadline) = self.deadline(&head.headers)?;
                known.credential = caller.as_ref().map(|caller| caller.credential().id());
                if caller.as_ref().is_some_and(|caller| caller.only_reported(known.client.known())) {
                    self.report_address(known, method);
                }
                let sender = self.guard.policy(method).secret_response.then(|| Box::new(sender(&head.headers, known)));
                Ok((Arrival { caller, dialect, deadline, sender }, patience))
            }
            Err(refusal) => {
                known.credential = refusal.credential.as_ref().map(|credential| credential.id());
                self.tell(known, method, &refusal);
                self.tarpit.hold(refusal.reason).await;
                Err(refusal.error)
            }
        }
    }

    /// How long the call may take, and when a client's own time is over, for streams to end by.
    fn deadline(&self, headers: &HeaderMap) -> Result<(Duration, Option<Deadline>)> {
        match timeout(headers) {
            Ok(None) => Ok((self.patience, None)),
            Ok(Some(given)) => Ok((given.min(self.patience), Some(Deadline::after(given)))),
            Err(header) => Err(Error::field(header, "is not a time this header can hold")),
        }
    }

    fn refuse(&self, known: &Known, error: &Error) -> Response<Body> {
        let mut response = match known.wire {
            Wire::Http => problem::response(&status::of(error, &known.id), &known.id, known.uri.path()),
            wire => grpc::refusal(wire, error, &known.id),
        };
        if error.reason == Reason::UseDpopNonce
            && let Ok(nonce) = HeaderValue::try_from(self.guard.nonce())
        {
            response.headers_mut().insert(DPOP_NONCE, nonce);
        }
        response
    }

    /// Tells in a challenge of ours where clients learn how to get a token.
    fn point_the_way(&self, headers: &mut HeaderMap) {
        let Some(given) = headers.get_mut(WWW_AUTHENTICATE) else { return };
        let Some((scheme, rest)) = given.to_str().ok().and_then(|challenge| challenge.split_once(problem::REALM))
        else {
            return;
        };
        // Not in that to a client, which is to show its secret.
        if matches!(scheme, "Bearer " | "DPoP ")
            && let Ok(whole) = HeaderValue::try_from(format!("{scheme}{}{rest}", self.challenge))
        {
            *given = whole;
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
            key_id = known.credential.as_ref().map(CredentialId::as_str),
            client = %known.client.or_peer(),
            untold,
            "refused"
        );
    }

    /// Writes down that a call would have been refused by an address list that only reports.
    fn report_address(&self, known: &Known, method: MethodId) {
        self.metrics.address_reported(Door::Guard);
        let Some(untold) = self.refusals.pass() else { return };
        tracing::info!(
            request_id = %known.id,
            rpc = method.path(),
            code = Reason::IpDenied.wording().name,
            key_id = known.credential.as_ref().map(CredentialId::as_str),
            client = %known.client.or_peer(),
            untold,
            "would be refused: the key's address list only reports"
        );
    }

    fn fault(&self, known: &Known, panic: &(dyn Any + Send)) -> Response<Body> {
        let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        tracing::error!(request_id = %known.id, path = known.uri.path(), panic = words, "a request ended in a panic");
        self.refuse(known, &Error::new(Reason::Internal, "Something went wrong on the server"))
    }

    fn client(&self, connection: Connection, headers: &HeaderMap) -> ClientAddress {
        // Where nobody's word counts, nobody's is looked for.
        let said = if self.proxies == 0 { Vec::new() } else { values(headers, &FORWARDED_FOR) };
        client_address(connection.peer, said, self.proxies)
    }

    fn came_over_https(&self, headers: &HeaderMap) -> bool {
        forwarded_https(values(headers, &FORWARDED_PROTO), self.proxies)
    }
}

/// What a call answers, if it does in time.
async fn within<T>(patience: Duration, mut call: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    // A call that is answered at once, as those from memory are, arms no timer.
    match futures_util::poll!(call.as_mut()) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => tokio::time::timeout(patience, call).await.ok(),
    }
}

/// Why a request was refused or failed, read off its answer: a problem document has its reason beside it, a gRPC answer in
/// its status.
fn reason(response: &Response<Body>) -> Option<Reason> {
    let headers = response.headers();
    if !headers.contains_key(GRPC_STATUS) {
        return response.extensions().get().copied();
    }
    let details = tonic::Status::from_header_map(headers)?.get_error_details();
    Reason::find(&details.error_info()?.reason)
}

/// How a request was answered, in the words of its wire.
fn outcome(wire: Wire, response: &Response<Body>) -> Status {
    if wire == Wire::Http {
        return Status::Http(response.status().as_u16());
    }
    // A status that is not in the headers comes after a message, which only successes have.
    let code = response.headers().get(GRPC_STATUS).map(|value| tonic::Code::from_bytes(value.as_bytes()));
    Status::Grpc(code.map_or(0, i32::from))
}

/// Who sent a request.
fn sender(headers: &HeaderMap, known: &Known) -> Sender {
    let text = headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Visible ASCII and spaces: so it can be cut anywhere.
    let user_agent = text.chars().filter(|c| !c.is_control()).take(USER_AGENT).collect();
    Sender { address: known.client.or_peer(), user_agent, request_id: Arc::clone(&known.id) }
}

/// A request's id as a header.
fn header(id: &str) -> HeaderValue {
    // An id is visible ASCII by its own rule.
    let mut value = HeaderValue::from_str(id).unwrap_or(HeaderValue::from_static("unknown"));
    // No two requests have the same: it only pushes other headers out of HPACK's table (RFC 7541, section 7.1.3).
    value.set_sensitive(true);
    value
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
/// Characters of what a client calls itself that are looked at for what is kept.
const USER_AGENT: usize = 1_024;
/// Two years, the length that preload lists ask for (RFC 6797, section 6.1).
const HSTS: &str = "max-age=63072000";
