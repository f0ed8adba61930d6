//! Reports of leaked credentials: by operators on all wires, signed by others, and from GitHub.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gatepost::domain::environment::Environment;
use gatepost::domain::test_keys::TEST_KEYS;
use http::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::oauth::{code, exchange, post, register, web_client};
use crate::support::command::Gatepost;
use crate::support::{Actor, Reply, TestServer, Wire, leaks};

/// What reports are signed with here.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_SECRET: &str = "whsec_D2FVsBQIhrscChlQIMV+b5sSYspob7oD";

async fn set_policy(server: &TestServer, policy: &str) {
    let change = json!({"project": {"id": "default", "leakPolicy": policy}, "updateMask": "leakPolicy"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), change).await.ok();
}

async fn report(server: &TestServer, wire: Wire, credential: &str, url: &str) -> crate::support::Answer {
    let request = json!({"credential": credential, "source": "chat", "url": url});
    server.call(wire, "Keys/ReportLeak", &server.live(), request).await
}

async fn decision(server: &TestServer, credential: &str) -> String {
    let told = server.call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": credential})).await.ok();
    told["code"].as_str().unwrap().to_owned()
}

async fn listed(server: &TestServer, actor: &Actor) -> Vec<Value> {
    let answer = server.call(Wire::Json, "Keys/ListLeakReports", actor, json!({"pageSize": 1000})).await.ok();
    answer["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn what_leaked_is_dealt_with_as_the_project_says() {
    let server = TestServer::start().await;
    for (wire, (policy, action, code)) in Wire::ALL.into_iter().zip([
        ("REVOKE", "REVOKED", "REVOKED"),
        ("SUSPEND", "SUSPENDED", "SUSPENDED"),
        ("ALERT", "ALERTED", "VALID"),
        ("LEAK_POLICY_UNSPECIFIED", "SUSPENDED", "SUSPENDED"),
    ]) {
        set_policy(&server, policy).await;
        let keys =
            [server.key(&["read:products"]).await, server.rk(&["read:products"]).await, server.key(&["admin"]).await];
        for key in &keys {
            let told = report(&server, wire, &key.secret, "https://a.example").await.ok()["report"].clone();
            assert_eq!((&told["action"], &told["credentialId"]), (&json!(action), &json!(key.id)), "{policy}");
            assert_eq!((&told["source"], &told["environment"]), (&json!("chat"), &json!("LIVE")), "{told}");
            assert!(told["hint"].as_str().unwrap().ends_with(&key.secret[key.secret.len() - 4..]), "{told}");
            assert_eq!(decision(&server, &key.secret).await, code, "{policy}");
            // Once more, whoever says so and on whichever wire.
            for again in Wire::ALL {
                let again = report(&server, again, &key.secret, "https://a.example").await.ok()["report"].clone();
                assert_eq!(again, told, "the same answer");
            }
        }
        // The old secret of a rotation ends, and the key goes on.
        let key = server.key(&["read:products"]).await;
        let rotate = json!({"id": key.id, "gracePeriod": "3600s"});
        let rotated = server.call(Wire::Grpc, "Keys/RotateKey", &server.live(), rotate).await.ok();
        let new = rotated["secret"].as_str().unwrap();
        leaks::remember(new);
        let told = report(&server, wire, &key.secret, "https://a.example").await.ok();
        let (wanted, code) = if policy == "ALERT" { ("ALERTED", "VALID") } else { ("SECRET_ENDED", "EXPIRED") };
        assert_eq!(told["report"]["action"], wanted);
        assert_eq!((decision(&server, &key.secret).await, decision(&server, new).await), (code.into(), "VALID".into()));
        // Then the new one leaks at the same place: that is another secret.
        let told = report(&server, wire, new, "https://a.example").await.ok();
        assert_eq!(told["report"]["action"], action);

        let publishable = server.pk(&["read:products"]).await;
        assert_eq!(report(&server, wire, &publishable.secret, "").await.ok()["report"]["action"], "PUBLIC");
        assert_eq!(decision(&server, &publishable.secret).await, "VALID");
    }
    let events =
        server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), json!({"action": "key.leaked"})).await.ok();
    let events = events["data"].as_array().unwrap();
    assert_eq!(events.len(), 4 * 6, "each once");
    let suspended = events.iter().find(|event| event["after"].as_str().unwrap().contains("\"SUSPENDED\"")).unwrap();
    assert_eq!(suspended["actor"], server.live().id);
    let after: Value = serde_json::from_str(suspended["after"].as_str().unwrap()).unwrap();
    assert!(after["suspendedAt"].is_string() && after["leak"]["url"] == "https://a.example", "{after}");
}

#[tokio::test]
async fn tokens_sessions_and_secrets_of_clients_are_known_too() {
    let server = TestServer::start().await;
    for format in ["JWT", "OPAQUE"] {
        let client = json!({"name": "Job", "grantTypes": ["client_credentials"], "scopes": ["read:users"], "accessTokenFormat": format});
        let client = register(&server, client).await;
        let issue = async || {
            let form = [("grant_type", "client_credentials")];
            let issued = post(&server, "/oauth/token", Some(&client), &form).await.expect(200, "").json();
            issued["access_token"].as_str().unwrap().to_owned()
        };
        let (leaked, other) = (issue().await, issue().await);
        let told = report(&server, Wire::Json, &leaked, "https://a.example").await.ok()["report"].clone();
        assert_eq!((&told["action"], &told["type"]), (&json!("TOKEN_ENDED"), &json!("access_token")), "{told}");
        assert_eq!(
            (decision(&server, &leaked).await, decision(&server, &other).await),
            ("REVOKED".into(), "VALID".into())
        );
        // Its owner has to put another in its place: it goes on.
        let told = report(&server, Wire::Grpc, &client.secret, "").await.ok()["report"].clone();
        assert_eq!((&told["action"], &told["credentialId"]), (&json!("ALERTED"), &json!(client.id)));
        issue().await;
    }
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    for which in ["access_token", "refresh_token"] {
        let code = code(&server, &client).await;
        let issued = post(&server, "/oauth/token", Some(&client), &exchange(&code)).await.expect(200, "").json();
        let told = report(&server, Wire::Grpc, issued[which].as_str().unwrap(), "").await.ok();
        assert_eq!(told["report"]["action"], "TOKEN_ENDED", "{which}");
        assert_eq!(decision(&server, issued["access_token"].as_str().unwrap()).await, "REVOKED", "the whole grant");
        let form = [("grant_type", "refresh_token"), ("refresh_token", issued["refresh_token"].as_str().unwrap())];
        assert_eq!(post(&server, "/oauth/token", Some(&client), &form).await.status, 400);
    }
    let session = server.sign_in(&server.live(), "ada").await;
    let told = report(&server, Wire::Json, &session.secret, "").await.ok()["report"].clone();
    assert_eq!((&told["action"], &told["type"]), (&json!("TOKEN_ENDED"), &json!("session_token")));
    assert_eq!(decision(&server, &session.secret).await, "REVOKED");
}

#[tokio::test]
async fn nobody_reports_what_is_not_of_their_project_and_environment() {
    let server = TestServer::start().await;
    let key = server.key(&["read:products"]).await;
    let (shop, trial) = (server.other_project("shop", Environment::Live).await, server.test());
    let by = async |actor: &Actor, wire, credential: &str| {
        server.call(wire, "Keys/ReportLeak", actor, json!({"credential": credential, "url": "https://a.example"})).await
    };
    let last = if key.secret.ends_with('a') { 'b' } else { 'a' };
    let wrong_checksum = format!("{}{last}", &key.secret[..key.secret.len() - 1]);
    for wire in Wire::ALL {
        by(&shop, wire, &key.secret).await.refused("RESOURCE_NOT_FOUND");
        by(&trial, wire, &key.secret).await.refused("ENV_MISMATCH");
        by(&server.live(), wire, &Actor::stranger("sk", Environment::Live).secret).await.refused("RESOURCE_NOT_FOUND");
        by(&server.live(), wire, TEST_KEYS[0].secret).await.refused("RESOURCE_NOT_FOUND");
        for junk in ["", "junk", &wrong_checksum, &"x".repeat(9_000)] {
            by(&server.live(), wire, junk).await.violates(&["credential"]);
        }
        let long = json!({"credential": key.secret, "url": "u".repeat(501), "source": "s".repeat(65)});
        server.call(wire, "Keys/ReportLeak", &server.live(), long).await.violates(&["source", "url"]);
    }
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    assert_eq!(listed(&server, &server.live()).await, Vec::<Value>::new());
    // What stands in the address of a place is not kept.
    let url = format!("https://a.example/?q={}", key.secret);
    let told = report(&server, Wire::Json, &key.secret, &url).await.ok();
    assert_eq!(told["report"]["url"], format!("https://a.example/?q={}", told["report"]["hint"].as_str().unwrap()));
    for (actor, reports) in [(&server.live(), 1), (&trial, 0), (&shop, 0)] {
        assert_eq!(listed(&server, actor).await.len(), reports);
    }
}

#[tokio::test]
async fn a_key_that_was_resumed_is_held_again_for_another_place_only() {
    let server = TestServer::start().await;
    let key = server.key(&["read:products"]).await;
    let resume = async || server.call(Wire::Grpc, "Keys/ResumeKey", &server.live(), json!({"id": key.id})).await.ok();
    report(&server, Wire::Grpc, &key.secret, "https://a.example/1").await.ok();
    resume().await;
    report(&server, Wire::Grpc, &key.secret, "https://a.example/1").await.ok();
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    server.advance(Duration::from_secs(1));
    report(&server, Wire::Grpc, &key.secret, "https://a.example/2").await.ok();
    assert_eq!(decision(&server, &key.secret).await, "SUSPENDED");
    // On every node, and at the door.
    let other = server.another_node().await;
    other.get("/v1/products", &key).await.expect(403, "SUSPENDED");
    let filtered = json!({"credentialId": key.id, "limit": 1, "page": 2});
    let page = server.call(Wire::Json, "Keys/ListLeakReports", &server.live(), filtered).await.ok();
    assert_eq!((&page["pagination"]["total"], &page["data"][0]["url"]), (&json!(2), &json!("https://a.example/1")));
}

#[tokio::test]
async fn the_command_line_reports_and_lists() {
    let server = TestServer::start().await;
    let key = server.key(&["read:products"]).await;
    let admin = |line: &str| Gatepost::new(line).calls(&server, &server.live().secret);
    let run =
        admin("leaks report - --found-at https://a.example/1 --json").input(&format!("{}\n", key.secret)).run().await;
    let told = run.json();
    assert_eq!(
        (&told["credentialId"], &told["action"], &told["source"]),
        (&json!(key.id), &json!("SUSPENDED"), &json!("operator"))
    );
    let again = admin("leaks report --found-at https://a.example/1 -q")
        .variable("GATEPOST_CREDENTIAL", &key.secret)
        .run()
        .await;
    assert_eq!(again.ok(), "SUSPENDED");
    let table = admin("leaks list").run().await.ok();
    assert!(table.contains(&key.id) && table.contains("https://a.example/1") && table.contains("SUSPENDED"), "{table}");
    assert_eq!(leaks::find_secret(table.as_bytes()), None);
    let refused = admin("leaks report").and(&key.secret).run().await;
    refused.fails_with(2);
    admin("leaks report -").input("sk_live_x\n").run().await.fails_with(1);
    admin("projects update default --leak-policy alert").run().await.ok();
    assert!(admin("projects show default").run().await.ok().contains("alert"));
}

/// A body with its headers.
#[derive(Clone)]
struct Signed {
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Signed {
    fn new(server: &TestServer, body: &Value) -> Self {
        Self::with(server, SECRET, 0, &body.to_string())
    }

    /// Signed with this secret, so many seconds from now.
    fn with(server: &TestServer, secret: &str, later: i64, body: &str) -> Self {
        let at = server.now().millis() / 1_000 + later;
        let signature = Webhook::new(secret).unwrap().sign("msg_1", at, body.as_bytes()).unwrap();
        let headers = vec![
            ("webhook-id", "msg_1".to_owned()),
            ("webhook-timestamp", at.to_string()),
            ("webhook-signature", signature),
            ("content-type", "application/json".to_owned()),
        ];
        Self { headers, body: body.to_owned() }
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        if !value.is_empty() {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    async fn send(&self, server: &TestServer, path: &str) -> Reply {
        let mut request = server.request(Method::POST, path, &Actor::anonymous()).body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        server.send(request).await
    }
}

fn one(credential: &str) -> Value {
    json!({"reports": [{"credential": credential, "source": "paste", "url": "https://paste.example/1"}]})
}

async fn taking_signed() -> TestServer {
    let secrets = format!("{OTHER_SECRET},{SECRET}");
    TestServer::builder().set("leak_report_secret", secrets).start().await
}

#[tokio::test]
async fn signed_reports_of_any_project_are_taken() {
    let server = taking_signed().await;
    let key = server.key(&["read:products"]).await;
    let shop = server.other_project("shop", Environment::Test).await;
    let (public, stranger) = (server.pk(&[]).await, Actor::stranger("sk", Environment::Live));
    let reports: Vec<_> =
        [&key, &shop, &public, &stranger].map(|actor| one(&actor.secret)["reports"][0].clone()).into();
    let sent = Signed::new(&server, &json!({ "reports": reports }));
    let answer = sent.send(&server, "/v1/leaks").await.expect(200, "");
    let taken = |label: &str, action: Value| json!({"label": label, "action": action});
    let wanted = json!({"results": [
        taken("true_positive", json!("SUSPENDED")),
        taken("true_positive", json!("SUSPENDED")),
        taken("false_positive", json!("PUBLIC")),
        taken("false_positive", Value::Null),
    ]});
    assert_eq!(answer.json(), wanted);
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    assert_eq!(decision(&server, &key.secret).await, "SUSPENDED");
    let told = listed(&server, &server.live()).await;
    assert_eq!(
        (told.len(), &told[1]["reporter"], &told[1]["url"]),
        (2, &json!("leak-reporter"), &json!("https://paste.example/1"))
    );
    let filter = json!({"actor": "leak-reporter"});
    let events = server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), filter).await.ok();
    assert_eq!(events["data"].as_array().unwrap().len(), 2);
    assert_eq!(events["data"][1]["clientIp"], "127.0.0.1");
    // Sent once more, as it was, it does nothing.
    server.call(Wire::Grpc, "Keys/ResumeKey", &server.live(), json!({"id": key.id})).await.ok();
    assert_eq!(sent.send(&server, "/v1/leaks").await.expect(200, "").json(), wanted);
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    // The other secret is good too, whatever stands beside its signature.
    let other = Signed::with(&server, OTHER_SECRET, 299, &one(&key.secret).to_string());
    let signature = other.headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap().1.clone();
    let other = other.set("webhook-signature", &format!("v1a,xyz v1,AAAA {signature}"));
    other.send(&server, "/v1/leaks").await.expect(200, "");
    Signed::new(&server, &json!({"reports": []})).send(&server, "/v1/leaks").await.expect(200, "");
}

#[tokio::test]
async fn what_is_not_signed_well_is_refused_and_does_nothing() {
    let server = taking_signed().await;
    let key = server.key(&["read:products"]).await;
    let good = || Signed::new(&server, &one(&key.secret));
    let at = |later| Signed::with(&server, SECRET, later, &one(&key.secret).to_string());
    let text = |body: &str| Signed::with(&server, SECRET, 0, body);
    let many = json!({"reports": vec![one(&key.secret)["reports"][0].clone(); 1_001]});
    let signature = |of: &Signed| of.headers.iter().find(|(name, _)| *name == "webhook-signature").unwrap().1.clone();
    let stranger = Signed::with(&server, "whsec_E2FVsBQIhrscChlQIMV+b5sSYspob7oD", 0, &one(&key.secret).to_string());
    let cases = [
        ("no id", good().set("webhook-id", ""), 400, "INVALID_REQUEST"),
        ("no time", good().set("webhook-timestamp", ""), 400, "INVALID_REQUEST"),
        ("no signature", good().set("webhook-signature", ""), 400, "INVALID_REQUEST"),
        ("another id", good().set("webhook-id", "msg_2"), 403, "CALLER_NOT_ALLOWED"),
        ("too old", at(-301), 400, "INVALID_REQUEST"),
        ("too new", at(301), 400, "INVALID_REQUEST"),
        (
            "another time",
            good().set("webhook-timestamp", &(server.now().millis() / 1_000 + 1).to_string()),
            403,
            "CALLER_NOT_ALLOWED",
        ),
        ("no number", good().set("webhook-timestamp", "now"), 400, "INVALID_REQUEST"),
        ("another secret", stranger, 403, "CALLER_NOT_ALLOWED"),
        (
            "another version",
            good().set("webhook-signature", &signature(&good()).replace("v1,", "v2,")),
            403,
            "CALLER_NOT_ALLOWED",
        ),
        ("a cut signature", good().set("webhook-signature", &signature(&good())[..20]), 403, "CALLER_NOT_ALLOWED"),
        ("an empty signature", good().set("webhook-signature", "v1,"), 403, "CALLER_NOT_ALLOWED"),
        ("a changed body", Signed { body: format!("{} ", good().body), ..good() }, 403, "CALLER_NOT_ALLOWED"),
        ("a cut body", Signed { body: good().body[..20].to_owned(), ..good() }, 403, "CALLER_NOT_ALLOWED"),
        ("no JSON", text("{"), 400, "INVALID_REQUEST"),
        ("another form", text("[]"), 400, "INVALID_REQUEST"),
        ("no credential", text("{\"reports\":[{}]}"), 400, "INVALID_REQUEST"),
        ("deep", text(&"[".repeat(100_000)), 400, "INVALID_REQUEST"),
        ("many", text(&many.to_string()), 413, "PAYLOAD_TOO_LARGE"),
        ("huge", text(&format!("{}{}", one(&key.secret), " ".repeat(1024 * 1024))), 413, "PAYLOAD_TOO_LARGE"),
        ("a form", good().set("content-type", "application/x-www-form-urlencoded"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("no type", good().set("content-type", ""), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("compressed", good().set("content-encoding", "gzip"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ];
    for (case, sent, status, code) in cases {
        let reply = sent.send(&server, "/v1/leaks").await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{case}: {reply:?}");
        assert_eq!(reply.header("content-type"), "application/problem+json", "{case}");
    }
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    assert_eq!(listed(&server, &server.live()).await, Vec::<Value>::new());
    let get = server.get("/v1/leaks", &Actor::anonymous()).await.expect(405, "METHOD_NOT_ALLOWED");
    assert_eq!(get.header("allow"), "POST");

    // Where nothing is configured, there is nothing.
    let plain = TestServer::start().await;
    for path in ["/v1/leaks", "/v1/leaks/github", "/v1/leaks/other"] {
        Signed::new(&plain, &one("x")).send(&plain, path).await.expect(404, "UNKNOWN_METHOD");
    }
    good().send(&server, "/v1/leaks/github").await.expect(404, "UNKNOWN_METHOD");
    let proxied = TestServer::builder().behind_proxies(1).set("leak_report_secret", SECRET).start().await;
    Signed::new(&proxied, &one("x")).send(&proxied, "/v1/leaks").await.expect(403, "HTTPS_REQUIRED");
}

/// The store is asked nothing for what is no credential by its checksum; and what was forged keeps nothing real from being heard
/// of.
#[tokio::test]
async fn junk_costs_the_store_nothing_and_forged_keys_hide_no_real_one() {
    let server = taking_signed().await;
    let key = server.key(&["read:products"]).await;
    let last = if key.secret.ends_with('a') { 'b' } else { 'a' };
    let junk = [format!("{}{last}", &key.secret[..key.secret.len() - 1]), "junk".to_owned(), "x".repeat(10_000)];
    let reports: Vec<_> = junk.iter().map(|junk| one(junk)["reports"][0].clone()).collect();
    server.execute_sql("ALTER TABLE key_secrets RENAME TO key_secrets_away").await;
    let answer = Signed::new(&server, &json!({ "reports": reports })).send(&server, "/v1/leaks").await.expect(200, "");
    assert_eq!(answer.json()["results"], json!(vec![json!({"label": "false_positive", "action": null}); 3]));
    let stranger = || Actor::stranger("sk", Environment::Live).secret;
    Signed::new(&server, &one(&stranger())).send(&server, "/v1/leaks").await.expect(500, "INTERNAL");
    server.execute_sql("ALTER TABLE key_secrets_away RENAME TO key_secrets").await;

    // More than an address that nobody knows may ask about.
    let forged = std::iter::repeat_with(stranger).take(900);
    let reports: Vec<_> = forged.chain([key.secret]).map(|secret| one(&secret)["reports"][0].clone()).collect();
    let answer = Signed::new(&server, &json!({ "reports": reports })).send(&server, "/v1/leaks").await.expect(200, "");
    assert_eq!(answer.json()["results"][899]["label"], "false_positive");
    assert_eq!(answer.json()["results"][900]["action"], "SUSPENDED");
}

/// What GitHub is here: a place that publishes keys, and counts how often it is asked.
struct GitHub {
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl GitHub {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/meta/public_keys/secret_scanning", listener.local_addr().unwrap());
        let (keys, asked): (Arc<Mutex<Vec<Value>>>, Arc<AtomicUsize>) = Default::default();
        let (published, counted) = (Arc::clone(&keys), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = socket.read_u8().await else { break };
                    head.push(byte);
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let body = json!({"public_keys": *published.lock().unwrap()}).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        Self { url, keys, asked }
    }

    /// Publishes one more key.
    fn publish(&self, identifier: &str, current: bool) -> EcdsaKeyPair {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let lines = BASE64_STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = lines.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        self.keys.lock().unwrap().push(json!({"key_identifier": identifier, "key": pem, "is_current": current}));
        key
    }

    async fn server(&self) -> TestServer {
        let builder =
            TestServer::builder().set("github_leak_reports", "true").set("github_leak_keys_url", self.url.clone());
        builder.set("issuer_private_addresses", "127.0.0.0/8").start().await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn from_github(identifier: &str, key: &EcdsaKeyPair, body: &str) -> Signed {
    let signature = key.sign(&SystemRandom::new(), body.as_bytes()).unwrap();
    let headers = vec![
        ("github-public-key-identifier", identifier.to_owned()),
        ("github-public-key-signature", BASE64_STANDARD.encode(signature.as_ref())),
        ("content-type", "application/json".to_owned()),
    ];
    Signed { headers, body: body.to_owned() }
}

fn found(tokens: &[&str]) -> String {
    let one = |token: &&str| json!({"token": token, "type": "gatepost_key", "url": "https://github.com/octocat/x/blob/1/a.txt", "source": "content"});
    Value::from_iter(tokens.iter().map(one)).to_string()
}

const GITHUB: &str = "/v1/leaks/github";

#[tokio::test]
async fn reports_of_github_are_taken_and_answered_as_it_wants() {
    let github = GitHub::start().await;
    let signer = github.publish("one", true);
    let server = github.server().await;
    let key = server.key(&["read:products"]).await;
    let (public, stranger) = (server.pk(&[]).await, Actor::stranger("sk", Environment::Live));
    let body = found(&[&key.secret, &public.secret, &stranger.secret, "junk"]);
    let sent = from_github("one", &signer, &body);
    let answer = sent.send(&server, GITHUB).await.expect(200, "").json();
    let hash = |text: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let told =
        |token: &str, label: &str| json!({"token_hash": hash(token), "token_type": "gatepost_key", "label": label});
    assert_eq!(
        answer,
        json!([
            told(&key.secret, "true_positive"),
            told(&public.secret, "false_positive"),
            told(&stranger.secret, "false_positive"),
            told("junk", "false_positive"),
        ])
    );
    assert_eq!(decision(&server, &key.secret).await, "SUSPENDED");
    let reports = listed(&server, &server.live()).await;
    assert_eq!((reports.len(), &reports[1]["reporter"]), (2, &json!("github-secret-scanning")));
    assert_eq!(sent.send(&server, GITHUB).await.expect(200, "").json(), answer, "once more, it is the same");
    assert_eq!(listed(&server, &server.live()).await, reports);
    assert_eq!(from_github("one", &signer, "[]").send(&server, GITHUB).await.expect(200, "").json(), json!([]));
    assert_eq!(github.asked(), 1, "the keys are kept");
}

#[tokio::test]
async fn what_github_has_not_signed_is_refused() {
    let github = GitHub::start().await;
    let (signer, past) = (github.publish("one", true), github.publish("past", false));
    let server = github.server().await;
    let key = server.key(&["read:products"]).await;
    let body = found(&[&key.secret]);
    let good = || from_github("one", &signer, &body);
    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let signature = good().headers[1].1.clone();
    let long = found(&vec!["x"; 1_001]);
    for (case, sent, status, code) in [
        ("no identifier", good().set("github-public-key-identifier", ""), 400, "INVALID_REQUEST"),
        ("no signature", good().set("github-public-key-signature", ""), 400, "INVALID_REQUEST"),
        ("no base64", good().set("github-public-key-signature", "%%%"), 400, "INVALID_REQUEST"),
        ("a long signature", good().set("github-public-key-signature", &"A".repeat(200)), 400, "INVALID_REQUEST"),
        ("no DER", good().set("github-public-key-signature", "AAAA"), 403, "CALLER_NOT_ALLOWED"),
        ("an unknown key", good().set("github-public-key-identifier", "two"), 403, "CALLER_NOT_ALLOWED"),
        ("a key of the past", from_github("past", &past, &body), 403, "CALLER_NOT_ALLOWED"),
        ("another key", from_github("one", &other, &body), 403, "CALLER_NOT_ALLOWED"),
        ("a changed body", Signed { body: format!(" {body}"), ..good() }, 403, "CALLER_NOT_ALLOWED"),
        ("a cut body", Signed { body: body[..body.len() - 1].to_owned(), ..good() }, 403, "CALLER_NOT_ALLOWED"),
        ("another form", from_github("one", &signer, "{}"), 400, "INVALID_REQUEST"),
        ("no token", from_github("one", &signer, "[{}]"), 400, "INVALID_REQUEST"),
        ("many", from_github("one", &signer, &long), 413, "PAYLOAD_TOO_LARGE"),
        ("huge", from_github("one", &signer, &" ".repeat(1024 * 1024 + 1)), 413, "PAYLOAD_TOO_LARGE"),
        ("a form", good().set("content-type", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ] {
        let reply = sent.send(&server, GITHUB).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (status, Some(code)), "{case}: {reply:?}");
    }
    assert!(signature.len() > 80, "the good one is one");
    assert_eq!(decision(&server, &key.secret).await, "VALID");
    good().send(&server, GITHUB).await.expect(200, "");
}

#[tokio::test]
async fn a_new_key_of_github_is_found_and_nobody_makes_it_be_looked_for_all_the_time() {
    let github = GitHub::start().await;
    let first = github.publish("one", true);
    let server = github.server().await;
    let body = found(&["junk"]);
    from_github("one", &first, &body).send(&server, GITHUB).await.expect(200, "");
    for n in 0..20 {
        from_github(&format!("unknown-{n}"), &first, &body)
            .send(&server, GITHUB)
            .await
            .expect(403, "CALLER_NOT_ALLOWED");
    }
    assert_eq!(github.asked(), 1, "it was asked a moment ago");
    let second = github.publish("two", true);
    server.advance(Duration::from_secs(60));
    from_github("two", &second, &body).send(&server, GITHUB).await.expect(200, "");
    from_github("one", &first, &body).send(&server, GITHUB).await.expect(200, "");
    assert_eq!(github.asked(), 2);
    // One that is taken back is not taken for longer than it may be kept.
    github.keys.lock().unwrap().remove(0);
    server.advance(Duration::from_secs(3_600));
    from_github("one", &first, &body).send(&server, GITHUB).await.expect(403, "CALLER_NOT_ALLOWED");
    assert_eq!(github.asked(), 3);

    // Where the keys cannot be had, nothing is taken, and it is said when to try again.
    let nowhere = TestServer::builder()
        .set("github_leak_reports", "true")
        .set("github_leak_keys_url", github.url.clone())
        .start()
        .await;
    let refused = from_github("two", &second, &body).send(&nowhere, GITHUB).await.expect(503, "ISSUER_UNAVAILABLE");
    assert!(!refused.header("retry-after").is_empty() && !refused.text.contains("127.0.0.1"), "{refused:?}");
}
