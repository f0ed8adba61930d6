//! Exchanging a credential for an access token that can do no more (RFC 8693).
//!
//! # Who may exchange whose
//!
//! A client that an administrator registered for it, and that proves who it is (section 5: whoever can exchange can turn what
//! leaked into something new). The subject is of the client's own project and environment, and is
//!
//! - an API key: whoever holds one may use it, so they may also make it smaller. Not a publishable one, which is no secret.
//! - an access token that was issued to the client, or is meant for it, because one of its audiences is a resource the client is
//!   registered for, or because it names none, and so is for whoever of the project's services gets it. A token that was
//!   made for others is not taken (RFC 9700, section 2.3): a service must not act with what it was not to get.
//!
//! Sessions and tokens of other issuers are not taken: they are the user in person.
//!
//! # What comes of it
//!
//! Scopes: what is asked for, or else all, of what both the subject holds and the client is registered for. Audiences: those
//! named, of the client's resources and, if the subject is bound to some, of those; or else the subject's. The end: not after
//! the subject's. No refresh token, for it would outlast the subject.
//!
//! The token hangs on its subject: it is looked up with it each time, and what is cached of it ends with what is cached of the
//! subject (see [`CredentialCache::keep_behind`](crate::auth::cache::CredentialCache::keep_behind)). So whatever is taken
//! from the key or token (revoked, suspended, fewer scopes, an earlier end, its user blocked) is taken from this one at the
//! same time and on every node, and the key's address list goes on to hold, here and where the token is used.
//!
//! `actor_token` is not taken: the one who acts is the client, which the token names in `client_id`.

use std::net::IpAddr;
use std::sync::Arc;

use super::tokens::{Issued, narrowed, require_grant, targets, whole_seconds};
use super::{Applicant, AuthorizationServer};
use crate::auth::decide::{Question, decide};
use crate::auth::lookup::Found;
use crate::domain::credential::{Credential, Form};
use crate::domain::oauth::client::{Client, ClientAuthentication, TokenFormat};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::exchange::{MOST_EXCHANGES, Subject, SubjectKind, TokenType};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::token::AccessToken;
use crate::domain::reason::Reason;
use crate::domain::secret::looks_like_token;
use crate::store::NewAccessToken;

/// What a client asks for (section 2.1).
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// `subject_token`: what is exchanged.
    pub subject: &'a str,
    /// `subject_token_type`.
    pub subject_type: &'a str,
    /// `requested_token_type`.
    pub requested_type: Option<&'a str>,
    /// Whether there is an `actor_token`.
    pub has_actor: bool,
    /// `scope`.
    pub scope: Option<&'a str>,
    /// `resource` and `audience`: where the token is to be used.
    pub targets: &'a [&'a str],
    /// Where the request came from, if the trusted proxies said: what is held against a key's address list.
    pub client: Option<IpAddr>,
    /// Where it came from, or else the nearest proxy: what is charged for unknown credentials.
    pub address: IpAddr,
}

/// What it was exchanged for.
#[derive(Debug)]
pub struct Exchanged {
    /// The token.
    pub issued: Issued,
    /// What it is (`issued_token_type`).
    pub kind: TokenType,
}

impl AuthorizationServer {
    /// An access token for another credential.
    ///
    /// # Errors
    /// `invalid_request` for whatever is wrong with the subject (section 2.2.2); `unauthorized_client`, `invalid_scope`,
    /// `invalid_target`.
    pub async fn by_token_exchange(&self, client: &Applicant, asked: Exchange<'_>) -> Result<Exchanged, OAuthError> {
        require_grant(client, GrantType::TokenExchange)?;
        if client.details.authentication == ClientAuthentication::None {
            return Err(OAuthError::new(
                Word::UnauthorizedClient,
                "a public client proves nothing: it exchanges nothing",
            ));
        }
        if asked.has_actor {
            return Err(invalid("actor_token is not taken: the one who acts is the client"));
        }
        let kind = requested(client, asked.requested_type)?;
        let subject = self.subject(client, &asked).await?;
        // What is bound to a key stays bound: whoever exchanges it holds the key (RFC 9449, section 5).
        client.require(subject.bound_to(), "subject_token")?;
        let held = OAuthScopes {
            openid: subject.token().map(|token| token.scopes.openid.clone()).unwrap_or_default(),
            registered: subject.scopes().clone(),
        };
        let scopes = chosen(asked.scope, &shared(&held, &client.details.scopes))?;
        let bound = subject.token().map(|token| &token.audiences[..]).unwrap_or_default();
        let audiences = targets(asked.targets, client, bound)?;
        let token = self.exchanged(client, &subject, asked.subject, scopes, audiences)?;
        let used = self.0.credentials.exchanged(asked.subject, &subject, &client.id, self.0.now()).await;
        used.map_err(|error| if error.reason == Reason::NotFound { bad() } else { error.into() })?;
        let (access, hash) = self.written(client, &token, None)?;
        self.0.store.issue_access_token(&NewAccessToken { hash: &hash, token: &token }).await?;
        Ok(Exchanged { issued: self.issued(access, token, None, None), kind })
    }

    /// What is exchanged, if the client may.
    async fn subject(&self, client: &Client, asked: &Exchange<'_>) -> Result<Arc<Credential>, OAuthError> {
        let kind = TokenType::parse(asked.subject_type).ok_or_else(|| {
            let known = TokenType::ALL.map(TokenType::as_str).join(", ");
            invalid(&format!("the subject_token_type must be one of {known}"))
        })?;
        let subject = match self.0.credentials.find_for(asked.subject, asked.address).await? {
            Found::Issued(subject) => subject,
            Found::Honey(touched) => {
                self.0.ledger.touched(&touched, "token_exchange", self.0.now(), Some(asked.address));
                return Err(bad());
            }
            _ => return Err(bad()),
        };
        let fits = match &subject.form {
            Form::Key(_) => kind == TokenType::ApiKey,
            Form::Token(..) => match kind {
                TokenType::AccessToken => true,
                TokenType::Jwt => looks_like_token(asked.subject),
                TokenType::ApiKey => false,
            },
            Form::Session(..) | Form::Identity(..) => false,
        };
        let question =
            Question { now: self.0.now(), environment: Some(client.environment), client: asked.client, scopes: &[] };
        if !fits || *subject.project() != client.project || decide(&subject, &question, &mut ()).is_err() {
            return Err(bad());
        }
        if subject.is_publishable() {
            return Err(invalid("a publishable key is no secret: it cannot be exchanged"));
        }
        if let Some(token) = subject.token() {
            if !is_for(client, token) {
                return Err(invalid("the subject_token was made for others, and not for this client"));
            }
            if token.exchanges() >= MOST_EXCHANGES {
                return Err(invalid("the subject_token was exchanged too often"));
            }
        }
        Ok(subject)
    }

    fn exchanged(
        &self,
        client: &Applicant,
        subject: &Arc<Credential>,
        presented: &str,
        scopes: OAuthScopes,
        audiences: Vec<String>,
    ) -> Result<AccessToken, OAuthError> {
        let kind = if subject.token().is_some() { SubjectKind::Token } else { SubjectKind::Key };
        let draft = self.draft(client, scopes, audiences);
        let end = subject.expires_at().map_or(draft.expires_at, |end| whole_seconds(end).min(draft.expires_at));
        if end <= draft.issued_at {
            return Err(bad());
        }
        Ok(AccessToken {
            user: subject.user_id().cloned(),
            grant: subject.token().and_then(|token| token.grant.clone()),
            expires_at: end,
            subject: Some(Box::new(Subject {
                hash: self.0.keyring.hash(presented),
                kind,
                credential: Some(Arc::clone(subject)),
            })),
            ..draft
        })
    }
}

/// What the token is to be: as the client's tokens are, by the name it was asked for by.
fn requested(client: &Client, named: Option<&str>) -> Result<TokenType, OAuthError> {
    match named.map(TokenType::parse) {
        None | Some(Some(TokenType::AccessToken)) => Ok(TokenType::AccessToken),
        Some(Some(TokenType::Jwt)) if client.details.token_format == TokenFormat::Jwt => Ok(TokenType::Jwt),
        Some(_) => Err(invalid("the requested_token_type is not one that this client is given")),
    }
}

/// Whether a token was issued to the client or is meant for it.
fn is_for(client: &Client, token: &AccessToken) -> bool {
    let meant = |audience: &String| client.details.resources.iter().any(|own| own.as_str() == *audience);
    // What a client says of itself makes it no resource server.
    let is_meant = token.audiences.is_empty() || token.audiences.iter().any(meant);
    token.client == client.id || !client.registered_itself && is_meant
}

fn shared(one: &OAuthScopes, other: &OAuthScopes) -> OAuthScopes {
    OAuthScopes {
        openid: one.openid.intersection(&other.openid).copied().collect(),
        registered: one.registered.shared_with(&other.registered),
    }
}

fn chosen(wanted: Option<&str>, there: &OAuthScopes) -> Result<OAuthScopes, OAuthError> {
    let scopes = wanted.map_or_else(|| Ok(there.clone()), |wanted| narrowed(wanted, there))?;
    if scopes.is_empty() {
        return Err(OAuthError::new(Word::InvalidScope, "the subject and the client have no scope in common"));
    }
    Ok(scopes)
}

/// One for all, so that nobody learns what a stranger's credential is.
fn bad() -> OAuthError {
    invalid(
        "the subject_token is not good: unknown, ended, not of this type, of another project or environment, or not to be \
        used from this address",
    )
}

fn invalid(what: &str) -> OAuthError {
    OAuthError::new(Word::InvalidRequest, what)
}
