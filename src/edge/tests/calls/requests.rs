//! What a service is asked, and requests that none gets to see.

use bytes::Bytes;
use http::Method;
use http_body_util::StreamBody;
use prost_types::{Duration, FieldMask};
use serde_json::json;

use super::super::services::{Marker, Recorder};
use super::{asked, call, edge, refused, request};
use crate::domain::dialect::Dialect;
use crate::edge::Resolution;
use crate::proto::v1::*;

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
        ..VerifyRequest::default()
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
        ("GET /v1/keys?type=zz", "type", "must be one of SK, RK, PK, UK"),
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
    assert_eq!(asked.marker, Marker(9));
    let mut names: Vec<_> = asked.metadata.as_ref().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["idempotency-key"]);
}

#[test]
fn a_route_knows_its_dialect() {
    let edge = edge();
    for (path, dialect) in [
        ("/v1/products", Dialect::Standard),
        ("/products", Dialect::Storefront),
        ("/v1/api/public/products", Dialect::Billing),
    ] {
        let Resolution::Found(matched) = edge.resolve(&Method::GET, path) else { panic!("no route for {path}") };
        assert_eq!(matched.route.dialect, dialect, "{path}");
    }
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
