//! From domain errors to gRPC statuses: the one place. HTTP answers are made from these statuses too.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, QuotaViolation, StatusExt};

use crate::domain::error::Error;
use crate::domain::reason::Reason;

/// The domain of every `google.rpc.ErrorInfo` we send.
pub const ERROR_DOMAIN: &str = "gatepost";

/// Tells an error as a gRPC status, with `ErrorInfo`, `BadRequest`, `QuotaFailure` and `RetryInfo` where they apply.
pub fn of(error: &Error, request_id: &str) -> Status {
    let wording = error.reason.wording();
    let mut metadata = HashMap::from([("request_id".to_owned(), request_id.to_owned())]);
    if let Some(scope) = &error.missing_scope {
        metadata.insert("scope".to_owned(), scope.clone());
    }
    let mut details = ErrorDetails::with_error_info(wording.name, ERROR_DOMAIN, metadata);
    match error.reason {
        _ if error.violations.is_empty() => {}
        Reason::RateLimited | Reason::QuotaExhausted => {
            let limits = error.violations.iter().map(|v| QuotaViolation::new(&v.field, &v.rule));
            details.set_quota_failure(limits.collect::<Vec<_>>());
        }
        _ => {
            let fields = error.violations.iter().map(|v| FieldViolation::new(&v.field, &v.rule));
            details.set_bad_request(fields.collect::<Vec<_>>());
        }
    }
    if let Some(delay) = error.retry_after {
        details.set_retry_info(Some(delay));
    }
    Status::with_error_details(Code::from_i32(wording.grpc), error.message.clone(), details)
}
