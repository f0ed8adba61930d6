//! Several nodes on one database, and a node that loses it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::postgres::Engine;
use crate::support::proxy::CutProxy;
use crate::support::{Actor, TestServer, Wire};

/// Asks until the answer is this; it must be within a bound that no machine is too slow for.
pub(crate) async fn soon(what: &str, ask: impl AsyncFnMut() -> bool) {
    within(Duration::from_secs(20), what, ask).await;
}

/// The same for what takes longer by itself.
pub(crate) async fn within(bound: Duration, what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < bound, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn status(server: &TestServer, actor: &Actor) -> u16 {
    server.get("/v1/auth/whoami", actor).await.status
}

async fn code(server: &TestServer, credential: &str) -> Value {
    let asked = json!({"credential": credential});
    server.call(Wire::Grpc, "Auth/Verify", &server.live(), asked).await.ok()["code"].clone()
}

#[tokio::test]
async fn what_one_node_revokes_the_others_refuse() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let key = one.rk(&["read:products"]).await;
    for node in [&one, &two] {
        assert_eq!((status(node, &key).await, code(node, &key.secret).await), (200, json!("VALID")));
    }
    one.call(Wire::Grpc, "Keys/DeleteKey", &one.live(), json!({"id": key.id})).await.ok();
    assert_eq!(status(&one, &key).await, 401, "the node that revoked refuses at once");
    soon("the other node refuses", async || status(&two, &key).await == 401).await;
    assert_eq!(code(&two, &key.secret).await, "REVOKED");
}

#[tokio::test]
async fn what_one_node_changes_the_others_see() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let key = one.rk(&["read:products"]).await;
    assert_eq!(status(&two, &key).await, 200);
    one.call(Wire::Grpc, "Keys/SuspendKey", &one.live(), json!({"id": key.id})).await.ok();
    soon("the other node holds it", async || status(&two, &key).await == 403).await;
    one.call(Wire::Grpc, "Keys/ResumeKey", &one.live(), json!({"id": key.id})).await.ok();
    soon("the other node lets it go", async || status(&two, &key).await == 200).await;
    let rotated = one.call(Wire::Grpc, "Keys/RotateKey", &one.live(), json!({"id": key.id})).await.ok();
    let new = Actor::made(rotated["secret"].as_str().unwrap(), &key.id);
    assert_eq!(status(&two, &new).await, 200, "a new secret is looked up");
    soon("the old secret ends", async || status(&two, &key).await == 401).await;
}

#[tokio::test]
async fn what_one_node_deletes_ends_on_the_others() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let [shop_live, shop_test] = one.project("shop").await;
    let kept = one.project("kept").await;
    let key = one.new_key_by(&shop_live, json!({"type": "RK", "name": "k", "scopes": ["read:products"]})).await;
    let ending = [&shop_live, &shop_test, &key];
    for node in [&one, &two] {
        for actor in ending.into_iter().chain(&kept) {
            // Twice: what is remembered ends like what is looked up.
            assert_eq!((status(node, actor).await, status(node, actor).await), (200, 200));
        }
    }
    one.call(Wire::Grpc, "Auth/DeleteProject", &one.live(), json!({"id": "shop"})).await.ok();
    for actor in ending {
        assert_eq!(status(&one, actor).await, 401, "the node that deleted refuses at once");
        soon("the other node refuses", async || status(&two, actor).await == 401).await;
    }
    for node in [&one, &two] {
        for actor in &kept {
            assert_eq!(status(node, actor).await, 200, "other projects go on");
        }
    }
    let three = one.another_node().await;
    assert_eq!(status(&three, &key).await, 401, "a node that starts later does not know it either");
}

#[tokio::test]
async fn a_key_that_was_unknown_works_once_it_is_made_elsewhere() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let key = one.rk(&["read:products"]).await;
    // Two asked for a key that did not exist before; then another is made.
    let stranger = Actor::stranger("rk", gatepost::domain::environment::Environment::Live);
    assert_eq!(status(&two, &stranger).await, 401);
    assert_eq!(status(&two, &key).await, 200);
}

#[tokio::test]
async fn a_watcher_on_another_node_is_told() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let before = one.call(Wire::Grpc, "Auth/Verify", &one.live(), json!({"credential": "x"})).await.ok();
    let from: u64 = before["revision"].as_str().unwrap_or("0").parse().unwrap();
    let key = one.rk(&["read:products"]).await;
    let asked = json!({"fromRevision": from.to_string()});
    let event = two.call(Wire::Grpc, "Auth/WatchRevocations", &two.live(), asked).await.ok();
    assert!(event.to_string().contains(&key.id) || event.to_string().contains("CREATED"), "{event}");
}

#[tokio::test]
async fn a_node_that_is_cut_off_stops_trusting_what_it_remembers_and_recovers() {
    if Engine::chosen() != Engine::Postgres {
        // A file cannot be cut off; the processes that share it are seen to in the tests above.
        return;
    }
    let one = TestServer::start().await;
    let url = one.database_url().expect("PostgreSQL has a URL");
    let (proxy, url) = CutProxy::before(&url).await;
    let builder = TestServer::builder().set("database_url", url).set("cache_trust", "8s").set("poll_interval", "200ms");
    let two = one.another_node_with(builder).await;
    // Among what is loaded at the start, `unseen` would be known.
    two.warmed_up().await;
    let (known, unseen) = (one.rk(&["read:products"]).await, one.rk(&["read:products"]).await);
    // The news that a key was made makes a node forget what it knew of it: only after that does it keep the key.
    let newest = one.store().await.revision().await.expect("the database is there").0;
    soon("the node has heard of the keys", async || {
        let answer = two.call(Wire::Grpc, "Auth/Verify", &two.live(), json!({"credential": "x"})).await.ok();
        answer["revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0_u64) >= newest
    })
    .await;
    soon("the node knows the key", async || status(&two, &known).await == 200).await;

    proxy.cut();
    let cut = Instant::now();
    // What is remembered goes on being served for a while; what is not cannot be decided.
    assert_eq!(status(&two, &known).await, 200);
    let refused = two.get("/v1/auth/whoami", &unseen).await.expect(503, "STORE_UNAVAILABLE");
    assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    one.call(Wire::Grpc, "Keys/DeleteKey", &one.live(), json!({"id": known.id})).await.ok();
    soon("the node trusts its memory no more", async || status(&two, &known).await == 503).await;
    assert!(cut.elapsed() < Duration::from_secs(25), "it took {:?}", cut.elapsed());
    assert_eq!(status(&two, &known).await, 503, "never a yes, and never a 401 either");
    soon("the node is not ready", async || two.get("/readyz", &Actor::anonymous()).await.status == 503).await;

    proxy.mend();
    soon("the node is ready", async || two.get("/readyz", &Actor::anonymous()).await.status == 200).await;
    soon("the node has heard of the revocation", async || status(&two, &known).await == 401).await;
    soon("the node decides again", async || status(&two, &unseen).await == 200).await;
}
