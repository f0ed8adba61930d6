//! The accept loop: takes connections up to the cap, looks over those it has, and drains them at the end.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Failure};
use super::listener::{Accept, Listener};
use super::liveness::{CoarseClock, Liveness, Order};
use super::service::{Connection, Service};
use super::settings::Settings;
use super::tls::Tls;

/// How the connections ended that were open when the server was told to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that finished what they had in flight, whether or not their client then closed.
    pub finished: usize,
    /// Connections cut while their client was owed something, at the deadline or by a time-out before it.
    pub cut: usize,
}

/// Serves `service` on every connection of `listener` until `shutdown` resolves, then drains: it accepts no more, tells
/// every connection that it ends, waits for requests in flight up to [`Settings::drain`], cuts what is left and says how
/// many that were.
///
/// Nothing that a client or the system does to one connection ends the loop. The service is told the [`Connection`] of each
/// request. Dropping the future cuts all connections.
pub async fn serve<S: Service>(
    listener: Listener,
    service: S,
    settings: Settings,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) -> DrainReport {
    let local = listener.local_addr();
    serve_from(listener, local, service, settings, tls, shutdown).await
}

pub(super) async fn serve_from<S: Service>(
    mut listener: impl Accept,
    local: SocketAddr,
    service: S,
    settings: Settings,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()>,
) -> DrainReport {
    let mut server = Server {
        service,
        settings,
        acceptor: tls.as_ref().map(Tls::acceptor),
        local: canonical(local),
        clock: CoarseClock::start(),
        tasks: JoinSet::new(),
        connections: HashMap::new(),
        refused: 0,
    };
    let mut sweep = interval(settings.sweep_interval());
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pause = Pause::default();
    let reload = async {
        match &tls {
            Some(tls) => tls.watch().await,
            None => pending().await,
        }
    };
    tokio::pin!(shutdown, reload);
    loop {
        listener.count(server.connections.len());
        tokio::select! {
            () = &mut shutdown => break,
            never = &mut reload => match never {},
            Some(ended) = server.tasks.join_next_with_id() => {
                server.forget(ended);
            }
            _ = sweep.tick() => server.sweep(),
            accepted = poll_fn(|cx| listener.poll_accept(cx)), if !pause.is_on() => match accepted {
                Ok((socket, peer)) => {
                    pause.reset();
                    server.admit(socket, peer);
                }
                Err(error) => pause.after(&error),
            },
            () = pause.over(), if pause.is_on() => pause.end(),
        }
    }
    drop(listener);
    server.drain(sweep).await
}

struct Server<S> {
    service: S,
    settings: Settings,
    acceptor: Option<TlsAcceptor>,
    local: SocketAddr,
    clock: CoarseClock,
    tasks: JoinSet<Result<(), Failure>>,
    connections: HashMap<Id, Arc<Liveness>>,
    /// Connections refused at the cap since the last sweep.
    refused: u64,
}

impl<S: Service> Server<S> {
    fn admit(&mut self, socket: TcpStream, peer: SocketAddr) {
        if self.tasks.len() >= self.settings.max_connections {
            self.refused += 1;
            return;
        }
        // Without it a response of several packets waits 40 ms for the client's delayed acknowledgement. It fails only
        // on a socket that is already gone, and then reading it will tell.
        let _ = socket.set_nodelay(true);
        let local = socket.local_addr().map_or(self.local, canonical);
        let connection = Connection { peer: canonical(peer), local, tls: self.acceptor.is_some() };
        let liveness = Arc::new(Liveness::new(self.clock.clone()));
        let (service, acceptor) = (self.service.clone(), self.acceptor.clone());
        let task = connection::run(socket, connection, service, self.settings, acceptor, liveness.clone());
        let task = self.tasks.spawn(async move {
            let ended = task.await;
            if let Err(failure) = &ended {
                tracing::debug!(peer = %connection.peer, %failure, "connection ended");
            }
            ended
        });
        self.connections.insert(task.id(), liveness);
    }

    /// Says whether the connection finished: it was not cut with an answer outstanding, and did not panic.
    fn forget(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) -> bool {
        let (id, finished) = match &ended {
            Ok((id, ended)) => (*id, !matches!(ended, Err(Failure::Overstayed { owing: true }))),
            Err(error) => (error.id(), false),
        };
        if ended.is_err_and(|error| error.is_panic()) {
            tracing::error!("a connection panicked and was closed");
        }
        self.connections.remove(&id);
        finished
    }

    /// Ends the connections that overstayed.
    fn sweep(&mut self) {
        self.clock.refresh();
        for liveness in self.connections.values() {
            if let Some(overstay) = liveness.judge(&self.settings) {
                tracing::debug!(?overstay, "connection told to end");
            }
        }
        if self.refused > 0 {
            let (refused, limit) = (self.refused, self.settings.max_connections);
            tracing::warn!(refused, limit, "connections refused: the limit of open connections is reached");
            self.refused = 0;
        }
    }

    async fn drain(mut self, mut sweep: tokio::time::Interval) -> DrainReport {
        let mut report = DrainReport::default();
        for liveness in self.connections.values() {
            liveness.give(Order::Drain);
        }
        let deadline = sleep(self.settings.drain);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(ended) => match self.forget(ended) {
                        true => report.finished += 1,
                        false => report.cut += 1,
                    },
                    None => return report,
                },
                _ = sweep.tick() => self.sweep(),
                () = &mut deadline => break,
            }
        }
        let owing = self.connections.values().filter(|liveness| liveness.is_owing()).count();
        report.cut += owing;
        report.finished += self.connections.len() - owing;
        self.tasks.shutdown().await;
        report
    }
}

/// A pause in accepting, after an error that the next attempt would meet again: out of file descriptors or memory.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    length: Duration,
}

impl Pause {
    fn after(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
            // The one connection is gone; the next is fine.
            return;
        }
        self.length = (self.length * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.until = Some(Instant::now() + self.length);
        tracing::warn!(%error, pause = ?self.length, "cannot accept connections");
    }

    fn is_on(&self) -> bool {
        self.until.is_some()
    }

    async fn over(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    }

    fn end(&mut self) {
        self.until = None;
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// An IPv4 address as such, also where an IPv6 socket took the connection.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
