//! What every RPC takes out of its request beside the message: who is calling, and the words for what went wrong.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Extensions, Request, Status};

use super::status;
use crate::auth::caller::Caller;
use crate::domain::dialect::Dialect;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;

/// The parts of a request around its message.
#[derive(Clone, Debug)]
pub(super) struct Around {
    /// Who is calling.
    pub(super) caller: Caller,
    /// The family of paths the call came in by.
    pub(super) dialect: Dialect,
    /// When the client stops waiting, if it said.
    pub(super) deadline: Option<Deadline>,
}

/// When the client stops waiting; in the extensions of requests that say so.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub(super) Instant);

impl Deadline {
    /// The deadline of a client that waits for this long from now.
    pub fn after(given: Duration) -> Self {
        let now = Instant::now();
        // A time too far away to be told is as good as a year.
        Self(now.checked_add(given).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 60 * 60)))
    }
}

impl Around {
    /// Takes a request apart.
    ///
    /// # Errors
    /// INTERNAL when the guard left no caller: absence is a fault, never an anonymous caller.
    pub(super) fn split<T>(request: Request<T>) -> Result<(Self, T), Status> {
        let (_, mut extensions, message) = request.into_parts();
        Ok((Self::take(&mut extensions)?, message))
    }

    /// Takes the parts out of a request's extensions.
    pub(super) fn take(extensions: &mut Extensions) -> Result<Self, Status> {
        let dialect = extensions.get::<Dialect>().copied().unwrap_or_default();
        match extensions.remove::<Caller>() {
            Some(caller) => Ok(Self { caller, dialect, deadline: extensions.get().copied() }),
            None => {
                tracing::error!("a call reached its RPC without passing the guard");
                Err(status::of(&Error::new(Reason::Internal, "the call was not checked"), "unknown"))
            }
        }
    }

    /// Tells an error of this request.
    pub(super) fn status(&self, error: &Error) -> Status {
        status::of(error, self.caller.request_id())
    }
}
