//! How a server stops.

use tokio::net::TcpListener;

use super::*;
use crate::net::connection::{self, Failure};
use crate::net::liveness::{CoarseClock, Liveness, Order};

const SHORT: Duration = Duration::from_millis(300);

fn patient(settings: Settings) -> Settings {
    Settings { drain: Duration::from_secs(600), ..settings }
}

#[tokio::test]
async fn what_is_in_flight_is_finished() {
    for settings in ways() {
        let server = Running::start(patient(settings)).await;
        let client = server.http2().await;
        let (waiting, _body) = client.send("/wait").await.expect("an open connection");
        let (ticking, upload) = client.send("/ticks").await.expect("an open connection");
        let mut ticks = soon(ticking).await.expect("an answer").into_body();
        let mut socket = server.connect().await;
        socket.write_all(b"GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
        server.entered(3).await;

        let Running { address, stage, stop, report } = server;
        stop.send(()).expect("the server runs");
        soon(async { while TcpStream::connect(address).await.is_ok() {} }).await;
        assert!(!report.is_finished(), "it waits for what is in flight");

        stage.gate.add_permits(3);
        assert_eq!(soon(ticks.data()).await.expect("a tick").expect("a tick"), "tick", "{settings:?}");
        assert_eq!(receive(soon(waiting).await.expect("an answer")).await.expect("a body").1, b"waited");
        let mut head = [0; 15];
        soon(socket.read_exact(&mut head)).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        assert!(rest(&mut socket).await.ends_with(b"waited"), "{settings:?}: and then the connection closes");
        drop((ticks, upload));
        let report = soon(report).await.expect("no panic");
        assert_eq!(report, DrainReport { finished: 2, cut: 0 }, "{settings:?}");
        assert!(client.ended().await.is_ok(), "{settings:?}: closed by a GOAWAY without an error");
    }
}

#[tokio::test]
async fn a_draining_connection_takes_no_new_request() {
    for settings in ways() {
        let server = Running::start(patient(settings)).await;
        let client = server.http2().await;
        let (waiting, _body) = client.send("/wait").await.expect("an open connection");
        server.entered(1).await;
        server.stop.send(()).expect("the server runs");
        soon(async { while client.get("/").await.is_ok() {} }).await;
        server.stage.gate.add_permits(1);
        assert_eq!(soon(waiting).await.expect("an answer").status(), StatusCode::OK, "{settings:?}");
        assert_eq!(soon(server.report).await.expect("no panic"), DrainReport { finished: 1, cut: 0 });
    }
}

#[tokio::test]
async fn what_does_not_finish_is_cut_at_the_deadline() {
    for settings in ways() {
        let server = Running::start(Settings { drain: SHORT, ..settings }).await;
        let client = server.http2().await;
        let (ticking, _body) = client.send("/ticks").await.expect("an open connection");
        let mut ticks = soon(ticking).await.expect("an answer").into_body();
        let mut socket = server.connect().await;
        socket.write_all(b"GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
        server.entered(2).await;
        let stage = server.stage.clone();
        assert_eq!(server.stop().await, DrainReport { finished: 0, cut: 2 }, "{settings:?}");
        assert!(soon(ticks.data()).await.is_none_or(|data| data.is_err()), "{settings:?}");
        assert_eq!(rest(&mut socket).await, b"", "{settings:?}");
        until(|| stage.left.load(SeqCst) == 2).await;
    }
}

#[tokio::test]
async fn connections_without_a_request_do_not_hold_up_a_stop() {
    for settings in ways() {
        let server = Running::start(patient(settings)).await;
        let silent = server.connect().await;
        let mut half = server.connect().await;
        half.write_all(b"PRI * HTTP").await.expect("an open connection");
        let mut kept_alive = server.connect().await;
        assert_eq!(http1(&mut kept_alive, "/").await.0, 200);
        let client = server.http2().await;
        assert_eq!(client.get("/").await.expect("an answer").0, StatusCode::OK);
        assert_eq!(server.stop().await, DrainReport { finished: 4, cut: 0 }, "{settings:?}");
        drop((silent, half, kept_alive, client));
    }
}

#[tokio::test]
async fn a_peer_that_does_not_go_is_not_waited_for() {
    let server = Running::start(patient(Settings::default())).await;
    let mut mute = server.connect().await;
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("an open connection");
    mute.read_u8().await.expect("it is served");
    // It reads GOAWAY and PING and answers neither. It was owed nothing.
    assert_eq!(server.stop().await, DrainReport { finished: 1, cut: 0 });
}

#[tokio::test]
async fn an_idle_peer_that_does_not_go_by_the_deadline_is_no_work_that_was_cut() {
    let server = Running::start(Settings { drain: SHORT, ..Settings::default() }).await;
    let mut mute = server.connect().await;
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("an open connection");
    mute.read_u8().await.expect("it is served");
    let client = server.http2().await;
    let (_waiting, _body) = client.send("/wait").await.expect("an open connection");
    server.entered(1).await;
    assert_eq!(server.stop().await, DrainReport { finished: 1, cut: 1 });
}

/// The loop gives its orders from another thread, at any moment of a connection's poll.
#[tokio::test]
async fn an_order_given_while_the_connection_is_polled_is_obeyed() {
    for settings in ways() {
        for order in [Order::Drain, Order::Cut] {
            for version in ["1", "2"] {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
                let (socket, peer) = listener.accept().await.expect("a connection");
                let liveness = Arc::new(Liveness::new(CoarseClock::start()));
                let given = liveness.clone();
                let service = move |_, _| {
                    given.give(order);
                    async { Response::new(text("hello")) }
                };
                let connection = Connection { peer, local: peer, tls: false };
                let run = tokio::spawn(connection::run(socket, connection, service, settings, None, liveness));
                if version == "1" {
                    let request = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
                    client.write_all(request).await.expect("an open connection");
                    rest(&mut client).await;
                } else {
                    let client = Http2::over(client).await;
                    let _ = client.get("/").await;
                    let _ = client.ended().await;
                }
                let ended = soon(run).await.expect("no panic");
                let cut = matches!(ended, Err(Failure::Overstayed { .. }));
                assert_eq!(cut, order == Order::Cut, "{settings:?} {order:?} HTTP/{version}: {ended:?}");
            }
        }
    }
}
