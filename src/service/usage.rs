//! Reading how credentials are used.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::auth::caller::Caller;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::id::KeyId;
use crate::domain::key::Key;
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::usage::{Grain, LastUse};
use crate::store::{AccessEntry, AccessFilter, UsageFilter, UsageGroups, UsageQuery, UsageRow};

/// The usage part of the Keys service.
#[derive(Clone, Debug)]
pub struct Usage(Arc<Context>);

/// What is to be counted.
#[derive(Clone, Debug)]
pub struct UsageRequest {
    /// The length of the spans.
    pub grain: Grain,
    /// When the first span is; a day before the last unless given.
    pub from: Option<Timestamp>,
    /// Before which the last span begins; now unless given.
    pub before: Option<Timestamp>,
    /// By what calls are told apart.
    pub by: UsageGroups,
    /// Which calls.
    pub filter: UsageFilter,
}

impl Usage {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Counts calls in the caller's project and environment, the oldest first.
    pub async fn report(&self, caller: &Caller, request: UsageRequest) -> Result<Vec<UsageRow>> {
        let UsageRequest { grain, from, before, by, filter } = request;
        self.expect_key(caller, filter.key.as_deref()).await?;
        // The span counts that begins at this very moment.
        let before = before.unwrap_or_else(|| self.0.now().plus(Duration::from_micros(1)));
        let from = grain.start(from.unwrap_or_else(|| before.minus(Grain::Day.length())));
        if from >= before {
            return Err(Error::field("start_time", "must be before end_time"));
        }
        if before.since(from) > grain.length().saturating_mul(MOST_ROWS) {
            return Err(Error::field("interval", too_many("spans")));
        }
        let query = UsageQuery { grain, from, before, by, filter, limit: MOST_ROWS + 1 };
        let rows = self.0.store.report_usage(caller.project(), caller.environment(), &query).await?;
        if rows.len() > MOST_ROWS as usize {
            return Err(Error::field("group_by", too_many("counts")));
        }
        Ok(rows)
    }

    /// Lists calls in the caller's project and environment, newest first; those that belong to no project are for administrators of
    /// the installation.
    pub async fn list_access(
        &self,
        caller: &Caller,
        filter: &AccessFilter,
        page: &PageRequest,
    ) -> Result<Page<AccessEntry>> {
        self.may_see(caller, filter).await?;
        Ok(self.0.store.list_access(caller.project(), caller.environment(), filter, page).await?)
    }

    /// All of the access log that passes the filter, up to what this node has counted by now.
    pub async fn export(&self, caller: &Caller, filter: AccessFilter) -> Result<Export> {
        self.may_see(caller, &filter).await?;
        self.0.write_usage().await?;
        Ok(Export { context: Arc::clone(&self.0), caller: caller.clone(), filter, last: None, done: false })
    }

    /// When and where these keys, which the caller may see, were accepted last.
    pub async fn last_uses(&self, keys: &[Key]) -> Result<HashMap<KeyId, LastUse>> {
        let Some(first) = keys.first() else { return Ok(HashMap::new()) };
        let ids: Vec<_> = keys.iter().map(|key| &key.id).collect();
        Ok(self.0.store.list_last_uses(&first.project, &ids).await?)
    }

    /// Whether the caller may see what passes the filter, and there is such a thing.
    async fn may_see(&self, caller: &Caller, filter: &AccessFilter) -> Result<()> {
        if filter.unknown_at_the_door && !caller.governs_installation() {
            let message = "Calls that belong to no project are for administrators of the installation: a live key of the project \
                default that holds admin";
            return Err(Error::new(Reason::CallerNotAllowed, message));
        }
        self.expect_key(caller, filter.key.as_deref()).await
    }

    /// A key of another project is none.
    async fn expect_key(&self, caller: &Caller, key: Option<&str>) -> Result<()> {
        let Some(key) = key else { return Ok(()) };
        let found = match KeyId::parse(key) {
            Some(id) => self.0.store.find_key(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.map(drop).ok_or_else(|| Error::not_found("key", key))
    }
}

/// An export under way.
#[derive(Debug)]
pub struct Export {
    context: Arc<Context>,
    caller: Caller,
    filter: AccessFilter,
    last: Option<String>,
    done: bool,
}

impl Export {
    /// The next entries; none after the last.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE when the log cannot be read, or when the caller's key has changed: an export can last long.
    pub async fn next(&mut self) -> Result<Vec<AccessEntry>> {
        if self.done {
            return Ok(Vec::new());
        }
        if !self.caller_stands().await? {
            return Err(Error::new(
                Reason::StoreUnavailable,
                "the key of this export has changed or ended; begin again",
            ));
        }
        let page = PageRequest::After { limit: EXPORTED_AT_ONCE, after: self.last.take() };
        let (project, environment) = (self.caller.project(), self.caller.environment());
        let page = self.context.store.list_access(project, environment, &self.filter, &page).await?;
        self.done = !page.has_more;
        self.last = page.items.last().map(|entry| entry.place.clone());
        Ok(page.items)
    }

    async fn caller_stands(&self) -> Result<bool> {
        if self.caller.expires_at().is_some_and(|end| end <= self.context.now()) {
            return Ok(false);
        }
        let Some(key) = self.caller.key() else { return Ok(true) };
        let now = self.context.store.find_key(&key.project, key.environment, &key.id).await?;
        Ok(now.is_some_and(|now| now.version == key.version))
    }
}

fn too_many(what: &str) -> String {
    format!(
        "the answer would hold more than {MOST_ROWS} {what}; ask for less time, a longer interval, fewer groups or fewer \
        credentials"
    )
}

/// Entries of an export that are read at once.
const EXPORTED_AT_ONCE: u32 = 500;
/// Counts in one answer.
const MOST_ROWS: u32 = 10_000;
