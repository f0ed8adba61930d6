//! What the client is answered when a service refuses, or fails.

use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::services::{Recorder, bytes};
use super::{call, edge, request};
use crate::edge::{self, Resolution, problem, refusal};

/// The answer to a call that a service refuses.
async fn failing(status: Status) -> (StatusCode, HeaderMap, Value) {
    let response = call(&Recorder::replying(Err(status)), request("GET /v1/keys/key_1?", "")).await;
    let (parts, body) = response.into_parts();
    let problem = serde_json::from_slice(&bytes(Response::new(body)).await).unwrap();
    (parts.status, parts.headers, problem)
}

fn explained(code: Code, message: &str, reason: &str, metadata: &[(&str, &str)]) -> Status {
    let metadata: std::collections::HashMap<_, _> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, "gatepost", metadata))
}

#[tokio::test]
async fn refusals_are_told_by_their_reason() {
    let missing = explained(Code::Unauthenticated, "Invalid or missing API key", "MISSING_CREDENTIAL", &[]);
    let (status, headers, problem) = failing(missing).await;
    assert_eq!((status.as_u16(), &problem["error"]), (401, &json!("unauthorized")));
    assert_eq!(headers["www-authenticate"], "Bearer realm=\"gatepost\"");
    assert_eq!(problem["type"], "urn:gatepost:problem:unauthorized");

    let unknown = explained(Code::Unauthenticated, "Invalid or missing API key", "NOT_FOUND", &[]);
    let (_, headers, _) = failing(unknown).await;
    let challenge =
        "Bearer realm=\"gatepost\", error=\"invalid_token\", error_description=\"Invalid or missing API key\"";
    assert_eq!(headers["www-authenticate"], challenge);

    let message = "API key does not have required scope: WRITE_BUDGETS";
    let scope = explained(Code::PermissionDenied, message, "INSUFFICIENT_SCOPE", &[("scope", "WRITE_BUDGETS")]);
    let (status, headers, problem) = failing(scope).await;
    assert_eq!(
        (status.as_u16(), &problem["error"], &problem["message"]),
        (403, &json!("insufficient_scope"), &json!(message))
    );
    let challenge = "Bearer realm=\"gatepost\", error=\"insufficient_scope\", scope=\"WRITE_BUDGETS\"";
    assert_eq!(headers["www-authenticate"], challenge);

    let suspended = explained(Code::PermissionDenied, "The key is suspended", "SUSPENDED", &[]);
    let (status, headers, problem) = failing(suspended).await;
    assert_eq!((status.as_u16(), &problem["error"]), (403, &json!("key_suspended")));
    assert!(!headers.contains_key("www-authenticate") && !headers.contains_key("retry-after"));

    let mut details = ErrorDetails::with_retry_info(Some(std::time::Duration::from_millis(1200)));
    details.set_error_info("STORE_UNAVAILABLE", "gatepost", std::collections::HashMap::new());
    let (status, headers, problem) = failing(Status::with_error_details(Code::Unavailable, "later", details)).await;
    assert_eq!(
        (status.as_u16(), &headers["retry-after"], &problem["code"]),
        (503, &"2".parse().unwrap(), &json!("STORE_UNAVAILABLE"))
    );
}

#[tokio::test]
async fn a_status_without_a_reason_goes_by_its_code() {
    for (code, http) in [
        (Code::Cancelled, 499),
        (Code::InvalidArgument, 400),
        (Code::FailedPrecondition, 400),
        (Code::OutOfRange, 400),
        (Code::Unauthenticated, 401),
        (Code::PermissionDenied, 403),
        (Code::NotFound, 404),
        (Code::AlreadyExists, 409),
        (Code::Aborted, 409),
        (Code::ResourceExhausted, 429),
        (Code::Unimplemented, 501),
        (Code::Unavailable, 503),
        (Code::DeadlineExceeded, 504),
        (Code::Internal, 500),
        (Code::Unknown, 500),
        (Code::DataLoss, 500),
    ] {
        let (status, headers, problem) = failing(Status::new(code, "driver: connection 7 broke")).await;
        assert_eq!(status.as_u16(), http, "{code:?}");
        assert_eq!(
            problem["message"] == "driver: connection 7 broke",
            (402..500).contains(&http) || http == 400,
            "{problem}"
        );
        assert_eq!(headers.contains_key("retry-after"), http == 503);
    }
}

#[tokio::test]
async fn a_problem_never_breaks_its_own_form() {
    let status =
        explained(Code::PermissionDenied, "a\"b\\c\u{1f511}\n", "INSUFFICIENT_SCOPE", &[("scope", "a\"\r\nb")]);
    let response = problem::response(&status, "id\"\u{0}", "/a\"b");
    assert_eq!(
        response.headers()["www-authenticate"],
        "Bearer realm=\"gatepost\", error=\"insufficient_scope\", scope=\"ab\""
    );
    let problem: Value = serde_json::from_slice(&bytes(response).await).unwrap();
    assert_eq!((&problem["requestId"], &problem["instance"]), (&json!("id\"\u{0}"), &json!("/a\"b")));
}

#[tokio::test]
async fn methods_that_are_not_allowed_are_told_which_are() {
    let edge = edge();
    let Resolution::MethodNotAllowed(allow) = edge.resolve(&http::Method::PUT, "/v1/keys") else { panic!("allowed") };
    let response = problem::response(&refusal::method_not_allowed(allow), "r", "/v1/keys");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
    );
    let response = edge::options(allow);
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (204, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
    );
    let response = problem::response(&refusal::unknown_path(), "r", "/nowhere");
    assert_eq!(response.status().as_u16(), 404);
}

#[tokio::test]
async fn services_violations_are_told_in_the_clients_names() {
    for (line, field, expected) in [
        ("PATCH /v1/keys/key_1", "key.allowed_ips[2]", "allowedIps[2]"),
        ("PATCH /v1/keys/key_1", "key.metadata.my_key", "metadata.my_key"),
        ("PATCH /v1/keys/key_1", "key.rotation.grace_period", "rotation.gracePeriod"),
        ("PATCH /v1/keys/key_1", "key.id", "key.id"),
        ("PATCH /v1/keys/key_1", "key", "key"),
        ("PATCH /v1/keys/key_1", "update_mask", "updateMask"),
        ("POST /v1/keys", "allowed_ips", "allowedIps"),
        ("POST /v1/auth/verify:batch", "requests[3].client_ip", "requests[3].clientIp"),
        ("POST /v1/auth/verify:batch", "requests", "requests"),
        ("GET /v1/keys", "page_size", "pageSize"),
        ("GET /v1/keys", "no_such.field_name", "no_such.field_name"),
        ("GET /v1/keys", "idempotency-key", "idempotency-key"),
        ("GET /v1/keys", "", ""),
    ] {
        let mut details = ErrorDetails::with_bad_request_violation(field, "is wrong");
        details.add_bad_request_violation("etag", "is old");
        details.set_error_info("INVALID_FIELD", "gatepost", std::collections::HashMap::new());
        let message = format!("{field}: is wrong; etag: is old");
        let status = Status::with_error_details(Code::InvalidArgument, message, details);
        let response = call(&Recorder::replying(Err(status)), request(line, "")).await;
        let problem: Value = serde_json::from_slice(&bytes(response).await).unwrap();
        assert_eq!(problem["violations"][0], json!({"field": expected, "description": "is wrong"}), "{line}");
        assert_eq!(problem["message"], format!("{expected}: is wrong; etag: is old"), "{line}");
        assert_eq!(problem["code"], "INVALID_FIELD");
    }
}
