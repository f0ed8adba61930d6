//! Signing out by a client's wish (OpenID Connect RP-Initiated Logout 1.0), and what a link that anybody can make must not do.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::oauth::{Browser, Client, authorize, claims, exchange, form_of, issuer, post, query_of, register};
use crate::support::{Actor, TestServer};

const OUT: &str = "https://app.example.com/signed-out?tenant=a";
const SESSION: &str = "__Host-gatepost-session";

async fn client(server: &TestServer) -> Client {
    let client = json!({
        "name": "Shop", "redirectUris": [crate::oauth::CALLBACK], "postLogoutRedirectUris": [OUT],
        "grantTypes": ["authorization_code", "refresh_token"], "scopes": ["openid", "read:users"],
    });
    register(server, client).await
}

/// Somebody who is signed in, and the answer that the client had for them.
async fn signed_in<'a>(server: &'a TestServer, client: &Client, login: &str) -> (Browser<'a>, Value) {
    let mut browser = Browser::new(server);
    let page = browser.get(&authorize(client, &[])).await;
    let page = browser.sign_in(&page, login).await;
    let sent = if page.status == 303 { page } else { browser.submit(&page, &[("decision", "allow")]).await };
    let code = query_of(sent.header("location"))["code"].clone();
    let issued = post(server, "/oauth/token", Some(client), &exchange(&code)).await.expect(200, "").json();
    (browser, issued)
}

fn logout(parameters: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://x/oauth/logout", parameters).unwrap();
    format!("/oauth/logout?{}", url.query().unwrap_or_default())
}

async fn is_signed_in(server: &TestServer, session: &str) -> bool {
    server.get("/v1/users/me", &Actor::bearer(session)).await.status == 200
}

#[tokio::test]
async fn who_proves_to_know_the_user_signs_them_out_everywhere() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = client(&server).await;
    let metadata = server.get("/.well-known/openid-configuration", &Actor::anonymous()).await.json();
    assert_eq!(metadata["end_session_endpoint"], format!("{}/oauth/logout", issuer(&server).await));

    let another = server.another_node().await;
    let (mut browser, issued) = signed_in(&server, &client, "ada").await;
    let session = browser.cookies[SESSION].clone();
    assert!(is_signed_in(&server, &session).await && is_signed_in(&another, &session).await);
    // The hint is past its end by now.
    server.advance(Duration::from_secs(20 * 60));
    let hint = issued["id_token"].as_str().unwrap();
    let parameters = [("id_token_hint", hint), ("post_logout_redirect_uri", OUT), ("state", "a b&c=d")];
    let sent = browser.get(&logout(&parameters)).await;
    assert_eq!(
        (sent.status, sent.header("location")),
        (303, "https://app.example.com/signed-out?tenant=a&state=a%20b%26c%3Dd"),
        "{sent:?}"
    );
    assert!(!browser.cookies.contains_key(SESSION), "the cookie is gone");
    assert!(!is_signed_in(&server, &session).await, "and a copy of it is worth nothing");
    for _ in 0..100 {
        if !is_signed_in(&another, &session).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!is_signed_in(&another, &session).await, "on other nodes too");
    // What the client was given goes on until it is revoked.
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", issued["refresh_token"].as_str().unwrap())];
    post(&server, "/oauth/token", Some(&client), &refresh).await.expect(200, "");
    // Again, with nobody signed in, it is the same; and a form of the client's comes to it too.
    let sent = browser.get(&logout(&parameters)).await;
    assert!(sent.status == 303 && sent.header("location").starts_with(OUT), "{sent:?}");
    let form = server.request(Method::POST, "/oauth/logout", &Actor::anonymous()).form(&parameters);
    let sent = browser.send(form.header("sec-fetch-site", "cross-site")).await;
    assert_eq!(sent.status, 303);
    assert!(sent.header("location").starts_with("/oauth/logout?client_id="), "without the hint: {sent:?}");
    let location = sent.header("location").to_owned();
    assert!(browser.get(&location).await.header("location").starts_with(OUT));
}

#[tokio::test]
async fn all_others_are_asked() {
    let server = TestServer::start().await;
    for login in ["ada", "grace"] {
        server.person(&server.live(), login, &["read:users"]).await;
    }
    let client = client(&server).await;
    let (mut theirs, issued) = signed_in(&server, &client, "grace").await;
    let (mut browser, own) = signed_in(&server, &client, "ada").await;
    let session = browser.cookies[SESSION].clone();
    let hint = own["id_token"].as_str().unwrap();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (head, rest) = hint.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let none = format!("{}.{body}.", part(&json!({"alg": "none", "typ": "JWT"})));
    let mut forged = claims(hint);
    forged["iss"] = json!("https://evil.example");
    let forged = format!("{head}.{}.{signature}", part(&forged));
    let cut = format!("{head}.{body}.{}", &signature[..signature.len() - 4]);
    let access = own["access_token"].as_str().unwrap();
    let others = issued["id_token"].as_str().unwrap();
    let back = ("post_logout_redirect_uri", OUT);
    let this_client = ("client_id", client.id.as_str());
    // Whatever proves nothing leads nowhere either.
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[], false),
        (&[this_client], false),
        (&[this_client, back], true),
        (&[("id_token_hint", others), back], true),
        (&[("id_token_hint", &none), this_client, back], false),
        (&[("id_token_hint", &forged), this_client, back], false),
        (&[("id_token_hint", &cut), back], false),
        (&[("id_token_hint", access), back], false),
        (&[("id_token_hint", &session), back], false),
    ];
    for (parameters, _) in cases {
        let page = browser.get(&logout(parameters)).await;
        assert_eq!((page.status, page.header("location")), (200, ""), "{parameters:?}: {page:?}");
        assert!(page.text.contains("Sign out?") && page.text.contains("ada"), "{page:?}");
        // A form that is not ours, and one of ours in another's hands.
        assert_eq!(browser.submit(&page, &[("csrf", "x")]).await.status, 400);
        assert_eq!(theirs.submit(&page, &[]).await.status, 400);
        // Nobody's browser is only told what holds for it.
        let nobodys = Browser::new(&server).submit(&page, &[]).await;
        assert!(nobodys.status == 303 || nobodys.text.contains("You are signed out"), "{nobodys:?}");
        assert!(is_signed_in(&server, &theirs.cookies[SESSION]).await);
        assert!(is_signed_in(&server, &session).await && browser.cookies.contains_key(SESSION), "{parameters:?}");
    }
    for (parameters, leads_back) in cases {
        let (mut browser, _) = signed_in(&server, &client, "ada").await;
        let session = browser.cookies[SESSION].clone();
        let page = browser.get(&logout(parameters)).await;
        let sent = browser.submit(&page, &[]).await;
        assert_eq!(sent.header("location"), if leads_back { OUT } else { "" }, "{parameters:?}: {sent:?}");
        assert!(leads_back || sent.text.contains("You are signed out"), "{sent:?}");
        assert!(!is_signed_in(&server, &session).await && !browser.cookies.contains_key(SESSION), "{parameters:?}");
    }
}

#[tokio::test]
async fn nobody_is_sent_where_the_client_did_not_say() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let (client, other) = (client(&server).await, client(&server).await);
    let (mut browser, issued) = signed_in(&server, &client, "ada").await;
    let session = browser.cookies[SESSION].clone();
    let hint = ("id_token_hint", issued["id_token"].as_str().unwrap());
    let to = |uri: &'static str| ("post_logout_redirect_uri", uri);
    let long = "x".repeat(2_001);
    let cases: [&[(&str, &str)]; 12] = [
        &[to(OUT)],
        &[hint, to("https://evil.example/")],
        &[hint, to("https://app.example.com/signed-out")],
        &[hint, to("https://app.example.com/signed-out?tenant=a&x=1")],
        &[hint, to("https://app.example.com/signed-out?tenant=a#x")],
        &[hint, to(crate::oauth::CALLBACK)],
        &[hint, to("javascript:alert(1)")],
        &[hint, to("//evil.example")],
        &[hint, ("client_id", &other.id), to(OUT)],
        &[("client_id", "cli_00000000000000000000000000000000"), to(OUT)],
        &[("client_id", "x"), to(OUT)],
        &[hint, to(OUT), ("state", &long)],
    ];
    for parameters in cases {
        for mut browser in [Browser::new(&server), {
            let mut same = Browser::new(&server);
            same.cookies = browser.cookies.clone();
            same
        }] {
            let page = browser.get(&logout(parameters)).await;
            assert_eq!((page.status, page.header("location")), (400, ""), "{parameters:?}: {page:?}");
            assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
        }
        assert!(is_signed_in(&server, &session).await, "{parameters:?}");
    }
    // Nor by a form that was asked about something else.
    let page = browser.get(&logout(&[])).await;
    let (_, fields) = form_of(&page.text);
    assert!(fields.iter().any(|(name, _)| name == "csrf"));
    let sent = browser.submit(&page, &[("request", "post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F")]).await;
    assert_eq!((sent.status, sent.header("location")), (400, ""), "{sent:?}");
    let twice = browser.get("/oauth/logout?client_id=a&client_id=b").await;
    assert_eq!(twice.status, 400);
    assert!(is_signed_in(&server, &session).await);
    let headed = server.send(server.request(Method::HEAD, "/oauth/logout", &Actor::anonymous())).await;
    assert_eq!(headed.status, 405, "what only looks ends nothing");
}
