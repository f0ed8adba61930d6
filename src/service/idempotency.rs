//! Requests that may come again, because their first answer was lost, and whose answer shows a secret: the same request gets the
//! same answer, and nothing is done twice.

use std::time::Duration;

use zeroize::Zeroizing;

use super::Context;
use crate::auth::caller::Caller;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::CredentialId;
use crate::domain::reason::Reason;
use crate::domain::sealing;
use crate::domain::secret::PlainSecret;
use crate::store::{NewIdempotent, Remembered};

/// A client's promise that two requests are one.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key the client chose.
    pub key: String,
    /// The whole request, as bytes that are equal for equal requests to the same RPC only.
    pub request: Vec<u8>,
}

/// What is remembered of a request, if it is the first.
pub(super) struct Promise {
    actor: CredentialId,
    key: String,
    fingerprint: [u8; 32],
    answer: Vec<u8>,
    expires_at: Timestamp,
}

impl Promise {
    /// The answer is to be the thing of this id, with its secret.
    pub(super) fn new(
        context: &Context,
        caller: &Caller,
        idempotency: Idempotency,
        (id, secret): (&str, &PlainSecret),
        now: Timestamp,
    ) -> Self {
        let answer = Zeroizing::new(format!("{id}\n{}", secret.expose()));
        Self {
            actor: caller.asker(),
            fingerprint: context.keyring.fingerprint(&idempotency.request),
            answer: context.keyring.seal(answer.as_bytes(), &answer_context(caller, &idempotency.key)),
            key: idempotency.key,
            expires_at: now.plus(WINDOW),
        }
    }

    /// For the store.
    pub(super) fn request(&self) -> NewIdempotent<'_> {
        NewIdempotent {
            actor: Some(&self.actor),
            key: &self.key,
            fingerprint: &self.fingerprint,
            answer: &self.answer,
            expires_at: self.expires_at,
        }
    }
}

/// The id and the secret that the first of two equal requests was answered.
///
/// # Errors
/// IDEMPOTENCY_KEY_REUSED where the first was another request.
pub(super) async fn replay(
    context: &Context,
    caller: &Caller,
    promise: Option<&Promise>,
    remembered: &Remembered,
) -> Result<(String, PlainSecret)> {
    let Some(promise) = promise else {
        return Err(Error::new(Reason::Internal, "a request without an Idempotency-Key was taken for a repeated one"));
    };
    if remembered.fingerprint != promise.fingerprint {
        let message = "this Idempotency-Key was used within 24 hours for another request; choose a new one";
        return Err(Error::new(Reason::IdempotencyKeyReused, message));
    }
    let opened = context.open_secret(&remembered.answer, &answer_context(caller, &promise.key)).await?;
    let unreadable = || Error::new(Reason::Internal, "the answer of the first request cannot be read");
    let opened = opened.ok_or_else(unreadable)?;
    let (id, secret) = opened.expose().split_once('\n').ok_or_else(unreadable)?;
    Ok((id.to_owned(), PlainSecret::unsealed(secret.to_owned())))
}

fn answer_context(caller: &Caller, key: &str) -> String {
    sealing::answer_context(caller.project().as_str(), caller.asker().as_str(), key)
}

const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
