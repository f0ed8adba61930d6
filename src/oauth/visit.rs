//! One step of somebody on their way through the authorization endpoint: their browser, and the request that brought them.
//!
//! Nothing is kept between the pages: each carries the whole request, which is read anew and held against the client each
//! time.

use bytes::Bytes;
use http::header::{LOCATION, SET_COOKIE, USER_AGENT};
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::browser::{Browser, Deciding};
use super::pages::{self, ErrorPage, FormPost, OwnUrl, Page, PostTarget, Text};
use super::parameters::Parameters;
use super::{OAuth, Request};
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::service::oauth::{Answer, Asked, AuthorizationRequest, AuthorizationServer, ResponseMode, SignedIn, Wrong};
use crate::service::sessions::Visitor;

/// A step.
pub(super) struct Visit<'a> {
    pub(super) oauth: &'a OAuth,
    pub(super) request: Request<'a>,
    pub(super) browser: Browser<'a>,
    /// The request as it was written, for forms to carry.
    pub(super) query: String,
    /// The request as it was read.
    pub(super) asked: AuthorizationRequest,
}

impl<'a> Visit<'a> {
    /// Reads what brought somebody here.
    ///
    /// # Errors
    /// The answer where something is wrong: a page, until the redirect URI is proven; then a redirect.
    pub(super) async fn read(oauth: &'a OAuth, request: Request<'a>, query: &str) -> Result<Self, Response<Bytes>> {
        if query.len() > MAX_QUERY {
            let what = format!("the request has more than {MAX_QUERY} bytes");
            return Err(error_page(request, &OAuthError::new(Word::InvalidRequest, what)));
        }
        let wrong = |error| error_page(request, &error);
        let mut parameters = Parameters::of_form(query.as_bytes()).map_err(wrong)?;
        let mut query = query.to_owned();
        let mut pushed = None;
        if let Some(name) = parameters.get("request_uri").filter(|name| AuthorizationServer::is_pushed(name)) {
            // What was pushed is all that counts (RFC 9126, section 4).
            let client = parameters.get("client_id");
            let (found, whole) = oauth.server.find_pushed(client, name).await.map_err(wrong)?;
            query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("client_id", client.unwrap_or_default())
                .append_pair("request_uri", name)
                .finish();
            parameters = Parameters::of_form(whole.as_bytes()).map_err(wrong)?;
            pushed = Some(found);
        }
        let resources: Vec<&str> = parameters.all("resource").collect();
        let asked = Asked { is_pushed: pushed.is_some(), ..asked(&parameters, &resources) };
        match oauth.server.read_request(&asked, &request.origin()).await {
            Ok(asked) => {
                let browser = Browser::read(request.headers);
                Ok(Self { oauth, request, browser, query, asked: AuthorizationRequest { pushed, ..asked } })
            }
            Err(Wrong::Here(error)) => Err(error_page(request, &error)),
            Err(Wrong::ToClient(error, to)) => Err(sent(&oauth.server.told(&to, &error))),
        }
    }

    /// Reads what a form posted: the request it carried. Whether the form is ours is for [`Self::require`] to say.
    ///
    /// # Errors
    /// The answer where something is wrong, as above.
    pub(super) async fn posted(
        oauth: &'a OAuth,
        request: Request<'a>,
        form: &Parameters,
    ) -> Result<Self, Response<Bytes>> {
        Self::read(oauth, request, form.get(CARRIED).unwrap_or_default()).await
    }

    /// Whether a form is one of ours, by which this person decides, or somebody says who they are.
    ///
    /// # Errors
    /// Says that it is not.
    pub(super) fn require(&self, form: &Parameters, whose: Option<&SignedIn>) -> Result<(), OAuthError> {
        let (csrf, keyring) = (form.get(pages::field::CSRF), self.oauth.server.keyring());
        let decision = self.decision(whose);
        self.browser.require(csrf, decision.as_ref(), self.request.headers, keyring)
    }

    /// Who is signed in, if it is somebody whom the client may ask.
    ///
    /// # Errors
    /// The page that says what went wrong.
    pub(super) async fn signed_in(&self) -> Result<Option<SignedIn>, Response<Bytes>> {
        let Some(token) = self.browser.session else { return Ok(None) };
        let found = self.oauth.server.signed_in(token, &self.asked.client).await;
        found.map_err(|error| error_page(self.request, &error))
    }

    /// Who is in the browser, as the services are told.
    pub(super) fn visitor(&self) -> Visitor<'_> {
        let client = &self.asked.client;
        visitor(self.request, Some((&client.project, client.environment)))
    }

    /// Another page of ours, which carries the request on.
    pub(super) fn link(&self, page: OwnUrl<'_>) -> String {
        link(page, &self.query)
    }

    /// The proof for a form, and the cookie that goes with it if the browser has none yet.
    pub(super) fn proof(&self, whose: Option<&SignedIn>) -> (String, Option<HeaderValue>) {
        let decision = self.decision(whose);
        self.browser.proof(decision.as_ref(), self.oauth.server.keyring(), self.oauth.server.entropy())
    }

    fn decision<'b>(&'b self, whose: Option<&'b SignedIn>) -> Option<Deciding<'b>> {
        whose.map(|who| Deciding { user: &who.user.id, client: Some(&self.asked.client) })
    }
}

/// What a request asks for. `resources` are its `resource`s.
pub(super) fn asked<'a>(parameters: &'a Parameters, resources: &'a [&'a str]) -> Asked<'a> {
    Asked {
        client_id: parameters.get("client_id"),
        redirect_uri: parameters.get("redirect_uri"),
        response_type: parameters.get("response_type"),
        response_mode: parameters.get("response_mode"),
        scope: parameters.get("scope"),
        state: parameters.get("state"),
        nonce: parameters.get("nonce"),
        code_challenge: parameters.get("code_challenge"),
        code_challenge_method: parameters.get("code_challenge_method"),
        dpop_jkt: parameters.get("dpop_jkt"),
        prompt: parameters.get("prompt"),
        max_age: parameters.get("max_age"),
        login_hint: parameters.get("login_hint"),
        resources,
        has_request: parameters.has("request"),
        has_request_uri: parameters.has("request_uri"),
        is_pushed: false,
    }
}

/// The answer with a page that holds a form.
pub(super) fn with_form(page: &impl Page, status: StatusCode, cookie: Option<HeaderValue>) -> Response<Bytes> {
    let mut response = pages::response(page, status);
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// A page of ours with this query, whatever stands in it.
pub(super) fn link(page: OwnUrl<'_>, query: &str) -> String {
    format!("{}?{}", page.as_str(), utf8_percent_encode(query, UNLIKE_A_QUERY))
}

/// Whoever sent a request, as the services are told; `place` is where their account is.
pub(super) fn visitor<'a>(request: Request<'a>, place: Option<(&'a ProjectId, Environment)>) -> Visitor<'a> {
    Visitor {
        place,
        speaks_for_many: false,
        address: request.address,
        user_agent: request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default(),
        request_id: request.request_id,
    }
}

/// The way an answer goes to its client.
pub(super) fn sent(answer: &Answer) -> Response<Bytes> {
    if answer.to.mode == ResponseMode::FormPost
        && let Some(to) = PostTarget::parse(&answer.to.redirect_uri)
    {
        let fields = answer.parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        return pages::response(&FormPost { project: Text::default(), to, fields }, StatusCode::OK);
    }
    let parameters = answer.parameters.iter().map(|(name, value)| (*name, value.as_str()));
    redirect(&extended(&answer.to.redirect_uri, parameters))
}

/// An address that a client has registered, with more in its query.
pub(super) fn extended<'a>(uri: &str, parameters: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut location = uri.to_owned();
    for (name, value) in parameters {
        // A registered URI has no fragment, so what is added here stands in its query.
        location.push(if location.contains('?') { '&' } else { '?' });
        location.push_str(name);
        location.push('=');
        location.extend(utf8_percent_encode(value, RESERVED));
    }
    location
}

/// A redirect that is followed by GET, whatever was posted (RFC 9700, section 4.12).
pub(super) fn redirect(location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let Ok(location) = HeaderValue::try_from(location) else {
        // What is registered is visible ASCII, and what is added is encoded.
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    for (name, value) in [
        (http::header::CACHE_CONTROL, "no-store"),
        (http::header::REFERRER_POLICY, "no-referrer"),
        (http::header::X_FRAME_OPTIONS, "DENY"),
        (http::header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Tells people what is wrong, where no client can be told.
pub(super) fn error_page(request: Request<'_>, error: &OAuthError) -> Response<Bytes> {
    let (status, title, to_do) = match error.word {
        Word::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here", LATER),
        Word::TemporarilyUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "Not now", LATER),
        Word::SlowDown => (StatusCode::TOO_MANY_REQUESTS, "Too many attempts", LATER),
        _ => (StatusCode::BAD_REQUEST, "This request cannot be answered", BACK),
    };
    let happened = sentence(&error.description);
    let page = ErrorPage {
        project: Text::default(),
        title: Text::from(title),
        happened: Text::from(happened.as_str()),
        to_do: Text::from(to_do),
        request_id: Text::from(&**request.request_id),
    };
    pages::response(&page, status)
}

/// What clients are told in part of a line, as people read it.
fn sentence(words: &str) -> String {
    let (first, rest) = words.split_at(words.chars().next().map_or(0, char::len_utf8));
    let end = if words.is_empty() || words.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{rest}{end}", first.to_uppercase())
}

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is not written in a query as it is (RFC 3986, section 3.4). What is escaped in it already stays so.
const UNLIKE_A_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// The name under which a form carries the request.
pub(super) const CARRIED: &str = "request";
pub(super) const MAX_QUERY: usize = 16 * 1024;
const LATER: &str = "Please try again in a moment.";
const BACK: &str =
    "Go back to the application you came from and try again. If it stays like this, tell those who run it.";
