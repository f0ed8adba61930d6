//! What the master key does: hashing secrets under a pepper, and sealing what must be read again.
//!
//! The master key itself wraps the keys of the data ([`DataKeys`]), which do the rest. Those that an installation begins with
//! are derived from its first master key by HKDF-SHA-256 (RFC 5869), each use with a key of its own, so that no use can be
//! turned against another.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::audit_chain::AuditKey;
use super::data_keys::DataKeys;
use super::entropy::Entropy;
use super::secret::{PlainSecret, SecretHash};

/// The installation's root secret, 32 bytes.
#[derive(Clone)]
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

    /// Tells which master key this is, and nothing else about it.
    pub fn check(&self) -> [u8; 32] {
        *expand(&self.root(), b"check v1")
    }

    /// The keys of the data of an installation that begins with this master key.
    pub fn founding_keys(&self) -> DataKeys {
        let root = self.root();
        DataKeys {
            pepper: expand(&root, b"pepper v1"),
            pages: expand(&root, b"page tokens v1"),
            audit: expand(&root, b"audit v1"),
            seals: vec![(1, expand(&root, b"seal v1"))],
        }
    }

    /// Wraps the keys of the data, so that whoever has this master key has them.
    pub fn wrap(&self, keys: &DataKeys) -> Vec<u8> {
        seal_with(&self.wrapping_key(), &keys.to_bytes(), WRAPPED)
    }

    /// Opens what [`Self::wrap`] made; none if it was changed, or made by another master key.
    pub fn unwrap(&self, wrapped: &[u8]) -> Option<DataKeys> {
        DataKeys::from_bytes(&open_with(&self.wrapping_key(), wrapped, WRAPPED)?)
    }

    /// What an installation that begins with this master key hashes and seals with.
    pub fn derive(&self) -> Keyring {
        Keyring::new(self.clone(), &self.founding_keys())
    }

    fn wrapping_key(&self) -> RandomizedNonceKey {
        cipher(&expand(&self.root(), b"data keys v1"))
    }

    fn root(&self) -> Prk {
        Salt::new(HKDF_SHA256, b"gatepost").extract(&*self.0)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// What a running installation hashes and seals with: the keys of its data, and the master key that holds them. What is
/// sealed begins with the number of its seal key, in four bytes.
pub struct Keyring {
    pepper: hmac::Key,
    pages: hmac::Key,
    audit: AuditKey,
    /// What changes when the master key is replaced.
    held: RwLock<Arc<Held>>,
}

struct Held {
    master: MasterKey,
    /// Of which state of the store it is.
    version: i64,
    /// By number, oldest first; there is at least one.
    seals: Vec<(u32, RandomizedNonceKey)>,
}

impl Keyring {
    /// The keys of the data, which this master key holds.
    pub fn new(master: MasterKey, keys: &DataKeys) -> Self {
        Self {
            pepper: hmac::Key::new(hmac::HMAC_SHA256, &*keys.pepper),
            pages: hmac::Key::new(hmac::HMAC_SHA256, &*keys.pages),
            audit: AuditKey::new(&keys.audit),
            held: RwLock::new(Arc::new(Held::new(master, 0, keys))),
        }
    }

    /// Takes what the store holds now into account: these keys, under this master key.
    pub fn learn(&self, master: MasterKey, version: i64, keys: &DataKeys) {
        let new = Arc::new(Held::new(master, version, keys));
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // Of two that read the store at the same time, the one that read less may come last.
        if held.version <= version {
            *held = new;
        }
    }

    /// The master key that holds the keys.
    pub fn master(&self) -> MasterKey {
        self.held().master.clone()
    }

    /// Of which state of the store it is; 0 while that was not said.
    pub fn version(&self) -> i64 {
        self.held().version
    }

    /// What all new seals begin with.
    pub fn newest_seal(&self) -> [u8; 4] {
        self.held().newest().0.to_be_bytes()
    }

    /// Whether the key that this was sealed with is known here. Where it is not, it may have been made since the store was
    /// read.
    pub fn knows_seal(&self, sealed: &[u8]) -> bool {
        number(sealed).is_some_and(|(number, _)| self.held().seal(number).is_some())
    }

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

    /// Seals bytes so that only this installation can read them, and only for `context` (what they are and whose).
    pub fn seal(&self, plain: &[u8], context: &str) -> Vec<u8> {
        let held = self.held();
        let (number, key) = held.newest();
        let mut sealed = number.to_be_bytes().to_vec();
        sealed.extend(seal_with(key, plain, context));
        sealed
    }

    /// Opens what [`Self::seal`] made for the same context; none if it was changed or sealed for another.
    pub fn open(&self, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (number, sealed) = number(sealed)?;
        open_with(self.held().seal(number)?, sealed, context)
    }

    /// Opens a sealed secret.
    pub fn open_secret(&self, sealed: &[u8], context: &str) -> Option<PlainSecret> {
        let bytes = self.open(sealed, context)?;
        Some(PlainSecret::unsealed(std::str::from_utf8(&bytes).ok()?.to_owned()))
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    fn new(master: MasterKey, version: i64, keys: &DataKeys) -> Self {
        Self { master, version, seals: keys.seals.iter().map(|(number, key)| (*number, cipher(key))).collect() }
    }

    fn newest(&self) -> &(u32, RandomizedNonceKey) {
        // Data keys hold one at least.
        self.seals.last().expect("a seal key")
    }

    fn seal(&self, number: u32) -> Option<&RandomizedNonceKey> {
        self.seals.iter().find(|(known, _)| *known == number).map(|(_, key)| key)
    }
}

/// For what the secret of a key is sealed.
pub fn secret_context(key_id: &str) -> String {
    format!("secret of {key_id}")
}

/// For what the answer to a request is sealed that may come again.
pub fn answer_context(project: &str, actor: &str, idempotency_key: &str) -> String {
    format!("answer to {project} {actor} {idempotency_key}")
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

fn number(sealed: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = sealed.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn cipher(key: &[u8; 32]) -> RandomizedNonceKey {
    // The length is the cipher's own, so that making the key cannot fail.
    RandomizedNonceKey::new(&AES_256_GCM, key).expect("a key of 32 bytes")
}

fn seal_with(key: &RandomizedNonceKey, plain: &[u8], context: &str) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    // Sealing fails only above the cipher's limit of 64 GiB; what we seal is a secret or an answer that holds one.
    let nonce = key.seal_in_place_append_tag(Aad::from(context), &mut sealed).expect("below 64 GiB");
    let mut out = nonce.as_ref().to_vec();
    out.append(&mut sealed);
    out
}

fn open_with(key: &RandomizedNonceKey, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(context), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
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

const WRAPPED: &str = "keys of the data";

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
        assert_eq!(key.check(), again.check());
        assert_ne!(key.derive().hash("x"), MasterKey::generate(&SystemEntropy).derive().hash("x"));
        assert!(MasterKey::parse("c2hvcnQ=").is_none());
    }

    #[test]
    fn what_an_installation_begins_with_never_changes() {
        let key = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let hash = key.derive().hash("sk_live_x");
        let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "388dacbae6cdc2cd52a51e3ee639dc2c88d52af52eed2a03b5a763159f12fe19");
    }

    #[test]
    fn another_master_key_takes_the_data_over_and_what_was_sealed_before_still_opens() {
        let [old, new] = [(); 2].map(|()| MasterKey::generate(&SystemEntropy));
        let keyring = old.derive();
        let sealed = keyring.seal(b"hello", "x");
        let keys = old.founding_keys();
        let taken = new.unwrap(&new.wrap(&keys)).unwrap();
        assert_eq!(taken, keys);
        assert!(old.unwrap(&new.wrap(&keys)).is_none());
        let mut changed = new.wrap(&keys);
        *changed.last_mut().unwrap() ^= 1;
        assert!(new.unwrap(&changed).is_none());

        let renewed = taken.with_new_seal(&SystemEntropy);
        keyring.learn(new.clone(), 2, &renewed);
        assert_eq!((keyring.master().check(), keyring.version()), (new.check(), 2));
        assert_eq!(keyring.open(&sealed, "x").unwrap().as_slice(), b"hello");
        let again = keyring.seal(b"hello", "x");
        assert_eq!((&sealed[..4], &again[..4]), (&[0, 0, 0, 1][..], &keyring.newest_seal()[..]));
        assert!(!old.derive().knows_seal(&again) && old.derive().open(&again, "x").is_none());
        assert_eq!(keyring.hash("x"), old.derive().hash("x"), "hashes stay");
        keyring.learn(old.clone(), 1, &keys);
        assert_eq!(keyring.version(), 2, "what was read earlier changes nothing");
        // A number that was changed names another key.
        let mut other = again.clone();
        other[3] = 1;
        assert!(keyring.open(&other, "x").is_none());
    }
}
