//! The user-key API's documented calls, in order, on one server, as curl sends them.

use serde_json::json;

use crate::support::{TestServer, leaks};

const JSON: &str = "Content-Type: application/json";

#[tokio::test]
async fn the_documented_calls_work_in_order() {
    let server = TestServer::start().await;
    let user = server.person(&server.live(), "ada", &[]).await;

    // Signing in.
    let credentials = json!({"handle": "ada", "password": leaks::PASSWORD}).to_string();
    let session = server.curl("POST /auth/credentials", &[JSON], &credentials).await.expect(200);
    assert_eq!(session.header("cache-control"), "no-store");
    let session = session.json();
    for member in ["token", "issuedAt", "expiresAt"] {
        assert!(session[member].is_string(), "{session}");
    }
    assert!(session["issuedAt"].as_str() < session["expiresAt"].as_str());
    let bearer = format!("Authorization: Bearer {}", session["token"].as_str().unwrap());

    // Who you are.
    let me = server.curl("GET /user", &[&bearer], "").await.expect(200).json();
    assert_eq!((&me["id"], &me["handle"]), (&json!(user), &json!("ada")));

    // A key, its token again, the list.
    let new = r#"{"handle":"build-server","alias":"The build server"}"#;
    let key = server.curl("POST /user/keys", &[&bearer, JSON], new).await.expect(200);
    assert_eq!(key.header("cache-control"), "no-store");
    let key = key.json();
    assert_eq!((&key["handle"], &key["alias"]), (&json!("build-server"), &json!("The build server")));
    for member in ["id", "token", "createdAt"] {
        assert!(key[member].is_string(), "{key}");
    }
    let again = server.curl("GET /user/keys/build-server", &[&bearer], "").await.expect(200).json();
    assert_eq!((&again["token"], &again["id"]), (&key["token"], &key["id"]));
    let list = server.curl("GET /user/keys", &[&bearer], "").await.expect(200);
    assert!(list.text.contains("build-server") && !list.text.contains(key["token"].as_str().unwrap()), "{list:?}");
    let plain = server.curl("POST /user/keys", &[&bearer, JSON], r#"{"handle":"b"}"#).await.expect(200).json();
    assert!(plain["token"].is_string(), "an alias is not needed: {plain}");

    // Until it is deleted, it authenticates.
    let by_key = format!("Authorization: Bearer {}", key["token"].as_str().unwrap());
    let me = server.curl("GET /user", &[&by_key], "").await.expect(200).json();
    assert_eq!(me["id"], user);
    // But it makes and shows no keys.
    server.curl("GET /user/keys/build-server", &[&by_key], "").await.error(403, "caller_not_allowed");
    server.curl("POST /user/keys", &[&by_key, JSON], r#"{"handle":"c"}"#).await.error(403, "caller_not_allowed");
    let gone = server.curl("DELETE /user/keys/build-server", &[&bearer, JSON], "").await.expect(200).json();
    assert_eq!(gone["handle"], "build-server");
    server.curl("GET /user", &[&by_key], "").await.error(401, "unauthorized");
    server.curl("GET /user/keys/build-server", &[&bearer], "").await.error(404, "not_found");
    server.curl("DELETE /user/keys/build-server", &[&bearer], "").await.error(404, "not_found");
    // Its handle is free again.
    server.curl("POST /user/keys", &[&bearer, JSON], new).await.expect(200);
}

#[tokio::test]
async fn what_the_documentation_rules_out_is_refused() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &[]).await;
    let session = server.sign_in(&server.live(), "ada").await;
    let bearer = format!("Authorization: Bearer {}", session.secret);
    for body in [
        json!({}),
        json!({"handle": ""}),
        json!({"handle": "Build"}),
        json!({"handle": "-a"}),
        json!({"handle": "a-"}),
        json!({"handle": "a_b"}),
        json!({"handle": "caf\u{e9}"}),
        json!({"handle": "a".repeat(51)}),
        json!({"handle": "ok", "alias": ""}),
        json!({"handle": "ok", "alias": "x".repeat(101)}),
        json!({"handle": "ok", "alias": "a\u{7}"}),
    ] {
        server.curl("POST /user/keys", &[&bearer, JSON], &body.to_string()).await.error(400, "invalid_field");
    }
    let longest = json!({"handle": "a".repeat(50), "alias": "\u{e9}".repeat(100)}).to_string();
    server.curl("POST /user/keys", &[&bearer, JSON], &longest).await.expect(200);
    server.curl("POST /user/keys", &[&bearer, JSON], &longest).await.error(409, "already_exists");
    // Another user may have the handle too, and sees nothing of this one's.
    server.person(&server.live(), "grace", &[]).await;
    let other = server.sign_in(&server.live(), "grace").await;
    let theirs = format!("Authorization: Bearer {}", other.secret);
    let target = format!("GET /user/keys/{}", "a".repeat(50));
    server.curl(&target, &[&theirs], "").await.error(404, "not_found");
    server.curl("POST /user/keys", &[&theirs, JSON], &longest).await.expect(200);

    for (handle, password) in [("ada", leaks::OTHER_PASSWORD), ("nobody", leaks::PASSWORD), ("", ""), ("ada", "")] {
        let body = json!({"handle": handle, "password": password}).to_string();
        let reply = server.curl("POST /auth/credentials", &[JSON], &body).await;
        assert!([400, 401].contains(&reply.status), "{reply:?}");
    }
    for line in ["GET /user", "GET /user/keys", "POST /user/keys"] {
        server.curl(line, &[JSON], "").await.error(401, "unauthorized");
        let key = format!("Authorization: Bearer {}", server.live().secret);
        server.curl(line, &[&key], "").await.error(403, "caller_not_allowed");
    }
}
