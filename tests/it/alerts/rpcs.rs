//! Reading alerts and changing rules, on every wire.

use serde_json::{Value, json};

use super::{listed, raised};
use crate::support::command::Gatepost;
use crate::support::{TestServer, Wire};

#[tokio::test]
async fn alerts_are_listed_filtered_and_read() {
    let server = TestServer::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        server.advance(std::time::Duration::from_secs(1));
        ids.insert(0, raised(&server, &server.live()).await);
    }
    let in_test = raised(&server, &server.test()).await;
    let reader = server.key(&["read:alerts"]).await;
    for wire in Wire::ALL {
        let list = async |request: Value| server.call(wire, "Keys/ListAlerts", &reader, request).await;
        let seen = |answer: &Value| -> Vec<String> {
            let data = answer["data"].as_array().cloned().unwrap_or_default();
            data.iter().map(|alert| alert["id"].as_str().expect("an id").to_owned()).collect()
        };
        assert_eq!(seen(&list(json!({})).await.ok()), ids);
        let first = list(json!({"pageSize": 2})).await.ok();
        let token = first["nextPageToken"].clone();
        let rest = list(json!({"pageSize": 2, "pageToken": token})).await.ok();
        assert_eq!([seen(&first), seen(&rest)].concat(), ids);
        let numbered = list(json!({"limit": 2, "page": 2})).await.ok();
        assert_eq!((seen(&numbered), &numbered["pagination"]["total"]), (ids[2..].to_vec(), &json!(3)));
        assert_eq!(seen(&list(json!({"kind": "leaked_credential"})).await.ok()), ids);
        assert_eq!(seen(&list(json!({"kind": "new_network"})).await.ok()), Vec::<String>::new());
        let newest = server.later(std::time::Duration::ZERO);
        assert_eq!(seen(&list(json!({"since": newest})).await.ok()), ids[..1]);
        let found = server.call(wire, "Keys/GetAlert", &reader, json!({"id": ids[0]})).await.ok();
        let about = found["alert"]["credentialId"].clone();
        assert_eq!(seen(&list(json!({"credentialId": about})).await.ok()), ids[..1]);
        list(json!({"kind": "nothing"})).await.violates(&["kind"]);
        for id in [&*in_test, "alt_1"] {
            server.call(wire, "Keys/GetAlert", &reader, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn rules_are_changed_within_their_bounds() {
    let server = TestServer::start().await;
    for (n, wire) in Wire::ALL.into_iter().enumerate() {
        let [admin, test] = server.project(&format!("shop-{n}")).await;
        let rules = server.call(wire, "Keys/ListAlertRules", &admin, json!({})).await.ok();
        assert_eq!(rules["data"].as_array().map(Vec::len), Some(9), "{rules}");
        let wanted = json!({"kind": "many_refusals", "enabled": true, "threshold": "100", "window": "300s",
            "cooldown": "3600s", "etag": "v0"});
        assert_eq!(rules["data"][0], wanted);
        let update = async |rule: Value, mask: &str| {
            let request = json!({"rule": rule, "updateMask": mask});
            server.call(wire, "Keys/UpdateAlertRule", &admin, request).await
        };
        let changed = update(json!({"kind": "many_refusals", "threshold": "5", "etag": "v0"}), "threshold").await.ok();
        let rule = &changed["rule"];
        assert_eq!((&rule["threshold"], &rule["window"], &rule["etag"]), (&json!("5"), &json!("300s"), &json!("v1")));
        update(json!({"kind": "many_refusals", "etag": "v0"}), "enabled").await.refused("ETAG_MISMATCH");
        let off = update(json!({"kind": "many_refusals", "enabled": false}), "enabled").await.ok();
        assert_eq!((&off["rule"]["threshold"], &off["rule"]["enabled"]), (&json!("5"), &json!(false)), "{off}");
        // What is named and not given is as before anybody changed it: nobody turns a rule off by saying nothing.
        let again = update(json!({"kind": "many_refusals"}), "enabled,threshold").await.ok();
        assert_eq!((&again["rule"]["threshold"], &again["rule"]["enabled"]), (&json!("100"), &json!(true)));
        for (rule, field) in [
            (json!({"kind": "many_refusals", "threshold": "0"}), "threshold"),
            (json!({"kind": "many_refusals", "window": "61s"}), "window"),
            (json!({"kind": "many_refusals", "window": "3660s"}), "window"),
            (json!({"kind": "many_refusals", "min_calls": "5"}), "min_calls"),
            (json!({"kind": "new_network", "threshold": "5"}), "threshold"),
            (json!({"kind": "new_network", "cooldown": "59s"}), "cooldown"),
            (json!({"kind": "key_expiring", "cooldown": "60s"}), "cooldown"),
            (json!({"kind": "key_expiring", "threshold": "91"}), "threshold"),
            (json!({"kind": "old_secret_used", "threshold": "101"}), "threshold"),
        ] {
            let mut rule = rule;
            if let Some(calls) = rule.as_object_mut().expect("an object").remove("min_calls") {
                rule["minCalls"] = calls;
            }
            let mask = if field == "min_calls" { "minCalls" } else { field };
            update(rule, mask).await.violates(&[&format!("rule.{field}")]);
        }
        let unknown = update(json!({"kind": "nothing", "enabled": true}), "enabled").await;
        unknown.refused("RESOURCE_NOT_FOUND");
        assert!(unknown.message.contains("there are: many_refusals, rate_jump, "), "{unknown:?}");
        let request = json!({"rule": {"kind": "new_network"}, "updateMask": "enabled"});
        server.call(wire, "Keys/UpdateAlertRule", &test, request).await.refused("ENV_MISMATCH");
        let audited = json!({"action": "alert_rule.updated"});
        let audited = server.call(wire, "Keys/ListAuditEvents", &admin, audited).await.ok();
        assert_eq!(audited["data"].as_array().map(Vec::len), Some(3), "{audited}");
    }
    // Nor by a null in a body without a mask.
    let [admin, _] = server.project("null").await;
    let patch = async |body: Value| {
        let request = server.request(http::Method::PATCH, "/v1/alert-rules/new_network", &admin);
        server.send(request.json(&body)).await.expect(200, "").json()["enabled"].clone()
    };
    for (given, wanted) in [(json!(null), true), (json!(false), false), (json!(null), true), (json!(true), true)] {
        assert_eq!(patch(json!({"enabled": given})).await, wanted, "{given}");
    }
    // The first project's are as they were.
    let rules = server.call(Wire::Grpc, "Keys/ListAlertRules", &server.live(), json!({})).await.ok();
    assert!(rules["data"].as_array().expect("a list").iter().all(|rule| rule["etag"] == "v0"), "{rules}");
}

#[tokio::test]
async fn the_command_line_lists_and_sets() {
    let server = TestServer::start().await;
    let alert = raised(&server, &server.live()).await;
    let run = async |line: &str| Gatepost::new(line).calls(&server, &server.live().secret).run().await.ok();
    assert!(run("alerts list").await.contains(&alert));
    assert!(run(&format!("alerts show {alert}")).await.contains("was found where it must not be"));
    let set = run("alerts set many_refusals --threshold 7 --window 10m --off").await;
    assert!(set.contains("many_refusals") && set.contains("10m"), "{set}");
    assert!(run("alerts rules --json").await.contains("\"threshold\": \"7\""));
    assert_eq!(listed(&server, &server.live(), json!({})).await.len(), 1);
}
