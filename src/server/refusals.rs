//! The log of refusals: a line each, but no more in a second than a disk and a person can bear.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lets so many lines through in a second, and counts the others.
#[derive(Debug)]
pub(super) struct Refusals {
    started: Instant,
    /// The second, counted from the start, in the upper half; the refusals of that second in the lower.
    window: AtomicU64,
}

impl Refusals {
    /// A log that nothing was written to yet.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), window: AtomicU64::new(0) }
    }

    /// Whether a line may be written now: how many were not in the second before.
    pub(super) fn pass(&self) -> Option<u64> {
        self.pass_in(self.started.elapsed().as_secs())
    }

    fn pass_in(&self, second: u64) -> Option<u64> {
        let before = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
            Some(if window >> HALF == second { window + 1 } else { (second << HALF) + 1 })
        });
        // The update always has an answer, so both arms hold what was there before.
        let (Ok(before) | Err(before)) = before;
        let count = before & ((1 << HALF) - 1);
        if before >> HALF == second { (count < MOST).then_some(0) } else { Some(count.saturating_sub(MOST)) }
    }
}

/// Lines in a second.
const MOST: u64 = 100;
const HALF: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_a_trickle_is_told() {
        let log = Refusals::new();
        let told = (0..250).filter(|_| log.pass_in(7).is_some()).count();
        assert_eq!(told, 100);
        assert_eq!(log.pass_in(8), Some(150), "the next second tells of those that were not");
        assert_eq!(log.pass_in(8), Some(0));
        assert_eq!(log.pass_in(20), Some(0));
    }
}
