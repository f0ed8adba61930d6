//! Answers in JSON.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;

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

/// What went wrong (RFC 6749, section 5.2). A client that tried `Authorization: Basic` is told so in its scheme.
pub(super) fn error(error: &OAuthError, basic: bool) -> Response<Bytes> {
    let status = match error.word {
        Word::InvalidClient => StatusCode::UNAUTHORIZED,
        Word::SlowDown => StatusCode::TOO_MANY_REQUESTS,
        Word::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        Word::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    };
    let document = json!({"error": error.word.as_str(), "error_description": error.description});
    let mut response = fleeting(status, &document);
    let headers = response.headers_mut();
    if error.word == Word::InvalidClient && basic {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"gatepost\", charset=\"UTF-8\""));
    }
    if let Some(after) = error.retry_after {
        // Rounded up: who waits that long must not come too early.
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).max(1) as u64));
    }
    response
}

/// Why a bearer of something may not do this, in the words of RFC 6750, section 3.1, and RFC 9449, section 7.1.
pub(super) fn refused(error: &Error) -> Response<Bytes> {
    let wording = error.reason.wording();
    let scope = error.missing_scope.as_deref().unwrap_or_default();
    let (word, challenge) = match error.reason {
        Reason::MissingCredential => ("invalid_token", "Bearer realm=\"gatepost\"".to_owned()),
        Reason::InsufficientScope => (
            "insufficient_scope",
            format!("Bearer realm=\"gatepost\", error=\"insufficient_scope\", scope=\"{scope}\""),
        ),
        Reason::InvalidDpopProof | Reason::UseDpopNonce => {
            let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(" ");
            let word = wording.error;
            (word, format!("DPoP realm=\"gatepost\", error=\"{word}\", algs=\"{algorithms}\""))
        }
        Reason::InvalidRequest => {
            ("invalid_request", "Bearer realm=\"gatepost\", error=\"invalid_request\"".to_owned())
        }
        _ if wording.http == 401 => ("invalid_token", "Bearer realm=\"gatepost\", error=\"invalid_token\"".to_owned()),
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

/// Room for nearly every document, in bytes.
const USUAL: usize = 512;
