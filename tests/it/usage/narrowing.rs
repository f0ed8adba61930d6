//! Least privilege: what a key needed, and taking away the rest.

use std::time::Duration;

use serde_json::{Value, json};

use crate::oauth::{CALLBACK, post, register};
use crate::support::{Actor, TestServer, Wire};

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[tokio::test]
async fn a_key_is_narrowed_to_what_it_needed() {
    for wire in Wire::ALL {
        let server = TestServer::start().await;
        server.register(&["READ_BUDGETS", "write:budgets"]).await;
        let scopes = ["read:keys", "read:users", "READ_BUDGETS", "write:budgets", "read:audit"];
        let key = server.key(&scopes).await;
        server.call(wire, "Keys/ListAuditEvents", &key, json!({})).await.ok();
        server.advance(Duration::from_secs(86_400));
        let since = server.later(Duration::ZERO);
        server.call(wire, "Keys/ListKeys", &key, json!({})).await.ok();
        let asked = json!({"credential": key.secret, "scopes": ["read:budgets"], "clientIp": "203.0.113.5"});
        server.call(wire, "Auth/Verify", &server.live(), asked).await.ok();
        // What is refused is not needed: nor are the scopes of a call that fails for another.
        let asked = json!({"credential": key.secret, "scopes": ["write:budgets", "write:keys"]});
        server.call(wire, "Auth/Verify", &server.live(), asked).await.ok();

        let request = json!({"id": key.id, "startTime": since});
        let report = server.call(wire, "Keys/GetScopeUsage", &server.live(), request).await.ok();
        let seen: Vec<_> = report["scopes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| {
                let flag = |name: &str| one[name].as_bool().unwrap_or(false);
                (one["scope"].as_str().expect("a text"), flag("granted"), flag("used"), one["lastUsedAt"].is_string())
            })
            .collect();
        let wanted = [
            ("READ_BUDGETS", true, true, true),
            ("read:audit", true, false, true),
            ("read:keys", true, true, true),
            ("read:users", true, false, false),
            ("write:budgets", true, false, false),
        ];
        let mut seen = seen;
        seen.sort_unstable();
        assert_eq!(seen, wanted);
        let methods: Vec<_> = report["methods"].as_array().expect("a list").iter().map(|one| &one["method"]).collect();
        assert_eq!(methods, ["Keys/ListKeys", "verification"]);
        let addresses = report["addresses"].as_array().expect("a list");
        assert!(addresses.iter().any(|one| one["address"] == "203.0.113.5"), "{report}");
        assert!(addresses.iter().any(|one| one["address"] == "127.0.0.1"), "{report}");

        let narrow = async |more: Value| {
            let mut request = json!({"id": key.id, "usedSince": since});
            request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            server.call(wire, "Keys/NarrowKey", &server.live(), request).await
        };
        let (kept, removed) = (["READ_BUDGETS", "read:keys"], ["read:audit", "read:users", "write:budgets"]);
        for (request, held) in [(json!({"dryRun": true}), 5), (json!({}), 2)] {
            let answer = narrow(request).await.ok();
            let mut told = [texts(&answer["keptScopes"]), texts(&answer["removedScopes"])];
            told.iter_mut().for_each(|list| list.sort_unstable());
            assert_eq!(told, [kept.to_vec(), removed.to_vec()]);
            assert_eq!(texts(&answer["key"]["scopes"]).len(), held);
        }
        narrow(json!({"etag": "stale"})).await.refused("ETAG_MISMATCH");
        // What is left is all needed: nothing changes.
        let again = narrow(json!({})).await.ok();
        assert_eq!(texts(&again["removedScopes"]), Vec::<&str>::new());
        server.call(wire, "Keys/ListAuditEvents", &key, json!({})).await.refused("INSUFFICIENT_SCOPE");
        server.call(wire, "Keys/ListKeys", &key, json!({})).await.ok();
        let entries = json!({"target": key.id, "action": "key.updated"});
        let entries = server.call(wire, "Keys/ListAuditEvents", &server.live(), entries).await.ok();
        assert_eq!(entries["data"].as_array().map(Vec::len), Some(1));

        let idle = server.key(&["read:keys"]).await;
        let narrow = json!({"id": idle.id});
        server.call(wire, "Keys/NarrowKey", &server.live(), narrow.clone()).await.refused("INVALID_STATE");
        let half = server.key(&["write:keys"]).await;
        server.call(wire, "Keys/NarrowKey", &half, narrow).await.refused("INSUFFICIENT_SCOPE");
    }
}

#[tokio::test]
async fn an_administrator_becomes_what_it_does() {
    let server = TestServer::start().await;
    let admin = server.key(&["admin"]).await;
    let target = server.key(&["read:keys"]).await;
    server.call(Wire::Grpc, "Keys/ListKeys", &admin, json!({})).await.ok();
    // What nobody registered cannot be granted.
    let asked = json!({"credential": admin.secret, "scopes": ["fly:planes"]});
    assert_eq!(server.call(Wire::Grpc, "Auth/Verify", &server.live(), asked).await.ok()["code"], "VALID");
    let less = server.key(&["read:usage", "write:keys", "read:keys"]).await;
    let narrow = json!({"id": admin.id});
    server.call(Wire::Grpc, "Keys/NarrowKey", &less, narrow.clone()).await.refused("EXCEEDS_CALLER");
    let answer = server.call(Wire::Grpc, "Keys/NarrowKey", &server.live(), narrow).await.ok();
    assert_eq!((texts(&answer["keptScopes"]), texts(&answer["removedScopes"])), (vec!["read:keys"], vec!["admin"]));
    server.call(Wire::Grpc, "Keys/ListKeys", &admin, json!({})).await.ok();
    let suspend = json!({"id": target.id});
    server.call(Wire::Grpc, "Keys/SuspendKey", &admin, suspend).await.refused("INSUFFICIENT_SCOPE");
}

#[tokio::test]
async fn what_a_service_asks_for_itself_is_needed() {
    let server = TestServer::start().await;
    let project = json!({"id": "default", "clientRegistration": "REGISTRATION_TOKEN"});
    let request = json!({"project": project, "updateMask": "clientRegistration"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
    let removed = async |id: &str| {
        let narrow = json!({"id": id, "dryRun": true});
        let told = server.call(Wire::Grpc, "Keys/NarrowKey", &server.live(), narrow).await.ok();
        texts(&told["removedScopes"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let key = server.key(&["read:keys", "write:clients", "read:users"]).await;
    // The same RPC stands for both at the door.
    for _ in 0..2 {
        assert_eq!(server.get("/v1/auth/whoami", &key).await.status, 200);
        server.get("/v1/keys", &key).await.expect(200, "");
    }
    assert_eq!(removed(&key.id).await, ["read:users", "write:clients"]);
    let metadata = json!({"redirect_uris": [CALLBACK]});
    server.post("/oauth/register", &key, &metadata).await.expect(201, "");
    assert_eq!(removed(&key.id).await, ["read:users"]);

    // A token of a key that acts for a user tells all of them, if it may read users.
    let bot = server.service_account(&["read:users", "read:keys"]).await;
    let client = json!({"name": "Gateway", "grantTypes": [EXCHANGE], "scopes": ["openid", "read:users"]});
    let client = register(&server, client).await;
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", bot.secret.as_str()),
        ("subject_token_type", "urn:gatepost:params:oauth:token-type:api-key"),
    ];
    let token = post(&server, "/oauth/token", Some(&client), &form).await.expect(200, "").json();
    let token = Actor::bearer(token["access_token"].as_str().expect("a token"));
    server.get("/v1/keys", &bot).await.expect(200, "");
    server.get("/v1/users/me", &bot).await.expect(200, "");
    assert_eq!(removed(&bot.id).await, ["read:users"], "the key itself needs no scope for it");
    server.get("/v1/users/me", &token).await.expect(200, "");
    assert_eq!(removed(&bot.id).await, Vec::<String>::new());
}

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
