//! Bare axum handlers: JSON or a form in, JSON out, through derived serde, nothing around them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Form, Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::limits;

pub async fn serve(address: SocketAddr, answers: &Path) -> Result<(), Box<dyn Error>> {
    let mut app = Router::new();
    if let Ok(answer) = fs::read(answers.join("verify.json")) {
        let answer: VerifyAnswer = serde_json::from_slice(&answer)?;
        let tells_limits = answers.join("verify.limits").exists();
        let verify = if tells_limits { post(verify_and_tell) } else { post(verify) };
        app = app.merge(Router::new().route("/v1/auth/verify", verify).with_state(Arc::new(answer)));
    }
    if let Ok(answer) = fs::read(answers.join("introspection.json")) {
        let answer: IntrospectionAnswer = serde_json::from_slice(&answer)?;
        app = app.merge(Router::new().route("/oauth/introspect", post(introspect)).with_state(Arc::new(answer)));
    }
    let listener = TcpListener::bind(address).await?.tap_io(|connection| {
        // tonic's default too. Without it an answer may wait for an acknowledgement.
        let _ = connection.set_nodelay(true);
    });
    Ok(axum::serve(listener, app).await?)
}

async fn verify(State(answer): State<Arc<VerifyAnswer>>, Json(_): Json<VerifyQuestion>) -> Json<VerifyAnswer> {
    Json(VerifyAnswer::clone(&answer))
}

async fn verify_and_tell(
    answer: State<Arc<VerifyAnswer>>,
    question: Json<VerifyQuestion>,
) -> (HeaderMap, Json<VerifyAnswer>) {
    (limits::told(), verify(answer, question).await)
}

async fn introspect(
    State(answer): State<Arc<IntrospectionAnswer>>,
    Form(_): Form<IntrospectionQuestion>,
) -> Json<IntrospectionAnswer> {
    Json(IntrospectionAnswer::clone(&answer))
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
    audiences: Vec<String>,
    behind_ids: Vec<String>,
    rate_limits: Vec<RateLimitStatus>,
    client_ip_would_be_denied: bool,
}

/// `gatepost.v1.RateLimitStatus`, the same.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RateLimitStatus {
    name: String,
    limit: u32,
    window: String,
    remaining: u32,
    reset: String,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "decoded, as the real server does, and not looked at")]
struct IntrospectionQuestion {
    token: String,
}

/// RFC 7662, section 2.2. A member the server adds and this has not fails the start.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct IntrospectionAnswer {
    active: bool,
    iss: String,
    jti: String,
    exp: i64,
    scope: String,
    client_id: String,
    token_type: String,
    iat: i64,
    sub: String,
    aud: Vec<String>,
}
