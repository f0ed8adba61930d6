//! From creation to the end.

use std::time::Duration;

use gatepost::domain::environment::Environment;
use gatepost::domain::secret::SecretShape;
use serde_json::{Value, json};

use super::{act, decision, read};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn a_key_is_what_was_asked_for() {
    let server = TestServer::start().await;
    server.register(&["READ_BUDGETS"]).await;
    for wire in Wire::ALL {
        let request = json!({
            "type": "RK",
            "environment": "LIVE",
            "name": format!("Shop für {wire:?}"),
            "alias": format!("shop {wire:?}"),
            "description": "Line one\nline two\t\u{1f511}",
            "owner": "team:shop",
            "scopes": ["READ_PRODUCTS", "read:budgets"],
            "allowedIps": ["10.0.0.0/8", "::ffff:192.0.2.1", "2001:db8::/32"],
            "metadata": {"plan": "gold", "empty": ""},
            "recoverable": true,
            "expiresAt": server.later(Duration::from_secs(3600)),
        });
        let made = server.call(wire, "Keys/CreateKey", &server.live(), request.clone()).await.ok();
        let (key, secret) = (&made["key"], made["secret"].as_str().expect("a secret"));
        Actor::made(secret, "");
        for field in
            ["type", "environment", "name", "alias", "description", "owner", "metadata", "recoverable", "expiresAt"]
        {
            assert_eq!(key[field], request[field], "{field}");
        }
        // The registry's spelling, and addresses as they are.
        assert_eq!(key["scopes"], json!(["READ_BUDGETS", "read:products"]));
        assert_eq!(key["allowedIps"], json!(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]));
        assert_eq!((&key["state"], &key["project"]), (&json!("ACTIVE"), &json!("default")));
        assert_eq!(key["createdBy"], server.live().id);
        assert_eq!(key["createdAt"], "2030-01-01T00:00:00Z");
        assert_eq!(key["hint"], format!("{}...{}", &secret[..12], &secret[secret.len() - 4..]));
        let shape = SecretShape::parse(secret).expect("a secret has the published shape");
        assert_eq!((shape.prefix, shape.environment), ("rk", Environment::Live));

        let id = json!({"id": key["id"]});
        for wire in Wire::ALL {
            assert_eq!(&server.call(wire, "Keys/GetKey", &server.live(), id.clone()).await.ok()["key"], key);
            let listed = server.call(wire, "Keys/ListKeys", &server.live(), json!({"alias": key["alias"]})).await.ok();
            assert_eq!(listed["data"], json!([key]));
        }
    }
}

#[tokio::test]
async fn each_type_has_its_prefix_and_its_rules() {
    let server = TestServer::start().await;
    let admin = server.live();
    for (kind, prefix) in [("SK", "sk_live_"), ("RK", "rk_live_"), ("PK", "pk_live_")] {
        let key = server.new_key(json!({"type": kind, "name": kind, "scopes": ["read:products"]})).await;
        assert!(key.secret.starts_with(prefix), "{kind}");
    }
    assert!(server.new_key_by(&server.test(), json!({"name": "test"})).await.secret.starts_with("sk_test_"));

    let own = json!({"project": {"id": "default", "keyPrefix": "bk"}, "updateMask": "keyPrefix"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &admin, own).await.ok();
    let billing = server.key(&["read:products"]).await;
    assert!(billing.secret.starts_with("bk_live_"), "a project sets its own prefix for secret keys");
    assert!(server.new_key_by(&server.test(), json!({"name": "t"})).await.secret.starts_with("bk_test_"));
    assert!(server.rk(&["read:products"]).await.secret.starts_with("rk_live_"), "and for no others");
    // Those that exist go on working.
    for key in [billing, admin.clone()] {
        server.call(Wire::Json, "Auth/WhoAmI", &key, json!({})).await.ok();
    }

    for wire in Wire::ALL {
        let refused = async |request: Value| server.call(wire, "Keys/CreateKey", &admin, request).await;
        refused(json!({"type": "RK", "name": "no scope"})).await.violates(&["scopes"]);
        refused(json!({"type": "RK", "name": "all", "scopes": ["admin"]})).await.violates(&["scopes[0]"]);
        refused(json!({"type": "PK", "name": "keys", "scopes": ["write:keys"]})).await.violates(&["scopes[0]"]);
        refused(json!({"name": "no such", "scopes": ["read:keys", "read:nothing"]})).await.violates(&["scopes[1]"]);
        refused(json!({"name": "test", "environment": "TEST"})).await.refused("ENV_MISMATCH");
    }
}

#[tokio::test]
async fn suspended_resumed_and_revoked() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let key = server.key(&[]).await;
        assert_eq!(decision(&server, &key.secret).await, "VALID");

        let suspended = act(&server, wire, "Keys/SuspendKey", &key).await;
        assert_eq!((&suspended["state"], &suspended["suspendedAt"]), (&json!("SUSPENDED"), &suspended["updatedAt"]));
        assert_eq!(decision(&server, &key.secret).await, "SUSPENDED", "with the call's return");
        assert_eq!(act(&server, wire, "Keys/SuspendKey", &key).await, suspended, "again changes nothing");

        let resumed = act(&server, wire, "Keys/ResumeKey", &key).await;
        assert_eq!((&resumed["state"], &resumed["suspendedAt"]), (&json!("ACTIVE"), &Value::Null));
        assert_eq!(decision(&server, &key.secret).await, "VALID");

        let revoked = act(&server, wire, "Keys/DeleteKey", &key).await;
        assert_eq!((&revoked["state"], &revoked["revokedAt"]), (&json!("REVOKED"), &revoked["updatedAt"]));
        assert_eq!(decision(&server, &key.secret).await, "REVOKED");
        assert_eq!(act(&server, wire, "Keys/DeleteKey", &key).await, revoked, "again changes nothing");
        assert_eq!(read(&server, &key.id).await, revoked, "it stays readable");

        for rpc in ["Keys/SuspendKey", "Keys/ResumeKey", "Keys/RotateKey"] {
            server.call(wire, rpc, &server.live(), json!({"id": key.id})).await.refused("INVALID_STATE");
        }
        let change = json!({"key": {"id": key.id, "name": "back"}, "updateMask": "name"});
        server.call(wire, "Keys/UpdateKey", &server.live(), change).await.refused("INVALID_STATE");
    }
}

#[tokio::test]
async fn a_key_ends_by_itself() {
    let server = TestServer::start().await;
    let key = server.new_key(json!({"name": "soon over", "expiresAt": server.later(Duration::from_secs(60))})).await;
    server.advance(Duration::from_secs(59));
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    server.advance(Duration::from_secs(1));
    assert_eq!(decision(&server, &key.secret).await, "EXPIRED", "at its end, not after it");
    assert_eq!(read(&server, &key.id).await["state"], "EXPIRED");
    for wire in Wire::ALL {
        server.call(wire, "Auth/WhoAmI", &key, json!({})).await.refused("NOT_FOUND");
        let listed = server.call(wire, "Keys/ListKeys", &server.live(), json!({"state": "EXPIRED"})).await.ok();
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
        server.call(wire, "Keys/RotateKey", &server.live(), json!({"id": key.id})).await.refused("INVALID_STATE");
    }
    // A longer life is a change like any other.
    let change =
        json!({"key": {"id": key.id, "expiresAt": server.later(Duration::from_secs(60))}, "updateMask": "expiresAt"});
    server.call(Wire::Json, "Keys/UpdateKey", &server.live(), change).await.ok();
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    let past = json!({"name": "over", "expiresAt": "2029-12-31T23:59:59Z"});
    for wire in Wire::ALL {
        server.call(wire, "Keys/CreateKey", &server.live(), past.clone()).await.violates(&["expires_at"]);
    }
}

#[tokio::test]
async fn only_what_the_mask_names_is_changed() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let alias = format!("first {wire:?}");
        let key =
            server.new_key(json!({"name": "old", "alias": alias, "description": "old", "metadata": {"a": "1"}})).await;
        let before = read(&server, &key.id).await;
        let change = |mask: &str, key: Value| json!({"key": key, "updateMask": mask});
        let update = async |request| server.call(wire, "Keys/UpdateKey", &server.live(), request).await;

        let named = change("name,metadata", json!({"id": key.id, "name": "new", "description": "not this"}));
        let after = update(named).await.ok()["key"].clone();
        assert_eq!(
            (&after["name"], &after["description"], &after["alias"]),
            (&json!("new"), &json!("old"), &json!(alias))
        );
        assert_eq!(after["metadata"], json!({}), "a masked field that is absent is emptied");
        assert_ne!(after["etag"], before["etag"]);
        assert_eq!(read(&server, &key.id).await, after);

        let stale = change("name", json!({"id": key.id, "name": "lost", "etag": before["etag"]}));
        update(stale).await.refused("ETAG_MISMATCH");
        let fresh = change("alias", json!({"id": key.id, "etag": after["etag"]}));
        assert_eq!(update(fresh).await.ok()["key"]["alias"], Value::Null);

        for (mask, fields) in [("hint", ["update_mask"]), ("state", ["update_mask"]), ("nothing", ["update_mask"])] {
            update(change(mask, json!({"id": key.id}))).await.violates(&fields);
        }
        update(change("name", json!({"id": "key_0123", "name": "x"}))).await.refused("RESOURCE_NOT_FOUND");
        for rpc in ["Keys/SuspendKey", "Keys/ResumeKey", "Keys/RotateKey", "Keys/DeleteKey"] {
            let stale = json!({"id": key.id, "etag": "v0"});
            server.call(wire, rpc, &server.live(), stale).await.refused("ETAG_MISMATCH");
        }
    }
}

#[tokio::test]
async fn an_alias_is_taken_until_its_key_is_revoked() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let alias = format!("alias {wire:?}");
        let named = json!({"name": "first", "alias": alias});
        let first = server.new_key(named.clone()).await;
        let create = async |actor: Actor| server.call(wire, "Keys/CreateKey", &actor, named.clone()).await;
        create(server.live()).await.refused("ALREADY_EXISTS");
        let other = server.key(&[]).await;
        let change = json!({"key": {"id": other.id, "alias": alias}, "updateMask": "alias"});
        server.call(wire, "Keys/UpdateKey", &server.live(), change).await.refused("ALREADY_EXISTS");
        let test = create(server.test()).await.ok();
        Actor::made(test["secret"].as_str().expect("a secret"), "");
        act(&server, wire, "Keys/DeleteKey", &first).await;
        let again = create(server.live()).await.ok();
        Actor::made(again["secret"].as_str().expect("a secret"), "");
    }
}

#[tokio::test]
async fn only_a_recoverable_key_is_shown_again_and_who_asked_is_written_down() {
    let server = TestServer::start().await;
    let (kept, lost) = (
        server.new_key(json!({"name": "kept", "recoverable": true})).await,
        server.new_key(json!({"name": "lost"})).await,
    );
    for wire in Wire::ALL {
        let actor = server.live().with("x-request-id", &format!("reveal-{wire:?}"));
        let shown = server.call(wire, "Keys/RevealKey", &actor, json!({"id": kept.id})).await;
        assert_eq!(shown.ok()["secret"], kept.secret);
        let refused = server.call(wire, "Keys/RevealKey", &server.live(), json!({"id": lost.id})).await;
        refused.refused("INVALID_STATE");
    }
    let events =
        server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), json!({"action": "key.revealed"})).await;
    let mut reveals: Vec<_> = events.ok()["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|event| {
            assert_eq!((&event["actor"], &event["target"]), (&json!(server.live().id), &json!(kept.id)));
            event["requestId"].as_str().expect("a text").to_owned()
        })
        .collect();
    reveals.sort();
    assert_eq!(reveals, ["reveal-Grpc", "reveal-GrpcWeb", "reveal-GrpcWebText", "reveal-Json"]);

    let rotated = server.call(Wire::Json, "Keys/RotateKey", &server.live(), json!({"id": kept.id})).await.ok();
    let shown = server.call(Wire::Json, "Keys/RevealKey", &server.live(), json!({"id": kept.id})).await.ok();
    assert_eq!(shown["secret"], rotated["secret"], "the current secret");
    act(&server, Wire::Json, "Keys/DeleteKey", &kept).await;
    server.call(Wire::Json, "Keys/RevealKey", &server.live(), json!({"id": kept.id})).await.refused("INVALID_STATE");
}

#[tokio::test]
async fn lists_are_whole_and_never_cross_a_wall() {
    let server = TestServer::start().await;
    let other = server.other_project("other", Environment::Live).await;
    let mut mine = Vec::new();
    for n in 0..7 {
        mine.push(server.new_key(json!({"name": format!("{n}"), "owner": "me", "type": "SK"})).await.id);
        server.advance(Duration::from_millis(1));
    }
    server.new_key_by(&server.test(), json!({"name": "of the test side", "owner": "me"})).await;
    server.new_key_by(&other, json!({"name": "of the other project", "owner": "me"})).await;
    mine.reverse();
    for wire in Wire::ALL {
        let list = async |request: Value| server.call(wire, "Keys/ListKeys", &server.live(), request).await;
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(json!({"owner": "me", "pageSize": 3, "pageToken": token})).await.ok();
            found.extend(page["data"].as_array().expect("a list").iter().map(|key| key["id"].clone()));
            assert_eq!(page["pagination"], Value::Null);
            match page["nextPageToken"].as_str() {
                Some(next) => token = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(json!(found), json!(mine), "newest first, each once");
        for (style, first) in [("limit", 1), ("size", 0)] {
            let page = list(json!({"owner": "me", style: 3, "page": first + 2})).await.ok();
            assert_eq!(page["data"][0]["id"], mine[6]);
            let place = json!({"page": first + 2, "limit": 3, "total": 7, "hasMore": false});
            assert_eq!(page["pagination"], place);
            assert_eq!(list(json!({"owner": "me", style: 3, "page": 99})).await.ok()["data"], json!([]));
        }
        list(json!({"pageSize": 3, "limit": 3})).await.violates(&["page_size"]);
        list(json!({"pageSize": 1001})).await.violates(&["page_size"]);
        list(json!({"limit": 3, "page": 0})).await.violates(&["page"]);
        list(json!({"pageToken": "made up"})).await.violates(&["page_token"]);
        list(json!({"owner": "you", "pageToken": token})).await.violates(&["page_token"]);
        for stranger in [&other, &server.test()] {
            let read = server.call(wire, "Keys/GetKey", stranger, json!({"id": mine[0]})).await;
            read.refused("RESOURCE_NOT_FOUND");
            for rpc in ["Keys/DeleteKey", "Keys/SuspendKey", "Keys/ResumeKey", "Keys/RotateKey", "Keys/RevealKey"] {
                server.call(wire, rpc, stranger, json!({"id": mine[0]})).await.refused("RESOURCE_NOT_FOUND");
            }
        }
    }
}
