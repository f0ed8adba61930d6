//! Alerts: what a project is told about its credentials without having asked.
//!
//! [`AlertRule`] says when, [`Watched`] remembers of a key what the rules compare with, [`Finding`] is what they find, and an
//! [`Alert`] is what people get of it. Pure: the store keeps it and makes sure that one thing is told once.

mod finding;
mod rule;
mod storm;
mod told;
mod watched;

use std::net::IpAddr;

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{AlertId, CredentialId, ProjectId};
use super::webhook::event::EVENT_KINDS;

pub use finding::{Finding, expiring, leaked, nearly_spent};
pub use rule::{AlertRule, AlertRules, Bounds, MOST_DAYS_AHEAD, Thresholds};
pub use storm::{Bound, MOST, MOST_OF_ONE, MOST_OF_USERS, Whose};
pub use told::Named;
pub use watched::{MOST_NETWORKS, Watched};

/// What alerts are about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum AlertKind {
    /// A key was refused many times within minutes; or many credentials that nobody knows were asked about.
    ManyRefusals,
    /// A key made many more calls in a minute than it does on average.
    RateJump,
    /// A key was used from a network that it was never used from.
    NewNetwork,
    /// A key was used that had not been for long.
    DormantKey,
    /// A key will soon stop working.
    KeyExpiring,
    /// The old secret of a rotation is still used, and will soon stop working.
    OldSecretUsed,
    /// Nearly all credits of a key are spent.
    QuotaNearlySpent,
    /// Somebody called with a key that nobody is to use.
    HoneyKey,
    /// A credential was found where it must not be.
    LeakedCredential,
}

impl AlertKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::ManyRefusals,
        Self::RateJump,
        Self::NewNetwork,
        Self::DormantKey,
        Self::KeyExpiring,
        Self::OldSecretUsed,
        Self::QuotaNearlySpent,
        Self::HoneyKey,
        Self::LeakedCredential,
    ];

    /// The word in the store and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ManyRefusals => "many_refusals",
            Self::RateJump => "rate_jump",
            Self::NewNetwork => "new_network",
            Self::DormantKey => "dormant_key",
            Self::KeyExpiring => "key_expiring",
            Self::OldSecretUsed => "old_secret_used",
            Self::QuotaNearlySpent => "quota_nearly_spent",
            Self::HoneyKey => "honey_key",
            Self::LeakedCredential => "leaked_credential",
        }
    }

    /// The event that webhooks are told of: `alert.` and the word. None but of a kind that is missing from the list of events, which a
    /// test looks for.
    pub fn event(self) -> Option<&'static str> {
        let of_this = |event: &&&str| event.strip_prefix("alert.") == Some(self.as_str());
        EVENT_KINDS.iter().find(of_this).copied()
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::KeyExpiring | Self::QuotaNearlySpent => Severity::Info,
            Self::ManyRefusals | Self::RateJump | Self::NewNetwork | Self::DormantKey | Self::OldSecretUsed => {
                Severity::Warning
            }
            Self::HoneyKey | Self::LeakedCredential => Severity::Critical,
        }
    }
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// Somebody should plan for it.
    Info,
    /// Somebody should look at it today.
    Warning,
    /// Somebody should get up.
    Critical,
}

impl Severity {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }
}

/// Something that a project should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identifies the alert.
    pub id: AlertId,
    /// The project it is told to.
    pub project: ProjectId,
    /// The environment it happened in.
    pub environment: Environment,
    /// What it is about.
    pub kind: AlertKind,
    /// The key it is about, or what leaked; none where it is about what nobody knows.
    pub subject: Option<CredentialId>,
    /// Who the key belonged to when it was raised.
    pub owner: Option<String>,
    /// What was seen: refusals, calls in a minute, days, per cent.
    pub observed: i64,
    /// What was held against it, in the same unit.
    pub threshold: i64,
    /// How many calls it is about, those that came until its cooldown was over included; 0 where it is about none. One that says that
    /// it counts others counts at least one for each.
    pub calls: i64,
    /// Where the last of them came from, if that is known.
    pub address: Option<IpAddr>,
    /// What it called itself.
    pub user_agent: Option<String>,
    /// What it called.
    pub method: Option<String>,
    /// When it began.
    pub first_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// What happened and what to do, in plain words.
    pub message: String,
}

#[cfg(test)]
mod tests;
