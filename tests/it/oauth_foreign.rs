//! The authorization server in front of clients that others wrote, and of people with a browser: openid-client, Authlib, the
//! crates oauth2 and openidconnect, oauth4webapi within a page, and Chromium.

use std::time::Duration;

use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse,
    IntrospectionUrl, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    TokenIntrospectionResponse, TokenResponse, TokenUrl,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::oauth::{Client, query_of, register};
use crate::support::tools::{Answer, VISIT, package_file, run_in_browser, run_openidconnect, run_python};
use crate::support::{Actor, TestServer, Wire, leaks};

#[tokio::test]
async fn openid_client_signs_people_in() {
    let (server, mut given) = start().await;
    let clients = [
        ("client_secret_basic", json!({})),
        ("client_secret_post", json!({"tokenEndpointAuthMethod": "client_secret_post", "accessTokenFormat": "OPAQUE"})),
        ("none", json!({"type": "PUBLIC"})),
    ];
    given["clients"] = json!([]);
    for (method, more) in clients {
        let client = web_app(&server, more).await;
        let client = json!({"id": client.id, "secret": client.secret, "method": method});
        given["clients"].as_array_mut().expect("a list").push(client);
    }
    let machine = machine(&server).await;
    given["machine"] = json!({"id": machine.id, "secret": machine.secret});
    let Some(answer) = run_in_browser(include_str!("../clients/openid_client.mjs"), given).await else { return };
    assert_eq!(passed(answer), json!({"passed": 8}));
}

#[tokio::test]
async fn authlib_signs_people_in() {
    let (server, mut given) = start().await;
    let (shop, machine) = (web_app(&server, json!({})).await, machine(&server).await);
    let as_json = |client: Client| json!({"id": client.id, "secret": client.secret, "method": "client_secret_basic"});
    let visit = json!({"login": "ada", "password": leaks::PASSWORD});
    (given["client"], given["machine"]) = (as_json(shop), as_json(machine));
    let Some(answer) = run_python(include_str!("../clients/authlib_client.py"), given, visit).await else { return };
    assert_eq!(passed(answer), json!({"passed": true}));
}

#[tokio::test]
async fn the_crate_openidconnect_signs_people_in() {
    // The crate revokes nothing over plain HTTP.
    let server = TestServer::builder().tls().for_browsers().start().await;
    let sub = server.person(&server.live(), "ada", &["read:users"]).await;
    let project = json!({"id": "default", "clientRegistration": "REGISTRATION_OPEN"});
    let change = json!({"project": project, "updateMask": "clientRegistration"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), change).await.ok();
    let mut clients = Vec::new();
    for (method, more) in [
        ("client_secret_basic", json!({})),
        ("client_secret_post", json!({"tokenEndpointAuthMethod": "client_secret_post", "accessTokenFormat": "OPAQUE"})),
        ("none", json!({"type": "PUBLIC"})),
    ] {
        let client = web_app(&server, more).await;
        clients.push(json!({"id": client.id, "secret": client.secret, "method": method}));
    }
    let issuer = format!("https://localhost:{}", server.address().port());
    let certificate = std::fs::read_to_string(server.directory().join("cert.pem")).expect("a certificate");
    let given = json!({"issuer": issuer, "certificate": certificate, "sub": sub, "clients": clients});
    let visit = json!({"login": "ada", "password": leaks::PASSWORD});
    let Some(answer) = run_openidconnect(given, visit).await else { return };
    assert_eq!(passed(answer), json!({"passed": 4}));
}

#[tokio::test]
async fn browsers_do_as_the_pages_say() {
    let (server, mut given) = start().await;
    let native = json!({"type": "PUBLIC", "redirectUris": ["com.example.app:/callback"]});
    for (name, more) in [("web", json!({})), ("spa", json!({"type": "PUBLIC"})), ("native", native)] {
        given[name] = json!({"id": web_app(&server, more).await.id});
    }
    given["native"]["redirectUri"] = json!("com.example.app:/callback");
    given["library"] = json!(package_file("oauth4webapi/build/index.js"));
    let Some(answer) = run_in_browser(include_str!("../clients/pages.mjs"), given).await else { return };
    assert_eq!(passed(answer), json!({"passed": 9}));
}

#[tokio::test]
async fn the_crate_oauth2_gets_and_keeps_tokens() {
    let (server, mut given) = start().await;
    let issuer = given["issuer"].as_str().expect("a URL").to_owned();
    let url = |path: &str| format!("{issuer}{path}");
    for (auth_type, method) in
        [(AuthType::BasicAuth, "client_secret_basic"), (AuthType::RequestBody, "client_secret_post")]
    {
        let registered = web_app(&server, json!({"tokenEndpointAuthMethod": method})).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let callback = format!("http://{}/callback", listener.local_addr().expect("an address"));
        let client = BasicClient::new(ClientId::new(registered.id.clone()))
            .set_client_secret(ClientSecret::new(registered.secret))
            .set_auth_type(auth_type.clone())
            .set_auth_uri(AuthUrl::new(url("/oauth/authorize")).expect("a URL"))
            .set_token_uri(TokenUrl::new(url("/oauth/token")).expect("a URL"))
            .set_introspection_url(IntrospectionUrl::new(url("/oauth/introspect")).expect("a URL"))
            .set_redirect_uri(RedirectUrl::new(callback).expect("a URL"));
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = ["openid", "offline_access", "read:users"].map(|scope| Scope::new(scope.to_owned()));
        let (to, state) =
            client.authorize_url(CsrfToken::new_random).add_scopes(scopes).set_pkce_challenge(challenge).url();
        given["url"] = json!(to);
        given["decision"] = json!("Allow");
        let (target, visited) = tokio::join!(first_target(listener), run_in_browser(VISIT, given.clone()));
        let Some(visited) = visited else { return };
        assert!(visited.success, "{visited:?}");
        let answer = query_of(&format!("http://localhost{}", target.expect("the browser came back")));
        assert_eq!(answer["state"], *state.secret());

        let code = || AuthorizationCode::new(answer["code"].clone());
        let again = PkceCodeVerifier::new(verifier.secret().clone());
        let tokens = client.exchange_code(code()).set_pkce_verifier(verifier).request_async(&http).await;
        let tokens = tokens.unwrap_or_else(|error| panic!("{method}: {error:?}"));
        let refresh = tokens.refresh_token().expect("a refresh token");
        let bearer = Actor::bearer(tokens.access_token().secret());
        assert_eq!(server.get("/v1/users/me", &bearer).await.expect(200, "").json()["id"], given["sub"]);
        let fresh = client.exchange_refresh_token(refresh).request_async(&http).await.expect("fresh tokens");
        let known = client.introspect(fresh.access_token()).request_async(&http).await.expect("it is known");
        assert_eq!((known.active(), known.sub()), (true, given["sub"].as_str()));
        assert_eq!(known.client_id().map(|id| id.as_str()), Some(registered.id.as_str()));

        let twice = client.exchange_code(code()).set_pkce_verifier(again).request_async(&http).await;
        assert_eq!(refusal(twice), "invalid_grant");
        let unknown = RefreshToken::new("rt_live_x".to_owned());
        let refused = client.exchange_refresh_token(&unknown).request_async(&http).await;
        assert_eq!(refusal(refused), "invalid_grant");
        let wrong = client.clone().set_client_secret(ClientSecret::new("cs_live_x".to_owned()));
        let refused = wrong.exchange_client_credentials().request_async(&http).await;
        assert_eq!(refusal(refused), "invalid_client");
    }
    let registered = machine(&server).await;
    let client = BasicClient::new(ClientId::new(registered.id))
        .set_client_secret(ClientSecret::new(registered.secret))
        .set_token_uri(TokenUrl::new(url("/oauth/token")).expect("a URL"));
    let asked = client.exchange_client_credentials().add_scope(Scope::new("read:users".to_owned()));
    let tokens = asked.request_async(&http).await.expect("tokens for itself");
    assert_eq!(tokens.scopes().map(Vec::as_slice), Some(&[Scope::new("read:users".to_owned())][..]));
    assert_eq!(tokens.expires_in(), Some(Duration::from_secs(600)));
}

/// A server as browsers meet it, on which Ada may sign in; and what all clients are given.
async fn start() -> (TestServer, Value) {
    let server = TestServer::builder().for_browsers().start().await;
    let sub = server.person(&server.live(), "ada", &["read:users"]).await;
    let issuer = format!("http://localhost:{}", server.address().port());
    (server, json!({"issuer": issuer, "sub": sub, "login": "ada", "password": leaks::PASSWORD}))
}

/// A client on this machine that has people sign in.
async fn web_app(server: &TestServer, more: Value) -> Client {
    let mut client = json!({
        "name": "Shop", "redirectUris": ["http://127.0.0.1/callback"],
        "grantTypes": ["authorization_code", "refresh_token"],
        "scopes": ["openid", "profile", "email", "offline_access", "read:users"],
    });
    client.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    register(server, client).await
}

/// A client that acts for itself.
async fn machine(server: &TestServer) -> Client {
    let client = json!({"name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"]});
    register(server, client).await
}

/// The word that a request was refused with.
#[track_caller]
fn refusal<T: std::fmt::Debug, E: std::error::Error + 'static>(
    answer: Result<T, RequestTokenError<E, oauth2::basic::BasicErrorResponse>>,
) -> String {
    match answer {
        Err(RequestTokenError::ServerResponse(refusal)) => refusal.error().to_string(),
        other => panic!("{other:?}"),
    }
}

/// What a program printed last, which ended well.
#[track_caller]
fn passed(answer: Answer) -> Value {
    assert!(answer.success, "{}\n{}", answer.stdout, answer.stderr);
    let last = answer.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// The target of the first request that comes here; none if nobody comes.
async fn first_target(listener: TcpListener) -> Option<String> {
    let come = tokio::time::timeout(Duration::from_secs(120), async {
        let (mut socket, _) = listener.accept().await.ok()?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            let length = socket.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
            head.extend_from_slice(&buffer[..length]);
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: 4\r\n\r\nDone";
        socket.write_all(answer.as_bytes()).await.ok()?;
        let head = String::from_utf8(head).ok()?;
        Some(head.split(' ').nth(1)?.to_owned())
    });
    come.await.ok()?
}

/// The HTTP that the crate speaks.
async fn http(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let answer = client.execute(request.try_into()?).await?;
    let mut response = http::Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.extend(answer.headers().clone());
    }
    Ok(response.body(answer.bytes().await?.to_vec()).expect("it was an answer before"))
}
