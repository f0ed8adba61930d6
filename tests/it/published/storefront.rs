//! The storefront API's documented calls, word for word.

use serde_json::{Value, json};

use crate::identities::{Provider, trust};
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

#[tokio::test]
async fn the_documented_calls_work_in_order() {
    let (server, key) = shop().await;
    let provider = Provider::new("auth0");
    trust(&server, &server.live(), json!({"jwks": provider.jwks()})).await;
    let api_key = format!("X-Builton-Api-Key: {}", key.secret);
    let jwt = format!("Authorization: Bearer {}", provider.of("auth0|5c8a"));
    let json_type = "Content-Type: application/json";

    // Products, with the key alone. Clients name the type of a body they do not send, and page every list.
    let list = server.curl("GET /products?size=5", &[&api_key, json_type], "").await.expect(200);
    assert_eq!((names(&list.json()).len(), list.header("x-pagination-total")), (3, "3"));
    let list = server.curl("GET /products?page=0&size=100", &[&api_key, json_type], "").await.expect(200);
    assert_eq!(names(&list.json()), ["Hat", "Blue shoe", "Red shoe"]);
    let past = server.curl("GET /products?page=1&size=100", &[&api_key, json_type], "").await.expect(200);
    assert_eq!(past.text, "[]");
    let found =
        server.curl("GET /products/search?query=shoe&page=0&size=100", &[&api_key], "").await.expect(200).json();
    let id = found[0]["id"].as_str().expect("an id");
    server.curl(&format!("GET /products/{id}"), &[&api_key, json_type], "").await.expect(200);

    // A user, by the tenant's own identity provider: sign-up and login in one.
    let body = r#"{"first_name":"Ada","last_name":"Lovelace","email":"ada@example.com"}"#;
    let both = [api_key.as_str(), &jwt, json_type];
    let ada = server.curl("POST /users", &both, body).await.expect(200).json();
    assert_eq!((&ada["firstName"], &ada["email"]), (&json!("Ada"), &json!("ada@example.com")));
    for path in ["POST /users", "POST /v2/users"] {
        assert_eq!(server.curl(path, &both, body).await.expect(200).json()["id"], ada["id"], "{path}");
    }
    assert_eq!(server.curl("GET /users/me", &both, "").await.expect(200).json()["id"], ada["id"]);
    let changed = server.curl("PUT /users/me", &both, r#"{"last_name":"King"}"#).await.expect(200).json();
    assert_eq!((&changed["firstName"], &changed["lastName"]), (&json!("Ada"), &json!("King")), "`PUT` is partial");
    // Whoever is signed in still sees the products.
    server.curl("GET /products?page=0&size=100", &both, "").await.expect(200);

    // A service account beside the key, as the shop's own server calls.
    let staff = server.service_account(&["read:users", "write:products"]).await;
    let staff = [api_key.as_str(), &format!("Authorization: Bearer {}", staff.secret), json_type];
    let users = server.curl("GET /users?page=0&size=100", &staff, "").await.expect(200);
    assert_eq!(users.header("x-pagination-total"), "2");
    let made = server.curl("POST /products", &staff, r#"{"name":"Sock"}"#).await.expect(200).json();
    let target = format!("DELETE /products/{}", made["id"].as_str().expect("an id"));
    assert_eq!(server.curl(&target, &staff, "").await.expect(200).json()["id"], made["id"]);

    // Refusals, read as `error` and `message`, by pages of other origins too.
    server.curl("GET /products", &[json_type], "").await.error(401, "unauthorized");
    server.curl("GET /users/me", &[&api_key], "").await.error(403, "caller_not_allowed");
    server.curl("POST /users", &[&api_key, json_type], body).await.error(403, "caller_not_allowed");
    server.curl("POST /users", &[&jwt, json_type], body).await.error(401, "unauthorized");
    let stranger = format!("Authorization: Bearer {}", Provider::new("auth0").of("auth0|5c8a"));
    let origin = "Origin: https://shop.example";
    let refused = server.curl("GET /users/me", &[&api_key, &stranger, origin], "").await.error(401, "unauthorized");
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    let preflight = server
        .curl(
            "OPTIONS /users/me",
            &[
                origin,
                "Access-Control-Request-Method: PUT",
                "Access-Control-Request-Headers: x-builton-api-key,authorization",
            ],
            "",
        )
        .await
        .expect(204);
    assert!(preflight.header("access-control-allow-methods").contains("PUT"), "{preflight:?}");

    // Gone, at once.
    assert_eq!(server.curl("DELETE /users/me", &both, "").await.expect(200).json()["id"], ada["id"]);
    server.curl("GET /users/me", &both, "").await.error(401, "unauthorized");
}
