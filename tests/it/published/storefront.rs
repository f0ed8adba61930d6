//! The storefront API's documented calls, word for word.

use serde_json::{Value, json};

use crate::support::{Actor, Reply, TestServer};

/// A shop with three products, and its publishable key in the header that its clients send.
async fn shop() -> (TestServer, Actor) {
    let server = TestServer::start().await;
    for name in ["Red shoe", "Blue shoe", "Hat"] {
        let made =
            server.post("/products", &server.live(), &json!({"name": name, "price": "19.90", "currency": "EUR"})).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let key = server.pk(&["read:products"]).await.by_header("x-builton-api-key");
    (server, key)
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().expect("a bare array").iter().map(|product| product["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn lists_are_bare_arrays_with_their_total_in_a_header() {
    let (server, key) = shop().await;
    let list = server.get("/products?size=2", &key).await.expect(200, "");
    assert_eq!(names(&list.json()), ["Hat", "Blue shoe"]);
    assert_eq!(list.header("x-pagination-total"), "3");
    let list = server.get("/products?size=2&page=1", &key).await.expect(200, "");
    assert_eq!(names(&list.json()), ["Red shoe"]);
    let all = server.get("/products", &key).await.expect(200, "");
    assert_eq!((names(&all.json()).len(), all.header("x-pagination-total")), (3, "3"));
}

#[tokio::test]
async fn a_page_past_the_end_is_an_empty_array() {
    let (server, key) = shop().await;
    let past = server.get("/products?size=100&page=7", &key).await.expect(200, "");
    assert_eq!((past.text.as_str(), past.header("x-pagination-total")), ("[]", "3"));
}

#[tokio::test]
async fn products_are_read_and_found() {
    let (server, key) = shop().await;
    let list = server.get("/products?size=5", &key).await.json();
    let id = list[0]["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/products/{id}"), &key).await.expect(200, "").json(), list[0]);
    let found = server.get("/products/search?query=shoe&page=0&size=100", &key).await.expect(200, "");
    assert_eq!((names(&found.json()), found.header("x-pagination-total")), (vec!["Blue shoe", "Red shoe"], "2"));
    server.get("/products/prod_00000000000000000000000000000000", &key).await.expect(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn put_is_partial_and_ignores_what_it_does_not_know() {
    let (server, key) = shop().await;
    let list = server.get("/products", &key).await.json();
    let target = format!("/products/{}", list[0]["id"].as_str().unwrap());
    let put = server.request(http::Method::PUT, &target, &server.live());
    let put = server.send(put.json(&json!({"description": "Warm", "_id": {"$oid": "1"}, "short_name": 5}))).await;
    let mut wanted = list[0].clone();
    wanted["description"] = json!("Warm");
    let mut got = put.expect(200, "").json();
    for moving in ["etag", "updatedAt"] {
        got[moving] = wanted[moving].clone();
    }
    assert_eq!(got, wanted);
    let gone = server.send(server.request(http::Method::DELETE, &target, &server.live())).await.expect(200, "");
    assert_eq!(gone.json()["id"], list[0]["id"]);
    server.get(&target, &key).await.expect(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn a_json_content_type_on_a_request_without_a_body_is_no_error() {
    let (server, key) = shop().await;
    for method in [http::Method::GET, http::Method::HEAD] {
        let request = server.request(method, "/products?size=1", &key).header("content-type", "application/json");
        server.send(request).await.expect(200, "");
    }
}

#[tokio::test]
async fn browsers_may_send_the_key_and_read_the_total() {
    let (server, key) = shop().await;
    let preflight = server
        .request(http::Method::OPTIONS, "/products?size=5", &Actor::anonymous())
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "x-builton-api-key,authorization,content-type");
    let preflight = server.send(preflight).await.expect(204, "");
    let allowed = preflight.header("access-control-allow-headers").to_owned();
    for header in ["x-builton-api-key", "authorization", "content-type"] {
        assert!(allowed.contains(header), "{allowed}");
    }
    assert!(preflight.header("access-control-allow-methods").contains("GET"));

    let exposes = |reply: &Reply| {
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        assert!(reply.header("access-control-expose-headers").contains("x-pagination-total"), "{reply:?}");
    };
    let list = server.request(http::Method::GET, "/products", &key).header("origin", "https://shop.example");
    exposes(&server.send(list).await.expect(200, ""));
    let refused = server.request(http::Method::GET, "/products", &Actor::anonymous());
    exposes(&server.send(refused.header("origin", "https://shop.example")).await.expect(401, "MISSING_CREDENTIAL"));
}

#[tokio::test]
async fn a_publishable_key_beside_a_bearer_is_one_caller() {
    let (server, key) = shop().await;
    let staff = server.rk(&["read:products", "write:products"]).await;
    let both = staff.with("x-builton-api-key", &key.secret);
    server.post("/products", &both, &json!({"name": "Sock"})).await.expect(200, "");
    let who = server.get("/v1/auth/whoami", &both).await.expect(200, "").json();
    assert_eq!((&who["keyId"], &who["publishableKeyId"]), (&json!(both.id), &json!(key.id)));
    server.post("/products", &key, &json!({"name": "Sock"})).await.expect(403, "CALLER_NOT_ALLOWED");

    let other = server.test().with("x-builton-api-key", &key.secret);
    server.get("/products", &other).await.expect(403, "ENV_MISMATCH");
    let foreign = server.other_project("elsewhere", gatepost::domain::environment::Environment::Live).await;
    server.get("/products", &foreign.with("x-builton-api-key", &key.secret)).await.expect(401, "NOT_FOUND");
}
