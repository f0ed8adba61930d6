//! An `id_token` of ours that comes back as a hint (OpenID Connect RP-Initiated Logout 1.0, section 2). It opens nothing and may be
//! past its end: it says that we once told this client who this user is.

use jsonwebtoken::Validation;
use serde::Deserialize;

use super::ring::Opened;
use crate::domain::id::{ClientId, UserId};
use crate::domain::oauth::document::DocumentUrl;

/// Whom an `id_token` of ours was about, and whom it was for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityHint {
    /// The user (`sub`).
    pub user: UserId,
    /// The `client_id` of the client (`aud`).
    pub client: String,
}

/// Reads what this key signed as an `id_token` of this issuer; none for anything else, tokens of other uses among them.
pub(super) fn read(presented: &str, key: &Opened, issuer: &str) -> Option<IdentityHint> {
    if presented.len() > LONGEST {
        return None;
    }
    let header = jsonwebtoken::decode_header(presented).ok()?;
    if header.crit.is_some() || header.typ.as_deref() != Some("JWT") || header.kid.as_deref() != Some(&*key.kid) {
        return None;
    }
    // The algorithm is the key's, whatever the header says.
    let mut validation = Validation::new(key.algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.set_required_spec_claims::<&str>(&[]);
    let claims = jsonwebtoken::decode::<Claims>(presented, &key.public, &validation).ok()?.claims;
    // The `aud` of a session's token is a project.
    let is_client = ClientId::parse(&claims.aud).is_some() || DocumentUrl::parse(&claims.aud).is_ok();
    let user = UserId::parse(&claims.sub)?;
    (is_client && claims.iss == issuer).then_some(IdentityHint { user, client: claims.aud })
}

/// Characters of an `id_token`: it holds a `nonce`, which may be long.
const LONGEST: usize = 8_192;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
}
