//! Redis, and what becomes of limits without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::{limit, limited, whoami};
use crate::nodes::soon;
use crate::support::redis::TestRedis;
use crate::support::serving::Place;
use crate::support::{Actor, TestServer, Wire};

/// Whether a node says that Redis answers.
async fn is_up(node: &TestServer) -> bool {
    let metrics = node.get("/metrics", &Actor::anonymous()).await.text;
    metrics.lines().any(|line| line == "gatepost_redis_up 1")
}

async fn counted_alone(node: &TestServer) -> u64 {
    let metrics = node.get("/metrics", &Actor::anonymous()).await.text;
    let count = metrics.lines().find_map(|line| line.strip_prefix("gatepost_limits_alone_total "));
    count.and_then(|count| count.parse().ok()).expect("it is counted")
}

/// How many calls are let in until the first is not; nothing else may be answered.
async fn spend(node: &TestServer, key: &Actor) -> u32 {
    for admitted in 0..10_000 {
        match whoami(node, Wire::Json, key).await.http {
            200 => {}
            429 => return admitted,
            other => panic!("{other}"),
        }
    }
    panic!("there is no end of calls");
}

/// Without Redis each node goes on by itself from what it was told last, and no call fails; a Redis that comes back with nothing
/// is told what was spent, so that nothing is given twice, and is exact from then on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_costs_no_call_and_gives_nothing_back() {
    if !TestRedis::is_there() {
        return;
    }
    let one = TestServer::builder().with_redis().start().await;
    let two = one.another_node().await;
    let key = limited(&one, &[limit("day", 100, 86_400), limit("month", 100_000, 30 * 86_400)]).await;
    for (node, calls) in [(&one, 10), (&two, 20)] {
        for _ in 0..calls {
            whoami(node, Wire::Json, &key).await.ok();
        }
    }
    one.redis().kill().await;
    // The first knows of its own ten, the second of all thirty.
    assert_eq!((spend(&one, &key).await, spend(&two, &key).await), (90, 70));
    for node in [&one, &two] {
        assert_eq!(node.get("/readyz", &Actor::anonymous()).await.status, 200, "it can do its work");
        soon("it is told", async || !is_up(node).await && counted_alone(node).await > 70).await;
    }
    one.redis().restart().await;
    for node in [&one, &two] {
        soon("Redis is used again", async || is_up(node).await).await;
        whoami(node, Wire::Json, &key).await.refused("RATE_LIMITED");
    }
    // What comes back comes back once, for both.
    one.advance(Duration::from_secs(10 * 864));
    assert_eq!(spend(&one, &key).await + spend(&two, &key).await, 10);
    assert_eq!(spend(&two, &key).await + spend(&one, &key).await, 0);
}

/// The same in the middle of traffic, however often: no call fails, and no node lets in more than it would alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_traffic_let_in_no_more_than_each_node_would_alone() {
    if !TestRedis::is_there() {
        return;
    }
    const CALLS: u32 = 3_000;
    let one = Arc::new(TestServer::builder().with_redis().start().await);
    let two = Arc::new(one.another_node().await);
    let key = limited(&one, &[limit("day", CALLS, 86_400)]).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for (index, wire) in Wire::ALL.into_iter().cycle().take(8).enumerate() {
        let (node, key, over) = (Arc::clone([&one, &two][index / 4]), key.clone(), Arc::clone(&over));
        tasks.spawn(async move {
            let (clients, mut admitted) = (node.more_clients(), [0_u32; 2]);
            while !over.load(Ordering::Relaxed) {
                let answer = clients.call(wire, "Auth/WhoAmI", &key, json!({})).await;
                if answer.reason.is_empty() {
                    admitted[index / 4] += 1;
                } else {
                    answer.refused("RATE_LIMITED");
                }
            }
            admitted
        });
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        one.redis().kill().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        one.redis().restart().await;
        for node in [&one, &two] {
            soon("Redis is used again", async || is_up(node).await).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    let admitted = tasks.join_all().await.into_iter().fold([0, 0], |sum, each| [sum[0] + each[0], sum[1] + each[1]]);
    // What is under way in the moment that it goes or comes may be missed: a call of each connection of a node.
    let missed = 3 * 2 * 4;
    assert!(admitted.iter().all(|admitted| (1..=CALLS + missed).contains(admitted)), "{admitted:?}");
    // Both are back: what is left is for both, and no more than the one that let in most has left.
    let left = spend(&one, &key).await + spend(&two, &key).await;
    let most = admitted[0].max(admitted[1]);
    assert!(left <= CALLS - most, "{left} left after {admitted:?}");
    assert!(
        left >= CALLS.saturating_sub(admitted[0] + admitted[1] + 3 * 8),
        "nothing is lost: {left} after {admitted:?}"
    );
}

/// A Redis that takes calls and does not answer is waited for once, and not by each call.
#[tokio::test]
async fn a_redis_that_does_not_answer_is_waited_for_once() {
    if !TestRedis::is_there() {
        return;
    }
    const PATIENCE: Duration = Duration::from_secs(3);
    let home = TestServer::builder().with_redis().start().await;
    let node = home.another_node_with(TestServer::builder().set("redis_timeout", "3s")).await;
    let key = limited(&home, &[limit("day", 30, 86_400)]).await;
    for _ in 0..5 {
        whoami(&node, Wire::Json, &key).await.ok();
    }
    home.redis().hold_up().await;
    let began = Instant::now();
    // Whoever was asked when it was held up may have spent one there too; here it counts once.
    assert_eq!(spend(&node, &key).await, 25);
    assert!(began.elapsed() < 10 * PATIENCE, "26 calls took {:?}", began.elapsed());
    // What is measured is a moment old: it has to say that Redis is away before it can say that it is back.
    soon("Redis is missed", async || !is_up(&node).await).await;
    home.redis().let_go().await;
    for node in [&node, &home] {
        soon("Redis is used again", async || is_up(node).await).await;
    }
    // It goes on from what this node has let in.
    whoami(&node, Wire::Json, &key).await.refused("RATE_LIMITED");
    home.advance(Duration::from_secs(5 * 2_880));
    assert_eq!(spend(&node, &key).await + spend(&home, &key).await, 5);
}

/// A server starts without its Redis, says once that it is away and once that it is back, and nowhere with what password.
#[tokio::test]
async fn a_redis_that_is_away_is_told_of_once_and_its_password_never() {
    if !TestRedis::is_there() {
        return;
    }
    let (place, redis) = (Place::new().await, TestRedis::start().await);
    redis.kill().await;
    let url = redis.url();
    let command = place.command("serve --listen 127.0.0.1:0").variable("REDIS_URL", &url);
    let server = command.variable("GATEPOST_REDIS_TIMEOUT", "20s").serve().await;
    let admin = server.admin("live");
    let request = json!({"name": "k", "rateLimits": [limit("day", 1_000, 86_400)]});
    let made = server.post("/v1/keys", &admin, &request).await.expect(200, "").json();
    let key = Actor::made(made["secret"].as_str().expect("a secret"), "");
    let call = async || server.get("/v1/auth/whoami", &key).await.expect(200, "");
    for _ in 0..20 {
        call().await;
    }
    server.get("/readyz", &admin).await.expect(200, "");
    redis.restart().await;
    let held = async || {
        call().await;
        let mut connection = redis.connection().await.expect("it answers");
        let keys = redis::cmd("KEYS").arg("*").query_async::<Vec<String>>(&mut connection).await.expect("it answers");
        // One is for trying it out.
        keys.into_iter().filter(|key| key != "gatepost:{}:").collect::<Vec<_>>()
    };
    soon("Redis is used", async || !held().await.is_empty()).await;
    let [bucket] = &held().await[..] else { panic!("there is one bucket") };
    assert!(bucket.starts_with("gatepost:{default}:key_") && bucket.ends_with("/day"), "{bucket}");
    let left: u32 = call().await.header("x-ratelimit-remaining").parse().expect("a number");
    assert!(left <= 1_000 - 21, "what was spent without it is spent: {left}");
    // One that answers and takes nothing is as good as away, for as long.
    let mut own = redis.connection().await.expect("it answers");
    let mut memory = async |most: u32| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(most).query_async::<()>(&mut own).await.expect("it answers");
    };
    memory(1).await;
    for _ in 0..30 {
        call().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    memory(0).await;
    soon("Redis is used again", async || {
        call().await;
        let metrics = server.get("/metrics", &admin).await.text;
        metrics.lines().any(|line| line == "gatepost_redis_up 1")
    })
    .await;
    let run = server.stop().await;
    assert_eq!(run.code, 0);
    let said = |words: &str| run.stderr.lines().filter(|line| line.contains(words)).count();
    assert_eq!((said("Redis does not answer"), said("Redis answers again")), (2, 2), "{}", run.stderr);

    let shown = place.command("config --json").variable("REDIS_URL", &url).run().await.json();
    let shown = shown["redis_url"]["value"].as_str().expect("it is shown").to_owned();
    assert!(shown.starts_with("redis://:***@127.0.0.1:"), "{shown}");
    for wrong in [
        "redis://",
        "http://:the-snark-was-a-boojum@x",
        "rediss://:the-snark-was-a-boojum@x#insecure",
        "redis://:the-snark-was-a-boojum@x/many",
    ] {
        let said = place.command("serve --listen 127.0.0.1:0").variable("REDIS_URL", wrong).run().await;
        assert_ne!(said.code, 0, "{wrong}");
    }
}

/// Over TLS, by whoever the machine trusts and by nobody else.
#[tokio::test]
async fn redis_is_reached_over_tls_by_a_certificate_that_is_checked() {
    if !TestRedis::is_there() {
        return;
    }
    let (place, redis) = (Place::new().await, TestRedis::start_with_tls().await);
    for trusted in [false, true] {
        let mut command = place.command("serve --listen 127.0.0.1:0").variable("REDIS_URL", &redis.url());
        if trusted {
            command = command.variable("SSL_CERT_FILE", redis.authority().to_str().expect("a path in UTF-8"));
        }
        let server = command.serve().await;
        let up = async || {
            let metrics = server.get("/metrics", &Actor::anonymous()).await.text;
            metrics.lines().any(|line| line == "gatepost_redis_up 1")
        };
        if trusted {
            soon("Redis is used", up).await;
        }
        let run = server.stop().await;
        assert_eq!(run.stderr.contains("Redis does not answer"), !trusted, "{}", run.stderr);
    }
}
