//! Signing in with a password, and the sessions that come of it.

mod accounts;
mod life;
mod sign_in;

use serde_json::json;

use crate::support::{Actor, Answer, TestServer, Wire};

async fn sign_in(server: &TestServer, wire: Wire, beside: &Actor, handle: &str, password: &str) -> Answer {
    server.call(wire, "Auth/SignIn", beside, json!({"handle": handle, "password": password})).await
}

async fn works(server: &TestServer, actor: &Actor) -> bool {
    match server.get("/v1/auth/whoami", actor).await.status {
        200 => true,
        401 => false,
        other => panic!("{other}"),
    }
}

async fn open(server: &TestServer) {
    let settings = json!({"id": "default", "signUp": "OPEN", "userScopes": ["read:users"], "sessionLifetime": "600s"});
    let request = json!({"project": settings, "updateMask": "signUp,userScopes,sessionLifetime"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.ok();
}
