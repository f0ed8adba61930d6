//! Errors as problem documents (RFC 9457), with the members that the HTTP APIs promise beside the standard ones. The
//! `tonic::Status` is the one source: its `ErrorInfo` names the reason, and the table of reasons says the rest.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{headers, refusal};
use crate::domain::issuer::Algorithm;
use crate::domain::reason::{Reason, Wording};
use crate::domain::secret::{SecretShape, looks_like_token};

/// The answer to a request that was refused or failed. `request_id` is the one the answer's header has, `instance` the
/// path of the request (never its query).
pub fn response(status: &Status, request_id: &str, instance: &str) -> Response<Body> {
    let details = status.get_error_details();
    let problem = Problem::new(status, &details, request_id, instance);
    let mut response = Response::new(Body::new(Full::new(Bytes::from(problem.to_json()))));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let to = response.headers_mut();
    headers::copy_answer(status.metadata(), to);
    to.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    to.insert(CACHE_CONTROL, headers::NO_STORE);
    to.insert(http::header::X_CONTENT_TYPE_OPTIONS, headers::NOSNIFF);
    problem.add_headers(&details, to);
    // For the log, which wants the reason and not the document.
    if let Some(reason) = Reason::find(problem.code) {
        response.extensions_mut().insert(reason);
    }
    response
}

/// The challenge to whoever was refused so (RFC 6750, section 3), on the wires that have no problem documents too; none where a
/// credential would not help.
pub fn challenge(status: &Status) -> Option<HeaderValue> {
    let details = status.get_error_details();
    Problem::new(status, &details, "", "").challenge(&details)
}

/// What stands behind the scheme in every challenge of ours.
pub const REALM: &str = "realm=\"gatepost\"";
/// The problem type of whoever has spent what they may (draft-ietf-httpapi-ratelimit-headers-11, section 6.1).
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const BEARER: &str = "Bearer realm=\"gatepost\"";
/// The same where a token is bound to a key (RFC 9449, section 7.1).
const DPOP: &str = "DPoP realm=\"gatepost\"";

/// The frame that ends a stream which fails after it has begun: `{"error":{...}}`.
pub(super) fn frame(status: &Status, request_id: &str, instance: &str) -> Vec<u8> {
    [b"{\"error\":", body(status, request_id, instance).as_slice(), b"}"].concat()
}

/// The document alone.
pub(super) fn body(status: &Status, request_id: &str, instance: &str) -> Vec<u8> {
    Problem::new(status, &status.get_error_details(), request_id, instance).to_json()
}

/// A problem document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: Cow<'a, str>,
    error: &'a str,
    message: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<Violation<'a>>,
    /// The limits that stand against the call (draft-ietf-httpapi-ratelimit-headers-11, section 6.1).
    #[serde(rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    violated_policies: Vec<&'a str>,
}

/// One field that breaks its rule.
#[derive(Debug, Serialize)]
struct Violation<'a> {
    field: &'a str,
    description: &'a str,
}

impl<'a> Problem<'a> {
    fn new(status: &'a Status, details: &'a ErrorDetails, request_id: &'a str, instance: &'a str) -> Self {
        let reason = details.error_info().and_then(|info| Reason::find(&info.reason));
        let wording = reason.map_or_else(|| unexplained(status.code()), Reason::wording);
        // A status that gives no reason of ours was made by a library: its words on a fault are not for clients.
        let message = match (reason, wording.http) {
            (None, 500..) => refusal::INTERNAL,
            (None, 401) => "Invalid or missing API key",
            _ if status.message().is_empty() => wording.title,
            _ => status.message(),
        };
        let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
        let violations = violations.iter().map(|v| Violation { field: &v.field, description: &v.description });
        let violated = details.quota_failure().map_or(&[][..], |failure| &failure.violations);
        Self {
            r#type: problem_type(&wording),
            title: wording.title,
            status: wording.http,
            detail: message,
            instance: without_secrets(instance),
            error: wording.error,
            message,
            code: wording.name,
            request_id,
            violations: violations.collect(),
            violated_policies: violated.iter().map(|limit| &*limit.subject).collect(),
        }
    }

    /// The word of RFC 9449, section 7.1, for what is wrong with a proof.
    fn of_dpop(&self) -> Option<&'static str> {
        let reasons = [Reason::InvalidDpopProof, Reason::UseDpopNonce];
        reasons.into_iter().map(Reason::wording).find(|wording| wording.name == self.code).map(|wording| wording.error)
    }

    fn to_json(&self) -> Vec<u8> {
        // Writing strings and numbers into a vector does not fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn add_headers(&self, details: &ErrorDetails, to: &mut HeaderMap) {
        let metadata = |name: &str| details.error_info().and_then(|info| info.metadata.get(name));
        if let Some(challenge) = self.challenge(details) {
            to.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = metadata(refusal::ALLOW) {
            insert(to, ALLOW, allow);
        }
        let delay = details.retry_info().and_then(|info| info.retry_delay);
        if delay.is_some() || self.status == 503 {
            let delay = delay.unwrap_or_default();
            let seconds = delay.as_secs() + u64::from(delay > Duration::from_secs(delay.as_secs()));
            to.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
    }

    /// RFC 6750, section 3: no `error` where no credential was presented, and none where it was a password.
    fn challenge(&self, details: &ErrorDetails) -> Option<HeaderValue> {
        let without_token = [Reason::MissingCredential, Reason::SignInFailed];
        if self.status == 401 && without_token.iter().any(|reason| reason.wording().name == self.code) {
            Some(HeaderValue::from_static(BEARER))
        } else if let Some(error) = self.of_dpop() {
            let description = quotable(self.message);
            let algorithms = Algorithm::ALL.map(Algorithm::as_str).join(" ");
            let challenge =
                format!("{DPOP}, error=\"{error}\", error_description=\"{description}\", algs=\"{algorithms}\"");
            HeaderValue::try_from(challenge).ok()
        } else if self.status == 401 {
            let description = quotable(self.message);
            let challenge = format!("{BEARER}, error=\"invalid_token\", error_description=\"{description}\"");
            HeaderValue::try_from(challenge).ok()
        } else if self.code == Reason::InsufficientScope.wording().name {
            let scope = details.error_info().and_then(|info| info.metadata.get("scope"));
            let scope = scope.map(|scope| format!(", scope=\"{}\"", quotable(scope)));
            HeaderValue::try_from(format!("{BEARER}, error=\"insufficient_scope\"{}", scope.unwrap_or_default())).ok()
        } else {
            None
        }
    }
}

/// The type of a problem: our own, but for those that are registered.
fn problem_type(wording: &Wording) -> String {
    if [Reason::RateLimited, Reason::QuotaExhausted].iter().any(|reason| reason.wording().name == wording.name) {
        return QUOTA_EXCEEDED.to_owned();
    }
    format!("urn:gatepost:problem:{}", wording.error.replace('_', "-"))
}

/// The path without the secrets that were put in place of ids: answers are logged and pasted into tickets.
fn without_secrets(path: &str) -> Cow<'_, str> {
    let is_secret = |part: &&str| SecretShape::parse(part).is_some() || looks_like_token(part);
    let secrets = path.split(['/', ':']).filter(is_secret);
    secrets.fold(Cow::Borrowed(path), |shown, secret| Cow::Owned(shown.replace(secret, "...")))
}

/// How a gRPC code is told when no reason comes with it.
fn unexplained(code: Code) -> Wording {
    let (name, http, error, title) = match code {
        Code::InvalidArgument => return Reason::InvalidRequest.wording(),
        Code::DeadlineExceeded => return Reason::DeadlineExceeded.wording(),
        Code::NotFound => return Reason::ResourceNotFound.wording(),
        Code::AlreadyExists => return Reason::AlreadyExists.wording(),
        Code::PermissionDenied => return Reason::CallerNotAllowed.wording(),
        Code::FailedPrecondition => return Reason::InvalidState.wording(),
        Code::Unauthenticated => return Reason::NotFound.wording(),
        Code::Unavailable => return Reason::Overloaded.wording(),
        Code::Cancelled => ("CANCELLED", 499, "cancelled", "Cancelled"),
        Code::ResourceExhausted => ("RESOURCE_EXHAUSTED", 429, "resource_exhausted", "Too many requests"),
        Code::Aborted => ("ABORTED", 409, "aborted", "Aborted"),
        Code::OutOfRange => ("OUT_OF_RANGE", 400, "out_of_range", "Out of range"),
        Code::Unimplemented => ("UNIMPLEMENTED", 501, "unimplemented", "Not implemented"),
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss => return Reason::Internal.wording(),
    };
    Wording { name, http, grpc: code as i32, error, title }
}

/// The characters that RFC 6750 allows in a quoted value.
fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

fn insert(to: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        to.insert(name, value);
    }
}
