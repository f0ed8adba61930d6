//! The stream of changes: in order, without a gap, and in every form.

use std::time::{Duration, Instant};

use gatepost::domain::clock::Timestamp;
use gatepost::domain::environment::Environment;
use gatepost::proto::v1::auth_client::AuthClient;
use gatepost::proto::v1::watch_revocations_response::Kind;
use gatepost::proto::v1::{WatchRevocationsRequest, WatchRevocationsResponse};
use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::{Code, Request, Status, Streaming};

use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn changes_come_in_the_order_they_were_made() {
    let server = TestServer::start().await;
    let mut watch = watch(&server, &server.live(), None).await.expect("it begins");
    let start = next(&mut watch).await.expect("a sign of life");
    assert_eq!(start.kind(), Kind::Heartbeat, "the first says where the watch stands");

    let other = server.other_project("other", Environment::Live).await;
    let key = server.key(&[]).await;
    // Neither the other project's changes nor the other environment's are told.
    server.new_key_by(&other, json!({"name": "other"})).await;
    server.new_key_by(&server.test(), json!({"name": "test"})).await;
    let change = json!({"key": {"id": key.id, "name": "new"}, "updateMask": "name"});
    server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), change).await.ok();
    for rpc in ["Keys/RotateKey", "Keys/SuspendKey", "Keys/SuspendKey", "Keys/ResumeKey", "Keys/DeleteKey"] {
        server.call(Wire::Grpc, rpc, &server.live(), json!({"id": key.id})).await.ok();
    }
    let mut last = start.revision;
    for wanted in [Kind::Created, Kind::Updated, Kind::Rotated, Kind::Suspended, Kind::Resumed, Kind::Revoked] {
        let event = next(&mut watch).await.expect("a change");
        assert_eq!((event.kind(), event.key_id.as_deref()), (wanted, Some(key.id.as_str())));
        assert!(event.revision > last && event.occurred_at.is_some(), "{event:?} after {last}");
        last = event.revision;
    }
}

#[tokio::test]
async fn a_client_that_reconnects_misses_nothing_and_sees_nothing_twice() {
    let server = TestServer::start().await;
    let start = server.store().await.revision().await.expect("the store answers").0;
    let writers = async {
        let write = async |writer: usize| {
            for _ in 0..12 {
                let key = server.key(&[]).await;
                let rpc = ["Keys/SuspendKey", "Keys/DeleteKey", "Keys/RotateKey"][writer % 3];
                server.call(Wire::Grpc, rpc, &server.live(), json!({"id": key.id})).await.ok();
            }
        };
        futures_util::future::join_all((0..4).map(write)).await;
    };
    let reader = async {
        let (mut seen, mut from) = (Vec::new(), start);
        while seen.len() < 4 * 12 * 2 {
            let mut watch = watch(&server, &server.live(), Some(from)).await.expect("it begins");
            for _ in 0..5 {
                let event = next(&mut watch).await.expect("an event");
                from = event.revision;
                if event.kind() != Kind::Heartbeat {
                    seen.push((event.revision, event.kind, event.key_id));
                }
                if seen.len() == 4 * 12 * 2 {
                    break;
                }
            }
        }
        seen
    };
    let (seen, ()) = tokio::join!(reader, writers);
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "{seen:?}");
    // Once it is over, one watch from the beginning sees the same.
    let mut watch = watch(&server, &server.live(), Some(start)).await.expect("it begins");
    for one in seen {
        let event = next(&mut watch).await.expect("a change");
        assert_eq!((event.revision, event.kind, event.key_id), one);
    }
}

#[tokio::test]
async fn a_silent_watch_gives_signs_of_life() {
    let server = TestServer::start().await;
    let mut watch = watch(&server, &server.live(), None).await.expect("it begins");
    let began = Instant::now();
    let first = next(&mut watch).await.expect("at once");
    assert!(began.elapsed() < Duration::from_secs(5), "at once");
    let second = timeout(Duration::from_secs(13), watch.message()).await.expect("every ten seconds");
    let second = second.expect("it goes on").expect("it goes on");
    assert_eq!((first.kind(), second.kind()), (Kind::Heartbeat, Kind::Heartbeat));
    assert!(second.revision >= first.revision);
}

#[tokio::test]
async fn a_revision_that_is_no_longer_kept_is_told_so() {
    let server = TestServer::start().await;
    for _ in 0..3 {
        server.key(&[]).await;
    }
    let store = server.store().await;
    let newest = store.revision().await.expect("the store answers").0;
    store.prune_changes(Timestamp::from_micros(i64::MAX), 500).await.expect("the store answers");
    for wire in Wire::ALL {
        let from = async |revision: u64| {
            let request = json!({"fromRevision": revision.to_string()});
            server.call(wire, "Auth/WatchRevocations", &server.live(), request).await
        };
        let answer = from(newest - 1).await;
        answer.refused("REVISION_TOO_OLD");
        assert_eq!(answer.code, Code::OutOfRange, "{answer:?}");
        assert!(wire != Wire::Json || answer.http == 400, "{answer:?}");
        assert_eq!(from(newest).await.ok()["revision"], newest.to_string());
        from(newest + 1).await.violates(&["from_revision"]);
    }
}

#[tokio::test]
async fn a_watch_over_http_comes_in_the_form_the_client_accepts() {
    let server = TestServer::start().await;
    let start = server.store().await.revision().await.expect("the store answers").0;
    let key = server.key(&[]).await;
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
    let forms = [
        ("", "application/x-ndjson"),
        ("*/*", "application/x-ndjson"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("text/event-stream", "text/event-stream"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
    ];
    for (accept, form) in forms {
        let actor = if accept.is_empty() { server.live() } else { server.live().with("accept", accept) };
        let target = format!("/v1/auth/revocations:watch?fromRevision={start}");
        let request = server.request(Method::GET, &target, &actor);
        let mut response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], form, "{accept}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut text = String::new();
        while text.matches("\"revision\"").count() < 2 || !text.ends_with(['\n', '}']) {
            let chunk = timeout(Duration::from_secs(10), response.chunk()).await.expect("two changes are there");
            text += std::str::from_utf8(&chunk.expect("it goes on").expect("it goes on")).expect("text");
        }
        let events: Vec<Value> = match form {
            "application/json" => serde_json::from_str(&format!("{text}]")).expect("an array that goes on"),
            _ => {
                let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(':'));
                let data = lines.map(|line| line.strip_prefix("data: ").unwrap_or(line));
                data.map(|line| serde_json::from_str(line).expect("a line is one event")).collect()
            }
        };
        assert_eq!((&events[0]["kind"], &events[0]["keyId"]), (&json!("CREATED"), &json!(key.id)), "{text}");
        assert_eq!((&events[1]["kind"], &events[1]["keyId"]), (&json!("REVOKED"), &json!(key.id)), "{text}");
        assert_eq!(events[0].as_object().map(|event| event.len()), Some(4), "{text}");
    }
}

#[tokio::test]
async fn a_watch_ends_when_the_clients_time_is_over() {
    let server = TestServer::start().await;
    let mut request = Request::new(WatchRevocationsRequest::default());
    request.metadata_mut().insert("authorization", bearer(&server.live()));
    request.metadata_mut().insert("grpc-timeout", "300m".parse().expect("a value"));
    let mut watch =
        AuthClient::new(server.clients().channel()).watch_revocations(request).await.expect("it begins").into_inner();
    assert_eq!(next(&mut watch).await.expect("a sign of life").kind(), Kind::Heartbeat);
    let end = next(&mut watch).await.expect_err("its time is over");
    assert_eq!(end.code(), Code::DeadlineExceeded, "{end:?}");

    let actor = server.live().with("x-request-timeout", "0.3");
    let reply = server.get("/v1/auth/revocations:watch", &actor).await;
    let lines: Vec<Value> = reply.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines[0]["kind"], "HEARTBEAT", "{reply:?}");
    let error = &lines.last().expect("a last line")["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!("DEADLINE_EXCEEDED"), &json!(504)), "{reply:?}");
    assert_eq!(error["requestId"], reply.header("x-request-id"));
}

/// A watch is authorized when it begins. What changes about its key afterwards must not leave it running.
#[tokio::test]
async fn a_watch_does_not_outlive_its_key() {
    let server = TestServer::start().await;
    for rpc in ["Keys/DeleteKey", "Keys/SuspendKey", "Keys/RotateKey"] {
        let watcher = server.key(&["verify:credentials"]).await;
        let mut watch = watch(&server, &watcher, Some(0)).await.expect("it begins");
        server.call(Wire::Grpc, rpc, &server.live(), json!({"id": watcher.id})).await.ok();
        let end = loop {
            match next(&mut watch).await {
                Ok(_) => {}
                Err(status) => break status,
            }
        };
        assert_eq!(end.code(), Code::Unavailable, "the client comes again, and is refused at the door: {end:?}");
        server.call(Wire::Grpc, "Auth/WhoAmI", &watcher, json!({})).await.refused(match rpc {
            "Keys/SuspendKey" => "SUSPENDED",
            _ => "NOT_FOUND",
        });
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_watches() {
    let server = TestServer::start().await;
    let mut watch = watch(&server, &server.live(), None).await.expect("it begins");
    next(&mut watch).await.expect("a sign of life");
    let began = Instant::now();
    let (end, _) = tokio::join!(next(&mut watch), server.stop());
    assert_eq!(end.expect_err("the server stops").code(), Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(4), "the drain did not wait for the stream to end by itself");
}

async fn watch(
    server: &TestServer,
    actor: &Actor,
    from: Option<u64>,
) -> Result<Streaming<WatchRevocationsResponse>, Status> {
    let mut request = Request::new(WatchRevocationsRequest { from_revision: from });
    request.metadata_mut().insert("authorization", bearer(actor));
    Ok(AuthClient::new(server.clients().channel()).watch_revocations(request).await?.into_inner())
}

/// The next event; the end of the stream is an error here.
async fn next(watch: &mut Streaming<WatchRevocationsResponse>) -> Result<WatchRevocationsResponse, Status> {
    let event = timeout(Duration::from_secs(12), watch.message()).await.expect("an event within the longest silence");
    event?.ok_or_else(|| Status::ok("the stream has ended"))
}

fn bearer(actor: &Actor) -> tonic::metadata::MetadataValue<tonic::metadata::Ascii> {
    format!("Bearer {}", actor.secret).parse().expect("a value")
}
