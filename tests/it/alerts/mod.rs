//! Alerts: what raises them, what does not, and that each is told once.

mod honey;
mod rpcs;
mod rules;

use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

/// The alerts that a request asks for, newest first.
async fn listed(server: &TestServer, actor: &Actor, request: Value) -> Vec<Value> {
    let listed = server.call(Wire::Grpc, "Keys/ListAlerts", actor, request).await.ok();
    listed["data"].as_array().cloned().unwrap_or_default()
}

/// Waits for an alert of this kind about this key, the only one.
async fn told(server: &TestServer, actor: &Actor, kind: &str, key: &Actor) -> Value {
    let asked = json!({"kind": kind, "credentialId": key.id});
    soon(&format!("that {kind} is told"), async || !listed(server, actor, asked.clone()).await.is_empty()).await;
    let mut all = listed(server, actor, asked).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// An alert that an administrator is told at once: its id.
pub(crate) async fn raised(server: &TestServer, admin: &Actor) -> String {
    let key = server.new_key_by(admin, json!({"name": "was found"})).await;
    server.call(Wire::Grpc, "Keys/ReportLeak", admin, json!({"credential": key.secret})).await.ok();
    let all = listed(server, admin, json!({"credentialId": key.id})).await;
    all[0]["id"].as_str().expect("an id").to_owned()
}
