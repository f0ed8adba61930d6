//! The billing API's documented calls for products, and its errors, word for word.

use std::time::Duration;

use serde_json::json;

use crate::support::{Actor, TestServer, Wire};

const PRODUCTS: &str = "/v1/api/public/products";

#[tokio::test]
async fn an_empty_list_is_the_documented_one() {
    let server = TestServer::start().await;
    let key = server.rk(&["READ_PRODUCTS"]).await.by_header("x-api-key");
    let list = server.get("/v1/api/public/products?page=1&limit=1", &key).await.expect(200, "");
    assert_eq!(list.text, r#"{"data":[],"pagination":{"page":1,"limit":1,"total":0,"hasMore":false}}"#);
    server.get("/v1/api/public/products?page=0&limit=1", &key).await.expect(400, "INVALID_FIELD");
}

#[tokio::test]
async fn pages_count_from_one() {
    let server = TestServer::start().await;
    for n in 1..=3 {
        server.post(PRODUCTS, &server.live(), &json!({"name": format!("Plan {n}")})).await.expect(200, "");
    }
    let list = server.get("/v1/api/public/products?page=2&limit=2", &server.live()).await.expect(200, "").json();
    assert_eq!(list["data"][0]["name"], "Plan 1");
    assert_eq!(list["pagination"], json!({"page": 2, "limit": 2, "total": 3, "hasMore": false}));
    let list = server.get("/v1/api/public/products", &server.live()).await.expect(200, "").json();
    assert_eq!(list["pagination"], json!({"page": 1, "limit": 50, "total": 3, "hasMore": false}));
}

#[tokio::test]
async fn whoever_has_no_good_key_is_told_one_thing() {
    let server = TestServer::start().await;
    let revoked = server.rk(&["READ_PRODUCTS"]).await;
    server.send(server.request(http::Method::DELETE, &format!("/v1/keys/{}", revoked.id), &server.live())).await;
    let expired = server
        .new_key(
            json!({"name": "short", "scopes": ["READ_PRODUCTS"], "expiresAt": server.later(Duration::from_secs(5))}),
        )
        .await;
    server.advance(Duration::from_secs(6));
    let stranger = Actor::stranger("bk", gatepost::domain::environment::Environment::Live);
    for caller in [Actor::anonymous(), Actor::bearer("bk_live_123"), stranger, revoked, expired] {
        let answer = server.get(PRODUCTS, &caller).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["error"], &body["message"]),
            (401, &json!("unauthorized"), &json!("Invalid or missing API key")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_scope_is_named_in_the_apis_own_spelling() {
    let server = TestServer::start().await;
    let reader = server.rk(&["READ_PRODUCTS"]).await;
    let refused = server.post(PRODUCTS, &reader, &json!({"name": "x"})).await.expect(403, "INSUFFICIENT_SCOPE").json();
    assert_eq!(refused["error"], "insufficient_scope");
    assert_eq!(refused["message"], "API key does not have required scope: WRITE_PRODUCTS");

    server.register(&["WRITE_BUDGETS"]).await;
    let asked = json!({"credential": reader.secret, "scopes": ["WRITE_BUDGETS"]});
    let verdict = server.post("/v1/auth/verify", &server.live(), &asked).await.expect(200, "").json();
    assert_eq!(verdict["message"], "API key does not have required scope: WRITE_BUDGETS");
    let writer = server.rk(&["write:budgets"]).await;
    let asked = json!({"credential": writer.secret, "scopes": ["WRITE_BUDGETS"]});
    let verdict = server.post("/v1/auth/verify", &server.live(), &asked).await.expect(200, "").json();
    assert_eq!((&verdict["valid"], &verdict["scopes"]), (&json!(true), &json!(["WRITE_BUDGETS"])));
}

#[tokio::test]
async fn held_keys_and_wrong_addresses_have_words_of_their_own() {
    let server = TestServer::start().await;
    let held = server.rk(&["READ_PRODUCTS"]).await;
    server.post(&format!("/v1/keys/{}:suspend", held.id), &server.live(), &json!({})).await.expect(200, "");
    let elsewhere =
        server.new_key(json!({"name": "office", "scopes": ["READ_PRODUCTS"], "allowedIps": ["192.0.2.0/24"]})).await;
    let held = server.get(PRODUCTS, &held).await.expect(403, "SUSPENDED").json();
    let elsewhere = server.get(PRODUCTS, &elsewhere).await.expect(403, "IP_DENIED").json();
    assert_eq!((&held["error"], &elsewhere["error"]), (&json!("key_suspended"), &json!("ip_not_allowed")));
}

#[tokio::test]
async fn a_project_has_its_own_prefix() {
    let server = TestServer::start().await;
    let before = server.key(&["READ_PRODUCTS"]).await;
    let own = json!({"project": {"id": "default", "keyPrefix": "bk"}, "updateMask": "keyPrefix"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), own).await.ok();
    let after = server.key(&["READ_PRODUCTS"]).await;
    let test = server.new_key_by(&server.test(), json!({"name": "t", "scopes": ["READ_PRODUCTS"]})).await;
    assert!(after.secret.starts_with("bk_live_") && test.secret.starts_with("bk_test_"));
    for key in [before, after, test] {
        server.get(PRODUCTS, &key).await.expect(200, "");
    }
}
