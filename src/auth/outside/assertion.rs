//! What a client proves itself with: a token that it signs with a key of its own (RFC 7523, section 3; OpenID Connect Core 1.0,
//! section 9, `private_key_jwt`).
//!
//! Each is good once, so it has an id, and for a while only, so that the id need not be kept for long.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims::{text, time};
use super::flaw::Flaw;
use super::json::{self, Fault};
use super::jws::{Jws, Purpose};
use super::key_set::KeySet;
use super::key_source::KeySource;
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result as DomainResult};
use crate::domain::issuer::KeyLocation;
use crate::domain::oauth::client::{Client, ClientKeys};

/// The keys of clients: those that are registered with them, and those that they publish. What strangers name as addresses does not
/// stand in the way of what administrators do.
#[derive(Debug)]
pub struct ClientKeySource {
    vouched: KeySource,
    unvouched: KeySource,
}

/// An assertion of which nothing is known to be true.
#[derive(Debug)]
pub struct Assertion<'a> {
    jws: Jws<'a>,
    claims: Map<String, Value>,
    client: String,
}

/// What is to be used up with an assertion that is good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Single {
    /// The id that the client gave it (`jti`).
    pub id: String,
    /// From when on it is refused for its age.
    pub until: Timestamp,
}

impl ClientKeySource {
    /// The published keys come from these sources: of clients that somebody registered, and of those that nobody vouched for.
    pub fn new(vouched: KeySource, unvouched: KeySource) -> Self {
        Self { vouched, unvouched }
    }

    /// The keys to check an assertion of a client by; none if it has none, or those that were registered are of no use.
    ///
    /// # Errors
    /// ISSUER_UNAVAILABLE, with the time after which to try again, when what the client publishes cannot be had.
    pub async fn keys_for(&self, client: &Client, assertion: &Assertion<'_>) -> DomainResult<Option<Arc<KeySet>>> {
        let source = if client.registered_itself { &self.unvouched } else { &self.vouched };
        let Some(keys) = &client.details.keys else { return Ok(None) };
        match keys {
            ClientKeys::Inline(text) => Ok(KeySet::parse(text.as_bytes()).ok().map(Arc::new)),
            ClientKeys::At(url) => {
                let found = source.keys_for(&KeyLocation::At(url.clone()), &assertion.jws).await;
                let message = "the keys at the client's jwks_uri cannot be had at the moment; try again";
                found.map(Some).map_err(|error| Error { message: message.to_owned(), ..error })
            }
        }
    }
}

impl<'a> Assertion<'a> {
    /// Takes an assertion apart.
    ///
    /// # Errors
    /// What keeps it from being one.
    pub fn parse(token: &'a str) -> Result<Self, Flaw> {
        let jws = Jws::parse(token, Purpose::ClientAssertion)?;
        let claims = json::object(jws.unverified_payload()).map_err(|fault| match fault {
            Fault::NotAnObject => Flaw::ClaimsNotJson,
            Fault::Duplicate => Flaw::DuplicateMember,
        })?;
        let claim = |name| text(&claims, name)?.ok_or(Flaw::ClaimMissing(name));
        let client = claim("sub")?.to_owned();
        if claim("iss")? != client {
            return Err(Flaw::ClaimInvalid("iss"));
        }
        Ok(Self { jws, claims, client })
    }

    /// The client that it says it is from: good for finding out whose keys to check it by, and for nothing else.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Believes it, if one of these keys signed it, it is for us and for now, and may be used up. `audiences` are the names of
    /// this server.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, keys: &KeySet, audiences: &[&str], now: Timestamp) -> Result<Single, Flaw> {
        self.jws.verify(keys, |_| true)?;
        let claims = &self.claims;
        if !is_for_us_alone(claims.get("aud").ok_or(Flaw::ClaimMissing("aud"))?, audiences)? {
            return Err(Flaw::WrongAudience);
        }
        let end = time(claims, "exp")?.ok_or(Flaw::ClaimMissing("exp"))?;
        let until = end.plus(LEEWAY);
        if until <= now {
            return Err(Flaw::Expired);
        }
        if end > now.plus(LONGEST_LIFE).plus(LEEWAY) {
            return Err(Flaw::ClaimInvalid("exp"));
        }
        for name in ["nbf", "iat"] {
            if time(claims, name)?.is_some_and(|start| start > now.plus(LEEWAY)) {
                return Err(Flaw::NotYetValid);
            }
        }
        if time(claims, "iat")?.is_some_and(|made| made.plus(LONGEST_LIFE).plus(LEEWAY) <= now) {
            return Err(Flaw::Expired);
        }
        let id = text(claims, "jti")?.ok_or(Flaw::ClaimMissing("jti"))?;
        if !(1..=MAX_ID).contains(&id.len()) {
            return Err(Flaw::ClaimInvalid("jti"));
        }
        Ok(Single { id: id.to_owned(), until })
    }
}

/// Whether all of its audiences are names of ours. One that names others too could be sent on by them, or was meant for them
/// and was made to name us (draft-ietf-oauth-rfc7523bis, section 1: audience injection).
fn is_for_us_alone(audience: &Value, audiences: &[&str]) -> Result<bool, Flaw> {
    let ours = |name: &Value| match name {
        Value::String(name) => Ok(audiences.contains(&name.as_str())),
        _ => Err(Flaw::ClaimInvalid("aud")),
    };
    match audience {
        Value::Array(list) if (1..=audiences.len()).contains(&list.len()) => {
            list.iter().try_fold(true, |all, name| Ok(ours(name)? && all))
        }
        Value::Array(_) => Ok(false),
        one => ours(one),
    }
}

/// By how much a client's clock may differ from ours.
const LEEWAY: Duration = Duration::from_secs(30);
/// How long an assertion may live at most. A few minutes are enough, but well-known libraries make them for an hour.
const LONGEST_LIFE: Duration = Duration::from_secs(60 * 60);
/// The longest id, in bytes.
const MAX_ID: usize = 255;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{KID, Signer};
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://as.example";
    const ENDPOINT: &str = "https://as.example/oauth/token";

    fn verify(token: &str, keys: &KeySet) -> Result<Single, Flaw> {
        Assertion::parse(token)?.verify(keys, &[ISSUER, ENDPOINT], Timestamp::from_micros(NOW * 1_000_000))
    }

    #[test]
    fn claims_keep_their_rules() {
        let signer = Signer::ed25519(KID);
        let good = json!({"iss": "cli_1", "sub": "cli_1", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "one"});
        let single = verify(&signer.sign(&good), &signer.keys()).unwrap();
        assert_eq!(single, Single { id: "one".to_owned(), until: Timestamp::from_micros((NOW + 90) * 1_000_000) });
        let cases = [
            ("sub", None, Err(Flaw::ClaimMissing("sub"))),
            ("sub", Some(json!("cli_2")), Err(Flaw::ClaimInvalid("iss"))),
            ("iss", None, Err(Flaw::ClaimMissing("iss"))),
            ("iss", Some(json!(ISSUER)), Err(Flaw::ClaimInvalid("iss"))),
            ("aud", None, Err(Flaw::ClaimMissing("aud"))),
            ("aud", Some(json!([ISSUER])), Ok(())),
            ("aud", Some(json!(ENDPOINT)), Ok(())),
            ("aud", Some(json!([ISSUER, ENDPOINT])), Ok(())),
            ("aud", Some(json!([ISSUER, "https://evil.example"])), Err(Flaw::WrongAudience)),
            ("aud", Some(json!([])), Err(Flaw::WrongAudience)),
            ("aud", Some(json!([ISSUER, ISSUER, ISSUER])), Err(Flaw::WrongAudience)),
            ("aud", Some(json!("https://as.example/")), Err(Flaw::WrongAudience)),
            ("aud", Some(json!("https://as.example.evil.example")), Err(Flaw::WrongAudience)),
            ("aud", Some(json!([ISSUER, 7])), Err(Flaw::ClaimInvalid("aud"))),
            ("exp", None, Err(Flaw::ClaimMissing("exp"))),
            ("exp", Some(json!(NOW - 29)), Ok(())),
            ("exp", Some(json!(NOW - 30)), Err(Flaw::Expired)),
            ("exp", Some(json!(NOW + 3600)), Ok(())),
            ("exp", Some(json!(NOW + 3631)), Err(Flaw::ClaimInvalid("exp"))),
            ("exp", Some(json!("soon")), Err(Flaw::ClaimInvalid("exp"))),
            ("iat", None, Ok(())),
            ("iat", Some(json!(NOW + 31)), Err(Flaw::NotYetValid)),
            ("iat", Some(json!(NOW - 3630)), Err(Flaw::Expired)),
            ("nbf", Some(json!(NOW + 31)), Err(Flaw::NotYetValid)),
            ("jti", None, Err(Flaw::ClaimMissing("jti"))),
            ("jti", Some(json!("")), Err(Flaw::ClaimInvalid("jti"))),
            ("jti", Some(json!("x".repeat(256))), Err(Flaw::ClaimInvalid("jti"))),
            ("jti", Some(json!(7)), Err(Flaw::ClaimInvalid("jti"))),
        ];
        for (name, value, wanted) in cases {
            let mut claims = good.clone();
            let case = format!("{name} {value:?}");
            match value {
                Some(value) => claims[name] = value,
                None => drop(claims.as_object_mut().unwrap().remove(name)),
            }
            assert_eq!(verify(&signer.sign(&claims), &signer.keys()).map(drop), wanted, "{case:.80}");
        }
        let other = Signer::ed25519(KID);
        assert_eq!(verify(&other.sign(&good), &signer.keys()), Err(Flaw::BadSignature));
    }
}
