//! Usage and the access log on the wire.

use std::collections::VecDeque;

use futures_util::{Stream, stream};
use tokio::time::timeout_at;
use tonic::Status;

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::{Around, Deadline};
use crate::domain::error::{Error, Result};
use crate::domain::id::{ClientId, KeyId, UserId};
use crate::domain::reason::Reason;
use crate::domain::usage::{Grain, VALID};
use crate::proto::v1;
use crate::proto::v1::get_usage_request::{Group, Interval};
use crate::service::Context;
use crate::service::narrowing::{ScopeReport, ScopeUse};
use crate::service::paging::ListScope;
use crate::service::usage::{Export, Usage, UsageRequest};
use crate::store::{AccessEntry, AccessFilter, AddressUse, UsageFilter, UsageGroups, UsageRow};

/// The counts asked for.
pub(super) async fn report(
    usage: &Usage,
    around: &Around,
    message: &v1::GetUsageRequest,
) -> Result<v1::GetUsageResponse> {
    let mut fields = Fields::default();
    let grain = fields.known("interval", message.interval, |interval| {
        Some(match interval {
            Interval::Minute => Grain::Minute,
            Interval::Unspecified | Interval::Hour => Grain::Hour,
            Interval::Day => Grain::Day,
        })
    });
    let (by, by_project) = groups(&mut fields, &message.group_by);
    let request = UsageRequest {
        grain: grain.unwrap_or(Grain::Hour),
        from: fields.time("start_time", message.start_time),
        before: fields.time("end_time", message.end_time),
        by,
        filter: UsageFilter {
            key: key_id(&mut fields, message.key_id.as_ref()),
            owner: message.owner.clone().map(|owner| fields.visible("owner", owner, 128)),
            client: client_id(&mut fields, message.client_id.as_ref()),
            user: user_id(&mut fields, message.user_id.as_ref()),
            method: method(&mut fields, message.method.as_ref()),
            outcome: outcome(&mut fields, message.outcome.as_ref()),
        },
    };
    let request = fields.finish(request)?;
    let rows = usage.report(&around.caller, request).await?;
    let project = by_project.then(|| around.caller.project().to_string());
    let total = rows.iter().fold(0, |sum: i64, row| sum.saturating_add(number(row.calls)));
    Ok(v1::GetUsageResponse { data: rows.into_iter().map(|row| count(row, project.clone())).collect(), total })
}

/// One page of the access log.
pub(super) async fn list_access(
    context: &Context,
    usage: &Usage,
    around: &Around,
    message: &v1::ListAccessLogRequest,
) -> Result<tonic::Response<v1::ListAccessLogResponse>> {
    let filter = access_filter(message)?;
    let list = ListScope::new(&around.caller, "access-log", &format!("{filter:?}"));
    let wanted = page_fields!(message).read(around.dialect, &list, &context.keyring)?;
    let page = usage.list_access(&around.caller, &filter, &wanted).await?;
    let place = place(&page, &wanted, &list, &context.keyring, |entry| &entry.place);
    Ok(place.answer(|pagination, next_page_token| v1::ListAccessLogResponse {
        data: page.items.into_iter().map(entry).collect(),
        pagination,
        next_page_token,
    }))
}

/// The entries of an export as messages, until the first error.
pub(super) fn exported(
    export: Export,
    around: Around,
) -> impl Stream<Item = Result<v1::ExportAccessLogResponse, Status>> + Send {
    stream::unfold(Some((export, around, VecDeque::new())), async |state| {
        let (mut export, around, mut ready) = state?;
        if ready.is_empty() {
            let next = async {
                match around.deadline {
                    Some(Deadline(at)) => timeout_at(at, export.next()).await.unwrap_or_else(|_| Err(too_late())),
                    None => export.next().await,
                }
            };
            match next.await {
                Ok(entries) => ready.extend(entries),
                Err(error) => return Some((Err(around.status(&error)), None)),
            }
        }
        let next = ready.pop_front()?;
        Some((Ok(v1::ExportAccessLogResponse { entry: Some(entry(next)) }), Some((export, around, ready))))
    })
}

/// What a key needed of what it may do.
pub(super) fn scopes(report: ScopeReport) -> v1::GetScopeUsageResponse {
    let ScopeReport { from, scopes, methods, addresses } = report;
    let scope = |one: ScopeUse| v1::get_scope_usage_response::ScopeUse {
        scope: one.scope.spelling().to_owned(),
        granted: one.granted,
        used: one.used,
        last_used_at: one.last_used_at.map(convert::time),
    };
    let method = |(method, calls)| v1::get_scope_usage_response::MethodUse { method, calls: number(calls) };
    let address = |one: AddressUse| v1::get_scope_usage_response::AddressUse {
        address: one.address.map(|address| address.to_string()),
        calls: number(one.calls),
        last_at: Some(convert::time(one.last_at)),
    };
    v1::GetScopeUsageResponse {
        scopes: scopes.into_iter().map(scope).collect(),
        methods: methods.into_iter().map(method).collect(),
        addresses: addresses.into_iter().map(address).collect(),
        start_time: Some(convert::time(from)),
    }
}

/// By what calls are told apart, and whether by project too, of which there is one.
fn groups(fields: &mut Fields, wanted: &[i32]) -> (UsageGroups, bool) {
    let (mut by, mut by_project) = (UsageGroups::default(), false);
    for (index, group) in wanted.iter().take(MOST_GROUPS).enumerate() {
        let known = fields.known(&format!("group_by[{index}]"), *group, |group| {
            let place = match group {
                Group::Unspecified => return None,
                Group::Key => &mut by.key,
                Group::Owner => &mut by.owner,
                Group::Client => &mut by.client,
                Group::User => &mut by.user,
                Group::Project => &mut by_project,
                Group::Method => &mut by.method,
                Group::Outcome => &mut by.outcome,
            };
            Some(std::mem::replace(place, true))
        });
        if known == Some(true) {
            fields.refuse(format!("group_by[{index}]"), "is given twice");
        }
    }
    if wanted.len() > MOST_GROUPS {
        fields.refuse("group_by", format!("must have up to {MOST_GROUPS} entries, not {}", wanted.len()));
    }
    (by, by_project)
}

/// What an export is to hold.
pub(super) fn export_filter(message: v1::ExportAccessLogRequest) -> Result<AccessFilter> {
    let v1::ExportAccessLogRequest { key_id, client_id, user_id, method, outcome, address, .. } = message;
    access_filter(&v1::ListAccessLogRequest {
        key_id,
        client_id,
        user_id,
        method,
        outcome,
        address,
        start_time: message.start_time,
        end_time: message.end_time,
        unknown: message.unknown,
        ..v1::ListAccessLogRequest::default()
    })
}

fn access_filter(message: &v1::ListAccessLogRequest) -> Result<AccessFilter> {
    let mut fields = Fields::default();
    let filter = AccessFilter {
        unknown_at_the_door: message.unknown(),
        key: key_id(&mut fields, message.key_id.as_ref()),
        client: client_id(&mut fields, message.client_id.as_ref()),
        user: user_id(&mut fields, message.user_id.as_ref()),
        method: method(&mut fields, message.method.as_ref()),
        outcome: outcome(&mut fields, message.outcome.as_ref()),
        addresses: message.address.as_ref().and_then(|range| fields.range("address", range)),
        from: fields.time("start_time", message.start_time),
        before: fields.time("end_time", message.end_time),
    };
    fields.finish(filter)
}

fn key_id(fields: &mut Fields, id: Option<&String>) -> Option<String> {
    known(
        fields,
        "key_id",
        id,
        |id| KeyId::parse(id).is_some(),
        "must be the id of a key, `key_` and 32 hexadecimal digits",
    )
}

fn client_id(fields: &mut Fields, id: Option<&String>) -> Option<String> {
    let rule = "must be the id of an OAuth client, `cli_` and 32 hexadecimal digits";
    known(fields, "client_id", id, |id| ClientId::parse(id).is_some(), rule)
}

fn user_id(fields: &mut Fields, id: Option<&String>) -> Option<String> {
    known(
        fields,
        "user_id",
        id,
        |id| UserId::parse(id).is_some(),
        "must be the id of a user, `usr_` and 32 hexadecimal digits",
    )
}

fn method(fields: &mut Fields, method: Option<&String>) -> Option<String> {
    method.map(|method| fields.visible("method", method.clone(), 64))
}

fn outcome(fields: &mut Fields, outcome: Option<&String>) -> Option<String> {
    let is_one = |name: &str| name == VALID || Reason::find(name).is_some();
    known(fields, "outcome", outcome, is_one, "must be VALID or the reason of a refusal, such as EXPIRED")
}

fn known(
    fields: &mut Fields,
    field: &str,
    value: Option<&String>,
    is_one: impl FnOnce(&str) -> bool,
    rule: &str,
) -> Option<String> {
    let value = value?;
    if !is_one(value) {
        fields.refuse(field, rule);
    }
    Some(value.clone())
}

fn too_late() -> Error {
    Error::new(Reason::DeadlineExceeded, "the client's time is over")
}

fn count(row: UsageRow, project: Option<String>) -> v1::UsageCount {
    v1::UsageCount {
        start_time: Some(convert::time(row.began_at)),
        key_id: row.key,
        owner: row.owner,
        client_id: row.client,
        user_id: row.user,
        project,
        method: row.method,
        outcome: row.outcome,
        calls: number(row.calls),
    }
}

fn entry(entry: AccessEntry) -> v1::AccessLogEntry {
    v1::AccessLogEntry {
        minute: Some(convert::time(entry.minute)),
        key_id: entry.key,
        client_id: entry.client,
        user_id: entry.user,
        method: entry.method,
        outcome: entry.outcome,
        address: entry.address.map(|address| address.to_string()),
        calls: number(entry.calls),
        last_at: Some(convert::time(entry.last_at)),
        user_agent: entry.user_agent,
    }
}

fn number(calls: u64) -> i64 {
    i64::try_from(calls).unwrap_or(i64::MAX)
}

/// There are seven.
const MOST_GROUPS: usize = 7;
