//! The configuration of a server: one validated struct from flags, environment, a TOML file and defaults, in this order.
//!
//! Owns the table of settings ([`settings::SETTINGS`]), from which the flags, the README's table and `gatepost config` are
//! made. Knows nothing of what the values are used for. A wrong value is told with the variable, the value and the rule;
//! a secret is never shown.

mod document;
mod error;
mod flags;
mod master_key;
mod reader;
mod redact;
pub mod settings;
mod source;
mod values;

#[cfg(test)]
pub(crate) mod readme;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};
use ipnet::IpNet;
use zeroize::Zeroizing;

pub use self::document::{Effective, effective_table, markdown_table};
pub use self::error::{ConfigError, Problem};
pub use self::flags::Flags;
pub use self::master_key::{MasterKeyError, MasterKeySource};
use self::reader::Reader;
pub use self::source::{Environment, Source};
use crate::domain::password::HashCost;

/// Everything a server is told. Holding one means that every rule is kept.
#[derive(Debug)]
pub struct Config {
    /// Where to listen. Loopback, or `tls` is there, or `behind_proxy` is on.
    pub listen: SocketAddr,
    /// Under which URL clients reach it, if that was said. No slash at its end.
    pub public_url: Option<String>,
    /// Where the SQLite database and the master key file are. It may not exist yet.
    pub data_dir: PathBuf,
    /// Which database.
    pub database: Database,
    /// What counts rate limits for all nodes, if anything does.
    pub redis: Option<RedisSettings>,
    /// How long a call waits for the database of several nodes to lease calls of a rate limit to this one.
    pub lease_timeout: Duration,
    /// Where the master key comes from.
    pub master_key: MasterKeySource,
    /// The files of the certificate, if TLS is spoken.
    pub tls: Option<TlsFiles>,
    /// Whether a proxy in front ends TLS: only requests that reached it over HTTPS are served.
    pub behind_proxy: bool,
    /// Proxies in front whose forwarding headers are believed. At least 1 when `behind_proxy` is on.
    pub trusted_proxies: usize,
    /// Bounds on what a client may ask.
    pub limits: Limits,
    /// How long a key signs tokens before the next one does.
    pub signing_key_rotation: Duration,
    /// Networks besides the public internet in which the keys of trusted issuers may be fetched.
    pub issuer_private_addresses: Vec<IpNet>,
    /// Networks besides the public internet in which anybody can make us fetch what a client is to publish.
    pub stranger_private_addresses: Vec<IpNet>,
    /// Networks besides the public internet in which webhooks may be called.
    pub webhook_private_addresses: Vec<IpNet>,
    /// Whether a proof that a client holds a key must hold a nonce of ours.
    pub require_dpop_nonces: bool,
    /// Whose reports of leaked credentials are taken.
    pub leak_reports: LeakReportSettings,
    /// How passwords are hashed.
    pub passwords: PasswordSettings,
    /// What is kept in memory.
    pub cache: CacheSettings,
    /// How uses of credentials are recorded.
    pub usage: UsageSettings,
    /// Which pages may call from a browser.
    pub cors_origins: CorsOrigins,
    /// Headers that may carry a key, besides `authorization` and `x-api-key`. Lower case, none twice.
    pub key_headers: Vec<HeaderName>,
    /// What is logged, and in which form.
    pub log: LogSettings,
    /// Where traces go, if anywhere.
    pub otlp_endpoint: Option<Uri>,
    /// Gather what a connection writes at one time into one system call.
    pub coalesce_writes: bool,
    /// Run the requests of an HTTP/2 connection inside its own task.
    pub inline_streams: bool,
    /// Threads that answer requests.
    pub worker_threads: usize,
}

/// Which database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Database {
    /// SQLite in this file.
    Sqlite(PathBuf),
    /// PostgreSQL.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database. `Debug` and `Display` hide its password.
#[derive(Clone, Eq, PartialEq)]
pub struct PostgresUrl(String);

/// A Redis or Valkey server that counts rate limits for all nodes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedisSettings {
    /// Where it is.
    pub url: RedisUrl,
    /// How long a call waits for it.
    pub timeout: Duration,
}

/// The URL of a Redis or Valkey server. `Debug` and `Display` hide its password.
#[derive(Clone, Eq, PartialEq)]
pub struct RedisUrl(String);

/// The files of a certificate. Both could be read when the configuration was made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// The chain, in PEM.
    pub cert: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// Bounds on what a client may ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes in a request's body.
    pub max_body: usize,
    /// Bytes in a request's head.
    pub max_header: usize,
    /// How long a request may take, streams aside.
    pub request_timeout: Duration,
    /// Connections at one time.
    pub max_connections: usize,
    /// Requests in flight on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// How long a stop waits for requests in flight.
    pub drain_timeout: Duration,
}

/// Whose reports of leaked credentials are taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeakReportSettings {
    /// What others sign their reports with, if any are taken.
    pub secrets: Option<LeakReportSecrets>,
    /// Where GitHub publishes its keys, if its reports are taken.
    pub github_keys: Option<String>,
}

/// Secrets that reports are signed with. `Debug` hides them.
#[derive(Clone, Eq, PartialEq)]
pub struct LeakReportSecrets(Vec<Zeroizing<Vec<u8>>>);

/// How passwords are hashed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PasswordSettings {
    /// What one hash costs.
    pub cost: HashCost,
    /// Threads that do nothing else.
    pub threads: usize,
}

/// What is kept in memory, and how long it is trusted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheSettings {
    /// Keys kept at most.
    pub capacity: usize,
    /// How long what is kept is trusted when the store or its change feed cannot be reached. Not under `poll_interval`.
    pub trust: Duration,
    /// How often the change log is read where no notice of a change came.
    pub poll_interval: Duration,
}

/// Which pages may call from a browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CorsOrigins {
    /// Those of every origin.
    Any,
    /// Those of these origins, spelt as browsers do (`https://shop.example`). Empty: none.
    Only(Vec<String>),
}

/// How uses of credentials are recorded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UsageSettings {
    /// Whether they are.
    pub recorded: bool,
    /// How often what was counted is written down.
    pub interval: Duration,
    /// How long the counts of minutes are kept.
    pub keep_minutes: Duration,
    /// How long the counts of hours are kept.
    pub keep_hours: Duration,
    /// How long the counts of days are kept.
    pub keep_days: Duration,
    /// How long the access log is kept.
    pub keep_access_log: Duration,
}

/// What is logged, and in which form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogSettings {
    /// The form.
    pub format: LogFormat,
    /// The levels.
    pub filter: LogFilter,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// Lines for people.
    People,
    /// One JSON object a line.
    Json,
}

/// A filter that `EnvFilter` takes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogFilter(String);

/// A configuration, and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting's value as it may be shown, in the order of the table.
    pub effective: Vec<Effective>,
}

impl Config {
    /// Reads the configuration, or says everything that is wrong with it.
    pub fn load(flags: &Flags, environment: Environment<'_>) -> Result<Loaded, ConfigError> {
        Reader::new(flags, environment).finish()
    }
}

impl PostgresUrl {
    /// The URL with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl RedisUrl {
    /// The URL with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl LeakReportSecrets {
    /// The bytes of each.
    pub fn expose(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|secret| secret.as_slice())
    }
}

impl fmt::Debug for LeakReportSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeakReportSecrets(..)")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::url(&self.0))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::url(&self.0))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::url(&self.0))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::url(&self.0))
    }
}

impl LogFilter {
    /// The filter as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
