//! The keys as this node holds them: opened, and ready to sign and to check.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Serialize;

use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::sealing::Keyring;
use crate::domain::signing_key::{self, SigningAlgorithm, SigningKey};
use zeroize::Zeroizing;

/// The keys of the installation.
#[derive(Default)]
pub(super) struct Ring {
    stored: Vec<SigningKey>,
    opened: Vec<Opened>,
}

/// A key in the forms in which it is used.
pub(super) struct Opened {
    pub(super) kid: String,
    pub(super) algorithm: Algorithm,
    pub(super) public: DecodingKey,
    private: Private,
}

/// The private halves, ready to sign: reading one takes longer than signing with it.
enum Private {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<rsa::KeyPair>),
}

impl Ring {
    /// Opens these keys.
    ///
    /// # Errors
    /// INTERNAL when one of them was sealed under another master key, or is damaged.
    pub(super) fn new(stored: Vec<SigningKey>, keyring: &Keyring) -> Result<Self> {
        let opened: Option<Vec<_>> = stored.iter().map(|key| Opened::new(key, keyring)).collect();
        let Some(opened) = opened else {
            tracing::error!("a stored signing key cannot be opened with this master key");
            return Err(super::cannot_sign());
        };
        Ok(Self { stored, opened })
    }

    /// Whether it was made of these keys.
    pub(super) fn is_of(&self, keys: &[SigningKey]) -> bool {
        self.stored == keys
    }

    /// The names of the keys.
    pub(super) fn kids(&self) -> impl Iterator<Item = &String> {
        self.opened.iter().map(|key| &key.kid)
    }

    /// Whether there is a key of this name, past its end or not.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.opened.iter().any(|key| key.kid == kid)
    }

    /// The key that signs so now.
    pub(super) fn signer(&self, algorithm: SigningAlgorithm, now: Timestamp) -> Option<&Opened> {
        let signer = signing_key::signer(&self.stored, algorithm, now)?;
        self.opened.iter().find(|key| key.kid == signer.kid)
    }

    /// The key of this name, if what it signed is accepted now.
    pub(super) fn verifier(&self, kid: &str, now: Timestamp) -> Option<&Opened> {
        let mut keys = self.stored.iter().zip(&self.opened);
        keys.find(|(stored, opened)| opened.kid == kid && stored.is_published(now)).map(|(_, opened)| opened)
    }

    /// The published keys as a JWK Set.
    pub(super) fn key_set(&self, now: Timestamp) -> String {
        let published = self.stored.iter().filter(|key| key.is_published(now));
        let keys: Vec<&str> = published.map(|key| key.public_jwk.as_str()).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }
}

impl Opened {
    fn new(key: &SigningKey, keyring: &Keyring) -> Option<Self> {
        let document = key.private_key(keyring)?;
        let jwk = serde_json::from_str(&key.public_jwk).ok()?;
        let (algorithm, private) = match key.algorithm {
            SigningAlgorithm::EdDsa => {
                (Algorithm::EdDSA, Private::Ed25519(Ed25519KeyPair::from_pkcs8(&document).ok()?))
            }
            SigningAlgorithm::Rs256 => {
                (Algorithm::RS256, Private::Rsa(Box::new(rsa::KeyPair::from_pkcs8(&document).ok()?)))
            }
        };
        Some(Self { kid: key.kid.clone(), algorithm, public: DecodingKey::from_jwk(&jwk).ok()?, private })
    }

    /// Writes claims and signs them (RFC 7515, section 7.1). `kind` is the `typ` of the token.
    ///
    /// # Errors
    /// INTERNAL.
    pub(super) fn sign(&self, kind: &str, claims: &impl Serialize) -> Result<Zeroizing<String>> {
        let header = Header { kid: Some(self.kid.clone()), typ: Some(kind.to_owned()), ..Header::new(self.algorithm) };
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "a token could not be signed");
            super::cannot_sign()
        };
        let mut token = Zeroizing::new(String::new());
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(&header).map_err(|error| failed(&error))?, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).map_err(|error| failed(&error))?, &mut token);
        let signature = self.private.sign(token.as_bytes()).ok_or_else(|| failed(&"the key does not sign"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl Private {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}
