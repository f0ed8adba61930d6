//! Webhooks: who is told of what happens in an environment, and what became of it.

mod courier;
mod message;
mod trials;
mod turns;

pub use courier::Courier;
pub use message::{Carrier, Carrying, Envelope, Receipt};

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

use self::trials::{MOST_OF_PROJECT, Trials};
use super::idempotency::{self, Idempotency, Promise};
use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::audit::fields;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::{EventId, WebhookId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::secret::PlainSecret;
use crate::domain::webhook::delivery::{Delivery, DeliveryState};
use crate::domain::webhook::event::{ALERTS, EventPattern, WEBHOOK_TEST, WebhookEvent, is_alert};
use crate::domain::webhook::{MAX_WEBHOOKS, Webhook, WebhookDetails, seal_context};
use crate::store::{DeliveryFilter, Remembered};

/// The webhooks part of the Keys service.
#[derive(Clone, Debug)]
pub struct Webhooks {
    context: Arc<Context>,
    trials: Arc<Trials>,
}

impl Webhooks {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, trials: Arc::default() }
    }

    /// Adds a webhook; with it comes its secret, which is shown only here. Whoever has it told of alerts must be able to read them.
    pub async fn create(
        &self,
        caller: &Caller,
        details: WebhookDetails,
        idempotency: Option<Idempotency>,
    ) -> Result<(Webhook, PlainSecret)> {
        if details.kinds.iter().any(EventPattern::hears_alerts) {
            expect_alerts_scope(caller)?;
        }
        self.may_be_called(&details)?;
        let now = self.context.now();
        let webhook = Webhook {
            id: WebhookId::new(now, &*self.context.entropy),
            project: caller.project().clone(),
            environment: caller.environment(),
            details,
            disabled: None,
            failing_since: None,
            old_secret_ends_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let (secret, sealed) = self.new_secret(&webhook.id);
        let audit = self.context.audit(caller, "webhook.created", webhook.id.as_str());
        let audit = audit.changing(None, Some(shown(&webhook.details)));
        let promise = self.promise(caller, idempotency, &webhook, &secret);
        let request = promise.as_ref().map(Promise::request);
        match self.context.store.create_webhook(&webhook, &sealed, request.as_ref(), &audit).await? {
            None => Ok((webhook, secret)),
            Some(remembered) => self.answered(caller, promise.as_ref(), &remembered).await,
        }
    }

    /// Reads a webhook.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Webhook> {
        let found = match WebhookId::parse(id) {
            Some(id) => self.context.store.find_webhook(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("webhook", id))
    }

    /// Lists the webhooks, oldest first.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Webhook>> {
        Ok(self.context.store.list_webhooks(caller.project(), caller.environment(), page).await?)
    }

    /// Changes what is said of a webhook by `change`. Whoever has it tell an address of alerts must be able to read them.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(&mut WebhookDetails) -> Result<()>,
    ) -> Result<Webhook> {
        let mut webhook = self.find(caller, id).await?;
        expect_etag(etag, &webhook.etag())?;
        let (version, mut details) = (webhook.version, webhook.details.clone());
        change(&mut details)?;
        if self.shows_alerts(&webhook, &details).await? {
            expect_alerts_scope(caller)?;
        }
        if details.url != webhook.details.url {
            self.may_be_called(&details)?;
        }
        let (before, after) = (shown(&webhook.details), shown(&details));
        webhook.update(details, self.context.now());
        let audit = self.context.audit(caller, "webhook.updated", webhook.id.as_str());
        let audit = audit.changing(Some(before), Some(after));
        self.context.store.update_webhook(&webhook, version, &audit).await?;
        Ok(webhook)
    }

    /// Deletes a webhook.
    pub async fn delete(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Webhook> {
        let webhook = self.find(caller, id).await?;
        expect_etag(etag, &webhook.etag())?;
        let audit = self.context.audit(caller, "webhook.deleted", webhook.id.as_str());
        let audit = audit.changing(Some(shown(&webhook.details)), None);
        self.context.store.delete_webhook(&webhook, webhook.version, &audit).await?;
        Ok(webhook)
    }

    /// Gives a webhook a new secret. The one before signs beside it for the grace period.
    ///
    /// # Errors
    /// IDEMPOTENCY_KEY_REUSED for a request that comes again after its secret was replaced, too.
    pub async fn rotate_secret(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        grace: Duration,
        idempotency: Option<Idempotency>,
    ) -> Result<(Webhook, PlainSecret)> {
        let mut webhook = self.find(caller, id).await?;
        // With the secret comes that alerts are believed.
        if webhook.details.kinds.iter().any(EventPattern::hears_alerts) {
            expect_alerts_scope(caller)?;
        }
        let fresh = expect_etag(etag, &webhook.etag());
        if idempotency.is_none() {
            fresh.clone()?;
        }
        // A request that comes again names the etag from before it was answered: it has to be known again first.
        let (now, version) = (self.context.now(), if fresh.is_ok() { webhook.version } else { NO_VERSION });
        webhook.old_secret_ends_at = (!grace.is_zero()).then(|| now.plus(grace));
        webhook.updated_at = now;
        webhook.version += 1;
        let (secret, sealed) = self.new_secret(&webhook.id);
        let audit = self.context.audit(caller, "webhook.secret_rotated", webhook.id.as_str());
        let promise = self.promise(caller, idempotency, &webhook, &secret);
        let request = promise.as_ref().map(Promise::request);
        match self.context.store.rotate_webhook_secret(&webhook, version, &sealed, request.as_ref(), &audit).await? {
            None => Ok((webhook, secret)),
            Some(remembered) => {
                let (webhook, secret) = self.answered(caller, promise.as_ref(), &remembered).await?;
                self.expect_current(&webhook.id, &secret).await?;
                Ok((webhook, secret))
            }
        }
    }

    /// Sends a webhook, or without an id all that are enabled, an event to try it, at once and once.
    pub async fn test(&self, caller: &Caller, id: Option<&str>) -> Result<Vec<Delivery>> {
        let webhooks = match id {
            Some(id) => vec![self.find(caller, id).await?],
            None => {
                let all = PageRequest::After { limit: MAX_WEBHOOKS, after: None };
                let listed = self.list(caller, &all).await?.items;
                listed.into_iter().filter(|webhook| webhook.details.enabled).collect()
            }
        };
        // No more at a time than there are places for: none waits longer than others hold it up.
        let tests: Vec<_> = webhooks.iter().map(|webhook| self.test_one(webhook)).collect();
        stream::iter(tests).buffered(MOST_OF_PROJECT).try_collect().await
    }

    async fn test_one(&self, webhook: &Webhook) -> Result<Delivery> {
        let context = &self.context;
        let Some(_place) = self.trials.place(&webhook.project).await else {
            return Err(Error::new(
                Reason::Overloaded,
                "too many webhooks are being tried; try again in a few seconds",
            ));
        };
        let secrets = context.store.find_webhook_secrets(&webhook.id, context.now()).await?;
        let now = context.now();
        let event = WebhookEvent {
            id: EventId::new(now, &*context.entropy),
            kind: WEBHOOK_TEST,
            project: webhook.project.clone(),
            environment: webhook.environment,
            at: now,
            data: json!({"webhookId": webhook.id.as_str(), "message": "It works."}),
        };
        let payload = event.payload();
        let place = (&webhook.id, &webhook.details.url, &secrets[..]);
        let (attempt, _) = message::attempt(context, place, &event.id, &payload, TEST_TAKES).await;
        let delivery = Delivery {
            webhook: webhook.id.clone(),
            id: event.id,
            kind: WEBHOOK_TEST.to_owned(),
            payload,
            state: if attempt.error.is_none() { DeliveryState::Delivered } else { DeliveryState::Failed },
            created_at: now,
            due_at: None,
            attempts: 1,
            last: Some(attempt),
        };
        context.store.record_delivery(&webhook.project, webhook.environment, &delivery).await?;
        Ok(delivery)
    }

    /// Lists what a webhook was told and is to be told, newest first. What alerts say is left out for who may not read them.
    pub async fn deliveries(
        &self,
        caller: &Caller,
        id: &str,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>> {
        let webhook = self.find(caller, id).await?;
        let mut listed = self.context.store.list_deliveries(&webhook.id, filter, page).await?;
        if !caller.scopes().holds(READ_ALERTS) {
            for delivery in listed.items.iter_mut().filter(|delivery| is_alert(&delivery.kind)) {
                delivery.payload.clear();
            }
        }
        Ok(listed)
    }

    /// Makes a delivery once more. That of an alert is for who may read it: the webhook may be elsewhere by now.
    pub async fn redeliver(&self, caller: &Caller, webhook: &str, id: &str) -> Result<Delivery> {
        let webhook = self.find(caller, webhook).await?;
        let unknown = || Error::not_found("delivery", id);
        let event = EventId::parse(id).ok_or_else(unknown)?;
        if !webhook.details.enabled {
            return Err(Error::new(Reason::InvalidState, "the webhook is disabled; enable it first"));
        }
        let (store, now) = (&self.context.store, self.context.now());
        let found = store.find_delivery(&webhook.id, &event).await?.ok_or_else(unknown)?;
        if is_alert(&found.kind) {
            expect_alerts_scope(caller)?;
        }
        let audit = self.context.audit(caller, "webhook.redelivered", webhook.id.as_str());
        if !store.redeliver(&webhook.id, &event, now, &audit).await? {
            return Err(unknown());
        }
        store.find_delivery(&webhook.id, &event).await?.ok_or_else(unknown)
    }

    /// The time, for whoever tells what is over.
    pub fn now(&self) -> Timestamp {
        self.context.now()
    }

    /// Whether a change has an address hear of alerts that it did not hear of before: of new ones, or of those that wait.
    async fn shows_alerts(&self, before: &Webhook, after: &WebhookDetails) -> Result<bool> {
        if after.kinds.difference(&before.details.kinds).any(EventPattern::hears_alerts) {
            return Ok(true);
        }
        Ok(after.url != before.details.url
            && (after.kinds.iter().any(EventPattern::hears_alerts)
                || self.context.store.has_waiting_deliveries(&before.id, ALERTS).await?))
    }

    fn may_be_called(&self, details: &WebhookDetails) -> Result<()> {
        match self.context.carrier.objection(&details.url) {
            Some(rule) => Err(Error::field("webhook.url", rule)),
            None => Ok(()),
        }
    }

    fn promise(
        &self,
        caller: &Caller,
        idempotency: Option<Idempotency>,
        webhook: &Webhook,
        secret: &PlainSecret,
    ) -> Option<Promise> {
        let answer = (webhook.id.as_str(), secret);
        idempotency.map(|request| Promise::new(&self.context, caller, request, answer, webhook.updated_at))
    }

    /// The answer that the first of two equal requests got.
    async fn answered(
        &self,
        caller: &Caller,
        promise: Option<&Promise>,
        remembered: &Remembered,
    ) -> Result<(Webhook, PlainSecret)> {
        let (id, secret) = idempotency::replay(&self.context, caller, promise, remembered).await?;
        Ok((self.find(caller, &id).await?, secret))
    }

    /// Refuses to tell a secret as the new one of a webhook that has a newer.
    async fn expect_current(&self, id: &WebhookId, secret: &PlainSecret) -> Result<()> {
        let context = &self.context;
        let sealed = context.store.find_webhook_secrets(id, context.now()).await?;
        let newest = match sealed.first() {
            Some(newest) => context.open_secret(newest, &seal_context(id.as_str())).await?,
            None => None,
        };
        let newest = newest.ok_or_else(|| Error::new(Reason::Internal, "the secret of a webhook cannot be read"))?;
        if context.keyring.hash(newest.expose()) == context.keyring.hash(secret.expose()) {
            return Ok(());
        }
        let message = "the secret that this Idempotency-Key was answered was replaced since; choose a new one";
        Err(Error::new(Reason::IdempotencyKeyReused, message))
    }

    /// A new secret (Standard Webhooks, "Signature scheme"), plain and sealed.
    fn new_secret(&self, id: &WebhookId) -> (PlainSecret, Vec<u8>) {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        self.context.entropy.fill(&mut *bytes);
        let secret = PlainSecret::unsealed(format!("whsec_{}", BASE64.encode(*bytes)));
        let sealed = self.context.keyring.seal(secret.expose().as_bytes(), &seal_context(id.as_str()));
        (secret, sealed)
    }
}

/// Alerts are for those who may read them, by whichever way.
fn expect_alerts_scope(caller: &Caller) -> Result<()> {
    if caller.scopes().holds(READ_ALERTS) {
        return Ok(());
    }
    Err(Error::insufficient_scope(READ_ALERTS.to_owned()))
}

/// The details as the audit log shows them.
fn shown(details: &WebhookDetails) -> Map<String, Value> {
    fields([
        ("url", json!(details.url.as_str())),
        ("description", json!(details.description)),
        ("enabled", json!(details.enabled)),
        ("events", details.kinds.iter().map(EventPattern::as_str).collect()),
    ])
}

const READ_ALERTS: &str = "read:alerts";
/// No webhook has it.
const NO_VERSION: i64 = 0;
const SECRET_BYTES: usize = 32;
/// How long a test may take.
const TEST_TAKES: Duration = Duration::from_secs(10);
