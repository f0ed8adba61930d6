//! Makes the deliveries that are due: of many webhooks at a time, and of each a few. Whose turn it is, `turns` says. A delivery that was
//! begun and not settled, because the process ended, is made again once its lease is over: each is made at least once, by whichever
//! node.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::message;
use super::turns::{MOST_DUE, Turns};
use crate::domain::clock::Timestamp;
use crate::domain::id::WebhookId;
use crate::domain::webhook::DisabledReason;
use crate::domain::webhook::delivery::{Attempt, AttemptError, DeliveryState, FAILS_FOR, next_try};
use crate::service::Context;
use crate::store::{Claim, Claimed, DueWebhook, Result, Settled, Settlement};

/// Makes deliveries, for as long as it runs.
#[derive(Debug)]
pub struct Courier {
    context: Arc<Context>,
}

impl Courier {
    /// A courier of what this context's store holds.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Never returns; drop the future to stop.
    pub async fn run(self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turns = Turns::default();
        let mut rounds: JoinSet<Round> = JoinSet::new();
        let mut webhooks = HashMap::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => match self.context.store.list_due_webhooks(self.context.now(), MOST_DUE).await {
                    Ok(due) => turns.offer(due),
                    Err(error) => tracing::warn!(%error, "what webhooks are to be told could not be read"),
                },
                Some(ended) = rounds.join_next_with_id() => {
                    let (id, Round { took, more }) = ended.unwrap_or_else(|error| {
                        tracing::error!(%error, "a round of deliveries ended before its time");
                        (error.id(), Round::default())
                    });
                    if let Some(webhook) = webhooks.remove(&id) {
                        turns.end(webhook, took, more);
                    }
                }
            }
            while let Some(DueWebhook { webhook, .. }) = turns.begin() {
                let (context, told) = (Arc::clone(&self.context), webhook.clone());
                let task = rounds.spawn(async move { round(&context, &told).await });
                webhooks.insert(task.id(), webhook);
            }
        }
    }
}

/// How a round went.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// How long the slowest attempt took.
    took: Duration,
    /// Whether there was anything to tell. If not, the next tick is soon enough to look again.
    more: bool,
}

/// Makes a few deliveries of one webhook.
async fn round(context: &Context, webhook: &WebhookId) -> Round {
    let made = async {
        let now = context.now();
        let Some(claim) = context.store.claim_deliveries(webhook, now, LEASE, MOST_OF_WEBHOOK).await? else {
            return Ok::<_, crate::store::StoreError>(Round::default());
        };
        let settled = join_all(claim.deliveries.iter().map(|claimed| deliver(context, &claim, claimed))).await;
        context.store.release_webhook(&claim, context.now()).await?;
        let took = settled.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Round { more: !took.is_empty(), took: took.into_iter().max().unwrap_or_default() })
    };
    made.await.unwrap_or_else(|error| {
        tracing::warn!(%error, webhook_id = %webhook, "deliveries could not be claimed or settled; they will be tried again");
        Round::default()
    })
}

/// Makes one delivery; how long it took.
async fn deliver(context: &Context, claim: &Claim, claimed: &Claimed) -> Result<Duration> {
    let place = (&claim.webhook, &claim.url, &claim.secrets[..]);
    let (attempt, retry_after) = message::attempt(context, place, &claimed.id, &claimed.payload, PATIENCE).await;
    let settled = judge(context, claim, claimed, attempt, retry_after, context.now());
    if let Some(error) = attempt.error {
        let (tries, status) = (claimed.tries, attempt.status);
        tracing::debug!(webhook_id = %claim.webhook, event_id = %claimed.id, %error, status, tries, "a delivery failed");
    }
    let settlement = context.store.settle_delivery(claim, claimed, &settled).await?;
    if let (Settlement::Disabled, Some(reason)) = (settlement, settled.disable) {
        let (project, reason) = (&claim.project, reason.as_str());
        tracing::warn!(webhook_id = %claim.webhook, %project, reason, "a webhook was disabled; what waited for it was given up");
    }
    Ok(attempt.took)
}

/// What becomes of a delivery after an attempt.
fn judge(
    context: &Context,
    claim: &Claim,
    claimed: &Claimed,
    attempt: Attempt,
    retry_after: Option<Duration>,
    now: Timestamp,
) -> Settled {
    let ended = |state, disable| Settled { attempt, state, due_at: None, disable };
    match attempt.error {
        None => ended(DeliveryState::Delivered, None),
        Some(AttemptError::Gone) => ended(DeliveryState::Failed, Some(DisabledReason::Gone)),
        Some(_) if claim.failing_since.is_some_and(|since| now.since(since) >= FAILS_FOR) => {
            ended(DeliveryState::Failed, Some(DisabledReason::Failing))
        }
        Some(_) => match next_try(claimed.tries, now, retry_after, &*context.entropy) {
            Some(due) => Settled { attempt, state: DeliveryState::Waiting, due_at: Some(due), disable: None },
            None => ended(DeliveryState::Failed, None),
        },
    }
}

/// How soon something new is told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Deliveries of one webhook that are under way at one time, on all nodes.
const MOST_OF_WEBHOOK: u32 = 4;
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long deliveries are left to whoever claimed them: longer than they can take.
const LEASE: Duration = Duration::from_secs(60);
