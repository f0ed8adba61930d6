//! What was spent outlives the server that was told of it, as far as is promised.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Count, limit, limited, whoami};
use crate::support::postgres::Engine;
use crate::support::serving::{Place, Serving, send};
use crate::support::{Actor, TestServer, Wire};

whoever_counts! {
    what_was_spent_outlives_the_server,
    kills_forget_no_more_than_they_may_and_restore_nothing,
}

/// What was spent is there after a graceful stop.
async fn what_was_spent_outlives_the_server(count: Count) {
    let server = count.server().await;
    let key = limited(&server, &[limit("day", 10, 86_400), limit("second", 100, 1)]).await;
    let remaining =
        async |server: &TestServer| whoami(server, Wire::Json, &key).await.header("x-ratelimit-remaining").to_owned();
    for left in [9, 8, 7] {
        assert_eq!(remaining(&server).await, left.to_string());
    }
    // It only keeps the data from going with the first.
    let keeper = server.another_node().await;
    server.stop().await;
    let next = keeper.another_node().await;
    assert_eq!(remaining(&next).await, "6");
    next.advance(Duration::from_secs(4 * 8_640));
    let later = next.another_node().await;
    assert_eq!(remaining(&later).await, "9", "of what had come back nothing is kept");
}

/// A limit that was over a moment, and is over a day now, is kept as any other.
#[tokio::test]
async fn what_was_spent_of_a_limit_that_became_longer_outlives_the_server() {
    let server = TestServer::start().await;
    let key = limited(&server, &[limit("x", 5, 5)]).await;
    whoami(&server, Wire::Json, &key).await.ok();
    let longer = json!({"key": {"id": key.id, "rateLimits": [limit("x", 5, 86_400)]}, "updateMask": "rateLimits"});
    server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), longer).await.ok();
    while whoami(&server, Wire::Json, &key).await.http == 200 {}
    let keeper = server.another_node().await;
    server.stop().await;
    let next = keeper.another_node().await;
    whoami(&next, Wire::Json, &key).await.refused("RATE_LIMITED");
}

/// Killed again and again while it is called, a server forgets at most what was spent in its last second, where its memory
/// counts; and nothing where the database or Redis does, of which it may lose what it had taken ahead.
async fn kills_forget_no_more_than_they_may_and_restore_nothing(count: Count) {
    let (place, redis) = (Place::new().await, count.redis().await);
    let serve = async || {
        let mut command = place.command("serve --listen 127.0.0.1:0 --poll-interval 50ms");
        if let Some(redis) = &redis {
            command = command.variable("REDIS_URL", &redis.url()).variable("GATEPOST_REDIS_TIMEOUT", "20s");
        }
        command.serve().await
    };
    let mut server = serve().await;
    let admin = server.admin("live");
    let request = json!({"name": "k", "rateLimits": [limit("month", CALLS, 31 * 86_400)]});
    let made = server.post("/v1/keys", &admin, &request).await.expect(200, "").json();
    let key = Actor::made(made["secret"].as_str().expect("a secret"), "");
    let (forgets, loses) = match (count, Engine::chosen()) {
        (Count::Nodes, Engine::Sqlite) => (WRITTEN_WITHIN, 0),
        // The twentieth part is the most that a node takes at once.
        (Count::Nodes, Engine::Postgres) => (Duration::ZERO, CALLS / 20),
        (Count::Redis, _) => (Duration::ZERO, 0),
    };
    let (began, mut spent, mut all) = (Instant::now(), 0, 0);
    for round in 0..KILLS {
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            tasks.spawn(call_until_it_is_gone(server.url().to_owned(), key.clone()));
        }
        tokio::time::sleep(Duration::from_millis(4_000 + 370 * round)).await;
        let killed = Instant::now();
        server.kill().await;
        let admitted: Vec<Instant> = tasks.join_all().await.into_iter().flatten().collect();
        let kept = admitted.iter().filter(|at| **at + forgets <= killed).count() as u32;
        let admitted = admitted.len() as u32;
        server = serve().await;
        let now = CALLS - left(&server, &admin, &key).await;
        // What came back since the beginning.
        let back = (began.elapsed().as_secs() as u32 * CALLS).div_ceil(31 * 86_400) + 1;
        assert!(now + back >= spent + kept, "round {round}: {now} spent, after {spent} and {kept} more");
        // Of each caller the last one may have been let in, and was not told so.
        let most = spent + admitted + CALLERS + loses;
        assert!(now <= most, "round {round}: {now} spent, after {spent} and {admitted} more");
        (spent, all) = (now, all + admitted);
    }
    assert!(all > 100, "the loop shows something: {all}");
}

/// When each call was answered that was let in.
async fn call_until_it_is_gone(origin: String, key: Actor) -> Vec<Instant> {
    let client = reqwest::Client::builder().no_proxy().http1_only().build().expect("a client");
    let mut admitted = Vec::new();
    loop {
        let request = client.get(format!("{origin}/v1/auth/whoami")).headers(key.headers.clone());
        match send(request).await {
            Ok(answer) if answer.status == 200 => admitted.push(Instant::now()),
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return admitted,
        }
    }
}

async fn left(server: &Serving, admin: &Actor, key: &Actor) -> u32 {
    let question = json!({"credential": key.secret, "cost": 0});
    let answer: Value = server.post("/v1/auth/verify", admin, &question).await.expect(200, "").json();
    answer["rateLimits"][0]["remaining"].as_u64().and_then(|left| left.try_into().ok()).expect("a number")
}

const CALLS: u32 = 500_000;
const CALLERS: u32 = 4;
const KILLS: u64 = 3;
/// It is a second; the rest is for a machine under load.
const WRITTEN_WITHIN: Duration = Duration::from_millis(2_300);
