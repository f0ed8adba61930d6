//! How a credential stands with its limits: what headers and answers tell of it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::CREDITS;
use super::limits::{Limit, Limits};
use super::tally::{Short, Tally};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Violation};
use crate::domain::reason::Reason;

/// How a call was held against limits, and what is left of each.
#[derive(Clone, Debug)]
pub struct Report {
    limits: Arc<Limits>,
    /// In the order of the limits.
    standings: Standings,
    credits: Option<CreditsLeft>,
}

/// How it stands with each limit. Most keys have no more than two.
pub(super) type Standings = SmallVec<[Standing; 2]>;

/// What is left of credits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CreditsLeft {
    /// How many are left: those on this node, and those that were in the store when it was last asked.
    pub remaining: i64,
    /// How many there are after a refill, or were when they were set.
    pub full: i64,
    /// How long until there are new ones, if there ever are.
    pub refilled_in: Option<Duration>,
    /// Why the call cannot be made, if there are not enough for it.
    pub short: Option<Short>,
}

/// What is left of one limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// How many calls can be made now.
    pub remaining: u64,
    /// How long until everything has come back.
    pub reset: Duration,
    /// Why the call cannot be made, if this limit stands against it.
    pub short: Option<Short>,
}

impl Standing {
    /// How a bucket stands after a call, of which this node has taken so many calls for itself.
    pub fn of(tally: &Tally, leased: u32, short: Option<Short>, now: Timestamp) -> Self {
        // What a node has taken for itself is not spent yet, and is never more than there is.
        let remaining = tally.remaining(now).saturating_add(leased).min(tally.terms().calls);
        Self { remaining: remaining.into(), reset: tally.whole_in(now), short }
    }
}

impl Report {
    /// A report on these limits, in their order.
    pub(super) fn new(limits: Arc<Limits>, standings: Standings, credits: Option<CreditsLeft>) -> Self {
        Self { limits, standings, credits }
    }

    /// How it stands with its credits, if it has a quota.
    pub fn credits(&self) -> Option<CreditsLeft> {
        self.credits
    }

    /// Each limit and how it stands.
    pub fn each(&self) -> impl Iterator<Item = (&Limit, &Standing)> {
        self.limits.iter().zip(&self.standings)
    }

    /// The name of each limit and how it stands.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Standing)> {
        self.each().map(|(limit, standing)| (&*limit.name, standing))
    }

    /// What stands against the call: a limit or, where none does, the quota.
    pub fn refusal(&self) -> Option<Reason> {
        if self.standings.iter().any(|standing| standing.short.is_some()) {
            return Some(Reason::RateLimited);
        }
        self.credits.and_then(|credits| credits.short).map(|_| Reason::QuotaExhausted)
    }

    /// Whether anything stands against the call.
    pub fn is_refused(&self) -> bool {
        self.refusal().is_some()
    }

    /// After how many whole seconds the same call is admitted, if nothing else is spent; none where it is not refused,
    /// or never will be admitted.
    pub fn retry_after(&self) -> Option<Duration> {
        let shorts = self.standings.iter().map(|standing| standing.short);
        let shorts = shorts.chain(self.credits.map(|credits| credits.short)).flatten();
        let waits = shorts.map(|short| match short {
            Short::For(wait) => Some(wait),
            Short::Forever => None,
        });
        waits.collect::<Option<Vec<_>>>()?.into_iter().max().map(|wait| Duration::from_secs(whole_seconds(wait).max(1)))
    }

    /// The policies, as the header `RateLimit-Policy` tells them.
    pub fn policies(&self) -> &str {
        self.limits.policies()
    }

    /// Writes what is left to the end of a text, as the header `RateLimit` tells it (draft-ietf-httpapi-ratelimit-headers-11,
    /// section 4). Of a call that was refused `t` is told of the limits that refused it: `Retry-After` is not to be earlier
    /// than any `t`.
    pub fn write_header(&self, text: &mut String) {
        let (refused, mut separator) = (self.is_refused(), "\"");
        text.reserve(48 * (self.standings.len() + usize::from(self.credits.is_some())));
        for (name, standing) in self.iter() {
            tell(text, separator, name, standing.remaining, standing.told_reset(refused));
            separator = ", \"";
        }
        if let Some(credits) = self.credits {
            tell(text, separator, CREDITS, credits.remaining, credits.told_reset(refused));
        }
    }

    /// The limit that is nearest to its end, or the quota: how much it allows, how much is left, and in how many
    /// seconds there is more, if that is known: all of it or, of a call that was refused, enough.
    pub fn nearest(&self) -> (u64, u64, Option<u64>) {
        let refused = self.is_refused();
        let limits = self.each().map(|(limit, standing)| {
            let reset = standing.told_reset(refused).or(Some(whole_seconds(standing.reset)));
            (wait(standing.short), standing.remaining, u64::from(limit.terms.calls), reset)
        });
        let credits = self.credits.map(|credits| {
            // Neither is ever negative.
            let count = |count: i64| u64::try_from(count).unwrap_or(0);
            let reset = credits.told_reset(refused).or(credits.refilled_in.map(whole_seconds));
            (wait(credits.short), count(credits.remaining), count(credits.full), reset)
        });
        let nearest = limits
            .chain(credits)
            .min_by_key(|(wait, remaining, _, reset)| (Reverse(*wait), *remaining, Reverse(*reset)));
        // There is at least one.
        nearest.map_or((0, 0, None), |(_, remaining, full, reset)| (full, remaining, reset))
    }

    /// What whoever made the call is told; it was refused.
    pub fn error(&self) -> Error {
        let (reason, retry_after) = (self.refusal().unwrap_or(Reason::RateLimited), self.retry_after());
        let message = match (reason, retry_after) {
            (Reason::QuotaExhausted, Some(wait)) => format!("Quota exhausted. Try again in {} seconds", wait.as_secs()),
            (Reason::QuotaExhausted, None) => {
                "Quota exhausted. There are not enough credits left for the call".to_owned()
            }
            (_, Some(wait)) => format!("Rate limit exceeded. Try again in {} seconds", wait.as_secs()),
            (_, None) => "Rate limit exceeded. The cost is above the limit, so trying again does not help".to_owned(),
        };
        let refusing = self.each().filter(|(_, standing)| standing.short.is_some());
        let mut violations: Vec<_> = refusing
            .map(|(limit, _)| Violation {
                field: limit.name.to_string(),
                rule: format!("{} calls in {} s", limit.terms.calls, limit.terms.window().as_secs()),
            })
            .collect();
        if let Some(credits) = self.credits.filter(|credits| credits.short.is_some()) {
            let rule = format!("{} of {} credits are left", credits.remaining, credits.full);
            violations.push(Violation { field: CREDITS.to_owned(), rule });
        }
        Error { retry_after, violations, ..Error::new(reason, message) }
    }
}

impl Standing {
    fn told_reset(&self, refused: bool) -> Option<u64> {
        told_reset(self.short, Some(self.reset), refused)
    }
}

impl CreditsLeft {
    fn told_reset(&self, refused: bool) -> Option<u64> {
        told_reset(self.short, self.refilled_in, refused)
    }
}

/// Adds one limit to the header.
fn tell(text: &mut String, separator: &str, name: &str, remaining: impl itoa::Integer, reset: Option<u64>) {
    text.push_str(separator);
    text.push_str(name);
    text.push_str("\";r=");
    text.push_str(itoa::Buffer::new().format(remaining));
    if let Some(seconds) = reset {
        text.push_str(";t=");
        text.push_str(itoa::Buffer::new().format(seconds));
    }
}

/// The `t` of a limit: of those that do not refuse a call that is refused there is none.
fn told_reset(short: Option<Short>, reset: Option<Duration>, refused: bool) -> Option<u64> {
    match short {
        Some(Short::For(wait)) => Some(whole_seconds(wait).max(1)),
        Some(Short::Forever) => None,
        None => reset.filter(|_| !refused).map(whole_seconds),
    }
}

/// How long a call has to wait, to tell which limit it waits for longest.
fn wait(short: Option<Short>) -> Option<Duration> {
    short.map(|short| match short {
        Short::For(wait) => wait,
        Short::Forever => Duration::MAX,
    })
}

/// Rounded up: whoever waits so long has waited long enough.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::super::limits::Cost;
    use super::super::limits::tests::limits;
    use super::*;

    fn header(report: &Report) -> String {
        let mut text = String::new();
        report.write_header(&mut text);
        text
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + millis * 1_000)
    }

    #[test]
    fn the_headers_tell_what_is_left_and_what_to_wait_for() {
        let limits = limits(&[("minute", 6, 60), ("day", 100, 86_400)]);
        let spend = |cost, millis| limits.spend(Cost::asked(cost), at(millis), |_| ()).unwrap();
        let first = spend(2, 0);
        assert_eq!(header(&first), "\"day\";r=98;t=1728, \"minute\";r=4;t=20");
        assert_eq!((first.nearest(), first.retry_after()), ((6, 4, Some(20)), None));
        assert!(!spend(4, 500).is_refused());
        let refused = spend(1, 500);
        assert_eq!(header(&refused), "\"day\";r=94, \"minute\";r=0;t=10");
        assert_eq!((refused.nearest(), refused.retry_after()), ((6, 0, Some(10)), Some(Duration::from_secs(10))));
        let error = refused.error();
        assert_eq!(error.message, "Rate limit exceeded. Try again in 10 seconds");
        assert_eq!(error.violations, [Violation { field: "minute".to_owned(), rule: "6 calls in 60 s".to_owned() }]);
        assert!(spend(1, 9_999).is_refused());
        assert!(!spend(1, 10_000).is_refused(), "whoever waits as told succeeds");
        let never = spend(7, 10_000);
        assert_eq!((never.retry_after(), never.nearest().0), (None, 6));
        assert!(!never.error().message.contains("Try again in"));
    }
}
