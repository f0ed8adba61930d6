//! Answers in JSON.

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::client::Tried;
use crate::domain::error::Error;
use crate::domain::issuer::Algorithm;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::reason::Reason;

/// An answer that holds a secret, or says what holds this moment: nobody may keep it (RFC 6749, section 5.1).
pub(super) fn fleeting(status: StatusCode, document: &impl Serialize) -> Response<Bytes> {
    let mut response = lasting(document, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    *response.status_mut() = status;
    response
}

/// An answer that may be kept as `cache` says.
pub(super) fn lasting(document: &impl Serialize, cache: HeaderValue) -> Response<Bytes> {
    // Nothing in a document of ours cannot be encoded: names are text, and numbers are whole.
    let mut encoded = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut encoded, document).expect("text, whole numbers, and lists and objects of them");
    let mut response = Response::new(Bytes::from(encoded));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer without a body.
pub(super) fn empty() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What went wrong with a request that had these headers (RFC 6749, section 5.2). Who tried `Authorization` is told of the scheme. Who
/// told their secret in the body is not: libraries that see a challenge tell nothing of the body.
pub(super) fn error(error: &OAuthError, asked: &HeaderMap) -> Response<Bytes> {
    let mut response = told(error);
    if error.word == Word::InvalidClient && asked.contains_key(AUTHORIZATION) {
        challenge(&mut response, Tried::by(asked), INVALID_TOKEN);
    }
    response
}

/// What went wrong, without a challenge.
pub(super) fn told(error: &OAuthError) -> Response<Bytes> {
    let status = match error.word {
        Word::InvalidClient => StatusCode::UNAUTHORIZED,
        Word::SlowDown => StatusCode::TOO_MANY_REQUESTS,
        Word::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        Word::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let document = json!({"error": error.word.as_str(), "error_description": error.description});
    let mut response = fleeting(status, &document);
    if let Some(after) = error.retry_after {
        // Rounded up: who waits that long must not come too early.
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
    }
    response
}

/// Tells how clients prove themselves: in the scheme that was tried, with what is wrong with the token that was shown in it
/// (RFC 6750, section 3), and in the one that every endpoint takes.
pub(super) fn challenge(response: &mut Response<Bytes>, tried: Tried, flaw: &str) {
    let in_kind = match tried {
        Tried::Bearer => Some(format!("Bearer {REALM}, {flaw}")),
        Tried::DPoP => Some(format!("DPoP {REALM}, {flaw}, algs=\"{}\"", algorithms())),
        Tried::Basic => None,
    };
    let headers = response.headers_mut();
    if let Some(in_kind) = in_kind.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
        headers.append(WWW_AUTHENTICATE, in_kind);
    }
    headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"gatepost\", charset=\"UTF-8\""));
}

/// Why a bearer of something may not do this, in the words of RFC 6750, section 3.1, and RFC 9449, section 7.1.
pub(super) fn refused(error: &Error) -> Response<Bytes> {
    let wording = error.reason.wording();
    let scope = error.missing_scope.as_deref().unwrap_or_default();
    let (word, challenge) = match error.reason {
        Reason::MissingCredential => ("invalid_token", format!("Bearer {REALM}")),
        Reason::InsufficientScope => {
            ("insufficient_scope", format!("Bearer {REALM}, error=\"insufficient_scope\", scope=\"{scope}\""))
        }
        Reason::InvalidDpopProof | Reason::UseDpopNonce => {
            let word = wording.error;
            (word, format!("DPoP {REALM}, error=\"{word}\", algs=\"{}\"", algorithms()))
        }
        Reason::InvalidRequest => ("invalid_request", format!("Bearer {REALM}, error=\"invalid_request\"")),
        _ if wording.http == 401 => ("invalid_token", format!("Bearer {REALM}, {INVALID_TOKEN}")),
        _ => (wording.error, String::new()),
    };
    let status = StatusCode::from_u16(wording.http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let told = OAuthError::new(Word::InvalidRequest, error.message.as_str());
    let mut response = fleeting(status, &json!({"error": word, "error_description": told.description}));
    if let Ok(challenge) = HeaderValue::try_from(challenge)
        && !challenge.is_empty()
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
    }
    response
}

/// The method is not the endpoint's.
pub(super) fn method_not_allowed(allow: &'static str) -> Response<Bytes> {
    let document = json!({"error": "invalid_request", "error_description": format!("use {allow}")});
    let mut response = fleeting(StatusCode::METHOD_NOT_ALLOWED, &document);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The algorithms that a proof may be signed with (RFC 9449, section 7.1).
fn algorithms() -> String {
    Algorithm::ALL.map(Algorithm::as_str).join(" ")
}

const REALM: &str = "realm=\"gatepost\"";
/// What is wrong with a token, in a challenge.
pub(super) const INVALID_TOKEN: &str = "error=\"invalid_token\"";
/// Room for nearly every document, in bytes.
const USUAL: usize = 512;
