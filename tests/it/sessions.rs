//! Signing in with a password, and the sessions that come of it.

use std::time::Duration;

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::password::{HashCost, PasswordHash};
use http::Method;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::openapi::calls;
use crate::support::leaks::{OTHER_PASSWORD, PASSWORD};
use crate::support::{Actor, Answer, TestServer, Wire};

async fn sign_in(server: &TestServer, wire: Wire, beside: &Actor, handle: &str, password: &str) -> Answer {
    server.call(wire, "Auth/SignIn", beside, json!({"handle": handle, "password": password})).await
}

async fn works(server: &TestServer, actor: &Actor) -> bool {
    match server.get("/v1/auth/whoami", actor).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

/// How many hashes of passwords the server has made.
async fn hashes(server: &TestServer) -> u64 {
    // The metrics are sampled once a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let metrics = server.get("/metrics", &Actor::anonymous()).await.expect(200, "").text;
    let line = metrics.lines().find(|line| line.starts_with("gatepost_password_hashes_total ")).expect("it is counted");
    line.rsplit(' ').next().expect("a number").parse().expect("a number")
}

async fn open(server: &TestServer) {
    let settings = json!({"id": "default", "signUp": "OPEN", "userScopes": ["read:users"], "sessionLifetime": "600s"});
    let request = json!({"project": settings, "updateMask": "signUp,userScopes,sessionLifetime"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
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
                assert_eq!((answer.http, answer.header("www-authenticate")), (401, "Bearer realm=\"gatepost\""));
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
    let forged = gatepost::auth::signing::SessionClaims {
        project: gatepost::domain::id::ProjectId::default_project(),
        environment: Environment::Live,
        user: gatepost::domain::id::UserId::parse(&user).expect("an id"),
        session: gatepost::domain::id::SessionId::new(server.now(), &SystemEntropy),
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
    let user = gatepost::domain::id::UserId::parse(&user).expect("an id");
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
        let actor = if call.template == "/v1/auth/sign-up" {
            server.live()
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
        let path = call.template.replace("{id}", &actor.id).replace("{handle}", "laptop");
        let answer = call.send(&server, &path, &caller).await;
        assert_eq!(answer["status"], 200, "the example of {} {}: {answer}", call.method, call.template);
        played += 1;
    }
    assert!(played >= 12, "{played}");
}
