//! Server streams in each format.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use prost::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::{Code, Status};

use super::super::{Call, Edge, Resolution};
use super::services::{Marker, Recorder, bytes};
use crate::proto::descriptor_pool;
use crate::proto::v1::WatchRevocationsResponse;

type Item = Result<Vec<u8>, Status>;

fn message(revision: u64) -> Item {
    Ok(WatchRevocationsResponse { revision, ..Default::default() }.encode_to_vec())
}

fn line(revision: u64) -> String {
    format!(r#"{{"revision":"{revision}","kind":"KIND_UNSPECIFIED"}}"#)
}

async fn watch(accept: &str, items: ReceiverStream<Item>) -> Response<Body> {
    let edge = Arc::new(Edge::new(descriptor_pool(), 1024).unwrap());
    let request = Request::get("/v1/auth/revocations:watch").header("accept", accept);
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let Resolution::Found(matched) = edge.resolve(request.method(), request.uri().path()) else { panic!("no route") };
    let (parts, body) = request.into_parts();
    let call = Call { uri: &parts.uri, headers: &parts.headers, context: Marker(9), request_id: "req_1" };
    edge.call(matched, call, body, &Recorder::streaming(items.boxed())).await
}

async fn watch_all(accept: &str, items: Vec<Item>) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(items.len().max(1));
    for item in items {
        sender.send(item).await.unwrap();
    }
    drop(sender);
    watch(accept, ReceiverStream::new(receiver)).await
}

#[tokio::test]
async fn each_format_tells_every_message() {
    let (one, two) = (line(1), line(2));
    for (accept, content_type, expected) in [
        ("", "application/x-ndjson", format!("{one}\n{two}\n")),
        ("*/*", "application/x-ndjson", format!("{one}\n{two}\n")),
        ("application/jsonl", "application/x-ndjson", format!("{one}\n{two}\n")),
        ("text/html", "application/x-ndjson", format!("{one}\n{two}\n")),
        ("text/event-stream", "text/event-stream", format!("data: {one}\n\ndata: {two}\n\n")),
        ("application/json", "application/json", format!("[{one},{two}]")),
        ("text/event-stream;q=0.5, application/json;q=0.8, */*;q=0.1", "application/json", format!("[{one},{two}]")),
        ("Application/JSON; q=0, text/event-stream", "text/event-stream", format!("data: {one}\n\ndata: {two}\n\n")),
    ] {
        let response = watch_all(accept, vec![message(1), message(2)]).await;
        assert_eq!(response.headers()["content-type"], content_type, "{accept}");
        assert_eq!(String::from_utf8(bytes(response).await).unwrap(), expected, "{accept}");
    }
}

#[tokio::test]
async fn a_stream_may_be_empty() {
    for (accept, expected) in [("application/json", "[]"), ("*/*", ""), ("text/event-stream", "")] {
        assert_eq!(String::from_utf8(bytes(watch_all(accept, vec![]).await).await).unwrap(), expected);
    }
}

#[tokio::test]
async fn an_error_that_comes_first_is_the_calls_own() {
    for accept in ["application/json", "*/*", "text/event-stream"] {
        let response = watch_all(accept, vec![Err(Status::new(Code::OutOfRange, "too old"))]).await;
        assert_eq!(response.status().as_u16(), 400);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn an_error_that_comes_later_is_the_last_frame() {
    let items = || vec![message(1), Err(Status::new(Code::OutOfRange, "too old")), message(2)];
    let text = String::from_utf8(bytes(watch_all("*/*", items()).await).await).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, line(1).as_str()));
    let problem: Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((&problem["error"]["status"], &problem["error"]["requestId"]), (&json!(400), &json!("req_1")));

    let text = String::from_utf8(bytes(watch_all("text/event-stream", items()).await).await).unwrap();
    let (first, last) = text.split_once("\n\n").unwrap();
    assert_eq!(first, format!("data: {}", line(1)));
    assert!(last.starts_with("event: error\ndata: {\"error\":{\"type\":\"urn:gatepost:problem:"), "{last}");

    // An array that is cut short is no JSON: its reader knows.
    let mut body = watch_all("application/json", items()).await.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, format!("[{}", line(1)));
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_answer_begins_before_the_first_message() {
    let (sender, receiver) = mpsc::channel(1);
    let response = watch("text/event-stream", ReceiverStream::new(receiver)).await;
    assert_eq!(response.status().as_u16(), 200);
    let mut body = response.into_body();
    // Silence: a comment every fifteen seconds.
    let start = tokio::time::Instant::now();
    for count in 1..4 {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), ":\n\n");
        assert_eq!(start.elapsed().as_secs(), 15 * count);
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    sender.send(message(1)).await.unwrap();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(frame, format!("data: {}\n\n", line(1)));
    // A message is a sign of life too.
    let before = tokio::time::Instant::now();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), ":\n\n");
    assert_eq!(before.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn the_services_stream_ends_with_the_client() {
    let (sender, receiver) = mpsc::channel(1);
    let response = watch("*/*", ReceiverStream::new(receiver)).await;
    assert!(!sender.is_closed());
    drop(response);
    assert!(sender.is_closed());
}

#[tokio::test]
async fn messages_are_taken_one_at_a_time() {
    let (sender, receiver) = mpsc::channel(1);
    sender.send(message(1)).await.unwrap();
    let mut body = watch("*/*", ReceiverStream::new(receiver)).await.into_body();
    sender.try_send(message(2)).unwrap();
    // The first was taken before the answer began; nobody reads on, so that the second waits and a third has no room.
    tokio::task::yield_now().await;
    assert!(sender.try_send(message(3)).is_err());
    body.frame().await.unwrap().unwrap();
    assert!(sender.try_send(message(3)).is_err());
    body.frame().await.unwrap().unwrap();
    sender.try_send(message(3)).unwrap();
}
