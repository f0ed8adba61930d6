//! Carries what webhooks are told over the network.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::World;
use crate::config::Config;
use crate::domain::webhook::delivery::AttemptError;
use crate::domain::webhook::url::WebhookUrl;
use crate::net::{FetchError, FetchSettings, Fetcher, Post};
use crate::service::webhooks::{Carrier, Carrying, Envelope, Receipt};
use crate::telemetry::metrics::Metrics;

/// What calls webhooks.
pub(super) fn carrier(config: &Config, world: &World, metrics: &Arc<Metrics>) -> Arc<dyn Carrier> {
    let fetcher = Fetcher::new(FetchSettings {
        private_networks: config.webhook_private_addresses.clone(),
        authorities: world.authorities.clone(),
        connect: Duration::from_secs(5),
        total: Duration::from_secs(15),
        max_bytes: MAX_ANSWER,
    });
    Arc::new(Network { fetcher, metrics: Arc::clone(metrics) })
}

#[derive(Debug)]
struct Network {
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
}

impl Carrier for Network {
    fn objection(&self, url: &WebhookUrl) -> Option<&'static str> {
        self.fetcher.objection(url.literal(), url.is_encrypted()).map(|objection| match objection {
            FetchError::NotEncrypted => {
                "must be an https address: http is for networks that the installation has configured"
            }
            _ => "must be of the public internet, or of a network that the installation has configured",
        })
    }

    fn carry<'a>(&'a self, envelope: Envelope<'a>) -> Carrying<'a> {
        Box::pin(async move {
            let timestamp = envelope.timestamp.to_string();
            let post = Post {
                headers: &[
                    ("webhook-id", envelope.id),
                    ("webhook-timestamp", &timestamp),
                    ("webhook-signature", envelope.signatures),
                ],
                body: Bytes::copy_from_slice(envelope.payload.as_bytes()),
            };
            let outcome = self.fetcher.post(envelope.url.as_str(), &post).await.map_err(|error| told(&envelope, error));
            let word = match &outcome {
                Ok(reply) if (200..=299).contains(&reply.status) => "delivered",
                Ok(_) => "refused",
                Err(_) => "failed",
            };
            self.metrics.webhook_called(word);
            outcome.map(|reply| Receipt { status: reply.status, retry_after: reply.retry_after })
        })
    }
}

/// What is told of it. Of a name it is not told that it stands for an address inside: whoever may add a webhook would learn by
/// that which names there are.
fn told(envelope: &Envelope<'_>, error: FetchError) -> AttemptError {
    let word = word(error);
    if word != AttemptError::Forbidden || envelope.url.literal().is_some() {
        return word;
    }
    tracing::info!(event_id = envelope.id, %error, "a webhook was not called; it is told that its name cannot be resolved");
    AttemptError::Unresolved
}

fn word(error: FetchError) -> AttemptError {
    match error {
        FetchError::BadUrl | FetchError::NotEncrypted | FetchError::Forbidden => AttemptError::Forbidden,
        FetchError::Unresolved => AttemptError::Unresolved,
        FetchError::Unreachable => AttemptError::Unreachable,
        FetchError::Untrusted => AttemptError::Untrusted,
        FetchError::TooSlow => AttemptError::TooSlow,
        FetchError::Broken | FetchError::Status(_) | FetchError::NotJson | FetchError::TooLong => AttemptError::Broken,
    }
}

/// Bytes of an answer that are read; they are of no interest.
const MAX_ANSWER: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_inner_network_are_not_told() {
        let told = |url, error| {
            let url = WebhookUrl::parse(url).unwrap();
            told(&Envelope { url: &url, id: "msg_1", timestamp: 0, signatures: "", payload: "" }, error)
        };
        for error in [FetchError::Forbidden, FetchError::NotEncrypted, FetchError::Unresolved] {
            for url in ["https://vm/", "https://hooks.example/", "http://intranet.example/a"] {
                assert_eq!(told(url, error), AttemptError::Unresolved, "{url}");
            }
        }
        for url in ["https://10.1.2.3/", "https://[::1]/", "https://localhost/", "http://93.184.215.14/"] {
            assert_eq!(told(url, FetchError::Forbidden), AttemptError::Forbidden, "{url}");
        }
        assert_eq!(told("https://vm/", FetchError::Unreachable), AttemptError::Unreachable);
    }
}
