//! The log of deliveries: what each webhook was told, and how that went.

use std::time::Duration;

use super::Store;
use super::db::{Row, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::outbox::{micros, small, wake};
use super::pages::{self, Statements};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{EventId, ProjectId, WebhookId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::webhook::delivery::{Attempt, AttemptError, Delivery, DeliveryState, MAX_WAITING};

/// Which deliveries a list is to hold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DeliveryFilter {
    /// Only those in this state.
    pub state: Option<DeliveryState>,
}

macro_rules! delivery_columns {
    () => {
        "d.webhook_id, d.id, d.kind, d.payload, d.state, d.created_at, d.due_at, d.attempts, d.attempted_at, d.status, d.error,
        d.duration_micros"
    };
}

impl Store {
    /// The delivery of an event to a webhook.
    pub async fn find_delivery(&self, webhook: &WebhookId, id: &EventId) -> Result<Option<Delivery>> {
        let values = values![webhook.as_str(), id.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The deliveries to a webhook, newest first. A page comes after the id of the last delivery of the one before.
    pub async fn list_deliveries(
        &self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        request: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let values = values![webhook.as_str(), filter.state.map(DeliveryState::as_str)];
        let statements = match filter.state {
            Some(_) => Statements { page: LIST_BY_STATE, count: COUNT_BY_STATE },
            None => Statements { page: LIST, count: COUNT },
        };
        self.page(statements, values, pages::after(request).unwrap_or(AFTER_ALL).into(), request, read).await
    }

    /// Whether a webhook is still to be told of an event whose kind begins like this.
    pub async fn has_waiting_deliveries(&self, webhook: &WebhookId, kinds: &str) -> Result<bool> {
        Ok(self.db.fetch_optional(WAITING_OF, values![webhook.as_str(), kinds]).await?.is_some())
    }

    /// Queues a delivery once more, to be made now and tried as often as a new one; whether there is one.
    ///
    /// # Errors
    /// [`Conflict::TooManyWaiting`]: what waits is not given up for it.
    pub async fn redeliver(
        &self,
        webhook: &WebhookId,
        id: &EventId,
        now: Timestamp,
        event: &AuditEvent,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if !wake(&mut tx, webhook, now).await?
            || tx.execute(REDELIVER, values![webhook.as_str(), id.as_str(), now]).await? == 0
        {
            return Ok(false);
        }
        // The lane is held: nobody else adds to what waits.
        let waiting = tx.fetch_one(COUNT_WAITING, values![webhook.as_str()]).await?.int("total")?;
        if waiting > i64::from(MAX_WAITING) {
            return Err(StoreError::Conflict(Conflict::TooManyWaiting));
        }
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Writes down a delivery that was made outside of the outbox, and has ended. Of the newest 1,000 deliveries to the
    /// webhook up to 100 are such ones: older ones are forgotten, and what else it was told is not.
    pub async fn record_delivery(
        &self,
        project: &ProjectId,
        environment: Environment,
        delivery: &Delivery,
    ) -> Result<()> {
        let last = delivery.last.as_ref();
        let values = values![
            delivery.webhook.as_str(),
            delivery.id.as_str(),
            project.as_str(),
            environment.as_str(),
            &delivery.kind,
            &delivery.payload,
            delivery.state.as_str(),
            delivery.created_at,
            delivery.attempts,
            last.map(|attempt| attempt.at),
            last.and_then(|attempt| attempt.status).map(i64::from),
            last.and_then(|attempt| attempt.error).map(AttemptError::as_str),
            last.map(|attempt| micros(attempt.took)),
        ];
        let mut tx = self.db.begin().await?;
        tx.execute(INSERT, values).await?;
        tx.execute(FORGET_TESTS, values![delivery.webhook.as_str(), &delivery.kind, NEWEST, MOST_TESTS]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes up to `batch` deliveries that were queued before this time and have ended; how many it were.
    pub async fn prune_deliveries(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![before, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

fn read(row: &Row) -> Result<Delivery> {
    Ok(Delivery {
        webhook: WebhookId::stored(row.text("webhook_id")?),
        id: EventId::stored(row.text("id")?),
        kind: row.text("kind")?,
        payload: row.text("payload")?,
        state: DeliveryState::parse(row.str("state")?).ok_or_else(|| damaged("webhook_deliveries.state"))?,
        created_at: row.time("created_at")?,
        due_at: row.opt_time("due_at")?,
        attempts: small(row, "attempts")?,
        last: last(row)?,
    })
}

fn last(row: &Row) -> Result<Option<Attempt>> {
    let Some(at) = row.opt_time("attempted_at")? else { return Ok(None) };
    let took = u64::try_from(row.int("duration_micros")?).map_err(|_| damaged("webhook_deliveries.duration_micros"))?;
    let status = row.opt_int("status")?.map(u16::try_from).transpose();
    let error = row.opt_str("error")?;
    Ok(Some(Attempt {
        at,
        took: Duration::from_micros(took),
        status: status.map_err(|_| damaged("webhook_deliveries.status"))?,
        error: error
            .map(|word| AttemptError::parse(word).ok_or_else(|| damaged("webhook_deliveries.error")))
            .transpose()?,
    }))
}

const FIND: &str =
    concat!("SELECT ", delivery_columns!(), " FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.id = $2");
const LIST: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM webhook_deliveries d WHERE d.webhook_id = $1 AND $2 IS NULL AND d.id < $3 ORDER BY d.id DESC LIMIT $4 OFFSET $5"
);
const COUNT: &str = "SELECT COUNT(*) AS total FROM webhook_deliveries d WHERE d.webhook_id = $1 AND $2 IS NULL";
const LIST_BY_STATE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.state = $2 AND d.id < $3 ORDER BY d.id DESC LIMIT $4 OFFSET $5"
);
const COUNT_BY_STATE: &str =
    "SELECT COUNT(*) AS total FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.state = $2";
const REDELIVER: &str = "UPDATE webhook_deliveries SET state = 'waiting', due_at = $3, tries = 0
    WHERE webhook_id = $1 AND id = $2";
const WAITING_OF: &str = "SELECT d.id FROM webhook_deliveries d
    WHERE d.webhook_id = $1 AND d.due_at IS NOT NULL AND substr(d.kind, 1, length($2)) = $2 LIMIT 1";
const COUNT_WAITING: &str =
    "SELECT COUNT(*) AS total FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.due_at IS NOT NULL";
const INSERT: &str =
    "INSERT INTO webhook_deliveries (webhook_id, id, project, environment, kind, payload, state, created_at,
        tries, attempts, attempted_at, status, error, duration_micros)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $13)";
/// It looks at so many rows, however many there are.
const FORGET_TESTS: &str = "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND id IN
    (SELECT newest_own.id FROM
        (SELECT d.id, d.kind, d.due_at FROM webhook_deliveries d WHERE d.webhook_id = $1 ORDER BY d.id DESC LIMIT $3)
            AS newest_own
        WHERE newest_own.kind = $2 AND newest_own.due_at IS NULL ORDER BY newest_own.id DESC LIMIT $3 OFFSET $4)";
const PRUNE: &str = "DELETE FROM webhook_deliveries WHERE (webhook_id, id) IN
    (SELECT d.webhook_id, d.id FROM webhook_deliveries d WHERE d.due_at IS NULL AND d.created_at < $1
        ORDER BY d.created_at LIMIT $2)";

/// Deliveries that were made outside of the outbox, among the newest of a webhook.
const MOST_TESTS: u32 = 100;
/// Deliveries of a webhook that are looked through for them.
const NEWEST: u32 = 1_000;
/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (FIND, "sqlite_autoindex_webhook_deliveries_1"),
    (LIST, "sqlite_autoindex_webhook_deliveries_1"),
    (COUNT, "webhook_deliveries_"),
    (LIST_BY_STATE, "webhook_deliveries_by_state"),
    (COUNT_BY_STATE, "webhook_deliveries_by_state"),
    (REDELIVER, "sqlite_autoindex_webhook_deliveries_1"),
    (WAITING_OF, "webhook_deliveries_"),
    (COUNT_WAITING, "webhook_deliveries_"),
    (FORGET_TESTS, "sqlite_autoindex_webhook_deliveries_1"),
    (PRUNE, "webhook_deliveries_ended"),
];
