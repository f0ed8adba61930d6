//! Addresses and documents that are no good, and places that must not be called.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::support::jose::Key;

#[tokio::test]
async fn addresses_that_are_no_client_id_are_refused_before_anybody_is_called() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let at = |rest: &str| format!("https://localhost:{}{rest}", site.port);
    let cases = [
        (at(""), "must have a path"),
        (at("/client.json?a=b"), "must not have a query"),
        (at("/client.json?"), "must not have a query"),
        (at("/client.json#a"), "must not have a fragment"),
        (at("/client.json#"), "must not have a fragment"),
        (at("/./client.json"), "must be written plainly"),
        (at("/a/../client.json"), "must be written plainly"),
        (at("/a/%2e%2e/client.json"), "must be written plainly"),
        (format!("https://me@localhost:{}/client.json", site.port), "must not name a user"),
        (format!("https://me:secret@localhost:{}/client.json", site.port), "must not name a user"),
        (format!("https://LOCALHOST:{}/client.json", site.port), "must be written plainly"),
        ("https://localhost:443/client.json".to_owned(), "must be written plainly"),
        (at("/client .json"), "must be an absolute URI"),
        (at(&format!("/{}", "x".repeat(512))), "up to 512 characters"),
        (format!("http://localhost:{}/client.json", site.port), "no such client"),
        (format!("HTTPS://localhost:{}/client.json", site.port), "no such client"),
        (format!(" https://localhost:{}/client.json", site.port), "no such client"),
        ("file:///etc/passwd".to_owned(), "no such client"),
        ("https://".to_owned(), "must be an absolute URI"),
    ];
    for (url, words) in &cases {
        is_told(&Browser::new(&server).get(&authorize(&client(url), &[])).await, words);
        for reply in [push(&server, url, &[]).await, start_device(&server, url).await] {
            assert_eq!(error(&reply), (401, "invalid_client".to_owned()), "{url}: {reply:?}");
        }
        // Whoever is unknown is charged for asking.
        server.advance(Duration::from_secs(60));
    }
    assert_eq!((site.calls(), listed(&server).await.len()), (0, 0));
}

#[tokio::test]
async fn documents_that_are_no_good_make_no_client() {
    let site = Site::start().await;
    let server = scene(&site).await;
    let url = site.url("/client.json");
    let good = json!({"client_id": url, "redirect_uris": [CALLBACK]});
    let with = |name: &str, value: Value| {
        let mut document = good.clone();
        document[name] = value;
        document.to_string()
    };
    let private = {
        let mut jwk = Key::p256("one").jwk();
        jwk["d"] = json!("AAAA");
        let mut document = good.clone();
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["jwks"] = json!({"keys": [jwk]});
        document.to_string()
    };
    let bodies = [
        (String::new(), "must be a JSON object"),
        ("<html>".to_owned(), "must be a JSON object"),
        (json!([good]).to_string(), "must be a JSON object"),
        (json!({}).to_string(), "must name its own address"),
        (json!({"redirect_uris": [CALLBACK]}).to_string(), "must name its own address"),
        (with("client_id", json!(site.url("/client.jsoN"))), "must name its own address"),
        (with("client_id", json!(format!("{url}/"))), "must name its own address"),
        (with("client_id", json!(url.replace("localhost", "LOCALHOST"))), "must name its own address"),
        (with("client_id", json!([url])), "must be a JSON object"),
        (with("client_secret", json!("x")), "must not have client_secret"),
        (with("client_secret_expires_at", json!(0)), "must not have client_secret"),
        (with("token_endpoint_auth_method", json!("client_secret_basic")), "must have none or private_key_jwt"),
        (with("token_endpoint_auth_method", json!("client_secret_post")), "must have none or private_key_jwt"),
        (with("token_endpoint_auth_method", json!("client_secret_jwt")), "must have none or private_key_jwt"),
        (with("token_endpoint_auth_method", json!("private_key_jwt")), "private_key_jwt needs jwks"),
        (private, "cannot be taken: jwks"),
        (with("redirect_uris", json!([])), "redirect_uris"),
        (with("redirect_uris", Value::Null), "redirect_uris"),
        (with("redirect_uris", json!(["javascript:alert(1)"])), "redirect_uris"),
        (with("redirect_uris", json!(["http://app.example.com/cb"])), "redirect_uris"),
        (with("redirect_uris", json!(["https://app.example.com/cb#x"])), "redirect_uris"),
        (with("redirect_uris", json!(["https://*.example.com/cb"])), "redirect_uris"),
        (with("grant_types", json!(["client_credentials"])), "grant_types"),
        (with("response_types", json!(["token"])), "response_types"),
        (with("client_name", json!("Bank\u{202e}")), "client_name"),
        (with("logo_uri", json!("javascript:alert(1)")), "logo_uri"),
        (with("software_statement", json!("eyJ")), "software_statement"),
    ];
    for (body, words) in &bodies {
        site.answer("/client.json", json_answer("Cache-Control: max-age=86400\r\n", body));
        is_told(&Browser::new(&server).get(&authorize(&client(&url), &[])).await, words);
        for reply in [push(&server, &url, &[]).await, start_device(&server, &url).await] {
            assert_eq!(error(&reply), (401, "invalid_client".to_owned()), "{words}: {reply:?}");
        }
        // Addresses that have much fetched have to wait.
        server.advance(Duration::from_secs(90));
    }
    assert_eq!(site.calls(), 3 * bodies.len(), "what is no good is not remembered");
    assert_eq!(listed(&server).await.len(), 0);
    site.answer("/client.json", json_answer("", &good.to_string()));
    Browser::new(&server).get(&authorize(&client(&url), &[])).await.expect(200, "");
}

#[tokio::test]
async fn what_cannot_be_fetched_safely_is_refused_in_the_same_words() {
    const WORDS: &str = "cannot be had";
    let site = Site::start().await;
    let server = scene(&site).await;
    let url = site.serve("/client.json", json!({}));
    let document = json!({"client_id": url, "redirect_uris": [CALLBACK]}).to_string();
    let head = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let typed = |kind: &str| head(&format!("200 OK\r\nContent-Type: {kind}"), &document);
    let json = "Content-Type: application/json";
    site.serve("/inside.json", json!({"client_id": url}));
    let inside = site.url("/inside.json");
    let padded = format!("{document}{}", " ".repeat(5 * 1024));
    let cases = [
        head("404 Not Found", ""),
        head(&format!("404 Not Found\r\n{json}"), &document),
        head(&format!("201 Created\r\n{json}"), &document),
        head(&format!("206 Partial Content\r\n{json}"), &document),
        head("304 Not Modified", ""),
        head(&format!("301 Moved\r\nLocation: {inside}\r\n{json}"), &document),
        head(&format!("302 Found\r\nLocation: {inside}"), ""),
        head(&format!("303 See Other\r\nLocation: {inside}"), ""),
        head(&format!("307 Temporary Redirect\r\nLocation: {inside}"), ""),
        head("308 Permanent Redirect\r\nLocation: http://169.254.169.254/latest/meta-data/", ""),
        head(&format!("500 No\r\n{json}"), &document),
        typed("text/html"),
        typed("text/json"),
        typed("application/jsonp"),
        head("200 OK", &document),
        head(&format!("200 OK\r\n{json}\r\nContent-Encoding: gzip"), &document),
        head(&format!("200 OK\r\n{json}"), &padded),
        format!("HTTP/1.1 200 OK\r\n{json}\r\n\r\n{padded}"),
        format!("HTTP/1.1 200 OK\r\n{json}\r\nContent-Length: 9999999999\r\n\r\n{document}"),
        format!("HTTP/1.1 200 OK\r\n{json}\r\nContent-Length: 4000\r\n\r\n{document}"),
        format!("HTTP/1.1 200 OK\r\n{json}\r\nX: {}\r\n\r\n{document}", "x".repeat(100_000)),
        "SSH-2.0-hello\r\n\r\n".to_owned(),
        String::new(),
    ];
    for answer in cases {
        site.answer("/client.json", answer.clone());
        let told = Browser::new(&server).get(&authorize(&client(&url), &[])).await;
        assert!(told.text.contains(WORDS), "{answer:.150}");
        is_told(&told, WORDS);
        server.advance(Duration::from_secs(30));
    }
    // One that does not come to an end.
    site.serve("/client.json", json!({}));
    site.slowly("/client.json", Duration::from_secs(600));
    is_told(&Browser::new(&server).get(&authorize(&client(&url), &[])).await, WORDS);
    assert!(!site.calls.lock().unwrap().contains(&"/inside.json".to_owned()), "nothing is followed");
    for more in ["application/json; charset=utf-8", "application/client-metadata+json"] {
        site.answer("/client.json", typed(more));
        server.advance(Duration::from_secs(3 * 60 * 60));
        Browser::new(&server).get(&authorize(&client(&url), &[])).await.expect(200, "");
    }
    let calls = site.calls();

    // Where nothing inside was opened, nothing inside is called, whatever it is called; and all are told the same.
    let closed = TestServer::builder().trusting(site.certificate.clone()).start().await;
    allow(&closed, true).await;
    let port = site.port;
    let inside = [
        format!("https://localhost:{port}/client.json"),
        format!("https://127.0.0.1:{port}/client.json"),
        format!("https://127.0.0.2:{port}/client.json"),
        format!("https://0.0.0.0:{port}/client.json"),
        format!("https://[::1]:{port}/client.json"),
        format!("https://[::]:{port}/client.json"),
        format!("https://[::ffff:7f00:1]:{port}/client.json"),
        format!("https://[64:ff9b::7f00:1]:{port}/client.json"),
        format!("https://localhost.:{port}/client.json"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://[fd00:ec2::254]/latest/meta-data/".to_owned(),
        "https://[fe80::1]/client.json".to_owned(),
        "https://10.0.0.1/client.json".to_owned(),
        "https://192.168.0.1/client.json".to_owned(),
        "https://172.16.0.1/client.json".to_owned(),
        "https://100.64.0.1/client.json".to_owned(),
        "https://224.0.0.1/client.json".to_owned(),
        "https://255.255.255.255/client.json".to_owned(),
    ];
    let mut told = Vec::new();
    for url in &inside {
        let reply = push(&closed, url, &[]).await;
        assert_eq!(error(&reply), (401, "invalid_client".to_owned()), "{url}: {reply:?}");
        told.push(text(&reply.json(), "error_description").to_owned());
        is_told(&Browser::new(&closed).get(&authorize(&client(url), &[])).await, WORDS);
        closed.advance(Duration::from_secs(60));
    }
    told.dedup();
    assert_eq!((told.len(), site.calls()), (1, calls), "{told:?}");
    // Nor is what a document points to.
    let keys = json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/keys"});
    let url = site.serve("/keyed.json", keys);
    server.advance(Duration::from_secs(60));
    is_told(&Browser::new(&server).get(&authorize(&client(&url), &[])).await, "jwks_uri must begin with https://");
}
