//! Reading alerts, and saying when there are any.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::alert::{Alert, AlertKind, AlertRule, Thresholds};
use crate::domain::audit;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::AlertId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::store::AlertFilter;

/// The alerts part of the Keys service.
#[derive(Clone, Debug)]
pub struct Alerts(Arc<Context>);

impl Alerts {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Reads an alert of the caller's project and environment.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Alert> {
        let found = match AlertId::parse(id) {
            Some(id) => self.0.store.find_alert(caller.project(), caller.environment(), &id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("alert", id))
    }

    /// Lists alerts of the caller's project and environment, newest first.
    pub async fn list(&self, caller: &Caller, filter: &AlertFilter, page: &PageRequest) -> Result<Page<Alert>> {
        Ok(self.0.store.list_alerts(caller.project(), caller.environment(), filter, page).await?)
    }

    /// The rules of the caller's project, one of each kind.
    pub async fn rules(&self, caller: &Caller) -> Result<Vec<AlertRule>> {
        let rules = self.0.store.find_alert_rules(caller.project()).await?;
        Ok(AlertKind::ALL.into_iter().map(|kind| rules.of(kind)).collect())
    }

    /// Changes a rule by `change`.
    pub async fn update_rule(
        &self,
        caller: &Caller,
        kind: AlertKind,
        etag: Option<&str>,
        change: impl FnOnce(&mut bool, &mut Thresholds),
    ) -> Result<AlertRule> {
        if caller.environment() != Environment::Live {
            let message = "a rule holds for live data too; change it with a live key";
            return Err(Error::new(Reason::EnvMismatch, message));
        }
        let mut rule = self.0.store.find_alert_rules(caller.project()).await?.of(kind);
        expect_etag(etag, &rule.etag())?;
        let (before, version) = (shown(&rule), rule.version);
        let (mut enabled, mut thresholds) = (rule.enabled, rule.thresholds);
        change(&mut enabled, &mut thresholds);
        rule.update(enabled, thresholds, self.0.now());
        let event = self.0.audit(caller, "alert_rule.updated", kind.as_str()).of_whole_project();
        let event = event.changing(Some(before), Some(shown(&rule)));
        self.0.store.update_alert_rule(caller.project(), &rule, version, &event).await?;
        Ok(rule)
    }
}

/// A rule as the audit log tells it.
fn shown(rule: &AlertRule) -> Map<String, Value> {
    let Thresholds { threshold, floor, window, cooldown } = rule.thresholds;
    audit::fields([
        ("enabled", json!(rule.enabled)),
        ("threshold", json!(threshold)),
        ("minCalls", json!(floor)),
        ("window", json!(format!("{}s", window.as_secs()))),
        ("cooldown", json!(format!("{}s", cooldown.as_secs()))),
    ])
}
