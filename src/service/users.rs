//! The users of a project: live and test users apart.

use std::sync::Arc;

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::change::Change;
use crate::domain::error::{Error, Result};
use crate::domain::id::UserId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::scope::ScopeSet;
use crate::domain::user::{User, UserDetails, UserKind};
use crate::store::UserFilter;

/// The Users service.
#[derive(Clone, Debug)]
pub struct Users(Arc<Context>);

impl Users {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Adds a user.
    pub async fn create(&self, caller: &Caller, kind: UserKind, mut details: UserDetails) -> Result<User> {
        let now = self.0.now();
        details.scopes = self.grantable(caller, kind, &details.scopes).await?;
        let user = User {
            id: UserId::new(now, &*self.0.entropy),
            project: caller.project().clone(),
            environment: caller.environment(),
            kind,
            details,
            created_at: now,
            updated_at: now,
            blocked_at: None,
            deleted_at: None,
            version: 1,
        };
        let audit = self.0.audit(caller, "user.created", user.id.as_str());
        self.0.store.create_user(&user, &audit).await?;
        Ok(user)
    }

    /// Reads a user.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<User> {
        let found = match UserId::parse(id) {
            Some(id) => self.0.store.find_user(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("user", id))
    }

    /// Lists users, newest first.
    pub async fn list(&self, caller: &Caller, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>> {
        Ok(self.0.store.list_users(caller.project(), caller.environment(), filter, page).await?)
    }

    /// Lists the users that hold every one of these words, newest first.
    pub async fn search(&self, caller: &Caller, words: &[String], page: &PageRequest) -> Result<Page<User>> {
        Ok(self.0.store.search_users(caller.project(), caller.environment(), words, page).await?)
    }

    /// Changes the details of a user by `change`, which is told what they are.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(UserKind, &mut UserDetails) -> Result<()>,
    ) -> Result<User> {
        let user = self.find(caller, id).await?;
        let mut details = user.details.clone();
        change(user.kind, &mut details)?;
        if details.scopes != user.details.scopes {
            refuse_lesser(caller, &user.details.scopes)?;
            details.scopes = self.grantable(caller, user.kind, &details.scopes).await?;
        }
        self.store(caller, user, etag, details).await
    }

    /// The user who calls.
    pub async fn me(&self, caller: &Caller) -> Result<User> {
        let id = caller.user().ok_or_else(|| Error::new(Reason::CallerNotAllowed, "only a user may do this"))?;
        self.find(caller, id.as_str()).await
    }

    /// Changes the details of the user who calls, in person, by `change`.
    pub async fn update_me(
        &self,
        caller: &Caller,
        etag: Option<&str>,
        change: impl FnOnce(UserKind, &mut UserDetails) -> Result<()>,
    ) -> Result<User> {
        refuse_keys(caller)?;
        let user = self.me(caller).await?;
        let mut details = user.details.clone();
        change(user.kind, &mut details)?;
        self.store(caller, user, etag, details).await
    }

    /// Deletes the user who calls, in person.
    pub async fn delete_me(&self, caller: &Caller, etag: Option<&str>) -> Result<User> {
        refuse_keys(caller)?;
        let user = self.me(caller).await?;
        expect_etag(etag, &user.etag())?;
        self.remove(caller, user).await
    }

    async fn store(&self, caller: &Caller, mut user: User, etag: Option<&str>, details: UserDetails) -> Result<User> {
        expect_etag(etag, &user.etag())?;
        let version = user.version;
        user.update(details, self.0.now());
        let audit = self.0.audit(caller, "user.updated", user.id.as_str());
        self.committed(&self.0.store.update_user(&user, version, &audit).await?);
        Ok(user)
    }

    /// Blocks a user: from when this returns, none of their keys works on this node, and soon on no other. Their sessions end.
    pub async fn block(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<User> {
        let (mut user, version) = self.governed(caller, id, etag).await?;
        if !user.block(self.0.now()) {
            return Ok(user);
        }
        let audit = self.0.audit(caller, "user.blocked", user.id.as_str());
        self.committed(&self.0.store.set_blocked(&user, version, &audit).await?);
        Ok(user)
    }

    /// Lets a blocked user's keys work again.
    pub async fn unblock(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<User> {
        let (mut user, version) = self.governed(caller, id, etag).await?;
        if !user.unblock(self.0.now()) {
            return Ok(user);
        }
        let audit = self.0.audit(caller, "user.unblocked", user.id.as_str());
        self.committed(&self.0.store.set_blocked(&user, version, &audit).await?);
        Ok(user)
    }

    /// Deletes a user, for good, revokes their keys and ends their sessions. Answers the user as they were.
    pub async fn delete(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<User> {
        let (user, _) = self.governed(caller, id, etag).await?;
        self.remove(caller, user).await
    }

    async fn remove(&self, caller: &Caller, mut user: User) -> Result<User> {
        let version = user.version;
        user.delete(self.0.now());
        let audit = self.0.audit(caller, "user.deleted", user.id.as_str());
        self.committed(&self.0.store.delete_user(&user, version, &audit).await?);
        Ok(user)
    }

    /// A user whose keys the caller may turn on and off, and the version that was read. It is the rule of keys: whoever holds
    /// less than a key does not govern it, by its user as little as by its id.
    pub(super) async fn governed(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<(User, i64)> {
        let user = self.find(caller, id).await?;
        refuse_lesser(caller, &self.0.store.scopes_of_user(&user.id).await?)?;
        expect_etag(etag, &user.etag())?;
        let version = user.version;
        Ok((user, version))
    }

    async fn grantable(&self, caller: &Caller, kind: UserKind, wanted: &ScopeSet) -> Result<ScopeSet> {
        if kind == UserKind::ServiceAccount && !wanted.is_empty() {
            return Err(Error::field("user.scopes", "a service account has none: its keys hold scopes of their own"));
        }
        // A user is no publishable key: they may hold whatever the caller holds.
        self.0.grantable(caller, wanted, ("user.scopes", "a user"), |_| true).await
    }

    fn committed(&self, changes: &[Change]) {
        changes.iter().for_each(|change| self.0.committed(change));
    }
}

/// Whoever holds less than a user does not govern them.
fn refuse_lesser(caller: &Caller, held: &ScopeSet) -> Result<()> {
    let Some(scope) = caller.scopes().first_missing(held) else { return Ok(()) };
    let message =
        format!("the user or a key of theirs holds {scope}, which the caller does not; only its equals may do this");
    Err(Error::new(Reason::ExceedsCaller, message))
}

/// A key is left with programs, which may lose it: what it may do must not include taking the user over.
pub(super) fn refuse_keys(caller: &Caller) -> Result<()> {
    if caller.is_user_in_person() {
        return Ok(());
    }
    let message = "A key cannot do this for its user; call with the token of a session, or of the user's issuer";
    Err(Error::new(Reason::CallerNotAllowed, message))
}
