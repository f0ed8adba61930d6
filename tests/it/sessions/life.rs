//! Sessions from their beginning to their end.

use std::time::Duration;

use gatepost::auth::signing::SessionClaims;
use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{ProjectId, SessionId, UserId};
use serde_json::{Value, json};

use super::{open, sign_in, works};
use crate::nodes::soon;
use crate::openapi::calls;
use crate::support::leaks::{OTHER_PASSWORD, PASSWORD};
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn a_session_ends_with_its_time_by_itself_or_with_its_user() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let handle = format!("ada-{wire:?}").to_lowercase();
        let user = server.person(&server.live(), &handle, &[]).await;
        let call = async |rpc: &str, actor: &Actor, request: Value| server.call(wire, rpc, actor, request).await;
        let begin = async || server.sign_in(&server.live(), &handle).await;
        let (out, revoked, taken) = (begin().await, begin().await, begin().await);
        let (blocked, kept) = (begin().await, begin().await);
        call("Auth/SignOut", &out, json!({})).await.ok();
        call("Auth/RevokeMySession", &kept, json!({"id": revoked.id})).await.ok();
        call("Auth/RevokeSession", &server.live(), json!({"userId": user, "id": taken.id})).await.ok();
        for (ended, id) in [(&out, &out.id), (&revoked, &revoked.id), (&taken, &taken.id)] {
            assert!(!works(&server, ended).await);
            let code = call("Auth/Verify", &server.live(), json!({"credential": ended.secret})).await.ok();
            assert_eq!(code["code"], "REVOKED");
            call("Auth/RevokeMySession", &kept, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        }
        for id in ["", "ses_1", &user, &server.sign_in(&server.live(), &handle).await.secret] {
            let answer = call("Auth/RevokeSession", &server.live(), json!({"userId": user, "id": id})).await;
            answer.refused("RESOURCE_NOT_FOUND");
        }
        let listed = call("Auth/ListMySessions", &kept, json!({})).await.ok();
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(3), "{listed}");
        let current: Vec<_> =
            listed["data"].as_array().into_iter().flatten().filter(|s| s["current"] == true).collect();
        assert_eq!(
            (current.len(), &current[0]["id"], &current[0]["clientIp"]),
            (1, &json!(kept.id), &json!("127.0.0.1"))
        );
        let same = call("Auth/ListSessions", &server.live(), json!({"userId": user, "pageSize": 2})).await.ok();
        assert_eq!((same["data"].as_array().map(Vec::len), same["nextPageToken"].is_string()), (Some(2), true));

        call("Users/BlockUser", &server.live(), json!({"id": user})).await.ok();
        assert!(!works(&server, &blocked).await && !works(&server, &kept).await);
        call("Users/UnblockUser", &server.live(), json!({"id": user})).await.ok();
        assert!(!works(&server, &kept).await, "what ended stays ended");
        let late = server.sign_in(&server.live(), &handle).await;
        assert!(works(&server, &late).await);
        call("Users/DeleteUser", &server.live(), json!({"id": user})).await.ok();
        assert!(!works(&server, &late).await);
    }
    server.person(&server.live(), "grace", &[]).await;
    let session = server.sign_in(&server.live(), "grace").await;
    server.advance(Duration::from_secs(3599));
    assert!(works(&server, &session).await);
    server.advance(Duration::from_secs(1));
    assert!(!works(&server, &session).await);
    let code = server.call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": session.secret})).await.ok();
    assert_eq!(code["code"], "EXPIRED");
}

#[tokio::test]
async fn a_token_is_worth_what_its_row_says_and_nothing_without() {
    let server = TestServer::start().await;
    let user = server.person(&server.live(), "ada", &["read:users"]).await;
    let session = server.sign_in(&server.live(), "ada").await;
    // A token that was signed here, of a session that nobody began.
    let forged = SessionClaims {
        project: ProjectId::default_project(),
        environment: Environment::Live,
        user: UserId::parse(&user).expect("an id"),
        session: SessionId::new(server.now(), &SystemEntropy),
        issued_at: server.now(),
        expires_at: server.now().plus(Duration::from_secs(60)),
    };
    let forged = server.signing().await.mint(&forged).expect("a token");
    let forged = Actor::made(forged.expose(), "");
    let mut changed = session.secret.clone();
    let last = changed.pop().expect("a character");
    changed.push(if last == 'A' { 'Q' } else { 'A' });
    let (head, _) = session.secret.rsplit_once('.').expect("three parts");
    for (case, actor, code) in [
        ("no row", forged, "NOT_FOUND"),
        ("another signature", Actor::bearer(&changed), "MALFORMED"),
        ("no signature", Actor::bearer(&format!("{head}.")), "MALFORMED"),
        ("two parts", Actor::bearer(head), "MALFORMED"),
        ("of nobody", Actor::bearer("eyJhbGciOiJub25lIn0.e30."), "MALFORMED"),
    ] {
        for wire in Wire::ALL {
            server.call(wire, "Auth/WhoAmI", &actor, json!({})).await.refused("NOT_FOUND");
            let asked = json!({"credential": actor.secret});
            let answer = server.call(wire, "Auth/Verify", &server.live(), asked).await.ok();
            assert_eq!(answer["code"], code, "{case}");
        }
    }
    assert!(works(&server, &session).await);
    // What the user may do is what the session may, from when it changes.
    server.call(Wire::Grpc, "Users/GetUser", &session, json!({"id": user})).await.ok();
    let none = json!({"user": {"id": user, "scopes": []}, "updateMask": "scopes"});
    server.call(Wire::Grpc, "Users/UpdateUser", &server.live(), none).await.ok();
    server.call(Wire::Grpc, "Users/GetUser", &session, json!({"id": user})).await.refused("INSUFFICIENT_SCOPE");
    // A restart forgets nothing.
    let two = server.another_node().await;
    assert!(works(&two, &session).await);
}

#[tokio::test]
async fn what_ends_on_one_node_ends_on_the_others() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    for handle in ["out", "blocked", "deleted", "changed", "set"] {
        let user = one.person(&one.live(), handle, &["read:users"]).await;
        let (session, other) = (one.sign_in(&one.live(), handle).await, two.sign_in(&two.live(), handle).await);
        for node in [&one, &two] {
            assert!(works(node, &session).await && works(node, &other).await, "{handle}");
        }
        let admin = one.live();
        let (rpc, actor, request) = match handle {
            "out" => ("Auth/SignOut", &session, json!({})),
            "blocked" => ("Users/BlockUser", &admin, json!({"id": user})),
            "deleted" => ("Users/DeleteUser", &admin, json!({"id": user})),
            "changed" => {
                ("Auth/ChangePassword", &other, json!({"oldPassword": PASSWORD, "newPassword": OTHER_PASSWORD}))
            }
            _ => ("Auth/SetPassword", &admin, json!({"id": user, "password": OTHER_PASSWORD})),
        };
        one.call(Wire::Grpc, rpc, actor, request).await.ok();
        assert!(!works(&one, &session).await, "{handle}: at once");
        soon("the other node refuses it", async || !works(&two, &session).await).await;
        let goes_on = ["out", "changed"].contains(&handle);
        assert_eq!((works(&one, &other).await, works(&two, &other).await), (goes_on, goes_on), "{handle}");
    }
    let shop = one.project("shop").await;
    one.person(&shop[0], "ada", &[]).await;
    let session = one.sign_in(&shop[0], "ada").await;
    assert!(works(&two, &session).await);
    one.call(Wire::Grpc, "Auth/DeleteProject", &one.live(), json!({"id": "shop"})).await.ok();
    assert!(!works(&one, &session).await);
    soon("the other node refuses it", async || !works(&two, &session).await).await;
}

#[tokio::test]
async fn whatever_people_do_about_sessions_is_in_the_log() {
    let server = TestServer::start().await;
    open(&server).await;
    let user = server.person(&server.live(), "ada", &[]).await;
    let session = server.sign_in(&server.live(), "ada").await;
    let other = server.sign_in(&server.live(), "ada").await;
    sign_in(&server, Wire::Grpc, &server.live(), "ada", OTHER_PASSWORD).await.refused("SIGN_IN_FAILED");
    let call = async |rpc: &str, actor: &Actor, request: Value| server.call(Wire::Grpc, rpc, actor, request).await.ok();
    call("Auth/ChangePassword", &session, json!({"oldPassword": PASSWORD, "newPassword": OTHER_PASSWORD})).await;
    call("Auth/SignOut", &session, json!({})).await;
    let grace = call("Auth/SignUp", &server.live(), json!({"handle": "grace", "password": PASSWORD})).await;
    Actor::made(grace["token"].as_str().expect("a token"), "");
    let list = call("Keys/ListAuditEvents", &server.live(), json!({"pageSize": 8})).await;
    let told: Vec<_> = list["data"].as_array().expect("a list").iter().rev().collect();
    let told: Vec<_> =
        told.iter().map(|e| (e["action"].as_str().expect("a text"), &e["actor"], &e["target"])).collect();
    let (admin, grace) = (json!(server.live().id), grace["user"]["id"].clone());
    let ids = [&user, &session.id, &other.id].map(|id| json!(id));
    let [user, session, other] = &ids;
    let wanted = [
        ("project.updated", &admin, &json!("default")),
        ("user.created", &admin, user),
        ("user.password_set", &admin, user),
        ("session.created", user, session),
        ("session.created", user, other),
        ("user.password_changed", user, user),
        ("session.revoked", user, session),
        ("user.signed_up", &admin, &grace),
    ];
    assert_eq!(told, wanted);
}

#[tokio::test]
async fn the_examples_of_the_document_hold_for_people_too() {
    let server = TestServer::start().await;
    open(&server).await;
    let document = server.get("/openapi.json", &Actor::anonymous()).await.expect(200, "").json();
    let password = "correct horse battery";
    let mut played = 0;
    for call in calls(&document).into_iter().filter(|call| call.is_for_users() && !call.brings_a_user()) {
        // Each in a world of its own: there is one Ada, and no more than one.
        let server = TestServer::start().await;
        open(&server).await;
        let mut id = None;
        let actor = if call.template == "/v1/auth/sign-up" {
            server.live()
        } else if call.template.contains("/grants/{id}") {
            server.person(&server.live(), "ada", &["read:users"]).await;
            id = Some(crate::oauth_grants::given(&server, &server.live(), "ada", "App").await);
            server.sign_in(&server.live(), "ada").await
        } else {
            let user = server.person(&server.live(), "ada", &["read:users"]).await;
            let set = json!({"id": user, "password": password});
            server.call(Wire::Grpc, "Auth/SetPassword", &server.live(), set).await.ok();
            let made = sign_in(&server, Wire::Grpc, &server.live(), "ada", password).await.ok();
            let text = |name: &str| made[name].as_str().expect("a text").to_owned();
            Actor::made(&text("token"), &text("sessionId"))
        };
        let lets_in = ["/v1/auth/sign-in", "/auth/credentials"].contains(&call.template.as_str());
        let caller = if lets_in { Actor::anonymous() } else { actor.clone() };
        if call.template.contains("{handle}") {
            server.call(Wire::Grpc, "Keys/CreateUserKey", &actor, json!({"handle": "laptop"})).await.ok();
        }
        let path = call.template.replace("{id}", id.as_ref().unwrap_or(&actor.id)).replace("{handle}", "laptop");
        let answer = call.send(&server, &path, &caller).await;
        assert_eq!(answer["status"], 200, "the example of {} {}: {answer}", call.method, call.template);
        played += 1;
    }
    assert!(played >= 12, "{played}");
}
