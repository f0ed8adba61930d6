//! Reads the values of settings. Each function answers the rule where a text breaks it.

use std::fs::File;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderName, Uri};
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;
use url::Url;
use zeroize::Zeroizing;

use super::{CorsOrigins, Database, LeakReportSecrets, LogFilter, LogFormat, PostgresUrl, RedisUrl};
use crate::domain::network::parse_range;
use crate::domain::password::HashCost;
use crate::domain::sealing::MasterKey;

/// A value, or the rule it breaks.
pub(super) type Read<T> = Result<T, String>;

pub(super) fn address(text: &str) -> Read<SocketAddr> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

pub(super) fn directory(text: &str) -> Read<PathBuf> {
    let path = PathBuf::from(text);
    if text.is_empty() || path.is_file() {
        return Err("must be a directory, or the name of one to make".to_owned());
    }
    Ok(path)
}

/// A file that can be read now. What it holds is judged by whoever needs it.
pub(super) fn readable_file(text: &str) -> Read<PathBuf> {
    let path = PathBuf::from(text);
    match File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err("must be a file".to_owned()),
        Err(error) => Err(format!("must be a file that can be read: {error}")),
    }
}

pub(super) fn database(text: &str) -> Read<Database> {
    const RULE: &str = "must be postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH";
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        let is_path = !path.is_empty() && !path.starts_with(':') && !path.contains('?');
        return if is_path { Ok(Database::Sqlite(path.into())) } else { Err(RULE.to_owned()) };
    }
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(Database::Postgres(PostgresUrl(text.to_owned()))),
        _ => Err(RULE.to_owned()),
    }
}

/// Where it is, in the words of its clients. That a certificate goes unchecked cannot be asked for (`#insecure`).
pub(super) fn redis(text: &str) -> Read<RedisUrl> {
    const RULE: &str = "must be redis://USER:PASSWORD@HOST:PORT/NUMBER, rediss:// for TLS, or redis+unix://PATH";
    let url = Url::parse(text).ok().filter(|url| url.fragment().is_none());
    let whole = url.is_some_and(|url| match url.scheme() {
        "redis" | "rediss" | "valkey" | "valkeys" => url.host_str().is_some_and(|host| !host.is_empty()),
        "redis+unix" | "valkey+unix" | "unix" => url.path().len() > 1,
        _ => false,
    });
    if whole { Ok(RedisUrl(text.to_owned())) } else { Err(RULE.to_owned()) }
}

pub(super) fn master_key(text: &str) -> Read<MasterKey> {
    MasterKey::parse(text).ok_or_else(|| "must be 32 bytes in base64; `openssl rand -base64 32` makes one".to_owned())
}

pub(super) fn switch(text: &str) -> Read<bool> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Read<usize> {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {} to {}", range.start(), range.end())),
    }
}

/// A size in bytes. Only the units with one meaning are taken: a kilobyte is 1,000 bytes to some and 1,024 to others.
pub(super) fn size(range: RangeInclusive<usize>) -> impl Fn(&str) -> Read<usize> {
    move |text| {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let factor = match text[digits.len()..].trim_start() {
            "" | "B" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let bytes = digits.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        let rule = || {
            let (low, high) = (shown_size(*range.start()), shown_size(*range.end()));
            format!("must be a size from {low} to {high}, such as 1MiB, 512KiB or 1048576")
        };
        bytes.filter(|bytes| range.contains(bytes)).ok_or_else(rule)
    }
}

pub(super) fn time(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Read<Duration> {
    move |text| {
        let rule = || {
            let (low, high) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
            format!("must be a time from {low} to {high}, such as 30s, 500ms or 2m")
        };
        humantime::parse_duration(text).ok().filter(|time| range.contains(time)).ok_or_else(rule)
    }
}

/// How long a signing key signs. The words for a year in days are its own: the library would say it in months and hours.
pub(super) fn rotation(text: &str) -> Read<Duration> {
    const RULE: &str = "must be a time from 1h to 365d, such as 30d or 12h";
    let hour = Duration::from_secs(60 * 60);
    let parsed = humantime::parse_duration(text).ok().filter(|time| (hour..=365 * 24 * hour).contains(time));
    parsed.ok_or_else(|| RULE.to_owned())
}

/// The base of URLs: compared as text by whoever checks tokens, so there is one way to write it.
pub(super) fn public_url(text: &str) -> Read<String> {
    const RULE: &str = "must be a URL such as https://keys.example or https://example.com/keys, without a user, a query, \
                        a fragment or a slash at its end, and of 200 characters at most";
    let plain = text.bytes().all(|c| c.is_ascii_graphic() && !b"?#@\"<>\\^`{|}".contains(&c));
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let whole = rest.is_some_and(|rest| !rest.ends_with('/') && !rest.contains("//"));
    let uri = text.parse::<Uri>().ok();
    let named = uri.is_some_and(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    if plain && whole && named && text.len() <= 200 { Ok(text.to_owned()) } else { Err(RULE.to_owned()) }
}

/// Secrets of the Standard Webhooks scheme, as long as it says.
pub(super) fn leak_report_secrets(text: &str) -> Read<LeakReportSecrets> {
    const RULE: &str = "must be whsec_ and 24 to 64 bytes in base64, such as whsec_$(openssl rand -base64 32); up to 4 of them, \
                        separated by commas";
    let secret = |item: &str| {
        let bytes = BASE64_STANDARD.decode(item.strip_prefix("whsec_")?).ok().map(Zeroizing::new)?;
        (24..=64).contains(&bytes.len()).then_some(bytes)
    };
    let secrets: Option<Vec<_>> = text.split(',').map(|item| secret(item.trim())).collect();
    secrets.filter(|secrets| secrets.len() <= 4).map(LeakReportSecrets).ok_or_else(|| RULE.to_owned())
}

/// The address of a document. Whether it may be fetched is for whoever fetches it to say.
pub(super) fn document(text: &str) -> Read<String> {
    let rule = "must be a URL such as https://api.github.com/meta/public_keys/secret_scanning";
    collector(text).map(|_| text.to_owned()).map_err(|_| rule.to_owned())
}

pub(super) fn hash_cost(text: &str) -> Read<HashCost> {
    HashCost::parse(text).ok_or_else(|| HashCost::RULE.to_owned())
}

pub(super) fn origins(text: &str) -> Read<CorsOrigins> {
    const RULE: &str =
        "must be *, none, or origins such as https://shop.example or http://localhost:3000, without a path";
    if text.trim() == "*" {
        return Ok(CorsOrigins::Any);
    }
    let origins: Option<Vec<String>> = items(text).map(|item| is_origin(item).then(|| item.to_owned())).collect();
    origins.map(CorsOrigins::Only).ok_or_else(|| RULE.to_owned())
}

pub(super) fn key_headers(text: &str) -> Read<Vec<HeaderName>> {
    let mut names = Vec::new();
    for item in items(text) {
        let name = HeaderName::try_from(item).map_err(|_| format!("must be names of headers; {item:?} is none"))?;
        if TAKEN_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            return Err(format!("must be headers without another meaning; {name:?} has one"));
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MAX_KEY_HEADERS {
        return Err(format!("must be {MAX_KEY_HEADERS} headers at most"));
    }
    Ok(names)
}

pub(super) fn networks(text: &str) -> Read<Vec<IpNet>> {
    let rule = || "must be `none`, or networks such as 10.0.0.0/8 (host bits zero) or single addresses".to_owned();
    items(text).map(|item| parse_range(item).ok_or_else(rule)).collect()
}

pub(super) fn log_format(text: &str) -> Read<LogFormat> {
    match text {
        "people" => Ok(LogFormat::People),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be people or json".to_owned()),
    }
}

pub(super) fn log_filter(text: &str) -> Read<LogFilter> {
    const RULE: &str =
        "must be a level (off, error, warn, info, debug, trace) or levels by module, such as info,gatepost=debug";
    // The library takes a misspelt level for the name of a module and then logs nothing else.
    let is_level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let plain = |part: &str| part.contains('=') || part.contains('[') || is_level(part.trim());
    let parsed = EnvFilter::builder().parse(text);
    if text.split(',').all(plain) && parsed.is_ok() { Ok(LogFilter(text.to_owned())) } else { Err(RULE.to_owned()) }
}

pub(super) fn collector(text: &str) -> Read<Uri> {
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let scheme = uri.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https");
        scheme && uri.host().is_some_and(|host| !host.is_empty())
    });
    uri.ok_or_else(|| "must be a URL such as http://localhost:4317".to_owned())
}

fn is_origin(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let host = rest.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._:[]".contains(&c));
    host && !rest.is_empty() && text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    let text = if text.trim() == "none" { "" } else { text };
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn shown_size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const MAX_KEY_HEADERS: usize = 8;

/// Headers that say something else, or that intermediaries write.
const TAKEN_HEADERS: [&str; 21] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "idempotency-key",
    "origin",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
    "x-request-timeout",
];
