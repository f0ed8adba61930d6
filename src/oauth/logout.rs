//! `/oauth/logout` (OpenID Connect RP-Initiated Logout 1.0) and `/oauth/sign-out`: ends the session in this browser, for whoever
//! asks for it themselves, or is asked.

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Response, StatusCode};
use url::form_urlencoded;

use super::authorize::{login_of, name_of, shown};
use super::browser::{Browser, Deciding, forget_session};
use super::pages::{self, Account, Form, OwnUrl, SignOut, SignedOut, Text, field};
use super::parameters::Parameters;
use super::visit::{CARRIED, MAX_QUERY, error_page, extended, redirect, visitor};
use super::{OAuth, Request};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::service::oauth::{LogoutAsked, LogoutRequest, SignedIn};

/// A client sent somebody here. Who it proves to know goes on at once; all others are asked first, for anybody can make a link.
pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    query: &str,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let leaving = Leaving::read(oauth, request, query).await?;
    match leaving.signed_in().await? {
        None => Ok(leaving.done()),
        Some(who) if leaving.wanted.user.as_ref() == Some(&who.user.id) => leaving.end(&who).await,
        Some(who) => Ok(leaving.ask(&who)),
    }
}

/// The same by a form. A browser takes no cookie along with a form of another site: they go on by a link, and are asked, for the
/// hint is not for an address to hold.
pub(super) async fn posted(
    oauth: &OAuth,
    request: Request<'_>,
    form: &str,
) -> Result<Response<Bytes>, Response<Bytes>> {
    if Browser::read(request.headers).session.is_some() {
        return answer(oauth, request, form).await;
    }
    let leaving = Leaving::read(oauth, request, form).await?;
    Ok(redirect(&format!("{}?{}", super::LOGOUT.as_str(), leaving.carried())))
}

/// Who was asked wants to sign out.
pub(super) async fn confirmed(
    oauth: &OAuth,
    request: Request<'_>,
    form: &Parameters,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let leaving = Leaving::read(oauth, request, form.get(CARRIED).unwrap_or_default()).await?;
    // Where nobody is signed in, nothing is left to decide.
    let Some(who) = leaving.signed_in().await? else { return Ok(leaving.done()) };
    let (csrf, keyring) = (form.get(field::CSRF), oauth.server.keyring());
    let proof = leaving.browser.require(csrf, Some(&Deciding::leaving(&who)), request.headers, keyring);
    proof.map_err(|error| error_page(request, &error))?;
    leaving.end(&who).await
}

/// Somebody on their way out.
struct Leaving<'a> {
    oauth: &'a OAuth,
    request: Request<'a>,
    browser: Browser<'a>,
    wanted: LogoutRequest,
}

impl<'a> Leaving<'a> {
    async fn read(oauth: &'a OAuth, request: Request<'a>, query: &str) -> Result<Self, Response<Bytes>> {
        if query.len() > MAX_QUERY {
            return Err(too_long(request));
        }
        let parameters = Parameters::of_form(query.as_bytes()).map_err(|error| error_page(request, &error))?;
        let asked = LogoutAsked {
            id_token_hint: parameters.get("id_token_hint"),
            client_id: parameters.get("client_id"),
            post_logout_redirect_uri: parameters.get("post_logout_redirect_uri"),
            state: parameters.get("state"),
        };
        let wanted = oauth.server.read_logout(&asked).await.map_err(|error| error_page(request, &error))?;
        Ok(Self { oauth, request, browser: Browser::read(request.headers), wanted })
    }

    async fn signed_in(&self) -> Result<Option<SignedIn>, Response<Bytes>> {
        let Some(token) = self.browser.session else { return Ok(None) };
        self.oauth.server.signed_in_anywhere(token).await.map_err(|error| error_page(self.request, &error))
    }

    fn ask(&self, who: &SignedIn) -> Response<Bytes> {
        let (csrf, cookie) =
            self.browser.proof(Some(&Deciding::leaving(who)), self.oauth.server.keyring(), self.oauth.server.entropy());
        let (name, carried) = (name_of(&who.user), self.carried());
        let page = SignOut {
            project: Text::default(),
            client: self.wanted.client.as_ref().map(shown),
            account: Account { name: Text::from(name.trim()), login: Text::from(login_of(&who.user)) },
            leads_on: self.wanted.back_to.is_some(),
            form: Form { action: super::SIGN_OUT, csrf: &csrf, carried: vec![(CARRIED, &carried)] },
        };
        let mut response = pages::response(&page, StatusCode::OK);
        if let Some(cookie) = cookie {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }

    /// The request without its hint: what was read of it is told again, and no token stands in a page or an address.
    fn carried(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(client) = &self.wanted.client {
            query.append_pair("client_id", client.public_id());
        }
        if let Some((uri, state)) = &self.wanted.back_to {
            query.append_pair("post_logout_redirect_uri", uri);
            query.extend_pairs(state.iter().map(|state| ("state", state)));
        }
        query.finish()
    }

    async fn end(&self, who: &SignedIn) -> Result<Response<Bytes>, Response<Bytes>> {
        let visitor = visitor(self.request, None);
        let ended = self.oauth.sessions.sign_out_in_browser(&visitor, &who.user, &who.session).await;
        ended.map_err(|error| error_page(self.request, &error.into()))?;
        Ok(self.done())
    }

    fn done(&self) -> Response<Bytes> {
        let mut response = match &self.wanted.back_to {
            Some((uri, state)) => {
                let state = state.iter().map(|state| ("state", state.as_str()));
                redirect(&extended(uri, state))
            }
            None => {
                let page = SignedOut { project: Text::default(), sign_in: None::<OwnUrl<'_>> };
                pages::response(&page, StatusCode::OK)
            }
        };
        if self.browser.session.is_some() {
            forget_session(&mut response);
        }
        response
    }
}

fn too_long(request: Request<'_>) -> Response<Bytes> {
    let what = format!("the request has more than {MAX_QUERY} bytes");
    error_page(request, &OAuthError::new(Word::InvalidRequest, what))
}
