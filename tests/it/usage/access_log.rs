//! The access log: filters, pages, and that no flood fills it.

use std::sync::Arc;
use std::time::Duration;

use gatepost::domain::environment::Environment;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{number, prompt};
use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

/// The same caller behind a proxy that says where it is from.
fn from(actor: &Actor, address: &str) -> Actor {
    actor.clone().with("x-forwarded-proto", "https").with("x-forwarded-for", address)
}

async fn log(server: &TestServer, request: Value) -> Vec<Value> {
    let admin = from(&server.live(), "192.0.2.1");
    let listed = server.call(Wire::Grpc, "Keys/ListAccessLog", &admin, request).await.ok();
    listed["data"].as_array().cloned().unwrap_or_default()
}

fn calls(entries: &[Value]) -> u64 {
    entries.iter().map(|entry| number(&entry["calls"])).sum()
}

#[tokio::test]
async fn an_entry_says_who_what_when_and_from_where() {
    let server = prompt().behind_proxies(1).start().await;
    let admin = from(&server.live(), "192.0.2.1");
    let key = server.new_key_by(&admin, json!({"name": "k", "scopes": ["read:keys"]})).await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let minute = server.later(Duration::ZERO);
        server.advance(Duration::from_secs(20));
        let caller = from(&key, &format!("198.51.100.{n}")).with("user-agent", "shop/1");
        for _ in 0..3 {
            server.call(wire, "Keys/ListKeys", &caller, json!({"pageSize": 1})).await.ok();
            server.call(wire, "Users/ListUsers", &caller, json!({})).await.refused("INSUFFICIENT_SCOPE");
        }
        let asked = json!({"credential": key.secret, "clientIp": "2001:db8::7"});
        server.call(wire, "Auth/Verify", &admin, asked).await.ok();
        let last = server.later(Duration::ZERO);
        let request = json!({"keyId": key.id, "startTime": minute});
        soon("that all are there", async || calls(&log(&server, request.clone()).await) == 7).await;
        server.advance(Duration::from_secs(40));
        let address = format!("198.51.100.{n}");
        for (method, outcome, address, calls) in [
            ("Keys/ListKeys", "VALID", &*address, "3"),
            ("Users/ListUsers", "INSUFFICIENT_SCOPE", &*address, "3"),
            ("verification", "VALID", "2001:db8::7", "1"),
        ] {
            let request = json!({"keyId": key.id, "startTime": minute, "method": method});
            let listed = server.call(wire, "Keys/ListAccessLog", &admin, request).await.ok();
            let mut entry = listed["data"][0].clone();
            assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
            let agent = entry.as_object_mut().expect("an object").remove("userAgent");
            assert_eq!(agent.is_some(), method != "verification");
            let wanted = json!({
                "minute": minute, "keyId": key.id, "method": method, "outcome": outcome, "address": address,
                "calls": calls, "lastAt": last,
            });
            assert_eq!(entry, wanted);
        }
        let by_path = server.get(&format!("/v1/keys/{}/access-log?address=198.51.100.{n}", key.id), &admin).await;
        assert_eq!(by_path.expect(200, "").json()["data"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn no_secret_in_a_user_agent_is_kept() {
    let server = prompt().start().await;
    let key = server.key(&["read:keys"]).await;
    let stranger = Actor::stranger("sk", Environment::Live);
    for (caller, status) in [(&key, 200), (&stranger, 401)] {
        let agent = format!("curl {}", caller.secret);
        assert_eq!(server.get("/v1/auth/whoami", &caller.clone().with("user-agent", &agent)).await.status, status);
    }
    let kept = async |request: Value| log(&server, request).await.first().map(|entry| entry["userAgent"].clone());
    for (request, secret) in
        [(json!({"keyId": key.id}), &key.secret), (json!({"unknown": true, "outcome": "NOT_FOUND"}), &stranger.secret)]
    {
        soon("that it is there", async || kept(request.clone()).await.is_some()).await;
        let kept = kept(request).await.unwrap_or_default();
        let kept = kept.as_str().unwrap_or_default();
        assert!(kept.starts_with("curl sk_live_") && kept.contains("...") && !kept.contains(secret.as_str()), "{kept}");
    }
    let told = server.call(Wire::Grpc, "Keys/GetKey", &server.live(), json!({"id": key.id})).await.ok();
    let kept = told["key"]["lastUsedUserAgent"].as_str().unwrap_or_default();
    assert!(kept.contains("...") && !kept.contains(key.secret.as_str()), "{kept}");
}

#[tokio::test]
async fn pages_hold_every_entry_once() {
    let server = prompt().behind_proxies(1).start().await;
    let admin = from(&server.live(), "192.0.2.1");
    let key = server.new_key_by(&admin, json!({"name": "k"})).await;
    for n in 0..23 {
        server.call(Wire::Grpc, "Auth/WhoAmI", &from(&key, &format!("10.0.{}.1", n % 6)), json!({})).await.ok();
        server.advance(Duration::from_secs(20));
    }
    let request = json!({"keyId": key.id, "pageSize": 100});
    soon("that all are there", async || calls(&log(&server, request.clone()).await) == 23).await;
    let whole = log(&server, request).await;
    assert_eq!(whole.len(), 23);
    for wire in Wire::ALL {
        let (mut seen, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut request = json!({"keyId": key.id, "pageSize": 5});
            if !token.is_null() {
                request["pageToken"] = token;
            }
            let page = server.call(wire, "Keys/ListAccessLog", &admin, request).await.ok();
            seen.extend(page["data"].as_array().expect("a list").clone());
            token = page.get("nextPageToken").cloned().unwrap_or_default();
            if token.as_str().is_none_or(str::is_empty) {
                break;
            }
        }
        assert_eq!(seen, whole);
        let second = json!({"keyId": key.id, "limit": 20, "page": 2});
        let second = server.call(wire, "Keys/ListAccessLog", &admin, second).await.ok();
        assert_eq!((second["data"].as_array().map(Vec::len), &second["pagination"]["total"]), (Some(3), &json!(23)));
        let other = json!({"pageSize": 5, "pageToken": "bm9uc2Vuc2U"});
        server.call(wire, "Keys/ListAccessLog", &admin, other).await.violates(&["page_token"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_unknown_keys_and_addresses_leaves_a_bounded_log() {
    let server = Arc::new(prompt().behind_proxies(1).start().await);
    let admin = from(&server.live(), "192.0.2.1");
    let shop = server.new_key_by(&admin, json!({"type": "PK", "name": "shop", "scopes": ["read:products"]})).await;
    let mut flood = JoinSet::new();
    for attacker in 0..ATTACKERS {
        let (server, shop) = (Arc::clone(&server), shop.clone());
        flood.spawn(async move {
            for n in 0..EACH {
                let address = format!("2001:db8:{attacker:x}:{n:x}::1");
                let stranger = from(&Actor::stranger("sk", Environment::Live), &address);
                assert_eq!(server.get("/v1/keys", &stranger).await.status, 401);
                assert_eq!(server.get("/products", &from(&shop, &address)).await.status, 200);
                let asked = json!({"credential": stranger.secret, "clientIp": address});
                let admin = from(&server.live(), "192.0.2.1");
                server.call(Wire::Grpc, "Auth/Verify", &admin, asked).await.ok();
            }
        });
    }
    while let Some(done) = flood.join_next().await {
        done.expect("every call is answered");
    }
    // Those at the door, those that a service asked about, and those with a public key: every call is there, in few rows.
    for (request, most) in [
        (json!({"unknown": true, "outcome": "NOT_FOUND"}), 101),
        (json!({"outcome": "NOT_FOUND"}), 101),
        (json!({"keyId": shop.id, "outcome": "VALID"}), 204),
    ] {
        let mut request = request;
        request["pageSize"] = json!(1_000);
        soon("that all are there", async || calls(&log(&server, request.clone()).await) == u64::from(ATTACKERS * EACH))
            .await;
        let entries = log(&server, request.clone()).await;
        assert!(entries.len() <= most, "{request}: {} entries", entries.len());
        let untold = entries.iter().filter(|entry| entry["address"].is_null()).map(|entry| number(&entry["calls"]));
        assert!(untold.sum::<u64>() >= 300, "{request}");
        assert!(entries.len() > 50, "{request}: where it came from can be seen");
    }
    // What belongs to no project is told to nobody in one.
    let elsewhere = from(&server.other_project("elsewhere", Environment::Live).await, "192.0.2.1");
    server
        .call(Wire::Grpc, "Keys/ListAccessLog", &elsewhere, json!({"unknown": true}))
        .await
        .refused("CALLER_NOT_ALLOWED");
}

/// Where the flood comes from, and how many addresses each of them has: many times what the log tells apart.
const ATTACKERS: u32 = 4;
const EACH: u32 = 150;
