//! From a client's first request to its last.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::oauth::{issuer, query_of};
use crate::support::jose::Key;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn a_client_is_known_by_its_document_from_its_first_request_to_its_last() {
    let site = Site::start().await;
    let server = reaching(&site).start().await;
    let (nobody, admin) = (Actor::anonymous(), server.live());
    server.person(&admin, "ada", &["read:users", "write:users"]).await;
    let url = site.serve(
        "/client.json",
        json!({"scope": "openid read:users write:users admin", "logo_uri": "https://x.example/l"}),
    );
    let client = client(&url);
    let supported = async || {
        let mut told = Vec::new();
        for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
            told.push(server.get(path, &nobody).await.json()["client_id_metadata_document_supported"].clone());
        }
        told
    };
    assert_eq!(supported().await, [false, false]);
    let mut browser = Browser::new(&server);
    is_told(&browser.get(&authorize(&client, &[])).await, "no such client");
    assert_eq!(site.calls(), 0, "nobody is called for it");
    allow(&server, true).await;
    assert_eq!(supported().await, [true, true]);

    // It gets what was set apart, and the user sees who vouches for it.
    let refused = browser.get(&authorize(&client, &[("scope", "openid write:users")])).await;
    is_told(&refused, "here is no scope");
    let page = browser.get(&authorize(&client, &[])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    let host = format!("localhost:{}", site.port);
    for shown in ["Agent", host.as_str(), "nobody here has checked whose that is", "app.example.com", "See users"] {
        assert!(consent.text.contains(shown), "{shown}: {consent:?}");
    }
    assert!(!consent.text.contains("<img"), "{consent:?}");
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let answer = query_of(sent.header("location"));
    assert!(sent.header("location").starts_with(CALLBACK) && answer["iss"] == issuer(&server).await, "{sent:?}");
    let issued = ask(&server, "/oauth/token", &url, &exchange(&answer["code"])).await.expect(200, "").json();
    assert_eq!(issued["scope"], "openid read:users");

    // What goes out names it as it names itself.
    let access = text(&issued, "access_token");
    assert_eq!(claims(access)["client_id"], url);
    assert_eq!(claims(text(&issued, "id_token"))["aud"], url);
    let introspect = async |token: &str| {
        let request = server.request(Method::POST, "/oauth/introspect", &admin).form(&[("token", token)]);
        server.send(request).await.expect(200, "").json()
    };
    for _ in 0..2 {
        let told = introspect(access).await;
        assert_eq!((&told["active"], &told["client_id"]), (&json!(true), &json!(url)));
    }
    let all = listed(&server).await;
    let [row] = &all[..] else { panic!("{all:?}") };
    let id = text(row, "id");
    assert_eq!((text(row, "metadataDocument"), &row["registeredItself"]), (&*url, &json!(true)));
    let who = server.get("/v1/auth/whoami", &Actor::bearer(access)).await.expect(200, "").json();
    assert_eq!(who["clientId"], id, "the RPCs know it by its id");
    server.get("/v1/users", &Actor::bearer(access)).await.expect(200, "");
    assert_eq!(error(&ask(&server, "/oauth/introspect", &url, &[("token", access)]).await).1, "invalid_client");

    // It has one name.
    let by_id = super::client(id);
    is_told(&browser.get(&authorize(&by_id, &[])).await, "no such client");
    let refresh =
        |token: &str| [("grant_type", "refresh_token"), ("refresh_token", token)].map(|(a, b)| (a, b.to_owned()));
    let refreshed = async |name: &str, token: &str| {
        let form = refresh(token);
        let form: Vec<_> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(&server, "/oauth/token", name, &form).await
    };
    let token = text(&issued, "refresh_token").to_owned();
    assert_eq!(error(&refreshed(id, &token).await), (401, "invalid_client".to_owned()));
    let second = refreshed(&url, &token).await.expect(200, "").json();
    assert_eq!(claims(text(&second, "access_token"))["client_id"], url);
    assert_eq!(claims(text(&second, "id_token"))["aud"], url);

    // Nobody is asked less often for having agreed once, nor sent away unasked.
    browser.get(&authorize(&client, &[])).await.expect(200, "");
    is_told(&browser.get(&authorize(&client, &[("prompt", "none")])).await, "has not agreed yet");
    is_told(&Browser::new(&server).get(&authorize(&client, &[("prompt", "none")])).await, "obody is signed in");
    is_told(&browser.get(&authorize(&client, &[("response_type", "token")])).await, "response_type");
    let foreign = browser.get(&authorize(&client, &[("redirect_uri", "https://app.example.com/other")])).await;
    is_told(&foreign, "redirect_uri");

    // It signs its user out, and gives back what it had.
    let hint = text(&second, "id_token");
    let out = |parameters: &[(&str, &str)]| {
        let out = reqwest::Url::parse_with_params("http://x/oauth/logout", parameters).unwrap();
        format!("/oauth/logout?{}", out.query().unwrap())
    };
    let (hint, back) = (("id_token_hint", hint), ("post_logout_redirect_uri", SIGNED_OUT));
    is_told(&browser.get(&out(&[hint, back, ("client_id", id)])).await, "not that of the id_token_hint");
    let unasked = browser.get(&out(&[back, ("client_id", &url)])).await;
    assert_eq!((unasked.status, unasked.header("location")), (200, ""), "{unasked:?}");
    let sent = browser.get(&out(&[hint, back, ("client_id", &url)])).await;
    assert_eq!((sent.status, sent.header("location")), (303, SIGNED_OUT), "{sent:?}");
    let access = text(&second, "access_token");
    ask(&server, "/oauth/revoke", &url, &[("token", text(&second, "refresh_token"))]).await.expect(200, "");
    assert_eq!(introspect(access).await, json!({"active": false}));
    assert_eq!(error(&refreshed(&url, text(&second, "refresh_token")).await).1, "invalid_grant");
    assert_eq!(site.calls(), 1, "one document, one fetch");

    // Whoever runs the project cannot say what it is, but can end it.
    for wire in Wire::ALL {
        let change = json!({"client": {"id": id, "name": "Other"}, "updateMask": "name"});
        let refused = server.call(wire, "Auth/UpdateClient", &admin, change).await;
        refused.refused("INVALID_STATE");
    }
    server.call(Wire::Json, "Auth/DeleteClient", &admin, json!({"id": id})).await.ok();
    assert_eq!(error(&ask(&server, "/oauth/revoke", &url, &[("token", access)]).await).1, "invalid_client");
    browser.get(&authorize(&client, &[])).await.expect(200, "");
    let again = listed(&server).await;
    assert!(again.len() == 1 && text(&again[0], "id") != id, "its next request makes it anew: {again:?}");
    let events = server.get("/v1/audit-events", &admin).await.expect(200, "").text;
    assert!(events.contains("client.registered") && events.contains("client.deleted"), "{events}");
}

#[tokio::test]
async fn a_device_and_a_pushed_request_may_be_a_clients_first() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let url = site.serve("/tv.json", json!({"client_name": "TV"}));
    let told = start_device(&server, &url).await.expect(200, "").json();
    assert_eq!(site.calls(), 1);
    let mut browser = Browser::new(&server);
    let page = browser.get(&format!("/oauth/device?user_code={}", text(&told, "user_code"))).await.expect(200, "");
    let question = browser.sign_in(&page, "ada").await.expect(200, "");
    assert!(question.text.contains(&format!("localhost:{}", site.port)), "{question:?}");
    assert_eq!(browser.submit(&question, &[("decision", "allow")]).await.status, 303);
    let form = [("grant_type", DEVICE_CODE), ("device_code", text(&told, "device_code"))];
    let issued = ask(&server, "/oauth/token", &url, &form).await.expect(200, "").json();
    assert_eq!(claims(text(&issued, "access_token"))["client_id"], url);

    let other = site.serve("/other.json", json!({}));
    let pushed = push(&server, &other, &[]).await.expect(201, "").json();
    assert_eq!(site.calls(), 2);
    let request = [("request_uri", text(&pushed, "request_uri"))];
    let target = |id: &str| {
        let query = [&request[..], &[("client_id", id)]].concat();
        let url = reqwest::Url::parse_with_params("http://x/", query).unwrap();
        format!("/oauth/authorize?{}", url.query().unwrap())
    };
    is_told(&browser.get(&target(&url)).await, "no request of this name");
    let consent = browser.get(&target(&other)).await.expect(200, "");
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let code = query_of(sent.header("location"))["code"].clone();
    ask(&server, "/oauth/token", &other, &exchange(&code)).await.expect(200, "");
}

#[tokio::test]
async fn a_client_proves_itself_by_the_keys_in_its_document() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let (key, other) = (Key::p256("one"), Key::p256("one"));
    let jwks: Value = serde_json::from_str(&key.jwks()).unwrap();
    let url = site.serve("/inline.json", json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}));
    let published = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": site.url("/keys.json")});
    let published = site.serve("/published.json", published);
    site.answer("/keys.json", json_answer("", &key.jwks()));
    let sign = |key: &Key, url: &str| {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (now, id) = (server.now().millis() / 1_000, COUNT.fetch_add(1, Ordering::Relaxed));
        let claims =
            json!({"iss": url, "sub": url, "aud": "https://keys.example", "exp": now + 60, "jti": format!("{id}")});
        key.sign(&json!({"alg": key.alg(), "kid": "one", "typ": "JWT"}), &claims)
    };
    for url in [&url, &published] {
        // Said by the assertion alone, before anybody here knows it.
        let with =
            |assertion: String| [("client_assertion_type", JWT_BEARER.to_owned()), ("client_assertion", assertion)];
        let send = async |path: &str, assertion: String, form: &[(&str, &str)]| {
            let proof = with(assertion);
            let proof = proof.iter().map(|(name, value)| (*name, value.as_str()));
            let form: Vec<_> = form.iter().copied().chain(proof).collect();
            post(&server, path, None, &form).await
        };
        let request = [
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid read:users"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let refused = send("/oauth/par", sign(&other, url), &request).await;
        assert_eq!(error(&refused), (401, "invalid_client".to_owned()));
        let pushed = send("/oauth/par", sign(&key, url), &request).await.expect(201, "").json();
        assert!(text(&pushed, "request_uri").starts_with("urn:"), "{pushed}");
        let code = code(&server, &client(url)).await;
        for (proof, word) in
            [(sign(&other, url), "invalid_client"), (sign(&key, "https://localhost/x"), "invalid_client")]
        {
            assert_eq!(error(&send("/oauth/token", proof, &exchange(&code)).await).1, word);
        }
        // Its name alone proves nothing.
        assert_eq!(error(&ask(&server, "/oauth/token", url, &exchange(&code)).await).1, "invalid_client");
        let issued = send("/oauth/token", sign(&key, url), &exchange(&code)).await.expect(200, "").json();
        let access = text(&issued, "access_token");
        assert_eq!(claims(access)["client_id"], url.as_str());
        let told = send("/oauth/introspect", sign(&key, url), &[("token", access)]).await.expect(200, "").json();
        assert_eq!((&told["active"], &told["client_id"]), (&json!(true), &json!(url)));
        let refresh = text(&issued, "refresh_token");
        let told = send("/oauth/introspect", sign(&key, url), &[("token", refresh)]).await.expect(200, "").json();
        assert_eq!((&told["active"], &told["client_id"]), (&json!(true), &json!(url)));
        let used = sign(&key, url);
        send("/oauth/revoke", used.clone(), &[("token", refresh)]).await.expect(200, "");
        assert_eq!(error(&send("/oauth/revoke", used, &[("token", refresh)]).await).1, "invalid_client", "used");
    }
}

#[tokio::test]
async fn a_key_that_is_not_in_the_document_any_more_proves_nothing() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let (old, new) = (Key::p256("one"), Key::p256("two"));
    let serve = |key: &Key| {
        let jwks: Value = serde_json::from_str(&key.jwks()).unwrap();
        site.serve("/inline.json", json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks}))
    };
    let url = serve(&old);
    let prove = |key: &Key, kid: &str| {
        let (now, id) = (server.now().millis() / 1_000, format!("{kid} {}", server.now().millis()));
        let claims = json!({"iss": url, "sub": url, "aud": "https://keys.example", "exp": now + 60, "jti": id});
        key.sign(&json!({"alg": key.alg(), "kid": kid, "typ": "JWT"}), &claims)
    };
    let send = async |assertion: String, form: &[(&str, &str)]| {
        let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", assertion.as_str())];
        post(&server, "/oauth/token", None, &[form, &proof].concat()).await
    };
    let refresh = |issued: &Value| text(issued, "refresh_token").to_owned();
    let code = code(&server, &client(&url)).await;
    let first = refresh(&send(prove(&old, "one"), &exchange(&code)).await.expect(200, "").json());
    serve(&new);
    server.advance(Duration::from_secs(601));
    let again = [("grant_type", "refresh_token"), ("refresh_token", &*first)];
    assert_eq!(error(&send(prove(&old, "one"), &again).await), (401, "invalid_client".to_owned()));
    let second = refresh(&send(prove(&new, "two"), &again).await.expect(200, "").json());
    // What cannot be had cannot be believed either.
    site.stop_serving("/inline.json");
    server.advance(Duration::from_secs(601));
    let again = [("grant_type", "refresh_token"), ("refresh_token", &*second)];
    assert_eq!(error(&send(prove(&new, "two"), &again).await), (401, "invalid_client".to_owned()));
}

#[tokio::test]
async fn a_program_on_somebodys_machine_takes_the_port_that_is_free() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let uris = json!(["http://localhost/callback", "http://127.0.0.1/callback"]);
    let url = site.serve("/program.json", json!({"redirect_uris": uris}));
    for (uri, status) in [
        ("http://localhost:49152/callback", 200),
        ("http://127.0.0.1:49152/callback", 200),
        ("http://localhost:49152/other", 400),
        ("http://localhost:49152@evil.example/callback", 400),
        ("https://localhost:49152/callback", 400),
    ] {
        let page = Browser::new(&server).get(&authorize(&client(&url), &[("redirect_uri", uri)])).await;
        assert_eq!(page.status, status, "{uri}: {page:?}");
    }
    // What somebody registered is compared as it was written.
    let registered = json!({"name": "App", "redirectUris": ["http://localhost/callback"], "scopes": ["openid"]});
    let registered = crate::oauth::register(&server, registered).await;
    let uri = [("redirect_uri", "http://localhost:49152/callback"), ("scope", "openid")];
    is_told(&Browser::new(&server).get(&authorize(&registered, &uri)).await, "redirect_uri");
}
