//! Asking a user whether a client may have what it asks for (RFC 6749, section 4.1; OpenID Connect Core 1.0, section 3.1).

use serde_json::json;

use super::request::{AnswerTo, AuthorizationRequest};
use super::{AuthorizationServer, Origin};
use crate::auth::decide::{Question, decide};
use crate::auth::lookup::Found;
use crate::domain::audit::{AuditEvent, fields};
use crate::domain::clock::Timestamp;
use crate::domain::id::{CredentialId, GrantId};
use crate::domain::oauth::client::{Client, ClientKind};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::token::{AuthorizationCode, Grant};
use crate::domain::scope::{ScopeSet, built_in};
use crate::domain::secret::{PlainSecret, SecretPrefix};
use crate::domain::session::Session;
use crate::domain::user::User;

/// Somebody who is signed in, in their browser.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Their session.
    pub session: Session,
    /// Who they are.
    pub user: User,
}

/// What is to happen with a request next.
#[derive(Clone, Debug)]
pub enum Step {
    /// They have to say who they are.
    SignIn,
    /// They have to be asked whether the client may have this much.
    Consent(OAuthScopes),
    /// The client is answered.
    Answer(Answer),
}

/// An answer to a client, and what it is told.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Where it goes.
    pub to: AnswerTo,
    /// Names and values: `code`, `error`, `state`, `iss`.
    pub parameters: Vec<(&'static str, String)>,
}

impl AuthorizationServer {
    /// Who is signed in by this token of a session, if they may be asked by this client.
    pub async fn signed_in(&self, token: &str, client: &Client) -> Result<Option<SignedIn>, OAuthError> {
        let of_client =
            |who: &SignedIn| who.session.project == client.project && who.session.environment == client.environment;
        Ok(self.signed_in_anywhere(token).await?.filter(of_client))
    }

    /// Who is signed in by this token of a session, in whichever project and environment.
    pub async fn signed_in_anywhere(&self, token: &str) -> Result<Option<SignedIn>, OAuthError> {
        let Found::Issued(credential) = self.0.credentials.find(token).await? else { return Ok(None) };
        let Some(session) = credential.session() else { return Ok(None) };
        let question = Question { now: self.0.now(), environment: None, client: None, scopes: &[] };
        if decide(&credential, &question, &mut ()).is_err() {
            return Ok(None);
        }
        let user = self.0.store.find_user(&session.project, session.environment, &session.user).await?;
        Ok(user.map(|user| SignedIn { session: session.clone(), user }))
    }

    /// What is to happen with a request next.
    pub async fn consider(
        &self,
        request: &AuthorizationRequest,
        who: Option<&SignedIn>,
        origin: &Origin,
    ) -> Result<Step, OAuthError> {
        let now = self.0.now();
        let Some(who) = who.filter(|who| is_known_well_enough(request, &who.session, now)) else {
            return match request.prompt.none {
                true => self.refused(request, Word::LoginRequired, "nobody is signed in").await,
                false => Ok(Step::SignIn),
            };
        };
        let scopes = within(&request.scopes, &who.user.details.scopes);
        if scopes.words().next().is_none() {
            let what = "the user holds none of the scopes asked for";
            return self.refused(request, Word::AccessDenied, what).await;
        }
        let remembered = self.0.store.find_consent(&who.user.id, &request.client.id).await?;
        // Anybody can say to be a client that has no secret and no address of its own (RFC 8252, section 8.6): whoever
        // agreed to one program has not agreed to the next. Nor is a client remembered that nobody vouched for.
        let provable = !request.client.registered_itself
            && (request.client.kind == ClientKind::Confidential
                || request.answer_to.redirect_uri.starts_with("https://"));
        let agreed = provable && !request.prompt.consent && remembered.is_some_and(|held| covers(&held, &scopes));
        if agreed {
            return Ok(Step::Answer(self.agree(request, who, origin).await?));
        }
        match request.prompt.none {
            true => self.refused(request, Word::ConsentRequired, "the user has not agreed yet").await,
            false => Ok(Step::Consent(scopes)),
        }
    }

    /// The client is told why not, and its pushed request is answered by that. Not one that nobody vouched for: anybody's link
    /// would send people to any address, and they were not asked (RFC 9700, section 4.11.2).
    async fn refused(&self, request: &AuthorizationRequest, word: Word, what: &str) -> Result<Step, OAuthError> {
        self.take_pushed(request).await?;
        if request.client.registered_itself {
            return Err(OAuthError::new(word, what));
        }
        Ok(Step::Answer(self.refusal(request, word, what)))
    }

    /// The user agreed: the client gets a code, and what they agreed to is remembered.
    pub async fn agree(
        &self,
        request: &AuthorizationRequest,
        who: &SignedIn,
        origin: &Origin,
    ) -> Result<Answer, OAuthError> {
        self.take_pushed(request).await?;
        let now = self.0.now();
        let client = &request.client;
        let grant = Grant {
            id: GrantId::new(now, &*self.0.entropy),
            project: client.project.clone(),
            environment: client.environment,
            client: client.id.clone(),
            user: who.user.id.clone(),
            scopes: within(&request.scopes, &who.user.details.scopes),
            resources: request.resources.clone(),
            authenticated_at: who.session.created_at,
            nonce: request.nonce.clone(),
            created_at: now,
            // Until the code is redeemed.
            expires_at: now.plus(CODE_LIFETIME),
            revoked_at: None,
        };
        let code = AuthorizationCode {
            grant: grant.id.clone(),
            redirect_uri: request.answer_to.redirect_uri.clone(),
            redirect_uri_named: request.redirect_uri_named,
            challenge: request.challenge,
            key: request.key,
            expires_at: now.plus(CODE_LIFETIME),
            used_at: None,
        };
        let prefix = SecretPrefix::fixed(SecretPrefix::CODE);
        let secret = PlainSecret::generate(&prefix, client.environment, &*self.0.entropy);
        let hash = self.0.keyring.hash(secret.expose());
        if !self.0.store.create_grant(&who.session, &grant, &hash, &code, &self.given(&grant, origin)).await? {
            return Err(OAuthError::new(Word::AccessDenied, "the session has ended; go back and sign in again"));
        }
        Ok(self.answer(&request.answer_to, vec![("code", secret.expose().to_owned())]))
    }

    /// What the scopes of a client allow, in the words of the registry.
    pub async fn describe(&self, client: &Client, scopes: &OAuthScopes) -> Result<Vec<(String, String)>, OAuthError> {
        let mut described = Vec::new();
        for scope in &scopes.openid {
            described.push((scope.as_str().to_owned(), String::new()));
        }
        for scope in &scopes.registered {
            let words = match built_in(scope.plain()) {
                Some(built_in) => built_in.description.to_owned(),
                None => {
                    let found = self.0.store.find_scope(&client.project, scope.plain()).await?;
                    found.map(|found| found.description).unwrap_or_default()
                }
            };
            described.push((scope.spelling().to_owned(), words));
        }
        Ok(described)
    }

    /// The client is told what is wrong, or that the user does not agree.
    pub fn refusal(&self, request: &AuthorizationRequest, word: Word, description: &str) -> Answer {
        self.told(&request.answer_to, &OAuthError::new(word, description))
    }

    /// The client is told what is wrong with its request.
    pub fn told(&self, to: &AnswerTo, error: &OAuthError) -> Answer {
        let parameters =
            vec![("error", error.word.as_str().to_owned()), ("error_description", error.description.clone())];
        self.answer(to, parameters)
    }

    /// Every answer says who it is from (RFC 9207), and returns the state as it came.
    fn answer(&self, to: &AnswerTo, mut parameters: Vec<(&'static str, String)>) -> Answer {
        if let Some(state) = &to.state {
            parameters.push(("state", state.clone()));
        }
        parameters.push(("iss", self.issuer().to_owned()));
        Answer { to: to.clone(), parameters }
    }

    pub(super) fn given(&self, grant: &Grant, origin: &Origin) -> AuditEvent {
        let place = (&grant.project, grant.environment);
        let actor = CredentialId::User(grant.user.clone());
        let event = self.event(Some(actor), place, "grant.given", grant.id.as_str(), origin);
        let what = fields([
            ("client", json!(grant.client.as_str())),
            ("scopes", json!(grant.scopes.to_string())),
            ("resources", json!(grant.resources)),
        ]);
        event.changing(None, Some(what))
    }
}

/// Whether the user need not say again who they are. Whoever did since a request was pushed did so for it: it cannot be changed on
/// its way, as others are once that is done.
fn is_known_well_enough(request: &AuthorizationRequest, session: &Session, now: Timestamp) -> bool {
    let for_it = request.pushed.is_some_and(|pushed| session.created_at >= pushed.at);
    for_it || (!request.prompt.login && is_recent(request, session, now))
}

/// Whether the user proved who they are as lately as the client asks.
fn is_recent(request: &AuthorizationRequest, session: &Session, now: Timestamp) -> bool {
    request.max_age.is_none_or(|max_age| now.since(session.created_at) <= max_age)
}

/// What of the scopes asked for a user can give.
pub(super) fn within(asked: &OAuthScopes, held: &ScopeSet) -> OAuthScopes {
    let registered = asked.registered.iter().filter(|scope| held.holds(scope.plain())).cloned();
    OAuthScopes { openid: asked.openid.clone(), registered: ScopeSet::new(registered) }
}

fn covers(held: &OAuthScopes, asked: &OAuthScopes) -> bool {
    asked.openid.is_subset(&held.openid) && held.registered.first_missing(&asked.registered).is_none()
}

/// How long a code waits to be redeemed (RFC 9700, section 2.1.1 asks for short).
const CODE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(60);
