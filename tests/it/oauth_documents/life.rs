//! How long a document is believed, and whom it is believed of.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::oauth::web_client;
use crate::support::jose::Key;

#[tokio::test]
async fn a_document_is_believed_as_long_as_it_says_and_no_longer() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let url = site.serve("/client.json", json!({}));
    let begin = async || Browser::new(&server).get(&authorize(&client(&url), &[])).await;
    let issued = tokens(&server, &url).await;
    assert_eq!(site.calls(), 1);
    server.advance(Duration::from_secs(599));
    begin().await.expect(200, "");
    assert_eq!(site.calls(), 1);
    let before = listed(&server).await.remove(0);
    server.advance(Duration::from_secs(1));
    begin().await.expect(200, "");
    assert_eq!(site.calls(), 2);
    assert_eq!(listed(&server).await, std::slice::from_ref(&before), "it says the same, so nothing has changed");

    // It says something else: the client is another then, and the same.
    site.serve(
        "/client.json",
        json!({"client_name": "Agent 8", "redirect_uris": [CALLBACK, "https://app.example.com/2"]}),
    );
    begin().await.expect(200, "");
    assert_eq!((site.calls(), listed(&server).await), (2, vec![before.clone()]), "which nobody knows yet");
    server.advance(Duration::from_secs(600));
    begin().await.expect(200, "");
    let after = listed(&server).await.remove(0);
    assert_eq!((text(&after, "id"), text(&after, "name")), (text(&before, "id"), "Agent 8"));
    assert_ne!(after["etag"], before["etag"]);
    let events = server.get("/v1/audit-events", &server.live()).await.expect(200, "").text;
    assert!(events.contains("client.updated"), "{events}");
    let second =
        Browser::new(&server).get(&authorize(&client(&url), &[("redirect_uri", "https://app.example.com/2")])).await;
    second.expect(200, "");

    // It is not there any more: nothing begins, and what was given goes on.
    site.stop_serving("/client.json");
    server.advance(Duration::from_secs(600));
    is_told(&begin().await, "cannot be had");
    assert_eq!(error(&push(&server, &url, &[]).await).1, "invalid_client");
    assert_eq!(error(&start_device(&server, &url).await).1, "invalid_client");
    let refresh = |issued: &Value| {
        [("grant_type", "refresh_token".to_owned()), ("refresh_token", text(issued, "refresh_token").to_owned())]
    };
    let send = async |form: [(&str, String); 2]| {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(&server, "/oauth/token", &url, &form).await
    };
    let issued = send(refresh(&issued)).await.expect(200, "").json();
    assert_eq!(claims(text(&issued, "access_token"))["client_id"], url);
    // A page that was there before leads nowhere either.
    site.serve("/client.json", json!({}));
    let mut browser = Browser::new(&server);
    let page = browser.get(&authorize(&client(&url), &[])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    site.stop_serving("/client.json");
    server.advance(Duration::from_secs(600));
    is_told(&browser.submit(&consent, &[("decision", "allow")]).await, "cannot be had");

    // Where nothing is said, or too little or too much, there are bounds.
    for (path, head, seconds) in [
        ("/a.json", "", 3_600),
        ("/b.json", "Cache-Control: no-store\r\n", 300),
        ("/c.json", "Cache-Control: max-age=1\r\n", 300),
        ("/d.json", "Cache-Control: max-age=31536000\r\n", 86_400),
    ] {
        let url = site.serve_with(path, head, json!({}));
        let begin = async || Browser::new(&server).get(&authorize(&client(&url), &[])).await.expect(200, "");
        let calls = site.calls();
        begin().await;
        server.advance(Duration::from_secs(seconds - 1));
        begin().await;
        assert_eq!(site.calls(), calls + 1, "{head}");
        server.advance(Duration::from_secs(1));
        begin().await;
        assert_eq!(site.calls(), calls + 2, "{head}");
    }

    // A client that begins to prove who it is is not the one that anybody could be.
    let jwks: Value = serde_json::from_str(&Key::p256("one").jwks()).unwrap();
    site.serve("/client.json", json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}));
    begin().await.expect(200, "");
    assert_eq!(error(&send(refresh(&issued)).await).1, "invalid_client");
    let now = listed(&server).await;
    let same = |row: &&Value| row["metadataDocument"] == url;
    let now: Vec<_> = now.iter().filter(same).collect();
    assert!(now.len() == 1 && now[0]["id"] != before["id"], "{now:?}");
    site.serve("/client.json", json!({}));
    server.advance(Duration::from_secs(600));
    begin().await.expect(200, "");
    assert_eq!(error(&send(refresh(&issued)).await).1, "invalid_grant", "and what it had is not had back");
}

#[tokio::test]
async fn a_project_that_takes_no_such_clients_any_more_refuses_them_at_once() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let url = site.serve("/client.json", json!({}));
    let issued = tokens(&server, &url).await;
    let unredeemed = code(&server, &client(&url)).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&authorize(&client(&url), &[])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    let device = start_device(&server, &url).await.expect(200, "").json();
    let pushed = push(&server, &url, &[]).await.expect(201, "").json();
    let known = web_client(&server).await;
    allow(&server, false).await;
    let calls = site.calls();

    is_told(&browser.get(&authorize(&client(&url), &[])).await, "no such client");
    is_told(&browser.submit(&consent, &[("decision", "allow")]).await, "no such client");
    let query = [("client_id", &*url), ("request_uri", text(&pushed, "request_uri"))];
    let target = reqwest::Url::parse_with_params("http://x/", query).unwrap();
    is_told(&browser.get(&format!("/oauth/authorize?{}", target.query().unwrap())).await, "no request of this name");
    let page = browser.get(&format!("/oauth/device?user_code={}", text(&device, "user_code"))).await;
    assert!(page.status == 422 && page.text.contains("not known"), "{page:?}");
    for (path, form) in [
        ("/oauth/token", exchange(&unredeemed)),
        ("/oauth/token", vec![("grant_type", "refresh_token"), ("refresh_token", text(&issued, "refresh_token"))]),
        ("/oauth/token", vec![("grant_type", DEVICE_CODE), ("device_code", text(&device, "device_code"))]),
        ("/oauth/revoke", vec![("token", text(&issued, "refresh_token"))]),
        ("/oauth/device_authorization", vec![("scope", "openid read:users")]),
    ] {
        assert_eq!(error(&ask(&server, path, &url, &form).await), (401, "invalid_client".to_owned()), "{form:?}");
    }
    assert_eq!(error(&push(&server, &url, &[]).await).1, "invalid_client");
    let out = [("id_token_hint", text(&issued, "id_token")), ("post_logout_redirect_uri", SIGNED_OUT)];
    let out = reqwest::Url::parse_with_params("http://x/", out).unwrap();
    is_told(&browser.get(&format!("/oauth/logout?{}", out.query().unwrap())).await, "post_logout_redirect_uri");
    assert_eq!(site.calls(), calls, "nobody is called");
    browser.get(&authorize(&known, &[])).await.expect(200, "");

    // They are there, for whoever runs the project, and again when it takes them.
    assert!(listed(&server).await.iter().any(|row| row["metadataDocument"] == url));
    allow(&server, true).await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", text(&issued, "refresh_token"))];
    ask(&server, "/oauth/token", &url, &form).await.expect(200, "");
}

#[tokio::test]
async fn clients_whose_addresses_differ_by_a_letter_are_not_one() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let (one, other) = (site.serve("/client-a.json", json!({})), site.serve("/client-b.json", json!({})));
    let (first, second) = (tokens(&server, &one).await, tokens(&server, &other).await);
    assert_eq!(listed(&server).await.len(), 2);
    let stolen = code(&server, &client(&one)).await;
    assert_eq!(error(&ask(&server, "/oauth/token", &other, &exchange(&stolen)).await).1, "invalid_grant");
    assert_eq!(error(&ask(&server, "/oauth/token", &one, &exchange(&stolen)).await).1, "invalid_grant", "it is spoilt");
    let refresh = |issued: &Value| text(issued, "refresh_token").to_owned();
    let form = |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let send = async |url: &str, form: [(&str, String); 2]| {
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(&server, "/oauth/token", url, &form).await
    };
    assert_eq!(error(&send(&other, form(&refresh(&first))).await).1, "invalid_grant");
    ask(&server, "/oauth/revoke", &other, &[("token", &refresh(&first))]).await.expect(200, "");
    send(&one, form(&refresh(&first))).await.expect(200, "");
    send(&other, form(&refresh(&second))).await.expect(200, "");
    // A document that says to be another's makes nobody the other.
    let thief = site.serve("/thief.json", json!({"client_id": one}));
    is_told(&Browser::new(&server).get(&authorize(&client(&thief), &[])).await, "must name its own address");
    // The same document at another name of the host is another client, which it does not say to be.
    let alias = one.replace("localhost", "127.0.0.1");
    is_told(&Browser::new(&server).get(&authorize(&client(&alias), &[])).await, "must name its own address");
}

#[tokio::test]
async fn naming_addresses_has_bounds() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let url = site.serve("/client.json", json!({}));
    site.slowly("/client.json", Duration::from_millis(300));
    let at_once = (0..8).map(|_| async { Browser::new(&server).get(&authorize(&client(&url), &[])).await });
    for reply in futures_util::future::join_all(at_once).await {
        reply.expect(200, "");
    }
    assert_eq!(site.calls(), 1, "however many wait");
    // An address has so many fetched, good or not, and then waits.
    server.advance(Duration::from_secs(60 * 60));
    let mut refused = None;
    for n in 0..30 {
        let told = Browser::new(&server).get(&authorize(&client(&site.url(&format!("/{n}.json"))), &[])).await;
        if told.status == 429 {
            refused = Some((n, told));
            break;
        }
        is_told(&told, "cannot be had");
    }
    let (n, told) = refused.expect("there is a bound");
    assert_eq!((n, site.calls()), (20, 21), "{told:?}");
    assert_eq!(error(&push(&server, &site.url("/x.json"), &[]).await).1, "slow_down");
    // What is believed needs no fetch.
    server.advance(Duration::from_secs(30));
    Browser::new(&server).get(&authorize(&client(&url), &[])).await.expect(200, "");
    Browser::new(&server).get(&authorize(&client(&url), &[])).await.expect(200, "");
}
