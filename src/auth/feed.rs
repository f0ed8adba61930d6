//! Following the change log: what other nodes (and other processes on the same file) change is forgotten here.
//!
//! Each round reads the log to its end and, only then, says that the cache may be believed for another while. A node that
//! cannot read the log stops believing its cache once that while is over, and asks the store for every decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::lookup::Credentials;
use crate::domain::change::Revision;
use crate::domain::error::Result;
use crate::store::{ChangeSignal, Store};

/// Follows the change log until it is dropped.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    credentials: Arc<Credentials>,
    interval: Duration,
    seen: watch::Sender<Progress>,
}

/// How far the change log was read.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// All changes up to this one were taken into account.
    pub revision: Revision,
    /// When the last complete reading began.
    pub confirmed: Instant,
}

impl Feed {
    /// A feed that looks at least every `interval`. It starts at the current end of the log: what the cache may hold is
    /// empty still.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE when the end of the log cannot be read.
    pub async fn open(store: Store, credentials: Arc<Credentials>, interval: Duration) -> Result<Self> {
        let confirmed = Instant::now();
        let revision = store.revision().await?;
        credentials.cache().confirm(revision, confirmed);
        let (seen, _) = watch::channel(Progress { revision, confirmed });
        Ok(Self { store, credentials, interval, seen })
    }

    /// How far the log was read, now and whenever that changes.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.seen.subscribe()
    }

    /// Follows the log. Never returns; drop the future to stop.
    pub async fn run(self) {
        let mut signal = None;
        let mut healthy = true;
        loop {
            match self.round(&mut signal).await {
                Ok(()) if !healthy => {
                    healthy = true;
                    tracing::info!("the change log can be read again");
                }
                Ok(()) => {}
                Err(error) => {
                    signal = None;
                    if std::mem::take(&mut healthy) {
                        tracing::error!(%error, "the change log cannot be read; cached decisions will soon not be trusted");
                    }
                    sleep(self.interval).await;
                }
            }
        }
    }

    async fn round(&self, signal: &mut Option<ChangeSignal>) -> Result<()> {
        // Listening begins before reading, so that what happens in between wakes the next round.
        let signal = match signal {
            Some(signal) => signal,
            None => signal.insert(self.store.listen().await?),
        };
        self.catch_up().await?;
        match timeout(self.interval, signal.wait()).await {
            Ok(woken) => Ok(woken?),
            // Notifications can be lost; the log cannot.
            Err(_) => Ok(()),
        }
    }

    async fn catch_up(&self) -> Result<()> {
        loop {
            let began = Instant::now();
            let last = self.seen.borrow().revision;
            let changes = self.store.list_changes_after(last, BATCH).await?;
            for change in &changes {
                self.credentials.apply(change);
            }
            let revision = changes.last().map_or(last, |change| change.revision);
            // Revisions have no gaps, so a first change that is not the next one means the log was cut behind our back.
            if changes.first().is_some_and(|first| first.revision.0 != last.0 + 1) {
                tracing::warn!(from = last.0, "changes were removed before they were seen; the whole cache is dropped");
                self.credentials.cache().clear();
            }
            if changes.len() < BATCH as usize {
                self.credentials.cache().confirm(revision, began);
                self.seen.send_if_modified(|progress| {
                    let moved = progress.revision < revision;
                    *progress = Progress { revision, confirmed: began };
                    moved
                });
                return Ok(());
            }
            self.seen.send_modify(|progress| progress.revision = revision);
        }
    }
}

/// Changes read at once.
const BATCH: u32 = 500;
