//! What a rule found.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{AlertKind, AlertRules};
use crate::domain::clock::Timestamp;
use crate::domain::id::{CredentialId, KeyId};
use crate::domain::leak::{LeakAction, LeakReport};
use crate::domain::limit::quota::Quota;
use crate::domain::usage::{Tally, outcome_name};

/// Something worth an alert, unless it was told lately.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub kind: AlertKind,
    /// What it is about; none for what nobody knows.
    pub subject: Option<CredentialId>,
    /// Names what is told once: nothing else of this kind and name is told until [`Self::until`].
    pub claim: String,
    /// Until when it is not told again.
    pub until: Timestamp,
    /// What was seen.
    pub observed: i64,
    /// What was held against it.
    pub threshold: i64,
    /// How many calls it is about.
    pub calls: i64,
    /// How many of them are new, where it was told before.
    pub more: i64,
    /// When it began.
    pub first_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// Where the last of the calls came from.
    pub address: Option<IpAddr>,
    /// What it called itself.
    pub user_agent: Option<String>,
    /// What it called.
    pub method: Option<String>,
    /// What else the message says: an outcome, a network, a time.
    pub detail: String,
    /// The new network that it is about.
    pub network: Option<IpNet>,
}

impl Finding {
    /// A finding about these calls, of which there is one at least.
    pub(super) fn of_calls(kind: AlertKind, subject: Option<CredentialId>, calls: &[&Tally]) -> Self {
        let last = calls.iter().map(|tally| tally.last_at).max();
        // Of those that tell where they came from, if any does.
        let shown = calls.iter().max_by_key(|tally| (tally.address.is_some(), tally.last_at));
        let first = calls.iter().map(|tally| tally.minute).min();
        let number = sum(calls);
        Self {
            kind,
            claim: subject.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            subject,
            until: Timestamp::default(),
            observed: number,
            threshold: 1,
            calls: number,
            more: number,
            first_at: first.unwrap_or_default(),
            last_at: last.unwrap_or_default(),
            address: shown.and_then(|tally| tally.address),
            user_agent: shown.and_then(|tally| tally.user_agent.as_deref()).map(ToString::to_string),
            method: shown.map(|tally| tally.method.to_owned()).filter(|method| !method.is_empty()),
            detail: shown.map(|tally| outcome_name(tally.outcome).to_owned()).unwrap_or_default(),
            network: None,
        }
    }

    fn of_key(kind: AlertKind, key: &KeyId, claim: String, at: Timestamp) -> Self {
        Self {
            kind,
            subject: Some(CredentialId::Key(key.clone())),
            claim,
            until: Timestamp::default(),
            observed: 0,
            threshold: 0,
            calls: 0,
            more: 0,
            first_at: at,
            last_at: at,
            address: None,
            user_agent: None,
            method: None,
            detail: String::new(),
            network: None,
        }
    }
}

/// The calls of these tallies.
pub(super) fn sum(tallies: &[&Tally]) -> i64 {
    let calls = tallies.iter().map(|tally| tally.calls).fold(0, u64::saturating_add);
    i64::try_from(calls).unwrap_or(i64::MAX)
}

/// Whether a key that was made and ends then should be told of now: once for each end. One that was made for no longer than the days of
/// the rule is told of when a tenth of its life is left, and one for less than a day never: its end is no news.
pub fn expiring(
    rules: &AlertRules,
    key: &KeyId,
    created_at: Timestamp,
    expires_at: Timestamp,
    now: Timestamp,
) -> Option<Finding> {
    let rule = rules.enabled(AlertKind::KeyExpiring)?;
    let (left, life) = (expires_at.since(now), expires_at.since(created_at));
    let threshold = rule.thresholds.threshold;
    let days = Duration::from_secs(u64::try_from(threshold).ok()?.saturating_mul(DAY));
    let ahead = if life > days { days } else { life / 10 };
    (expires_at > now && left <= ahead && life.as_secs() >= DAY).then(|| Finding {
        until: expires_at.plus(Duration::from_secs(DAY)),
        observed: i64::try_from(left.as_secs() / DAY).unwrap_or(i64::MAX),
        threshold,
        detail: super::told::time(expires_at),
        ..Finding::of_key(AlertKind::KeyExpiring, key, format!("{key} {}", expires_at.micros()), now)
    })
}

/// Whether a key with these credits should be told of: once until they are refilled or set anew. Those that nodes have taken to spend
/// count as spent.
pub fn nearly_spent(rules: &AlertRules, key: &KeyId, quota: &Quota, now: Timestamp) -> Option<Finding> {
    let rule = rules.enabled(AlertKind::QuotaNearlySpent)?;
    let (full, left, threshold) = (quota.full(), quota.remaining_at(now), rule.thresholds.threshold);
    let near = full > 0 && i128::from(left) * 100 <= i128::from(full) * i128::from(threshold);
    near.then(|| {
        let period = quota.refill.period(now);
        let per_cent = i64::try_from(i128::from(left) * 100 / i128::from(full)).unwrap_or_default();
        Finding {
            until: period.end.unwrap_or(Timestamp::from_micros(i64::MAX)),
            observed: per_cent,
            threshold,
            detail: format!("{left} of {full}"),
            ..Finding::of_key(
                AlertKind::QuotaNearlySpent,
                key,
                format!("{key} {} {}", quota.epoch, period.start.micros()),
                now,
            )
        }
    })
}

/// Whether a leak should be told of.
pub fn leaked(rules: &AlertRules, report: &LeakReport) -> Option<Finding> {
    let rule = rules.enabled(AlertKind::LeakedCredential)?;
    if matches!(report.action, LeakAction::Public | LeakAction::AlreadyEnded) {
        return None;
    }
    let at = report.reported_at;
    Some(Finding {
        kind: AlertKind::LeakedCredential,
        claim: report.subject.as_str().to_owned(),
        subject: Some(report.subject.clone()),
        until: rule.cooled_down(at),
        observed: 1,
        threshold: 1,
        calls: 0,
        more: 0,
        first_at: at,
        last_at: at,
        address: None,
        user_agent: None,
        method: None,
        detail: report.action.as_str().to_owned(),
        network: None,
    })
}

const DAY: u64 = 24 * 60 * 60;
