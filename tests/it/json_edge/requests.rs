//! Heads, ids and deadlines.

use serde_json::json;

use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn a_request_keeps_its_clients_id_or_gets_one() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let whoami = async |actor: Actor| server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
        for id in ["abc", "A-1_b.2", &"x".repeat(64)] {
            for actor in [server.live(), Actor::anonymous()] {
                let answer = whoami(actor.with("x-request-id", id)).await;
                assert_eq!(answer.header("x-request-id"), id, "{answer:?}");
            }
        }
        let mut given = Vec::new();
        for bad in ["", "a b", "a\"b", "a/b", &"x".repeat(65)] {
            let answer = whoami(server.live().with("x-request-id", bad)).await;
            given.push(answer.header("x-request-id").to_owned());
        }
        given.push(whoami(server.live()).await.header("x-request-id").to_owned());
        assert!(given.iter().all(|id| id.starts_with("req_") && id.len() == 32), "{given:?}");
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 6, "no two requests share an id");
    }
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_refused_and_one_that_is_over_is_told() {
    let server = TestServer::start().await;
    for (name, bad) in [
        ("x-request-timeout", "soon"),
        ("x-request-timeout", "-1"),
        ("grpc-timeout", "1"),
        ("grpc-timeout", "123456789S"),
    ] {
        let actor = server.live().with(name, bad);
        for wire in [Wire::GrpcWeb, Wire::GrpcWebText, Wire::Json] {
            let answer = server.call(wire, "Auth/WhoAmI", &actor, json!({})).await;
            answer.refused("INVALID_FIELD");
            assert_eq!(answer.violations[0].0, name, "{answer:?}");
        }
    }
    for (name, good) in [
        ("x-request-timeout", "10"),
        ("x-request-timeout", "10s"),
        ("x-request-timeout", "9999ms"),
        ("grpc-timeout", "10S"),
    ] {
        for wire in Wire::ALL {
            server.call(wire, "Auth/WhoAmI", &server.live().with(name, good), json!({})).await.ok();
        }
    }
    // A body that never comes, so that the answer cannot be ready before the deadline.
    let secret = server.live().secret;
    for (path, content_type, deadline, wanted) in [
        ("/v1/keys", "application/json", "X-Request-Timeout: 0.1", "HTTP/1.1 504 "),
        ("/v1/keys", "application/json", "Grpc-Timeout: 100m", "HTTP/1.1 504 "),
        ("/gatepost.v1.Keys/CreateKey", "application/grpc-web+proto", "Grpc-Timeout: 100m", "grpc-status: 4"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\n{deadline}\r\n\
             Content-Type: {content_type}\r\nContent-Length: 100\r\n\r\n"
        );
        let answer = server.raw(head.as_bytes()).await;
        assert!(answer.contains(wanted), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_or_no_http_is_refused() {
    let server = TestServer::start().await;
    let get = |more: &str| format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n");
    assert!(server.raw(get("").as_bytes()).await.starts_with("HTTP/1.1 200 "));
    let large = format!("X-Large: {}\r\n", "x".repeat(17 * 1024));
    let answer = server.raw(get(&large).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = server.raw(get(&many).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    for bad in [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nBad Header\r\n\r\n",
    ] {
        let answer = server.raw(bad.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{bad:?}: {answer}");
    }
    // Two lengths are how requests are smuggled.
    let head = "POST /v1/auth/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}";
    let answer = server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port() {
    let server = TestServer::start().await;
    let url = |target: &str| format!("{}{target}", server.clients().origin);
    let request = server.clients().http2.get(url("/v1/auth/whoami")).headers(server.live().headers);
    let response = request.send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    let who: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(who["keyId"], server.live().id);
}

#[tokio::test]
async fn answers_are_for_no_cache_and_are_what_they_say() {
    let server = TestServer::start().await;
    for (target, actor) in [("/v1/keys", server.live()), ("/v1/keys", Actor::anonymous()), ("/nothing", server.live())]
    {
        let reply = server.get(target, &actor).await;
        assert_eq!(reply.header("cache-control"), "no-store", "{target}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{target}");
        assert!(reply.header("content-type").ends_with("json"), "{target}");
        assert_eq!(reply.header("server"), "", "{target}");
    }
}
