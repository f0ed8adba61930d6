//! One call is one call on whichever wire it comes.

use serde_json::json;

use crate::support::{TestServer, Wire};

#[tokio::test]
async fn an_answer_is_the_same_on_every_wire() {
    let server = TestServer::start().await;
    let key = server.key(&["read:keys", "read:scopes", "verify:credentials"]).await;
    let calls = [
        ("Auth/WhoAmI", json!({})),
        ("Keys/GetKey", json!({"id": key.id})),
        ("Keys/ListKeys", json!({"limit": 2, "page": 1})),
        ("Auth/ListScopes", json!({"pageSize": 1000})),
        ("Auth/Verify", json!({"credential": key.secret, "scopes": ["READ_KEYS", "write:keys"]})),
        ("Auth/WatchRevocations", json!({"fromRevision": "0"})),
    ];
    for (rpc, request) in calls {
        let wanted = server.call(Wire::Grpc, rpc, &key, request.clone()).await.ok();
        for wire in [Wire::GrpcWeb, Wire::GrpcWebText, Wire::Json] {
            assert_eq!(server.call(wire, rpc, &key, request.clone()).await.ok(), wanted, "{rpc} on {wire:?}");
        }
    }
}

#[tokio::test]
async fn an_error_is_the_same_on_every_wire() {
    let server = TestServer::start().await;
    let many = json!({"name": "", "allowedIps": ["10.0.0.0/8", "10.0.0.0/99"], "scopes": ["Read"]});
    let calls = [
        ("Keys/GetKey", json!({"id": "key_0123"}), "RESOURCE_NOT_FOUND", vec![]),
        ("Keys/CreateKey", many, "INVALID_FIELD", vec!["name", "scopes[0]", "allowed_ips[1]"]),
        ("Keys/ListKeys", json!({"limit": 0}), "INVALID_FIELD", vec!["limit"]),
        (
            "Keys/UpdateKey",
            json!({"key": {"id": "key_1", "name": "x"}, "updateMask": "id"}),
            "INVALID_FIELD",
            vec!["update_mask"],
        ),
        (
            "Auth/BatchVerify",
            json!({"requests": [{"credential": "x"}, {"credential": "x", "clientIp": "here"}]}),
            "INVALID_FIELD",
            vec!["requests[1].client_ip"],
        ),
        ("Auth/WatchRevocations", json!({"fromRevision": "999999"}), "INVALID_FIELD", vec!["from_revision"]),
    ];
    for (rpc, request, reason, fields) in calls {
        let wanted = server.call(Wire::Grpc, rpc, &server.live(), request.clone()).await;
        for wire in Wire::ALL {
            let answer = server.call(wire, rpc, &server.live(), request.clone()).await;
            answer.refused(reason);
            assert_eq!(answer.code, wanted.code, "{answer:?}");
            let rules = |violations: &[(String, String)]| -> Vec<_> {
                violations.iter().map(|(_, rule)| rule.clone()).collect()
            };
            assert_eq!(rules(&answer.violations), rules(&wanted.violations), "{answer:?}");
            if !fields.is_empty() {
                answer.violates(&fields);
            }
            assert_eq!(answer.metadata["request_id"], answer.header("x-request-id"), "{answer:?}");
        }
    }
}
