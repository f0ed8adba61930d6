//! What users gave to clients of OAuth: for themselves, and for whoever governs them, to see and to end.

use std::sync::Arc;

use serde_json::json;

use super::Context;
use super::users::{Users, refuse_keys};
use crate::auth::caller::Caller;
use crate::domain::audit::fields;
use crate::domain::error::{Error, Result};
use crate::domain::id::GrantId;
use crate::domain::oauth::token::{Grant, ListedGrant};
use crate::domain::page::{Page, PageRequest};
use crate::store::GrantFilter;

/// The part of the Auth service that knows what users agreed to.
#[derive(Clone, Debug)]
pub struct Grants {
    context: Arc<Context>,
    users: Users,
}

impl Grants {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { users: Users::new(Arc::clone(&context)), context }
    }

    /// Lists the grants of the user who calls.
    pub async fn list_own(&self, caller: &Caller, page: &PageRequest) -> Result<Page<ListedGrant>> {
        refuse_keys(caller)?;
        let user = self.users.me(caller).await?;
        self.list(caller, &GrantFilter { user: Some(user.id), client: None }, page).await
    }

    /// Ends a grant of the user who calls.
    pub async fn end_own(&self, caller: &Caller, id: &str) -> Result<()> {
        refuse_keys(caller)?;
        let user = self.users.me(caller).await?;
        let grant = self.open(caller, id).await?.filter(|grant| grant.user == user.id);
        self.end_open(caller, id, grant).await
    }

    /// Lists grants, newest first.
    pub async fn list(&self, caller: &Caller, filter: &GrantFilter, page: &PageRequest) -> Result<Page<ListedGrant>> {
        let (project, environment, now) = (caller.project(), caller.environment(), self.context.now());
        Ok(self.context.store.list_grants(project, environment, filter, now, page).await?)
    }

    /// Ends a grant of a user whom the caller governs.
    pub async fn end(&self, caller: &Caller, id: &str) -> Result<()> {
        let grant = self.open(caller, id).await?;
        if let Some(grant) = &grant {
            self.users.governed(caller, grant.user.as_str(), None).await?;
        }
        self.end_open(caller, id, grant).await
    }

    async fn end_open(&self, caller: &Caller, id: &str, grant: Option<Grant>) -> Result<()> {
        let gone = || Error::not_found("grant", id);
        let grant = grant.ok_or_else(gone)?;
        let what = fields([
            ("client", json!(grant.client.as_str())),
            ("user", json!(grant.user.as_str())),
            ("scopes", json!(grant.scopes.to_string())),
            ("resources", json!(grant.resources)),
        ]);
        let event = self.context.audit(caller, "grant.ended", grant.id.as_str()).changing(Some(what), None);
        let ended = self.context.store.end_grant(&grant, self.context.now(), &event).await?;
        self.context.committed(&ended.ok_or_else(gone)?);
        Ok(())
    }

    /// A grant of the caller's project and environment that has not ended.
    async fn open(&self, caller: &Caller, id: &str) -> Result<Option<Grant>> {
        let Some(id) = GrantId::parse(id) else { return Ok(None) };
        let own = |grant: &Grant| {
            grant.project == *caller.project()
                && grant.environment == caller.environment()
                && grant.is_open(self.context.now())
        };
        Ok(self.context.store.find_grant(&id).await?.filter(own))
    }
}
