//! Whole calls, over HTTP, to a service that records what it is asked.

mod answers;
mod problems;
mod requests;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tonic::body::Body;

use super::services::{Marker, Recorder, bytes};
use crate::edge::{Call, Edge, Resolution};
use crate::proto::descriptor_pool;
use crate::proto::v1::GetKeyResponse;

fn edge() -> Edge {
    Edge::new(descriptor_pool(), 2048).unwrap()
}

/// A request with a JSON body; `method path` as a client would write it.
fn request(line: &str, body: &str) -> Request<Full<Bytes>> {
    let (method, uri) = line.split_once(' ').unwrap();
    Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/json")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

async fn call<B: http_body::Body<Data = Bytes>>(service: &Recorder, request: Request<B>) -> Response<Body> {
    let edge = edge();
    let Resolution::Found(matched) = edge.resolve(request.method(), request.uri().path()) else {
        panic!("no route for {}", request.uri())
    };
    let (parts, body) = request.into_parts();
    let call = Call { uri: &parts.uri, headers: &parts.headers, context: Marker(9), request_id: "req_1" };
    edge.call(matched, call, body, service).await
}

/// What a service is asked.
async fn asked<M: prost::Message + Default>(line: &str, body: &str) -> M {
    let service = Recorder::answering(&GetKeyResponse::default());
    let response = call(&service, request(line, body)).await;
    let status = response.status();
    assert_eq!(status, 200, "{line} {body}: {:?}", String::from_utf8(bytes(response).await));
    service.asked()
}

/// The status and problem that a client gets, from a call that no service sees.
async fn refused<B: http_body::Body<Data = Bytes>>(request: Request<B>) -> (u16, Value) {
    let service = Recorder::default();
    let response = call(&service, request).await;
    assert!(!service.was_called());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status().as_u16();
    let problem: Value = serde_json::from_slice(&bytes(response).await).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["requestId"], "req_1");
    (status, problem)
}
