//! Server streams over HTTP: a line of JSON per message, server-sent events or one JSON array, as the client accepts.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};
use http_body::Frame;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::problem;
use super::transcoder::Answer;
use crate::proto::dispatch::Messages;

/// How a stream is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Format {
    /// A JSON value per line.
    Lines,
    /// Server-sent events.
    Events,
    /// One JSON array.
    Array,
}

/// The body of a streamed answer. It takes one message at a time from the service, when the connection has room; when the
/// client goes, it is dropped, and the service's stream with it.
pub(super) struct StreamBody {
    messages: Messages,
    /// A message that was taken from `messages` before the answer began.
    first: Option<Result<Vec<u8>, Status>>,
    answer: Answer,
    format: Format,
    begun: bool,
    done: bool,
    keep_alive: Option<Pin<Box<Sleep>>>,
    request_id: String,
    instance: String,
}

impl Format {
    /// The format a client accepts best. Lines if it does not say.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let mut best = (Self::Lines, 0.0);
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let format = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "text/event-stream" => Self::Events,
                "application/json" => Self::Array,
                "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "*/*" | "application/*" => {
                    Self::Lines
                }
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
            if quality > best.1 {
                best = (format, quality);
            }
        }
        best.0
    }

    /// The answer's type.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
            Self::Array => "application/json",
        })
    }
}

impl StreamBody {
    /// Begins a stream. An error that comes first, and soon, is the call's own.
    pub(super) async fn begin(
        mut messages: Messages,
        answer: Answer,
        format: Format,
        request_id: &str,
        instance: &str,
    ) -> Result<Self, Status> {
        let first = match tokio::time::timeout(PATIENCE, messages.next()).await {
            Ok(Some(Err(status))) => return Err(status),
            Ok(Some(first)) => Some(first),
            // The body asks again, and is told the end again or the message that was waited for.
            Ok(None) => {
                messages = futures_util::stream::empty().boxed();
                None
            }
            Err(_) => None,
        };
        let keep_alive = (format == Format::Events).then(|| Box::pin(tokio::time::sleep(KEEP_ALIVE)));
        let (request_id, instance) = (request_id.to_owned(), instance.to_owned());
        Ok(Self { messages, first, answer, format, begun: false, done: false, keep_alive, request_id, instance })
    }

    fn message(&mut self, wire: &[u8]) -> Result<Vec<u8>, Status> {
        let mut out = Vec::with_capacity(2 * wire.len() + 64);
        out.extend_from_slice(match self.format {
            Format::Lines => b"",
            Format::Events => b"data: ",
            Format::Array if self.begun => b",",
            Format::Array => b"[",
        });
        self.answer.write(wire, &mut out)?;
        out.extend_from_slice(match self.format {
            Format::Lines => b"\n",
            Format::Events => b"\n\n",
            Format::Array => b"",
        });
        self.begun = true;
        Ok(out)
    }

    /// The last frame of a stream that failed. An array cannot say so: it is cut off, and the connection tells.
    fn failure(&mut self, status: Status) -> Result<Vec<u8>, Status> {
        self.done = true;
        let problem = problem::frame(&status, &self.request_id, &self.instance);
        match self.format {
            Format::Lines => Ok([problem.as_slice(), b"\n"].concat()),
            Format::Events => Ok([b"event: error\ndata: ", problem.as_slice(), b"\n\n"].concat()),
            Format::Array => Err(status),
        }
    }

    fn end(&mut self) -> Option<Result<Vec<u8>, Status>> {
        self.done = true;
        match (self.format, self.begun) {
            (Format::Array, true) => Some(Ok(b"]".to_vec())),
            (Format::Array, false) => Some(Ok(b"[]".to_vec())),
            _ => None,
        }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.messages.as_mut().poll_next(cx),
        }
    }

    /// A comment that keeps intermediaries from closing a silent stream.
    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Status>>> {
        let Some(sleep) = &mut self.keep_alive else { return Poll::Pending };
        ready!(sleep.poll_unpin(cx));
        sleep.as_mut().reset(Instant::now() + KEEP_ALIVE);
        Poll::Ready(Some(Ok(b":\n\n".to_vec())))
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let bytes = match this.poll_message(cx) {
            Poll::Ready(Some(Ok(wire))) => {
                if let Some(sleep) = &mut this.keep_alive {
                    sleep.as_mut().reset(Instant::now() + KEEP_ALIVE);
                }
                Some(this.message(&wire).or_else(|status| this.failure(status)))
            }
            Poll::Ready(Some(Err(status))) => Some(this.failure(status)),
            Poll::Ready(None) => this.end(),
            Poll::Pending => ready!(this.poll_keep_alive(cx)),
        };
        Poll::Ready(bytes.map(|bytes| bytes.map(|bytes| Frame::data(Bytes::from(bytes)))))
    }
}

/// How long the answer waits for the first message, so that a refusal has a status of its own.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long an event stream may be silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
