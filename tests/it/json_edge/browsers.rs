//! Pages of other origins: preflights, and answers that a page may read.

use http::Method;

use crate::support::{Actor, TestServer};

const ORIGIN: &str = "https://shop.example";

#[tokio::test]
async fn a_preflight_is_answered_without_a_credential() {
    let server = TestServer::start().await;
    for target in ["/products", "/v1/keys", "/v1/keys/key_1:rotate", "/nothing", "/gatepost.v1.Keys/ListKeys"] {
        let page = Actor::anonymous()
            .with("origin", ORIGIN)
            .with("access-control-request-method", "POST")
            .with("access-control-request-headers", "x-builton-api-key,authorization,content-type,x-grpc-web");
        let reply = server.send(server.request(Method::OPTIONS, target, &page)).await.expect(204, "");
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{target}");
        let methods = reply.header("access-control-allow-methods");
        assert!(["GET", "POST", "PUT", "PATCH", "DELETE"].iter().all(|method| methods.contains(method)), "{methods}");
        let headers = reply.header("access-control-allow-headers");
        for name in ["x-builton-api-key", "x-api-key", "authorization", "content-type", "idempotency-key", "x-grpc-web"]
        {
            assert!(headers.split(", ").any(|header| header == name), "{name} in {headers}");
        }
        assert_eq!(reply.header("access-control-allow-credentials"), "", "keys are headers, never cookies");
        assert!(!reply.header("access-control-max-age").is_empty());
    }
}

#[tokio::test]
async fn options_without_a_page_says_what_the_path_takes() {
    let server = TestServer::start().await;
    let ask = async |target: &str| server.send(server.request(Method::OPTIONS, target, &Actor::anonymous())).await;
    assert_eq!(ask("/v1/keys").await.expect(204, "").header("allow"), "GET, HEAD, POST, OPTIONS");
    ask("/nothing").await.expect(404, "UNKNOWN_METHOD");
}

#[tokio::test]
async fn every_answer_can_be_read_by_the_page() {
    let server = TestServer::start().await;
    let key = server.pk(&["read:products"]).await;
    for (target, actor, status) in [
        ("/products", key.clone(), 200),
        ("/v1/keys", key, 403),
        ("/products", Actor::anonymous(), 401),
        ("/nothing", Actor::anonymous(), 404),
        ("/v1/auth/verify", Actor::anonymous(), 405),
    ] {
        let reply = server.get(target, &actor.clone().with("origin", ORIGIN)).await.expect(status, "");
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{target}");
        let exposed = reply.header("access-control-expose-headers");
        for name in ["x-pagination-total", "www-authenticate", "x-request-id", "retry-after"] {
            assert!(exposed.split(", ").any(|header| header == name), "{name} in {exposed}");
        }
        let plain = server.get(target, &actor).await;
        assert_eq!(plain.header("access-control-allow-origin"), "", "nobody asked");
    }
}

#[tokio::test]
async fn only_the_listed_origins_are_let_in() {
    let server = TestServer::builder().set("cors_origins", ORIGIN).start().await;
    for (origin, allowed) in [
        (ORIGIN, ORIGIN),
        ("https://evil.example", ""),
        ("https://shop.example.evil.example", ""),
        ("http://shop.example", ""),
        ("null", ""),
    ] {
        let page = Actor::anonymous().with("origin", origin);
        let reply = server.get("/products", &page).await;
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "{origin}");
        assert!(reply.header("vary").contains("origin"), "{origin}");
        let page = page.with("access-control-request-method", "GET");
        let reply = server.send(server.request(Method::OPTIONS, "/products", &page)).await;
        assert_eq!(reply.header("access-control-allow-origin"), allowed, "{origin}");
    }
}
