//! Leak reports on the wire.

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use crate::auth::credential::MAX_CREDENTIAL;
use crate::domain::error::{Error, Result};
use crate::domain::leak::{LeakAction, LeakPlace, LeakReport, MAX_SOURCE, MAX_URL};
use crate::domain::reason::Reason;
use crate::domain::secret::{SecretShape, looks_like_token};
use crate::proto::v1;
use crate::service::Context;
use crate::service::leaks::{Leaks, Reporter};
use crate::service::paging::ListScope;
use crate::store::LeakFilter;

/// Takes a report.
pub(super) async fn report(
    leaks: &Leaks,
    around: &Around,
    message: v1::ReportLeakRequest,
) -> Result<v1::ReportLeakResponse> {
    let mut fields = Fields::default();
    let credential = message.credential.trim();
    let is_one = SecretShape::parse(credential).is_some() || looks_like_token(credential);
    if credential.len() > MAX_CREDENTIAL || !is_one {
        fields.refuse("credential", "must be a credential of this service, by its shape and checksum");
    }
    let source = fields.line("source", message.source, 0, MAX_SOURCE);
    let url = fields.line("url", message.url, 0, MAX_URL);
    let place = fields.finish(LeakPlace::of(&source, &url))?;
    let report = leaks.report(Reporter::Caller(&around.caller), credential, &place).await?;
    let unknown = || Error::new(Reason::ResourceNotFound, "no credential of this project is like this");
    Ok(v1::ReportLeakResponse { report: Some(encode(report.ok_or_else(unknown)?)) })
}

/// One page of reports.
pub(super) async fn list(
    context: &Context,
    leaks: &Leaks,
    around: &Around,
    message: v1::ListLeakReportsRequest,
) -> Result<tonic::Response<v1::ListLeakReportsResponse>> {
    let mut fields = Fields::default();
    let subject = message.credential_id.clone().map(|id| fields.visible("credential_id", id, 64));
    let filter = fields.finish(LeakFilter { subject })?;
    let list = ListScope::new(&around.caller, "leak-reports", &format!("{filter:?}"));
    let wanted = page_fields!(message).read(around.dialect, &list, &context.keyring)?;
    let page = leaks.list(&around.caller, &filter, &wanted).await?;
    let place = place(&page, &wanted, &list, &context.keyring, |report| report.id.as_str());
    Ok(place.answer(|pagination, next_page_token| v1::ListLeakReportsResponse {
        data: page.items.into_iter().map(encode).collect(),
        pagination,
        next_page_token,
    }))
}

fn encode(report: LeakReport) -> v1::LeakReport {
    v1::LeakReport {
        id: report.id.to_string(),
        credential_id: report.subject.to_string(),
        r#type: report.kind.as_str().to_owned(),
        hint: report.hint,
        source: report.place.source().to_owned(),
        url: report.place.url().to_owned(),
        reporter: report.reporter.to_string(),
        action: action(report.action).into(),
        environment: convert::environment(report.environment).into(),
        reported_at: Some(convert::time(report.reported_at)),
    }
}

fn action(action: LeakAction) -> v1::leak_report::Action {
    match action {
        LeakAction::Revoked => v1::leak_report::Action::Revoked,
        LeakAction::Suspended => v1::leak_report::Action::Suspended,
        LeakAction::SecretEnded => v1::leak_report::Action::SecretEnded,
        LeakAction::TokenEnded => v1::leak_report::Action::TokenEnded,
        LeakAction::Alerted => v1::leak_report::Action::Alerted,
        LeakAction::AlreadyEnded => v1::leak_report::Action::AlreadyEnded,
        LeakAction::Public => v1::leak_report::Action::Public,
    }
}
