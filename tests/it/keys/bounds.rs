//! The bounds of every field of a new key, each named when it is broken.

use serde_json::{Map, Value, json};

use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn every_field_has_its_bounds() {
    let server = TestServer::start().await;
    let long = |n: usize| "x".repeat(n);
    let wide = |n: usize| "\u{1f511}".repeat(n);
    let pairs = |n: usize| Value::Object(Map::from_iter((0..n).map(|n| (format!("k{n}"), json!("v")))));
    let ips = |n: usize| json!((0..n).map(|n| format!("10.0.{n}.0/24")).collect::<Vec<_>>());
    let bad = [
        (json!({}), "name"),
        (json!({"name": long(101)}), "name"),
        (json!({"name": wide(101)}), "name"),
        (json!({"name": "a\nb"}), "name"),
        (json!({"name": " a"}), "name"),
        (json!({"name": "x", "alias": ""}), "alias"),
        (json!({"name": "x", "alias": long(101)}), "alias"),
        (json!({"name": "x", "description": wide(1001)}), "description"),
        (json!({"name": "x", "description": "a\u{0}b"}), "description"),
        (json!({"name": "x", "owner": ""}), "owner"),
        (json!({"name": "x", "owner": long(129)}), "owner"),
        (json!({"name": "x", "owner": "a b"}), "owner"),
        (json!({"name": "x", "owner": "\u{e9}"}), "owner"),
        (json!({"name": "x", "scopes": ["Read:x"]}), "scopes[0]"),
        (json!({"name": "x", "scopes": vec!["read:keys"; 101]}), "scopes"),
        (json!({"name": "x", "allowedIps": ["10.0.0.1/8"]}), "allowed_ips[0]"),
        (json!({"name": "x", "allowedIps": ["10.0.0.0/8", "example.com"]}), "allowed_ips[1]"),
        (json!({"name": "x", "allowedIps": ips(101)}), "allowed_ips"),
        (json!({"name": "x", "metadata": pairs(51)}), "metadata"),
        (json!({"name": "x", "metadata": {long(41): "v"}}), "metadata"),
        (json!({"name": "x", "metadata": {"": "v"}}), "metadata"),
        (json!({"name": "x", "metadata": {"userName": long(501)}}), "metadata.userName"),
        (json!({"name": "x", "type": 9}), "type"),
        (json!({"name": "x", "environment": 9}), "environment"),
        (json!({"name": "x", "expiresAt": "1969-12-31T23:59:59Z"}), "expires_at"),
    ];
    for (request, field) in bad {
        for wire in Wire::ALL {
            server.call(wire, "Keys/CreateKey", &server.live(), request.clone()).await.violates(&[field]);
        }
    }
    let good = [
        json!({"name": wide(100), "description": wide(1000), "owner": long(128), "alias": wide(100)}),
        json!({"name": "x", "metadata": pairs(50), "allowedIps": ips(100)}),
        json!({"name": "x", "metadata": {wide(40): wide(500)}}),
        json!({"name": "x", "scopes": vec!["read:keys"; 100]}),
        json!({"name": "x", "expiresAt": "9999-12-31T23:59:59Z"}),
        json!({"name": "'; DROP TABLE keys; --", "description": "\"<script>\\u0000"}),
    ];
    for request in good {
        let key = server.new_key(request.clone()).await;
        let kept = server.call(Wire::Json, "Keys/GetKey", &server.live(), json!({"id": key.id})).await.ok();
        for (field, value) in request.as_object().expect("an object") {
            if field != "scopes" {
                assert_eq!(&kept["key"][field], value, "{field}");
            }
        }
        server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
    }
}

#[tokio::test]
async fn one_answer_names_every_field_that_is_wrong() {
    let server = TestServer::start().await;
    let request = json!({
        "type": 9, "name": "", "alias": "", "owner": "a b", "scopes": ["no", "read:keys", "NO"], "allowedIps": ["x"],
    });
    let fields = ["type", "name", "alias", "owner", "scopes[0]", "scopes[2]", "allowed_ips[0]"];
    for wire in Wire::ALL {
        server.call(wire, "Keys/CreateKey", &server.live(), request.clone()).await.violates(&fields);
        let change = json!({"key": {"id": "key_0", "name": "", "allowedIps": ["x"]}, "updateMask": "name,allowedIps"});
        let answer = server.call(wire, "Keys/UpdateKey", &server.live(), change).await;
        answer.violates(&["key.name", "key.allowed_ips[0]"]);
    }
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let server = TestServer::start().await;
    let long = "x".repeat(2000);
    for id in [
        "none",
        "key_",
        "prod_01b8dac5b4007ea59b42c46fa6e74d9b",
        "key_01b8dac5b4007ea59b42c46fa6e74d9b",
        "%2F..",
        &long,
    ] {
        for wire in Wire::ALL {
            let answer = server.call(wire, "Keys/GetKey", &server.live(), json!({"id": id})).await;
            answer.refused("RESOURCE_NOT_FOUND");
            assert!(answer.message.len() < 400, "an error does not grow with the client's words: {answer:?}");
        }
    }
}

/// What an answer says is logged and pasted into tickets.
#[tokio::test]
async fn a_secret_where_an_id_belongs_is_not_said_again() {
    let server = TestServer::start().await;
    let secret = server.live().secret;
    for actor in [server.live(), Actor::anonymous()] {
        for path in ["", ":rotate", "/more"] {
            // Every answer is looked through for secrets.
            let reply = server.get(&format!("/v1/keys/{secret}{path}"), &actor).await;
            assert!(reply.status >= 400, "{reply:?}");
        }
        for wire in Wire::ALL {
            let answer = server.call(wire, "Keys/DeleteKey", &actor, json!({"id": secret})).await;
            assert_ne!(answer.reason, "", "{answer:?}");
        }
    }
}
