//! Limits on the command line: `per-minute=100/1m`, `daily=5000/1d,shared`, and for a project `sk:per-minute=100/1m`.

use clap::{Args, ValueEnum};
use prost_types::Duration as WireDuration;

use super::arguments::duration;
use super::output::Rows;
use super::text::{span, time};
use crate::domain::key::KeyKind;
use crate::domain::limit::{RateLimit, RateLimits};
use crate::proto::v1;
use crate::proto::v1::project::DefaultRateLimits;

/// One limit.
pub(super) fn limit(text: &str) -> Result<v1::RateLimit, String> {
    let rule = || {
        "a limit is written NAME=CALLS/TIME, as in per-minute=100/1m; with `,shared` at its end it is the owner's"
            .to_owned()
    };
    let (text, shared) = text.strip_suffix(",shared").map_or((text, false), |text| (text, true));
    let (name, amount) = text.split_once('=').ok_or_else(rule)?;
    let (calls, window) = amount.split_once('/').ok_or_else(rule)?;
    let limit = calls.parse().map_err(|_| rule())?;
    let window = WireDuration::try_from(duration(window)?).map_err(|_| rule())?;
    if name.is_empty() {
        return Err(rule());
    }
    Ok(v1::RateLimit { name: name.to_owned(), limit, window: Some(window), shared })
}

/// One limit of all keys of a type.
pub(super) fn default_limit(text: &str) -> Result<(KeyKind, v1::RateLimit), String> {
    let rule = || "a limit of a type of key is written TYPE:NAME=CALLS/TIME, as in sk:per-minute=100/1m".to_owned();
    let (kind, text) = text.split_once(':').ok_or_else(rule)?;
    Ok((KeyKind::parse(kind).ok_or_else(rule)?, limit(text)?))
}

/// The credits of a key.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct CreditsArgs {
    /// How many credits it has left to spend: a call spends what it costs, 1 as a rule. Without this, that is not
    /// counted.
    #[arg(long, value_name = "N")]
    credits: Option<i64>,
    /// When it gets new ones, at midnight UTC.
    #[arg(long, value_name = "WHEN", value_enum, requires = "credits")]
    refill: Option<RefillArg>,
    /// How many there are after a refill, if not as many as now.
    #[arg(long, value_name = "N", requires = "refill")]
    refill_amount: Option<i64>,
    /// The day of the month of a monthly refill, 1 to 31; in a month without it, its last.
    #[arg(long, value_name = "DAY", requires = "refill")]
    refill_day: Option<u32>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RefillArg {
    /// Every day.
    Daily,
    /// On one day of every month.
    Monthly,
}

/// What an address list does.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum AddressModeArg {
    /// Calls from other addresses are refused.
    Enforce,
    /// They are let through, and told.
    Report,
}

impl CreditsArgs {
    /// Whether it says when there are new ones; in a change the refill stays as it is otherwise.
    pub(super) fn names_refill(&self) -> bool {
        self.refill.is_some()
    }

    /// The credits that are named.
    pub(super) fn credits(&self) -> Option<v1::Credits> {
        let remaining = self.credits?;
        let refill = match self.refill {
            None => v1::credits::Refill::None,
            Some(RefillArg::Daily) => v1::credits::Refill::Daily,
            Some(RefillArg::Monthly) => v1::credits::Refill::Monthly,
        };
        Some(v1::Credits {
            remaining: Some(remaining),
            refill: refill.into(),
            amount: self.refill.map_or(0, |_| self.refill_amount.unwrap_or(remaining)),
            day: self.refill_day.unwrap_or(0),
            refilled_at: None,
        })
    }
}

impl From<AddressModeArg> for v1::key::AddressMode {
    fn from(mode: AddressModeArg) -> Self {
        match mode {
            AddressModeArg::Enforce => Self::Enforce,
            AddressModeArg::Report => Self::Report,
        }
    }
}

/// Limits of types of keys as a request has them.
pub(super) fn defaults(given: &[(KeyKind, v1::RateLimit)]) -> Vec<DefaultRateLimits> {
    let of = |kind: KeyKind| {
        let limits = given.iter().filter(|(other, _)| *other == kind).map(|(_, limit)| limit.clone()).collect();
        DefaultRateLimits { r#type: wire(kind).into(), rate_limits: limits }
    };
    KeyKind::ALL.map(of).into_iter().filter(|entry| !entry.rate_limits.is_empty()).collect()
}

/// Limits of types of keys as a server tells them.
pub(super) fn told(defaults: &[(KeyKind, RateLimits)]) -> Vec<DefaultRateLimits> {
    let one = |kind: &KeyKind, limit: &RateLimit| {
        let (name, window) = (limit.name.to_string(), limit.window.try_into().ok());
        (*kind, v1::RateLimit { name, limit: limit.calls, window, shared: limit.shared })
    };
    let all = defaults.iter().flat_map(|(kind, limits)| limits.iter().map(|limit| one(kind, limit)));
    self::defaults(&all.collect::<Vec<_>>())
}

/// A row for each limit.
pub(super) fn rows(limits: &[v1::RateLimit], what: &str, rows: &mut Rows) {
    for limit in limits {
        rows.field(what, written(limit));
    }
}

/// A row for the credits of a key, if it has some.
pub(super) fn credits_row(credits: Option<&v1::Credits>, rows: &mut Rows) {
    let Some(credits) = credits else { return };
    let refill = match (credits.refill(), &credits.refilled_at) {
        (v1::credits::Refill::Daily | v1::credits::Refill::Monthly, Some(at)) => {
            format!(" left, {} at {}", credits.amount, time(Some(at)))
        }
        _ => " left".to_owned(),
    };
    rows.field("credits", format!("{}{refill}", credits.remaining()));
}

/// A row for each limit of a type of key.
pub(super) fn default_rows(defaults: &[DefaultRateLimits], rows: &mut Rows) {
    for entry in defaults {
        let kind = entry.r#type().as_str_name().to_lowercase();
        for limit in &entry.rate_limits {
            rows.field("limit of keys", format!("{kind}:{}", written(limit)));
        }
    }
}

/// A row for each limit that a key stands with in some way.
pub(super) fn status_rows(statuses: &[v1::RateLimitStatus], rows: &mut Rows) {
    for status in statuses {
        let (window, reset) = (span(status.window.as_ref()), span(status.reset.as_ref()));
        let v1::RateLimitStatus { name, limit, remaining, .. } = status;
        rows.field("limit", format!("{name}: {remaining} of {limit} in {window} left, all again in {reset}"));
    }
}

fn written(limit: &v1::RateLimit) -> String {
    let window = span(limit.window.as_ref()).replace(' ', "");
    format!("{}={}/{window}{}", limit.name, limit.limit, if limit.shared { ",shared" } else { "" })
}

fn wire(kind: KeyKind) -> v1::key::Type {
    match kind {
        KeyKind::Secret => v1::key::Type::Sk,
        KeyKind::Restricted => v1::key::Type::Rk,
        KeyKind::Publishable => v1::key::Type::Pk,
        KeyKind::User => v1::key::Type::Uk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["per-minute=100/1m", "daily=5000/1day,shared", "odd=7/1h1m1s"] {
            assert_eq!(written(&limit(text).unwrap()), text);
        }
        let (kind, default) = default_limit("rk:a=1/1d").unwrap();
        assert_eq!((kind, default.window), (KeyKind::Restricted, Some(WireDuration { seconds: 86_400, nanos: 0 })));
        for text in ["", "a", "a=1", "=1/1m", "a=x/1m", "a=1/60", "a=-1/1m", "a=1/1m,own"] {
            assert!(limit(text).is_err(), "{text}");
        }
        assert!(default_limit("a=1/1m").is_err() && default_limit("xk:a=1/1m").is_err());
    }
}
