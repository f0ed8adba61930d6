//! Real hosts, good and bad, on this machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::*;

const HOST_NAME: &str = "keys.example";

/// A host that answers every request with the same bytes.
struct Host {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    heard: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    async fn start(tls: Option<TlsAcceptor>, answer: Vec<Vec<u8>>, pause: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let shared = (Arc::clone(&calls), Arc::clone(&heard));
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                shared.0.fetch_add(1, SeqCst);
                let (tls, answer, heard) = (tls.clone(), answer.clone(), Arc::clone(&shared.1));
                tokio::spawn(async move {
                    let mut stream: Box<dyn Stream> = match tls {
                        None => Box::new(socket),
                        Some(tls) => match tls.accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = stream.read_u8().await else { return };
                        head.push(byte);
                    }
                    *heard.lock().unwrap() = String::from_utf8(head).unwrap();
                    for part in answer {
                        if stream.write_all(&part).await.is_err() || stream.flush().await.is_err() {
                            return;
                        }
                        sleep(pause).await;
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, calls, heard, task }
    }

    async fn plain(answer: impl Into<Vec<u8>>) -> Self {
        Self::start(None, vec![answer.into()], Duration::ZERO).await
    }

    fn url(&self) -> String {
        format!("http://{}/keys?a=1", self.address)
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

/// Answers with each list of addresses in turn, and the last one from then on.
#[derive(Debug)]
struct Scripted {
    answers: Vec<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[SocketAddr]]) -> Arc<Self> {
        let answers = answers.iter().map(|addresses| addresses.to_vec()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
        let turn = self.asked.fetch_add(1, SeqCst).min(self.answers.len() - 1);
        Box::pin(async move { Ok(self.answers[turn].clone()) })
    }
}

fn local() -> FetchSettings {
    let private_networks = vec!["127.0.0.0/8".parse().unwrap()];
    FetchSettings { private_networks, connect: Duration::from_secs(1), ..FetchSettings::default() }
}

fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{head}\r\n{body}", body.len()).into_bytes()
}

const JSON: &str = "Content-Type: application/json\r\n";

fn identity(name: &str) -> (TlsAcceptor, RootCertStore) {
    let CertifiedKey { cert, signing_key }: CertifiedKey<KeyPair> =
        generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

#[tokio::test]
async fn a_document_is_fetched_over_https_by_its_name() {
    let (tls, roots) = identity(HOST_NAME);
    let host = Host::start(Some(tls.clone()), vec![answer(JSON, "{\"a\":1}")], Duration::ZERO).await;
    let fetcher = |roots: RootCertStore| Fetcher {
        settings: local(),
        resolver: Scripted::new(&[&[host.address]]),
        tls: OnceCell::from(connector(roots)),
    };
    let document = fetcher(roots.clone()).fetch(&format!("https://{HOST_NAME}/k")).await.unwrap();
    assert_eq!((document.body.as_slice(), document.fresh_for), (&b"{\"a\":1}"[..], None));
    let heard = host.heard.lock().unwrap().to_ascii_lowercase();
    assert!(heard.starts_with("get /k http/1.1\r\n") && heard.contains("host: keys.example\r\n"), "{heard}");
    // Another name, and a certificate that nobody has vouched for.
    let other = fetcher(roots).fetch("https://other.example/k").await;
    assert_eq!(other.unwrap_err(), FetchError::Untrusted);
    let (_, unrelated) = identity(HOST_NAME);
    let stranger = fetcher(unrelated).fetch(&format!("https://{HOST_NAME}/k")).await;
    assert_eq!(stranger.unwrap_err(), FetchError::Untrusted);
}

#[tokio::test]
async fn answers() {
    let long = format!("\"{}\"", "x".repeat(300_000));
    let endless = |body: &str| format!("HTTP/1.1 200 OK\r\n{JSON}\r\n{body}").into_bytes();
    let cases = [
        (answer(JSON, "{}"), Ok(None)),
        (answer("content-type: application/jwk-set+json; charset=utf-8\r\n", "{}"), Ok(None)),
        (answer(&format!("{JSON}Cache-Control: public, max-age=600\r\n"), "{}"), Ok(Some(600))),
        (answer(&format!("{JSON}Cache-Control: max-age=600\r\nAge: 100\r\n"), "{}"), Ok(Some(500))),
        (answer(&format!("{JSON}Cache-Control: MAX-AGE=\"60\"\r\nAge: 100\r\n"), "{}"), Ok(Some(0))),
        (answer(&format!("{JSON}Cache-Control: max-age=9\r\nCache-Control: no-store\r\n"), "{}"), Ok(Some(0))),
        (answer(&format!("{JSON}Cache-Control: max-age=soon\r\n"), "{}"), Ok(None)),
        (endless("{}"), Ok(None)),
        (answer("", "{}"), Err(FetchError::NotJson)),
        (answer("Content-Type: text/html\r\n", "{}"), Err(FetchError::NotJson)),
        (answer("Content-Type: text/json\r\n", "{}"), Err(FetchError::NotJson)),
        (answer(&format!("{JSON}Content-Encoding: gzip\r\n"), "{}"), Err(FetchError::NotJson)),
        (answer(JSON, &long), Err(FetchError::TooLong)),
        (endless(&long), Err(FetchError::TooLong)),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Err(FetchError::Status(204))),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), Err(FetchError::Status(404))),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_vec(), Err(FetchError::Status(500))),
        (b"SSH-2.0-hello\r\n\r\n".to_vec(), Err(FetchError::Broken)),
        (b"".to_vec(), Err(FetchError::Broken)),
        // Less than was announced, and a head without an end.
        (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{}".to_vec(),
            Err(FetchError::Broken),
        ),
        (format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000)).into_bytes(), Err(FetchError::Broken)),
        (format!("HTTP/1.1 200 OK\r\n{}{JSON}\r\n", "X: y\r\n".repeat(100)).into_bytes(), Err(FetchError::Broken)),
    ];
    for (bytes, wanted) in cases {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let host = Host::plain(bytes).await;
        let got = Fetcher::new(local()).fetch(&host.url()).await;
        let got = got.map(|document| document.fresh_for.map(|fresh| fresh.as_secs()));
        assert_eq!(got, wanted, "{shown:.120}");
    }
}

#[tokio::test]
async fn redirections_are_not_followed() {
    let inner = Host::plain(answer(JSON, "{}")).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("HTTP/1.1 {status} Over There\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", inner.url());
        let host = Host::plain(head).await;
        let got = Fetcher::new(local()).fetch(&host.url()).await;
        assert_eq!(got.unwrap_err(), FetchError::Status(status));
    }
    assert_eq!(inner.calls(), 0);
}

#[tokio::test]
async fn slow_hosts_are_left() {
    let settings = FetchSettings { total: Duration::from_millis(300), ..local() };
    let dribble = answer(JSON, "{}").into_iter().map(|byte| vec![byte]).collect();
    let dribbling = Host::start(None, dribble, Duration::from_millis(50)).await;
    let silent = Host::start(None, vec![Vec::new()], Duration::from_secs(60)).await;
    for host in [&dribbling, &silent] {
        let got = Fetcher::new(settings.clone()).fetch(&host.url()).await;
        assert_eq!(got.unwrap_err(), FetchError::TooSlow);
    }
    // A host that takes the connection and never shakes hands.
    let mute = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}/", mute.local_addr().unwrap());
    let settings = FetchSettings { connect: Duration::from_millis(200), ..local() };
    let fetcher = Fetcher { tls: OnceCell::from(connector(identity(HOST_NAME).1)), ..Fetcher::new(settings) };
    assert_eq!(fetcher.fetch(&url).await.unwrap_err(), FetchError::Unreachable);
}

#[tokio::test]
async fn a_host_that_is_down_is_unreachable_and_another_of_its_addresses_serves() {
    let host = Host::plain(answer(JSON, "{}")).await;
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let got = Fetcher::new(local()).fetch(&format!("http://{closed}/")).await;
    assert_eq!(got.unwrap_err(), FetchError::Unreachable);
    let fetcher = Fetcher { resolver: Scripted::new(&[&[closed, host.address]]), ..Fetcher::new(local()) };
    assert!(fetcher.fetch("http://keys.example/").await.is_ok());
}

#[tokio::test]
async fn only_what_is_public_or_configured_is_called() {
    let host = Host::plain(answer(JSON, "{}")).await;
    let port = host.address.port();
    let here: &[SocketAddr] = &[host.address];
    let mapped: &[SocketAddr] = &[format!("[::ffff:127.0.0.1]:{port}").parse().unwrap()];
    let nat64: &[SocketAddr] = &[format!("[64:ff9b::127.0.0.1]:{port}").parse().unwrap()];
    for addresses in [here, mapped, nat64] {
        for url in ["https://keys.example/", "http://keys.example/"] {
            let settings = FetchSettings { private_networks: Vec::new(), ..local() };
            let fetcher = Fetcher { resolver: Scripted::new(&[addresses]), ..Fetcher::new(settings) };
            assert_eq!(fetcher.fetch(url).await.unwrap_err(), FetchError::Forbidden, "{addresses:?}");
        }
    }
    // What the machine's own resolver makes of names and numbers is checked as well.
    for name in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"] {
        let fetcher = Fetcher::new(FetchSettings::default());
        let got = fetcher.fetch(&format!("http://{name}:{port}/")).await.unwrap_err();
        assert!(matches!(got, FetchError::Forbidden | FetchError::Unresolved), "{name}: {got:?}");
    }
    // http is for configured networks: a public address among them spoils it.
    let mixed: &[SocketAddr] = &[host.address, "93.184.215.14:80".parse().unwrap()];
    let fetcher = Fetcher { resolver: Scripted::new(&[mixed]), ..Fetcher::new(local()) };
    assert_eq!(fetcher.fetch("http://keys.example/").await.unwrap_err(), FetchError::NotEncrypted);
    assert_eq!(host.calls(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_asked_for_once() {
    let host = Host::plain(answer(JSON, "{}")).await;
    // Reserved for documentation, so nobody answers there; configured, so it passes the check. The second answer leads home.
    let elsewhere: SocketAddr = "192.0.2.1:443".parse().unwrap();
    let private_networks = vec!["192.0.2.0/24".parse().unwrap()];
    let settings = FetchSettings { private_networks, connect: Duration::from_millis(200), ..FetchSettings::default() };
    let resolver = Scripted::new(&[&[elsewhere], &[host.address]]);
    let fetcher = Fetcher { resolver: Arc::clone(&resolver) as Arc<dyn Resolve>, ..Fetcher::new(settings) };
    assert_eq!(fetcher.fetch("http://rebinding.example/").await.unwrap_err(), FetchError::Unreachable);
    assert_eq!((resolver.asked.load(SeqCst), host.calls()), (1, 0));
    // The next fetch asks again, and is refused.
    assert_eq!(fetcher.fetch("http://rebinding.example/").await.unwrap_err(), FetchError::Forbidden);
    assert_eq!(host.calls(), 0);
}

#[tokio::test]
async fn addresses_that_cannot_be_called() {
    for url in [
        "",
        "keys",
        "/keys",
        "ftp://keys.example/",
        "file:///etc/passwd",
        "https://",
        "https:///keys",
        "https://user@keys.example/",
        "https://user:password@keys.example/",
        "https://keys.example:0/",
        "https://keys.example:99999/",
        "https://keys.example:x/",
        "https://keys.example:/",
        "https://keys example/",
    ] {
        assert_eq!(Fetcher::new(local()).fetch(url).await.unwrap_err(), FetchError::BadUrl, "{url}");
    }
}

#[tokio::test]
async fn what_is_told_is_held_against_the_same_addresses() {
    let host = Host::plain(answer("", "")).await;
    let port = host.address.port();
    let post = Post { headers: &[("webhook-id", "msg_1")], body: Bytes::from_static(b"{}") };
    let public = || FetchSettings { private_networks: Vec::new(), ..local() };
    let mapped: SocketAddr = format!("[::ffff:127.0.0.1]:{port}").parse().unwrap();
    let nat64: SocketAddr = format!("[64:ff9b::127.0.0.1]:{port}").parse().unwrap();
    for address in [host.address, mapped, nat64] {
        let fetcher = Fetcher { resolver: Scripted::new(&[&[address]]), ..Fetcher::new(public()) };
        assert_eq!(fetcher.post("https://hooks.example/", &post).await.unwrap_err(), FetchError::Forbidden);
    }
    // A name that leads elsewhere a moment later: what was checked is what is called.
    let elsewhere: SocketAddr = "192.0.2.1:443".parse().unwrap();
    let private_networks = vec!["192.0.2.0/24".parse().unwrap()];
    let settings = FetchSettings { private_networks, connect: Duration::from_millis(200), ..public() };
    let resolver = Scripted::new(&[&[elsewhere], &[host.address]]);
    let fetcher = Fetcher { resolver, ..Fetcher::new(settings) };
    assert_eq!(fetcher.post("http://rebinding.example/", &post).await.unwrap_err(), FetchError::Unreachable);
    assert_eq!(fetcher.post("http://rebinding.example/", &post).await.unwrap_err(), FetchError::Forbidden);
    assert_eq!(host.calls(), 0);
}

#[test]
fn what_can_be_said_of_an_address_before_it_is_called() {
    let fetcher = |networks: &[&str]| {
        let private_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
        Fetcher::new(FetchSettings { private_networks, ..FetchSettings::default() })
    };
    let (none, some) = (fetcher(&[]), fetcher(&["10.0.0.0/8"]));
    use FetchError::{Forbidden, NotEncrypted};
    for (number, encrypted, by_none, by_some) in [
        (None, true, None, None),
        (None, false, Some(NotEncrypted), None),
        (Some("93.184.215.14"), true, None, None),
        (Some("93.184.215.14"), false, Some(NotEncrypted), Some(NotEncrypted)),
        (Some("10.1.2.3"), true, Some(Forbidden), None),
        (Some("::ffff:10.1.2.3"), false, Some(Forbidden), None),
        (Some("127.0.0.1"), true, Some(Forbidden), Some(Forbidden)),
        (Some("169.254.169.254"), true, Some(Forbidden), Some(Forbidden)),
    ] {
        let address = number.map(|number| number.parse().unwrap());
        assert_eq!(none.objection(address, encrypted), by_none, "{number:?}");
        assert_eq!(some.objection(address, encrypted), by_some, "{number:?}");
    }
}
