//! Clients that prove themselves with a key of their own (`private_key_jwt`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::oauth::{error, post, register};
use crate::support::jose::{Key, unsigned};
use crate::support::server::PUBLIC_URL;
use crate::support::{Actor, Reply, TestServer, Wire};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a good assertion of a client says; each has an id of its own.
fn claims(server: &TestServer, client: &str) -> Value {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = server.now().millis() / 1_000;
    let id = format!("id-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    json!({"iss": client, "sub": client, "aud": PUBLIC_URL, "iat": now, "exp": now + 60, "jti": id})
}

fn header(key: &Key) -> Value {
    json!({"alg": key.alg(), "kid": key.jwk()["kid"], "typ": "JWT"})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

async fn ask(server: &TestServer, assertion: &str) -> Reply {
    ask_with(server, assertion, &[]).await
}

async fn ask_with(server: &TestServer, assertion: &str, more: &[(&str, &str)]) -> Reply {
    let mut form =
        vec![("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
    form.extend(more);
    post(server, "/oauth/token", None, &form).await
}

async fn job(server: &TestServer, keys: Value) -> String {
    let mut client = json!({
        "name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"],
        "tokenEndpointAuthMethod": "private_key_jwt",
    });
    client.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let made = register(server, client).await;
    assert_eq!(made.secret, "", "it has no secret");
    made.id
}

#[tokio::test]
async fn a_client_proves_itself_with_its_key_at_every_endpoint() {
    let server = TestServer::start().await;
    for key in [Key::ed25519("one"), Key::p256("one")] {
        let id = job(&server, json!({"jwks": key.jwks()})).await;
        let assertion = || key.sign(&header(&key), &claims(&server, &id));
        let issued = ask(&server, &assertion()).await.expect(200, "").json();
        let token = issued["access_token"].as_str().unwrap();
        server.get("/v1/users", &Actor::bearer(token)).await.expect(200, "");
        ask_with(&server, &assertion(), &[("client_id", &id)]).await.expect(200, "");
        // As JSON it is the same.
        let body = json!({
            "grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": assertion(),
        });
        server.post("/oauth/token", &Actor::anonymous(), &body).await.expect(200, "");
        for (path, status) in [("/oauth/introspect", 200), ("/oauth/revoke", 200)] {
            let proof = assertion();
            let form = [("token", token), ("client_assertion_type", TYPE), ("client_assertion", &proof)];
            post(&server, path, None, &form).await.expect(status, "");
        }
        server.get("/v1/users", &Actor::bearer(token)).await.expect(401, "NOT_FOUND");
    }
    let told = server.get("/.well-known/oauth-authorization-server", &Actor::anonymous()).await.json();
    for endpoint in ["token", "introspection", "revocation"] {
        let methods = told[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap();
        assert!(methods.contains(&json!("private_key_jwt")), "{methods:?}");
        let algorithms = told[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")].as_array().unwrap();
        assert!(algorithms.contains(&json!("ES256")), "{algorithms:?}");
        assert!(!algorithms.contains(&json!("none")) && !algorithms.contains(&json!("HS256")), "{algorithms:?}");
    }
}

#[tokio::test]
async fn what_anybody_else_could_make_proves_nothing() {
    let server = TestServer::start().await;
    let (key, other) = (Key::p256("one"), Key::p256("one"));
    let id = job(&server, json!({"jwks": key.jwks()})).await;
    let theirs = job(&server, json!({"jwks": other.jwks()})).await;
    let secretive =
        register(&server, json!({"name": "Other", "grantTypes": ["client_credentials"], "jwks": key.jwks()})).await;
    let now = server.now().millis() / 1_000;
    let good = || claims(&server, &id);
    let sign = |claims: &Value| key.sign(&header(&key), claims);
    let hs256 = with(header(&key), "alg", json!("HS256"));
    let cases = [
        ("another's key", other.sign(&header(&other), &good())),
        ("another client's key", key.sign(&header(&key), &claims(&server, &theirs))),
        ("a client of another method", key.sign(&header(&key), &claims(&server, &secretive.id))),
        ("no client", sign(&claims(&server, "cli_00000000000000000000000000000000"))),
        ("nobody's signature", unsigned(&good())),
        ("the public key as a secret", key.confused(&hs256, &good())),
        ("an unknown key", key.sign(&with(header(&key), "kid", json!("two")), &good())),
        ("an access token", key.sign(&with(header(&key), "typ", json!("at+jwt")), &good())),
        ("a proof of possession", key.sign(&with(header(&key), "typ", json!("dpop+jwt")), &good())),
        ("an extension", key.sign(&with(header(&key), "crit", json!(["x"])), &good())),
        ("another audience", sign(&with(good(), "aud", json!("https://evil.example")))),
        ("one audience too many", sign(&with(good(), "aud", json!([PUBLIC_URL, "https://evil.example"])))),
        ("no audience", sign(&with(good(), "aud", Value::Null))),
        ("another subject", sign(&with(good(), "sub", json!(theirs)))),
        ("another issuer", sign(&with(good(), "iss", json!("https://id.example")))),
        ("no end", sign(&with(good(), "exp", Value::Null))),
        ("past its end", sign(&with(good(), "exp", json!(now - 31)))),
        ("for a day", sign(&with(good(), "exp", json!(now + 86_400)))),
        ("from the future", sign(&with(good(), "iat", json!(now + 600)))),
        ("not yet", sign(&with(good(), "nbf", json!(now + 600)))),
        ("old", sign(&with(good(), "iat", json!(now - 86_400)))),
        ("no id", sign(&with(good(), "jti", Value::Null))),
        ("no token at all", "x".to_owned()),
    ];
    for (case, assertion) in cases {
        let reply = ask(&server, &assertion).await;
        assert_eq!(error(&reply), (401, "invalid_client".to_owned()), "{case}: {reply:?}");
    }
    // A good one, said to be another's.
    let reply = ask_with(&server, &sign(&good()), &[("client_id", &theirs)]).await;
    assert_eq!(error(&reply), (401, "invalid_client".to_owned()));
    // Two proofs at once are refused before either is looked at.
    let twice = ask_with(&server, &sign(&good()), &[("client_id", &id), ("client_secret", "x")]).await;
    assert_eq!(error(&twice), (400, "invalid_request".to_owned()));
    let (grant, assertion) = (("grant_type", "client_credentials"), sign(&good()));
    let form = [grant, ("client_assertion_type", TYPE), ("client_assertion", &assertion)];
    assert_eq!(error(&post(&server, "/oauth/token", Some(&secretive), &form).await).1, "invalid_request");
    let form = [grant, ("client_assertion", &assertion)];
    assert_eq!(error(&post(&server, "/oauth/token", None, &form).await).1, "invalid_request");
    let form = [grant, ("client_assertion_type", "urn:x"), ("client_assertion", &assertion)];
    assert_eq!(error(&post(&server, "/oauth/token", None, &form).await).1, "invalid_client");
    // Its id alone is not enough either.
    assert_eq!(error(&post(&server, "/oauth/token", None, &[grant, ("client_id", &id)]).await).1, "invalid_client");
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let server = TestServer::start().await;
    let key = Key::p256("one");
    let id = job(&server, json!({"jwks": key.jwks()})).await;
    let claims = claims(&server, &id);
    let assertion = key.sign(&header(&key), &claims);
    ask(&server, &assertion).await.expect(200, "");
    assert_eq!(error(&ask(&server, &assertion).await), (401, "invalid_client".to_owned()));
    // Signed anew, it is the same.
    assert_eq!(error(&ask(&server, &key.sign(&header(&key), &claims)).await).1, "invalid_client");
    // Of many at one time one is first.
    let again = key.sign(&header(&key), &with(claims.clone(), "jti", json!("race")));
    let replies = futures_util::future::join_all((0..8).map(|_| ask(&server, &again))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    // When it would be refused for its age, it is forgotten.
    server.advance(Duration::from_secs(150));
    assert_eq!(server.store().await.prune_used_proofs(server.now(), 100).await.unwrap(), 2);
    assert_eq!(error(&ask(&server, &assertion).await).1, "invalid_client");
}

#[tokio::test]
async fn keys_are_had_where_the_client_publishes_them() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let key = Key::p256("one");
    let body = key.jwks();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = socket.read_u8().await else { break };
                head.push(byte);
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    let server = TestServer::builder().set("issuer_private_addresses", "127.0.0.0/8").start().await;
    let id = job(&server, json!({"jwksUri": url})).await;
    for _ in 0..2 {
        ask(&server, &key.sign(&header(&key), &claims(&server, &id))).await.expect(200, "");
    }
    // Where the network was not opened for it, nothing inside is called.
    let closed = TestServer::start().await;
    let id = job(&closed, json!({"jwksUri": url})).await;
    let reply = ask(&closed, &key.sign(&header(&key), &claims(&closed, &id))).await;
    assert_eq!(error(&reply), (503, "temporarily_unavailable".to_owned()));
    assert!(!reply.header("retry-after").is_empty() && !reply.text.contains("127.0.0.1"), "{reply:?}");
}

#[tokio::test]
async fn the_keys_of_a_client_keep_their_rules() {
    let server = TestServer::start().await;
    let (key, admin) = (Key::p256("one"), server.live());
    let client = |more: Value| {
        let mut client = json!({"name": "Job", "grantTypes": ["client_credentials"]});
        client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"client": client})
    };
    let method = "private_key_jwt";
    let private = {
        let mut jwk = key.jwk();
        jwk["d"] = json!("AAAA");
        json!({"keys": [jwk]}).to_string()
    };
    let symmetric = json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string();
    for (more, fields) in [
        (json!({"tokenEndpointAuthMethod": method}), &["client.token_endpoint_auth_method"][..]),
        (json!({"tokenEndpointAuthMethod": method, "jwks": private}), &["client.jwks"]),
        (json!({"tokenEndpointAuthMethod": method, "jwks": symmetric}), &["client.jwks"]),
        (json!({"tokenEndpointAuthMethod": method, "jwks": "{}"}), &["client.jwks"]),
        (
            json!({"tokenEndpointAuthMethod": method, "jwks": format!("{}{}", key.jwks(), " ".repeat(16_384))}),
            &["client.jwks"],
        ),
        (json!({"tokenEndpointAuthMethod": method, "jwksUri": "ftp://a.example/"}), &["client.jwks_uri"]),
        (json!({"jwks": key.jwks(), "jwksUri": "https://a.example/keys"}), &["client.jwks"]),
    ] {
        for wire in Wire::ALL {
            server.call(wire, "Auth/CreateClient", &admin, client(more.clone())).await.violates(fields);
        }
    }
    // From a secret to a key, and back: the secret it had does not come back.
    let made = server.call(Wire::Grpc, "Auth/CreateClient", &admin, client(json!({}))).await.ok();
    let (id, secret) = (made["client"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    let change = async |client: Value, mask: &str| {
        let request = json!({"client": client, "updateMask": mask});
        server.call(Wire::Json, "Auth/UpdateClient", &admin, request).await.ok()["client"].clone()
    };
    let keyed = json!({"id": id, "tokenEndpointAuthMethod": method, "jwks": key.jwks()});
    let told = change(keyed, "tokenEndpointAuthMethod,jwks").await;
    assert_eq!((&told["secrets"], &told["jwks"]), (&json!([]), &json!(key.jwks())));
    let told = change(json!({"id": id, "jwksUri": "https://a.example/keys"}), "jwksUri").await;
    assert_eq!((told.get("jwks"), &told["jwksUri"]), (None, &json!("https://a.example/keys")));
    change(json!({"id": id, "tokenEndpointAuthMethod": "client_secret_post"}), "tokenEndpointAuthMethod").await;
    assert_eq!(error(&post(&server, "/oauth/token", None, &form).await).1, "invalid_client");
    let rotated = server.call(Wire::Grpc, "Auth/RotateClientSecret", &admin, json!({"id": id})).await.ok();
    let form = [form[0], form[1], ("client_secret", rotated["secret"].as_str().unwrap())];
    post(&server, "/oauth/token", None, &form).await.expect(200, "");
    let request = server.request(Method::GET, "/oauth/token", &Actor::anonymous());
    assert_eq!(server.send(request).await.status, 405);
}

#[tokio::test]
async fn a_client_registers_itself_with_a_key() {
    let server = TestServer::start().await;
    let project = json!({"id": "default", "clientRegistration": "REGISTRATION_OPEN"});
    let change = json!({"project": project, "updateMask": "clientRegistration"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), change).await.ok();
    let (key, other) = (Key::p256("one"), Key::ed25519("two"));
    let set = |key: &Key| serde_json::from_str::<Value>(&key.jwks()).unwrap();
    let said = |keys: Value| {
        let mut said = json!({
            "redirect_uris": [crate::oauth::CALLBACK], "token_endpoint_auth_method": "private_key_jwt",
            "grant_types": ["authorization_code"],
        });
        said.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        said
    };
    let nobody = Actor::anonymous();
    let made = server.post("/oauth/register", &nobody, &said(json!({"jwks": set(&key)}))).await.expect(201, "").json();
    assert_eq!((&made["jwks"], made.get("client_secret")), (&set(&key), None), "{made}");
    let id = made["client_id"].as_str().unwrap();
    // Whether it is known shows in what is wrong with the rest.
    let ask = async |key: &Key| {
        let assertion = key.sign(&header(key), &claims(&server, id));
        let form = [
            ("grant_type", "authorization_code"),
            ("code", "x"),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
        ];
        error(&post(&server, "/oauth/token", None, &form).await).1
    };
    assert_eq!((ask(&key).await.as_str(), ask(&other).await.as_str()), ("invalid_grant", "invalid_client"));

    let (path, token) = (format!("/oauth/register/{id}"), made["registration_access_token"].as_str().unwrap());
    let put = async |keys: Value| {
        let mut said = said(keys);
        said["client_id"] = json!(id);
        server.send(server.request(Method::PUT, &path, &Actor::bearer(token)).json(&said)).await
    };
    let told = put(json!({"jwks": set(&other)})).await.expect(200, "").json();
    assert_eq!(told["jwks"], set(&other));
    assert_eq!((ask(&key).await.as_str(), ask(&other).await.as_str()), ("invalid_client", "invalid_grant"));
    let told = put(json!({"jwks_uri": "https://app.example.com/keys"})).await.expect(200, "").json();
    assert_eq!((told.get("jwks"), &told["jwks_uri"]), (None, &json!("https://app.example.com/keys")));
    let refused = put(json!({"token_endpoint_auth_method": "client_secret_basic"})).await;
    assert_eq!(error(&refused), (400, "invalid_client_metadata".to_owned()), "it was given no secret");

    let mut private = set(&key);
    private["keys"][0]["d"] = json!("AAAA");
    for keys in [
        json!({}),
        json!({"jwks": private}),
        json!({"jwks": {"keys": [{"kty": "oct", "k": "AAAA"}]}}),
        json!({"jwks": key.jwks()}),
        json!({"jwks": set(&key), "jwks_uri": "https://app.example.com/keys"}),
        json!({"jwks_uri": "http://127.0.0.1/keys"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
    ] {
        for reply in [server.post("/oauth/register", &nobody, &said(keys.clone())).await, put(keys.clone()).await] {
            assert_eq!(error(&reply), (400, "invalid_client_metadata".to_owned()), "{keys}: {reply:?}");
        }
    }
}
