//! Waking up those who follow the change log.

use sqlx::postgres::PgListener;
use tokio::sync::watch;

use crate::store::error::{Result, StoreError};

/// Wakes up after each change of the change log. A wake-up is a hint that spares polling; it carries nothing. What it
/// cannot see (another process on the same file, a network that swallows everything) is found by asking for the revision
/// from time to time.
pub struct ChangeSignal(pub(super) Source);

pub(super) enum Source {
    /// Changes by any node, told by the server.
    Server(Box<PgListener>),
    /// Changes by this process.
    Process(watch::Receiver<()>),
}

impl ChangeSignal {
    /// Waits until something was changed. Changes before the call but after the signal was made or last woke count, so none
    /// slips through between reading the log and waiting. An error means that the signal is lost: changes may have been
    /// missed, and a new one is needed. May be dropped while it waits.
    pub async fn wait(&mut self) -> Result<()> {
        match &mut self.0 {
            Source::Process(changed) => changed.changed().await.map_err(|_| StoreError::Unavailable),
            Source::Server(listener) => {
                match listener.try_recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        tracing::warn!("the feed of changes was cut off");
                        return Err(StoreError::Unavailable);
                    }
                    Err(error) => return Err(super::Failure::from(error).into()),
                }
                // One look at the log serves all wake-ups that have come until now.
                while listener.next_buffered().is_some() {}
                Ok(())
            }
        }
    }
}

/// The name PostgreSQL passes wake-ups under.
pub(super) const CHANNEL: &str = "gatepost_changes";
