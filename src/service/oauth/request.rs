//! Authorization requests (RFC 6749, section 4.1.1): what a client asks a user for, held against what it registered.
//!
//! There are two ways to tell that something is wrong. Until the redirect URI is proven to be the client's, nobody is sent
//! anywhere: the user is told here ([`Wrong::Here`]). After that, the client is told, by a redirect ([`Wrong::ToClient`]); but
//! not one that registered itself, whose redirect URI is anybody's.

use std::sync::Arc;
use std::time::Duration;

use super::pushed::Pushed;
use super::tokens::{narrowed, targets};
use super::{AuthorizationServer, Origin};
use crate::domain::oauth::client::{Client, ClientKind};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::pkce::CodeChallenge;
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::thumbprint::Thumbprint;

/// The parameters of a request, as they came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `client_id`.
    pub client_id: Option<&'a str>,
    /// `redirect_uri`.
    pub redirect_uri: Option<&'a str>,
    /// `response_type`.
    pub response_type: Option<&'a str>,
    /// `response_mode`.
    pub response_mode: Option<&'a str>,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// `state`.
    pub state: Option<&'a str>,
    /// `nonce` (OpenID Connect Core 1.0, section 3.1.2.1).
    pub nonce: Option<&'a str>,
    /// `code_challenge` (RFC 7636).
    pub code_challenge: Option<&'a str>,
    /// `code_challenge_method`.
    pub code_challenge_method: Option<&'a str>,
    /// `dpop_jkt` (RFC 9449, section 10).
    pub dpop_jkt: Option<&'a str>,
    /// `prompt`.
    pub prompt: Option<&'a str>,
    /// `max_age`, in seconds.
    pub max_age: Option<&'a str>,
    /// `login_hint`.
    pub login_hint: Option<&'a str>,
    /// `resource` (RFC 8707).
    pub resources: &'a [&'a str],
    /// Whether there is a `request`, which holds parameters of its own (RFC 9101).
    pub has_request: bool,
    /// Whether there is a `request_uri` that is no pushed request's.
    pub has_request_uri: bool,
    /// Whether the client said all this to the server itself (RFC 9126).
    pub is_pushed: bool,
}

/// A request that a user can be asked about.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub client: Client,
    /// Where the answer goes.
    pub answer_to: AnswerTo,
    /// Whether the request named where.
    pub redirect_uri_named: bool,
    /// What for.
    pub scopes: OAuthScopes,
    /// What is to come back in the `id_token`.
    pub nonce: Option<String>,
    /// What the redeemer of the code has to know.
    pub challenge: Option<CodeChallenge>,
    /// What key the redeemer of the code has to hold.
    pub key: Option<Thumbprint>,
    /// Whether the user is to be asked.
    pub prompt: Prompt,
    /// How long ago they may have proved who they are at most.
    pub max_age: Option<Duration>,
    /// Who the client believes they are.
    pub login_hint: Option<String>,
    /// Where the tokens are to be used.
    pub resources: Vec<String>,
    /// Which pushed request it is, if it is one.
    pub pushed: Option<Pushed>,
}

/// Where and how the answer of a request goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnswerTo {
    /// The client's own address.
    pub redirect_uri: String,
    /// How it gets there.
    pub mode: ResponseMode,
    /// What the client wants back, byte for byte.
    pub state: Option<String>,
}

/// How an answer gets to the client (OAuth 2.0 Multiple Response Type Encoding Practices; OAuth 2.0 Form Post Response Mode).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResponseMode {
    /// In the query of the redirect.
    Query,
    /// In a form that the browser posts.
    FormPost,
}

/// Whether the user is to be asked (OpenID Connect Core 1.0, section 3.1.2.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Prompt {
    /// Not at all: who would have to be asked, is not.
    pub none: bool,
    /// Who they are, even if that is known.
    pub login: bool,
    /// Whether they agree, even if they did before.
    pub consent: bool,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    /// The user is told, on a page of our own.
    Here(OAuthError),
    /// The client is told.
    ToClient(OAuthError, AnswerTo),
}

impl AuthorizationServer {
    /// Reads a request.
    ///
    /// # Errors
    /// What is wrong with it, and who is to be told.
    pub async fn read_request(&self, asked: &Asked<'_>, origin: &Origin) -> Result<AuthorizationRequest, Wrong> {
        let client = self.client_of(asked, origin).await.map_err(Wrong::Here)?;
        let redirect_uri = redirect_uri(&client, asked.redirect_uri).map_err(Wrong::Here)?;
        let mode = response_mode(asked.response_mode);
        let answer_to = AnswerTo {
            redirect_uri,
            mode: mode.clone().unwrap_or(ResponseMode::Query),
            state: asked.state.map(str::to_owned),
        };
        // Anybody registers such a client: nobody is sent to its address before they were asked (RFC 9700, section 4.11.2).
        let unvouched = client.registered_itself;
        match mode.and_then(|_| read(client, asked, answer_to.clone())) {
            Ok(request) => Ok(request),
            Err(error) if unvouched => Err(Wrong::Here(error)),
            Err(error) => Err(Wrong::ToClient(error, answer_to)),
        }
    }

    async fn client_of(&self, asked: &Asked<'_>, origin: &Origin) -> Result<Client, OAuthError> {
        let unknown = || OAuthError::new(Word::InvalidRequest, "the client_id is missing, or there is no such client");
        let found = self.client_to_begin(asked.client_id.ok_or_else(unknown)?, origin).await?.ok_or_else(unknown)?;
        Ok(Arc::unwrap_or_clone(self.as_allowed(Arc::new(found)).await?))
    }
}

fn redirect_uri(client: &Client, named: Option<&str>) -> Result<String, OAuthError> {
    let registered = &client.details.redirect_uris;
    // What a program on somebody's machine says of itself: they are asked each time.
    let any_port = client.registered_itself && client.kind == ClientKind::Public;
    let is_one = |named: &str| {
        let matches = |uri: &RedirectUri| uri.matches(named) || any_port && uri.matches_on_any_port(named);
        registered.iter().any(matches)
    };
    match (named, &registered[..]) {
        (Some(named), _) if is_one(named) => Ok(named.to_owned()),
        (Some(_), _) => {
            Err(OAuthError::new(Word::InvalidRequest, "the redirect_uri is not one that the client has registered"))
        }
        (None, [only]) => Ok(only.as_str().to_owned()),
        (None, _) => Err(OAuthError::new(Word::InvalidRequest, "the redirect_uri is missing")),
    }
}

fn response_mode(given: Option<&str>) -> Result<ResponseMode, OAuthError> {
    match given {
        None | Some("query") => Ok(ResponseMode::Query),
        Some("form_post") => Ok(ResponseMode::FormPost),
        Some(_) => Err(OAuthError::new(Word::InvalidRequest, "the response_mode must be query or form_post")),
    }
}

fn read(client: Client, asked: &Asked<'_>, answer_to: AnswerTo) -> Result<AuthorizationRequest, OAuthError> {
    let invalid = |what: &str| OAuthError::new(Word::InvalidRequest, what);
    if asked.has_request {
        return Err(OAuthError::new(Word::RequestNotSupported, "request is not taken here"));
    }
    if asked.has_request_uri {
        let what = "the request_uri must be one of a pushed request (RFC 9126)";
        return Err(OAuthError::new(Word::RequestUriNotSupported, what));
    }
    if client.details.require_pushed_requests && !asked.is_pushed {
        return Err(invalid("the client must push its requests to /oauth/par (RFC 9126)"));
    }
    match asked.response_type {
        Some("code") => {}
        None => return Err(invalid("the response_type is missing")),
        Some(_) => return Err(OAuthError::new(Word::UnsupportedResponseType, "the response_type must be code")),
    }
    if !client.details.grant_types.contains(&GrantType::AuthorizationCode) {
        let what = "the client is not registered for the grant type authorization_code";
        return Err(OAuthError::new(Word::UnauthorizedClient, what));
    }
    for (name, value) in [("state", asked.state), ("nonce", asked.nonce), ("login_hint", asked.login_hint)] {
        if value.is_some_and(|value| value.len() > MAX_ECHOED) {
            return Err(invalid(&format!("{name} has up to {MAX_ECHOED} bytes")));
        }
    }
    let challenge = challenge(&client, asked)?;
    let key = match asked.dpop_jkt.map(Thumbprint::parse) {
        None => None,
        Some(Some(key)) => Some(key),
        Some(None) => return Err(invalid(&format!("dpop_jkt {}", Thumbprint::RULE))),
    };
    let prompt = prompt(asked.prompt)?;
    let max_age = match asked.max_age.map(str::parse) {
        None => None,
        Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Err(_)) => return Err(invalid("max_age must be a number of seconds")),
    };
    let scopes = match asked.scope {
        Some(wanted) => narrowed(wanted, &client.details.scopes)?,
        None => return Err(OAuthError::new(Word::InvalidScope, "the scope is missing: nothing is granted by absence")),
    };
    let resources = targets(asked.resources, &client, &[])?;
    let own = |text: Option<&str>| text.map(str::to_owned);
    Ok(AuthorizationRequest {
        redirect_uri_named: asked.redirect_uri.is_some(),
        nonce: own(asked.nonce),
        login_hint: own(asked.login_hint),
        client,
        answer_to,
        scopes,
        challenge,
        key,
        prompt,
        max_age,
        resources,
        pushed: None,
    })
}

/// S256 or nothing, and nothing only for a client that opted out (RFC 9700, section 2.1.1).
fn challenge(client: &Client, asked: &Asked<'_>) -> Result<Option<CodeChallenge>, OAuthError> {
    let invalid = |what: String| Err(OAuthError::new(Word::InvalidRequest, what));
    match (asked.code_challenge, asked.code_challenge_method) {
        (None, Some(_)) => invalid("there is a code_challenge_method without a code_challenge".to_owned()),
        (None, None) if client.details.require_pkce => {
            invalid("the code_challenge is missing: the client must use PKCE (RFC 7636)".to_owned())
        }
        (None, None) => Ok(None),
        (Some(text), Some(CodeChallenge::METHOD)) => match CodeChallenge::parse(text) {
            Some(challenge) => Ok(Some(challenge)),
            None => invalid(format!("the code_challenge {}", CodeChallenge::RULE)),
        },
        // Left out, it would be `plain` (RFC 7636, section 4.3).
        (Some(_), _) => invalid("the code_challenge_method must be S256".to_owned()),
    }
}

fn prompt(given: Option<&str>) -> Result<Prompt, OAuthError> {
    let mut prompt = Prompt::default();
    for word in given.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
        match word {
            "none" => prompt.none = true,
            "login" | "select_account" => prompt.login = true,
            "consent" => prompt.consent = true,
            _ => return Err(OAuthError::new(Word::InvalidRequest, "prompt is none, login, select_account or consent")),
        }
    }
    if prompt.none && (prompt.login || prompt.consent) {
        return Err(OAuthError::new(Word::InvalidRequest, "prompt none goes with no other"));
    }
    Ok(prompt)
}

/// Bytes of what comes back as it was sent.
const MAX_ECHOED: usize = 2_000;
