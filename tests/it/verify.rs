//! Deciding about credentials: every decision there is, by all three RPCs that decide.

use std::time::Duration;

use gatepost::domain::environment::Environment;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn every_decision_is_reachable_and_the_three_rpcs_agree() {
    let server = TestServer::start().await;
    server.register(&["read:budgets"]).await;
    let new = json!({
        "name": "shop", "owner": "team:shop", "metadata": {"plan": "gold"}, "scopes": ["READ_BUDGETS", "read:products"],
    });
    let with = |member: &str, value: Value| {
        let mut request = new.clone();
        request[member] = value;
        request
    };
    let good = server.new_key(new.clone()).await;
    let expired = server.new_key(with("expiresAt", json!(server.later(Duration::from_secs(60))))).await;
    let at_home = server.new_key(with("allowedIps", json!(["10.0.0.0/8", "2001:db8::/32"]))).await;
    let revoked = server.new_key(new.clone()).await;
    let suspended = server.new_key(new.clone()).await;
    for (rpc, key) in [("Keys/DeleteKey", &revoked), ("Keys/SuspendKey", &suspended)] {
        server.call(Wire::Grpc, rpc, &server.live(), json!({"id": key.id})).await.ok();
    }
    let other = server.other_project("other", Environment::Live).await;
    let (publishable, test_publishable) =
        (server.pk(&[]).await, server.new_key_by(&server.test(), json!({"type": "PK", "name": "t"})).await);
    let unknown = Actor::stranger("rk", Environment::Live);
    server.advance(Duration::from_secs(60));

    let admin = server.live();
    let cases = [
        ("VALID", json!({"credential": good.secret}), Some(&good)),
        ("VALID", json!({"credential": good.secret, "scopes": ["READ_PRODUCTS", "read:budgets"]}), Some(&good)),
        ("VALID", json!({"credential": admin.secret, "scopes": ["read:anything"]}), Some(&admin)),
        ("VALID", json!({"credential": at_home.secret, "clientIp": "::ffff:10.1.2.3"}), Some(&at_home)),
        ("VALID", json!({"credential": at_home.secret, "clientIp": "2001:db8::1"}), Some(&at_home)),
        ("VALID", json!({"credential": good.secret, "publishableKey": publishable.secret}), Some(&good)),
        ("MISSING_CREDENTIAL", json!({}), None),
        ("MALFORMED", json!({"credential": "junk"}), None),
        ("MALFORMED", json!({"credential": format!("Bearer {}", good.secret)}), None),
        ("MALFORMED", json!({"credential": format!("{}x", good.secret)}), None),
        ("MALFORMED", json!({"credential": "x".repeat(8 * 1024 + 1)}), None),
        ("NOT_FOUND", json!({"credential": unknown.secret}), None),
        ("NOT_FOUND", json!({"credential": other.secret}), None),
        ("REVOKED", json!({"credential": revoked.secret}), Some(&revoked)),
        ("EXPIRED", json!({"credential": expired.secret}), Some(&expired)),
        ("SUSPENDED", json!({"credential": suspended.secret}), Some(&suspended)),
        ("IP_DENIED", json!({"credential": at_home.secret, "clientIp": "11.0.0.1"}), Some(&at_home)),
        ("IP_DENIED", json!({"credential": at_home.secret}), Some(&at_home)),
        ("ENV_MISMATCH", json!({"credential": server.test().secret}), Some(&server.test())),
        (
            "ENV_MISMATCH",
            json!({"credential": good.secret, "publishableKey": test_publishable.secret}),
            Some(&test_publishable),
        ),
        (
            "NOT_FOUND",
            json!({"credential": good.secret, "publishableKey": Actor::stranger("pk", Environment::Live).secret}),
            None,
        ),
        ("INSUFFICIENT_SCOPE", json!({"credential": good.secret, "scopes": ["WRITE_BUDGETS"]}), Some(&good)),
        ("INSUFFICIENT_SCOPE", json!({"credential": good.secret, "scopes": ["read:budgets", "admin"]}), Some(&good)),
        // The order of the checks: what is wrong with the key comes before what is wrong with the question.
        ("REVOKED", json!({"credential": revoked.secret, "scopes": ["WRITE_BUDGETS"]}), Some(&revoked)),
        ("IP_DENIED", json!({"credential": at_home.secret, "scopes": ["WRITE_BUDGETS"]}), Some(&at_home)),
    ];
    for wire in Wire::ALL {
        let questions: Vec<_> = cases.iter().map(|(_, question, _)| question.clone()).collect();
        let batch = server.call(wire, "Auth/BatchVerify", &admin, json!({"requests": questions})).await.ok();
        for (index, (code, question, key)) in cases.iter().enumerate() {
            let answer = server.call(wire, "Auth/Verify", &admin, question.clone()).await.ok();
            assert_eq!(answer["code"], *code, "{question}: {answer}");
            assert_eq!(answer["valid"], *code == "VALID", "{answer}");
            assert_eq!(answer["keyId"], key.map_or(Value::Null, |key| json!(key.id)), "{answer}");
            assert_eq!(answer["message"] == "", *code == "VALID", "{answer}");
            let answer = timeless(&answer);
            assert_eq!(timeless(&batch["results"][index]), answer, "the batch answers as the single question does");
            let explained = server.call(wire, "Auth/ExplainVerify", &admin, question.clone()).await.ok();
            assert_eq!(timeless(&explained["decision"]), answer, "the explanation is of the same decision");
            check_explanation(code, &explained);
        }
    }
    let told = server.call(Wire::Json, "Auth/Verify", &admin, json!({"credential": good.secret})).await.ok();
    for (field, wanted) in [
        ("keyType", json!("SK")),
        ("project", json!("default")),
        ("environment", json!("LIVE")),
        ("name", json!("shop")),
        ("owner", json!("team:shop")),
        ("metadata", json!({"plan": "gold"})),
        ("scopes", json!(["read:budgets", "read:products"])),
        ("expiresAt", Value::Null),
    ] {
        assert_eq!(told[field], wanted, "{field}");
    }
    let missing = json!({"credential": good.secret, "scopes": ["read:budgets", "WRITE_BUDGETS"]});
    let missing = server.call(Wire::Json, "Auth/Verify", &admin, missing).await.ok();
    assert_eq!(missing["message"], "API key does not have required scope: WRITE_BUDGETS", "as the question spelt it");
}

/// The decision without the revision, which goes on meanwhile.
fn timeless(decision: &Value) -> Value {
    let mut decision = decision.clone();
    decision["revision"] = Value::Null;
    decision
}

/// The explanation's failed checks explain the code.
fn check_explanation(code: &str, explained: &Value) {
    let checks = explained["checks"].as_array().expect("a list");
    let outcome = |name: &str| -> Vec<&str> {
        let named = checks.iter().filter(|check| check["name"] == name);
        named.filter_map(|check| check["outcome"].as_str()).collect()
    };
    let failed: Vec<_> =
        checks.iter().filter(|check| check["outcome"] == "FAILED").map(|check| &check["name"]).collect();
    let wanted = match code {
        "VALID" => return assert!(failed.is_empty(), "{explained}"),
        "MISSING_CREDENTIAL" | "MALFORMED" => "format",
        "NOT_FOUND" => "lookup",
        "REVOKED" | "SUSPENDED" => "status",
        "EXPIRED" => "expiry",
        "ENV_MISMATCH" => "environment",
        "IP_DENIED" => "client_ip",
        "INSUFFICIENT_SCOPE" => "scopes",
        other => panic!("no such code: {other}"),
    };
    assert_eq!(failed.first().and_then(|name| name.as_str()), Some(wanted), "{explained}");
    assert!(outcome(wanted).contains(&"FAILED"), "{explained}");
    assert!(
        checks.iter().all(|check| check["detail"].as_str().is_some_and(|detail| !detail.is_empty())),
        "{explained}"
    );
}

#[tokio::test]
async fn a_question_that_is_badly_put_is_an_error() {
    let server = TestServer::start().await;
    let bad = [
        (json!({"credential": "x", "clientIp": "10.0.0.0/8"}), "client_ip"),
        (json!({"credential": "x", "clientIp": ""}), "client_ip"),
        (json!({"credential": "x", "scopes": ["read"]}), "scopes[0]"),
        (json!({"credential": "x", "scopes": vec!["read:x"; 101]}), "scopes"),
        (json!({"credential": "x", "publishableKey": server.live().secret}), "publishable_key"),
    ];
    for wire in Wire::ALL {
        for (question, field) in &bad {
            for rpc in ["Auth/Verify", "Auth/ExplainVerify"] {
                server.call(wire, rpc, &server.live(), question.clone()).await.violates(&[field]);
            }
            let batch = json!({"requests": [{"credential": "x"}, question]});
            let answer = server.call(wire, "Auth/BatchVerify", &server.live(), batch).await;
            answer.refused("INVALID_FIELD");
            assert!(answer.violations[0].0.starts_with("requests[1]."), "{answer:?}");
        }
        let batch = async |n: usize| {
            let requests = json!({"requests": vec![json!({"credential": "x"}); n]});
            server.call(wire, "Auth/BatchVerify", &server.live(), requests).await
        };
        batch(0).await.violates(&["requests"]);
        batch(101).await.violates(&["requests"]);
        assert_eq!(batch(100).await.ok()["results"].as_array().map(Vec::len), Some(100));
    }
}

#[tokio::test]
async fn a_test_caller_asks_about_test_credentials() {
    let server = TestServer::start().await;
    let ask = async |actor: &Actor, about: &Actor| {
        let question = json!({"credential": about.secret});
        server.call(Wire::Json, "Auth/Verify", actor, question).await.ok()["code"].clone()
    };
    let (live, test) = (server.live(), server.test());
    assert_eq!(ask(&test, &test).await, "VALID");
    assert_eq!(ask(&test, &live).await, "ENV_MISMATCH");
    assert_eq!(ask(&live, &test).await, "ENV_MISMATCH");
}

#[tokio::test]
async fn a_decision_is_never_older_than_the_revision_it_names() {
    let server = TestServer::start().await;
    let key = server.key(&[]).await;
    let ask =
        async || server.call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": key.secret})).await.ok();
    let revision =
        |answer: &Value| answer["revision"].as_str().and_then(|text| text.parse::<u64>().ok()).expect("a revision");
    let before = revision(&ask().await);
    server.call(Wire::Grpc, "Keys/SuspendKey", &server.live(), json!({"id": key.id})).await.ok();
    let after = ask().await;
    assert_eq!(after["code"], "SUSPENDED");
    // The change is in the log by now: a watcher that begins at the first answer's revision is told of it.
    let request = json!({"fromRevision": before.to_string()});
    let told = server.call(Wire::Grpc, "Auth/WatchRevocations", &server.live(), request).await.ok();
    assert!(told["kind"] != "HEARTBEAT", "{told}");
    let newest = server.store().await.revision().await.expect("the store answers").0;
    assert!((before..=newest).contains(&revision(&after)), "no decision promises what is not in the log: {after}");
}

#[tokio::test]
async fn another_node_refuses_what_this_one_revoked() {
    let server = TestServer::start().await;
    let node = server.another_node().await;
    let key = server.key(&[]).await;
    node.call(Wire::Grpc, "Auth/WhoAmI", &key, json!({})).await.ok();
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
    let whoami = async || node.call(Wire::Grpc, "Auth/WhoAmI", &key, json!({})).await;
    soon("the other node refuses a revoked key", async || !whoami().await.reason.is_empty()).await;
    // A key that the other node does not know yet is no stranger to it.
    let new = server.key(&[]).await;
    node.call(Wire::Grpc, "Auth/WhoAmI", &new, json!({})).await.ok();
}

#[tokio::test]
async fn whoami_says_who_is_calling() {
    let server = TestServer::start().await;
    let end = server.later(Duration::from_secs(60));
    let new = json!({"type": "RK", "name": "me", "owner": "team:x", "scopes": ["READ_KEYS"], "expiresAt": end});
    let key = server.new_key(new).await;
    let publishable = server.pk(&["read:products"]).await;
    for wire in Wire::ALL {
        let who = server.call(wire, "Auth/WhoAmI", &key, json!({})).await.ok();
        let wanted = json!({
            "keyId": key.id, "keyType": "RK", "name": "me", "project": "default", "environment": "LIVE",
            "owner": "team:x", "scopes": ["read:keys"], "expiresAt": end,
        });
        assert_eq!(who, wanted);
        let who = server.call(wire, "Auth/WhoAmI", &publishable, json!({})).await.ok();
        assert_eq!((&who["keyType"], &who["scopes"]), (&json!("PK"), &json!(["read:products"])));
    }
}
