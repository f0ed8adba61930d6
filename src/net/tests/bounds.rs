//! Clients that are silent, slow, too many or hostile.

use std::collections::VecDeque;
use std::io;
use std::task::Context;

use super::*;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(600);

/// Settings under which only the time-out set by the test can end a connection.
fn patient() -> Settings {
    Settings {
        first_byte: LONG,
        tls_handshake: LONG,
        header_read: LONG,
        idle: LONG,
        stall: LONG,
        ping_interval: LONG,
        ping_timeout: LONG,
        drain: LONG,
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = Running::start(Settings { first_byte: SHORT, ..patient() }).await;
    assert_eq!(rest(&mut server.connect().await).await, b"");
}

#[tokio::test]
async fn half_a_preface_is_closed() {
    let server = Running::start(Settings { header_read: SHORT, ..patient() }).await;
    let mut socket = server.connect().await;
    socket.write_all(b"PRI * HTTP/2").await.expect("an open connection");
    assert_eq!(rest(&mut socket).await, b"");
}

#[tokio::test]
async fn half_a_head_is_closed_however_it_trickles() {
    let server = Running::start(Settings { header_read: SHORT, ..patient() }).await;
    for served_before in [false, true] {
        let mut socket = server.connect().await;
        if served_before {
            assert_eq!(http1(&mut socket, "/").await.0, 200);
        }
        socket.write_all(b"GET / HTTP/1.1\r\nhost: te").await.expect("an open connection");
        soon(async {
            while socket.write_all(b"e").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_kept_alive_connection_outlives_the_time_for_heads() {
    let server = Running::start(Settings { header_read: SHORT, ..patient() }).await;
    let mut socket = server.connect().await;
    assert_eq!(http1(&mut socket, "/").await.0, 200);
    tokio::time::sleep(SHORT * 4).await;
    assert_eq!(http1(&mut socket, "/").await.0, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    for settings in ways() {
        let (coalesce_writes, inline_streams) = (settings.coalesce_writes, settings.inline_streams);
        let settings = Settings { idle: SHORT, coalesce_writes, inline_streams, ..patient() };
        let server = Running::start(settings).await;
        let mut socket = server.connect().await;
        assert_eq!(http1(&mut socket, "/").await.0, 200);
        assert_eq!(rest(&mut socket).await, b"");

        let client = server.http2().await;
        assert_eq!(client.get("/").await.expect("an answer").0, StatusCode::OK);
        // The client keeps its handle, so that the end is the server's doing.
        let handle = client.requests.clone();
        assert!(client.ended().await.is_ok(), "closed by a GOAWAY without an error");
        drop(handle);
    }
}

#[tokio::test]
async fn a_request_in_flight_is_not_idle() {
    let server = Running::start(Settings { idle: SHORT, ..patient() }).await;
    let client = server.http2().await;
    let (response, _body) = client.send("/wait").await.expect("an open connection");
    let (ticks, _body) = client.send("/ticks").await.expect("an open connection");
    let mut socket = server.connect().await;
    socket.write_all(b"GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
    server.entered(3).await;
    tokio::time::sleep(SHORT * 4).await;
    server.stage.gate.add_permits(3);
    assert_eq!(soon(response).await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(soon(ticks).await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(http1_response(&mut socket).await.0, 200);
}

#[tokio::test]
async fn a_dead_http2_peer_is_found_by_ping() {
    let server = Running::start(Settings { ping_interval: SHORT, ping_timeout: SHORT, ..patient() }).await;
    let mut socket = server.connect().await;
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("an open connection");
    let received = rest(&mut socket).await;
    assert!(received.windows(5).any(|window| window == [0, 0, 8, 6, 0]), "a PING was sent");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    for settings in ways() {
        let (coalesce_writes, inline_streams) = (settings.coalesce_writes, settings.inline_streams);
        let server = Running::start(Settings { stall: SHORT, coalesce_writes, inline_streams, ..patient() }).await;

        let mut deaf = server.connect().await;
        deaf.write_all(b"GET /endless HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
        server.entered(1).await;
        until(|| server.stage.left.load(SeqCst) >= 1).await;

        // It answers pings and reads frames, but never opens the window of its stream.
        let client = server.http2().await;
        let (response, _body) = client.send("/endless").await.expect("an open connection");
        let mut body = soon(response).await.expect("an answer").into_body();
        // The body is kept unread until the connection is gone.
        let _ = client.ended().await;
        until(|| server.stage.left.load(SeqCst) >= 2).await;
        soon(async { while body.data().await.is_some_and(|data| data.is_ok()) {} }).await;
    }
}

#[tokio::test]
async fn a_client_that_asks_on_and_never_reads_is_cut() {
    for settings in ways() {
        let (coalesce_writes, inline_streams) = (settings.coalesce_writes, settings.inline_streams);
        let server = Running::start(Settings { stall: SHORT, coalesce_writes, inline_streams, ..patient() }).await;
        let mut deaf = server.connect().await;
        let requests = "GET / HTTP/1.1\r\nhost: test\r\n\r\n".repeat(1000);
        soon(async { while deaf.write_all(requests.as_bytes()).await.is_ok() {} }).await;
    }
}

#[tokio::test]
async fn a_slow_client_that_takes_something_is_left_alone() {
    for settings in ways() {
        let (coalesce_writes, inline_streams) = (settings.coalesce_writes, settings.inline_streams);
        let stall = Duration::from_secs(2);
        let server = Running::start(Settings { stall, coalesce_writes, inline_streams, ..patient() }).await;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(16_384);
        let client = Http2::with(builder, server.connect().await).await;
        let (response, _body) = client.send("/endless").await.expect("an open connection");
        let mut body = soon(response).await.expect("an answer").into_body();
        for _ in 0..25 {
            let data = soon(body.data()).await.expect("more").expect("an open stream");
            tokio::time::sleep(stall / 20).await;
            body.flow_control().release_capacity(data.len()).expect("what was received");
        }
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let server = Running::start(Settings { max_connections: 2, ..patient() }).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(http1(&mut first, "/").await.0, 200);
    assert_eq!(http1(&mut second, "/").await.0, 200);
    assert_eq!(rest(&mut server.connect().await).await, b"");
    assert_eq!(http1(&mut first, "/").await.0, 200, "the others do not notice");
    drop(first);
    soon(async {
        loop {
            let mut third = server.connect().await;
            // What is closed at once may be closed before it is written to.
            let _ = third.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
            if rest(&mut third).await.starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_large_head_is_431_over_both_protocols() {
    for settings in ways() {
        let server = Running::start(settings).await;
        for (bytes, status) in [(14 * 1024, 200), (17 * 1024, 431), (64 * 1024, 431), (600 * 1024, 431)] {
            let value = "v".repeat(bytes);
            let mut socket = server.connect().await;
            let request = format!("GET / HTTP/1.1\r\nhost: test\r\nx-large: {value}\r\n\r\n");
            // The server may answer before it has read all, and a client must be able to read that answer.
            let (mut reader, mut writer) = socket.split();
            let (_, answer) = tokio::join!(writer.write_all(request.as_bytes()), http1_response(&mut reader));
            assert_eq!(answer.0, status, "HTTP/1.1, {bytes} bytes");
        }
        for (bytes, status) in [(14 * 1024, 200), (17 * 1024, 431), (30 * 1024, 431)] {
            let client = server.http2().await;
            let mut requests = soon(client.requests.clone().ready()).await.expect("an open connection");
            let mut request = request("/");
            let value = "v".repeat(bytes).try_into().expect("a header value");
            request.headers_mut().insert("x-large", value);
            let (response, _) = requests.send_request(request, true).expect("an open connection");
            assert_eq!(soon(response).await.expect("an answer").status().as_u16(), status, "HTTP/2, {bytes} bytes");
            assert_eq!(client.get("/").await.expect("an answer").0, StatusCode::OK, "the connection goes on");
        }
    }
}

#[tokio::test]
async fn an_early_answer_is_not_overtaken_by_a_reset() {
    let server = Running::start(Settings::default()).await;
    let mut socket = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: test\r\nx-large: {}", "v".repeat(20 * 1024));
    socket.write_all(head.as_bytes()).await.expect("an open connection");
    assert_eq!(http1_response(&mut socket).await.0, 431);
    // The client is still busy sending. Had the server closed its socket, the first of these would be answered by a
    // reset and the second fail.
    for _ in 0..2 {
        socket.write_all(&[b'v'; 1024]).await.expect("still taken");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    socket.write_all(b"v").await.expect("still taken");
    assert_eq!(rest(&mut socket).await, b"");
}

#[tokio::test]
async fn many_small_headers_are_431() {
    let server = Running::start(Settings::default()).await;
    for (count, status) in [(90, 200), (150, 431)] {
        let headers: String = (0..count).map(|index| format!("x-{index}: v\r\n")).collect();
        let mut socket = server.connect().await;
        let request = format!("GET / HTTP/1.1\r\nhost: test\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).await.expect("an open connection");
        assert_eq!(http1_response(&mut socket).await.0, status, "{count} headers");
    }
}

#[tokio::test]
async fn an_endless_line_of_nothing_is_refused() {
    let server = Running::start(Settings::default()).await;
    let mut socket = server.connect().await;
    socket.write_all(&[b'A'; 100 * 1024]).await.expect("buffered by the system");
    let answer = http1_response(&mut socket).await.0;
    assert!((400..500).contains(&answer), "{answer}");
}

#[tokio::test]
async fn no_more_streams_than_announced_run_at_once() {
    for settings in ways() {
        let server = Running::start(Settings { max_concurrent_streams: 5, ..settings }).await;
        let client = server.http2().await;
        // A first answer makes sure that the client has seen the limit.
        assert_eq!(client.get("/").await.expect("an answer").0, StatusCode::OK);
        let client = Arc::new(client);
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.get("/wait").await })
            })
            .collect();
        server.entered(1 + 5).await;
        tokio::time::sleep(SHORT).await;
        assert_eq!(server.stage.entered.load(SeqCst), 1 + 5);
        server.stage.gate.add_permits(8);
        for answer in waiting {
            assert!(soon(answer).await.expect("no panic").is_ok(), "{settings:?}");
        }
    }
}

/// Frames written by hand, for what a proper client would not do.
mod frames {
    pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// HEADERS of `GET /` with END_STREAM and END_HEADERS. The fields are from the static table (RFC 7541 appendix A):
    /// `:method GET`, `:scheme http`, `:path /`, and `:authority` with a value of its own.
    pub(super) fn get(stream: u32) -> Vec<u8> {
        let fields = b"\x82\x86\x84\x01\x04test";
        let mut frame = vec![0, 0, fields.len() as u8, 1, 0x5];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(fields);
        frame
    }

    /// RST_STREAM, CANCEL.
    pub(super) fn cancel(stream: u32) -> Vec<u8> {
        let mut frame = vec![0, 0, 4, 3, 0];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(&8_u32.to_be_bytes());
        frame
    }

    /// The error code of the GOAWAY among the frames received.
    pub(super) fn goaway(mut received: &[u8]) -> Option<u32> {
        while let [high, middle, low, kind, _, _, _, _, _, rest @ ..] = received {
            let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
            let (payload, next) = rest.split_at_checked(length)?;
            if *kind == 7 {
                return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?));
            }
            received = next;
        }
        None
    }
}

#[tokio::test]
async fn a_rapid_reset_attack_ends_its_connection() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    // The limit is 100. h2 by itself would stop at 20, or, when it is told to bear it, only at other limits of its own.
    for (streams, end) in [(60, None), (150, Some(ENHANCE_YOUR_CALM)), (2000, Some(ENHANCE_YOUR_CALM))] {
        for settings in ways() {
            let server = Running::start(settings).await;
            let mut socket = server.connect().await;
            let mut attack = frames::PREFACE.to_vec();
            for stream in 0..streams {
                attack.extend(frames::get(stream * 2 + 1));
                attack.extend(frames::cancel(stream * 2 + 1));
            }
            let (mut reader, mut writer) = socket.split();
            let sent = async {
                // The server may have ended it before all is sent.
                let _ = writer.write_all(&attack).await;
                let _ = writer.shutdown().await;
            };
            let ((), received) = tokio::join!(sent, rest(&mut reader));
            assert_eq!(frames::goaway(&received), end, "{streams} streams, {settings:?}");
            assert_eq!(http1(&mut server.connect().await, "/").await.0, 200, "the server goes on");
        }
    }
}

#[tokio::test]
async fn hand_made_frames_are_answered() {
    let server = Running::start(Settings::default()).await;
    let mut socket = server.connect().await;
    socket.write_all(&[frames::PREFACE, &frames::get(1)].concat()).await.expect("an open connection");
    server.entered(1).await;
    drop(socket);
}

#[tokio::test]
async fn an_honest_client_may_cancel_much() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        for round in 0..20 {
            let cancelled = stream::iter(0..30).then(|_| client.send("/wait")).collect::<Vec<_>>().await;
            drop(cancelled);
            let answer = client.get("/").await;
            assert_eq!(answer.expect("the connection goes on").0, StatusCode::OK, "{settings:?}, round {round}");
        }
    }
}

#[tokio::test]
async fn small_frames_of_a_long_upload_are_not_taken_for_an_attack() {
    let server = Running::start(Settings::default()).await;
    let client = server.http2().await;
    let (response, mut body) = client.send("/echo").await.expect("an open connection");
    let mut echo = soon(response).await.expect("an answer").into_body();
    for _ in 0..3000 {
        body.send_data(Bytes::from_static(b"tiny"), false).expect("an open stream");
        let mut left = 4;
        while left > 0 {
            let data = soon(echo.data()).await.expect("an echo").expect("an open stream");
            echo.flow_control().release_capacity(data.len()).expect("what was received");
            left -= data.len();
        }
    }
}

/// A listener that first has nothing but errors.
struct Failing {
    errors: VecDeque<i32>,
    listener: Listener,
}

impl Accept for Failing {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        match self.errors.pop_front() {
            Some(error) => Poll::Ready(Err(io::Error::from_raw_os_error(error))),
            None => self.listener.poll_accept(cx),
        }
    }
}

#[tokio::test]
async fn errors_of_accepting_do_not_end_the_server() {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ECONNABORTED: i32 = 103;
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr();
    let errors = VecDeque::from([EMFILE, ENFILE, ECONNABORTED, ENOBUFS, EMFILE, EMFILE]);
    let server = Running::start_from(Failing { errors, listener }, address, patient(), None);
    assert_eq!(http1(&mut server.connect().await, "/").await.0, 200);
}

#[tokio::test]
async fn a_pause_in_accepting_does_not_delay_a_shutdown() {
    const EMFILE: i32 = 24;
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr();
    let errors = VecDeque::from([EMFILE; 10_000]);
    let server = Running::start_from(Failing { errors, listener }, address, patient(), None);
    tokio::time::sleep(SHORT).await;
    assert_eq!(server.stop().await, DrainReport::default());
}
