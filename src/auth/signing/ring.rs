//! The keys as this node holds them: opened, and ready to sign and to check.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::sealing::Keyring;
use crate::domain::signing_key::{self, SigningAlgorithm, SigningKey};

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
    pub(super) private: EncodingKey,
    pub(super) public: DecodingKey,
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

    /// The key that signs now.
    pub(super) fn signer(&self, now: Timestamp) -> Option<&Opened> {
        let signer = signing_key::signer(&self.stored, now)?;
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
        let private = key.private_key(keyring)?;
        let jwk = serde_json::from_str(&key.public_jwk).ok()?;
        let (algorithm, private) = match key.algorithm {
            SigningAlgorithm::EdDsa => (Algorithm::EdDSA, EncodingKey::from_ed_der(&private)),
        };
        Some(Self { kid: key.kid.clone(), algorithm, private, public: DecodingKey::from_jwk(&jwk).ok()? })
    }
}
