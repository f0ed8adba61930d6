//! Paths, methods and parameters.

use http::Method;
use serde_json::{Value, json};

use crate::support::http::escape;
use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn what_is_not_there_is_told_apart() {
    let server = TestServer::start().await;
    let admin = server.live();
    let call = async |method: &str, target: &str| {
        let method = method.parse().expect("a method");
        server.send(server.request(method, target, &admin)).await
    };
    let nowhere = [
        "/",
        "/v1",
        "/v1/",
        "/v2/keys",
        "/v1/keys/",
        "/v1/keys//",
        "/v1/keys/x/y",
        "/v1//keys",
        "//v1/keys",
        "/V1/keys",
        "/v1/keys%2Fx/y",
        "/gatepost.v1.Keys/ListKeys",
        "/v1/products:nothing",
        "/favicon.ico",
        "/v1/auth",
    ];
    for target in nowhere {
        for method in ["GET", "POST", "BREW"] {
            let reply = call(method, target).await.expect(404, "UNKNOWN_METHOD");
            assert_eq!(reply.json()["error"], "not_found", "{method} {target}");
        }
    }
    for (method, target, allow) in [
        ("DELETE", "/v1/keys", "GET, HEAD, POST, OPTIONS"),
        ("PATCH", "/v1/keys", "GET, HEAD, POST, OPTIONS"),
        ("BREW", "/v1/keys", "GET, HEAD, POST, OPTIONS"),
        ("POST", "/v1/keys/key_1", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        ("GET", "/v1/keys/key_1:rotate", "POST, OPTIONS"),
        ("HEAD", "/v1/auth/verify", "POST, OPTIONS"),
        ("POST", "/v1/auth/whoami", "GET, HEAD, OPTIONS"),
        ("HEAD", "/v1/auth/revocations:watch", "GET, OPTIONS"),
        ("DELETE", "/healthz", "GET, HEAD"),
    ] {
        let reply = call(method, target).await;
        assert_eq!((reply.status, reply.header("allow")), (405, allow), "{method} {target}");
        if method != "HEAD" && target != "/healthz" {
            reply.expect(405, "METHOD_NOT_ALLOWED");
        }
    }
    // No path tells who does not know anything: the wrong path is told before the credential is looked at.
    server.get("/v1/nothing", &Actor::anonymous()).await.expect(404, "UNKNOWN_METHOD");
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let server = TestServer::start().await;
    for (target, actor) in [
        ("/v1/auth/whoami", server.live()),
        ("/v1/keys?limit=1", server.live()),
        ("/v1/keys/key_1", server.live()),
        ("/v1/keys", Actor::anonymous()),
        ("/v1/nothing", server.live()),
        ("/v1/auth/verify", server.live()),
        ("/healthz", Actor::anonymous()),
    ] {
        let get = server.get(target, &actor).await;
        let clients = server.clients();
        // Over HTTP/1.1 the connection drops a body that should not be there; over HTTP/2 nobody does.
        for client in [&clients.http, &clients.http2] {
            let url = format!("{}{target}", clients.origin);
            let head = server.send(client.request(Method::HEAD, url).headers(actor.headers.clone())).await;
            assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{target}");
            for name in ["content-type", "content-length", "x-pagination-total", "www-authenticate", "cache-control"] {
                assert_eq!(head.header(name), get.header(name), "{target}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_path_is_decoded_once() {
    let server = TestServer::start().await;
    server.register(&["read:budgets"]).await;
    for name in ["read:budgets", "read%3Abudgets", "read%3abudgets", "READ_BUDGETS", "%52EAD_BUDGETS"] {
        let reply = server.get(&format!("/v1/scopes/{name}"), &server.live()).await.expect(200, "");
        assert_eq!(reply.json()["name"], "read:budgets", "{name}");
    }
    for name in ["read%253Abudgets", "read%3Abudgets%2F", "read%3Abudgets%00"] {
        server.get(&format!("/v1/scopes/{name}"), &server.live()).await.expect(404, "RESOURCE_NOT_FOUND");
    }
    for name in ["%FF", "%C3%28"] {
        let reply = server.get(&format!("/v1/scopes/{name}"), &server.live()).await.expect(400, "INVALID_FIELD");
        assert_eq!(reply.json()["violations"][0]["field"], "name", "{name}");
    }
    // What no client library sends.
    for target in ["/v1/scopes/%", "/v1/scopes/%4", "/v1/scopes/%zz"] {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            server.live().secret
        );
        let answer = server.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
}

#[tokio::test]
async fn parameters_are_fields_in_either_spelling() {
    let server = TestServer::start().await;
    let admin = server.live();
    for n in 0..3 {
        server.new_key(json!({"type": "RK", "name": format!("{n}"), "owner": "a+b", "scopes": ["read:keys"]})).await;
    }
    for (query, count) in [
        ("pageSize=2", 2),
        ("page_size=2", 2),
        ("page_size=%32", 2),
        ("type=RK", 3),
        ("type=rk", 3),
        ("type=2", 3),
        ("owner=a%2Bb", 3),
        ("&&type=RK&", 3),
        ("type=RK&limit=2&page=2", 1),
        ("type=RK&size=2&page=1", 1),
        ("state=SUSPENDED", 0),
    ] {
        let reply = server.get(&format!("/v1/keys?{query}"), &admin).await.expect(200, "");
        assert_eq!(reply.json()["data"].as_array().map(Vec::len), Some(count), "{query}");
    }
    for (query, field) in [
        ("nothing=1", "nothing"),
        ("page_size=x", "page_size"),
        ("page_size=", "page_size"),
        ("page_size=1.5", "page_size"),
        ("page_size=99999999999", "page_size"),
        ("page_size=1&pageSize=2", "pageSize"),
        ("type=NONE", "type"),
        ("type=%ff", "type"),
        ("data=1", "data"),
        ("page_size.x=1", "page_size.x"),
    ] {
        let reply = server.get(&format!("/v1/keys?{query}"), &admin).await.expect(400, "INVALID_FIELD");
        assert_eq!(reply.json()["violations"][0]["field"], field, "{query}: {reply:?}");
    }
    let reply = server.post("/v1/auth/verify?credential=x", &admin, &json!({})).await;
    assert_eq!(reply.expect(400, "INVALID_FIELD").json()["violations"][0]["field"], "credential");
    // What the path gives cannot be given again.
    let reply = server.get("/v1/keys/key_1?id=key_2", &admin).await.expect(400, "INVALID_FIELD");
    assert_eq!(reply.json()["violations"][0]["field"], "id");
    let long = format!("/v1/keys?{}=1", "x".repeat(1000));
    let reply = server.get(&long, &admin).await.expect(400, "INVALID_FIELD");
    assert!(reply.text.len() < 1000, "an error does not grow with the client's words");
}

#[tokio::test]
async fn the_storefronts_and_the_billing_apis_paths_are_the_same_products() {
    let server = TestServer::start().await;
    let admin = server.live();
    let shop = server.pk(&["read:products"]).await.by_header("x-builton-api-key");
    let mut ids = Vec::new();
    for n in 0..3 {
        let new = json!({"name": format!("Red shoe {n}"), "price": "19.90", "currency": "EUR"});
        let made = server.call(Wire::Json, "Products/CreateProduct", &admin, new_product(new)).await.ok();
        ids.insert(0, made["product"]["id"].clone());
        server.advance(std::time::Duration::from_millis(1));
    }
    let of =
        |list: &Value| -> Vec<Value> { list.as_array().expect("a list").iter().map(|p| p["id"].clone()).collect() };

    let reply = server.get("/products?size=2", &shop).await.expect(200, "");
    assert_eq!((of(&reply.json()), reply.header("x-pagination-total")), (ids[..2].to_vec(), "3"), "a bare array");
    let reply = server.get("/products?size=2&page=1", &shop).await.expect(200, "");
    assert_eq!(of(&reply.json()), ids[2..]);
    let reply = server.get("/products?size=5&page=9", &shop).await.expect(200, "");
    assert_eq!((reply.text.as_str(), reply.header("x-pagination-total")), ("[]", "3"));
    let one = format!("/products/{}", escape(ids[0].as_str().expect("an id")));
    assert_eq!(server.get(&one, &shop).await.expect(200, "").json()["id"], ids[0]);
    // A content type without content is no error.
    let typed = shop.clone().with("content-type", "application/json");
    server.get("/products", &typed).await.expect(200, "");

    let reply = server.get("/v1/api/public/products?page=1&limit=1", &admin).await.expect(200, "").json();
    assert_eq!(of(&reply["data"]), ids[..1]);
    assert_eq!(reply["pagination"], json!({"page": 1, "limit": 1, "total": 3, "hasMore": true}));
    let reply = server.get("/v1/api/public/products?page=4&limit=1", &server.test()).await.expect(200, "").json();
    assert_eq!(reply, json!({"data": [], "pagination": {"page": 4, "limit": 1, "total": 0, "hasMore": false}}));

    let poor = server.key(&["read:products"]).await;
    let reply = server.post("/v1/api/public/products", &poor, &json!({"name": "x"})).await;
    let problem = reply.expect(403, "INSUFFICIENT_SCOPE").json();
    assert_eq!(problem["error"], "insufficient_scope");
    assert_eq!(problem["message"], "API key does not have required scope: WRITE_PRODUCTS");
    let problem = server.get("/v1/api/public/products", &Actor::anonymous()).await.expect(401, "").json();
    assert_eq!(
        (&problem["error"], &problem["message"]),
        (&json!("unauthorized"), &json!("Invalid or missing API key"))
    );
}

fn new_product(product: Value) -> Value {
    json!({ "product": product })
}
