//! The gRPC door: the generated services by path, reflection and health, and statuses in the form of each wire.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts as Head;
use http::{Method, Request, Response, Uri};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_reflection::server::Builder as Reflection;
use tonic_web::GrpcWebLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use super::request::Wire;
use super::unary::{self, Failure};
use crate::domain::error::Error;
use crate::domain::reason::Reason;
use crate::edge::problem;
use crate::proto::v1::auth_server::AuthServer;
use crate::proto::v1::keys_server::KeysServer;
use crate::proto::v1::products_server::ProductsServer;
use crate::proto::v1::users_server::UsersServer;
use crate::proto::{DESCRIPTORS, MethodId};
use crate::rpc::auth::AuthService;
use crate::rpc::keys::KeysService;
use crate::rpc::products::ProductsService;
use crate::rpc::request::Arrival;
use crate::rpc::users::UsersService;
use crate::rpc::{Rpcs, status};

/// The services that need no credential, and nothing else: what every gRPC client expects to find.
pub(super) const OPEN_SERVICES: [&str; 3] =
    ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// All gRPC services of the server.
#[derive(Clone)]
pub(super) struct Services(Arc<All>);

struct All {
    rpcs: Rpcs,
    max_message: usize,
    auth: AuthServer<AuthService>,
    keys: KeysServer<KeysService>,
    products: ProductsServer<ProductsService>,
    users: UsersServer<UsersService>,
    open: [Boxed; OPEN_SERVICES.len()],
}

type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

impl Services {
    /// The services over these implementations; messages larger than `max_message` bytes are refused.
    ///
    /// # Errors
    /// Those of reflection, when the descriptors cannot be decoded.
    pub(super) fn new<H>(rpcs: &Rpcs, health: H, max_message: usize) -> Result<Self, tonic_reflection::server::Error>
    where
        H: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let reflection = || {
            Reflection::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        Ok(Self(Arc::new(All {
            rpcs: rpcs.clone(),
            max_message,
            auth: AuthServer::from_arc(Arc::clone(&rpcs.0.auth)).max_decoding_message_size(max_message),
            keys: KeysServer::from_arc(Arc::clone(&rpcs.0.keys)).max_decoding_message_size(max_message),
            products: ProductsServer::from_arc(Arc::clone(&rpcs.0.products)).max_decoding_message_size(max_message),
            users: UsersServer::from_arc(Arc::clone(&rpcs.0.users)).max_decoding_message_size(max_message),
            open: [Boxed::new(health), Boxed::new(reflection().build_v1()?), Boxed::new(reflection().build_v1alpha()?)],
        })))
    }

    /// Whether a path belongs to a service that needs no credential.
    pub(super) fn is_open(path: &str) -> bool {
        OPEN_SERVICES.iter().any(|service| path.starts_with(service))
    }

    /// Answers a call of one of our RPCs that came on this wire and may be made.
    pub(super) async fn call(
        &self,
        wire: Wire,
        method: MethodId,
        arrival: Arrival,
        head: &mut Head,
        body: Incoming,
        request_id: &str,
    ) -> Response<Body> {
        if !unary::serves(wire, method, &head.headers) {
            head.extensions.insert(arrival);
            let uri = Uri::from_static(method.path());
            return Box::pin(self.stream(wire, uri, head, body, request_id)).await;
        }
        match unary::call(wire, method, arrival, head, body, &self.0.rpcs, self.0.max_message).await {
            Ok(response) => response,
            Err(Failure::Refused(error)) => refusal(wire, &error, request_id),
            Err(Failure::Answered(status)) => in_our_words(wire, on_wire(wire, status), request_id),
        }
    }

    /// Answers a call as tonic does, for which every call is a stream: of any service, and in base64 too.
    pub(super) async fn stream(
        &self,
        wire: Wire,
        uri: Uri,
        head: &mut Head,
        body: Incoming,
        request_id: &str,
    ) -> Response<Body> {
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = Method::POST;
        *request.version_mut() = head.version;
        *request.uri_mut() = uri;
        *request.headers_mut() = mem::take(&mut head.headers);
        *request.extensions_mut() = mem::take(&mut head.extensions);
        let answer = match wire {
            Wire::GrpcWeb | Wire::GrpcWebText => {
                let dispatch = Dispatch(self.clone());
                GrpcWebLayer::new().layer(dispatch).oneshot(request).await.unwrap_or_else(|never| match never {})
            }
            Wire::Grpc | Wire::Http => self.dispatch(request).await,
        };
        in_our_words(wire, answer, request_id)
    }

    async fn dispatch(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let answer = if path.starts_with("/gatepost.v1.Auth/") {
            self.0.auth.clone().call(request).await
        } else if path.starts_with("/gatepost.v1.Products/") {
            self.0.products.clone().call(request).await
        } else if path.starts_with("/gatepost.v1.Users/") {
            self.0.users.clone().call(request).await
        } else if path.starts_with("/gatepost.v1.Keys/") {
            self.0.keys.clone().call(request).await
        } else if let Some(open) = OPEN_SERVICES.iter().position(|service| path.starts_with(service)) {
            self.0.open[open].clone().oneshot(request).await
        } else {
            return Status::unimplemented("").into_http();
        };
        answer.unwrap_or_else(|never| match never {})
    }
}

/// [`Services`] as the inner service of the gRPC-Web layer.
#[derive(Clone)]
struct Dispatch(Services);

impl Service<Request<Body>> for Dispatch {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let services = self.0.clone();
        Box::pin(async move { Ok(services.dispatch(request).await) })
    }
}

/// A refusal or failure in the form of a gRPC wire: a status and no message ("Trailers-Only").
pub(super) fn refusal(wire: Wire, error: &Error, request_id: &str) -> Response<Body> {
    let status = status::of(error, request_id);
    let challenge = problem::challenge(&status);
    let mut response = on_wire(wire, status);
    if let Some(challenge) = challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn on_wire(wire: Wire, status: Status) -> Response<Body> {
    let mut response = status.into_http::<Body>();
    response.headers_mut().insert(CONTENT_TYPE, wire.answer_type());
    response
}

/// The transport's own statuses (a message that cannot be decoded, is too large, or asks for what is not there) told like
/// all others, with a reason and the request's id.
fn in_our_words(wire: Wire, answer: Response<Body>, request_id: &str) -> Response<Body> {
    let headers = answer.headers();
    let Some(code) = headers.get(GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes())) else { return answer };
    if code == Code::Ok || headers.contains_key(GRPC_DETAILS) {
        return answer;
    }
    let message = headers.get("grpc-message").map(HeaderValue::as_bytes).unwrap_or_default();
    let (reason, words) = match code {
        Code::Internal if message.starts_with(b"failed%20to%20decode") => (Reason::InvalidRequest, words::UNDECODABLE),
        Code::Internal if message.starts_with(b"Unexpected%20EOF") || message.starts_with(b"Missing%20request") => {
            (Reason::InvalidRequest, words::CUT)
        }
        Code::OutOfRange | Code::ResourceExhausted => (Reason::PayloadTooLarge, words::TOO_LARGE),
        Code::Unimplemented => (Reason::UnknownMethod, words::NOT_THERE),
        _ => return answer,
    };
    on_wire(wire, status::of(&Error::new(reason, words), request_id))
}

/// What callers are told of a request that is none.
pub(super) mod words {
    pub(in crate::server) const CUT: &str = "the request ends before its message does";
    pub(in crate::server) const NOT_THERE: &str = "there is no such RPC, or not with this compression";
    pub(in crate::server) const TOO_LARGE: &str = "the message is larger than the server takes";
    pub(in crate::server) const TOO_MANY: &str = "the request goes on after its message; this RPC takes one";
    pub(in crate::server) const UNDECODABLE: &str =
        "the message is not a valid protobuf message of this RPC's request type";
}

/// The status of a gRPC answer that is nothing but a status.
pub(super) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Its details.
pub(super) const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
