//! Telling one webhook of one event: when it is tried, and what became of it.

use std::fmt;
use std::time::Duration;

use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::id::{EventId, WebhookId};

/// One event that one webhook is told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Who is told.
    pub webhook: WebhookId,
    /// The event, and the `webhook-id` of every attempt.
    pub id: EventId,
    /// The kind of the event.
    pub kind: String,
    /// What is sent.
    pub payload: String,
    /// What became of it.
    pub state: DeliveryState,
    /// When it was queued first.
    pub created_at: Timestamp,
    /// When it is tried next; none where nothing more is to be done.
    pub due_at: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: u32,
    /// How it was tried last.
    pub last: Option<Attempt>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeliveryState {
    /// It is still to be told.
    Waiting,
    /// The webhook has taken it.
    Delivered,
    /// Every try has failed, or it answered that it is gone.
    Failed,
    /// It was given up for newer ones, or because the webhook was disabled or deleted.
    Dropped,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Delivered, Self::Failed, Self::Dropped];

    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    /// The state of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The HTTP status that was answered; none where nothing was.
    pub status: Option<u16>,
    /// Why it failed; none where it did not.
    pub error: Option<AttemptError>,
}

/// Why an attempt failed, in words of our own: they show nothing of the network it was made in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AttemptError {
    /// The status is not 2xx. Redirections are not followed.
    Status,
    /// It answered 410.
    Gone,
    /// Its address, a number, must not be called.
    Forbidden,
    /// Its name cannot be resolved, or only to addresses that must not be called.
    Unresolved,
    /// No connection was made.
    Unreachable,
    /// It could not prove its name.
    Untrusted,
    /// It took too long.
    TooSlow,
    /// What was answered is not HTTP.
    Broken,
    /// Our own: the secret cannot be read.
    Unsigned,
}

impl AttemptError {
    const ALL: [Self; 9] = [
        Self::Status,
        Self::Gone,
        Self::Forbidden,
        Self::Unresolved,
        Self::Unreachable,
        Self::Untrusted,
        Self::TooSlow,
        Self::Broken,
        Self::Unsigned,
    ];

    /// The word in the store and in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "BAD_STATUS",
            Self::Gone => "GONE",
            Self::Forbidden => "ADDRESS_FORBIDDEN",
            Self::Unresolved => "NAME_UNRESOLVED",
            Self::Unreachable => "UNREACHABLE",
            Self::Untrusted => "TLS_UNTRUSTED",
            Self::TooSlow => "TIMED_OUT",
            Self::Broken => "NOT_HTTP",
            Self::Unsigned => "SECRET_UNREADABLE",
        }
    }

    /// The error of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.as_str() == text)
    }
}

impl fmt::Display for AttemptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a delivery is tried again that has failed so many times since it was queued; none where it is given up. The webhook may
/// ask for a later time, but for no later one than a day.
pub fn next_try(
    failed: u32,
    now: Timestamp,
    retry_after: Option<Duration>,
    entropy: &dyn Entropy,
) -> Option<Timestamp> {
    let place = usize::try_from(failed).ok()?.checked_sub(1)?;
    let pause = *PAUSES.get(place)?;
    let asked = retry_after.unwrap_or_default().min(LATEST_RETRY_AFTER);
    let pause = pause.max(asked);
    // Up to a tenth more, so that what failed together does not come back together.
    let mut random = [0; 2];
    entropy.fill(&mut random);
    let more = pause / 10 * u32::from(u16::from_be_bytes(random)) / u32::from(u16::MAX);
    Some(now.plus(pause).plus(more))
}

/// The pauses that Standard Webhooks recommends, after the first try, which is at once. All of them together are three days.
pub const PAUSES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
    Duration::from_secs(14 * 60 * 60),
    Duration::from_secs(20 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// How long a webhook may fail before it is disabled. What one delivery is tried for is longer.
pub const FAILS_FOR: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// Deliveries that wait for one webhook; the oldest make room, because what happened last matters most.
pub const MAX_WAITING: u32 = 1_000;

const LATEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::support::at;

    #[derive(Debug)]
    struct Always(u8);

    impl Entropy for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn tries_are_further_and_further_apart() {
        let after = |failed, entropy| next_try(failed, at(0), None, entropy).map(|at_| at_.since(at(0)));
        for (failed, pause) in (1..).zip(PAUSES) {
            assert_eq!(after(failed, &Always(0)), Some(pause));
            assert_eq!(after(failed, &Always(255)), Some(pause + pause / 10));
        }
        assert_eq!(after(10, &Always(0)), None);
        assert_eq!(after(0, &Always(0)), None);
        assert!(PAUSES.iter().sum::<Duration>() > FAILS_FOR);
    }

    #[test]
    fn a_later_time_may_be_asked_for() {
        let after = |failed, asked| {
            next_try(failed, at(0), Some(Duration::from_secs(asked)), &Always(0)).unwrap().since(at(0)).as_secs()
        };
        assert_eq!(after(1, 60), 60);
        assert_eq!(after(2, 60), 300, "not an earlier one");
        assert_eq!(after(1, 1_000_000), 24 * 60 * 60);
    }

    #[test]
    fn words_are_read_again() {
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::parse(state.as_str()), Some(state));
        }
        for error in AttemptError::ALL {
            assert_eq!(AttemptError::parse(error.as_str()), Some(error));
        }
        assert!(DeliveryState::parse("").is_none() && AttemptError::parse("").is_none());
    }
}
