//! The table of settings: the one source of the flags, the variables, the file's keys, the defaults and the README.

use super::redact;

/// One thing that can be configured.
#[derive(Debug)]
pub struct Setting {
    /// Its name, as in the file (`data_dir`). The flag is the same with hyphens.
    pub key: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// How it is written.
    pub form: Form,
    /// Under which heading it is explained.
    pub group: Group,
    /// What holds when it is not given.
    pub default: Fallback,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
    /// What it is, in one or two sentences without the full stop at the end.
    pub help: &'static str,
}

/// How a setting is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// One value; the word stands for it in the help.
    Value(&'static str),
    /// Several values: an array in the file, separated by commas elsewhere.
    List(&'static str),
    /// True or false; the bare flag means true.
    Switch,
    /// A value that neither the command line nor a file may hold.
    EnvironmentOnly,
}

/// What holds when a setting is not given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fallback {
    /// This value.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Secrecy {
    /// It may.
    Open,
    /// It is a URL that may hold a password, which is hidden.
    Url,
    /// Never.
    Secret,
}

/// The headings of the help and the README.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Group {
    /// Where it listens and keeps its data.
    Basics,
    /// TLS, proxies and browsers.
    Network,
    /// Bounds on what a client may ask.
    Limits,
    /// The tokens that this installation signs, and those that it takes from others.
    Tokens,
    /// Reports of leaked credentials.
    Leaks,
    /// Where webhooks may be.
    Webhooks,
    /// What is kept in memory.
    Cache,
    /// How credentials are used.
    Usage,
    /// Logs and traces.
    Telemetry,
    /// Threads and switches.
    Tuning,
}

impl Setting {
    /// The flag, without its two hyphens.
    pub fn flag(&self) -> Option<String> {
        (self.form != Form::EnvironmentOnly).then(|| self.key.replace('_', "-"))
    }

    /// A value of this setting as it may be shown.
    pub fn shown(&self, text: &str) -> String {
        match self.secrecy {
            Secrecy::Open => text.to_owned(),
            Secrecy::Url => redact::url(text),
            Secrecy::Secret => redact::HIDDEN.to_owned(),
        }
    }
}

impl Group {
    /// The heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Basics => "Basics",
            Self::Network => "Network",
            Self::Limits => "Limits",
            Self::Tokens => "Tokens",
            Self::Leaks => "Leaked credentials",
            Self::Webhooks => "Webhooks",
            Self::Cache => "Cache",
            Self::Usage => "Usage and access log",
            Self::Telemetry => "Logs and traces",
            Self::Tuning => "Tuning",
        }
    }
}

macro_rules! settings {
    ($($name:ident = $key:literal, $env:literal, $form:expr, $group:ident, $default:expr, $secrecy:ident, $help:literal;)*) => {
        $(pub(super) static $name: Setting = Setting {
            key: $key,
            env: $env,
            form: $form,
            group: Group::$group,
            default: $default,
            secrecy: Secrecy::$secrecy,
            help: $help,
        };)*

        /// All settings, in the order in which they are explained.
        pub static SETTINGS: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    LISTEN = "listen", "GATEPOST_LISTEN", Form::Value("ADDRESS"), Basics, Fallback::Value("127.0.0.1:8080"), Open,
        "IP address and port to listen on. An address that is not loopback needs TLS or `behind_proxy`";
    DATA_DIR = "data_dir", "GATEPOST_DATA_DIR", Form::Value("DIR"), Basics, Fallback::Value("./gatepost-data"), Open,
        "Directory of the SQLite database and the master key file";
    DATABASE_URL = "database_url", "DATABASE_URL", Form::Value("URL"), Basics,
        Fallback::Words("SQLite in `data_dir`"), Url,
        "Database: `postgres://...` or `sqlite:PATH`";
    REDIS_URL = "redis_url", "REDIS_URL", Form::Value("URL"), Basics,
        Fallback::Words("none: the database says what was spent"), Url,
        "Redis or Valkey that counts rate limits for all nodes: `redis://...`, or `rediss://...` for TLS";
    REDIS_TIMEOUT = "redis_timeout", "GATEPOST_REDIS_TIMEOUT", Form::Value("TIME"), Basics, Fallback::Value("100ms"), Open,
        "How long a call waits for Redis before this node counts by itself; 5ms to 1m";
    LEASE_TIMEOUT = "lease_timeout", "GATEPOST_LEASE_TIMEOUT", Form::Value("TIME"), Basics, Fallback::Value("500ms"), Open,
        "How long a call waits for the database to give this node calls of a rate limit, before it counts by itself; 5ms to 1m";
    MASTER_KEY = "master_key", "GATEPOST_MASTER_KEY", Form::EnvironmentOnly, Basics,
        Fallback::Words("file `master.key` in `data_dir`, made at the first start"), Secret,
        "Master key: 32 bytes in base64 (`openssl rand -base64 32`). All nodes of one database need the same";

    PUBLIC_URL = "public_url", "GATEPOST_PUBLIC_URL", Form::Value("URL"), Network,
        Fallback::Words("`http://` (with TLS `https://`) and the address it listens on"), Open,
        "URL under which clients reach it, such as `https://keys.example`: the issuer of its tokens. All nodes of one \
         database need the same; when it changes, everybody has to sign in again";
    TLS_CERT = "tls_cert", "GATEPOST_TLS_CERT", Form::Value("FILE"), Network, Fallback::Words("no TLS"), Open,
        "Certificate chain for TLS, in PEM; goes with `tls_key`";
    TLS_KEY = "tls_key", "GATEPOST_TLS_KEY", Form::Value("FILE"), Network, Fallback::Words("no TLS"), Open,
        "Private key for TLS, in PEM; goes with `tls_cert`";
    BEHIND_PROXY = "behind_proxy", "GATEPOST_BEHIND_PROXY", Form::Switch, Network, Fallback::Value("false"), Open,
        "Listen without TLS on any address, because a trusted proxy in front ends TLS. Requests that did not reach the \
         proxy over HTTPS are refused";
    TRUSTED_PROXIES = "trusted_proxies", "GATEPOST_TRUSTED_PROXIES", Form::Value("N"), Network,
        Fallback::Words("0; 1 with `behind_proxy`"), Open,
        "Proxies in front whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed; 0 to 16";
    CORS_ORIGINS = "cors_origins", "GATEPOST_CORS_ORIGINS", Form::List("ORIGINS"), Network, Fallback::Value("*"), Open,
        "Origins whose pages may call from a browser: `*`, `none`, or a list such as `https://shop.example`";
    KEY_HEADERS = "key_headers", "GATEPOST_KEY_HEADERS", Form::List("NAMES"), Network,
        Fallback::Value("x-builton-api-key"), Open,
        "Headers that may carry a key, besides `authorization` and `x-api-key`; `none` for no other";

    MAX_BODY = "max_body", "GATEPOST_MAX_BODY", Form::Value("SIZE"), Limits, Fallback::Value("1MiB"), Open,
        "Largest request body; 1KiB to 64MiB";
    MAX_HEADER = "max_header", "GATEPOST_MAX_HEADER", Form::Value("SIZE"), Limits, Fallback::Value("16KiB"), Open,
        "Largest request head; 8KiB to 256KiB";
    REQUEST_TIMEOUT = "request_timeout", "GATEPOST_REQUEST_TIMEOUT", Form::Value("TIME"), Limits,
        Fallback::Value("30s"), Open,
        "Longest time for a request, streams aside; 100ms to 10m";
    MAX_CONNECTIONS = "max_connections", "GATEPOST_MAX_CONNECTIONS", Form::Value("N"), Limits,
        Fallback::Value("10000"), Open,
        "Connections at one time; 1 to 1000000";
    MAX_CONCURRENT_STREAMS = "max_concurrent_streams", "GATEPOST_MAX_CONCURRENT_STREAMS", Form::Value("N"), Limits,
        Fallback::Value("200"), Open,
        "Requests in flight on one HTTP/2 connection; 1 to 10000";
    DRAIN_TIMEOUT = "drain_timeout", "GATEPOST_DRAIN_TIMEOUT", Form::Value("TIME"), Limits, Fallback::Value("30s"), Open,
        "How long a stop waits for requests in flight; 0s to 10m";

    SIGNING_KEY_ROTATION = "signing_key_rotation", "GATEPOST_SIGNING_KEY_ROTATION", Form::Value("TIME"), Tokens,
        Fallback::Value("30d"), Open,
        "How long a key signs tokens before the next one does; 1h to 365d";
    ISSUER_PRIVATE_ADDRESSES = "issuer_private_addresses", "GATEPOST_ISSUER_PRIVATE_ADDRESSES", Form::List("NETWORKS"),
        Tokens, Fallback::Value("none"), Open,
        "Networks besides the public internet, such as `10.0.0.0/8`, in which the keys of trusted issuers may be fetched, over \
         `http` too, and those of clients that somebody registered; `none` for no other";
    STRANGER_PRIVATE_ADDRESSES = "stranger_private_addresses", "GATEPOST_STRANGER_PRIVATE_ADDRESSES",
        Form::List("NETWORKS"), Tokens, Fallback::Value("none"), Open,
        "Networks besides the public internet in which the documents and keys of clients may be fetched that nobody \
         vouched for: anybody can make the server call there; `none` for no other";

    REQUIRE_DPOP_NONCES = "require_dpop_nonces", "GATEPOST_REQUIRE_DPOP_NONCES", Form::Switch, Tokens,
        Fallback::Value("false"), Open,
        "Whether a proof that a client holds a key (DPoP) must hold a nonce of this service, so that none can be made ahead";

    WEBHOOK_PRIVATE_ADDRESSES = "webhook_private_addresses", "GATEPOST_WEBHOOK_PRIVATE_ADDRESSES", Form::List("NETWORKS"),
        Webhooks, Fallback::Value("none"), Open,
        "Networks besides the public internet, such as `10.0.0.0/8`, in which webhooks may be called, over `http` too: whoever may \
         add a webhook can make the server call there; `none` for no other";

    LEAK_REPORT_SECRET = "leak_report_secret", "GATEPOST_LEAK_REPORT_SECRET", Form::EnvironmentOnly, Leaks,
        Fallback::Words("signed reports are not taken"), Secret,
        "Secret by which reports of leaked credentials are signed that come to `/v1/leaks` (Standard Webhooks): `whsec_` and 24 to \
         64 bytes in base64. Up to 4, separated by commas, while one is replaced";
    GITHUB_LEAK_REPORTS = "github_leak_reports", "GATEPOST_GITHUB_LEAK_REPORTS", Form::Switch, Leaks,
        Fallback::Value("false"), Open,
        "Take the reports of GitHub's secret scanning, which come to `/v1/leaks/github`";
    GITHUB_LEAK_KEYS_URL = "github_leak_keys_url", "GATEPOST_GITHUB_LEAK_KEYS_URL", Form::Value("URL"), Leaks,
        Fallback::Value("https://api.github.com/meta/public_keys/secret_scanning"), Open,
        "Where the keys are published that sign those reports. Another than a public `https` address is for \
         `issuer_private_addresses`";

    PASSWORD_COST = "password_cost", "GATEPOST_PASSWORD_COST", Form::Value("COST"), Limits,
        Fallback::Value("m=65536,t=3,p=4"), Open,
        "What hashing a password costs, with Argon2id: KiB of memory, passes, lanes (RFC 9106). Passwords kept at another \
         cost are hashed again when their users sign in; `m=19456,t=2,p=1` is the least that should be";
    PASSWORD_THREADS = "password_threads", "GATEPOST_PASSWORD_THREADS", Form::Value("N"), Limits,
        Fallback::Words("half the processors, at least 1"), Open,
        "Threads that hash passwords, each in memory of its own; 1 to 64. Other work goes before theirs";

    CACHE_CAPACITY = "cache_capacity", "GATEPOST_CACHE_CAPACITY", Form::Value("N"), Cache, Fallback::Value("200000"), Open,
        "Keys kept in memory; 1000 to 10000000";
    CACHE_TRUST = "cache_trust", "GATEPOST_CACHE_TRUST", Form::Value("TIME"), Cache, Fallback::Value("10s"), Open,
        "How long what is in memory is trusted when the database or its change feed cannot be reached. A revocation on \
         another node may go unseen for so long at most; 1s to 1h, not under `poll_interval`";
    POLL_INTERVAL = "poll_interval", "GATEPOST_POLL_INTERVAL", Form::Value("TIME"), Cache, Fallback::Value("1s"), Open,
        "How often the change log is read where no notice of a change came; 50ms to 1m";

    RECORD_USAGE = "record_usage", "GATEPOST_RECORD_USAGE", Form::Switch, Usage, Fallback::Value("true"), Open,
        "Count how credentials are used, and keep an access log";
    USAGE_INTERVAL = "usage_interval", "GATEPOST_USAGE_INTERVAL", Form::Value("TIME"), Usage, Fallback::Value("10s"), Open,
        "How often what was counted is written down: what a crash may lose, and how old the newest report is; 100ms to 1m";
    KEEP_USAGE_MINUTES = "keep_usage_minutes", "GATEPOST_KEEP_USAGE_MINUTES", Form::Value("TIME"), Usage,
        Fallback::Value("48h"), Open,
        "How long the counts of minutes are kept; 1h to 31d";
    KEEP_USAGE_HOURS = "keep_usage_hours", "GATEPOST_KEEP_USAGE_HOURS", Form::Value("TIME"), Usage,
        Fallback::Value("90d"), Open,
        "How long the counts of hours are kept; 1d to 731d";
    KEEP_USAGE_DAYS = "keep_usage_days", "GATEPOST_KEEP_USAGE_DAYS", Form::Value("TIME"), Usage,
        Fallback::Value("730d"), Open,
        "How long the counts of days are kept; 1d to 3660d";
    KEEP_ACCESS_LOG = "keep_access_log", "GATEPOST_KEEP_ACCESS_LOG", Form::Value("TIME"), Usage,
        Fallback::Value("30d"), Open,
        "How long the access log is kept; 1h to 731d";

    LOG_FORMAT = "log_format", "GATEPOST_LOG_FORMAT", Form::Value("FORMAT"), Telemetry, Fallback::Value("people"), Open,
        "Form of the log on standard error: `people` or `json`";
    LOG = "log", "GATEPOST_LOG", Form::Value("FILTER"), Telemetry, Fallback::Value("info"), Open,
        "What is logged: `error`, `warn`, `info`, `debug`, `trace`, `off`, or by module as in `info,gatepost=debug`";
    OTLP_ENDPOINT = "otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", Form::Value("URL"), Telemetry,
        Fallback::Words("no traces"), Url,
        "Collector that takes traces over OTLP/gRPC, such as `http://localhost:4317`. Headers come from \
         `OTEL_EXPORTER_OTLP_HEADERS`";

    WORKER_THREADS = "worker_threads", "GATEPOST_WORKER_THREADS", Form::Value("N"), Tuning,
        Fallback::Words("one per processor"), Open,
        "Threads that answer requests; 1 to 1024";
    COALESCE_WRITES = "coalesce_writes", "GATEPOST_COALESCE_WRITES", Form::Switch, Tuning, Fallback::Value("true"), Open,
        "Gather what a connection writes at one time into one system call";
    INLINE_STREAMS = "inline_streams", "GATEPOST_INLINE_STREAMS", Form::Switch, Tuning, Fallback::Value("true"), Open,
        "Run the requests of an HTTP/2 connection inside its own task";
}
