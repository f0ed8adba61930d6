//! The Keys service on the wire.

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status};

use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use super::{audit, convert, user_keys};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::UserId;
use crate::domain::key::{KeyDetails, KeyKind, MAX_GRACE};
use crate::proto::v1;
use crate::proto::v1::keys_server::Keys as KeysRpc;
use crate::service::Context;
use crate::service::audit::Audit;
use crate::service::keys::{Idempotency, Keys, NewKey};
use crate::service::paging::ListScope;
use crate::service::user_keys::UserKeys;
use crate::store::KeyFilter;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub struct KeysService {
    context: Arc<Context>,
    keys: Keys,
    user_keys: UserKeys,
    audit: Audit,
}

impl KeysService {
    /// The RPCs over this context.
    pub fn new(context: Arc<Context>) -> Self {
        let audit = Audit::new(Arc::clone(&context));
        let user_keys = UserKeys::new(Arc::clone(&context));
        Self { keys: Keys::new(Arc::clone(&context)), user_keys, audit, context }
    }

    fn encode(&self, key: crate::domain::key::Key) -> Option<v1::Key> {
        Some(convert::key(key, self.context.clock.now()))
    }
}

#[tonic::async_trait]
impl KeysRpc for KeysService {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let promise = idempotency(&request);
        let (around, message) = Around::split(request)?;
        let answer = async {
            let new = new_key(message)?;
            let (key, secret) = self.keys.create(&around.caller, new, promise?).await?;
            Ok(v1::CreateKeyResponse { key: self.encode(key), secret: secret.expose().to_owned() })
        };
        answer.await.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn get_key(&self, request: Request<v1::GetKeyRequest>) -> Result<Response<v1::GetKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let key = self.keys.find(&around.caller, &message.id).await.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetKeyResponse { key: self.encode(key) }))
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
            let now = self.context.clock.now();
            Ok(place.answer(|pagination, next_page_token| v1::ListKeysResponse {
                data: page.items.into_iter().map(|key| convert::key(key, now)).collect(),
                pagination,
                next_page_token,
            }))
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
            let (change, _) = fields.finish((changed(key, &mask)?, ()))?;
            let key = self.keys.update(&around.caller, &id, Some(&etag), |_, details| {
                take(details, change, &mask);
                Ok(())
            });
            Ok(v1::UpdateKeyResponse { key: self.encode(key.await?) })
        };
        answer.await.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn delete_key(
        &self,
        request: Request<v1::DeleteKeyRequest>,
    ) -> Result<Response<v1::DeleteKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let revoked = self.keys.revoke(&around.caller, &message.id, message.etag.as_deref()).await;
        let key = revoked.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteKeyResponse { key: self.encode(key) }))
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
            let mode = fields.finish(mode)?.unwrap_or(crate::domain::key::RotationMode::Immediate);
            let rotated = self.keys.rotate(&around.caller, &message.id, message.etag.as_deref(), grace, mode);
            let (key, secret) = rotated.await?;
            Ok(v1::RotateKeyResponse { key: self.encode(key), secret: secret.expose().to_owned() })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn suspend_key(
        &self,
        request: Request<v1::SuspendKeyRequest>,
    ) -> Result<Response<v1::SuspendKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let suspended = self.keys.suspend(&around.caller, &message.id, message.etag.as_deref()).await;
        let key = suspended.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::SuspendKeyResponse { key: self.encode(key) }))
    }

    async fn resume_key(
        &self,
        request: Request<v1::ResumeKeyRequest>,
    ) -> Result<Response<v1::ResumeKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let resumed = self.keys.resume(&around.caller, &message.id, message.etag.as_deref()).await;
        let key = resumed.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::ResumeKeyResponse { key: self.encode(key) }))
    }

    async fn reveal_key(
        &self,
        request: Request<v1::RevealKeyRequest>,
    ) -> Result<Response<v1::RevealKeyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let revealed = self.keys.reveal(&around.caller, &message.id).await;
        let (key, secret) = revealed.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::RevealKeyResponse { key: self.encode(key), secret: secret.expose().to_owned() }))
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
}

fn new_key(message: v1::CreateKeyRequest) -> Result<NewKey> {
    let mut fields = Fields::default();
    let kind = fields.known("type", message.r#type, |kind| match kind {
        v1::key::Type::Unspecified => Some(KeyKind::Secret),
        other => convert::kind_in(other),
    });
    let environment =
        fields.known("environment", message.environment, |environment| Some(convert::environment_in(environment)));
    let details = KeyDetails {
        name: fields.line("name", message.name, 1, 100),
        alias: message.alias.map(|alias| fields.line("alias", alias, 1, 100)),
        description: fields.prose("description", message.description, 1_000),
        owner: message.owner.map(|owner| fields.visible("owner", owner, 128)),
        scopes: fields.scope_set("scopes", &message.scopes),
        allowed_ips: fields.allow_list("allowed_ips", &message.allowed_ips),
        metadata: fields.metadata("metadata", message.metadata).into(),
        expires_at: fields.time("expires_at", message.expires_at),
    };
    let user = message.user.and_then(|id| user(&mut fields, &id));
    fields.finish(NewKey {
        kind: kind.unwrap_or(KeyKind::Secret),
        user,
        environment: environment.flatten(),
        details,
        recoverable: message.recoverable,
    })
}

/// The values of the masked fields; those of the others are not looked at.
fn changed(key: v1::Key, mask: &[&str]) -> Result<KeyDetails> {
    let mut fields = Fields::under("key.");
    let mut details = KeyDetails::default();
    for field in mask {
        match *field {
            "name" => details.name = fields.line("name", key.name.clone(), 1, 100),
            "alias" => details.alias = key.alias.clone().map(|alias| fields.line("alias", alias, 1, 100)),
            "description" => details.description = fields.prose("description", key.description.clone(), 1_000),
            "owner" => details.owner = key.owner.clone().map(|owner| fields.visible("owner", owner, 128)),
            "scopes" => details.scopes = fields.scope_set("scopes", &key.scopes),
            "allowed_ips" => details.allowed_ips = fields.allow_list("allowed_ips", &key.allowed_ips),
            "metadata" => details.metadata = fields.metadata("metadata", key.metadata.clone()).into(),
            // The mask holds only the names of CHANGEABLE; this is the last of them.
            _ => details.expires_at = fields.time("expires_at", key.expires_at),
        }
    }
    fields.finish(details)
}

fn take(details: &mut KeyDetails, change: KeyDetails, mask: &[&str]) {
    let wanted = |name| mask.contains(&name);
    let KeyDetails { name, alias, description, owner, scopes, allowed_ips, metadata, expires_at } = change;
    wanted("name").then(|| details.name = name);
    wanted("alias").then(|| details.alias = alias);
    wanted("description").then(|| details.description = description);
    wanted("owner").then(|| details.owner = owner);
    wanted("scopes").then(|| details.scopes = scopes);
    wanted("allowed_ips").then(|| details.allowed_ips = allowed_ips);
    wanted("metadata").then(|| details.metadata = metadata);
    wanted("expires_at").then(|| details.expires_at = expires_at);
}

/// The filters as the client named them, which are the same on every page.
fn named(message: &v1::ListKeysRequest) -> String {
    let v1::ListKeysRequest { r#type, state, owner, alias, user, .. } = message;
    format!("{type:?} {state:?} {owner:?} {alias:?} {user:?}")
}

fn filter(message: &v1::ListKeysRequest, now: Timestamp) -> Result<KeyFilter> {
    let mut fields = Fields::default();
    let filter = KeyFilter {
        kind: message.r#type.and_then(|kind| fields.known("type", kind, convert::kind_in)),
        state: message
            .state
            .and_then(|state| fields.known("state", state, convert::state_in))
            .map(|state| (state, now)),
        owner: message.owner.clone().map(|owner| fields.visible("owner", owner, 128)),
        alias: message.alias.clone().map(|alias| fields.line("alias", alias, 1, 100)),
        user: message.user.as_ref().and_then(|id| user(&mut fields, id)),
    };
    fields.finish(filter)
}

fn user(fields: &mut Fields, id: &str) -> Option<UserId> {
    let user = UserId::parse(id);
    if user.is_none() {
        fields.refuse("user", "must be the id of a user, `usr_` and 32 hexadecimal digits");
    }
    user
}

/// The client's `Idempotency-Key`: 1 to 255 visible ASCII characters, sent once.
fn idempotency(request: &Request<v1::CreateKeyRequest>) -> Result<Option<Idempotency>> {
    let mut values = request.metadata().get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let bytes = value.as_encoded_bytes();
    let good = (1..=255).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) && values.next().is_none();
    match std::str::from_utf8(bytes) {
        Ok(key) if good => Ok(Some(Idempotency { key: key.to_owned(), request: request.get_ref().encode_to_vec() })),
        _ => Err(Error::field("Idempotency-Key", "must be 1 to 255 visible ASCII characters, sent once")),
    }
}

const CHANGEABLE: [&str; 8] =
    ["name", "alias", "description", "owner", "scopes", "allowed_ips", "metadata", "expires_at"];
