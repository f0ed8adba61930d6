//! Service accounts: the keys they hold, and what becomes of those with their user.

use gatepost::domain::environment::Environment;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

/// A service account, by id.
async fn account(server: &TestServer, actor: &Actor, handle: &str) -> String {
    let user = json!({"user": {"type": "SERVICE_ACCOUNT", "handle": handle}});
    let made = server.call(Wire::Grpc, "Users/CreateUser", actor, user).await.ok();
    made["user"]["id"].as_str().expect("an id").to_owned()
}

async fn key_of(server: &TestServer, user: &str, scopes: &[&str]) -> Actor {
    server.new_key(json!({"name": "bot's key", "scopes": scopes, "user": user})).await
}

async fn act(server: &TestServer, wire: Wire, rpc: &str, user: &str) -> Value {
    server.call(wire, rpc, &server.live(), json!({"id": user})).await.ok()["user"].clone()
}

async fn decision(server: &TestServer, credential: &str) -> Value {
    server.call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": credential})).await.ok()
}

async fn status(server: &TestServer, actor: &Actor) -> u16 {
    server.get("/v1/auth/whoami", actor).await.status
}

#[tokio::test]
async fn a_key_says_whom_it_acts_for_on_every_wire() {
    let server = TestServer::start().await;
    let user = account(&server, &server.live(), "build-bot").await;
    let other = account(&server, &server.live(), "other-bot").await;
    let free = server.key(&[]).await;
    key_of(&server, &other, &[]).await;
    let mut made = Vec::new();
    for wire in Wire::ALL {
        let request = json!({"name": "bot's key", "scopes": ["read:products"], "user": user});
        let answer = server.call(wire, "Keys/CreateKey", &server.live(), request).await.ok();
        assert_eq!(answer["key"]["user"], user);
        made.push(answer["key"].clone());
        let key = Actor::made(answer["secret"].as_str().unwrap(), answer["key"]["id"].as_str().unwrap());
        let got = server.call(wire, "Keys/GetKey", &server.live(), json!({"id": key.id})).await.ok();
        assert_eq!(got["key"]["user"], user);

        let whoami = server.call(wire, "Auth/WhoAmI", &key, json!({})).await.ok();
        assert_eq!((&whoami["userId"], &whoami["keyId"]), (&json!(user), &json!(key.id)));
        assert_eq!(server.call(wire, "Auth/WhoAmI", &free, json!({})).await.ok()["userId"], Value::Null);
        // Twice: the second answer is told from memory.
        for _ in 0..2 {
            let asked = json!({"credential": key.secret});
            let verdict = server.call(wire, "Auth/Verify", &server.live(), asked.clone()).await.ok();
            assert_eq!((&verdict["valid"], &verdict["userId"]), (&json!(true), &json!(user)));
            let batch = json!({"requests": [asked, {"credential": free.secret}]});
            let batch = server.call(wire, "Auth/BatchVerify", &server.live(), batch).await.ok();
            assert_eq!(batch["results"][0]["userId"], user);
            assert_eq!(batch["results"][1]["userId"], Value::Null);
        }
    }
    // Made within one millisecond of the standing clock: their ids alone say the order.
    made.sort_by(|one: &Value, other| other["id"].as_str().cmp(&one["id"].as_str()));
    for wire in Wire::ALL {
        let list = server.call(wire, "Keys/ListKeys", &server.live(), json!({"user": user})).await.ok();
        assert_eq!(list["data"], json!(made));
        let page = json!({"user": user, "type": "SK", "state": "ACTIVE", "limit": 2, "page": 2});
        let page = server.call(wire, "Keys/ListKeys", &server.live(), page).await.ok();
        assert_eq!((&page["data"], &page["pagination"]["total"]), (&json!(made[2..4]), &json!(Wire::ALL.len())));
        server.call(wire, "Keys/ListKeys", &server.live(), json!({"user": "bot"})).await.refused("INVALID_FIELD");
    }
}

#[tokio::test]
async fn only_a_service_account_of_the_same_place_holds_keys() {
    let server = TestServer::start().await;
    let human =
        server.call(Wire::Grpc, "Users/CreateUser", &server.live(), json!({"user": {"handle": "ada"}})).await.ok();
    let human = human["user"]["id"].as_str().unwrap().to_owned();
    let gone = account(&server, &server.live(), "gone").await;
    act(&server, Wire::Grpc, "Users/DeleteUser", &gone).await;
    let test = account(&server, &server.test(), "bot").await;
    let stranger = server.other_project("elsewhere", Environment::Live).await;
    let other = account(&server, &stranger, "bot").await;
    let unknown = "usr_00000000000000000000000000000000".to_owned();
    for user in [human, gone, test, other, unknown, "bot".to_owned(), String::new()] {
        for wire in Wire::ALL {
            let request = json!({"name": "x", "user": user});
            let answer = server.call(wire, "Keys/CreateKey", &server.live(), request).await;
            answer.refused("INVALID_FIELD");
            answer.violates(&["user"]);
        }
    }
    assert_eq!(
        server.call(Wire::Grpc, "Keys/ListKeys", &server.live(), json!({"owner": "x"})).await.ok()["data"],
        json!([])
    );
}

#[tokio::test]
async fn blocking_and_deleting_a_user_turn_their_keys_at_once() {
    let server = TestServer::start().await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let user = account(&server, &server.live(), &format!("bot-{n}")).await;
        let keys = [key_of(&server, &user, &["read:products"]).await, key_of(&server, &user, &[]).await];
        let bystander = server.key(&[]).await;
        let held = key_of(&server, &user, &[]).await;
        server.call(wire, "Keys/SuspendKey", &server.live(), json!({"id": held.id})).await.ok();
        let all = async |code: &str, http: u16| {
            for key in &keys {
                // The door and Verify decide alike, from memory and from the store.
                assert_eq!(
                    (status(&server, key).await, &decision(&server, &key.secret).await["code"]),
                    (http, &json!(code))
                );
            }
            assert_eq!(status(&server, &bystander).await, 200);
        };
        all("VALID", 200).await;
        assert_eq!(act(&server, wire, "Users/BlockUser", &user).await["state"], "BLOCKED");
        all("SUSPENDED", 403).await;
        let explained = json!({"credential": keys[0].secret});
        let explained = server.call(wire, "Auth/ExplainVerify", &server.live(), explained).await.ok();
        assert!(explained.to_string().contains("the user of the key is blocked"), "{explained}");
        let late = key_of(&server, &user, &[]).await;
        assert_eq!(decision(&server, &late.secret).await["code"], "SUSPENDED", "a key made now is held too");
        let resumed = server.call(wire, "Keys/ResumeKey", &server.live(), json!({"id": held.id})).await;
        resumed.refused("INVALID_STATE");

        assert_eq!(act(&server, wire, "Users/UnblockUser", &user).await["state"], "ACTIVE");
        all("VALID", 200).await;
        assert_eq!(status(&server, &late).await, 200);
        assert_eq!(decision(&server, &held.secret).await["code"], "SUSPENDED", "it was suspended by itself");

        act(&server, wire, "Users/DeleteUser", &user).await;
        all("REVOKED", 401).await;
        let kept = server.call(wire, "Keys/GetKey", &server.live(), json!({"id": keys[0].id})).await.ok();
        assert_eq!((&kept["key"]["state"], &kept["key"]["user"]), (&json!("REVOKED"), &json!(user)));
    }
}

#[tokio::test]
async fn a_rotated_secret_of_a_blocked_user_is_refused_too() {
    let server = TestServer::start().await;
    let user = account(&server, &server.live(), "bot").await;
    let key = key_of(&server, &user, &[]).await;
    act(&server, Wire::Grpc, "Users/BlockUser", &user).await;
    let rotated = json!({"id": key.id, "gracePeriod": "60s"});
    let rotated = server.call(Wire::Grpc, "Keys/RotateKey", &server.live(), rotated).await.ok();
    let new = Actor::made(rotated["secret"].as_str().unwrap(), &key.id);
    for secret in [&key, &new] {
        assert_eq!(status(&server, secret).await, 403);
    }
    act(&server, Wire::Grpc, "Users/UnblockUser", &user).await;
    for secret in [&key, &new] {
        assert_eq!(status(&server, secret).await, 200);
    }
    act(&server, Wire::Grpc, "Users/DeleteUser", &user).await;
    for secret in [&key, &new] {
        assert_eq!(status(&server, secret).await, 401);
    }
}

#[tokio::test]
async fn beside_a_publishable_key_it_is_one_caller() {
    let server = TestServer::start().await;
    let user = account(&server, &server.live(), "bot").await;
    let key = key_of(&server, &user, &["write:products", "read:products"]).await;
    let publishable = server.pk(&["read:products"]).await;
    let both = key.clone().with("x-builton-api-key", &publishable.secret);
    let whoami = server.get("/v1/auth/whoami", &both).await.expect(200, "").json();
    assert_eq!((&whoami["userId"], &whoami["keyId"]), (&json!(user), &json!(key.id)));
    assert_eq!(whoami["publishableKeyId"], publishable.id);
    server.post("/products", &both, &json!({"name": "Made by a bot"})).await.expect(200, "");
    let asked = json!({"credential": key.secret, "publishableKey": publishable.secret, "scopes": ["write:products"]});
    let verdict = server.call(Wire::Grpc, "Auth/Verify", &server.live(), asked).await.ok();
    assert_eq!((&verdict["valid"], &verdict["userId"]), (&json!(true), &json!(user)));
    act(&server, Wire::Grpc, "Users/BlockUser", &user).await;
    server.get("/products", &both).await.expect(403, "SUSPENDED");
}

#[tokio::test]
async fn who_holds_less_than_a_key_does_not_govern_its_user() {
    let server = TestServer::start().await;
    let user = account(&server, &server.live(), "bot").await;
    let key = key_of(&server, &user, &["admin"]).await;
    let clerk = server.key(&["read:users", "write:users"]).await;
    for rpc in ["Users/BlockUser", "Users/UnblockUser", "Users/DeleteUser"] {
        server.call(Wire::Grpc, rpc, &clerk, json!({"id": user})).await.refused("EXCEEDS_CALLER");
    }
    assert_eq!(status(&server, &key).await, 200);
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
    let blocked = server.call(Wire::Grpc, "Users/BlockUser", &clerk, json!({"id": user})).await.ok();
    assert_eq!(blocked["user"]["state"], "BLOCKED", "what is revoked does not count");
}

#[tokio::test]
async fn what_one_node_does_to_a_user_the_others_see() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let user = account(&one, &one.live(), "bot").await;
    let key = key_of(&one, &user, &["read:products"]).await;
    for node in [&one, &two] {
        assert_eq!(status(node, &key).await, 200);
    }
    act(&one, Wire::Grpc, "Users/BlockUser", &user).await;
    assert_eq!(status(&one, &key).await, 403, "the node that blocked refuses at once");
    soon("the other node holds the key", async || status(&two, &key).await == 403).await;
    act(&two, Wire::Grpc, "Users/UnblockUser", &user).await;
    assert_eq!(status(&two, &key).await, 200, "the node that unblocked lets it go at once");
    soon("the other node lets it go", async || status(&one, &key).await == 200).await;
    act(&one, Wire::Grpc, "Users/DeleteUser", &user).await;
    assert_eq!(status(&one, &key).await, 401);
    soon("the other node refuses", async || status(&two, &key).await == 401).await;
    assert_eq!(decision(&two, &key.secret).await["code"], "REVOKED");
}
