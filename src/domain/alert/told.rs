//! What an alert says, for whoever is woken by it.

use serde_json::{Value, json};

use super::{Alert, AlertKind, Finding};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{AlertId, EventId, ProjectId};
use crate::domain::webhook::event::WebhookEvent;

/// What people call the key that an alert is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Named {
    /// Its name; empty where it is no key.
    pub name: String,
    /// Who it belongs to.
    pub owner: Option<String>,
}

impl Alert {
    /// The alert about what a rule found.
    pub fn about(id: AlertId, place: (&ProjectId, Environment), found: &Finding, named: Named) -> Self {
        Self {
            id,
            project: place.0.clone(),
            environment: place.1,
            kind: found.kind,
            message: message(found, &named.name),
            subject: found.subject.clone(),
            owner: named.owner,
            observed: found.observed,
            threshold: found.threshold,
            calls: found.calls,
            address: found.address,
            user_agent: found.user_agent.clone(),
            method: found.method.clone(),
            first_at: found.first_at,
            last_at: found.last_at,
        }
    }
}

impl Alert {
    /// What webhooks are told of it: all that it says, in the words of the HTTP API.
    pub fn event(&self, entropy: &dyn Entropy) -> Option<WebhookEvent> {
        let mut data = json!({
            "id": self.id.as_str(),
            "kind": self.kind.as_str(),
            "severity": self.kind.severity().as_str(),
            "project": self.project.as_str(),
            "environment": self.environment.as_str().to_ascii_uppercase(),
            "message": self.message,
            // 64 bits are text in ProtoJSON.
            "observed": self.observed.to_string(),
            "threshold": self.threshold.to_string(),
            "calls": self.calls.to_string(),
            "firstAt": self.first_at.rfc3339(),
            "lastAt": self.last_at.rfc3339(),
        });
        for (name, value) in [
            ("credentialId", self.subject.as_ref().map(|id| id.as_str().to_owned())),
            ("owner", self.owner.clone()),
            ("clientIp", self.address.map(|address| address.to_string())),
            ("userAgent", self.user_agent.clone()),
            ("method", self.method.clone()),
        ] {
            if let Some(value) = value {
                data[name] = Value::String(value);
            }
        }
        Some(WebhookEvent {
            id: EventId::new(self.last_at, entropy),
            kind: self.kind.event()?,
            project: self.project.clone(),
            environment: self.environment,
            at: self.last_at,
            data,
        })
    }
}

fn message(found: &Finding, name: &str) -> String {
    let Finding { observed, calls, detail, .. } = found;
    let who = match (&found.subject, name) {
        (Some(id), "") => id.to_string(),
        (Some(id), name) => format!("{id} ({name})"),
        (None, _) => "Credentials that nobody knows".to_owned(),
    };
    let from = match found.address {
        Some(address) => format!(" from {address}"),
        None => String::new(),
    };
    match (found.kind, &found.subject) {
        (AlertKind::ManyRefusals, Some(_)) => format!(
            "{who} was refused {observed} times within minutes, last as {detail}{from}. If its owner changed nothing, \
             somebody may be trying what it can do: look at its access log, and suspend it if nobody knows the address."
        ),
        (AlertKind::ManyRefusals, None) => format!(
            "{who} were presented {observed} times within minutes{from}. Somebody may be guessing keys, or a service was \
             set up with the wrong one: look at the access log, and block the address in front of your API if nobody knows it."
        ),
        (AlertKind::RateJump, _) => format!(
            "{who} made {observed} calls in a minute; its average is {detail}. Ask its owner whether that is meant. If not, \
             suspend it, or give it a rate limit."
        ),
        (AlertKind::NewNetwork, _) => format!(
            "{who} was used from a network that it was never used from: {detail}. If its owner did not move, the secret may \
             be in other hands: suspend the key, or rotate it without a grace period."
        ),
        (AlertKind::DormantKey, _) => format!(
            "{who} was used{from} after {observed} days without a call, the last one at {detail}. Ask its owner. If nobody \
             expects it, revoke the key."
        ),
        (AlertKind::KeyExpiring, _) => format!(
            "{who} stops working at {detail}. If it is still needed, give it a later end or replace it before then."
        ),
        (AlertKind::OldSecretUsed, _) => format!(
            "The old secret of {who} is still used{from}, and stops working at {detail}: {observed} % of its grace period \
             is left. Whoever calls from there has to get the new secret before then."
        ),
        (AlertKind::QuotaNearlySpent, _) => format!(
            "{who} has {detail} credits left, {observed} %. Calls are refused as QUOTA_EXHAUSTED when they are gone: \
             set more, or ask its owner what spends them."
        ),
        (AlertKind::HoneyKey, _) => format!(
            "{who} is a honey key, and somebody called with it{from} (calls so far: {calls}). Nobody has a reason to: \
             whoever did has read the place where you put it. Find out what else is there, and rotate that."
        ),
        (AlertKind::LeakedCredential, _) => {
            let done = match detail.as_str() {
                "REVOKED" => "It was revoked: make another.",
                "SUSPENDED" => "It was suspended: replace it, then revoke it.",
                "SECRET_ENDED" => "It was the old secret of a rotation, which was ended.",
                "TOKEN_ENDED" => "It was ended with all of its grant.",
                _ => "Nothing was done about it: it still works. Replace it now.",
            };
            format!("{who} was found where it must not be. {done} The leak reports say where.")
        }
    }
}

/// A time to the second.
pub(super) fn time(at: Timestamp) -> String {
    Timestamp::from_micros(at.micros().div_euclid(1_000_000) * 1_000_000).rfc3339()
}
