//! Every bound of the network layer, with the value used when nobody says otherwise.

use std::time::Duration;

/// The bounds of a server. All have defaults; every one is enforced for HTTP/1.1 and HTTP/2, with and without TLS,
/// unless its text says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a new connection may stay silent. Counted again after a TLS handshake. Default 10 s.
    pub first_byte: Duration,
    /// How long a TLS handshake may take. Default 10 s.
    pub tls_handshake: Duration,
    /// How long the head of an HTTP/1 request, or the HTTP/2 preface, may take from its first byte on. Default 30 s.
    pub header_read: Duration,
    /// How long a connection may hold no request before it is closed: at once over HTTP/1, by GOAWAY over HTTP/2.
    ///
    /// Default 75 s: longer than the 60 s for which common load balancers keep an upstream connection, so that the
    /// balancer closes first and never sends a request into a closing connection.
    pub idle: Duration,
    /// How long a client may take no byte of what it asked for before its connection is cut. Default 30 s.
    ///
    /// Over HTTP/2 it counts only while no response of the connection moves, so that one slow reader of several is
    /// left alone; the buffers it holds are bounded either way.
    pub stall: Duration,
    /// How often an HTTP/2 peer is sent a PING. Default 20 s.
    pub ping_interval: Duration,
    /// How long an HTTP/2 peer may take to answer a PING before its connection is closed. Default 20 s.
    pub ping_timeout: Duration,
    /// Connections held at one time. One more is closed as soon as it is accepted, so that its client learns at once
    /// and may go elsewhere, instead of waiting unseen in the listen queue. Default 10,000.
    pub max_connections: usize,
    /// Requests in flight on one HTTP/2 connection (SETTINGS_MAX_CONCURRENT_STREAMS). Default 200.
    pub max_concurrent_streams: u32,
    /// Bytes in the head of a request, request line and all; more is answered 431. HTTP/2 counts the uncompressed
    /// fields, each with 32 bytes on top (RFC 9113 6.5.2). At least 8 KiB. Default 16 KiB.
    pub max_header_bytes: u32,
    /// Streams a peer may have reset before we took them up; one more ends the connection with ENHANCE_YOUR_CALM
    /// (the rapid reset attack, CVE-2023-44487). Default 100: honest clients that cancel much reach h2's own 20.
    pub max_pending_resets: usize,
    /// Streams we may have reset for the peer's errors before the connection ends (RUSTSEC-2024-0003). Default 1,024.
    pub max_error_resets: usize,
    /// How long a drain waits for requests in flight before it cuts what is left. Default 30 s.
    pub drain: Duration,
    /// Gather what one poll of a connection writes into one system call. Default on.
    pub coalesce_writes: bool,
    /// Run the streams of an HTTP/2 connection inside its own task instead of one task each. Default on.
    pub inline_streams: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(10),
            tls_handshake: Duration::from_secs(10),
            header_read: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(30),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            max_connections: 10_000,
            max_concurrent_streams: 200,
            max_header_bytes: 16 * 1024,
            max_pending_resets: 100,
            max_error_resets: 1024,
            drain: Duration::from_secs(30),
            coalesce_writes: true,
            inline_streams: true,
        }
    }
}

impl Settings {
    /// How often connections are looked over: a quarter of the shortest time-out, so that each is met to within that,
    /// and never more than once in 10 ms nor less than once a second.
    pub(super) fn sweep_interval(&self) -> Duration {
        let shortest = self.header_read.min(self.idle).min(self.stall);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}
