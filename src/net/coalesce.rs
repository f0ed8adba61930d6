//! A connection's bytes in and out. Writes are gathered in a bounded buffer, and the owner of the connection sends the
//! buffer once per poll: HTTP/2 would else make one system call per DATA frame of 256 bytes and more.
//!
//! Both halves of the arrangement hold the same [`Wire`]: the HTTP protocol reads and writes through it, its owner calls
//! [`Wire::poll_send`] after each poll of the protocol.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::liveness::Liveness;

/// A handle to the bytes of one connection. All clones are the same connection, driven by one task.
#[derive(Debug)]
pub(super) struct Wire<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

impl<T> Clone for Wire<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

#[derive(Debug)]
struct Shared<T> {
    socket: T,
    liveness: Arc<Liveness>,
    /// Bytes read before the protocol was known; they come first.
    early: Bytes,
    coalesce: bool,
    unsent: Vec<u8>,
    /// Bytes went to the socket's own buffer (TLS) and have not been flushed out of it.
    unflushed: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    /// A wire over `socket`, of which `early` was already read. Without `coalesce` every write goes straight through.
    pub(super) fn new(socket: T, liveness: Arc<Liveness>, early: Bytes, coalesce: bool) -> Self {
        let shared = Shared { socket, liveness, early, coalesce, unsent: Vec::new(), unflushed: false };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Sends all that is gathered. Ready once the socket has it.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        let sent = shared.poll_send(cx);
        if sent.is_ready() && shared.unsent.capacity() > KEPT && shared.liveness.is_idle() {
            shared.unsent = Vec::new();
        }
        sent
    }

    fn shared(&self) -> MutexGuard<'_, Shared<T>> {
        // One task polls a connection, so the lock is free; it is poisoned only where that task panicked in the socket,
        // and then what follows is the closing of the connection.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Shared<T> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_empty(cx, 0)?;
        if !self.unsent.is_empty() {
            return Poll::Pending;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until no more than `left` bytes are unsent or the socket takes no more; which of them shows in the length.
    fn poll_empty(&mut self, cx: &mut Context<'_>, left: usize) -> io::Result<()> {
        let mut sent = 0;
        let outcome = loop {
            if self.unsent.len() - sent <= left {
                break Ok(());
            }
            match Pin::new(&mut self.socket).poll_write(cx, &self.unsent[sent..]) {
                Poll::Ready(Ok(0)) => break Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => break Err(error),
                Poll::Pending => break Ok(()),
            }
        };
        self.unflushed |= sent > 0;
        self.unsent.drain(..sent);
        outcome
    }

    /// How many bytes may be gathered now: not ready while the buffer is full and the socket takes nothing.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.unsent.len() >= LIMIT {
            self.poll_empty(cx, LIMIT / 2)?;
        }
        match LIMIT.saturating_sub(self.unsent.len()) {
            0 => Poll::Pending,
            room => Poll::Ready(Ok(room)),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        if !shared.early.is_empty() {
            let length = shared.early.len().min(buf.remaining());
            buf.put_slice(&shared.early[..length]);
            shared.early.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut shared.socket).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            shared.liveness.bytes_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.shared();
        if !shared.coalesce {
            return Pin::new(&mut shared.socket).poll_write_vectored(cx, slices);
        }
        let room = ready!(shared.poll_room(cx))?;
        let mut taken = 0;
        for slice in slices {
            let length = slice.len().min(room - taken);
            shared.unsent.extend_from_slice(&slice[..length]);
            taken += length;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        let shared = self.shared();
        shared.coalesce || shared.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        match shared.coalesce {
            // The owner sends after this poll; that it may take several is its business, not the protocol's.
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut shared.socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        ready!(shared.poll_send(cx))?;
        Pin::new(&mut shared.socket).poll_shutdown(cx)
    }
}

/// Bytes gathered at most; a protocol that wants to write more waits for the socket.
const LIMIT: usize = 64 * 1024;

/// Buffer kept by a connection with nothing to do. Ten thousand of them should not hold 64 KiB each.
const KEPT: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::net::liveness::CoarseClock;

    fn wire(socket: DuplexStream, early: &'static [u8], coalesce: bool) -> Wire<DuplexStream> {
        let liveness = Arc::new(Liveness::new(CoarseClock::start()));
        Wire::new(socket, liveness, Bytes::from_static(early), coalesce)
    }

    async fn send(wire: &Wire<DuplexStream>) -> io::Result<()> {
        poll_fn(|cx| wire.poll_send(cx)).await
    }

    #[tokio::test]
    async fn writes_are_held_until_sent_and_keep_their_order() {
        let (near, mut far) = duplex(1024);
        let mut wire = wire(near, b"", true);
        wire.write_all(b"one ").await.expect("room in the buffer");
        let slices = [IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(wire.write_vectored(&slices).await.expect("room in the buffer"), 9);
        wire.flush().await.expect("nothing to wait for");

        let mut received = vec![0; 13];
        let early = timeout(Duration::from_millis(20), far.read_exact(&mut received)).await;
        assert!(early.is_err(), "nothing goes out before it is sent");
        send(&wire).await.expect("an open pipe");
        far.read_exact(&mut received).await.expect("13 bytes");
        assert_eq!(received, b"one two three");
    }

    #[tokio::test]
    async fn a_full_buffer_waits_for_the_socket() {
        let (near, mut far) = duplex(1000);
        let mut wire = wire(near, b"", true);
        let bytes: Vec<u8> = (0..LIMIT * 3).map(|index| (index % 251) as u8).collect();

        let writer = async {
            wire.write_all(&bytes).await.expect("an open pipe");
            assert!(wire.shared().unsent.len() <= LIMIT);
            wire.shutdown().await.expect("an open pipe");
        };
        let reader = async {
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.expect("an open pipe");
            received
        };
        let ((), received) = tokio::join!(writer, reader);
        assert_eq!(received, bytes);
    }

    #[tokio::test]
    async fn a_full_buffer_and_a_stuck_socket_take_nothing_more() {
        let (near, _far) = duplex(10);
        let mut wire = wire(near, b"", true);
        let written = poll_fn(|cx| {
            let mut total = 0;
            while let Poll::Ready(written) = Pin::new(&mut wire).poll_write(cx, &[7; 10_000]) {
                total += written.expect("an open pipe");
            }
            Poll::Ready(total)
        })
        .await;
        assert_eq!(written, LIMIT + 10);
    }

    #[tokio::test]
    async fn without_coalescing_bytes_go_straight_through() {
        let (near, mut far) = duplex(1024);
        let mut wire = wire(near, b"", false);
        wire.write_all(b"now").await.expect("an open pipe");
        let mut received = [0; 3];
        far.read_exact(&mut received).await.expect("3 bytes");
        assert_eq!(&received, b"now");
    }

    #[tokio::test]
    async fn early_bytes_are_read_first() {
        let (near, mut far) = duplex(1024);
        let mut wire = wire(near, b"PRI", true);
        far.write_all(b" * HTTP").await.expect("an open pipe");
        let mut received = [0; 10];
        wire.read_exact(&mut received).await.expect("10 bytes");
        assert_eq!(&received, b"PRI * HTTP");
    }

    #[tokio::test]
    async fn a_closed_peer_is_an_error_to_the_sender() {
        let (near, far) = duplex(16);
        let mut wire = wire(near, b"", true);
        drop(far);
        wire.write_all(b"lost").await.expect("room in the buffer");
        assert!(send(&wire).await.is_err());
    }

    #[tokio::test]
    async fn an_idle_wire_keeps_no_large_buffer() {
        let (near, mut far) = duplex(LIMIT);
        let mut wire = wire(near, b"", true);
        wire.write_all(&[1; LIMIT / 2]).await.expect("room in the buffer");
        send(&wire).await.expect("an open pipe");
        assert!(wire.shared().unsent.capacity() <= KEPT);
        far.read_exact(&mut [0; LIMIT / 2]).await.expect("all of it");
    }
}
