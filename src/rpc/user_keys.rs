//! The part of the Keys service that is for users, on the wire.

use super::convert::{self, scopes};
use super::fields::Fields;
use crate::auth::caller::Caller;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::key::Key;
use crate::domain::user::Handle;
use crate::proto::v1;
use crate::service::user_keys::{NewUserKey, UserKeys};

pub(super) async fn create(
    keys: &UserKeys,
    caller: &Caller,
    message: v1::CreateUserKeyRequest,
) -> Result<v1::CreateUserKeyResponse> {
    let (key, secret) = keys.create(caller, new_key(message)?).await?;
    Ok(v1::CreateUserKeyResponse {
        id: key.id.to_string(),
        alias: alias(&key),
        scopes: scopes(&key.details.scopes),
        created_at: Some(convert::time(key.created_at)),
        handle: key.details.name,
        token: secret.expose().to_owned(),
    })
}

pub(super) async fn list(keys: &UserKeys, caller: &Caller, now: Timestamp) -> Result<v1::ListUserKeysResponse> {
    let keys = keys.list(caller).await?;
    Ok(v1::ListUserKeysResponse { data: keys.into_iter().map(|key| encode(key, now)).collect() })
}

pub(super) async fn reveal(keys: &UserKeys, caller: &Caller, handle: &str) -> Result<v1::GetUserKeyResponse> {
    let (key, secret) = keys.reveal(caller, handle).await?;
    Ok(v1::GetUserKeyResponse {
        id: key.id.to_string(),
        alias: alias(&key),
        scopes: scopes(&key.details.scopes),
        created_at: Some(convert::time(key.created_at)),
        handle: key.details.name,
        token: secret.expose().to_owned(),
    })
}

pub(super) async fn revoke(
    keys: &UserKeys,
    caller: &Caller,
    handle: &str,
    now: Timestamp,
) -> Result<v1::DeleteUserKeyResponse> {
    let key = keys.revoke(caller, handle).await?;
    Ok(v1::DeleteUserKeyResponse { key: Some(encode(key, now)) })
}

fn new_key(message: v1::CreateUserKeyRequest) -> Result<NewUserKey> {
    let mut fields = Fields::default();
    let handle = Handle::parse(&message.handle);
    if handle.is_none() {
        fields.refuse("handle", Handle::RULE);
    }
    let alias = message.alias.map(|alias| fields.line("alias", alias, 1, 100));
    let wanted = fields.scope_set("scopes", &message.scopes);
    fields.finish(())?;
    let handle = handle.ok_or_else(|| Error::field("handle", Handle::RULE))?;
    Ok(NewUserKey { handle, alias, scopes: wanted })
}

fn encode(key: Key, now: Timestamp) -> v1::UserKey {
    v1::UserKey {
        alias: alias(&key),
        scopes: scopes(&key.details.scopes),
        state: convert::state(key.state(now)).into(),
        created_at: Some(convert::time(key.created_at)),
        id: key.id.to_string(),
        handle: key.details.name,
        hint: key.hint.into(),
    }
}

fn alias(key: &Key) -> Option<String> {
    Some(key.details.description.clone()).filter(|alias| !alias.is_empty())
}
