//! What answers tell of limits, on every wire.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost::domain::environment::Environment;
use http::Method;
use serde_json::json;
use tonic::Code;

use super::{Count, items, limit, limited, whoami};
use crate::support::{Actor, Wire};

whoever_counts! {
    the_headers_are_true_on_every_wire,
    a_grpc_refusal_says_when_and_which_in_its_details,
    a_refusal_before_the_limits_spends_nothing_and_tells_them_to_good_keys_alone,
    browsers_may_read_the_headers,
    the_second_door_holds_to_the_limits_too,
}

async fn the_headers_are_true_on_every_wire(count: Count) {
    let server = count.server().await;
    for wire in Wire::ALL {
        let key = limited(&server, &[limit("minute", 3, 60), limit("day", 1000, 86_400)]).await;
        for left in [2, 1, 0] {
            let answer = whoami(&server, wire, &key).await;
            let reset = 20 * (3 - left);
            assert_eq!(answer.code, Code::Ok, "{answer:?}");
            assert_eq!(answer.header("x-ratelimit-limit"), "3");
            assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
            assert_eq!(answer.header("x-ratelimit-reset"), reset.to_string());
            let policy = BTreeMap::from([("day", "q=1000;w=86400".to_owned()), ("minute", "q=3;w=60".to_owned())]);
            assert_eq!(items(answer.header("ratelimit-policy")), policy);
            assert_eq!(items(answer.header("ratelimit"))["minute"], format!("r={left};t={reset}"));
            assert!(items(answer.header("ratelimit"))["day"].starts_with(&format!("r={}", 997 + left)));
            assert_eq!(answer.header("retry-after"), "");
        }
        let refused = whoami(&server, wire, &key).await;
        refused.refused("RATE_LIMITED");
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (Code::ResourceExhausted, "Rate limit exceeded. Try again in 20 seconds")
        );
        for (header, value) in [
            ("retry-after", "20"),
            ("x-ratelimit-limit", "3"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "20"),
        ] {
            assert_eq!(refused.header(header), value, "{header} on {wire:?}");
        }
        assert_eq!(
            items(refused.header("ratelimit")),
            BTreeMap::from([("minute", "r=0;t=20".to_owned()), ("day", "r=997".to_owned())])
        );
        if wire == Wire::Json {
            let document = &refused.document;
            assert_eq!(refused.http, 429);
            assert_eq!(refused.header("content-type"), "application/problem+json");
            assert_eq!(document["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert_eq!(
                (&document["violated-policies"], &document["error"]),
                (&json!(["minute"]), &json!("rate_limit_exceeded"))
            );
        }
        // A client that waits as told succeeds; one that does not, does not.
        server.advance(Duration::from_millis(19_999));
        assert_eq!(whoami(&server, wire, &key).await.header("retry-after"), "1");
        server.advance(Duration::from_millis(1));
        whoami(&server, wire, &key).await.ok();
        whoami(&server, wire, &key).await.refused("RATE_LIMITED");
    }
}

async fn a_grpc_refusal_says_when_and_which_in_its_details(count: Count) {
    use tonic_types::StatusExt;
    let server = count.server().await;
    let key = limited(&server, &[limit("minute", 1, 60)]).await;
    let mut client = gatepost::proto::v1::auth_client::AuthClient::new(server.clients().channel());
    let mut ask = async || {
        let mut request = tonic::Request::new(gatepost::proto::v1::WhoAmIRequest {});
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(key.headers.clone());
        client.who_am_i(request).await
    };
    let first = ask().await.expect("the first is let in");
    assert_eq!(first.metadata().get("x-ratelimit-remaining").unwrap(), "0", "as initial metadata");
    let refused = ask().await.expect_err("the second is not");
    let details = refused.get_error_details();
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(60)));
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!((&*violations[0].subject, &*violations[0].description), ("minute", "1 calls in 60 s"));
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
}

async fn a_refusal_before_the_limits_spends_nothing_and_tells_them_to_good_keys_alone(count: Count) {
    let server = count.server().await;
    let request = json!({
        "name": "k", "scopes": ["read:products"], "rateLimits": [limit("minute", 2, 60)], "allowedIps": ["127.0.0.1"],
    });
    let key = server.new_key(request).await;
    for wire in Wire::ALL {
        let refused = server.call(wire, "Keys/ListKeys", &key, json!({})).await;
        refused.refused("INSUFFICIENT_SCOPE");
        assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("retry-after")), ("2", ""));
    }
    server.call(Wire::Grpc, "Keys/SuspendKey", &server.live(), json!({"id": key.id})).await.ok();
    assert_eq!(whoami(&server, Wire::Json, &key).await.header("ratelimit"), "\"minute\";r=2;t=0");
    server.call(Wire::Grpc, "Keys/ResumeKey", &server.live(), json!({"id": key.id})).await.ok();
    whoami(&server, Wire::Json, &key).await.ok();
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
    let ended = whoami(&server, Wire::Json, &key).await;
    ended.refused("NOT_FOUND");
    assert_eq!(ended.header("ratelimit"), "", "as of a key that nobody issued");
    let free = server.key(&["read:products"]).await;
    for actor in [&free, &Actor::stranger("sk", Environment::Live), &Actor::anonymous()] {
        let answer = server.get("/v1/auth/whoami", actor).await;
        assert!(!answer.headers.keys().any(|name| name.as_str().contains("ratelimit")), "{answer:?}");
    }
}

async fn browsers_may_read_the_headers(count: Count) {
    let server = count.server().await;
    let key = limited(&server, &[limit("minute", 1, 60)]).await;
    for status in [200, 429] {
        let request = server.request(Method::GET, "/v1/auth/whoami", &key).header("origin", "https://shop.example");
        let answer = server.send(request).await.expect(status, "");
        let exposed = answer.header("access-control-expose-headers");
        for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
        {
            assert!(
                exposed.split(", ").any(|other| other == name) && !answer.header(name).is_empty(),
                "{name}: {answer:?}"
            );
        }
    }
}

async fn the_second_door_holds_to_the_limits_too(count: Count) {
    let server = count.server().await;
    let request = json!({"name": "k", "scopes": ["verify:credentials"], "rateLimits": [limit("minute", 1, 60)]});
    let key = server.new_key(request).await;
    let ask = || server.send(server.request(Method::POST, "/oauth/introspect", &key).form(&[("token", "x")]));
    let first = ask().await.expect(200, "");
    assert_eq!(first.header("x-ratelimit-remaining"), "0", "{first:?}");
    let refused = ask().await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "60"), "{refused:?}");
}
