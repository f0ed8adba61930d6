//! Alerts arrive at webhooks: each once, signed, with what the API says of it.

use serde_json::{Value, json};

use super::{Receiver, local, webhook};
use crate::nodes::soon;
use crate::support::{TestServer, Wire};

async fn newest(server: &TestServer) -> Value {
    let listed = server.call(Wire::Grpc, "Keys/ListAlerts", &server.live(), json!({})).await.ok();
    listed["data"][0].clone()
}

#[tokio::test]
async fn an_alert_arrives_signed_and_once() {
    let server = local().set("usage_interval", "100ms").start().await;
    let receiver = Receiver::answering(&[]).await;
    let (_, secret) = webhook(&server, &receiver.url()).await;
    let honey = server.new_key(json!({"name": "canary", "honey": true, "owner": "ann"})).await;
    let thief = honey.clone().with("user-agent", "thief/1");
    server.call(Wire::Json, "Keys/ListKeys", &thief, json!({})).await.refused("NOT_FOUND");
    soon("that it arrives", async || !receiver.told().is_empty()).await;
    let told = receiver.told();
    assert!(told[0].is_signed_by(&secret));
    let body: Value = serde_json::from_str(&told[0].body).expect("JSON");
    assert_eq!((&body["type"], &body["data"]), (&json!("alert.honey_key"), &newest(&server).await));

    // What it counts meanwhile is told by the API alone; what leaks, at once.
    server.call(Wire::Json, "Keys/ListKeys", &thief, json!({})).await.refused("NOT_FOUND");
    soon("that it is counted", async || newest(&server).await["calls"] == "2").await;
    let key = server.key(&[]).await;
    server.call(Wire::Grpc, "Keys/ReportLeak", &server.live(), json!({"credential": key.secret})).await.ok();
    soon("that the leak arrives", async || receiver.told().len() > 1).await;
    let kinds: Vec<Value> = receiver
        .told()
        .iter()
        .map(|told| serde_json::from_str::<Value>(&told.body).expect("JSON")["type"].clone())
        .collect();
    assert_eq!(kinds, ["alert.honey_key", "alert.leaked_credential"]);
}
