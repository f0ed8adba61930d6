//! Authorization requests that a client pushes to the server itself (RFC 9126).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::oauth::{
    Browser, CALLBACK, CHALLENGE, Client, authorize, error, exchange, post, query_of, register, web_client,
};
use crate::support::jose::Key;
use crate::support::server::PUBLIC_URL;
use crate::support::{Actor, Reply, TestServer};

const REQUEST: [(&str, &str); 7] = [
    ("response_type", "code"),
    ("redirect_uri", CALLBACK),
    ("scope", "openid read:users"),
    ("state", "st+a te&1=\u{e9}"),
    ("nonce", "n-0S6"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// What a client pushes, with these parameters in place of those it has, and without those that are empty.
async fn push(server: &TestServer, client: &Client, more: &[(&str, &str)]) -> Reply {
    let mut form = REQUEST.to_vec();
    for (name, value) in more {
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name, value));
        }
    }
    post(server, "/oauth/par", Some(client), &form).await
}

async fn name(server: &TestServer, client: &Client, more: &[(&str, &str)]) -> String {
    let pushed = push(server, client, more).await.expect(201, "").json();
    pushed["request_uri"].as_str().unwrap().to_owned()
}

fn target(client: &Client, request_uri: &str, more: &[(&str, &str)]) -> String {
    let mut parameters = vec![("client_id", &*client.id), ("request_uri", request_uri)];
    parameters.extend(more);
    let url = reqwest::Url::parse_with_params("http://x/oauth/authorize", &parameters).unwrap();
    format!("/oauth/authorize?{}", url.query().unwrap())
}

/// The code of a request that a user agrees to.
async fn agree(browser: &mut Browser<'_>, consent: &Reply) -> String {
    let sent = browser.submit(consent, &[("decision", "allow")]).await;
    assert_eq!(sent.status, 303, "{sent:?}");
    query_of(sent.header("location"))["code"].clone()
}

#[tokio::test]
async fn a_pushed_request_is_answered_once() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let pushed = push(&server, &client, &[]).await.expect(201, "");
    assert_eq!(pushed.header("cache-control"), "no-store");
    let pushed = pushed.json();
    let request_uri = pushed["request_uri"].as_str().unwrap();
    assert!(request_uri.starts_with("urn:ietf:params:oauth:request_uri:") && request_uri.len() > 70, "{pushed}");
    assert_eq!(pushed["expires_in"], 90);

    // Whoever the browser brings it with, what was pushed is all that counts.
    let more = [("scope", "write:users"), ("state", "other"), ("redirect_uri", "https://evil.example/")];
    let mut browser = Browser::new(&server);
    let page = browser.get(&target(&client, request_uri, &more)).await.expect(200, "");
    // The user may take their time, and come back.
    server.advance(Duration::from_secs(20 * 60));
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    assert!(consent.text.contains("See users") && !consent.text.contains("write:users"), "{consent:?}");
    let consent = browser.get(&target(&client, request_uri, &[])).await.expect(200, "");
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let answer = query_of(sent.header("location"));
    assert_eq!((&*answer["state"], &*answer["iss"]), ("st+a te&1=\u{e9}", PUBLIC_URL));
    let issued = post(&server, "/oauth/token", Some(&client), &exchange(&answer["code"])).await.expect(200, "").json();
    assert_eq!(issued["scope"], "openid read:users");
    // It was answered.
    for again in [
        browser.get(&target(&client, request_uri, &[])).await,
        browser.submit(&consent, &[("decision", "allow")]).await,
        browser.submit(&consent, &[("decision", "deny")]).await,
    ] {
        assert_eq!((again.status, again.header("location")), (400, ""), "{again:?}");
    }
    // Who does not agree has answered as well.
    let request_uri = name(&server, &client, &[("prompt", "consent")]).await;
    let consent = browser.get(&target(&client, &request_uri, &[])).await.expect(200, "");
    let denied = browser.submit(&consent, &[("decision", "deny")]).await;
    assert_eq!(query_of(denied.header("location"))["error"], "access_denied");
    assert_eq!(browser.submit(&consent, &[("decision", "allow")]).await.status, 400);
    // Of many at one time one is answered.
    let request_uri = name(&server, &client, &[]).await;
    let at = target(&client, &request_uri, &[]);
    let cookies: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let ask = || {
        let request = server.request(Method::GET, &at, &Actor::anonymous()).header("cookie", cookies.join("; "));
        server.send(request)
    };
    let replies = futures_util::future::join_all((0..8).map(|_| ask())).await;
    assert_eq!(replies.iter().filter(|reply| reply.header("location").contains("code=")).count(), 1);
    let told = server.get("/.well-known/oauth-authorization-server", &Actor::anonymous()).await.json();
    assert_eq!(told["pushed_authorization_request_endpoint"], format!("{PUBLIC_URL}/oauth/par"));
    assert_eq!(told["require_pushed_authorization_requests"], false);
}

#[tokio::test]
async fn whoever_is_to_sign_in_again_does_so_once() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let request_uri = name(&server, &client, &[]).await;
    let page = browser.get(&target(&client, &request_uri, &[])).await;
    let consent = browser.sign_in(&page, "ada").await;
    agree(&mut browser, &consent).await;
    for more in [("prompt", "login"), ("max_age", "0"), ("prompt", "select_account")] {
        server.advance(Duration::from_secs(2));
        let request_uri = name(&server, &client, &[more]).await;
        server.advance(Duration::from_secs(2));
        let page = browser.get(&target(&client, &request_uri, &[])).await.expect(200, "");
        assert!(page.text.contains("password"), "{more:?}: {page:?}");
        let sent = browser.sign_in(&page, "ada").await;
        assert!(query_of(sent.header("location")).contains_key("code"), "{more:?}: {sent:?}");
    }
}

#[tokio::test]
async fn a_request_is_its_clients_for_a_short_time() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let (client, other) = (web_client(&server).await, web_client(&server).await);
    let request_uri = name(&server, &client, &[]).await;
    let unknown = format!("{request_uri}x");
    let nobody = Client { id: String::new(), secret: String::new() };
    for (client, request_uri) in [(&other, &request_uri), (&client, &unknown), (&nobody, &request_uri)] {
        let page = Browser::new(&server).get(&target(client, request_uri, &[("redirect_uri", CALLBACK)])).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{page:?}");
    }
    server.advance(Duration::from_secs(90));
    let late = Browser::new(&server).get(&target(&client, &request_uri, &[])).await;
    assert_eq!((late.status, late.header("location")), (400, ""), "{late:?}");
    assert_eq!(server.store().await.prune_pushed_requests(server.now(), 10).await.unwrap(), 1);
    // Not even that it was begun keeps it for ever.
    let request_uri = name(&server, &client, &[]).await;
    let page = Browser::new(&server).get(&target(&client, &request_uri, &[])).await;
    assert_eq!(page.status, 200);
    server.advance(Duration::from_secs(30 * 60));
    assert_eq!(Browser::new(&server).get(&target(&client, &request_uri, &[])).await.status, 400);
}

#[tokio::test]
async fn what_is_wrong_is_told_when_it_is_pushed() {
    let server = TestServer::start().await;
    let client = web_client(&server).await;
    let other = web_client(&server).await;
    for (parameter, value, word) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("redirect_uri", "https://evil.example/", "invalid_request"),
        ("scope", "read:users admin", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("dpop_jkt", "short", "invalid_request"),
        ("prompt", "none login", "invalid_request"),
        ("resource", "https://other.example/", "invalid_target"),
        ("request", "e30.e30.", "request_not_supported"),
        ("request_uri", "https://evil.example/", "invalid_request"),
        ("client_id", &other.id, "invalid_request"),
    ] {
        let reply = push(&server, &client, &[(parameter, value)]).await;
        assert_eq!(error(&reply), (400, word.to_owned()), "{parameter}={value}: {reply:?}");
    }
    let again = name(&server, &client, &[]).await;
    assert_eq!(error(&push(&server, &client, &[("request_uri", &again)]).await).1, "invalid_request");
    let stranger = Client { id: client.id.clone(), secret: other.secret.clone() };
    assert_eq!(error(&push(&server, &stranger, &[]).await), (401, "invalid_client".to_owned()));
    let nothing = post(&server, "/oauth/par", None, &REQUEST).await;
    assert_eq!(error(&nothing), (401, "invalid_client".to_owned()));
    let reply = server.send(server.request(Method::GET, "/oauth/par", &Actor::anonymous())).await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
}

#[tokio::test]
async fn every_way_to_prove_who_a_client_is_serves_and_none_is_kept() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let key = Key::p256("one");
    let app = |more: Value| {
        let mut client = json!({"name": "App", "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"]});
        client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client
    };
    // In the body; not at all; signed.
    let posting = register(&server, app(json!({"tokenEndpointAuthMethod": "client_secret_post"}))).await;
    let public = register(&server, app(json!({"type": "PUBLIC"}))).await;
    let keyed = register(&server, app(json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwks": key.jwks()}))).await;
    let now = server.now().millis() / 1_000;
    let assertion = |audience: &str, id: &str| {
        let claims = json!({
            "iss": keyed.id, "sub": keyed.id, "aud": audience, "iat": now, "exp": now + 60, "jti": id,
        });
        key.sign(&json!({"alg": "ES256", "kid": "one"}), &claims)
    };
    let at = format!("{PUBLIC_URL}/oauth/par");
    let (by_issuer, by_endpoint) = (assertion(PUBLIC_URL, "1"), assertion(&at, "2"));
    let signed = |assertion: &str| {
        vec![
            ("client_assertion".to_owned(), assertion.to_owned()),
            ("client_assertion_type".to_owned(), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()),
        ]
    };
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (client, proof) in [
        (&posting, vec![own("client_id", &posting.id), own("client_secret", &posting.secret)]),
        (&public, vec![own("client_id", &public.id)]),
        (&keyed, signed(&by_issuer)),
        (&keyed, signed(&by_endpoint)),
    ] {
        let mut form = REQUEST.to_vec();
        form.extend(proof.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let pushed = post(&server, "/oauth/par", None, &form).await.expect(201, "").json();
        let mut browser = Browser::new(&server);
        let page = browser.get(&target(client, pushed["request_uri"].as_str().unwrap(), &[])).await.expect(200, "");
        for (_, value) in &proof[1..] {
            assert!(!page.text.contains(value), "{page:?}");
        }
        let page = browser.sign_in(&page, "ada").await;
        assert!(page.status == 200 || page.header("location").contains("code="), "{page:?}");
    }
}

#[tokio::test]
async fn a_client_may_have_to_push() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = json!({
        "name": "App", "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"],
        "requirePushedAuthorizationRequests": true,
    });
    let client = register(&server, client).await;
    let sent = Browser::new(&server).get(&authorize(&client, &[])).await;
    assert_eq!(query_of(sent.header("location"))["error"], "invalid_request");
    let request_uri = name(&server, &client, &[]).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&target(&client, &request_uri, &[])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    agree(&mut browser, &consent).await;
}
