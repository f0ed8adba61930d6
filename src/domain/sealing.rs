//! What the master key does: hashing secrets under a pepper, and sealing what must be read again.
//!
//! HKDF-SHA-256 (RFC 5869) gives each use a key of its own, so that no use can be turned against another.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::audit_chain::AuditKey;
use super::entropy::Entropy;
use super::secret::{PlainSecret, SecretHash};

/// The installation's root secret, 32 bytes.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Makes a new master key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        entropy.fill(&mut *bytes);
        Self(bytes)
    }

    /// Reads a master key: 32 bytes in base64 (RFC 4648, section 4).
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).ok()?;
        Some(Self(Zeroizing::new(bytes)))
    }

    /// The key in base64, for its file.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.0))
    }

    /// Derives the keys of every use.
    pub fn derive(&self) -> Keyring {
        let root = Salt::new(HKDF_SHA256, b"gatepost").extract(&*self.0);
        Keyring {
            pepper: hmac::Key::new(hmac::HMAC_SHA256, &*expand(&root, b"pepper v1")),
            // The length is the cipher's own, so that making the key cannot fail.
            seal: RandomizedNonceKey::new(&AES_256_GCM, &*expand(&root, b"seal v1")).expect("a key of 32 bytes"),
            pages: hmac::Key::new(hmac::HMAC_SHA256, &*expand(&root, b"page tokens v1")),
            audit: AuditKey::new(&expand(&root, b"audit v1")),
            check: *expand(&root, b"check v1"),
        }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// The keys derived from the master key, one a use.
pub struct Keyring {
    pepper: hmac::Key,
    seal: RandomizedNonceKey,
    pages: hmac::Key,
    audit: AuditKey,
    check: [u8; 32],
}

impl Keyring {
    /// Hashes a secret for storage and look-up.
    pub fn hash(&self, secret: &str) -> SecretHash {
        SecretHash::from_bytes(tag(&self.pepper, secret.as_bytes()))
    }

    /// Hashes a request, to know it again.
    pub fn fingerprint(&self, request: &[u8]) -> [u8; 32] {
        tag(&self.pages, request)
    }

    /// Ties the entries of the audit log together.
    pub fn audit(&self) -> &AuditKey {
        &self.audit
    }

    /// Proves without telling which master key this is: the store keeps it and is refused with another.
    pub fn check(&self) -> &[u8; 32] {
        &self.check
    }

    /// Seals bytes so that only this installation can read them, and only for `context` (what they are and whose).
    pub fn seal(&self, plain: &[u8], context: &str) -> Vec<u8> {
        let mut sealed = plain.to_vec();
        // Sealing fails only above the cipher's limit of 64 GiB; what we seal is a secret or an answer that holds one.
        let nonce = self.seal.seal_in_place_append_tag(Aad::from(context), &mut sealed).expect("below 64 GiB");
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut sealed);
        out
    }

    /// Opens what [`Self::seal`] made for the same context; none if it was changed or sealed for another.
    pub fn open(&self, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let length = self.seal.open_in_place(nonce, Aad::from(context), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }

    /// Opens a sealed secret.
    pub fn open_secret(&self, sealed: &[u8], context: &str) -> Option<PlainSecret> {
        let bytes = self.open(sealed, context)?;
        Some(PlainSecret::unsealed(std::str::from_utf8(&bytes).ok()?.to_owned()))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

fn expand(root: &Prk, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut out = Zeroizing::new([0; 32]);
    // HKDF fails only when asked for more than 255 hashes' worth of bytes (RFC 5869, section 2.3).
    root.expand(&[purpose], Length).and_then(|okm| okm.fill(&mut *out)).expect("32 bytes are below the limit");
    out
}

fn tag(key: &hmac::Key, bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(key, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::super::entropy::SystemEntropy;
    use super::*;

    #[test]
    fn a_seal_opens_for_its_own_context_only() {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        let sealed = keyring.seal(b"hello", "key_1");
        assert_eq!(keyring.open(&sealed, "key_1").unwrap().as_slice(), b"hello");
        assert!(keyring.open(&sealed, "key_2").is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keyring.open(&changed, "key_1").is_none(), "changed at {at}");
        }
        let other = MasterKey::generate(&SystemEntropy).derive();
        assert!(other.open(&sealed, "key_1").is_none());
        assert!(keyring.open(b"short", "key_1").is_none());
    }

    #[test]
    fn a_master_key_survives_its_file_and_decides_the_hashes() {
        let key = MasterKey::generate(&SystemEntropy);
        let again = MasterKey::parse(&key.to_base64()).unwrap();
        assert_eq!(key.derive().hash("x"), again.derive().hash("x"));
        assert_eq!(key.derive().check(), again.derive().check());
        assert_ne!(key.derive().hash("x"), MasterKey::generate(&SystemEntropy).derive().hash("x"));
        assert!(MasterKey::parse("c2hvcnQ=").is_none());
    }
}
