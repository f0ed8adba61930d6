//! What is served, over both protocols and in every way of serving.

use super::*;

#[tokio::test]
async fn both_protocols_are_answered_on_one_port() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let mut socket = server.connect().await;
        for _ in 0..3 {
            assert_eq!(http1(&mut socket, "/").await, (200, "hello".to_owned()), "{settings:?}");
        }
        let client = server.http2().await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.expect("an answer"), (StatusCode::OK, b"hello".to_vec()), "{settings:?}");
        }
        assert_eq!(server.stage.entered.load(SeqCst), 6);
    }
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let answers = stream::iter(0..2000).map(|_| client.get("/")).buffer_unordered(150).collect::<Vec<_>>().await;
        assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|(_, body)| body == b"hello")), "{settings:?}");
    }
}

#[tokio::test]
async fn a_protocol_is_recognized_however_its_bytes_are_cut() {
    let server = Running::start(Settings::default()).await;
    let mut socket = server.connect().await;
    for byte in b"GET / HTTP/1.1\r\nhost: test\r\n\r\n" {
        socket.write_all(&[*byte]).await.expect("an open connection");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(http1_response(&mut socket).await.0, 200);

    let mut socket = server.connect().await;
    // The preface, an empty SETTINGS frame, and nothing that may come before the server's own SETTINGS (type 4).
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        socket.write_all(&[*byte]).await.expect("an open connection");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut frame = [0; 9];
    soon(socket.read_exact(&mut frame)).await.expect("a frame");
    assert_eq!(frame[3], 4);

    let mut socket = server.connect().await;
    socket.write_all(b"PRI * HTTP/1.1\r\n\r\n").await.expect("an open connection");
    assert_eq!(http1_response(&mut socket).await, (404, "PRI *".to_owned()), "not the preface, so HTTP/1");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let mut socket = server.connect().await;
        let requests = "GET / HTTP/1.1\r\nhost: test\r\n\r\nGET /connection HTTP/1.1\r\nhost: test\r\n\r\n".repeat(20);
        socket.write_all(requests.as_bytes()).await.expect("an open connection");
        for _ in 0..20 {
            assert_eq!(http1_response(&mut socket).await.1, "hello");
            assert!(http1_response(&mut socket).await.1.starts_with("Connection"));
        }
    }
}

#[tokio::test]
async fn a_request_knows_its_connection() {
    let server = Running::start(Settings::default()).await;
    let mut socket = server.connect().await;
    let expected = Connection {
        peer: socket.local_addr().expect("a connected socket"),
        local: socket.peer_addr().expect("a connected socket"),
        tls: false,
    };
    assert_eq!(http1(&mut socket, "/connection").await.1, format!("{expected:?}"));
}

#[tokio::test]
async fn an_ipv4_peer_of_an_ipv6_socket_is_ipv4() {
    let Ok(listener) = Listener::bind("[::]:0".parse().expect("an address")) else {
        // A machine without IPv6 has no such peers.
        return;
    };
    let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().port()));
    let server = Running::start_from(listener, address, Settings::default(), None);
    let mut socket = server.connect().await;
    let answer = http1(&mut socket, "/connection").await.1;
    assert!(answer.contains("peer: 127.0.0.1:") && answer.contains("local: 127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn a_large_body_arrives_whole_at_a_client_with_a_small_window() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(10_000).initial_connection_window_size(70_000);
        let client = Http2::with(builder, server.connect().await).await;
        let (_, body) = client.get("/big").await.expect("an answer");
        assert!(body == pattern(), "{settings:?}: {} bytes", body.len());
    }
}

#[tokio::test]
async fn large_bodies_flow_both_ways_at_once() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let (response, mut body) = client.send("/echo").await.expect("an open connection");
        let upload = async {
            for chunk in pattern().chunks(30_000) {
                let mut chunk = Bytes::copy_from_slice(chunk);
                while !chunk.is_empty() {
                    body.reserve_capacity(chunk.len());
                    let room = soon(std::future::poll_fn(|cx| body.poll_capacity(cx))).await;
                    let room = room.expect("an open stream").expect("room");
                    body.send_data(chunk.split_to(room.min(chunk.len())), false).expect("an open stream");
                }
            }
            body.send_data(Bytes::new(), true).expect("an open stream");
        };
        let download = async { receive(soon(response).await.expect("an answer")).await.expect("a body") };
        let ((), (_, echoed)) = tokio::join!(upload, download);
        assert!(echoed == pattern(), "{settings:?}: {} bytes", echoed.len());

        let mut socket = server.connect().await;
        let sent = pattern();
        let head =
            format!("POST /echo HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", sent.len());
        let (mut reader, mut writer) = socket.split();
        let upload = async {
            writer.write_all(head.as_bytes()).await.expect("an open connection");
            writer.write_all(&sent).await.expect("an open connection");
        };
        let ((), answer) = tokio::join!(upload, rest(&mut reader));
        assert!(unchunk(&answer) == sent, "{settings:?}: {} bytes", answer.len());
    }
}

fn unchunk(answer: &[u8]) -> Vec<u8> {
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let mut left = &answer[start..];
    let mut body = Vec::new();
    loop {
        let line = left.windows(2).position(|window| window == b"\r\n").expect("a chunk head");
        let length = std::str::from_utf8(&left[..line]).expect("text");
        let length = usize::from_str_radix(length, 16).expect("a hexadecimal number");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&left[line + 2..line + 2 + length]);
        left = &left[line + length + 4..];
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_to() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let mut socket = server.connect().await;
        let head = "POST /echo HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
        socket.write_all(head.as_bytes()).await.expect("an open connection");
        // The handler answers before it reads, so the answer's head may come first and then counts as the go-ahead.
        let mut received = [0; 12];
        soon(socket.read_exact(&mut received)).await.expect("a status line");
        assert!([b"HTTP/1.1 100", b"HTTP/1.1 200"].contains(&&received), "{settings:?}");
        socket.write_all(b"body").await.expect("an open connection");
        let mut rest = Vec::new();
        while !rest.ends_with(b"4\r\nbody\r\n0\r\n\r\n") {
            rest.push(soon(socket.read_u8()).await.expect("an echo"));
        }
    }
}

#[tokio::test]
async fn each_item_of_a_stream_arrives_when_it_is_made() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let (response, _body) = client.send("/ticks").await.expect("an open connection");
        let mut body = soon(response).await.expect("an answer").into_body();
        let mut socket = server.connect().await;
        socket.write_all(b"GET /ticks HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
        http1_response(&mut socket).await;
        for _ in 0..20 {
            server.stage.gate.add_permits(2);
            assert_eq!(soon(body.data()).await.expect("a tick").expect("a tick"), "tick", "{settings:?}");
            let mut chunk = [0; 9];
            soon(socket.read_exact(&mut chunk)).await.expect("a tick");
            assert_eq!(&chunk, b"4\r\ntick\r\n", "{settings:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_handlers() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let waiting = client.send("/wait").await.expect("an open connection");
        let ticking = client.send("/ticks").await.expect("an open connection");
        let mut socket = server.connect().await;
        socket.write_all(b"GET /wait HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
        server.entered(3).await;
        client.connection.abort();
        drop((socket, waiting, ticking));
        until(|| server.stage.left.load(SeqCst) == 3).await;
    }
}

#[tokio::test]
async fn a_cancelled_stream_ends_its_handler_alone() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let kept = client.send("/wait").await.expect("an open connection");
        let cancelled = client.send("/wait").await.expect("an open connection");
        server.entered(2).await;
        drop(cancelled);
        until(|| server.stage.left.load(SeqCst) == 1).await;
        server.stage.gate.add_permits(1);
        assert_eq!(soon(kept.0).await.expect("an answer").status(), StatusCode::OK, "{settings:?}");
    }
}

#[tokio::test]
async fn a_panic_ends_only_its_stream() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let waiting = client.send("/wait").await.expect("an open connection");
        server.entered(1).await;
        let panicked = client.get("/panic").await.expect_err("a reset");
        assert!(panicked.is_reset(), "{settings:?}: {panicked}");
        let panicked = client.get("/panic-late").await.expect_err("a reset");
        assert!(panicked.is_reset(), "{settings:?}: {panicked}");
        assert_eq!(client.get("/").await.expect("an answer").1, b"hello", "{settings:?}");
        server.stage.gate.add_permits(1);
        assert_eq!(soon(waiting.0).await.expect("an answer").status(), StatusCode::OK, "{settings:?}");

        // Over HTTP/1 there is one request at a time, and it takes its connection along, but nothing more.
        let mut socket = server.connect().await;
        socket.write_all(b"GET /panic HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("an open connection");
        assert_eq!(rest(&mut socket).await, b"", "{settings:?}");
        assert_eq!(http1(&mut server.connect().await, "/").await.0, 200, "{settings:?}");
    }
}

#[tokio::test]
async fn busy_streams_do_not_keep_a_connection_from_reading() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let paths = stream::iter((0..150).map(|index| if index % 10 == 0 { "/greedy" } else { "/busy" }));
        let busy = paths.then(|path| client.send(path)).collect::<Vec<_>>().await;
        server.entered(150).await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.expect("an answer").1, b"hello", "{settings:?}");
        }
        let mut socket = server.connect().await;
        assert_eq!(http1(&mut socket, "/").await.0, 200, "{settings:?}: another connection");
        server.stage.gate.add_permits(1);
        for sent in busy {
            let (response, _body) = sent.expect("an open connection");
            assert_eq!(soon(response).await.expect("an answer").status(), StatusCode::OK, "{settings:?}");
        }
    }
}

#[tokio::test]
async fn endless_streams_do_not_keep_a_connection_from_reading() {
    for settings in ways() {
        let server = Running::start(settings).await;
        let client = server.http2().await;
        let mut readers = Vec::new();
        for _ in 0..10 {
            let (response, _) = client.send("/endless").await.expect("an open connection");
            readers.push(tokio::spawn(async move {
                let mut body = response.await.expect("an answer").into_body();
                while let Some(Ok(data)) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.len());
                }
            }));
        }
        for _ in 0..5 {
            assert_eq!(client.get("/").await.expect("an answer").1, b"hello", "{settings:?}");
        }
        readers.iter().for_each(JoinHandle::abort);
    }
}
