//! The refusals that the edge itself makes: each is the `tonic::Status` that a gRPC caller would get.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::router::Allow;
use crate::domain::reason::Reason;

/// The path names no RPC.
pub fn unknown_path() -> Status {
    refuse(Reason::UnknownMethod, "There is nothing at this path", ErrorDetails::new(), [])
}

/// The path takes other methods.
pub fn method_not_allowed(allow: Allow) -> Status {
    let message = format!("This path takes {allow}");
    refuse(Reason::MethodNotAllowed, message, ErrorDetails::new(), [(ALLOW, allow.to_string())])
}

/// The request is wrong as a whole.
pub(super) fn invalid_request(message: impl Into<String>) -> Status {
    refuse(Reason::InvalidRequest, message, ErrorDetails::new(), [])
}

/// One field or parameter breaks its rule, which ends a sentence that begins with its name.
pub(super) fn invalid_field(field: &str, rule: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, rule);
    refuse(Reason::InvalidField, format!("{field}: {rule}"), details, [])
}

/// The body is larger than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Status {
    refuse(Reason::PayloadTooLarge, format!("The body may have up to {limit} bytes"), ErrorDetails::new(), [])
}

/// The body is not JSON, or is compressed.
pub(super) fn unsupported_media_type(message: &str) -> Status {
    refuse(Reason::UnsupportedMediaType, message, ErrorDetails::new(), [])
}

/// A fault of ours. What it was is for the log.
pub(super) fn internal(what: &str) -> Status {
    tracing::error!(what, "the JSON edge met what it cannot write");
    refuse(Reason::Internal, INTERNAL, ErrorDetails::new(), [])
}

/// Any refusal, in the form that all have.
pub(super) fn refuse<const N: usize>(
    reason: Reason,
    message: impl Into<String>,
    mut details: ErrorDetails,
    metadata: [(&str, String); N],
) -> Status {
    let wording = reason.wording();
    let metadata: HashMap<String, String> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    details.set_error_info(wording.name, DOMAIN, metadata);
    Status::with_error_details(Code::from_i32(wording.grpc), message, details)
}

/// The `ErrorInfo.metadata` that becomes the header `Allow`.
pub(super) const ALLOW: &str = "allow";

/// What a client is told of a fault of ours.
pub(super) const INTERNAL: &str = "Something went wrong on the server";

/// The `ErrorInfo.domain` of all our reasons.
const DOMAIN: &str = "gatepost";
