//! What the configuration takes, refuses and says.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;

use clap::{Args, Command, FromArgMatches};

use super::settings::SETTINGS;
use super::*;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn flags(args: &[&str]) -> Flags {
    let command = Flags::augment_args(Command::new("gatepost").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(args).unwrap()).unwrap()
}

fn load(args: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Config::load(&flags(args), &|name| variables.get(name).map(OsString::from))
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let config = load(&[], &[]).unwrap().config;
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.database, Database::Sqlite("./gatepost-data/gatepost.db".into()));
    assert!(matches!(&config.master_key, MasterKeySource::File(path) if path.ends_with("gatepost-data/master.key")));
    assert_eq!((config.tls, config.behind_proxy, config.trusted_proxies), (None, false, 0));
    assert_eq!((config.limits.max_body, config.limits.max_header), (1 << 20, 16 << 10));
    assert_eq!(config.limits.request_timeout, Duration::from_secs(30));
    assert_eq!((config.cache.capacity, config.cache.trust), (200_000, Duration::from_secs(10)));
    assert_eq!(config.cors_origins, CorsOrigins::Any);
    assert_eq!(config.key_headers, ["x-builton-api-key"]);
    assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::People, "info"));
    assert!(config.coalesce_writes && config.inline_streams && config.otlp_endpoint.is_none());
    assert!(config.worker_threads >= 1);
    assert_eq!((config.public_url, config.signing_key_rotation), (None, Duration::from_secs(30 * 24 * 3600)));
    let shown = load(&["--listen=[::1]:8"], &[]).unwrap().effective;
    assert!(shown.iter().any(|e| e.setting.key == "public_url" && e.value == "http://[::1]:8"));
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gatepost.toml");
    fs::write(&file, "listen = '127.0.0.1:1'\nmax_connections = 1\nmax_concurrent_streams = 1\n").unwrap();
    let file = file.to_str().unwrap();
    let variables = [("GATEPOST_LISTEN", "127.0.0.1:2"), ("GATEPOST_MAX_CONNECTIONS", "2"), ("GATEPOST_CONFIG", file)];
    let loaded = load(&["--listen", "127.0.0.1:3"], &variables).unwrap();
    assert_eq!(loaded.config.listen.port(), 3);
    assert_eq!(loaded.config.limits.max_connections, 2);
    assert_eq!(loaded.config.limits.max_concurrent_streams, 1);
    let source = |key| &loaded.effective.iter().find(|e| e.setting.key == key).unwrap().source;
    assert_eq!(*source("listen"), Source::Flag);
    assert_eq!(*source("max_connections"), Source::Environment);
    assert_eq!(*source("max_concurrent_streams"), Source::File(file.into()));
    assert_eq!(*source("max_body"), Source::Default);
    assert_eq!(load(&["--config", file], &[]).unwrap().config.listen.port(), 1);
}

#[test]
fn values_are_read_in_their_forms() {
    let config = load(
        &[
            "--behind-proxy",
            "--inline-streams=false",
            "--listen=0.0.0.0:80",
            "--max-body=2MiB",
            "--request-timeout=1m 30s",
        ],
        &[
            ("DATABASE_URL", "postgres://me:hunter2@db/keys"),
            ("GATEPOST_MASTER_KEY", KEY),
            ("GATEPOST_CORS_ORIGINS", "https://shop.example, http://localhost:3000"),
            ("GATEPOST_KEY_HEADERS", "X-Shop-Key,x-shop-key"),
            ("GATEPOST_LOG", "warn,gatepost=debug"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4317"),
            ("GATEPOST_TLS_CERT", ""),
            ("GATEPOST_PUBLIC_URL", "http://10.0.0.1:8080/keys"),
            ("GATEPOST_SIGNING_KEY_ROTATION", "12h"),
            ("GATEPOST_ISSUER_PRIVATE_ADDRESSES", "10.0.0.0/8, ::1"),
        ],
    )
    .unwrap()
    .config;
    assert!(config.behind_proxy && !config.inline_streams);
    assert_eq!((config.trusted_proxies, config.limits.max_body), (1, 2 << 20));
    assert_eq!(config.limits.request_timeout, Duration::from_secs(90));
    assert!(matches!(&config.database, Database::Postgres(url) if url.expose() == "postgres://me:hunter2@db/keys"));
    assert!(matches!(config.master_key, MasterKeySource::Given(_)));
    assert_eq!(config.public_url.as_deref(), Some("http://10.0.0.1:8080/keys"));
    assert_eq!(config.signing_key_rotation, Duration::from_secs(12 * 3600));
    let networks: Vec<_> = config.issuer_private_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "::1/128"]);
    let origins = ["https://shop.example".to_owned(), "http://localhost:3000".to_owned()];
    assert_eq!(config.cors_origins, CorsOrigins::Only(origins.to_vec()));
    assert_eq!(config.key_headers, ["x-shop-key"]);
    assert_eq!(config.otlp_endpoint.unwrap(), "https://collector:4317");
    let database = |url| load(&["--database-url", url], &[]).unwrap().config.database;
    assert_eq!(database("sqlite:/var/keys.db"), Database::Sqlite("/var/keys.db".into()));
    assert_eq!(database("sqlite://keys.db"), Database::Sqlite("keys.db".into()));
    assert_eq!(load(&["--cors-origins=none"], &[]).unwrap().config.cors_origins, CorsOrigins::Only(vec![]));
}

#[test]
fn a_wrong_value_is_told_with_the_variable_the_value_and_the_rule() {
    let cases = [
        ("GATEPOST_LISTEN", "localhost:80", "must be an IP address and a port"),
        ("GATEPOST_LISTEN", "8080", "must be an IP address and a port"),
        ("GATEPOST_LISTEN", "0.0.0.0:8080", "is not a loopback address"),
        ("GATEPOST_LISTEN", "[::]:8080", "give --tls-cert and --tls-key, or --behind-proxy"),
        ("GATEPOST_DATA_DIR", "/etc/passwd", "must be a directory"),
        ("DATABASE_URL", "sqlite::memory:", "must be postgres://"),
        ("REDIS_URL", "http://redis", "must be redis://"),
        ("REDIS_URL", "redis://", "must be redis://"),
        ("REDIS_URL", "rediss://redis:6379#insecure", "must be redis://"),
        ("GATEPOST_REDIS_TIMEOUT", "1ms", "must be a time from 5ms to 1m"),
        ("DATABASE_URL", "sqlite:", "must be postgres://"),
        ("GATEPOST_TLS_CERT", "/nonexistent.pem", "must be a file that can be read"),
        ("GATEPOST_TLS_KEY", "/", "must be a file"),
        ("GATEPOST_BEHIND_PROXY", "maybe", "must be true or false"),
        ("GATEPOST_TRUSTED_PROXIES", "17", "must be a whole number from 0 to 16"),
        ("GATEPOST_TRUSTED_PROXIES", "-1", "must be a whole number from 0 to 16"),
        ("GATEPOST_CORS_ORIGINS", "shop.example", "must be *, none, or origins"),
        ("GATEPOST_CORS_ORIGINS", "https://shop.example/", "without a path"),
        ("GATEPOST_CORS_ORIGINS", "*,https://a.example", "must be *, none, or origins"),
        ("GATEPOST_KEY_HEADERS", "x key", "must be names of headers"),
        ("GATEPOST_KEY_HEADERS", "Cookie", "must be headers without another meaning"),
        ("GATEPOST_KEY_HEADERS", "grpc-timeout", "must be headers without another meaning"),
        ("GATEPOST_KEY_HEADERS", "a,b,c,d,e,f,g,h,i", "must be 8 headers at most"),
        ("GATEPOST_MAX_BODY", "1MB", "must be a size from 1KiB to 64MiB"),
        ("GATEPOST_MAX_BODY", "65MiB", "must be a size from 1KiB to 64MiB"),
        ("GATEPOST_MAX_BODY", "-1", "must be a size"),
        ("GATEPOST_MAX_BODY", "99999999999999999999", "must be a size"),
        ("GATEPOST_MAX_BODY", "18446744073709551615GiB", "must be a size"),
        ("GATEPOST_MAX_HEADER", "4KiB", "must be a size from 8KiB to 256KiB"),
        ("GATEPOST_REQUEST_TIMEOUT", "30", "must be a time from 100ms to 10m"),
        ("GATEPOST_REQUEST_TIMEOUT", "1h", "must be a time from 100ms to 10m"),
        ("GATEPOST_MAX_CONNECTIONS", "0", "must be a whole number from 1 to 1000000"),
        ("GATEPOST_MAX_CONCURRENT_STREAMS", "many", "must be a whole number from 1 to 10000"),
        ("GATEPOST_CACHE_CAPACITY", "1", "must be a whole number from 1000 to 10000000"),
        ("GATEPOST_CACHE_TRUST", "0s", "must be a time from 1s to 1h"),
        ("GATEPOST_LOG_FORMAT", "xml", "must be people or json"),
        ("GATEPOST_LOG", "debugg", "must be a level"),
        ("GATEPOST_LOG", "gatepost=loud", "must be a level"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317", "must be a URL such as http://localhost:4317"),
        ("GATEPOST_PUBLIC_URL", "keys.example", "must be a URL such as https://keys.example"),
        ("GATEPOST_PUBLIC_URL", "ftp://keys.example", "must be a URL"),
        ("GATEPOST_PUBLIC_URL", "https://", "must be a URL"),
        ("GATEPOST_PUBLIC_URL", "https://:443", "must be a URL"),
        ("GATEPOST_PUBLIC_URL", "https://keys.example/", "or a slash at its end"),
        ("GATEPOST_PUBLIC_URL", "https://keys.example?x=1", "must be a URL"),
        ("GATEPOST_PUBLIC_URL", "https://keys.example/#x", "must be a URL"),
        ("GATEPOST_PUBLIC_URL", "https://me@keys.example", "must be a URL"),
        ("GATEPOST_PUBLIC_URL", "https://keys.example/a b", "must be a URL"),
        ("GATEPOST_SIGNING_KEY_ROTATION", "59m", "must be a time from 1h to 365d"),
        ("GATEPOST_SIGNING_KEY_ROTATION", "366d", "must be a time from 1h to 365d"),
        ("GATEPOST_SIGNING_KEY_ROTATION", "30", "must be a time from 1h to 365d"),
        ("GATEPOST_ISSUER_PRIVATE_ADDRESSES", "10.0.0.1/8", "must be `none`, or networks"),
        ("GATEPOST_ISSUER_PRIVATE_ADDRESSES", "localhost", "must be `none`, or networks"),
        ("GATEPOST_WORKER_THREADS", "0", "must be a whole number from 1 to 1024"),
    ];
    for (variable, value, rule) in cases {
        let error = load(&[], &[(variable, value)]).unwrap_err().to_string();
        let expected = format!("{variable} = {value:?}: ");
        let hidden = format!("{variable} = \"(not shown)\": ");
        assert!(error.starts_with(&expected) || error.starts_with(&hidden), "{variable}={value}: {error}");
        assert!(error.contains(rule), "{variable}={value}: {error}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let pem = tempfile::NamedTempFile::new().unwrap();
    let pem = pem.path().to_str().unwrap();
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("GATEPOST_TLS_CERT", pem)], "needs tls_key beside it"),
        (&[("GATEPOST_TLS_KEY", pem)], "needs tls_cert beside it"),
        (&[("GATEPOST_BEHIND_PROXY", "1"), ("GATEPOST_TRUSTED_PROXIES", "0")], "must be at least 1 with behind_proxy"),
        (&[("GATEPOST_CACHE_TRUST", "1s"), ("GATEPOST_POLL_INTERVAL", "2s")], "must not be under poll_interval"),
    ];
    for (variables, rule) in cases {
        let error = load(&[], variables).unwrap_err();
        assert_eq!(error.problems().len(), 1, "{error}");
        assert!(error.to_string().contains(rule), "{error}");
    }
    let both = [("GATEPOST_TLS_CERT", pem), ("GATEPOST_TLS_KEY", pem), ("GATEPOST_LISTEN", "0.0.0.0:443")];
    assert!(load(&[], &both).unwrap().config.tls.is_some());
    assert!(load(&["--listen=[::ffff:127.0.0.1]:80"], &[]).is_ok());
}

#[test]
fn one_start_shows_every_problem_and_names_flags_as_flags() {
    let error = load(&["--listen=x", "--max-body=y"], &[("GATEPOST_LOG", "z")]).unwrap_err();
    assert_eq!(error.problems().len(), 3);
    let text = error.to_string();
    assert!(text.contains("--listen = \"x\": ") && text.contains("--max-body = \"y\": "), "{text}");
}

#[test]
fn a_secret_is_in_no_error_table_or_debug_output() {
    let wrong = [
        ("GATEPOST_MASTER_KEY", "hunter2"),
        ("DATABASE_URL", "mysql://me:hunter2@db/keys"),
        ("DATABASE_URL", "host=db password=hunter2"),
        ("REDIS_URL", "rediss://:hunter2@redis#insecure"),
        ("REDIS_URL", "host=redis password=hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://me:hunter2@collector"),
    ];
    for (variable, value) in wrong {
        let error = load(&[], &[(variable, value)]).unwrap_err();
        assert!(error.to_string().contains(variable), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let right = [
        ("GATEPOST_MASTER_KEY", KEY),
        ("DATABASE_URL", "postgres://me:hunter2@db/keys"),
        ("REDIS_URL", "rediss://me:hunter2@redis:6379/1"),
    ];
    let loaded = load(&[], &right).unwrap();
    let shown = format!("{:?} {}", loaded.config, effective_table(&loaded.effective));
    assert!(!shown.contains("hunter2") && !shown.contains(KEY), "{shown}");
    assert!(shown.contains("postgres://me:***@db/keys"), "{shown}");
    assert!(shown.contains("rediss://me:***@redis:6379/1"), "{shown}");
}

#[test]
fn a_secret_that_did_not_arrive_is_not_a_default() {
    for variable in ["GATEPOST_MASTER_KEY", "DATABASE_URL"] {
        let error = load(&[], &[(variable, "")]).unwrap_err().to_string();
        assert_eq!(error, format!("{variable}: is empty; give it a value or unset it"));
    }
    assert!(load(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("GATEPOST_LISTEN", "")]).is_ok());
}

#[test]
fn a_file_is_read_strictly() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gatepost.toml");
    let cases = [
        ("listne = '127.0.0.1:80'", "\"listne\" in", "is not a setting"),
        ("[limits]\nmax_body = 1", "\"limits\" in", "is not a setting"),
        ("master_key = 'hunter2'", "\"master_key\" in", "use GATEPOST_MASTER_KEY"),
        ("listen = true", "\"listen\" in", "must be a string or a whole number"),
        ("max_connections = 1.5", "\"max_connections\" in", "must be a string or a whole number"),
        ("behind_proxy = 'true'", "\"behind_proxy\" in", "must be true or false"),
        ("cors_origins = [1]", "\"cors_origins\" in", "must be a list of strings"),
        ("max_connections = -5", "max_connections in", "must be a whole number from 1"),
        ("\ndatabase_url = 'postgres://me:hunter2@db' x", "--config = ", "is not TOML: line 2"),
        ("listen = '127.0.0.1:1'\nlisten = '127.0.0.1:1'", "--config = ", "is not TOML: line 2"),
    ];
    for (text, subject, rule) in cases {
        fs::write(&path, text).unwrap();
        let error = load(&["--config", path.to_str().unwrap()], &[]).unwrap_err().to_string();
        assert!(error.contains(subject) && error.contains(rule), "{text}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    fs::write(&path, "cors_origins = ['https://a.example']\nkey_headers = []\nbehind_proxy = true\nmax_body = 2048")
        .unwrap();
    let config = load(&["--config", path.to_str().unwrap()], &[]).unwrap().config;
    assert_eq!(config.cors_origins, CorsOrigins::Only(vec!["https://a.example".to_owned()]));
    assert_eq!((config.key_headers.len(), config.behind_proxy, config.limits.max_body), (0, true, 2048));
    let error = load(&[], &[("GATEPOST_CONFIG", "/nonexistent.toml")]).unwrap_err().to_string();
    assert!(error.starts_with("GATEPOST_CONFIG = \"/nonexistent.toml\": cannot be read"), "{error}");
}

#[test]
fn every_setting_is_read_and_told() {
    let loaded = load(&[], &[]).unwrap();
    let read: Vec<&str> = loaded.effective.iter().map(|e| e.setting.key).collect();
    let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(read, known);
}

#[test]
fn the_readme_has_the_table() {
    readme::assert_section("settings", &markdown_table());
}
