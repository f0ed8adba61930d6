//! Answering late who floods.
//!
//! Whoever presents one unknown credential after the other is told so a moment later than it is known. A sender that waits for
//! its answers, as most do, is slowed down to a trickle, and leaves the processors to everybody else. It costs nothing but the
//! memory of the calls that wait; of those there is a bound, beyond which a refusal is told at once.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::domain::reason::Reason;

/// Where refusals wait.
#[derive(Debug)]
pub(super) struct Tarpit {
    places: Semaphore,
}

impl Tarpit {
    /// Nobody waits yet.
    pub(super) fn new() -> Self {
        Self { places: Semaphore::new(PLACES) }
    }

    /// Waits before a call is refused for this reason, if it is one that floods are refused for.
    pub(super) async fn hold(&self, reason: Reason) {
        if reason == Reason::TooManyUnknown
            && let Ok(_place) = self.places.try_acquire()
        {
            // Boxed, for it would make the future of every call larger.
            Box::pin(sleep(HOLD)).await;
        }
    }
}

/// Hardly felt by somebody who made a mistake, and ten thousand times what a refusal takes.
const HOLD: Duration = Duration::from_millis(250);
/// Calls that wait at once: some sixteen megabytes.
const PLACES: usize = 1_024;

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn floods_wait_and_others_do_not() {
        let (tarpit, began) = (Tarpit::new(), Instant::now());
        tarpit.hold(Reason::NotFound).await;
        assert!(began.elapsed().is_zero());
        tarpit.hold(Reason::TooManyUnknown).await;
        assert!(began.elapsed() >= HOLD);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_wait_than_there_are_places() {
        let tarpit = Tarpit::new();
        let hold = async || {
            let began = Instant::now();
            tarpit.hold(Reason::TooManyUnknown).await;
            !began.elapsed().is_zero()
        };
        let waited = join_all((0..PLACES + 100).map(|_| hold())).await;
        assert_eq!(waited.iter().filter(|waited| **waited).count(), PLACES);
        assert!(hold().await, "there are places again");
    }
}
