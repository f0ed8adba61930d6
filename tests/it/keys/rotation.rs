//! A new secret, and how long the old one goes on working.

use std::time::Duration;

use serde_json::{Value, json};

use super::{decision, read};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn without_a_grace_period_the_old_secret_ends_at_once() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let key = server.key(&[]).await;
        assert_eq!(decision(&server, &key.secret).await, "VALID");
        let new = rotate(&server, wire, &key, json!({})).await;
        assert_eq!(decision(&server, &key.secret).await, "EXPIRED");
        assert_eq!(decision(&server, &new.secret).await, "VALID");
        assert_eq!(read(&server, &key.id).await["rotation"], Value::Null);
        assert!(read(&server, &key.id).await["hint"].as_str().is_some_and(|hint| hint.ends_with(&new.secret[53..])));
    }
}

#[tokio::test]
async fn both_secrets_work_in_the_grace_period() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let key = server.key(&[]).await;
        let new = rotate(&server, wire, &key, json!({"gracePeriod": "60s"})).await;
        let rotation = read(&server, &key.id).await["rotation"].clone();
        assert_eq!((&rotation["mode"], &rotation["gracePeriod"]), (&json!("IMMEDIATE"), &json!("60s")));
        assert_eq!(rotation["oldSecretExpiresAt"], server.later(Duration::from_secs(60)));
        server.advance(Duration::from_secs(59));
        assert_eq!(decision(&server, &key.secret).await, "VALID");
        let who = server.call(wire, "Auth/WhoAmI", &key, json!({})).await.ok();
        assert_eq!(who["expiresAt"], server.later(Duration::from_secs(1)), "the old secret's end, not the key's");
        server.advance(Duration::from_secs(1));
        assert_eq!(decision(&server, &key.secret).await, "EXPIRED");
        assert_eq!(decision(&server, &new.secret).await, "VALID");
        assert_eq!(read(&server, &key.id).await["rotation"], Value::Null);
    }
}

#[tokio::test]
async fn a_first_use_rotation_waits_for_the_new_secret() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let key = server.key(&[]).await;
        let new = rotate(&server, wire, &key, json!({"gracePeriod": "60s", "mode": "FIRST_USE"})).await;
        server.advance(Duration::from_secs(86_400));
        assert_eq!(decision(&server, &key.secret).await, "VALID", "the old secret starts nothing");
        let waiting = read(&server, &key.id).await["rotation"].clone();
        assert_eq!((&waiting["mode"], &waiting["oldSecretExpiresAt"]), (&json!("FIRST_USE"), &Value::Null));
        let asked = json!({"credential": new.secret});
        server.call(wire, "Auth/ExplainVerify", &server.live(), asked).await.ok();
        assert_eq!(read(&server, &key.id).await["rotation"], waiting, "explaining is no use");

        server.call(wire, "Auth/WhoAmI", &new, json!({})).await.ok();
        let ends = read(&server, &key.id).await["rotation"]["oldSecretExpiresAt"].clone();
        assert_eq!(ends, server.later(Duration::from_secs(60)));
        server.advance(Duration::from_secs(59));
        assert_eq!(decision(&server, &key.secret).await, "VALID");
        server.call(wire, "Auth/WhoAmI", &new, json!({})).await.ok();
        assert_eq!(read(&server, &key.id).await["rotation"]["oldSecretExpiresAt"], ends, "only the first use counts");
        server.advance(Duration::from_secs(1));
        assert_eq!(decision(&server, &key.secret).await, "EXPIRED");
        assert_eq!(decision(&server, &new.secret).await, "VALID");
    }
}

#[tokio::test]
async fn a_second_rotation_leaves_no_third_secret_working() {
    let server = TestServer::start().await;
    for mode in ["IMMEDIATE", "FIRST_USE"] {
        let key = server.key(&[]).await;
        let second = rotate(&server, Wire::Grpc, &key, json!({"gracePeriod": "60s", "mode": mode})).await;
        let third = rotate(&server, Wire::Grpc, &key, json!({"gracePeriod": "60s", "mode": mode})).await;
        assert_eq!(decision(&server, &second.secret).await, "VALID", "{mode}");
        assert_eq!(decision(&server, &third.secret).await, "VALID", "{mode}");
        let first = decision(&server, &key.secret).await;
        assert!(["EXPIRED", "NOT_FOUND"].contains(&first.as_str()), "{mode}: two secrets work at most, not {first}");
    }
}

#[tokio::test]
async fn a_suspended_or_revoked_key_has_no_secret_that_works() {
    let server = TestServer::start().await;
    let key = server.key(&[]).await;
    let new = rotate(&server, Wire::Grpc, &key, json!({"gracePeriod": "3600s"})).await;
    let id = json!({"id": key.id});
    for (rpc, code) in [("Keys/SuspendKey", "SUSPENDED"), ("Keys/ResumeKey", "VALID"), ("Keys/DeleteKey", "REVOKED")] {
        server.call(Wire::Grpc, rpc, &server.live(), id.clone()).await.ok();
        for secret in [&key.secret, &new.secret] {
            assert_eq!(decision(&server, secret).await, code, "{rpc}");
        }
    }
}

#[tokio::test]
async fn a_grace_period_is_at_most_thirty_days() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let key = server.key(&[]).await;
        for bad in ["2592001s", "-1s", "2592000.000000001s"] {
            let request = json!({"id": key.id, "gracePeriod": bad});
            server.call(wire, "Keys/RotateKey", &server.live(), request).await.violates(&["grace_period"]);
        }
        let request = json!({"id": key.id, "mode": 7});
        server.call(wire, "Keys/RotateKey", &server.live(), request).await.violates(&["mode"]);
        rotate(&server, wire, &key, json!({"gracePeriod": "2592000s"})).await;
        assert_eq!(decision(&server, &key.secret).await, "VALID");
    }
}

/// Rotates a key; the holder of the new secret.
async fn rotate(server: &TestServer, wire: Wire, key: &Actor, mut request: Value) -> Actor {
    request["id"] = json!(key.id);
    let rotated = server.call(wire, "Keys/RotateKey", &server.live(), request).await.ok();
    Actor::made(rotated["secret"].as_str().expect("a secret"), &key.id)
}
