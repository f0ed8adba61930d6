//! Requests as a person writes them: raw HTTP/1.1, as curl sends it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::server::TestServer;

/// An answer, read off the wire.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl RawReply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer, which must have this status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The answer, which must be an error with this word, readable as the published APIs' clients read errors.
    pub(crate) fn error(self, status: u16, error: &str) -> Self {
        let reply = self.expect(status);
        let document = reply.json();
        assert_eq!(document["error"], error, "{reply:?}");
        assert!(document["message"].as_str().is_some_and(|message| !message.is_empty()), "{reply:?}");
        reply
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

impl TestServer {
    /// Sends `line` (`GET /users/me`), these header lines and this body.
    pub(crate) async fn curl(&self, line: &str, headers: &[&str], body: &str) -> RawReply {
        let mut request =
            format!("{line} HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("Connection: close\r\n\r\n");
        request.push_str(body);
        let answer = self.raw(request.as_bytes()).await;
        let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {line}: {answer:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        RawReply {
            status: status.unwrap_or_else(|| panic!("no status: {head}")),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            text: text.to_owned(),
        }
    }
}
