//! Webhooks: who is told of what happens in a project, by the scheme of Standard Webhooks (<https://www.standardwebhooks.com>).

pub mod delivery;
pub mod event;
pub mod url;

use std::collections::BTreeSet;

use self::event::EventPattern;
use self::url::WebhookUrl;
use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{ProjectId, WebhookId};
use super::key::etag;

/// An address that is told of what happens in one project and environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Identifies it.
    pub id: WebhookId,
    /// The project whose events it is told of.
    pub project: ProjectId,
    /// The environment whose events it is told of.
    pub environment: Environment,
    /// What may be changed about it.
    pub details: WebhookDetails,
    /// Why it was disabled by itself; none where it was not, or was enabled again.
    pub disabled: Option<DisabledReason>,
    /// Since when nothing has arrived there; none where the last attempt did.
    pub failing_since: Option<Timestamp>,
    /// Until when deliveries are signed with the secret before the current one too.
    pub old_secret_ends_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

impl Webhook {
    /// Changes with every change of the webhook.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// Changes the details. Enabled again, or elsewhere, it has nothing to answer for.
    pub fn update(&mut self, details: WebhookDetails, now: Timestamp) {
        if details.enabled {
            self.disabled = None;
        }
        if (details.enabled && !self.details.enabled) || details.url != self.details.url {
            self.failing_since = None;
        }
        self.details = details;
        self.updated_at = now;
        self.version += 1;
    }
}

/// What is said of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookDetails {
    /// Where it is.
    pub url: WebhookUrl,
    /// What it is for, in prose.
    pub description: String,
    /// Whether it is told of anything.
    pub enabled: bool,
    /// What it is told of. None of them: nothing.
    pub kinds: BTreeSet<EventPattern>,
}

/// Why a webhook was disabled without anybody asking for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisabledReason {
    /// It answered 410: it wants nothing more.
    Gone,
    /// Nothing has arrived there for [`FAILS_FOR`](delivery::FAILS_FOR).
    Failing,
}

impl DisabledReason {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// The reason of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Gone, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// For what the secret of a webhook is sealed.
pub fn seal_context(webhook_id: &str) -> String {
    format!("webhook secret of {webhook_id}")
}

/// Webhooks that an environment may have.
pub const MAX_WEBHOOKS: u32 = 20;
