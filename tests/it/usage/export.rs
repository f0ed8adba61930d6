//! The access log as a stream.

use std::sync::Arc;
use std::time::Duration;

use gatepost::domain::environment::Environment;
use gatepost::domain::id::{KeyId, ProjectId};
use gatepost::domain::usage::{Grain, Subject, Tally};
use gatepost::proto::v1::ExportAccessLogRequest;
use gatepost::proto::v1::keys_client::KeysClient;
use http::Method;
use serde_json::{Value, json};
use tonic::{Code, Request};

use crate::support::{Actor, TestServer, Wire};

/// So many entries of one key, from as many addresses, put there as a node writes them.
async fn fill(server: &TestServer, key: &Actor, entries: u32) {
    let subject = Subject {
        place: Some((ProjectId::default_project(), Environment::Live)),
        key: KeyId::parse(&key.id),
        ..Subject::default()
    };
    let subject = Arc::new(subject);
    let all: Vec<_> = (0..entries)
        .map(|n| Tally {
            subject: Arc::clone(&subject),
            method: "Keys/GetKey",
            outcome: None,
            minute: Grain::Minute.start(server.now()),
            address: Some(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()),
            scopes: Arc::default(),
            calls: u64::from(n) + 1,
            last_at: server.now(),
            user_agent: None,
        })
        .collect();
    for part in all.chunks(200) {
        server
            .store()
            .await
            .add_usage(part, &gatepost::domain::entropy::SystemEntropy)
            .await
            .expect("the store answers");
    }
    server.advance(Duration::from_secs(120));
}

fn request(actor: &Actor, message: ExportAccessLogRequest) -> Request<ExportAccessLogRequest> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", actor.secret).parse().expect("a value"));
    request
}

#[tokio::test]
async fn an_export_holds_the_whole_log_once() {
    let server = TestServer::start().await;
    let key = server.key(&["read:usage"]).await;
    fill(&server, &key, 1_234).await;
    let listed = async |token: Option<String>| {
        let request = json!({"keyId": key.id, "method": "Keys/GetKey", "pageSize": 1000, "pageToken": token});
        server.call(Wire::Grpc, "Keys/ListAccessLog", &key, request).await.ok()
    };
    let first = listed(None).await;
    let rest = listed(first["nextPageToken"].as_str().map(str::to_owned)).await;
    let entries = |page: &Value| page["data"].as_array().expect("a list").clone();
    let whole = [entries(&first), entries(&rest)].concat();
    assert_eq!(whole.len(), 1_234);

    let target = format!("/v1/access-log:export?method=Keys/GetKey&keyId={}", key.id);
    let lines = server.get(&target, &key).await.expect(200, "");
    assert_eq!(lines.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> =
        lines.text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines, whole);
    let array = server.request(Method::GET, &target, &key).header("accept", "application/json");
    assert_eq!(server.send(array).await.expect(200, "").json(), json!(whole));

    let mut client = KeysClient::new(server.clients().channel());
    let message = ExportAccessLogRequest { key_id: Some(key.id.clone()), ..ExportAccessLogRequest::default() };
    let mut stream = client.export_access_log(request(&key, message)).await.expect("it begins").into_inner();
    let (mut calls, mut exports) = (0, 0);
    while let Some(answer) = stream.message().await.expect("it goes on") {
        let entry = answer.entry.expect("an entry");
        match entry.method() {
            "Keys/GetKey" => calls += entry.calls,
            // What this node has counted by now is there, the export itself with it.
            "Keys/ExportAccessLog" => exports += entry.calls,
            other => assert_eq!(other, "Keys/ListAccessLog"),
        }
    }
    assert_eq!((calls, exports), (1_234 * 1_235 / 2, 3));

    for wire in Wire::ALL {
        let first = server.call(wire, "Keys/ExportAccessLog", &key, json!({"address": "10.0.0.7"})).await.ok();
        assert_eq!((&first["entry"]["address"], &first["entry"]["calls"]), (&json!("10.0.0.7"), &json!("8")));
        let none = server.call(wire, "Keys/ExportAccessLog", &key, json!({"address": "192.0.2.0/24"})).await.ok();
        assert_eq!(none["entry"]["minute"], Value::Null);
        let call = async |request: Value| server.call(wire, "Keys/ExportAccessLog", &key, request).await;
        call(json!({"address": "x"})).await.violates(&["address"]);
        call(json!({"unknown": true})).await.refused("CALLER_NOT_ALLOWED");
        call(json!({"keyId": format!("key_{:032}", 7)})).await.refused("RESOURCE_NOT_FOUND");
    }
}

#[tokio::test]
async fn an_export_ends_with_the_key_that_asked_for_it() {
    let server = TestServer::start().await;
    let key = server.key(&["read:usage"]).await;
    fill(&server, &key, 20_000).await;
    let mut client = KeysClient::new(server.clients().channel());
    let begun = client.export_access_log(request(&key, ExportAccessLogRequest::default())).await;
    let mut stream = begun.expect("it begins").into_inner();
    let mut seen = 0;
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => seen += 1,
            Ok(None) => panic!("it went on to its end"),
            Err(status) => break status,
        }
        if seen == 1 {
            server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    assert!(seen < 20_000, "{seen}");
}
