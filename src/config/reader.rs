//! Reads every setting and judges how they go together.

use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use super::document::Effective;
use super::error::{ConfigError, Problem};
use super::flags::Flags;
use super::master_key::MasterKeySource;
use super::settings::{Setting, *};
use super::source::{Environment, Source, Sources};
use super::values::{self, Read};
use super::{
    CacheSettings, Config, Database, LeakReportSettings, Limits, Loaded, LogSettings, PasswordSettings, RedisSettings,
    TlsFiles, UsageSettings,
};
use crate::domain::network::unmapped;

pub(super) struct Reader {
    sources: Sources,
    problems: Vec<Problem>,
    effective: Vec<Effective>,
}

impl Reader {
    /// A reader of what these sources say.
    pub(super) fn new(flags: &Flags, environment: Environment<'_>) -> Self {
        let mut problems = Vec::new();
        let sources = Sources::gather(flags, environment, &mut problems);
        Self { sources, problems, effective: Vec::new() }
    }

    /// Reads everything.
    pub(super) fn finish(mut self) -> Result<Loaded, ConfigError> {
        let config = self.config();
        if self.problems.is_empty() {
            Ok(Loaded { config, effective: self.effective })
        } else {
            Err(ConfigError::new(self.problems))
        }
    }

    /// Reads every setting in the order of the table. Where one is wrong the default stands in, and a problem is noted, so
    /// that the caller throws the result away.
    fn config(&mut self) -> Config {
        let listen = self.read(&LISTEN, values::address);
        let data_dir = self.read(&DATA_DIR, values::directory);
        let database = self.find(&DATABASE_URL, values::database, || "SQLite in data_dir".to_owned());
        let redis = self.redis();
        let lease_timeout = self.read(&LEASE_TIMEOUT, values::time(Duration::from_millis(5)..=Duration::from_secs(60)));
        let master_key = self.find(&MASTER_KEY, values::master_key, || "file in data_dir".to_owned());

        let said_tls = self.sources.of(&TLS_CERT).is_some();
        let public_unsaid = format!("{}://{listen}", if said_tls { "https" } else { "http" });
        let public_url = self.find(&PUBLIC_URL, values::public_url, || public_unsaid);
        let tls_cert = self.find(&TLS_CERT, values::readable_file, || "no TLS".to_owned());
        let tls_key = self.find(&TLS_KEY, values::readable_file, || "no TLS".to_owned());
        let behind_proxy = self.read(&BEHIND_PROXY, values::switch);
        let proxies_unsaid = usize::from(behind_proxy);
        let trusted_proxies = self.find(&TRUSTED_PROXIES, values::count(0..=16), || proxies_unsaid.to_string());
        let cors_origins = self.read(&CORS_ORIGINS, values::origins);
        let key_headers = self.read(&KEY_HEADERS, values::key_headers);

        let limits = self.limits();
        let signing_key_rotation = self.read(&SIGNING_KEY_ROTATION, values::rotation);
        let issuer_private_addresses = self.read(&ISSUER_PRIVATE_ADDRESSES, values::networks);
        let stranger_private_addresses = self.read(&STRANGER_PRIVATE_ADDRESSES, values::networks);
        let require_dpop_nonces = self.read(&REQUIRE_DPOP_NONCES, values::switch);
        let webhook_private_addresses = self.read(&WEBHOOK_PRIVATE_ADDRESSES, values::networks);
        let leak_reports = self.leak_reports();
        let passwords = self.passwords();
        let cache = self.cache();
        let usage = self.usage();

        let format = self.read(&LOG_FORMAT, values::log_format);
        let filter = self.read(&LOG, values::log_filter);
        let otlp_endpoint = self.find(&OTLP_ENDPOINT, values::collector, || "no traces".to_owned());

        let threads_unsaid = available_parallelism().map_or(1, usize::from);
        let worker_threads = self.find(&WORKER_THREADS, values::count(1..=1024), || threads_unsaid.to_string());
        let coalesce_writes = self.read(&COALESCE_WRITES, values::switch);
        let inline_streams = self.read(&INLINE_STREAMS, values::switch);

        let config = Config {
            database: database.unwrap_or_else(|| Database::Sqlite(data_dir.join(DATABASE_FILE))),
            master_key: MasterKeySource::new(master_key, &data_dir),
            tls: self.tls(tls_cert, tls_key),
            trusted_proxies: trusted_proxies.unwrap_or(proxies_unsaid),
            log: LogSettings { format, filter },
            worker_threads: worker_threads.unwrap_or(threads_unsaid),
            listen,
            public_url,
            data_dir,
            redis,
            lease_timeout,
            behind_proxy,
            limits,
            leak_reports,
            passwords,
            signing_key_rotation,
            issuer_private_addresses,
            stranger_private_addresses,
            webhook_private_addresses,
            require_dpop_nonces,
            cache,
            usage,
            cors_origins,
            key_headers,
            otlp_endpoint,
            coalesce_writes,
            inline_streams,
        };
        self.judge_exposure(&config);
        config
    }

    fn redis(&mut self) -> Option<RedisSettings> {
        let url = self.find(&REDIS_URL, values::redis, || "none".to_owned());
        let timeout = values::time(Duration::from_millis(5)..=Duration::from_secs(60));
        let timeout = self.read(&REDIS_TIMEOUT, timeout);
        url.map(|url| RedisSettings { url, timeout })
    }

    fn limits(&mut self) -> Limits {
        Limits {
            max_body: self.read(&MAX_BODY, values::size(KIB..=64 * MIB)),
            max_header: self.read(&MAX_HEADER, values::size(8 * KIB..=256 * KIB)),
            request_timeout: self.read(&REQUEST_TIMEOUT, values::time(Duration::from_millis(100)..=TEN_MINUTES)),
            max_connections: self.read(&MAX_CONNECTIONS, values::count(1..=1_000_000)),
            // The range keeps it far below 2^32.
            max_concurrent_streams: self.read(&MAX_CONCURRENT_STREAMS, values::count(1..=10_000)) as u32,
            drain_timeout: self.read(&DRAIN_TIMEOUT, values::time(Duration::ZERO..=TEN_MINUTES)),
        }
    }

    fn leak_reports(&mut self) -> LeakReportSettings {
        let secrets = self.find(&LEAK_REPORT_SECRET, values::leak_report_secrets, || "not taken".to_owned());
        let from_github = self.read(&GITHUB_LEAK_REPORTS, values::switch);
        let url = self.read(&GITHUB_LEAK_KEYS_URL, values::document);
        LeakReportSettings { secrets, github_keys: from_github.then_some(url) }
    }

    fn passwords(&mut self) -> PasswordSettings {
        let threads_unsaid = (available_parallelism().map_or(1, usize::from) / 2).clamp(1, MOST_PASSWORD_THREADS);
        let cost = self.read(&PASSWORD_COST, values::hash_cost);
        let threads = values::count(1..=MOST_PASSWORD_THREADS);
        let threads = self.find(&PASSWORD_THREADS, threads, || threads_unsaid.to_string());
        PasswordSettings { cost, threads: threads.unwrap_or(threads_unsaid) }
    }

    fn cache(&mut self) -> CacheSettings {
        let second = Duration::from_secs(1);
        let cache = CacheSettings {
            capacity: self.read(&CACHE_CAPACITY, values::count(1_000..=10_000_000)),
            trust: self.read(&CACHE_TRUST, values::time(second..=3_600 * second)),
            poll_interval: self.read(&POLL_INTERVAL, values::time(Duration::from_millis(50)..=60 * second)),
        };
        if cache.trust < cache.poll_interval {
            let rule = "must not be under poll_interval, or a healthy server would not trust its own memory";
            self.note(&CACHE_TRUST, rule);
        }
        cache
    }

    fn usage(&mut self) -> UsageSettings {
        let (hour, day) = (Duration::from_secs(60 * 60), Duration::from_secs(24 * 60 * 60));
        UsageSettings {
            recorded: self.read(&RECORD_USAGE, values::switch),
            interval: self.read(&USAGE_INTERVAL, values::time(Duration::from_millis(100)..=Duration::from_secs(60))),
            keep_minutes: self.read(&KEEP_USAGE_MINUTES, values::time(hour..=31 * day)),
            keep_hours: self.read(&KEEP_USAGE_HOURS, values::time(day..=731 * day)),
            keep_days: self.read(&KEEP_USAGE_DAYS, values::time(day..=3_660 * day)),
            keep_access_log: self.read(&KEEP_ACCESS_LOG, values::time(hour..=731 * day)),
        }
    }

    fn tls(&mut self, cert: Option<PathBuf>, key: Option<PathBuf>) -> Option<TlsFiles> {
        // Whether both were said, not whether both could be read: that is a problem of its own already.
        let said = |setting| self.sources.of(setting).is_some();
        match (said(&TLS_CERT), said(&TLS_KEY)) {
            (true, false) => self.note(&TLS_CERT, "needs tls_key beside it (--tls-key, GATEPOST_TLS_KEY)"),
            (false, true) => self.note(&TLS_KEY, "needs tls_cert beside it (--tls-cert, GATEPOST_TLS_CERT)"),
            _ => {}
        }
        Some(TlsFiles { cert: cert?, key: key? })
    }

    /// Keys must not cross a network in the clear without someone having said so.
    fn judge_exposure(&mut self, config: &Config) {
        let said_tls = self.sources.of(&TLS_CERT).is_some() || self.sources.of(&TLS_KEY).is_some();
        if !unmapped(config.listen.ip()).is_loopback() && !said_tls && !config.behind_proxy {
            let rule = "is not a loopback address, and without TLS keys would cross the network in the clear: give \
                        --tls-cert and --tls-key, or --behind-proxy if a proxy in front ends TLS";
            self.note(&LISTEN, rule);
        }
        if config.behind_proxy && config.trusted_proxies == 0 {
            let rule = "must be at least 1 with behind_proxy: the proxy's word says which requests came over HTTPS";
            self.note(&TRUSTED_PROXIES, rule);
        }
    }

    /// Reads a setting that always has a value.
    fn read<T>(&mut self, setting: &'static Setting, parse: impl Fn(&str) -> Read<T>) -> T {
        let Fallback::Value(default) = setting.default else {
            unreachable!("only settings with a default value are read so; a test reads them all")
        };
        let value = self.find(setting, &parse, String::new);
        value.unwrap_or_else(|| match parse(default) {
            Ok(value) => value,
            Err(rule) => unreachable!("the default of {} {rule}; a test reads them all", setting.key),
        })
    }

    /// Reads a setting if it was given; `unsaid` tells what holds otherwise.
    fn find<T>(
        &mut self,
        setting: &'static Setting,
        parse: impl Fn(&str) -> Read<T>,
        unsaid: impl FnOnce() -> String,
    ) -> Option<T> {
        let Some(given) = self.sources.of(setting) else {
            self.effective.push(Effective { setting, value: unsaid(), source: Source::Default });
            return None;
        };
        let value = setting.shown(&given.text);
        self.effective.push(Effective { setting, value, source: given.source.clone() });
        match parse(&given.text) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.problems.push(Problem::value(setting, &given.source, &given.text, rule));
                None
            }
        }
    }

    /// Notes that a setting breaks a rule that other settings make.
    fn note(&mut self, setting: &'static Setting, rule: &str) {
        self.problems.push(match self.sources.of(setting) {
            Some(given) => Problem::value(setting, &given.source, &given.text, rule),
            None => Problem::of(setting.key, rule),
        });
    }
}

const DATABASE_FILE: &str = "gatepost.db";
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const MOST_PASSWORD_THREADS: usize = 64;
const TEN_MINUTES: Duration = Duration::from_secs(600);
