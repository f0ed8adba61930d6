//! The users of a project: live and test users apart.

use std::sync::Arc;

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::auth::outside::claims::{Introduction, Profile};
use crate::domain::change::Change;
use crate::domain::error::{Error, Result};
use crate::domain::id::UserId;
use crate::domain::oauth::scope::OpenIdScope;
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::scope::ScopeSet;
use crate::domain::user::{Email, Standing, User, UserDetails, UserKind};
use crate::store::{Conflict, StoreError, UserFilter};

/// What users are told to be, beside what their issuer tells. What is not there is left as it is.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The email address.
    pub email: Option<Email>,
}

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
        // Their names are what they sign in by.
        let (user, _) = self.governed(caller, id, etag).await?;
        refuse_oneself(caller, &user)?;
        let mut details = user.details.clone();
        change(user.kind, &mut details)?;
        if details.scopes != user.details.scopes {
            details.scopes = self.grantable(caller, user.kind, &details.scopes).await?;
        }
        self.store(caller, user, etag, details).await
    }

    /// The user who calls.
    pub async fn me(&self, caller: &Caller) -> Result<User> {
        let id = caller.user().ok_or_else(|| Error::new(Reason::CallerNotAllowed, "only a user may do this"))?;
        self.find(caller, id.as_str()).await
    }

    /// The user who calls, as far as whoever calls for them may know: a client is told what its user agreed to (OpenID Connect
    /// Core 1.0, section 5.4), or all if it may read users.
    pub async fn me_as_told(&self, caller: &Caller) -> Result<User> {
        let mut user = self.me(caller).await?;
        let Some(token) = caller.credential().token() else { return Ok(user) };
        if caller.scopes().holds(READ) {
            return Ok(user);
        }
        let agreed = |scope| token.scopes.openid.contains(&scope);
        let all = std::mem::take(&mut user.details);
        if agreed(OpenIdScope::Profile) {
            (user.details.handle, user.details.alias) = (all.handle, all.alias);
            (user.details.first_name, user.details.last_name) = (all.first_name, all.last_name);
        }
        if agreed(OpenIdScope::Email) {
            user.details.email = all.email;
        }
        user.details.scopes = caller.scopes().clone();
        Ok(user)
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
        self.charge_names(caller, &user.details, &details)?;
        self.store(caller, user, etag, details).await
    }

    /// Asking for a name tells whether somebody has it: that is bounded as signing up is.
    fn charge_names(&self, caller: &Caller, before: &UserDetails, after: &UserDetails) -> Result<()> {
        let asks = (after.handle.is_some() && after.handle != before.handle)
            || (after.email.is_some() && after.email != before.email);
        if asks { self.0.attempts.sign_up(caller.client()) } else { Ok(()) }
    }

    /// Deletes the user who calls, in person.
    pub async fn delete_me(&self, caller: &Caller, etag: Option<&str>) -> Result<User> {
        refuse_keys(caller)?;
        let user = self.me(caller).await?;
        expect_etag(etag, &user.etag())?;
        self.remove(caller, user).await
    }

    /// The user whom the caller's token means: found, or made with the scopes that the project gives its users. What is `told`
    /// of them is set.
    ///
    /// Nobody is found by their email address: whoever may write one into a token could be anybody.
    pub async fn authenticate(&self, caller: &Caller, told: Told) -> Result<User> {
        let Some(introduction) = caller.introduced() else {
            return Err(Error::new(Reason::CallerNotAllowed, "no token of a trusted issuer tells who the user is"));
        };
        let Introduction { issuer, subject, profile, .. } = introduction;
        let (project, environment) = (caller.project(), caller.environment());
        let mut told_by_issuer = profile.clone();
        let mut refused = Error::new(Reason::EtagMismatch, "the user was changed in the meantime; try again");
        // Somebody else may make the same user, or change them, at the same time: then they are found the next time.
        for _ in 0..ATTEMPTS {
            let attempt = match self.0.store.find_identity(project, environment, issuer, subject).await? {
                Some((id, acting)) => self.welcome_back(caller, &id, acting.standing, &told).await,
                None => self.welcome(caller, introduction, &told, &told_by_issuer).await,
            };
            match attempt {
                Err(StoreError::Conflict(Conflict::Email)) if told.email.is_none() => told_by_issuer.email = None,
                Err(StoreError::Conflict(conflict)) => refused = StoreError::Conflict(conflict).into(),
                Err(error) => return Err(error.into()),
                Ok(answer) => return answer,
            }
        }
        Err(refused)
    }

    async fn welcome(
        &self,
        caller: &Caller,
        introduction: &Introduction,
        told: &Told,
        by_issuer: &Profile,
    ) -> Result<Result<User>, StoreError> {
        let now = self.0.now();
        let Some(project) = self.0.store.find_project(caller.project()).await? else {
            return Ok(Err(Error::not_found("project", caller.project().as_str())));
        };
        let or = |one: &Option<String>, other: &Option<String>| one.clone().or(other.clone()).unwrap_or_default();
        let user = User {
            id: UserId::new(now, &*self.0.entropy),
            project: project.id,
            environment: caller.environment(),
            kind: UserKind::Human,
            details: UserDetails {
                email: told.email.clone().or(by_issuer.email.clone()),
                first_name: or(&told.first_name, &by_issuer.first_name),
                last_name: or(&told.last_name, &by_issuer.last_name),
                scopes: project.details.user_scopes,
                ..UserDetails::default()
            },
            created_at: now,
            updated_at: now,
            blocked_at: None,
            deleted_at: None,
            version: 1,
        };
        let audit = self.0.audit(caller, "user.created", user.id.as_str());
        let Introduction { issuer, subject, .. } = introduction;
        let change = self.0.store.create_user_of_issuer(&user, issuer, subject, &audit).await?;
        self.0.committed(&change);
        Ok(Ok(user))
    }

    async fn welcome_back(
        &self,
        caller: &Caller,
        id: &UserId,
        standing: Standing,
        told: &Told,
    ) -> Result<Result<User>, StoreError> {
        if standing == Standing::Blocked {
            return Ok(Err(Error::new(Reason::Suspended, "The user is blocked")));
        }
        let found = self.0.store.find_user(caller.project(), caller.environment(), id).await?;
        // Deleted a moment ago: their identity is gone with them.
        let Some(mut user) = found else { return Err(StoreError::Conflict(Conflict::Version)) };
        let mut details = user.details.clone();
        details.email = told.email.clone().or(details.email);
        details.first_name = told.first_name.clone().unwrap_or(details.first_name);
        details.last_name = told.last_name.clone().unwrap_or(details.last_name);
        if details == user.details {
            return Ok(Ok(user));
        }
        if let Err(error) = self.charge_names(caller, &user.details, &details) {
            return Ok(Err(error));
        }
        let version = user.version;
        user.update(details, self.0.now());
        let audit = self.0.audit(caller, "user.updated", user.id.as_str());
        self.committed(&self.0.store.update_user(&user, version, &audit).await?);
        Ok(Ok(user))
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
        refuse_oneself(caller, &user)?;
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
        refuse_oneself(caller, &user)?;
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

/// What users do about themselves is `me`'s: there they prove more, and keys of theirs may not.
pub(super) fn refuse_oneself(caller: &Caller, user: &User) -> Result<()> {
    if caller.user() != Some(&user.id) {
        return Ok(());
    }
    Err(Error::new(Reason::CallerNotAllowed, "This is for others; for yourself, call /v1/users/me"))
}

/// A key is left with programs, which may lose it: what it may do must not include taking the user over.
pub(super) fn refuse_keys(caller: &Caller) -> Result<()> {
    if caller.is_user_in_person() {
        return Ok(());
    }
    let message = "A key cannot do this for its user; call with the token of a session, or of the user's issuer";
    Err(Error::new(Reason::CallerNotAllowed, message))
}

const READ: &str = "read:users";
/// How often an introduction is tried while others are at the same user.
const ATTEMPTS: usize = 4;
