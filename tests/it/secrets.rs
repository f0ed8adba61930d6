//! No secret where none may be: not in the log, not in the metrics, not in an answer. Every test of the suite watches for
//! them (`support::leaks`); this one does everything that has to do with secrets, with the log at its loudest.

use http::Method;
use serde_json::json;

use crate::support::http::JsonCall;
use crate::support::{Actor, Rpc, TestServer, Wire, leaks};

#[tokio::test]
async fn nothing_tells_a_secret() {
    leaks::log_everything();
    let server = TestServer::start().await;
    let before = leaks::lines_seen();
    let maker = server.live().with("idempotency-key", "once").with("traceparent", TRACE);
    let new = json!({"name": "shop", "recoverable": true, "scopes": ["admin"]});
    let key = server.new_key_by(&maker, new.clone()).await;
    server.new_key_by(&maker, new).await;
    let publishable = server.pk(&["read:products"]).await;
    for wire in Wire::ALL {
        for rpc in ["Keys/RevealKey", "Keys/SuspendKey", "Keys/ResumeKey"] {
            server.call(wire, rpc, &server.live(), json!({"id": key.id})).await.ok();
        }
        let rotate = json!({"id": key.id, "gracePeriod": "60s", "mode": "FIRST_USE"});
        let rotated = server.call(wire, "Keys/RotateKey", &server.live(), rotate).await.ok();
        let new = Actor::made(rotated["secret"].as_str().expect("a secret"), &key.id);
        server.call(wire, "Auth/WhoAmI", &new.beside(&publishable), json!({})).await.ok();
        let question = json!({"credential": key.secret, "publishableKey": publishable.secret, "scopes": ["read:x"]});
        for rpc in ["Auth/Verify", "Auth/ExplainVerify"] {
            server.call(wire, rpc, &server.live(), question.clone()).await.ok();
        }
        server.call(wire, "Auth/BatchVerify", &server.live(), json!({"requests": [question]})).await.ok();
        // A password and a token go where they belong, and where they do not.
        let handle = format!("ada-{wire:?}").to_lowercase();
        let user = server.person(&server.live(), &handle, &["read:users"]).await;
        let session = server.sign_in(&server.live(), &handle).await;
        let change = json!({"oldPassword": leaks::PASSWORD, "newPassword": leaks::OTHER_PASSWORD});
        for _ in 0..2 {
            server.call(wire, "Auth/ChangePassword", &session, change.clone()).await;
        }
        for (name, secret) in [("handle", leaks::PASSWORD), ("login", leaks::PASSWORD), ("handle", &handle)] {
            let wrong = json!({name: secret, "password": leaks::PASSWORD});
            let _ = server.call(wire, "Auth/SignIn", &server.live(), wrong).await;
        }
        let question = json!({"credential": session.secret});
        for rpc in ["Auth/Verify", "Auth/ExplainVerify"] {
            server.call(wire, rpc, &server.live(), question.clone()).await.ok();
        }
        for id in [&session.secret, &session.id] {
            let named = json!({"userId": user, "id": id});
            let _ = server.call(wire, "Auth/RevokeSession", &server.live(), named).await;
        }
        server.call(wire, "Auth/WhoAmI", &session, json!({})).await.refused("NOT_FOUND");
        // A secret in every place where it does not belong.
        for rpc in Rpc::all() {
            let field = |name: &str| rpc.0.input().get_field_by_name(name).is_some();
            let place = match rpc.name().as_str() {
                // A name is shown: whoever calls a key by a secret has told it.
                "Keys/CreateKey" => continue,
                _ if field("id") => json!({"id": key.secret}),
                _ if field("name") => json!({"name": key.secret}),
                _ => continue,
            };
            let answer = server.call_rpc(wire, &rpc, &server.live(), place).await;
            assert!(!answer.reason.is_empty(), "there is no such thing: {answer:?}");
        }
    }
    for header in ["x-request-id", "grpc-timeout", "x-request-timeout", "user-agent", "traceparent", "x-other"] {
        let _ = server.get("/v1/auth/whoami", &Actor::anonymous().with(header, &key.secret)).await;
        let _ = server.get("/v1/auth/whoami", &server.live().with(header, "x")).await;
    }
    for target in ["/{}", "/v1/keys/{}", "/v1/keys/{}:rotate", "/v1/keys?page_token={}", "/v1/keys?limit={}"] {
        for method in [Method::GET, Method::POST, Method::TRACE, Method::OPTIONS] {
            let target = target.replace("{}", &key.secret);
            let _ = server.send(server.request(method, &target, &server.live()).json(&json!({"name": 1}))).await;
        }
    }
    for body in ["{\"name\":{},\"x\":1}", "{\"type\":{}}", "{}", "[{}", "{\"expiresAt\":{},\"scopes\":[{}]}"] {
        let body = body.replacen("{}", &format!("\"{}\"", key.secret), 1);
        let rpc = Rpc::named("Keys/CreateKey");
        let call = JsonCall::new(&rpc, &rpc.rules()[0], json!({}));
        let request =
            server.request(call.method, &call.target, &server.live()).header("content-type", "application/json");
        let _ = server.send(request.body(body)).await;
    }

    let metrics = server.get("/metrics", &Actor::anonymous()).await.expect(200, "");
    assert!(metrics.text.contains("gatepost_"), "{metrics:?}");
    for secret in leaks::secrets() {
        assert!(!metrics.text.contains(&secret), "the metrics hold a secret");
    }
    assert!(leaks::lines_seen() > before + 100, "the log is watched");
    leaks::assert_none();
}

#[test]
fn a_secret_is_found_wherever_it_is() {
    use gatepost::domain::environment::Environment;

    let secret = Actor::stranger("bk", Environment::Test).secret;
    for text in [secret.clone(), format!("Bearer {secret}"), format!("a\"{secret}\"b"), format!("{secret}{secret}")] {
        assert_eq!(leaks::find_secret(text.as_bytes()), Some(secret.clone()), "{text}");
    }
    for text in ["", "sk_live_", "sk_live_Ab1c...9xYz", "a_test_of_nothing", &secret[..secret.len() - 1]] {
        assert_eq!(leaks::find_secret(text.as_bytes()), None, "{text}");
    }
}

/// Creating, rotating and revealing are the only ways to a secret, and their answers are for nobody's cache.
#[tokio::test]
async fn answers_that_hold_a_secret_are_not_kept_or_compressed() {
    let server = TestServer::start().await;
    let key = server.new_key(json!({"name": "kept", "recoverable": true})).await;
    server.person(&server.live(), "ada", &[]).await;
    let person = server.sign_in(&server.live(), "ada").await;
    let open = json!({"project": {"id": "default", "signUp": "OPEN"}, "updateMask": "signUp"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), open).await.ok();
    let client = json!({"client": {"name": "kept", "redirectUris": ["https://app.example.com/callback"]}});
    let made = server.call(Wire::Grpc, "Auth/CreateClient", &server.live(), client.clone()).await.ok();
    let webhook = json!({"webhook": {"url": "https://hooks.example/"}});
    let webhook = server.call(Wire::Grpc, "Keys/CreateWebhook", &server.live(), webhook).await.ok();
    for rpc in Rpc::all() {
        let places: Vec<_> =
            leaks::PLACES.into_iter().filter(|place| rpc.0.output().get_field_by_json_name(place).is_some()).collect();
        assert_eq!(!places.is_empty(), rpc.policy().secret_response, "{}", rpc.name());
        if places.is_empty() {
            continue;
        }
        for (n, wire) in Wire::ALL.into_iter().enumerate() {
            let request = match rpc.name().as_str() {
                "Keys/CreateKey" => json!({"name": "x"}),
                "Auth/CreateClient" => client.clone(),
                "Auth/RotateClientSecret" => json!({"id": made["client"]["id"]}),
                "Keys/CreateWebhook" => json!({"webhook": {"url": "https://hooks.example/"}}),
                "Keys/RotateWebhookSecret" => json!({"id": webhook["webhook"]["id"]}),
                "Keys/CreateUserKey" => json!({"handle": format!("laptop-{n}")}),
                "Keys/GetUserKey" => json!({"handle": "laptop-0"}),
                "Auth/CreateProject" => json!({"project": {"id": format!("shop-{n}")}}),
                "Auth/SignIn" => json!({"handle": "ada", "password": leaks::PASSWORD}),
                "Auth/SignUp" => json!({"handle": format!("grace-{n}"), "password": leaks::PASSWORD}),
                _ => json!({"id": key.id}),
            };
            let actor = if rpc.policy().user { person.clone() } else { server.live() };
            let actor = actor.with("accept-encoding", "gzip, br, zstd");
            let answer = server.call_rpc(wire, &rpc, &actor, request).await;
            assert_eq!(answer.header("content-encoding"), "", "{answer:?}");
            assert_eq!(answer.header("grpc-encoding"), "", "{answer:?}");
            if wire == Wire::Json {
                assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
            }
            let body = answer.ok();
            for place in &places {
                let start = match *place {
                    "testSecret" => "sk_test_",
                    "token" if rpc.policy().user => "uk_live_",
                    "token" => "eyJ",
                    _ if rpc.name().contains("Client") => "cs_live_",
                    _ if rpc.name().contains("Webhook") => "whsec_",
                    _ => "sk_live_",
                };
                assert!(body[place].as_str().is_some_and(|secret| secret.starts_with(start)), "{place}");
            }
        }
    }
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
