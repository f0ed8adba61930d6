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
    let calls = [
        ("Keys/GetKey", json!({"id": "key_0123"})),
        ("Keys/CreateKey", json!({"name": "", "allowedIps": ["10.0.0.0/8", "10.0.0.0/99"], "scopes": ["Read"]})),
        ("Keys/ListKeys", json!({"limit": 0})),
        ("Auth/BatchVerify", json!({"requests": [{"credential": "x"}, {"credential": ""}]})),
        ("Auth/WatchRevocations", json!({"fromRevision": "999999"})),
    ];
    for (rpc, request) in calls {
        let wanted = server.call(Wire::Grpc, rpc, &server.live(), request.clone()).await;
        assert_ne!(wanted.reason, "", "{wanted:?}");
        for wire in [Wire::GrpcWeb, Wire::GrpcWebText, Wire::Json] {
            let answer = server.call(wire, rpc, &server.live(), request.clone()).await;
            assert_eq!(
                (answer.code, &answer.reason, &answer.message, &answer.violations),
                (wanted.code, &wanted.reason, &wanted.message, &wanted.violations),
                "{rpc} on {wire:?}"
            );
            assert_eq!(answer.metadata["request_id"], answer.header("x-request-id"), "{answer:?}");
        }
    }
}
