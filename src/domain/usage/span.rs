//! The spans of time over which calls are counted.

use std::time::Duration;

use crate::domain::clock::Timestamp;

/// A span of time, in UTC.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Grain {
    /// 60 seconds.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
}

impl Grain {
    /// All of them, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        })
    }

    /// When the span began that this point is in.
    pub const fn start(self, at: Timestamp) -> Timestamp {
        let length = self.length().as_secs() as i64 * 1_000_000;
        Timestamp::from_micros(at.micros().div_euclid(length) * length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_begins_at_its_round_time() {
        // 2023-11-14T22:13:20.000001Z
        let at = Timestamp::from_micros(1_700_000_000_000_001);
        let starts = Grain::ALL.map(|grain| grain.start(at).micros() / 1_000_000);
        assert_eq!(starts, [1_699_999_980, 1_699_999_200, 1_699_920_000]);
        for grain in Grain::ALL {
            let start = grain.start(at);
            assert_eq!(grain.start(start), start);
            assert_eq!(grain.start(start.minus(Duration::from_micros(1))), start.minus(grain.length()));
            assert_eq!(grain.start(Timestamp::from_micros(-1)), Timestamp::from_micros(0).minus(grain.length()));
        }
    }
}
