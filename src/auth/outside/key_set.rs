//! The public keys of an issuer: a JWK Set (RFC 7517, section 5).
//!
//! Keys that are of no use here (for encryption, of unknown kinds, too small) are passed over, as the RFC asks. A set that says
//! two things under one name, or tells a secret, is refused whole: who publishes one has lost control of it.

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};

use super::flaw::Flaw;
use super::json;
use super::jws::Jws;
use super::roca;
use crate::domain::issuer::Algorithm;

/// The keys of an issuer that a token may be checked by.
#[derive(Debug)]
pub struct KeySet(Vec<PublicKey>);

/// Why a text is no set of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeySetFlaw {
    /// It is longer than [`MAX_KEY_SET`].
    TooLong,
    /// It is not a JSON object with a list of `keys`.
    NotAKeySet,
    /// It holds more than [`MAX_KEYS`].
    TooMany,
    /// Two of the keys have one name.
    DuplicateKid,
    /// One of the keys is a secret.
    Secret,
    /// None of the keys is of use.
    NoneUsable,
}

/// A key that something may be checked by.
pub(in crate::auth) struct PublicKey {
    kid: Option<String>,
    /// The one algorithm it says it is for.
    algorithm: Option<Algorithm>,
    kind: Kind,
    key: DecodingKey,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// Why nothing can be checked by it.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetFlaw> {
        if text.len() > MAX_KEY_SET {
            return Err(KeySetFlaw::TooLong);
        }
        let set = json::object(text).map_err(|_| KeySetFlaw::NotAKeySet)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(KeySetFlaw::NotAKeySet)?;
        if listed.len() > MAX_KEYS {
            return Err(KeySetFlaw::TooMany);
        }
        let mut names = HashSet::new();
        let mut keys = Vec::new();
        for key in listed {
            let key = key.as_object().ok_or(KeySetFlaw::NotAKeySet)?;
            if SECRET_MEMBERS.into_iter().any(|name| key.contains_key(name)) || text_of(key, "kty") == Some("oct") {
                return Err(KeySetFlaw::Secret);
            }
            match key.get("kid") {
                None => {}
                Some(Value::String(kid)) if names.insert(kid.as_str()) => {}
                Some(Value::String(_)) => return Err(KeySetFlaw::DuplicateKid),
                Some(_) => return Err(KeySetFlaw::NotAKeySet),
            }
            keys.extend(PublicKey::read(key));
        }
        if keys.is_empty() { Err(KeySetFlaw::NoneUsable) } else { Ok(Self(keys)) }
    }

    /// Whether there is a key that this token may have been signed by.
    pub fn has_key_of(&self, jws: &Jws<'_>) -> bool {
        !matches!(self.find(jws), Err(Flaw::UnknownKey))
    }

    /// Fails unless the token is signed by the key that it names, or by the only one it can have been.
    pub(super) fn verify(&self, jws: &Jws<'_>) -> Result<(), Flaw> {
        self.find(jws)?.has_signed(jws)
    }

    fn find(&self, jws: &Jws<'_>) -> Result<&PublicKey, Flaw> {
        let fits = |key: &&PublicKey| key.is_for(jws.algorithm);
        match jws.key() {
            Some(kid) => self.0.iter().filter(fits).find(|key| key.kid.as_deref() == Some(kid)).ok_or(Flaw::UnknownKey),
            None => {
                let mut fitting = self.0.iter().filter(fits);
                match (fitting.next(), fitting.next()) {
                    (Some(key), None) => Ok(key),
                    (Some(_), Some(_)) => Err(Flaw::KeyNotNamed),
                    (None, _) => Err(Flaw::UnknownKey),
                }
            }
        }
    }
}

impl PublicKey {
    /// Reads a key that stands alone; none if it cannot check a token here, or tells a secret.
    pub(in crate::auth) fn alone(jwk: &Map<String, Value>) -> Option<Self> {
        if SECRET_MEMBERS.into_iter().any(|name| jwk.contains_key(name)) { None } else { Self::read(jwk) }
    }

    /// What was signed, if this key signed it, whatever name it goes by.
    pub(in crate::auth) fn verify<'j>(&self, jws: &'j Jws<'_>) -> Result<&'j [u8], Flaw> {
        if !self.is_for(jws.algorithm) {
            return Err(Flaw::UnknownKey);
        }
        self.has_signed(jws)?;
        Ok(jws.unverified_payload())
    }

    fn has_signed(&self, jws: &Jws<'_>) -> Result<(), Flaw> {
        let algorithm = library_name(jws.algorithm);
        match jsonwebtoken::crypto::verify(jws.signature, jws.signed.as_bytes(), &self.key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Flaw::BadSignature),
        }
    }

    /// Reads a key; none if it cannot check a token here.
    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        if jwk.get("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let verifies = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
        if jwk.get("key_ops").is_some_and(|ops| !verifies(ops)) {
            return None;
        }
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(Algorithm::parse(name.as_str()?)?),
        };
        let (kind, key) = match (text_of(jwk, "kty")?, text_of(jwk, "crv")) {
            ("RSA", _) => (Kind::Rsa, rsa(jwk)?),
            ("EC", Some("P-256")) => (Kind::P256, point(jwk, 32)?),
            ("EC", Some("P-384")) => (Kind::P384, point(jwk, 48)?),
            ("OKP", Some("Ed25519")) => (Kind::Ed25519, ed25519(jwk)?),
            _ => return None,
        };
        let kid = text_of(jwk, "kid").map(str::to_owned);
        let key = Self { kid, algorithm, kind, key };
        // A key whose name of an algorithm is not one of its kind is for nothing.
        algorithm.is_none_or(|algorithm| key.is_for(algorithm)).then_some(key)
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.kind == kind_of(algorithm)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?} {:?})", self.kind, self.kid)
    }
}

impl fmt::Display for KeySetFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "must be at most {MAX_KEY_SET} bytes"),
            Self::NotAKeySet => {
                f.write_str("must be a JWK Set: a JSON object with a list of keys (RFC 7517, section 5)")
            }
            Self::TooMany => write!(f, "must hold at most {MAX_KEYS} keys"),
            Self::DuplicateKid => f.write_str("must not hold two keys of one kid"),
            Self::Secret => f.write_str("must hold public keys only, and holds a secret; replace that key"),
            Self::NoneUsable => f.write_str(
                "must hold a public key for signatures: RSA of 2048 to 8192 bits, EC on P-256 or P-384, or Ed25519",
            ),
        }
    }
}

/// RFC 7518, section 6.3.1: both numbers in as few bytes as they need.
fn rsa(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let number = |name| bytes_of(jwk, name).filter(|bytes| bytes.first().is_some_and(|first| *first != 0));
    let (modulus, exponent) = (number("n")?, number("e")?);
    let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    // An exponent of 1 signs nothing, and one of more than four bytes only makes checking slow.
    let sound = RSA_BITS.contains(&bits) && odd(&modulus) && odd(&exponent) && exponent.len() <= 4 && exponent != [1];
    (sound && !roca::marks(&modulus)).then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// RFC 7518, section 6.2.1: both coordinates in as many bytes as the curve has; and the point is on the curve.
fn point(jwk: &Map<String, Value>, length: usize) -> Option<DecodingKey> {
    let coordinate = |name| bytes_of(jwk, name).filter(|bytes| bytes.len() == length);
    let point = [&[UNCOMPRESSED][..], &coordinate("x")?, &coordinate("y")?].concat();
    let algorithm = if length == 32 { &ECDSA_P256_SHA256_FIXED } else { &ECDSA_P384_SHA384_FIXED };
    ParsedPublicKey::new(algorithm, &point).ok()?;
    Some(DecodingKey::from_ec_der(&point))
}

/// RFC 8037, section 2.
fn ed25519(jwk: &Map<String, Value>) -> Option<DecodingKey> {
    let key = bytes_of(jwk, "x").filter(|bytes| bytes.len() == 32)?;
    ParsedPublicKey::new(&ED25519, &key).ok()?;
    Some(DecodingKey::from_ed_der(&key))
}

fn bytes_of(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text_of(jwk, name)?).ok()
}

fn text_of<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

const fn kind_of(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::Es256 => Kind::P256,
        Algorithm::Es384 => Kind::P384,
        Algorithm::EdDsa => Kind::Ed25519,
        Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => Kind::Rsa,
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => Kind::Rsa,
    }
}

const fn library_name(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
    }
}

/// The longest set taken, in bytes.
pub const MAX_KEY_SET: usize = 256 * 1024;
/// The most keys in a set.
pub const MAX_KEYS: usize = 100;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Stands before a point of which both coordinates are given (SEC 1, section 2.3.3).
const UNCOMPRESSED: u8 = 4;
/// What only a private or a symmetric key has (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
