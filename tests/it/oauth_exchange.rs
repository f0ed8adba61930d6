//! Exchanging keys and tokens for smaller ones (RFC 8693), as clients and attackers meet it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::soon;
use crate::oauth::{
    Browser, CALLBACK, Client, authorize, claims, error, exchange as code_form, post, query_of, register,
};
use crate::support::{Actor, Reply, TestServer, Wire};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const API_KEY: &str = "urn:gatepost:params:oauth:token-type:api-key";

/// A client that may exchange, for these scopes.
async fn gateway(server: &TestServer, scopes: &[&str], more: Value) -> Client {
    let mut client = json!({"name": "Gateway", "grantTypes": [EXCHANGE, "client_credentials"], "scopes": scopes});
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    register(server, client).await
}

async fn register_by(server: &TestServer, admin: &Actor, client: Value) -> Client {
    let made = server.call(Wire::Grpc, "Auth/CreateClient", admin, json!({"client": client})).await.ok();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Client { id: text(&made["client"]["id"]), secret: text(&made["secret"]) }
}

async fn ask(server: &TestServer, client: &Client, subject: &str, kind: &str, more: &[(&str, &str)]) -> Reply {
    let form = [("grant_type", EXCHANGE), ("subject_token", subject), ("subject_token_type", kind)];
    post(server, "/oauth/token", Some(client), &[&form, more].concat()).await
}

async fn exchanged(server: &TestServer, client: &Client, subject: &str, kind: &str, more: &[(&str, &str)]) -> Value {
    ask(server, client, subject, kind, more).await.expect(200, "").json()
}

fn bearer(issued: &Value) -> Actor {
    Actor::bearer(issued["access_token"].as_str().unwrap())
}

async fn status(server: &TestServer, actor: &Actor) -> u16 {
    server.get("/v1/auth/whoami", actor).await.status
}

async fn change(server: &TestServer, rpc: &str, request: Value) {
    server.call(Wire::Grpc, rpc, &server.live(), request).await.ok();
}

#[tokio::test]
async fn a_key_is_exchanged_for_a_token_that_can_do_less() {
    let server = TestServer::start().await;
    let key = server.new_key(json!({
        "name": "shop", "owner": "team-a", "scopes": ["read:users", "write:users", "read:products"],
    }));
    let key = key.await;
    for format in ["JWT", "OPAQUE"] {
        let more = json!({"accessTokenFormat": format});
        let client = gateway(&server, &["openid", "read:users", "write:users", "write:products"], more).await;
        let all = exchanged(&server, &client, &key.secret, API_KEY, &[]).await;
        assert_eq!(all["scope"], "read:users write:users", "what both hold");
        let issued = ask(&server, &client, &key.secret, API_KEY, &[("scope", "read:users")]).await.expect(200, "");
        assert_eq!((issued.header("cache-control"), issued.header("pragma")), ("no-store", "no-cache"));
        let issued = issued.json();
        assert_eq!(
            (&issued["token_type"], &issued["issued_token_type"], &issued["expires_in"], &issued["scope"]),
            (&json!("Bearer"), &json!(ACCESS_TOKEN), &json!(600), &json!("read:users"))
        );
        assert!(issued.get("refresh_token").is_none() && issued.get("id_token").is_none(), "{issued}");
        let token = issued["access_token"].as_str().unwrap();
        let actor = Actor::bearer(token);
        server.get("/v1/users", &actor).await.expect(200, "");
        server.get("/v1/products", &actor).await.expect(403, "INSUFFICIENT_SCOPE");
        for wire in Wire::ALL {
            let told = server.call(wire, "Auth/Verify", &server.live(), json!({"credential": token})).await.ok();
            assert_eq!(
                (&told["valid"], &told["keyId"], &told["clientId"], &told["owner"], &told["scopes"]),
                (&json!(true), &json!(key.id), &json!(client.id), &json!("team-a"), &json!(["read:users"]))
            );
        }
        if format == "JWT" {
            let said = claims(token);
            assert_eq!((&said["sub"], &said["client_id"]), (&json!(key.id), &json!(client.id)));
            let jwt = exchanged(&server, &client, &key.secret, API_KEY, &[("requested_token_type", JWT)]).await;
            assert_eq!(jwt["issued_token_type"], JWT);
        }
        let told = post(&server, "/oauth/introspect", Some(&client), &[("token", token)]).await.json();
        assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!(key.id)));

        // And once more, smaller still: by its type, and by none that it is not.
        let smaller = exchanged(&server, &client, all["access_token"].as_str().unwrap(), ACCESS_TOKEN, &[]).await;
        assert_eq!(smaller["scope"], "read:users write:users");
        let kind = ask(&server, &client, token, JWT, &[]).await;
        assert_eq!(kind.status == 200, format == "JWT", "{kind:?}");
    }
}

#[tokio::test]
async fn what_ends_the_key_ends_the_token_at_once_and_on_every_node() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let client = gateway(&one, &["read:users", "write:users"], json!({})).await;
    let make = async |more: &[(&str, &str)]| {
        let key = one.rk(&["read:users", "write:users"]).await;
        let issued = exchanged(&one, &client, &key.secret, API_KEY, more).await;
        let again = exchanged(&one, &client, issued["access_token"].as_str().unwrap(), ACCESS_TOKEN, &[]).await;
        let tokens = [bearer(&issued), bearer(&again)];
        for (node, token) in [(&one, 0), (&one, 1), (&two, 0), (&two, 1)] {
            // Twice: what is remembered ends like what is looked up.
            assert_eq!((status(node, &tokens[token]).await, status(node, &tokens[token]).await), (200, 200));
        }
        (key, tokens)
    };
    let refused = async |tokens: &[Actor; 2], wanted: u16| {
        for token in tokens {
            assert_eq!(status(&one, token).await, wanted, "the node that knows refuses at once");
            soon("the other node refuses", async || status(&two, token).await == wanted).await;
        }
    };
    let (key, tokens) = make(&[]).await;
    change(&one, "Keys/SuspendKey", json!({"id": key.id})).await;
    refused(&tokens, 403).await;
    change(&one, "Keys/ResumeKey", json!({"id": key.id})).await;
    refused(&tokens, 200).await;
    change(&one, "Keys/DeleteKey", json!({"id": key.id})).await;
    refused(&tokens, 401).await;

    // Rotated: the token was had with the old secret.
    let (key, tokens) = make(&[]).await;
    change(&one, "Keys/RotateKey", json!({"id": key.id, "gracePeriod": "60s"})).await;
    refused(&tokens, 200).await;
    one.advance(Duration::from_secs(60));
    refused(&tokens, 401).await;
    let (key, tokens) = make(&[]).await;
    change(&one, "Keys/RotateKey", json!({"id": key.id})).await;
    refused(&tokens, 401).await;

    // Fewer scopes, and an earlier end.
    let (key, tokens) = make(&[]).await;
    let fewer = json!({"key": {"id": key.id, "scopes": ["read:users"]}, "updateMask": "scopes"});
    change(&one, "Keys/UpdateKey", fewer).await;
    for token in &tokens {
        one.get("/v1/users", token).await.expect(200, "");
        let made = one.post("/v1/users", token, &json!({"handle": "new"})).await;
        made.expect(403, "INSUFFICIENT_SCOPE");
    }
    let sooner =
        json!({"key": {"id": key.id, "expiresAt": one.later(Duration::from_secs(30))}, "updateMask": "expiresAt"});
    change(&one, "Keys/UpdateKey", sooner).await;
    refused(&tokens, 200).await;
    one.advance(Duration::from_secs(30));
    refused(&tokens, 401).await;

    // The token alone: what was exchanged for it ends, the key goes on.
    let (key, tokens) = make(&[]).await;
    let first = tokens[0].secret.clone();
    post(&one, "/oauth/revoke", Some(&client), &[("token", &first)]).await.expect(200, "");
    refused(&tokens, 401).await;
    assert_eq!(status(&one, &key).await, 200);
}

#[tokio::test]
async fn what_ends_a_users_token_or_key_ends_what_came_of_it() {
    let server = TestServer::start().await;
    let ada = server.person(&server.live(), "ada", &["read:users"]).await;
    let client = gateway(&server, &["openid", "read:users", "write:users"], json!({})).await;
    let web = register(
        &server,
        json!({
            "name": "Web", "redirectUris": [CALLBACK], "grantTypes": ["authorization_code", "refresh_token"],
            "scopes": ["openid", "email", "read:users"],
        }),
    );
    let web = web.await;
    let mut browser = Browser::new(&server);
    let page = browser.get(&authorize(&web, &[])).await;
    let page = browser.sign_in(&page, "ada").await;
    let sent = browser.submit(&page, &[("decision", "allow")]).await;
    let code = query_of(sent.header("location"))["code"].clone();
    let issued = post(&server, "/oauth/token", Some(&web), &code_form(&code)).await.expect(200, "").json();
    let subject = issued["access_token"].as_str().unwrap();

    // The token names no audience, so any service of the project that gets it may go on with it.
    let own = exchanged(&server, &client, subject, ACCESS_TOKEN, &[]).await;
    assert_eq!(own["scope"], "openid read:users");
    assert_eq!(claims(own["access_token"].as_str().unwrap())["sub"], ada);
    let actor = bearer(&own);
    assert_eq!(server.get("/v1/users/me", &actor).await.expect(200, "").json()["id"], ada);
    assert_eq!(server.get("/oauth/userinfo", &actor).await.expect(200, "").json(), json!({"sub": ada}));
    // Used by whoever exchanged it: the refresh that gave it cannot be repeated.
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", issued["refresh_token"].as_str().unwrap())];
    let next = post(&server, "/oauth/token", Some(&web), &refresh).await.expect(200, "").json();
    let later = exchanged(&server, &client, next["access_token"].as_str().unwrap(), ACCESS_TOKEN, &[]).await;
    let theft = post(&server, "/oauth/token", Some(&web), &refresh).await;
    assert_eq!(error(&theft).1, "invalid_grant");
    for ended in [&actor, &bearer(&later)] {
        server.get("/v1/users/me", ended).await.expect(401, "NOT_FOUND");
    }

    // A key that acts as somebody, who is blocked, unblocked and deleted.
    let person = server.sign_in(&server.live(), "ada").await;
    let key = server.user_key(&person, "laptop").await;
    let issued = exchanged(&server, &client, &key.secret, API_KEY, &[]).await;
    assert_eq!(issued["scope"], "read:users");
    let actor = bearer(&issued);
    let again = exchanged(&server, &client, &actor.secret, ACCESS_TOKEN, &[]).await;
    for (rpc, wanted) in [("Users/BlockUser", 403), ("Users/UnblockUser", 200), ("Users/DeleteUser", 401)] {
        assert_eq!(
            (status(&server, &actor).await, status(&server, &actor).await),
            (if rpc == "Users/UnblockUser" { (403, 403) } else { (200, 200) })
        );
        change(&server, rpc, json!({"id": ada})).await;
        for token in [&actor, &bearer(&again)] {
            assert_eq!(status(&server, token).await, wanted, "{rpc}");
        }
    }
    // A service account's key holds scopes of its own.
    let robot = server.service_account(&["read:users"]).await;
    let issued = exchanged(&server, &client, &robot.secret, API_KEY, &[]).await;
    server.get("/v1/users", &bearer(&issued)).await.expect(200, "");
}

#[tokio::test]
async fn what_a_key_may_not_do_its_token_may_not_do_either() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["write:keys", "reveal:keys", "read:users"]).await;
    let key = server.user_key(&server.sign_in(&server.live(), "ada").await, "laptop").await;
    let recoverable = server.new_key(json!({"name": "shown", "scopes": [], "recoverable": true})).await;
    let client = gateway(&server, &["write:keys", "reveal:keys", "read:users"], json!({})).await;
    let token = bearer(&exchanged(&server, &client, &key.secret, API_KEY, &[]).await);
    let again = bearer(&exchanged(&server, &client, &token.secret, ACCESS_TOKEN, &[]).await);
    for actor in [&key, &token, &again] {
        server.get("/v1/users", actor).await.expect(200, "");
        for (rpc, request) in [
            ("Keys/CreateKey", json!({"name": "mine", "scopes": ["read:users"]})),
            ("Keys/RevealKey", json!({"id": recoverable.id})),
            ("Keys/CreateUserKey", json!({"handle": "another"})),
        ] {
            server.call(Wire::Grpc, rpc, actor, request).await.refused("CALLER_NOT_ALLOWED");
        }
    }
}

#[tokio::test]
async fn a_token_does_not_outlive_what_it_was_exchanged_for() {
    let server = TestServer::start().await;
    let client = gateway(&server, &["read:users"], json!({})).await;
    let end = server.later(Duration::from_secs(90));
    let key = server.new_key(json!({"name": "short", "scopes": ["read:users"], "expiresAt": end})).await;
    let issued = exchanged(&server, &client, &key.secret, API_KEY, &[]).await;
    assert_eq!(issued["expires_in"], 90);
    server.advance(Duration::from_secs(60));
    let again = exchanged(&server, &client, issued["access_token"].as_str().unwrap(), ACCESS_TOKEN, &[]).await;
    assert_eq!(again["expires_in"], 30);
    assert_eq!(status(&server, &bearer(&again)).await, 200);
    server.advance(Duration::from_secs(30));
    for token in [&issued, &again] {
        assert_eq!(status(&server, &bearer(token)).await, 401);
    }
    assert_eq!(error(&ask(&server, &client, &key.secret, API_KEY, &[]).await), (400, "invalid_request".to_owned()));
}

#[tokio::test]
async fn an_address_list_holds_at_the_exchange_and_after_it() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    let https = |actor: Actor| actor.with("x-forwarded-proto", "https");
    let from = |actor: Actor, ip: &str| https(actor).with("x-forwarded-for", ip);
    let register = json!({"client": {"name": "Gateway", "grantTypes": [EXCHANGE], "scopes": ["read:users"]}});
    let made = server.call(Wire::Grpc, "Auth/CreateClient", &https(server.live()), register).await.ok();
    let (id, secret) = (made["client"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let key = json!({"name": "office", "scopes": ["read:users"], "allowedIps": ["203.0.113.0/24"]});
    let key = server.new_key_by(&https(server.live()), key).await;
    let ask = async |ip: &str, token: &str, kind: &str| {
        let form = [("grant_type", EXCHANGE), ("subject_token", token), ("subject_token_type", kind)];
        let request = server.request(http::Method::POST, "/oauth/token", &from(Actor::anonymous(), ip));
        server.send(request.basic_auth(id, Some(secret)).form(&form)).await
    };
    assert_eq!(error(&ask("198.51.100.1", &key.secret, API_KEY).await), (400, "invalid_request".to_owned()));
    let issued = ask("203.0.113.9", &key.secret, API_KEY).await.expect(200, "").json();
    let token = issued["access_token"].as_str().unwrap();
    assert_eq!(error(&ask("198.51.100.1", token, ACCESS_TOKEN).await), (400, "invalid_request".to_owned()));
    let again = ask("203.0.113.9", token, ACCESS_TOKEN).await.expect(200, "").json();
    for token in [&issued, &again] {
        let actor = bearer(token);
        server.get("/v1/users", &from(actor.clone(), "203.0.113.77")).await.expect(200, "");
        server.get("/v1/users", &from(actor.clone(), "198.51.100.1")).await.expect(403, "IP_DENIED");
        let asked = json!({"credential": actor.secret, "clientIp": "198.51.100.1"});
        let told = server.call(Wire::Grpc, "Auth/Verify", &https(server.live()), asked).await.ok();
        assert_eq!(told["code"], "IP_DENIED");
        // Whoever is not asked where it was used cannot answer for it; whoever is, does.
        let form = [("token", actor.secret.as_str())];
        let request = server.request(http::Method::POST, "/oauth/introspect", &https(server.live())).form(&form);
        assert_eq!(server.send(request).await.expect(200, "").text, r#"{"active":false}"#);
        let asked = json!({"credential": actor.secret, "clientIp": "203.0.113.77"});
        let told = server.call(Wire::Grpc, "Auth/Verify", &https(server.live()), asked).await.ok();
        assert_eq!(told["code"], "VALID");
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_exchange_is_told_in_the_words_of_the_rfc() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let api = "https://api.example.com/";
    let client = gateway(&server, &["read:users", "write:users"], json!({"resources": [api]})).await;
    let other = gateway(&server, &["read:users"], json!({"resources": ["https://other.example/"]})).await;
    let plain =
        register(&server, json!({"name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"]}));
    let plain = plain.await;
    let key = server.rk(&["read:users"]).await;
    let publishable = server.pk(&["read:products"]).await;
    let products = server.rk(&["read:products"]).await;
    let revoked = server.rk(&["read:users"]).await;
    change(&server, "Keys/DeleteKey", json!({"id": revoked.id})).await;
    let of_test = server.new_key_by(&server.test(), json!({"name": "test", "scopes": ["read:users"]})).await;
    let [shop, _] = server.project("shop").await;
    let of_shop = server.new_key_by(&shop, json!({"name": "theirs", "scopes": ["read:users"]})).await;
    let session = server.sign_in(&server.live(), "ada").await;
    let never = Actor::stranger("sk", gatepost::domain::environment::Environment::Live);
    let issued = exchanged(&server, &client, &key.secret, API_KEY, &[("resource", api)]).await;
    let bound = issued["access_token"].as_str().unwrap();
    let (invalid, scope, target) = ("invalid_request", "invalid_scope", "invalid_target");
    type Case<'a> = (&'a str, &'a Client, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        ("not registered for it", &plain, &key.secret, API_KEY, &[], "unauthorized_client"),
        ("unknown", &client, &never.secret, API_KEY, &[], invalid),
        ("no credential", &client, "x", ACCESS_TOKEN, &[], invalid),
        ("revoked", &client, &revoked.secret, API_KEY, &[], invalid),
        ("a key as a token", &client, &key.secret, ACCESS_TOKEN, &[], invalid),
        ("a key as a signed token", &client, &key.secret, JWT, &[], invalid),
        ("a token as a key", &client, bound, API_KEY, &[], invalid),
        ("a session", &client, &session.secret, ACCESS_TOKEN, &[], invalid),
        ("a session as a signed token", &client, &session.secret, JWT, &[], invalid),
        ("a client's secret", &client, &client.secret, API_KEY, &[], invalid),
        ("a publishable key", &client, &publishable.secret, API_KEY, &[], invalid),
        ("of the other environment", &client, &of_test.secret, API_KEY, &[], invalid),
        ("of another project", &client, &of_shop.secret, API_KEY, &[], invalid),
        ("of no known type", &client, &key.secret, "urn:ietf:params:oauth:token-type:saml2", &[], invalid),
        (
            "for a refresh token",
            &client,
            &key.secret,
            API_KEY,
            &[("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token")],
            invalid,
        ),
        ("for a key", &client, &key.secret, API_KEY, &[("requested_token_type", API_KEY)], invalid),
        (
            "with an actor",
            &client,
            &key.secret,
            API_KEY,
            &[("actor_token", &client.secret), ("actor_token_type", ACCESS_TOKEN)],
            invalid,
        ),
        ("more than the key holds", &client, &key.secret, API_KEY, &[("scope", "write:users")], scope),
        ("more than the client may", &client, &products.secret, API_KEY, &[("scope", "read:products")], scope),
        ("nothing in common", &client, &products.secret, API_KEY, &[], scope),
        ("no scope", &client, &key.secret, API_KEY, &[("scope", " ")], scope),
        ("admin", &client, &server.live().secret.clone(), API_KEY, &[("scope", "admin")], scope),
        ("elsewhere", &client, &key.secret, API_KEY, &[("resource", "https://evil.example/")], target),
        ("elsewhere too", &client, &key.secret, API_KEY, &[("resource", api), ("audience", "evil")], target),
        ("made for others", &other, bound, ACCESS_TOKEN, &[], invalid),
        ("twice", &client, &key.secret, API_KEY, &[("subject_token", "x")], invalid),
    ];
    for (what, client, subject, kind, more, word) in cases {
        let reply = ask(&server, client, subject, kind, more).await;
        assert_eq!(error(&reply), (400, (*word).to_owned()), "{what}: {reply:?}");
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    for missing in ["subject_token", "subject_token_type"] {
        let mut form = vec![("grant_type", EXCHANGE), ("subject_token", &*key.secret), ("subject_token_type", API_KEY)];
        form.retain(|(name, _)| *name != missing);
        assert_eq!(error(&post(&server, "/oauth/token", Some(&client), &form).await).1, invalid, "{missing}");
    }
    // Whoever cannot prove who they are is not even registered for it.
    let public = json!({"client": {"name": "App", "type": "PUBLIC", "grantTypes": [EXCHANGE]}});
    let refused = server.call(Wire::Grpc, "Auth/CreateClient", &server.live(), public).await;
    refused.violates(&["client.grant_types"]);

    // What is bound to an audience stays so, and opens nothing here.
    assert_eq!(claims(bound)["aud"], json!([api]));
    let again = exchanged(&server, &client, bound, ACCESS_TOKEN, &[]).await;
    assert_eq!(claims(again["access_token"].as_str().unwrap())["aud"], json!([api]));
    for token in [&issued, &again] {
        assert_eq!(server.get("/v1/users", &bearer(token)).await.status, 401);
    }
    // Of an administrator's key, no more than the client is registered for.
    let admin = exchanged(&server, &client, &server.live().secret, API_KEY, &[]).await;
    assert_eq!(admin["scope"], "read:users write:users");
    // Not without end.
    let mut last = exchanged(&server, &client, &key.secret, API_KEY, &[]).await;
    let mut times = 1;
    let refused = loop {
        let reply = ask(&server, &client, last["access_token"].as_str().unwrap(), ACCESS_TOKEN, &[]).await;
        if reply.status != 200 {
            break reply;
        }
        (last, times) = (reply.json(), times + 1);
        assert_eq!(status(&server, &bearer(&last)).await, 200, "{times}");
        assert!(times < 10, "there is no end");
    };
    assert_eq!((error(&refused), times), ((400, invalid.to_owned()), 4));
    change(&server, "Keys/DeleteKey", json!({"id": key.id})).await;
    assert_eq!(status(&server, &bearer(&last)).await, 401, "the last of them too");
    let told = server.get("/.well-known/oauth-authorization-server", &Actor::anonymous()).await.json();
    assert!(told["grant_types_supported"].as_array().unwrap().contains(&json!(EXCHANGE)), "{told}");
    // In the place of others it works as here.
    let theirs = json!({"name": "Gateway", "grantTypes": [EXCHANGE], "scopes": ["read:users"]});
    let theirs = register_by(&server, &shop, theirs).await;
    exchanged(&server, &theirs, &of_shop.secret, API_KEY, &[]).await;
    assert_eq!(error(&ask(&server, &theirs, &key.secret, API_KEY, &[]).await).1, invalid);
}
