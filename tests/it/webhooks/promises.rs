//! One promise, one webhook and one secret: `Idempotency-Key`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::text;
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn the_same_request_is_done_once() {
    let server = TestServer::start().await;
    let new = json!({"webhook": {"url": "https://hooks.example/a", "events": ["*"]}});
    let promise = server.live().with("idempotency-key", "order-66");
    let made = server.call(Wire::Grpc, "Keys/CreateWebhook", &promise, new.clone()).await.ok();
    Actor::made(text(&made["secret"]), "");
    let id = made["webhook"]["id"].clone();
    for wire in Wire::ALL {
        let call = async |rpc: &str, by: &Actor, request: &Value| server.call(wire, rpc, by, request.clone()).await;
        // The secret of the answer, and the webhook as it is now.
        let again = call("Keys/CreateWebhook", &promise, &new).await.ok();
        assert_eq!((&again["webhook"]["id"], &again["secret"]), (&id, &made["secret"]), "{wire:?}");
        let other = json!({"webhook": {"url": "https://hooks.example/b", "events": ["*"]}});
        call("Keys/CreateWebhook", &promise, &other).await.refused("IDEMPOTENCY_KEY_REUSED");
        let rotate = json!({"id": id});
        call("Keys/RotateWebhookSecret", &promise, &rotate).await.refused("IDEMPOTENCY_KEY_REUSED");
        let longest = "x".repeat(256);
        let bad = server.live().with("idempotency-key", &longest);
        for (rpc, request) in [("Keys/CreateWebhook", &new), ("Keys/RotateWebhookSecret", &rotate)] {
            let answer = call(rpc, &bad, request).await;
            answer.refused("INVALID_FIELD");
            assert_eq!(answer.violations[0].0, "Idempotency-Key");
        }

        // The etag of a request that comes again is that from before it was answered.
        let etag = call("Keys/GetWebhook", &server.live(), &json!({"id": id})).await.ok()["webhook"]["etag"].clone();
        let rotate = json!({"id": id, "gracePeriod": "60s", "etag": etag});
        let promise = server.live().with("idempotency-key", &format!("rotate-{wire:?}"));
        let first = call("Keys/RotateWebhookSecret", &promise, &rotate).await.ok();
        Actor::made(text(&first["secret"]), "");
        assert_eq!(call("Keys/RotateWebhookSecret", &promise, &rotate).await.ok(), first);
        assert_eq!(call("Keys/RotateWebhookSecret", &promise, &rotate).await.ok(), first);
        call("Keys/RotateWebhookSecret", &server.live(), &rotate).await.refused("ETAG_MISMATCH");
        let late = server.live().with("idempotency-key", &format!("late-{wire:?}"));
        call("Keys/RotateWebhookSecret", &late, &rotate).await.refused("ETAG_MISMATCH");
        // Once there is a newer one, the secret is not told as the webhook's, though it signs beside it.
        let newer =
            call("Keys/RotateWebhookSecret", &server.live(), &json!({"id": id, "gracePeriod": "60s"})).await.ok();
        Actor::made(text(&newer["secret"]), "");
        let answer = call("Keys/RotateWebhookSecret", &promise, &rotate).await;
        answer.refused("IDEMPOTENCY_KEY_REUSED");
        assert!(answer.message.contains("was replaced since"), "{answer:?}");
        let read = call("Keys/GetWebhook", &server.live(), &json!({"id": id})).await.ok()["webhook"].clone();
        assert_eq!(read["etag"], newer["webhook"]["etag"], "nothing was done");
    }
    let listed = server.call(Wire::Json, "Keys/ListWebhooks", &server.live(), json!({})).await.ok();
    assert_eq!(listed["data"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn of_those_that_race_all_get_the_one_webhook() {
    let server = TestServer::start().await;
    let new = json!({"webhook": {"url": "https://hooks.example/a", "events": ["*"]}});
    for round in 0..5 {
        let promise = server.live().with("idempotency-key", &format!("race-{round}"));
        let calls = (0..8).map(|n| server.call(Wire::ALL[n % 4], "Keys/CreateWebhook", &promise, new.clone()));
        let answers: Vec<Value> = join_all(calls).await.into_iter().map(|answer| answer.ok()).collect();
        Actor::made(text(&answers[0]["secret"]), "");
        assert!(answers.iter().all(|answer| *answer == answers[0]), "round {round}");
    }
    let listed = server.call(Wire::Json, "Keys/ListWebhooks", &server.live(), json!({})).await.ok();
    assert_eq!(listed["data"].as_array().expect("a list").len(), 5);
}
