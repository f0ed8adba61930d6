//! What every RPC takes out of its request beside the message: who is calling, and the words for what went wrong.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tonic::{Request, Status};

use super::status;
use crate::auth::caller::Caller;
use crate::domain::dialect::Dialect;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;

/// How a call arrived: in the extensions of every request that passed the guard.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who is calling; none at an RPC that is open to anyone.
    pub caller: Option<Caller>,
    /// The family of paths the call came in by.
    pub dialect: Dialect,
    /// When the client stops waiting, if it said.
    pub deadline: Option<Deadline>,
    /// Who sent it, kept where the answer may hold a secret.
    pub sender: Option<Box<Sender>>,
}

/// Who sent a call, whether it is a caller that is known or not.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Where the call came from, or else the nearest proxy.
    pub address: IpAddr,
    /// What the client calls itself: its begin, as it came.
    pub user_agent: String,
    /// The request.
    pub request_id: Arc<str>,
}

/// The parts around the message of a request that anybody may send.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    /// Who is calling, if a credential was sent.
    pub(super) caller: Option<Caller>,
    /// Who sent it.
    pub(super) sender: Sender,
}

impl Entrance {
    /// Takes a request apart.
    ///
    /// # Errors
    /// INTERNAL for a request that did not pass the guard.
    pub(super) fn split<M>(request: Request<M>) -> Result<(Self, M), Status> {
        let (_, mut extensions, message) = request.into_parts();
        match extensions.remove() {
            Some(Arrival { caller, sender: Some(sender), .. }) => Ok((Self { caller, sender: *sender }, message)),
            _ => Err(unchecked()),
        }
    }

    /// Tells an error of this request.
    pub(super) fn status(&self, error: &Error) -> Status {
        status::of(error, &self.sender.request_id)
    }
}

/// The parts around the message of a request that somebody made.
#[derive(Clone, Debug)]
pub(super) struct Around {
    /// Who is calling.
    pub(super) caller: Caller,
    /// The family of paths the call came in by.
    pub(super) dialect: Dialect,
    /// When the client stops waiting, if it said.
    pub(super) deadline: Option<Deadline>,
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
        Ok((Self::of(extensions.remove())?, message))
    }

    /// The same for a call whose message is read elsewhere.
    pub(super) fn of(arrival: Option<Arrival>) -> Result<Self, Status> {
        match arrival {
            Some(Arrival { caller: Some(caller), dialect, deadline, .. }) => Ok(Self { caller, dialect, deadline }),
            _ => Err(unchecked()),
        }
    }

    /// Tells an error of this request.
    pub(super) fn status(&self, error: &Error) -> Status {
        status::of(error, self.caller.request_id())
    }
}

fn unchecked() -> Status {
    tracing::error!("a call reached its RPC without passing the guard");
    status::of(&Error::new(Reason::Internal, "the call was not checked"), "unknown")
}
