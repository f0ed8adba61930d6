//! The example API's documented calls with keys, in order, on one server, as curl sends them.

use serde_json::{Value, json};

use crate::support::TestServer;
use crate::support::raw_call::RawReply;

const JSON: &str = "Content-Type: application/json";

fn bearer(secret: &str) -> String {
    format!("Authorization: Bearer {secret}")
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("{member} of {value}"))
}

#[tokio::test]
async fn the_documented_calls_work_in_order() {
    let server = TestServer::start().await;
    let (live, test) = (bearer(&server.live().secret), bearer(&server.test().secret));

    // Keys of each type, by their prefixes.
    let make = async |by: &str, body: Value| -> RawReply {
        server.curl("POST /v1/keys", &[by, JSON], &body.to_string()).await.expect(200)
    };
    let secret = make(&live, json!({"name": "server", "scopes": ["read:users", "write:users"]})).await.json();
    assert!(text(&secret, "secret").starts_with("sk_live_"), "{secret}");
    let trial = make(&test, json!({"name": "trial", "scopes": ["read:users"]})).await.json();
    assert!(text(&trial, "secret").starts_with("sk_test_"), "{trial}");
    let restricted = make(&live, json!({"type": "RK", "name": "reader", "scopes": ["read:users"]})).await.json();
    assert!(text(&restricted, "secret").starts_with("rk_live_"), "{restricted}");
    let server_key = bearer(text(&secret, "secret"));

    // Users.
    let new = r#"{"first_name":"Ada","lastName":"Lovelace","email":"ada@example.com"}"#;
    let ada = server.curl("POST /v1/users", &[&server_key, JSON], new).await.expect(200).json();
    let list = server.curl("GET /v1/users", &[&server_key], "").await.expect(200).json();
    assert_eq!((&list["data"][0]["id"], &list["data"][0]["firstName"]), (&ada["id"], &json!("Ada")));
    let list = server.curl("GET /v1/users", &[&bearer(text(&trial, "secret"))], "").await.expect(200).json();
    assert_eq!(list["data"], json!([]), "a test key sees test data");
    let reader = bearer(text(&restricted, "secret"));
    server.curl("GET /v1/users", &[&reader], "").await.expect(200);
    let refused = server.curl("POST /v1/users", &[&reader, JSON], new).await.error(403, "insufficient_scope");
    assert_eq!(refused.json()["message"], "API key does not have required scope: write:users");
    assert!(refused.header("www-authenticate").contains("error=\"insufficient_scope\", scope=\"write:users\""));

    // Who has no key is told so, and nothing else.
    let refused = server.curl("GET /v1/users", &[], "").await.error(401, "unauthorized");
    let challenge = refused.header("www-authenticate");
    assert!(challenge.starts_with("Bearer realm=\"gatepost\"") && !challenge.contains("error"), "{challenge}");
    server.curl("GET /v1/users", &[&bearer("sk_live_wrong")], "").await.error(401, "unauthorized");
    server
        .curl(&format!("GET /v1/users?api_key={}", text(&secret, "secret")), &[], "")
        .await
        .error(401, "unauthorized");

    // Rotation: both work, then the new one alone.
    let rotate = format!("POST /v1/keys/{}:rotate", text(&secret["key"], "id"));
    let rotated = server.curl(&rotate, &[&live, JSON], r#"{"gracePeriod":"60s"}"#).await.expect(200).json();
    let new_key = bearer(text(&rotated, "secret"));
    for key in [&server_key, &new_key] {
        server.curl("GET /v1/users", &[key], "").await.expect(200);
    }
    server.advance(std::time::Duration::from_secs(61));
    server.curl("GET /v1/users", &[&server_key], "").await.error(401, "unauthorized");
    server.curl("GET /v1/users", &[&new_key], "").await.expect(200);

    // A user's own token says who they are.
    let person = server.person(&server.live(), "grace", &["read:users"]).await;
    let session = server.sign_in(&server.live(), "grace").await;
    let me = server.curl("GET /v1/users/me", &[&bearer(&session.secret)], "").await.expect(200).json();
    assert_eq!(me["id"], person);
    server.curl("GET /v1/users", &[&bearer(&session.secret)], "").await.expect(200);
    server.curl("GET /v1/users/me", &[&new_key], "").await.error(403, "caller_not_allowed");

    // Ended for good.
    let end = format!("DELETE /v1/keys/{}", text(&secret["key"], "id"));
    let gone = server.curl(&end, &[&live, JSON], "").await.expect(200).json();
    assert_eq!((&gone["id"], &gone["state"]), (&secret["key"]["id"], &json!("REVOKED")));
    server.curl("GET /v1/users", &[&new_key], "").await.error(401, "unauthorized");
}
