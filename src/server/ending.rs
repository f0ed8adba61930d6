//! When a server is told to stop, and what streams see of it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::auth::feed::{Feed, Progress};

/// Resolves at the first SIGTERM or SIGINT.
pub(super) fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// The feed's progress, for streams: it ends when the server begins to stop, while the feed itself goes on to its end.
pub(super) fn relayed(feed: &Feed, streams: &mut JoinSet<()>) -> watch::Receiver<Progress> {
    let mut progress = feed.progress();
    let (relay, relayed) = watch::channel(*progress.borrow());
    streams.spawn(async move {
        while progress.changed().await.is_ok() {
            relay.send_replace(*progress.borrow_and_update());
        }
    });
    relayed
}
