//! What pages of other sites may call of the authorization server, and what those who are refused are told of it.

use http::Method;
use serde_json::json;

use crate::oauth::{Browser, authorize, issuer, web_client};
use crate::support::{Actor, TestServer, Wire};

const ORIGIN: &str = "https://shop.example";

#[tokio::test]
async fn scripts_of_other_sites_call_what_is_meant_for_them_and_no_page() {
    let server = TestServer::start().await;
    for (target, methods, open) in [
        ("/oauth/token", "POST", true),
        ("/oauth/userinfo", "GET", true),
        ("/oauth/introspect", "POST", true),
        ("/oauth/revoke", "POST", true),
        ("/oauth/register", "POST", true),
        ("/oauth/register/cli_x", "DELETE", true),
        ("/.well-known/oauth-authorization-server", "GET", true),
        ("/.well-known/openid-configuration", "GET", true),
        ("/.well-known/oauth-protected-resource", "GET", true),
        ("/oauth/authorize", "GET", false),
        ("/oauth/sign-in", "POST", false),
        ("/oauth/sign-up", "GET", false),
        ("/oauth/consent", "POST", false),
        ("/oauth/logout", "GET", false),
        ("/oauth/sign-out", "POST", false),
    ] {
        let page = Actor::anonymous().with("origin", ORIGIN);
        let preflight = page
            .clone()
            .with("access-control-request-method", methods)
            .with("access-control-request-headers", "authorization, content-type");
        let method = Method::from_bytes(methods.as_bytes()).unwrap();
        let asked = server.send(server.request(Method::OPTIONS, target, &preflight)).await;
        assert_eq!(asked.status, if open { 204 } else { 405 }, "{target}: {asked:?}");
        let called = server.send(server.request(method, target, &page)).await;
        for reply in [&asked, &called] {
            let allowed = if open { "*" } else { "" };
            assert_eq!(reply.header("access-control-allow-origin"), allowed, "{target}: {reply:?}");
            assert_eq!(reply.header("access-control-allow-credentials"), "", "{target}: never with cookies");
        }
    }
    let listed = TestServer::builder().set("cors_origins", ORIGIN).start().await;
    let page = Actor::anonymous().with("origin", ORIGIN);
    assert_eq!(listed.get("/oauth/authorize", &page).await.header("access-control-allow-origin"), "");
    let page = listed.get("/.well-known/openid-configuration", &page).await;
    assert_eq!(page.header("access-control-allow-origin"), ORIGIN);
}

#[tokio::test]
async fn pages_on_the_way_to_a_client_do_not_stand_in_its_way() {
    let server = TestServer::start().await;
    server.person(&server.live(), "ada", &["read:users"]).await;
    let client = web_client(&server).await;
    let mut browser = Browser::new(&server);
    let sign_in = browser.get(&authorize(&client, &[])).await.expect(200, "");
    let consent = browser.sign_in(&sign_in, "ada").await.expect(200, "");
    for page in [&sign_in, &consent] {
        let policy = page.header("content-security-policy");
        // A callback may send people on to anywhere, and a pop-up has to find its opener again.
        assert!(policy.contains("default-src 'none'") && !policy.contains("form-action"), "{policy}");
        assert_eq!(page.header("cross-origin-opener-policy"), "");
    }
    let elsewhere = browser.get("/oauth/authorize").await.expect(400, "");
    assert!(elsewhere.header("content-security-policy").contains("form-action 'self'"), "{elsewhere:?}");
}

#[tokio::test]
async fn whoever_is_refused_is_told_where_tokens_are_had() {
    let server = TestServer::start().await;
    let issuer = issuer(&server).await;
    let metadata = format!("{issuer}/.well-known/oauth-protected-resource");
    let begin = format!("Bearer realm=\"gatepost\", resource_metadata=\"{metadata}\"");
    let reader = server.key(&["read:products"]).await;
    let bad = Actor::bearer("sk_live_nobody");
    let scope = ", error=\"insufficient_scope\", scope=\"read:users\"";
    let openid = ", error=\"insufficient_scope\", scope=\"openid\"";
    let invalid = ", error=\"invalid_token\", error_description=\"Invalid or missing API key\"";
    for (target, actor, status, rest) in [
        ("/v1/users", &Actor::anonymous(), 401, ""),
        ("/v1/users", &bad, 401, invalid),
        ("/v1/users", &reader, 403, scope),
        ("/oauth/userinfo", &Actor::anonymous(), 401, ""),
        ("/oauth/userinfo", &bad, 401, ", error=\"invalid_token\""),
    ] {
        let reply = server.get(target, actor).await;
        assert_eq!(reply.status, status, "{target}: {reply:?}");
        assert_eq!(reply.header("www-authenticate"), format!("{begin}{rest}"), "{target}");
    }
    server.person(&server.live(), "ada", &["read:users"]).await;
    let user = server.sign_in(&server.live(), "ada").await;
    let reply = server.get("/oauth/userinfo", &user).await.expect(403, "");
    assert_eq!(reply.header("www-authenticate"), format!("{begin}{openid}"));
    for wire in Wire::ALL {
        for (actor, rest) in [(&Actor::anonymous(), ""), (&bad, invalid), (&reader, scope)] {
            let answer = server.call(wire, "Users/ListUsers", actor, json!({})).await;
            assert_eq!(answer.header("www-authenticate"), format!("{begin}{rest}"), "{wire:?}");
        }
    }
    // What it points to describes this service.
    let told = server.get("/.well-known/oauth-protected-resource", &Actor::anonymous()).await.expect(200, "").json();
    assert_eq!((&told["resource"], &told["authorization_servers"]), (&json!(issuer), &json!([issuer])));
    assert_eq!(told["bearer_methods_supported"], json!(["header"]));
    let scopes = told["scopes_supported"].as_array().unwrap();
    assert!(scopes.contains(&json!("read:users")) && !scopes.contains(&json!("admin")), "{told}");
}
