//! HTTP/JSON for the same RPCs: the rules of `google.api.http` and the JSON mapping of protobuf, in process, without a second
//! check or a socket.
//!
//! # One call
//!
//! [`Edge::resolve`] finds the route of a method and path. The server then authorizes the route's RPC, with the headers
//! alone; only after that does [`Edge::call`] look at anything else the client sent:
//!
//! 1. `body` reads the body, up to the limit: JSON, or nothing.
//! 2. `json` turns it into protobuf bytes; `query` adds the parameters, and `route` what the path gives. A protobuf parser takes
//!    the last of a field given twice and merges messages, so appending is all that assembly takes, and the path wins.
//! 3. [`Dispatch`] decodes the message and calls the service's own function.
//! 4. The answer is encoded, and `json` turns the bytes into JSON; a stream goes through `stream`, message by message.
//!
//! Whatever is refused on the way is a `tonic::Status`, which [`problem`] writes as a problem document, with the names of
//! fields as the client knows them (`spelling`).
//!
//! # Tables
//!
//! At start, `tables` makes a table per message type out of the descriptors, and `router` a tree of the path templates. They
//! refuse what could not be served right: two rules for one path, a path variable that is no plain field, a message that
//! has no JSON form here. No value tree is made on the way, and no code is generated per message.
//!
//! # The mapping
//!
//! Out: lowerCamelCase names; every field that has no presence, so that clients see `"valid":false` and `"data":[]`; fields
//! with presence (`optional`, messages) only when they are set; 64-bit numbers as text; enums by name.
//!
//! In: both spellings of a name; enums by name in any case, or by number; whole numbers also as text or as `1e3`; `null` as
//! absence. An unknown field is an error that names it, except for `PUT`. So are a field given twice, in whatever
//! spellings, a parameter that the path does not take, and nesting past 64 levels.
//!
//! `PATCH` and `PUT` without an `updateMask` change the fields that the body names; see `json::mask` for what is left out.
//!
//! Form bodies (`application/x-www-form-urlencoded`) have no place yet, because no RPC takes one.
//!
//! # Documents
//!
//! [`openapi`] describes all of this from the same descriptors. A [`document`] is sent with an entity tag and in the coding
//! that the client likes best ([`compression`]); no answer of an RPC is ever compressed.

pub mod body;
pub mod compression;
pub mod cors;
pub mod document;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod json;
pub mod openapi;
mod percent;
pub mod problem;
mod query;
pub mod refusal;
mod route;
mod router;
pub mod rule;
mod spelling;
mod stream;
mod tables;
mod template;
#[cfg(test)]
mod tests;
mod transcoder;
mod wire;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use prost_reflect::DescriptorPool;
use tonic::body::Body;

pub use route::Route;
pub use router::Allow;
pub use transcoder::without_body;

use crate::proto::MethodId;
use crate::proto::dispatch::Dispatch;
use router::{Captures, Lookup, Router};
use rule::HttpRule;
use tables::Tables;
use template::Template;

/// All routes, and what it takes to serve them.
#[derive(Debug)]
pub struct Edge {
    tables: Arc<Tables>,
    routes: Vec<Route>,
    router: Router,
    max_body: usize,
}

/// What is at a path for a method.
#[derive(Clone, Copy, Debug)]
pub enum Resolution<'e> {
    /// A route.
    Found(Matched<'e>),
    /// OPTIONS of a path that has routes; answer with [`options`].
    Options(Allow),
    /// Routes, but not for this method: [`refusal::method_not_allowed`].
    MethodNotAllowed(Allow),
    /// Nothing: [`refusal::unknown_path`].
    NotFound,
}

/// A route that a request takes.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'e> {
    /// The route.
    pub route: &'e Route,
    captures: Captures,
}

/// A call, without its body.
#[derive(Debug)]
pub struct Call<'a, C> {
    /// Path and query.
    pub uri: &'a Uri,
    /// The headers. The service sees those on a list.
    pub headers: &'a HeaderMap,
    /// What the service is handed beside the message: who is calling.
    pub context: C,
    /// The request's id, which problem documents repeat.
    pub request_id: &'a str,
}

impl Edge {
    /// Makes all routes of the services in `pool` ready. Bodies may have up to `max_body` bytes.
    ///
    /// # Errors
    ///
    /// Two rules take the same requests, or one cannot be served as it is written.
    pub fn new(pool: &DescriptorPool, max_body: usize) -> Result<Self, String> {
        let mut tables = Tables::default();
        let mut routes: Vec<Route> = Vec::new();
        let mut router = Router::new();
        for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let id = MethodId::find(&path).ok_or_else(|| format!("{path} was not there when this was built"))?;
            for rule in HttpRule::of(&method)? {
                let template = Template::parse(&rule.template)?;
                let route = Route::new(&mut tables, &method, id, &rule, &template)?;
                router.add(rule.verb, &template, routes.len(), !route.streaming).map_err(|other| {
                    let (verb, template) = (rule.verb.as_str(), &rule.template);
                    format!("{verb} {template} takes the same paths as {}", routes[other].template)
                })?;
                routes.push(route);
            }
        }
        Ok(Self { tables: Arc::new(tables), routes, router, max_body })
    }

    /// The route of a method and a raw path. Allocates nothing.
    pub fn resolve(&self, method: &Method, path: &str) -> Resolution<'_> {
        match self.router.find(method, path) {
            Lookup::Found(index, captures) => Resolution::Found(Matched { route: &self.routes[index], captures }),
            Lookup::Other(allow) if method == Method::OPTIONS => Resolution::Options(allow),
            Lookup::Other(allow) => Resolution::MethodNotAllowed(allow),
            Lookup::Nothing => Resolution::NotFound,
        }
    }

    /// Calls the RPC of a route that [`resolve`](Self::resolve) found for this very call, which the caller has authorized.
    pub async fn call<B, C, D>(&self, matched: Matched<'_>, call: Call<'_, C>, body: B, services: &D) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        D: Dispatch<C>,
    {
        let (request_id, path) = (call.request_id, call.uri.path());
        match transcoder::call(&self.tables, matched, call, body, services, self.max_body).await {
            Ok(response) => response,
            Err(status) => problem::response(&status, request_id, path),
        }
    }

    /// All routes, in the order of the descriptors.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }
}

/// The answer to a plain OPTIONS: what the path takes.
pub fn options(allow: Allow) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    // The names of methods are visible ASCII.
    if let Ok(value) = http::HeaderValue::try_from(allow.to_string()) {
        response.headers_mut().insert(http::header::ALLOW, value);
    }
    response
}
