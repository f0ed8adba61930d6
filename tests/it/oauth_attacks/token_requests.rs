//! Requests for tokens: nobody gets what is not theirs, and a request is read in one way only.

use http::Method;

use crate::oauth::error;
use crate::support::{Actor, TestServer};

use super::scene::{Pairs, Scene, gave_nothing};

#[tokio::test]
async fn the_token_endpoint_gives_nobody_what_is_not_theirs() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    for row in TOKEN_REQUESTS.lines().filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let columns: Vec<&str> = row.split(" | ").collect();
        let [what, who, body, refusal] = columns[..] else { panic!("four columns: {row}") };
        let (status, word) = refusal.split_once(' ').expect("a status and a word");
        let headers: &[(&str, &str)] = if who == "-" { FORM } else { &[FORM[0], ("authorization", who)] };
        let reply = scene.send("/oauth/token", headers, body).await;
        assert_eq!(error(&reply), (status.parse().unwrap(), word.to_owned()), "{what}: {reply:?}");
        gave_nothing(what, &reply);
    }
}

#[tokio::test]
async fn a_token_request_is_read_in_one_way_only() {
    let server = TestServer::start().await;
    let scene = Scene::new(&server).await;
    for (what, query, headers, body, word) in BODIES {
        let reply = scene.send(&format!("/oauth/token{query}"), headers, body).await;
        assert!((400..500).contains(&reply.status), "{what}: {reply:?}");
        assert_eq!(error(&reply).1, *word, "{what}: {reply:?}");
        gave_nothing(what, &reply);
    }
    // Too much of anything.
    let deep = format!("{{\"grant_type\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let many: Vec<_> = (0..10_000).map(|n| format!("p{n}=x")).collect();
    let giant = format!("$SELF&x={}", "x".repeat(1 << 20));
    for (what, headers, body) in
        [("depth", JSON, deep.as_str()), ("parameters", FORM, &many.join("&")), ("bytes", FORM, &giant)]
    {
        let reply = scene.send("/oauth/token", headers, body).await;
        assert!([400, 413].contains(&reply.status), "{what}: {reply:?}");
        gave_nothing(what, &reply);
    }
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE] {
        let target = scene.fill("/oauth/token?$SELF").await;
        let request = scene.server.request(method, &target, &Actor::anonymous());
        let reply = scene.server.send(request.header("x-http-method-override", "POST")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "POST"), "{reply:?}");
    }
    // The clean ways work, so that the above is refused for what is wrong with it.
    scene.send("/oauth/token", FORM, "$SELF").await.expect(200, "");
    let json = r#"{"grant_type":"client_credentials","client_id":"$JOB_ID","client_secret":"$JOB_SECRET"}"#;
    scene.send("/oauth/token", JSON, json).await.expect(200, "");
    scene.send("/oauth/token", &[FORM[0], ("authorization", "$WEB")], "$REDEEM&code=$CODE").await.expect(200, "");
    scene.send("/oauth/token", &[FORM[0], ("authorization", "$WEB")], "$AGAIN=$REFRESH").await.expect(200, "");
    scene
        .send("/oauth/token", &[FORM[0], ("authorization", "$LAX")], "$BARE&redirect_uri=$CALLBACK&code=$LAX_CODE")
        .await
        .expect(200, "");
}

/// `what | who | form | status word`, a row a line.
const TOKEN_REQUESTS: &str = include_str!("token_requests.txt");

/// Target, headers and body of a token request that is made otherwise than a form with parameters once. The refusal is 4xx, with
/// this word where one of OAuth can be told.
const BODIES: &[(&str, &str, Pairs, &str, &str)] = &[
    (
        "credentials in the query",
        "?client_id=$JOB_ID&client_secret=$JOB_SECRET",
        FORM,
        "grant_type=client_credentials",
        "invalid_request",
    ),
    (
        "everything in the query",
        "?client_id=$JOB_ID&client_secret=$JOB_SECRET&grant_type=client_credentials",
        FORM,
        "",
        "invalid_request",
    ),
    ("the secret in the query too", "?client_secret=$JOB_SECRET", FORM, "$SELF", "invalid_request"),
    ("the code in the query", "?code=$CODE", &[FORM[0], ("authorization", "$WEB")], "$REDEEM", "invalid_request"),
    (
        "the refresh token in the query",
        "?refresh_token=$REFRESH",
        &[FORM[0], ("authorization", "$WEB")],
        "grant_type=refresh_token",
        "invalid_request",
    ),
    ("no type", "", &[], "$SELF", "invalid_request"),
    ("plain text", "", &[("content-type", "text/plain")], "$SELF", "invalid_request"),
    (
        "a type that begins like a form's",
        "",
        &[("content-type", "application/x-www-form-urlencoded-not")],
        "$SELF",
        "invalid_request",
    ),
    (
        "parts",
        "",
        &[("content-type", "multipart/form-data; boundary=x")],
        "--x\r\ncontent-disposition: form-data; name=grant_type\r\n\r\nclient_credentials\r\n--x--",
        "invalid_request",
    ),
    ("XML", "", &[("content-type", "application/xml")], "<a/>", "invalid_request"),
    ("a form that is called JSON", "", JSON, "$SELF", "invalid_request"),
    ("JSON that is called a form", "", FORM, r#"{"grant_type":"client_credentials"}"#, "invalid_request"),
    (
        "JSON with a name twice",
        "",
        JSON,
        r#"{"grant_type":"password","grant_type":"client_credentials","client_id":"$JOB_ID","client_secret":"$JOB_SECRET"}"#,
        "invalid_request",
    ),
    (
        "JSON with a list for a secret",
        "",
        JSON,
        r#"{"grant_type":"client_credentials","client_id":"$JOB_ID","client_secret":["x","$JOB_SECRET"]}"#,
        "invalid_request",
    ),
    (
        "JSON with an object for a secret",
        "",
        JSON,
        r#"{"grant_type":"client_credentials","client_id":"$JOB_ID","client_secret":{"$ne":""}}"#,
        "invalid_request",
    ),
    (
        "JSON with true for a secret",
        "",
        JSON,
        r#"{"grant_type":"client_credentials","client_id":"$JOB_ID","client_secret":true}"#,
        "invalid_request",
    ),
    ("JSON and more", "", JSON, r#"{"grant_type":"client_credentials"}{}"#, "invalid_request"),
    (
        "two proofs of a client",
        "",
        &[FORM[0], ("authorization", "$WEB"), ("authorization", "$JOB")],
        "grant_type=client_credentials",
        "invalid_request",
    ),
    (
        "a token for a proof",
        "",
        &[FORM[0], ("authorization", "Bearer $ACCESS")],
        "grant_type=client_credentials",
        "invalid_client",
    ),
    (
        "a key for a proof",
        "",
        &[FORM[0], ("authorization", "Bearer $KEY")],
        "grant_type=client_credentials",
        "invalid_client",
    ),
    ("a key beside no proof", "", &[FORM[0], ("x-api-key", "$KEY")], "grant_type=client_credentials", "invalid_client"),
    (
        "a session for a proof",
        "",
        &[FORM[0], ("cookie", "__Host-gatepost-session=$SESSION")],
        "grant_type=client_credentials",
        "invalid_client",
    ),
    (
        "a proof that is no base64",
        "",
        &[FORM[0], ("authorization", "Basic ###")],
        "grant_type=client_credentials",
        "invalid_client",
    ),
    (
        "a proof without a secret",
        "",
        &[FORM[0], ("authorization", "Basic Og==")],
        "grant_type=client_credentials",
        "invalid_client",
    ),
];

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
