//! The keys that users make for themselves.

use http::Method;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

async fn person(server: &TestServer, handle: &str, scopes: &[&str]) -> (String, Actor) {
    let id = server.person(&server.live(), handle, scopes).await;
    (id, server.sign_in(&server.live(), handle).await)
}

async fn works(server: &TestServer, key: &Actor) -> bool {
    match server.get("/user", key).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

async fn may(server: &TestServer, key: &Actor, wire: Wire) -> Value {
    server.call(wire, "Auth/WhoAmI", key, json!({})).await.ok()["scopes"].clone()
}

/// The calls of the user-key API as it documents them.
#[tokio::test]
async fn the_documented_calls() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:products"]).await;
    let login = json!({"handle": "ada", "password": crate::support::leaks::PASSWORD});
    let session = server.post("/auth/credentials", &Actor::anonymous(), &login).await.expect(200, "").json();
    let session = Actor::made(session["token"].as_str().expect("a token"), "session");
    for base in ["/user/keys", "/v1/users/me/keys"] {
        let bare = server.post(base, &session, &json!({"handle": "phone"})).await.expect(200, "").json();
        assert_eq!((&bare["handle"], bare.get("alias")), (&json!("phone"), None), "{base}");
        let made = server.post(base, &session, &json!({"handle": "laptop", "alias": "My laptop"})).await;
        assert_eq!(made.header("cache-control"), "no-store");
        let made = made.expect(200, "").json();
        let token = made["token"].as_str().expect("a token");
        assert!(token.starts_with("uk_live_") && made["id"].as_str().is_some_and(|id| id.starts_with("key_")));
        assert_eq!((&made["handle"], &made["alias"]), (&json!("laptop"), &json!("My laptop")));
        assert_eq!(made["createdAt"], "2030-01-01T00:00:00Z");

        let again = server.get(&format!("{base}/laptop"), &session).await.expect(200, "").json();
        assert_eq!(again, made, "the token too, as often as it is asked for");
        let key = Actor::made(token, made["id"].as_str().expect("an id"));
        let me = server.get("/user", &key).await.expect(200, "").json();
        assert_eq!(me["handle"], "ada");
        let listed = server.get(base, &session).await.expect(200, "").json();
        let mut handles: Vec<_> =
            listed["data"].as_array().expect("a list").iter().map(|key| key["handle"].as_str()).collect();
        // Of one instant, by the clock that stands still: which is newer is not said.
        handles.sort_unstable();
        assert_eq!(handles, [Some("laptop"), Some("phone")]);
        assert!(!listed.to_string().contains(token) && listed["data"].to_string().find("\"token\"").is_none());

        let end = server.request(Method::DELETE, &format!("{base}/laptop"), &session);
        let ended = server.send(end).await.expect(200, "").json();
        assert_eq!((&ended["handle"], &ended["state"]), (&json!("laptop"), &json!("REVOKED")));
        assert!(!works(&server, &key).await, "at once");
        server.get(&format!("{base}/laptop"), &session).await.expect(404, "RESOURCE_NOT_FOUND");
        let end = server.request(Method::DELETE, &format!("{base}/phone"), &session);
        server.send(end).await.expect(200, "");
    }
}

#[tokio::test]
async fn handles_and_aliases_keep_their_rules() {
    let server = TestServer::start().await;
    let (_, ada) = person(&server, "ada", &[]).await;
    let (_, bob) = person(&server, "bob", &[]).await;
    let longest = "x".repeat(50);
    for wire in Wire::ALL {
        let make = async |actor: &Actor, request: Value| server.call(wire, "Keys/CreateUserKey", actor, request).await;
        for bad in ["", "-a", "a-", "Laptop", "my laptop", "a_b", "\u{fc}", &"x".repeat(51)] {
            make(&ada, json!({"handle": bad})).await.violates(&["handle"]);
        }
        for bad in ["", &"x".repeat(101), "two\nlines"] {
            make(&ada, json!({"handle": "a", "alias": bad})).await.violates(&["alias"]);
        }
        make(&ada, json!({"handle": "A", "alias": "", "scopes": ["x"]})).await.violates(&[
            "handle",
            "alias",
            "scopes[0]",
        ]);
        let alias = "\u{fc}".repeat(100);
        for good in ["a", "7", "a-b", &longest] {
            let made = make(&ada, json!({"handle": good, "alias": alias})).await.ok();
            assert_eq!(made["alias"], json!(alias));
            make(&ada, json!({"handle": good})).await.refused("ALREADY_EXISTS");
            // Another user's are their own.
            make(&bob, json!({"handle": good})).await.ok();
            for who in [&ada, &bob] {
                server.call(wire, "Keys/DeleteUserKey", who, json!({"handle": good})).await.ok();
            }
        }
        for rpc in ["Keys/GetUserKey", "Keys/DeleteUserKey"] {
            server.call(wire, rpc, &ada, json!({"handle": "nothing"})).await.refused("RESOURCE_NOT_FOUND");
            server.call(wire, rpc, &ada, json!({"handle": "NOT ONE"})).await.refused("RESOURCE_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn a_key_may_do_what_its_user_may_now_and_no_more() {
    let server = TestServer::start().await;
    let other = server.another_node().await;
    let (user, ada) = person(&server, "ada", &["read:keys", "read:users"]).await;
    let all = server.user_key(&ada, "all").await;
    let narrow = json!({"handle": "narrow", "scopes": ["read:users"]});
    let made = server.call(Wire::Grpc, "Keys/CreateUserKey", &ada, narrow).await.ok();
    let narrow = Actor::made(made["token"].as_str().expect("a token"), made["id"].as_str().expect("an id"));
    let wider = json!({"handle": "wider", "scopes": ["read:users", "write:users"]});
    let unknown = json!({"handle": "wider", "scopes": ["read:nothing"]});
    for wire in Wire::ALL {
        server.call(wire, "Keys/CreateUserKey", &ada, wider.clone()).await.refused("EXCEEDS_CALLER");
        server.call(wire, "Keys/CreateUserKey", &ada, unknown.clone()).await.violates(&["scopes[0]"]);
        assert_eq!(may(&server, &all, wire).await, json!(["read:keys", "read:users"]));
        assert_eq!(may(&server, &narrow, wire).await, json!(["read:users"]));
        server.call(wire, "Keys/ListKeys", &narrow, json!({})).await.refused("INSUFFICIENT_SCOPE");
        server.call(wire, "Keys/ListKeys", &all, json!({})).await.ok();
    }
    assert_eq!(may(&other, &all, Wire::Json).await, json!(["read:keys", "read:users"]));

    let give = async |scopes: &[&str]| {
        let request = json!({"user": {"id": user, "scopes": scopes}, "updateMask": "scopes"});
        server.call(Wire::Grpc, "Users/UpdateUser", &server.live(), request).await.ok();
    };
    give(&["read:users", "write:users"]).await;
    for wire in Wire::ALL {
        assert_eq!(
            may(&server, &all, wire).await,
            json!(["read:users"]),
            "what was lost is lost, what is new is not in it"
        );
        let asked = json!({"credential": all.secret, "scopes": ["read:keys"]});
        let decided = server.call(wire, "Auth/Verify", &server.live(), asked).await.ok();
        assert_eq!(decided["code"], "INSUFFICIENT_SCOPE");
    }
    soon("the other node knows", async || may(&other, &all, Wire::Json).await == json!(["read:users"])).await;
    give(&[]).await;
    assert_eq!((may(&server, &all, Wire::Grpc).await, may(&server, &narrow, Wire::Grpc).await), (json!([]), json!([])));
    give(&["admin"]).await;
    assert_eq!(may(&server, &narrow, Wire::Grpc).await, json!(["read:users"]));
}

#[tokio::test]
async fn keys_make_and_tell_no_keys() {
    let server = TestServer::start().await;
    let (_, ada) = person(&server, "ada", &["admin"]).await;
    let key = server.user_key(&ada, "laptop").await;
    let bot = server.service_account(&["admin"]).await;
    for wire in Wire::ALL {
        for actor in [&key, &bot] {
            for (rpc, handle) in
                [("Keys/CreateUserKey", "more"), ("Keys/GetUserKey", "laptop"), ("Keys/DeleteUserKey", "laptop")]
            {
                server.call(wire, rpc, actor, json!({"handle": handle})).await.refused("CALLER_NOT_ALLOWED");
            }
            server.call(wire, "Users/DeleteMe", actor, json!({})).await.refused("CALLER_NOT_ALLOWED");
        }
        // What there is, it may see.
        let listed = server.call(wire, "Keys/ListUserKeys", &key, json!({})).await.ok();
        assert_eq!(listed["data"][0]["id"], key.id.as_str());
        assert_eq!(listed["data"][0]["hint"].as_str().map(|hint| &hint[..8]), Some("uk_live_"));
        assert_eq!(server.call(wire, "Keys/ListUserKeys", &bot, json!({})).await.ok()["data"], json!([]));
        server.call(wire, "Keys/ListUserKeys", &server.live(), json!({})).await.refused("CALLER_NOT_ALLOWED");
    }
    assert!(works(&server, &key).await);
}

#[tokio::test]
async fn administrators_govern_them_and_do_not_get_them() {
    let server = TestServer::start().await;
    let (user, ada) = person(&server, "ada", &["read:users"]).await;
    let key = server.user_key(&ada, "laptop").await;
    let live = server.live();
    for wire in Wire::ALL {
        let seen = server.call(wire, "Keys/GetKey", &live, json!({"id": key.id})).await.ok();
        let seen = &seen["key"];
        assert_eq!((&seen["type"], &seen["name"], &seen["user"]), (&json!("UK"), &json!("laptop"), &json!(user)));
        assert_eq!(seen["createdBy"], json!(user));
        let listed = server.call(wire, "Keys/ListKeys", &live, json!({"type": "UK"})).await.ok();
        assert_eq!(listed["data"], json!([seen]));
        let change = json!({"key": {"id": key.id, "scopes": ["admin"]}, "updateMask": "scopes"});
        for (rpc, request) in [
            ("Keys/RevealKey", json!({"id": key.id})),
            ("Keys/RotateKey", json!({"id": key.id})),
            ("Keys/UpdateKey", change),
        ] {
            server.call(wire, rpc, &live, request).await.refused("CALLER_NOT_ALLOWED");
        }
        let forged = json!({"type": "UK", "name": "laptop-2", "user": user});
        server.call(wire, "Keys/CreateKey", &live, forged).await.violates(&["type"]);
        server.call(wire, "Keys/SuspendKey", &live, json!({"id": key.id})).await.ok();
        assert_eq!(server.get("/user", &key).await.status, 403);
        server.call(wire, "Keys/ResumeKey", &live, json!({"id": key.id})).await.ok();
        assert!(works(&server, &key).await);
    }
    server.call(Wire::Grpc, "Keys/DeleteKey", &live, json!({"id": key.id})).await.ok();
    assert!(!works(&server, &key).await);
    server.call(Wire::Grpc, "Keys/GetUserKey", &ada, json!({"handle": "laptop"})).await.refused("RESOURCE_NOT_FOUND");

    let events = server.get("/v1/audit-events?action=key.*", &live).await.expect(200, "").json();
    let created = events["data"].as_array().expect("a list").iter().find(|event| event["action"] == "key.created");
    let created = created.expect("it is told");
    assert_eq!((&created["actor"], &created["target"], created.get("after")), (&json!(user), &json!(key.id), None));
    assert!(!events.to_string().contains("laptop"), "what users call their keys is their own affair: {events}");
}

#[tokio::test]
async fn a_key_is_told_to_its_user_alone_and_each_time_is_recorded() {
    let server = TestServer::start().await;
    let (ada_id, ada) = person(&server, "ada", &[]).await;
    let (_, bob) = person(&server, "bob", &["admin"]).await;
    let key = server.user_key(&ada, "laptop").await;
    for wire in Wire::ALL {
        let told = server.call(wire, "Keys/GetUserKey", &ada, json!({"handle": "laptop"})).await.ok();
        assert_eq!(told["token"], key.secret.as_str());
        server.call(wire, "Keys/GetUserKey", &bob, json!({"handle": "laptop"})).await.refused("RESOURCE_NOT_FOUND");
        server.call(wire, "Keys/DeleteUserKey", &bob, json!({"handle": "laptop"})).await.refused("RESOURCE_NOT_FOUND");
    }
    let told = server.get("/v1/audit-events?action=key.revealed", &server.live()).await.expect(200, "").json();
    let told = told["data"].as_array().expect("a list");
    assert_eq!(told.len(), Wire::ALL.len());
    assert!(told.iter().all(|event| event["actor"] == ada_id.as_str() && event["target"] == key.id.as_str()));
}

#[tokio::test]
async fn a_key_stands_and_falls_with_its_user() {
    let server = TestServer::start().await;
    let other = server.another_node().await;
    let (user, ada) = person(&server, "ada", &[]).await;
    let key = server.user_key(&ada, "laptop").await;
    assert!(works(&server, &key).await && works(&other, &key).await);
    let act = async |rpc: &str| server.call(Wire::Grpc, rpc, &server.live(), json!({"id": user})).await.ok();
    act("Users/BlockUser").await;
    assert_eq!(server.get("/user", &key).await.status, 403);
    soon("the other node holds it", async || other.get("/user", &key).await.status == 403).await;
    act("Users/UnblockUser").await;
    assert!(works(&server, &key).await);
    let ada = server.sign_in(&server.live(), "ada").await;
    // Signing out, or another password, ends sessions; keys are ended one by one.
    server.call(Wire::Grpc, "Auth/SignOut", &ada, json!({})).await.ok();
    assert!(works(&server, &key).await);
    act("Users/DeleteUser").await;
    assert!(!works(&server, &key).await);
    soon("the other node refuses it", async || !matches!(other.get("/user", &key).await.status, 200 | 403)).await;
}

#[tokio::test]
async fn a_user_has_a_hundred_keys() {
    let server = TestServer::start().await;
    let (_, ada) = person(&server, "ada", &[]).await;
    for n in 0..100 {
        server.user_key(&ada, &format!("key-{n}")).await;
    }
    server.call(Wire::Json, "Keys/CreateUserKey", &ada, json!({"handle": "more"})).await.refused("INVALID_STATE");
    let listed = server.call(Wire::Grpc, "Keys/ListUserKeys", &ada, json!({})).await.ok();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(100));
    server.call(Wire::Json, "Keys/DeleteUserKey", &ada, json!({"handle": "key-7"})).await.ok();
    server.call(Wire::Json, "Keys/CreateUserKey", &ada, json!({"handle": "more"})).await.ok();
}
