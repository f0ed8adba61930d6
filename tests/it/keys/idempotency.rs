//! One promise, one key: `Idempotency-Key`.

use std::time::Duration;

use serde_json::json;

use super::{act, read};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn the_same_request_gives_the_same_key() {
    let server = TestServer::start().await;
    let request = json!({"name": "once", "scopes": ["read:keys"], "metadata": {"b": "2", "a": "1"}});
    let promise = server.live().with("idempotency-key", "order-66");
    let first = server.call(Wire::Grpc, "Keys/CreateKey", &promise, request.clone()).await.ok();
    for wire in Wire::ALL {
        let again = server.call(wire, "Keys/CreateKey", &promise, request.clone()).await.ok();
        assert_eq!(again, first, "{wire:?}: whichever wire the repetition comes on, secret included");
        let other = json!({"name": "twice", "scopes": ["read:keys"]});
        server.call(wire, "Keys/CreateKey", &promise, other).await.refused("IDEMPOTENCY_KEY_REUSED");
    }
    server.advance(Duration::from_secs(24 * 3600 - 1));
    let again = server.call(Wire::Json, "Keys/CreateKey", &promise, request.clone()).await.ok();
    assert_eq!(again["key"]["id"], first["key"]["id"]);
    server.advance(Duration::from_secs(1));
    let new = server.call(Wire::Json, "Keys/CreateKey", &promise, request).await.ok();
    assert_ne!(new["key"]["id"], first["key"]["id"], "a promise is kept for 24 hours");
}

#[tokio::test]
async fn a_promise_is_the_callers_own() {
    let server = TestServer::start().await;
    let makers = [server.live(), server.test(), server.key(&["admin"]).await];
    let mut ids = Vec::new();
    for maker in makers {
        let promise = maker.with("idempotency-key", "the-same");
        ids.push(server.new_key_by(&promise, json!({"name": "mine"})).await.id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "nobody gets another's key, with its secret");
}

#[tokio::test]
async fn of_two_that_race_both_get_the_one_key() {
    let server = TestServer::start().await;
    for round in 0..10 {
        let promise = server.live().with("idempotency-key", &format!("race-{round}"));
        let request = json!({"name": format!("race {round}")});
        let calls = (0..8).map(|n| server.call(Wire::ALL[n % 4], "Keys/CreateKey", &promise, request.clone()));
        let mut answers = futures_util::future::join_all(calls).await.into_iter().map(|answer| answer.ok());
        let first = answers.next().expect("eight answers");
        assert!(answers.all(|answer| answer == first), "round {round}");
        let listed = json!({"pageSize": 1000});
        let listed = server.call(Wire::Grpc, "Keys/ListKeys", &server.live(), listed).await.ok();
        let of_this_round = |key: &&serde_json::Value| key["name"] == request["name"];
        assert_eq!(listed["data"].as_array().expect("a list").iter().filter(of_this_round).count(), 1);
    }
}

#[tokio::test]
async fn a_refused_request_keeps_no_promise() {
    let server = TestServer::start().await;
    let promise = server.live().with("idempotency-key", "try-again");
    let taken = server.new_key(json!({"name": "first", "alias": "shop"})).await;
    let request = json!({"name": "second", "alias": "shop"});
    for wire in Wire::ALL {
        server.call(wire, "Keys/CreateKey", &promise, request.clone()).await.refused("ALREADY_EXISTS");
    }
    act(&server, Wire::Grpc, "Keys/DeleteKey", &taken).await;
    let made = server.call(Wire::Grpc, "Keys/CreateKey", &promise, request).await.ok();
    // The key that is given again is the key as it is now.
    let made = Actor::made(made["secret"].as_str().expect("a secret"), made["key"]["id"].as_str().expect("an id"));
    act(&server, Wire::Grpc, "Keys/SuspendKey", &made).await;
    let request = json!({"name": "second", "alias": "shop"});
    let again = server.call(Wire::Json, "Keys/CreateKey", &promise, request).await.ok();
    assert_eq!(again["key"], read(&server, &made.id).await);
}

#[tokio::test]
async fn a_bad_promise_is_refused() {
    let server = TestServer::start().await;
    let (long, longest) = ("x".repeat(256), "x".repeat(255));
    for wire in Wire::ALL {
        for bad in ["a b", "", long.as_str()] {
            let promise = server.live().with("idempotency-key", bad);
            let answer = server.call(wire, "Keys/CreateKey", &promise, json!({"name": "x"})).await;
            answer.refused("INVALID_FIELD");
            assert_eq!(answer.violations[0].0, "Idempotency-Key", "{bad:?}: {answer:?}");
        }
        let twice = server.live().with("idempotency-key", "a").with("idempotency-key", "b");
        server.call(wire, "Keys/CreateKey", &twice, json!({"name": "x"})).await.refused("INVALID_FIELD");
        let promise = server.live().with("idempotency-key", &format!("{wire:?}{}", &longest[16..]));
        server.new_key_by(&promise, json!({"name": "x"})).await;
    }
}
