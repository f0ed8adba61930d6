//! Address lists that only report.

use http::Method;
use serde_json::json;

use crate::support::{Actor, TestServer};

/// A list that only reports refuses nobody, and says so wherever it would have.
#[tokio::test]
async fn an_address_list_that_only_reports_is_told_of() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    let request = |mode: &str| json!({"name": "k", "allowedIps": ["203.0.113.0/24"], "allowedIpsMode": mode});
    let admin = server.live().with("x-forwarded-proto", "https");
    let (live, reports) = (server.live(), "REPORT");
    let make = async |mode: &str| {
        let made = server.post("/v1/keys", &admin, &request(mode)).await.expect(200, "").json();
        Actor::made(made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap())
    };
    let (reporting, enforcing) = (make(reports).await, make("ENFORCE").await);
    drop(live);
    let from =
        |key: &Actor, address: &str| key.clone().with("x-forwarded-proto", "https").with("x-forwarded-for", address);
    for (address, status) in [
        ("203.0.113.7", 200),
        ("::ffff:203.0.113.7", 200),
        ("198.51.100.1", 403),
        ("2001:db8::1", 403),
        // The nearest proxy's word counts, and not that of whoever stands before it.
        ("203.0.113.7, 198.51.100.1", 403),
        ("198.51.100.1, 203.0.113.7", 200),
    ] {
        server.get("/v1/auth/whoami", &from(&enforcing, address)).await.expect(status, "");
        server.get("/v1/auth/whoami", &from(&reporting, address)).await.expect(200, "");
    }
    let ask = async |path: &str, key: &Actor, address: Option<&str>| {
        let mut question = json!({"credential": key.secret});
        if let Some(address) = address {
            question["clientIp"] = json!(address);
        }
        server.post(path, &admin, &question).await.expect(200, "").json()
    };
    for (address, denied) in
        [(Some("203.0.113.7"), false), (Some("::ffff:203.0.113.7"), false), (Some("10.0.0.1"), true), (None, true)]
    {
        let told = ask("/v1/auth/verify", &reporting, address).await;
        assert_eq!(
            (&told["valid"], told["clientIpWouldBeDenied"] == true),
            (&json!(true), denied),
            "{address:?}: {told}"
        );
        let refused = ask("/v1/auth/verify", &enforcing, address).await;
        assert_eq!(
            (refused["code"] == "IP_DENIED", refused["clientIpWouldBeDenied"] == true),
            (denied, false),
            "{address:?}"
        );
        let explained = ask("/v1/auth/verify:explain", &reporting, address).await;
        let check =
            explained["checks"].as_array().unwrap().iter().find(|check| check["name"] == "client_ip").cloned().unwrap();
        assert_eq!(check["detail"].as_str().unwrap().contains("only reports"), denied, "{check}");
        assert_eq!(explained["decision"]["code"], "VALID");
    }
    let metrics = server.get("/metrics", &admin).await.text;
    let count = |door: &str| {
        let start = format!("gatepost_address_reports_total{{door=\"{door}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
    };
    assert_eq!((count("guard"), count("verify")), (Some("3".to_owned()), Some("2".to_owned())));
    let update = json!({"allowedIpsMode": "ENFORCE"});
    let update = server.request(Method::PATCH, &format!("/v1/keys/{}", reporting.id), &admin).json(&update);
    server.send(update).await.expect(200, "");
    server.get("/v1/auth/whoami", &from(&reporting, "198.51.100.1")).await.expect(403, "IP_DENIED");
}
