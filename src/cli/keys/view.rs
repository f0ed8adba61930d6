//! Keys in rows.

use crate::cli::exit::{Exit, Failure};
use crate::cli::limits;
use crate::cli::output::{Mood, Rows};
use crate::cli::text::time;
use crate::proto::v1::{self, key::State};

/// Many keys, one a row.
pub(super) fn list(keys: &[v1::Key]) -> Rows {
    let mut rows = Rows::under(["ID", "NAME", "TYPE", "STATE", "HINT", "SCOPES", "EXPIRES"]);
    for key in keys {
        let scopes = key.scopes.join(" ");
        let state = key.state().as_str_name().to_owned();
        let kind = key.r#type().as_str_name().to_ascii_lowercase();
        rows.push([
            key.id.clone(),
            key.name.clone(),
            kind,
            state,
            key.hint.clone(),
            scopes,
            time(key.expires_at.as_ref()),
        ]);
        rows.mood(3, mood(key.state()));
    }
    rows
}

/// When a key was accepted last, and where.
fn last_use(key: &v1::Key) -> String {
    let Some(at) = &key.last_used_at else { return "never".to_owned() };
    let from = key.last_used_ip.iter().map(|address| format!(" from {address}"));
    let by = key.last_used_user_agent.iter().map(|agent| format!(" by {agent}"));
    std::iter::once(time(Some(at))).chain(from).chain(by).collect()
}

/// One key and all that is known of it.
pub(super) fn record(key: &v1::Key) -> Rows {
    let mut rows = Rows::record();
    rows.field("id", &key.id);
    rows.field("name", &key.name);
    rows.field("alias", key.alias());
    rows.field("description", &key.description);
    rows.field("type", key.r#type().as_str_name().to_ascii_lowercase());
    rows.field("state", key.state().as_str_name());
    rows.mood(1, mood(key.state()));
    rows.field("project", &key.project);
    rows.field("environment", key.environment().as_str_name().to_ascii_lowercase());
    rows.field("hint", &key.hint);
    rows.field("scopes", if key.scopes.is_empty() { "none".to_owned() } else { key.scopes.join(" ") });
    rows.field("addresses", if key.allowed_ips.is_empty() { "any".to_owned() } else { key.allowed_ips.join(" ") });
    rows.field("owner", key.owner());
    rows.field("user", key.user());
    let reports = key.allowed_ips_mode() == v1::key::AddressMode::Report;
    rows.field("other addresses", if reports { "only reported" } else { "" });
    limits::rows(&key.rate_limits, "limit", &mut rows);
    limits::credits_row(key.credits.as_ref(), &mut rows);
    for (name, value) in &key.metadata {
        rows.field("metadata", format!("{name}={value}"));
    }
    rows.field("honey", if key.honey { "yes: whoever calls with it is answered as if nobody knew it" } else { "" });
    rows.field("recoverable", if key.recoverable { "yes" } else { "" });
    if let Some(rotation) = &key.rotation {
        rows.field("rotated", time(rotation.rotated_at.as_ref()));
        let end = rotation.old_secret_expires_at.as_ref();
        let waits = || "once the new one was used and the grace period is over".to_owned();
        rows.field("old secret ends", end.map_or_else(waits, |end| time(Some(end))));
    }
    rows.field("created", time(key.created_at.as_ref()));
    rows.field("created by", key.created_by());
    rows.field("updated", time(key.updated_at.as_ref()));
    rows.field("expires", key.expires_at.as_ref().map_or("never".to_owned(), |end| time(Some(end))));
    rows.field("last used", last_use(key));
    rows.field("suspended", time(key.suspended_at.as_ref()));
    rows.field("revoked", time(key.revoked_at.as_ref()));
    rows.field("etag", &key.etag);
    rows
}

/// One key with its new secret.
pub(super) fn with_secret(key: &v1::Key, secret: &str) -> Rows {
    let mut rows = record(key);
    rows.field("secret", secret);
    rows
}

/// The key that an answer always holds.
pub(super) fn present(key: Option<v1::Key>) -> Result<v1::Key, Failure> {
    key.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no key"))
}

fn mood(state: State) -> Option<Mood> {
    match state {
        State::Active => Some(Mood::Good),
        State::Suspended => Some(Mood::Waiting),
        State::Revoked | State::Expired => Some(Mood::Bad),
        State::Unspecified => None,
    }
}
