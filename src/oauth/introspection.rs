//! `/oauth/introspect` (RFC 7662). Clients ask about their own tokens and those that are meant for them; a key that may verify
//! credentials asks about all of its project.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::client::{Said, Tried};
use super::parameters::Parameters;
use super::{OAuth, Request, answer};
use crate::auth::caller::Caller;
use crate::auth::guard::Call;
use crate::domain::clock::Timestamp;
use crate::domain::credential::{Credential, Form};
use crate::domain::dialect::Dialect;
use crate::domain::error::Error;
use crate::domain::id::{CredentialId, UserId};
use crate::domain::oauth::client::ClientAuthentication;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::token::{AccessToken, Grant};
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::proto::MethodId;
use crate::service::oauth::{Asker, Introspection, Known};

pub(super) async fn answer(
    oauth: &OAuth,
    request: Request<'_>,
    parameters: &Parameters,
) -> Result<Response<Bytes>, OAuthError> {
    let token = parameters.need("token")?;
    let known = if names_a_client(oauth, request, parameters) {
        let said = Said::read(request.headers, parameters)?;
        let client = oauth.server.authenticate(said.proof(), request.address).await?;
        if client.details.authentication == ClientAuthentication::None {
            // Anybody could say to be it (RFC 7662, section 2.1).
            return Err(OAuthError::new(Word::InvalidClient, "a public client proves nothing, so it is told nothing"));
        }
        oauth.server.introspect(Asker::Client(&client), token).await?
    } else {
        let caller = match Box::pin(admit(oauth, request)).await {
            Ok(caller) => caller,
            Err(error) => return unknown(oauth, request.headers, error),
        };
        oauth.server.introspect(Asker::Caller(&caller), token).await?
    };
    let issuer = oauth.server.issuer();
    Ok(match known {
        Introspection::Inactive => answer::fleeting(StatusCode::OK, &json!({"active": false})),
        Introspection::Active(Known::Access(credential)) => {
            answer::fleeting(StatusCode::OK, &Told::of_credential(issuer, &credential))
        }
        Introspection::Active(Known::Refresh(grant, client)) => {
            answer::fleeting(StatusCode::OK, &Told::of_grant(issuer, &grant, &client))
        }
    })
}

fn names_a_client(oauth: &OAuth, request: Request<'_>, parameters: &Parameters) -> bool {
    parameters.has("client_id")
        || parameters.has("client_assertion")
        || super::client::is_basic(request.headers)
        || !oauth.guard.is_credential_in(request.headers)
}

/// Whoever may call Verify may ask here.
async fn admit(oauth: &OAuth, request: Request<'_>) -> Result<Caller, Error> {
    let refused =
        || Error::new(Reason::MissingCredential, "this takes a client, or a credential that may verify others");
    let method = MethodId::find(VERIFY).ok_or_else(refused)?;
    let Request { method: http_method, uri, headers, client, address, request_id, standing, .. } = request;
    let call =
        Call { method, dialect: Dialect::Standard, http_method, uri, headers, client, address, request_id, standing };
    oauth.guard.admit(call).await.map_err(|refusal| refusal.error)?.ok_or_else(refused)
}

/// What whoever may not ask is told: of a proof that they hold the key of their token, what was wrong with it.
fn unknown(oauth: &OAuth, asked: &HeaderMap, error: Error) -> Result<Response<Bytes>, OAuthError> {
    match error.reason {
        Reason::UseDpopNonce | Reason::InvalidDpopProof => Ok(oauth.refused(&error)),
        Reason::StoreUnavailable
        | Reason::Overloaded
        | Reason::TooManyUnknown
        | Reason::RateLimited
        | Reason::QuotaExhausted => Err(error.into()),
        _ => {
            let what = "this takes a client, or a key or token with the scope verify:credentials";
            let mut response = answer::told(&OAuthError::new(Word::InvalidClient, what));
            // A key may come in a header of its own, and one that may not do this is told so (RFC 7662, section 2.3).
            let tried = if asked.contains_key(AUTHORIZATION) { Tried::by(asked) } else { Tried::Bearer };
            let flaw = error.missing_scope.map(|scope| format!("error=\"insufficient_scope\", scope=\"{scope}\""));
            answer::challenge(&mut response, tried, flaw.as_deref().unwrap_or(answer::INVALID_TOKEN));
            Ok(response)
        }
    }
}

/// What is told of a token that is good (RFC 7662, section 2.2).
#[derive(Serialize)]
struct Told<'a> {
    active: bool,
    iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    jti: Option<CredentialId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    sub: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aud: Vec<&'a str>,
}

/// Which key a token is bound to (RFC 9449, section 6.2).
#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

impl<'a> Told<'a> {
    fn of_credential(issuer: &'a str, credential: &'a Credential) -> Self {
        let (scope, aud) = match &credential.form {
            Form::Token(token, _) if token.audiences.is_empty() => (token.scopes.to_string(), vec![issuer]),
            Form::Token(token, _) => (token.scopes.to_string(), token.audiences.iter().map(String::as_str).collect()),
            _ => {
                let scopes: Vec<&str> = credential.scopes().iter().map(Scope::spelling).collect();
                (scopes.join(" "), vec![issuer])
            }
        };
        let token = credential.token();
        let of_others = || {
            let user = credential.user_id().map(UserId::as_str);
            user.or_else(|| credential.key().map(|key| key.id.as_str())).unwrap_or_default()
        };
        Self {
            active: true,
            iss: issuer,
            jti: Some(credential.id()),
            exp: credential.expires_at().map(seconds),
            scope,
            client_id: token.map(AccessToken::client_id),
            token_type: token.map(|token| if token.key.is_some() { "DPoP" } else { "Bearer" }),
            cnf: token.and_then(|token| token.key.as_ref()).map(|key| Confirmation { jkt: key.to_string() }),
            iat: token.map(|token| seconds(token.issued_at)),
            sub: token.map_or_else(of_others, AccessToken::about),
            aud,
        }
    }

    /// Of a refresh token.
    fn of_grant(issuer: &'a str, grant: &'a Grant, client_id: &'a str) -> Self {
        Self {
            active: true,
            iss: issuer,
            jti: None,
            exp: Some(seconds(grant.expires_at)),
            scope: grant.scopes.to_string(),
            client_id: Some(client_id),
            token_type: Some("refresh_token"),
            cnf: None,
            iat: Some(seconds(grant.created_at)),
            sub: grant.user.as_str(),
            aud: Vec::new(),
        }
    }
}

fn as_text<S: Serializer>(id: &Option<CredentialId>, serializer: S) -> Result<S::Ok, S::Error> {
    id.as_ref().map(CredentialId::as_str).serialize(serializer)
}

/// NumericDate (RFC 7519, section 2).
fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}

const VERIFY: &str = "/gatepost.v1.Auth/Verify";
