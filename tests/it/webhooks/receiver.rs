//! A webhook's other end: a host on this machine that remembers what it was told and answers as the test says.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// It ends when it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    told: Mutex<Vec<Told>>,
    answers: Mutex<VecDeque<&'static str>>,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// No answer at all.
pub(crate) const SILENCE: &str = "";

impl Receiver {
    /// One that answers with these heads, and then with 204.
    pub(crate) async fn answering(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        shared.answers.lock().expect("nobody panics").extend(answers);
        let heard = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&heard)));
            }
        });
        Self { address, shared, task }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks?shop=1", self.address)
    }

    /// What it was told so far.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.shared.told.lock().expect("nobody panics").clone()
    }

    /// What it answers next.
    pub(crate) fn then(&self, answer: &'static str) {
        self.shared.answers.lock().expect("nobody panics").push_back(answer);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Told {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether one of its signatures is by this secret, in the words of the scheme's own library. It holds the time against the
    /// machine's, which is not that of these tests: what it would sign is compared.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let signer = standardwebhooks::Webhook::new(secret).expect("a secret");
        let sent = self.header("webhook-timestamp").parse().expect("seconds");
        let right = signer.sign(self.header("webhook-id"), sent, self.body.as_bytes()).expect("text");
        self.header("webhook-signature").split(' ').any(|one| one == right)
    }
}

async fn answer(mut socket: TcpStream, shared: Arc<Shared>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = socket.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let (line, rest) = head.split_once("\r\n").expect("lines");
    let mut headers = HeaderMap::new();
    for (name, value) in rest.lines().filter_map(|line| line.split_once(": ")) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
    }
    let length = headers["content-length"].to_str().expect("text").parse().expect("a length");
    let mut body = vec![0; length];
    if socket.read_exact(&mut body).await.is_err() {
        return;
    }
    let body = String::from_utf8(body).expect("a body is text");
    let next = shared.answers.lock().expect("nobody panics").pop_front();
    shared.told.lock().expect("nobody panics").push(Told { line: line.to_owned(), headers, body });
    let status = next.unwrap_or("204 No Content");
    if status == SILENCE {
        std::future::pending::<()>().await;
    }
    let _ = socket.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
}
