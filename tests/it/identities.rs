//! Users whom issuers outside tell of: `POST /users` and all that follows from it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::nodes::soon;
use crate::openapi::{Call, calls};
use crate::support::server::PUBLIC_URL;
use crate::support::{Actor, Reply, TestServer, Wire, leaks};

const ISSUER: &str = "https://id.example";
/// What the clock of the suite shows: 2030-01-01.
const NOW: i64 = 1_893_456_000;

/// An identity provider's key.
pub(crate) struct Provider {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Provider {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().expect("a key") }
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": encode(self.pair.public_key().as_ref())})
    }

    pub(crate) fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }

    fn header(&self) -> Value {
        json!({"alg": "EdDSA", "kid": self.kid, "typ": "JWT"})
    }

    fn sign(&self, header: &Value, payload: &[u8]) -> String {
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(payload));
        let token = format!("{signed}.{}", encode(self.pair.sign(signed.as_bytes()).as_ref()));
        leaks::remember(&token);
        token
    }

    fn token(&self, claims: &Value) -> String {
        self.sign(&self.header(), claims.to_string().as_bytes())
    }

    /// A good token of this subject.
    pub(crate) fn of(&self, subject: &str) -> String {
        self.token(&claims(subject))
    }
}

fn claims(subject: &str) -> Value {
    json!({"iss": ISSUER, "aud": "shop", "sub": subject, "iat": NOW, "exp": NOW + 3600})
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A shop that trusts a provider, and its publishable key.
struct Shop {
    server: TestServer,
    provider: Provider,
    key: Actor,
    issuer: String,
}

impl Shop {
    async fn new() -> Self {
        Self::on(TestServer::start().await).await
    }

    async fn on(server: TestServer) -> Self {
        let provider = Provider::new("one");
        let issuer = trust(&server, &server.live(), json!({"jwks": provider.jwks()})).await;
        let project =
            json!({"project": {"id": "default", "userScopes": ["read:products"]}, "updateMask": "userScopes"});
        server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), project).await.ok();
        let key = server.pk(&["read:products"]).await;
        Self { server, provider, key, issuer }
    }

    /// Whoever shows this token beside the publishable key.
    fn shows(&self, token: &str) -> Actor {
        Actor::bearer(token).with("x-builton-api-key", &self.key.secret)
    }

    async fn signs_in(&self, token: &str, body: &Value) -> Reply {
        self.server.post("/users", &self.shows(token), body).await
    }

    async fn user(&self, subject: &str) -> String {
        let reply = self.signs_in(&self.provider.of(subject), &json!({})).await.expect(200, "");
        reply.json()["id"].as_str().expect("an id").to_owned()
    }
}

pub(crate) async fn trust(server: &TestServer, admin: &Actor, more: Value) -> String {
    let mut issuer = json!({"issuer": ISSUER, "audiences": ["shop"]});
    issuer.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let made = server.call(Wire::Grpc, "Auth/CreateIssuer", admin, json!({"issuer": issuer})).await.ok();
    made["issuer"]["id"].as_str().expect("an id").to_owned()
}

async fn status(server: &TestServer, actor: &Actor) -> u16 {
    server.get("/users/me", actor).await.status
}

#[tokio::test]
async fn one_call_signs_up_and_in() {
    let shop = Shop::new().await;
    let (server, token) = (&shop.server, shop.provider.of("auth0|1"));
    let me = shop.shows(&token);
    server.get("/users/me", &me).await.expect(401, "NOT_FOUND");
    let body = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"});
    let made = shop.signs_in(&token, &body).await.expect(200, "").json();
    assert_eq!((&made["firstName"], &made["email"]), (&json!("Ada"), &json!("ada@example.com")));
    assert_eq!((&made["type"], &made["scopes"]), (&json!("HUMAN"), &json!(["read:products"])));
    // Again, in either spelling and on the other path; and with nothing to say.
    assert_eq!(shop.signs_in(&token, &body).await.expect(200, "").json(), made);
    let again = server.post("/v2/users", &me, &json!({"lastName": "King"})).await.expect(200, "").json();
    assert_eq!((&again["id"], &again["lastName"], &again["firstName"]), (&made["id"], &json!("King"), &json!("Ada")));
    let bare = server.request(Method::POST, "/v2/users", &me).header("content-type", "application/json");
    assert_eq!(server.send(bare).await.expect(200, "").json(), again);
    // Another token of the same subject is the same user, and another subject another.
    let mut later = claims("auth0|1");
    later["iat"] = json!(NOW - 10);
    assert_eq!(shop.signs_in(&shop.provider.token(&later), &json!({})).await.json()["id"], made["id"]);
    assert_ne!(shop.user("auth0|2").await, made["id"]);

    // The token is the user on every RPC and wire.
    assert_eq!(server.get("/users/me", &me).await.expect(200, "").json(), again);
    assert_eq!(server.get("/products", &me).await.expect(200, "").text, "[]");
    for wire in Wire::ALL {
        let who = server.call(wire, "Auth/WhoAmI", &me, json!({})).await.ok();
        assert_eq!((&who["userId"], &who["publishableKeyId"]), (&made["id"], &json!(shop.key.id)));
        assert_eq!((&who["scopes"], &who["expiresAt"]), (&json!(["read:products"]), &json!("2030-01-01T01:00:30Z")));
        server.call(wire, "Users/ListUsers", &me, json!({})).await.refused("INSUFFICIENT_SCOPE");
    }
    let put = server.request(Method::PUT, "/users/me", &me).json(&json!({"first_name": "Augusta"}));
    assert_eq!(server.send(put).await.expect(200, "").json()["firstName"], "Augusta");
    // A secret key names the project as well.
    let by_secret = Actor::bearer(&token).with("x-api-key", &server.key(&[]).await.secret);
    assert_eq!(server.get("/users/me", &by_secret).await.expect(200, "").json()["id"], made["id"]);

    // And for those who ask about it.
    for (n, asked) in [
        json!({"credential": token, "publishableKey": shop.key.secret, "scopes": ["read:products"]}),
        json!({"credential": token}),
    ]
    .into_iter()
    .enumerate()
    {
        let decision = server.call(Wire::ALL[n], "Auth/Verify", &server.live(), asked.clone()).await.ok();
        assert_eq!((&decision["valid"], &decision["userId"]), (&json!(true), &made["id"]), "{decision}");
        let elsewhere = server.call(Wire::Grpc, "Auth/Verify", &server.test(), asked).await.ok();
        assert_eq!(elsewhere["valid"], json!(false), "{elsewhere}");
    }
    let asked = json!({"credential": token, "scopes": ["write:users"]});
    let decision = server.call(Wire::Json, "Auth/Verify", &server.live(), asked).await.ok();
    assert_eq!(decision["code"], "INSUFFICIENT_SCOPE");
    // When the token is past its end, nobody is there.
    server.advance(Duration::from_secs(3600 + 30));
    server.get("/users/me", &me).await.expect(401, "NOT_FOUND");
    let explained = json!({"credential": token});
    let explained = server.call(Wire::Grpc, "Auth/ExplainVerify", &server.live(), explained).await.ok();
    assert_eq!(explained["decision"]["code"], "EXPIRED", "{explained}");
}

#[tokio::test]
async fn the_examples_of_the_document_hold() {
    let shop = Shop::new().await;
    let document = shop.server.get("/openapi.json", &Actor::anonymous()).await.expect(200, "").json();
    let caller = shop.shows(&shop.provider.of("1"));
    let calls: Vec<_> = calls(&document).into_iter().filter(Call::brings_a_user).collect();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let answer = call.send(&shop.server, &call.template, &caller).await;
        assert_eq!((&answer["status"], &answer["body"]["firstName"]), (&json!(200), &json!("Ada")), "{answer}");
        let operation = &document["paths"][&call.template]["post"];
        assert_eq!(operation["security"][0], json!({"bearer": [], "x-api-key": []}));
    }
}

#[tokio::test]
async fn what_the_issuer_tells_is_kept_of_new_users() {
    let shop = Shop::new().await;
    let told = |subject: &str, email: &str| {
        let mut claims = claims(subject);
        claims["email"] = json!(email);
        claims["given_name"] = json!("Grace");
        claims["family_name"] = json!("Hopper");
        shop.provider.token(&claims)
    };
    let made =
        shop.signs_in(&told("1", "grace@example.com"), &json!({"first_name": "G."})).await.expect(200, "").json();
    assert_eq!((&made["firstName"], &made["lastName"]), (&json!("G."), &json!("Hopper")));
    assert_eq!(made["email"], "grace@example.com");
    // What the issuer tells later changes nothing.
    let again = shop.signs_in(&told("1", "other@example.com"), &json!({})).await.expect(200, "").json();
    assert_eq!(again, made);
    // Another's address in a token links nobody and stops nobody.
    let other = shop.signs_in(&told("2", "GRACE@example.com"), &json!({})).await.expect(200, "").json();
    assert_ne!(other["id"], made["id"]);
    assert!(other.get("email").is_none_or(Value::is_null), "{other}");
}

#[tokio::test]
async fn nobody_is_taken_over_by_an_email_address() {
    let shop = Shop::new().await;
    let victim = json!({"user": {"email": "ada@example.com", "scopes": ["read:products"]}});
    let victim = shop.server.call(Wire::Grpc, "Users/CreateUser", &shop.server.live(), victim).await.ok();
    let token = shop.provider.of("mallory");
    for email in ["ada@example.com", "ADA@Example.COM"] {
        shop.signs_in(&token, &json!({"email": email})).await.expect(409, "ALREADY_EXISTS");
        shop.server.get("/users/me", &shop.shows(&token)).await.expect(401, "NOT_FOUND");
    }
    let made = shop.signs_in(&token, &json!({"email": "mallory@example.com"})).await.expect(200, "").json();
    assert_ne!(made["id"], victim["user"]["id"]);
    shop.signs_in(&token, &json!({"email": "ada@example.com"})).await.expect(409, "ALREADY_EXISTS");
    let read = json!({"id": victim["user"]["id"]});
    assert_eq!(shop.server.call(Wire::Grpc, "Users/GetUser", &shop.server.live(), read).await.ok(), victim);
    // Fields keep their rules.
    for (body, field) in [
        (json!({"email": "ada"}), "email"),
        (json!({"first_name": "x".repeat(101)}), "firstName"),
        (json!({"lastName": "a\u{202e}"}), "lastName"),
    ] {
        let refused = shop.signs_in(&token, &body).await.expect(400, "INVALID_FIELD").json();
        assert_eq!(refused["violations"][0]["field"], field);
    }
}

#[tokio::test]
async fn many_at_once_make_one_user() {
    let shop = Shop::new().await;
    let another = shop.server.another_node().await;
    let token = shop.provider.of("1");
    let body = json!({"first_name": "Ada", "email": "ada@example.com"});
    let calls = (0..16).map(|n| {
        let (server, actor, body) = (if n % 2 == 0 { &shop.server } else { &another }, shop.shows(&token), &body);
        async move { server.post("/users", &actor, body).await.expect(200, "").json()["id"].clone() }
    });
    let ids = futures_util::future::join_all(calls).await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let users = shop.server.call(Wire::Grpc, "Users/ListUsers", &shop.server.live(), json!({})).await.ok();
    assert_eq!(users["data"].as_array().expect("a list").len(), 1);
}

#[tokio::test]
async fn whoever_brings_no_such_token_is_told_so() {
    let shop = Shop::new().await;
    let (server, token) = (&shop.server, shop.provider.of("1"));
    let bare_key = Actor::anonymous().with("x-builton-api-key", &shop.key.secret);
    let secret = server.key(&["admin"]).await;
    for (actor, http, reason) in [
        (Actor::anonymous(), 401, "MISSING_CREDENTIAL"),
        (bare_key, 403, "CALLER_NOT_ALLOWED"),
        (secret.clone(), 403, "CALLER_NOT_ALLOWED"),
        (secret.clone().with("x-builton-api-key", &shop.key.secret), 403, "CALLER_NOT_ALLOWED"),
        (server.service_account(&[]).await, 403, "CALLER_NOT_ALLOWED"),
        (Actor::bearer(&token), 401, "NOT_FOUND"),
        (Actor::bearer(&token).with("x-api-key", "pk_live_nonsense"), 401, "NOT_FOUND"),
        (shop.shows(&token).with("x-api-key", &secret.secret), 400, "INVALID_REQUEST"),
    ] {
        for path in ["/users", "/v2/users"] {
            server.post(path, &actor, &json!({})).await.expect(http, reason);
        }
    }
    let users = server.call(Wire::Grpc, "Users/ListUsers", &server.live(), json!({"type": "HUMAN"})).await.ok();
    assert!(users["data"].as_array().is_none_or(Vec::is_empty), "{users}");
}

#[tokio::test]
async fn bad_tokens_are_refused_everywhere() {
    let shop = Shop::new().await;
    let (server, provider) = (&shop.server, &shop.provider);
    shop.user("1").await;
    let other = Provider::new("one");
    let with = |name: &str, value: Value| {
        let mut claims = claims("1");
        claims[name] = value;
        provider.token(&claims)
    };
    let without = |name: &str| {
        let mut claims = claims("1");
        claims.as_object_mut().expect("an object").remove(name);
        provider.token(&claims)
    };
    let under = |more: Value| {
        let mut header = provider.header();
        header.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        provider.sign(&header, claims("1").to_string().as_bytes())
    };
    let payload = encode(claims("1").to_string().as_bytes());
    let hs256 = |secret: &[u8]| {
        let header = encode(json!({"alg": "HS256", "kid": "one"}).to_string().as_bytes());
        let signed = format!("{header}.{payload}");
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), signed.as_bytes());
        format!("{signed}.{}", encode(tag.as_ref()))
    };
    let good = provider.of("1");
    let none = encode(br#"{"alg":"none"}"#);
    let twice = format!("{{\"sub\":\"2\",{}", &claims("1").to_string()[1..]);
    let cases = BTreeMap::from([
        ("unsigned", format!("{none}.{payload}.")),
        ("unsigned, with a signature", format!("{none}.{payload}.{}", good.rsplit_once('.').expect("three parts").1)),
        ("HS256 with the public key", hs256(provider.pair.public_key().as_ref())),
        ("HS256 with the key as JSON", hs256(provider.jwk().to_string().as_bytes())),
        ("an algorithm not listed", under(json!({"alg": "ES384"}))),
        ("the key of another", other.of("1")),
        (
            "its own key",
            other.sign(&json!({"alg": "EdDSA", "kid": "one", "jwk": other.jwk()}), claims("1").to_string().as_bytes()),
        ),
        ("an unknown key", under(json!({"kid": "two"}))),
        ("another audience", with("aud", json!("other"))),
        ("no audience", without("aud")),
        ("another issuer", with("iss", json!("https://id.example/"))),
        ("no issuer", without("iss")),
        ("our own name", with("iss", json!(PUBLIC_URL))),
        ("expired", with("exp", json!(NOW - 31))),
        ("no end", without("exp")),
        ("not yet valid", with("nbf", json!(NOW + 31))),
        ("from the future", with("iat", json!(NOW + 31))),
        ("no subject", without("sub")),
        ("an empty subject", with("sub", json!(""))),
        ("a subject with a line break", with("sub", json!("1\n"))),
        ("a duplicated member", provider.sign(&provider.header(), twice.as_bytes())),
        ("crit", under(json!({"crit": ["exp"]}))),
        ("nested", under(json!({"cty": "JWT"}))),
        ("a logout token", under(json!({"typ": "logout+jwt"}))),
        ("encrypted", format!("{}.a.b.c.d", encode(br#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#))),
        ("huge", with("padding", json!("x".repeat(6_000)))),
        ("cut", good[..good.len() - 2].to_owned()),
        ("changed", format!("{good}A")),
    ]);
    for (n, (case, token)) in cases.into_iter().enumerate() {
        let actor = shop.shows(&token);
        server.post("/users", &actor, &json!({})).await.expect(401, "NOT_FOUND");
        server.get("/users/me", &actor).await.expect(401, "NOT_FOUND");
        let answer = server.call(Wire::ALL[n % 4], "Auth/WhoAmI", &actor, json!({})).await;
        assert_eq!(
            (answer.reason.as_str(), answer.message.as_str()),
            ("NOT_FOUND", "Invalid or missing API key"),
            "{case}"
        );
        let asked = json!({"credential": token, "publishableKey": shop.key.secret});
        let decision = server.call(Wire::Grpc, "Auth/Verify", &server.live(), asked).await.ok();
        assert!(decision["valid"] == json!(false), "{case}: {decision}");
    }
    server.get("/users/me", &shop.shows(&good)).await.expect(200, "");
}

#[tokio::test]
async fn issuers_are_believed_where_they_are_trusted() {
    let shop = Shop::new().await;
    let (server, token) = (&shop.server, shop.provider.of("1"));
    let live = shop.user("1").await;
    let elsewhere = server.project("elsewhere").await;
    for admin in elsewhere.iter().chain([&server.test()]) {
        let key = server.new_key_by(admin, json!({"type": "PK", "name": "pk"})).await;
        let there = Actor::bearer(&token).with("x-builton-api-key", &key.secret);
        server.post("/users", &there, &json!({})).await.expect(401, "NOT_FOUND");
        server.get("/users/me", &there).await.expect(401, "NOT_FOUND");
        // Where it is trusted as well, the subject is another user.
        let provider = Provider::new("theirs");
        trust(server, admin, json!({"jwks": provider.jwks()})).await;
        server.post("/users", &there, &json!({})).await.expect(401, "NOT_FOUND");
        let theirs = Actor::bearer(&provider.of("1")).with("x-builton-api-key", &key.secret);
        let user = server.post("/users", &theirs, &json!({})).await.expect(200, "").json();
        assert_ne!(user["id"], live);
        let here = shop.shows(&provider.of("1"));
        server.get("/users/me", &here).await.expect(401, "NOT_FOUND");
    }
}

#[tokio::test]
async fn what_happens_to_users_holds_for_their_tokens_on_all_nodes() {
    let shop = Shop::new().await;
    let (one, two) = (&shop.server, shop.server.another_node().await);
    let token = shop.provider.of("1");
    let me = shop.shows(&token);
    let id = shop.user("1").await;
    let govern = async |rpc: &str| one.call(Wire::Grpc, rpc, &one.live(), json!({"id": id})).await.ok();
    assert_eq!((status(one, &me).await, status(&two, &me).await), (200, 200));
    govern("Users/BlockUser").await;
    assert_eq!(status(one, &me).await, 403);
    shop.signs_in(&token, &json!({})).await.expect(403, "SUSPENDED");
    soon("the other node refuses", async || status(&two, &me).await == 403).await;
    govern("Users/UnblockUser").await;
    assert_eq!(status(one, &me).await, 200);
    soon("the other node lets them in", async || status(&two, &me).await == 200).await;
    let change = json!({"user": {"id": id, "scopes": []}, "updateMask": "scopes"});
    one.call(Wire::Grpc, "Users/UpdateUser", &one.live(), change).await.ok();
    let scopes =
        async |node: &TestServer| node.call(Wire::Grpc, "Auth/WhoAmI", &me, json!({})).await.ok()["scopes"].clone();
    let none = |scopes: Value| scopes.as_array().is_none_or(Vec::is_empty);
    assert!(none(scopes(one).await));
    soon("the other node takes the scopes away", async || none(scopes(&two).await)).await;
    govern("Users/DeleteUser").await;
    assert_eq!(status(one, &me).await, 401);
    soon("the other node refuses", async || status(&two, &me).await == 401).await;
    // Whoever was deleted begins anew, and the other node learns of it.
    assert_eq!(status(&two, &me).await, 401);
    assert_ne!(shop.user("1").await, id);
    soon("the other node knows the new user", async || status(&two, &me).await == 200).await;
}

#[tokio::test]
async fn what_happens_to_issuers_holds_for_their_tokens_on_all_nodes() {
    let shop = Shop::new().await;
    let (one, two) = (&shop.server, shop.server.another_node().await);
    let me = shop.shows(&shop.provider.of("1"));
    let id = shop.user("1").await;
    let change = async |rpc: &str, request: Value| one.call(Wire::Grpc, rpc, &one.live(), request).await.ok();
    assert_eq!((status(one, &me).await, status(&two, &me).await), (200, 200));
    let audiences =
        |audience: &str| json!({"issuer": {"id": shop.issuer, "audiences": [audience]}, "updateMask": "audiences"});
    for (audience, wanted) in [("other", 401), ("shop", 200)] {
        change("Auth/UpdateIssuer", audiences(audience)).await;
        assert_eq!(status(one, &me).await, wanted);
        soon("the other node follows", async || status(&two, &me).await == wanted).await;
    }
    let keys = json!({"issuer": {"id": shop.issuer, "jwks": Provider::new("one").jwks()}, "updateMask": "jwks"});
    change("Auth/UpdateIssuer", keys).await;
    assert_eq!(status(one, &me).await, 401, "the keys are others");
    change("Auth/DeleteIssuer", json!({"id": shop.issuer})).await;
    assert_eq!(status(one, &me).await, 401);
    soon("the other node refuses", async || status(&two, &me).await == 401).await;
    // Its users are found again.
    trust(one, &one.live(), json!({"jwks": shop.provider.jwks()})).await;
    assert_eq!(status(one, &me).await, 200);
    assert_eq!(shop.user("1").await, id);
    soon("the other node lets them in", async || status(&two, &me).await == 200).await;
}

/// A host that publishes keys over HTTP on this machine.
struct Host {
    url: String,
    answer: Arc<Mutex<String>>,
    calls: Arc<AtomicUsize>,
}

impl Host {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (answer, calls) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
        let shared = (Arc::clone(&answer), Arc::clone(&calls), url.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                shared.1.fetch_add(1, SeqCst);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = socket.read_u8().await else { break };
                    head.push(byte);
                }
                let keys = shared.0.lock().expect("a lock").clone();
                let described = String::from_utf8_lossy(&head).contains("openid-configuration");
                let url = &shared.2;
                let body = if described {
                    json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string()
                } else {
                    keys
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        Self { url, answer, calls }
    }

    fn publish(&self, provider: &Provider) {
        *self.answer.lock().expect("a lock") = provider.jwks();
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

#[tokio::test]
async fn keys_are_fetched_where_the_issuer_publishes_them() {
    let host = Host::start().await;
    let shop = Shop::on(TestServer::builder().set("issuer_private_addresses", "127.0.0.0/8").start().await).await;
    let (server, provider, next) = (&shop.server, Provider::new("first"), Provider::new("next"));
    host.publish(&provider);
    // By the description of the issuer, whose name is its address here.
    trust(server, &server.live(), json!({"issuer": host.url})).await;
    let token = |provider: &Provider| {
        let mut claims = claims("1");
        claims["iss"] = json!(host.url);
        provider.token(&claims)
    };
    let id = shop.signs_in(&token(&provider), &json!({})).await.expect(200, "").json()["id"].clone();
    assert_eq!(host.calls(), 2, "the description and the keys");
    let me = shop.shows(&token(&provider));
    for _ in 0..20 {
        assert_eq!(server.get("/users/me", &me).await.expect(200, "").json()["id"], id);
    }
    assert_eq!(host.calls(), 2);
    // The issuer goes over to another key.
    host.publish(&next);
    server.advance(Duration::from_secs(30));
    assert_eq!(shop.signs_in(&token(&next), &json!({})).await.expect(200, "").json()["id"], id);
    assert_eq!(host.calls(), 4);
}

#[tokio::test]
async fn keys_are_not_fetched_from_private_addresses_unless_configured() {
    let host = Host::start().await;
    let shop = Shop::new().await;
    let (server, provider) = (&shop.server, Provider::new("first"));
    host.publish(&provider);
    trust(server, &server.live(), json!({"issuer": "inside", "jwksUri": format!("{}/keys", host.url)})).await;
    let mut claims = claims("1");
    claims["iss"] = json!("inside");
    let token = provider.token(&claims);
    let refused = shop.signs_in(&token, &json!({})).await.expect(503, "ISSUER_UNAVAILABLE");
    assert!(!refused.header("retry-after").is_empty() && !refused.text.contains("127.0.0.1"), "{refused:?}");
    server.get("/users/me", &shop.shows(&token)).await.expect(503, "ISSUER_UNAVAILABLE");
    let asked = json!({"credential": token});
    let decision = server.call(Wire::Grpc, "Auth/Verify", &server.live(), asked).await.ok();
    assert_eq!(decision["code"], "STORE_UNAVAILABLE", "nothing was decided");
    assert_eq!(host.calls(), 0);
}
