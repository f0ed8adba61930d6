//! `/oauth/register` (RFC 7591): clients register themselves, where the project lets them; and `/oauth/register/{client_id}`
//! (RFC 7592), where they read, change and end that.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;
use serde_json::{Map, Value, json};

use super::{BoxError, OAuth, Request, answer, read};
use crate::auth::caller::Caller;
use crate::auth::guard::Call;
use crate::domain::dialect::Dialect;
use crate::domain::error::Error;
use crate::domain::oauth::client::{Client, ClientKeys};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::oauth::registration::ClientMetadata;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::proto::MethodId;
use crate::service::oauth::MAY_REGISTER;

/// Somebody registers a client. Whether they may is asked before they are listened to.
pub(super) async fn register(
    oauth: &OAuth,
    request: Request<'_>,
    body: impl Body<Error: Into<BoxError>>,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let refused = |error: Error| oauth.refused(&error);
    let caller = caller(oauth, request).await.map_err(refused)?;
    let registrant = oauth.server.registrant(caller.as_ref()).await.map_err(refused)?;
    let wrong = |error: OAuthError| answer::error(&error, request.headers);
    let metadata = metadata(request.headers, body).await.map_err(wrong)?;
    let registered = oauth.server.register(&registrant, &request.origin(), &metadata).await.map_err(wrong)?;
    let mut told = told(oauth, &registered.client, registered.token.expose());
    if let Some(secret) = &registered.secret {
        told.insert("client_secret".to_owned(), json!(secret.expose()));
    }
    Ok(answer::fleeting(StatusCode::CREATED, &Value::Object(told)))
}

/// A client reads, changes or ends its own registration.
pub(super) async fn manage(
    oauth: &OAuth,
    request: Request<'_>,
    body: impl Body<Error: Into<BoxError>>,
) -> Result<Response<Bytes>, Response<Bytes>> {
    let refused = |error: Error| answer::refused(&error);
    let token = bearer(request.headers).map_err(refused)?;
    let id = request.path.strip_prefix(super::REGISTRATIONS).unwrap_or_default();
    let client = oauth.server.registered(id, token, request.address).await.map_err(refused)?;
    if *request.method == Method::DELETE {
        oauth.server.end_registration(&client, &request.origin()).await.map_err(refused)?;
        let mut response = answer::empty();
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let client = if *request.method == Method::PUT {
        let wrong = |error: OAuthError| answer::error(&error, request.headers);
        let metadata = metadata(request.headers, body).await.map_err(wrong)?;
        oauth.server.change_registration(&client, &request.origin(), &metadata).await.map_err(wrong)?
    } else {
        client
    };
    Ok(answer::fleeting(StatusCode::OK, &Value::Object(told(oauth, &client, token))))
}

/// Who calls, if they show a credential at all. One that is not good is refused: it is not as good as none.
async fn caller(oauth: &OAuth, request: Request<'_>) -> Result<Option<Caller>, Error> {
    let method = MethodId::find(WHO_AM_I).ok_or_else(|| Error::new(Reason::UnknownMethod, "this cannot be asked"))?;
    let Request { method: http_method, uri, headers, client, address, request_id, standing, .. } = request;
    let call =
        Call { method, dialect: Dialect::Standard, http_method, uri, headers, client, address, request_id, standing };
    // Whoever holds it may register clients where others may not, or more of them.
    let asked = Scope::parse(MAY_REGISTER);
    match oauth.guard.admit_asking(call, |_| asked.as_slice()).await {
        Ok(caller) => Ok(caller),
        Err(refusal) if refusal.reason == Reason::MissingCredential && !oauth.guard.is_credential_in(headers) => {
            Ok(None)
        }
        Err(refusal) => Err(refusal.error),
    }
}

async fn metadata(headers: &HeaderMap, body: impl Body<Error: Into<BoxError>>) -> Result<ClientMetadata, OAuthError> {
    let invalid = |what: &str| OAuthError::new(Word::InvalidClientMetadata, what);
    let given = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/json") {
        return Err(invalid("the body must be application/json"));
    }
    let body = read(body).await?;
    serde_json::from_slice(&body).map_err(|_| {
        invalid("the body must be a JSON object whose members are as RFC 7591 says: strings, and lists of strings")
    })
}

/// What is known of a client (RFC 7591, section 3.2.1).
fn told(oauth: &OAuth, client: &Client, token: &str) -> Map<String, Value> {
    let details = &client.details;
    let uris = |uris: &[RedirectUri]| uris.iter().map(|uri| json!(uri.as_str())).collect::<Value>();
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| drop(told.insert(name.to_owned(), value));
    tell("client_id", json!(client.id.as_str()));
    tell("client_id_issued_at", json!(client.created_at.millis().div_euclid(1_000)));
    if details.authentication.needs_secret() {
        // It does not end by itself.
        tell("client_secret_expires_at", json!(0));
    }
    tell("registration_access_token", json!(token));
    let uri = format!("{}{}{}", oauth.server.issuer(), super::REGISTRATIONS, client.id);
    tell("registration_client_uri", json!(uri));
    tell("client_name", json!(details.name));
    if let Some(uri) = &details.logo_uri {
        tell("logo_uri", json!(uri.as_str()));
    }
    tell("redirect_uris", uris(&details.redirect_uris));
    if !details.post_logout_redirect_uris.is_empty() {
        tell("post_logout_redirect_uris", uris(&details.post_logout_redirect_uris));
    }
    tell("token_endpoint_auth_method", json!(details.authentication.as_str()));
    match &details.keys {
        // As it was read when it was registered.
        Some(ClientKeys::Inline(set)) => tell("jwks", serde_json::from_str(set).unwrap_or_default()),
        Some(ClientKeys::At(uri)) => tell("jwks_uri", json!(uri)),
        None => {}
    }
    tell("grant_types", details.grant_types.iter().map(|grant| json!(grant.as_str())).collect());
    let with_code = details.grant_types.contains(&GrantType::AuthorizationCode);
    tell("response_types", if with_code { json!(["code"]) } else { json!([]) });
    tell("scope", json!(details.scopes.to_string()));
    tell("dpop_bound_access_tokens", json!(details.dpop_bound_access_tokens));
    told
}

/// The token of the registration (RFC 7592, section 2).
fn bearer(headers: &HeaderMap) -> Result<&str, Error> {
    let missing = || Error::new(Reason::MissingCredential, "this takes the registration_access_token of the client");
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Err(missing()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") { Err(missing()) } else { Ok(token.trim()) }
}

const WHO_AM_I: &str = "/gatepost.v1.Auth/WhoAmI";
