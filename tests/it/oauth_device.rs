//! Devices that cannot show a sign-in page (RFC 8628), as they, their users and their attackers meet the server.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::oauth::{Browser, Client, claims, error, post, register};
use crate::support::{Actor, Reply, TestServer, Wire, leaks};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What a television is told first.
struct Codes {
    device: String,
    user: String,
}

async fn television(server: &TestServer, more: Value) -> Client {
    let mut client = json!({
        "name": "TV <b>App</b>", "type": "PUBLIC", "grantTypes": [DEVICE_CODE, "refresh_token"],
        "scopes": ["openid", "read:users", "write:users"],
    });
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    register(server, client).await
}

/// A form of a client, in whichever way it proves itself.
async fn ask(server: &TestServer, path: &str, client: &Client, form: &[(&str, &str)]) -> Reply {
    if client.secret.is_empty() {
        let form = [form, &[("client_id", &*client.id)]].concat();
        return post(server, path, None, &form).await;
    }
    post(server, path, Some(client), form).await
}

async fn start(server: &TestServer, client: &Client) -> Codes {
    let form = [("scope", "openid read:users write:users")];
    let told = ask(server, "/oauth/device_authorization", client, &form).await.expect(200, "").json();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    Codes { device: text("device_code"), user: text("user_code") }
}

async fn poll(server: &TestServer, client: &Client, code: &str) -> Reply {
    ask(server, "/oauth/token", client, &[("grant_type", DEVICE_CODE), ("device_code", code)]).await
}

fn page_of(code: &str) -> String {
    format!("/oauth/device?user_code={code}")
}

/// Ada's browser at the page that asks her about this code.
async fn at_the_question<'a>(server: &'a TestServer, code: &str) -> (Browser<'a>, Reply) {
    let mut browser = Browser::new(server);
    let sign_in = browser.get(&page_of(code)).await.expect(200, "");
    let question = browser.sign_in(&sign_in, "ada").await;
    (browser, question)
}

async fn decide(server: &TestServer, code: &str, decision: &str) {
    let (mut browser, question) = at_the_question(server, code).await;
    assert_eq!(browser.submit(&question, &[("decision", decision)]).await.status, 303);
}

#[tokio::test]
async fn a_device_gets_tokens_once_somebody_agrees() {
    let server = TestServer::start().await;
    let ada = server.person(&server.live(), "ada", &["read:users"]).await;
    let confidential = json!({"type": "CONFIDENTIAL", "accessTokenFormat": "OPAQUE"});
    for more in [json!({}), confidential] {
        let client = television(&server, more).await;
        let form = [("scope", "openid read:users write:users")];
        let told = ask(&server, "/oauth/device_authorization", &client, &form).await.expect(200, "");
        assert_eq!(told.header("cache-control"), "no-store");
        let told = told.json();
        assert_eq!((&told["expires_in"], &told["interval"]), (&json!(600), &json!(5)));
        assert_eq!(told["verification_uri"], "https://keys.example/oauth/device");
        let (device, user) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());
        assert!(user.len() == 9 && user.as_bytes()[4] == b'-', "{user}");
        assert_eq!(told["verification_uri_complete"], format!("https://keys.example/oauth/device?user_code={user}"));
        assert_eq!(error(&poll(&server, &client, device).await), (400, "authorization_pending".to_owned()));

        // Typed by hand, in whichever way.
        let mut browser = Browser::new(&server);
        let page = browser.get("/oauth/device").await.expect(200, "");
        let typed = browser.submit(&page, &[("user_code", &user.to_lowercase().replace('-', " "))]).await;
        assert_eq!((typed.status, typed.header("location")), (303, &*page_of(user)));
        let sign_in = browser.get(typed.header("location")).await.expect(200, "");
        assert!(!sign_in.text.contains("TV "), "who is not signed in learns nothing: {sign_in:?}");
        let wrong = browser.submit(&sign_in, &[("login", "ada"), ("password", "wrong horse battery")]).await;
        assert_eq!(wrong.status, 422);
        let question = browser.sign_in(&wrong, "ada").await.expect(200, "");
        for part in ["TV &#60;b&#62;App", user, "See users", "ada"] {
            assert!(question.text.contains(part), "{part}: {question:?}");
        }
        assert!(!question.text.contains("Add, change"), "she may not give it: {question:?}");
        for (header, part) in [("content-security-policy", "frame-ancestors 'none'"), ("cache-control", "no-store")] {
            assert!(question.header(header).contains(part), "{question:?}");
        }
        let decided = browser.submit(&question, &[("decision", "allow")]).await;
        assert_eq!((decided.status, decided.header("location")), (303, &*page_of(user)));
        let done = browser.get(decided.header("location")).await.expect(200, "");
        assert!(done.text.contains("is connected") && done.text.contains("TV "), "{done:?}");
        // A second click, and the same code once more.
        let again = browser.submit(&question, &[("decision", "deny")]).await;
        assert_eq!((again.status, again.header("location")), (303, &*page_of(user)));

        let issued = poll(&server, &client, device).await.expect(200, "");
        assert_eq!(issued.header("cache-control"), "no-store");
        let issued = issued.json();
        assert_eq!((&issued["token_type"], &issued["scope"]), (&json!("Bearer"), &json!("openid read:users")));
        let bearer = Actor::bearer(issued["access_token"].as_str().unwrap());
        let me = server.get("/v1/users/me", &bearer).await.expect(200, "").json();
        assert_eq!(me["id"], ada);
        assert_eq!(claims(issued["id_token"].as_str().unwrap())["sub"], ada);
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", issued["refresh_token"].as_str().unwrap())];
        let next = ask(&server, "/oauth/token", &client, &refresh).await.expect(200, "").json();
        let next = Actor::bearer(next["access_token"].as_str().unwrap());
        server.get("/v1/users/me", &next).await.expect(200, "");

        // Whoever brings the code again ends what the first had.
        assert_eq!(error(&poll(&server, &client, device).await), (400, "invalid_grant".to_owned()));
        for ended in [&bearer, &next] {
            server.get("/v1/users/me", ended).await.expect(401, "NOT_FOUND");
        }
        // What was agreed to is not remembered.
        let codes = start(&server, &client).await;
        browser.get(&page_of(&codes.user)).await.expect(200, "");
        assert_eq!(error(&poll(&server, &client, &codes.device).await).1, "authorization_pending");
    }
    let told = server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), json!({"pageSize": 50})).await.ok();
    let actions: Vec<_> = told["data"].as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    for action in ["grant.given", "grant.device_code_reused"] {
        assert!(actions.contains(&json!(action)), "{actions:?}");
    }
}

#[tokio::test]
async fn what_a_device_is_told_while_it_waits() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = television(&server, json!({})).await;
    let pending = (400, "authorization_pending".to_owned());
    let slow = (400, "slow_down".to_owned());

    // Too often: each time the wait grows by five seconds, and stays so.
    let codes = start(&server, &client).await;
    for (waited, told) in
        [(0, &pending), (1, &slow), (5, &slow), (15, &pending), (14, &pending), (10, &slow), (20, &pending)]
    {
        server.advance(Duration::from_secs(waited));
        assert_eq!(error(&poll(&server, &client, &codes.device).await), *told, "after {waited} s");
    }
    // A decision is told at once.
    decide(&server, &codes.user, "deny").await;
    for _ in 0..2 {
        assert_eq!(error(&poll(&server, &client, &codes.device).await), (400, "access_denied".to_owned()));
    }
    let (mut browser, page) = at_the_question(&server, &codes.user).await;
    assert!(page.text.contains("not connected"), "{page:?}");

    // Too late, also for who was about to agree, and for who had agreed.
    let (late, agreed) = (start(&server, &client).await, start(&server, &client).await);
    let question = browser.get(&page_of(&late.user)).await.expect(200, "");
    decide(&server, &agreed.user, "allow").await;
    server.advance(Duration::from_secs(600));
    for codes in [&late, &agreed] {
        assert_eq!(error(&poll(&server, &client, &codes.device).await), (400, "expired_token".to_owned()));
    }
    let refused = browser.submit(&question, &[("decision", "allow")]).await;
    assert!(refused.status == 422 && refused.text.contains("too old"), "{refused:?}");
    assert_eq!(error(&poll(&server, &client, &late.device).await).1, "expired_token");

    // Somebody who may not act any more by then.
    let codes = start(&server, &client).await;
    let bob = server.person(&server.live(), "bob", &["read:users"]).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&page_of(&codes.user)).await;
    let question = browser.sign_in(&page, "bob").await;
    assert_eq!(browser.submit(&question, &[("decision", "allow")]).await.status, 303);
    server.call(Wire::Grpc, "Users/BlockUser", &server.live(), json!({"id": bob})).await.ok();
    assert_eq!(error(&poll(&server, &client, &codes.device).await).1, "invalid_grant");
}

#[tokio::test]
async fn a_device_code_is_good_once_for_who_began() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = television(&server, json!({})).await;
    let thief = television(&server, json!({"name": "Thief"})).await;
    let codes = start(&server, &client).await;
    decide(&server, &codes.user, "allow").await;
    assert_eq!(error(&poll(&server, &thief, &codes.device).await), (400, "invalid_grant".to_owned()));
    let user_code = poll(&server, &client, &codes.user).await;
    assert_eq!(error(&user_code), (400, "invalid_grant".to_owned()), "it is not for devices");
    let opens_nothing = server.get("/v1/users", &Actor::bearer(&codes.device)).await;
    assert_eq!(opens_nothing.status, 401);

    // Many at one time: one gets tokens, and since the others hold the code too, it does not keep them.
    let polls: Vec<_> = (0..8).map(|_| poll(&server, &client, &codes.device)).collect();
    let replies = futures_util::future::join_all(polls).await;
    let (good, bad): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!((good.len(), bad.len()), (1, 7));
    assert!(bad.iter().all(|reply| error(reply) == (400, "invalid_grant".to_owned())), "{bad:?}");
    let bearer = Actor::bearer(good[0].json()["access_token"].as_str().unwrap());
    server.get("/v1/users/me", &bearer).await.expect(401, "NOT_FOUND");
}

#[tokio::test]
async fn what_is_wrong_with_a_devices_request_is_told_in_the_words_of_the_rfc() {
    let server = TestServer::start().await;
    let client = television(&server, json!({})).await;
    let secret = television(&server, json!({"type": "CONFIDENTIAL"})).await;
    let other = register(&server, json!({"name": "Job", "grantTypes": ["client_credentials"]})).await;
    let id = ("client_id", &*client.id);
    let scope = ("scope", "read:users");
    type Case<'a> = (Option<&'a Client>, &'a [(&'a str, &'a str)], u16, &'a str);
    let cases: &[Case<'_>] = &[
        (None, &[scope], 401, "invalid_client"),
        (None, &[("client_id", &secret.id), scope], 401, "invalid_client"),
        (None, &[("client_id", "cli_00000000000000000000000000000000"), scope], 401, "invalid_client"),
        (Some(&other), &[scope], 400, "unauthorized_client"),
        (None, &[id], 400, "invalid_scope"),
        (None, &[id, ("scope", " ")], 400, "invalid_scope"),
        (None, &[id, ("scope", "read:users admin")], 400, "invalid_scope"),
        (None, &[id, ("scope", "read:products")], 400, "invalid_scope"),
        (None, &[id, scope, scope], 400, "invalid_request"),
        (None, &[id, scope, ("resource", "https://api.example.com")], 400, "invalid_target"),
    ];
    for (client, form, status, word) in cases {
        let reply = post(&server, "/oauth/device_authorization", *client, form).await;
        assert_eq!(error(&reply), (*status, (*word).to_owned()), "{form:?}: {reply:?}");
    }
    let get = server.get("/oauth/device_authorization", &Actor::anonymous()).await;
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    let grant = ("grant_type", DEVICE_CODE);
    let never = format!("dc_live_{}", "x".repeat(49));
    for (form, word) in [
        (vec![id, grant], "invalid_request"),
        (vec![id, grant, ("device_code", "x")], "invalid_grant"),
        (vec![id, grant, ("device_code", &never)], "invalid_grant"),
    ] {
        assert_eq!(error(&post(&server, "/oauth/token", None, &form).await), (400, word.to_owned()), "{form:?}");
    }
    let told = server.get("/.well-known/oauth-authorization-server", &Actor::anonymous()).await.json();
    assert_eq!(told["device_authorization_endpoint"], "https://keys.example/oauth/device_authorization");
    assert!(told["grant_types_supported"].as_array().unwrap().contains(&json!(DEVICE_CODE)), "{told}");
    // A public client proves nothing, so one address starts so many and no more.
    let mut refused = None;
    for _ in 0..80 {
        let reply = post(&server, "/oauth/device_authorization", None, &[id, scope]).await;
        if reply.status != 200 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("there is an end");
    assert_eq!((error(&refused), refused.header("retry-after")), ((429, "slow_down".to_owned()), "1"));
    ask(&server, "/oauth/device_authorization", &secret, &[scope]).await.expect(200, "");
}

#[tokio::test]
async fn codes_are_not_found_by_guessing() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = television(&server, json!({})).await;
    let codes = start(&server, &client).await;
    let hidden = |page: &Reply, code: &str| {
        let form = crate::oauth::form_of(&page.text);
        let fields = form.1.into_iter().filter(|(name, _)| name != "csrf").collect::<Vec<_>>();
        (page.status, form.0, fields, page.text.replace(code, "").len())
    };
    // Whoever is not signed in is told nothing: the pages are alike.
    let mut stranger = Browser::new(&server);
    let there = stranger.get(&page_of(&codes.user)).await;
    let not_there = stranger.get(&page_of("BCDF-GHJK")).await;
    let (one, other) = (hidden(&there, &codes.user), hidden(&not_there, "BCDF-GHJK"));
    assert_eq!((one.0, one.1, one.2.len(), one.3), (other.0, other.1, other.2.len(), other.3));

    let (mut browser, _) = at_the_question(&server, &codes.user).await;
    for _ in 0..30 {
        let question = browser.get(&page_of(&codes.user)).await.expect(200, "");
        assert!(question.text.contains(&codes.user), "a right code costs nothing");
    }
    let guess = |n: usize| {
        let letters = b"BCDFGHJKLM";
        let (a, b) = (char::from(letters[n / 10]), char::from(letters[n % 10]));
        page_of(&format!("BBBB-BB{a}{b}"))
    };
    for n in 0..10 {
        let wrong = browser.get(&guess(n)).await;
        assert!(wrong.status == 422 && wrong.text.contains("not known"), "{wrong:?}");
    }
    for target in [guess(11), page_of(&codes.user)] {
        assert_eq!(browser.get(&target).await.status, 429, "{target}");
    }
    server.advance(Duration::from_secs(60));
    browser.get(&page_of(&codes.user)).await.expect(200, "");
    for bad in ["x", "BBBB-BBB", "BBBBBBBBB", "AEIO-UAEI", "%3Cscript%3Ealert(1)"] {
        let page = browser.get(&page_of(bad)).await;
        assert!(page.status == 422 && page.text.contains("eight letters"), "{page:?}");
        assert!(!page.text.contains("<script"), "{page:?}");
    }
}

#[tokio::test]
async fn only_who_may_decide_does() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    server.person(&server.live(), "poor", &[]).await;
    server.person(&server.test(), "eve", &["read:users"]).await;
    let client = television(&server, json!({"scopes": ["read:users", "write:users"]})).await;
    let form = [("scope", "read:users write:users")];
    let told = ask(&server, "/oauth/device_authorization", &client, &form).await.expect(200, "").json();
    let (device, user) = (told["device_code"].as_str().unwrap(), told["user_code"].as_str().unwrap());

    // Of the other environment: whoever is signed in there is told nothing.
    let eve = server.sign_in(&server.test(), "eve").await;
    let cookie = format!("__Host-gatepost-session={}", eve.secret);
    let page = server.request(Method::GET, &page_of(user), &Actor::anonymous()).header("cookie", cookie);
    let page = server.send(page).await;
    assert!(page.status == 422 && page.text.contains("not known") && !page.text.contains("TV "), "{page:?}");

    // With nothing to give: asked to sign in as somebody else, and nothing is decided.
    let mut browser = Browser::new(&server);
    let page = browser.get(&page_of(user)).await;
    let poor = browser.sign_in(&page, "poor").await;
    assert!(poor.status == 422 && poor.text.contains("Sign in with another"), "{poor:?}");
    assert_eq!(error(&poll(&server, &client, device).await).1, "authorization_pending");
    let question = browser.sign_in(&poor, "ada").await.expect(200, "");
    assert!(question.text.contains(user));

    // Forms that are not ours decide nothing, and lead nowhere.
    for csrf in ["", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(browser.submit(&question, &[("decision", "allow"), ("csrf", csrf)]).await.status, 400, "{csrf}");
    }
    assert_eq!(Browser::new(&server).submit(&question, &[("decision", "allow")]).await.status, 400);
    for (name, value) in [("decision", ""), ("decision", "yes"), ("device", "https://evil.example/"), ("device", "//e")]
    {
        let reply = browser.submit(&question, &[("decision", "allow"), (name, value)]).await;
        assert_eq!((reply.status, reply.header("location")), (400, ""), "{name}={value}: {reply:?}");
    }
    assert_eq!(error(&poll(&server, &client, device).await).1, "slow_down");

    // Another account.
    let switched = browser.submit(&question, &[("decision", "switch_account")]).await.expect(200, "");
    let poor = browser.sign_in(&switched, "poor").await;
    assert_eq!(poor.status, 422, "{poor:?}");
    let question = browser.sign_in(&poor, "ada").await.expect(200, "");
    assert_eq!(browser.submit(&question, &[("decision", "allow")]).await.status, 303);
    poll(&server, &client, device).await.expect(200, "");
    // Used: nobody else learns what became of it.
    server.person(&server.live(), "bob", &["read:users"]).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&page_of(user)).await;
    let used = browser.sign_in(&page, "bob").await;
    assert!(used.status == 422 && !used.text.contains("TV "), "{used:?}");
}

#[tokio::test]
async fn codes_of_other_projects_are_as_unknown_as_those_that_there_are_not() {
    let server = TestServer::start().await;
    let elsewhere = server.other_project("elsewhere", gatepost::domain::environment::Environment::Live).await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    server.person(&elsewhere, "eve", &["read:users"]).await;
    let client = json!({
        "name": "TV", "type": "PUBLIC", "scopes": ["openid", "read:users", "write:users"], "grantTypes": [DEVICE_CODE],
    });
    let made = server.call(Wire::Grpc, "Auth/CreateClient", &elsewhere, json!({"client": client})).await.ok();
    let client = Client { id: made["client"]["id"].as_str().unwrap().to_owned(), secret: String::new() };
    let late = start(&server, &client).await;
    server.advance(Duration::from_secs(600));
    let theirs = start(&server, &client).await;
    let mut told = Vec::new();
    for code in [&*theirs.user, &*late.user, "BCDF-GHJK"] {
        let mut pages = Vec::new();
        // A password that is wrong, and somebody of `default`, who then is signed in; and so again.
        let mut browser = Browser::new(&server);
        let page = browser.get(&page_of(code)).await.expect(200, "");
        let wrong = browser.submit(&page, &[("login", "ada"), ("password", leaks::OTHER_PASSWORD)]).await;
        assert!(wrong.text.contains("the password or the code is wrong"), "{wrong:?}");
        pages.push(wrong);
        pages.push(browser.sign_in(&page, "ada").await);
        pages.push(browser.get(&page_of(code)).await);
        // Nobody of `default`, with a password that is right elsewhere.
        if code != theirs.user {
            let mut browser = Browser::new(&server);
            let page = browser.get(&page_of(code)).await.expect(200, "");
            let wrong = browser.submit(&page, &[("login", "eve"), ("password", leaks::PASSWORD)]).await;
            assert!(wrong.status == 422 && wrong.text.contains("the password or the code is wrong"), "{wrong:?}");
        }
        let shown = |page: &Reply| {
            let form = crate::oauth::form_of(&page.text).1;
            let csrf = form.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
            (page.status, page.text.replace(code, "").replace(&csrf, ""))
        };
        told.push(pages.iter().map(shown).collect::<Vec<_>>());
    }
    assert_eq!((&told[0], &told[1]), (&told[2], &told[2]));
    assert_eq!(told[0].iter().map(|(status, _)| *status).collect::<Vec<_>>(), [422, 422, 422]);
    // Those who are at home there find it.
    let mut browser = Browser::new(&server);
    let page = browser.get(&page_of(&theirs.user)).await.expect(200, "");
    let question = browser.sign_in(&page, "eve").await.expect(200, "");
    assert!(question.text.contains(&theirs.user) && question.text.contains("TV"), "{question:?}");
}
