//! Alerts and their rules on the wire.

use std::ops::RangeInclusive;
use std::time::Duration;

use prost_types::Duration as WireDuration;

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::alert::{Alert, AlertKind, AlertRule, Severity, Thresholds};
use crate::domain::error::{Error, Result};
use crate::proto::v1;
use crate::service::Context;
use crate::service::alerts::Alerts;
use crate::service::paging::ListScope;
use crate::store::AlertFilter;

/// One page of alerts.
pub(super) async fn list(
    context: &Context,
    alerts: &Alerts,
    around: &Around,
    message: &v1::ListAlertsRequest,
) -> Result<tonic::Response<v1::ListAlertsResponse>> {
    let mut fields = Fields::default();
    let filter = AlertFilter {
        kind: message.kind.as_deref().and_then(|text| kind(&mut fields, "kind", text)),
        subject: message.credential_id.clone().map(|id| fields.visible("credential_id", id, 64)),
        since: fields.time("since", message.since),
    };
    let filter = fields.finish(filter)?;
    let list = ListScope::new(&around.caller, "alerts", &format!("{filter:?}"));
    let wanted = page_fields!(message).read(around.dialect, &list, &context.keyring)?;
    let page = alerts.list(&around.caller, &filter, &wanted).await?;
    let place = place(&page, &wanted, &list, &context.keyring, |alert| alert.id.as_str());
    Ok(place.answer(|pagination, next_page_token| v1::ListAlertsResponse {
        data: page.items.into_iter().map(encode).collect(),
        pagination,
        next_page_token,
    }))
}

/// One alert.
pub(super) async fn find(
    alerts: &Alerts,
    around: &Around,
    message: &v1::GetAlertRequest,
) -> Result<v1::GetAlertResponse> {
    Ok(v1::GetAlertResponse { alert: Some(encode(alerts.find(&around.caller, &message.id).await?)) })
}

/// The rules of the caller's project.
pub(super) async fn rules(alerts: &Alerts, around: &Around) -> Result<v1::ListAlertRulesResponse> {
    let rules = alerts.rules(&around.caller).await?;
    Ok(v1::ListAlertRulesResponse { data: rules.into_iter().map(encode_rule).collect() })
}

/// A rule after it was changed.
pub(super) async fn update_rule(
    alerts: &Alerts,
    around: &Around,
    message: v1::UpdateAlertRuleRequest,
) -> Result<v1::UpdateAlertRuleResponse> {
    let given = message.rule.ok_or_else(|| Error::field("rule", "is needed"))?;
    let Some(kind) = AlertKind::parse(&given.kind) else {
        let unknown = Error::not_found("alert rule", &given.kind);
        return Err(Error { message: format!("{}; there are: {}", unknown.message, kinds()), ..unknown });
    };
    let mut fields = Fields::under("rule.");
    let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
    let wanted = changed(&mut fields, kind, &given, &mask);
    let (wanted, mask) = fields.finish((wanted, mask))?;
    let named = |name| mask.contains(&name);
    let rule = alerts.update_rule(&around.caller, kind, Some(&given.etag), |enabled, thresholds| {
        named("enabled").then(|| *enabled = given.enabled.unwrap_or(AlertRule::default_of(kind).enabled));
        named("threshold").then(|| thresholds.threshold = wanted.threshold);
        named("min_calls").then(|| thresholds.floor = wanted.floor);
        named("window").then(|| thresholds.window = wanted.window);
        named("cooldown").then(|| thresholds.cooldown = wanted.cooldown);
    });
    Ok(v1::UpdateAlertRuleResponse { rule: Some(encode_rule(rule.await?)) })
}

/// The thresholds that are named and given, over those that hold unless something is said.
fn changed(fields: &mut Fields, kind: AlertKind, given: &v1::AlertRule, mask: &[&str]) -> Thresholds {
    let (mut wanted, bounds) = (AlertRule::default_of(kind).thresholds, AlertRule::bounds(kind));
    let named = |name| mask.contains(&name);
    if named("threshold") {
        number(fields, "threshold", given.threshold, bounds.threshold, kind, &mut wanted.threshold);
    }
    if named("min_calls") {
        number(fields, "min_calls", given.min_calls, bounds.floor, kind, &mut wanted.floor);
    }
    if named("window") {
        span(fields, "window", given.window, bounds.window, 60, kind, &mut wanted.window);
    }
    if named("cooldown") {
        span(fields, "cooldown", given.cooldown, bounds.cooldown, 1, kind, &mut wanted.cooldown);
    }
    wanted
}

fn number(
    fields: &mut Fields,
    name: &str,
    given: Option<i64>,
    bounds: Option<RangeInclusive<i64>>,
    kind: AlertKind,
    wanted: &mut i64,
) {
    match (given, bounds) {
        (None, _) => {}
        (Some(_), None) => fields.refuse(name, none_of(kind)),
        (Some(given), Some(bounds)) if bounds.contains(&given) => *wanted = given,
        (Some(_), Some(bounds)) => fields.refuse(name, format!("must be {} to {}", bounds.start(), bounds.end())),
    }
}

/// A span of whole units of so many seconds.
fn span(
    fields: &mut Fields,
    name: &str,
    given: Option<WireDuration>,
    bounds: Option<RangeInclusive<Duration>>,
    unit: u64,
    kind: AlertKind,
    wanted: &mut Duration,
) {
    let span = given.map(|given| Duration::try_from(given).ok());
    let whole = |span: &Duration| span.subsec_nanos() == 0 && span.as_secs().is_multiple_of(unit);
    match (span, bounds) {
        (None, _) => {}
        (Some(_), None) => fields.refuse(name, none_of(kind)),
        (Some(Some(span)), Some(bounds)) if bounds.contains(&span) && whole(&span) => *wanted = span,
        (Some(_), Some(bounds)) => {
            let unit = if unit == 60 { "minutes" } else { "seconds" };
            let (least, most) = (bounds.start().as_secs(), bounds.end().as_secs());
            fields.refuse(name, format!("must be {least} s to {most} s, in whole {unit}"));
        }
    }
}

fn none_of(kind: AlertKind) -> String {
    format!("is nothing that {} compares with", kind.as_str())
}

fn kinds() -> String {
    AlertKind::ALL.map(AlertKind::as_str).join(", ")
}

fn kind(fields: &mut Fields, field: &str, text: &str) -> Option<AlertKind> {
    let kind = AlertKind::parse(text);
    if kind.is_none() {
        fields.refuse(field, format!("must be one of: {}", kinds()));
    }
    kind
}

fn encode(alert: Alert) -> v1::Alert {
    v1::Alert {
        id: alert.id.to_string(),
        kind: alert.kind.as_str().to_owned(),
        severity: severity(alert.kind.severity()).into(),
        project: alert.project.to_string(),
        environment: convert::environment(alert.environment).into(),
        credential_id: alert.subject.map(|id| id.to_string()),
        owner: alert.owner,
        message: alert.message,
        observed: alert.observed,
        threshold: alert.threshold,
        calls: alert.calls,
        client_ip: alert.address.map(|address| address.to_string()),
        user_agent: alert.user_agent,
        method: alert.method,
        first_at: Some(convert::time(alert.first_at)),
        last_at: Some(convert::time(alert.last_at)),
    }
}

fn severity(severity: Severity) -> v1::alert::Severity {
    match severity {
        Severity::Info => v1::alert::Severity::Info,
        Severity::Warning => v1::alert::Severity::Warning,
        Severity::Critical => v1::alert::Severity::Critical,
    }
}

fn encode_rule(rule: AlertRule) -> v1::AlertRule {
    let (bounds, thresholds) = (AlertRule::bounds(rule.kind), rule.thresholds);
    let span = |span: Duration| WireDuration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos: 0 };
    v1::AlertRule {
        kind: rule.kind.as_str().to_owned(),
        enabled: Some(rule.enabled),
        threshold: bounds.threshold.map(|_| thresholds.threshold),
        min_calls: bounds.floor.map(|_| thresholds.floor),
        window: bounds.window.map(|_| span(thresholds.window)),
        cooldown: bounds.cooldown.map(|_| span(thresholds.cooldown)),
        updated_at: rule.updated_at.map(convert::time),
        etag: rule.etag(),
    }
}

const CHANGEABLE: [&str; 5] = ["enabled", "threshold", "min_calls", "window", "cooldown"];
