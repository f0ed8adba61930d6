//! Issuing keys and governing them. The rule behind every function: no key gives anybody more than it holds itself.

use std::sync::Arc;
use std::time::Duration;

use super::idempotency::{self, Idempotency, Promise};
use super::reach::{rate_limits, reach, refuse_credits, refuse_more_than_own};
use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::change::ChangeKind;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::{KeyId, UserId};
use crate::domain::key::{Key, KeyDetails, KeyKind, RotationMode};
use crate::domain::limit::quota::Quota;
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::sealing;
use crate::domain::secret::{PlainSecret, SecretPrefix};
use crate::domain::user::UserState;
use crate::store::{KeyCreated, KeyFilter};

/// The Keys service.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Context>);

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for.
    pub kind: KeyKind,
    /// The service account it shall act for.
    pub user: Option<UserId>,
    /// The environment it is wanted in; the caller's own unless given.
    pub environment: Option<Environment>,
    /// The rest.
    pub details: KeyDetails,
    /// Whether its secret may be shown again.
    pub recoverable: bool,
}

impl Keys {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Makes a key.
    pub async fn create(
        &self,
        caller: &Caller,
        new: NewKey,
        idempotency: Option<Idempotency>,
    ) -> Result<(Key, PlainSecret)> {
        refuse_for_user_keys(caller)?;
        let now = self.0.now();
        if new.kind == KeyKind::User {
            return Err(Error::field("type", "must be SK, RK or PK: users make keys of their own with CreateUserKey"));
        }
        if new.environment.is_some_and(|environment| environment != caller.environment()) {
            return Err(Error::new(Reason::EnvMismatch, "a key makes keys of its own environment only"));
        }
        let mut details = new.details;
        details.scopes = self.grantable(caller, new.kind, &details.scopes).await?;
        details.expires_at = self.lifetime(caller, details.expires_at, now)?;
        details.allowed_ips = reach(caller, details.allowed_ips, details.allowed_ips_mode)?;
        details.rate_limits = rate_limits(caller, details.rate_limits)?;
        refuse_credits(caller)?;
        details.credits = details.credits.map(|quota| Box::new(Quota::set(quota.remaining, quota.refill, 1, now)));

        let id = KeyId::new(now, &*self.0.entropy);
        let secret =
            PlainSecret::generate(&self.prefix(caller, new.kind).await?, caller.environment(), &*self.0.entropy);
        let key = Key {
            id,
            project: caller.project().clone(),
            environment: caller.environment(),
            kind: new.kind,
            user: new.user,
            details,
            recoverable: new.recoverable,
            hint: secret.hint().into(),
            rotation: None,
            created_by: Some(caller.actor()),
            created_at: now,
            updated_at: now,
            suspended_at: None,
            revoked_at: None,
            version: 1,
        };
        self.insert(caller, key, secret, idempotency, now).await
    }

    /// Reads a key.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Key> {
        let found = match KeyId::parse(id) {
            Some(id) => self.0.store.find_key(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("key", id))
    }

    /// Lists keys, newest first.
    pub async fn list(&self, caller: &Caller, filter: &KeyFilter, page: &PageRequest) -> Result<Page<Key>> {
        Ok(self.0.store.list_keys(caller.project(), caller.environment(), filter, page).await?)
    }

    /// Changes the details of a key by `change`, which sees the key as it is.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(&Key, &mut KeyDetails) -> Result<()>,
    ) -> Result<Key> {
        let (mut key, version) = self.governed(caller, id, etag).await?;
        refuse_user_keys(&key)?;
        let now = self.0.now();
        let mut details = key.details.clone();
        change(&key, &mut details)?;
        if details.scopes != key.details.scopes {
            details.scopes = self.grantable(caller, key.kind, &details.scopes).await?;
        }
        if details.expires_at != key.details.expires_at {
            details.expires_at = self.lifetime(caller, details.expires_at, now)?;
        }
        let reaches = |details: &KeyDetails| (details.allowed_ips.clone(), details.allowed_ips_mode);
        if reaches(&details) != reaches(&key.details) {
            details.allowed_ips = reach(caller, details.allowed_ips, details.allowed_ips_mode)?;
        }
        if details.rate_limits != key.details.rate_limits {
            details.rate_limits = rate_limits(caller, details.rate_limits)?;
        }
        if details.credits != key.details.credits {
            refuse_credits(caller)?;
            let next = key.version + 1;
            details.credits =
                details.credits.map(|quota| Box::new(Quota::set(quota.remaining, quota.refill, next, now)));
        }
        let before = key.clone();
        key.update(details, now)?;
        self.write(caller, &before, key, version, ChangeKind::Updated).await
    }

    /// Revokes a key, for good.
    pub async fn revoke(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Key> {
        let (mut key, version) = self.governed(caller, id, etag).await?;
        let before = key.clone();
        if !key.revoke(self.0.now()) {
            return Ok(key);
        }
        self.write(caller, &before, key, version, ChangeKind::Revoked).await
    }

    /// Holds a key.
    pub async fn suspend(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Key> {
        let (mut key, version) = self.governed(caller, id, etag).await?;
        let before = key.clone();
        if !key.suspend(self.0.now())? {
            return Ok(key);
        }
        self.write(caller, &before, key, version, ChangeKind::Suspended).await
    }

    /// Lets a suspended key work again.
    pub async fn resume(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Key> {
        let (mut key, version) = self.governed(caller, id, etag).await?;
        self.refuse_if_user_is_blocked(&key).await?;
        let before = key.clone();
        if !key.resume(self.0.now())? {
            return Ok(key);
        }
        self.write(caller, &before, key, version, ChangeKind::Resumed).await
    }

    /// Gives a key a new secret; the old one works for the grace period.
    pub async fn rotate(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        grace: Duration,
        mode: RotationMode,
    ) -> Result<(Key, PlainSecret)> {
        refuse_for_user_keys(caller)?;
        let (mut key, version) = self.governed(caller, id, etag).await?;
        refuse_user_keys(&key)?;
        refuse_more_than_own(caller, &key)?;
        let prefix = self.prefix(caller, key.kind).await?;
        let secret = PlainSecret::generate(&prefix, key.environment, &*self.0.entropy);
        let before = key.clone();
        key.rotate(secret.hint(), grace, mode, self.0.now())?;
        let sealed = key.recoverable.then(|| self.seal(&key.id, &secret));
        let audit = self.0.audit(caller, "key.rotated", key.id.as_str()).changing_key(Some(&before), &key);
        let hash = self.0.keyring.hash(secret.expose());
        let change = self.0.store.rotate_key(&key, version, &hash, sealed.as_deref(), &audit).await;
        self.0.committed(&change?);
        Ok((key, secret))
    }

    /// Shows the secret of a recoverable key again, and records who asked.
    pub async fn reveal(&self, caller: &Caller, id: &str) -> Result<(Key, PlainSecret)> {
        refuse_for_user_keys(caller)?;
        let (key, _) = self.governed(caller, id, None).await?;
        refuse_user_keys(&key)?;
        refuse_more_than_own(caller, &key)?;
        if !key.recoverable {
            let message = "the key was not made recoverable, so its secret is not kept; rotate it to get a new one";
            return Err(Error::new(Reason::InvalidState, message));
        }
        if key.revoked_at.is_some() {
            return Err(Error::new(Reason::InvalidState, "a revoked key's secret is not shown"));
        }
        // Recorded before it is shown: a reveal that nobody can trace must not happen.
        let secret = self.0.sealed_secret(&key).await?;
        self.0.store.record(&self.0.audit(caller, "key.revealed", key.id.as_str())).await?;
        Ok((key, secret))
    }

    async fn insert(
        &self,
        caller: &Caller,
        key: Key,
        secret: PlainSecret,
        idempotency: Option<Idempotency>,
        now: Timestamp,
    ) -> Result<(Key, PlainSecret)> {
        let sealed = key.recoverable.then(|| self.seal(&key.id, &secret));
        let hash = self.0.keyring.hash(secret.expose());
        let audit = self.0.audit(caller, "key.created", key.id.as_str()).changing_key(None, &key);
        let named = (key.id.as_str(), &secret);
        let promise = idempotency.map(|idempotency| Promise::new(&self.0, caller, idempotency, named, now));
        let request = promise.as_ref().map(Promise::request);
        match self.0.store.create_key(&key, &hash, sealed.as_deref(), request.as_ref(), &audit).await? {
            KeyCreated::Created(change) => {
                self.0.committed(&change);
                Ok((key, secret))
            }
            KeyCreated::Replay(remembered) => {
                let (id, secret) = idempotency::replay(&self.0, caller, promise.as_ref(), &remembered).await?;
                Ok((self.find(caller, &id).await?, secret))
            }
        }
    }

    /// A key that the caller may change, and the version that was read.
    async fn governed(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<(Key, i64)> {
        let key = self.find(caller, id).await?;
        if let Some(scope) = caller.scopes().first_missing(&key.details.scopes) {
            let message = format!("the key holds {scope}, which the caller does not; only its equals may change it");
            return Err(Error::new(Reason::ExceedsCaller, message));
        }
        expect_etag(etag, &key.etag())?;
        let version = key.version;
        Ok((key, version))
    }

    /// Whoever watches the changes would take it that a resumed key works.
    async fn refuse_if_user_is_blocked(&self, key: &Key) -> Result<()> {
        let Some(user) = &key.user else { return Ok(()) };
        let user = self.0.store.find_user(&key.project, key.environment, user).await?;
        match user.map(|user| user.state()) {
            Some(UserState::Blocked) => {
                Err(Error::new(Reason::InvalidState, "the user of the key is blocked; unblock the user first"))
            }
            Some(UserState::Active) | None => Ok(()),
        }
    }

    async fn write(&self, caller: &Caller, before: &Key, key: Key, version: i64, kind: ChangeKind) -> Result<Key> {
        let audit = self.0.audit(caller, &format!("key.{}", kind.as_str()), key.id.as_str());
        let audit = audit.changing_key(Some(before), &key);
        let change = self.0.store.update_key(&key, version, kind, &audit).await;
        self.0.committed(&change?);
        Ok(key)
    }

    /// The scopes a key of this kind gets from this caller, in the registry's spelling.
    async fn grantable(&self, caller: &Caller, kind: KeyKind, wanted: &ScopeSet) -> Result<ScopeSet> {
        if kind == KeyKind::Restricted && wanted.is_empty() {
            return Err(Error::field("scopes", "a restricted key needs at least one scope"));
        }
        let what = format!("a key of type {}", kind.as_str());
        self.0.grantable(caller, wanted, ("scopes", &what), |scope| may_hold(kind, scope)).await
    }

    /// The end of a key that this caller makes: no later than its own.
    fn lifetime(&self, caller: &Caller, wanted: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>> {
        if wanted.is_some_and(|end| end <= now) {
            return Err(Error::field("expires_at", "must be in the future"));
        }
        match (wanted, caller.makes_until()) {
            (Some(end), Some(own)) if end > own => {
                Err(Error::new(Reason::ExceedsCaller, "expires_at is after the end of the key that makes this call"))
            }
            (wanted, own) => Ok(wanted.or(own)),
        }
    }

    async fn prefix(&self, caller: &Caller, kind: KeyKind) -> Result<SecretPrefix> {
        match kind {
            KeyKind::Restricted => Ok(SecretPrefix::fixed(SecretPrefix::RESTRICTED)),
            KeyKind::Publishable => Ok(SecretPrefix::fixed(SecretPrefix::PUBLISHABLE)),
            KeyKind::User => Ok(SecretPrefix::fixed(SecretPrefix::USER)),
            KeyKind::Secret => {
                let project = self.0.store.find_project(caller.project()).await?;
                let project = project.ok_or_else(|| Error::not_found("project", caller.project().as_str()))?;
                Ok(project.details.secret_prefix)
            }
        }
    }

    fn seal(&self, id: &KeyId, secret: &PlainSecret) -> Vec<u8> {
        self.0.keyring.seal(secret.expose().as_bytes(), &sealing::secret_context(id.as_str()))
    }
}

/// Whoever could get a user's own key, or change what it may do, could act as the user.
fn refuse_user_keys(key: &Key) -> Result<()> {
    if key.kind != KeyKind::User {
        return Ok(());
    }
    let message =
        "the key is a user's own; it can be suspended, resumed and revoked, and the rest is for the user alone";
    Err(Error::new(Reason::CallerNotAllowed, message))
}

/// What acts for a user, or only with a proof, is to end with them and go on needing it: it hands out no secret that would not.
fn refuse_for_user_keys(caller: &Caller) -> Result<()> {
    if caller.credential().token().is_some_and(|token| token.user.is_some() || token.key.is_some()) {
        let message = "An access token of a user, or one that is bound to a key, makes no keys and tells none; exchange it for a \
            smaller one, or call with a key or a session";
        return Err(Error::new(Reason::CallerNotAllowed, message));
    }
    // Nor does a token that it was exchanged for.
    match caller.credential().key_behind() {
        Some(key) if key.kind == KeyKind::User => {
            let message = "A user's key makes no keys and tells none; call with a session of the user, or another key";
            Err(Error::new(Reason::CallerNotAllowed, message))
        }
        _ => Ok(()),
    }
}

/// Which scopes a kind of key can hold at all.
fn may_hold(kind: KeyKind, scope: &Scope) -> bool {
    match kind {
        KeyKind::Secret | KeyKind::User => true,
        KeyKind::Restricted => !scope.is_admin(),
        // Publishable keys are public: of our own scopes only the one whose RPCs take them.
        KeyKind::Publishable => !scope.is_built_in() || scope.plain() == "read:products",
    }
}
