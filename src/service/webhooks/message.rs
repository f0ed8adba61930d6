//! One attempt to tell a webhook something: signing it, having it carried, and judging the answer.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::domain::id::{EventId, WebhookId};
use crate::domain::webhook::delivery::{Attempt, AttemptError};
use crate::domain::webhook::seal_context;
use crate::domain::webhook::url::WebhookUrl;
use crate::service::Context;

/// Carries messages over the network, to addresses that may be called.
pub trait Carrier: fmt::Debug + Send + Sync {
    /// What stands against an address as far as it says so itself: the rule that it breaks.
    fn objection(&self, url: &WebhookUrl) -> Option<&'static str>;

    /// Carries a message there, and tells what was answered.
    fn carry<'a>(&'a self, envelope: Envelope<'a>) -> Carrying<'a>;
}

/// The outcome of a [`Carrier`], later.
pub type Carrying<'a> = Pin<Box<dyn Future<Output = Result<Receipt, AttemptError>> + Send + 'a>>;

/// A message and where it goes (Standard Webhooks, "Webhook headers").
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Where it goes.
    pub url: &'a WebhookUrl,
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: i64,
    /// `webhook-signature`: one for each secret, the newest first, with spaces between.
    pub signatures: &'a str,
    /// The JSON.
    pub payload: &'a str,
}

/// What was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Receipt {
    /// The HTTP status.
    pub status: u16,
    /// After how long the webhook wants to hear again.
    pub retry_after: Option<Duration>,
}

/// Tells a webhook, at an address and with sealed secrets, of an event; how that went, and when it wants to hear again.
pub(super) async fn attempt(
    context: &Context,
    (webhook, url, secrets): (&WebhookId, &WebhookUrl, &[Vec<u8>]),
    id: &EventId,
    payload: &str,
    patience: Duration,
) -> (Attempt, Option<Duration>) {
    let (at, began) = (context.now(), Instant::now());
    let timestamp = at.millis().div_euclid(1_000);
    let carried = async {
        let signatures = sign(context, webhook, secrets, id, timestamp, payload).await?;
        let envelope = Envelope { url, id: id.as_str(), timestamp, signatures: &signatures, payload };
        context.carrier.carry(envelope).await
    };
    let outcome = timeout(patience, carried).await.unwrap_or(Err(AttemptError::TooSlow));
    // As exact as it is kept.
    let took = Duration::from_micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    match outcome {
        Ok(Receipt { status, retry_after }) => {
            let error = match status {
                200..=299 => None,
                410 => Some(AttemptError::Gone),
                _ => Some(AttemptError::Status),
            };
            (Attempt { at, took, status: Some(status), error }, retry_after)
        }
        Err(error) => (Attempt { at, took, status: None, error: Some(error) }, None),
    }
}

async fn sign(
    context: &Context,
    webhook: &WebhookId,
    secrets: &[Vec<u8>],
    id: &EventId,
    timestamp: i64,
    payload: &str,
) -> Result<String, AttemptError> {
    let mut signatures = Vec::new();
    for sealed in secrets {
        let opened = context.open_secret(sealed, &seal_context(webhook.as_str())).await;
        let signed = opened.ok().flatten().and_then(|secret| {
            let signer = standardwebhooks::Webhook::new(secret.expose()).ok()?;
            signer.sign(id.as_str(), timestamp, payload.as_bytes()).ok()
        });
        signatures.extend(signed);
    }
    if signatures.is_empty() {
        tracing::error!(webhook_id = %webhook, "no secret of a webhook can be opened with this master key");
        return Err(AttemptError::Unsigned);
    }
    Ok(signatures.join(" "))
}
