//! A flood of keys that nobody knows, from as many addresses: memory stays where it was, known keys are answered all the while,
//! and what is written down of it is little.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::secret::{PlainSecret, SecretPrefix};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::Actor;
use crate::support::serving::{Place, Serving, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_unknown_keys_leaves_memory_where_it_was_and_known_keys_alone() {
    let place = Place::new().await;
    let serve = "serve --listen 127.0.0.1:0 --trusted-proxies 1 --usage-interval 500ms";
    let server = Arc::new(place.command(serve).serve().await);
    let admin = server.admin("live").with("x-forwarded-for", "192.0.2.1");
    let made =
        server.post("/v1/keys", &admin, &json!({"name": "known", "scopes": ["read:keys"]})).await.expect(200, "");
    let key = made.json()["secret"].as_str().expect("a secret").to_owned();
    let known = Actor::made(&key, "").with("x-forwarded-for", "192.0.2.2");
    // What any calls take, and as many connections.
    flood(&server, WARM, "2001:db8:ffff").await;
    let before = server.resident();

    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let calling = tokio::spawn({
        let (server, over, answered) = (Arc::clone(&server), Arc::clone(&over), Arc::clone(&answered));
        async move {
            while !over.load(Ordering::Relaxed) {
                let told = server.get("/v1/auth/whoami", &known).await;
                assert_eq!(told.status, 200, "{told:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    flood(&server, FLOOD, "2001:db8").await;
    over.store(true, Ordering::Relaxed);
    calling.await.expect("known keys are answered");
    assert!(answered.load(Ordering::Relaxed) > 100, "known keys were answered meanwhile");
    let most = server.most_resident();
    assert!(most.saturating_sub(before) <= MOST_MORE, "{before} bytes before, {most} at most");

    // The log tells that there was a flood, in few lines.
    let log = server.get("/v1/access-log?unknown=true&pageSize=1000", &admin).await.expect(200, "").json();
    let lines = log["data"].as_array().map_or(0, Vec::len);
    assert!((1..=ROWS).contains(&lines), "{lines} lines");
}

/// Calls once with each of so many keys of their own, from addresses of their own, over a few connections.
async fn flood(server: &Arc<Serving>, keys: usize, network: &'static str) {
    let mut flooding = JoinSet::new();
    for attacker in 0..ATTACKERS {
        let server = Arc::clone(server);
        flooding.spawn(async move {
            for n in 0..keys / ATTACKERS {
                let secret = PlainSecret::generate(&SecretPrefix::fixed("sk"), Environment::Live, &SystemEntropy);
                let address = format!("{network}:{attacker:x}:{n:x}::1");
                let stranger = Actor::bearer(secret.expose()).with("x-forwarded-for", &address);
                let reply = send(server.request(Method::GET, "/v1/auth/whoami", &stranger)).await.expect("an answer");
                assert_eq!(reply.status, 401, "{reply:?}");
            }
        });
    }
    while let Some(done) = flooding.join_next().await {
        done.expect("every call is refused");
    }
}

const ATTACKERS: usize = 16;
const WARM: usize = 1_600;
const FLOOD: usize = 24_000;
/// Bytes that it may take.
const MOST_MORE: u64 = 50_000_000;
/// Lines of the access log: a hundred a minute and one of the rest, over the minutes that a slow machine needs.
const ROWS: usize = 505;
