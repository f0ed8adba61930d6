//! What is counted, and how it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gatepost::domain::clock::Timestamp;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{ClientId, KeyId, ProjectId, UserId};
use gatepost::domain::reason::Reason;
use gatepost::domain::usage::{Grain, Subject, Tally};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{counted, number, prompt, usage};
use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_is_counted_once_however_many_come_together() {
    let server = Arc::new(prompt().start().await);
    let key = server.key(&["read:keys"]).await;
    let mut calling = JoinSet::new();
    for caller in 0..8 {
        for wire in Wire::ALL {
            let (server, key) = (Arc::clone(&server), key.clone());
            calling.spawn(async move {
                for n in 0..25 {
                    match (n + caller) % 5 {
                        0 => drop(server.call(wire, "Keys/ListKeys", &key, json!({"pageSize": 1})).await.ok()),
                        1 => server.call(wire, "Users/ListUsers", &key, json!({})).await.refused("INSUFFICIENT_SCOPE"),
                        2 => {
                            let asked = json!({"credential": key.secret, "scopes": ["read:keys"]});
                            server.call(wire, "Auth/Verify", &server.live(), asked).await.ok();
                        }
                        3 => {
                            let one = json!({"credential": key.secret, "scopes": ["write:keys"]});
                            let asked = json!({"requests": [one]});
                            server.call(wire, "Auth/BatchVerify", &server.live(), asked).await.ok();
                        }
                        _ => drop(server.call(wire, "Auth/WhoAmI", &key, json!({})).await.ok()),
                    }
                }
            });
        }
    }
    while let Some(done) = calling.join_next().await {
        done.expect("no call fails");
    }
    let each = 8 * 4 * 5;
    counted(&server, &key, 5 * each).await;
    let request = json!({"keyId": key.id, "groupBy": ["METHOD", "OUTCOME"]});
    let told = usage(&server, &server.live(), request).await;
    let rows: BTreeMap<_, _> = told["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (format!("{} {}", row["method"], row["outcome"]).replace('"', ""), number(&row["calls"])))
        .collect();
    let wanted = [
        "Auth/WhoAmI VALID",
        "Keys/ListKeys VALID",
        "Users/ListUsers INSUFFICIENT_SCOPE",
        "verification INSUFFICIENT_SCOPE",
        "verification VALID",
    ];
    assert_eq!(rows, wanted.map(|row| (row.to_owned(), each)).into());
    // An explanation is not a use.
    let asked = json!({"credential": key.secret});
    server.call(Wire::Grpc, "Auth/ExplainVerify", &server.live(), asked).await.ok();
    counted(&server, &key, 5 * each).await;
}

#[tokio::test]
async fn users_clients_and_publishable_keys_are_counted_as_what_they_are() {
    let server = prompt().start().await;
    let user = server.person(&server.live(), "ada", &["read:products"]).await;
    let ada = server.sign_in(&server.live(), "ada").await;
    let shop = server.pk(&["read:products"]).await;
    let bot = server.service_account(&["read:products"]).await;
    for actor in [&ada, &ada.clone().beside(&shop), &shop, &bot] {
        server.get("/products", actor).await.expect(200, "");
    }
    let ask = async |request: Value| {
        let told = usage(&server, &server.live(), request).await;
        (number(&told["total"]), told["data"].clone())
    };
    let rows = async || ask(json!({"method": "Products/ListProducts", "groupBy": ["USER", "KEY"]})).await;
    soon("that all calls are counted", async || rows().await.0 == 4).await;
    let (_, told) = rows().await;
    let mut seen: Vec<_> = told
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (row["userId"].as_str().unwrap_or_default(), row["keyId"].as_str().unwrap_or_default()))
        .collect();
    seen.sort_unstable();
    let bots = server.call(Wire::Grpc, "Keys/GetKey", &server.live(), json!({"id": bot.id})).await.ok();
    let bots_user = bots["key"]["user"].as_str().expect("it acts for one");
    let mut wanted = [(&*user, ""), (&*user, &*shop.id), ("", &*shop.id), (bots_user, &*bot.id)];
    wanted.sort_unstable();
    assert_eq!(seen, wanted);
    // The publishable key beside a token was used too.
    assert_eq!(ask(json!({"keyId": shop.id})).await.0, 2);
    assert_eq!(ask(json!({"userId": user})).await.0, 2);
}

/// Ten minutes of calls, put there as a node writes them.
async fn told_beforehand(server: &TestServer) -> (Vec<String>, String, String) {
    let now = server.now();
    let keys = [server.key(&[]).await, server.new_key(json!({"name": "ann's", "owner": "ann"})).await];
    let new = |seconds: u64| now.plus(Duration::from_secs(seconds));
    let entropy = gatepost::domain::entropy::SystemEntropy;
    let (client, user) = (ClientId::new(now, &entropy), UserId::new(now, &entropy));
    let place = Some((ProjectId::default_project(), Environment::Live));
    let subject = |key: usize| Subject { place: place.clone(), key: KeyId::parse(&keys[key].id), ..Subject::default() };
    let of_client = Subject { key: None, client: Some(client.clone()), user: Some(user.clone()), ..subject(0) };
    let one = |subject: Subject, seconds: u64, method: &'static str, outcome: Option<Reason>, calls: u64| Tally {
        subject: Arc::new(subject),
        method,
        outcome,
        minute: Grain::Minute.start(new(seconds)),
        address: None,
        scopes: Arc::default(),
        calls,
        last_at: new(seconds),
        user_agent: None,
    };
    let all = [
        one(subject(0), 0, "Keys/GetKey", None, 1),
        one(subject(0), 60, "Keys/GetKey", Some(Reason::Expired), 2),
        one(subject(1), 60, "verification", None, 4),
        one(subject(1), 3_600, "verification", Some(Reason::Suspended), 8),
        one(of_client, 90_000, "Keys/GetKey", None, 16),
    ];
    server.store().await.add_usage(&all, &gatepost::domain::entropy::SystemEntropy).await.expect("the store answers");
    server.advance(Duration::from_secs(100_000));
    (keys.map(|key| key.id).into(), client.to_string(), user.to_string())
}

#[tokio::test]
async fn reports_answer_what_was_asked() {
    // Nothing is there but what is put there.
    let server = TestServer::builder().set("record_usage", "false").start().await;
    let start = server.later(Duration::ZERO);
    let second = |seconds| server.later(Duration::from_secs(seconds));
    let times = [0, 59, 60, 3_600, 7_200, 86_400, 90_000].map(second);
    let (keys, client, user) = told_beforehand(&server).await;
    let all = json!({"startTime": start});
    let with = |more: Value| {
        let mut request = all.clone();
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        request
    };
    // Each request, with the counts it is answered by: the time and the groups, and the number.
    let cases: Vec<(Value, Vec<(String, u64)>)> = vec![
        (
            with(json!({"interval": "MINUTE", "endTime": times[4]})),
            vec![(times[0].clone(), 1), (times[2].clone(), 6), (times[3].clone(), 8)],
        ),
        (with(json!({})), vec![(times[0].clone(), 7), (times[3].clone(), 8), (times[6].clone(), 16)]),
        (with(json!({"interval": "DAY"})), vec![(times[0].clone(), 15), (times[5].clone(), 16)]),
        // A span counts whole if its beginning is asked for.
        (json!({"startTime": times[1], "endTime": times[2], "interval": "MINUTE"}), vec![(times[0].clone(), 1)]),
        (json!({"startTime": times[2], "endTime": times[3], "interval": "HOUR"}), vec![(times[0].clone(), 7)]),
        // A day back from now, unless it is said.
        (json!({}), vec![(times[6].clone(), 16)]),
        (
            with(json!({"interval": "DAY", "groupBy": ["KEY"], "endTime": times[4]})),
            vec![(format!("{} {}", times[0], keys[0]), 3), (format!("{} {}", times[0], keys[1]), 12)],
        ),
        (
            with(json!({"interval": "DAY", "groupBy": ["OWNER", "PROJECT"]})),
            vec![
                (format!("{} default", times[0]), 3),
                (format!("{} ann default", times[0]), 12),
                (format!("{} default", times[5]), 16),
            ],
        ),
        (
            with(json!({"interval": "DAY", "groupBy": ["CLIENT", "USER"], "startTime": times[5]})),
            vec![(format!("{} {client} {user}", times[5]), 16)],
        ),
        (
            with(json!({"interval": "DAY", "groupBy": ["OUTCOME"], "endTime": times[4]})),
            vec![
                (format!("{} EXPIRED", times[0]), 2),
                (format!("{} SUSPENDED", times[0]), 8),
                (format!("{} VALID", times[0]), 5),
            ],
        ),
        (
            with(json!({"interval": "DAY", "groupBy": ["METHOD"], "keyId": keys[1]})),
            vec![(format!("{} verification", times[0]), 12)],
        ),
        (with(json!({"interval": "DAY", "owner": "ann"})), vec![(times[0].clone(), 12)]),
        (with(json!({"interval": "DAY", "owner": "ben"})), vec![]),
        (with(json!({"interval": "DAY", "clientId": client})), vec![(times[5].clone(), 16)]),
        (with(json!({"interval": "DAY", "userId": user})), vec![(times[5].clone(), 16)]),
        (with(json!({"interval": "DAY", "method": "verification"})), vec![(times[0].clone(), 12)]),
        (with(json!({"interval": "DAY", "outcome": "EXPIRED"})), vec![(times[0].clone(), 2)]),
    ];
    for wire in Wire::ALL {
        for (request, wanted) in &cases {
            let told = server.call(wire, "Keys/GetUsage", &server.live(), request.clone()).await.ok();
            let rows = told["data"].as_array().cloned().unwrap_or_default();
            let name = |row: &Value| -> String {
                ["startTime", "keyId", "owner", "clientId", "userId", "project", "method", "outcome"]
                    .iter()
                    .filter_map(|field| row[field].as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let times: Vec<_> = rows.iter().map(|row| row["startTime"].clone().to_string()).collect();
            assert!(times.is_sorted(), "the oldest first: {times:?}");
            let sorted = |mut rows: Vec<(String, u64)>| {
                rows.sort();
                rows
            };
            let rows = rows.iter().map(|row| (name(row), number(&row["calls"]))).collect();
            assert_eq!(sorted(rows), sorted(wanted.clone()), "{request}");
            assert_eq!(number(&told["total"]), wanted.iter().map(|(_, calls)| calls).sum::<u64>(), "{request}");
        }
        let empty = server.call(wire, "Keys/GetUsage", &server.test(), all.clone()).await.ok();
        assert_eq!(number(&empty["total"]), 0, "the other environment has its own");
    }
    let of_key =
        server.get(&format!("/v1/keys/{}/usage?startTime={start}&interval=DAY", keys[0]), &server.live()).await;
    assert_eq!(of_key.expect(200, "").json()["total"], "3");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name() {
    let server = TestServer::start().await;
    let key = server.key(&["read:keys"]).await;
    let reader = server.key(&["read:usage"]).await;
    let (now, later) = (server.later(Duration::ZERO), server.later(Duration::from_secs(60)));
    let many = server.later(Duration::from_secs(10_001 * 60));
    for wire in Wire::ALL {
        for rpc in ["Keys/GetUsage", "Keys/ListAccessLog"] {
            server.call(wire, rpc, &key, json!({})).await.refused("INSUFFICIENT_SCOPE");
            server.call(wire, rpc, &reader, json!({})).await.ok();
            for (field, wire_field, bad) in [
                ("key_id", "keyId", "key_1"),
                ("client_id", "clientId", "x"),
                ("user_id", "userId", "me"),
                ("method", "method", "a b"),
                ("outcome", "outcome", "valid"),
            ] {
                server.call(wire, rpc, &reader, json!({wire_field: bad})).await.violates(&[field]);
            }
            let unknown = json!({"keyId": format!("key_{:032}", 7)});
            server.call(wire, rpc, &reader, unknown).await.refused("RESOURCE_NOT_FOUND");
        }
        let ask = async |request: Value| server.call(wire, "Keys/GetUsage", &reader, request).await;
        ask(json!({"startTime": later, "endTime": now})).await.violates(&["start_time"]);
        ask(json!({"startTime": now, "endTime": many, "interval": "MINUTE"})).await.violates(&["interval"]);
        ask(json!({"groupBy": ["KEY", "KEY"]})).await.violates(&["group_by[1]"]);
        ask(json!({"groupBy": ["GROUP_UNSPECIFIED"]})).await.violates(&["group_by[0]"]);
        let list = async |request: Value| server.call(wire, "Keys/ListAccessLog", &reader, request).await;
        list(json!({"address": "10.0.0.7/8"})).await.violates(&["address"]);
        list(json!({"unknown": true})).await.refused("CALLER_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn an_answer_that_would_be_too_large_is_refused() {
    let server = TestServer::builder().set("record_usage", "false").start().await;
    let place = Some((ProjectId::default_project(), Environment::Live));
    let at = Grain::Minute.start(server.now());
    let rows: Vec<_> = (0..10_001_u64)
        .map(|n| Tally {
            subject: Arc::new(Subject {
                place: place.clone(),
                key: KeyId::parse(&format!("key_{n:032x}")),
                ..Subject::default()
            }),
            method: "Keys/GetKey",
            outcome: None,
            minute: at,
            address: None,
            scopes: Arc::default(),
            calls: 1,
            last_at: Timestamp::default(),
            user_agent: None,
        })
        .collect();
    for part in rows.chunks(200) {
        server
            .store()
            .await
            .add_usage(part, &gatepost::domain::entropy::SystemEntropy)
            .await
            .expect("the store answers");
    }
    server.advance(Duration::from_secs(60));
    for wire in Wire::ALL {
        let ask = async |by: Value| server.call(wire, "Keys/GetUsage", &server.live(), json!({"groupBy": by})).await;
        ask(json!(["KEY"])).await.violates(&["group_by"]);
        assert_eq!(ask(json!([])).await.ok()["total"], "10001");
    }
}

#[tokio::test]
async fn minutes_hours_and_days_hold_the_same_calls() {
    let server = prompt().start().await;
    let key = server.key(&[]).await;
    let start = server.later(Duration::ZERO);
    let call = async |times: usize| {
        for _ in 0..times {
            server.call(Wire::Grpc, "Auth/WhoAmI", &key, json!({})).await.ok();
        }
    };
    for (times, pause) in [(1, 60), (2, 3_540), (3, 82_800), (4, 60)] {
        call(times).await;
        server.advance(Duration::from_secs(pause));
    }
    let counts = async |interval: &str| -> Vec<u64> {
        let request = json!({"keyId": key.id, "startTime": start, "interval": interval});
        let told = usage(&server, &server.live(), request).await;
        told["data"].as_array().cloned().unwrap_or_default().iter().map(|row| number(&row["calls"])).collect()
    };
    soon("that all calls are counted", async || counts("DAY").await.iter().sum::<u64>() == 10).await;
    assert_eq!(counts("MINUTE").await, [1, 2, 3, 4]);
    assert_eq!(counts("HOUR").await, [3, 3, 4]);
    assert_eq!(counts("DAY").await, [6, 4]);
}

#[tokio::test]
async fn a_key_tells_its_last_use() {
    let server = prompt().behind_proxies(1).start().await;
    let https = |actor: Actor, from: &str| actor.with("x-forwarded-proto", "https").with("x-forwarded-for", from);
    let admin = https(server.live(), "192.0.2.1");
    let key = server.new_key_by(&admin, json!({"name": "k", "scopes": ["read:keys"]})).await;
    let read =
        async |wire: Wire| server.call(wire, "Keys/GetKey", &admin, json!({"id": key.id})).await.ok()["key"].clone();
    assert_eq!(read(Wire::Grpc).await["lastUsedAt"], Value::Null);
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        server.advance(Duration::from_secs(7));
        let (address, agent) = (format!("198.51.100.{n}"), format!("shop/{n}"));
        let at = server.later(Duration::ZERO);
        let json = wire == Wire::Json || wire == Wire::GrpcWeb || wire == Wire::GrpcWebText;
        let mut caller = https(key.clone(), &address);
        if json {
            caller = caller.with("user-agent", &agent);
        }
        server.call(wire, "Keys/ListKeys", &caller, json!({})).await.ok();
        soon("that the use is known", async || read(wire).await["lastUsedAt"] == at).await;
        let told = read(wire).await;
        assert_eq!(told["lastUsedIp"], address);
        assert!(!json || told["lastUsedUserAgent"] == agent, "{told}");
        let listed = server.call(wire, "Keys/ListKeys", &admin, json!({})).await.ok();
        let listed = listed["data"].as_array().expect("a list").iter().find(|one| one["id"] == key.id).cloned();
        assert_eq!(listed, Some(told));
        // What is refused is no use.
        server.advance(Duration::from_secs(1));
        server.call(wire, "Users/ListUsers", &caller, json!({})).await.refused("INSUFFICIENT_SCOPE");
    }
    server.advance(Duration::from_secs(1));
    let at = server.later(Duration::ZERO);
    let asked = json!({"credential": key.secret, "clientIp": "::ffff:203.0.113.9"});
    server.call(Wire::Grpc, "Auth/Verify", &admin, asked).await.ok();
    soon("that the use is known", async || read(Wire::Grpc).await["lastUsedAt"] == at).await;
    let told = read(Wire::Json).await;
    assert_eq!((&told["lastUsedIp"], &told["lastUsedUserAgent"]), (&json!("203.0.113.9"), &Value::Null));
}
