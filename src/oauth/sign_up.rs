//! Signing up on the way to a client, where the project is open for it.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::authorize::shown;
use super::pages::{Form, OwnUrl, SignUp, Text, field};
use super::parameters::Parameters;
use super::visit::{CARRIED, Visit, error_page, with_form};
use super::{OAuth, Request, sign_in};
use crate::domain::error::Error;
use crate::domain::name::broken_by_name;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::reason::Reason;
use crate::domain::user::{Handle, UserDetails};

/// Somebody follows the link on the sign-in page.
pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    query: &str,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let visit = Visit::read(oauth, request, query).await?;
    match oauth.sessions.is_open(&visit.asked.client.project).await {
        Ok(true) => Ok(page(&visit, &Filled::default(), &Faults::default(), StatusCode::OK)),
        Ok(false) => Err(closed(request)),
        Err(error) => Err(error_page(request, &error.into())),
    }
}

/// Somebody says who they want to be.
pub(super) async fn posted(
    oauth: &OAuth,
    request: Request<'_>,
    form: &Parameters,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let visit = Visit::posted(oauth, request, form).await?;
    visit.require(form, None).map_err(|error| error_page(request, &error))?;
    let given = |name| form.get(name).unwrap_or_default();
    let filled = Filled { handle: given(field::HANDLE), alias: given(field::ALIAS) };
    let mut faults = Faults::default();
    let handle = Handle::parse(filled.handle);
    if handle.is_none() {
        faults.handle = Some(format!("The handle {}.", Handle::RULE));
    }
    let alias = form.get(field::ALIAS).map(str::to_owned);
    if let Some(rule) = alias.as_deref().and_then(|alias| broken_by_name(alias, 1, 100)) {
        faults.alias = Some(format!("The name {rule}."));
    }
    if faults.handle.is_some() || faults.alias.is_some() {
        return Ok(page(&visit, &filled, &faults, StatusCode::UNPROCESSABLE_ENTITY));
    }
    let details = UserDetails { handle, alias, ..UserDetails::default() };
    let password = given(field::PASSWORD).to_owned();
    match oauth.sessions.sign_up_in_browser(&visit.visitor(), details, password).await {
        Ok(signed_in) => Ok(sign_in::go_on(&visit, &signed_in)),
        Err(error) => match told(&error) {
            Some((faults, status)) => Ok(page(&visit, &filled, &faults, status)),
            None if error.reason == Reason::CallerNotAllowed => Err(closed(request)),
            None => Err(error_page(request, &error.into())),
        },
    }
}

/// What somebody filled in, all but the password.
#[derive(Default)]
struct Filled<'a> {
    handle: &'a str,
    alias: &'a str,
}

/// What is wrong with it.
#[derive(Default)]
struct Faults {
    handle: Option<String>,
    alias: Option<String>,
    password: Option<String>,
    other: Option<String>,
}

fn page(visit: &Visit<'_>, filled: &Filled<'_>, faults: &Faults, status: StatusCode) -> Response<Bytes> {
    let (csrf, cookie) = visit.proof(None);
    let sign_in = visit.link(super::AUTHORIZE);
    let page = SignUp {
        project: Text::default(),
        client: Some(shown(&visit.asked.client)),
        handle: Text::from(filled.handle),
        handle_error: fault(&faults.handle),
        alias: Text::from(filled.alias),
        alias_error: fault(&faults.alias),
        password_error: fault(&faults.password),
        error: fault(&faults.other),
        sign_in: OwnUrl::parse(&sign_in),
        leads_on: true,
        form: Form { action: super::SIGN_UP, csrf: &csrf, carried: vec![(CARRIED, &visit.query)] },
    };
    with_form(&page, status, cookie)
}

fn fault(fault: &Option<String>) -> Option<Text<'_>> {
    fault.as_deref().map(Text::from)
}

/// What people are told who cannot sign up as they want.
fn told(error: &Error) -> Option<(Faults, StatusCode)> {
    let rule = error.violations.iter().find(|violation| violation.field == field::PASSWORD);
    Some(match error.reason {
        Reason::InvalidField => {
            let password = Some(format!("The password {}.", rule?.rule));
            (Faults { password, ..Faults::default() }, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Reason::AlreadyExists => {
            let handle = Some("Somebody has this handle already; choose another.".to_owned());
            (Faults { handle, ..Faults::default() }, StatusCode::UNPROCESSABLE_ENTITY)
        }
        Reason::TooManyAttempts => {
            (Faults { other: Some(error.message.clone()), ..Faults::default() }, StatusCode::TOO_MANY_REQUESTS)
        }
        _ => return None,
    })
}

fn closed(request: Request<'_>) -> Response<Bytes> {
    let what = "Nobody may sign up here by themselves. Ask whoever runs the application for an account";
    error_page(request, &OAuthError::new(Word::InvalidRequest, what))
}
