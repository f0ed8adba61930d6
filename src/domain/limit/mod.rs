//! Rate limits: how many calls a key may make in a window of time, and how that is held against it.
//!
//! A limit of `calls` in a `window` is a bucket of `calls` that fills evenly ([`tally`]): so many may be made at once,
//! and from then on one more with each part of the window. Whatever the calls' times, no stretch of time sees more than
//! `calls` and what has come back in it.

pub mod bucket;
pub mod limits;
pub mod purse;
pub mod quota;
pub mod report;
pub mod tally;

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::Violation;

/// One limit of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// What it is called, by [`RateLimit::NAME_RULE`]; a key has no two of one name.
    pub name: Box<str>,
    /// How many calls may be made, one of [`CALLS`].
    pub calls: u32,
    /// In how long: whole seconds, one of [`WINDOWS`].
    pub window: Duration,
    /// Whether all keys of one owner share it, rather than each having it for itself.
    pub shared: bool,
}

/// The calls that a limit can allow.
pub const CALLS: RangeInclusive<u32> = 1..=1_000_000_000;
/// The windows that a limit can have.
pub const WINDOWS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(31 * 24 * 60 * 60);
/// The limits that a key can have of its own, and that a project can give to one type of key.
pub const MOST_LIMITS: usize = 10;

impl RateLimit {
    /// The rule of a name. `credits` is how the quota is called in headers.
    pub const NAME_RULE: &'static str =
        "must be 1 to 32 lower-case letters, digits, hyphens and underscores, and not `credits`";

    /// Whether a limit can be called so.
    pub fn is_name(text: &str) -> bool {
        (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            && text != CREDITS
    }
}

/// The limits of one key, or those that a project gives to one type of key, by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RateLimits(Box<[RateLimit]>);

impl RateLimits {
    /// These limits. Of two with one name, the first counts.
    pub fn new(limits: impl IntoIterator<Item = RateLimit>) -> Self {
        let mut limits: Vec<RateLimit> = limits.into_iter().collect();
        limits.sort_by(|a, b| a.name.cmp(&b.name));
        limits.dedup_by(|later, first| later.name == first.name);
        Self(limits.into())
    }

    /// These, and of `defaults` those whose names are not among them.
    pub fn over(&self, defaults: &Self) -> Self {
        Self::new(self.0.iter().chain(&defaults.0).cloned())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RateLimit> {
        self.0.iter()
    }

    /// The rules that limits as they were given break; `field` names their list.
    pub fn violations(field: &str, given: &[RateLimit]) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut refuse = |field: String, rule: String| found.push(Violation { field, rule });
        if given.len() > MOST_LIMITS {
            refuse(field.to_owned(), format!("must have up to {MOST_LIMITS} entries, not {}", given.len()));
            return found;
        }
        for (index, limit) in given.iter().enumerate() {
            if !RateLimit::is_name(&limit.name) {
                refuse(format!("{field}[{index}].name"), RateLimit::NAME_RULE.to_owned());
            } else if given[..index].iter().any(|other| other.name == limit.name) {
                refuse(format!("{field}[{index}].name"), "is the name of another limit in the list".to_owned());
            }
            if !CALLS.contains(&limit.calls) {
                refuse(format!("{field}[{index}].limit"), "must be 1 to 1,000,000,000 calls".to_owned());
            }
            if !WINDOWS.contains(&limit.window) || limit.window.subsec_nanos() != 0 {
                refuse(
                    format!("{field}[{index}].window"),
                    "must be whole seconds, from 1 s to 31 days (2678400 s)".to_owned(),
                );
            }
        }
        found
    }
}

/// What the headers call the quota beside the limits.
pub const CREDITS: &str = "credits";

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, calls: u32, seconds: u64) -> RateLimit {
        RateLimit { name: name.into(), calls, window: Duration::from_secs(seconds), shared: false }
    }

    #[test]
    fn a_keys_own_limit_takes_the_place_of_the_default_of_its_name() {
        let own = RateLimits::new([limit("minute", 5, 60), limit("day", 100, 86_400)]);
        let defaults = RateLimits::new([limit("minute", 1, 60), limit("hour", 10, 3600)]);
        let all: Vec<_> = own.over(&defaults).iter().map(|limit| (limit.name.to_string(), limit.calls)).collect();
        assert_eq!(all, [("day".to_owned(), 100), ("hour".to_owned(), 10), ("minute".to_owned(), 5)]);
        assert_eq!(RateLimits::default().over(&defaults), defaults);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let given = [
            limit("", 1, 1),
            limit("Minute", 0, 1),
            limit("a", 1_000_000_001, 0),
            limit("a", 1, 31 * 86_400 + 1),
            limit("credits", 1, 1),
            limit("good-1_x", 1_000_000_000, 31 * 86_400),
            RateLimit { window: Duration::from_millis(1500), ..limit("b", 1, 1) },
        ];
        let found = RateLimits::violations("rate_limits", &given);
        let found: Vec<_> = found.iter().map(|violation| violation.field.as_str()).collect();
        let places = [
            "[0].name",
            "[1].name",
            "[1].limit",
            "[2].limit",
            "[2].window",
            "[3].name",
            "[3].window",
            "[4].name",
            "[6].window",
        ];
        assert_eq!(found, places.map(|place| format!("rate_limits{place}")));
        let many: Vec<_> = (0..11).map(|n| limit(&format!("l{n}"), 1, 1)).collect();
        assert_eq!(RateLimits::violations("x", &many).len(), 1);
        assert!(RateLimits::violations("x", &many[..10]).is_empty());
    }
}
