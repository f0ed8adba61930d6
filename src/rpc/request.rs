//! What every RPC takes out of its request beside the message: who is calling, and the words for what went wrong.

use std::time::Duration;

use tokio::time::Instant;
use tonic::{Extensions, Request, Status};

use super::status;
use crate::auth::caller::Caller;
use crate::domain::dialect::Dialect;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;

/// The parts of a request around its message: in the extensions of every request that passed the guard.
#[derive(Clone, Debug)]
pub struct Around {
    /// Who is calling.
    pub caller: Caller,
    /// The family of paths the call came in by.
    pub dialect: Dialect,
    /// When the client stops waiting, if it said.
    pub deadline: Option<Deadline>,
}

/// When the client stops waiting.
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
    /// INTERNAL for a request that did not pass the guard.
    pub(super) fn split<M>(request: Request<M>) -> Result<(Self, M), Status> {
        let (_, mut extensions, message) = request.into_parts();
        Ok((Self::take(&mut extensions)?, message))
    }

    /// Takes the parts out of a request's extensions.
    pub(super) fn take(extensions: &mut Extensions) -> Result<Self, Status> {
        extensions.remove::<Self>().ok_or_else(|| {
            tracing::error!("a call reached its RPC without passing the guard");
            status::of(&Error::new(Reason::Internal, "the call was not checked"), "unknown")
        })
    }

    /// Tells an error of this request.
    pub(super) fn status(&self, error: &Error) -> Status {
        status::of(error, self.caller.request_id())
    }
}
