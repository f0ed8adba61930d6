//! Webhooks: kept, told, tried, told again, and never led inside.

mod alerts;
mod crowds;
mod deliveries;
mod promises;
mod receiver;

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{EventId, ProjectId};
use gatepost::domain::webhook::event::{WEBHOOK_TEST, WebhookEvent};
use serde_json::{Value, json};

use self::receiver::{Receiver, SILENCE, Told};
use crate::nodes::soon;
use crate::support::server::Builder;
use crate::support::{Actor, TestServer, Wire};

/// A server that may call this machine.
fn local() -> Builder {
    TestServer::builder().set("webhook_private_addresses", "127.0.0.0/8")
}

/// A server, a host that answers with these heads, and a webhook that tells it of everything: its id and secret.
async fn hearing(server: Builder, answers: &[&'static str]) -> (TestServer, Receiver, (String, String)) {
    let (server, receiver) = (server.start().await, Receiver::answering(answers).await);
    let webhook = webhook(&server, &receiver.url()).await;
    (server, receiver, webhook)
}

/// Adds a webhook that is told of everything; its id and secret.
async fn webhook(server: &TestServer, url: &str) -> (String, String) {
    webhook_by(server, &server.live(), url).await
}

/// The same, by somebody.
async fn webhook_by(server: &TestServer, maker: &Actor, url: &str) -> (String, String) {
    let request = json!({"webhook": {"url": url, "events": ["*"]}});
    let made = server.call(Wire::Grpc, "Keys/CreateWebhook", maker, request).await.ok();
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    Actor::made(&secret, "");
    (made["webhook"]["id"].as_str().expect("an id").to_owned(), secret)
}

/// Something happens in the live environment of the first project.
async fn happens(server: &TestServer, what: &str) -> EventId {
    happens_in(server, ProjectId::default_project(), Environment::Live, what).await
}

async fn happens_in(server: &TestServer, project: ProjectId, environment: Environment, what: &str) -> EventId {
    let event = WebhookEvent {
        id: EventId::new(server.now(), &SystemEntropy),
        kind: WEBHOOK_TEST,
        project,
        environment,
        at: server.now(),
        data: json!({"what": what}),
    };
    server.store().await.enqueue_event(&event).await.expect("it is stored");
    event.id
}

async fn deliveries(server: &TestServer, webhook: &str) -> Vec<Value> {
    let request = json!({"webhookId": webhook});
    let listed = server.call(Wire::Grpc, "Keys/ListWebhookDeliveries", &server.live(), request).await.ok();
    listed["data"].as_array().cloned().unwrap_or_default()
}

async fn read(server: &TestServer, webhook: &str) -> Value {
    server.call(Wire::Grpc, "Keys/GetWebhook", &server.live(), json!({"id": webhook})).await.ok()["webhook"].clone()
}

#[tokio::test]
async fn a_webhook_is_kept_as_it_is_told() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
        let new = json!({"webhook": {"url": "https://hooks.example/a", "events": ["webhook.test", "*"]}});
        let made = call("Keys/CreateWebhook", new).await.ok();
        let secret = made["secret"].as_str().expect("a secret");
        Actor::made(secret, "");
        assert!(secret.starts_with("whsec_") && secret.len() == 6 + 44, "32 bytes in base64");
        let id = made["webhook"]["id"].as_str().expect("an id").to_owned();
        let told = json!({
            "id": id, "url": "https://hooks.example/a", "description": "", "enabled": true,
            "events": ["*", "webhook.test"], "environment": "LIVE",
            "createdAt": "2030-01-01T00:00:00Z", "updatedAt": "2030-01-01T00:00:00Z", "etag": "v1",
        });
        assert_eq!(made["webhook"], told);
        assert_eq!(call("Keys/GetWebhook", json!({"id": id})).await.ok()["webhook"], told);
        let by = server.test();
        server.call(wire, "Keys/GetWebhook", &by, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");

        let values = json!({"id": id, "etag": "v1", "description": "D", "events": [], "enabled": false});
        let change = json!({"webhook": values, "updateMask": "description,events,enabled"});
        let changed = call("Keys/UpdateWebhook", change.clone()).await.ok()["webhook"].clone();
        assert_eq!((&changed["description"], &changed["events"]), (&json!("D"), &json!([])));
        assert_eq!((&changed["enabled"], &changed["url"]), (&json!(false), &json!("https://hooks.example/a")));
        call("Keys/UpdateWebhook", change).await.refused("ETAG_MISMATCH");
        let mask = json!({"webhook": {"id": id}, "updateMask": "secret"});
        call("Keys/UpdateWebhook", mask).await.violates(&["update_mask"]);
        assert_eq!(call("Keys/ListWebhooks", json!({})).await.ok()["data"], json!([changed]));
        assert_eq!(call("Keys/DeleteWebhook", json!({"id": id})).await.ok()["webhook"], changed);
        for rpc in ["Keys/GetWebhook", "Keys/DeleteWebhook", "Keys/RotateWebhookSecret", "Keys/TestWebhook"] {
            call(rpc, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        }
        call("Keys/ListWebhookDeliveries", json!({"webhookId": id})).await.refused("RESOURCE_NOT_FOUND");
    }
    // Both verbs change what the body names.
    let (id, _) = webhook(&server, "https://hooks.example/a").await;
    for (method, text) in [(http::Method::PUT, "one"), (http::Method::PATCH, "two")] {
        let request = server.request(method, &format!("/v1/webhooks/{id}"), &server.live());
        let reply = server.send(request.json(&json!({"description": text}))).await.expect(200, "").json();
        assert_eq!((&reply["description"], &reply["events"]), (&json!(text), &json!(["*"])));
    }
}

#[tokio::test]
async fn each_field_keeps_its_rule() {
    let server = TestServer::start().await;
    let cases = [
        (json!({"url": ""}), "webhook.url"),
        (json!({"url": "hooks.example"}), "webhook.url"),
        (json!({"url": "http://hooks.example/"}), "webhook.url"),
        (json!({"url": "https://user@hooks.example/"}), "webhook.url"),
        (json!({"url": "https://hooks.example/#a"}), "webhook.url"),
        (json!({"url": format!("https://hooks.example/{}", "x".repeat(2_000))}), "webhook.url"),
        (json!({"description": "x".repeat(1_001)}), "webhook.description"),
        (json!({"events": ["*", "webhook.tests"]}), "webhook.events[1]"),
        (json!({"events": [""]}), "webhook.events[0]"),
        (json!({"events": vec!["*"; 51]}), "webhook.events"),
    ];
    for (n, (change, field)) in cases.into_iter().enumerate() {
        let mut webhook = json!({"url": "https://hooks.example/", "events": ["*"]});
        webhook.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let request = json!({"webhook": webhook});
        server.call(Wire::ALL[n % 4], "Keys/CreateWebhook", &server.live(), request).await.violates(&[field]);
    }
    let (id, _) = webhook(&server, "https://hooks.example/").await;
    let too_long = json!({"id": id, "gracePeriod": "2592001s"});
    server.call(Wire::Json, "Keys/RotateWebhookSecret", &server.live(), too_long).await.violates(&["grace_period"]);
    for _ in 1..20 {
        webhook(&server, "https://hooks.example/").await;
    }
    let more = json!({"webhook": {"url": "https://hooks.example/"}});
    server.call(Wire::Grpc, "Keys/CreateWebhook", &server.live(), more).await.refused("INVALID_STATE");
}

#[tokio::test]
async fn addresses_inside_are_refused() {
    let server = TestServer::start().await;
    for (n, host) in INSIDE.into_iter().enumerate() {
        for scheme in ["https", "http"] {
            let request = json!({"webhook": {"url": format!("{scheme}://{host}/"), "events": ["*"]}});
            let answer = server.call(Wire::ALL[n % 4], "Keys/CreateWebhook", &server.live(), request).await;
            answer.violates(&["webhook.url"]);
        }
    }
    let (id, _) = webhook(&server, "https://hooks.example/").await;
    let change = json!({"webhook": {"id": id, "url": "https://127.0.0.1/"}, "updateMask": "url"});
    server.call(Wire::Json, "Keys/UpdateWebhook", &server.live(), change).await.violates(&["webhook.url"]);

    // One that was taken while the setting allowed it is not called without the setting, whoever asks.
    let receiver = Receiver::answering(&[]).await;
    let allowed = server.another_node_with(local()).await;
    let (id, _) = webhook(&allowed, &receiver.url()).await;
    allowed.stop().await;
    for wire in Wire::THREE {
        let tested = server.call(wire, "Keys/TestWebhook", &server.live(), json!({"id": id})).await.ok();
        assert_eq!(
            (&tested["data"][0]["state"], &tested["data"][0]["error"]),
            (&json!("FAILED"), &json!("ADDRESS_FORBIDDEN"))
        );
        assert!(tested["data"][0].get("status").is_none(), "{tested}");
    }
    // Of a name it is not told that it stands for an address inside.
    for name in ["ip6-localhost", "ip6-loopback", "no-such-name.invalid"] {
        let (named, _) = webhook(&server, &format!("https://{name}/")).await;
        let tested = server.call(Wire::Json, "Keys/TestWebhook", &server.live(), json!({"id": named})).await.ok();
        assert_eq!(tested["data"][0]["error"], "NAME_UNRESOLVED", "{name}");
        server.call(Wire::Json, "Keys/DeleteWebhook", &server.live(), json!({"id": named})).await.ok();
    }
    happens(&server, "a").await;
    soon("the delivery fails", async || deliveries(&server, &id).await[0]["attempts"] == 1).await;
    assert_eq!(deliveries(&server, &id).await[0]["error"], "ADDRESS_FORBIDDEN");
    assert_eq!(receiver.told().len(), 0);
}

#[tokio::test]
async fn the_test_button_tells_what_became_of_it() {
    let (server, receiver, (id, secret)) = hearing(local(), &[]).await;
    for wire in Wire::ALL {
        let tested = server.call(wire, "Keys/TestWebhook", &server.live(), json!({"id": id})).await.ok();
        let delivery = tested["data"][0].clone();
        assert_eq!((&delivery["state"], &delivery["status"]), (&json!("DELIVERED"), &json!(204)), "{delivery}");
        assert_eq!((&delivery["webhookId"], &delivery["attempts"]), (&json!(id), &json!(1)));
        let duration = delivery["duration"].as_str().expect("a duration");
        assert!(duration.trim_end_matches('s').parse::<f64>().expect("seconds") > 0.0, "{duration}");
        let told = receiver.told().pop().expect("a call");
        assert_eq!(
            (told.header("webhook-id"), &told.body),
            (text(&delivery["id"]), &text(&delivery["payload"]).to_owned())
        );
        assert!(told.is_signed_by(&secret));
        let logged = deliveries(&server, &id).await;
        assert!(logged.contains(&delivery), "{logged:?}");
    }
    // The billing API's way: all that are enabled, or the one that is named.
    let (other, _) = webhook(&server, &receiver.url()).await;
    let off = json!({"webhook": {"id": other, "enabled": false}, "updateMask": "enabled"});
    server.call(Wire::Grpc, "Keys/UpdateWebhook", &server.live(), off).await.ok();
    for (body, wanted) in [(json!({}), &id), (json!({"id": other}), &other)] {
        let reply = server.post("/v1/api/public/webhooks/test", &server.live(), &body).await.expect(200, "").json();
        assert_eq!(reply["data"].as_array().expect("a list").len(), 1, "{reply}");
        assert_eq!((&reply["data"][0]["webhookId"], &reply["data"][0]["status"]), (&json!(wanted), &json!(204)));
    }

    // Whatever goes wrong is told, and tried once.
    let cases =
        [("500 No", "BAD_STATUS", Some(500)), ("410 Gone", "GONE", Some(410)), ("302 There", "BAD_STATUS", Some(302))];
    for (answer, error, status) in cases {
        receiver.then(answer);
        let tested = server.call(Wire::Json, "Keys/TestWebhook", &server.live(), json!({"id": id})).await.ok();
        let delivery = &tested["data"][0];
        assert_eq!((&delivery["state"], &delivery["error"]), (&json!("FAILED"), &json!(error)), "{delivery}");
        assert_eq!(delivery["status"].as_i64(), status);
    }
    assert_eq!(read(&server, &id).await["enabled"], true, "a test disables nothing");
    receiver.then(SILENCE);
    let tested = server.call(Wire::Grpc, "Keys/TestWebhook", &server.live(), json!({"id": id})).await.ok();
    assert_eq!(tested["data"][0]["error"], "TIMED_OUT");
    let (closed, _) = webhook(&server, &closed().await).await;
    let tested = server.call(Wire::Grpc, "Keys/TestWebhook", &server.live(), json!({"id": closed})).await.ok();
    assert_eq!(tested["data"][0]["error"], "UNREACHABLE");
}

/// The scheme's own library takes what is sent, in the machine's own time.
#[tokio::test]
async fn the_schemes_own_library_verifies_it() {
    let (server, receiver, (id, secret)) = hearing(local().for_browsers(), &[]).await;
    server.call(Wire::Json, "Keys/TestWebhook", &server.live(), json!({"id": id})).await.ok();
    let Told { headers, body, line } = receiver.told().pop().expect("a call");
    assert_eq!(line, "POST /hooks?shop=1 HTTP/1.1");
    standardwebhooks::Webhook::new(&secret).unwrap().verify(body.as_bytes(), &headers).expect("a good signature");
    let other = standardwebhooks::Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    assert!(other.verify(body.as_bytes(), &headers).is_err());
    assert!(standardwebhooks::Webhook::new(&secret).unwrap().verify(b"{}", &headers).is_err());
}

#[tokio::test]
async fn what_is_done_to_webhooks_is_written_down() {
    let (server, _receiver, (id, _)) = hearing(local(), &[]).await;
    let call = async |rpc: &str, request: Value| server.call(Wire::Json, rpc, &server.live(), request).await.ok();
    call("Keys/UpdateWebhook", json!({"webhook": {"id": id, "description": "D"}, "updateMask": "description"})).await;
    let rotated = call("Keys/RotateWebhookSecret", json!({"id": id})).await;
    Actor::made(text(&rotated["secret"]), "");
    let tested = call("Keys/TestWebhook", json!({"id": id})).await;
    call("Keys/RedeliverWebhook", json!({"webhookId": id, "id": tested["data"][0]["id"]})).await;
    call("Keys/DeleteWebhook", json!({"id": id})).await;
    let events = call("Keys/ListAuditEvents", json!({"target": id})).await;
    let actions: Vec<_> = events["data"].as_array().expect("a list").iter().rev().map(|e| text(&e["action"])).collect();
    let verbs = ["created", "updated", "secret_rotated", "redelivered", "deleted"];
    assert_eq!(actions, verbs.map(|verb| format!("webhook.{verb}")));
}

/// An address where nobody listens.
async fn closed() -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    format!("http://{}/", listener.local_addr().expect("an address"))
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

const INSIDE: [&str; 19] = [
    "localhost",
    "a.localhost",
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "[::1]",
    "[::]",
    "[::ffff:7f00:1]",
    "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[64:ff9b::7f00:1]",
    "2130706433",
];
