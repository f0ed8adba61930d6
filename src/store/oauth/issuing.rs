//! Tokens that nobody had to agree to are stored several at a time where the database writes one transaction after the other:
//! what comes in while one commit waits for the disk goes into the next. Each is acknowledged when its commit is done.

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::access_tokens::{self, NewAccessToken};
use crate::domain::oauth::token::AccessToken;
use crate::domain::secret::SecretHash;
use crate::store::db::Db;
use crate::store::error::{Result, StoreError};

/// The line of tokens that wait for the next commit. It ends with the last clone of its store.
#[derive(Clone)]
pub(in crate::store) struct Issuing(mpsc::Sender<Waiting>);

/// A token, and who waits for it.
struct Waiting {
    hash: SecretHash,
    token: AccessToken,
    deadline: Instant,
    done: oneshot::Sender<Result<()>>,
}

impl Issuing {
    /// A line before this database, which is written by a task of its own: a caller who goes away does not take along what
    /// others wait for.
    pub(in crate::store) fn begin(db: Db) -> Self {
        let (sender, line) = mpsc::channel(MOST_WAITING);
        tokio::spawn(serve(db, line));
        Self(sender)
    }

    /// Stores a token; when this returns it is on disk.
    pub(super) async fn store(&self, new: &NewAccessToken<'_>, deadline: Instant) -> Result<()> {
        let (done, stored) = oneshot::channel();
        let waiting = Waiting { hash: *new.hash, token: new.token.clone(), deadline, done };
        let answered = async {
            self.0.send(waiting).await.map_err(|_| StoreError::Unavailable)?;
            stored.await.map_err(|_| StoreError::Unavailable)?
        };
        // What was not stored in time may still be: whoever asked was told nothing of it.
        timeout_at(deadline, answered).await.unwrap_or(Err(StoreError::Unavailable))
    }
}

async fn serve(db: Db, mut line: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(MOST_AT_ONCE);
    while line.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
        // Nobody waits for these any more.
        let now = Instant::now();
        batch.retain(|waiting| now < waiting.deadline && !waiting.done.is_closed());
        if store(&db, &batch).await.is_ok() {
            for waiting in batch.drain(..) {
                // Whoever went away meanwhile has a token that nobody knows.
                let _ = waiting.done.send(Ok(()));
            }
            continue;
        }
        // One of them stands against the others: each for itself.
        for waiting in batch.drain(..) {
            let stored = store(&db, std::slice::from_ref(&waiting)).await;
            let _ = waiting.done.send(stored);
        }
    }
}

async fn store(db: &Db, batch: &[Waiting]) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    for Waiting { hash, token, .. } in batch {
        access_tokens::insert(&mut tx, &NewAccessToken { hash, token }).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Tokens in one transaction: others wait for as long as it takes.
const MOST_AT_ONCE: usize = 64;
/// More than this many would not be stored in time.
const MOST_WAITING: usize = 1024;
