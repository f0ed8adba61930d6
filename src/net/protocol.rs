//! HTTP/1.1 or HTTP/2: which of them a client speaks, and hyper set up for it with our bounds.
//!
//! hyper-util's `auto` server would look at the same bytes, but it has no time-out while it looks and does not tell what
//! it saw.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{sleep, timeout};

use super::coalesce::Wire;
use super::inline::Executor;
use super::service::{PerConnection, Service};
use super::settings::Settings;
use super::socket::Socket;

/// The protocols served on every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0 and 1.1.
    Http1,
    /// HTTP/2, by prior knowledge or ALPN.
    Http2,
}

/// Reads until it shows which protocol the client speaks. Gives it with the bytes read, or nothing if the client closed
/// before that, and an error of kind `TimedOut` where it stayed silent or stopped within the preface.
pub(super) async fn recognize(
    socket: &mut (impl AsyncRead + Unpin),
    settings: &Settings,
) -> io::Result<Option<(Version, BytesMut)>> {
    let mut bytes = BytesMut::with_capacity(FIRST_READ);
    if timeout(settings.first_byte, socket.read_buf(&mut bytes)).await?? == 0 {
        return Ok(None);
    }
    let late = sleep(settings.header_read);
    tokio::pin!(late);
    loop {
        let length = bytes.len().min(PREFACE.len());
        if bytes[..length] != PREFACE[..length] {
            return Ok(Some((Version::Http1, bytes)));
        }
        if length == PREFACE.len() {
            return Ok(Some((Version::Http2, bytes)));
        }
        tokio::select! {
            read = socket.read_buf(&mut bytes) => if read? == 0 {
                return Ok(None);
            },
            () = &mut late => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// hyper's side of one connection.
#[expect(clippy::large_enum_variant, reason = "one per connection, and boxed with its task")]
pub(super) enum Protocol<S: Service> {
    /// HTTP/1.0 and 1.1.
    Http1(http1::Connection<Io, PerConnection<S>>),
    /// HTTP/2.
    Http2(http2::Connection<Io, PerConnection<S>, Executor>),
}

type Io = TokioIo<Wire<Socket>>;

impl<S: Service> Protocol<S> {
    pub(super) fn new(
        version: Version,
        wire: Wire<Socket>,
        service: PerConnection<S>,
        executor: Executor,
        settings: &Settings,
    ) -> Self {
        let io = TokioIo::new(wire);
        let max_header_bytes = settings.max_header_bytes.max(LEAST_HEADER_BYTES);
        match version {
            Version::Http1 => {
                let mut builder = http1::Builder::new();
                // Heads are timed by `Liveness`: hyper's time-out also ends connections that are merely kept alive.
                builder
                    .header_read_timeout(None)
                    .max_header_size(max_header_bytes as usize)
                    .max_buf_size(max_header_bytes as usize)
                    .timer(TokioTimer::new());
                Self::Http1(builder.serve_connection(io, service))
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(executor);
                builder
                    .max_concurrent_streams(settings.max_concurrent_streams)
                    .max_header_list_size(max_header_bytes)
                    .max_pending_accept_reset_streams(settings.max_pending_resets)
                    .max_local_error_reset_streams(settings.max_error_resets)
                    .max_send_buf_size(STREAM_SEND_BUFFER)
                    .keep_alive_interval(settings.ping_interval)
                    .keep_alive_timeout(settings.ping_timeout)
                    .timer(TokioTimer::new());
                Self::Http2(builder.serve_connection(io, service))
            }
        }
    }

    /// Takes no new request from here on; the connection ends when those in flight have.
    pub(super) fn graceful_shutdown(&mut self) {
        match self {
            Self::Http1(connection) => Pin::new(connection).graceful_shutdown(),
            Self::Http2(connection) => Pin::new(connection).graceful_shutdown(),
        }
    }

    /// Reads, calls the service, writes; ready when the connection is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self {
            Self::Http1(connection) => Pin::new(connection).poll(cx),
            Self::Http2(connection) => Pin::new(connection).poll(cx),
        }
    }
}

/// What an HTTP/2 client sends first (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Room for the first read: most clients send their first request with it.
const FIRST_READ: usize = 1024;

/// hyper takes no smaller buffer.
const LEAST_HEADER_BYTES: u32 = 8 * 1024;

/// Bytes of one response waiting for the client's window. hyper's own 400 KB, times 200 streams, is too much to lend.
const STREAM_SEND_BUFFER: usize = 64 * 1024;
