//! How credentials are used: every decision is counted once, on every wire, and is found again in the reports and the log.

mod access_log;
mod counts;
mod endings;
mod export;
mod lines;
mod narrowing;

use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::server::Builder;
use crate::support::{Actor, TestServer, Wire};

/// A server that writes down at once what it counted.
pub(crate) fn prompt() -> Builder {
    TestServer::builder().set("usage_interval", "100ms")
}

/// The counts that a request asks for.
async fn usage(server: &TestServer, actor: &Actor, request: Value) -> Value {
    server.call(Wire::Grpc, "Keys/GetUsage", actor, request).await.ok()
}

/// A number that JSON tells as a text.
fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Waits until so many calls with a key are written down, and holds that they are not more.
async fn counted(server: &TestServer, key: &Actor, calls: u64) {
    let total = async || number(&usage(server, &server.live(), json!({"keyId": key.id})).await["total"]);
    soon(&format!("that {calls} calls are counted"), async || total().await >= calls).await;
    assert_eq!(total().await, calls);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(total().await, calls, "no call is counted twice");
}
