//! `GET /openapi.json` describes what the server does, and comes as documents do.

use gatepost::proto::descriptor_pool;
use http::Method;
use serde_json::{Map, Value, json};

use crate::oauth_grants::given;
use crate::support::tools::{Tool, run_node};
use crate::support::{Actor, Reply, TestServer, Wire};

#[tokio::test]
async fn the_document_holds_for_what_the_server_answers() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json", &Actor::anonymous()).await.expect(200, "").json();
    let powerless = server.key(&[]).await;
    let mut answers = Vec::new();
    // What users do for themselves is played with users of its own.
    for call in calls(&document).into_iter().filter(|call| !call.is_for_users()) {
        let path = fresh_path(&server, &call).await;
        let call = call.about_what_is_there(&server).await;
        let answer = call.send(&server, &path, &server.live()).await;
        assert_eq!(answer["status"], 200, "the example of {} {}: {answer}", call.method, call.template);
        answers.push(answer);
        // A credential that is missing, and one that may do nothing.
        for actor in [&Actor::anonymous(), &powerless] {
            let answer = call.send(&server, &path, actor).await;
            if call.template != "/v1/auth/whoami" {
                assert!([json!(401), json!(403)].contains(&answer["status"]), "{answer}");
            }
            answers.push(answer);
        }
    }
    let live = server.live();
    for (method, path, body, status) in [
        (Method::GET, "/v1/keys/key_0123", Value::Null, 404),
        (Method::GET, "/v1/keys?limit=0", Value::Null, 400),
        (Method::POST, "/v1/keys", json!({"nome": "x"}), 400),
        (Method::POST, "/v1/scopes", json!({"name": "read:budgets"}), 409),
    ] {
        let call = Call { method, body, ..Call::default() };
        let answer = call.send(&server, path, &live).await;
        assert_eq!(answer["status"], status, "{answer}");
        answers.push(answer);
    }
    check(&server, &document, &answers).await;
}

#[tokio::test]
async fn the_document_names_the_headers_that_this_server_takes_keys_in() {
    let server = TestServer::builder().set("key_headers", "x-shop-key").start().await;
    let document = server.get("/openapi.json", &Actor::anonymous()).await.json();
    let schemes: Vec<_> = document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(schemes, ["bearer", "x-api-key", "x-shop-key"]);
}

#[tokio::test]
async fn documents_are_compressed_and_what_may_hold_a_secret_is_not() {
    let server = TestServer::start().await;
    let plain = server.get("/openapi.json", &Actor::anonymous()).await.expect(200, "");
    assert_eq!(plain.header("content-type"), "application/json");
    assert_eq!(plain.header("cache-control"), "public, max-age=300");
    assert_eq!(plain.header("vary"), "accept-encoding");
    assert_eq!(plain.header("content-encoding"), "");

    let asking = |accepted: &str| Actor::anonymous().with("accept-encoding", accepted);
    let send = async |method: Method, target: &str, actor: &Actor| {
        let response = server.request(method, target, actor).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let header = move |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (status, header, response.bytes().await.unwrap())
    };
    for coding in ["gzip", "br", "zstd"] {
        let (status, header, body) = send(Method::GET, "/openapi.json", &asking(coding)).await;
        assert_eq!((status, header("content-encoding").as_str()), (200, coding));
        assert!(body.len() < plain.text.len() / 5, "{coding}: {} of {} bytes", body.len(), plain.text.len());

        let (status, head, nothing) = send(Method::HEAD, "/openapi.json", &asking(coding)).await;
        assert_eq!((status, head("content-length"), nothing.len()), (200, body.len().to_string(), 0));
        assert_eq!(head("etag"), header("etag"));

        let again = asking(coding).with("if-none-match", &header("etag"));
        let (status, fresh, nothing) = send(Method::GET, "/openapi.json", &again).await;
        assert_eq!((status, nothing.len()), (304, 0));
        assert_eq!((fresh("etag"), fresh("vary")), (header("etag"), header("vary")));

        let (status, header, _) = send(Method::GET, "/metrics", &asking(coding)).await;
        assert_eq!((status, header("content-encoding").as_str()), (200, coding));

        let admin = server.live().with("accept-encoding", coding);
        let key = json!({"name": "x".repeat(100), "description": "y".repeat(1_000)});
        let reply = server.post("/v1/keys", &admin, &key).await.expect(200, "");
        assert_eq!(reply.header("content-encoding"), "");
        assert!(!reply.json()["secret"].as_str().unwrap().is_empty());
    }
    let (status, header, _) = send(Method::GET, "/openapi.json", &asking("identity;q=0")).await;
    assert_eq!((status, header("vary").as_str()), (406, "accept-encoding"));
    let (status, header, _) = send(Method::POST, "/openapi.json", &asking("gzip")).await;
    assert_eq!((status, header("allow").as_str()), (405, "GET, HEAD"));

    let url = format!("http://{}/openapi.json", server.address());
    if let Some(answer) = Tool::Curl.run(&["--silent", "--fail", "--compressed", "--noproxy", "*", &url]).await {
        assert_eq!(answer.stdout, plain.text, "{answer:?}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_read_the_document() {
    let server = TestServer::start().await;
    let page = Actor::anonymous().with("origin", "https://docs.example");
    let reply = server.get("/openapi.json", &page).await.expect(200, "");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
}

/// An operation of the document, with its examples.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) template: String,
    body: Value,
    /// The query: parameters that must be there.
    query: String,
    streams: bool,
}

impl Call {
    /// The same call, of which the example names a credential, with one that was made.
    pub(crate) async fn about_what_is_there(mut self, server: &TestServer) -> Self {
        if self.template == "/v1/leak-reports" && self.method == Method::POST {
            self.body["credential"] = json!(server.key(&[]).await.secret);
        }
        self
    }

    /// Whether it is of the RPC that takes the token of a trusted issuer.
    pub(crate) fn brings_a_user(&self) -> bool {
        self.method == Method::POST && ["/users", "/v2/users"].contains(&self.template.as_str())
    }

    /// Whether it is of an RPC that takes users only, or lets them in.
    pub(crate) fn is_for_users(&self) -> bool {
        let own = ["/users/me", "/user", "/auth/credentials"].contains(&self.template.as_str());
        let own = own || self.template.starts_with("/user/") || self.brings_a_user();
        own || self.template.starts_with("/v1/users/me") || self.template.starts_with("/v1/auth/sign-")
    }
}

/// All operations.
pub(crate) fn calls(document: &Value) -> Vec<Call> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations =
        paths.flat_map(|(template, item)| item.as_object().expect("operations").iter().map(move |o| (template, o)));
    let calls: Vec<_> = operations
        .map(|(template, (method, operation))| {
            let parameters = operation["parameters"].as_array().expect("parameters").iter();
            let needed = parameters.filter(|p| p["in"] == "query" && p["required"] == true);
            let query: Vec<_> = needed.map(|p| format!("{}={}", text(&p["name"]), text(&p["example"]))).collect();
            Call {
                method: method.to_uppercase().parse().expect("a method"),
                template: template.clone(),
                body: operation["requestBody"]["content"]["application/json"]["example"].clone(),
                query: query.join("&"),
                streams: !operation["responses"]["200"]["content"]["text/event-stream"].is_null(),
            }
        })
        .collect();
    let methods = descriptor_pool().services().flat_map(|service| service.methods().collect::<Vec<_>>()).count();
    assert!(calls.len() >= methods, "{} operations for {methods} RPCs", calls.len());
    calls
}

/// The path of an operation on a thing that was made for it.
pub(crate) async fn fresh_path(server: &TestServer, call: &Call) -> String {
    let make = async |rpc: &str, request: Value| server.call(Wire::Grpc, rpc, &server.live(), request).await.ok();
    if call.template.starts_with("/v1/users/{userId}/sessions") {
        let handle = format!("reader-{}", call.method.as_str().to_lowercase());
        let user = server.person(&server.live(), &handle, &[]).await;
        let session = server.sign_in(&server.live(), &handle).await;
        return call.template.replace("{userId}", &user).replace("{id}", &session.id);
    }
    if call.template.starts_with("/v1/grants/") {
        server.person(&server.live(), "giver", &["read:users"]).await;
        return call.template.replace("{id}", &given(server, &server.live(), "giver", "App").await);
    }
    if call.template.starts_with("/v1/webhooks/{") {
        let webhook = json!({"webhook": {"url": "https://hooks.invalid/", "events": ["*"]}});
        let made = make("Keys/CreateWebhook", webhook).await;
        Actor::made(text(&made["secret"]), "");
        let webhook = text(&made["webhook"]["id"]);
        if !call.template.contains("{webhookId}") {
            return call.template.replace("{id}", webhook);
        }
        let tested = make("Keys/TestWebhook", json!({"id": webhook})).await;
        return call.template.replace("{webhookId}", webhook).replace("{id}", text(&tested["data"][0]["id"]));
    }
    let value = if !call.template.contains('{') {
        String::new()
    } else if call.template.starts_with("/v1/keys") {
        let key = json!({"name": "a key", "recoverable": true, "scopes": ["read:keys", "read:users"]});
        let key = server.new_key(key).await;
        if call.template.ends_with(":narrow") {
            server.call(Wire::Grpc, "Keys/ListKeys", &key, json!({})).await.ok();
        }
        if call.template.ends_with(":resume") {
            make("Keys/SuspendKey", json!({"id": key.id})).await;
        }
        key.id
    } else if call.template.starts_with("/v1/projects") {
        let name = format!("a-{}", call.method.as_str().to_lowercase());
        server.project(&name).await;
        name
    } else if call.template.starts_with("/v1/scopes") {
        let name = format!("read:{}", call.method.as_str().to_lowercase());
        make("Auth/CreateScope", json!({"scope": {"name": name}})).await;
        name
    } else if call.template.starts_with("/v1/clients") {
        let client = json!({"client": {"name": "App", "redirectUris": ["https://app.example.com/callback"]}});
        text(&make("Auth/CreateClient", client).await["client"]["id"]).to_owned()
    } else if call.template.starts_with("/v1/alert-rules") {
        "new_network".to_owned()
    } else if call.template.starts_with("/v1/alerts") {
        crate::alerts::raised(server, &server.live()).await
    } else if call.template.starts_with("/v1/issuers") {
        let issuer = json!({"issuer": format!("https://{}.example", call.method), "audiences": ["shop"]});
        text(&make("Auth/CreateIssuer", json!({"issuer": issuer})).await["issuer"]["id"]).to_owned()
    } else if call.template.contains("/users/") {
        text(&make("Users/CreateUser", json!({"user": {}})).await["user"]["id"]).to_owned()
    } else {
        text(&make("Products/CreateProduct", json!({"product": {"name": "Shoe"}})).await["product"]["id"]).to_owned()
    };
    let (before, after) = call.template.split_once('{').unwrap_or((&call.template, "}"));
    let (_, after) = after.split_once('}').expect("a brace is closed");
    assert!(!after.contains('{'), "{}: one variable is all this knows to fill", call.template);
    format!("{before}{value}{after}")
}

impl Call {
    /// What comes of the call, as the check wants it.
    pub(crate) async fn send(&self, server: &TestServer, path: &str, actor: &Actor) -> Value {
        let target = if self.query.is_empty() { path.to_owned() } else { format!("{path}?{}", self.query) };
        let mut request = server.request(self.method.clone(), &target, actor);
        if !self.body.is_null() {
            request = request.json(&self.body);
        }
        let (status, kind, body) = if self.streams && !actor.id.is_empty() && actor.id == server.live().id {
            let mut response = request.send().await.expect("an answer");
            let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
            let first = response.chunk().await.expect("a message").expect("a message");
            (response.status().as_u16(), kind, serde_json::from_slice(&first).expect("a line of JSON"))
        } else {
            let Reply { status, headers, text } = server.send(request).await;
            let kind = headers["content-type"].to_str().expect("text").to_owned();
            (status, kind, serde_json::from_str(&text).expect("JSON"))
        };
        let path = path.split('?').next();
        let method = self.method.as_str().to_lowercase();
        let members =
            [("method", method.into()), ("path", path.into()), ("status", status.into()), ("type", kind.into())];
        let mut answer: Map<_, _> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        answer.insert("body".to_owned(), body);
        answer.into()
    }
}

/// Has public tools check the document, and the answers against it.
async fn check(server: &TestServer, document: &Value, answers: &[Value]) {
    let files = [("openapi.json", document.to_string()), ("answers.json", Value::from(answers).to_string())];
    let files = files.map(|(name, content)| {
        let path = server.directory().join(name);
        std::fs::write(&path, content).expect("the directory can be written");
        path.display().to_string()
    });
    let module = include_str!("../clients/openapi.mjs");
    let Some(answer) = run_node(module, &[&files[0], &files[1]]).await else { return };
    assert!(answer.success, "{answer:?}");
    assert!(answer.stdout.is_empty(), "{}", answer.stdout);
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
