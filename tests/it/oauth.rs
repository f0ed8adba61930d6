//! The authorization server, as its clients and browsers meet it.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Actor, Reply, TestServer, Wire, leaks};

/// A client that was registered, and its secret.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

pub(crate) async fn register(server: &TestServer, client: Value) -> Client {
    let made = server.call(Wire::Grpc, "Auth/CreateClient", &server.live(), json!({"client": client})).await.ok();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Client { id: text(&made["client"]["id"]), secret: text(&made["secret"]) }
}

/// A form posted to an endpoint; as the client, if there is one, in `Authorization: Basic`.
pub(crate) async fn post(server: &TestServer, path: &str, client: Option<&Client>, form: &[(&str, &str)]) -> Reply {
    let mut request = server.request(Method::POST, path, &Actor::anonymous()).form(form);
    if let Some(client) = client {
        request = request.basic_auth(&client.id, Some(&client.secret));
    }
    server.send(request).await
}

pub(crate) fn error(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_client_gets_tokens_for_itself_and_they_open_what_it_may() {
    let server = TestServer::start().await;
    for format in ["JWT", "OPAQUE"] {
        let client = json!({
            "name": "Reports", "grantTypes": ["client_credentials"], "scopes": ["read:users", "read:products"],
            "accessTokenFormat": format,
        });
        let client = register(&server, client).await;
        let form = [("grant_type", "client_credentials"), ("scope", "read:users")];
        let issued = post(&server, "/oauth/token", Some(&client), &form).await.expect(200, "");
        assert_eq!((issued.header("cache-control"), issued.header("pragma")), ("no-store", "no-cache"));
        let issued = issued.json();
        assert_eq!(
            (&issued["token_type"], &issued["scope"], &issued["expires_in"]),
            (&json!("Bearer"), &json!("read:users"), &json!(600))
        );
        let token = issued["access_token"].as_str().unwrap();
        assert_eq!(token.starts_with("eyJ"), format == "JWT", "{format}");
        let bearer = Actor::bearer(token);
        server.get("/v1/users", &bearer).await.expect(200, "");
        server.get("/v1/products", &bearer).await.expect(403, "INSUFFICIENT_SCOPE");
        let who = server.get("/v1/auth/whoami", &bearer).await.expect(200, "").json();
        assert_eq!((&who["clientId"], &who["scopes"]), (&json!(client.id), &json!(["read:users"])));
        for wire in Wire::ALL {
            let verdict = server.call(wire, "Auth/Verify", &server.live(), json!({"credential": token})).await.ok();
            assert_eq!((&verdict["valid"], &verdict["clientId"]), (&json!(true), &json!(client.id)));
        }

        // Introspection and revocation.
        let told = post(&server, "/oauth/introspect", Some(&client), &[("token", token)]).await.expect(200, "").json();
        assert_eq!(
            (&told["active"], &told["scope"], &told["sub"]),
            (&json!(true), &json!("read:users"), &json!(client.id))
        );
        let by_key = server.request(Method::POST, "/oauth/introspect", &server.live()).form(&[("token", token)]);
        assert_eq!(server.send(by_key).await.expect(200, "").json()["active"], true);
        let stranger = register(&server, json!({"name": "Other", "grantTypes": ["client_credentials"]})).await;
        let hidden = post(&server, "/oauth/introspect", Some(&stranger), &[("token", token)]).await.expect(200, "");
        assert_eq!(hidden.text, r#"{"active":false}"#);
        post(&server, "/oauth/revoke", Some(&stranger), &[("token", token)]).await.expect(200, "");
        server.get("/v1/users", &bearer).await.expect(200, "");
        post(&server, "/oauth/revoke", Some(&client), &[("token", token)]).await.expect(200, "");
        server.get("/v1/users", &bearer).await.expect(401, "NOT_FOUND");
        let told = post(&server, "/oauth/introspect", Some(&client), &[("token", token)]).await;
        assert_eq!(told.text, r#"{"active":false}"#);

        // What ends by itself.
        let issued = post(&server, "/oauth/token", Some(&client), &form).await.json();
        let bearer = Actor::bearer(issued["access_token"].as_str().unwrap());
        server.get("/v1/users", &bearer).await.expect(200, "");
        server.advance(std::time::Duration::from_secs(600));
        server.get("/v1/users", &bearer).await.expect(401, "NOT_FOUND");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_request_is_told_in_the_words_of_the_rfc() {
    let server = TestServer::start().await;
    let client = json!({"name": "Reports", "grantTypes": ["client_credentials"], "scopes": ["read:users"]});
    let client = register(&server, client).await;
    let wrong = Client {
        id: client.id.clone(),
        secret: Actor::stranger("cs", gatepost::domain::environment::Environment::Live).secret,
    };
    let nobody = Client { id: "cli_00000000000000000000000000000000".to_owned(), secret: client.secret.clone() };
    let good = ("grant_type", "client_credentials");
    type Case<'a> = (Option<&'a Client>, &'a [(&'a str, &'a str)], u16, &'a str);
    let cases: &[Case<'_>] = &[
        (Some(&client), &[], 400, "invalid_request"),
        (
            Some(&client),
            &[("grant_type", "password"), ("username", "a"), ("password", "b")],
            400,
            "unsupported_grant_type",
        ),
        (Some(&client), &[("grant_type", "implicit")], 400, "unsupported_grant_type"),
        (Some(&client), &[good, good], 400, "invalid_request"),
        (Some(&client), &[good, ("scope", "read:users write:users")], 400, "invalid_scope"),
        (Some(&client), &[good, ("scope", "openid")], 400, "invalid_scope"),
        (Some(&client), &[good, ("scope", "admin")], 400, "invalid_scope"),
        (Some(&client), &[good, ("resource", "https://api.example.com")], 400, "invalid_target"),
        (Some(&client), &[("grant_type", "authorization_code"), ("code", "x")], 400, "unauthorized_client"),
        (Some(&client), &[("grant_type", "refresh_token"), ("refresh_token", "x")], 400, "unauthorized_client"),
        (Some(&client), &[good, ("client_secret", &client.secret)], 400, "invalid_request"),
        (Some(&client), &[good, ("client_id", &nobody.id)], 400, "invalid_request"),
        (Some(&wrong), &[good], 401, "invalid_client"),
        (Some(&nobody), &[good], 401, "invalid_client"),
        (None, &[good], 401, "invalid_client"),
        (None, &[good, ("client_id", &client.id)], 401, "invalid_client"),
        (None, &[good, ("client_id", &client.id), ("client_secret", "x")], 401, "invalid_client"),
    ];
    for (client, form, status, word) in cases {
        let reply = post(&server, "/oauth/token", *client, form).await;
        assert_eq!(error(&reply), (*status, (*word).to_owned()), "{form:?}: {reply:?}");
        assert_eq!(
            reply.header("www-authenticate").starts_with("Basic"),
            *status == 401 && client.is_some(),
            "{reply:?}"
        );
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(!reply.text.contains(&wrong.secret), "{reply:?}");
    }
    // In the body, and as JSON, it is the same.
    let post_form = [good, ("client_id", &client.id), ("client_secret", &client.secret)];
    post(&server, "/oauth/token", None, &post_form).await.expect(200, "");
    let body = json!({"grant_type": "client_credentials", "client_id": client.id, "client_secret": client.secret});
    server.post("/oauth/token", &Actor::anonymous(), &body).await.expect(200, "");
    for method in [Method::GET, Method::PUT] {
        let reply = server.send(server.request(method, "/oauth/token", &Actor::anonymous())).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
    }
}

/// A browser, as far as this needs one: it keeps cookies and follows no redirect by itself.
pub(crate) struct Browser<'a> {
    server: &'a TestServer,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(server: &'a TestServer) -> Self {
        Self { server, cookies: BTreeMap::new() }
    }

    pub(crate) async fn send(&mut self, request: reqwest::RequestBuilder) -> Reply {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) };
        let reply = self.server.send(request).await;
        for cookie in reply.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            assert!(
                name.starts_with("__Host-") && cookie.contains("Secure") && cookie.contains("HttpOnly"),
                "{cookie}"
            );
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        reply
    }

    pub(crate) async fn get(&mut self, target: &str) -> Reply {
        let request = self.server.request(Method::GET, target, &Actor::anonymous());
        self.send(request).await
    }

    /// Fills in the form of a page and sends it.
    pub(crate) async fn submit(&mut self, page: &Reply, fill: &[(&str, &str)]) -> Reply {
        let (action, mut fields) = form_of(&page.text);
        for (name, value) in fill {
            fields.retain(|(known, _)| known != name);
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let request = self.server.request(Method::POST, &action, &Actor::anonymous()).form(&fields);
        self.send(request).await
    }

    pub(crate) async fn sign_in(&mut self, page: &Reply, login: &str) -> Reply {
        let reply = self.submit(page, &[("login", login), ("password", leaks::PASSWORD)]).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        let location = reply.header("location").to_owned();
        self.get(&location).await
    }
}

/// Where a page's form goes, and its hidden fields.
pub(crate) fn form_of(html: &str) -> (String, Vec<(String, String)>) {
    let document = scraper::Html::parse_document(html);
    let select = |text: &str| scraper::Selector::parse(text).unwrap();
    let form = document.select(&select("form")).next().unwrap_or_else(|| panic!("no form: {html}"));
    let hidden = select("input[type=hidden]");
    let fields = form.select(&hidden).map(|input| {
        let attribute = |name| input.attr(name).unwrap_or_default().to_owned();
        (attribute("name"), attribute("value"))
    });
    (form.attr("action").unwrap().to_owned(), fields.collect())
}

pub(crate) fn query_of(location: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(location).unwrap_or_else(|error| panic!("{error}: {location}"));
    url.query_pairs().into_owned().collect()
}

pub(crate) const CALLBACK: &str = "https://app.example.com/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) fn authorize(client: &Client, more: &[(&str, &str)]) -> String {
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", CALLBACK),
        ("scope", "openid read:users"),
        ("state", "st+a te&1=\u{e9}"),
        ("nonce", "n-0S6"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in more {
        parameters.retain(|(known, _)| known != name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    let url = reqwest::Url::parse_with_params("http://x/oauth/authorize", &parameters).unwrap();
    format!("/oauth/authorize?{}", url.query().unwrap())
}

pub(crate) async fn web_client(server: &TestServer) -> Client {
    let client = json!({
        "name": "Shop <b>App</b>", "redirectUris": [CALLBACK], "grantTypes": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email", "read:users", "write:users"],
    });
    register(server, client).await
}

/// A code that a user agreed to.
pub(crate) async fn code(server: &TestServer, client: &Client) -> String {
    let mut browser = Browser::new(server);
    let page = browser.get(&authorize(client, &[])).await;
    let page = browser.sign_in(&page, "ada").await;
    // Who agreed before is not asked again.
    let sent = if page.status == 303 { page } else { browser.submit(&page, &[("decision", "allow")]).await };
    query_of(sent.header("location"))["code"].clone()
}

pub(crate) fn exchange(code: &str) -> Vec<(&str, &str)> {
    vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

#[tokio::test]
async fn a_user_agrees_and_the_client_acts_for_them() {
    let server = TestServer::start().await;
    let ada = server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);

    let page = browser.get(&authorize(&client, &[])).await.expect(200, "");
    for (header, part) in [
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-type", "text/html"),
    ] {
        assert!(page.header(header).contains(part), "{header}: {page:?}");
    }
    assert!(page.text.contains("Shop &#60;b&#62;App") || page.text.contains("Shop &lt;b&gt;App"), "{page:?}");
    let wrong = browser.submit(&page, &[("login", "ada"), ("password", "wrong horse battery")]).await;
    assert_eq!(wrong.status, 422);
    let consent = browser.sign_in(&wrong, "ada").await.expect(200, "");
    assert!(consent.text.contains("See users") && !consent.text.contains("write:users"), "{consent:?}");
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    assert_eq!(sent.status, 303);
    let location = sent.header("location").to_owned();
    assert!(location.starts_with("https://app.example.com/callback?code=ac_live_"), "{location}");
    let answer = query_of(&location);
    assert_eq!(answer["state"], "st+a te&1=\u{e9}");
    assert_eq!(answer["iss"], issuer(&server).await);

    let issued = post(&server, "/oauth/token", Some(&client), &exchange(&answer["code"])).await.expect(200, "").json();
    assert_eq!(issued["scope"], "openid read:users");
    let bearer = Actor::bearer(issued["access_token"].as_str().unwrap());
    let me = server.get("/v1/users/me", &bearer).await.expect(200, "").json();
    assert_eq!(me["handle"], "ada");
    server.get("/v1/users", &bearer).await.expect(200, "");
    let told = server.get("/oauth/userinfo", &bearer).await.expect(200, "").json();
    assert_eq!(told["sub"], me["id"]);
    assert_eq!(claims(issued["id_token"].as_str().unwrap())["nonce"], "n-0S6");
    // They agreed already: nobody is asked again, unless the client wants it.
    let again = browser.get(&authorize(&client, &[])).await;
    assert_eq!(again.status, 303, "{again:?}");
    browser.get(&authorize(&client, &[("prompt", "consent")])).await.expect(200, "");
    let none = browser.get(&authorize(&client, &[("prompt", "none")])).await;
    assert!(query_of(none.header("location")).contains_key("code"));
    let nobody = Browser::new(&server).get(&authorize(&client, &[("prompt", "none")])).await;
    assert_eq!(query_of(nobody.header("location"))["error"], "login_required");

    // Refreshed, and refreshed again by somebody whose answer was lost.
    let refresh = |token: &str| {
        vec![("grant_type".to_owned(), "refresh_token".to_owned()), ("refresh_token".to_owned(), token.to_owned())]
    };
    let send = async |form: Vec<(String, String)>| {
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        post(&server, "/oauth/token", Some(&client), &form).await
    };
    let first = issued["refresh_token"].as_str().unwrap();
    let lost = send(refresh(first)).await.expect(200, "").json();
    let second = send(refresh(first)).await.expect(200, "").json();
    let lost_bearer = Actor::bearer(lost["access_token"].as_str().unwrap());
    server.get("/v1/users/me", &lost_bearer).await.expect(401, "NOT_FOUND");
    let used = Actor::bearer(second["access_token"].as_str().unwrap());
    server.get("/v1/users/me", &used).await.expect(200, "");
    // Once that was used, the first is a theft: everything ends.
    let stolen = send(refresh(first)).await;
    assert_eq!(error(&stolen), (400, "invalid_grant".to_owned()));
    for bearer in [&bearer, &used] {
        server.get("/v1/users/me", bearer).await.expect(401, "NOT_FOUND");
    }
    let ended = send(refresh(second["refresh_token"].as_str().unwrap())).await;
    assert_eq!(error(&ended), (400, "invalid_grant".to_owned()));
    let _ = ada;
}

pub(crate) fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) async fn issuer(server: &TestServer) -> String {
    let metadata = server.get("/.well-known/oauth-authorization-server", &Actor::anonymous()).await.json();
    metadata["issuer"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn codes_are_good_once_for_who_asked() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let (client, other) = (web_client(&server).await, web_client(&server).await);
    let replaced = |code: &str, name: &'static str, value: &'static str| -> Vec<(String, String)> {
        let mut form: Vec<_> = exchange(code).into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        form.retain(|(known, _)| known != name);
        if !value.is_empty() {
            form.push((name.to_owned(), value.to_owned()));
        }
        form
    };
    let wrong_verifier = "aBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    for (name, value) in [
        ("code_verifier", ""),
        ("code_verifier", wrong_verifier),
        ("code_verifier", CHALLENGE),
        ("redirect_uri", ""),
        ("redirect_uri", "https://app.example.com/callback/"),
    ] {
        let code = code(&server, &client).await;
        let form = replaced(&code, name, value);
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let reply = post(&server, "/oauth/token", Some(&client), &form).await;
        assert_eq!(error(&reply), (400, "invalid_grant".to_owned()), "{name}={value}");
        let late = post(&server, "/oauth/token", Some(&client), &exchange(&code)).await;
        assert_eq!(error(&late), (400, "invalid_grant".to_owned()), "whoever had it had it wrong");
    }
    // Another client's.
    let theirs = code(&server, &client).await;
    assert_eq!(error(&post(&server, "/oauth/token", Some(&other), &exchange(&theirs)).await).1, "invalid_grant");
    // Twice: what the first gave ends.
    let twice = code(&server, &client).await;
    let issued = post(&server, "/oauth/token", Some(&client), &exchange(&twice)).await.expect(200, "").json();
    let bearer = Actor::bearer(issued["access_token"].as_str().unwrap());
    server.get("/v1/users/me", &bearer).await.expect(200, "");
    assert_eq!(error(&post(&server, "/oauth/token", Some(&client), &exchange(&twice)).await).1, "invalid_grant");
    server.get("/v1/users/me", &bearer).await.expect(401, "NOT_FOUND");
    // Too late.
    let late = code(&server, &client).await;
    server.advance(std::time::Duration::from_secs(60));
    assert_eq!(error(&post(&server, "/oauth/token", Some(&client), &exchange(&late)).await).1, "invalid_grant");
}

#[tokio::test]
async fn requests_that_are_wrong_go_nowhere_until_the_redirect_uri_is_proven() {
    let server = TestServer::start().await;
    let client = web_client(&server).await;
    for (name, value) in [
        ("client_id", "cli_00000000000000000000000000000000"),
        ("client_id", ""),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", "https://app.example.com/callback/../x"),
        ("redirect_uri", "https://app.example.com.evil.example/callback"),
        ("redirect_uri", "https://app.example.com/callback?x=1"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        let page = Browser::new(&server).get(&authorize(&client, &[(name, value)])).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{name}={value}: {page:?}");
        assert!(page.header("content-type").starts_with("text/html"));
    }
    for (name, value, word) in [
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "", "invalid_request"),
        ("scope", "read:users admin", "invalid_scope"),
        ("scope", "", "invalid_scope"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("prompt", "none login", "invalid_request"),
        ("max_age", "soon", "invalid_request"),
        ("request", "e30.e30.", "request_not_supported"),
        ("request_uri", "https://evil.example/", "request_uri_not_supported"),
        ("resource", "https://other.example/", "invalid_target"),
    ] {
        let sent = Browser::new(&server).get(&authorize(&client, &[(name, value)])).await;
        assert_eq!(sent.status, 303, "{name}={value}: {sent:?}");
        let answer = query_of(sent.header("location"));
        assert_eq!((answer["error"].as_str(), answer["state"].as_str()), (word, "st+a te&1=\u{e9}"), "{name}={value}");
        assert!(sent.header("location").starts_with("https://app.example.com/callback?"), "{sent:?}");
    }
}

#[tokio::test]
async fn forms_that_are_not_ours_decide_nothing() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&authorize(&client, &[])).await;
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    for csrf in ["", "x", &form_of(&page.text).1.iter().find(|(name, _)| name == "csrf").unwrap().1.clone()] {
        let reply = browser.submit(&consent, &[("decision", "allow"), ("csrf", csrf)]).await;
        assert_eq!(reply.status, 400, "{csrf}: {reply:?}");
    }
    // Another's browser with the very form.
    let reply = Browser::new(&server).submit(&consent, &[("decision", "allow")]).await;
    assert_eq!(reply.status, 400, "{reply:?}");
    let denied = browser.submit(&consent, &[("decision", "deny")]).await;
    assert_eq!(query_of(denied.header("location"))["error"], "access_denied");
    let nothing = browser.submit(&consent, &[("decision", "")]).await;
    assert_eq!(nothing.status, 400, "{nothing:?}");
}
