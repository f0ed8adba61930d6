//! Each rule with the calls or the time that raise it, what comes just below, and that it is told once.

use std::time::Duration;

use serde_json::{Value, json};

use super::{listed, told};
use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};
use crate::usage::prompt;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Changes a rule.
async fn set(server: &TestServer, kind: &str, mut rule: Value) {
    let mask: Vec<_> = rule.as_object().expect("an object").keys().cloned().collect();
    rule["kind"] = json!(kind);
    let request = json!({"rule": rule, "updateMask": mask.join(",")});
    server.call(Wire::Grpc, "Keys/UpdateAlertRule", &server.live(), request).await.ok();
}

/// Calls so often, and waits until it is counted.
async fn calls(server: &TestServer, actor: &Actor, rpc: &str, number: usize) {
    let counted = async || {
        let asked = json!({"keyId": actor.id});
        let told = server.call(Wire::Grpc, "Keys/GetUsage", &server.live(), asked).await.ok();
        told["total"].as_str().and_then(|text| text.parse::<usize>().ok()).expect("a number")
    };
    let before = counted().await;
    for _ in 0..number {
        server.call(Wire::Grpc, rpc, actor, json!({})).await;
    }
    soon("that they are counted", async || counted().await == before + number).await;
}

/// What was told about a key, by kind. All that is counted was held against the rules.
async fn kinds(server: &TestServer, key: &Actor) -> Vec<String> {
    let all = listed(server, &server.live(), json!({"credentialId": key.id})).await;
    all.iter().map(|alert| alert["kind"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn many_refusals_are_told_once() {
    let server = prompt().start().await;
    set(&server, "many_refusals", json!({"threshold": "10", "window": "120s"})).await;
    let (key, calm) = (server.key(&[]).await, server.key(&[]).await);
    calls(&server, &calm, "Keys/ListKeys", 9).await;
    for _ in 0..3 {
        calls(&server, &key, "Keys/ListKeys", 10).await;
    }
    let alert = told(&server, &server.live(), "many_refusals", &key).await;
    assert_eq!((&alert["threshold"], &alert["calls"]), (&json!("10"), &json!("30")), "{alert}");
    assert!(alert["message"].as_str().expect("a text").contains("INSUFFICIENT_SCOPE"), "{alert}");
    assert_eq!(kinds(&server, &calm).await, Vec::<String>::new());
    // Nor are they many when they are far apart.
    server.advance(Duration::from_secs(180));
    calls(&server, &calm, "Keys/ListKeys", 9).await;
    assert_eq!(kinds(&server, &calm).await, Vec::<String>::new());

    // What nobody knows is told to whoever asked about it.
    let asked = async |n: usize| {
        for _ in 0..n {
            let stranger = Actor::stranger("sk", gatepost::domain::environment::Environment::Live);
            server.call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": stranger.secret})).await.ok();
        }
    };
    asked(30).await;
    let unknown = async || {
        let all = listed(&server, &server.live(), json!({"kind": "many_refusals"})).await;
        all.into_iter().find(|alert| alert["credentialId"].is_null())
    };
    soon("that guesses are told", async || unknown().await.is_some()).await;
    assert_eq!(listed(&server, &server.test(), json!({})).await, Vec::<Value>::new(), "not to the other environment");
}

#[tokio::test]
async fn a_new_network_is_told_and_the_first_one_is_not() {
    let server = prompt().behind_proxies(1).start().await;
    let from = |actor: &Actor, address: &str| {
        actor.clone().with("x-forwarded-proto", "https").with("x-forwarded-for", address)
    };
    let admin = from(&server.live(), "192.0.2.1");
    let key = server.new_key_by(&admin, json!({"name": "moving", "scopes": ["read:keys"]})).await;
    let public = server.new_key_by(&admin, json!({"type": "PK", "name": "shop", "scopes": ["read:products"]})).await;
    for address in ["198.51.100.1", "198.51.100.99", "203.0.113.5", "203.0.113.6"] {
        server.call(Wire::Grpc, "Keys/ListKeys", &from(&key, address), json!({"pageSize": 1})).await.ok();
        server.call(Wire::Grpc, "Products/ListProducts", &from(&public, address), json!({})).await.ok();
        // However they are put together, it is known which came first.
        server.advance(Duration::from_secs(1));
    }
    let alert = told(&server, &admin, "new_network", &key).await;
    assert!(alert["message"].as_str().expect("a text").contains("203.0.113.0/24"), "{alert}");
    // One or both of the calls from there were counted together.
    assert!(alert["clientIp"].as_str().expect("an address").starts_with("203.0.113."), "{alert}");
    // Another one within the hour is told by itself, and the first alert is as it was.
    server.call(Wire::Grpc, "Keys/ListKeys", &from(&key, "8.8.8.8"), json!({"pageSize": 1})).await.ok();
    let both = async || listed(&server, &admin, json!({"kind": "new_network", "credentialId": key.id})).await;
    soon("that the other network is told", async || both().await.len() == 2).await;
    let both = both().await;
    assert!(both[0]["message"].as_str().expect("a text").contains("8.8.8.0/24"), "{both:?}");
    assert_eq!((&both[0]["clientIp"], &both[0]["observed"]), (&json!("8.8.8.8"), &json!("3")));
    assert_eq!(both[1], alert);
    assert_eq!(listed(&server, &admin, json!({"credentialId": public.id})).await, Vec::<Value>::new());
}

#[tokio::test]
async fn refusals_hide_no_new_network() {
    let server = prompt().behind_proxies(1).start().await;
    let from = |actor: &Actor, address: &str| {
        actor.clone().with("x-forwarded-proto", "https").with("x-forwarded-for", address)
    };
    let admin = from(&server.live(), "192.0.2.1");
    let key = server.new_key_by(&admin, json!({"name": "taken", "scopes": ["read:products"]})).await;
    server.call(Wire::Grpc, "Products/ListProducts", &from(&key, "198.51.100.1"), json!({})).await.ok();
    server.advance(Duration::from_secs(60));
    for n in 1..=230 {
        let thief = from(&key, &format!("2001:db8::{n:x}"));
        server.call(Wire::Grpc, "Keys/ListKeys", &thief, json!({})).await.refused("INSUFFICIENT_SCOPE");
    }
    server.call(Wire::Grpc, "Products/ListProducts", &from(&key, "2001:db8::999"), json!({})).await.ok();
    let alert = told(&server, &admin, "new_network", &key).await;
    assert_eq!((&alert["clientIp"], &alert["method"]), (&json!("2001:db8::999"), &json!("Products/ListProducts")));
}

#[tokio::test]
async fn a_dormant_key_wakes() {
    let server = prompt().start().await;
    let (key, used) = (server.key(&[]).await, server.key(&[]).await);
    for key in [&key, &used] {
        calls(&server, key, "Auth/WhoAmI", 1).await;
    }
    server.advance(29 * DAY);
    calls(&server, &used, "Auth/WhoAmI", 1).await;
    server.advance(DAY);
    for key in [&key, &used] {
        calls(&server, key, "Auth/WhoAmI", 2).await;
    }
    let alert = told(&server, &server.live(), "dormant_key", &key).await;
    assert_eq!((&alert["observed"], &alert["threshold"]), (&json!("30"), &json!("30")), "{alert}");
    assert_eq!(kinds(&server, &used).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_end_is_told_once_and_another_end_again() {
    let server = prompt().start().await;
    let key = server.new_key(json!({"name": "ends", "expiresAt": server.later(15 * DAY)})).await;
    let honey = json!({"name": "canary", "honey": true, "expiresAt": server.later(15 * DAY)});
    let short = json!({"name": "for a while", "expiresAt": server.later(10 * DAY)});
    let (honey, short) = (server.new_key(honey).await, server.new_key(short).await);
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new());
    server.advance(DAY);
    told(&server, &server.live(), "key_expiring", &key).await;
    server.advance(DAY);
    tokio::time::sleep(Duration::from_millis(400)).await;
    told(&server, &server.live(), "key_expiring", &key).await;
    let change = json!({"key": {"id": key.id, "expiresAt": server.later(13 * DAY - HOUR)}, "updateMask": "expiresAt"});
    server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), change).await.ok();
    soon("that another end is told", async || kinds(&server, &key).await.len() == 2).await;
    // Nobody plans for the end of a honey key, and one that was made to end soon is told of when little of its life is left.
    assert_eq!(kinds(&server, &short).await, Vec::<String>::new());
    server.advance(7 * DAY + HOUR);
    told(&server, &server.live(), "key_expiring", &short).await;
    assert_eq!(kinds(&server, &honey).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_old_secret_is_told_near_its_end_alone() {
    let server = prompt().start().await;
    let key = server.key(&[]).await;
    let rotated = json!({"id": key.id, "gracePeriod": "1000s"});
    let rotated = server.call(Wire::Grpc, "Keys/RotateKey", &server.live(), rotated).await.ok();
    let new = Actor::made(rotated["secret"].as_str().expect("a text"), &key.id);
    calls(&server, &key, "Auth/WhoAmI", 1).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new());
    server.advance(Duration::from_secs(750));
    calls(&server, &new, "Auth/WhoAmI", 1).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new(), "the new one");
    calls(&server, &key, "Auth/WhoAmI", 3).await;
    let alert = told(&server, &server.live(), "old_secret_used", &key).await;
    assert_eq!((&alert["observed"], &alert["threshold"]), (&json!("25"), &json!("25")), "{alert}");
}

#[tokio::test]
async fn a_quota_is_told_once_until_it_is_refilled() {
    let server = prompt().start().await;
    let key =
        server.new_key(json!({"name": "k", "credits": {"remaining": "50", "refill": "DAILY", "amount": "50"}})).await;
    calls(&server, &key, "Auth/WhoAmI", 44).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new());
    calls(&server, &key, "Auth/WhoAmI", 1).await;
    told(&server, &server.live(), "quota_nearly_spent", &key).await;
    calls(&server, &key, "Auth/WhoAmI", 3).await;
    told(&server, &server.live(), "quota_nearly_spent", &key).await;
    server.advance(DAY);
    calls(&server, &key, "Auth/WhoAmI", 46).await;
    soon("that the next day is told", async || kinds(&server, &key).await.len() == 2).await;
}

#[tokio::test]
async fn a_jump_of_the_rate_is_told() {
    let server = prompt().start().await;
    set(&server, "rate_jump", json!({"minCalls": "20", "threshold": "5"})).await;
    let key = server.key(&[]).await;
    calls(&server, &key, "Auth/WhoAmI", 30).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new(), "nothing is known of it");
    server.advance(Duration::from_secs(61 * 60));
    calls(&server, &key, "Auth/WhoAmI", 1).await;
    server.advance(Duration::from_secs(60));
    calls(&server, &key, "Auth/WhoAmI", 19).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new(), "below the floor");
    server.advance(Duration::from_secs(60));
    calls(&server, &key, "Auth/WhoAmI", 60).await;
    let alert = told(&server, &server.live(), "rate_jump", &key).await;
    assert_eq!(alert["severity"], "WARNING", "{alert}");
}

#[tokio::test]
async fn what_was_told_is_not_told_again_after_a_restart_nor_by_another_node() {
    let server = prompt().start().await;
    set(&server, "many_refusals", json!({"threshold": "10", "window": "60s"})).await;
    let key = server.key(&[]).await;
    calls(&server, &key, "Keys/ListKeys", 10).await;
    told(&server, &server.live(), "many_refusals", &key).await;
    let next = server.another_node_with(prompt()).await;
    server.stop().await;
    calls(&next, &key, "Keys/ListKeys", 10).await;
    let alert = told(&next, &next.live(), "many_refusals", &key).await;
    assert_eq!(alert["calls"], "20", "{alert}");
}

#[tokio::test]
async fn a_leak_is_told_in_its_transaction() {
    let server = TestServer::start().await;
    let [live, _] = server.project("shop").await;
    let change = json!({"project": {"id": "shop", "leakPolicy": "ALERT"}, "updateMask": "leakPolicy"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &live, change).await.ok();
    let key = server.new_key_by(&live, json!({"name": "found"})).await;
    server.call(Wire::Grpc, "Keys/ReportLeak", &live, json!({"credential": key.secret})).await.ok();
    let alert = told(&server, &live, "leaked_credential", &key).await;
    assert!(alert["message"].as_str().expect("a text").contains("it still works"), "{alert}");
    assert_eq!(listed(&server, &server.live(), json!({})).await, Vec::<Value>::new(), "another project is not told");
}

#[tokio::test]
async fn a_rule_that_is_off_is_silent_in_its_project_alone() {
    let server = prompt().start().await;
    set(&server, "many_refusals", json!({"enabled": false})).await;
    let [other, _] = server.project("shop").await;
    let (key, theirs) = (server.key(&[]).await, server.new_key_by(&other, json!({"name": "k"})).await);
    for _ in 0..110 {
        server.call(Wire::Grpc, "Keys/ListKeys", &key, json!({})).await.refused("INSUFFICIENT_SCOPE");
        server.call(Wire::Grpc, "Keys/ListKeys", &theirs, json!({})).await.refused("INSUFFICIENT_SCOPE");
    }
    told(&server, &other, "many_refusals", &theirs).await;
    assert_eq!(kinds(&server, &key).await, Vec::<String>::new());
}
