//! The socket that connections come from.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A bound port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    open: Open,
}

/// How many connections are open, for whoever wants to look.
#[derive(Clone, Debug, Default)]
pub struct Open(Arc<AtomicUsize>);

impl Open {
    /// The connections open now.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes note of how many there are.
    pub(super) fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}

impl Listener {
    /// Binds `address`; port 0 takes a free one, see [`Listener::local_addr`]. The port may be bound again as soon as
    /// this one is closed (SO_REUSEADDR), and `[::]` takes IPv4 connections too where the system is set up so.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, open: Open::default() })
    }

    /// The address bound, with the port taken where 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// How many connections are open, once it is served.
    pub fn open(&self) -> Open {
        self.open.clone()
    }
}

/// A source of connections: a [`Listener`], or a test's that fails.
pub(super) trait Accept: Send + 'static {
    /// The next connection and its peer.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>>;

    /// Takes note of how many connections are open.
    fn count(&self, _open: usize) {}
}

impl Accept for Listener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.socket.poll_accept(cx)
    }

    fn count(&self, open: usize) {
        self.open.set(open);
    }
}

/// Connections that may wait to be accepted; the system caps it (net.core.somaxconn).
const BACKLOG: u32 = 4096;
