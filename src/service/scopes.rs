//! The registry of scopes: the built-in ones and those a project registers for the APIs it protects.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Context;
use crate::auth::caller::Caller;
use crate::domain::audit::{self, AuditEvent};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::scope::{self, BUILT_IN, BuiltIn, Scope, ScopeSet};
use crate::store::{Conflict, ScopeDeleted, StoreError, StoredScope};

impl Context {
    /// What a caller gives away of these scopes, in the registry's spelling.
    ///
    /// # Errors
    /// INVALID_FIELD for one that is not registered or that `may_hold` refuses, told by this field and `what` would hold it;
    /// EXCEEDS_CALLER for one that the caller does not hold.
    pub(super) async fn grantable(
        &self,
        caller: &Caller,
        wanted: &ScopeSet,
        (field, what): (&str, &str),
        may_hold: impl Fn(&Scope) -> bool,
    ) -> Result<ScopeSet> {
        let mut granted = Vec::new();
        for (index, scope) in wanted.iter().enumerate() {
            let registered = match scope::built_in(scope.plain()) {
                Some(built_in) => Some(Scope::stored(built_in.name, built_in.name)),
                None => self.store.find_scope(caller.project(), scope.plain()).await?.map(|found| found.scope),
            };
            let rule = |rule: String| Error::field(format!("{field}[{index}]"), rule);
            let registered = registered.ok_or_else(|| rule(format!("the scope {scope} is not registered")))?;
            if !may_hold(&registered) {
                return Err(rule(format!("{what} cannot hold {scope}")));
            }
            if !caller.scopes().holds(registered.plain()) {
                let message = format!("the caller does not hold {scope}, so it cannot give it away");
                return Err(Error::new(Reason::ExceedsCaller, message));
            }
            granted.push(registered);
        }
        Ok(ScopeSet::new(granted))
    }
}

/// The scopes part of the Auth service.
#[derive(Clone, Debug)]
pub struct Scopes(Arc<Context>);

/// A scope and what it allows.
#[derive(Clone, Debug)]
pub struct RegisteredScope {
    /// The scope.
    pub scope: Scope,
    /// What it allows, in words.
    pub description: String,
    /// When it was registered; none for built-in scopes.
    pub created_at: Option<Timestamp>,
}

impl Scopes {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Registers a scope.
    pub async fn create(&self, caller: &Caller, scope: Scope, description: String) -> Result<RegisteredScope> {
        if scope.is_built_in() {
            return Err(Error::new(Reason::AlreadyExists, format!("the scope {scope} is built in")));
        }
        let most = PageRequest::Numbered { limit: 1, page: MAX_SCOPES, first: 1 };
        if self.0.store.list_scopes(caller.project(), &most).await?.total.is_some_and(|n| n >= u64::from(MAX_SCOPES)) {
            let message = format!("a project registers up to {MAX_SCOPES} scopes; remove one first");
            return Err(Error::new(Reason::InvalidState, message));
        }
        let project = caller.project().clone();
        let new = StoredScope { project, scope, description, created_at: self.0.now() };
        let event =
            self.event(caller, "scope.registered", &new.scope).changing(None, Some(told(&new.scope, &new.description)));
        match self.0.store.create_scope(&new, &event).await {
            Ok(()) => Ok(new.into()),
            Err(StoreError::Conflict(Conflict::Exists)) => {
                Err(Error::new(Reason::AlreadyExists, format!("the scope {} is registered already", new.scope)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a scope, named in either spelling.
    pub async fn find(&self, caller: &Caller, name: &str) -> Result<RegisteredScope> {
        let scope = Scope::parse(name).ok_or_else(|| Error::not_found("scope", name))?;
        if let Some(built_in) = scope::built_in(scope.plain()) {
            return Ok(built_in.into());
        }
        let found = self.0.store.find_scope(caller.project(), scope.plain()).await?;
        found.map(Into::into).ok_or_else(|| Error::not_found("scope", name))
    }

    /// Lists the scopes by plain form. There are few enough to be put in order here.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<RegisteredScope>> {
        let own = PageRequest::After { limit: MAX_SCOPES, after: None };
        let own = self.0.store.list_scopes(caller.project(), &own).await?.items;
        let mut all: Vec<RegisteredScope> = BUILT_IN.iter().map(Into::into).collect();
        all.extend(own.into_iter().map(Into::into));
        all.sort_by(|a, b| a.scope.cmp(&b.scope));
        let total = all.len();
        let start = match page {
            PageRequest::After { after: Some(after), .. } => all.partition_point(|s| s.scope.plain() <= after.as_str()),
            other => usize::try_from(other.offset()).unwrap_or(total),
        };
        let limit = page.limit() as usize;
        let items: Vec<_> = all.into_iter().skip(start).take(limit).collect();
        Ok(Page { has_more: start.saturating_add(items.len()) < total, items, total: Some(total as u64) })
    }

    /// Changes a scope's description.
    pub async fn update(&self, caller: &Caller, name: &str, description: String) -> Result<RegisteredScope> {
        let found = self.find_own(caller, name).await?;
        let [before, after] = [&found.description, &description].map(|text| Some(told(&found.scope, text)));
        let event = self.event(caller, "scope.updated", &found.scope).changing(before, after);
        if !self.0.store.update_scope(caller.project(), found.scope.plain(), &description, &event).await? {
            return Err(Error::not_found("scope", name));
        }
        Ok(RegisteredScope { description, ..found })
    }

    /// Removes a scope that nobody holds any more.
    pub async fn delete(&self, caller: &Caller, name: &str) -> Result<RegisteredScope> {
        let found = self.find_own(caller, name).await?;
        let event = self.event(caller, "scope.removed", &found.scope);
        let event = event.changing(Some(told(&found.scope, &found.description)), None);
        match self.0.store.delete_scope(caller.project(), found.scope.plain(), &event).await? {
            ScopeDeleted::Deleted => Ok(found),
            ScopeDeleted::Missing => Err(Error::not_found("scope", name)),
            ScopeDeleted::Held(many) => {
                let scope = &found.scope;
                let message = format!(
                    "{many} keys that are not revoked, clients, users or settings hold {scope}; take it away first"
                );
                Err(Error::new(Reason::InvalidState, message))
            }
        }
    }

    /// The registry is the whole project's: what happens to it is seen in both environments.
    fn event(&self, caller: &Caller, action: &str, scope: &Scope) -> AuditEvent {
        self.0.audit(caller, action, scope.plain()).of_whole_project()
    }

    async fn find_own(&self, caller: &Caller, name: &str) -> Result<RegisteredScope> {
        let found = self.find(caller, name).await?;
        if found.scope.is_built_in() {
            let message = format!("the scope {} is built in; it cannot be changed or removed", found.scope);
            return Err(Error::new(Reason::InvalidState, message));
        }
        Ok(found)
    }
}

/// What the audit log tells of a scope.
fn told(scope: &Scope, description: &str) -> Map<String, Value> {
    audit::fields([("name", json!(scope.spelling())), ("description", json!(description))])
}

impl From<StoredScope> for RegisteredScope {
    fn from(stored: StoredScope) -> Self {
        Self { scope: stored.scope, description: stored.description, created_at: Some(stored.created_at) }
    }
}

impl From<&BuiltIn> for RegisteredScope {
    fn from(built_in: &BuiltIn) -> Self {
        let scope = Scope::stored(built_in.name, built_in.name);
        Self { scope, description: built_in.description.to_owned(), created_at: None }
    }
}

/// Scopes a project may register.
const MAX_SCOPES: u32 = 1_000;
