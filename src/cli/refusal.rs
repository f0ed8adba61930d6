//! What the server said when it refused, in words for people and codes for scripts.

use std::error::Error;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::exit::{Answer, Exit, Failure};

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let Some(info) = status.get_details_error_info() else { return not_from_us(&status) };
        let exit = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Exit::Credential,
            Code::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let violations = violations.into_iter().map(|v| (v.field, v.description)).collect();
        let failure = Self::new(exit, status.message());
        let failure = match next_step(&info.reason, &status) {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        failure.answered(Answer {
            request_id: info.metadata.get("request_id").cloned(),
            reason: info.reason,
            violations,
        })
    }
}

/// An error and what caused it, in one line; a cause that says nothing new is left out.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// The connection broke, or something else than Gatepost answered.
fn not_from_us(status: &Status) -> Failure {
    let words = match status.source() {
        Some(source) => causes(source),
        None => status.message().to_owned(),
    };
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => {
            Failure::new(Exit::Unreachable, "the server did not answer in time").hint("give it longer with --timeout")
        }
        Code::Unimplemented => Failure::new(Exit::Failed, format!("the server does not know this call: {words}"))
            .hint("compare `gatepost --version` here and on the server"),
        Code::Unauthenticated | Code::PermissionDenied => Failure::new(Exit::Credential, words),
        _ => Failure::new(Exit::Unreachable, format!("the connection broke: {words}"))
            .hint("is it Gatepost that answers there, and is the URL's scheme (http, https) the right one?"),
    }
}

/// What to do about a reason, if more than its message says.
fn next_step(reason: &str, status: &Status) -> Option<String> {
    let hint = match reason {
        "MISSING_CREDENTIAL" | "MALFORMED" | "NOT_FOUND" | "REVOKED" | "EXPIRED" => {
            "check GATEPOST_KEY; `gatepost admin-key new` on the server's machine makes a new administrator key"
        }
        "SIGN_IN_FAILED" => "`gatepost users set-password USER` gives a user another password",
        "SUSPENDED" => "another key that may write keys lets it work again: `gatepost keys resume KEY`",
        "INSUFFICIENT_SCOPE" => "call with a key that holds the scope; `gatepost whoami` shows what this one holds",
        "EXCEEDS_CALLER" => "call with a key that holds all that you want to hand out",
        "CALLER_NOT_ALLOWED" => "`gatepost whoami` shows which key this is",
        "HTTPS_REQUIRED" => "use an https:// URL",
        "RESOURCE_NOT_FOUND" => "a live key sees live things only and a test key test things; `... list` shows them",
        "ETAG_MISMATCH" => "someone changed it in the meantime: look at it again, then repeat the change",
        "INTERNAL" => "the server's log tells more under the request's id",
        "STORE_UNAVAILABLE" | "ISSUER_UNAVAILABLE" | "OVERLOADED" | "TOO_MANY_ATTEMPTS" | "TOO_MANY_UNKNOWN" => {
            let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
            let wait = delay.map_or("in a moment".to_owned(), |delay| format!("in {} s", delay.as_secs().max(1)));
            return Some(format!("try again {wait}"));
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, reason: &str, message: &str) -> Failure {
        let mut details = ErrorDetails::with_error_info(
            reason,
            "gatepost",
            [("request_id", "req_1")].map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        details.set_retry_info(Some(Duration::from_secs(3)));
        if reason == "INVALID_FIELD" {
            details.add_bad_request_violation("name", "is 1 to 100 characters");
        }
        Status::with_error_details(code, message, details).into()
    }

    #[test]
    fn scripts_can_tell_refusals_apart() {
        let cases = [
            (Code::Unauthenticated, "NOT_FOUND", Exit::Credential, "admin-key new"),
            (Code::PermissionDenied, "INSUFFICIENT_SCOPE", Exit::Credential, "whoami"),
            (Code::NotFound, "RESOURCE_NOT_FOUND", Exit::NotFound, "live key sees live things"),
            (Code::Aborted, "ETAG_MISMATCH", Exit::Failed, "repeat the change"),
            (Code::Unavailable, "STORE_UNAVAILABLE", Exit::Failed, "try again in 3 s"),
            (Code::Internal, "INTERNAL", Exit::Failed, "req_1"),
        ];
        for (code, reason, exit, words) in cases {
            let failure = refused(code, reason, "no");
            assert_eq!(failure.exit(), exit, "{reason}");
            assert!(failure.to_string().contains(words), "{reason}: {failure}");
        }
    }

    #[test]
    fn a_refusal_in_json_says_all_that_the_server_said() {
        let failure = refused(Code::InvalidArgument, "INVALID_FIELD", "name: is 1 to 100 characters");
        let json: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
        assert_eq!((&json["error"], &json["exitCode"]), (&"INVALID_FIELD".into(), &1.into()));
        assert_eq!(json["requestId"], "req_1");
        assert_eq!(json["violations"][0]["field"], "name");
    }

    #[test]
    fn what_is_not_gatepost_counts_as_not_reached() {
        let failure = Failure::from(Status::unknown("HTTP status 502"));
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(failure.to_string().contains("is it Gatepost that answers there"), "{failure}");
        assert_eq!(Failure::from(Status::cancelled("Timeout expired")).exit(), Exit::Unreachable);
    }
}
