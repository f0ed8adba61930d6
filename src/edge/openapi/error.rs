//! Errors: the problem document, and the answers that carry one, out of the same table that makes them.

use std::collections::BTreeMap;

use http::StatusCode;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic_types::ErrorDetails;

use super::super::{problem, refusal};
use super::comment::Comments;
use super::header;
use crate::domain::error::Error;
use crate::domain::reason::Reason;

/// The reasons that answers to a call can carry, by HTTP status.
#[derive(Debug)]
pub(super) struct Errors(BTreeMap<u16, Vec<Reason>>);

impl Errors {
    /// All of them.
    pub(super) fn new() -> Self {
        let mut by_status: BTreeMap<u16, Vec<Reason>> = BTreeMap::new();
        for reason in Reason::ALL.into_iter().filter(|reason| can_answer_a_call(*reason)) {
            by_status.entry(reason.wording().http).or_default().push(reason);
        }
        Self(by_status)
    }

    /// The statuses, in order.
    pub(super) fn statuses(&self) -> impl Iterator<Item = u16> {
        self.0.keys().copied()
    }

    /// `components.responses`.
    pub(super) fn responses(&self, pool: &DescriptorPool, comments: &Comments) -> Value {
        let responses = self.0.iter().map(|(status, reasons)| {
            let mut description = vec![format!("{}. Its `code` is one of:", name(*status, " "))];
            description.extend(reasons.iter().map(|reason| bullet(*reason, pool, comments)));
            let mut headers = Map::from_iter([header::REQUEST_ID.in_answers()]);
            if matches!(status, 401 | 403) {
                headers.extend([header::CHALLENGE.in_answers()]);
            }
            if matches!(status, 429 | 503) {
                headers.extend([header::RETRY_AFTER.in_answers()]);
            }
            if matches!(status, 403 | 429) {
                headers.extend(header::LIMITS.map(|header| header.in_answers()));
            }
            let examples = reasons.iter().map(|reason| {
                let wording = reason.wording();
                (wording.name.to_owned(), json!({"summary": wording.title, "value": example(*reason)}))
            });
            let response = json!({
                "description": description.join("\n"),
                "headers": headers,
                "content": {PROBLEM_JSON: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": examples.collect::<Map<_, _>>(),
                }},
            });
            (name(*status, ""), response)
        });
        responses.collect::<Map<_, _>>().into()
    }
}

/// What an operation's `responses` say of a status.
pub(super) fn reference(status: u16) -> Value {
    json!({"$ref": format!("#/components/responses/{}", name(status, ""))})
}

/// The schema of problem documents, and of what they hold.
pub(super) fn schemas(pool: &DescriptorPool, comments: &Comments) -> [(&'static str, Value); 2] {
    let text = |description: &str| json!({"type": "string", "description": description});
    let told = Reason::ALL.into_iter().filter(|reason| !is_hidden(*reason));
    let codes = told.map(|reason| bullet(reason, pool, comments));
    let codes = codes.collect::<Vec<_>>().join("\n");
    let code = format!("Why, for programs. gRPC errors carry it in `google.rpc.ErrorInfo.reason`. One of:\n{codes}");
    let problem = json!({
        "type": "object",
        "description": "Why a call was refused or failed: a problem document (RFC 9457).",
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "The kind of problem: one that is registered with IANA, or a URN of its `error`."},
            "title": text("The kind of problem, in words."),
            "status": {"type": "integer", "format": "int32", "description": "The HTTP status."},
            "detail": text("What happened and what to do, for people."),
            "instance": text("The path of the request."),
            "error": text("The kind of problem, in one word."),
            "message": text("The same as `detail`."),
            "code": text(&code),
            "requestId": text("The request's id, as in `X-Request-Id`: it finds the request in the server's log."),
            "violations": {
                "type": "array",
                "description": "The fields that break a rule, where some do.",
                "items": {"$ref": "#/components/schemas/Violation"},
            },
            "violated-policies": {
                "type": "array",
                "description": "The rate limits that stand against the call, by name, where some do.",
                "items": {"type": "string"},
            },
        },
        "required": ["type", "title", "status", "detail", "instance", "error", "message", "code", "requestId"],
    });
    let violation = json!({
        "type": "object",
        "description": "A field that breaks its rule.",
        "properties": {
            "field": text("The field's path in the request (`key.allowed_ips[2]`), or the parameter or header."),
            "description": text("The rule."),
        },
        "required": ["field", "description"],
    });
    [("Problem", problem), ("Violation", violation)]
}

/// Whether an answer to a call of an operation can carry this reason. A path or method that is not there is none of the
/// operations.
fn can_answer_a_call(reason: Reason) -> bool {
    !is_hidden(reason) && !matches!(reason, Reason::UnknownMethod | Reason::MethodNotAllowed)
}

/// Whether outsiders are told NOT_FOUND instead: as of every credential that is not good.
fn is_hidden(reason: Reason) -> bool {
    matches!(reason, Reason::Malformed | Reason::Revoked | Reason::Expired)
}

/// A line of a list: the reason's name and what the protos say of it.
fn bullet(reason: Reason, pool: &DescriptorPool, comments: &Comments) -> String {
    let name = reason.wording().name;
    let enums = ["gatepost.v1.DecisionCode", "gatepost.v1.ErrorReason"].map(|name| pool.get_enum_by_name(name));
    let value = enums.into_iter().flatten().find_map(|descriptor| descriptor.get_value_by_name(name));
    let meaning = value.map(|value| comments.value(&value)).unwrap_or_default();
    let more = if reason == Reason::NotFound { " Malformed, expired and revoked ones are told so too." } else { "" };
    format!("- `{name}`: {meaning}{more}")
}

/// `Not Found`, with something else between the words.
fn name(status: u16, between: &str) -> String {
    let words = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    words.map_or_else(|| format!("Status{between}{status}"), |words| words.replace(' ', between))
}

/// The document that a server sends for this reason.
fn example(reason: Reason) -> Value {
    let plain = |message: &str| refusal::refuse(reason, message, ErrorDetails::new(), []);
    let status: Status = match reason {
        Reason::InvalidField => refusal::invalid_field("name", "must be 1 to 100 characters"),
        Reason::InsufficientScope => plain(&Error::insufficient_scope("read:keys".to_owned()).message),
        Reason::StoreUnavailable => plain(&Error::store_unavailable().message),
        Reason::RateLimited => {
            let details = ErrorDetails::with_quota_failure_violation("per-minute", "100 calls in 60 s");
            refusal::refuse(reason, message(reason), details, [])
        }
        Reason::QuotaExhausted => {
            let details = ErrorDetails::with_quota_failure_violation("credits", "0 of 1000 credits are left");
            refusal::refuse(reason, message(reason), details, [])
        }
        _ => plain(message(reason)),
    };
    // The document is our own JSON.
    serde_json::from_slice(&problem::body(&status, EXAMPLE_ID, EXAMPLE_PATH)).unwrap_or_default()
}

/// What a server may say with this reason, where the words depend on the call.
fn message(reason: Reason) -> &'static str {
    match reason {
        Reason::AlreadyExists => "the scope read:budgets is registered already",
        Reason::CallerNotAllowed => "A publishable key cannot do this; call with a secret or restricted key",
        Reason::DeadlineExceeded => "the deadline passed before the answer was ready; whether it was done is not known",
        Reason::EnvMismatch => "The key belongs to the other environment (live or test)",
        Reason::EtagMismatch => "it has changed since it was read; read it again, then repeat the change",
        Reason::ExceedsCaller => "expires_at is after the end of the key that makes this call",
        Reason::HttpsRequired => "this service is reached over HTTPS only; do not send credentials in the clear",
        Reason::IdempotencyKeyReused => "this Idempotency-Key was used before with another request",
        Reason::InvalidDpopProof => "the token is bound to a key, and no proof came with it",
        Reason::InvalidRequest => "the request carries two credentials; send one",
        Reason::InvalidState => "a revoked key cannot be resumed",
        Reason::IpDenied => "The key may not be used from this address",
        Reason::IssuerUnavailable => "the keys of the token's issuer cannot be had at the moment; try again",
        Reason::MethodNotAllowed => "This path takes GET, HEAD and POST",
        Reason::Overloaded => "the server has all the work it can take; try again",
        Reason::PayloadTooLarge => "The body may have up to 1048576 bytes",
        Reason::QuotaExhausted => "Quota exhausted. Try again in 3600 seconds",
        Reason::RateLimited => "Rate limit exceeded. Try again in 7 seconds",
        Reason::ResourceNotFound => "there is no key \"key_0192f6a5c7d87b3e9f1a2b3c4d5e6f70\"",
        Reason::RevisionTooOld => "the change log does not reach back to this revision; start from the current one",
        Reason::SignInFailed => "The name or the password is wrong",
        Reason::Suspended => "The key is suspended",
        Reason::TooManyAttempts => "Rate limit exceeded. Try again in 300 seconds",
        Reason::TooManyUnknown => "Too many unknown credentials from this address. Try again in 1 seconds",
        Reason::UnknownMethod => "There is nothing at this path",
        Reason::UseDpopNonce => "the proof must hold the nonce of the header DPoP-Nonce",
        Reason::UnsupportedMediaType => "The body's type must be application/json",
        Reason::Expired | Reason::Malformed | Reason::MissingCredential | Reason::NotFound | Reason::Revoked => {
            "Invalid or missing API key"
        }
        Reason::InsufficientScope | Reason::Internal | Reason::InvalidField | Reason::StoreUnavailable => {
            refusal::INTERNAL
        }
    }
}

const PROBLEM_JSON: &str = "application/problem+json";
const EXAMPLE_ID: &str = "req_5f0c1a9e3b7d4c2800000000002a";
const EXAMPLE_PATH: &str = "/v1/keys";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    #[test]
    fn the_schema_has_every_member_that_problems_have() {
        let comments = Comments::of(descriptor_pool());
        let [(_, schema), (_, violation)] = schemas(descriptor_pool(), &comments);
        let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let problem = example(Reason::InvalidField);
        let mut all = members(&problem);
        all.push("violated-policies".to_owned());
        assert_eq!(all, members(&schema["properties"]));
        assert_eq!(example(Reason::RateLimited)["violated-policies"], json!(["per-minute"]));
        assert_eq!(members(&problem["violations"][0]), members(&violation["properties"]));
    }

    #[test]
    fn every_status_is_explained() {
        let errors = Errors::new();
        let responses = errors.responses(descriptor_pool(), &Comments::of(descriptor_pool()));
        assert_eq!(errors.statuses().collect::<Vec<_>>(), [400, 401, 403, 404, 409, 413, 415, 429, 500, 503, 504]);
        assert_eq!(responses.as_object().unwrap().len(), 11);
        for (name, response) in responses.as_object().unwrap() {
            let description = response["description"].as_str().unwrap();
            let bullets = description.lines().skip(1).collect::<Vec<_>>();
            assert!(bullets.iter().all(|line| line.contains("HTTP ")), "{name}: a reason without a comment");
            let examples = response["content"][PROBLEM_JSON]["examples"].as_object().unwrap();
            assert_eq!(examples.len(), bullets.len(), "{name}");
        }
        let missing = &responses["Unauthorized"]["content"][PROBLEM_JSON]["examples"]["MISSING_CREDENTIAL"]["value"];
        assert_eq!(missing["error"], "unauthorized");
        assert_eq!(missing["message"], "Invalid or missing API key");
        let scope = &responses["Forbidden"]["content"][PROBLEM_JSON]["examples"]["INSUFFICIENT_SCOPE"]["value"];
        assert_eq!(scope["message"], "API key does not have required scope: read:keys");
    }
}
