//! What the client is answered when a service does what it is asked.

use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;

use super::super::services::{Recorder, bytes};
use super::{call, request};
use crate::edge::without_body;
use crate::proto::dispatch::{Framed, Reply};
use crate::proto::v1::*;

#[tokio::test]
async fn answers_show_fields_without_presence() {
    let service = Recorder::answering(&VerifyResponse { code: 4, message: "no".to_owned(), ..Default::default() });
    let response = call(&service, request("POST /v1/auth/verify", "{}")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let expected = r#"{"valid":false,"code":"NOT_FOUND","message":"no","scopes":[],"metadata":{},"revision":"0","audiences":[],"behindIds":[],"rateLimits":[],"clientIpWouldBeDenied":false}"#;
    assert_eq!(String::from_utf8(bytes(response).await).unwrap(), expected);
}

#[tokio::test]
async fn the_answer_may_be_one_field() {
    let created_at = Some(Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 });
    let product = Product { id: "prod_1".to_owned(), created_at, ..Default::default() };
    let list =
        ListProductsResponse { data: vec![product.clone()], pagination: None, next_page_token: Some("t".to_owned()) };
    let body = |line: &'static str, list: ListProductsResponse| async move {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-pagination-total", "1".parse().unwrap());
        metadata.insert("x-internal", "secret".parse().unwrap());
        let message = Framed::new(&list);
        let service = Recorder::replying(Ok(Reply::Unary { metadata, message }));
        let response = call(&service, request(line, "")).await;
        assert_eq!(response.headers()["x-pagination-total"], "1");
        assert!(!response.headers().contains_key("x-internal"));
        serde_json::from_slice::<Value>(&bytes(response).await).unwrap()
    };
    let bare = body("GET /products", list.clone()).await;
    assert_eq!(bare[0]["id"], "prod_1");
    assert_eq!(bare[0]["createdAt"], "2023-11-14T22:13:20.120Z");
    assert_eq!(body("GET /products", ListProductsResponse::default()).await, json!([]));
    let whole = body("GET /v1/products", list).await;
    assert_eq!((&whole["data"], &whole["nextPageToken"]), (&bare, &json!("t")));

    let service = Recorder::answering(&GetProductResponse { product: Some(product) });
    let response = call(&service, request("GET /products/prod_1", "")).await;
    assert_eq!(serde_json::from_slice::<Value>(&bytes(response).await).unwrap(), bare[0]);
}

#[tokio::test]
async fn the_answer_to_head_has_the_length_of_the_body_it_leaves_out() {
    let answer = GetKeyResponse { key: Some(Key { id: "key_1".to_owned(), ..Default::default() }) };
    let get = call(&Recorder::answering(&answer), request("GET /v1/keys/key_1", "")).await;
    let head = without_body(call(&Recorder::answering(&answer), request("HEAD /v1/keys/key_1", "")).await);
    assert_eq!(head.headers()["content-length"], bytes(get).await.len().to_string());
    assert_eq!(head.headers()["content-type"], "application/json");
    assert!(bytes(head).await.is_empty());
}
