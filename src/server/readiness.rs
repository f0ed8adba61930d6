//! Whether the server can do its work: said once, for `/readyz` and for gRPC health.

use std::sync::Arc;

use tokio::sync::watch;

/// What the server says of itself. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Readiness(Arc<watch::Sender<State>>);

/// Whether the server can do its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The store answers.
    Ready,
    /// The store does not answer, or was not asked yet.
    Unready,
    /// The server was told to stop. Nothing comes after it.
    Stopping,
}

impl Readiness {
    /// Takes note of whether the store answers; says whether that is news. A server that stops is never ready again,
    /// whatever is found out later.
    pub(super) fn set(&self, ready: bool) -> bool {
        let found = if ready { State::Ready } else { State::Unready };
        self.0.send_if_modified(|state| {
            let news = *state != State::Stopping && *state != found;
            if news {
                *state = found;
            }
            news
        })
    }

    /// The server was told to stop.
    pub(super) fn stop(&self) {
        self.0.send_replace(State::Stopping);
    }

    /// Whether it is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.state() == State::Ready
    }

    /// What it says now.
    pub(super) fn state(&self) -> State {
        *self.0.borrow()
    }

    /// What it says now and from now on.
    pub(super) fn follow(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(State::Unready)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_news_and_a_stop_is_final() {
        let readiness = Readiness::default();
        let news = [false, true, true, false, true].map(|ready| readiness.set(ready));
        assert_eq!(news, [false, true, false, true, true]);
        assert!(readiness.is_ready());
        readiness.stop();
        assert_eq!([true, false].map(|ready| readiness.set(ready)), [false, false]);
        assert_eq!(readiness.state(), State::Stopping);
    }
}
