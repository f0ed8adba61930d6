//! Quotas: credits that a key spends, and when it gets new ones.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::domain::clock::Timestamp;

/// The credits of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    /// How many are left in the store: all but those that nodes have taken to spend.
    pub remaining: i64,
    /// How many there were when they were last set.
    pub granted: i64,
    /// When there are new ones.
    pub refill: Refill,
    /// Goes up whenever they are set: what was taken before belongs to nothing any more.
    pub epoch: i64,
    /// When the period began for which they were set, or refilled last.
    pub start: Timestamp,
}

/// When a key gets new credits. Whatever is left then is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refill {
    /// Never.
    Never,
    /// So many every day, at midnight UTC.
    Daily(i64),
    /// So many on one day of every month, at midnight UTC, 1 to 31; in a month without it on its last day.
    Monthly(i64, u8),
}

/// The credits that a key can have.
pub const CREDITS: RangeInclusive<i64> = 0..=1_000_000_000_000;

/// The time between two refills.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Period {
    /// When it began; the beginning of time where there are no refills.
    pub start: Timestamp,
    /// When the next one begins, if one does.
    pub end: Option<Timestamp>,
}

impl Quota {
    /// How many are left in the store, with what is new at this time.
    pub fn remaining_at(&self, now: Timestamp) -> i64 {
        if self.refill.period(now).start > self.start { self.full() } else { self.remaining }
    }

    /// The credits of a key that get set now, with the change that makes this version of the key: no two changes make the same.
    pub fn set(remaining: i64, refill: Refill, version: i64, now: Timestamp) -> Self {
        Self { remaining, granted: remaining, refill, epoch: version, start: refill.period(now).start }
    }

    /// How many there are after a refill, or were when they were set.
    pub fn full(&self) -> i64 {
        match self.refill {
            Refill::Never => self.granted,
            Refill::Daily(amount) | Refill::Monthly(amount, _) => amount,
        }
    }
}

impl Refill {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "none",
            Self::Daily(_) => "daily",
            Self::Monthly(..) => "monthly",
        }
    }

    /// The refill of this word.
    pub fn parse(text: &str, amount: i64, day: u8) -> Option<Self> {
        match text {
            "none" => Some(Self::Never),
            "daily" => Some(Self::Daily(amount)),
            "monthly" => Some(Self::Monthly(amount, day)),
            _ => None,
        }
    }

    /// How many there are new.
    pub const fn amount(self) -> i64 {
        match self {
            Self::Never => 0,
            Self::Daily(amount) | Self::Monthly(amount, _) => amount,
        }
    }

    /// The day of the month; 1 where it does not matter.
    pub const fn day(self) -> u8 {
        match self {
            Self::Monthly(_, day) => day,
            Self::Never | Self::Daily(_) => 1,
        }
    }

    /// The period that a time is in.
    pub fn period(self, now: Timestamp) -> Period {
        let today = now.micros().div_euclid(DAY);
        let at = |day: i64| Timestamp::from_micros(day * DAY);
        match self {
            Self::Never => Period { start: Timestamp::default(), end: None },
            Self::Daily(_) => Period { start: at(today), end: Some(at(today + 1)) },
            Self::Monthly(_, day) => {
                let (year, month) = month_of(today);
                let this = refill_day(year, month, day);
                let (start, end) = if today >= this {
                    (this, refill_day(year, month + 1, day))
                } else {
                    (refill_day(year, month - 1, day), this)
                };
                Period { start: at(start), end: Some(at(end)) }
            }
        }
    }
}

impl Period {
    /// How long until the next one begins, if one does.
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        self.end.map(|end| end.since(now))
    }
}

/// The day of a month on which it is refilled, counted from 1970. The months before the first and after the last are
/// those of the years around.
fn refill_day(year: i64, month: i64, day: u8) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    let (first, next) = (first_of(year, month), first_of(year + month / 12, month % 12 + 1));
    first + (i64::from(day) - 1).min(next - first - 1)
}

/// The first day of a month of the Gregorian calendar, counted from 1970-01-01.
fn first_of(year: i64, month: i64) -> i64 {
    // Years are counted from March, so that the day that some have more comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    365 * year + leaps + (153 * month + 2) / 5 - DAYS_TO_1970
}

/// The year and month of a day counted from 1970-01-01.
fn month_of(day: i64) -> (i64, i64) {
    // No year is longer than this, so the guess is at most one too late, and no more than a few too early.
    let mut year = 1970 + day.div_euclid(366);
    while first_of(year + 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| first_of(year, *month) <= day);
    // The first of January is not after any day of its year.
    (year, month.unwrap_or(1))
}

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: std::time::SystemTime = humantime::parse_rfc3339(text).unwrap();
        Timestamp::default().plus(at.duration_since(std::time::UNIX_EPOCH).unwrap())
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let mut day = 0;
        for year in 1970..2400 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, days) in (1..).zip(days) {
                assert_eq!(first_of(year, month), day);
                assert_eq!((month_of(day), month_of(day + days - 1)), ((year, month), (year, month)));
                day += days;
            }
        }
    }

    #[test]
    fn a_day_that_a_month_has_not_is_its_last() {
        for (day, now, start, end) in [
            (1, "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
            (1, "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            (31, "2026-02-27T23:59:59Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
            (31, "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"),
            (31, "2028-02-28T12:00:00Z", "2028-01-31T00:00:00Z", "2028-02-29T00:00:00Z"),
            (30, "2028-03-01T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-30T00:00:00Z"),
            (15, "2026-01-14T23:59:59Z", "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z"),
            (31, "2026-12-31T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"),
        ] {
            let period = Refill::Monthly(5, day).period(at(now));
            assert_eq!((period.start, period.end), (at(start), Some(at(end))), "day {day} at {now}");
        }
    }

    #[test]
    fn days_end_at_midnight_and_what_is_never_refilled_has_no_end() {
        let period = Refill::Daily(5).period(at("2026-02-28T23:59:59Z"));
        assert_eq!((period.start, period.end), (at("2026-02-28T00:00:00Z"), Some(at("2026-03-01T00:00:00Z"))));
        assert_eq!(period.left(at("2026-02-28T23:59:59Z")), Some(Duration::from_secs(1)));
        assert_eq!(Refill::Never.period(at("2026-02-28T23:59:59Z")).end, None);
    }
}
