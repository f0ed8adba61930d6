//! Real sockets against a running server.

mod bounds;
mod drain;
mod http;
mod tls;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use h2::client::SendRequest;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, coop};
use tokio::time::timeout;

use super::listener::Accept;
use super::serve::serve_from;
use super::{Connection, DrainReport, Listener, Settings, Tls};

/// A server under test and what its handlers wait for.
struct Running {
    address: SocketAddr,
    stage: Arc<Stage>,
    stop: oneshot::Sender<()>,
    report: JoinHandle<DrainReport>,
}

/// What the handlers share with the test.
struct Stage {
    /// Handlers entered.
    entered: AtomicUsize,
    /// Handlers entered and dropped again.
    left: AtomicUsize,
    /// `/wait` takes a permit, `/ticks` one for each tick.
    gate: Semaphore,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr();
        Self::start_from(listener, address, settings, None)
    }

    async fn start_tls(settings: Settings, tls: Tls) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr();
        Self::start_from(listener, address, settings, Some(tls))
    }

    fn start_from(listener: impl Accept, address: SocketAddr, settings: Settings, tls: Option<Tls>) -> Self {
        let stage =
            Arc::new(Stage { entered: AtomicUsize::new(0), left: AtomicUsize::new(0), gate: Semaphore::new(0) });
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = stage.clone();
        let service = move |connection, request| handle(shared.clone(), connection, request);
        let stopped = async { drop(stopped.await) };
        let report = tokio::spawn(serve_from(listener, address, service, settings, tls, stopped));
        Self { address, stage, stop, report }
    }

    async fn connect(&self) -> TcpStream {
        let socket = soon(TcpStream::connect(self.address)).await.expect("the server accepts");
        socket.set_nodelay(true).expect("an open connection");
        socket
    }

    async fn http2(&self) -> Http2 {
        Http2::over(self.connect().await).await
    }

    async fn entered(&self, handlers: usize) {
        until(|| self.stage.entered.load(SeqCst) >= handlers).await;
    }

    async fn stop(self) -> DrainReport {
        self.stop.send(()).expect("the server runs");
        soon(self.report).await.expect("the server does not panic")
    }
}

/// The settings that every way of serving has to pass with: plain hyper, each of the two additions, both.
fn ways() -> impl Iterator<Item = Settings> {
    [(false, false), (true, false), (false, true), (true, true)]
        .into_iter()
        .map(|(coalesce_writes, inline_streams)| Settings { coalesce_writes, inline_streams, ..Settings::default() })
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn handle(stage: Arc<Stage>, connection: Connection, request: Request<Incoming>) -> Response<Body> {
    stage.entered.fetch_add(1, SeqCst);
    let left = CountDrop(stage.clone());
    let body = match request.uri().path() {
        "/" => text("hello"),
        "/connection" => text(format!("{connection:?}")),
        "/echo" => {
            let frames = request.into_body().into_data_stream().filter_map(|data| async { data.ok() });
            StreamBody::new(frames.map(|data| Ok(Frame::data(data)))).boxed_unsync()
        }
        "/big" => {
            let frames = stream::iter(pattern().chunks(10_000).map(Bytes::copy_from_slice).collect::<Vec<_>>());
            StreamBody::new(frames.map(|data| Ok(Frame::data(data)))).boxed_unsync()
        }
        "/endless" => {
            let frames = stream::repeat(Bytes::from_static(&[7; 16 * 1024]));
            let frames = frames.map(move |data| {
                let _kept_with_the_body = &left;
                Ok(Frame::data(data))
            });
            return Response::new(StreamBody::new(frames).boxed_unsync());
        }
        "/wait" => {
            stage.gate.acquire().await.expect("never closed").forget();
            text("waited")
        }
        "/ticks" => {
            let ticks = stream::unfold((stage.clone(), left), |(stage, left)| async {
                stage.gate.acquire().await.expect("never closed").forget();
                Some((Ok(Frame::data(Bytes::from_static(b"tick"))), (stage, left)))
            });
            return Response::new(StreamBody::new(ticks).boxed_unsync());
        }
        "/busy" => {
            while stage.gate.available_permits() == 0 {
                tokio::task::yield_now().await;
            }
            text("busy no more")
        }
        "/greedy" => {
            // Uses up all that tokio grants its task in one turn, in every turn.
            while stage.gate.available_permits() == 0 {
                while coop::has_budget_remaining() {
                    coop::consume_budget().await;
                }
                let mut yielded = false;
                poll_fn(|cx| match std::mem::replace(&mut yielded, true) {
                    true => Poll::Ready(()),
                    false => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                })
                .await;
            }
            text("satisfied")
        }
        "/panic" => panic!("on purpose"),
        "/panic-late" => {
            let frames =
                stream::once(async { Ok(Frame::data(Bytes::from_static(b"so far"))) }).chain(stream::once(async {
                    tokio::task::yield_now().await;
                    panic!("on purpose, in a body")
                }));
            StreamBody::new(frames).boxed_unsync()
        }
        other => {
            let mut response = Response::new(text(format!("{} {other}", request.method())));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
    };
    Response::new(body)
}

struct CountDrop(Arc<Stage>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, SeqCst);
    }
}

fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

/// 3 MiB in which every position can be told from its neighbours.
fn pattern() -> Vec<u8> {
    (0..3 * 1024 * 1024_u32).map(|index| (index % 251) as u8).collect()
}

/// An HTTP/2 client that shows frames and flow control.
struct Http2 {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    async fn over(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::with(h2::client::Builder::new(), socket).await
    }

    async fn with(builder: h2::client::Builder, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (requests, connection) = soon(builder.handshake(socket)).await.expect("a preface");
        Self { requests, connection: tokio::spawn(connection) }
    }

    async fn send(&self, path: &str) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let mut requests = soon(self.requests.clone().ready()).await?;
        requests.send_request(request(path), false)
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>), h2::Error> {
        let (response, mut body) = self.send(path).await?;
        body.send_data(Bytes::new(), true)?;
        receive(soon(response).await?).await
    }

    /// How the connection ended.
    async fn ended(self) -> Result<(), h2::Error> {
        drop(self.requests);
        soon(self.connection).await.expect("no panic")
    }
}

fn request(path: &str) -> Request<()> {
    Request::get(format!("http://test{path}")).body(()).expect("a path")
}

async fn receive(response: Response<h2::RecvStream>) -> Result<(StatusCode, Vec<u8>), h2::Error> {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = soon(body.data()).await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok((head.status, bytes))
}

/// Sends one HTTP/1.1 request and reads one response with a Content-Length.
async fn http1(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    soon(socket.write_all(request.as_bytes())).await.expect("an open connection");
    http1_response(socket).await
}

async fn http1_response(socket: &mut (impl AsyncRead + Unpin)) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(socket.read_u8()).await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    let length = head.split("content-length: ").nth(1).map_or("0", |rest| rest.split("\r\n").next().expect("a line"));
    let mut body = vec![0; length.parse().expect("a number")];
    soon(socket.read_exact(&mut body)).await.expect("a body");
    (status, String::from_utf8(body).expect("text"))
}

/// Reads to the end, which an abrupt end is too.
async fn rest(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = soon(socket.read_to_end(&mut bytes)).await;
    bytes
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// What a test waits for comes within this time even on a busy machine, or not at all.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("it happens in time")
}
