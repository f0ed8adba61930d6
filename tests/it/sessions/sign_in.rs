//! Who gets in, and who does not.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use gatepost::domain::environment::Environment;
use http::Method;
use serde_json::json;

use super::{sign_in, works};
use crate::support::leaks::{OTHER_PASSWORD, PASSWORD};
use crate::support::{Actor, TestServer, Wire};

/// How many hashes of passwords the server has made.
async fn hashes(server: &TestServer) -> u64 {
    // The metrics are sampled once a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let metrics = server.get("/metrics", &Actor::anonymous()).await.expect(200, "").text;
    let line = metrics.lines().find(|line| line.starts_with("gatepost_password_hashes_total ")).expect("it is counted");
    line.rsplit(' ').next().expect("a number").parse().expect("a number")
}

#[tokio::test]
async fn a_password_opens_a_session_on_every_wire() {
    let server = TestServer::start().await;
    let user = server.person(&server.live(), "ada", &["read:users", "read:products"]).await;
    let publishable = server.pk(&[]).await;
    for wire in Wire::ALL {
        // Without a key it is live users of the project `default`.
        for beside in [&Actor::anonymous(), &publishable, &server.live()] {
            for name in [json!({"handle": "Ada"}), json!({"email": "ADA@example.com"}), json!({"login": "ada"})] {
                let mut request = name;
                request["password"] = json!(PASSWORD);
                let answer = server.call(wire, "Auth/SignIn", beside, request).await.ok();
                assert_eq!((&answer["user"]["id"], &answer["user"]["handle"]), (&json!(user), &json!("ada")));
                assert_eq!(answer["issuedAt"], json!(server.later(Duration::ZERO)));
                assert_eq!(answer["expiresAt"], json!(server.later(Duration::from_secs(3600))));
                let token = answer["token"].as_str().expect("a token");
                assert_eq!(token.split('.').count(), 3);
            }
        }
        let session = server.sign_in(&server.live(), "ada").await;
        let me = server.call(wire, "Auth/WhoAmI", &session, json!({})).await.ok();
        assert_eq!((&me["userId"], &me["sessionId"]), (&json!(user), &json!(session.id)));
        assert_eq!((&me["project"], &me["environment"]), (&json!("default"), &json!("LIVE")));
        assert_eq!(me["scopes"], json!(["read:products", "read:users"]));
        // It may what the user may, and no more.
        server.call(wire, "Users/GetUser", &session, json!({"id": user})).await.ok();
        server.call(wire, "Users/GetMe", &session, json!({})).await.ok();
        server.call(wire, "Keys/ListKeys", &session, json!({})).await.refused("INSUFFICIENT_SCOPE");
        let verdict = json!({"credential": session.secret, "scopes": ["read:products"]});
        for rpc in ["Auth/Verify", "Auth/BatchVerify", "Auth/ExplainVerify"] {
            let request = if rpc == "Auth/BatchVerify" { json!({"requests": [verdict]}) } else { verdict.clone() };
            let answer = server.call(wire, rpc, &server.live(), request).await.ok();
            let decision =
                [&answer, &answer["results"][0], &answer["decision"]].into_iter().find(|a| !a["code"].is_null());
            let decision = decision.expect("a decision");
            assert_eq!((&decision["code"], &decision["userId"]), (&json!("VALID"), &json!(user)), "{rpc}: {answer}");
            assert_eq!(decision["sessionId"], json!(session.id));
        }
        let missing = json!({"credential": session.secret, "scopes": ["read:keys"]});
        let decision = server.call(wire, "Auth/Verify", &server.live(), missing).await.ok();
        assert_eq!(decision["code"], "INSUFFICIENT_SCOPE");
        let beside = session.clone().beside(&publishable);
        assert_eq!(server.call(wire, "Auth/WhoAmI", &beside, json!({})).await.ok()["sessionId"], json!(session.id));
    }
}

#[tokio::test]
async fn the_answer_is_that_of_the_user_key_api() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &[]).await;
    let request = server.request(Method::POST, "/auth/credentials", &Actor::anonymous());
    let reply = server.send(request.json(&json!({"handle": "ada", "password": PASSWORD}))).await.expect(200, "");
    assert_eq!(reply.header("cache-control"), "no-store");
    let answer = reply.json();
    for field in ["token", "issuedAt", "expiresAt"] {
        assert!(answer[field].is_string(), "{answer}");
    }
    let session = Actor::made(answer["token"].as_str().expect("a token"), "");
    let me = server.get("/user", &session).await.expect(200, "").json();
    assert_eq!(me["handle"], "ada");
}

#[tokio::test]
async fn who_does_not_get_in_cannot_tell_why_and_costs_the_same_work() {
    let server = TestServer::start().await;
    for handle in ["ada", "blocked", "gone"] {
        server.person(&server.live(), handle, &[]).await;
    }
    server.person(&server.test(), "tester", &[]).await;
    let users = server.call(Wire::Grpc, "Users/ListUsers", &server.live(), json!({})).await.ok();
    let id = |handle: &str| {
        let users = users["data"].as_array().expect("a list");
        users.iter().find(|user| user["handle"] == handle).expect("a user")["id"].clone()
    };
    server.call(Wire::Grpc, "Users/BlockUser", &server.live(), json!({"id": id("blocked")})).await.ok();
    server.call(Wire::Grpc, "Users/DeleteUser", &server.live(), json!({"id": id("gone")})).await.ok();
    for user in [json!({"handle": "bare"}), json!({"handle": "bot", "type": "SERVICE_ACCOUNT"})] {
        server.call(Wire::Grpc, "Users/CreateUser", &server.live(), json!({"user": user})).await.ok();
    }
    let mut made = hashes(&server).await;
    for wire in Wire::ALL {
        let mut seen: Option<String> = None;
        for (handle, password) in [
            ("ada", OTHER_PASSWORD),
            ("nobody", PASSWORD),
            ("blocked", PASSWORD),
            ("gone", PASSWORD),
            ("bare", PASSWORD),
            ("bot", PASSWORD),
            ("tester", PASSWORD),
        ] {
            let beside = Actor::anonymous().with("x-request-id", "the-same");
            let answer = sign_in(&server, wire, &beside, handle, password).await;
            made += 1;
            // The metrics take their time.
            assert!(wire != Wire::Grpc || hashes(&server).await == made, "{handle}: the same work");
            let mut headers = answer.headers.clone();
            headers.remove("date");
            let told = format!("{headers:?} {} {:?} {}", answer.message, answer.metadata, answer.document);
            assert_eq!(*seen.get_or_insert_with(|| told.clone()), told, "{handle} on {wire:?} tells itself apart");
            if wire == Wire::Json {
                let challenge = answer.header("www-authenticate");
                assert_eq!(answer.http, 401);
                assert!(
                    challenge.starts_with("Bearer realm=\"gatepost\"") && !challenge.contains("error"),
                    "{challenge}"
                );
                assert_eq!(answer.document["error"], "invalid_credentials");
            }
            answer.refused("SIGN_IN_FAILED");
        }
    }
    assert_eq!(hashes(&server).await, made);
    for (request, field) in [
        (json!({"password": PASSWORD}), "login"),
        (json!({"handle": "ada", "email": "ada@example.com", "password": PASSWORD}), "login"),
        (json!({"handle": "a_b", "password": PASSWORD}), "handle"),
        (json!({"email": "ada", "password": PASSWORD}), "email"),
        (json!({"login": "ada@", "password": PASSWORD}), "login"),
        (json!({"handle": "ada"}), "password"),
        (json!({"handle": "ada", "password": "x".repeat(257)}), "password"),
    ] {
        for wire in Wire::ALL {
            let answer = server.call(wire, "Auth/SignIn", &Actor::anonymous(), request.clone()).await;
            assert!(answer.violations.iter().any(|(name, _)| name == field), "{request}: {answer:?}");
            answer.refused("INVALID_FIELD");
        }
    }
    // A key that is sent must be good.
    let stranger = Actor::stranger("pk", Environment::Live);
    sign_in(&server, Wire::Json, &stranger, "ada", PASSWORD).await.refused("NOT_FOUND");
    sign_in(&server, Wire::Json, &server.test(), "ada", PASSWORD).await.refused("SIGN_IN_FAILED");
    sign_in(&server, Wire::Json, &server.test(), "tester", PASSWORD).await.ok();
}

#[tokio::test]
async fn guesses_are_bounded_and_do_not_shut_the_owner_out() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    let from = |ip: &str| Actor::anonymous().with("x-forwarded-for", ip).with("x-forwarded-proto", "https");
    let admin = server.live().with("x-forwarded-proto", "https");
    server.person(&admin, "ada", &[]).await;
    let home = from("198.51.100.1");
    sign_in(&server, Wire::Grpc, &home, "ada", PASSWORD).await.ok();
    for handle in ["ada", "nobody"] {
        // The same from wherever, and whether there is such a user or not.
        for n in 0..10 {
            let guess =
                sign_in(&server, Wire::ALL[n % 4], &from(&format!("192.0.2.{n}")), handle, OTHER_PASSWORD).await;
            guess.refused("SIGN_IN_FAILED");
        }
        for wire in Wire::ALL {
            // The right password does not do either: it would tell that it is.
            let refused = sign_in(&server, wire, &from("192.0.2.99"), handle, PASSWORD).await;
            assert!(refused.message.ends_with("Try again in 300 seconds"), "{refused:?}");
            if wire == Wire::Json {
                assert_eq!((refused.http, refused.header("retry-after")), (429, "300"));
                assert_eq!(refused.document["error"], "rate_limit_exceeded");
            }
            refused.refused("TOO_MANY_ATTEMPTS");
        }
    }
    sign_in(&server, Wire::Grpc, &home, "ada", PASSWORD).await.ok();
    sign_in(&server, Wire::Grpc, &from("192.0.2.99"), "ada", PASSWORD).await.refused("TOO_MANY_ATTEMPTS");
    server.advance(Duration::from_secs(300));
    sign_in(&server, Wire::Grpc, &from("192.0.2.99"), "ada", PASSWORD).await.ok();

    // One address is bounded over all accounts.
    for n in 0..60 {
        let guess = sign_in(&server, Wire::Grpc, &from("203.0.113.1"), &format!("user-{n}"), OTHER_PASSWORD).await;
        guess.refused("SIGN_IN_FAILED");
    }
    let refused = sign_in(&server, Wire::Json, &from("203.0.113.1"), "ada", PASSWORD).await;
    assert_eq!((refused.http, refused.header("retry-after")), (429, "10"), "{refused:?}");
}

#[tokio::test]
async fn a_storm_of_sign_ins_is_bounded_and_leaves_key_checks_alone() {
    let server =
        TestServer::builder().set("password_cost", "m=65536,t=3,p=4").set("password_threads", "1").start().await;
    let key = server.key(&[]).await;
    let handles: Vec<_> = (0..400).map(|n| format!("user-{n}")).collect();
    let beside = server.live();
    let storm = handles.iter().map(|handle| sign_in(&server, Wire::Json, &beside, handle, PASSWORD));
    let mut storm = storm.collect::<FuturesUnordered<_>>();
    let refused = loop {
        let answer = storm.next().await.expect("the line has an end");
        if answer.reason == "OVERLOADED" {
            break answer;
        }
        answer.refused("SIGN_IN_FAILED");
    };
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!(refused.http == 503 && wait >= 1, "{refused:?}");
    assert!(works(&server, &key).await, "while all of them wait");
    // Whoever goes away leaves the line.
    drop(storm);
    let late = tokio::time::timeout(Duration::from_secs(20), async {
        while sign_in(&server, Wire::Json, &beside, "late", PASSWORD).await.reason == "OVERLOADED" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    late.await.expect("there is room again");
}
