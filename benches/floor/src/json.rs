//! A bare axum handler: JSON in and out through derived serde, nothing around it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

pub async fn serve(address: SocketAddr, answers: &Path) -> Result<(), Box<dyn Error>> {
    let answer: VerifyAnswer = serde_json::from_slice(&fs::read(answers.join("verify.json"))?)?;
    let app = Router::new().route("/v1/auth/verify", post(verify)).with_state(Arc::new(answer));
    let listener = TcpListener::bind(address).await?.tap_io(|connection| {
        // tonic's default too. Without it an answer may wait for an acknowledgement.
        let _ = connection.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

async fn verify(State(answer): State<Arc<VerifyAnswer>>, Json(_): Json<VerifyQuestion>) -> Json<VerifyAnswer> {
    Json(VerifyAnswer::clone(&answer))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "decoded, as the real server does, and not looked at")]
struct VerifyQuestion {
    credential: String,
    publishable_key: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
    client_ip: Option<String>,
}

/// `gatepost.v1.VerifyResponse` in JSON. A field the server adds and this has not fails the start.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VerifyAnswer {
    valid: bool,
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
}
