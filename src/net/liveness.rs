//! What one connection is doing, in numbers cheap enough to keep on every request, and the rules by which a connection
//! that does nothing is ended.
//!
//! A connection and its requests only store a coarse time; the accept loop looks all connections over now and then and
//! leaves an order for those that overstayed. So no request arms a timer or reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::settings::Settings;

/// What a connection has been told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Go on.
    Serve,
    /// Take no new request, finish those in flight, close.
    Drain,
    /// Close now.
    Cut,
}

/// The shared state of one connection: written by its task, read and ordered about by the accept loop.
#[derive(Debug)]
pub(super) struct Liveness {
    clock: CoarseClock,
    order: AtomicU8,
    task: AtomicWaker,
    in_flight: AtomicUsize,
    idle_since: AtomicU64,
    /// Set for HTTP/1, where bytes outside a request can only be the head of the next one. Over HTTP/2 they may be
    /// pings, which a client must not be able to stay alive by.
    reads_heads: AtomicBool,
    head_since: AtomicU64,
    write_blocked_since: AtomicU64,
    /// Responses whose last frame was taken while the next is not asked for: the client's turn, not ours.
    untaken: AtomicUsize,
    last_taken: AtomicU64,
    drained_since: AtomicU64,
}

impl Liveness {
    pub(super) fn new(clock: CoarseClock) -> Self {
        let now = clock.now();
        Self {
            clock,
            order: AtomicU8::new(Order::Serve as u8),
            task: AtomicWaker::new(),
            in_flight: AtomicUsize::new(0),
            idle_since: AtomicU64::new(now),
            reads_heads: AtomicBool::new(false),
            head_since: AtomicU64::new(NEVER),
            write_blocked_since: AtomicU64::new(NEVER),
            untaken: AtomicUsize::new(0),
            last_taken: AtomicU64::new(now),
            drained_since: AtomicU64::new(NEVER),
        }
    }

    /// The order in force. A later, harder order wakes the task of `cx`.
    pub(super) fn poll_order(&self, cx: &Context<'_>) -> Order {
        self.task.register(cx.waker());
        self.order()
    }

    /// Waits until the connection is told to end.
    pub(super) async fn ordered_to_end(&self) {
        std::future::poll_fn(|cx| match self.poll_order(cx) {
            Order::Serve => Poll::Pending,
            Order::Drain | Order::Cut => Poll::Ready(()),
        })
        .await;
    }

    /// Gives an order. An order is never taken back or softened.
    pub(super) fn give(&self, order: Order) {
        if self.order.fetch_max(order as u8, SeqCst) < order as u8 {
            self.drained_since.store(self.clock.now(), Relaxed);
            self.task.wake();
        }
    }

    /// Says that the protocol is HTTP/1 and that the first bytes of a head are in.
    pub(super) fn reading_heads(&self) {
        self.reads_heads.store(true, Relaxed);
        self.bytes_read();
    }

    /// Bytes came in.
    pub(super) fn bytes_read(&self) {
        if self.reads_heads.load(Relaxed) && self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == NEVER
        {
            self.head_since.store(self.clock.now(), Relaxed);
        }
    }

    /// The socket took bytes (`true`) or refused to (`false`).
    pub(super) fn bytes_written(&self, moved: bool) {
        if moved {
            self.write_blocked_since.store(NEVER, Relaxed);
        } else if self.write_blocked_since.load(Relaxed) == NEVER {
            self.write_blocked_since.store(self.clock.now(), Relaxed);
        }
    }

    /// Whether no request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// Whether the client is owed something: the answer to a request, or bytes that its socket has not taken yet.
    pub(super) fn is_owing(&self) -> bool {
        !self.is_idle() || self.write_blocked_since.load(Relaxed) != NEVER
    }

    /// What becomes of the connection by the rules of `settings`; gives the order where there is one to give.
    pub(super) fn judge(&self, settings: &Settings) -> Option<Overstay> {
        let now = self.clock.now();
        let passed =
            |since: u64, limit: Duration| since != NEVER && u128::from(now.saturating_sub(since)) > limit.as_millis();
        let order = self.order();
        let idle = self.is_idle();
        let verdict = if order == Order::Cut {
            return None;
        } else if passed(self.head_since.load(Relaxed), settings.header_read) {
            Overstay::HeaderRead
        } else if passed(self.write_blocked_since.load(Relaxed), settings.stall)
            || (self.untaken.load(Relaxed) > 0 && passed(self.last_taken.load(Relaxed), settings.stall))
        {
            Overstay::Stall
        } else if order == Order::Drain && idle {
            // GOAWAY waits for the peer to close; a peer that does not is not waited for.
            let since = self.drained_since.load(Relaxed).max(self.idle_since.load(Relaxed));
            return passed(since, GOODBYE).then(|| {
                self.give(Order::Cut);
                Overstay::Goodbye
            });
        } else if order == Order::Serve && idle && passed(self.idle_since.load(Relaxed), settings.idle) {
            self.give(Order::Drain);
            return Some(Overstay::Idle);
        } else {
            return None;
        };
        self.give(Order::Cut);
        Some(verdict)
    }

    fn order(&self) -> Order {
        match self.order.load(SeqCst) {
            0 => Order::Serve,
            1 => Order::Drain,
            _ => Order::Cut,
        }
    }
}

/// Why a connection was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overstay {
    /// The head of a request took too long.
    HeaderRead,
    /// It held no request for too long.
    Idle,
    /// The client took nothing of what it asked for.
    Stall,
    /// It was told that the connection ends and did not go.
    Goodbye,
}

/// One request in flight, from its head to the last byte of its response's body handed to the protocol.
#[derive(Debug)]
pub(super) struct InFlight {
    connection: Arc<Liveness>,
    untaken: bool,
}

impl InFlight {
    pub(super) fn new(connection: Arc<Liveness>) -> Self {
        connection.in_flight.fetch_add(1, Relaxed);
        connection.head_since.store(NEVER, Relaxed);
        Self { connection, untaken: false }
    }

    /// The protocol holds a frame (or the response itself) and has not asked for the next: the client has to take it.
    pub(super) fn offered(&mut self) {
        if !self.untaken {
            self.untaken = true;
            self.connection.untaken.fetch_add(1, Relaxed);
        }
        self.connection.last_taken.store(self.connection.clock.now(), Relaxed);
    }

    /// The protocol asks for more than there is: what comes next is our turn.
    pub(super) fn taken(&mut self) {
        if self.untaken {
            self.untaken = false;
            self.connection.untaken.fetch_sub(1, Relaxed);
        }
        self.connection.last_taken.store(self.connection.clock.now(), Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.taken();
        self.connection.idle_since.store(self.connection.clock.now(), Relaxed);
        self.connection.in_flight.fetch_sub(1, Relaxed);
    }
}

/// Milliseconds since the server started, as of the last look at the clock: reading it costs one load.
#[derive(Clone, Debug)]
pub(super) struct CoarseClock {
    started: Instant,
    millis: Arc<AtomicU64>,
}

impl CoarseClock {
    pub(super) fn start() -> Self {
        Self { started: Instant::now(), millis: Arc::new(AtomicU64::new(0)) }
    }

    /// Looks at the real clock.
    pub(super) fn refresh(&self) {
        self.millis.store(self.started.elapsed().as_millis() as u64, Relaxed);
    }

    fn now(&self) -> u64 {
        self.millis.load(Relaxed)
    }
}

/// No such moment.
const NEVER: u64 = u64::MAX;

/// How long a peer may take to close a connection that was told to end and holds no request. HTTP/2 needs a round trip
/// (GOAWAY, PING, its answer, GOAWAY).
const GOODBYE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        settings: Settings,
        clock: CoarseClock,
        connection: Arc<Liveness>,
    }

    impl Scene {
        fn new() -> Self {
            let clock = CoarseClock::start();
            let settings = Settings {
                header_read: Duration::from_secs(30),
                idle: Duration::from_secs(75),
                stall: Duration::from_secs(20),
                ..Settings::default()
            };
            Self { settings, connection: Arc::new(Liveness::new(clock.clone())), clock }
        }

        fn pass(&self, seconds: u64) {
            self.clock.millis.fetch_add(seconds * 1000, Relaxed);
        }

        fn judge(&self) -> Option<Overstay> {
            self.connection.judge(&self.settings)
        }
    }

    #[test]
    fn an_idle_connection_is_told_to_drain_and_then_cut() {
        let scene = Scene::new();
        scene.pass(75);
        assert_eq!(scene.judge(), None);
        scene.pass(1);
        assert_eq!(scene.judge(), Some(Overstay::Idle));
        assert_eq!(scene.connection.order(), Order::Drain);
        assert_eq!(scene.judge(), None, "said once");
        scene.pass(6);
        assert_eq!(scene.judge(), Some(Overstay::Goodbye));
        assert_eq!(scene.connection.order(), Order::Cut);
        assert_eq!(scene.judge(), None, "said once");
    }

    #[test]
    fn a_request_in_flight_keeps_a_connection_however_long_it_takes() {
        let scene = Scene::new();
        let request = InFlight::new(scene.connection.clone());
        scene.pass(10_000);
        assert_eq!(scene.judge(), None);
        drop(request);
        scene.pass(75);
        assert_eq!(scene.judge(), None, "idle counts from the end of the request");
        scene.pass(1);
        assert_eq!(scene.judge(), Some(Overstay::Idle));
    }

    #[test]
    fn a_slow_head_is_cut_but_only_over_http1() {
        let http2 = Scene::new();
        http2.connection.bytes_read();
        http2.pass(31);
        assert_eq!(http2.judge(), None);

        let http1 = Scene::new();
        http1.connection.reading_heads();
        http1.pass(20);
        http1.connection.bytes_read();
        http1.pass(11);
        assert_eq!(http1.judge(), Some(Overstay::HeaderRead), "later bytes do not extend the time");
        assert_eq!(http1.connection.order(), Order::Cut);
    }

    #[test]
    fn the_head_of_a_served_request_and_its_body_are_not_a_slow_head() {
        let scene = Scene::new();
        scene.connection.reading_heads();
        let request = InFlight::new(scene.connection.clone());
        scene.connection.bytes_read();
        scene.pass(31);
        assert_eq!(scene.judge(), None);
        drop(request);
        assert_eq!(scene.judge(), None);
    }

    #[test]
    fn a_socket_that_takes_nothing_is_cut() {
        let scene = Scene::new();
        let _request = InFlight::new(scene.connection.clone());
        scene.connection.bytes_written(false);
        scene.pass(15);
        scene.connection.bytes_written(true);
        scene.connection.bytes_written(false);
        scene.pass(15);
        scene.connection.bytes_written(false);
        assert_eq!(scene.judge(), None, "it moved in between");
        scene.pass(6);
        assert_eq!(scene.judge(), Some(Overstay::Stall));
    }

    #[test]
    fn a_response_nobody_takes_is_cut_and_a_quiet_stream_is_not() {
        let scene = Scene::new();
        let mut quiet = InFlight::new(scene.connection.clone());
        quiet.offered();
        quiet.taken();
        scene.pass(1000);
        assert_eq!(scene.judge(), None, "the client waits for us");

        let mut stuck = InFlight::new(scene.connection.clone());
        stuck.offered();
        scene.pass(15);
        quiet.offered();
        quiet.taken();
        scene.pass(15);
        assert_eq!(scene.judge(), None, "another response moved");
        scene.pass(6);
        assert_eq!(scene.judge(), Some(Overstay::Stall));
        drop(stuck);
        assert_eq!(scene.connection.untaken.load(Relaxed), 0);
    }

    #[test]
    fn a_drain_waits_for_requests_and_then_for_the_peer() {
        let scene = Scene::new();
        let request = InFlight::new(scene.connection.clone());
        scene.connection.give(Order::Drain);
        scene.pass(1000);
        assert_eq!(scene.judge(), None);
        drop(request);
        scene.pass(5);
        assert_eq!(scene.judge(), None);
        scene.pass(1);
        assert_eq!(scene.judge(), Some(Overstay::Goodbye));
    }

    #[test]
    fn an_order_is_never_softened() {
        let scene = Scene::new();
        scene.connection.give(Order::Cut);
        scene.connection.give(Order::Drain);
        assert_eq!(scene.connection.order(), Order::Cut);
    }
}
