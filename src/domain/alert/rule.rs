//! When an alert is raised: what a project may set, within which bounds, and what holds where it set nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::AlertKind;
use crate::domain::clock::Timestamp;
use crate::domain::key::etag;

/// A rule of a project. There is one of each kind, whether the project said something about it or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AlertRule {
    /// What it looks for.
    pub kind: AlertKind,
    /// Whether it does.
    pub enabled: bool,
    /// What it compares with. Of a kind that compares with nothing, or not with this, the number is 0.
    pub thresholds: Thresholds,
    /// When it was changed last; none if never.
    pub updated_at: Option<Timestamp>,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

/// What a rule compares with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Thresholds {
    /// Refusals, times the average, days or per cent: see [`AlertRule::threshold_means`].
    pub threshold: i64,
    /// Calls that a minute must have at least, for a jump of the rate.
    pub floor: i64,
    /// The time in which refusals are counted.
    pub window: Duration,
    /// How long the same is not told again, of the same key; of the same network where it is about one.
    pub cooldown: Duration,
}

/// Which values a threshold may have; none where the kind has no such threshold.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Bounds {
    /// Of the threshold.
    pub threshold: Option<RangeInclusive<i64>>,
    /// Of the floor.
    pub floor: Option<RangeInclusive<i64>>,
    /// Of the window.
    pub window: Option<RangeInclusive<Duration>>,
    /// Of the cooldown.
    pub cooldown: Option<RangeInclusive<Duration>>,
}

/// The rules of a project, as far as it said something about them.
#[derive(Clone, Debug, Default)]
pub struct AlertRules(BTreeMap<AlertKind, AlertRule>);

impl AlertRule {
    /// The rule that holds where a project said nothing: it looks, so that whoever never heard of alerts has them.
    pub fn default_of(kind: AlertKind) -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let thresholds = match kind {
            AlertKind::ManyRefusals => Thresholds {
                threshold: 100,
                window: Duration::from_secs(5 * 60),
                cooldown: hours(1),
                ..Thresholds::default()
            },
            AlertKind::RateJump => {
                Thresholds { threshold: 10, floor: 500, cooldown: hours(1), ..Thresholds::default() }
            }
            AlertKind::NewNetwork | AlertKind::HoneyKey => Thresholds { cooldown: hours(1), ..Thresholds::default() },
            AlertKind::DormantKey => Thresholds { threshold: 30, cooldown: hours(24), ..Thresholds::default() },
            AlertKind::KeyExpiring => Thresholds { threshold: 14, ..Thresholds::default() },
            AlertKind::OldSecretUsed => Thresholds { threshold: 25, cooldown: hours(24), ..Thresholds::default() },
            AlertKind::QuotaNearlySpent => Thresholds { threshold: 10, ..Thresholds::default() },
            AlertKind::LeakedCredential => Thresholds { cooldown: hours(1), ..Thresholds::default() },
        };
        Self { kind, enabled: true, thresholds, updated_at: None, version: 0 }
    }

    /// What may be set of this kind.
    pub fn bounds(kind: AlertKind) -> Bounds {
        let cooldown = Some(Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 3600));
        match kind {
            AlertKind::ManyRefusals => Bounds {
                threshold: Some(1..=1_000_000),
                window: Some(Duration::from_secs(60)..=MOST_WINDOW),
                cooldown,
                ..Bounds::default()
            },
            AlertKind::RateJump => {
                Bounds { threshold: Some(2..=1_000), floor: Some(1..=1_000_000_000), cooldown, ..Bounds::default() }
            }
            AlertKind::NewNetwork | AlertKind::HoneyKey | AlertKind::LeakedCredential => {
                Bounds { cooldown, ..Bounds::default() }
            }
            AlertKind::DormantKey => Bounds { threshold: Some(1..=3_650), cooldown, ..Bounds::default() },
            // Once for each end, and once for each refill: there is nothing to cool down.
            AlertKind::KeyExpiring => Bounds { threshold: Some(1..=MOST_DAYS_AHEAD), ..Bounds::default() },
            AlertKind::QuotaNearlySpent => Bounds { threshold: Some(0..=99), ..Bounds::default() },
            AlertKind::OldSecretUsed => Bounds { threshold: Some(1..=100), cooldown, ..Bounds::default() },
        }
    }

    /// What the threshold of this kind counts; nothing where it has none.
    pub const fn threshold_means(kind: AlertKind) -> &'static str {
        match kind {
            AlertKind::ManyRefusals => "refusals within the window",
            AlertKind::RateJump => "times the key's average",
            AlertKind::DormantKey => "days without use",
            AlertKind::KeyExpiring => "days before the key's end",
            AlertKind::OldSecretUsed => "per cent of the grace period left",
            AlertKind::QuotaNearlySpent => "per cent of the credits left",
            AlertKind::NewNetwork | AlertKind::HoneyKey | AlertKind::LeakedCredential => "",
        }
    }

    /// Says something else about it.
    pub fn update(&mut self, enabled: bool, thresholds: Thresholds, now: Timestamp) {
        (self.enabled, self.thresholds, self.updated_at) = (enabled, thresholds, Some(now));
        self.version += 1;
    }

    /// Changes with every change of the rule.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// How long the same is not told again after `at`.
    pub(super) fn cooled_down(&self, at: Timestamp) -> Timestamp {
        at.plus(self.thresholds.cooldown)
    }
}

impl AlertRules {
    /// The rules that a project changed; the others are as they are by default.
    pub fn new(changed: impl IntoIterator<Item = AlertRule>) -> Self {
        Self(changed.into_iter().map(|rule| (rule.kind, rule)).collect())
    }

    /// The rule of this kind.
    pub fn of(&self, kind: AlertKind) -> AlertRule {
        self.0.get(&kind).cloned().unwrap_or_else(|| AlertRule::default_of(kind))
    }

    /// The rule of this kind, if it is to be looked for.
    pub fn enabled(&self, kind: AlertKind) -> Option<AlertRule> {
        Some(self.of(kind)).filter(|rule| rule.enabled)
    }
}

/// The longest time in which refusals are counted.
pub(super) const MOST_WINDOW: Duration = Duration::from_secs(3600);
/// How many days before its end a key can be told of.
pub const MOST_DAYS_AHEAD: i64 = 90;
