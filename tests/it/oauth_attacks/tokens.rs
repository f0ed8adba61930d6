//! Tokens: what is none opens nothing, and what is one does so for those it is of.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};

use crate::oauth::{Browser, authorize, claims, error, post, register};
use crate::support::{Actor, TestServer, Wire};

use super::scene::Scene;

#[tokio::test]
async fn what_is_no_access_token_opens_nothing() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    let mut tokens: Vec<(String, String)> = Vec::new();
    for name in NO_ACCESS_TOKENS {
        tokens.push(((*name).to_owned(), scene.fill(name).await));
    }
    let good = scene.fill("$ACCESS").await;
    let set = scene.server.get("/.well-known/jwks.json", &Actor::anonymous()).await.json();
    for (what, changes, forged) in FORGERIES {
        tokens.push(((*what).to_owned(), forge(&good, changes, *forged, &set)));
    }
    let claimed = [
        ("sub", json!("usr_00000000000000000000000000000000")),
        ("scope", json!("admin")),
        ("exp", json!(9_999_999_999_u64)),
    ];
    for (name, value) in claimed {
        let parts: Vec<&str> = good.split('.').collect();
        let mut body = claims(&good);
        body[name] = value;
        tokens.push((
            format!("another {name}"),
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(body.to_string()), parts[2]),
        ));
    }
    for (what, token) in &tokens {
        let bearer = Actor::bearer(token);
        for path in ["/v1/users/me", "/v1/users", "/oauth/userinfo"] {
            let reply = scene.server.get(path, &bearer).await;
            assert_eq!(reply.status, 401, "{what} at {path}: {reply:?}");
        }
        let verdict =
            scene.server.call(Wire::Grpc, "Auth/Verify", &scene.server.live(), json!({"credential": token})).await.ok();
        assert_eq!(verdict["valid"], json!(false), "{what}");
        if !token.starts_with("rt_") {
            let told = post(scene.server, "/oauth/introspect", Some(&scene.web), &[("token", token)]).await;
            assert_eq!(told.text, r#"{"active":false}"#, "{what}");
        }
        // Nor is anybody signed in by it.
        let mut browser = Browser::new(scene.server);
        browser.cookies.insert("__Host-gatepost-session".to_owned(), token.clone());
        let page = browser.get(&authorize(&scene.web, &[])).await.expect(200, "");
        assert!(page.text.contains("name=\"password\""), "{what}: {page:?}");
    }
    // An access token is no session, and a session is no access token.
    let mut browser = Browser::new(scene.server);
    browser.cookies.insert("__Host-gatepost-session".to_owned(), good.clone());
    assert!(browser.get(&authorize(&scene.web, &[])).await.text.contains("name=\"password\""));
    let session = Actor::bearer(&scene.fill("$SESSION").await);
    assert!([401, 403].contains(&scene.server.get("/oauth/userinfo", &session).await.status));
    // In the query it is nobody's.
    let reply = scene.server.get(&format!("/oauth/userinfo?access_token={good}"), &Actor::anonymous()).await;
    assert_eq!(reply.status, 401, "{reply:?}");
    scene.server.get("/oauth/userinfo", &Actor::bearer(&good)).await.expect(200, "");
}

#[tokio::test]
async fn strangers_learn_nothing_of_a_token_and_end_none() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    for name in ["$ACCESS", "$REFRESH"] {
        let token = scene.fill(name).await;
        for stranger in [&scene.other, &scene.trial, &scene.foreign, &scene.job] {
            let told = post(scene.server, "/oauth/introspect", Some(stranger), &[("token", &token)]).await;
            assert_eq!((told.status, told.text.as_str()), (200, r#"{"active":false}"#), "{name}");
            post(scene.server, "/oauth/revoke", Some(stranger), &[("token", &token)]).await.expect(200, "");
        }
        for form in [
            vec![("token", token.as_str())],
            vec![("token", &token), ("client_id", &scene.public.id)],
            vec![("token", &token), ("client_id", &scene.web.id)],
        ] {
            let told = post(scene.server, "/oauth/introspect", None, &form).await;
            assert_eq!(error(&told), (401, "invalid_client".to_owned()), "{name}: {told:?}");
        }
        for key in [&scene.elsewhere, &scene.server.test()] {
            let asked = scene.server.request(Method::POST, "/oauth/introspect", key).form(&[("token", &token)]);
            assert_eq!(scene.server.send(asked).await.text, r#"{"active":false}"#, "{name}");
        }
        let weak = scene.server.rk(&["read:users"]).await;
        let asked = scene.server.request(Method::POST, "/oauth/introspect", &weak).form(&[("token", &token)]);
        assert_eq!(error(&scene.server.send(asked).await), (401, "invalid_client".to_owned()));
        let told = post(scene.server, "/oauth/introspect", Some(&scene.web), &[("token", &token)]).await;
        assert_eq!(told.json()["active"], true, "{name}: nobody else ended it");
    }
}

#[tokio::test]
async fn a_token_is_of_one_project_and_environment() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    let (live, trial, foreign) =
        (scene.fill("$ACCESS").await, scene.own(&scene.trial).await, scene.own(&scene.foreign).await);
    let publishable = scene.server.pk(&["read:products"]).await;
    for token in [&trial, &foreign] {
        let reply = scene.server.get("/v1/users/me", &Actor::bearer(token).beside(&publishable)).await;
        assert!([401, 403].contains(&reply.status), "{reply:?}");
    }
    scene.server.get("/v1/users/me", &Actor::bearer(&live).beside(&publishable)).await.expect(200, "");
    for (asker, token) in [
        (scene.server.live(), &trial),
        (scene.server.live(), &foreign),
        (scene.server.test(), &live),
        (scene.elsewhere.clone(), &live),
    ] {
        let verdict = scene.server.call(Wire::Grpc, "Auth/Verify", &asker, json!({"credential": token})).await.ok();
        assert_eq!(verdict["valid"], json!(false), "{verdict}");
    }
    let ada = claims(&live)["sub"].clone();
    for token in [&trial, &foreign] {
        let reply = scene.server.get(&format!("/v1/users/{}", ada.as_str().unwrap()), &Actor::bearer(token)).await;
        assert!([403, 404].contains(&reply.status), "{reply:?}");
    }
}

#[tokio::test]
async fn a_token_for_elsewhere_opens_nothing_here() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    let elsewhere = "https://api.example.com/";
    let client = json!({
        "name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"], "resources": [elsewhere],
    });
    let (client, meant) = (register(&server, client.clone()).await, register(&server, client).await);
    let form = [("grant_type", "client_credentials"), ("resource", elsewhere)];
    let tokens = post(&server, "/oauth/token", Some(&client), &form).await.expect(200, "").json();
    let token = tokens["access_token"].as_str().unwrap();
    assert_eq!(claims(token)["aud"], json!([elsewhere]));
    // Whoever it is shown to there cannot use it here.
    for path in ["/v1/users", "/v1/users/me", "/oauth/userinfo"] {
        let reply = server.get(path, &Actor::bearer(token)).await;
        assert!([401, 403].contains(&reply.status), "{path}: {reply:?}");
    }
    for (asker, active) in [(&meant, true), (&client, true), (&scene.job, false), (&scene.foreign, false)] {
        let told = post(&server, "/oauth/introspect", Some(asker), &[("token", token)]).await.expect(200, "");
        assert_eq!(told.json()["active"], json!(active), "{told:?}");
    }
    server.get("/v1/users", &Actor::bearer(&scene.own(&client).await)).await.expect(200, "");
}

#[tokio::test]
async fn stolen_tokens_end_for_thief_and_owner() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    let first = scene.tokens().await;
    let refresh = async |token: &Value| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.as_str().unwrap())];
        post(scene.server, "/oauth/token", Some(&scene.web), &form).await
    };
    let opens = async |tokens: &Value| {
        scene.server.get("/v1/users/me", &Actor::bearer(tokens["access_token"].as_str().unwrap())).await.status == 200
    };
    // The thief is faster, and uses what they got; then the owner comes.
    let thief = refresh(&first["refresh_token"]).await.expect(200, "").json();
    assert!(opens(&thief).await);
    let owner = refresh(&first["refresh_token"]).await;
    assert_eq!(error(&owner), (400, "invalid_grant".to_owned()));
    assert!(!opens(&thief).await && !opens(&first).await);
    assert_eq!(error(&refresh(&thief["refresh_token"]).await), (400, "invalid_grant".to_owned()));
    // Another grant of the same user and client goes on.
    assert!(opens(&scene.tokens().await).await);
}

/// A signed token with another header.
fn forge(token: &str, changes: &str, forged: Forged, set: &Value) -> String {
    let parts: Vec<&str> = token.split('.').collect();
    let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let changes: Value = serde_json::from_str(changes).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(header.as_object_mut().unwrap().remove(name)),
            value => header[name] = value.clone(),
        }
    }
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1]);
    let algorithm = if header["alg"] == "HS512" { hmac::HMAC_SHA512 } else { hmac::HMAC_SHA256 };
    let mac = |key: &[u8]| URL_SAFE_NO_PAD.encode(hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes()));
    let signature = match forged {
        Forged::Unsigned => String::new(),
        Forged::AsItWas => parts[2].to_owned(),
        Forged::WithNothing => mac(&[]),
        Forged::WithPublicKey => {
            let key = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == header["kid"]).unwrap();
            mac(&URL_SAFE_NO_PAD.decode(key["x"].as_str().or(key["n"].as_str()).unwrap()).unwrap())
        }
    };
    format!("{message}.{signature}")
}

/// How a forged token is signed.
#[derive(Clone, Copy)]
enum Forged {
    Unsigned,
    AsItWas,
    WithPublicKey,
    WithNothing,
}

/// Things presented as access tokens that are none; nobody takes them.
const NO_ACCESS_TOKENS: &[&str] =
    &["$ID_TOKEN", "$REFRESH", "$CODE", "$WEB_SECRET", "$EXPIRED", "$REVOKED", "$OF_USED_CODE"];

/// Changes to the header of a signed access token, and what signs it anew: nothing, its public key as a MAC's, or its own
/// signature. Nobody takes them.
const FORGERIES: &[(&str, &str, Forged)] = &[
    ("no algorithm", r#"{"alg":"none"}"#, Forged::Unsigned),
    ("no algorithm, in capitals", r#"{"alg":"NONE"}"#, Forged::Unsigned),
    ("no algorithm, with the signature", r#"{"alg":"none"}"#, Forged::AsItWas),
    ("the public key as a secret", r#"{"alg":"HS256"}"#, Forged::WithPublicKey),
    ("the public key as a longer secret", r#"{"alg":"HS512"}"#, Forged::WithPublicKey),
    ("no signature", r#"{}"#, Forged::Unsigned),
    ("another kind of key", r#"{"alg":"ES256"}"#, Forged::AsItWas),
    ("an unknown key", r#"{"kid":"x"}"#, Forged::AsItWas),
    ("a file as key", r#"{"kid":"../../../../dev/null","alg":"HS256"}"#, Forged::WithNothing),
    ("a statement as key", r#"{"kid":"' UNION SELECT 'x' --"}"#, Forged::AsItWas),
    ("a key without a name", r#"{"kid":null}"#, Forged::AsItWas),
    (
        "a key that it brings",
        r#"{"jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}"#,
        Forged::AsItWas,
    ),
    ("a key from elsewhere", r#"{"jku":"https://evil.example/jwks.json"}"#, Forged::AsItWas),
    ("a rule that is not known", r#"{"crit":["evil"],"evil":true}"#, Forged::AsItWas),
    ("the type of an id_token", r#"{"typ":"JWT"}"#, Forged::AsItWas),
    ("no type", r#"{"typ":null}"#, Forged::AsItWas),
];
