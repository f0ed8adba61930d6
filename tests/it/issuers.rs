//! Trusted issuers: kept, changed, and told of.

use serde_json::{Value, json};

use crate::support::server::PUBLIC_URL;
use crate::support::{Actor, TestServer, Wire};

const KEY: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn issuer(name: &str) -> Value {
    json!({"issuer": name, "audiences": ["shop"]})
}

#[tokio::test]
async fn an_issuer_is_kept_as_it_is_told() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
        let made =
            call("Auth/CreateIssuer", json!({"issuer": issuer("https://id.example")})).await.ok()["issuer"].clone();
        let id = made["id"].as_str().expect("an id").to_owned();
        let told = json!({
            "id": id, "issuer": "https://id.example", "displayName": "", "description": "", "audiences": ["shop"],
            "algorithms": ["ES256", "EdDSA", "RS256"], "emailClaim": "email", "firstNameClaim": "given_name",
            "lastNameClaim": "family_name", "leeway": "30s", "environment": "LIVE",
            "createdAt": "2030-01-01T00:00:00Z", "updatedAt": "2030-01-01T00:00:00Z", "etag": "v1",
        });
        assert_eq!(made, told);
        call("Auth/CreateIssuer", json!({"issuer": issuer("https://id.example")})).await.refused("ALREADY_EXISTS");
        let by = server.test();
        server.call(wire, "Auth/GetIssuer", &by, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");

        let values = json!({
            "id": id, "etag": "v1", "displayName": "ID", "jwks": KEY, "audiences": ["b", "a", "b"],
            "algorithms": ["Ed25519", "PS512"], "emailClaim": "mail", "leeway": "60s", "issuer": "https://other.example",
        });
        let mask = "displayName,jwks,audiences,algorithms,emailClaim,leeway";
        let change = json!({"issuer": values, "updateMask": mask});
        let changed = call("Auth/UpdateIssuer", change.clone()).await.ok()["issuer"].clone();
        assert_eq!((&changed["jwks"], &changed["audiences"]), (&json!(KEY), &json!(["a", "b"])));
        assert_eq!((&changed["algorithms"], &changed["leeway"]), (&json!(["EdDSA", "PS512"]), &json!("60s")));
        assert_eq!((&changed["issuer"], &changed["emailClaim"]), (&json!("https://id.example"), &json!("mail")));
        call("Auth/UpdateIssuer", change).await.refused("ETAG_MISMATCH");
        let values = json!({"id": id, "jwksUri": "https://id.example/keys"});
        let moved = call("Auth/UpdateIssuer", json!({"issuer": values, "updateMask": "jwksUri"})).await.ok();
        assert_eq!(moved["issuer"]["jwksUri"], "https://id.example/keys");
        assert!(moved["issuer"].get("jwks").is_none(), "{moved}");
        let mask = json!({"issuer": {"id": id}, "updateMask": "issuer"});
        call("Auth/UpdateIssuer", mask).await.violates(&["update_mask"]);
        assert_eq!(call("Auth/GetIssuer", json!({"id": id})).await.ok(), moved);
        let listed = call("Auth/ListIssuers", json!({})).await.ok();
        assert_eq!(listed["data"], json!([moved["issuer"]]));
        assert_eq!(call("Auth/DeleteIssuer", json!({"id": id})).await.ok(), moved);
        for rpc in ["Auth/GetIssuer", "Auth/DeleteIssuer"] {
            call(rpc, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn each_field_keeps_its_rule() {
    let server = TestServer::start().await;
    let long = |length: usize| json!("x".repeat(length));
    let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let private =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"AAAA"}]}"#;
    let cases = [
        (json!({"issuer": ""}), "issuer.issuer"),
        (json!({"issuer": "https://id.ex\u{e4}mple"}), "issuer.issuer"),
        (json!({"issuer": "https://id.example/ x"}), "issuer.issuer"),
        (json!({"issuer": long(256)}), "issuer.issuer"),
        (json!({"issuer": "accounts.example"}), "issuer.issuer"),
        (json!({"issuer": "ftp://id.example"}), "issuer.issuer"),
        (json!({"displayName": long(101)}), "issuer.display_name"),
        (json!({"displayName": "a\u{202e}b"}), "issuer.display_name"),
        (json!({"description": long(1001)}), "issuer.description"),
        (json!({"jwksUri": "id.example/keys"}), "issuer.jwks_uri"),
        (json!({"jwksUri": "file:///etc/passwd"}), "issuer.jwks_uri"),
        (json!({"jwksUri": "https://user@id.example/keys"}), "issuer.jwks_uri"),
        (json!({"jwksUri": "https://id.example/keys#a"}), "issuer.jwks_uri"),
        (json!({"jwksUri": format!("https://id.example/{}", "x".repeat(2048))}), "issuer.jwks_uri"),
        (json!({"jwksUri": "https://id.example/keys", "jwks": KEY}), "issuer.jwks"),
        (json!({"jwks": "{}"}), "issuer.jwks"),
        (json!({"jwks": private}), "issuer.jwks"),
        (json!({"jwks": format!("{}{}", KEY, " ".repeat(64 * 1024))}), "issuer.jwks"),
        (json!({"audiences": []}), "issuer.audiences"),
        (json!({"audiences": many(51)}), "issuer.audiences"),
        (json!({"audiences": ["a", ""]}), "issuer.audiences[1]"),
        (json!({"audiences": [long(256)]}), "issuer.audiences[0]"),
        (json!({"algorithms": ["RS256", "HS256"]}), "issuer.algorithms[1]"),
        (json!({"algorithms": ["none"]}), "issuer.algorithms[0]"),
        (json!({"algorithms": many(21)}), "issuer.algorithms"),
        (json!({"emailClaim": "a b"}), "issuer.email_claim"),
        (json!({"lastNameClaim": long(101)}), "issuer.last_name_claim"),
        (json!({"leeway": "61s"}), "issuer.leeway"),
        (json!({"leeway": "-1s"}), "issuer.leeway"),
    ];
    for (n, (change, field)) in cases.into_iter().enumerate() {
        let mut issuer = issuer("https://id.example");
        issuer.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let answer =
            server.call(Wire::ALL[n % 4], "Auth/CreateIssuer", &server.live(), json!({"issuer": issuer})).await;
        answer.violates(&[field]);
    }
    let own = json!({"issuer": PUBLIC_URL, "audiences": ["shop"]});
    server
        .call(Wire::Json, "Auth/CreateIssuer", &server.live(), json!({"issuer": own}))
        .await
        .violates(&["issuer.issuer"]);
    // A name that is no address will do where the keys are told.
    let named = json!({"issuer": "accounts.example", "audiences": ["shop"], "jwks": KEY});
    let made = server.call(Wire::Grpc, "Auth/CreateIssuer", &server.live(), json!({"issuer": named})).await.ok();
    let change = json!({"issuer": {"id": made["issuer"]["id"], "jwks": ""}, "updateMask": "jwks"});
    server.call(Wire::Grpc, "Auth/UpdateIssuer", &server.live(), change).await.violates(&["issuer.issuer"]);
}

#[tokio::test]
async fn an_environment_trusts_fifty() {
    let server = TestServer::start().await;
    for n in 0..50 {
        let request = json!({"issuer": issuer(&format!("https://id.example/{n}"))});
        server.call(Wire::Grpc, "Auth/CreateIssuer", &server.live(), request).await.ok();
    }
    let one_more = json!({"issuer": issuer("https://id.example")});
    for wire in Wire::ALL {
        server.call(wire, "Auth/CreateIssuer", &server.live(), one_more.clone()).await.refused("INVALID_STATE");
    }
    server.call(Wire::Grpc, "Auth/CreateIssuer", &server.test(), one_more).await.ok();
}

#[tokio::test]
async fn what_is_done_to_issuers_is_written_down() {
    let server = TestServer::start().await;
    let call = async |rpc: &str, by: &Actor, request: Value| server.call(Wire::Json, rpc, by, request).await;
    let by = server.live();
    let mut new = issuer("https://id.example");
    new["jwks"] = json!(KEY);
    let made = call("Auth/CreateIssuer", &by, json!({"issuer": new})).await.ok();
    let id = made["issuer"]["id"].clone();
    let change = json!({"issuer": {"id": id, "audiences": ["app"]}, "updateMask": "audiences"});
    call("Auth/UpdateIssuer", &by, change).await.ok();
    call("Auth/DeleteIssuer", &by, json!({"id": id})).await.ok();
    let events = call("Keys/ListAuditEvents", &by, json!({"target": id})).await.ok();
    let events: Vec<_> = events["data"].as_array().expect("a list").iter().rev().cloned().collect();
    let actions: Vec<_> = events.iter().map(|event| event["action"].as_str().expect("a word")).collect();
    assert_eq!(actions, ["issuer.created", "issuer.updated", "issuer.deleted"]);
    let read = |text: &Value| serde_json::from_str::<Value>(text.as_str().expect("text")).expect("JSON");
    assert_eq!(read(&events[1]["before"]), json!({"audiences": ["shop"]}));
    assert_eq!(read(&events[1]["after"]), json!({"audiences": ["app"]}));
    let created = read(&events[0]["after"]);
    assert_eq!(created["jwksSha256"].as_str().expect("a digest").len(), 64);
    assert!(created.get("jwks").is_none() && events[0].get("before").is_none(), "{created}");
}
