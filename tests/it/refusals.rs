//! The refusal matrix, made from the descriptors: every RPC, every wire and every HTTP binding, every way to be refused.
//! An RPC is covered from the day it is added.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gatepost::domain::environment::Environment;
use gatepost::domain::scope::{BUILT_IN, Scope};
use gatepost::domain::test_keys::TEST_KEYS;
use serde_json::json;
use tonic::Code;

use crate::support::http::JsonCall;
use crate::support::{Actor, Answer, Rpc, TestServer, Wire};

/// What a refused caller is told.
#[derive(Clone, Copy, Debug)]
struct Told {
    reason: &'static str,
    http: u16,
    code: Code,
    error: &'static str,
}

const fn told(reason: &'static str, http: u16, code: Code, error: &'static str) -> Told {
    Told { reason, http, code, error }
}

const MISSING: Told = told("MISSING_CREDENTIAL", 401, Code::Unauthenticated, "unauthorized");
/// Malformed, unknown, expired and revoked are one reason to outsiders.
const NOT_GOOD: Told = told("NOT_FOUND", 401, Code::Unauthenticated, "unauthorized");
const SUSPENDED: Told = told("SUSPENDED", 403, Code::PermissionDenied, "key_suspended");
const IP_DENIED: Told = told("IP_DENIED", 403, Code::PermissionDenied, "ip_not_allowed");
const ENV_MISMATCH: Told = told("ENV_MISMATCH", 403, Code::PermissionDenied, "environment_mismatch");
const SCOPE: Told = told("INSUFFICIENT_SCOPE", 403, Code::PermissionDenied, "insufficient_scope");
const NOT_THIS_KIND: Told = told("CALLER_NOT_ALLOWED", 403, Code::PermissionDenied, "caller_not_allowed");
const TWICE: Told = told("INVALID_REQUEST", 400, Code::InvalidArgument, "invalid_request");

#[tokio::test]
async fn every_rpc_refuses_every_wrong_caller() {
    let server = TestServer::start().await;
    let cases = wrong_callers(&server).await;
    for rpc in guarded() {
        for (case, actor, wanted) in &cases {
            refused_everywhere(&server, &rpc, case, actor, wanted).await;
        }
    }
}

#[tokio::test]
async fn every_rpc_refuses_a_caller_without_one_of_its_scopes() {
    let server = TestServer::start().await;
    let mut keys = HashMap::new();
    for rpc in guarded() {
        for scope in rpc.policy().scopes {
            let others: Vec<_> = BUILT_IN.iter().map(|s| s.name).filter(|s| *s != "admin" && *s != scope).collect();
            if !keys.contains_key(&scope) {
                keys.insert(scope.clone(), server.key(&others).await);
            }
            refused_everywhere(&server, &rpc, &format!("no {scope}"), &keys[&scope], &SCOPE).await;
        }
    }
}

#[tokio::test]
async fn every_rpc_refuses_every_reserved_test_key() {
    let server = TestServer::start().await;
    for key in &TEST_KEYS {
        let actor = Actor::bearer(key.secret);
        let wanted = match key.reason.wording().name {
            "EXPIRED" | "REVOKED" | "NOT_FOUND" => NOT_GOOD,
            name => {
                let wording = key.reason.wording();
                told(name, wording.http, Code::from_i32(wording.grpc), wording.error)
            }
        };
        // What needs no scope names one of its own then.
        let names_scope = |rpc: &Rpc| wanted.reason != SCOPE.reason || !rpc.policy().scopes.is_empty();
        for rpc in guarded().into_iter().filter(names_scope) {
            refused_everywhere(&server, &rpc, "a reserved test key", &actor, &wanted).await;
        }
    }
}

#[tokio::test]
async fn what_is_for_the_installation_takes_its_administrators_alone() {
    let server = TestServer::start().await;
    let (shop, trial) =
        (server.other_project("shop", Environment::Live).await, server.other_project("shop", Environment::Test).await);
    let cases = [
        ("an administrator of another project", shop),
        ("a test administrator of another project", trial),
        ("a test administrator of default", server.test()),
    ];
    let installation: Vec<_> = guarded().into_iter().filter(|rpc| rpc.policy().installation).collect();
    assert!(installation.len() >= 3, "{installation:?}");
    for rpc in installation {
        for (case, actor) in &cases {
            refused_everywhere(&server, &rpc, case, actor, &NOT_THIS_KIND).await;
        }
    }
}

#[tokio::test]
async fn a_publishable_key_reaches_only_what_takes_one() {
    let server = TestServer::start().await;
    let key = server.pk(&["read:products"]).await;
    for rpc in guarded() {
        if rpc.policy().publishable {
            for wire in Wire::ALL {
                let answer = server.call_rpc(wire, &rpc, &key, json!({})).await;
                assert!(!refused_at_the_door(&answer), "{}: {answer:?}", rpc.name());
            }
        } else {
            refused_everywhere(&server, &rpc, "publishable", &key, &NOT_THIS_KIND).await;
        }
    }
}

#[tokio::test]
async fn what_is_for_users_takes_nobody_else() {
    let server = TestServer::start().await;
    let cases = [("an administrator", server.live()), ("a publishable key", server.pk(&["read:products"]).await)];
    let for_users: Vec<_> = guarded().into_iter().filter(|rpc| rpc.policy().user).collect();
    assert!(for_users.len() >= 3, "{for_users:?}");
    for rpc in for_users {
        for (case, actor) in &cases {
            refused_everywhere(&server, &rpc, case, actor, &NOT_THIS_KIND).await;
        }
    }
}

#[tokio::test]
async fn the_scopes_that_an_rpc_names_are_enough() {
    let server = TestServer::start().await;
    // What takes a token of a trusted issuer has tests of its own.
    for rpc in guarded().into_iter().filter(|rpc| !rpc.policy().introduction) {
        let scopes = rpc.policy().scopes;
        let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
        let key = if rpc.policy().user { server.service_account(&scopes).await } else { server.key(&scopes).await };
        for wire in Wire::ALL {
            let answer = server.call_rpc(wire, &rpc, &key, json!({})).await;
            // A key is let in; that it does not do for a user in all things is said behind the door.
            let in_person = answer.message.starts_with("A key cannot do this for its user");
            assert!(in_person || !refused_at_the_door(&answer), "{} with {scopes:?}: {answer:?}", rpc.name());
        }
    }
}

#[tokio::test]
async fn outsiders_cannot_tell_why_a_credential_is_not_good() {
    let server = TestServer::start().await;
    let cases = wrong_callers(&server).await;
    for wire in Wire::ALL {
        let mut seen: Option<String> = None;
        for (case, actor, _) in cases.iter().filter(|(_, _, wanted)| wanted.reason == NOT_GOOD.reason) {
            let actor = actor.clone().with("x-request-id", "the-same");
            let Answer { headers, message, metadata, document, .. } =
                server.call(wire, "Keys/ListKeys", &actor, json!({})).await;
            let mut headers = headers;
            headers.remove("date");
            let answer = format!("{headers:?} {message} {metadata:?} {document}");
            assert_eq!(*seen.get_or_insert_with(|| answer.clone()), answer, "{case} on {wire:?} tells itself apart");
        }
    }
}

#[tokio::test]
async fn a_caller_is_refused_before_its_body_is_read() {
    let server = TestServer::start().await;
    for (path, content_type, wanted) in [
        ("/v1/keys", "application/json", "HTTP/1.1 401 "),
        ("/gatepost.v1.Keys/CreateKey", "application/grpc-web+proto", "grpc-status: 16"),
    ] {
        // No byte of the body is ever sent: a server that waits for it would not answer.
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Content-Length: 1000\r\n\r\n"
        );
        let answer = server.raw(head.as_bytes()).await;
        assert!(answer.contains(wanted), "{answer}");
    }
}

#[tokio::test]
async fn a_credential_in_the_query_is_no_credential() {
    let server = TestServer::start().await;
    let secret = server.live().secret;
    for name in ["access_token", "api_key", "key", "authorization", "x-api-key"] {
        let reply = server.get(&format!("/v1/keys?{name}={secret}"), &Actor::anonymous()).await;
        reply.expect(401, "MISSING_CREDENTIAL");
    }
}

#[tokio::test]
async fn a_key_is_taken_from_every_header_that_may_carry_one() {
    let server = TestServer::builder().set("key_headers", "x-builton-api-key,x-shop-key").start().await;
    let key = server.key(&[]).await;
    let lower = Actor::anonymous().with("authorization", &format!("bEaReR {}", key.secret));
    let senders = [
        lower,
        key.by_header("x-api-key"),
        key.by_header("x-builton-api-key"),
        key.by_header("x-shop-key"),
        key.by_header("X-API-KEY"),
    ];
    for sender in senders {
        for wire in Wire::ALL {
            let who = server.call(wire, "Auth/WhoAmI", &sender, json!({})).await.ok();
            assert_eq!(who["keyId"], key.id, "{sender:?}");
        }
    }
    let other = key.by_header("x-other-key");
    server.call(Wire::Grpc, "Auth/WhoAmI", &other, json!({})).await.refused("MISSING_CREDENTIAL");
}

#[tokio::test]
async fn a_publishable_key_beside_a_secret_one_is_one_caller() {
    let server = TestServer::start().await;
    let (secret, publishable) = (server.key(&["read:keys"]).await, server.pk(&[]).await);
    for wire in Wire::ALL {
        let who = server.call(wire, "Auth/WhoAmI", &secret.clone().beside(&publishable), json!({})).await.ok();
        assert_eq!((&who["keyId"], &who["publishableKeyId"]), (&json!(secret.id), &json!(publishable.id)));
        // The publishable key takes nothing away and adds nothing.
        server.call(wire, "Keys/ListKeys", &secret.clone().beside(&publishable), json!({})).await.ok();
    }
}

#[tokio::test]
async fn an_address_that_floods_with_unknown_keys_is_refused_and_cached_keys_go_on() {
    let server = TestServer::start().await;
    // What is loaded at the start is cached, and a key that is made meanwhile may be among it.
    server.warmed_up().await;
    // Not a key that is made here: the change feed brings its making once more, at any time, and it is looked up again.
    let (cached, unseen) = (server.live(), server.key(&[]).await);
    let whoami = async |wire, actor: &Actor| server.call(wire, "Auth/WhoAmI", actor, json!({})).await;
    whoami(Wire::Grpc, &cached).await.ok();
    let stranger = || Actor::stranger("sk", Environment::Live);
    for flood in std::iter::repeat_with(stranger).take(400) {
        whoami(Wire::Grpc, &flood).await.refused("NOT_FOUND");
    }
    for wire in Wire::ALL {
        // A good key that has to be looked up cannot be told from the flood it comes with.
        for actor in [&stranger(), &unseen] {
            let began = Instant::now();
            let answer = whoami(wire, actor).await;
            assert!(began.elapsed() >= Duration::from_millis(250), "who floods is slowed down");
            assert_eq!(
                (answer.reason.as_str(), answer.code),
                ("TOO_MANY_UNKNOWN", Code::ResourceExhausted),
                "{answer:?}"
            );
            assert!(answer.message.ends_with("Try again in 1 seconds"), "{answer:?}");
            if wire == Wire::Json {
                assert_eq!((answer.http, answer.header("retry-after")), (429, "1"), "{answer:?}");
                assert_eq!(answer.document["error"], "rate_limit_exceeded", "{answer:?}");
            }
        }
        whoami(wire, &cached).await.ok();
        // What a caller's clients present is not held against the caller.
        let verdict = server.call(wire, "Auth/Verify", &cached, json!({"credential": stranger().secret})).await.ok();
        assert_eq!(verdict["code"], "NOT_FOUND", "{verdict}");
    }
    server.advance(Duration::from_secs(1));
    whoami(Wire::Grpc, &unseen).await.ok();
    whoami(Wire::Grpc, &stranger()).await.refused("NOT_FOUND");
}

#[tokio::test]
async fn an_address_without_a_budget_cannot_tell_what_was_never_issued() {
    let server = TestServer::start().await;
    server.warmed_up().await;
    let honey = server.new_key(json!({"name": "bait", "honey": true})).await;
    let revoked = server.key(&[]).await;
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": revoked.id})).await.ok();
    let minute = json!(server.later(Duration::from_secs(60)));
    let expired = server.new_key(json!({"name": "for a minute", "expiresAt": minute})).await;
    let old = server.key(&[]).await;
    let rotate = json!({"id": old.id, "gracePeriod": "60s"});
    let rotated = server.call(Wire::Grpc, "Keys/RotateKey", &server.live(), rotate).await.ok();
    Actor::made(rotated["secret"].as_str().expect("a secret"), &old.id);
    let late = server.new_key(json!({"name": "for two", "expiresAt": server.later(Duration::from_secs(120))})).await;
    let forged = Actor::stranger("sk", Environment::Live);
    let whoami = async |actor: &Actor| server.call(Wire::Grpc, "Auth/WhoAmI", actor, json!({})).await;
    let [shop, _] = server.project("shop").await;
    for actor in [&expired, &old, &late, &shop] {
        whoami(actor).await.ok();
    }
    server.advance(Duration::from_secs(60));
    let unknown = [&honey, &revoked, &expired, &old, &forged];
    for actor in unknown {
        whoami(actor).await.refused("NOT_FOUND");
    }
    // What is not known may be from now on, and has to be looked up again.
    server.key(&[]).await;
    let spend = async || {
        server.advance(Duration::from_secs(2));
        for _ in 0..400 {
            whoami(&Actor::stranger("sk", Environment::Live)).await.refused("NOT_FOUND");
        }
    };
    spend().await;
    for actor in unknown {
        whoami(actor).await.refused("TOO_MANY_UNKNOWN");
    }
    // Each of them costs as much as the others.
    for actor in unknown {
        server.advance(Duration::from_millis(5));
        whoami(actor).await.refused("NOT_FOUND");
        whoami(&Actor::stranger("sk", Environment::Live)).await.refused("TOO_MANY_UNKNOWN");
    }
    // Nor does memory know of a key what it knew before its end.
    server.advance(Duration::from_secs(60));
    spend().await;
    whoami(&late).await.refused("TOO_MANY_UNKNOWN");
    // A key that ends with its project is forgotten with what nobody knows, which memory knew.
    whoami(&shop).await.ok();
    whoami(&forged).await.refused("NOT_FOUND");
    server.call(Wire::Grpc, "Auth/DeleteProject", &server.live(), json!({"id": "shop"})).await.ok();
    for actor in [&shop, &forged] {
        whoami(actor).await.refused("TOO_MANY_UNKNOWN");
    }
}

#[tokio::test]
async fn data_that_cannot_be_read_is_never_told_as_a_bad_credential() {
    let server = TestServer::start().await;
    server.execute_sql("ALTER TABLE key_secrets RENAME TO key_secrets_away").await;
    let unseen = Actor::stranger("sk", Environment::Live);
    for wire in Wire::ALL {
        let answer = server.call(wire, "Auth/WhoAmI", &unseen, json!({})).await;
        assert_eq!((answer.reason.as_str(), answer.code), ("INTERNAL", Code::Internal), "{answer:?}");
        if wire == Wire::Json {
            assert_eq!(answer.http, 500, "{answer:?}");
        }
        for word in ["key_secrets", "sqlite", "SQL", "table", "relation"] {
            let said = format!("{} {}", answer.message, answer.document);
            assert!(!said.contains(word), "a driver's words: {said}");
        }
    }
    server.execute_sql("ALTER TABLE key_secrets_away RENAME TO key_secrets").await;
    server.call(Wire::Grpc, "Auth/WhoAmI", &unseen, json!({})).await.refused("NOT_FOUND");
}

#[tokio::test]
async fn a_request_that_did_not_come_over_https_is_refused_behind_a_proxy() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    let live = server.live();
    for wire in Wire::ALL {
        for actor in [live.clone(), live.clone().with("x-forwarded-proto", "http"), Actor::anonymous()] {
            let answer = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
            answer.refused("HTTPS_REQUIRED");
            assert_eq!(answer.code, Code::PermissionDenied, "{answer:?}");
        }
        server.call(wire, "Auth/WhoAmI", &live.clone().with("x-forwarded-proto", "https"), json!({})).await.ok();
    }
    server.get("/healthz", &Actor::anonymous()).await.expect(200, "");
}

#[tokio::test]
async fn the_address_that_counts_is_the_one_the_trusted_proxies_tell() {
    let server = TestServer::builder().behind_proxies(2).start().await;
    let direct = TestServer::start().await;
    let new = json!({"name": "from one net", "allowedIps": ["203.0.113.0/24", "2001:db8::/32"]});
    let https = |actor: Actor| actor.with("x-forwarded-proto", "https");
    let key = server.new_key_by(&https(server.live()), new.clone()).await;
    let reasons = [
        // The client is the second from the right; what stands before it is the client's own word.
        ("203.0.113.9, 10.0.0.1", ""),
        ("198.51.100.1, 203.0.113.9, 10.0.0.1", ""),
        ("203.0.113.9, 198.51.100.1, 10.0.0.1", "IP_DENIED"),
        ("::ffff:203.0.113.9, 10.0.0.1", ""),
        ("2001:db8::7, 10.0.0.1", ""),
        ("203.0.113.9", "IP_DENIED"),
        ("unknown, 10.0.0.1", "IP_DENIED"),
    ];
    for (forwarded, reason) in reasons {
        for wire in Wire::THREE {
            let actor = https(key.clone()).with("x-forwarded-for", forwarded);
            let answer = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
            assert_eq!(answer.reason, reason, "{forwarded}: {answer:?}");
        }
    }
    // Without trusted proxies nobody's word counts.
    let key = direct.new_key(new).await.with("x-forwarded-for", "203.0.113.9");
    direct.call(Wire::Grpc, "Auth/WhoAmI", &key, json!({})).await.refused("IP_DENIED");
}

/// Callers that no RPC takes, whatever its policy, and what they are told.
async fn wrong_callers(server: &TestServer) -> Vec<(&'static str, Actor, Told)> {
    let admin = json!({"name": "would do", "scopes": ["admin"]});
    let with = |member: &str, value| {
        let mut request = admin.clone();
        request[member] = value;
        request
    };
    let expired = server.new_key(with("expiresAt", json!(server.later(Duration::from_secs(60))))).await;
    let elsewhere = server.new_key(with("allowedIps", json!(["203.0.113.0/24", "2001:db8::/32"]))).await;
    let [revoked, suspended, rotated] =
        [server.new_key(admin.clone()).await, server.new_key(admin.clone()).await, server.new_key(admin.clone()).await];
    for (rpc, key) in [("Keys/DeleteKey", &revoked), ("Keys/SuspendKey", &suspended), ("Keys/RotateKey", &rotated)] {
        server.call(Wire::Grpc, rpc, &server.live(), json!({"id": key.id})).await.ok();
    }
    let (live, test, publishable) = (server.live(), server.test(), server.pk(&["read:products"]).await);
    let revoked_publishable = server.pk(&[]).await;
    server.call(Wire::Grpc, "Keys/DeleteKey", &live, json!({"id": revoked_publishable.id})).await.ok();
    let other_project = server.other_project("other", Environment::Live).await;
    server.advance(Duration::from_secs(60));

    let mut bad_checksum = live.secret.clone();
    let last = if bad_checksum.pop() == Some('a') { 'b' } else { 'a' };
    bad_checksum.push(last);
    let basic = Actor::anonymous().with("authorization", "Basic dXNlcjpwYXNz");
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
    vec![
        ("no credential", Actor::anonymous(), MISSING),
        ("junk", Actor::bearer("junk"), NOT_GOOD),
        ("another scheme", basic, NOT_GOOD),
        ("a bad checksum", Actor::bearer(&bad_checksum), NOT_GOOD),
        ("a token of nobody's", Actor::bearer(token), NOT_GOOD),
        ("unknown", Actor::stranger("sk", Environment::Live), NOT_GOOD),
        ("unknown publishable", Actor::stranger("pk", Environment::Live), NOT_GOOD),
        ("expired", expired, NOT_GOOD),
        ("revoked", revoked, NOT_GOOD),
        ("rotated away", rotated, NOT_GOOD),
        ("suspended", suspended.clone(), SUSPENDED),
        ("from elsewhere", elsewhere, IP_DENIED),
        ("wrong environment", test.clone().beside(&publishable), ENV_MISMATCH),
        ("another project's key", other_project.beside(&publishable), NOT_GOOD),
        ("beside a revoked key", live.clone().beside(&revoked_publishable), NOT_GOOD),
        ("suspended beside a good key", suspended.beside(&publishable), SUSPENDED),
        ("two secret keys", live.clone().beside(&test), TWICE),
        ("one key twice", live.clone().beside(&live), TWICE),
        ("two publishable keys", publishable.by_header("x-builton-api-key").beside(&publishable), TWICE),
        ("a good key and junk", live.with("x-api-key", "junk"), TWICE),
    ]
}

/// Calls an RPC on all wires, and over HTTP at all of its bindings.
async fn refused_everywhere(server: &TestServer, rpc: &Rpc, case: &str, actor: &Actor, wanted: &Told) {
    for wire in [Wire::Grpc, Wire::GrpcWeb, Wire::GrpcWebText] {
        let answer = server.call_rpc(wire, rpc, actor, json!({})).await;
        check(rpc, case, wanted, &answer);
    }
    for rule in rpc.rules() {
        let call = JsonCall::new(rpc, &rule, json!({}));
        let answer = server.call_json(rpc, &call, &actor.headers).await;
        check(rpc, &format!("{case} at {} {}", call.method, call.target), wanted, &answer);
        check_problem(&call, wanted, &answer);
    }
}

fn check(rpc: &Rpc, case: &str, wanted: &Told, answer: &Answer) {
    let place = format!("{}, {case}: {answer:?}", rpc.name());
    assert_eq!((answer.reason.as_str(), answer.code), (wanted.reason, wanted.code), "{place}");
    let id = answer.header("x-request-id");
    assert!(id.starts_with("req_"), "{place}");
    assert_eq!(answer.metadata.get("request_id").map(String::as_str), Some(id), "{place}");
    let challenge = answer.header("www-authenticate");
    let begin = "Bearer realm=\"gatepost\", resource_metadata=\"https://keys.example/";
    assert_eq!(challenge.starts_with(begin), wanted.http == 401 || wanted.reason == SCOPE.reason, "{place}");
    if answer.wire == Wire::Json {
        assert_eq!(answer.http, wanted.http, "{place}");
        match wanted.reason {
            "MISSING_CREDENTIAL" => assert!(challenge.ends_with("/oauth-protected-resource\""), "{place}"),
            "NOT_FOUND" => {
                assert!(challenge.contains("\", error=\"invalid_token\", error_description=\"Invalid or"), "{place}");
            }
            "INSUFFICIENT_SCOPE" => {
                assert!(challenge.contains("\", error=\"insufficient_scope\", scope=\""), "{place}");
            }
            _ => assert_eq!(challenge, "", "{place}"),
        }
    } else if wanted.reason == SCOPE.reason {
        assert!(rpc.policy().scopes.contains(&answer.metadata["scope"]), "{place}");
    }
    if wanted.http == 401 {
        assert_eq!(answer.message, "Invalid or missing API key", "{place}");
    }
    if wanted.reason == SCOPE.reason {
        let scope = answer.message.strip_prefix("API key does not have required scope: ");
        let scope = scope.and_then(Scope::parse).unwrap_or_else(|| panic!("{place}"));
        assert!(rpc.policy().scopes.iter().any(|needed| needed == scope.plain()), "{place}");
    }
}

fn check_problem(call: &JsonCall, wanted: &Told, answer: &Answer) {
    let problem = &answer.document;
    let place = format!("{call:?}: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{place}");
    assert_eq!(answer.header("cache-control"), "no-store", "{place}");
    let kind = match wanted.http {
        429 => "https://iana.org/assignments/http-problem-types#quota-exceeded".to_owned(),
        _ => format!("urn:gatepost:problem:{}", wanted.error.replace('_', "-")),
    };
    assert_eq!(problem["type"], kind, "{place}");
    assert_eq!(problem["status"], wanted.http, "{place}");
    assert_eq!(problem["error"], wanted.error, "{place}");
    assert_eq!(problem["instance"], call.target.split('?').next().unwrap_or_default(), "{place}");
    assert_eq!(problem["detail"], problem["message"], "{place}");
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{place}");
    if wanted.reason == SCOPE.reason && call.target.starts_with("/v1/api/public/") {
        // The billing API's clients know scopes in their own spelling.
        let scope = answer.message.rsplit(' ').next().unwrap_or_default();
        assert_eq!(scope, scope.to_ascii_uppercase(), "{place}");
        assert!(answer.header("www-authenticate").ends_with(&format!("scope=\"{scope}\"")), "{place}");
    }
}

/// All RPCs that need a credential.
fn guarded() -> Vec<Rpc> {
    let guarded: Vec<_> = Rpc::all().into_iter().filter(|rpc| !rpc.policy().public).collect();
    assert!(guarded.len() >= 25, "the descriptors hold the RPCs");
    guarded
}

fn refused_at_the_door(answer: &Answer) -> bool {
    let reasons = [MISSING, NOT_GOOD, SUSPENDED, IP_DENIED, ENV_MISMATCH, SCOPE, NOT_THIS_KIND, TWICE];
    reasons.iter().any(|told| told.reason == answer.reason && told.error != "invalid_request")
}
