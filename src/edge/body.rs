//! A request's body: what it may be, and how it is read, never past the limit.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;
use tonic::Status;

use super::refusal::{invalid_request, too_large, unsupported_media_type};

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unread {
    /// It has more bytes than are taken.
    TooLarge,
    /// It ended before its end.
    Cut,
}

/// Reads a body of up to `limit` bytes. What is larger is not read to its end.
pub async fn read_whole<B>(body: B, limit: usize) -> Result<Bytes, Unread>
where
    B: Body<Data = Bytes>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLarge);
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame.map_err(|_| Unread::Cut)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(Unread::TooLarge);
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

/// Reads the body: JSON, or nothing. Its type matters only if there is something to read.
pub(super) async fn read<B>(headers: &HeaderMap, body: B, limit: usize) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let type_fault = type_fault(headers);
    // Of a body that is not taken, not a byte is.
    let taken = if type_fault.is_some() { 0 } else { limit };
    read_whole(body, taken).await.map_err(|unread| match (unread, type_fault) {
        (Unread::Cut, _) => invalid_request("The body did not arrive whole"),
        (Unread::TooLarge, Some(fault)) => unsupported_media_type(fault),
        (Unread::TooLarge, None) => too_large(limit),
    })
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
    // What nearly all send.
    if content_type == "application/json" {
        return true;
    }
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
