//! Honey keys: nobody who presents one learns that it is one, and its project is told.

use std::time::Duration;

use gatepost::domain::environment::Environment;
use serde_json::{Value, json};

use super::{listed, told};
use crate::support::{Actor, Answer, Wire};
use crate::usage::prompt;

/// All of an answer but what differs from one request to the next.
fn timeless(answer: Answer) -> (u16, tonic::Code, String, String, Vec<(String, String)>, Value) {
    let Answer { http, code, reason, message, headers, mut document, .. } = answer;
    let changing = ["x-request-id", "date", "grpc-status-details-bin"];
    let mut told: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !changing.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    told.sort();
    for field in ["requestId", "instance", "revision"] {
        if document[field].is_string() {
            document[field] = Value::Null;
        }
    }
    // The trace of a problem, in whichever member it stands.
    (http, code, reason, message, told, document)
}

#[tokio::test]
async fn a_honey_key_is_answered_as_one_that_nobody_knows() {
    let server = prompt().start().await;
    let honey = server.new_key(json!({"name": "canary", "honey": true, "scopes": ["admin"]})).await;
    let public = server.new_key(json!({"type": "PK", "name": "canary", "honey": true, "scopes": []})).await;
    let shop = server.pk(&["read:products"]).await;
    // It was a key like any other, somebody used it, and it is remembered.
    let turned = server.key(&["admin"]).await;
    server.call(Wire::Grpc, "Keys/ListKeys", &turned, json!({})).await.ok();
    let change = json!({"key": {"id": turned.id, "honey": true}, "updateMask": "honey"});
    server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), change).await.ok();
    for wire in Wire::ALL {
        for honey in [&honey, &turned, &public] {
            let kind = if honey.id == public.id { "pk" } else { "sk" };
            let stranger = Actor::stranger(kind, Environment::Live);
            for rpc in ["Keys/ListKeys", "Auth/WhoAmI", "Products/ListProducts"] {
                // Twice: unknown keys are remembered too.
                for _ in 0..2 {
                    let answer = timeless(server.call(wire, rpc, honey, json!({})).await);
                    assert_eq!(answer.2, "NOT_FOUND", "{wire:?} {rpc}");
                    assert_eq!(answer, timeless(server.call(wire, rpc, &stranger, json!({})).await), "{wire:?} {rpc}");
                }
            }
            if kind == "sk" {
                let both = [honey, &stranger].map(|actor| actor.clone().beside(&shop));
                let [one, other] = [&both[0], &both[1]];
                let answer = timeless(server.call(wire, "Products/ListProducts", one, json!({})).await);
                let wanted = timeless(server.call(wire, "Products/ListProducts", other, json!({})).await);
                assert_eq!((answer.2.as_str(), &answer), ("NOT_FOUND", &wanted));
            }
            let ask = |actor: &Actor| json!({"credential": actor.secret, "scopes": ["read:keys"]});
            let decide = async |actor: &Actor| server.call(wire, "Auth/Verify", &server.live(), ask(actor)).await.ok();
            let told = |mut decision: Value| {
                decision["revision"] = Value::Null;
                decision
            };
            let decision = told(decide(honey).await);
            assert_eq!((&decision["code"], &decision["keyId"]), (&json!("NOT_FOUND"), &Value::Null));
            assert_eq!(decision, told(decide(&stranger).await));
            let batch = json!({"requests": [ask(honey), ask(&stranger)]});
            let batch = server.call(wire, "Auth/BatchVerify", &server.live(), batch).await.ok();
            assert_eq!(told(batch["results"][0].clone()), told(batch["results"][1].clone()));
            // Whoever governs the project may know.
            let explained = server.call(wire, "Auth/ExplainVerify", &server.live(), ask(honey)).await.ok();
            assert!(explained["checks"].to_string().contains("honey key"), "{explained}");
        }
    }
    for honey in [&honey, &turned, &public] {
        let alert = told(&server, &server.live(), "honey_key", honey).await;
        assert_eq!((&alert["severity"], &alert["clientIp"]), (&json!("CRITICAL"), &json!("127.0.0.1")), "{alert}");
        assert!(alert["message"].as_str().expect("a text").contains("honey key"), "{alert}");
    }
    // Nothing else is told of them, whatever else they look like.
    let all = listed(&server, &server.live(), json!({})).await;
    assert!(all.iter().all(|alert| alert["kind"] == "honey_key"), "{all:?}");
}

#[tokio::test]
async fn a_honey_key_says_who_touched_it_and_a_flood_is_one_alert() {
    let server = prompt().start().await;
    let honey = server.new_key(json!({"name": "canary", "honey": true, "owner": "ann"})).await;
    let thief = honey.clone().with("user-agent", "thief/1");
    for _ in 0..50 {
        server.call(Wire::Json, "Keys/ListKeys", &thief, json!({})).await.refused("NOT_FOUND");
    }
    let count = async |wanted: &str| {
        let alert = told(&server, &server.live(), "honey_key", &honey).await;
        (alert["calls"] == wanted).then_some(alert)
    };
    crate::nodes::soon("that all calls are in it", async || count("50").await.is_some()).await;
    let alert = count("50").await.expect("it was there");
    assert_eq!((&alert["userAgent"], &alert["method"]), (&json!("thief/1"), &json!("Keys/ListKeys")), "{alert}");
    assert_eq!((&alert["owner"], &alert["credentialId"]), (&json!("ann"), &json!(honey.id)), "{alert}");
    // After the cooldown it is told anew.
    server.advance(Duration::from_secs(3_601));
    server.call(Wire::Json, "Keys/ListKeys", &thief, json!({})).await.refused("NOT_FOUND");
    let asked = json!({"kind": "honey_key"});
    let all = async || listed(&server, &server.live(), asked.clone()).await.len();
    crate::nodes::soon("that it is told again", async || all().await == 2).await;
    // It is in the audit log that it was made one.
    let audited = json!({"target": honey.id});
    let audited = server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), audited).await.ok();
    assert!(audited["data"][0]["after"].as_str().expect("it was made").contains("\"honey\":true"), "{audited}");
}
