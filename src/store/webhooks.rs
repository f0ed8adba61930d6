//! Webhooks and what their deliveries are signed with. What they are told is in `outbox.rs`, what became of it in
//! `deliveries.rs`.

use std::collections::BTreeSet;

use super::Store;
use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::idempotency::{self, NewIdempotent, Remembered};
use super::outbox;
use super::pages::{self, Statements};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ProjectId, WebhookId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::webhook::event::EventPattern;
use crate::domain::webhook::url::WebhookUrl;
use crate::domain::webhook::{DisabledReason, MAX_WEBHOOKS, Webhook, WebhookDetails};

/// The columns of a webhook, as [`read`] expects them.
macro_rules! webhook_columns {
    () => {
        "w.id, w.project, w.environment, w.url, w.description, w.enabled, w.disabled_reason, w.created_at, w.updated_at,
        w.version,
        (SELECT string_agg(k.kind, ' ') FROM webhook_kinds k WHERE k.webhook_id = w.id) AS kinds,
        (SELECT l.failing_since FROM webhook_lanes l WHERE l.webhook_id = w.id) AS failing_since,
        (SELECT MAX(s.ends_at) FROM webhook_secrets s WHERE s.webhook_id = w.id) AS old_secret_ends_at"
    };
}

impl Store {
    /// Stores a new webhook and its sealed secret; what is remembered of the request instead, if it was answered before.
    ///
    /// # Errors
    /// [`Conflict::TooManyWebhooks`], and [`Conflict::Version`] where the project was deleted.
    pub async fn create_webhook(
        &self,
        webhook: &Webhook,
        sealed: &[u8],
        request: Option<&NewIdempotent<'_>>,
        event: &AuditEvent,
    ) -> Result<Option<Remembered>> {
        let (id, project, environment) = (webhook.id.as_str(), webhook.project.as_str(), webhook.environment.as_str());
        let values = values![
            id,
            project,
            environment,
            webhook.details.url.as_str(),
            &webhook.details.description,
            webhook.details.enabled,
            webhook.created_at,
            webhook.updated_at,
            webhook.version,
        ];
        let mut tx = self.db.begin().await?;
        if let Some(known) = known(&mut tx, webhook, request).await? {
            return Ok(Some(known));
        }
        // Of two that add the last one, one is first.
        if tx.execute(CLAIM_PROJECT, values![project]).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        let there = tx.fetch_one(COUNT, values![project, environment]).await?.int("total")?;
        if !u32::try_from(there).is_ok_and(|there| there < MAX_WEBHOOKS) {
            return Err(StoreError::Conflict(Conflict::TooManyWebhooks));
        }
        tx.execute(INSERT, values).await?;
        tx.execute(INSERT_LANE, values![id]).await?;
        tx.execute(INSERT_SECRET, values![id, sealed]).await?;
        insert_kinds(&mut tx, webhook).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// The webhook of this id.
    pub async fn find_webhook(
        &self,
        project: &ProjectId,
        environment: Environment,
        id: &WebhookId,
    ) -> Result<Option<Webhook>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The webhooks of an environment, oldest first. A page comes after the id of the last webhook of the one before.
    pub async fn list_webhooks(
        &self,
        project: &ProjectId,
        environment: Environment,
        request: &PageRequest,
    ) -> Result<Page<Webhook>> {
        let after = pages::after(request).unwrap_or_default();
        let statements = Statements { page: LIST, count: COUNT };
        self.page(statements, values![project.as_str(), environment.as_str()], after.into(), request, read).await
    }

    /// Stores a changed webhook, if it still has the version expected. What waits for one that is disabled is given up.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn update_webhook(&self, webhook: &Webhook, expected_version: i64, event: &AuditEvent) -> Result<()> {
        let id = webhook.id.as_str();
        let values = values![
            id,
            webhook.project.as_str(),
            webhook.environment.as_str(),
            expected_version,
            webhook.details.url.as_str(),
            &webhook.details.description,
            webhook.details.enabled,
            webhook.disabled.map(|reason| reason.as_str()),
            webhook.updated_at,
            webhook.version,
        ];
        let mut tx = self.db.begin().await?;
        if tx.execute(UPDATE, values).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        tx.execute(DELETE_KINDS, values![id]).await?;
        insert_kinds(&mut tx, webhook).await?;
        if webhook.failing_since.is_none() {
            tx.execute(FORGIVE, values![id]).await?;
        }
        if !webhook.details.enabled {
            outbox::end_waiting(&mut tx, &webhook.id).await?;
        }
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Replaces the secret of a webhook, if it still has the version expected. The one before goes on until this time, if any;
    /// one that is older ends now. What is remembered of the request instead, if it was answered before.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn rotate_webhook_secret(
        &self,
        webhook: &Webhook,
        expected_version: i64,
        sealed: &[u8],
        request: Option<&NewIdempotent<'_>>,
        event: &AuditEvent,
    ) -> Result<Option<Remembered>> {
        let id = webhook.id.as_str();
        let (project, environment) = (webhook.project.as_str(), webhook.environment.as_str());
        let mut tx = self.db.begin().await?;
        if let Some(known) = known(&mut tx, webhook, request).await? {
            return Ok(Some(known));
        }
        let values = values![id, project, environment, expected_version, webhook.updated_at, webhook.version];
        if tx.execute(ROTATED, values).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        tx.execute(END_OLDER_SECRETS, values![id]).await?;
        match webhook.old_secret_ends_at {
            Some(end) => tx.execute(END_SECRET, values![id, end]).await?,
            None => tx.execute(DELETE_SECRETS, values![id]).await?,
        };
        tx.execute(INSERT_SECRET, values![id, sealed]).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(None)
    }

    /// The sealed secrets that sign what a webhook is told at this time, the newest first.
    pub async fn find_webhook_secrets(&self, id: &WebhookId, now: Timestamp) -> Result<Vec<Vec<u8>>> {
        let rows = self.db.fetch_all(outbox::SECRETS, values![id.as_str(), now]).await?;
        rows.iter().map(|row| Ok(row.bytes("sealed")?.to_vec())).collect()
    }

    /// Removes a webhook, if it still has the version expected. What waits for it is given up; what it was told ends by its age.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn delete_webhook(&self, webhook: &Webhook, expected_version: i64, event: &AuditEvent) -> Result<()> {
        let id = webhook.id.as_str();
        let (project, environment) = (webhook.project.as_str(), webhook.environment.as_str());
        let mut tx = self.db.begin().await?;
        if tx.execute(CLAIM, values![id, project, environment, expected_version]).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        outbox::end_waiting(&mut tx, &webhook.id).await?;
        for statement in [DELETE_LANE, DELETE_KINDS, DELETE_SECRETS, DELETE] {
            tx.execute(statement, values![id]).await?;
        }
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes up to `batch` secrets that sign nothing any more; how many it were.
    pub async fn prune_webhook_secrets(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE_SECRETS, values![now, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

/// What is remembered of a request that makes this of a webhook; it is remembered from now on, if nothing is.
async fn known(tx: &mut Tx, webhook: &Webhook, request: Option<&NewIdempotent<'_>>) -> Result<Option<Remembered>> {
    let Some(request) = request else { return Ok(None) };
    idempotency::claim(tx, &webhook.project, webhook.environment, request, webhook.updated_at).await
}

async fn insert_kinds(tx: &mut Tx, webhook: &Webhook) -> Result<()> {
    for kind in &webhook.details.kinds {
        tx.execute(INSERT_KIND, values![webhook.id.as_str(), kind.as_str()]).await?;
    }
    Ok(())
}

fn read(row: &Row) -> Result<Webhook> {
    let kinds = row.opt_str("kinds")?.unwrap_or_default().split(' ').filter(|kind| !kind.is_empty());
    let kinds: BTreeSet<_> = kinds.map(|kind| EventPattern::stored(kind.to_owned())).collect();
    let disabled = match row.opt_str("disabled_reason")? {
        Some(word) => Some(DisabledReason::parse(word).ok_or_else(|| damaged("webhooks.disabled_reason"))?),
        None => None,
    };
    Ok(Webhook {
        id: WebhookId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("webhooks.environment"))?,
        details: WebhookDetails {
            url: WebhookUrl::stored(row.text("url")?),
            description: row.text("description")?,
            enabled: row.bool("enabled")?,
            kinds,
        },
        disabled,
        failing_since: row.opt_time("failing_since")?,
        old_secret_ends_at: row.opt_time("old_secret_ends_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        version: row.int("version")?,
    })
}

/// Changes nothing; the row is held until the transaction ends.
const CLAIM_PROJECT: &str = "UPDATE projects SET version = version WHERE id = $1 AND deleted_at IS NULL";
const COUNT: &str = "SELECT COUNT(*) AS total FROM webhooks w WHERE w.project = $1 AND w.environment = $2";
const INSERT: &str =
    "INSERT INTO webhooks (id, project, environment, url, description, enabled, created_at, updated_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const INSERT_LANE: &str = "INSERT INTO webhook_lanes (webhook_id) VALUES ($1)";
const INSERT_KIND: &str = "INSERT INTO webhook_kinds (webhook_id, kind) VALUES ($1, $2)";
const INSERT_SECRET: &str = "INSERT INTO webhook_secrets (webhook_id, number, sealed)
    SELECT $1, COALESCE(MAX(s.number), 0) + 1, $2 FROM webhook_secrets s WHERE s.webhook_id = $1";
const FIND: &str = concat!(
    "SELECT ",
    webhook_columns!(),
    " FROM webhooks w WHERE w.id = $1 AND w.project = $2 AND w.environment = $3"
);
const LIST: &str = concat!(
    "SELECT ",
    webhook_columns!(),
    " FROM webhooks w WHERE w.project = $1 AND w.environment = $2 AND w.id > $3 ORDER BY w.id LIMIT $4 OFFSET $5"
);
const UPDATE: &str =
    "UPDATE webhooks SET url = $5, description = $6, enabled = $7, disabled_reason = $8, updated_at = $9,
        version = $10
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4";
const ROTATED: &str = "UPDATE webhooks SET updated_at = $5, version = $6
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4";
const CLAIM: &str = "UPDATE webhooks SET version = version
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4";
const FORGIVE: &str = "UPDATE webhook_lanes SET failing_since = NULL WHERE webhook_id = $1";
const END_OLDER_SECRETS: &str = "DELETE FROM webhook_secrets WHERE webhook_id = $1 AND ends_at IS NOT NULL";
const END_SECRET: &str = "UPDATE webhook_secrets SET ends_at = $2 WHERE webhook_id = $1 AND ends_at IS NULL";
const DELETE_LANE: &str = "DELETE FROM webhook_lanes WHERE webhook_id = $1";
const DELETE_KINDS: &str = "DELETE FROM webhook_kinds WHERE webhook_id = $1";
const DELETE_SECRETS: &str = "DELETE FROM webhook_secrets WHERE webhook_id = $1";
const DELETE: &str = "DELETE FROM webhooks WHERE id = $1";
const PRUNE_SECRETS: &str = "DELETE FROM webhook_secrets WHERE (webhook_id, number) IN
    (SELECT s.webhook_id, s.number FROM webhook_secrets s WHERE s.ends_at IS NOT NULL AND s.ends_at <= $1
        ORDER BY s.ends_at LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (CLAIM_PROJECT, "sqlite_autoindex_projects_1"),
    (COUNT, "webhooks_listed"),
    (INSERT_SECRET, "PRIMARY KEY"),
    (FIND, "PRIMARY KEY"),
    (LIST, "webhooks_listed"),
    (UPDATE, "PRIMARY KEY"),
    (ROTATED, "PRIMARY KEY"),
    (CLAIM, "PRIMARY KEY"),
    (FORGIVE, "PRIMARY KEY"),
    (END_OLDER_SECRETS, "PRIMARY KEY"),
    (END_SECRET, "PRIMARY KEY"),
    (DELETE_LANE, "PRIMARY KEY"),
    (DELETE_KINDS, "PRIMARY KEY"),
    (DELETE_SECRETS, "PRIMARY KEY"),
    (DELETE, "PRIMARY KEY"),
    (PRUNE_SECRETS, "webhook_secrets_ending"),
];
