//! Alerts arrive at webhooks: each once, signed, with what the API says of it.

use serde_json::{Value, json};

use super::{Receiver, deliveries, happens, hearing, local, text};
use crate::nodes::soon;
use crate::support::{Actor, Answer, TestServer, Wire};

async fn newest(server: &TestServer) -> Value {
    let listed = server.call(Wire::Grpc, "Keys/ListAlerts", &server.live(), json!({})).await.ok();
    listed["data"][0].clone()
}

#[tokio::test]
async fn an_alert_arrives_signed_and_once() {
    let (server, receiver, (_, secret)) = hearing(local().set("usage_interval", "100ms"), &[]).await;
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

#[track_caller]
fn lacks(answer: Answer) {
    answer.refused("INSUFFICIENT_SCOPE");
    assert!(answer.message.contains("read:alerts"), "{answer:?}");
}

/// By whichever way, alerts are for those who may read them.
#[tokio::test]
async fn alerts_are_for_those_who_may_read_them() {
    let (server, receiver, (theirs, _)) = hearing(local().set("usage_interval", "100ms"), &[]).await;
    let plain = server.key(&["read:webhooks", "write:webhooks"]).await;
    let reader = server.key(&["read:webhooks", "write:webhooks", "read:alerts"]).await;
    server.new_key(json!({"name": "canary", "honey": true})).await;
    let key = server.key(&[]).await;
    server.call(Wire::Grpc, "Keys/ReportLeak", &server.live(), json!({"credential": key.secret})).await.ok();
    soon("the leak arrives", async || receiver.told().len() == 1).await;
    soon("it is settled", async || deliveries(&server, &theirs).await[0]["state"] == "DELIVERED").await;
    happens(&server, "a").await;
    soon("it arrives", async || receiver.told().len() == 2).await;
    let logged = deliveries(&server, &theirs).await;
    let find = |kind: &str| logged.iter().find(|one| text(&one["type"]) == kind).expect("a delivery")["id"].clone();
    let (alert, other) = (find("alert.leaked_credential"), find("webhook.test"));

    for wire in Wire::THREE {
        let call = async |rpc: &str, by: &Actor, request: Value| server.call(wire, rpc, by, request).await;
        for events in [json!(["*"]), json!(["webhook.test", "alert.*"]), json!(["alert.honey_key"])] {
            let new = json!({"webhook": {"url": receiver.url(), "events": events}});
            lacks(call("Keys/CreateWebhook", &plain, new.clone()).await);
            let made = call("Keys/CreateWebhook", &reader, new).await.ok();
            Actor::made(text(&made["secret"]), "");
            call("Keys/DeleteWebhook", &reader, json!({"id": made["webhook"]["id"]})).await.ok();
        }
        let new = json!({"webhook": {"url": receiver.url(), "events": ["webhook.*"]}});
        let made = call("Keys/CreateWebhook", &plain, new).await.ok();
        Actor::made(text(&made["secret"]), "");
        let own = &made["webhook"]["id"];
        let update =
            |id: &Value, field: &str, value: Value| json!({"webhook": {"id": id, field: value}, "updateMask": field});
        lacks(call("Keys/UpdateWebhook", &plain, update(own, "events", json!(["webhook.test", "alert.*"]))).await);
        call("Keys/UpdateWebhook", &plain, update(own, "url", json!(receiver.url() + "&b=1"))).await.ok();

        // Nor is what hears of them led elsewhere; what else is said of it may be changed, alerts being taken away included.
        let theirs = json!(theirs);
        let elsewhere = json!(receiver.url() + "&mine=1");
        lacks(call("Keys/UpdateWebhook", &plain, update(&theirs, "url", elsewhere.clone())).await);
        lacks(call("Keys/RotateWebhookSecret", &plain, json!({"id": theirs})).await);
        call("Keys/UpdateWebhook", &plain, update(&theirs, "description", json!("D"))).await.ok();
        call("Keys/UpdateWebhook", &plain, update(&theirs, "events", json!(["webhook.*"]))).await.ok();
        call("Keys/UpdateWebhook", &plain, update(&theirs, "url", elsewhere)).await.ok();
        lacks(call("Keys/UpdateWebhook", &plain, update(&theirs, "events", json!(["*"]))).await);

        // What it heard before is neither shown nor told again.
        lacks(call("Keys/RedeliverWebhook", &plain, json!({"webhookId": theirs, "id": alert})).await);
        call("Keys/RedeliverWebhook", &plain, json!({"webhookId": theirs, "id": other})).await.ok();
        for (by, shown) in [(&plain, false), (&reader, true)] {
            let listed = call("Keys/ListWebhookDeliveries", by, json!({"webhookId": theirs})).await.ok();
            let listed = listed["data"].as_array().expect("a list");
            let payload = |id: &Value| text(&listed.iter().find(|one| one["id"] == *id).expect("it")["payload"]).len();
            assert!((payload(&alert) > 0) == shown && payload(&other) > 0, "{listed:?}");
        }
        call("Keys/UpdateWebhook", &reader, update(&theirs, "url", json!(receiver.url()))).await.ok();
        call("Keys/UpdateWebhook", &reader, update(&theirs, "events", json!(["*"]))).await.ok();
    }
    call_again(&server, &reader, &theirs, &alert).await;
}

/// Whoever may read an alert has it told once more; while it waits, the webhook is led elsewhere by nobody who may not.
async fn call_again(server: &TestServer, reader: &Actor, webhook: &str, alert: &Value) {
    let receiver = Receiver::answering(&["500 No"; 20]).await;
    let call = async |by: &Actor, values: Value| {
        let mask = values.as_object().expect("fields").keys().filter(|key| *key != "id").cloned().collect::<Vec<_>>();
        let request = json!({"webhook": values, "updateMask": mask.join(",")});
        server.call(Wire::Json, "Keys/UpdateWebhook", by, request).await
    };
    call(reader, json!({"id": webhook, "url": receiver.url(), "events": []})).await.ok();
    let again = json!({"webhookId": webhook, "id": alert});
    server.call(Wire::Grpc, "Keys/RedeliverWebhook", reader, again).await.ok();
    soon("it is refused there", async || !receiver.told().is_empty()).await;
    let plain = server.key(&["write:webhooks"]).await;
    let elsewhere = json!({"id": webhook, "url": receiver.url() + "&mine=1"});
    call(&plain, elsewhere.clone()).await.refused("INSUFFICIENT_SCOPE");
    call(reader, elsewhere).await.ok();
}
