//! The stream of changes, for clients that cache decisions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Context;
use crate::auth::caller::Caller;
use crate::auth::feed::Progress;
use crate::domain::change::{Change, ChangeKind, Revision};
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::reason::Reason;

/// The watching part of the Auth service.
#[derive(Clone, Debug)]
pub struct Revocations {
    context: Arc<Context>,
    progress: watch::Receiver<Progress>,
}

/// What a watcher is told next.
#[derive(Clone, Debug)]
pub enum Event {
    /// A credential changed.
    Changed(Change),
    /// Every change up to this one has been told.
    Heartbeat(Revision),
}

impl Revocations {
    /// The service over this context, woken by the progress of the change feed.
    pub fn new(context: Arc<Context>, progress: watch::Receiver<Progress>) -> Self {
        Self { context, progress }
    }

    /// Watches the changes of the caller's project and environment after a revision; from now on if none is given.
    ///
    /// # Errors
    /// REVISION_TOO_OLD when changes after that revision are no longer kept; INVALID_FIELD for one that is yet to come.
    pub async fn watch(&self, caller: &Caller, from: Option<Revision>) -> Result<Watch> {
        let own = caller.key().map(|key| key.id.clone()).ok_or_else(|| {
            let message = "A watch lasts for months; call with a key, not with the token of a user";
            Error::new(Reason::CallerNotAllowed, message)
        })?;
        let current = self.context.store.revision().await?;
        let last = from.unwrap_or(current);
        if last > current {
            return Err(Error::field("from_revision", format!("the newest revision is {}", current.0)));
        }
        if last < self.context.store.oldest_revision().await? {
            return Err(too_old(last, current));
        }
        Ok(Watch {
            context: Arc::clone(&self.context),
            progress: self.progress.clone(),
            project: caller.project().clone(),
            environment: caller.environment(),
            last,
            ready: VecDeque::new(),
            heartbeat: Instant::now(),
            caller: caller.clone(),
            checked: current,
            own_key_changed: self.has_changed(caller).await?,
            own,
        })
    }
}

/// One watcher's place in the change log.
#[derive(Debug)]
pub struct Watch {
    context: Arc<Context>,
    progress: watch::Receiver<Progress>,
    project: ProjectId,
    environment: Environment,
    last: Revision,
    ready: VecDeque<Change>,
    heartbeat: Instant,
    caller: Caller,
    own: KeyId,
    /// Where the log ended when the caller was checked.
    checked: Revision,
    own_key_changed: bool,
}

impl Watch {
    /// The next event; waits for it. The first is at once: a change, or a heartbeat that says where the watch stands.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE when the change log cannot be read, or when what the caller was checked by has changed: the
    /// watcher comes again with its last revision, and is checked again.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if self.has_lost_its_caller() {
                let message = "the key of this watch has changed or ended; go on from the last revision";
                return Err(Error::new(Reason::StoreUnavailable, message));
            }
            if let Some(change) = self.ready.pop_front() {
                self.last = change.revision;
                if change.kind == ChangeKind::ProjectUpdated {
                    // It turns no decision: whoever watches has nothing to forget.
                    continue;
                }
                self.own_key_changed |= self.is_of_the_caller(&change);
                self.heartbeat = Instant::now() + HEARTBEAT;
                return Ok(Event::Changed(change));
            }
            // Read before the log is, so that "everything up to here" is not promised of what came later.
            let reached = self.progress.borrow_and_update().revision;
            let store = &self.context.store;
            let changes = store.list_changes_of(&self.project, self.environment, self.last, BATCH).await?;
            // Asked after the list, so that what was removed before it was read is noticed.
            if self.last < store.oldest_revision().await? {
                return Err(too_old(self.last, reached));
            }
            if !changes.is_empty() {
                self.ready = changes.into();
                continue;
            }
            self.last = self.last.max(reached);
            tokio::select! {
                changed = self.progress.changed() => if changed.is_err() {
                    return Err(Error::new(Reason::StoreUnavailable, "the server is stopping; go on from the last revision"));
                },
                () = sleep_until(self.heartbeat) => {
                    self.heartbeat = Instant::now() + HEARTBEAT;
                    return Ok(Event::Heartbeat(self.last));
                }
            }
        }
    }
}

impl Revocations {
    /// Whether the caller's key is not the one that was checked at the door any more.
    async fn has_changed(&self, caller: &Caller) -> Result<bool> {
        let Some(key) = caller.key() else { return Ok(true) };
        let now = self.context.store.find_key(&key.project, key.environment, &key.id).await?;
        Ok(now.is_none_or(|now| now.version != key.version))
    }
}

impl Watch {
    /// Whether the check of the caller may not stand any more: a watch can last for months.
    fn has_lost_its_caller(&self) -> bool {
        self.own_key_changed || self.caller.expires_at().is_some_and(|end| end <= self.context.now())
    }

    fn is_of_the_caller(&self, change: &Change) -> bool {
        let keys = [Some(&self.own), self.caller.publishable_key()];
        // What is of nothing in particular is of the whole project.
        let concerned =
            change.subject.as_ref().is_none_or(|subject| subject.key().is_some_and(|key| keys.contains(&Some(key))));
        change.revision > self.checked && concerned
    }
}

fn too_old(last: Revision, current: Revision) -> Error {
    let (last, current) = (last.0, current.0);
    let message =
        format!("changes after revision {last} are no longer kept; drop what you cached and watch from {current}");
    Error::new(Reason::RevisionTooOld, message)
}

/// The longest silence of a watch.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Changes read at once.
const BATCH: u32 = 500;
