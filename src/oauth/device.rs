//! `/oauth/device`: where somebody types the code that a device shows, and decides (RFC 8628, section 3.3).
//!
//! Nothing is kept between the pages: each carries the code, and the store says where it stands. Whoever is not signed in is
//! asked to sign in, whatever they typed: in the project of the device's client, or else in `default`. It is tried in two
//! places, whether there is such a code or not: neither the words nor the time tell codes of other projects from those that
//! are not known or too old, before signing in or after it.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use super::authorize::{account, name_of, permissions, shown};
use super::browser::{self, Browser, Deciding};
use super::pages::{self, Decision, DeviceCode, DeviceConfirm, DeviceDone, Form, Text, field};
use super::parameters::Parameters;
use super::sign_in::{self, Way};
use super::visit::{error_page, redirect, with_form};
use super::{OAuth, Request};
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::user_code::UserCode;
use crate::service::oauth::{DeviceAsked, DeviceStep, SignedIn};

/// Somebody with a code.
pub(super) struct DeviceVisit<'a> {
    oauth: &'a OAuth,
    request: Request<'a>,
    browser: Browser<'a>,
    code: UserCode,
    /// The code as it is shown.
    shown: String,
    asked: Option<DeviceAsked>,
}

/// Somebody comes, with a code in the address or without.
pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    query: &str,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let parameters = Parameters::of_form(query.as_bytes()).map_err(|error| error_page(request, &error))?;
    let Some(typed) = parameters.get(field::USER_CODE) else { return Ok(code_page(oauth, request, "", None)) };
    match UserCode::parse(typed) {
        Some(code) => DeviceVisit::read(oauth, request, code).await?.go_on().await,
        None => Ok(code_page(oauth, request, typed, Some(MALFORMED))),
    }
}

/// Somebody typed a code, or decided.
pub(super) async fn posted(
    oauth: &OAuth,
    request: Request<'_>,
    form: &Parameters,
) -> Result<Response<Bytes>, Response<Bytes>> {
    if form.has(CARRIED) {
        return DeviceVisit::posted(oauth, request, form).await?.decided(form).await;
    }
    let proof =
        Browser::read(request.headers).require(form.get(field::CSRF), None, request.headers, oauth.server.keyring());
    proof.map_err(|error| error_page(request, &error))?;
    let typed = form.get(field::USER_CODE).unwrap_or_default();
    Ok(match UserCode::parse(typed) {
        Some(code) => redirect(&address(&code.to_string())),
        None => code_page(oauth, request, typed, Some(MALFORMED)),
    })
}

impl<'a> DeviceVisit<'a> {
    async fn read(oauth: &'a OAuth, request: Request<'a>, code: UserCode) -> Result<Self, Response<Bytes>> {
        let asked = oauth.server.device_asked(&code).await.map_err(|error| error_page(request, &error))?;
        let browser = Browser::read(request.headers);
        Ok(Self { oauth, request, browser, code, shown: code.to_string(), asked })
    }

    /// Reads what a form posted: the code it carried. Whether the form is ours is for [`Self::require`] to say.
    ///
    /// # Errors
    /// The page that says what is wrong.
    pub(super) async fn posted(
        oauth: &'a OAuth,
        request: Request<'a>,
        form: &Parameters,
    ) -> Result<Self, Response<Bytes>> {
        match form.get(CARRIED).and_then(UserCode::parse) {
            Some(code) => Self::read(oauth, request, code).await,
            None => Err(error_page(request, &OAuthError::new(Word::InvalidRequest, "the form says nothing"))),
        }
    }

    /// Whether a form is one of ours, by which this person decides, or somebody says who they are.
    ///
    /// # Errors
    /// Says that it is not.
    pub(super) fn require(&self, form: &Parameters, whose: Option<&SignedIn>) -> Result<(), OAuthError> {
        let (csrf, keyring) = (form.get(field::CSRF), self.oauth.server.keyring());
        let decision = self.decision(whose);
        self.browser.require(csrf, decision.as_ref(), self.request.headers, keyring)
    }

    async fn go_on(&self) -> Result<Response<Bytes>, Response<Bytes>> {
        let who = self.signed_in().await?;
        let step = self.step(who.as_ref()).map_err(|error| error_page(self.request, &error))?;
        match (step, &self.asked, &who) {
            (DeviceStep::Confirm(scopes), Some(asked), Some(who)) => self.confirm(asked, who, &scopes).await,
            (DeviceStep::Decided(allowed), Some(asked), _) => Ok(done(asked, allowed)),
            (step, ..) => Ok(self.instead(&step).await),
        }
    }

    async fn decided(mut self, form: &Parameters) -> Result<Response<Bytes>, Response<Bytes>> {
        let who = self.signed_in().await?;
        if who.is_none() && self.browser.session.is_some() {
            // Their session has ended meanwhile: nothing is decided, whoever made the form.
            return Ok(self.instead(&DeviceStep::SignIn).await);
        }
        self.require(form, who.as_ref()).map_err(|error| error_page(self.request, &error))?;
        let Some(decision) = form.get(field::DECISION).and_then(Decision::parse) else {
            return Err(error_page(self.request, &OAuthError::new(Word::InvalidRequest, "the form says nothing")));
        };
        if decision == Decision::SwitchAccount {
            // The form comes back without the session.
            self.browser.session = None;
            let mut page = sign_in::page(self.oauth, &self, "", None).await;
            browser::forget_session(&mut page);
            return Ok(page);
        }
        let step = self.step(who.as_ref()).map_err(|error| error_page(self.request, &error))?;
        let (DeviceStep::Confirm(_), Some(asked), Some(who)) = (&step, &self.asked, &who) else {
            return Ok(match step {
                DeviceStep::Decided(_) => redirect(&self.onward()),
                step => self.instead(&step).await,
            });
        };
        let (server, origin) = (&self.oauth.server, self.request.origin());
        let counts = match decision {
            Decision::Allow => server.approve_device(&self.code, asked, who, &origin).await,
            Decision::Deny | Decision::SwitchAccount => server.deny_device(&self.code, asked, who, &origin).await,
        };
        match counts.map_err(|error| error_page(self.request, &error))? {
            true => Ok(redirect(&self.onward())),
            false => Ok(self.instead(&DeviceStep::Unknown).await),
        }
    }

    async fn signed_in(&self) -> Result<Option<SignedIn>, Response<Bytes>> {
        let Some(token) = self.browser.session else { return Ok(None) };
        let found = self.oauth.server.signed_in_anywhere(token).await;
        found.map_err(|error| error_page(self.request, &error))
    }

    fn step(&self, who: Option<&SignedIn>) -> Result<DeviceStep, OAuthError> {
        self.oauth.server.consider_device(self.asked.as_ref(), who, self.request.address)
    }

    /// Where there is nothing to decide.
    async fn instead(&self, step: &DeviceStep) -> Response<Bytes> {
        match step {
            DeviceStep::SignIn => sign_in::page(self.oauth, self, "", None).await,
            DeviceStep::Nothing => {
                sign_in::page(self.oauth, self, "", Some((NOTHING, StatusCode::UNPROCESSABLE_ENTITY))).await
            }
            _ => code_page(self.oauth, self.request, &self.shown, Some(UNKNOWN)),
        }
    }

    fn proof_of(&self, whose: Option<&SignedIn>) -> (String, Option<HeaderValue>) {
        let decision = self.decision(whose);
        self.browser.proof(decision.as_ref(), self.oauth.server.keyring(), self.oauth.server.entropy())
    }

    fn decision<'b>(&'b self, whose: Option<&'b SignedIn>) -> Option<Deciding<'b>> {
        let client = self.asked.as_ref().map(|asked| &asked.client);
        whose.map(|who| Deciding { user: &who.user.id, client })
    }

    async fn confirm(
        &self,
        asked: &DeviceAsked,
        who: &SignedIn,
        scopes: &OAuthScopes,
    ) -> Result<Response<Bytes>, Response<Bytes>> {
        let described = self.oauth.server.describe(&asked.client, scopes).await;
        let described = described.map_err(|error| error_page(self.request, &error))?;
        let (csrf, cookie) = self.proof_of(Some(who));
        let name = name_of(&who.user);
        let page = DeviceConfirm {
            project: Text::default(),
            client: shown(&asked.client),
            registered_itself: asked.client.registered_itself,
            account: account(&who.user, &name),
            code: Text::from(self.shown.as_str()),
            permissions: permissions(&described),
            resources: asked.resources().iter().map(|resource| Text::from(resource.as_str())).collect(),
            form: Form { action: super::DEVICE, csrf: &csrf, carried: vec![self.carried()] },
        };
        Ok(with_form(&page, StatusCode::OK, cookie))
    }
}

impl Way for DeviceVisit<'_> {
    fn places(&self) -> Vec<(&ProjectId, Environment)> {
        let (usual, nowhere) = ((&*DEFAULT, Environment::Live), (&*NOWHERE, Environment::Live));
        match self.asked.as_ref().filter(|asked| asked.in_time).map(DeviceAsked::place) {
            None => vec![nowhere, usual],
            Some(place) if place == usual => vec![usual, nowhere],
            Some(place) => vec![place, usual],
        }
    }

    fn wrong(&self) -> &'static str {
        "The name, the password or the code is wrong."
    }

    fn client(&self) -> Option<&Client> {
        // Its name would tell that there is such a code.
        None
    }

    fn login_hint(&self) -> &str {
        ""
    }

    fn leads_on(&self) -> bool {
        false
    }

    /// Not here: who signs up by the way would be asked about a stranger's device next.
    fn sign_up(&self) -> Option<(&ProjectId, String)> {
        None
    }

    fn carried(&self) -> (&'static str, &str) {
        (CARRIED, &self.shown)
    }

    fn onward(&self) -> String {
        address(&self.shown)
    }

    fn proof(&self) -> (String, Option<HeaderValue>) {
        self.proof_of(None)
    }
}

fn code_page(oauth: &OAuth, request: Request<'_>, typed: &str, error: Option<&str>) -> Response<Bytes> {
    let (csrf, cookie) = Browser::read(request.headers).proof(None, oauth.server.keyring(), oauth.server.entropy());
    let page = DeviceCode {
        project: Text::default(),
        code: Text::from(typed),
        error: error.map(Text::from),
        form: Form { action: super::DEVICE, csrf: &csrf, carried: Vec::new() },
    };
    let status = if error.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    with_form(&page, status, cookie)
}

fn done(asked: &DeviceAsked, allowed: bool) -> Response<Bytes> {
    let page = DeviceDone { project: Text::default(), client: shown(&asked.client), allowed };
    pages::response(&page, StatusCode::OK)
}

/// The page of a code, which holds letters and a hyphen alone.
fn address(code: &str) -> String {
    format!("{}?{}={code}", super::DEVICE.as_str(), field::USER_CODE)
}

/// The name under which a form carries the code.
pub(super) const CARRIED: &str = "device";
static DEFAULT: LazyLock<ProjectId> = LazyLock::new(ProjectId::default_project);
const MALFORMED: &str = "This is not a code: one has eight letters.";
/// No project has this name.
static NOWHERE: LazyLock<ProjectId> = LazyLock::new(|| ProjectId::stored("?".to_owned()));
const UNKNOWN: &str = "This code is not known, was used, or is too old. Check what your device shows. If it is right, you are \
    signed in elsewhere than your device is at home: sign out first.";
const NOTHING: &str =
    "The account that you are signed in with can give nothing of what your device asks for. Sign in with another.";
