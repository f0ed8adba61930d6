//! The task of one connection: TLS, recognizing the protocol, serving, taking leave.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::coop;
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
    let rounds = Arc::new(Rounds::default());
    let served = Serving {
        protocol: Box::new(protocol),
        streams,
        wire: wire.clone(),
        liveness,
        waker: rounds.clone().into(),
        rounds,
        draining: false,
        protocol_first: false,
    }
    .await;
    if !matches!(served, Err(Failure::Overstayed { .. })) {
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
    Overstayed {
        /// Whether the client was owed something: an answer, or the rest of one.
        owing: bool,
    },
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
    rounds: Arc<Rounds>,
    /// Wakes `rounds`.
    waker: Waker,
    draining: bool,
    /// Whether the protocol is polled before the streams. It changes whenever a poll used up its budget, so that
    /// neither can keep the other from its share.
    protocol_first: bool,
}

impl<S: Service> Serving<S> {
    fn poll_order(&mut self, cx: &mut Context<'_>) -> Poll<Failure> {
        match self.liveness.poll_order(cx) {
            Order::Serve => {}
            Order::Drain if self.draining => {}
            Order::Drain => {
                self.draining = true;
                self.protocol.graceful_shutdown();
            }
            Order::Cut => return Poll::Ready(Failure::Overstayed { owing: self.liveness.is_owing() }),
        }
        Poll::Pending
    }

    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let ended = self.poll_http(cx);
        // Unconstrained, because it has to go on when streams used up the budget; what it sends is bounded anyhow.
        let send = poll_fn(|cx| self.wire.poll_send(cx));
        if let Poll::Ready(Err(error)) = pin!(coop::unconstrained(send)).poll(cx) {
            return Poll::Ready(Err(Failure::Socket(error)));
        }
        ended.map_err(Failure::Protocol)
    }

    /// Polls the protocol and the streams until neither has woken the other.
    fn poll_http(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        for _ in 0..MOST_ROUNDS {
            self.rounds.begin();
            // Streams first, so that what they answer is written by the poll of the protocol that follows.
            if !self.protocol_first {
                self.streams.poll_unfinished(cx);
            }
            if let Poll::Ready(ended) = self.protocol.poll(cx) {
                return Poll::Ready(ended);
            }
            self.streams.poll_started(cx);
            if self.protocol_first {
                self.streams.poll_unfinished(cx);
            }
            if !coop::has_budget_remaining() {
                self.protocol_first = !self.protocol_first;
                break;
            }
            if !self.rounds.are_wanted() {
                break;
            }
        }
        Poll::Pending
    }
}

impl<S: Service> Future for Serving<S> {
    type Output = Result<(), Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Not by way of the rounds: they answer what wakes them by polling the protocol and the streams once more, and an
        // order that came between would be forgotten.
        if let Poll::Ready(cut) = this.poll_order(cx) {
            return Poll::Ready(Err(cut));
        }
        this.rounds.enter(cx);
        let waker = this.waker.clone();
        let served = this.poll_serve(&mut Context::from_waker(&waker));
        this.rounds.leave();
        served
    }
}

impl<S: Service> Unpin for Serving<S> {}

/// Tells wake-ups from within a poll from those from outside. A stream that answers wakes the protocol and the other
/// way round, all in this one task: that is a reason for another round, but not for the scheduler to run the task again
/// (which would wake a second thread to do it).
#[derive(Debug, Default)]
struct Rounds {
    task: AtomicWaker,
    polling: AtomicBool,
    woken: AtomicBool,
}

impl Rounds {
    fn enter(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
        self.polling.store(true, SeqCst);
    }

    fn begin(&self) {
        self.woken.store(false, SeqCst);
    }

    fn are_wanted(&self) -> bool {
        self.woken.load(SeqCst)
    }

    /// Ends a poll. What woke it and was not seen by a round wakes the task.
    fn leave(&self) {
        // `wake` writes `woken` and then reads `polling`, this writes `polling` and then reads `woken`: one sees the
        // other.
        self.polling.store(false, SeqCst);
        if self.are_wanted() {
            self.task.wake();
        }
    }
}

impl Wake for Rounds {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, SeqCst);
        if !self.polling.load(SeqCst) {
            self.task.wake();
        }
    }
}

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
const MOST_ROUNDS: usize = 8;

/// How long to read on after closing our side.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// How much to read on after closing our side.
const LEAVE_BYTES: usize = 1024 * 1024;
