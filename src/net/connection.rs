//! The task of one connection: TLS, recognizing the protocol, serving, taking leave.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::coalesce::Wire;
use super::inline::{Executor, Streams};
use super::liveness::{Liveness, Order};
use super::protocol::{self, Protocol, Version};
use super::service::{Connection, PerConnection, Service};
use super::settings::Settings;
use super::socket::{Metered, Socket};

/// Serves one accepted socket until it is closed from either side or told to end.
pub(super) async fn run<S: Service>(
    socket: TcpStream,
    connection: Connection,
    service: S,
    settings: Settings,
    tls: Option<TlsAcceptor>,
    liveness: Arc<Liveness>,
) -> Result<(), Failure> {
    let opened = tokio::select! {
        opened = open(Metered { socket, liveness: liveness.clone() }, &settings, tls) => opened?,
        () = liveness.ordered_to_end() => return Ok(()),
    };
    let Some((socket, version, early)) = opened else { return Ok(()) };
    if version == Version::Http1 {
        liveness.reading_heads();
    }
    let mut wire = Wire::new(socket, liveness.clone(), early.freeze(), settings.coalesce_writes);
    let streams = Streams::default();
    let executor = match settings.inline_streams {
        true => streams.executor(),
        false => Executor::Spawn,
    };
    let service = PerConnection { service, connection, liveness: liveness.clone() };
    let protocol = Protocol::new(version, wire.clone(), service, executor, &settings);
    let served = Serving { protocol: Box::new(protocol), streams, wire: wire.clone(), liveness, draining: false }.await;
    if !matches!(served, Err(Failure::Overstayed)) {
        take_leave(&mut wire).await;
    }
    served
}

/// Why a connection did not end well. Worth a line in a debugging log, not more: clients vanish all the time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// TLS was not agreed on.
    #[error("TLS handshake: {0}")]
    Handshake(io::Error),
    /// The handshake, first byte or preface did not come in time.
    #[error("nothing usable was received in time")]
    Silent,
    /// The socket broke.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The client broke the protocol, or closed within a request.
    #[error("{0}")]
    Protocol(#[from] hyper::Error),
    /// Told to end at once.
    #[error("cut by a time-out")]
    Overstayed,
}

async fn open(
    socket: Metered,
    settings: &Settings,
    tls: Option<TlsAcceptor>,
) -> Result<Option<(Socket, Version, bytes::BytesMut)>, Failure> {
    let mut socket = match tls {
        None => Socket::Plain(socket),
        Some(acceptor) => {
            let accepted = timeout(settings.tls_handshake, acceptor.accept(socket)).await;
            let stream = accepted.map_err(|_| Failure::Silent)?.map_err(Failure::Handshake)?;
            Socket::Tls(Box::new(stream))
        }
    };
    match protocol::recognize(&mut socket, settings).await {
        Ok(recognized) => Ok(recognized.map(|(version, early)| (socket, version, early))),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Failure::Silent),
        Err(error) => Err(Failure::Socket(error)),
    }
}

/// Drives the protocol, its streams and its writes in turn.
struct Serving<S: Service> {
    protocol: Box<Protocol<S>>,
    streams: Streams,
    wire: Wire<Socket>,
    liveness: Arc<Liveness>,
    draining: bool,
}

impl<S: Service> Serving<S> {
    /// Polls until neither the protocol nor a stream moves on.
    fn poll_http(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        // Streams first, so that what they answer is written by the poll of the protocol that follows.
        self.streams.poll_unfinished(cx);
        for _ in 0..ROUNDS {
            if let Poll::Ready(ended) = self.protocol.poll(cx) {
                return Poll::Ready(ended);
            }
            if !self.streams.poll_started(cx) {
                return Poll::Pending;
            }
        }
        // A client that keeps us busy lets other connections run in between.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: Service> Future for Serving<S> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.liveness.poll_order(cx) {
            Order::Serve => {}
            Order::Drain if this.draining => {}
            Order::Drain => {
                this.draining = true;
                this.protocol.graceful_shutdown();
            }
            Order::Cut => return Poll::Ready(Err(Failure::Overstayed)),
        }
        let ended = this.poll_http(cx);
        if let Poll::Ready(Err(error)) = this.wire.poll_send(cx) {
            return Poll::Ready(Err(Failure::Socket(error)));
        }
        ended.map_err(Failure::Protocol)
    }
}

impl<S: Service> Unpin for Serving<S> {}

/// Closes our side and reads on for a moment. Closing a socket with unread bytes in it resets it, and the reset may
/// overtake the answer that says why (431, 413, GOAWAY).
async fn take_leave(wire: &mut Wire<Socket>) {
    let leave = async {
        wire.shutdown().await?;
        let mut unread = [0; 4096];
        let mut left = LEAVE_BYTES;
        while left > 0 {
            match wire.read(&mut unread).await? {
                0 => break,
                length => left = left.saturating_sub(length),
            }
        }
        io::Result::Ok(())
    };
    // The peer may be gone already, which is as good as a farewell.
    let _ = timeout(LEAVE_TIME, leave).await;
}

/// Rounds of reading and answering before other connections get a turn.
const ROUNDS: usize = 8;

/// How long to read on after closing our side.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// How much to read on after closing our side.
const LEAVE_BYTES: usize = 1024 * 1024;
