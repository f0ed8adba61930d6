//! Keeps a fault that every request meets from filling the log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Lets one through in a while and counts the others.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    /// The time, in milliseconds, from which on the next one goes through.
    next: AtomicU64,
    held: AtomicU64,
}

impl Throttle {
    /// One in `every` goes through.
    pub const fn new(every: Duration) -> Self {
        Self { every, next: AtomicU64::new(0), held: AtomicU64::new(0) }
    }

    /// Whether one may go through now, which is so long after whatever the caller counts from: how many were held back since
    /// the last that did.
    pub fn pass(&self, now: Duration) -> Option<u64> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (now, next) = (millis(now), self.next.load(Ordering::Relaxed));
        let then = now.saturating_add(millis(self.every));
        if now < next || self.next.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            self.held.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.held.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_passes_and_tells_of_the_others() {
        let throttle = Throttle::new(Duration::from_secs(1));
        let at = |millis| throttle.pass(Duration::from_millis(millis));
        assert_eq!(
            [at(0), at(1), at(999), at(1000), at(1001), at(5000)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}
