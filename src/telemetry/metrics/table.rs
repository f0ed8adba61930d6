//! The table of metrics: the one source of their names, labels and explanations, in the code and in the README.

use std::fmt::Write;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What kind it is, in Prometheus's word.
    pub kind: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// The table of the README, in Markdown.
pub fn markdown_table() -> String {
    METRICS.iter().fold(String::from("| metric | kind | labels | what it says |\n|---|---|---|---|\n"), |mut out, m| {
        let labels = m.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| `{}` | {} | {labels} | {} |", m.name, m.kind, m.help);
        out
    })
}

macro_rules! metrics {
    ($($name:ident = $text:literal, $kind:literal, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) static $name: Metric =
            Metric { name: $text, kind: $kind, labels: &[$($label),*], help: $help };)*

        /// All metrics, in the order in which they are explained.
        pub static METRICS: &[&Metric] = &[$(&$name),*];
    };
}

metrics! {
    DECISIONS = "gatepost_decisions_total", "counter", ["code", "door"],
        "Decisions about credentials by code; door `guard` is a call of Gatepost's own RPCs, `verify` a question about \
         a credential";
    ADDRESS_REPORTS = "gatepost_address_reports_total", "counter", ["door"],
        "Calls that an address list would have refused which only reports, by door as above";
    ALERTS = "gatepost_alerts_total", "counter", ["kind"],
        "Alerts that were raised on this node, by kind";
    REQUESTS = "gatepost_requests_total", "counter", ["rpc", "wire", "status"],
        "Requests answered, by RPC (`other` where there is none), wire (`grpc`, `grpc_web`, `json`) and status: the \
         gRPC code's name, or the HTTP status";
    REQUEST_SECONDS = "gatepost_request_seconds", "histogram", ["rpc", "wire"],
        "Seconds from the head of a request to the head of its answer";
    CONNECTIONS_OPEN = "gatepost_connections_open", "gauge", [],
        "Client connections open now";
    WEBHOOK_CALLS = "gatepost_webhook_calls_total", "counter", ["outcome"],
        "Calls of webhooks; outcome `delivered` was answered 2xx, `refused` otherwise, `failed` not at all";
    WEBHOOK_WAITING = "gatepost_webhook_deliveries_waiting", "gauge", [],
        "Deliveries to webhooks that wait to be made or tried again, on all nodes; counted once a minute";
    WEBHOOK_DROPPED = "gatepost_webhook_deliveries_dropped_total", "counter", [],
        "Deliveries that were given up because too many newer ones wait for the same webhook";
    CACHE_LOOKUPS = "gatepost_cache_lookups_total", "counter", ["outcome"],
        "Look-ups of keys; outcome `hit` was answered from memory, `miss` had to ask the database";
    CACHE_ENTRIES = "gatepost_cache_entries", "gauge", [],
        "Keys in memory, unknown ones that were asked for included";
    CACHE_EVICTIONS = "gatepost_cache_evictions_total", "counter", [],
        "Keys that left memory to make room";
    CACHE_INVALIDATIONS = "gatepost_cache_invalidations_total", "counter", [],
        "Keys that left memory because they changed";
    SIGN_INS = "gatepost_sign_ins_total", "counter", ["outcome"],
        "Sign-ins with a password; outcome `right` let the user in, `wrong` did not, `too_many` was refused unseen, \
         `failed` could not be judged";
    PASSWORD_HASHES = "gatepost_password_hashes_total", "counter", [],
        "Hashes of passwords made, to keep one or to check one";
    PASSWORDS_WAITING = "gatepost_passwords_waiting", "gauge", [],
        "Passwords that wait for a thread to be hashed on";
    STORE_CONNECTIONS = "gatepost_store_connections", "gauge", ["pool"],
        "Connections to the database in use, by pool: `read` and `write` on SQLite, `all` on PostgreSQL; `reports` on both";
    STORE_CONNECTIONS_MAX = "gatepost_store_connections_max", "gauge", ["pool"],
        "Connections to the database that can be in use at one time; where all are, tasks wait";
    REDIS_UP = "gatepost_redis_up", "gauge", [],
        "1 where Redis answers, which counts rate limits for all nodes; 0 where it does not, or none is configured";
    LIMITS_ALONE = "gatepost_limits_alone_total", "counter", [],
        "Calls whose rate limits this node counted by itself because Redis did not answer";
    FEED_LAG_SECONDS = "gatepost_feed_lag_seconds", "gauge", [],
        "Seconds since this node last knew that it had seen every change; above `cache_trust` it trusts its memory no \
         more";
    FEED_REVISION = "gatepost_feed_revision", "gauge", [],
        "The last revision of the change log that this node has seen";
    BUILD_INFO = "gatepost_build_info", "gauge", ["version"],
        "Always 1; the label says which version runs";
}
