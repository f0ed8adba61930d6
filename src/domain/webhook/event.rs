//! What webhooks are told of.

use std::fmt;

use serde_json::{Value, json};

use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{EventId, ProjectId};

/// Something happened in a project that its webhooks may be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookEvent {
    /// Identifies it, for all webhooks that are told of it.
    pub id: EventId,
    /// What kind of thing happened: one of [`EVENT_KINDS`].
    pub kind: &'static str,
    /// Where it happened.
    pub project: ProjectId,
    /// Where it happened.
    pub environment: Environment,
    /// When it happened.
    pub at: Timestamp,
    /// What there is to tell: an object without secrets, up to [`MAX_PAYLOAD`] bytes.
    pub data: Value,
}

impl WebhookEvent {
    /// The bytes that are sent (Standard Webhooks, "Payload structure"): the kind, the time, and what there is to tell.
    pub fn payload(&self) -> String {
        let payload =
            |data: &Value| json!({"type": self.kind, "timestamp": self.at.rfc3339(), "data": data}).to_string();
        let whole = payload(&self.data);
        if whole.len() <= MAX_PAYLOAD { whole } else { payload(&json!({"truncated": true})) }
    }

    /// The pattern of all kinds with the same first word: `alert.*`.
    pub fn family(&self) -> String {
        family(self.kind)
    }
}

/// Which kinds of events a webhook is told of: a kind, all of a family (`alert.*`), or all (`*`).
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EventPattern(Box<str>);

impl EventPattern {
    /// All kinds.
    pub const ALL: &'static str = "*";

    /// Reads a pattern; none if no kind that there is fits it.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |kind: &&str| text == Self::ALL || text == *kind || text == family(kind);
        EVENT_KINDS.iter().any(fits).then(|| Self(text.into()))
    }

    /// Takes a pattern that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// Whether kinds of alerts fit it.
    pub fn hears_alerts(&self) -> bool {
        self.as_str() == Self::ALL || is_alert(&self.0)
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a kind is one of alerts, whose data is for those who may read alerts.
pub fn is_alert(kind: &str) -> bool {
    kind.starts_with(ALERTS)
}

fn family(kind: &str) -> String {
    let (first, _) = kind.split_once('.').unwrap_or((kind, ""));
    format!("{first}.*")
}

/// What the kinds of alerts begin with.
pub const ALERTS: &str = "alert.";

/// The kind of the event that the test button sends.
pub const WEBHOOK_TEST: &str = "webhook.test";

/// All kinds of events that there are. Whoever raises another adds it here.
pub const EVENT_KINDS: &[&str] = &[
    WEBHOOK_TEST,
    "alert.many_refusals",
    "alert.rate_jump",
    "alert.new_network",
    "alert.dormant_key",
    "alert.key_expiring",
    "alert.old_secret_used",
    "alert.quota_nearly_spent",
    "alert.honey_key",
    "alert.leaked_credential",
];

/// The longest payload, in bytes; of a longer one the data is left out.
pub const MAX_PAYLOAD: usize = 20 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::store::tests::support::at;

    fn event(data: Value) -> WebhookEvent {
        WebhookEvent {
            id: EventId::new(at(1), &SystemEntropy),
            kind: WEBHOOK_TEST,
            project: ProjectId::default_project(),
            environment: Environment::Live,
            at: at(1),
            data,
        }
    }

    #[test]
    fn a_payload_has_kind_time_and_data() {
        let payload = event(json!({"a": 1})).payload();
        assert_eq!(payload, r#"{"type":"webhook.test","timestamp":"2023-11-14T22:13:21Z","data":{"a":1}}"#);
        let long = event(json!({"a": "x".repeat(MAX_PAYLOAD)})).payload();
        assert_eq!(long, r#"{"type":"webhook.test","timestamp":"2023-11-14T22:13:21Z","data":{"truncated":true}}"#);
    }

    #[test]
    fn patterns_are_those_that_a_kind_fits() {
        for text in ["*", "webhook.*", "webhook.test"] {
            assert_eq!(EventPattern::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "webhook", "webhook.", "webhook.tests", "*.*", ".*", "Webhook.test", "webhook.test ", "**"] {
            assert_eq!(EventPattern::parse(text), None, "{text}");
        }
        assert_eq!(event(Value::Null).family(), "webhook.*");
        let hears = |text| EventPattern::parse(text).unwrap().hears_alerts();
        assert!(["*", "alert.*", "alert.honey_key"].into_iter().all(hears));
        assert!(!["webhook.*", "webhook.test"].into_iter().any(hears));
    }
}
