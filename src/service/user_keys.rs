//! The keys that users make for themselves, and that act as them.

use std::sync::Arc;

use super::Context;
use super::users::refuse_keys;
use crate::auth::caller::Caller;
use crate::domain::change::ChangeKind;
use crate::domain::error::{Error, Result};
use crate::domain::id::{KeyId, UserId};
use crate::domain::key::{Key, KeyDetails, KeyKind};
use crate::domain::network::AllowList;
use crate::domain::reason::Reason;
use crate::domain::scope::ScopeSet;
use crate::domain::sealing;
use crate::domain::secret::{PlainSecret, SecretPrefix};
use crate::domain::user::Handle;
use crate::store::KeyCreated;

/// The part of the Keys service that is for users.
#[derive(Clone, Debug)]
pub struct UserKeys(Arc<Context>);

/// A key that a user wants.
#[derive(Clone, Debug)]
pub struct NewUserKey {
    /// What the user calls it.
    pub handle: Handle,
    /// A name to show in place of the handle.
    pub alias: Option<String>,
    /// What it may do at most; empty for what the user may do now.
    pub scopes: ScopeSet,
}

impl UserKeys {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Makes a key of the user who calls, in person.
    ///
    /// # Errors
    /// ALREADY_EXISTS for the handle; INVALID_STATE when the user has as many keys as a user may; EXCEEDS_CALLER for a scope that
    /// the user does not hold.
    pub async fn create(&self, caller: &Caller, new: NewUserKey) -> Result<(Key, PlainSecret)> {
        let context = &*self.0;
        let user = person(caller)?.clone();
        let wanted = if new.scopes.is_empty() { caller.scopes() } else { &new.scopes };
        let scopes = context.grantable(caller, wanted, ("scopes", "a key of type uk"), |_| true).await?;
        let now = context.now();
        let prefix = SecretPrefix::fixed(SecretPrefix::USER);
        let secret = PlainSecret::generate(&prefix, caller.environment(), &*context.entropy);
        let key = Key {
            id: KeyId::new(now, &*context.entropy),
            project: caller.project().clone(),
            environment: caller.environment(),
            kind: KeyKind::User,
            user: Some(user),
            details: KeyDetails {
                name: new.handle.as_str().to_owned(),
                description: new.alias.unwrap_or_default(),
                scopes,
                allowed_ips: caller.allowed_ips().cloned().unwrap_or_else(AllowList::default),
                ..KeyDetails::default()
            },
            recoverable: true,
            hint: secret.hint().into(),
            rotation: None,
            created_by: Some(caller.actor()),
            created_at: now,
            updated_at: now,
            suspended_at: None,
            revoked_at: None,
            version: 1,
        };
        let sealed = context.keyring.seal(secret.expose().as_bytes(), &sealing::secret_context(key.id.as_str()));
        let hash = context.keyring.hash(secret.expose());
        // What the user calls it is the user's own affair.
        let event = context.audit(caller, "key.created", key.id.as_str());
        match context.store.create_key(&key, &hash, Some(&sealed), None, &event).await? {
            KeyCreated::Created(change) => context.committed(&change),
            KeyCreated::Replay(_) => {
                return Err(Error::new(Reason::Internal, "a request without a promise was taken for a repeated one"));
            }
        }
        Ok((key, secret))
    }

    /// Lists the keys of the user who calls, newest first.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Key>> {
        if caller.credential().token().is_some() {
            // Nobody agreed to a client's knowing them.
            return Err(Error::new(Reason::CallerNotAllowed, "an access token does not list its user's keys"));
        }
        Ok(self.0.store.list_user_keys(user(caller)?).await?)
    }

    /// Shows a key of the user who calls, in person, with its secret, and records it.
    pub async fn reveal(&self, caller: &Caller, handle: &str) -> Result<(Key, PlainSecret)> {
        let key = self.find(caller, handle).await?;
        let secret = self.0.sealed_secret(&key).await?;
        // Recorded before it is shown: a reveal that nobody can trace must not happen.
        self.0.store.record(&self.0.audit(caller, "key.revealed", key.id.as_str())).await?;
        Ok((key, secret))
    }

    /// Ends a key of the user who calls, in person.
    pub async fn revoke(&self, caller: &Caller, handle: &str) -> Result<Key> {
        let mut key = self.find(caller, handle).await?;
        let (version, before) = (key.version, key.clone());
        key.revoke(self.0.now());
        let event = self.0.audit(caller, "key.revoked", key.id.as_str()).changing_key(Some(&before), &key);
        let change = self.0.store.update_key(&key, version, ChangeKind::Revoked, &event).await?;
        self.0.committed(&change);
        Ok(key)
    }

    async fn find(&self, caller: &Caller, handle: &str) -> Result<Key> {
        let user = person(caller)?;
        let found = match Handle::parse(handle) {
            Some(handle) => self.0.store.find_user_key(user, &handle).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("key", handle))
    }
}

/// The user who calls with a credential that is no key: a key that could make keys, or tell them, could not be taken back.
fn person(caller: &Caller) -> Result<&UserId> {
    refuse_keys(caller)?;
    user(caller)
}

fn user(caller: &Caller) -> Result<&UserId> {
    caller.user().ok_or_else(|| Error::new(Reason::CallerNotAllowed, "only a user may do this"))
}
