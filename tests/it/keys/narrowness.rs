//! No key can make a key wider, longer-lived or in another environment than itself, nor govern one that is.

use std::time::Duration;

use serde_json::{Value, json};

use super::{decision, read};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn no_key_gives_what_it_does_not_hold() {
    let server = TestServer::start().await;
    server.register(&["read:budgets", "write:budgets"]).await;
    let maker = server.key(&["write:keys", "read:keys", "read:budgets"]).await;
    for wire in Wire::ALL {
        let create = async |request: Value| server.call(wire, "Keys/CreateKey", &maker, request).await;
        for scopes in [
            json!(["admin"]),
            json!(["write:budgets"]),
            json!(["READ_BUDGETS", "WRITE_BUDGETS"]),
            json!(["reveal:keys"]),
        ] {
            create(json!({"name": "wider", "scopes": scopes})).await.refused("EXCEEDS_CALLER");
        }
        create(json!({"name": "elsewhere", "environment": "TEST"})).await.refused("ENV_MISMATCH");
        let made = create(json!({"name": "equal", "scopes": ["READ_BUDGETS", "write:keys", "read:keys"]})).await.ok();
        let made = Actor::made(made["secret"].as_str().expect("a secret"), made["key"]["id"].as_str().expect("an id"));
        let wider = json!({"key": {"id": made.id, "scopes": ["write:budgets"]}, "updateMask": "scopes"});
        server.call(wire, "Keys/UpdateKey", &maker, wider.clone()).await.refused("EXCEEDS_CALLER");
        let own = json!({"key": {"id": maker.id, "scopes": ["admin"]}, "updateMask": "scopes"});
        server.call(wire, "Keys/UpdateKey", &maker, own).await.refused("EXCEEDS_CALLER");
        // A key made by a key is no wider either.
        server.call(wire, "Keys/UpdateKey", &made, wider).await.refused("EXCEEDS_CALLER");
        let narrower = json!({"key": {"id": made.id, "scopes": ["read:budgets"]}, "updateMask": "scopes"});
        server.call(wire, "Keys/UpdateKey", &maker, narrower).await.ok();
    }
}

#[tokio::test]
async fn no_key_makes_one_that_outlives_it() {
    let server = TestServer::start().await;
    let end = server.later(Duration::from_secs(3600));
    let maker = json!({"name": "maker", "scopes": ["write:keys", "reveal:keys"], "expiresAt": end});
    let maker = server.new_key(maker).await;
    for wire in Wire::ALL {
        let create = async |request: Value| server.call(wire, "Keys/CreateKey", &maker, request).await;
        let later = json!(server.later(Duration::from_secs(3601)));
        create(json!({"name": "longer", "expiresAt": later})).await.refused("EXCEEDS_CALLER");
        let made = create(json!({"name": "no end said"})).await.ok();
        assert_eq!(made["key"]["expiresAt"], end, "the maker's own end");
        let id = made["key"]["id"].clone();
        Actor::made(made["secret"].as_str().expect("a secret"), "");
        let change = |value: Value| json!({"key": {"id": id, "expiresAt": value}, "updateMask": "expiresAt"});
        server.call(wire, "Keys/UpdateKey", &maker, change(later)).await.refused("EXCEEDS_CALLER");
        let endless =
            server.call(wire, "Keys/UpdateKey", &maker, json!({"key": {"id": id}, "updateMask": "expiresAt"})).await;
        assert_eq!(endless.ok()["key"]["expiresAt"], end, "to take the end away is to ask for the longest there is");
    }
}

#[tokio::test]
async fn no_key_governs_a_wider_one() {
    let server = TestServer::start().await;
    let narrow = server.key(&["write:keys", "reveal:keys", "read:keys"]).await;
    let wide =
        server.new_key(json!({"name": "wide", "recoverable": true, "scopes": ["write:keys", "write:products"]})).await;
    let before = read(&server, &wide.id).await;
    for wire in Wire::ALL {
        for target in [&wide, &server.live()] {
            let rpcs = ["Keys/DeleteKey", "Keys/SuspendKey", "Keys/ResumeKey", "Keys/RotateKey", "Keys/RevealKey"];
            for rpc in rpcs {
                server.call(wire, rpc, &narrow, json!({"id": target.id})).await.refused("EXCEEDS_CALLER");
            }
            // Not even to make it narrower, or to change what seems harmless.
            for mask in ["name", "scopes", "allowedIps", "expiresAt"] {
                let change = json!({"key": {"id": target.id, "name": "mine"}, "updateMask": mask});
                server.call(wire, "Keys/UpdateKey", &narrow, change).await.refused("EXCEEDS_CALLER");
            }
        }
    }
    assert_eq!(read(&server, &wide.id).await, before);
    assert_eq!(decision(&server, &wide.secret).await, "VALID");
}

#[tokio::test]
async fn no_key_gets_the_secret_of_one_that_outlives_it() {
    let server = TestServer::start().await;
    let maker = json!({
        "name": "short", "scopes": ["write:keys", "reveal:keys"], "expiresAt": server.later(Duration::from_secs(60)),
    });
    let short = server.new_key(maker).await;
    let endless = server.new_key(json!({"name": "endless", "recoverable": true})).await;
    for wire in Wire::ALL {
        for rpc in ["Keys/RotateKey", "Keys/RevealKey"] {
            server.call(wire, rpc, &short, json!({"id": endless.id})).await.refused("EXCEEDS_CALLER");
        }
    }
    assert_eq!(decision(&server, &endless.secret).await, "VALID");
}

/// The old secret of a rotation ends with its grace period: what it makes must end by then too.
#[tokio::test]
async fn no_old_secret_makes_a_key_that_outlives_it() {
    let server = TestServer::start().await;
    let maker = server.key(&["write:keys", "read:keys"]).await;
    let rotate = json!({"id": maker.id, "gracePeriod": "60s"});
    let rotated = server.call(Wire::Grpc, "Keys/RotateKey", &server.live(), rotate).await.ok();
    Actor::made(rotated["secret"].as_str().expect("a secret"), "");
    for wire in Wire::ALL {
        let made = server.call(wire, "Keys/CreateKey", &maker, json!({"name": "made with the old secret"})).await;
        if made.reason != "EXCEEDS_CALLER" {
            let made = made.ok();
            Actor::made(made["secret"].as_str().expect("a secret"), "");
            assert_eq!(made["key"]["expiresAt"], server.later(Duration::from_secs(60)), "the old secret's end");
        }
        server.call(wire, "Keys/RotateKey", &maker, json!({"id": maker.id})).await.refused("EXCEEDS_CALLER");
    }
}

/// An address list is a limit like any other: a key that is held to addresses must not make one that is not.
#[tokio::test]
async fn no_key_makes_one_that_works_from_more_places() {
    let server = TestServer::start().await;
    let home = json!({"name": "at home", "scopes": ["write:keys"], "allowedIps": ["127.0.0.0/8"]});
    let home = server.new_key(home).await;
    for wire in Wire::ALL {
        let create = async |list: Value| {
            server.call(wire, "Keys/CreateKey", &home, json!({"name": "made", "allowedIps": list})).await
        };
        create(json!(["0.0.0.0/0"])).await.refused("EXCEEDS_CALLER");
        create(json!(["127.0.0.0/8", "::1"])).await.refused("EXCEEDS_CALLER");
        let made = create(json!([])).await.ok();
        Actor::made(made["secret"].as_str().expect("a secret"), "");
        assert_eq!(made["key"]["allowedIps"], json!(["127.0.0.0/8"]), "none said: the maker's own");
        let made = create(json!(["127.0.0.1", "127.1.0.0/16"])).await.ok();
        Actor::made(made["secret"].as_str().expect("a secret"), "");
        let open = json!({"key": {"id": made["key"]["id"]}, "updateMask": "allowedIps"});
        let opened = server.call(wire, "Keys/UpdateKey", &home, open).await.ok();
        assert_eq!(opened["key"]["allowedIps"], json!(["127.0.0.0/8"]));
        let own = json!({"key": {"id": home.id, "allowedIps": ["0.0.0.0/0"]}, "updateMask": "allowedIps"});
        server.call(wire, "Keys/UpdateKey", &home, own).await.refused("EXCEEDS_CALLER");
    }
}

#[tokio::test]
async fn no_key_that_is_bound_to_addresses_frees_itself_or_others() {
    let server = TestServer::start().await;
    let scopes = ["write:keys", "read:keys", "reveal:keys"];
    let bound = json!({"name": "bound", "scopes": scopes, "allowedIps": ["127.0.0.0/8"]});
    let bound = server.new_key(bound).await;
    let told = json!({"name": "told", "recoverable": true, "allowedIps": ["127.0.0.1"], "allowedIpsMode": "REPORT"});
    let told = server.new_key(told).await;
    for wire in Wire::ALL {
        let update = async |change: Value, mask: &str| {
            let change = json!({"key": change, "updateMask": mask});
            server.call(wire, "Keys/UpdateKey", &bound, change).await
        };
        let report = |id: &str| json!({"id": id, "allowedIps": ["127.0.0.1"], "allowedIpsMode": "REPORT"});
        for mask in ["allowedIpsMode", "allowedIps,allowedIpsMode"] {
            update(report(&bound.id), mask).await.refused("EXCEEDS_CALLER");
            // What an administrator had it do, it may go on doing.
            update(report(&told.id), mask).await.ok();
        }
        let open = json!({"name": "open", "allowedIpsMode": "REPORT"});
        server.call(wire, "Keys/CreateKey", &bound, open).await.refused("EXCEEDS_CALLER");
        for rpc in ["Keys/RotateKey", "Keys/RevealKey"] {
            server.call(wire, rpc, &bound, json!({"id": told.id})).await.refused("EXCEEDS_CALLER");
        }
    }
}

#[tokio::test]
async fn no_key_gets_more_calls_than_it_has() {
    let server = TestServer::start().await;
    let limit = |calls: u32, seconds: u32, shared: bool| json!([{"name": "day", "limit": calls, "window": format!("{seconds}s"), "shared": shared}]);
    let scopes = ["write:keys", "read:keys", "reveal:keys"];
    let maker = json!({"name": "maker", "scopes": scopes, "rateLimits": limit(1_000, 86_400, false)});
    let maker = server.new_key(maker).await;
    let free = server.new_key(json!({"name": "free", "recoverable": true})).await;
    let metered = server.new_key(json!({"name": "metered", "scopes": scopes, "credits": {"remaining": 100}})).await;
    for wire in Wire::ALL {
        let create = async |maker: &Actor, limits: Value| {
            let request = json!({"name": "made", "rateLimits": limits});
            server.call(wire, "Keys/CreateKey", maker, request).await
        };
        for wider in [limit(1_001, 86_400, false), limit(1_000, 86_399, false)] {
            create(&maker, wider).await.refused("EXCEEDS_CALLER");
        }
        for (wanted, calls) in [(json!([]), 1_000), (limit(10, 86_400, true), 10)] {
            let made = create(&maker, wanted).await.ok();
            Actor::made(made["secret"].as_str().expect("a secret"), "");
            assert_eq!(made["key"]["rateLimits"][0]["limit"], calls, "{made}");
        }
        // Its own limits it keeps, as they were or smaller.
        let change = json!({"key": {"id": maker.id}, "updateMask": "rateLimits"});
        let kept = server.call(wire, "Keys/UpdateKey", &maker, change).await.ok();
        assert_eq!(kept["key"]["rateLimits"][0]["limit"], 1_000, "{kept}");
        // Credits are made and set by whoever has none.
        create(&metered, json!([])).await.refused("EXCEEDS_CALLER");
        for id in [&metered.id, &free.id] {
            let change = json!({"key": {"id": id, "credits": {"remaining": 500}}, "updateMask": "credits"});
            server.call(wire, "Keys/UpdateKey", &metered, change).await.refused("EXCEEDS_CALLER");
        }
        for maker in [&maker, &metered] {
            for rpc in ["Keys/RotateKey", "Keys/RevealKey"] {
                server.call(wire, rpc, maker, json!({"id": free.id})).await.refused("EXCEEDS_CALLER");
            }
        }
    }
    let turned = server.call(Wire::Grpc, "Keys/RotateKey", &metered, json!({"id": metered.id})).await.ok();
    Actor::made(turned["secret"].as_str().expect("a secret"), "");
}
