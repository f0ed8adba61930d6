//! Telling a host something. Whatever it answers is an answer: only the status and when to come again are of interest.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::{Exchange, FetchError};

/// What is told: JSON, with header fields of its own.
#[derive(Clone, Debug)]
pub struct Post<'a> {
    /// Names in lower case, and values.
    pub headers: &'a [(&'static str, &'a str)],
    /// The JSON.
    pub body: Bytes,
}

/// What a host answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// After how long it wants to be called again (RFC 9110, section 10.2.3). A date is not read: clocks differ.
    pub retry_after: Option<Duration>,
}

impl Exchange for Post<'_> {
    type Answer = Reply;

    fn request(&self, to: http::request::Builder) -> Result<Request<Full<Bytes>>, FetchError> {
        let mut request = to.method(Method::POST).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.headers {
            request = request.header(*name, *value);
        }
        request.body(Full::new(self.body.clone())).map_err(|_| FetchError::BadUrl)
    }

    async fn read(&self, answer: Response<Incoming>, max_bytes: usize) -> Result<Reply, FetchError> {
        let reply = Reply { status: answer.status().as_u16(), retry_after: retry_after(answer.headers()) };
        // What it says is read, so that it can say it, but not kept; nor waited for if it is long or never ends.
        let mut body = answer.into_body();
        let mut left = max_bytes;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { break };
            left = rest;
        }
        Ok(reply)
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
