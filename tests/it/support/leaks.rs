//! Watches for secrets where none may be: every line of the log, and every answer.
//!
//! A secret is known by its shape (`sk_live_` and 49 characters, a signed token), so that one that no test has heard of is
//! found too; and passwords by a word that all of the suite's have.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, Once};

use http::HeaderMap;
use serde_json::Value;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// Remembers a secret that was made.
pub(crate) fn remember(secret: &str) {
    SECRETS.lock().expect("nobody panics here").insert(secret.to_owned());
}

/// Every secret that was made so far, by any test.
pub(crate) fn secrets() -> Vec<String> {
    SECRETS.lock().expect("nobody panics here").iter().cloned().collect()
}

/// The first secret in a text, by its shape or because it was made.
pub(crate) fn find_secret(text: &[u8]) -> Option<String> {
    find_key(text).or_else(|| find_token(text)).or_else(|| find_password(text)).or_else(|| find_webhook_secret(text))
}

/// The secret of a webhook: 32 bytes in base64.
fn find_webhook_secret(text: &[u8]) -> Option<String> {
    let mut starts = (0..text.len()).filter(|at| text[*at..].starts_with(b"whsec_"));
    let base64 = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    let at = starts.find(|at| text[at + 6..].iter().take_while(base64).count() >= 43)?;
    Some(String::from_utf8_lossy(&text[at..at + 6 + 43]).into_owned())
}

fn find_password(text: &[u8]) -> Option<String> {
    text.windows(PASSWORD_MARK.len()).any(|part| part == PASSWORD_MARK).then(|| "a password".to_owned())
}

fn find_token(text: &[u8]) -> Option<String> {
    let starts = (0..text.len()).filter(|at| text[*at..].starts_with(b"eyJ"));
    for start in starts {
        let inner = |byte: &&u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let token: Vec<u8> = text[start..].iter().take_while(inner).copied().collect();
        let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
        if parts.len() >= 3 && parts[2].len() >= SIGNATURE {
            return Some(String::from_utf8_lossy(&token).into_owned());
        }
    }
    None
}

fn find_key(text: &[u8]) -> Option<String> {
    let environments = [b"_live_", b"_test_"];
    let starts = (0..text.len()).filter(|at| environments.iter().any(|word| text[*at..].starts_with(*word)));
    for start in starts {
        let body = text[start + 6..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if body >= BODY {
            let prefix = text[..start].iter().rev().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            return Some(String::from_utf8_lossy(&text[start - prefix..start + 6 + BODY]).into_owned());
        }
    }
    None
}

/// The fields of answers that are there to hold a secret.
pub(crate) const PLACES: [&str; 10] = [
    "secret",
    "liveSecret",
    "testSecret",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "device_code",
    "registration_access_token",
];

/// A password that may be chosen.
pub(crate) const PASSWORD: &str = "the-snark-was-a-boojum";
/// Another one.
pub(crate) const OTHER_PASSWORD: &str = "just-the-place-for-a-snark-hunt";

/// Takes the secrets out of an answer that stand where they are meant to.
pub(crate) fn take_what_is_meant(answer: &mut Value) {
    for place in PLACES {
        answer.as_object_mut().and_then(|members| members.remove(place));
    }
}

/// Takes the headers out that are there to hold a secret: a browser's cookie, and the way to a client with its code.
pub(crate) fn take_headers_that_are_meant(headers: &mut HeaderMap) {
    headers.remove("set-cookie");
    if headers.get("location").is_some_and(|location| location.as_bytes().starts_with(b"https://app.example.com/")) {
        headers.remove("location");
    }
}

/// From now on reads every line that any server of this process logs.
pub(crate) fn watch_the_log() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let lines = fmt::layer().with_ansi(false).with_span_events(fmt::format::FmtSpan::FULL).with_writer(Watcher);
        let (filter, handle) = reload::Layer::new(EnvFilter::new(USUAL));
        *FILTER.lock().expect("nobody panics here") = Some(handle);
        tracing_subscriber::registry().with(filter).with(lines).init();
    });
}

/// Logs all there is, of all libraries too, from now on.
pub(crate) fn log_everything() {
    watch_the_log();
    let filter = FILTER.lock().expect("nobody panics here");
    filter.as_ref().expect("the log is watched").reload(EnvFilter::new("trace")).expect("the log is there");
}

/// Lines of the log seen so far.
pub(crate) fn lines_seen() -> usize {
    LOG.lock().expect("nobody panics here").lines
}

/// Fails if the log has held a secret.
pub(crate) fn assert_none() {
    let log = LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    assert!(log.leaks.is_empty(), "the log holds secrets:\n{}", log.leaks.join("\n"));
}

struct Watcher;

#[derive(Default)]
struct Log {
    lines: usize,
    leaks: Vec<String>,
}

impl Write for Watcher {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let leak = find_secret(line);
        let mut log = LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        log.lines += 1;
        if leak.is_some() && log.leaks.len() < 10 {
            log.leaks.push(String::from_utf8_lossy(line).into_owned());
        }
        if *SHOWN {
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Watcher {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        Self
    }
}

static SECRETS: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
static LOG: LazyLock<Mutex<Log>> = LazyLock::new(Mutex::default);
static FILTER: Mutex<Option<reload::Handle<EnvFilter, Registry>>> = Mutex::new(None);
/// Whether the log is shown too, for whoever looks for a fault.
static SHOWN: LazyLock<bool> = LazyLock::new(|| std::env::var_os("GATEPOST_TEST_LOG").is_some());

/// In every password of the suite.
const PASSWORD_MARK: &[u8] = b"-snark-";
/// Characters of an Ed25519 signature in base64url.
const SIGNATURE: usize = 86;
/// Characters of a secret after its environment.
const BODY: usize = 49;
/// All of our own, and what libraries say to people: theirs are many.
const USUAL: &str = "info,gatepost=trace";
