//! What is told when something happens: signed, tried again, once more, by one node of several, and after a crash.

use std::time::{Duration, UNIX_EPOCH};

use gatepost::domain::webhook::delivery::PAUSES;
use serde_json::{Value, json};

use super::{Receiver, SILENCE, closed, deliveries, happens, hearing, local, read, text, webhook};
use crate::nodes::{soon, within};
use crate::support::serving::Place;
use crate::support::{Actor, TestServer, Wire};

/// Waits until the newest delivery of a webhook was tried so often, and gives it.
async fn tried(server: &TestServer, webhook: &str, attempts: u32) -> Value {
    let mut found = Value::Null;
    soon("the attempt", async || {
        found = deliveries(server, webhook).await.first().cloned().unwrap_or_default();
        found["attempts"] == attempts && found.get("lastAttemptAt").is_some() && !is_under_way(&found, server)
    })
    .await;
    found
}

/// While it is, it is due when its lease ends, whatever was said of the attempt before; no pause between tries is as long.
fn is_under_way(delivery: &Value, server: &TestServer) -> bool {
    let Some(due) = delivery["nextAttemptAt"].as_str() else { return false };
    let due = humantime::parse_rfc3339(due).expect("a time").duration_since(UNIX_EPOCH).expect("after 1970");
    let now = Duration::from_micros(server.now().micros().try_into().expect("after 1970"));
    (Duration::from_secs(55)..=Duration::from_secs(60)).contains(&due.saturating_sub(now))
}

#[tokio::test]
async fn what_happens_arrives_signed() {
    let (server, receiver, (id, secret)) = hearing(local(), &[]).await;
    let event = happens(&server, "a").await;
    let delivery = tried(&server, &id, 1).await;
    assert_eq!((&delivery["state"], &delivery["status"]), (&json!("DELIVERED"), &json!(204)), "{delivery}");
    assert!(delivery.get("nextAttemptAt").is_none() && delivery.get("error").is_none(), "{delivery}");
    let told = receiver.told();
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!(told.line, "POST /hooks?shop=1 HTTP/1.1");
    assert_eq!(told.header("webhook-id"), event.as_str());
    assert_eq!(told.header("webhook-timestamp"), "1893456000");
    assert_eq!(told.header("content-type"), "application/json");
    assert!(told.header("user-agent").starts_with("gatepost/"));
    assert!(told.header("webhook-signature").starts_with("v1,") && told.is_signed_by(&secret));
    let body: Value = serde_json::from_str(&told.body).expect("JSON");
    assert_eq!(body, json!({"type": "webhook.test", "timestamp": "2030-01-01T00:00:00Z", "data": {"what": "a"}}));
}

#[tokio::test]
async fn what_fails_is_tried_again_later_and_later() {
    let inner = Receiver::answering(&[]).await;
    let there = format!("302 There\r\nLocation: {}", inner.url());
    let answers = ["500 No", Box::leak(there.into_boxed_str()), "429 Wait\r\nRetry-After: 3600"];
    let (server, receiver, (id, _)) = hearing(local(), &answers).await;
    happens(&server, "a").await;
    for (attempts, status, pause) in [(1, 500, PAUSES[0]), (2, 302, PAUSES[1]), (3, 429, Duration::from_secs(3_600))] {
        let delivery = tried(&server, &id, attempts).await;
        assert_eq!((&delivery["state"], &delivery["status"]), (&json!("WAITING"), &json!(status)), "{delivery}");
        assert_eq!(delivery["error"], "BAD_STATUS");
        assert!(read(&server, &id).await.get("failingSince").is_some());
        // Not before its time.
        server.advance(pause - Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(receiver.told().len(), attempts as usize);
        server.advance(pause / 10 + Duration::from_secs(2));
    }
    assert_eq!(tried(&server, &id, 4).await["state"], "DELIVERED");
    assert!(read(&server, &id).await.get("failingSince").is_none());
    let told = receiver.told();
    assert!(told.iter().all(|one| one.header("webhook-id") == told[0].header("webhook-id")));
    assert!(told[0].header("webhook-timestamp") < told[3].header("webhook-timestamp"));
    assert_ne!(told[0].header("webhook-signature"), told[3].header("webhook-signature"));
    assert_eq!(inner.told().len(), 0, "a redirection is not followed");
}

#[tokio::test]
async fn what_fails_for_days_is_given_up_and_the_webhook_disabled() {
    let server = local().start().await;
    let (id, _) = webhook(&server, &closed().await).await;
    happens(&server, "a").await;
    for (attempts, pause) in (1..).zip(PAUSES) {
        let delivery = tried(&server, &id, attempts).await;
        assert_eq!((&delivery["state"], &delivery["error"]), (&json!("WAITING"), &json!("UNREACHABLE")), "{delivery}");
        server.advance(pause + pause / 10);
    }
    assert_eq!(tried(&server, &id, 10).await["state"], "FAILED");
    let shown = read(&server, &id).await;
    assert_eq!((&shown["enabled"], &shown["disabledReason"]), (&json!(false), &json!("FAILING")));
    let on = json!({"webhook": {"id": id, "enabled": true}, "updateMask": "enabled"});
    let shown = server.call(Wire::Json, "Keys/UpdateWebhook", &server.live(), on).await.ok()["webhook"].clone();
    assert!(shown.get("disabledReason").is_none() && shown.get("failingSince").is_none(), "{shown}");
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_disabled() {
    let (server, _receiver, (id, _)) = hearing(local(), &["410 Gone"]).await;
    happens(&server, "a").await;
    let delivery = tried(&server, &id, 1).await;
    assert_eq!((&delivery["state"], &delivery["error"]), (&json!("FAILED"), &json!("GONE")));
    soon("it is disabled", async || read(&server, &id).await["disabledReason"] == "GONE").await;
    happens(&server, "b").await;
    assert_eq!(deliveries(&server, &id).await.len(), 1, "it is told of nothing more");
    let again = json!({"webhookId": id, "id": delivery["id"]});
    for wire in Wire::THREE {
        let answer = server.call(wire, "Keys/RedeliverWebhook", &server.live(), again.clone()).await;
        answer.refused("INVALID_STATE");
    }
}

#[tokio::test]
async fn one_that_is_slow_holds_up_no_other() {
    let server = local().start().await;
    let slow = Receiver::answering(&[SILENCE; 20]).await;
    let quick = Receiver::answering(&[]).await;
    webhook(&server, &slow.url()).await;
    webhook(&server, &quick.url()).await;
    for n in 0..12 {
        happens(&server, &n.to_string()).await;
    }
    soon("the other one is told", async || quick.told().len() == 12).await;
    assert!(slow.told().len() <= 4, "a few at a time: {}", slow.told().len());
}

#[tokio::test]
async fn both_secrets_sign_while_one_replaces_the_other() {
    let (server, receiver, (id, old)) = hearing(local(), &[]).await;
    let mut former = old;
    for wire in Wire::THREE {
        let request = json!({"id": id, "gracePeriod": "3600s"});
        let rotated = server.call(wire, "Keys/RotateWebhookSecret", &server.live(), request).await.ok();
        let new = text(&rotated["secret"]).to_owned();
        Actor::made(&new, "");
        let end = server.later(Duration::from_secs(3_600));
        assert_eq!(rotated["webhook"]["oldSecretExpiresAt"], end);
        let tell = async |signatures: usize| {
            let before = receiver.told().len();
            happens(&server, "a").await;
            soon("it is told", async || receiver.told().len() > before).await;
            let told = receiver.told().pop().expect("a call");
            assert_eq!(told.header("webhook-signature").split(' ').count(), signatures);
            assert!(told.is_signed_by(&new));
            told
        };
        assert!(tell(2).await.is_signed_by(&former));
        server.advance(Duration::from_secs(3_600));
        assert!(!tell(1).await.is_signed_by(&former));
        assert!(read(&server, &id).await.get("oldSecretExpiresAt").is_none());
        former = new;
    }
}

#[tokio::test]
async fn a_delivery_is_made_once_more() {
    let (server, receiver, (id, secret)) = hearing(local(), &[]).await;
    let event = happens(&server, "a").await;
    assert_eq!(tried(&server, &id, 1).await["state"], "DELIVERED");
    for (wire, attempts) in Wire::THREE.into_iter().zip(2..) {
        let request = json!({"webhookId": id, "id": event.as_str()});
        let queued = server.call(wire, "Keys/RedeliverWebhook", &server.live(), request).await.ok()["delivery"].clone();
        assert_eq!((&queued["id"], &queued["state"]), (&json!(event.as_str()), &json!("WAITING")), "{queued}");
        assert_eq!(tried(&server, &id, attempts).await["state"], "DELIVERED");
        let told = receiver.told();
        assert_eq!((told.len(), told[0].body == told[told.len() - 1].body), (attempts as usize, true));
        assert_eq!(told.last().expect("a call").header("webhook-id"), event.as_str());
        assert!(told.last().expect("a call").is_signed_by(&secret));
    }
    for unknown in ["msg_00000000000000000000000000000000", "x"] {
        let request = json!({"webhookId": id, "id": unknown});
        let answer = server.call(Wire::Json, "Keys/RedeliverWebhook", &server.live(), request).await;
        answer.refused("RESOURCE_NOT_FOUND");
    }
    // The log is listed by state, a page at a time.
    for n in 0..4 {
        happens(&server, &n.to_string()).await;
    }
    soon("all are told", async || receiver.told().len() == 8).await;
    soon("all are settled", async || deliveries(&server, &id).await.iter().all(|one| one["state"] == "DELIVERED"))
        .await;
    let mut seen = Vec::new();
    let mut request = json!({"webhookId": id, "pageSize": 2, "state": "DELIVERED"});
    loop {
        let page = server.call(Wire::Json, "Keys/ListWebhookDeliveries", &server.live(), request.clone()).await.ok();
        seen.extend(page["data"].as_array().expect("a list").iter().map(|one| text(&one["id"]).to_owned()));
        let Some(next) = page["nextPageToken"].as_str() else { break };
        request["pageToken"] = json!(next);
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {seen:?}");
    let none = json!({"webhookId": id, "state": "FAILED"});
    let none = server.call(Wire::Grpc, "Keys/ListWebhookDeliveries", &server.live(), none).await.ok();
    assert_eq!(none["data"].as_array().map_or(0, Vec::len), 0);
}

#[tokio::test]
async fn of_two_nodes_one_tells() {
    let one = local().start().await;
    let two = one.another_node_with(local()).await;
    let receiver = Receiver::answering(&[]).await;
    let (id, _) = webhook(&one, &receiver.url()).await;
    for n in 0..30 {
        happens(if n % 2 == 0 { &one } else { &two }, &n.to_string()).await;
    }
    soon("all are told", async || receiver.told().len() >= 30).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut ids: Vec<_> = receiver.told().iter().map(|told| told.header("webhook-id").to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), receiver.told().len()), (30, 30));
    assert!(deliveries(&two, &id).await.iter().all(|delivery| delivery["state"] == "DELIVERED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_when_a_server_was_killed_is_told_by_the_next() {
    let place = Place::new().await;
    let line = "serve --listen 127.0.0.1:0 --poll-interval 50ms --webhook-private-addresses 127.0.0.0/8";
    let receiver = Receiver::answering(&["204 No Content", "503 Later"]).await;
    let server = place.command(line).serve().await;
    let admin = server.admin("live");
    let new = json!({"url": receiver.url(), "events": ["*"]});
    let made = server.post("/v1/webhooks", &admin, &new).await.expect(200, "").json();
    let secret = text(&made["secret"]).to_owned();
    Actor::made(&secret, "");
    let id = text(&made["webhook"]["id"]);
    let tested = server.post(&format!("/v1/webhooks/{id}:test"), &admin, &json!({})).await.expect(200, "").json();
    let delivery = text(&tested["data"][0]["id"]);
    let again = format!("/v1/webhooks/{id}/deliveries/{delivery}:redeliver");
    server.post(&again, &admin, &json!({})).await.expect(200, "");
    // The receiver has refused it, and it waits in the database.
    let log = format!("/v1/webhooks/{id}/deliveries");
    soon("it is refused", async || {
        let listed = server.get(&log, &admin).await.expect(200, "").json();
        listed["data"][0]["status"] == 503
    })
    .await;
    server.kill().await;
    let told = receiver.told().len();
    let server = place.command(line).serve().await;
    // At the latest when the killed server's claim is over, if it had not let go of the webhook yet.
    within(Duration::from_secs(90), "it is told after the crash", async || receiver.told().len() > told).await;
    let last = receiver.told().pop().expect("a call");
    assert!(last.header("webhook-id") == delivery && last.is_signed_by(&secret));
    soon("it is settled", async || {
        let listed = server.get(&log, &admin).await.expect(200, "").json();
        listed["data"][0]["state"] == "DELIVERED"
    })
    .await;
    assert_eq!(server.stop().await.code, 0);
}
