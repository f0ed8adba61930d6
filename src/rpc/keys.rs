//! The Keys service on the wire.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tonic::{Request, Response, Status};

use super::fields::Fields;
use super::key_fields::{CHANGEABLE, changed, credits_in_part, new_key, take};
use super::key_requests::{filter, idempotency, named};
use super::page::{page_fields, place};
use super::request::Around;
use super::webhooks::{Answer, WebhookRpcs};
use super::{alerts, audit, convert, leaks, usage, user_keys};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::key::{Key, MAX_GRACE, RotationMode};
use crate::domain::usage::LastUse;
use crate::proto::v1;
use crate::proto::v1::keys_server::Keys as KeysRpc;
use crate::service::Context;
use crate::service::alerts::Alerts;
use crate::service::audit::Audit;
use crate::service::keys::Keys;
use crate::service::leaks::Leaks;
use crate::service::narrowing::Narrowing;
use crate::service::paging::ListScope;
use crate::service::usage::Usage;
use crate::service::user_keys::UserKeys;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub struct KeysService {
    context: Arc<Context>,
    keys: Keys,
    user_keys: UserKeys,
    audit: Audit,
    leaks: Leaks,
    alerts: Alerts,
    usage: Usage,
    narrowing: Narrowing,
    webhooks: WebhookRpcs,
}

impl KeysService {
    /// The RPCs over this context.
    pub fn new(context: Arc<Context>) -> Self {
        let audit = Audit::new(Arc::clone(&context));
        let (usage, narrowing) = (Usage::new(Arc::clone(&context)), Narrowing::new(Arc::clone(&context)));
        let user_keys = UserKeys::new(Arc::clone(&context));
        let leaks = Leaks::new(Arc::clone(&context));
        let (alerts, webhooks) = (Alerts::new(Arc::clone(&context)), WebhookRpcs::new(Arc::clone(&context)));
        let keys = Keys::new(Arc::clone(&context));
        Self { keys, user_keys, audit, leaks, alerts, usage, narrowing, webhooks, context }
    }

    /// A key that was read, with its last use.
    async fn encode(&self, key: Key) -> Result<Option<v1::Key>> {
        Ok(self.encode_all(vec![key]).await?.into_iter().next())
    }

    /// The same for a key that was changed: that it was, and its new secret, are told in any case.
    async fn encode_changed(&self, key: Key) -> Option<v1::Key> {
        let last = self.usage.last_uses(std::slice::from_ref(&key)).await.unwrap_or_default().remove(&key.id);
        Some(self.told(key, last, self.context.clock.now()))
    }

    async fn encode_all(&self, keys: Vec<Key>) -> Result<Vec<v1::Key>> {
        let mut uses = self.usage.last_uses(&keys).await?;
        let now = self.context.clock.now();
        let used = |key: Key| {
            let last = uses.remove(&key.id);
            self.told(key, last, now)
        };
        Ok(keys.into_iter().map(used).collect())
    }

    /// A key with its last use, and with the credits of it that are on this node, which the store does not count any more.
    fn told(&self, key: Key, last: Option<LastUse>, now: Timestamp) -> v1::Key {
        let here = self.context.limiter.credits_here(&key);
        let mut told = convert::used_key(key, last, now);
        if let Some(remaining) = told.credits.as_mut().and_then(|credits| credits.remaining.as_mut()) {
            *remaining += here;
        }
        told
    }
}

#[tonic::async_trait]
impl KeysRpc for KeysService {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        // Without a name, as it was before other RPCs took promises: what was promised then is kept.
        let promise = idempotency("", &request);
        let (around, message) = Around::split(request)?;
        let answer = async {
            let new = new_key(message)?;
            let (key, secret) = self.keys.create(&around.caller, new, promise?).await?;
            let key = Some(convert::key(key, self.context.clock.now()));
            Ok(v1::CreateKeyResponse { key, secret: secret.expose().to_owned() })
        };
        answer.await.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn get_key(&self, request: Request<v1::GetKeyRequest>) -> Result<Response<v1::GetKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let key = self.keys.find(&around.caller, &message.id).await?;
            Ok(v1::GetKeyResponse { key: self.encode(key).await? })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn list_keys(&self, request: Request<v1::ListKeysRequest>) -> Result<Response<v1::ListKeysResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let filter = filter(&message, self.context.clock.now())?;
            let list = ListScope::new(&around.caller, "keys", &named(&message));
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.keys.list(&around.caller, &filter, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |key| key.id.as_str());
            let data = self.encode_all(page.items).await?;
            Ok(place.answer(|pagination, next_page_token| v1::ListKeysResponse { data, pagination, next_page_token }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    async fn update_key(
        &self,
        request: Request<v1::UpdateKeyRequest>,
    ) -> Result<Response<v1::UpdateKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let key = message.key.ok_or_else(|| Error::field("key", "is needed"))?;
            let mut fields = Fields::under("key.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            let (id, etag) = (key.id.clone(), key.etag.clone());
            let given = key.credits;
            let (change, _) = fields.finish((changed(key, &mask)?, ()))?;
            let now = self.context.clock.now();
            let key = self.keys.update(&around.caller, &id, Some(&etag), |key, details| {
                take(details, change, &mask);
                let stored = self.told(key.clone(), None, now).credits;
                if let Some(credits) = credits_in_part(stored.as_ref(), given.as_ref(), &mask)? {
                    details.credits = Some(credits);
                }
                Ok(())
            });
            Ok(v1::UpdateKeyResponse { key: self.encode_changed(key.await?).await })
        };
        answer.await.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn delete_key(
        &self,
        request: Request<v1::DeleteKeyRequest>,
    ) -> Result<Response<v1::DeleteKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let revoked = self.keys.revoke(&around.caller, &message.id, message.etag.as_deref());
            Ok(v1::DeleteKeyResponse { key: self.encode_changed(revoked.await?).await })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let grace = fields.duration("grace_period", message.grace_period, MAX_GRACE);
            let mode = fields.known("mode", message.mode, |mode| Some(convert::mode_in(mode)));
            let mode = fields.finish(mode)?.unwrap_or(RotationMode::Immediate);
            let rotated = self.keys.rotate(&around.caller, &message.id, message.etag.as_deref(), grace, mode);
            let (key, secret) = rotated.await?;
            Ok(v1::RotateKeyResponse { key: self.encode_changed(key).await, secret: secret.expose().to_owned() })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn suspend_key(
        &self,
        request: Request<v1::SuspendKeyRequest>,
    ) -> Result<Response<v1::SuspendKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let suspended = self.keys.suspend(&around.caller, &message.id, message.etag.as_deref());
            Ok(v1::SuspendKeyResponse { key: self.encode_changed(suspended.await?).await })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn resume_key(
        &self,
        request: Request<v1::ResumeKeyRequest>,
    ) -> Result<Response<v1::ResumeKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let resumed = self.keys.resume(&around.caller, &message.id, message.etag.as_deref());
            Ok(v1::ResumeKeyResponse { key: self.encode_changed(resumed.await?).await })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn reveal_key(
        &self,
        request: Request<v1::RevealKeyRequest>,
    ) -> Result<Response<v1::RevealKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let (key, secret) = self.keys.reveal(&around.caller, &message.id).await?;
            Ok(v1::RevealKeyResponse { key: self.encode(key).await?, secret: secret.expose().to_owned() })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn create_user_key(
        &self,
        request: Request<v1::CreateUserKeyRequest>,
    ) -> Result<Response<v1::CreateUserKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let made = user_keys::create(&self.user_keys, &around.caller, message).await;
        made.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn list_user_keys(
        &self,
        request: Request<v1::ListUserKeysRequest>,
    ) -> Result<Response<v1::ListUserKeysResponse>, Status> {
        let (around, _) = Around::split(request)?;
        let now = self.context.clock.now();
        let listed = user_keys::list(&self.user_keys, &around.caller, now).await;
        listed.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn get_user_key(
        &self,
        request: Request<v1::GetUserKeyRequest>,
    ) -> Result<Response<v1::GetUserKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let told = user_keys::reveal(&self.user_keys, &around.caller, &message.handle).await;
        told.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn delete_user_key(
        &self,
        request: Request<v1::DeleteUserKeyRequest>,
    ) -> Result<Response<v1::DeleteUserKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let now = self.context.clock.now();
        let ended = user_keys::revoke(&self.user_keys, &around.caller, &message.handle, now).await;
        ended.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let listed = audit::list(&self.context, &self.audit, &around, &message).await;
        listed.map_err(|error| around.status(&error))
    }

    async fn report_leak(
        &self,
        request: Request<v1::ReportLeakRequest>,
    ) -> Result<Response<v1::ReportLeakResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let reported = leaks::report(&self.leaks, &around, message).await;
        reported.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn list_leak_reports(
        &self,
        request: Request<v1::ListLeakReportsRequest>,
    ) -> Result<Response<v1::ListLeakReportsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        leaks::list(&self.context, &self.leaks, &around, message).await.map_err(|error| around.status(&error))
    }

    async fn list_alerts(
        &self,
        request: Request<v1::ListAlertsRequest>,
    ) -> Result<Response<v1::ListAlertsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let listed = alerts::list(&self.context, &self.alerts, &around, &message).await;
        listed.map_err(|error| around.status(&error))
    }

    async fn get_alert(&self, request: Request<v1::GetAlertRequest>) -> Result<Response<v1::GetAlertResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let found = alerts::find(&self.alerts, &around, &message).await;
        found.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn list_alert_rules(
        &self,
        request: Request<v1::ListAlertRulesRequest>,
    ) -> Result<Response<v1::ListAlertRulesResponse>, Status> {
        let (around, _) = Around::split(request)?;
        let listed = alerts::rules(&self.alerts, &around).await;
        listed.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn update_alert_rule(
        &self,
        request: Request<v1::UpdateAlertRuleRequest>,
    ) -> Result<Response<v1::UpdateAlertRuleResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let changed = alerts::update_rule(&self.alerts, &around, message).await;
        changed.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn get_usage(&self, request: Request<v1::GetUsageRequest>) -> Result<Response<v1::GetUsageResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let counted = usage::report(&self.usage, &around, &message).await;
        counted.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn list_access_log(
        &self,
        request: Request<v1::ListAccessLogRequest>,
    ) -> Result<Response<v1::ListAccessLogResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let listed = usage::list_access(&self.context, &self.usage, &around, &message).await;
        listed.map_err(|error| around.status(&error))
    }

    type ExportAccessLogStream = Pin<Box<dyn Stream<Item = Result<v1::ExportAccessLogResponse, Status>> + Send>>;

    async fn export_access_log(
        &self,
        request: Request<v1::ExportAccessLogRequest>,
    ) -> Result<Response<Self::ExportAccessLogStream>, Status> {
        let (around, message) = Around::split(request)?;
        let begun = async { self.usage.export(&around.caller, usage::export_filter(message)?).await };
        let export = begun.await.map_err(|error| around.status(&error))?;
        Ok(Response::new(Box::pin(usage::exported(export, around))))
    }

    async fn get_scope_usage(
        &self,
        request: Request<v1::GetScopeUsageRequest>,
    ) -> Result<Response<v1::GetScopeUsageResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let from = fields.time("start_time", message.start_time);
            let from = fields.finish(from)?;
            Ok(usage::scopes(self.narrowing.report(&around.caller, &message.id, from).await?))
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn narrow_key(
        &self,
        request: Request<v1::NarrowKeyRequest>,
    ) -> Result<Response<v1::NarrowKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let since = fields.time("used_since", message.used_since);
            let since = fields.finish(since)?;
            let v1::NarrowKeyRequest { id, etag, dry_run, .. } = message;
            let narrowed = self.narrowing.narrow(&around.caller, &id, etag.as_deref(), since, dry_run).await?;
            Ok(v1::NarrowKeyResponse {
                kept_scopes: convert::scopes(&narrowed.kept),
                removed_scopes: narrowed.removed.iter().map(|scope| scope.spelling().to_owned()).collect(),
                key: self.encode_changed(narrowed.key).await,
            })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }
    async fn create_webhook(&self, request: Request<v1::CreateWebhookRequest>) -> Answer<v1::CreateWebhookResponse> {
        self.webhooks.create(request).await
    }

    async fn get_webhook(&self, request: Request<v1::GetWebhookRequest>) -> Answer<v1::GetWebhookResponse> {
        self.webhooks.find(request).await
    }

    async fn list_webhooks(&self, request: Request<v1::ListWebhooksRequest>) -> Answer<v1::ListWebhooksResponse> {
        self.webhooks.list(request).await
    }

    async fn update_webhook(&self, request: Request<v1::UpdateWebhookRequest>) -> Answer<v1::UpdateWebhookResponse> {
        self.webhooks.update(request).await
    }

    async fn delete_webhook(&self, request: Request<v1::DeleteWebhookRequest>) -> Answer<v1::DeleteWebhookResponse> {
        self.webhooks.delete(request).await
    }

    async fn rotate_webhook_secret(
        &self,
        request: Request<v1::RotateWebhookSecretRequest>,
    ) -> Answer<v1::RotateWebhookSecretResponse> {
        self.webhooks.rotate_secret(request).await
    }

    async fn test_webhook(&self, request: Request<v1::TestWebhookRequest>) -> Answer<v1::TestWebhookResponse> {
        self.webhooks.test(request).await
    }

    async fn list_webhook_deliveries(
        &self,
        request: Request<v1::ListWebhookDeliveriesRequest>,
    ) -> Answer<v1::ListWebhookDeliveriesResponse> {
        self.webhooks.deliveries(request).await
    }

    async fn redeliver_webhook(
        &self,
        request: Request<v1::RedeliverWebhookRequest>,
    ) -> Answer<v1::RedeliverWebhookResponse> {
        self.webhooks.redeliver(request).await
    }
}
