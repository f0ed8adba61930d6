//! Keys: their whole life, and what nobody may do with them.

mod bounds;
mod idempotency;
mod life;
mod narrowness;
mod rotation;

use serde_json::{Value, json};

use crate::support::{Actor, TestServer, Wire};

/// What `Verify` says of a secret.
async fn decision(server: &TestServer, secret: &str) -> String {
    let request = json!({"credential": secret});
    let answer = server.call(Wire::Grpc, "Auth/Verify", &server.live(), request).await.ok();
    answer["code"].as_str().expect("a code").to_owned()
}

/// A key as its administrator sees it.
async fn read(server: &TestServer, id: &str) -> Value {
    server.call(Wire::Grpc, "Keys/GetKey", &server.live(), json!({"id": id})).await.ok()["key"].clone()
}

/// Something done to a key by its administrator.
async fn act(server: &TestServer, wire: Wire, rpc: &str, key: &Actor) -> Value {
    server.call(wire, rpc, &server.live(), json!({"id": key.id})).await.ok()["key"].clone()
}
