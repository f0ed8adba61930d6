//! One token: what it says, how it is written, and what is held against one that is presented (RFC 7519, RFC 8725).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ring::Opened;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::error::Result;
use crate::domain::id::{ProjectId, SessionId, UserId};
use crate::domain::signing_key::{CLOCKS_APART, LONGEST_TOKEN_LIFETIME};

/// What the token of a session says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionClaims {
    /// The project (`aud`).
    pub project: ProjectId,
    /// The environment (`env`).
    pub environment: Environment,
    /// The user (`sub`).
    pub user: UserId,
    /// The session (`jti`).
    pub session: SessionId,
    /// When it begins (`iat`), in whole seconds.
    pub issued_at: Timestamp,
    /// From when on it is not accepted any more (`exp`), in whole seconds.
    pub expires_at: Timestamp,
}

/// A token. Whoever has it is the session's user: `Debug` does not print it.
#[derive(Clone, Eq, PartialEq)]
pub struct SessionToken(Zeroizing<String>);

/// Why a token is not accepted. For logs and for whoever explains a decision; a client is told one reason for all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvalidToken {
    /// It is no token of the form that is signed here.
    Malformed,
    /// No key that is published has the name it gives.
    UnknownKey,
    /// The key did not sign it, or it was signed in another way than the key signs.
    BadSignature,
    /// It says what no token of this issuer says.
    BadClaims,
    /// It is past its end.
    Expired,
}

impl SessionToken {
    /// The token in the clear, for the one answer that tells it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

/// Writes a token and signs it.
pub(super) fn mint(key: &Opened, issuer: &str, claims: &SessionClaims) -> Result<SessionToken> {
    if claims.expires_at.since(claims.issued_at) > LONGEST_TOKEN_LIFETIME {
        // Its key might be gone before it.
        tracing::error!("a token was to live longer than any may");
        return Err(super::cannot_sign());
    }
    let written = Claims {
        iss: issuer.to_owned(),
        aud: claims.project.to_string(),
        sub: claims.user.to_string(),
        jti: claims.session.to_string(),
        iat: seconds(claims.issued_at),
        exp: seconds(claims.expires_at),
        env: claims.environment.as_str().to_owned(),
    };
    key.sign(TYPE, &written).map(SessionToken)
}

/// Checks a token that names this key.
pub(super) fn verify(
    presented: &str,
    key: &Opened,
    issuer: &str,
    now: Timestamp,
) -> Result<SessionClaims, InvalidToken> {
    if presented.len() > LONGEST {
        return Err(InvalidToken::Malformed);
    }
    let header = jsonwebtoken::decode_header(presented).map_err(|_| InvalidToken::Malformed)?;
    // Nothing is understood that would be critical; `typ` keeps tokens of other uses apart (RFC 8725, section 3.11).
    if header.crit.is_some() || header.typ.as_deref() != Some(TYPE) || header.kid.as_deref() != Some(&*key.kid) {
        return Err(InvalidToken::Malformed);
    }
    // The algorithm is the key's, whatever the header says. Its own clock and its own times stay out of it.
    let mut validation = Validation::new(key.algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims::<&str>(&[]);
    let token = jsonwebtoken::decode::<Claims>(presented, &key.public, &validation).map_err(|error| {
        use jsonwebtoken::errors::ErrorKind;
        match error.kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => InvalidToken::BadSignature,
            ErrorKind::Json(_) => InvalidToken::BadClaims,
            _ => InvalidToken::Malformed,
        }
    })?;
    let claims = token.claims.read(issuer).ok_or(InvalidToken::BadClaims)?;
    if claims.issued_at > now.plus(CLOCKS_APART) {
        return Err(InvalidToken::BadClaims);
    }
    if claims.expires_at <= now {
        return Err(InvalidToken::Expired);
    }
    Ok(claims)
}

/// The name of the key that a token says it was signed with. Nothing is checked but its form.
pub(super) fn unverified_kid(presented: &str) -> Option<String> {
    part::<Named>(presented, 0).map(|header| header.kid)
}

/// The issuer that a token names. Nothing is checked but its form.
pub(super) fn unverified_issuer(presented: &str) -> Option<String> {
    part::<Issued>(presented, 1).map(|claims| claims.iss)
}

fn part<T: for<'de> Deserialize<'de>>(presented: &str, place: usize) -> Option<T> {
    if presented.len() > LONGEST {
        return None;
    }
    let parts: Vec<&str> = presented.splitn(4, '.').collect();
    let [_, _, _] = parts[..] else { return None };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[place]).ok()?).ok()
}

/// The claims as they are written.
#[derive(Deserialize, Serialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: i64,
    exp: i64,
    env: String,
}

#[derive(Deserialize)]
struct Named {
    kid: String,
}

#[derive(Deserialize)]
struct Issued {
    iss: String,
}

impl Claims {
    fn read(self, issuer: &str) -> Option<SessionClaims> {
        (self.iss == issuer).then_some(())?;
        // Signed here, so written here: the ids are our own.
        Some(SessionClaims {
            project: ProjectId::stored(self.aud),
            environment: Environment::parse(&self.env)?,
            user: UserId::stored(self.sub),
            session: SessionId::stored(self.jti),
            issued_at: timestamp(self.iat)?,
            expires_at: timestamp(self.exp)?,
        })
    }
}

pub(super) fn seconds(time: Timestamp) -> i64 {
    time.micros().div_euclid(1_000_000)
}

fn timestamp(seconds: i64) -> Option<Timestamp> {
    seconds.checked_mul(1_000_000).map(Timestamp::from_micros)
}

const TYPE: &str = "JWT";

/// Bytes of the longest token that is looked at. Those made here have some 450, and an issuer's URL of its own.
pub(super) const LONGEST: usize = 4096;
