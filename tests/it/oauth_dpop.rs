//! Tokens that are bound to a key of their client (DPoP, RFC 9449).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use http::Method;
use serde_json::{Value, json};

use crate::oauth::{
    Browser, CALLBACK, CHALLENGE, Client, authorize, claims, error, exchange, post, query_of, register,
};
use crate::support::jose::{Key, encode, unsigned};
use crate::support::server::PUBLIC_URL;
use crate::support::{Actor, Reply, TestServer, Wire};

pub(crate) fn header(key: &Key) -> Value {
    json!({"alg": key.alg(), "typ": "dpop+jwt", "jwk": key.public()})
}

/// What a good proof says; each has an id of its own.
pub(crate) fn says(server: &TestServer, method: &str, path: &str, token: Option<&str>) -> Value {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let id = format!("id-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let now = server.now().millis() / 1_000;
    let mut says = json!({"jti": id, "htm": method, "htu": format!("{PUBLIC_URL}{path}"), "iat": now});
    if let Some(token) = token {
        says["ath"] = json!(encode(digest(&SHA256, token.as_bytes()).as_ref()));
    }
    says
}

fn proof(server: &TestServer, key: &Key, method: &str, path: &str, token: Option<&str>) -> String {
    key.sign(&header(key), &says(server, method, path, token))
}

pub(crate) fn with(mut value: Value, name: &str, member: Value) -> Value {
    match member {
        Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
        member => value[name] = member,
    }
    value
}

/// Somebody who sends a token and a proof.
pub(crate) fn holder(token: &str, proof: &str) -> Actor {
    Actor::anonymous().with("authorization", &format!("DPoP {token}")).with("dpop", proof)
}

/// A request for tokens with this header.
async fn ask(server: &TestServer, client: &Client, proof: Option<&str>, form: &[(&str, &str)]) -> Reply {
    let mut request = server.request(Method::POST, "/oauth/token", &Actor::anonymous());
    let mut form = form.to_vec();
    if client.secret.is_empty() {
        form.push(("client_id", &client.id));
    } else {
        request = request.basic_auth(&client.id, Some(&client.secret));
    }
    if let Some(proof) = proof {
        request = request.header("dpop", proof);
    }
    server.send(request.form(&form)).await
}

const FOR_ITSELF: [(&str, &str); 1] = [("grant_type", "client_credentials")];

async fn job(server: &TestServer, more: Value) -> Client {
    let mut client = json!({"name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"]});
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    register(server, client).await
}

/// A token that is bound to this key.
pub(crate) async fn bound(server: &TestServer, client: &Client, key: &Key) -> String {
    let proof = proof(server, key, "POST", "/oauth/token", None);
    let issued = ask(server, client, Some(&proof), &FOR_ITSELF).await.expect(200, "").json();
    assert_eq!(issued["token_type"], "DPoP");
    issued["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_bound_token_opens_what_it_may_to_whoever_holds_the_key() {
    let server = TestServer::start().await;
    for (format, key) in [("JWT", Key::ed25519("one")), ("OPAQUE", Key::p256("one"))] {
        let client = job(&server, json!({"accessTokenFormat": format})).await;
        let token = bound(&server, &client, &key).await;
        if format == "JWT" {
            assert_eq!(claims(&token)["cnf"], json!({"jkt": key.thumbprint()}));
        }
        let told = post(&server, "/oauth/introspect", Some(&client), &[("token", &token)]).await.json();
        assert_eq!((&told["token_type"], &told["cnf"]["jkt"]), (&json!("DPoP"), &json!(key.thumbprint())));
        for wire in Wire::ALL {
            let (method, path) =
                if wire == Wire::Json { ("GET", "/v1/auth/whoami") } else { ("POST", "/gatepost.v1.Auth/WhoAmI") };
            let actor = holder(&token, &proof(&server, &key, method, path, Some(&token)));
            let who = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await.ok();
            assert_eq!(who["clientId"], json!(client.id), "{wire:?}");
            let again = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
            again.refused("INVALID_DPOP_PROOF");
            assert!(again.header("www-authenticate").starts_with("DPoP "), "{wire:?}: {again:?}");
            // As a token of whoever has it, it is worth nothing.
            let stripped = server.call(wire, "Auth/WhoAmI", &Actor::bearer(&token), json!({})).await;
            stripped.refused("INVALID_DPOP_PROOF");
        }
    }
    let told = server.get("/.well-known/oauth-authorization-server", &Actor::anonymous()).await.json();
    let resource = server.get("/.well-known/oauth-protected-resource", &Actor::anonymous()).await.json();
    for document in [&told, &resource] {
        let algorithms = document["dpop_signing_alg_values_supported"].as_array().unwrap();
        assert!(algorithms.contains(&json!("ES256")) && !algorithms.contains(&json!("HS256")));
    }
    assert_eq!(resource["dpop_bound_access_tokens_required"], false);
}

#[tokio::test]
async fn a_proof_is_for_one_request_of_one_holder() {
    let server = TestServer::start().await;
    let (key, other) = (Key::p256("one"), Key::p256("two"));
    let client = job(&server, json!({})).await;
    let token = bound(&server, &client, &key).await;
    let second = bound(&server, &client, &key).await;
    let (path, now) = ("/v1/users", server.now().millis() / 1_000);
    let good = || says(&server, "GET", path, Some(&token));
    let sign = |says: &Value| key.sign(&header(&key), says);
    let private = {
        let mut jwk = key.public();
        jwk["d"] = json!("AAAA");
        jwk
    };
    let cases = [
        ("another's key", other.sign(&header(&other), &good())),
        ("a key that did not sign", other.sign(&header(&key), &good())),
        ("nobody's signature", unsigned(&good())),
        ("the public key as a secret", key.confused(&with(header(&key), "alg", json!("HS256")), &good())),
        ("a private key", key.sign(&with(header(&key), "jwk", private), &good())),
        ("no key", key.sign(&with(header(&key), "jwk", Value::Null), &good())),
        ("another type", key.sign(&with(header(&key), "typ", json!("JWT")), &good())),
        ("no type", key.sign(&with(header(&key), "typ", Value::Null), &good())),
        ("an extension", key.sign(&with(header(&key), "crit", json!(["x"])), &good())),
        ("another method", sign(&with(good(), "htm", json!("POST")))),
        ("another path", sign(&with(good(), "htu", json!(format!("{PUBLIC_URL}/v1/keys"))))),
        ("another host", sign(&with(good(), "htu", json!("https://evil.example/v1/users")))),
        (
            "the host it was reached by",
            sign(&with(good(), "htu", json!(format!("http://{}/v1/users", server.address())))),
        ),
        ("another scheme", sign(&with(good(), "htu", json!("http://keys.example/v1/users")))),
        ("another token", sign(&says(&server, "GET", path, Some(&second)))),
        ("no token", sign(&with(good(), "ath", Value::Null))),
        ("old", sign(&with(good(), "iat", json!(now - 90)))),
        ("from the future", sign(&with(good(), "iat", json!(now + 60)))),
        ("no time", sign(&with(good(), "iat", Value::Null))),
        ("no id", sign(&with(good(), "jti", Value::Null))),
        ("no proof at all", "x".to_owned()),
        ("too long", sign(&with(good(), "more", json!("x".repeat(8_000))))),
    ];
    for (case, proof) in cases {
        let reply = server.get(path, &holder(&token, &proof)).await;
        assert_eq!((reply.status, &reply.json()["code"]), (401, &json!("INVALID_DPOP_PROOF")), "{case}: {reply:?}");
        let challenge = reply.header("www-authenticate");
        for part in ["DPoP realm=", "resource_metadata=", "error=\"invalid_dpop_proof\"", "algs=\""] {
            assert!(challenge.contains(part), "{case}: {reply:?}");
        }
    }
    // Its query does not count, nor how it is written.
    let written = with(good(), "htu", json!("HTTPS://Keys.Example:443/v1/%75sers?page_size=1#x"));
    server.get("/v1/users?page_size=2", &holder(&token, &sign(&written))).await.expect(200, "");
    // No proof, two of them, and a token that is not bound.
    let plain = ask(&server, &client, None, &FOR_ITSELF).await.expect(200, "").json();
    assert_eq!(plain["token_type"], "Bearer");
    let plain = plain["access_token"].as_str().unwrap();
    let no_proof = Actor::anonymous().with("authorization", &format!("DPoP {token}"));
    let twice = holder(&token, &sign(&good())).with("dpop", &sign(&good()));
    let in_another_header = Actor::anonymous().with("x-api-key", &token).with("dpop", &sign(&good()));
    let unbound = holder(plain, &sign(&says(&server, "GET", path, Some(plain))));
    let key_as_dpop = holder(&server.live().secret, &sign(&says(&server, "GET", path, Some(&server.live().secret))));
    let bearer = Actor::bearer(&token).with("dpop", &sign(&good()));
    for actor in [no_proof, twice, in_another_header, unbound, key_as_dpop, bearer] {
        server.get(path, &actor).await.expect(401, "INVALID_DPOP_PROOF");
    }
    // Who is asked about a token tells whoever asks first whether it is good at all.
    server.get(path, &holder("at_live_x", &sign(&good()))).await.expect(401, "NOT_FOUND");
    // A good one is taken once, by one of many.
    let proof = sign(&good());
    let actor = holder(&token, &proof);
    let replies = futures_util::future::join_all((0..8).map(|_| server.get(path, &actor))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    server.advance(Duration::from_secs(89));
    server.get(path, &actor).await.expect(401, "INVALID_DPOP_PROOF");
}

#[tokio::test]
async fn a_proof_at_the_token_endpoint_is_taken_once() {
    let server = TestServer::start().await;
    let key = Key::p256("one");
    let client = job(&server, json!({"dpopBoundAccessTokens": true})).await;
    let now = server.now().millis() / 1_000;
    let good = || says(&server, "POST", "/oauth/token", None);
    let sign = |says: &Value| key.sign(&header(&key), says);
    let once = sign(&good());
    ask(&server, &client, Some(&once), &FOR_ITSELF).await.expect(200, "");
    let cases = [
        ("none", None),
        ("used", Some(once.clone())),
        ("another address", Some(sign(&with(good(), "htu", json!(format!("{PUBLIC_URL}/oauth/par")))))),
        ("another method", Some(sign(&with(good(), "htm", json!("GET"))))),
        ("old", Some(sign(&with(good(), "iat", json!(now - 3_600))))),
        ("nobody's", Some(unsigned(&good()))),
        ("a secret", Some(key.confused(&with(header(&key), "alg", json!("HS256")), &good()))),
        ("empty", Some(String::new())),
    ];
    for (case, proof) in cases {
        let reply = ask(&server, &client, proof.as_deref(), &FOR_ITSELF).await;
        assert_eq!(error(&reply), (400, "invalid_dpop_proof".to_owned()), "{case}: {reply:?}");
    }
    // Of many at one time one is first.
    let again = sign(&good());
    let replies =
        futures_util::future::join_all((0..8).map(|_| ask(&server, &client, Some(&again), &FOR_ITSELF))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
    // Whoever does not prove to be the client uses nothing up.
    let proof = sign(&good());
    let stranger = Client { id: client.id.clone(), secret: "x".to_owned() };
    assert_eq!(error(&ask(&server, &stranger, Some(&proof), &FOR_ITSELF).await).1, "invalid_client");
    ask(&server, &client, Some(&proof), &FOR_ITSELF).await.expect(200, "");
}

#[tokio::test]
async fn nonces_are_the_servers() {
    let server = TestServer::start().await;
    let key = Key::p256("one");
    let client = job(&server, json!({})).await;
    let with_nonce = |nonce: &str| {
        key.sign(&header(&key), &with(says(&server, "POST", "/oauth/token", None), "nonce", json!(nonce)))
    };
    let refused = ask(&server, &client, Some(&with_nonce("made up")), &FOR_ITSELF).await;
    assert_eq!(error(&refused), (400, "use_dpop_nonce".to_owned()));
    let nonce = refused.header("dpop-nonce").to_owned();
    let issued = ask(&server, &client, Some(&with_nonce(&nonce)), &FOR_ITSELF).await.expect(200, "");
    assert!(!issued.header("dpop-nonce").is_empty(), "the next one comes with the answer");
    let token = issued.json()["access_token"].as_str().unwrap().to_owned();
    server.advance(Duration::from_secs(300));
    let late = ask(&server, &client, Some(&with_nonce(&nonce)), &FOR_ITSELF).await;
    assert_eq!(error(&late), (400, "use_dpop_nonce".to_owned()));
    // At a resource it is the same.
    let at = |nonce: &str| {
        let says = with(says(&server, "GET", "/v1/users", Some(&token)), "nonce", json!(nonce));
        holder(&token, &key.sign(&header(&key), &says))
    };
    let refused = server.get("/v1/users", &at(&nonce)).await.expect(401, "USE_DPOP_NONCE");
    assert!(refused.header("www-authenticate").contains("error=\"use_dpop_nonce\""), "{refused:?}");
    server.get("/v1/users", &at(refused.header("dpop-nonce"))).await.expect(200, "");
    let says = with(says(&server, "POST", "/gatepost.v1.Auth/WhoAmI", Some(&token)), "nonce", json!("x"));
    let actor = holder(&token, &key.sign(&header(&key), &says));
    let refused = server.call(Wire::Grpc, "Auth/WhoAmI", &actor, json!({})).await;
    refused.refused("USE_DPOP_NONCE");
    assert!(!refused.header("dpop-nonce").is_empty(), "{refused:?}");

    // Where they are needed, a proof without one is only a way to get one.
    let server = TestServer::builder().set("require_dpop_nonces", "true").start().await;
    let client = job(&server, json!({})).await;
    let bare = says_at(&server, &key, "POST", "/oauth/token", None, None);
    let refused = ask(&server, &client, Some(&bare), &FOR_ITSELF).await;
    assert_eq!(error(&refused), (400, "use_dpop_nonce".to_owned()));
    let nonce = refused.header("dpop-nonce").to_owned();
    let good = says_at(&server, &key, "POST", "/oauth/token", None, Some(&nonce));
    let issued = ask(&server, &client, Some(&good), &FOR_ITSELF).await.expect(200, "").json();
    let token = issued["access_token"].as_str().unwrap();
    let bare = says_at(&server, &key, "GET", "/v1/users", Some(token), None);
    server.get("/v1/users", &holder(token, &bare)).await.expect(401, "USE_DPOP_NONCE");
    let good = says_at(&server, &key, "GET", "/v1/users", Some(token), Some(&nonce));
    server.get("/v1/users", &holder(token, &good)).await.expect(200, "");
}

fn says_at(
    server: &TestServer,
    key: &Key,
    method: &str,
    path: &str,
    token: Option<&str>,
    nonce: Option<&str>,
) -> String {
    let mut says = says(server, method, path, token);
    if let Some(nonce) = nonce {
        says["nonce"] = json!(nonce);
    }
    key.sign(&header(key), &says)
}

#[tokio::test]
async fn codes_and_the_refresh_tokens_of_public_clients_are_bound_too() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let (key, other) = (Key::p256("one"), Key::p256("two"));
    let at_token = |key: &Key| proof(&server, key, "POST", "/oauth/token", None);
    let app = |kind: &str| {
        json!({
            "name": "App", "type": kind, "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"],
            "grantTypes": ["authorization_code", "refresh_token"],
        })
    };
    for kind in ["PUBLIC", "CONFIDENTIAL"] {
        let client = register(&server, app(kind)).await;
        let code = async |jkt: &str| {
            let mut browser = Browser::new(&server);
            let page = browser.get(&authorize(&client, &[("dpop_jkt", jkt)])).await;
            let page = browser.sign_in(&page, "ada").await;
            let sent = if page.status == 303 { page } else { browser.submit(&page, &[("decision", "allow")]).await };
            query_of(sent.header("location"))["code"].clone()
        };
        // A code that is bound is another's with another key, or none.
        for proof in [None, Some(at_token(&other))] {
            let code = code(&key.thumbprint()).await;
            let reply = ask(&server, &client, proof.as_deref(), &exchange(&code)).await;
            assert_eq!(error(&reply), (400, "invalid_grant".to_owned()));
        }
        let code = code(&key.thumbprint()).await;
        let issued = ask(&server, &client, Some(&at_token(&key)), &exchange(&code)).await.expect(200, "").json();
        let token = issued["access_token"].as_str().unwrap();
        let me = |key: &Key, token: &str| holder(token, &proof(&server, key, "GET", "/oauth/userinfo", Some(token)));
        let told = server.get("/oauth/userinfo", &me(&key, token)).await.expect(200, "").json();
        assert!(told["sub"].is_string(), "{told}");
        let stripped = server.get("/oauth/userinfo", &Actor::bearer(token)).await;
        assert_eq!(stripped.status, 401);
        assert!(stripped.header("www-authenticate").starts_with("DPoP "), "{stripped:?}");
        assert_eq!(server.get("/oauth/userinfo", &me(&other, token)).await.status, 401);

        // The refresh token of a client that proves nothing else is worth nothing without the key, and is not spent by trying.
        let refresh = issued["refresh_token"].as_str().unwrap();
        let form = |token: &str| {
            vec![("grant_type".to_owned(), "refresh_token".to_owned()), ("refresh_token".to_owned(), token.to_owned())]
        };
        let send = async |proof: Option<String>, token: &str| {
            let form = form(token);
            let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            ask(&server, &client, proof.as_deref(), &form).await
        };
        if kind == "PUBLIC" {
            for proof in [None, Some(at_token(&other))] {
                assert_eq!(error(&send(proof, refresh).await), (400, "invalid_grant".to_owned()));
            }
            let next = send(Some(at_token(&key)), refresh).await.expect(200, "").json();
            let next = next["refresh_token"].as_str().unwrap();
            assert_eq!(
                error(&send(Some(at_token(&other)), next).await).1,
                "invalid_grant",
                "the next is bound as well"
            );
            send(Some(at_token(&key)), next).await.expect(200, "");
        } else {
            // Who proves itself may change its key (RFC 9449, section 5).
            let next = send(Some(at_token(&other)), refresh).await.expect(200, "").json();
            server.get("/oauth/userinfo", &me(&other, next["access_token"].as_str().unwrap())).await.expect(200, "");
        }
        let wrong = Browser::new(&server).get(&authorize(&client, &[("dpop_jkt", "short")])).await;
        assert_eq!(query_of(wrong.header("location"))["error"], "invalid_request");
    }
}

#[tokio::test]
async fn whoever_asks_about_a_bound_token_says_who_holds_the_key() {
    let server = TestServer::start().await;
    let (key, other) = (Key::p256("one"), Key::p256("two"));
    let client = job(&server, json!({})).await;
    let token = bound(&server, &client, &key).await;
    let plain = ask(&server, &client, None, &FOR_ITSELF).await.json()["access_token"].as_str().unwrap().to_owned();
    let url = "https://api.example.com/orders?page=2";
    let proof = |key: &Key, token: &str| {
        let says = with(says(&server, "GET", "/", Some(token)), "htu", json!("https://api.example.com/orders"));
        json!({"proof": key.sign(&header(key), &says), "method": "GET", "url": url})
    };
    for wire in Wire::ALL {
        let verify = async |request: Value| server.call(wire, "Auth/Verify", &server.live(), request).await.ok();
        let explain =
            async |request: Value| server.call(wire, "Auth/ExplainVerify", &server.live(), request).await.ok();
        let good = json!({"credential": token, "dpop": proof(&key, &token)});
        let explained = explain(good.clone()).await;
        assert_eq!(explained["decision"]["code"], "VALID", "{wire:?}");
        let checks = explained["checks"].as_array().unwrap();
        let possession = checks.iter().find(|check| check["name"] == "possession");
        assert_eq!(possession.map(|check| &check["outcome"]), Some(&json!("PASSED")), "{explained}");
        let verdict = verify(good.clone()).await;
        assert_eq!((&verdict["code"], &verdict["dpopJkt"]), (&json!("VALID"), &json!(key.thumbprint())), "{wire:?}");
        let known = verify(json!({"credential": token, "dpopJkt": key.thumbprint()})).await;
        assert_eq!(known["code"], "VALID");
        let mut elsewhere = proof(&key, &token);
        elsewhere["url"] = json!("https://other.example.com/orders");
        let mut posted = proof(&key, &token);
        posted["method"] = json!("POST");
        for refused in [
            json!({"credential": token}),
            good,
            json!({"credential": token, "dpop": proof(&other, &token)}),
            json!({"credential": token, "dpop": proof(&key, &plain)}),
            json!({"credential": token, "dpop": elsewhere}),
            json!({"credential": token, "dpop": posted}),
            json!({"credential": token, "dpop": {"proof": "x", "method": "GET", "url": url}}),
            json!({"credential": token, "dpopJkt": other.thumbprint()}),
            json!({"credential": plain, "dpop": proof(&key, &plain)}),
            json!({"credential": plain, "dpopJkt": key.thumbprint()}),
        ] {
            let verdict = verify(refused.clone()).await;
            let (valid, code) = (verdict["valid"].as_bool(), &verdict["code"]);
            assert_eq!((valid.unwrap_or_default(), code), (false, &json!("INVALID_DPOP_PROOF")), "{wire:?} {refused}");
        }
        assert_eq!(verify(json!({"credential": plain})).await["code"], "VALID");
        for (request, field) in [
            (json!({"credential": token, "dpopJkt": "short"}), "dpop_jkt"),
            (json!({"credential": token, "dpop": {}}), "dpop.proof"),
            (json!({"credential": token, "dpop": proof(&key, &token), "dpopJkt": key.thumbprint()}), "dpop_jkt"),
        ] {
            let answer = server.call(wire, "Auth/Verify", &server.live(), request).await;
            let fields: &[&str] =
                if field == "dpop.proof" { &["dpop.proof", "dpop.method", "dpop.url"] } else { &[field] };
            answer.violates(fields);
        }
    }
}

#[tokio::test]
async fn a_proof_binds_the_code_of_a_pushed_request() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let (key, other) = (Key::p256("one"), Key::p256("two"));
    let client = json!({
        "name": "App", "redirectUris": [CALLBACK], "scopes": ["read:users"], "dpopBoundAccessTokens": true,
    });
    let client = register(&server, client).await;
    let push = async |proof: &str, jkt: &str| {
        let form = [
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "read:users"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("dpop_jkt", jkt),
        ];
        let request = server.request(Method::POST, "/oauth/par", &Actor::anonymous()).header("dpop", proof);
        server.send(request.basic_auth(&client.id, Some(&client.secret)).form(&form)).await
    };
    let at = |key: &Key, path: &str| proof(&server, key, "POST", path, None);
    let used = at(&key, "/oauth/par");
    let pushed = push(&used, "").await.expect(201, "").json();
    for (proof, jkt) in
        [(used, String::new()), (at(&key, "/oauth/token"), String::new()), (at(&key, "/oauth/par"), other.thumbprint())]
    {
        assert_eq!(error(&push(&proof, &jkt).await), (400, "invalid_dpop_proof".to_owned()));
    }
    push(&at(&key, "/oauth/par"), &key.thumbprint()).await.expect(201, "");
    for (holder, status) in [(&other, 400), (&key, 200)] {
        let pushed = if status == 200 { push(&at(&key, "/oauth/par"), "").await.json() } else { pushed.clone() };
        let mut browser = Browser::new(&server);
        let parameters = [("client_id", &*client.id), ("request_uri", pushed["request_uri"].as_str().unwrap())];
        let url = reqwest::Url::parse_with_params("http://x/", &parameters).unwrap();
        let page = browser.get(&format!("/oauth/authorize?{}", url.query().unwrap())).await;
        let page = browser.sign_in(&page, "ada").await;
        let sent = if page.status == 303 { page } else { browser.submit(&page, &[("decision", "allow")]).await };
        let code = query_of(sent.header("location"))["code"].clone();
        let reply = ask(&server, &client, Some(&at(holder, "/oauth/token")), &exchange(&code)).await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
}
