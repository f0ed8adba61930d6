//! Signing up, and passwords.

use std::time::Duration;

use gatepost::domain::id::UserId;
use gatepost::domain::password::{HashCost, PasswordHash};
use serde_json::{Value, json};

use super::{open, sign_in, works};
use crate::support::leaks::{OTHER_PASSWORD, PASSWORD};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn people_sign_up_where_it_is_open() {
    let server = TestServer::start().await;
    let publishable = server.pk(&[]).await;
    let new = |handle: &str, password: &str| json!({"handle": handle, "password": password, "firstName": "Ada"});
    for wire in Wire::ALL {
        let sign_up = async |actor: &Actor, request: Value| server.call(wire, "Auth/SignUp", actor, request).await;
        sign_up(&publishable, new("closed", PASSWORD)).await.refused("CALLER_NOT_ALLOWED");
        sign_up(&Actor::anonymous(), new("closed", PASSWORD)).await.refused("MISSING_CREDENTIAL");
    }
    open(&server).await;
    for wire in Wire::ALL {
        let handle = format!("ada-{wire:?}").to_lowercase();
        let sign_up = async |actor: &Actor, request: Value| server.call(wire, "Auth/SignUp", actor, request).await;
        let made = sign_up(&publishable, new(&handle, PASSWORD)).await.ok();
        assert_eq!((&made["user"]["handle"], &made["user"]["scopes"]), (&json!(handle), &json!(["read:users"])));
        assert_eq!(made["expiresAt"], json!(server.later(Duration::from_secs(600))));
        let session = Actor::made(made["token"].as_str().expect("a token"), "");
        let me = server.call(wire, "Users/GetMe", &session, json!({})).await.ok();
        assert_eq!((&me["user"]["id"], &me["user"]["type"]), (&made["user"]["id"], &json!("HUMAN")));
        sign_in(&server, wire, &publishable, &handle, PASSWORD).await.ok();
        sign_up(&publishable, new(&handle, PASSWORD)).await.refused("ALREADY_EXISTS");
        let long = "-snark-".repeat(40);
        for (password, rule) in [
            ("-snark-", "8 to 256"),
            (long.as_str(), "8 to 256"),
            ("-snark-\n-snark-", "control"),
            ("password", "many people"),
            ("somebody-else", "own handle"),
        ] {
            let answer = sign_up(&publishable, new("somebody-else", password)).await;
            let violation = answer.violations.first().cloned().unwrap_or_default();
            assert!(violation.0 == "password" && violation.1.contains(rule), "{answer:?}");
        }
        sign_up(&publishable, new("Not_A_Handle", PASSWORD)).await.refused("INVALID_FIELD");
    }
    let mut refused = None;
    for n in 0..30 {
        let answer = server.call(Wire::Json, "Auth/SignUp", &publishable, new(&format!("user-{n}"), PASSWORD)).await;
        if answer.reason == "TOO_MANY_ATTEMPTS" {
            refused = Some((n, answer.http, answer.header("retry-after").to_owned()));
            break;
        }
        answer.ok();
    }
    // Twelve before, of which four were of a handle that was taken.
    assert_eq!(refused, Some((12, 429, "60".to_owned())));
}

#[tokio::test]
async fn passwords_are_changed_by_their_owners_and_set_by_their_betters() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let handle = format!("ada-{wire:?}").to_lowercase();
        let user = server.person(&server.live(), &handle, &["read:products"]).await;
        let (own, other) =
            (server.sign_in(&server.live(), &handle).await, server.sign_in(&server.live(), &handle).await);
        let change = async |old: &str, new: &str| {
            let request = json!({"oldPassword": old, "newPassword": new});
            server.call(wire, "Auth/ChangePassword", &own, request).await
        };
        change(OTHER_PASSWORD, OTHER_PASSWORD).await.refused("INVALID_FIELD");
        change(PASSWORD, &handle).await.refused("INVALID_FIELD");
        assert!(works(&server, &other).await);
        change(PASSWORD, OTHER_PASSWORD).await.ok();
        assert!(works(&server, &own).await && !works(&server, &other).await);
        sign_in(&server, wire, &server.live(), &handle, PASSWORD).await.refused("SIGN_IN_FAILED");
        sign_in(&server, wire, &server.live(), &handle, OTHER_PASSWORD).await.ok();
        for _ in 0..10 {
            change(PASSWORD, PASSWORD).await;
        }
        change(OTHER_PASSWORD, PASSWORD).await.refused("TOO_MANY_ATTEMPTS");

        let set = async |actor: &Actor| {
            server.call(wire, "Auth/SetPassword", actor, json!({"id": user, "password": PASSWORD})).await
        };
        let lesser = server.key(&["write:users"]).await;
        set(&lesser).await.refused("EXCEEDS_CALLER");
        let sessions = json!({"userId": user, "id": own.id});
        server.call(wire, "Auth/RevokeSession", &lesser, sessions).await.refused("EXCEEDS_CALLER");
        set(&server.test()).await.refused("RESOURCE_NOT_FOUND");
        set(&server.live()).await.ok();
        assert!(!works(&server, &own).await);
        sign_in(&server, wire, &server.live(), &handle, PASSWORD).await.ok();
        let bot = json!({"user": {"handle": format!("bot-{handle}"), "type": "SERVICE_ACCOUNT"}});
        let bot = server.call(wire, "Users/CreateUser", &server.live(), bot).await.ok();
        let request = json!({"id": bot["user"]["id"], "password": PASSWORD});
        server.call(wire, "Auth/SetPassword", &server.live(), request).await.refused("INVALID_STATE");
    }
    // A key acts for its user, and is not them.
    let bot = server.service_account(&["write:users"]).await;
    for rpc in ["Auth/SignOut", "Auth/ListMySessions"] {
        server.call(Wire::Grpc, rpc, &bot, json!({})).await.refused("CALLER_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn a_password_that_is_kept_at_another_cost_is_hashed_again() {
    let server = TestServer::start().await;
    let user = server.person(&server.live(), "ada", &[]).await;
    let user = UserId::parse(&user).expect("an id");
    let kept =
        async || server.store().await.find_password(&user).await.expect("the store answers").expect("a password");
    let cost = |text: &str| HashCost::parse(text).expect("a cost");
    assert_eq!(kept().await.cost, cost("m=7168,t=5,p=1"));
    let builder = TestServer::builder().set("password_cost", "m=12288,t=3,p=1");
    let two = server.another_node_with(builder).await;
    let changes = two.store().await.revision().await.expect("a revision");
    let session = two.sign_in(&two.live(), "ada").await;
    let renewed: PasswordHash = kept().await;
    assert_eq!(renewed.cost, cost("m=12288,t=3,p=1"));
    sign_in(&two, Wire::Grpc, &two.live(), "ada", OTHER_PASSWORD).await.refused("SIGN_IN_FAILED");
    two.sign_in(&two.live(), "ada").await;
    assert_eq!(kept().await.tag, renewed.tag, "once");
    assert!(works(&server, &session).await, "nothing else is another");
    assert_eq!(two.store().await.revision().await.expect("a revision"), changes);
}
