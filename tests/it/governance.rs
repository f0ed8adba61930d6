//! Nobody gets more than they hold by way of somebody else: the ways that were tried once.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::identities::{Provider, trust};
use crate::support::{Actor, TestServer, Wire, leaks};

#[tokio::test]
async fn only_an_administrator_says_who_speaks_for_the_users() {
    let server = TestServer::start().await;
    let lesser = server.key(&["read:issuers", "write:users", "write:keys", "read:keys"]).await;
    let issuer = json!({"issuer": {"issuer": "https://id.example", "audiences": ["shop"]}});
    for wire in Wire::ALL {
        server.call(wire, "Auth/CreateIssuer", &lesser, issuer.clone()).await.refused("INSUFFICIENT_SCOPE");
        for rpc in ["Auth/UpdateIssuer", "Auth/DeleteIssuer"] {
            server.call(wire, rpc, &lesser, json!({})).await.refused("INSUFFICIENT_SCOPE");
        }
    }
}

#[tokio::test]
async fn whoever_signs_up_is_no_administrator() {
    let server = TestServer::start().await;
    let shop = server.other_project("shop", gatepost::domain::environment::Environment::Live).await;
    for wire in Wire::ALL {
        for (admin, id) in [(&server.live(), "default"), (&shop, "shop")] {
            let open = json!({"project": {"id": id, "userScopes": ["admin"]}, "updateMask": "userScopes"});
            server.call(wire, "Auth/UpdateProject", admin, open).await.refused("INVALID_FIELD");
        }
    }
}

#[tokio::test]
async fn a_user_key_makes_no_keys_and_does_not_take_its_user_over() {
    let server = TestServer::start().await;
    let scopes = ["write:users", "write:keys", "read:keys", "read:users", "reveal:keys"];
    let ada = server.person(&server.live(), "ada", &scopes).await;
    let session = server.sign_in(&server.live(), "ada").await;
    let made = server.post("/user/keys", &session, &json!({"handle": "ci"})).await.expect(200, "").json();
    let key = Actor::bearer(made["token"].as_str().expect("a token"));
    let other = server.new_key(json!({"name": "other", "scopes": ["read:users"], "recoverable": true})).await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, actor: &Actor, request: Value| server.call(wire, rpc, actor, request).await;
        let new = json!({"type": "RK", "name": "lasting", "scopes": ["read:users"]});
        call("Keys/CreateKey", &key, new).await.refused("CALLER_NOT_ALLOWED");
        call("Keys/RotateKey", &key, json!({"id": other.id})).await.refused("CALLER_NOT_ALLOWED");
        call("Keys/RevealKey", &key, json!({"id": other.id})).await.refused("CALLER_NOT_ALLOWED");
        // What is said of oneself is said at `me`, by key and session alike.
        for actor in [&key, &session] {
            let password = json!({"id": ada, "password": leaks::OTHER_PASSWORD});
            call("Auth/SetPassword", actor, password).await.refused("CALLER_NOT_ALLOWED");
            let rename = json!({"user": {"id": ada, "alias": "A"}, "updateMask": "alias"});
            call("Users/UpdateUser", actor, rename).await.refused("CALLER_NOT_ALLOWED");
            for rpc in ["Users/BlockUser", "Users/DeleteUser"] {
                call(rpc, actor, json!({"id": ada})).await.refused("CALLER_NOT_ALLOWED");
            }
        }
    }
}

#[tokio::test]
async fn the_names_of_an_administrator_are_not_for_the_lesser_to_change() {
    let server = TestServer::start().await;
    let boss = server.person(&server.live(), "boss", &["admin"]).await;
    let lesser = server.key(&["write:users", "read:users"]).await;
    for wire in Wire::ALL {
        for (mask, user) in [("handle", json!({"handle": "nobody"})), ("email", json!({"email": "x@example.com"}))] {
            let mut user = user;
            user["id"] = json!(boss);
            let change = json!({"user": user, "updateMask": mask});
            server.call(wire, "Users/UpdateUser", &lesser, change).await.refused("EXCEEDS_CALLER");
        }
    }
}

#[tokio::test]
async fn a_user_key_does_not_lift_the_bound_of_its_address() {
    let server = TestServer::start().await;
    server.person(&server.live(), "eve", &[]).await;
    let session = server.sign_in(&server.live(), "eve").await;
    let made = server.post("/user/keys", &session, &json!({"handle": "ci"})).await.expect(200, "").json();
    let key = Actor::bearer(made["token"].as_str().expect("a token"));
    let mut guesses = 0;
    let refused = loop {
        let guess = json!({"handle": format!("user-{guesses}"), "password": leaks::OTHER_PASSWORD});
        let answer = server.call(Wire::Grpc, "Auth/SignIn", &key, guess).await;
        if answer.reason != "SIGN_IN_FAILED" {
            break answer;
        }
        guesses += 1;
    };
    refused.refused("TOO_MANY_ATTEMPTS");
    assert_eq!(guesses, 60);
}

#[tokio::test]
async fn asking_for_names_is_bounded_as_signing_up_is() {
    let server = TestServer::start().await;
    server.person(&server.live(), "eve", &[]).await;
    let session = server.sign_in(&server.live(), "eve").await;
    let ask = async |n: u32| {
        let change = json!({"user": {"email": format!("user-{n}@example.com")}, "updateMask": "email"});
        server.call(Wire::Grpc, "Users/UpdateMe", &session, change).await
    };
    for n in 0..20 {
        ask(n).await.ok();
    }
    ask(20).await.refused("TOO_MANY_ATTEMPTS");
    // The other fields are no question.
    let change = json!({"user": {"firstName": "Eve"}, "updateMask": "firstName"});
    server.call(Wire::Grpc, "Users/UpdateMe", &session, change).await.ok();
    server.advance(Duration::from_secs(60));
    ask(20).await.ok();
}

#[tokio::test]
async fn asking_for_addresses_by_a_token_from_outside_is_bounded_too() {
    let server = TestServer::start().await;
    let provider = Provider::new("one");
    trust(&server, &server.live(), json!({"jwks": provider.jwks()})).await;
    let key = server.pk(&[]).await;
    let me = Actor::bearer(&provider.of("eve")).with("x-builton-api-key", &key.secret);
    let ask = async |n: u32| server.post("/users", &me, &json!({"email": format!("user-{n}@example.com")})).await;
    ask(0).await.expect(200, "");
    for n in 1..=20 {
        ask(n).await.expect(200, "");
        // The same again is no question.
        ask(n).await.expect(200, "");
    }
    ask(21).await.expect(429, "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn an_empty_object_is_nothing_to_say() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &[]).await;
    for body in ["{}", " { } "] {
        let session = server.sign_in(&server.live(), "ada").await;
        let out = server.request(Method::POST, "/v1/auth/sign-out", &session);
        server.send(out.header("content-type", "application/json").body(body)).await.expect(200, "");
        server.get("/user", &session).await.expect(401, "NOT_FOUND");
    }
    let key = server.key(&[]).await;
    let end = server.request(Method::DELETE, &format!("/v1/keys/{}", key.id), &server.live());
    let refused = server.send(end.header("content-type", "application/json").body(r#"{"id":"x"}"#)).await;
    assert_eq!(refused.status, 400, "what says something is not passed over: {refused:?}");
}
