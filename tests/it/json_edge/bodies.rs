//! Bodies: what is taken, what is refused and how that is told.

use http::Method;
use serde_json::{Value, json};

use crate::support::http::Reply;
use crate::support::{Actor, TestServer};

async fn send(
    server: &TestServer,
    method: Method,
    target: &str,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Reply {
    let request = server.request(method, target, &server.live());
    let request = if content_type.is_empty() { request } else { request.header("content-type", content_type) };
    server.send(request.body(body)).await
}

const JSON: &str = "application/json";

#[tokio::test]
async fn only_json_is_read() {
    let server = TestServer::start().await;
    let body = r#"{"credential":"x"}"#;
    let verify = async |content_type: &str| send(&server, Method::POST, "/v1/auth/verify", content_type, body).await;
    let good = [
        "",
        JSON,
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
        "text/json",
        "application/vnd.x+json",
    ];
    for content_type in good {
        verify(content_type).await.expect(200, "");
    }
    for content_type in [
        "text/plain",
        "application/xml",
        "application/json; charset=latin1",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        verify(content_type).await.expect(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    let packed = server.request(Method::POST, "/v1/auth/verify", &server.live()).header("content-encoding", "gzip");
    server.send(packed.body(body)).await.expect(415, "UNSUPPORTED_MEDIA_TYPE");
    // The type of nothing does not matter.
    send(&server, Method::GET, "/v1/keys", JSON, "").await.expect(200, "");
    send(&server, Method::GET, "/v1/keys", "text/plain", "").await.expect(200, "");
    send(&server, Method::POST, "/v1/auth/verify", "text/plain", "").await.expect(200, "");
    // Nor does an empty object, which many clients send; what says something is not passed over.
    send(&server, Method::GET, "/v1/keys", JSON, "{}").await.expect(200, "");
    send(&server, Method::GET, "/v1/keys", JSON, r#"{"limit":1}"#).await.expect(400, "INVALID_REQUEST");
}

#[tokio::test]
async fn what_is_no_json_is_told_with_its_place() {
    let server = TestServer::start().await;
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let deep = deep(100_000);
    let nested = format!(r#"{{"name":{deep}}}"#);
    let bad = [
        "{",
        "[]",
        "null",
        "1",
        "\"x\"",
        "{\"name\"}",
        "{\"name\":}",
        "{\"name\":\"x\",}",
        "{'name':'x'}",
        "{\"name\":\"x\"} x",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"\\x\"}",
        "{\"name\":\"a\nb\"}",
        "{\"name\":nul}",
        "{\"name\":\"x\"",
        "\u{feff}{}x",
        &deep,
        &nested,
        "// no\n{}",
        "{\"name\":01}",
        "{\"name\":NaN}",
    ];
    for body in bad {
        let reply = send(&server, Method::POST, "/v1/keys", JSON, body.to_owned()).await;
        assert_eq!(reply.status, 400, "{}: {reply:?}", &body[..body.len().min(40)]);
        let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
        assert!(["INVALID_REQUEST", "INVALID_FIELD"].contains(&code.as_str()), "{reply:?}");
        assert!(reply.text.len() < 2000, "an error does not grow with the client's words");
    }
    let bytes = b"{\"name\":\"\xff\"}".to_vec();
    send(&server, Method::POST, "/v1/keys", JSON, bytes).await.expect(400, "");
    let reply = send(&server, Method::POST, "/v1/keys", JSON, "{\n  \"name\": tru\n}").await;
    assert!(reply.json()["message"].as_str().is_some_and(|text| text.contains("line ")), "{reply:?}");
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named() {
    let server = TestServer::start().await;
    for (body, field) in [
        (r#"{"name":"x","nothing":1}"#, "nothing"),
        (r#"{"name":"x","Name":"x"}"#, "Name"),
        (r#"{"name":"x","name":"y"}"#, "name"),
        (r#"{"name":"x","allowedIps":[],"allowed_ips":[]}"#, "allowedIps"),
        (r#"{"name":1}"#, "name"),
        (r#"{"name":["x"]}"#, "name"),
        (r#"{"name":"x","scopes":"read:keys"}"#, "scopes"),
        (r#"{"name":"x","scopes":[1]}"#, "scopes[0]"),
        (r#"{"name":"x","scopes":[null]}"#, "scopes[0]"),
        (r#"{"name":"x","metadata":{"a":1}}"#, "metadata.a"),
        (r#"{"name":"x","metadata":{"a":"1","a":"2"}}"#, "metadata"),
        (r#"{"name":"x","metadata":[]}"#, "metadata"),
        (r#"{"name":"x","recoverable":"yes"}"#, "recoverable"),
        (r#"{"name":"x","type":"XX"}"#, "type"),
        (r#"{"name":"x","type":1.5}"#, "type"),
        (r#"{"name":"x","type":99999999999}"#, "type"),
        (r#"{"name":"x","expiresAt":"tomorrow"}"#, "expiresAt"),
        (r#"{"name":"x","expiresAt":"2030-13-01T00:00:00Z"}"#, "expiresAt"),
        (r#"{"name":"x","expiresAt":"2031-01-01T00:00:00"}"#, "expiresAt"),
        (r#"{"name":"x","expiresAt":1893456000}"#, "expiresAt"),
    ] {
        let reply = send(&server, Method::POST, "/v1/keys", JSON, body).await.expect(400, "INVALID_FIELD");
        let problem = reply.json();
        assert_eq!(problem["violations"][0]["field"], field, "{body}: {reply:?}");
        assert_eq!(problem["error"], "invalid_field");
    }
}

#[tokio::test]
async fn values_are_taken_in_every_form_that_the_mapping_has() {
    let server = TestServer::start().await;
    let made = async |body: &str| {
        let reply = send(&server, Method::POST, "/v1/keys", JSON, body.to_owned()).await.expect(200, "").json();
        Actor::made(reply["secret"].as_str().expect("a secret"), "");
        reply["key"].clone()
    };
    for kind in [r#""PK""#, r#""pk""#, r#""Pk""#, "3", "3.0"] {
        assert_eq!(made(&format!(r#"{{"name":"x","type":{kind}}}"#)).await["type"], "PK", "{kind}");
    }
    let key = made(r#" {"name":"x","allowed_ips":["10.0.0.0/8"],"expires_at":"2031-01-01T01:00:00.5+01:00"} "#).await;
    assert_eq!((&key["allowedIps"], &key["expiresAt"]), (&json!(["10.0.0.0/8"]), &json!("2031-01-01T00:00:00.500Z")));
    let key = made(r#"{"name":"\u00e9\ud83d\udd11","alias":null,"scopes":null,"metadata":null,"type":null}"#).await;
    assert_eq!((&key["name"], &key["type"], &key["alias"]), (&json!("\u{e9}\u{1f511}"), &json!("SK"), &Value::Null));

    let watch = async |revision: &str| {
        server
            .get(
                &format!("/v1/auth/revocations:watch?from_revision={revision}"),
                &server.live().with("x-request-timeout", "100ms"),
            )
            .await
    };
    assert_eq!(watch("0").await.status, 200);
    for bad in ["-1", "18446744073709551616", "x", "0x1"] {
        watch(bad).await.expect(400, "INVALID_FIELD");
    }
    // 64-bit numbers are text on the way out.
    let reply = send(&server, Method::POST, "/v1/auth/verify", JSON, r#"{"credential":"x"}"#).await.json();
    assert!(reply["revision"].is_string(), "{reply}");
    assert_eq!((&reply["valid"], &reply["scopes"]), (&json!(false), &json!([])), "defaults are shown");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let server = TestServer::builder().set("max_body", "2KiB").start().await;
    let body = |n: usize| format!(r#"{{"credential":"{}"}}"#, "x".repeat(n));
    send(&server, Method::POST, "/v1/auth/verify", JSON, body(2000)).await.expect(200, "");
    send(&server, Method::POST, "/v1/auth/verify", JSON, body(2048)).await.expect(413, "PAYLOAD_TOO_LARGE");
    // Announced and never sent: the answer does not wait for it.
    let secret = server.live().secret;
    let head = format!(
        "POST /v1/auth/verify HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {secret}\r\n\
         Content-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    );
    assert!(server.raw(head.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    // Not announced: counted.
    let chunks = "400\r\n".to_owned() + &" ".repeat(0x400) + "\r\n";
    let head = head.replace("Content-Length: 100000000", "Transfer-Encoding: chunked");
    let answer = server.raw(format!("{head}{chunks}{chunks}{chunks}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_mask_is_made_from_the_body_where_none_is_given() {
    let server = TestServer::start().await;
    let key = server.new_key(json!({"name": "old", "description": "old", "metadata": {"a": "1"}, "owner": "me"})).await;
    let target = format!("/v1/keys/{}", key.id);
    let change = async |method: Method, query: &str, body: &str| {
        send(&server, method, &format!("{target}{query}"), JSON, body.to_owned()).await
    };
    for (method, query, body, changed) in [
        (Method::PATCH, "", r#"{"name":"one"}"#, json!({"name": "one"})),
        (Method::PATCH, "", r#"{"owner":null}"#, json!({"owner": null})),
        (Method::PATCH, "", r#"{"metadata":{"b":"2"}}"#, json!({"metadata": {"b": "2"}})),
        (Method::PUT, "", r#"{"name":"two"}"#, json!({"name": "two"})),
        (Method::PATCH, "?update_mask=description", r#"{"name":"not this"}"#, json!({"description": ""})),
        (
            Method::PATCH,
            "?updateMask=name,description",
            r#"{"name":"three","description":"new"}"#,
            json!({"name": "three", "description": "new"}),
        ),
        (
            Method::PUT,
            "",
            r#"{"name":"four","nothing":{"of":["interest"]},"state":"REVOKED"}"#,
            json!({"name": "four", "state": "ACTIVE"}),
        ),
        (Method::PATCH, "", &format!(r#"{{"id":"{}","name":"five"}}"#, key.id), json!({"name": "five"})),
    ] {
        let before = server.get(&target, &server.live()).await.json();
        let after = change(method.clone(), query, body).await.expect(200, "").json();
        let mut wanted = before.clone();
        for (field, value) in changed.as_object().expect("an object") {
            wanted[field] = value.clone();
        }
        wanted["etag"] = after["etag"].clone();
        wanted.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        assert_eq!(after, wanted, "{method} {body}");
    }
    for (method, body, field) in [
        (Method::PATCH, r#"{"name":"x","nothing":1}"#, "nothing"),
        (Method::PATCH, r#"{}"#, "updateMask"),
        (Method::PATCH, r#"{"hint":"x"}"#, "updateMask"),
    ] {
        let reply = change(method, "", body).await.expect(400, "INVALID_FIELD");
        assert_eq!(reply.json()["violations"][0]["field"], field, "{body}: {reply:?}");
    }
}

#[tokio::test]
async fn what_was_got_can_be_put_back() {
    let server = TestServer::start().await;
    let key = server
        .new_key(json!({"name": "a", "scopes": ["read:keys"], "allowedIps": ["10.0.0.0/8"], "metadata": {"a": "b"}}))
        .await;
    let target = format!("/v1/keys/{}", key.id);
    let got = server.get(&target, &server.live()).await.json();
    let mut changed = got.clone();
    changed["name"] = json!("b");
    let put =
        server.send(server.request(Method::PUT, &target, &server.live()).json(&changed)).await.expect(200, "").json();
    for (field, value) in put.as_object().expect("an object") {
        let wanted = if field == "name" { &changed[field] } else { &got[field] };
        assert!(field == "etag" || value == wanted, "{field}: {put}");
    }
    // The etag came back with it, so that nobody's change in between is lost.
    let again = server.send(server.request(Method::PUT, &target, &server.live()).json(&changed)).await;
    again.expect(409, "ETAG_MISMATCH");
}
