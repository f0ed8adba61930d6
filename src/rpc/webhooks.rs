//! Webhooks on the wire.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::key_requests::idempotency;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::key::MAX_GRACE;
use crate::domain::webhook::delivery::{AttemptError, Delivery, DeliveryState};
use crate::domain::webhook::event::{EVENT_KINDS, EventPattern};
use crate::domain::webhook::url::WebhookUrl;
use crate::domain::webhook::{DisabledReason, Webhook, WebhookDetails};
use crate::proto::v1;
use crate::service::Context;
use crate::service::paging::ListScope;
use crate::service::webhooks::Webhooks;
use crate::store::DeliveryFilter;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub(super) struct WebhookRpcs {
    context: Arc<Context>,
    webhooks: Webhooks,
}

/// The answer of an RPC.
pub(super) type Answer<T> = Result<Response<T>, Status>;

impl WebhookRpcs {
    /// The RPCs over this context.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { webhooks: Webhooks::new(Arc::clone(&context)), context }
    }

    pub(super) async fn create(&self, request: Request<v1::CreateWebhookRequest>) -> Answer<v1::CreateWebhookResponse> {
        let promise = idempotency("CreateWebhook", &request);
        let (around, message) = Around::split(request)?;
        let answer = async {
            let given = message.webhook.ok_or_else(|| Error::field("webhook", "is needed"))?;
            let (webhook, secret) = self.webhooks.create(&around.caller, new_webhook(given)?, promise?).await?;
            let secret = secret.expose().to_owned();
            Ok(v1::CreateWebhookResponse { webhook: Some(self.encode(webhook)), secret })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn find(&self, request: Request<v1::GetWebhookRequest>) -> Answer<v1::GetWebhookResponse> {
        let (around, message) = Around::split(request)?;
        let found = self.webhooks.find(&around.caller, &message.id).await;
        let webhook = found.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetWebhookResponse { webhook: Some(self.encode(webhook)) }))
    }

    pub(super) async fn list(&self, request: Request<v1::ListWebhooksRequest>) -> Answer<v1::ListWebhooksResponse> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let list = ListScope::new(&around.caller, "webhooks", "");
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.webhooks.list(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |webhook| webhook.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListWebhooksResponse {
                data: page.items.into_iter().map(|webhook| self.encode(webhook)).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn update(&self, request: Request<v1::UpdateWebhookRequest>) -> Answer<v1::UpdateWebhookResponse> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let given = message.webhook.ok_or_else(|| Error::field("webhook", "is needed"))?;
            let mut fields = Fields::under("webhook.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            fields.finish(())?;
            let (id, etag) = (given.id.clone(), given.etag.clone());
            let change = |details: &mut WebhookDetails| change(details, given, &mask);
            let webhook = self.webhooks.update(&around.caller, &id, Some(&etag), change).await?;
            Ok(v1::UpdateWebhookResponse { webhook: Some(self.encode(webhook)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn delete(&self, request: Request<v1::DeleteWebhookRequest>) -> Answer<v1::DeleteWebhookResponse> {
        let (around, message) = Around::split(request)?;
        let deleted = self.webhooks.delete(&around.caller, &message.id, message.etag.as_deref()).await;
        let webhook = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteWebhookResponse { webhook: Some(self.encode(webhook)) }))
    }

    pub(super) async fn rotate_secret(
        &self,
        request: Request<v1::RotateWebhookSecretRequest>,
    ) -> Answer<v1::RotateWebhookSecretResponse> {
        let promise = idempotency("RotateWebhookSecret", &request);
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let grace = fields.duration("grace_period", message.grace_period, MAX_GRACE);
            let grace: Duration = fields.finish(grace)?;
            let v1::RotateWebhookSecretRequest { id, etag, .. } = message;
            let etag = etag.as_deref();
            let rotated = self.webhooks.rotate_secret(&around.caller, &id, etag, grace, promise?).await;
            let (webhook, secret) = rotated?;
            let secret = secret.expose().to_owned();
            Ok(v1::RotateWebhookSecretResponse { webhook: Some(self.encode(webhook)), secret })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn test(&self, request: Request<v1::TestWebhookRequest>) -> Answer<v1::TestWebhookResponse> {
        let (around, message) = Around::split(request)?;
        let id = Some(message.id.as_str()).filter(|id| !id.is_empty());
        let tested = self.webhooks.test(&around.caller, id).await;
        let data = tested.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::TestWebhookResponse { data: data.into_iter().map(delivery).collect() }))
    }

    pub(super) async fn deliveries(
        &self,
        request: Request<v1::ListWebhookDeliveriesRequest>,
    ) -> Answer<v1::ListWebhookDeliveriesResponse> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let state = message.state.and_then(|state| fields.known("state", state, state_in));
            let filter = fields.finish(DeliveryFilter { state })?;
            let list = ListScope::new(&around.caller, "deliveries", &format!("{} {filter:?}", message.webhook_id));
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.webhooks.deliveries(&around.caller, &message.webhook_id, &filter, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |delivery| delivery.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListWebhookDeliveriesResponse {
                data: page.items.into_iter().map(delivery).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn redeliver(
        &self,
        request: Request<v1::RedeliverWebhookRequest>,
    ) -> Answer<v1::RedeliverWebhookResponse> {
        let (around, message) = Around::split(request)?;
        let queued = self.webhooks.redeliver(&around.caller, &message.webhook_id, &message.id).await;
        let queued = queued.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::RedeliverWebhookResponse { delivery: Some(delivery(queued)) }))
    }

    fn encode(&self, webhook: Webhook) -> v1::Webhook {
        encode(webhook, self.webhooks.now())
    }
}

fn new_webhook(webhook: v1::Webhook) -> Result<WebhookDetails> {
    let mut fields = Fields::under("webhook.");
    let url = address(&mut fields, &webhook.url);
    let description = fields.prose("description", webhook.description, 1_000);
    let kinds = kinds(&mut fields, &webhook.events);
    let url = fields.finish(url)?.ok_or_else(|| Error::field("webhook.url", "is needed"))?;
    Ok(WebhookDetails { url, description, enabled: webhook.enabled.unwrap_or(true), kinds })
}

/// Changes the masked fields.
fn change(details: &mut WebhookDetails, webhook: v1::Webhook, mask: &[&str]) -> Result<()> {
    let mut fields = Fields::under("webhook.");
    for field in mask {
        match *field {
            "url" => {
                if let Some(url) = address(&mut fields, &webhook.url) {
                    details.url = url;
                }
            }
            "description" => details.description = fields.prose("description", webhook.description.clone(), 1_000),
            "enabled" => details.enabled = webhook.enabled.unwrap_or(true),
            // The mask holds only the names of CHANGEABLE; this is the last of them.
            _ => details.kinds = kinds(&mut fields, &webhook.events),
        }
    }
    fields.finish(())
}

fn address(fields: &mut Fields, given: &str) -> Option<WebhookUrl> {
    WebhookUrl::parse(given).map_err(|rule| fields.refuse("url", rule)).ok()
}

fn kinds(fields: &mut Fields, given: &[String]) -> BTreeSet<EventPattern> {
    if given.len() > MAX_EVENTS {
        fields.refuse("events", format!("must have up to {MAX_EVENTS} entries, not {}", given.len()));
        return BTreeSet::new();
    }
    let mut read = BTreeSet::new();
    for (index, kind) in given.iter().enumerate() {
        match EventPattern::parse(kind) {
            Some(pattern) => drop(read.insert(pattern)),
            None => {
                let known = EVENT_KINDS.join(", ");
                let rule = format!(
                    "must be *, a kind of event, or the kinds with one first word, such as webhook.*; there are {known}"
                );
                fields.refuse(format!("events[{index}]"), rule);
            }
        }
    }
    read
}

fn encode(webhook: Webhook, now: Timestamp) -> v1::Webhook {
    let (etag, environment) = (webhook.etag(), convert::environment(webhook.environment));
    let disabled_reason = webhook.disabled.map(|reason| match reason {
        DisabledReason::Gone => v1::webhook::DisabledReason::Gone,
        DisabledReason::Failing => v1::webhook::DisabledReason::Failing,
    });
    v1::Webhook {
        id: webhook.id.to_string(),
        url: webhook.details.url.to_string(),
        description: webhook.details.description,
        enabled: Some(webhook.details.enabled),
        events: webhook.details.kinds.iter().map(ToString::to_string).collect(),
        environment: environment.into(),
        disabled_reason: disabled_reason.map(i32::from),
        failing_since: webhook.failing_since.map(convert::time),
        old_secret_expires_at: webhook.old_secret_ends_at.filter(|end| *end > now).map(convert::time),
        created_at: Some(convert::time(webhook.created_at)),
        updated_at: Some(convert::time(webhook.updated_at)),
        etag,
    }
}

fn delivery(delivery: Delivery) -> v1::WebhookDelivery {
    let state = match delivery.state {
        DeliveryState::Waiting => v1::webhook_delivery::State::Waiting,
        DeliveryState::Delivered => v1::webhook_delivery::State::Delivered,
        DeliveryState::Failed => v1::webhook_delivery::State::Failed,
        DeliveryState::Dropped => v1::webhook_delivery::State::Dropped,
    };
    let last = delivery.last;
    v1::WebhookDelivery {
        id: delivery.id.to_string(),
        webhook_id: delivery.webhook.to_string(),
        r#type: delivery.kind,
        state: state.into(),
        attempts: i32::try_from(delivery.attempts).unwrap_or(i32::MAX),
        status: last.and_then(|attempt| attempt.status).map(i32::from),
        error: last.and_then(|attempt| attempt.error).map(|error: AttemptError| error.to_string()),
        duration: last.and_then(|attempt| attempt.took.try_into().ok()),
        created_at: Some(convert::time(delivery.created_at)),
        last_attempt_at: last.map(|attempt| convert::time(attempt.at)),
        next_attempt_at: delivery.due_at.map(convert::time),
        payload: delivery.payload,
    }
}

fn state_in(state: v1::webhook_delivery::State) -> Option<DeliveryState> {
    match state {
        v1::webhook_delivery::State::Unspecified => None,
        v1::webhook_delivery::State::Waiting => Some(DeliveryState::Waiting),
        v1::webhook_delivery::State::Delivered => Some(DeliveryState::Delivered),
        v1::webhook_delivery::State::Failed => Some(DeliveryState::Failed),
        v1::webhook_delivery::State::Dropped => Some(DeliveryState::Dropped),
    }
}

const CHANGEABLE: [&str; 4] = ["url", "description", "enabled", "events"];
const MAX_EVENTS: usize = 50;
