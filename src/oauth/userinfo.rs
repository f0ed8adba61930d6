//! `/oauth/userinfo` (OpenID Connect Core 1.0, section 5.3): who the user of an access token is, as far as they agreed to tell.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{OAuth, Request, answer};
use crate::auth::guard::Call;
use crate::domain::dialect::Dialect;
use crate::domain::error::Error;
use crate::domain::oauth::scope::OpenIdScope;
use crate::domain::reason::Reason;
use crate::domain::user::{Email, Handle, User};
use crate::proto::MethodId;

pub(super) async fn answer(oauth: &OAuth, request: Request<'_>) -> Response<Bytes> {
    match told(oauth, request).await {
        Ok(document) => answer::fleeting(StatusCode::OK, &document),
        Err(error) => oauth.refused(&error),
    }
}

/// Whoever may ask who they are may ask here, if their token is one of OpenID Connect.
async fn told(oauth: &OAuth, request: Request<'_>) -> Result<Value, Error> {
    let method = MethodId::find(GET_ME).ok_or_else(|| Error::new(Reason::UnknownMethod, "this cannot be asked"))?;
    let Request { method: http_method, uri, headers, client, address, request_id, standing, .. } = request;
    let call =
        Call { method, dialect: Dialect::Standard, http_method, uri, headers, client, address, request_id, standing };
    // What a token tells here is what its user agreed to, whatever else it may read.
    let caller = oauth.guard.admit_asking(call, |_| &[]).await.map_err(|refusal| refusal.error)?;
    let missing = || Error::insufficient_scope(OpenIdScope::OpenId.as_str().to_owned());
    let caller = caller.ok_or_else(missing)?;
    let token = caller.credential().token().ok_or_else(missing)?;
    let holds = |scope| token.scopes.openid.contains(&scope);
    if !holds(OpenIdScope::OpenId) {
        return Err(missing());
    }
    let user = oauth.users.me(&caller).await?;
    Ok(claims(&user, holds(OpenIdScope::Profile), holds(OpenIdScope::Email)))
}

fn claims(user: &User, profile: bool, email: bool) -> Value {
    let mut claims = Map::new();
    let mut tell = |name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            claims.insert(name.to_owned(), json!(value));
        }
    };
    let details = &user.details;
    tell("sub", Some(user.id.as_str()));
    if profile {
        tell("name", Some(format!("{} {}", details.first_name, details.last_name).trim()));
        tell("given_name", Some(&details.first_name));
        tell("family_name", Some(&details.last_name));
        tell("nickname", details.alias.as_deref());
        tell("preferred_username", details.handle.as_ref().map(Handle::as_str));
    }
    if email {
        tell("email", details.email.as_ref().map(Email::as_str));
    }
    if profile {
        claims.insert("updated_at".to_owned(), json!(user.updated_at.millis().div_euclid(1_000)));
    }
    if email && details.email.is_some() {
        // Nobody has proven here that the mail arrives.
        claims.insert("email_verified".to_owned(), json!(false));
    }
    Value::Object(claims)
}

const GET_ME: &str = "/gatepost.v1.Users/GetMe";
