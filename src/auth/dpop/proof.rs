//! One proof (RFC 9449, section 4.2): what it says, and what is held against it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::auth::outside::claims::{text, time};
use crate::auth::outside::flaw::Flaw;
use crate::auth::outside::json;
use crate::auth::outside::jws::{Jws, Purpose};
use crate::auth::outside::key_set::PublicKey;
use crate::domain::clock::Timestamp;
use crate::domain::oauth::thumbprint::Thumbprint;

/// A proof that its key signed. Whether it is for this request is another question.
pub struct Proof {
    /// The key.
    pub key: Thumbprint,
    /// What no two proofs of a key have in common (`jti`).
    pub id: String,
    /// When it was made (`iat`).
    made_at: Timestamp,
    method: String,
    url: String,
    token: Option<String>,
    pub(super) nonce: Option<String>,
}

/// What a proof has to be for.
pub(super) struct Target<'a> {
    pub(super) method: &'a str,
    /// Whether an address is that of the request.
    pub(super) is_there: &'a dyn Fn(&str) -> bool,
    pub(super) token: Option<&'a str>,
}

impl Proof {
    /// Reads a proof and checks it by the key that it brings.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(proof: &str) -> Result<Self, Flaw> {
        let jws = Jws::parse(proof, Purpose::Possession)?;
        let brought = jws.brought.as_ref().ok_or(Flaw::HeaderMember)?;
        let key = PublicKey::alone(brought).ok_or(Flaw::UnknownKey)?;
        let claims = json::object(key.verify(&jws)?).map_err(|_| Flaw::ClaimsNotJson)?;
        let claim = |name, most| bounded(&claims, name, most)?.ok_or(Flaw::ClaimMissing(name));
        Ok(Self {
            key: thumbprint(brought).ok_or(Flaw::UnknownKey)?,
            id: claim("jti", MAX_ID)?,
            method: claim("htm", MAX_METHOD)?,
            url: claim("htu", MAX_URL)?,
            made_at: time(&claims, "iat")?.ok_or(Flaw::ClaimMissing("iat"))?,
            token: bounded(&claims, "ath", MAX_ID)?,
            nonce: bounded(&claims, "nonce", MAX_ID)?,
        })
    }

    /// From when on it is refused for its age.
    pub fn until(&self) -> Timestamp {
        self.made_at.plus(OLDEST)
    }

    /// Whether it is for this request and for now (RFC 9449, section 4.3).
    pub(super) fn check(&self, target: &Target<'_>, now: Timestamp) -> Result<(), Flaw> {
        if self.method != target.method {
            return Err(Flaw::ClaimInvalid("htm"));
        }
        if !(target.is_there)(&self.url) {
            return Err(Flaw::ClaimInvalid("htu"));
        }
        if self.made_at > now.plus(AHEAD) {
            return Err(Flaw::NotYetValid);
        }
        if self.until() <= now {
            return Err(Flaw::Expired);
        }
        match (target.token, &self.token) {
            // At the token endpoint there is none yet.
            (None, _) => Ok(()),
            (Some(_), None) => Err(Flaw::ClaimMissing("ath")),
            (Some(token), Some(hash)) if *hash == hash_of(token) => Ok(()),
            (Some(_), Some(_)) => Err(Flaw::ClaimInvalid("ath")),
        }
    }
}

fn bounded(claims: &Map<String, Value>, name: &'static str, most: usize) -> Result<Option<String>, Flaw> {
    match text(claims, name)? {
        Some(text) if (1..=most).contains(&text.len()) => Ok(Some(text.to_owned())),
        Some(_) => Err(Flaw::ClaimInvalid(name)),
        None => Ok(None),
    }
}

/// RFC 9449, section 4.2, `ath`.
fn hash_of(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

/// RFC 7638, section 3: the members that make the key, by name, and nothing else. They were read strictly, so that a key has
/// one spelling, and hold nothing that JSON would have to escape.
fn thumbprint(jwk: &Map<String, Value>) -> Option<Thumbprint> {
    let names: &[&str] = match jwk.get("kty")?.as_str()? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let members = names.iter().map(|name| Some(format!("\"{name}\":\"{}\"", jwk.get(*name)?.as_str()?)));
    let members: Vec<String> = members.collect::<Option<_>>()?;
    let hash = digest(&SHA256, format!("{{{}}}", members.join(",")).as_bytes());
    hash.as_ref().try_into().ok().map(Thumbprint::from_bytes)
}

/// How old a proof may be: the time a request takes, and the difference of clocks.
const OLDEST: Duration = Duration::from_secs(90);
/// How far ahead of ours its clock may be.
const AHEAD: Duration = Duration::from_secs(30);
/// How long a proof may be seen again at most.
pub(super) const FRESH: Duration = OLDEST.saturating_add(AHEAD);
const MAX_ID: usize = 255;
const MAX_METHOD: usize = 32;
const MAX_URL: usize = 4_096;

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const URL: &str = "https://keys.example/v1/users";

    fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    struct Holder(EcdsaKeyPair);

    impl Holder {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn jwk(&self) -> Value {
            let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
            json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
        }

        fn header(&self) -> Value {
            json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.jwk()})
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| encode(value.to_string().as_bytes());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", encode(signature.as_ref()))
        }
    }

    fn claims() -> Value {
        json!({"jti": "one", "htm": "GET", "htu": URL, "iat": NOW, "ath": hash_of("token")})
    }

    fn check(proof: &str) -> Result<(), Flaw> {
        let is_there = |url: &str| url == URL;
        let target = Target { method: "GET", is_there: &is_there, token: Some("token") };
        Proof::read(proof)?.check(&target, Timestamp::from_micros(NOW * 1_000_000))
    }

    #[test]
    fn the_thumbprint_of_the_rfc() {
        let jwk = json!({
            "kty": "RSA", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        });
        let thumbprint = thumbprint(jwk.as_object().unwrap()).unwrap();
        assert_eq!(thumbprint.to_string(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_proof_is_for_one_request() {
        let holder = Holder::new();
        let proof = holder.sign(&holder.header(), &claims());
        assert_eq!(check(&proof), Ok(()));
        assert_eq!(Proof::read(&proof).map(|proof| proof.id).as_deref(), Ok("one"));
        let cases = [
            ("jti", None, Err(Flaw::ClaimMissing("jti"))),
            ("jti", Some(json!("")), Err(Flaw::ClaimInvalid("jti"))),
            ("jti", Some(json!("x".repeat(256))), Err(Flaw::ClaimInvalid("jti"))),
            ("htm", None, Err(Flaw::ClaimMissing("htm"))),
            ("htm", Some(json!("POST")), Err(Flaw::ClaimInvalid("htm"))),
            ("htm", Some(json!("get")), Err(Flaw::ClaimInvalid("htm"))),
            ("htu", None, Err(Flaw::ClaimMissing("htu"))),
            ("htu", Some(json!("https://keys.example/v1/keys")), Err(Flaw::ClaimInvalid("htu"))),
            ("htu", Some(json!(["https://keys.example/v1/users"])), Err(Flaw::ClaimInvalid("htu"))),
            ("iat", None, Err(Flaw::ClaimMissing("iat"))),
            ("iat", Some(json!(NOW - 89)), Ok(())),
            ("iat", Some(json!(NOW - 90)), Err(Flaw::Expired)),
            ("iat", Some(json!(NOW + 30)), Ok(())),
            ("iat", Some(json!(NOW + 31)), Err(Flaw::NotYetValid)),
            ("iat", Some(json!("now")), Err(Flaw::ClaimInvalid("iat"))),
            ("ath", None, Err(Flaw::ClaimMissing("ath"))),
            ("ath", Some(json!(hash_of("another"))), Err(Flaw::ClaimInvalid("ath"))),
            ("nonce", Some(json!(7)), Err(Flaw::ClaimInvalid("nonce"))),
            ("more", Some(json!({"any": "thing"})), Ok(())),
        ];
        for (name, value, wanted) in cases {
            let mut claims = claims();
            let case = format!("{name} {value:?}");
            match value {
                Some(value) => claims[name] = value,
                None => drop(claims.as_object_mut().unwrap().remove(name)),
            }
            assert_eq!(check(&holder.sign(&holder.header(), &claims)), wanted, "{case:.80}");
        }
    }

    #[test]
    fn a_proof_brings_a_public_key_that_signed_it() {
        let (holder, other) = (Holder::new(), Holder::new());
        let with = |name: &str, value: Value| {
            let mut header = holder.header();
            header[name] = value;
            header
        };
        let jwk_with = |name: &str, value: Value| {
            let mut jwk = holder.jwk();
            jwk[name] = value;
            with("jwk", jwk)
        };
        for (header, wanted) in [
            (with("alg", json!("none")), Flaw::AlgorithmUnsupported),
            (with("alg", json!("HS256")), Flaw::AlgorithmUnsupported),
            (with("alg", json!("ES384")), Flaw::UnknownKey),
            (with("alg", json!("EdDSA")), Flaw::UnknownKey),
            (with("typ", json!("JWT")), Flaw::WrongType),
            (with("typ", Value::Null), Flaw::HeaderMember),
            (with("crit", json!(["b64"])), Flaw::Critical),
            (with("jwk", Value::Null), Flaw::HeaderMember),
            (with("jwk", json!({"kty": "oct", "k": "AAAA"})), Flaw::UnknownKey),
            (jwk_with("d", json!("AAAA")), Flaw::UnknownKey),
            (jwk_with("x", json!("AAAA")), Flaw::UnknownKey),
            (with("jwk", other.jwk()), Flaw::BadSignature),
        ] {
            assert_eq!(check(&holder.sign(&header, &claims())), Err(wanted), "{header}");
        }
        // The name of the key, and what it may be used for, do not matter.
        assert_eq!(check(&holder.sign(&with("kid", json!("any")), &claims())), Ok(()));
    }
}
