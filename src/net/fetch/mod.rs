//! Calling an address that somebody configured, for a small JSON document or to [tell it something](post), without being led
//! elsewhere.
//!
//! A tenant names the address and the server calls it, from inside its network: so what the name resolves to is held against the
//! addresses that may be called, and the very address that was checked is connected to (a name that resolves to another one
//! a moment later gains nothing). Nothing is followed, and time and size are bounded.

mod post;
mod reach;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::crypto::aws_lc_rs as provider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use self::post::{Post, Reply};

/// The bounds of a fetch.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// Networks that may be called beside the public internet, over `http` too. Default: none.
    pub private_networks: Vec<IpNet>,
    /// Certificate authorities that are trusted beside the machine's. Default: none.
    pub authorities: Vec<CertificateDer<'static>>,
    /// How long a connection may take to open, TLS and all. Default 3 s.
    pub connect: Duration,
    /// How long all of it may take. Default 10 s.
    pub total: Duration,
    /// How long a document may be, in bytes. Default 256 KiB.
    pub max_bytes: usize,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            private_networks: Vec::new(),
            authorities: Vec::new(),
            connect: Duration::from_secs(3),
            total: Duration::from_secs(10),
            max_bytes: 256 * 1024,
        }
    }
}

/// A document that was fetched.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it says: JSON by its own word.
    pub body: Vec<u8>,
    /// For how long it may be kept (RFC 9111, section 4.2), if the answer says so; zero where it must not be.
    pub fresh_for: Option<Duration>,
}

/// Why a document could not be had. The words are for the log of this server: who named the address learns nothing of its
/// network by them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FetchError {
    /// The address is not an `https` address, or not one that can be called.
    #[error("the address cannot be called")]
    BadUrl,
    /// It is an `http` address, and not of a configured network.
    #[error("http is for configured networks only")]
    NotEncrypted,
    /// The name of the host cannot be resolved.
    #[error("the name cannot be resolved")]
    Unresolved,
    /// The name stands for addresses that must not be called.
    #[error("the name stands for an address that is not public and was not configured")]
    Forbidden,
    /// None of the addresses could be reached.
    #[error("the host cannot be reached")]
    Unreachable,
    /// The host could not prove to be the one that was called.
    #[error("the host does not prove its name")]
    Untrusted,
    /// It took too long.
    #[error("the host took too long")]
    TooSlow,
    /// What was answered is not HTTP.
    #[error("the host broke the protocol")]
    Broken,
    /// The answer is not 200. Redirections are not followed.
    #[error("the host answered {0}")]
    Status(u16),
    /// The answer is not JSON, or is compressed.
    #[error("the answer is not JSON")]
    NotJson,
    /// The answer is too long.
    #[error("the answer is too long")]
    TooLong,
}

/// Finds the addresses of a name.
trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of this host at this port.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The answer of a [`Resolve`], later.
type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Fetches documents, each over a connection of its own: they are few.
pub struct Fetcher {
    settings: FetchSettings,
    resolver: Arc<dyn Resolve>,
    /// Read at the first use: it takes milliseconds that most servers never need.
    tls: OnceCell<TlsConnector>,
}

impl Fetcher {
    /// Trusts the certificates that the machine trusts, and resolves as it does.
    pub fn new(settings: FetchSettings) -> Self {
        Self { settings, resolver: Arc::new(SystemResolver), tls: OnceCell::new() }
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub async fn fetch(&self, url: &str) -> Result<Document, FetchError> {
        self.call(url, &Get).await
    }

    /// Tells a host something, whatever it answers.
    ///
    /// # Errors
    /// The first thing that stands against it.
    pub async fn post(&self, url: &str, post: &Post<'_>) -> Result<Reply, FetchError> {
        self.call(url, post).await
    }

    /// What stands against calling an address of which this much can be said without asking for its name: its number, if it says
    /// one, and whether it is encrypted.
    pub fn objection(&self, number: Option<IpAddr>, encrypted: bool) -> Option<FetchError> {
        let networks = &self.settings.private_networks;
        let (configured, public) = match number {
            Some(address) => (reach::is_within(address, networks), reach::is_public(address)),
            None => (!networks.is_empty(), true),
        };
        if !configured && !public {
            return Some(FetchError::Forbidden);
        }
        (!encrypted && !configured).then_some(FetchError::NotEncrypted)
    }

    async fn call<E: Exchange>(&self, url: &str, exchange: &E) -> Result<E::Answer, FetchError> {
        let target = Target::parse(url)?;
        timeout(self.settings.total, self.exchange(&target, exchange)).await.unwrap_or(Err(FetchError::TooSlow))
    }

    async fn exchange<E: Exchange>(&self, target: &Target, exchange: &E) -> Result<E::Answer, FetchError> {
        let resolved = self.resolver.resolve(&target.host, target.port).await.map_err(|_| FetchError::Unresolved)?;
        let addresses = self.permitted(target, &resolved)?;
        let mut failed = FetchError::Unreachable;
        for address in addresses {
            // Each in turn: another address may be reached where one is not.
            match timeout(self.settings.connect, self.connect(target, address)).await {
                Ok(Ok(stream)) => return self.ask(target, stream, exchange).await,
                Ok(Err(error)) => failed = error,
                Err(_) => {}
            }
        }
        Err(failed)
    }

    /// Those of the addresses that may be called.
    fn permitted(&self, target: &Target, resolved: &[SocketAddr]) -> Result<Vec<SocketAddr>, FetchError> {
        let configured = |address: &SocketAddr| reach::is_within(address.ip(), &self.settings.private_networks);
        let reached = resolved.iter().copied().filter(|address| configured(address) || reach::is_public(address.ip()));
        let reached: Vec<_> = reached.take(MAX_ADDRESSES).collect();
        if resolved.is_empty() {
            return Err(FetchError::Unresolved);
        }
        if reached.is_empty() {
            return Err(FetchError::Forbidden);
        }
        if !target.encrypted && !reached.iter().all(configured) {
            return Err(FetchError::NotEncrypted);
        }
        Ok(reached)
    }

    async fn connect(&self, target: &Target, address: SocketAddr) -> Result<Box<dyn Stream>, FetchError> {
        let socket = TcpStream::connect(address).await.map_err(|_| FetchError::Unreachable)?;
        if !target.encrypted {
            return Ok(Box::new(socket));
        }
        let name = ServerName::try_from(target.host.clone()).map_err(|_| FetchError::BadUrl)?;
        let tls = self.tls.get_or_try_init(|| trust(&self.settings.authorities)).await?;
        let stream = tls.connect(name, socket).await.map_err(|_| FetchError::Untrusted)?;
        Ok(Box::new(stream))
    }

    async fn ask<E: Exchange>(
        &self,
        target: &Target,
        stream: Box<dyn Stream>,
        asked: &E,
    ) -> Result<E::Answer, FetchError> {
        let mut client = http1::Builder::new();
        client.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
        let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(|_| FetchError::Broken)?;
        let exchange = async {
            let request = asked.request(target.request()?)?;
            let answer = sender.send_request(request).await.map_err(|_| FetchError::Broken)?;
            asked.read(answer, self.settings.max_bytes).await
        };
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => return answer,
            // The host has closed it; what it sent before is there to be read.
            _ = connection => {}
        }
        exchange.await
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One request and what is made of its answer.
trait Exchange: Sync {
    /// What is made of it.
    type Answer: Send;

    /// The request to this target.
    fn request(&self, to: http::request::Builder) -> Result<Request<Full<Bytes>>, FetchError>;

    /// Reads an answer of which no more than so many bytes are of interest.
    fn read(
        &self,
        answer: Response<Incoming>,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Self::Answer, FetchError>> + Send;
}

/// Asks for a document.
struct Get;

impl Exchange for Get {
    type Answer = Document;

    fn request(&self, to: http::request::Builder) -> Result<Request<Full<Bytes>>, FetchError> {
        let request = to.method(Method::GET).header(ACCEPT, "application/json");
        request.body(Full::default()).map_err(|_| FetchError::BadUrl)
    }

    async fn read(&self, answer: Response<Incoming>, max_bytes: usize) -> Result<Document, FetchError> {
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        if !is_json(answer.headers()) || answer.headers().contains_key(CONTENT_ENCODING) {
            return Err(FetchError::NotJson);
        }
        let fresh_for = fresh_for(answer.headers());
        let mut body = answer.into_body();
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > max_bytes {
            return Err(FetchError::TooLong);
        }
        let mut read = Vec::with_capacity(announced);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| FetchError::Broken)?;
            let Some(data) = frame.data_ref() else { continue };
            if read.len() + data.len() > max_bytes {
                return Err(FetchError::TooLong);
            }
            read.extend_from_slice(data);
        }
        Ok(Document { body: read, fresh_for })
    }
}

/// Where to call.
#[derive(Debug)]
struct Target {
    uri: Uri,
    encrypted: bool,
    host: String,
    port: u16,
}

impl Target {
    fn parse(url: &str) -> Result<Self, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::BadUrl)?;
        let encrypted = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(FetchError::BadUrl),
        };
        let authority = uri.authority().ok_or(FetchError::BadUrl)?;
        if authority.as_str().contains('@') {
            return Err(FetchError::BadUrl);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = match authority.port_u16() {
            Some(0) => return Err(FetchError::BadUrl),
            Some(port) => port,
            // A colon without a number is a port that could not be read.
            None if authority.as_str().len() > authority.host().len() => return Err(FetchError::BadUrl),
            None if encrypted => 443,
            None => 80,
        };
        if host.is_empty() { Err(FetchError::BadUrl) } else { Ok(Self { uri, encrypted, host, port }) }
    }

    /// A request to it, that lacks what is asked.
    fn request(&self) -> Result<http::request::Builder, FetchError> {
        let authority = self.uri.authority().ok_or(FetchError::BadUrl)?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Request::builder()
            .uri(path)
            .header(HOST, authority.as_str())
            .header(USER_AGENT, concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close"))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Debug)]
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Trusts what the machine trusts, and these.
async fn trust(authorities: &[CertificateDer<'static>]) -> Result<TlsConnector, FetchError> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs);
    let loaded = loaded.await.map_err(|_| FetchError::Untrusted)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs.into_iter().chain(authorities.iter().cloned()));
    if roots.is_empty() {
        tracing::warn!("no certificate authority is installed on this machine; no https address can be called");
        return Err(FetchError::Untrusted);
    }
    Ok(connector(roots))
}

fn connector(roots: RootCertStore) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws_lc_rs supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// `application/json`, or another type whose syntax is JSON (RFC 6839, section 3.1): key sets are `application/jwk-set+json` too.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = media_type.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// RFC 9111, sections 4.2.1 and 4.2.3: what `max-age` gives, less what `Age` says has passed.
fn fresh_for(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut max_age = None;
    for directive in values.flat_map(|value| value.split(',')) {
        let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            "max-age" => max_age = value.trim_matches('"').parse().ok(),
            _ => {}
        }
    }
    let age = headers.get(AGE).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    max_age.map(|max_age: u64| Duration::from_secs(max_age.saturating_sub(age)))
}

/// Addresses tried of one name.
const MAX_ADDRESSES: usize = 4;
/// The head of an answer, in bytes, and the header fields in it.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
