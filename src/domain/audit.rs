//! The audit log: who did what, from where.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{AuditEventId, CredentialId, ProjectId, TokenId, UserId};
use super::key::Key;
use super::leak::LeakReport;
use super::limit::quota::Quota;
use super::limit::{RateLimit, RateLimits};

/// One entry.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Identifies the entry.
    pub id: AuditEventId,
    /// The project it happened in.
    pub project: ProjectId,
    /// The environment it happened in; none for what belongs to the whole project.
    pub environment: Option<Environment>,
    /// The key that did it, the user, where they did it in person, or the client that brought an access token; none for the
    /// command line.
    pub actor: Option<CredentialId>,
    /// The access token that it was done with.
    pub token: Option<ActingToken>,
    /// What was done: a noun and a verb, `key.revealed`.
    pub action: String,
    /// What it was done to, by id.
    pub target: String,
    /// The request it was done in.
    pub request_id: Option<String>,
    /// Where the request came from.
    pub client_ip: Option<IpAddr>,
    /// When it was done.
    pub occurred_at: Timestamp,
    /// What changed, as it was: a JSON object, which holds no secret; none for what was made or did not change.
    pub before: Option<String>,
    /// The same, as it is; none for what is gone or did not change.
    pub after: Option<String>,
}

/// An access token that something was done with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ActingToken {
    /// Which it is.
    pub id: TokenId,
    /// Whom the client acted for.
    pub user: Option<UserId>,
}

/// An entry in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Its number in the project's log, from 1 without gaps; 0 and below for entries from before the chain.
    pub seq: i64,
    /// What it says.
    pub event: AuditEvent,
    /// Where it stands in lists: their sort key.
    pub place: String,
}

impl AuditEvent {
    /// The same event with what changed: the fields that differ, as they were and as they are. Without one of the two the
    /// thing was made or is gone, and all that has a value is told.
    pub fn changing(mut self, before: Option<Map<String, Value>>, after: Option<Map<String, Value>>) -> Self {
        let (before, after) = match (before, after) {
            (Some(mut before), Some(mut after)) => {
                let same: Vec<String> = after
                    .iter()
                    .filter(|(name, value)| before.get(*name) == Some(value))
                    .map(|(name, _)| name.clone())
                    .collect();
                for name in same {
                    before.remove(&name);
                    after.remove(&name);
                }
                (Some(before), Some(after))
            }
            (before, after) => (before.map(without_absent), after.map(without_absent)),
        };
        let text = |fields: Map<String, Value>| Value::Object(fields).to_string();
        (self.before, self.after) = (before.map(text), after.map(text));
        self
    }

    /// The same event with what changed about a key.
    pub fn changing_key(self, before: Option<&Key>, after: &Key) -> Self {
        self.changing(before.map(key_fields), Some(key_fields(after)))
    }

    /// The same event with what is told of a leak, and what changed about the key for it, if it was one.
    pub fn reporting_leak(self, key: Option<(&Key, &Key)>, report: &LeakReport) -> Self {
        let (before, mut after) =
            key.map_or_else(|| (Map::new(), Map::new()), |(before, after)| (key_fields(before), key_fields(after)));
        let leak = json!({
            "type": report.kind.as_str(),
            "hint": report.hint,
            "source": report.place.source(),
            "url": report.place.url(),
            "action": report.action.as_str(),
        });
        after.insert("leak".to_owned(), leak);
        self.changing(Some(before), Some(after))
    }

    /// The same event as one of the whole project, seen in both environments.
    pub fn of_whole_project(mut self) -> Self {
        self.environment = None;
        self
    }

    /// The first word of the action: the kind of thing it was done to.
    pub fn noun(&self) -> &str {
        self.action.split('.').next().unwrap_or_default()
    }
}

/// Fields of a thing, by the names that the HTTP API gives them.
pub fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Limits, as the HTTP API tells them.
pub fn limits(limits: &RateLimits) -> Value {
    let told = |limit: &RateLimit| {
        let window = format!("{}s", limit.window.as_secs());
        json!({"name": limit.name, "limit": limit.calls, "window": window, "shared": limit.shared})
    };
    limits.iter().map(told).collect()
}

/// Credits, as they were when they were set: what was spent since is no change of the key.
fn credits(quota: &Quota) -> Value {
    let Quota { granted, refill, .. } = *quota;
    json!({
        "set": granted,
        "refill": refill.as_str(),
        "amount": refill.amount(),
        "day": refill.day(),
    })
}

/// What can be told of a key: all but its secrets, and what every change changes.
fn key_fields(key: &Key) -> Map<String, Value> {
    let details = &key.details;
    let rotation = key.rotation.as_ref().map(|rotation| {
        json!({
            "mode": rotation.mode.as_str(),
            "rotatedAt": time(rotation.rotated_at),
            "gracePeriod": format!("{}s", rotation.grace.as_secs_f64()),
            "oldSecretExpiresAt": rotation.old_expires_at.map(time),
        })
    });
    fields([
        ("environment", json!(key.environment.as_str())),
        ("type", json!(key.kind.as_str())),
        ("name", json!(details.name)),
        ("alias", json!(details.alias)),
        ("description", json!(details.description)),
        ("owner", json!(details.owner)),
        ("user", json!(key.user.as_ref().map(UserId::as_str))),
        ("scopes", details.scopes.iter().map(|scope| scope.spelling().to_owned()).collect()),
        ("allowedIps", details.allowed_ips.iter().map(ToString::to_string).collect()),
        ("allowedIpsMode", json!(details.allowed_ips_mode.as_str())),
        ("honey", json!(details.honey)),
        ("rateLimits", limits(&details.rate_limits)),
        ("credits", json!(details.credits.as_deref().map(credits))),
        ("metadata", json!(details.metadata.to_map())),
        ("recoverable", json!(key.recoverable)),
        ("hint", json!(key.hint)),
        ("rotation", json!(rotation)),
        ("expiresAt", json!(details.expires_at.map(time))),
        ("suspendedAt", json!(key.suspended_at.map(time))),
        ("revokedAt", json!(key.revoked_at.map(time))),
    ])
}

fn without_absent(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    });
    fields
}

/// A time in RFC 3339; in microseconds where it is too far away for that.
fn time(at: Timestamp) -> String {
    let since = Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0));
    let mut text = String::new();
    let told =
        UNIX_EPOCH.checked_add(since).is_some_and(|at| write!(text, "{}", humantime::format_rfc3339(at)).is_ok());
    if told { text } else { at.micros().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::store::tests::support::{at, full_key};

    fn event() -> AuditEvent {
        AuditEvent {
            id: AuditEventId::new(at(1), &SystemEntropy),
            project: ProjectId::default_project(),
            environment: Some(Environment::Live),
            actor: None,
            token: None,
            action: "key.updated".to_owned(),
            target: "key_1".to_owned(),
            request_id: None,
            client_ip: None,
            occurred_at: at(1),
            before: None,
            after: None,
        }
    }

    fn read(text: Option<String>) -> Value {
        serde_json::from_str(&text.unwrap()).unwrap()
    }

    #[test]
    fn a_change_tells_the_fields_that_differ() {
        let before = full_key(at(1));
        let mut after = before.clone();
        after.details.name = "Other".to_owned();
        after.details.owner = None;
        after.updated_at = at(2);
        let event = event().changing_key(Some(&before), &after);
        assert_eq!(read(event.before), json!({"name": before.details.name, "owner": "team-a"}));
        assert_eq!(read(event.after), json!({"name": "Other", "owner": null}));
    }

    #[test]
    fn what_was_made_is_told_as_far_as_it_has_values() {
        let key = full_key(at(1));
        let made = event().changing_key(None, &key);
        assert_eq!((&made.before, made.noun()), (&None, "key"));
        let made = read(made.after);
        assert_eq!(made["expiresAt"], "2023-11-14T23:13:21Z");
        assert_eq!(made["allowedIps"], json!(["10.0.0.0/8", "2001:db8::/32"]));
        assert_eq!((made.get("revokedAt"), made.get("rotation")), (None, None));
    }
}
