//! The reserved test keys: what Verify says of them, what the door says to them, and that they open nothing.

use gatepost::domain::environment::Environment;
use gatepost::domain::test_keys::{TEST_KEYS, TestKey};
use http::Method;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::command::Gatepost;
use crate::support::http::Reply;
use crate::support::{Actor, TestServer, Wire};
use crate::usage::prompt;

fn named(code: &str) -> &'static TestKey {
    TEST_KEYS.iter().find(|key| key.reason.wording().name == code).unwrap_or_else(|| panic!("no test key {code}"))
}

/// The decision without what differs from one question to the next.
fn timeless(mut decision: Value) -> Value {
    decision["revision"] = Value::Null;
    // Credits come back at midnight.
    if decision["code"] == "QUOTA_EXHAUSTED" {
        assert!(decision["retryAfter"].is_string(), "{decision}");
        decision["retryAfter"] = Value::Null;
    }
    decision
}

#[tokio::test]
async fn every_decision_that_was_promised_has_a_key() {
    for code in [
        "EXPIRED",
        "REVOKED",
        "SUSPENDED",
        "RATE_LIMITED",
        "IP_DENIED",
        "QUOTA_EXHAUSTED",
        "INSUFFICIENT_SCOPE",
        "ENV_MISMATCH",
        "NOT_FOUND",
    ] {
        named(code);
    }
}

#[tokio::test]
async fn test_callers_get_the_decision_and_live_callers_know_none_of_them() {
    let server = TestServer::start().await;
    let other = server.other_project("shop", Environment::Test).await;
    let other_live = server.other_project("shop", Environment::Live).await;
    let in_test = [(server.test(), "default"), (other, "shop")];
    let in_live = [server.live(), other_live];
    for key in &TEST_KEYS {
        let code = key.reason.wording().name;
        // Whatever else is asked changes nothing.
        let questions = [
            json!({"credential": key.secret}),
            json!({"credential": key.secret, "scopes": ["READ_PRODUCTS"], "clientIp": "192.0.2.1"}),
        ];
        for wire in Wire::ALL {
            for (caller, project) in &in_test {
                let batch = server.call(wire, "Auth/BatchVerify", caller, json!({"requests": questions})).await.ok();
                for (place, question) in questions.iter().enumerate() {
                    let told = server.call(wire, "Auth/Verify", caller, question.clone()).await.ok();
                    let told = timeless(told);
                    assert_eq!((&told["valid"], &told["code"]), (&json!(false), &json!(code)), "{told}");
                    assert_ne!(told["message"], "", "{told}");
                    let left = (&told["rateLimits"][0]["remaining"], &told["remainingCredits"], &told["retryAfter"]);
                    match code {
                        "RATE_LIMITED" => assert_eq!(left, (&json!(0), &Value::Null, &json!("30s")), "{told}"),
                        "QUOTA_EXHAUSTED" => assert_eq!(left, (&Value::Null, &json!("0"), &Value::Null), "{told}"),
                        _ => assert_eq!(left, (&Value::Null, &Value::Null, &Value::Null), "{told}"),
                    }
                    assert_eq!(timeless(batch["results"][place].clone()), told);
                    let explained = server.call(wire, "Auth/ExplainVerify", caller, question.clone()).await.ok();
                    assert_eq!(timeless(explained["decision"].clone()), told);
                    let checks = explained["checks"].as_array().unwrap();
                    let last = checks.last().unwrap();
                    assert_eq!(last["outcome"], "FAILED", "{explained}");
                    assert!(last["detail"].as_str().unwrap().contains("reserved test key"), "{explained}");
                    if code == "NOT_FOUND" {
                        assert_eq!((&told["keyId"], &told["project"]), (&Value::Null, &Value::Null), "{told}");
                        continue;
                    }
                    assert_eq!((&told["keyId"], &told["project"]), (&json!(key.id), &json!(project)), "{told}");
                    assert_eq!((&told["keyType"], &told["name"]), (&json!("SK"), &json!(format!("Test key {code}"))));
                    let environment = if code == "ENV_MISMATCH" { "LIVE" } else { "TEST" };
                    assert_eq!((&told["environment"], &told["metadata"]), (&json!(environment), &json!({})), "{told}");
                    assert_eq!(told["scopes"], json!([]), "{told}");
                    assert_eq!(told["expiresAt"].is_string(), code == "EXPIRED", "{told}");
                }
            }
            for caller in &in_live {
                let told = server.call(wire, "Auth/Verify", caller, questions[1].clone()).await.ok();
                let stranger = json!({"credential": Actor::stranger("sk", Environment::Test).secret});
                let stranger = server.call(wire, "Auth/Verify", caller, stranger).await.ok();
                assert_eq!(timeless(told), timeless(stranger), "as if it were unknown");
            }
        }
    }
    let missing = |scopes: Value| json!({"credential": named("INSUFFICIENT_SCOPE").secret, "scopes": scopes});
    for (scopes, scope) in [(json!(["READ_PRODUCTS", "read:keys"]), "READ_PRODUCTS"), (json!([]), "admin")] {
        let told = server.call(Wire::Json, "Auth/Verify", &server.test(), missing(scopes)).await.ok();
        assert_eq!(told["message"], format!("API key does not have required scope: {scope}"));
    }
}

#[tokio::test]
async fn the_door_refuses_as_it_would_a_key_of_that_fate() {
    let server = TestServer::start().await;
    let get = async |code: &str, path: &str| -> Reply { server.get(path, &Actor::bearer(named(code).secret)).await };
    for (code, status, told, words) in [
        ("EXPIRED", 401, "NOT_FOUND", "Invalid or missing API key"),
        ("REVOKED", 401, "NOT_FOUND", "Invalid or missing API key"),
        ("NOT_FOUND", 401, "NOT_FOUND", "Invalid or missing API key"),
        ("SUSPENDED", 403, "SUSPENDED", "The key is suspended"),
        ("IP_DENIED", 403, "IP_DENIED", "The key may not be used from this address"),
        ("ENV_MISMATCH", 403, "ENV_MISMATCH", "The key belongs to the other environment (live or test)"),
        ("INSUFFICIENT_SCOPE", 403, "INSUFFICIENT_SCOPE", "API key does not have required scope: READ_PRODUCTS"),
        ("RATE_LIMITED", 429, "RATE_LIMITED", "Rate limit exceeded. Try again in 30 seconds"),
    ] {
        let reply = get(code, "/v1/api/public/products").await.expect(status, told);
        assert_eq!(reply.json()["message"], words, "{reply:?}");
        assert_eq!(reply.header("retry-after"), if status == 429 { "30" } else { "" }, "{reply:?}");
        assert_eq!(reply.header("ratelimit"), if status == 429 { "\"test\";r=0;t=30" } else { "" }, "{reply:?}");
    }
    // There are new credits at midnight.
    let reply = get("QUOTA_EXHAUSTED", "/v1/api/public/products").await.expect(429, "QUOTA_EXHAUSTED");
    let wait = reply.header("retry-after");
    assert_eq!(reply.json()["message"], format!("Quota exhausted. Try again in {wait} seconds"), "{reply:?}");
    assert_eq!(reply.header("ratelimit-policy"), "\"credits\";q=100;w=86400", "{reply:?}");
    assert_eq!((reply.header("x-ratelimit-reset"), reply.header("x-ratelimit-remaining")), (wait, "0"), "{reply:?}");
    // Where no scope is needed, none could be missing; the key says one all the same.
    let reply = get("INSUFFICIENT_SCOPE", "/v1/auth/whoami").await.expect(403, "INSUFFICIENT_SCOPE");
    assert!(reply.header("www-authenticate").ends_with("scope=\"admin\""), "{reply:?}");
    for wire in [Wire::Grpc, Wire::GrpcWeb, Wire::GrpcWebText] {
        let limited = Actor::bearer(named("RATE_LIMITED").secret);
        let answer = server.call(wire, "Auth/WhoAmI", &limited, json!({})).await;
        assert_eq!(answer.code, tonic::Code::ResourceExhausted, "{answer:?}");
    }
}

#[tokio::test]
async fn they_are_refused_beside_other_credentials_and_at_the_other_door() {
    let server = TestServer::start().await;
    let live = server.pk(&["read:products"]).await;
    let test = server.new_key_by(&server.test(), json!({"type": "PK", "name": "t", "scopes": ["read:products"]})).await;
    let ended = server.new_key_by(&server.test(), json!({"type": "PK", "name": "e"})).await;
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.test(), json!({"id": ended.id})).await.ok();
    let suspended = Actor::bearer(named("SUSPENDED").secret);
    for wire in Wire::ALL {
        for (beside, reason) in [(&test, "SUSPENDED"), (&live, "NOT_FOUND"), (&ended, "NOT_FOUND")] {
            let both = suspended.clone().beside(beside);
            server.call(wire, "Products/ListProducts", &both, json!({})).await.refused(reason);
        }
    }
    // As the key that names the project, beside a token.
    let beside = Actor::bearer("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln").beside(&suspended);
    server.call(Wire::Grpc, "Auth/WhoAmI", &beside, json!({})).await.refused("SUSPENDED");
    for key in &TEST_KEYS {
        let reply = server.get("/oauth/userinfo", &Actor::bearer(key.secret)).await;
        assert_eq!(reply.status, key.reason.wording().http, "{reply:?}");
        let asked = server.request(Method::POST, "/oauth/introspect", &server.test());
        let asked = server.send(asked.form(&[("token", key.secret)])).await;
        assert_eq!(asked.json(), json!({"active": false}), "{asked:?}");
    }
}

/// The store is asked nothing: it answers as before when the table of secrets is gone.
#[tokio::test]
async fn nothing_is_looked_up_for_them() {
    let server = TestServer::start().await;
    let ask = async |wire| {
        let question = json!({"credential": named("REVOKED").secret});
        server.call(wire, "Auth/Verify", &server.test(), question).await.ok()["code"].clone()
    };
    assert_eq!(ask(Wire::Grpc).await, "REVOKED");
    server.execute_sql("ALTER TABLE key_secrets RENAME TO key_secrets_away").await;
    for wire in Wire::ALL {
        assert_eq!(ask(wire).await, "REVOKED");
    }
    // More than any address may ask for that nobody knows.
    for _ in 0..500 {
        let answer = server.call(Wire::Grpc, "Auth/WhoAmI", &Actor::bearer(named("NOT_FOUND").secret), json!({})).await;
        answer.refused("NOT_FOUND");
    }
    server.execute_sql("ALTER TABLE key_secrets_away RENAME TO key_secrets").await;
}

#[tokio::test]
async fn they_are_counted_as_what_nobody_knows() {
    let server = prompt().start().await;
    let test = server.test();
    let question = json!({"credential": named("SUSPENDED").secret});
    for _ in 0..3 {
        server.call(Wire::Grpc, "Auth/Verify", &test, question.clone()).await.ok();
    }
    let questions = json!({"requests": [question, question]});
    server.call(Wire::Grpc, "Auth/BatchVerify", &test, questions).await.ok();
    let log = async || {
        let log = json!({"outcome": "SUSPENDED"});
        server.call(Wire::Grpc, "Keys/ListAccessLog", &test, log).await.ok()["data"].clone()
    };
    let calls = |log: &Value| {
        let entries = log.as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| entry["calls"].as_str()?.parse::<u64>().ok()).sum::<u64>()
    };
    soon("that all are counted", async || calls(&log().await) == 5).await;
    let log = log().await;
    assert_eq!(log.as_array().map(Vec::len), Some(1), "{log}");
    assert_eq!((&log[0]["keyId"], &log[0]["method"]), (&Value::Null, &Value::Null), "{log}");
    let usage = server.call(Wire::Grpc, "Keys/GetUsage", &test, json!({"groupBy": ["KEY"]})).await.ok();
    assert!(!usage.to_string().contains(named("SUSPENDED").id), "{usage}");
}

#[tokio::test]
async fn the_command_line_lists_them() {
    let table = Gatepost::new("test-keys").run().await.ok();
    let json = Gatepost::new("test-keys --json").run().await.json();
    assert_eq!((table.lines().count(), json["data"].as_array().unwrap().len()), (TEST_KEYS.len(), TEST_KEYS.len()));
    for (key, told) in TEST_KEYS.iter().zip(json["data"].as_array().unwrap()) {
        let code = key.reason.wording().name;
        assert!(table.lines().any(|line| line.starts_with(code) && line.ends_with(key.secret)), "{table}");
        assert_eq!((&told["code"], &told["credential"]), (&json!(code), &json!(key.secret)));
    }
}
