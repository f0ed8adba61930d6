//! What several parts of the authorization server have to keep together, found by attacking them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::oauth::{
    Browser, CALLBACK, CHALLENGE, Client, authorize, code, error, exchange, post, query_of, register, web_client,
};
use crate::oauth_dpop::{bound, header, holder, says, with};
use crate::support::jose::Key;
use crate::support::{Actor, Reply, TestServer, Wire};

async fn tokens(server: &TestServer, client: &Client, form: &[(&str, &str)]) -> (String, String) {
    let issued = post(server, "/oauth/token", Some(client), form).await.expect(200, "").json();
    let text = |name: &str| issued[name].as_str().unwrap_or_default().to_owned();
    (text("access_token"), text("refresh_token"))
}

fn again(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

async fn is_active(server: &TestServer, client: &Client, token: &str) -> bool {
    let told = post(server, "/oauth/introspect", Some(client), &[("token", token)]).await.expect(200, "").json();
    told["active"].as_bool().unwrap()
}

#[tokio::test]
async fn whoever_is_told_that_a_token_is_good_has_used_it() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let (_, first) = tokens(&server, &client, &exchange(&code(&server, &client).await)).await;
    let (access, second) = tokens(&server, &client, &again(&first)).await;
    assert!(is_active(&server, &client, &access).await);
    // The answer has arrived, so who comes with the first once more is another.
    let stolen = post(&server, "/oauth/token", Some(&client), &again(&first)).await;
    assert_eq!(error(&stolen), (400, "invalid_grant".to_owned()));
    assert!(!is_active(&server, &client, &access).await && !is_active(&server, &client, &second).await);

    // What was never used is taken back, wherever it was looked at; whoever shows it ends what came in its place.
    let (_, first) = tokens(&server, &client, &exchange(&code(&server, &client).await)).await;
    let (access, second) = tokens(&server, &client, &again(&first)).await;
    let explain = async |token: &str| {
        let asked = json!({"credential": token});
        let told = server.call(Wire::Json, "Auth/ExplainVerify", &server.live(), asked).await.ok();
        told["decision"]["code"].as_str().or(told["code"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(explain(&access).await, "VALID", "which is no use");
    let (newer, third) = tokens(&server, &client, &again(&first)).await;
    assert_ne!(explain(&access).await, "VALID");
    assert!(!is_active(&server, &client, &access).await);
    let shown = post(&server, "/oauth/token", Some(&client), &again(&second)).await;
    assert_eq!(error(&shown), (400, "invalid_grant".to_owned()));
    assert!(!is_active(&server, &client, &newer).await && !is_active(&server, &client, &third).await);
}

#[tokio::test]
async fn a_client_learns_of_its_user_what_they_agreed_to() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users", "read:products"]).await;
    let cases: [(&str, &[&str]); 4] = [
        ("read:products", &[]),
        ("read:products openid profile", &["handle"]),
        ("openid", &[]),
        ("read:users", &["handle", "scopes"]),
    ];
    for (scope, told) in cases {
        let client = register(
            &server,
            json!({"name": "App", "redirectUris": [CALLBACK], "scopes": scope.split(' ').collect::<Vec<_>>()}),
        )
        .await;
        let mut browser = Browser::new(&server);
        let page = browser.get(&authorize(&client, &[("scope", scope)])).await.expect(200, "");
        let consent = browser.sign_in(&page, "ada").await.expect(200, "");
        let sent = browser.submit(&consent, &[("decision", "allow")]).await;
        let code = query_of(sent.header("location"))["code"].clone();
        let (access, _) = tokens(&server, &client, &exchange(&code)).await;
        let bearer = Actor::bearer(&access);
        let me = server.get("/v1/users/me", &bearer).await.expect(200, "").json();
        assert_eq!(me["handle"] == "ada", told.contains(&"handle"), "{scope}: {me}");
        let all = me["scopes"].as_array().unwrap().len() == 2;
        assert_eq!(all, told.contains(&"scopes"), "{scope}: {me}");
        server.get("/v1/users/me/keys", &bearer).await.expect(403, "CALLER_NOT_ALLOWED");
    }
}

/// A client that registered itself.
async fn stranger(server: &TestServer, metadata: &Value) -> Client {
    let request = json!({
        "project": {"id": "default", "clientRegistration": "REGISTRATION_OPEN",
            "registrationResources": ["https://mcp.example.com/"]},
        "updateMask": "clientRegistration,registrationResources",
    });
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
    let made = server.post("/oauth/register", &Actor::anonymous(), metadata).await.expect(201, "").json();
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    Client { id: text("client_id"), secret: text("client_secret") }
}

fn metadata() -> Value {
    json!({"redirect_uris": [CALLBACK], "post_logout_redirect_uris": [CALLBACK], "client_name": "Agent"})
}

#[tokio::test]
async fn nobody_is_sent_to_a_client_that_registered_itself_before_they_were_asked() {
    let server = TestServer::start().await;
    let client = stranger(&server, &metadata()).await;
    let mut browser = Browser::new(&server);
    for more in [&[("response_type", "x")][..], &[("scope", "no:such")], &[("code_challenge", "")]] {
        let told = browser.get(&authorize(&client, more)).await;
        assert_eq!((told.status, told.header("location")), (400, ""), "{more:?}");
    }
    let out = format!("/oauth/logout?client_id={}&post_logout_redirect_uri={CALLBACK}", client.id);
    let told = browser.get(&out).await;
    assert_eq!((told.status, told.header("location")), (200, ""));
    // One that somebody vouched for is told.
    let known = web_client(&server).await;
    let told = browser.get(&authorize(&known, &[("response_type", "x")])).await;
    assert_eq!(told.status, 303);
}

#[tokio::test]
async fn a_client_is_no_resource_server_by_saying_so() {
    let server = TestServer::start().await;
    let resource = "https://mcp.example.com/";
    let own = json!({
        "name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"], "resources": [resource],
    });
    let (own, reader) = (register(&server, own.clone()).await, register(&server, own).await);
    let form = [("grant_type", "client_credentials"), ("resource", resource)];
    let (access, _) = tokens(&server, &own, &form).await;
    let stranger = stranger(&server, &metadata()).await;
    assert!(is_active(&server, &own, &access).await && is_active(&server, &reader, &access).await);
    assert!(!is_active(&server, &stranger, &access).await);
}

async fn push(server: &TestServer, client: &Client, more: &[(&str, &str)]) -> Reply {
    let mut form = vec![
        ("client_id", &*client.id),
        ("response_type", "code"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid read:users"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    form.extend(more);
    let prover = (!client.secret.is_empty()).then_some(client);
    post(server, "/oauth/par", prover, &form).await
}

#[tokio::test]
async fn what_a_pushed_request_demands_stands_before_the_decision_too() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&authorize(&client, &[])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    server.advance(Duration::from_secs(60));
    for demand in [("prompt", "login"), ("max_age", "10")] {
        let pushed = push(&server, &client, &[demand]).await.expect(201, "").json();
        let request = format!("client_id={}&request_uri={}", client.id, pushed["request_uri"].as_str().unwrap());
        // The form of another request, made for this very session.
        let answer = browser.submit(&consent, &[("decision", "allow"), ("request", &request)]).await;
        assert_eq!((answer.status, answer.header("location")), (200, ""), "{demand:?}");
        assert!(answer.text.contains("password"), "{demand:?}: they have to say who they are");
    }
}

#[tokio::test]
async fn pushes_for_clients_that_prove_nothing_are_bounded() {
    let server = TestServer::start().await;
    let client =
        json!({"name": "App", "type": "PUBLIC", "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"]});
    let client = register(&server, client).await;
    let mut pushed = 0;
    let refused = loop {
        let answer = push(&server, &client, &[]).await;
        if answer.status != 201 {
            break answer;
        }
        pushed += 1;
        assert!(pushed <= 100, "there is no end");
    };
    assert_eq!(error(&refused), (429, "slow_down".to_owned()));
    assert!(!refused.header("retry-after").is_empty());
    let large = "x".repeat(20_000);
    let confidential = web_client(&server).await;
    let junk = push(&server, &confidential, &[("junk", &large)]).await;
    assert_eq!(junk.status, 201, "what is no part of the request is not kept");
    let state = push(&server, &confidential, &[("state", &large)]).await;
    assert_eq!(error(&state), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn no_token_of_a_user_who_is_blocked_is_active() {
    let server = TestServer::start().await;
    let ada = server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let (access, refresh) = tokens(&server, &client, &exchange(&code(&server, &client).await)).await;
    assert!(is_active(&server, &client, &access).await && is_active(&server, &client, &refresh).await);
    server.call(Wire::Grpc, "Users/BlockUser", &server.live(), json!({"id": ada})).await.ok();
    assert!(!is_active(&server, &client, &access).await && !is_active(&server, &client, &refresh).await);
}

#[tokio::test]
async fn whoever_keeps_decisions_is_told_what_they_hang_on() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users", "write:keys"]).await;
    let client = web_client(&server).await;
    let exchanging = json!({
        "name": "Gateway", "grantTypes": ["urn:ietf:params:oauth:grant-type:token-exchange"], "scopes": ["read:users"],
    });
    let exchanging = register(&server, exchanging).await;
    let (access, _) = tokens(&server, &client, &exchange(&code(&server, &client).await)).await;
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &*access),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ];
    let (smaller, _) = tokens(&server, &exchanging, &form).await;
    for wire in Wire::ALL {
        let verify = async |token: &str| {
            server.call(wire, "Auth/Verify", &server.live(), json!({"credential": token})).await.ok()
        };
        let (told, exchanged) = (verify(&access).await, verify(&smaller).await);
        assert!(told["grantId"].as_str().unwrap().starts_with("grt_"), "{told}");
        assert_eq!((&exchanged["grantId"], &exchanged["clientId"]), (&told["grantId"], &json!(exchanging.id)));
        assert_eq!(exchanged["behindIds"], json!([told["tokenId"], client.id]), "{exchanged}");
    }
}

#[tokio::test]
async fn no_token_of_a_user_makes_what_outlives_it() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["write:keys", "read:users"]).await;
    let client = json!({"name": "App", "redirectUris": [CALLBACK], "scopes": ["openid", "write:keys", "read:users"]});
    let client = register(&server, client).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&authorize(&client, &[("scope", "write:keys read:users")])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let (access, _) = tokens(&server, &client, &exchange(&query_of(sent.header("location"))["code"])).await;
    let key = json!({"type": "SK", "name": "mine", "scopes": ["read:users"]});
    for wire in Wire::ALL {
        server.call(wire, "Keys/CreateKey", &Actor::bearer(&access), key.clone()).await.refused("CALLER_NOT_ALLOWED");
    }
}

#[tokio::test]
async fn what_a_client_may_not_ask_for_any_more_is_in_no_new_token() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let resources = ["https://one.example/", "https://two.example/"];
    let client = json!({
        "name": "App", "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"], "resources": resources,
        "accessTokenFormat": "JWT",
    });
    let client = register(&server, client).await;
    let mut browser = Browser::new(&server);
    let asked = format!("{}&resource={}", authorize(&client, &[("resource", resources[0])]), resources[1]);
    let page = browser.get(&asked).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let (access, refresh) = tokens(&server, &client, &exchange(&query_of(sent.header("location"))["code"])).await;
    assert_eq!(crate::oauth::claims(&access)["aud"], json!(resources));
    for (left, wanted) in [(&resources[1..], 200), (&[][..], 400)] {
        let request = json!({"client": {"id": client.id, "resources": left}, "updateMask": "resources"});
        server.call(Wire::Grpc, "Auth/UpdateClient", &server.live(), request).await.ok();
        let issued = post(&server, "/oauth/token", Some(&client), &again(&refresh)).await;
        assert_eq!(issued.status, wanted, "{issued:?}");
        if wanted == 200 {
            assert_eq!(crate::oauth::claims(issued.json()["access_token"].as_str().unwrap())["aud"], json!(left));
        } else {
            assert_eq!(error(&issued).1, "invalid_target", "never for everything");
        }
    }
}

#[tokio::test]
async fn looking_whether_a_link_is_good_decides_nothing() {
    let server = TestServer::start().await;
    let client = web_client(&server).await;
    let look = server.request(http::Method::HEAD, &authorize(&client, &[]), &Actor::anonymous());
    let looked = server.send(look).await;
    assert_eq!((looked.status, looked.header("allow")), (405, "GET, POST"));
}

#[tokio::test]
async fn a_token_that_nobody_would_look_at_is_not_given() {
    let server = TestServer::start().await;
    let resources: Vec<_> = (0..20).map(|n| format!("https://api.example/{n}/{}", "x".repeat(200))).collect();
    let client = json!({
        "name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"], "resources": resources,
    });
    let client = register(&server, client).await;
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend(resources.iter().map(|resource| ("resource", &**resource)));
    let refused = post(&server, "/oauth/token", Some(&client), &form).await;
    assert_eq!(error(&refused), (400, "invalid_request".to_owned()));
    let (access, _) = tokens(&server, &client, &form[..3]).await;
    assert!(is_active(&server, &client, &access).await);
}

#[tokio::test]
async fn guesses_of_others_do_not_shut_out_a_client_that_is_known() {
    let server = TestServer::start().await;
    let own = json!({"name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"]});
    let (known, form) = (register(&server, own).await, [("grant_type", "client_credentials")]);
    // Once more when every node has heard that it was made: what was known before that is read again.
    tokens(&server, &known, &form).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    tokens(&server, &known, &form).await;
    // Many at one time: what an address may guess comes back while it waits.
    let guess = async || {
        let secret = Actor::stranger("cs", gatepost::domain::environment::Environment::Live).secret;
        let nobody = Client { id: known.id.clone(), secret };
        post(&server, "/oauth/token", Some(&nobody), &form).await.status == 429
    };
    let mut guesses = 0;
    while !futures_util::future::join_all((0..64).map(|_| guess())).await.contains(&true) {
        guesses += 64;
        assert!(guesses < 20_000, "there is no end");
    }
    tokens(&server, &known, &form).await;
}

#[tokio::test]
async fn people_are_told_where_a_client_wants_to_go_for_them() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let resources = ["https://one.example/", "https://two.example/"];
    let client = json!({
        "name": "App", "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"], "resources": resources,
        "grantTypes": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
    });
    let client = register(&server, client).await;
    for named in [&resources[..], &resources[..1], &[]] {
        let mut asked = authorize(&client, &[]);
        named.iter().for_each(|resource| asked.push_str(&format!("&resource={resource}")));
        let mut browser = Browser::new(&server);
        let page = browser.get(&asked).await.expect(200, "");
        let consent = browser.sign_in(&page, "ada").await.expect(200, "");
        let mut form = vec![("scope", "read:users")];
        form.extend(named.iter().map(|resource| ("resource", *resource)));
        let begun = post(&server, "/oauth/device_authorization", Some(&client), &form).await.expect(200, "").json();
        let code = begun["user_code"].as_str().unwrap();
        let confirm = browser.get(&format!("/oauth/device?user_code={code}")).await.expect(200, "");
        for page in [consent, confirm] {
            for resource in resources {
                let shown = page.text.contains(&format!("<bdi class=\"name\">{resource}</bdi>"));
                assert_eq!(shown, named.contains(&resource), "{}", page.text);
            }
        }
    }
}

#[tokio::test]
async fn credentials_are_read_alike_wherever_they_are_shown() {
    let server = TestServer::builder().set("key_headers", "x-shop-key").start().await;
    let project = json!({"id": "default", "clientRegistration": "REGISTRATION_TOKEN"});
    let change = json!({"project": project, "updateMask": "clientRegistration"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), change).await.ok();
    let scopes = ["write:clients", "verify:credentials"];
    let administrator = server.key(&scopes).await;
    let client = json!({"name": "Job", "grantTypes": ["client_credentials"], "scopes": scopes});
    let (client, key) = (register(&server, client).await, Key::p256("one"));
    let token = bound(&server, &client, &key).await;
    let ask = async |path: &str, actor: &Actor| {
        let request = server.request(http::Method::POST, path, actor);
        let request = match path {
            "/oauth/register" => request.json(&metadata()),
            _ => request.form(&[("token", &token)]),
        };
        server.send(request).await
    };
    for (path, status) in [("/oauth/register", 201), ("/oauth/introspect", 200)] {
        let by_headers = ["x-api-key", "x-shop-key"].map(|name| administrator.by_header(name));
        for actor in by_headers.iter().chain([&administrator]) {
            ask(path, actor).await.expect(status, "");
        }
        // A token that is bound to a key, with the proof, and where a nonce is needed with that.
        let with_nonce = |nonce: Value| {
            let says = with(says(&server, "POST", path, Some(&token)), "nonce", nonce);
            holder(&token, &key.sign(&header(&key), &says))
        };
        let good = with_nonce(Value::Null);
        ask(path, &good).await.expect(status, "");
        let again = ask(path, &good).await;
        assert_eq!(error(&again), (401, "invalid_dpop_proof".to_owned()), "{path}");
        let refused = ask(path, &with_nonce(json!("made up"))).await;
        assert_eq!(error(&refused), (401, "use_dpop_nonce".to_owned()), "{path}");
        assert!(refused.header("www-authenticate").contains("error=\"use_dpop_nonce\""), "{refused:?}");
        ask(path, &with_nonce(json!(refused.header("dpop-nonce")))).await.expect(status, "");
        let stripped = ask(path, &Actor::bearer(&token)).await;
        assert_eq!(error(&stripped), (401, "invalid_dpop_proof".to_owned()), "{path}");
    }
    let powerless = server.key(&["read:users"]).await.by_header("x-shop-key");
    assert_eq!(error(&ask("/oauth/introspect", &powerless).await), (401, "invalid_client".to_owned()));
    assert_eq!(error(&ask("/oauth/register", &powerless).await), (403, "insufficient_scope".to_owned()));
}

#[tokio::test]
async fn two_tabs_do_not_shut_each_other_out() {
    let server = TestServer::start().await;
    for handle in ["ada", "bob"] {
        server.person(&server.live(), handle, &["read:users"]).await;
    }
    let tabs = async |browser: &mut Browser<'_>, client: &Client| {
        let first = browser.get(&authorize(client, &[("state", "one")])).await.expect(200, "");
        (first, browser.get(&authorize(client, &[("state", "two")])).await.expect(200, ""))
    };
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let (first, second) = tabs(&mut browser, &client).await;
    let first = browser.sign_in(&first, "ada").await.expect(200, "");
    let second = browser.sign_in(&second, "ada").await.expect(200, "");
    for (consent, state) in [(&first, "one"), (&second, "two")] {
        let sent = browser.submit(consent, &[("decision", "allow")]).await;
        let answer = query_of(sent.header("location"));
        assert!(answer.contains_key("code") && answer["state"] == state, "{answer:?}");
    }
    // What one person was asked is not decided by another, in the same browser.
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let (first, second) = tabs(&mut browser, &client).await;
    let of_ada = browser.sign_in(&first, "ada").await.expect(200, "");
    let of_bob = browser.sign_in(&second, "bob").await.expect(200, "");
    let refused = browser.submit(&of_ada, &[("decision", "allow")]).await;
    assert!(refused.status == 400 && refused.text.contains("not one of ours"), "{refused:?}");
    assert_eq!(browser.submit(&of_bob, &[("decision", "allow")]).await.status, 303);
    // Nor is a page on which somebody said who they are good for a decision.
    let csrf = crate::oauth::form_of(&second.text).1.into_iter().find(|(name, _)| name == "csrf").unwrap().1;
    assert_eq!(browser.submit(&of_bob, &[("decision", "allow"), ("csrf", &csrf)]).await.status, 400);
}
