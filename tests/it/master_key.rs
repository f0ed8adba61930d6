//! Replacing the master key while a server runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::sealing::MasterKey;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::Actor;
use crate::support::command::Gatepost;
use crate::support::postgres::Engine;
use crate::support::serving::{Place, Serving};

/// Recoverable keys, by id, with their secrets.
type Kept = BTreeMap<String, String>;

async fn make(serving: &Serving, admin: &Actor, name: &str) -> (String, String) {
    let request = json!({"name": name, "recoverable": true});
    let promise = admin.clone().with("idempotency-key", name);
    let made = serving.post("/v1/keys", &promise, &request).await.expect(200, "").json();
    let again = serving.post("/v1/keys", &promise, &request).await.expect(200, "").json();
    assert_eq!(again, made, "the answer is remembered");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (text(&made["key"]["id"]), text(&made["secret"]))
}

/// That each key is told again, and works.
async fn check(serving: &Serving, admin: &Actor, kept: &Kept) {
    for (id, secret) in kept {
        let told = serving.post(&format!("/v1/keys/{id}:reveal"), admin, &json!({})).await.expect(200, "").json();
        assert_eq!(told["secret"], secret.as_str());
        serving.get("/v1/auth/whoami", &Actor::made(secret, id)).await.expect(200, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_key_is_replaced_under_traffic_and_through_kills() {
    let place = Place::new().await;
    let serving = Arc::new(place.serve().await);
    let admin = serving.admin("live");
    let mut kept = Kept::new();
    for n in 0..12 {
        kept.extend([make(&serving, &admin, &format!("before-{n}")).await]);
    }
    let file = place.data().join("master.key");
    let old = std::fs::read_to_string(&file).expect("the first start made it");

    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let traffic = tokio::spawn({
        let (serving, admin, mut kept) = (Arc::clone(&serving), admin.clone(), kept.clone());
        let (stop, rounds) = (Arc::clone(&stop), Arc::clone(&rounds));
        async move {
            while !stop.load(SeqCst) {
                let round = rounds.fetch_add(1, SeqCst);
                kept.extend([make(&serving, &admin, &format!("during-{round}")).await]);
                check(&serving, &admin, &kept.clone().into_iter().rev().take(6).collect()).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            kept
        }
    });
    // It takes some seven seconds, and may be cut off anywhere.
    for time in [150, 900, 3_600, 6_800] {
        place.command("master-key rotate").killed_after(Duration::from_millis(time)).await;
    }
    let done = place.command("master-key rotate").run().await;
    if Engine::chosen() == Engine::Postgres {
        assert!(done.stderr.contains("Both master keys work now"), "{done:?}");
        place.command("master-key finish").killed_after(Duration::from_millis(3_500)).await;
        place.command("master-key finish").run().await.ok();
    } else {
        assert!(done.stderr.contains("The old master key is of no use any more"), "{done:?}");
        done.ok();
    }
    let seen = rounds.load(SeqCst);
    soon("there is traffic afterwards", async || rounds.load(SeqCst) > seen + 2).await;
    stop.store(true, SeqCst);
    let kept = traffic.await.expect("every call was answered");
    assert!(kept.len() > 14, "there was no traffic");
    check(&serving, &admin, &kept).await;
    let set = serving.get("/.well-known/jwks.json", &admin).await.json();

    let new = std::fs::read_to_string(&file).expect("it is there");
    assert_ne!(new, old);
    assert!(!place.data().join("master.key.next").exists());
    std::fs::write(&file, &old).expect("it can be written");
    let refused = place.command("admin-key new").run().await.fails_with(2);
    assert!(refused.contains("this database belongs to another master key"), "{refused}");
    std::fs::write(&file, &new).expect("it can be written");

    let checked = place.command("audit verify").run().await.ok();
    assert!(checked.starts_with("default: whole, "), "{checked}");
    for action in ["master_key.rotated", "master_key.finished"] {
        let events = serving.get(&format!("/v1/audit-events?action={action}"), &admin).await.json();
        assert!(!events["data"].as_array().expect("a list").is_empty(), "{action}: {events}");
    }
    let stopped = Arc::into_inner(serving).expect("nobody else has it").stop().await;
    for key in [&old, &new] {
        assert!(!stopped.stderr.contains(key.trim()) && !stopped.stdout.contains(key.trim()));
    }
    let serving = place.serve().await;
    check(&serving, &admin, &kept).await;
    assert_eq!(serving.get("/.well-known/jwks.json", &admin).await.json(), set);
}

fn with(command: Gatepost, master_key: &str) -> Gatepost {
    command.variable("GATEPOST_MASTER_KEY", master_key)
}

#[tokio::test]
async fn a_master_key_from_the_environment_is_replaced_node_by_node() {
    let [old, new] = [(); 2].map(|()| MasterKey::generate(&SystemEntropy).to_base64());
    let place = Place::new().await;
    let serve =
        async |key: &str| with(place.command("serve --listen 127.0.0.1:0 --poll-interval 50ms"), key).serve().await;
    let run = async |line: &str, key: &str| with(place.command(line), key).run().await;
    let first = serve(&old).await;
    let admin = first.admin("live");
    let kept = Kept::from([make(&first, &admin, "one").await]);

    let bare = run("master-key rotate", &old).await.fails_with(2);
    assert!(bare.contains("GATEPOST_NEW_MASTER_KEY"), "{bare}");
    let rotate =
        |key: &str, new: &str| with(place.command("master-key rotate"), key).variable("GATEPOST_NEW_MASTER_KEY", new);
    let wrong = rotate(&old, "hunter2").run().await.fails_with(2);
    assert!(wrong.contains("must be 32 bytes in base64") && !wrong.contains("hunter2"), "{wrong}");
    let same = rotate(&old, &old).run().await.fails_with(2);
    assert!(same.contains("is the one that the database has already"), "{same}");
    let early = run("master-key finish", &new).await.fails_with(2);
    assert!(early.contains("another master key"), "{early}");

    let begun = rotate(&old, &new).run().await;
    assert!(begun.stderr.contains("run `gatepost master-key finish` with the new one"), "{begun:?}");
    begun.ok();
    rotate(&old, &new).run().await.ok();
    let other = MasterKey::generate(&SystemEntropy).to_base64();
    assert!(rotate(&old, &other).run().await.fails_with(2).contains("being replaced by another one"));
    let second = serve(&new).await;
    for node in [&first, &second] {
        check(node, &admin, &kept).await;
    }
    // Long enough for the first to see where it stands.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(run("master-key finish", &old).await.fails_with(2).contains("a newer master key"));

    let finished = run("master-key finish", &new).await;
    // Two secrets and a signing key; a second signing key is made some seconds after the start.
    let anew = |n: u32| finished.stderr.contains(&format!("{n} secrets were sealed anew"));
    assert!(anew(3) || anew(4), "{finished:?}");
    finished.ok();
    check(&second, &admin, &kept).await;
    // The node that nobody told goes on checking keys, and says what is to be done.
    let (id, secret) = kept.first_key_value().expect("one key");
    first.get("/v1/auth/whoami", &Actor::made(secret, id)).await.expect(200, "");
    first.post(&format!("/v1/keys/{id}:reveal"), &admin, &json!({})).await.expect(500, "INTERNAL");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stopped = first.stop().await;
    assert!(stopped.stderr.contains("give this node the new one and start it again"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("the master key of this node was replaced"), "{}", stopped.stderr);
    for key in [&old, &new] {
        assert!(!stopped.stderr.contains(key.as_str()));
    }
    assert!(run("admin-key new", &old).await.fails_with(2).contains("belongs to another master key"));
    let third = serve(&new).await;
    check(&third, &admin, &kept).await;
}
