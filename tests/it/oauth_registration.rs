//! Clients that register themselves (RFC 7591) and manage that (RFC 7592), and what nobody gets by it.

use http::Method;
use serde_json::{Value, json};

use crate::oauth::{Browser, CALLBACK, Client, authorize, error, exchange, issuer, post, query_of};
use crate::support::{Actor, Reply, TestServer, Wire};

async fn allow(server: &TestServer, setting: &str) {
    let project = json!({
        "id": "default", "clientRegistration": setting, "registrationScopes": ["read:users"],
        "registrationResources": ["https://mcp.example.com/"],
    });
    let request = json!({
        "project": project, "updateMask": "clientRegistration,registrationScopes,registrationResources",
    });
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
}

async fn register(server: &TestServer, actor: &Actor, metadata: &Value) -> Reply {
    server.post("/oauth/register", actor, metadata).await
}

fn public() -> Value {
    json!({"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "Agent"})
}

fn with(mut metadata: Value, name: &str, value: Value) -> Value {
    metadata[name] = value;
    metadata
}

async fn manage(server: &TestServer, method: Method, id: &str, token: &str, body: Option<&Value>) -> Reply {
    let request = server.request(method, &format!("/oauth/register/{id}"), &Actor::bearer(token));
    server
        .send(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

#[tokio::test]
async fn a_client_registers_itself_and_users_decide_what_it_gets() {
    let server = TestServer::start().await;
    let nobody = Actor::anonymous();
    let closed = register(&server, &nobody, &public()).await;
    assert_eq!((closed.status, closed.header("www-authenticate")), (403, ""), "{closed:?}");
    let metadata = server.get("/.well-known/oauth-authorization-server", &nobody).await.json();
    assert_eq!(metadata["registration_endpoint"], Value::Null);

    allow(&server, "REGISTRATION_OPEN").await;
    let metadata = server.get("/.well-known/oauth-authorization-server", &nobody).await.json();
    assert_eq!(metadata["registration_endpoint"], format!("{}/oauth/register", issuer(&server).await));
    let said = json!({
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "Agent <i>7</i>",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"], "response_types": ["code"],
        "scope": "openid read:users write:users admin", "contacts": ["x@example.com"], "tos_uri": 7,
        "logo_uri": "https://app.example.com/logo.png", "jwks": null,
    });
    let made = register(&server, &nobody, &said).await.expect(201, "");
    assert_eq!((made.header("cache-control"), made.header("content-type")), ("no-store", "application/json"));
    let made = made.json();
    assert!(text(&made, "registration_access_token").starts_with("rat_live_"), "{made}");
    assert!(text(&made, "client_id").starts_with("cli_") && made["client_id_issued_at"].is_i64(), "{made}");
    let uri = format!("{}/oauth/register/{}", issuer(&server).await, text(&made, "client_id"));
    let expected = json!({
        "client_id": made["client_id"], "client_id_issued_at": made["client_id_issued_at"],
        "registration_access_token": made["registration_access_token"], "registration_client_uri": uri,
        "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "Agent <i>7</i>",
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], "scope": "openid read:users",
        "logo_uri": "https://app.example.com/logo.png", "dpop_bound_access_tokens": false,
    });
    assert_eq!(made, expected);

    // The user is asked, and what the client gets is what was set apart.
    server.person(&server.live(), "ada", &["read:users", "write:users"]).await;
    let client = Client { id: text(&made, "client_id").to_owned(), secret: String::new() };
    let mut browser = Browser::new(&server);
    // Nobody is sent to its address for that: anybody could have registered it.
    for scope in ["openid read:users write:users", "admin"] {
        let told = browser.get(&authorize(&client, &[("scope", scope)])).await;
        assert!(told.status == 400 && told.text.contains("here is no scope"), "{scope}: {told:?}");
    }
    let elsewhere = browser.get(&authorize(&client, &[("resource", "https://other.example.com/")])).await;
    assert!(elsewhere.status == 400 && elsewhere.text.contains("for this resource"), "{elsewhere:?}");
    let own = issuer(&server).await;
    browser.get(&authorize(&client, &[("resource", &own)])).await.expect(200, "");
    let page = browser.get(&authorize(&client, &[("resource", "https://mcp.example.com/")])).await.expect(200, "");
    let consent = browser.sign_in(&page, "ada").await.expect(200, "");
    assert!(consent.text.contains("app.example.com") && consent.text.contains("See users"), "{consent:?}");
    assert!(consent.text.contains("nobody has checked whose it is"), "{consent:?}");
    assert!(
        !consent.text.contains("<img") && !consent.header("content-security-policy").contains("img-src"),
        "{consent:?}"
    );
    let sent = browser.submit(&consent, &[("decision", "allow")]).await;
    let code = query_of(sent.header("location"))["code"].clone();
    let mut form = exchange(&code);
    form.push(("client_id", &client.id));
    let issued = post(&server, "/oauth/token", None, &form).await.expect(200, "").json();
    assert_eq!(issued["scope"], "openid read:users");
    assert!(issued["refresh_token"].is_string());
    let form = [("grant_type", "client_credentials"), ("client_id", client.id.as_str())];
    let refused = post(&server, "/oauth/token", None, &form).await;
    assert_eq!(error(&refused).1, "unauthorized_client", "never without a user");

    // Whoever runs the project sees which clients nobody vouched for.
    let made = crate::oauth::register(&server, json!({"name": "Ours", "redirectUris": [CALLBACK]})).await;
    for wire in Wire::ALL {
        let listed = server.call(wire, "Auth/ListClients", &server.live(), json!({})).await.ok();
        let listed: Vec<_> =
            listed["data"].as_array().unwrap().iter().map(|one| (&one["id"], &one["registeredItself"])).collect();
        let (yes, no) = (json!(true), json!(false));
        let (ours, theirs) = (json!(made.id), json!(client.id));
        let is = |wanted: &Value, flag: &Value| {
            listed.iter().any(|(id, given)| *id == wanted && (*given == flag || given.is_null() && *flag == no))
        };
        assert!(listed.len() == 2 && is(&ours, &no) && is(&theirs, &yes), "{listed:?}");
    }
    let events = server.get("/v1/audit-events", &server.live()).await.expect(200, "").text;
    assert!(events.contains("client.registered"), "{events}");
}

#[tokio::test]
async fn a_confidential_client_gets_a_secret_and_is_registered_where_its_credential_is() {
    let server = TestServer::start().await;
    allow(&server, "REGISTRATION_TOKEN").await;
    let metadata = json!({"redirect_uris": [CALLBACK]});
    let without = register(&server, &Actor::anonymous(), &metadata).await;
    assert_eq!(without.status, 401, "{without:?}");
    assert!(without.header("www-authenticate").starts_with("Bearer realm=\"gatepost\""), "{without:?}");
    let reader = server.key(&["read:clients"]).await;
    let refused = register(&server, &reader, &metadata).await;
    assert_eq!(error(&refused), (403, "insufficient_scope".to_owned()));
    assert!(refused.header("www-authenticate").ends_with("scope=\"write:clients\""), "{refused:?}");
    let bad = register(&server, &Actor::bearer("sk_live_nobody"), &metadata).await;
    assert_eq!(error(&bad), (401, "invalid_token".to_owned()));
    for bearer in [server.key(&["write:clients"]).await, server.test()] {
        let made = register(&server, &bearer, &metadata).await.expect(201, "").json();
        assert_eq!(made["client_secret_expires_at"], 0);
        assert_eq!(
            (&made["token_endpoint_auth_method"], &made["grant_types"]),
            (&json!("client_secret_basic"), &json!(["authorization_code"]))
        );
        let client =
            Client { id: text(&made, "client_id").to_owned(), secret: text(&made, "client_secret").to_owned() };
        let reply =
            post(&server, "/oauth/token", Some(&client), &[("grant_type", "authorization_code"), ("code", "x")]).await;
        assert_eq!(error(&reply).1, "invalid_grant", "it is who it says it is");
        let found = server.get(&format!("/v1/clients/{}", client.id), &bearer).await;
        assert_eq!(found.status, if bearer.secret.contains("_test_") { 200 } else { 403 }, "{found:?}");
        let live = server.get(&format!("/v1/clients/{}", client.id), &server.live()).await;
        assert_eq!(live.status, if bearer.secret.contains("_test_") { 404 } else { 200 }, "{live:?}");
    }
    // Another project decides for itself.
    let other = server.other_project("shop", gatepost::domain::environment::Environment::Live).await;
    assert_eq!(register(&server, &other, &metadata).await.status, 403);
}

#[tokio::test]
async fn what_cannot_be_registered_is_told_in_the_words_of_the_rfc() {
    let server = TestServer::start().await;
    allow(&server, "REGISTRATION_TOKEN").await;
    let bearer = server.key(&["write:clients"]).await;
    let uris = |uri: &str| with(public(), "redirect_uris", json!([uri]));
    let long: Vec<_> = (0..21).map(|n| format!("https://app.example.com/{n}")).collect();
    for (metadata, word) in [
        (json!({}), "invalid_redirect_uri"),
        (uris("javascript:alert(1)"), "invalid_redirect_uri"),
        (uris("data:text/html,<script>alert(1)</script>"), "invalid_redirect_uri"),
        (uris("vbscript:x"), "invalid_redirect_uri"),
        (uris("file:///etc/passwd"), "invalid_redirect_uri"),
        (uris("http://app.example.com/callback"), "invalid_redirect_uri"),
        (uris("http://169.254.169.254/latest"), "invalid_redirect_uri"),
        (uris("https://app.example.com/callback#x"), "invalid_redirect_uri"),
        (uris("https://user@app.example.com/callback"), "invalid_redirect_uri"),
        (uris("https://*.example.com/callback"), "invalid_redirect_uri"),
        (uris("//evil.example/callback"), "invalid_redirect_uri"),
        (uris("https://app.example.com/callback?code=x"), "invalid_redirect_uri"),
        (with(public(), "redirect_uris", json!(long)), "invalid_redirect_uri"),
        (with(public(), "redirect_uris", json!("https://app.example.com/")), "invalid_client_metadata"),
        (with(public(), "token_endpoint_auth_method", json!("tls_client_auth")), "invalid_client_metadata"),
        (with(public(), "grant_types", json!(["client_credentials"])), "invalid_client_metadata"),
        (with(public(), "grant_types", json!(["implicit", "password"])), "invalid_client_metadata"),
        (with(public(), "response_types", json!(["id_token token"])), "invalid_client_metadata"),
        (with(public(), "client_name", json!("x".repeat(101))), "invalid_client_metadata"),
        (with(public(), "client_name", json!("knaB\u{202e}")), "invalid_client_metadata"),
        (with(public(), "logo_uri", json!("http://app.example.com/logo.png")), "invalid_client_metadata"),
        (with(public(), "post_logout_redirect_uris", json!(["javascript:alert(1)"])), "invalid_client_metadata"),
        (with(public(), "software_statement", json!("eyJhbGciOiJub25lIn0.e30.")), "unapproved_software_statement"),
        (json!([]), "invalid_client_metadata"),
        (json!("x"), "invalid_client_metadata"),
        (with(public(), "client_name", json!("x".repeat(70_000))), "invalid_request"),
    ] {
        let reply = register(&server, &bearer, &metadata).await;
        assert_eq!(error(&reply), (400, word.to_owned()), "{metadata}: {reply:?}");
    }
    let form = server.request(Method::POST, "/oauth/register", &bearer).form(&[("redirect_uris", CALLBACK)]);
    assert_eq!(error(&server.send(form).await), (400, "invalid_client_metadata".to_owned()));
    let none = server.call(Wire::Grpc, "Auth/ListClients", &server.live(), json!({})).await.ok();
    assert_eq!(none["data"], json!([]), "nothing came of it");
    // Nothing is fetched that a client names.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let inside = format!("https://{}/x", listener.local_addr().unwrap());
    let mut metadata = public();
    for name in ["logo_uri", "jwks_uri", "client_uri", "policy_uri", "sector_identifier_uri"] {
        metadata[name] = json!(inside);
    }
    register(&server, &bearer, &metadata).await.expect(201, "");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_registration_is_managed_by_its_own_token_alone() {
    let server = TestServer::start().await;
    allow(&server, "REGISTRATION_OPEN").await;
    let make = async |metadata: Value| register(&server, &Actor::anonymous(), &metadata).await.expect(201, "").json();
    let (own, other) = (make(json!({"redirect_uris": [CALLBACK]})).await, make(public()).await);
    let (id, token) = (text(&own, "client_id"), text(&own, "registration_access_token"));
    let told = manage(&server, Method::GET, id, token, None).await.expect(200, "").json();
    let mut shown = own.clone();
    shown.as_object_mut().unwrap().remove("client_secret");
    assert_eq!(told, shown, "all but the secret, which nobody knows here");

    let live = server.live().secret;
    let theirs = text(&other, "registration_access_token");
    let secret = text(&own, "client_secret");
    let cut = &token[..token.len() - 1];
    let nobody = "cli_00000000000000000000000000000000";
    for (id, token) in [(id, theirs), (id, secret), (id, &*live), (id, cut), (id, "x"), (nobody, token), ("x", token)] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let reply = manage(&server, method.clone(), id, token, Some(&public())).await;
            assert_eq!(error(&reply), (401, "invalid_token".to_owned()), "{method} {id}: {reply:?}");
            assert!(reply.header("www-authenticate").contains("error=\"invalid_token\""), "{reply:?}");
        }
    }
    let without = server.get(&format!("/oauth/register/{id}"), &Actor::anonymous()).await;
    assert_eq!((without.status, without.header("www-authenticate").contains("error")), (401, false), "{without:?}");
    server.get("/v1/clients", &Actor::bearer(token)).await.expect(401, "NOT_FOUND");

    // What is put takes the place of all that was there.
    let said = json!({
        "client_id": id, "client_secret": secret, "redirect_uris": ["https://app.example.com/other"],
        "scope": "openid write:users admin", "token_endpoint_auth_method": "client_secret_post",
    });
    let put = manage(&server, Method::PUT, id, token, Some(&said)).await.expect(200, "").json();
    assert_eq!((&put["scope"], &put["redirect_uris"]), (&json!("openid"), &json!(["https://app.example.com/other"])));
    assert_eq!(put["token_endpoint_auth_method"], "client_secret_post");
    for (name, value, word) in [
        ("client_id", json!(text(&other, "client_id")), "invalid_client_metadata"),
        ("client_id", Value::Null, "invalid_client_metadata"),
        ("client_secret", json!("cs_live_x"), "invalid_client_metadata"),
        ("registration_access_token", json!(token), "invalid_client_metadata"),
        ("registration_client_uri", json!("https://evil.example/"), "invalid_client_metadata"),
        ("client_secret_expires_at", json!(0), "invalid_client_metadata"),
        ("client_id_issued_at", json!(0), "invalid_client_metadata"),
        ("token_endpoint_auth_method", json!("none"), "invalid_client_metadata"),
        ("redirect_uris", json!(["javascript:alert(1)"]), "invalid_redirect_uri"),
        ("grant_types", json!(["client_credentials"]), "invalid_client_metadata"),
    ] {
        let reply = manage(&server, Method::PUT, id, token, Some(&with(said.clone(), name, value))).await;
        assert_eq!(error(&reply), (400, word.to_owned()), "{name}: {reply:?}");
    }
    assert_eq!(manage(&server, Method::GET, id, token, None).await.json(), put, "nothing came of it");

    let gone = manage(&server, Method::DELETE, id, token, None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(manage(&server, Method::GET, id, token, None).await.status, 401);
    let client = Client { id: id.to_owned(), secret: secret.to_owned() };
    let reply =
        post(&server, "/oauth/token", Some(&client), &[("grant_type", "authorization_code"), ("code", "x")]).await;
    assert_eq!(error(&reply), (401, "invalid_client".to_owned()));
    // One that was deleted by whoever runs the project is gone for its token too.
    server.call(Wire::Grpc, "Auth/DeleteClient", &server.live(), json!({"id": other["client_id"]})).await.ok();
    assert_eq!(manage(&server, Method::GET, text(&other, "client_id"), theirs, None).await.status, 401);
}

/// What came of signing in anew and of refreshing: the scope, or the error.
async fn scopes_now(server: &TestServer, client: &Client, scope: &str, refresh: &str) -> (String, String) {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh), ("client_id", &*client.id)];
    let refreshed = post(server, "/oauth/token", None, &form).await.json();
    let told = |member: &str| refreshed[member].as_str().unwrap_or_default().to_owned();
    let page = Browser::new(server).get(&authorize(client, &[("scope", scope)])).await;
    let asked = if page.status == 200 { String::new() } else { page.text };
    (told(if refreshed["scope"].is_string() { "scope" } else { "error" }), asked)
}

#[tokio::test]
async fn what_a_project_takes_back_such_a_client_has_no_more() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    allow(&server, "REGISTRATION_OPEN").await;
    let said = with(public(), "grant_types", json!(["authorization_code", "refresh_token"]));
    let made = register(&server, &Actor::anonymous(), &said).await.expect(201, "").json();
    let client = Client { id: text(&made, "client_id").to_owned(), secret: String::new() };
    let first = async |resource: &str| {
        let mut browser = Browser::new(&server);
        let page = browser.get(&authorize(&client, &[("resource", resource)])).await.expect(200, "");
        let consent = browser.sign_in(&page, "ada").await.expect(200, "");
        let sent = browser.submit(&consent, &[("decision", "allow")]).await;
        let code = query_of(sent.header("location"))["code"].clone();
        let mut form = exchange(&code);
        form.push(("client_id", &client.id));
        text(&post(&server, "/oauth/token", None, &form).await.expect(200, "").json(), "refresh_token").to_owned()
    };
    let update = async |project: Value, mask: &str| {
        let request = json!({"project": with(project, "id", json!("default")), "updateMask": mask});
        server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
    };
    let (plain, bound) = (first("").await, first("https://mcp.example.com/").await);
    update(json!({"registrationScopes": []}), "registrationScopes").await;
    let (refreshed, page) = scopes_now(&server, &client, "openid read:users", &plain).await;
    assert_eq!(refreshed, "openid");
    assert!(page.contains("There is no scope read:users to have here"), "{page}");
    update(json!({"registrationResources": []}), "registrationResources").await;
    assert_eq!(scopes_now(&server, &client, "openid", &bound).await, ("invalid_target".to_owned(), String::new()));
    // No others are let in; those who were go on.
    allow(&server, "REGISTRATION_CLOSED").await;
    assert_eq!(scopes_now(&server, &client, "openid", &bound).await, ("openid read:users".to_owned(), String::new()));
}

#[tokio::test]
async fn nobody_registers_a_client_for_more_than_they_hold() {
    let server = TestServer::start().await;
    allow(&server, "REGISTRATION_TOKEN").await;
    let scope = "openid read:users";
    let lesser = server.key(&["write:clients"]).await;
    for (actor, wanted) in [(&lesser, "openid"), (&server.key(&["write:clients", "read:users"]).await, scope)] {
        let made = register(&server, actor, &with(public(), "scope", json!(scope))).await.expect(201, "").json();
        assert_eq!(made["scope"], wanted);
        // Nor does the client itself afterwards.
        let (id, token) = (text(&made, "client_id"), text(&made, "registration_access_token"));
        let said = with(with(public(), "scope", json!(scope)), "client_id", json!(id));
        let put = manage(&server, Method::PUT, id, token, Some(&said)).await.expect(200, "").json();
        assert_eq!(put["scope"], wanted);
    }
    // Where anybody may, a credential only says where.
    allow(&server, "REGISTRATION_OPEN").await;
    let made = register(&server, &lesser, &with(public(), "scope", json!(scope))).await.expect(201, "").json();
    assert_eq!(made["scope"], scope);
}

#[tokio::test]
async fn registrations_of_one_address_are_bounded() {
    let server = TestServer::start().await;
    allow(&server, "REGISTRATION_OPEN").await;
    for _ in 0..20 {
        register(&server, &Actor::anonymous(), &public()).await.expect(201, "");
    }
    let refused = register(&server, &Actor::anonymous(), &public()).await;
    assert_eq!(error(&refused), (429, "slow_down".to_owned()), "{refused:?}");
    assert_eq!(refused.header("retry-after"), "60");
    // What is wrong costs nothing, and whoever may write clients is not bounded by an address.
    register(&server, &server.live(), &public()).await.expect(201, "");
    server.advance(std::time::Duration::from_secs(60));
    register(&server, &Actor::anonymous(), &public()).await.expect(201, "");
}

#[tokio::test]
async fn what_clients_may_register_for_is_for_administrators_to_say() {
    let server = TestServer::start().await;
    let update = async |project: Value, mask: &str| {
        let request = json!({"project": with(project, "id", json!("default")), "updateMask": mask});
        server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await
    };
    update(json!({"registrationScopes": ["admin"]}), "registrationScopes").await.refused("INVALID_FIELD");
    update(json!({"registrationScopes": ["read:nothing"]}), "registrationScopes").await.refused("INVALID_FIELD");
    update(json!({"registrationResources": ["x"]}), "registrationResources").await.refused("INVALID_FIELD");
    allow(&server, "REGISTRATION_OPEN").await;
    for wire in Wire::ALL {
        let told = server.call(wire, "Auth/GetProject", &server.live(), json!({"id": "default"})).await.ok();
        assert_eq!(told["project"]["clientRegistration"], "REGISTRATION_OPEN", "{wire:?}");
        assert_eq!(told["project"]["registrationScopes"], json!(["read:users"]), "{wire:?}");
        assert_eq!(told["project"]["registrationResources"], json!(["https://mcp.example.com/"]), "{wire:?}");
    }
    // A scope that is set apart for clients is held.
    let scope = json!({"scope": {"name": "read:budgets", "description": "See budgets"}});
    server.call(Wire::Grpc, "Auth/CreateScope", &server.live(), scope).await.ok();
    update(json!({"registrationScopes": ["read:budgets"]}), "registrationScopes").await.ok();
    let held = server.call(Wire::Grpc, "Auth/DeleteScope", &server.live(), json!({"name": "read:budgets"})).await;
    held.refused("INVALID_STATE");
}

#[tokio::test]
async fn what_somebody_was_shown_is_what_they_decide() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    allow(&server, "REGISTRATION_OPEN").await;
    let made = register(&server, &Actor::anonymous(), &public()).await.expect(201, "").json();
    let (id, token) = (text(&made, "client_id"), text(&made, "registration_access_token"));
    let client = Client { id: id.to_owned(), secret: String::new() };
    for (member, value) in [("client_name", json!("Your bank")), ("redirect_uris", json!(["https://evil.example/"]))] {
        let mut browser = Browser::new(&server);
        let unnamed = authorize(&client, &[("redirect_uri", "")]);
        let page = browser.get(&unnamed).await.expect(200, "");
        let consent = browser.sign_in(&page, "ada").await.expect(200, "");
        let said = with(with(public(), member, value), "client_id", json!(id));
        manage(&server, Method::PUT, id, token, Some(&said)).await.expect(200, "");
        for decision in ["allow", "deny"] {
            let sent = browser.submit(&consent, &[("decision", decision)]).await;
            assert_eq!((sent.status, sent.header("location")), (400, ""), "{member}, {decision}: {sent:?}");
        }
        let before = with(public(), "client_id", json!(id));
        manage(&server, Method::PUT, id, token, Some(&before)).await.expect(200, "");
    }
}
