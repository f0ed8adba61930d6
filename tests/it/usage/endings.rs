//! That counts survive what ends a server: a stop takes nothing, a kill no more than what was not written down yet; and that what
//! is old goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{number, prompt, usage};
use crate::nodes::soon;
use crate::support::serving::{Place, Serving, send};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn a_stop_loses_nothing_and_a_new_start_goes_on() {
    // Nothing is written down by the clock.
    let mut server = TestServer::builder().set("usage_interval", "1m").start().await;
    let key = server.key(&["read:keys"]).await;
    let admin = server.live();
    for round in 1..=3 {
        for wire in Wire::ALL {
            for _ in 0..5 {
                server.call(wire, "Keys/ListKeys", &key, json!({})).await.ok();
            }
        }
        let next = server.another_node().await;
        server.stop().await;
        server = next;
        let told = usage(&server, &admin, json!({"keyId": key.id, "interval": "MINUTE"})).await;
        assert_eq!(number(&told["total"]), round * 20, "{told}");
        assert_eq!(told["data"].as_array().map(Vec::len), Some(1), "they are of one minute");
    }
}

#[tokio::test]
async fn what_is_old_is_forgotten() {
    let server = prompt().start().await;
    let key = server.key(&[]).await;
    let start = server.later(Duration::ZERO);
    let day = Duration::from_secs(24 * 60 * 60);
    // How long after the call a sweep comes, and what is left then: minutes, hours, days, entries of the log.
    let cases = [(1, [1, 1, 1, 1]), (3, [0, 1, 1, 1]), (32, [0, 1, 1, 0]), (92, [0, 0, 1, 0]), (733, [0, 0, 0, 0])];
    server.call(Wire::Grpc, "Auth/WhoAmI", &key, json!({})).await.ok();
    let left = async |server: &TestServer| {
        let mut left = Vec::new();
        for interval in ["MINUTE", "HOUR", "DAY"] {
            let end = day.as_secs() as u32 * u32::from(interval == "DAY") * 30 + 3_600;
            let end = gatepost::domain::clock::Timestamp::default().plus(Duration::from_secs(u64::from(end)));
            let from: prost_types::Timestamp = start.parse().expect("a time");
            let end = prost_types::Timestamp { seconds: from.seconds + end.micros() / 1_000_000, nanos: 0 };
            let request =
                json!({"keyId": key.id, "startTime": start, "endTime": end.to_string(), "interval": interval});
            left.push(number(&usage(server, &server.live(), request).await["total"]));
        }
        let log = server.call(Wire::Grpc, "Keys/ListAccessLog", &server.live(), json!({"keyId": key.id})).await.ok();
        left.push(log["data"].as_array().map_or(0, Vec::len) as u64);
        left
    };
    soon("that it is written down", async || left(&server).await == [1, 1, 1, 1]).await;
    let mut past = 0;
    for (days, wanted) in cases {
        server.advance(day * (days - past));
        past = days;
        // A node sweeps when it starts.
        let node = server.another_node().await;
        soon(&format!("a sweep after {days} days"), async || left(&node).await == wanted).await;
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kill_loses_no_more_than_what_was_not_written_down_yet() {
    let place = Place::new().await;
    let mut server = serve(&place).await;
    let admin = server.admin("live");
    let made = server.post("/v1/keys", &admin, &json!({"name": "k"})).await.expect(200, "").json();
    let key = Actor::made(made["secret"].as_str().expect("a secret"), made["key"]["id"].as_str().expect("an id"));
    let mut before = 0;
    for round in 0..ROUNDS {
        let (answered, sent) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut calling = JoinSet::new();
        for _ in 0..3 {
            calling.spawn(call_until_it_ends(
                server.request(Method::GET, "/v1/auth/whoami", &key),
                Arc::clone(&answered),
                Arc::clone(&sent),
            ));
        }
        // Until something is there, and then for a while.
        let began = Instant::now();
        while told(&server, &admin, &key).await <= before || began.elapsed() < Duration::from_millis(700 + 300 * round)
        {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing is written down");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let safe = answered.load(Ordering::SeqCst);
        // What was answered by now is written down by the end of two intervals, on a machine that is not held up.
        let written = told(&server, &admin, &key).await;
        soon("that all of it is written down", async || told(&server, &admin, &key).await >= before + safe).await;
        server.kill().await;
        while let Some(done) = calling.join_next().await {
            done.expect("a caller does not panic");
        }
        server = serve(&place).await;
        let now = told(&server, &admin, &key).await;
        assert!(now >= written, "round {round}: {now} after {written} were told");
        assert!(now >= before + safe, "round {round}: {now}, of {before} before and {safe} that were safe");
        assert!(now <= before + sent.load(Ordering::SeqCst), "round {round}: some were counted twice");
        before = now;
    }
    assert_eq!(server.stop().await.code, 0);
}

async fn serve(place: &Place) -> Serving {
    place.command("serve --listen 127.0.0.1:0 --poll-interval 50ms --usage-interval 200ms").serve().await
}

async fn call_until_it_ends(call: reqwest::RequestBuilder, answered: Arc<AtomicU64>, sent: Arc<AtomicU64>) {
    loop {
        sent.fetch_add(1, Ordering::SeqCst);
        match send(call.try_clone().expect("it has no body")).await {
            Ok(reply) => assert_eq!(reply.status, 200, "{reply:?}"),
            Err(_) => return,
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

async fn told(server: &Serving, admin: &Actor, key: &Actor) -> u64 {
    let reply = server.get(&format!("/v1/keys/{}/usage?interval=DAY", key.id), admin).await.expect(200, "");
    number(&reply.json()["total"])
}

const ROUNDS: u64 = 4;
