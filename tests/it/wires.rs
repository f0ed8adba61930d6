//! One call is one call on whichever wire it comes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gatepost::proto::v1;
use prost::Message;
use serde_json::json;
use tonic_types::StatusExt;

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

#[tokio::test]
async fn a_call_that_is_not_one_whole_message_is_refused() {
    let server = TestServer::start().await;
    let actor = server.live();
    let question = |credential: &str| v1::VerifyRequest { credential: credential.to_owned(), ..Default::default() };
    let frame = |flag: u8, length: usize, message: &[u8]| {
        [&[flag][..], &u32::try_from(length).expect("a length").to_be_bytes(), message].concat()
    };
    let message = question("sk_live_x").encode_to_vec();
    let whole = frame(0, message.len(), &message);
    let large = question(&"x".repeat(2 << 20)).encode_to_vec();
    let cases = [
        ("nothing", vec![], 3, "INVALID_REQUEST"),
        ("half a prefix", whole[..3].to_vec(), 3, "INVALID_REQUEST"),
        ("half a message", whole[..whole.len() - 1].to_vec(), 3, "INVALID_REQUEST"),
        ("two messages", [&whole[..], &whole].concat(), 3, "INVALID_REQUEST"),
        ("a compressed message", frame(1, message.len(), &message), 12, "UNKNOWN_METHOD"),
        ("no protobuf", frame(0, 3, b"\x0a\xff\xff"), 3, "INVALID_REQUEST"),
        ("text that is none", frame(0, 3, b"\x0a\x01\xff"), 3, "INVALID_REQUEST"),
        ("a length that is not there", frame(0, 1 << 30, b""), 8, "PAYLOAD_TOO_LARGE"),
        ("a message that is too large", frame(0, large.len(), &large), 8, "PAYLOAD_TOO_LARGE"),
    ];
    let clients = server.clients();
    for (what, body, code, reason) in cases {
        for (client, content_type) in [
            (&clients.http2, "application/grpc"),
            (&clients.http2, "application/grpc-web+proto"),
            (&clients.http, "application/grpc-web"),
        ] {
            let url = format!("{}/gatepost.v1.Auth/Verify", clients.origin);
            let request = client.post(url).headers(actor.headers.clone()).header("content-type", content_type);
            let answer = server.send(request.header("te", "trailers").body(body.clone())).await;
            assert_eq!((answer.status, answer.header("grpc-status")), (200, &*code.to_string()), "{what}: {answer:?}");
            let status = tonic::Status::from_header_map(&answer.headers).expect("a status");
            let details = status.get_error_details();
            let info = details.error_info().expect("a reason");
            assert_eq!(info.reason, reason, "{what} as {content_type}");
            assert_eq!(info.metadata["request_id"], answer.header("x-request-id"));
        }
    }
}

#[tokio::test]
async fn an_answer_in_base64_may_be_asked_for_in_binary() {
    let server = TestServer::start().await;
    let clients = server.clients();
    for (sent, accepted) in [
        ("application/grpc-web+proto", "application/grpc-web-text"),
        ("application/grpc-web+proto", "application/grpc-web"),
        ("application/grpc-web", "*/*"),
    ] {
        let request = clients.http.post(format!("{}/gatepost.v1.Auth/WhoAmI", clients.origin));
        let request = request.headers(server.live().headers).header("content-type", sent).header("accept", accepted);
        let answer = server.send(request.body(&b"\0\0\0\0\0"[..])).await;
        let text = accepted.ends_with("text");
        assert_eq!(answer.header("content-type").contains("-text"), text, "{answer:?}");
        let bytes = match text {
            // Each part of the answer is padded by itself.
            true => answer
                .text
                .as_bytes()
                .chunks(4)
                .flat_map(|part| BASE64_STANDARD.decode(part).expect("base64"))
                .collect(),
            false => answer.text.into_bytes(),
        };
        assert!(bytes.starts_with(b"\0\0\0") && bytes.windows(14).any(|part| part == b"grpc-status:0\r"), "{accepted}");
    }
}
