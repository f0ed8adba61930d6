//! Access tokens that anybody can check with our published keys (RFC 9068). To ourselves they are worth what is stored under
//! their hash; the signature spares the store those that were never made here.

use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};

use super::ring::Opened;
use super::token::{LONGEST, seconds};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::oauth::token::{AccessToken, Grant};
use crate::domain::reason::Reason;
use crate::domain::secret::PlainSecret;
use crate::domain::signing_key::LONGEST_TOKEN_LIFETIME;

/// What an access token says.
#[derive(Clone, Copy, Debug)]
pub struct AccessClaims<'a> {
    /// The token.
    pub token: &'a AccessToken,
    /// When the user last proved who they are (`auth_time`).
    pub authenticated_at: Option<Timestamp>,
}

/// Writes a token and signs it (RFC 9068, section 2).
pub(super) fn mint(key: &Opened, issuer: &str, claims: &AccessClaims<'_>) -> Result<PlainSecret> {
    let token = claims.token;
    if token.expires_at.since(token.issued_at) > LONGEST_TOKEN_LIFETIME {
        // Its key might be gone before it.
        tracing::error!("a token was to live longer than any may");
        return Err(super::cannot_sign());
    }
    let audiences: Vec<&str> = token.audiences.iter().map(String::as_str).collect();
    let written = Written {
        iss: issuer,
        sub: token.about(),
        aud: if audiences.is_empty() { vec![issuer] } else { audiences },
        client_id: token.client_id(),
        jti: token.id.as_str(),
        iat: seconds(token.issued_at),
        exp: seconds(token.expires_at),
        scope: token.scopes.to_string(),
        auth_time: claims.authenticated_at.map(seconds),
        project: token.project.as_str(),
        env: token.environment.as_str(),
        cnf: token.key.map(|key| Confirmation { jkt: key.to_string() }),
    };
    let signed = key.sign(TYPE, &written)?;
    if signed.len() > LONGEST {
        // Nobody would look at it, not even to end it.
        let message =
            "the token would be too long: ask for fewer scopes or resources, or have the client's tokens opaque";
        return Err(Error::new(Reason::InvalidRequest, message));
    }
    Ok(PlainSecret::signed(signed))
}

/// What an `id_token` says: that the grant's user proved who they are (OpenID Connect Core 1.0, section 2).
#[derive(Clone, Copy, Debug)]
pub struct IdentityClaims<'a> {
    /// The access token it comes with: its client, user and times.
    pub token: &'a AccessToken,
    /// What the user agreed to.
    pub grant: &'a Grant,
    /// What the client's request wants to see again.
    pub nonce: Option<&'a str>,
}

/// Writes an `id_token` and signs it.
pub(super) fn mint_identity(key: &Opened, issuer: &str, claims: &IdentityClaims<'_>) -> Result<PlainSecret> {
    let IdentityClaims { token, grant, nonce } = *claims;
    let written = Identity {
        iss: issuer,
        sub: grant.user.as_str(),
        aud: token.client_id(),
        iat: seconds(token.issued_at),
        exp: seconds(token.expires_at),
        auth_time: seconds(grant.authenticated_at),
        nonce,
    };
    key.sign("JWT", &written).map(PlainSecret::signed)
}

/// Whether this key signed what is presented as an access token of this issuer that is not past its end.
pub(super) fn is_ours(presented: &str, key: &Opened, issuer: &str, now: Timestamp) -> bool {
    if presented.len() > LONGEST {
        return false;
    }
    let Ok(header) = jsonwebtoken::decode_header(presented) else { return false };
    if header.crit.is_some() || header.typ.as_deref() != Some(TYPE) || header.kid.as_deref() != Some(&*key.kid) {
        return false;
    }
    // The algorithm is the key's, whatever the header says. Its own clock and its own times stay out of it.
    let mut validation = Validation::new(key.algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims::<&str>(&[]);
    jsonwebtoken::decode::<Read>(presented, &key.public, &validation)
        .is_ok_and(|token| token.claims.iss == issuer && seconds(now) < token.claims.exp)
}

#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: Vec<&'a str>,
    client_id: &'a str,
    jti: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    project: &'a str,
    env: &'a str,
    /// The key that it is bound to (RFC 7800; RFC 9449, section 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

#[derive(Serialize)]
struct Confirmation {
    jkt: String,
}

#[derive(Serialize)]
struct Identity<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

#[derive(Deserialize)]
struct Read {
    iss: String,
    exp: i64,
}

const TYPE: &str = "at+jwt";
