//! Webhooks, for people.

use super::super::exit::{Exit, Failure};
use super::super::output::{Output, Rows};
use super::super::text::time;
use crate::proto::v1;

/// The webhook of an answer.
pub(super) fn present(webhook: Option<v1::Webhook>) -> Result<v1::Webhook, Failure> {
    webhook.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no webhook"))
}

/// Prints one webhook.
pub(super) fn print(webhook: Option<v1::Webhook>, output: Output) -> Result<(), Failure> {
    let webhook = present(webhook)?;
    output.result(&webhook, || record(&webhook), [webhook.id.clone()])
}

/// One webhook with its new secret.
pub(super) fn with_secret(webhook: &v1::Webhook, secret: &str) -> Rows {
    let mut rows = record(webhook);
    rows.field("secret", secret);
    rows
}

/// Webhooks, one a line.
pub(super) fn list(webhooks: &[v1::Webhook]) -> Rows {
    let mut rows = Rows::under(["ID", "URL", "EVENTS", "STATE", "CREATED"]);
    for webhook in webhooks {
        let events = webhook.events.join(" ");
        rows.push([webhook.id.clone(), webhook.url.clone(), events, state(webhook), time(webhook.created_at.as_ref())]);
    }
    rows
}

fn record(webhook: &v1::Webhook) -> Rows {
    let mut rows = Rows::record();
    rows.field("id", &webhook.id);
    rows.field("url", &webhook.url);
    rows.field("events", webhook.events.join(" "));
    rows.field("state", state(webhook));
    rows.field("description", &webhook.description);
    rows.field("environment", webhook.environment().as_str_name().to_lowercase());
    rows.field("failing since", time(webhook.failing_since.as_ref()));
    rows.field("old secret until", time(webhook.old_secret_expires_at.as_ref()));
    rows.field("created", time(webhook.created_at.as_ref()));
    rows.field("updated", time(webhook.updated_at.as_ref()));
    rows.field("etag", &webhook.etag);
    rows
}

fn state(webhook: &v1::Webhook) -> String {
    let word = match (webhook.enabled(), webhook.disabled_reason()) {
        (true, _) => "enabled",
        (false, v1::webhook::DisabledReason::Unspecified) => "disabled",
        (false, v1::webhook::DisabledReason::Gone) => "disabled: gone",
        (false, v1::webhook::DisabledReason::Failing) => "disabled: failing",
    };
    word.to_owned()
}
