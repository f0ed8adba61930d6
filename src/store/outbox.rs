//! The outbox: what webhooks are still to be told. A delivery is a row that is written with what it tells of, is claimed by a
//! statement that leaves it to the claimer for a while, and is tried again by whoever comes next if the claimer was lost.
//!
//! Of one webhook, a lane says when it has something due, and one node at a time is at it. Whoever writes several of these rows
//! takes them in this order, so that nobody waits in a circle: the webhook, its lane, its deliveries; webhooks by their ids.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Store;
use super::db::{Row, Tx, damaged, values};
use super::error::Result;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{EventId, ProjectId, WebhookId};
use crate::domain::webhook::DisabledReason;
use crate::domain::webhook::delivery::{Attempt, DeliveryState, MAX_WAITING};
use crate::domain::webhook::event::{EventPattern, WebhookEvent};
use crate::domain::webhook::url::WebhookUrl;

/// What came of telling the webhooks of an event.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Enqueued {
    /// Webhooks that will be told.
    pub deliveries: u32,
    /// Older deliveries that were given up because too many wait.
    pub dropped: u32,
}

/// A webhook that has something to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DueWebhook {
    /// The webhook.
    pub webhook: WebhookId,
    /// Its project.
    pub project: ProjectId,
}

/// Deliveries of one webhook that this node is to make.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who is told.
    pub webhook: WebhookId,
    /// The project of the webhook.
    pub project: ProjectId,
    /// The environment of the webhook.
    pub environment: Environment,
    /// Where it is.
    pub url: WebhookUrl,
    /// The secrets that sign, sealed, the newest first.
    pub secrets: Vec<Vec<u8>>,
    /// Since when nothing has arrived there.
    pub failing_since: Option<Timestamp>,
    /// Until when nobody else makes them.
    pub until: Timestamp,
    /// What it is told.
    pub deliveries: Vec<Claimed>,
}

/// A delivery that is to be made.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The event.
    pub id: EventId,
    /// What is sent.
    pub payload: String,
    /// The how-manieth try it is since the delivery was queued.
    pub tries: u32,
    /// The how-manieth attempt it is. Whoever settles the delivery shows by it that nobody else was at it meanwhile.
    pub attempts: u32,
}

/// What became of an attempt, as far as the webhook is still where it was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settled {
    /// The attempt.
    pub attempt: Attempt,
    /// What became of the delivery.
    pub state: DeliveryState,
    /// When it is tried again.
    pub due_at: Option<Timestamp>,
    /// The webhook is disabled.
    pub disable: Option<DisabledReason>,
}

/// What came of writing an attempt down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settlement {
    /// Nothing: another has tried since, or the delivery was given up.
    TooLate,
    /// It is written down.
    Written,
    /// It is written down, and the webhook is disabled by it.
    Disabled,
    /// It failed at an address that the webhook is no longer at: it is written down, and is due again at once.
    Moved,
}

impl Store {
    /// Tells the webhooks of an event, in a transaction of its own.
    pub async fn enqueue_event(&self, event: &WebhookEvent) -> Result<Enqueued> {
        let mut tx = self.db.begin().await?;
        let enqueued = self.enqueue(&mut tx, event).await?;
        tx.commit().await?;
        Ok(enqueued)
    }

    /// Adds one delivery for each enabled webhook of the event's project and environment that is told of its kind, to a
    /// transaction that writes what the event tells of. It comes before the audit event and the row of the change log.
    ///
    /// Of a webhook for which more than [`MAX_WAITING`] deliveries wait, the oldest are given up.
    pub(super) async fn enqueue(&self, tx: &mut Tx, event: &WebhookEvent) -> Result<Enqueued> {
        let (project, environment) = (event.project.as_str(), event.environment.as_str());
        let family = event.family();
        let told = values![project, environment, EventPattern::ALL, event.kind, &family];
        let webhooks = tx.fetch_all(TOLD, told).await?;
        let mut enqueued = Enqueued::default();
        if webhooks.is_empty() {
            return Ok(enqueued);
        }
        let payload = event.payload();
        for row in &webhooks {
            let webhook = row.str("id")?;
            // It may have been deleted since it was read.
            if tx.execute(WAKE, values![webhook, event.at]).await? == 0 {
                continue;
            }
            let values =
                values![webhook, event.id.as_str(), project, environment, event.kind, &payload, event.at, event.at];
            enqueued.deliveries += u32::from(tx.execute(INSERT, values).await? > 0);
            let dropped = tx.execute(DROP_SURPLUS, values![webhook, MAX_WAITING]).await?;
            if dropped > 0 {
                tracing::warn!(
                    webhook_id = webhook,
                    dropped,
                    "too many deliveries wait for a webhook: the oldest were given up"
                );
                enqueued.dropped += u32::try_from(dropped).unwrap_or(u32::MAX);
            }
        }
        self.outbox_dropped.fetch_add(u64::from(enqueued.dropped), Ordering::Relaxed);
        Ok(enqueued)
    }

    /// Deliveries that this process has given up for newer ones. Asks nothing of the database.
    pub fn outbox_dropped(&self) -> u64 {
        self.outbox_dropped.load(Ordering::Relaxed)
    }

    /// Deliveries that wait, of all webhooks.
    pub async fn count_waiting_deliveries(&self) -> Result<u64> {
        self.db.count(COUNT_WAITING, &[]).await
    }

    /// Up to `limit` webhooks that have something to be told at this time: those first that wait the longest since they were
    /// told something last, or since they have something to be told.
    pub async fn list_due_webhooks(&self, now: Timestamp, limit: u32) -> Result<Vec<DueWebhook>> {
        let rows = self.db.fetch_all(DUE, values![now, limit]).await?;
        let due = |row: &Row| {
            let webhook = WebhookId::stored(row.text("webhook_id")?);
            Ok(DueWebhook { webhook, project: ProjectId::stored(row.text("project")?) })
        };
        rows.iter().map(due).collect()
    }

    /// Claims up to `most` due deliveries of a webhook for as long as the lease; none if another is at it, or nothing is due.
    pub async fn claim_deliveries(
        &self,
        webhook: &WebhookId,
        now: Timestamp,
        lease: Duration,
        most: u32,
    ) -> Result<Option<Claim>> {
        let (id, until) = (webhook.as_str(), now.plus(lease));
        let mut tx = self.db.begin().await?;
        let Some(lane) = tx.fetch_all(CLAIM, values![id, now, until]).await?.pop() else { return Ok(None) };
        let Some(row) = tx.fetch_optional(FIND_TARGET, values![id]).await? else {
            // It was disabled, or its project deleted, while something was told to it.
            end_waiting(&mut tx, webhook).await?;
            tx.commit().await?;
            return Ok(None);
        };
        let secrets = tx.fetch_all(SECRETS, values![id, now]).await?;
        let deliveries = tx.fetch_all(TAKE, values![id, now, until, most]).await?;
        let claim = Claim {
            webhook: webhook.clone(),
            project: ProjectId::stored(row.text("project")?),
            environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("webhooks.environment"))?,
            url: WebhookUrl::stored(row.text("url")?),
            secrets: secrets.iter().map(|row| Ok(row.bytes("sealed")?.to_vec())).collect::<Result<_>>()?,
            failing_since: lane.opt_time("failing_since")?,
            until,
            deliveries: deliveries.iter().map(claimed).collect::<Result<_>>()?,
        };
        tx.commit().await?;
        Ok(Some(claim))
    }

    /// Writes down what became of an attempt, unless another has tried since. What was answered at an address that the webhook
    /// has left meanwhile says nothing of the webhook, and what failed there is made at the new one.
    pub async fn settle_delivery(&self, claim: &Claim, claimed: &Claimed, settled: &Settled) -> Result<Settlement> {
        let Settled { attempt, state, due_at, disable } = settled;
        let (webhook, url) = (claim.webhook.as_str(), claim.url.as_str());
        let mut tx = self.db.begin().await?;
        let here = match disable {
            Some(reason) => tx.execute(DISABLE, values![webhook, url, false, reason.as_str(), attempt.at]).await?,
            None => tx.execute(HOLD, values![webhook, url]).await?,
        } > 0;
        if here {
            let failed_at = attempt.error.map(|_| attempt.at);
            tx.execute(NOTE, values![webhook, failed_at]).await?;
        }
        let (settlement, state, due_at) = match (here, attempt.error, disable) {
            (true, _, Some(_)) => (Settlement::Disabled, *state, *due_at),
            (false, Some(_), _) => (Settlement::Moved, DeliveryState::Waiting, Some(attempt.at)),
            _ => (Settlement::Written, *state, *due_at),
        };
        let values = values![
            webhook,
            claimed.id.as_str(),
            claimed.attempts,
            state.as_str(),
            due_at,
            attempt.at,
            attempt.status.map(i64::from),
            attempt.error.map(|error| error.as_str()),
            micros(attempt.took),
        ];
        if tx.execute(SETTLE, values).await? == 0 {
            // Whoever came too late has nothing to say of the webhook either: the transaction is given up.
            return Ok(Settlement::TooLate);
        }
        if settlement == Settlement::Disabled {
            end_waiting(&mut tx, &claim.webhook).await?;
        }
        tx.commit().await?;
        Ok(settlement)
    }

    /// Lets others claim from this webhook again, when something of it is due; what is overdue by now, behind all that wait.
    pub async fn release_webhook(&self, claim: &Claim, now: Timestamp) -> Result<()> {
        let mut tx = self.db.begin().await?;
        // First the row is held, then it is looked what is due: whoever adds something meanwhile waits.
        if tx.execute(RELEASE, values![claim.webhook.as_str(), claim.until]).await? > 0 {
            tx.execute(REWIND, values![claim.webhook.as_str(), now]).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Gives up whatever waits for a webhook.
pub(super) async fn end_waiting(tx: &mut Tx, webhook: &WebhookId) -> Result<()> {
    tx.execute(REST, values![webhook.as_str()]).await?;
    tx.execute(END_WAITING, values![webhook.as_str()]).await?;
    Ok(())
}

/// Has a webhook looked at, at this time.
pub(super) async fn wake(tx: &mut Tx, webhook: &WebhookId, now: Timestamp) -> Result<bool> {
    Ok(tx.execute(WAKE, values![webhook.as_str(), now]).await? > 0)
}

pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn small(row: &Row, column: &'static str) -> Result<u32> {
    u32::try_from(row.int(column)?).map_err(|_| damaged(column))
}

fn claimed(row: &Row) -> Result<Claimed> {
    Ok(Claimed {
        id: EventId::stored(row.text("id")?),
        payload: row.text("payload")?,
        tries: small(row, "tries")?,
        attempts: small(row, "attempts")?,
    })
}

const TOLD: &str = "SELECT w.id FROM webhooks w WHERE w.project = $1 AND w.environment = $2 AND w.enabled
        AND EXISTS (SELECT 1 FROM webhook_kinds k WHERE k.webhook_id = w.id AND k.kind IN ($3, $4, $5))
    ORDER BY w.id";
const WAKE: &str = "UPDATE webhook_lanes SET due_at = CASE WHEN due_at < $2 THEN due_at ELSE $2 END
    WHERE webhook_id = $1";
const INSERT: &str =
    "INSERT INTO webhook_deliveries (webhook_id, id, project, environment, kind, payload, state, created_at,
        due_at, tries, attempts)
    VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $8, 0, 0) ON CONFLICT (webhook_id, id) DO NOTHING";
const DROP_SURPLUS: &str =
    "UPDATE webhook_deliveries SET state = 'dropped', due_at = NULL WHERE webhook_id = $1 AND id IN
    (SELECT d.id FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.due_at IS NOT NULL
        ORDER BY d.id DESC LIMIT 100 OFFSET $2)";
/// No id is empty: the condition leads along the index.
const COUNT_WAITING: &str =
    "SELECT COUNT(*) AS total FROM webhook_deliveries d WHERE d.due_at IS NOT NULL AND d.webhook_id > ''";
const DUE: &str = "SELECT l.webhook_id, w.project FROM webhook_lanes l JOIN webhooks w ON w.id = l.webhook_id
    WHERE l.due_at IS NOT NULL AND l.due_at <= $1 AND (l.busy_until IS NULL OR l.busy_until <= $1)
    ORDER BY l.due_at LIMIT $2";
const CLAIM: &str = "UPDATE webhook_lanes SET busy_until = $3
    WHERE webhook_id = $1 AND due_at <= $2 AND (busy_until IS NULL OR busy_until <= $2) RETURNING failing_since";
const FIND_TARGET: &str = "SELECT w.project, w.environment, w.url FROM webhooks w JOIN projects o ON o.id = w.project
    WHERE w.id = $1 AND w.enabled AND o.deleted_at IS NULL";
pub(super) const SECRETS: &str = "SELECT s.sealed FROM webhook_secrets s
    WHERE s.webhook_id = $1 AND (s.ends_at IS NULL OR s.ends_at > $2) ORDER BY s.number DESC";
const TAKE: &str = "UPDATE webhook_deliveries SET due_at = $3, tries = tries + 1, attempts = attempts + 1
    WHERE webhook_id = $1 AND id IN
        (SELECT d.id FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.due_at IS NOT NULL AND d.due_at <= $2
            ORDER BY d.due_at LIMIT $4)
    RETURNING id, payload, tries, attempts";
const DISABLE: &str = "UPDATE webhooks SET enabled = $3, disabled_reason = $4, updated_at = $5, version = version + 1
    WHERE id = $1 AND url = $2 AND enabled";
/// Changes nothing; where the webhook is stays as it is until the transaction ends.
const HOLD: &str = "UPDATE webhooks SET version = version WHERE id = $1 AND url = $2 AND enabled";
const NOTE: &str = "UPDATE webhook_lanes
    SET failing_since = CASE WHEN $2 IS NULL THEN NULL ELSE COALESCE(failing_since, $2) END WHERE webhook_id = $1";
const SETTLE: &str =
    "UPDATE webhook_deliveries SET state = $4, due_at = $5, attempted_at = $6, status = $7, error = $8,
        duration_micros = $9
    WHERE webhook_id = $1 AND id = $2 AND attempts = $3 AND state = 'waiting'";
const RELEASE: &str = "UPDATE webhook_lanes SET busy_until = NULL WHERE webhook_id = $1 AND busy_until = $2";
const REWIND: &str = "UPDATE webhook_lanes SET due_at =
        (SELECT CASE WHEN d.due_at < $2 THEN $2 ELSE d.due_at END FROM webhook_deliveries d
            WHERE d.webhook_id = $1 AND d.due_at IS NOT NULL ORDER BY d.due_at LIMIT 1)
    WHERE webhook_id = $1";
const REST: &str = "UPDATE webhook_lanes SET due_at = NULL, busy_until = NULL WHERE webhook_id = $1";
const END_WAITING: &str = "UPDATE webhook_deliveries SET state = 'dropped', due_at = NULL
    WHERE webhook_id = $1 AND due_at IS NOT NULL";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (TOLD, "webhooks_listed"),
    (WAKE, "PRIMARY KEY"),
    (DROP_SURPLUS, "webhook_deliveries_queued"),
    (COUNT_WAITING, "webhook_deliveries_"),
    (DUE, "webhook_lanes_due"),
    (CLAIM, "PRIMARY KEY"),
    (FIND_TARGET, "PRIMARY KEY"),
    (SECRETS, "PRIMARY KEY"),
    (TAKE, "webhook_deliveries_waiting"),
    (DISABLE, "PRIMARY KEY"),
    (HOLD, "PRIMARY KEY"),
    (NOTE, "PRIMARY KEY"),
    (SETTLE, "sqlite_autoindex_webhook_deliveries_1"),
    (RELEASE, "PRIMARY KEY"),
    (REWIND, "webhook_deliveries_waiting"),
    (REST, "PRIMARY KEY"),
    (END_WAITING, "webhook_deliveries_"),
];
