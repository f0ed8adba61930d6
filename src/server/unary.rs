//! Unary gRPC calls without tonic's server: one message in, one out, through the same dispatch as the JSON edge.
//!
//! tonic's own path is made for streams: it costs more per call than the decision it carries. What is here is the part of
//! the protocol that a unary call needs (gRPC over HTTP2, gRPC-Web); streams and base64 stay with tonic.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::request::Parts as Head;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::grpc::{GRPC_STATUS, words};
use super::request::Wire;
use crate::domain::error::Error;
use crate::domain::reason::Reason;
use crate::edge::body::{Unread, read_whole};
use crate::proto::MethodId;
use crate::proto::dispatch::{Call, Dispatch, Framed, Reply};
use crate::rpc::Rpcs;
use crate::rpc::request::Arrival;

/// Why a call has no message for an answer.
pub(super) enum Failure {
    /// The request is none.
    Refused(Error),
    /// The RPC says why.
    Answered(Status),
}

/// Whether calls of this RPC that came with these headers are answered here.
pub(super) fn serves(wire: Wire, method: MethodId, headers: &HeaderMap) -> bool {
    let plain = match wire {
        Wire::Grpc => true,
        // A client may ask for base64 while it sends none.
        Wire::GrpcWeb => {
            let text = |value: &HeaderValue| value.as_bytes().windows(TEXT.len()).any(|part| part == TEXT);
            !headers.get_all(ACCEPT).iter().any(text)
        }
        Wire::GrpcWebText | Wire::Http => false,
    };
    plain && !method.is_streaming()
}

/// Answers a call whose message has up to `limit` bytes.
pub(super) async fn call<B>(
    wire: Wire,
    method: MethodId,
    arrival: Arrival,
    head: &mut Head,
    body: B,
    rpcs: &Rpcs,
    limit: usize,
) -> Result<Response<Body>, Failure>
where
    B: http_body::Body<Data = Bytes>,
{
    let message = read(body, limit).await.map_err(Failure::Refused)?;
    let metadata = MetadataMap::from_headers(mem::take(&mut head.headers));
    match rpcs.dispatch(Call { method, context: arrival, metadata, message }).await.map_err(Failure::Answered)? {
        Reply::Unary { metadata, message } => Ok(respond(wire, metadata, message)),
        Reply::Stream { .. } => Err(Failure::Answered(Status::new(Code::Internal, "a stream for a unary call"))),
    }
}

/// Reads the one message of a call ("Length-Prefixed-Message"), to the end of the request.
async fn read<B>(body: B, limit: usize) -> Result<Bytes, Error>
where
    B: http_body::Body<Data = Bytes>,
{
    let bytes = read_whole(body, PREFIX + limit).await.map_err(|unread| match unread {
        Unread::TooLarge => Error::new(Reason::PayloadTooLarge, words::TOO_LARGE),
        Unread::Cut => Error::new(Reason::InvalidRequest, words::CUT),
    })?;
    let Some(&[compressed, a, b, c, d]) = bytes.first_chunk::<PREFIX>() else {
        return Err(Error::new(Reason::InvalidRequest, words::CUT));
    };
    if compressed != 0 {
        return Err(Error::new(Reason::UnknownMethod, words::NOT_THERE));
    }
    match usize::try_from(u32::from_be_bytes([a, b, c, d])) {
        Ok(length) if length == bytes.len() - PREFIX => Ok(bytes.slice(PREFIX..)),
        Ok(length) if length < bytes.len() - PREFIX => Err(Error::new(Reason::InvalidRequest, words::TOO_MANY)),
        Ok(length) if length <= limit => Err(Error::new(Reason::InvalidRequest, words::CUT)),
        _ => Err(Error::new(Reason::PayloadTooLarge, words::TOO_LARGE)),
    }
}

fn respond(wire: Wire, metadata: MetadataMap, message: Framed) -> Response<Body> {
    let mut frame = message.into_frame();
    let body = match wire {
        Wire::Grpc => Body::new(Answer { frame: Some(frame.into()), ended: false }),
        _ => {
            frame.extend_from_slice(WEB_TRAILER);
            Body::new(Full::from(frame))
        }
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    *headers = metadata.into_headers();
    headers.reserve(HEADERS);
    headers.insert(CONTENT_TYPE, wire.answer_type());
    response
}

/// One message, and a status that says that this is all.
struct Answer {
    frame: Option<Bytes>,
    ended: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(frame) = self.frame.take() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.ended = true;
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

/// Room at once for the headers that an answer gets: its type, its request's id, and five of limits.
const HEADERS: usize = 8;
/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Status 0 as the frame that ends a gRPC-Web answer (gRPC-Web, "Protocol differences vs gRPC over HTTP2").
const WEB_TRAILER: &[u8] = b"\x80\0\0\0\x0fgrpc-status:0\r\n";
/// What `accept` has in it when the answer is wanted in base64.
const TEXT: &[u8] = b"grpc-web-text";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_one_whole_plain_message() {
        let cut = Err((Reason::InvalidRequest, words::CUT));
        let large = Err((Reason::PayloadTooLarge, words::TOO_LARGE));
        for (body, wanted) in [
            (&b"\0\0\0\0\0"[..], Ok(&b""[..])),
            (b"\0\0\0\0\x03abc", Ok(b"abc")),
            (b"\0\0\0\0\x08abcdefgh", Ok(b"abcdefgh")),
            (b"", cut),
            (b"\0\0\0\0", cut),
            (b"\0\0\0\0\x03ab", cut),
            (b"\0\0\0\0\x08abc", cut),
            (b"\0\0\0\0\x09abc", large),
            (b"\0\xff\xff\xff\xffabc", large),
            (b"\0\0\0\0\x09abcdefghi", large),
            (b"\0\0\0\0\x03abcd", Err((Reason::InvalidRequest, words::TOO_MANY))),
            (b"\0\0\0\0\0\0\0\0\0\0", Err((Reason::InvalidRequest, words::TOO_MANY))),
            (b"\x01\0\0\0\x03abc", Err((Reason::UnknownMethod, words::NOT_THERE))),
        ] {
            let read = read(Full::from(Bytes::from_static(body)), 8).await;
            let found = read.as_ref().map(|message| &**message).map_err(|error| (error.reason, &*error.message));
            assert_eq!(found, wanted, "{body:?}");
        }
    }

    #[test]
    fn the_web_trailer_says_its_length() {
        assert_eq!(usize::from(WEB_TRAILER[4]), WEB_TRAILER.len() - PREFIX);
    }
}
