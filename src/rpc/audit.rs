//! The audit log on the wire.

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::audit::AuditEntry;
use crate::domain::error::Result;
use crate::domain::id::CredentialId;
use crate::proto::v1;
use crate::service::Context;
use crate::service::audit::Audit;
use crate::service::paging::ListScope;
use crate::store::{AuditFilter, COMMAND_LINE};

/// One page of the log.
pub(super) async fn list(
    context: &Context,
    audit: &Audit,
    around: &Around,
    message: &v1::ListAuditEventsRequest,
) -> Result<tonic::Response<v1::ListAuditEventsResponse>> {
    let filter = filter(message)?;
    let list = ListScope::new(&around.caller, "audit-events", &format!("{filter:?}"));
    let wanted = page_fields!(message).read(around.dialect, &list, &context.keyring)?;
    let page = audit.list(&around.caller, &filter, &wanted).await?;
    let place = place(&page, &wanted, &list, &context.keyring, |entry| &entry.place);
    Ok(place.answer(|pagination, next_page_token| v1::ListAuditEventsResponse {
        data: page.items.into_iter().map(encode).collect(),
        pagination,
        next_page_token,
    }))
}

fn encode(entry: AuditEntry) -> v1::AuditEvent {
    let AuditEntry { seq, event, .. } = entry;
    v1::AuditEvent {
        id: event.id.to_string(),
        seq,
        environment: event.environment.map(|environment| convert::environment(environment).into()),
        actor: event.actor.map_or_else(|| COMMAND_LINE.to_owned(), |id| id.to_string()),
        action: event.action,
        target: event.target,
        client_ip: event.client_ip.map(|address| address.to_string()),
        request_id: event.request_id,
        occurred_at: Some(convert::time(event.occurred_at)),
        before: event.before,
        after: event.after,
        user_id: event.token.as_ref().and_then(|token| token.user.as_ref()).map(ToString::to_string),
        token_id: event.token.map(|token| token.id.to_string()),
    }
}

fn filter(message: &v1::ListAuditEventsRequest) -> Result<AuditFilter> {
    let mut fields = Fields::default();
    let mut filter = AuditFilter {
        target: message.target.clone().map(|target| fields.visible("target", target, 128)),
        from: fields.time("occurred_after", message.occurred_after),
        before: fields.time("occurred_before", message.occurred_before),
        ..AuditFilter::default()
    };
    match message.actor.as_deref() {
        None => {}
        Some(COMMAND_LINE) => filter.actor = Some(None),
        Some(id) => match CredentialId::parse(id) {
            Some(id) => filter.actor = Some(Some(id)),
            None => fields.refuse("actor", format!("must be the id of a key, a user or a client, or {COMMAND_LINE}")),
        },
    }
    if let Some(action) = &message.action {
        match action.split_once('.').filter(|(noun, verb)| is_word(noun) && (*verb == "*" || is_word(verb))) {
            Some((noun, "*")) => filter.noun = Some(noun.to_owned()),
            Some(_) => filter.action = Some(action.clone()),
            None => fields.refuse("action", "must be an action such as key.revoked, or all of one kind: key.*"),
        }
    }
    fields.finish(filter)
}

fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
