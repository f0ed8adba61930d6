//! Clients that others wrote: grpcurl, curl, a browser's gRPC-Web client, tonic's generated clients, and the clients of
//! reflection and health.

use std::time::Duration;

use gatepost::proto::v1::auth_client::AuthClient;
use gatepost::proto::v1::keys_client::KeysClient;
use gatepost::proto::v1::products_client::ProductsClient;
use gatepost::proto::v1::watch_revocations_response::Kind;
use gatepost::proto::{DESCRIPTORS, v1};
use serde_json::{Value, json};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::tools::{Answer, Tool, is_there, run_node_with, run_script};
use crate::support::{Actor, TestServer};

#[tokio::test]
async fn grpcurl_finds_its_way_by_reflection() {
    let server = TestServer::start().await;
    let address = server.address().to_string();
    let Some(listed) = Tool::Grpcurl.run(&["-plaintext", &address, "list"]).await else { return };
    let listed = ok(listed);
    let services: Vec<&str> = listed.lines().collect();
    assert_eq!(
        services,
        [
            "gatepost.v1.Auth",
            "gatepost.v1.Keys",
            "gatepost.v1.Products",
            "gatepost.v1.Users",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
        ]
    );
    for service in services {
        let methods = ok(grpcurl(&server, &[], &["list", service]).await);
        let described = ok(grpcurl(&server, &[], &["describe", service]).await);
        for method in methods.lines() {
            let name = method.rsplit('.').next().expect("a name");
            assert!(described.contains(&format!("rpc {name} (")), "{method}: {described}");
        }
        assert!(!methods.is_empty(), "{service} has no methods");
    }
    let described = ok(grpcurl(&server, &[], &["describe", "gatepost.v1.VerifyRequest"]).await);
    assert!(described.contains("string credential = 1;"), "{described}");
}

#[tokio::test]
async fn grpcurl_calls_every_service() {
    let server = TestServer::start().await;
    let admin = server.live();
    let product = json!({"product": {"name": "Red shoe", "price": "19.90", "currency": "EUR"}});
    let calls = [
        ("gatepost.v1.Auth/WhoAmI", json!({}), "/keyId", json!(admin.id)),
        ("gatepost.v1.Auth/Verify", json!({"credential": "nothing"}), "/code", json!("MALFORMED")),
        ("gatepost.v1.Keys/GetKey", json!({"id": admin.id}), "/key/state", json!("ACTIVE")),
        ("gatepost.v1.Keys/ListKeys", json!({"limit": 1, "page": 1}), "/pagination/total", json!(1)),
        ("gatepost.v1.Products/CreateProduct", product, "/product/price", json!("19.90")),
        ("gatepost.v1.Products/SearchProducts", json!({"query": "shoe"}), "/data/0/name", json!("Red shoe")),
        ("grpc.health.v1.Health/Check", json!({"service": "gatepost.v1.Auth"}), "/status", json!("SERVING")),
    ];
    for (method, request, pointer, wanted) in calls {
        let bearer = format!("authorization: Bearer {}", admin.secret);
        let request = request.to_string();
        let flags = ["-plaintext", "-H", &bearer, "-d", &request, &server.address().to_string(), method];
        let Some(answer) = Tool::Grpcurl.run(&flags).await else { return };
        let answer: Value = serde_json::from_str(&ok(answer)).expect("grpcurl prints JSON");
        assert_eq!(answer.pointer(pointer), Some(&wanted), "{method}: {answer}");
    }

    // A stream has no end; the first message is there before the client's time is over.
    let watch = ["-max-time", "2", "-d", "{}"];
    let watched = grpcurl(&server, &watch, &["gatepost.v1.Auth/WatchRevocations"]).await;
    assert!(watched.stdout.contains("HEARTBEAT") && watched.stderr.contains("DeadlineExceeded"), "{watched:?}");
}

#[tokio::test]
async fn grpcurl_is_told_why() {
    let server = TestServer::start().await;
    let weak = server.rk(&["read:keys"]).await;
    let stranger = Actor::stranger("sk", gatepost::domain::environment::Environment::Live);
    let cases = [
        (Actor::anonymous(), "Keys/ListKeys", "{}", ["Unauthenticated", "MISSING_CREDENTIAL", "request_id"]),
        (stranger, "Keys/ListKeys", "{}", ["Unauthenticated", "NOT_FOUND", "gatepost"]),
        (weak.clone(), "Products/ListProducts", "{}", ["PermissionDenied", "INSUFFICIENT_SCOPE", "read:products"]),
        (weak, "Keys/GetKey", "{\"id\": \"key_x\"}", ["NotFound", "RESOURCE_NOT_FOUND", "google.rpc.ErrorInfo"]),
    ];
    for (actor, method, request, words) in cases {
        let bearer = format!("authorization: Bearer {}", actor.secret);
        let (address, method) = (server.address().to_string(), format!("gatepost.v1.{method}"));
        let mut flags = vec!["-plaintext", "-d", request];
        if !actor.secret.is_empty() {
            flags.extend(["-H", &bearer]);
        }
        flags.extend([address.as_str(), method.as_str()]);
        let Some(answer) = Tool::Grpcurl.run(&flags).await else { return };
        assert!(!answer.success && answer.stdout.is_empty(), "{answer:?}");
        for word in words {
            assert!(answer.stderr.contains(word), "{method}: {word} is missing in {answer:?}");
        }
    }
}

#[tokio::test]
async fn reflection_answers_both_of_its_versions() {
    let server = TestServer::start().await;
    macro_rules! ask {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let asked = [
                MessageRequest::ListServices(String::new()),
                MessageRequest::FileContainingSymbol("gatepost.v1.Keys".to_owned()),
                MessageRequest::FileContainingSymbol("gatepost.v1.Nothing".to_owned()),
            ];
            let asked =
                asked.map(|message| ServerReflectionRequest { host: String::new(), message_request: Some(message) });
            let mut client = ServerReflectionClient::new(server.clients().channel());
            let answers = client.server_reflection_info(tokio_stream::iter(asked)).await.expect("it is open to all");
            let mut answers = answers.into_inner();
            let mut next = async || {
                let answer = answers.message().await.expect("no error").expect("one answer for each question");
                answer.message_response.expect("it says something")
            };
            let MessageResponse::ListServicesResponse(listed) = next().await else { panic!("services are listed") };
            assert!(listed.service.iter().any(|service| service.name == "gatepost.v1.Keys"), "{listed:?}");
            let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("a file is given") };
            assert!(!files.file_descriptor_proto.is_empty());
            let nothing = answers.message().await.expect_err("what is not there is refused");
            assert_eq!(nothing.code(), Code::NotFound, "{nothing:?}");
        }};
    }
    ask!(v1);
    ask!(v1alpha);
}

#[tokio::test]
async fn curl_speaks_both_versions_of_http() {
    let server = TestServer::start().await;
    for (flag, version) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2"), ("--http2", "1.1")] {
        let flags = ["--write-out", "\n%{http_version} %{http_code} %{content_type}", flag];
        let Some(answer) = curl(&server, &flags, "/v1/auth/whoami", Some(&server.live())).await else { return };
        let answer = ok(answer);
        let (body, facts) = answer.rsplit_once('\n').expect("the facts are on a line of their own");
        assert_eq!(facts, format!("{version} 200 application/json"), "{flag}");
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&body["keyId"], &body["environment"]), (&json!(server.live().id), &json!("LIVE")));

        let flags = ["--write-out", "\n%{http_version} %{http_code} %{content_type}", flag];
        let refused = ok(curl(&server, &flags, "/v1/keys", None).await.expect("curl was there before"));
        let (body, facts) = refused.rsplit_once('\n').expect("the facts are on a line of their own");
        assert_eq!(facts, format!("{version} 401 application/problem+json"));
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!((&body["error"], &body["code"]), (&json!("unauthorized"), &json!("MISSING_CREDENTIAL")));
    }
}

#[tokio::test]
async fn curl_posts_json_and_grpc_web() {
    let server = TestServer::start().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let body = json!({"type": "RK", "name": "shop", "scopes": ["read:products"]}).to_string();
        let flags = [version, "--header", "content-type: application/json", "--data", &body];
        let Some(made) = curl(&server, &flags, "/v1/keys", Some(&server.live())).await else { return };
        let made: Value = serde_json::from_str(&ok(made)).expect("JSON");
        let key = Actor::made(made["secret"].as_str().expect("a secret"), made["key"]["id"].as_str().expect("an id"));

        // A frame with an empty message, and back a frame with the answer and one with the trailers, in base64.
        let (sent, wanted) = ("content-type: application/grpc-web-text", "accept: application/grpc-web-text");
        let flags = [version, "--header", sent, "--header", wanted, "--data", "AAAAAAA="];
        let answer =
            curl(&server, &flags, "/gatepost.v1.Auth/WhoAmI", Some(&key)).await.expect("curl was there before");
        let decoded = unbase64(&ok(answer));
        assert!(contains(&decoded, key.id.as_bytes()) && contains(&decoded, b"grpc-status:0"), "{decoded:?}");
    }
}

#[tokio::test]
async fn curl_asks_for_heads_and_options() {
    let server = TestServer::start().await;
    let admin = server.live();
    for (version, status) in [("--http1.1", "HTTP/1.1 "), ("--http2-prior-knowledge", "HTTP/2 ")] {
        let ask = async |flags: &[&str], target: &str, actor: Option<&Actor>| {
            let flags: Vec<_> = ["--include", version].into_iter().chain(flags.iter().copied()).collect();
            let answer = ok(curl(&server, &flags, target, actor).await?).to_ascii_lowercase();
            let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.starts_with(&status.to_ascii_lowercase()), "{head}");
            let code = head.split_whitespace().nth(1).expect("a status").to_owned();
            Some((code, head.to_owned(), body.to_owned()))
        };
        let Some((code, head, _)) = ask(&["--head"], "/v1/auth/whoami", Some(&admin)).await else { return };
        assert_eq!(code, "200", "{head}");
        assert!(head.contains("content-type: application/json") && head.contains("content-length: "), "{head}");
        let (code, head, _) = ask(&["--head"], "/v1/auth/whoami", None).await.expect("curl was there before");
        assert_eq!(code, "401", "{head}");
        assert!(head.contains("www-authenticate: bearer realm=\"gatepost\""), "{head}");

        let options = ["--request", "OPTIONS"];
        let (code, head, body) = ask(&options, "/v1/keys", None).await.expect("curl was there before");
        assert_eq!((code.as_str(), body.as_str()), ("204", ""), "{head}");
        let allow = head.lines().find_map(|line| line.strip_prefix("allow: ")).expect("the methods are told");
        for method in ["get", "head", "post", "options"] {
            assert!(allow.split(", ").any(|word| word == method), "{method}: {allow}");
        }
        let preflight = [
            "--request",
            "OPTIONS",
            "--header",
            "origin: https://shop.example",
            "--header",
            "access-control-request-method: GET",
            "--header",
            "access-control-request-headers: x-builton-api-key",
        ];
        let (code, head, _) = ask(&preflight, "/products", None).await.expect("curl was there before");
        assert_eq!(code, "204", "{head}");
        assert!(head.contains("access-control-allow-origin: *") && head.contains("x-builton-api-key"), "{head}");

        let (code, head, _) = ask(&["--request", "DELETE"], "/v1/keys", Some(&admin)).await.expect("as before");
        assert!(code == "405" && head.contains("allow: "), "{head}");
    }
}

#[tokio::test]
async fn a_browser_speaks_grpc_web() {
    let server = TestServer::start().await;
    let key = server.rk(&["read:products", "verify:credentials"]).await;
    let verify = json!({"credential": key.secret, "scopes": ["read:products"]});
    let Some(answer) = grpc_web(&server, "Auth/Verify", &key, &verify).await else { return };
    let decision = &answer["messages"][0];
    assert_eq!((&decision["valid"], &decision["keyId"]), (&json!(true), &json!(key.id)), "{answer}");

    let watched = grpc_web(&server, "Auth/WatchRevocations", &key, &json!({"fromRevision": "0"})).await;
    let watched = watched.expect("Node.js was there before");
    assert_eq!(watched["messages"][0]["kind"], "CREATED", "{watched}");

    let (anonymous, stranger) =
        (Actor::anonymous(), Actor::stranger("rk", gatepost::domain::environment::Environment::Live));
    let refusals = [
        (&anonymous, "Products/ListProducts", "Unauthenticated", "MISSING_CREDENTIAL"),
        (&stranger, "Products/ListProducts", "Unauthenticated", "NOT_FOUND"),
        (&key, "Keys/ListKeys", "PermissionDenied", "INSUFFICIENT_SCOPE"),
    ];
    for (actor, rpc, code, reason) in refusals {
        let answer = grpc_web(&server, rpc, actor, &json!({})).await.expect("Node.js was there before");
        assert_eq!((&answer["code"], &answer["reasons"][0]["reason"]), (&json!(code), &json!(reason)), "{answer}");
        assert_eq!(answer["reasons"][0]["domain"], "gatepost");
        let id = &answer["reasons"][0]["metadata"]["request_id"];
        assert!(id.is_string() && *id == answer["headers"]["x-request-id"], "{answer}");
    }
}

#[tokio::test]
async fn generated_clients_call_every_service() {
    let server = TestServer::start().await;
    let (mut auth, mut keys, mut products) = clients(&server, &server.live());
    let made = keys.create_key(v1::CreateKeyRequest {
        r#type: v1::key::Type::Rk.into(),
        name: "shop".to_owned(),
        scopes: vec!["read:products".to_owned()],
        ..v1::CreateKeyRequest::default()
    });
    let made = made.await.expect("a key is made").into_inner();
    let (key, secret) = (made.key.expect("the key"), made.secret);
    let verify = v1::VerifyRequest { credential: secret.clone(), ..v1::VerifyRequest::default() };
    let decision = auth.verify(verify).await.expect("a decision").into_inner();
    assert!(decision.valid && decision.key_id.as_ref() == Some(&key.id), "{decision:?}");

    let product = v1::Product { name: "Hat".to_owned(), ..v1::Product::default() };
    products.create_product(v1::CreateProductRequest { product: Some(product) }).await.expect("a product is made");
    let (mut as_key, mut no_keys, mut catalogue) = clients(&server, &Actor::made(&secret, &key.id));
    let listed = catalogue.list_products(v1::ListProductsRequest::default()).await.expect("it may read").into_inner();
    assert_eq!(listed.data[0].name, "Hat");
    assert_eq!(as_key.who_am_i(v1::WhoAmIRequest {}).await.expect("it is someone").into_inner().key_id, key.id);
    let refused = no_keys.list_keys(v1::ListKeysRequest::default()).await.expect_err("it may not");
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_watcher_is_told_of_every_change_in_order_and_misses_none_while_it_is_away() {
    let server = TestServer::start().await;
    let (mut auth, mut keys, _) = clients(&server, &server.live());
    let (_, mut test_keys, _) = clients(&server, &server.test());
    let watch = |from_revision| v1::WatchRevocationsRequest { from_revision };
    let mut stream = auth.watch_revocations(watch(None)).await.expect("the stream begins").into_inner();
    let now = next(&mut stream).await;
    assert_eq!(now.kind(), Kind::Heartbeat, "the first message is at once: {now:?}");

    let new = |name: &str| v1::CreateKeyRequest { name: name.to_owned(), ..v1::CreateKeyRequest::default() };
    let made = keys.create_key(new("watched")).await.expect("a key is made").into_inner();
    let id = made.key.expect("the key").id;
    test_keys.create_key(new("of the other environment")).await.expect("a key is made");
    keys.suspend_key(v1::SuspendKeyRequest { id: id.clone(), etag: None }).await.expect("it is suspended");
    keys.resume_key(v1::ResumeKeyRequest { id: id.clone(), etag: None }).await.expect("it is resumed");
    let mut last = now.revision;
    for kind in [Kind::Created, Kind::Suspended, Kind::Resumed] {
        let event = next(&mut stream).await;
        assert_eq!((event.kind(), event.key_id.as_deref()), (kind, Some(id.as_str())), "{event:?}");
        assert!(event.revision > last, "revisions grow: {event:?} after {last}");
        last = event.revision;
    }

    drop(stream);
    let rotate = v1::RotateKeyRequest { id: id.clone(), ..v1::RotateKeyRequest::default() };
    keys.rotate_key(rotate).await.expect("it is rotated");
    keys.delete_key(v1::DeleteKeyRequest { id: id.clone(), etag: None }).await.expect("it is revoked");
    let mut stream = auth.watch_revocations(watch(Some(last))).await.expect("it goes on").into_inner();
    for kind in [Kind::Rotated, Kind::Revoked] {
        let event = next(&mut stream).await;
        assert_eq!((event.kind(), event.key_id.as_deref()), (kind, Some(id.as_str())), "{event:?}");
    }
    let ahead = auth.watch_revocations(watch(Some(u64::MAX >> 1))).await.expect_err("there is no such revision");
    assert_eq!(ahead.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn health_is_asked_and_watched_without_a_credential() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.clients().channel());
    let service = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for name in ["", "gatepost.v1.Auth", "gatepost.v1.Keys", "gatepost.v1.Products", "gatepost.v1.Users"] {
        let answer = health.check(service(name)).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name:?}");
    }
    let unknown = health.check(service("gatepost.v1.Nothing")).await.expect_err("there is none");
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = health.watch(service("")).await.expect("the stream begins").into_inner();
    assert_eq!(watch.message().await.expect("no error").expect("the state now").status(), ServingStatus::Serving);
}

#[tokio::test]
async fn every_client_is_served_over_tls() {
    let server = TestServer::builder().tls().start().await;
    let key = server.rk(&["read:products", "verify:credentials"]).await;
    let (mut auth, ..) = clients(&server, &key);
    assert_eq!(auth.who_am_i(v1::WhoAmIRequest {}).await.expect("tonic is served").into_inner().key_id, key.id);

    let certificate = server.directory().join("cert.pem").display().to_string();
    let bearer = format!("authorization: Bearer {}", key.secret);
    let host = format!("localhost:{}", server.address().port());
    let flags = ["-cacert", &certificate, "-H", &bearer, &host, "gatepost.v1.Auth/WhoAmI"];
    if let Some(answer) = Tool::Grpcurl.run(&flags).await {
        let answer: Value = serde_json::from_str(&ok(answer)).expect("JSON");
        assert_eq!(answer["keyId"], json!(key.id));
        let distrusted = Tool::Grpcurl.run(&["-connect-timeout", "5", &host, "list"]).await.expect("as before");
        assert!(!distrusted.success, "the certificate is trusted only where that is said: {distrusted:?}");
    }

    for (flag, version) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let flags = ["--cacert", &certificate, "--include", flag];
        let Some(answer) = curl(&server, &flags, "/v1/auth/whoami", Some(&key)).await else { break };
        let answer = ok(answer);
        assert!(answer.starts_with(version) && answer.contains(&key.id), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("strict-transport-security: max-age="), "{answer}");
    }

    let variables = [("NODE_EXTRA_CA_CERTS", certificate.as_str())];
    let request = json!({"credential": key.secret});
    if let Some(answer) = grpc_web_with(&server, "Auth/Verify", &key, &request, &variables).await {
        assert_eq!(answer["messages"][0]["code"], "VALID", "{answer}");
    }
}

#[tokio::test]
async fn the_readme_shows_calls_that_work() {
    if !["curl", "grpcurl", "strings"].into_iter().all(is_there) {
        return;
    }
    let server = TestServer::start().await;
    let key = server.rk(&["read:products"]).await;
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("\n## One request on each wire\n").expect("the README has the section");
    let (_, block) = section.split_once("```sh\n").expect("the section shows commands");
    let (block, _) = block.split_once("\n```").expect("the block ends");
    // A newcomer puts the key of the first start, and the one that the first call answers, into the places for them.
    let (own, rest) = block.split_once('\n').expect("the first line says who calls");
    assert!(own.starts_with("export GATEPOST_KEY=sk_live_..."), "{own}");
    let script = rest.replace("localhost:8080", &server.address().to_string()).replace("rk_live_...", &key.secret);
    let script = format!("set -euo pipefail\n{script}");
    let (url, admin) = (server.clients().origin.as_str(), server.live());
    let answer = run_script(&script, &[("GATEPOST_URL", url), ("GATEPOST_KEY", &admin.secret)]).await;
    let printed = ok(answer);
    // Verify over JSON and gRPC; WhoAmI over gRPC-Web; and two keys of the name were made, by curl and by the command line.
    assert_eq!(printed.matches(&key.id).count(), 3, "{printed}");
    assert_eq!(printed.matches("\"VALID\"").count(), 2, "{printed}");
    assert!(printed.contains(&admin.id) && printed.contains("grpc-status:0"), "{printed}");
    let listed = server.get("/v1/keys", &admin).await.expect(200, "").json();
    let made = listed["data"].as_array().expect("a list").iter().filter(|key| key["name"] == "shop");
    assert_eq!(made.count(), 2, "{listed}");
}

type Called = InterceptedService<Channel, Bearer>;

#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Generated clients of somebody.
fn clients(server: &TestServer, actor: &Actor) -> (AuthClient<Called>, KeysClient<Called>, ProductsClient<Called>) {
    let bearer = Bearer(format!("Bearer {}", actor.secret).parse().expect("a header's value"));
    let channel = InterceptedService::new(server.clients().channel(), bearer);
    (AuthClient::new(channel.clone()), KeysClient::new(channel.clone()), ProductsClient::new(channel))
}

async fn next(stream: &mut Streaming<v1::WatchRevocationsResponse>) -> v1::WatchRevocationsResponse {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
    next.expect("it comes soon").expect("no error").expect("the stream goes on")
}

/// grpcurl for the live administrator, after a call of it that found it there.
async fn grpcurl(server: &TestServer, flags: &[&str], rest: &[&str]) -> Answer {
    let bearer = format!("authorization: Bearer {}", server.live().secret);
    let address = server.address().to_string();
    let all: Vec<&str> =
        ["-plaintext", "-H", &bearer].iter().chain(flags).chain([&address.as_str()]).chain(rest).copied().collect();
    Tool::Grpcurl.run(&all).await.expect("grpcurl was there before")
}

async fn curl(server: &TestServer, flags: &[&str], target: &str, actor: Option<&Actor>) -> Option<Answer> {
    let url = format!("{}{target}", server.clients().origin);
    let bearer = actor.map(|actor| format!("authorization: Bearer {}", actor.secret));
    let mut all = vec!["--silent", "--show-error", "--noproxy", "*"];
    all.extend(flags);
    if let Some(bearer) = &bearer {
        all.extend(["--header", bearer.as_str()]);
    }
    all.push(&url);
    Tool::Curl.run(&all).await
}

/// A call of the browser's client; its outcome.
async fn grpc_web(server: &TestServer, rpc: &str, actor: &Actor, request: &Value) -> Option<Value> {
    grpc_web_with(server, rpc, actor, request, &[]).await
}

async fn grpc_web_with(
    server: &TestServer,
    rpc: &str,
    actor: &Actor,
    request: &Value,
    variables: &[(&str, &str)],
) -> Option<Value> {
    let descriptors = server.directory().join("descriptors.bin");
    std::fs::write(&descriptors, DESCRIPTORS).expect("the directory can be written");
    let headers = match actor.secret.as_str() {
        "" => json!({}),
        secret => json!({"authorization": format!("Bearer {secret}")}),
    };
    let arguments = [
        server.clients().origin.as_str(),
        &descriptors.display().to_string(),
        &format!("gatepost.v1.{rpc}"),
        &headers.to_string(),
        &request.to_string(),
    ];
    let answer = run_node_with(include_str!("../clients/grpc_web.mjs"), &arguments, variables).await?;
    Some(serde_json::from_str(&ok(answer)).expect("the client prints JSON"))
}

/// What a program printed, which ended well.
#[track_caller]
fn ok(answer: Answer) -> String {
    assert!(answer.success, "{answer:?}");
    answer.stdout
}

fn unbase64(text: &str) -> Vec<u8> {
    use base64::Engine;
    // Every part is padded by itself.
    let parts = text.as_bytes().chunks_exact(4);
    parts.flat_map(|four| base64::prelude::BASE64_STANDARD.decode(four).expect("base64")).collect()
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}
