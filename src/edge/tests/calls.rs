//! Whole calls: what a service is asked, and what the client is answered.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{Full, StreamBody};
use prost_types::{Duration, FieldMask, Timestamp};
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::{Edge, Resolution, problem};
use super::services::{Marker, Recorder, bytes};
use crate::proto::descriptor_pool;
use crate::proto::dispatch::{Framed, Reply};
use crate::proto::v1::*;

fn edge() -> Edge {
    Edge::new(descriptor_pool(), 2048).unwrap()
}

/// A request with a JSON body; `method path` as a client would write it.
fn request(line: &str, body: &str) -> Request<Full<Bytes>> {
    let (method, uri) = line.split_once(' ').unwrap();
    Request::builder()
        .method(method)
        .uri(uri)
        .header("content-type", "application/json")
        .header("x-request-id", "req_1")
        .extension(Marker(9))
        .body(Full::from(body.to_owned()))
        .unwrap()
}

async fn call<B: http_body::Body<Data = Bytes>>(service: &Recorder, request: Request<B>) -> Response<Body> {
    let edge = edge();
    let Resolution::Found(matched) = edge.resolve(request.method(), request.uri().path()) else {
        panic!("no route for {}", request.uri())
    };
    edge.call(matched, request, service).await
}

/// What a service is asked.
async fn asked<M: prost::Message + Default>(line: &str, body: &str) -> M {
    let service = Recorder::answering(&GetKeyResponse::default());
    let response = call(&service, request(line, body)).await;
    let status = response.status();
    assert_eq!(status, 200, "{line} {body}: {:?}", String::from_utf8(bytes(response).await));
    service.asked()
}

/// The status and problem that a client gets, from a call that no service sees.
async fn refused<B: http_body::Body<Data = Bytes>>(request: Request<B>) -> (u16, Value) {
    let service = Recorder::default();
    let response = call(&service, request).await;
    assert!(!service.was_called());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status().as_u16();
    let problem: Value = serde_json::from_slice(&bytes(response).await).unwrap();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["requestId"], "req_1");
    (status, problem)
}

#[tokio::test]
async fn a_body_is_the_whole_message() {
    let body = r#"{"credential":"sk_live_x","scopes":["read:products"],"clientIp":"::1"}"#;
    let verify: VerifyRequest = asked("POST /v1/auth/verify", body).await;
    let scopes = vec!["read:products".to_owned()];
    let expected = VerifyRequest {
        credential: "sk_live_x".to_owned(),
        publishable_key: None,
        scopes,
        client_ip: Some("::1".to_owned()),
    };
    assert_eq!(verify, expected);
}

#[tokio::test]
async fn path_and_body_make_one_message() {
    let rotate: RotateKeyRequest =
        asked("POST /v1/keys/key_%31%2F:rotate", r#"{"gracePeriod":"3600s","mode":"first_use"}"#).await;
    let grace_period = Some(Duration { seconds: 3600, nanos: 0 });
    let expected = RotateKeyRequest { id: "key_1/".to_owned(), grace_period, mode: 2, etag: None };
    assert_eq!(rotate, expected);
}

#[tokio::test]
async fn the_path_wins_over_the_body() {
    let rotate: RotateKeyRequest = asked("POST /v1/keys/key_1:rotate", r#"{"id":"key_2"}"#).await;
    assert_eq!(rotate.id, "key_1");
    let update: UpdateKeyRequest = asked("PATCH /v1/keys/key_1", r#"{"id":"key_2","name":"n"}"#).await;
    let key = update.key.unwrap();
    assert_eq!((key.id.as_str(), key.name.as_str()), ("key_1", "n"));
}

#[tokio::test]
async fn an_empty_body_is_an_empty_message() {
    for body in ["", " \r\n\t", "{}"] {
        let revoke: DeleteKeyRequest = asked("POST /v1/keys/key_1:revoke", body).await;
        assert_eq!(revoke, DeleteKeyRequest { id: "key_1".to_owned(), etag: None });
    }
    let _: ListKeysRequest = asked("GET /v1/keys", "").await;
    let _: DeleteKeyRequest = asked("DELETE /v1/keys/key_1", "").await;
    let update: UpdateKeyRequest = asked("PATCH /v1/keys/key_1", "").await;
    assert_eq!(update.update_mask, Some(FieldMask::default()));
}

#[tokio::test]
async fn parameters_fill_the_fields() {
    let list: ListKeysRequest = asked("GET /v1/keys?pageSize=10&page_token=a%2Bb+c&type=sk&state=2&owner=", "").await;
    let expected = ListKeysRequest {
        page_size: Some(10),
        page_token: Some("a+b c".to_owned()),
        r#type: Some(1),
        state: Some(2),
        owner: Some(String::new()),
        ..Default::default()
    };
    assert_eq!(list, expected);
    let list: ListProductsRequest = asked("GET /products?active=false&&tag=a=b&", "").await;
    assert_eq!((list.active, list.tag.as_deref()), (Some(false), Some("a=b")));
    let delete: DeleteKeyRequest = asked("DELETE /v1/keys/key_1?etag=e", "").await;
    assert_eq!(delete.etag.as_deref(), Some("e"));
    let watch: WatchRevocationsRequest =
        asked("GET /v1/auth/revocations:watch?fromRevision=18446744073709551615", "").await;
    assert_eq!(watch.from_revision, Some(u64::MAX));
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    for (line, field, rule) in [
        ("GET /v1/keys?nope=1", "nope", "is not a parameter of this path"),
        ("GET /v1/keys?page_size=1&pageSize=2", "pageSize", "is given twice"),
        ("GET /v1/keys?page_size=x", "page_size", "must be a whole number from -2147483648 to 2147483647"),
        ("GET /v1/keys?page_size", "page_size", "must be a whole number from -2147483648 to 2147483647"),
        ("GET /v1/keys?type=zz", "type", "must be one of SK, RK, PK"),
        ("GET /v1/keys?owner=%zz", "owner", "is not valid percent-encoded UTF-8"),
        ("GET /v1/keys?owner=%ff", "owner", "is not valid percent-encoded UTF-8"),
        ("GET /v1/keys/key_1?id=key_2", "id", "is given by the path"),
        ("GET /v1/keys?pagination=1", "pagination", "is not a parameter of this path"),
        ("GET /v1/keys?a.b.c.d.e.f.g.h.i.j=1", "a.b.c.d.e.f.g.h.i.j", "is not a parameter of this path"),
        (
            "POST /v1/auth/verify?credential=sk",
            "credential",
            "belongs in the body: this path takes no query parameters",
        ),
        ("PATCH /v1/keys/key_1?key.name=n", "key.name", "belongs in the body"),
        ("PATCH /v1/keys/key_1?key.id=n", "key.id", "belongs in the body"),
        ("GET /v1/keys/a%2", "id", "is not valid percent-encoded UTF-8 in the path"),
        ("GET /v1/keys/%ff", "id", "is not valid percent-encoded UTF-8 in the path"),
    ] {
        let (status, problem) = refused(request(line, "")).await;
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_FIELD")), "{line}");
        assert_eq!(problem["violations"], json!([{"field": field, "description": rule}]), "{line}");
        assert_eq!(problem["message"], format!("{field}: {rule}"));
    }
    let (status, problem) = refused(request("GET /v1/keys?%=1", "")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("INVALID_REQUEST")));
}

#[tokio::test]
async fn wrong_bodies_are_named() {
    let (status, problem) = refused(request("POST /v1/auth/verify", "{\"credential\":\"x\",\n\"scops\":[]}")).await;
    assert_eq!(status, 400);
    let expected = json!({
        "type": "urn:gatepost:problem:invalid-field",
        "title": "Invalid field",
        "status": 400,
        "detail": "scops: is not a field of VerifyRequest (line 2, column 7)",
        "instance": "/v1/auth/verify",
        "error": "invalid_field",
        "message": "scops: is not a field of VerifyRequest (line 2, column 7)",
        "code": "INVALID_FIELD",
        "requestId": "req_1",
        "violations": [{"field": "scops", "description": "is not a field of VerifyRequest (line 2, column 7)"}],
    });
    assert_eq!(problem, expected);

    let (status, problem) = refused(request("POST /v1/auth/verify", "[1]")).await;
    assert_eq!((status, &problem["code"]), (400, &json!("INVALID_REQUEST")));
    assert!(problem.get("violations").is_none());
    let (status, problem) = refused(request("PATCH /v1/keys/key_1", r#"{"name":5}"#)).await;
    assert_eq!((status, &problem["violations"][0]["field"]), (400, &json!("name")));
    let (status, problem) = refused(request("DELETE /v1/keys/key_1", r#"{"etag":"e"}"#)).await;
    assert_eq!((status, &problem["message"]), (400, &json!("This path takes no body")));
}

#[tokio::test]
async fn put_takes_back_what_get_gave() {
    let body = r#"{"id":"key_1","project":"p","hint":"h","etag":"e","state":"ACTIVE","createdAt":"2024-01-01T00:00:00Z",
        "rotation":{"mode":"IMMEDIATE"},"name":"n","scopes":[],"metadata":{},"somethingNew":{"a":[1]}}"#;
    let update: UpdateKeyRequest = asked("PUT /v1/keys/key_1", body).await;
    let paths: Vec<_> = ["name", "scopes", "metadata"].map(str::to_owned).to_vec();
    assert_eq!(update.update_mask, Some(FieldMask { paths }));
    let key = update.key.unwrap();
    assert_eq!((key.etag.as_str(), key.hint.as_str()), ("e", "h"));
    let (status, problem) = refused(request("PATCH /v1/keys/key_1", r#"{"somethingNew":1}"#)).await;
    assert_eq!((status, &problem["violations"][0]["field"]), (400, &json!("somethingNew")));
}

#[tokio::test]
async fn a_mask_is_derived_or_given() {
    let update: UpdateKeyRequest = asked("PATCH /v1/keys/key_1", r#"{"name":"n","alias":null,"allowedIps":[]}"#).await;
    let paths: Vec<_> = ["name", "alias", "allowed_ips"].map(str::to_owned).to_vec();
    assert_eq!(update.update_mask, Some(FieldMask { paths }));
    let update: UpdateKeyRequest = asked("PATCH /v1/keys/key_1?updateMask=name,allowedIps", r#"{"alias":"a"}"#).await;
    let paths: Vec<_> = ["name", "allowed_ips"].map(str::to_owned).to_vec();
    assert_eq!(update.update_mask, Some(FieldMask { paths }));
    // The path names the scope, so that the body's copy of the name changes nothing.
    let update: UpdateScopeRequest =
        asked("PUT /v1/scopes/read:budgets", r#"{"name":"read:budgets","description":"d","builtIn":false}"#).await;
    assert_eq!(update.update_mask, Some(FieldMask { paths: vec!["description".to_owned()] }));
    assert_eq!(update.scope.unwrap().name, "read:budgets");
}

#[tokio::test]
async fn services_see_the_caller_and_listed_headers() {
    let service = Recorder::answering(&CreateKeyResponse::default());
    let mut request = request("POST /v1/keys", r#"{"name":"n"}"#);
    for (name, value) in [
        ("authorization", "Bearer sk_live_secret"),
        ("x-api-key", "sk_live_secret"),
        ("x-builton-api-key", "pk_live_secret"),
        ("cookie", "a=b"),
        ("grpc-timeout", "1S"),
        ("x-internal-admin", "yes"),
        ("idempotency-key", "idem"),
        ("traceparent", "00-1-2-01"),
        ("user-agent", "test"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    call(&service, request).await;
    let asked = service.asked.lock().unwrap().clone().unwrap();
    assert_eq!(asked.method.path(), "/gatepost.v1.Keys/CreateKey");
    assert_eq!(asked.marker, Some(Marker(9)));
    let mut names: Vec<_> = asked.metadata.as_ref().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["idempotency-key"]);
}

#[tokio::test]
async fn answers_show_fields_without_presence() {
    let service = Recorder::answering(&VerifyResponse { code: 4, message: "no".to_owned(), ..Default::default() });
    let response = call(&service, request("POST /v1/auth/verify", "{}")).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let expected = r#"{"valid":false,"code":"NOT_FOUND","message":"no","scopes":[],"metadata":{},"revision":"0"}"#;
    assert_eq!(String::from_utf8(bytes(response).await).unwrap(), expected);
}

#[tokio::test]
async fn the_answer_may_be_one_field() {
    let created_at = Some(Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 });
    let product = Product { id: "prod_1".to_owned(), created_at, ..Default::default() };
    let list =
        ListProductsResponse { data: vec![product.clone()], pagination: None, next_page_token: Some("t".to_owned()) };
    let body = |line: &'static str, list: ListProductsResponse| async move {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-pagination-total", "1".parse().unwrap());
        metadata.insert("x-internal", "secret".parse().unwrap());
        let message = Framed::new(&list);
        let service = Recorder::replying(Ok(Reply::Unary { metadata, message }));
        let response = call(&service, request(line, "")).await;
        assert_eq!(response.headers()["x-pagination-total"], "1");
        assert!(!response.headers().contains_key("x-internal"));
        serde_json::from_slice::<Value>(&bytes(response).await).unwrap()
    };
    let bare = body("GET /products", list.clone()).await;
    assert_eq!(bare[0]["id"], "prod_1");
    assert_eq!(bare[0]["createdAt"], "2023-11-14T22:13:20.120Z");
    assert_eq!(body("GET /products", ListProductsResponse::default()).await, json!([]));
    let whole = body("GET /v1/products", list).await;
    assert_eq!((&whole["data"], &whole["nextPageToken"]), (&bare, &json!("t")));

    let service = Recorder::answering(&GetProductResponse { product: Some(product) });
    let response = call(&service, request("GET /products/prod_1", "")).await;
    assert_eq!(serde_json::from_slice::<Value>(&bytes(response).await).unwrap(), bare[0]);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let answer = GetKeyResponse { key: Some(Key { id: "key_1".to_owned(), ..Default::default() }) };
    let get = call(&Recorder::answering(&answer), request("GET /v1/keys/key_1", "")).await;
    let head = call(&Recorder::answering(&answer), request("HEAD /v1/keys/key_1", "")).await;
    assert_eq!(head.headers()["content-length"], bytes(get).await.len().to_string());
    assert_eq!(head.headers()["content-type"], "application/json");
    assert!(bytes(head).await.is_empty());
}

#[tokio::test]
async fn only_json_is_read() {
    let with = |name: &'static str, value: &'static str| {
        let mut request = request("POST /v1/auth/verify", r#"{"credential":"x"}"#);
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    for (name, value) in [
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-type", "text/plain"),
        ("content-type", "application/json; charset=latin1"),
        ("content-type", "application/jsonx"),
        ("content-type", "application/grpc"),
        ("content-type", ""),
        ("content-encoding", "gzip"),
        ("content-encoding", "br"),
    ] {
        let (status, problem) = refused(with(name, value)).await;
        assert_eq!((status, &problem["error"]), (415, &json!("unsupported_media_type")), "{name}: {value}");
    }
    for (name, value) in [
        ("content-type", "Application/JSON"),
        ("content-type", "application/json ; Charset=\"UTF-8\"; x=y"),
        ("content-type", "application/vnd.example+json"),
        ("content-type", "text/json"),
        ("content-encoding", "identity"),
    ] {
        let service = Recorder::answering(&VerifyResponse::default());
        assert_eq!(call(&service, with(name, value)).await.status(), 200, "{name}: {value}");
    }
    // Where there is no body, its type says nothing.
    let mut empty = request("GET /v1/keys", "");
    empty.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(call(&Recorder::answering(&ListKeysResponse::default()), empty).await.status(), 200);
    let mut untyped = request("POST /v1/auth/verify", r#"{"credential":"x"}"#);
    untyped.headers_mut().remove("content-type");
    assert_eq!(call(&Recorder::answering(&VerifyResponse::default()), untyped).await.status(), 200);
}

/// A body that comes in pieces of unknown number, and tells how many were asked for.
fn pieces(
    pieces: Vec<Result<Bytes, std::io::Error>>,
    taken: std::sync::Arc<std::sync::atomic::AtomicUsize>,
) -> impl http_body::Body<Data = Bytes> {
    StreamBody::new(futures_util::stream::iter(pieces.into_iter().map(move |piece| {
        taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        piece.map(http_body::Frame::data)
    })))
}

#[tokio::test]
async fn bodies_are_bounded() {
    let name = "n".repeat(3000);
    let (status, problem) = refused(request("POST /v1/keys", &format!(r#"{{"name":"{name}"}}"#))).await;
    assert_eq!((status, &problem["error"]), (413, &json!("payload_too_large")));

    // Without a length, reading stops at the limit.
    let taken = std::sync::Arc::default();
    let endless =
        pieces((0..1000).map(|_| Ok(Bytes::from_static(&[b' '; 100]))).collect(), std::sync::Arc::clone(&taken));
    let (status, _) = refused(request("POST /v1/keys", "").map(|_| endless)).await;
    assert_eq!(status, 413);
    assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), 21);

    let broken = pieces(vec![Ok("{".into()), Err(std::io::Error::other("reset"))], std::sync::Arc::default());
    let (status, problem) = refused(request("POST /v1/keys", "").map(|_| broken)).await;
    assert_eq!((status, &problem["message"]), (400, &json!("The body did not arrive whole")));

    let service = Recorder::answering(&CreateKeyResponse::default());
    let parts = ["", "{\"na", "me\":\"", "n\"}"].map(|part| Ok(part.into())).into_iter().collect();
    call(&service, request("POST /v1/keys", "").map(|_| pieces(parts, std::sync::Arc::default()))).await;
    assert_eq!(service.asked::<CreateKeyRequest>().name, "n");
}

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
    let response = problem::response(&super::super::refusal::method_not_allowed(allow), "r", "/v1/keys");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (405, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
    );
    let response = super::super::options(allow);
    assert_eq!(
        (response.status().as_u16(), &response.headers()["allow"]),
        (204, &"GET, HEAD, POST, OPTIONS".parse().unwrap())
    );
    let response = problem::response(&super::super::refusal::unknown_path(), "r", "/nowhere");
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
