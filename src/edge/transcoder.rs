//! One JSON call: from the request's path, query and body to a message, to the service, and back.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, Uri};
use http_body_util::Full;
use tonic::Status;
use tonic::body::Body as TonicBody;
use tonic::metadata::MetadataMap;

use super::headers::{NO_STORE, NOSNIFF, copy_answer, to_metadata};
use super::json::{Content, Fault, Mask, Reader, write_field, write_message};
use super::query::put_query;
use super::route::{Body, Bound, DerivedMask, Route};
use super::stream::{Format, StreamBody};
use super::tables::{MessageId, Tables};
use super::wire::{close, open};
use super::{Call, Matched, percent, refusal, spelling};
use crate::proto::dispatch::{self, Dispatch, Reply};

/// Calls the route's RPC and writes its answer.
pub(super) async fn call<B, C, D>(
    tables: &Arc<Tables>,
    matched: Matched<'_>,
    call: Call<'_, C>,
    body: B,
    services: &D,
    max_body: usize,
) -> Result<Response<TonicBody>, Status>
where
    B: http_body::Body<Data = Bytes>,
    D: Dispatch<C>,
{
    let Call { uri, headers, context, request_id } = call;
    let route = matched.route;
    let body = super::body::read(headers, body, max_body).await?;
    let message = assemble(tables, matched, uri, &body)?;
    let (method, metadata, message) = (route.method, to_metadata(headers), message.into());
    let reply = services.dispatch(dispatch::Call { method, context, metadata, message }).await;
    match reply.map_err(|status| spelling::for_client(tables, route, status))? {
        Reply::Unary { metadata, message } => {
            let message = message.message();
            let mut json = Vec::with_capacity(2 * message.len() + 256);
            write(tables, route.response, route.answer, message, &mut json)?;
            Ok(respond(TonicBody::new(Full::from(json)), HeaderValue::from_static("application/json"), &metadata))
        }
        Reply::Stream { metadata, messages } => {
            let format = Format::accepted(headers);
            let answer = Answer { tables: Arc::clone(tables), response: route.response, field: route.answer };
            let stream = StreamBody::begin(messages, answer, format, request_id, uri.path()).await?;
            Ok(respond(TonicBody::new(stream), format.content_type(), &metadata))
        }
    }
}

/// The request message's bytes: those of the body, then those of the query, then those of the path. A parser takes the last
/// of a field given twice and merges messages, so that the path wins.
fn assemble(tables: &Tables, matched: Matched<'_>, uri: &Uri, body: &[u8]) -> Result<Vec<u8>, Status> {
    let route = matched.route;
    let mut out = Vec::with_capacity(body.len() + 128);
    let mask = put_body(tables, route, body, &mut out)?;
    let gives_mask = match uri.query() {
        Some(query) => put_query(tables, route, query, &mut out)?,
        None => false,
    };
    if let (Some(mask), Some(derived), false) = (mask, &route.mask, gives_mask) {
        put_mask(tables, route, derived, &mask, &mut out);
    }
    for (bound, (start, end)) in route.variables.iter().zip(matched.captures) {
        let text = uri.path().get(start as usize..end as usize);
        let text = text.ok_or_else(|| refusal::internal("a route that was found for another path"))?;
        put_variable(tables, route, bound, text, &mut out)?;
    }
    Ok(out)
}

/// Writes the body's fields, and returns the mask that they make if the route wants one.
fn put_body<'t>(
    tables: &'t Tables,
    route: &'t Route,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<Option<Mask<'t>>, Status> {
    let mask = route.mask.as_ref().map(|derived| Mask::new(&derived.bound));
    if body.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return Ok(mask);
    }
    let content = match route.body {
        Body::Whole => Content::Message(route.request),
        Body::Field(index) => Content::Field(&tables.message(route.request).fields[index]),
        // Many clients send an empty object where there is nothing to say.
        Body::None if is_empty_object(body) => return Ok(mask),
        Body::None => return Err(refusal::invalid_request("This path takes no body")),
    };
    let reader = Reader::new(tables, out, route.ignore_unknown, mask);
    reader.read(content, body).map_err(|fault| refuse(&fault))
}

fn is_empty_object(body: &[u8]) -> bool {
    let inner = body.trim_ascii().strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

fn refuse(fault: &Fault) -> Status {
    if fault.field.is_empty() {
        return refusal::invalid_request(fault.to_string());
    }
    let Fault { field, rule, line, column } = fault;
    refusal::invalid_field(field, &format!("{rule} (line {line}, column {column})"))
}

fn put_mask(tables: &Tables, route: &Route, derived: &DerivedMask, mask: &Mask<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&tables.message(route.request).fields[derived.field].tag);
    let start = open(out);
    mask.put(out);
    close(out, start);
}

fn put_variable(tables: &Tables, route: &Route, bound: &Bound, text: &str, out: &mut Vec<u8>) -> Result<(), Status> {
    let decoded = if bound.spans { percent::decode_segments(text) } else { percent::decode(text) };
    let text =
        decoded.ok_or_else(|| refusal::invalid_field(&bound.name, "is not valid percent-encoded UTF-8 in the path"))?;
    let put = bound.fields.put_text(tables, route.request, &text, out);
    put.map_err(|rule| refusal::invalid_field(&bound.name, &rule))
}

fn respond(body: TonicBody, content_type: HeaderValue, metadata: &MetadataMap) -> Response<TonicBody> {
    let mut response = Response::new(body);
    let to = response.headers_mut();
    to.insert(CONTENT_TYPE, content_type);
    to.insert(CACHE_CONTROL, NO_STORE);
    to.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    copy_answer(metadata, to);
    response
}

/// How a stream's messages are written: whole, or one field of them.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    tables: Arc<Tables>,
    response: MessageId,
    field: Option<usize>,
}

impl Answer {
    /// Writes one message as JSON.
    pub(super) fn write(&self, wire: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
        write(&self.tables, self.response, self.field, wire, out)
    }
}

fn write(
    tables: &Tables,
    response: MessageId,
    field: Option<usize>,
    wire: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Status> {
    let written = match field {
        None => write_message(tables, response, wire, out),
        Some(index) => write_field(tables, &tables.message(response).fields[index], wire, out),
    };
    written.map_err(|_| refusal::internal("an answer that its own message does not read"))
}

/// The same answer without its body, as HEAD wants it: with the length the body would have had.
pub fn without_body(mut response: Response<TonicBody>) -> Response<TonicBody> {
    use http_body::Body as _;
    let length = response.body().size_hint().exact();
    if let Some(length) = length.filter(|_| !response.headers().contains_key(http::header::CONTENT_LENGTH)) {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = TonicBody::empty();
    response
}
