//! What came back from a call, told alike for every wire.

use std::collections::BTreeMap;
use std::time::Duration;

use gatepost::domain::reason::Reason;
use http::HeaderMap;
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::leaks;
use super::rpc::Rpc;
use super::wire::Wire;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The wire it came on.
    pub(crate) wire: Wire,
    /// The HTTP status. 200 on the gRPC wires, whatever the outcome.
    pub(crate) http: u16,
    /// The gRPC code; over JSON that of the reason.
    pub(crate) code: Code,
    /// The reason's name on the wire; empty for a success.
    pub(crate) reason: String,
    /// The words for people.
    pub(crate) message: String,
    /// The fields that break a rule, and which one.
    pub(crate) violations: Vec<(String, String)>,
    /// What `ErrorInfo` says beside the reason; over JSON only `request_id`.
    pub(crate) metadata: BTreeMap<String, String>,
    /// After how long it is worth another try, as `RetryInfo` says.
    pub(crate) retry: Option<Duration>,
    /// Headers, and trailers if there were any.
    pub(crate) headers: HeaderMap,
    /// The response message, of a stream its first; null for a refusal.
    pub(crate) body: Value,
    /// Over JSON, the document as it was sent, success or problem.
    pub(crate) document: Value,
}

impl Answer {
    /// A success.
    pub(super) fn success(wire: Wire, rpc: &Rpc, headers: HeaderMap, body: Value, document: Value) -> Self {
        let mut shown = body.clone();
        if rpc.policy().secret_response {
            // Only the places that are for it may hold a secret.
            leaks::take_what_is_meant(&mut shown);
        }
        let (code, http) = (Code::Ok, 200);
        let answer = Self {
            wire,
            http,
            code,
            reason: String::new(),
            message: String::new(),
            violations: Vec::new(),
            metadata: BTreeMap::new(),
            retry: None,
            headers,
            body,
            document,
        };
        answer.assert_no_secret(&shown);
        answer
    }

    /// A refusal of a gRPC wire.
    pub(super) fn status(wire: Wire, status: &Status, headers: HeaderMap) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violations = details.bad_request().map_or(&[][..], |bad| &bad.field_violations);
        let answer = Self {
            wire,
            http: 200,
            code: status.code(),
            reason: info.map_or_else(String::new, |info| info.reason.clone()),
            message: status.message().to_owned(),
            violations: violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect(),
            metadata: info.map(|info| info.metadata.clone().into_iter().collect()).unwrap_or_default(),
            retry: details.retry_info().and_then(|info| info.retry_delay),
            headers,
            body: Value::Null,
            document: Value::Null,
        };
        if let Some(info) = info {
            assert_eq!(info.domain, "gatepost", "{answer:?}");
        }
        answer.assert_no_secret(&Value::Null);
        answer
    }

    /// A refusal over JSON.
    pub(super) fn problem(http: u16, document: Value, headers: HeaderMap) -> Self {
        let text = |member: &str| document[member].as_str().unwrap_or_default().to_owned();
        let reason = text("code");
        let code = Reason::find(&reason).map_or(Code::Unknown, |reason| Code::from_i32(reason.wording().grpc));
        let violations = document["violations"].as_array().into_iter().flatten();
        let answer = Self {
            wire: Wire::Json,
            http,
            code,
            message: text("message"),
            violations: violations
                .map(|v| {
                    let part = |name: &str| v[name].as_str().unwrap_or_default().to_owned();
                    (part("field"), part("description"))
                })
                .collect(),
            metadata: BTreeMap::from([("request_id".to_owned(), text("requestId"))]),
            retry: None,
            reason,
            headers,
            body: Value::Null,
            document,
        };
        answer.assert_no_secret(&Value::Null);
        answer
    }

    /// The response message of a success; fails on a refusal.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.code, Code::Ok, "{self:?}");
        self.body
    }

    /// Fails unless it is a refusal for this reason.
    #[track_caller]
    pub(crate) fn refused(&self, reason: &str) {
        assert_eq!(self.reason, reason, "{self:?}");
    }

    /// Fails unless it is INVALID_FIELD for exactly these fields, by their paths in the request (`key.allowed_ips[2]`). Over
    /// JSON they are called as the client wrote them: in lowerCamelCase, and from the body on.
    #[track_caller]
    pub(crate) fn violates(&self, fields: &[&str]) {
        self.refused("INVALID_FIELD");
        let found: Vec<_> = self.violations.iter().map(|(field, _)| field.as_str()).collect();
        let wanted: Vec<_> = match self.wire {
            Wire::Json => fields.iter().map(|field| client_name(field)).collect(),
            _ => fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        assert_eq!(found, wanted, "{self:?}");
    }

    /// A header's value; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn assert_no_secret(&self, shown: &Value) {
        let seen = format!("{shown} {:?} {} {:?} {:?}", self.headers, self.message, self.violations, self.metadata);
        assert_eq!(leaks::find_secret(seen.as_bytes()), None, "an answer holds a secret: {seen}");
        if self.code != Code::Ok {
            let seen = self.document.to_string();
            assert_eq!(leaks::find_secret(seen.as_bytes()), None, "a problem holds a secret: {seen}");
        }
    }
}

/// `key.allowed_ips[2]` as `allowedIps[2]`. Names of metadata are the client's own.
fn client_name(path: &str) -> String {
    let inner = ["key.", "product.", "scope.", "project.", "client.", "issuer.", "rule.", "webhook."]
        .iter()
        .find_map(|body| path.strip_prefix(body))
        .unwrap_or(path);
    let (field, own) = inner.split_once('.').filter(|(field, _)| *field == "metadata").unwrap_or((inner, ""));
    let mut words = field.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        name += &word[..1].to_ascii_uppercase();
        name += &word[1..];
    }
    if own.is_empty() { name } else { format!("{name}.{own}") }
}
