//! `/oauth/introspect` (RFC 7662). Clients ask about their own tokens and those that are meant for them; a key that may verify
//! credentials asks about all of its project.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::client::Said;
use super::parameters::Parameters;
use super::{OAuth, Request, answer};
use crate::auth::caller::Caller;
use crate::auth::guard::Call;
use crate::domain::clock::Timestamp;
use crate::domain::credential::{Credential, Form};
use crate::domain::dialect::Dialect;
use crate::domain::oauth::client::ClientAuthentication;
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::token::Grant;
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
    let known = if names_a_client(request, parameters) {
        let said = Said::read(request.headers, parameters)?;
        let client = oauth.server.authenticate(said.proof(), request.address).await?;
        if client.details.authentication == ClientAuthentication::None {
            // Anybody could say to be it (RFC 7662, section 2.1).
            return Err(OAuthError::new(Word::InvalidClient, "a public client proves nothing, so it is told nothing"));
        }
        oauth.server.introspect(Asker::Client(&client), token).await?
    } else {
        let caller = admit(oauth, request).await?;
        oauth.server.introspect(Asker::Caller(&caller), token).await?
    };
    let document = match known {
        Introspection::Inactive => json!({"active": false}),
        Introspection::Active(Known::Access(credential)) => of_credential(oauth.server.issuer(), &credential),
        Introspection::Active(Known::Refresh(grant)) => of_grant(oauth.server.issuer(), &grant),
    };
    Ok(answer::fleeting(StatusCode::OK, &document))
}

fn names_a_client(request: Request<'_>, parameters: &Parameters) -> bool {
    parameters.has("client_id")
        || parameters.has("client_assertion")
        || super::client::is_basic(request.headers)
        || !(request.headers.contains_key(AUTHORIZATION) || request.headers.contains_key("x-api-key"))
}

/// Whoever may call Verify may ask here.
async fn admit(oauth: &OAuth, request: Request<'_>) -> Result<Caller, OAuthError> {
    let refused =
        || OAuthError::new(Word::InvalidClient, "this takes a client, or a key with the scope verify:credentials");
    let method = MethodId::find(VERIFY).ok_or_else(refused)?;
    let Request { method: http_method, uri, headers, client, address, request_id, .. } = request;
    let call = Call { method, dialect: Dialect::Standard, http_method, uri, headers, client, address, request_id };
    match oauth.guard.admit(call).await {
        Ok(Some(caller)) => Ok(caller),
        Ok(None) => Err(refused()),
        Err(refusal) => Err(match refusal.error.reason {
            Reason::StoreUnavailable | Reason::Overloaded | Reason::TooManyUnknown => refusal.error.into(),
            _ => refused(),
        }),
    }
}

fn of_credential(issuer: &str, credential: &Credential) -> Value {
    let mut document = Map::new();
    let mut tell = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    tell("active", json!(true));
    tell("iss", json!(issuer));
    tell("jti", json!(credential.id().as_str()));
    if let Some(end) = credential.expires_at() {
        tell("exp", json!(seconds(end)));
    }
    if let Form::Token(token, _) = &credential.form {
        tell("scope", json!(token.scopes.to_string()));
        tell("client_id", json!(token.client.as_str()));
        tell("token_type", json!(if token.key.is_some() { "DPoP" } else { "Bearer" }));
        if let Some(key) = &token.key {
            tell("cnf", json!({"jkt": key.to_string()}));
        }
        tell("iat", json!(seconds(token.issued_at)));
        tell("sub", json!(token.about()));
        let audiences = if token.audiences.is_empty() {
            vec![issuer]
        } else {
            token.audiences.iter().map(String::as_str).collect()
        };
        tell("aud", json!(audiences));
    } else {
        let scopes: Vec<&str> = credential.scopes().iter().map(Scope::spelling).collect();
        tell("scope", json!(scopes.join(" ")));
        tell("sub", json!(credential.user_id().map_or(credential.id().as_str(), |user| user.as_str())));
        tell("aud", json!([issuer]));
    }
    Value::Object(document)
}

fn of_grant(issuer: &str, grant: &Grant) -> Value {
    json!({
        "active": true, "iss": issuer, "scope": grant.scopes.to_string(), "client_id": grant.client.as_str(),
        "sub": grant.user.as_str(), "exp": seconds(grant.expires_at), "iat": seconds(grant.created_at),
        "token_type": "refresh_token",
    })
}

/// NumericDate (RFC 7519, section 2).
fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}

const VERIFY: &str = "/gatepost.v1.Auth/Verify";
