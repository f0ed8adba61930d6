//! The connection to a running server: where it is, who asks, and that the key does not cross a network in the clear.

use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::arguments::duration;
use super::exit::{Exit, Failure};
use super::refusal::causes;
use crate::domain::network::unmapped;
use crate::proto::v1::auth_client::AuthClient;
use crate::proto::v1::keys_client::KeysClient;
use crate::proto::v1::products_client::ProductsClient;
use crate::proto::v1::users_client::UsersClient;

/// The flags that say which server, and as whom.
#[derive(Args, Clone, Debug)]
pub(super) struct ConnectionArgs {
    /// The server.
    #[arg(
        long,
        global = true,
        env = "GATEPOST_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    #[arg(help_heading = "Connection")]
    pub(super) url: String,
    /// File that holds the key to call with; `-` reads it from standard input. Without it the key is taken from the
    /// variable GATEPOST_KEY. There is no flag for the key itself: others on the machine could see it.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(super) key_file: Option<PathBuf>,
    /// Certificates in PEM to trust instead of the system's.
    #[arg(
        long,
        global = true,
        env = "GATEPOST_CA_CERT",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub(super) ca_cert: Option<PathBuf>,
    /// Send the key without TLS to another machine. Anyone on the way can read it.
    #[arg(long, global = true, help_heading = "Connection")]
    pub(super) allow_plaintext: bool,
    /// How long to wait for an answer.
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = duration)]
    #[arg(help_heading = "Connection")]
    pub(super) timeout: Duration,
}

/// A connection that was made.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    channel: InterceptedService<Channel, Caller>,
}

/// Puts the key and the deadline on every call.
#[derive(Clone)]
pub(super) struct Caller {
    authorization: MetadataValue<Ascii>,
    timeout: Duration,
}

impl Connection {
    /// Connects, or says what to do about it.
    pub(super) async fn open(args: &ConnectionArgs) -> Result<Self, Failure> {
        let uri = server(args)?;
        let caller = Caller { authorization: authorization(args)?, timeout: args.timeout };
        let mut endpoint = Endpoint::from(uri.clone()).connect_timeout(args.timeout.min(CONNECT)).timeout(args.timeout);
        endpoint =
            endpoint.user_agent(concat!("gatepost-cli/", env!("CARGO_PKG_VERSION"))).map_err(|e| unusable(&e))?;
        if uri.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(trust(args)?).map_err(|error| unusable(&error))?;
        }
        let channel = endpoint.connect().await.map_err(|error| unreachable(&args.url, &error))?;
        Ok(Self { channel: InterceptedService::new(channel, caller) })
    }

    pub(super) fn keys(&self) -> KeysClient<InterceptedService<Channel, Caller>> {
        KeysClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(super) fn auth(&self) -> AuthClient<InterceptedService<Channel, Caller>> {
        AuthClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(super) fn products(&self) -> ProductsClient<InterceptedService<Channel, Caller>> {
        ProductsClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(super) fn users(&self) -> UsersClient<InterceptedService<Channel, Caller>> {
        UsersClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request.set_timeout(self.timeout);
        Ok(request)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Caller(..)")
    }
}

/// Reads the server's address and makes sure that a key may be sent there.
fn server(args: &ConnectionArgs) -> Result<Uri, Failure> {
    let wrong = |rule: &str| {
        // A URL may hold a password where it should not: it is not repeated.
        Failure::usage(format!("--url (GATEPOST_URL) {rule}")).hint("give it as in https://gatepost.example:8080")
    };
    let uri: Uri = args.url.parse().map_err(|_| wrong("is not a URL"))?;
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("must be a scheme, a host and a port, and no more"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("must not hold a name or a password; the key goes into GATEPOST_KEY"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if args.allow_plaintext || is_here(&host) => Ok(uri),
        Some("http") => Err(Failure::usage(format!("the key would cross the network to {host} in the clear"))
            .hint("use an https:// URL, or --allow-plaintext where the network itself is private")),
        _ => Err(wrong("must begin with http:// or https://")),
    }
}

/// Whether this is our own machine.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| unmapped(ip).is_loopback())
}

fn authorization(args: &ConnectionArgs) -> Result<MetadataValue<Ascii>, Failure> {
    let (key, from) = match &args.key_file {
        Some(path) if path.as_os_str() == "-" => (read_key(io::stdin())?, "standard input".to_owned()),
        Some(path) => {
            let file = fs::File::open(path)
                .map_err(|error| Failure::usage(format!("--key-file {}: cannot be read: {error}", path.display())))?;
            (read_key(file)?, path.display().to_string())
        }
        None => match std::env::var(KEY_VARIABLE) {
            Ok(key) => (Zeroizing::new(key), KEY_VARIABLE.to_owned()),
            Err(_) => return Err(no_key()),
        },
    };
    if key.trim().is_empty() {
        return Err(no_key());
    }
    let value = Zeroizing::new(format!("Bearer {}", key.trim()));
    let mut value = MetadataValue::try_from(value.as_str())
        .map_err(|_| Failure::usage(format!("what {from} holds is not a key")))?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_key(source: impl Read) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    source
        .take(MAX_KEY)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("the key cannot be read: {error}")))?;
    Ok(text)
}

fn no_key() -> Failure {
    Failure::usage("no key to call with").hint(
        "set GATEPOST_KEY to a key of the server (its first start printed two), or give --key-file; `gatepost admin-key \
         new` on the server's machine makes another",
    )
}

fn trust(args: &ConnectionArgs) -> Result<ClientTlsConfig, Failure> {
    let Some(path) = &args.ca_cert else { return Ok(ClientTlsConfig::new().with_native_roots()) };
    let pem = fs::read(path).map_err(|error| {
        Failure::usage(format!("--ca-cert (GATEPOST_CA_CERT) {}: cannot be read: {error}", path.display()))
    })?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

fn unusable(error: &tonic::transport::Error) -> Failure {
    Failure::usage(format!("the connection cannot be set up: {}", causes(error)))
}

fn unreachable(url: &str, error: &tonic::transport::Error) -> Failure {
    // The error itself only says that it is one of the transport.
    let causes = error.source().map_or_else(|| error.to_string(), causes);
    let hint = if causes.contains("certificate") {
        "if the server's certificate is your own, name its issuer with --ca-cert".to_owned()
    } else if causes.contains("corrupt message") {
        "what answers there does not speak TLS: is it an http:// address?".to_owned()
    } else {
        format!("is `gatepost serve` running at {url}? Set GATEPOST_URL or --url to where it is")
    };
    Failure::new(Exit::Unreachable, format!("{url} cannot be reached: {causes}")).hint(hint)
}

const KEY_VARIABLE: &str = "GATEPOST_KEY";
const CONNECT: Duration = Duration::from_secs(10);
const MAX_KEY: u64 = 16 * 1024;

/// A page of 1,000 keys at their largest is far below.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str) -> ConnectionArgs {
        ConnectionArgs {
            url: url.to_owned(),
            key_file: None,
            ca_cert: None,
            allow_plaintext: false,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_key_is_not_sent_in_the_clear_to_another_machine() {
        for good in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080/", "https://gatepost.example"] {
            assert!(server(&args(good)).is_ok(), "{good}");
        }
        for clear in ["http://gatepost.example", "http://10.0.0.1:8080", "http://localhost.evil.example"] {
            let failure = server(&args(clear)).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains("--allow-plaintext"), "{failure}");
            let allowed = ConnectionArgs { allow_plaintext: true, ..args(clear) };
            assert!(server(&allowed).is_ok(), "{clear}");
        }
    }

    #[test]
    fn what_is_not_the_address_of_a_server_is_refused() {
        for bad in ["", "127.0.0.1:8080", "ftp://x", "http://127.0.0.1/v1", "http://localhost?x", "http://"] {
            assert_eq!(server(&args(bad)).unwrap_err().exit(), Exit::Usage, "{bad}");
        }
        let failure = server(&args("https://me:hunter2@gatepost.example")).unwrap_err();
        assert!(!failure.to_string().contains("hunter2") && failure.to_string().contains("GATEPOST_KEY"), "{failure}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_its_address() {
        let key = tempfile::NamedTempFile::new().unwrap();
        fs::write(key.path(), "sk_live_x\n").unwrap();
        // Nothing listens on the port that a listener has just given back.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let args = ConnectionArgs { key_file: Some(key.path().into()), ..args(&format!("http://{free}")) };
        let failure = Connection::open(&args).await.unwrap_err();
        assert_eq!(failure.exit(), Exit::Unreachable);
        assert!(failure.to_string().contains(&format!("is `gatepost serve` running at http://{free}")), "{failure}");
    }
}
