//! Least privilege: what keys need of what they may do, and taking away the rest.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::keys::Keys;
use crate::auth::caller::Caller;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::key::Key;
use crate::domain::reason::Reason;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::usage::Grain;
use crate::store::{AddressUse, UsageFilter, UsageGroups, UsageQuery};

/// The narrowing part of the Keys service.
#[derive(Clone, Debug)]
pub struct Narrowing {
    context: Arc<Context>,
    keys: Keys,
}

/// What a key needed of what it may do.
#[derive(Clone, Debug)]
pub struct ScopeReport {
    /// From when on it was counted.
    pub from: Timestamp,
    /// The scopes that it holds, and then those that it needed besides, as through `admin`.
    pub scopes: Vec<ScopeUse>,
    /// What was called, and how often.
    pub methods: Vec<(String, u64)>,
    /// Where it was used from.
    pub addresses: Vec<AddressUse>,
}

/// A scope that a key holds or needed.
#[derive(Clone, Debug)]
pub struct ScopeUse {
    /// The scope.
    pub scope: Scope,
    /// Whether the key holds it, by itself or through `admin`.
    pub granted: bool,
    /// Whether it was needed in the time that was asked about.
    pub used: bool,
    /// When it was last needed at all.
    pub last_used_at: Option<Timestamp>,
}

/// A key that was narrowed, or would be.
#[derive(Clone, Debug)]
pub struct Narrowed {
    /// The key as it is now.
    pub key: Key,
    /// What it keeps.
    pub kept: ScopeSet,
    /// What is taken from it.
    pub removed: Vec<Scope>,
}

impl Narrowing {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { keys: Keys::new(Arc::clone(&context)), context }
    }

    /// Tells what a key needed of what it may do.
    pub async fn report(&self, caller: &Caller, id: &str, from: Option<Timestamp>) -> Result<ScopeReport> {
        let key = self.keys.find(caller, id).await?;
        let now = self.context.now();
        let from = from.unwrap_or_else(|| now.minus(LATELY));
        self.context.write_usage().await?;
        let store = &self.context.store;
        let uses = store.list_scope_uses(&key.project, &key.id).await?;
        let last = |scope: &Scope| uses.iter().find(|(used, _)| used == scope).map(|(_, at)| *at);
        let held = &key.details.scopes;
        let besides = uses.iter().map(|(scope, _)| scope).filter(|scope| held.iter().all(|one| one != *scope));
        let standing = |scope: &Scope| ScopeUse {
            scope: scope.clone(),
            granted: held.holds(scope.plain()),
            used: last(scope).is_some_and(|at| at >= from),
            last_used_at: last(scope),
        };
        let scopes = held.iter().chain(besides).map(standing).collect();
        let query = UsageQuery {
            grain: Grain::Day,
            from: Grain::Day.start(from),
            before: now.plus(Grain::Day.length()),
            by: UsageGroups { method: true, ..UsageGroups::default() },
            filter: UsageFilter { key: Some(key.id.to_string()), ..UsageFilter::default() },
            limit: MOST_COUNTS,
        };
        let mut methods: Vec<(String, u64)> = Vec::new();
        for row in store.report_usage(&key.project, key.environment, &query).await? {
            let method = row.method.unwrap_or_default();
            match methods.iter_mut().find(|(known, _)| *known == method) {
                Some((_, calls)) => *calls = calls.saturating_add(row.calls),
                None => methods.push((method, row.calls)),
            }
        }
        methods.sort();
        let addresses = store.list_addresses(&key.project, key.environment, &key.id, from, MOST_ADDRESSES).await?;
        Ok(ScopeReport { from, scopes, methods, addresses })
    }

    /// Takes from a key the scopes that it did not need since a time; what it would be, where it is only asked.
    pub async fn narrow(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        since: Option<Timestamp>,
        dry_run: bool,
    ) -> Result<Narrowed> {
        let key = self.keys.find(caller, id).await?;
        super::expect_etag(etag, &key.etag())?;
        let since = since.unwrap_or_else(|| self.context.now().minus(LATELY));
        // What was needed a moment ago counts.
        self.context.write_usage().await?;
        let used = self.used_since(&key, since).await?;
        let kept = narrowed(&key.details.scopes, &used);
        let removed: Vec<Scope> =
            key.details.scopes.iter().filter(|scope| kept.iter().all(|one| one != *scope)).cloned().collect();
        if kept.is_empty() && !removed.is_empty() {
            let message = "the key needed none of its scopes in this time; suspend or revoke it, or look further back";
            return Err(Error::new(Reason::InvalidState, message));
        }
        if dry_run || removed.is_empty() {
            return Ok(Narrowed { key, kept, removed });
        }
        // Whoever changed it meanwhile knows better.
        let etag = key.etag();
        let key = self.keys.update(caller, id, Some(&etag), |key, details| {
            details.scopes = narrowed(&key.details.scopes, &used);
            Ok(())
        });
        Ok(Narrowed { key: key.await?, kept, removed })
    }

    /// The scopes that a key needed since a time and that there still are.
    async fn used_since(&self, key: &Key, since: Timestamp) -> Result<Vec<Scope>> {
        let mut used = Vec::new();
        for (scope, at) in self.context.store.list_scope_uses(&key.project, &key.id).await? {
            if at < since {
                continue;
            }
            // Through `admin`, Verify may have been asked for what nobody registered.
            if scope.is_built_in() || self.context.store.find_scope(&key.project, scope.plain()).await?.is_some() {
                used.push(scope);
            }
        }
        Ok(used)
    }
}

/// What is left of these scopes when only what was used stays: never more than they hold.
fn narrowed(granted: &ScopeSet, used: &[Scope]) -> ScopeSet {
    let is_used = |scope: &Scope| used.contains(scope);
    if !granted.iter().any(Scope::is_admin) {
        return ScopeSet::new(granted.iter().filter(|scope| is_used(scope)).cloned());
    }
    if used.iter().any(Scope::is_admin) {
        return granted.clone();
    }
    ScopeSet::new(used.iter().cloned())
}

/// What is lately, unless it is said.
const LATELY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const MOST_ADDRESSES: u32 = 100;
/// Days times methods.
const MOST_COUNTS: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_what_it_used_and_gets_nothing_else() {
        let set = |text: &str| ScopeSet::new(text.split_whitespace().filter_map(Scope::parse));
        for (granted, used, kept) in [
            ("read:keys write:keys", "read:keys", "read:keys"),
            ("read:keys write:keys", "", ""),
            ("read:keys", "read:keys read:users admin", "read:keys"),
            ("READ_BUDGETS", "read:budgets", "READ_BUDGETS"),
            ("admin", "read:keys read:budgets", "read:keys read:budgets"),
            ("admin read:keys", "admin", "admin read:keys"),
            ("admin read:keys", "read:users", "read:users"),
            ("admin", "", ""),
            ("", "read:keys", ""),
        ] {
            let used: Vec<Scope> = set(used).iter().cloned().collect();
            let left = narrowed(&set(granted), &used);
            assert_eq!(left, set(kept), "{granted} of which {used:?}");
            assert_eq!(set(granted).first_missing(&left), None, "never wider");
        }
    }
}
