//! A request's body: what it may be, and how it is read, never past the limit.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;
use tonic::Status;

use super::refusal::{invalid_request, too_large, unsupported_media_type};

/// Reads the body: JSON, or nothing. Its type matters only if there is something to read.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, limit: usize) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let type_fault = type_fault(headers);
    if let Some(fault) = type_fault.filter(|_| body.size_hint().lower() > 0) {
        return Err(unsupported_media_type(fault));
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| invalid_request("The body did not arrive whole"))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.is_empty() {
            continue;
        }
        if let Some(fault) = type_fault {
            return Err(unsupported_media_type(fault));
        }
        if first.len() + all.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // Nearly every body is one frame, and is used where it lies.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Why a body with these headers is not taken, if it is not.
fn type_fault(headers: &HeaderMap) -> Option<&'static str> {
    let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
    if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Some("The body must not be compressed");
    }
    match headers.get(CONTENT_TYPE) {
        Some(value) if !value.to_str().is_ok_and(is_json) => Some("The body's type must be application/json"),
        _ => None,
    }
}

/// `application/json`, `application/*+json` or `text/json`, in UTF-8 if they say in what.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = media == "application/json"
        || media == "text/json"
        || media.strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}
