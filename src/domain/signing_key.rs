//! The keys that sign the tokens of this installation: what they are, and when each begins and ends.
//!
//! Every node reads the same rows and comes to the same answer by its clock, so nothing has to be agreed on but who makes
//! the next key. A key is published ahead of its first signature, for whoever keeps a copy of the key set, and stays
//! published until the last token it signed is past its end.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::clock::Timestamp;
use super::entropy::Entropy;
use super::sealing::Keyring;

/// How a key signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SigningAlgorithm {
    /// EdDSA with Ed25519 (RFC 8037): small keys and signatures, and both signing and checking take tens of microseconds.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and 2048 bits (RFC 7518, section 3.3), for what every client must be able to check:
    /// OpenID Connect Core 1.0, section 15.1.
    Rs256,
}

/// A signing key as it is stored.
#[derive(Clone, Eq, PartialEq)]
pub struct SigningKey {
    /// Its number: the first key of an installation is 1, and each next one follows without gaps, whatever it is for.
    pub seq: i64,
    /// Names it in tokens and in the key set: its thumbprint (RFC 7638).
    pub kid: String,
    /// How it signs.
    pub algorithm: SigningAlgorithm,
    /// The private key in PKCS#8, sealed.
    pub sealed: Vec<u8>,
    /// The public key as a JWK (RFC 7517): a JSON object.
    pub public_jwk: String,
    /// When it was made, and so published.
    pub created_at: Timestamp,
    /// From when on it signs.
    pub active_from: Timestamp,
    /// From when on it signs no more; none while no key follows it.
    pub retired_at: Option<Timestamp>,
    /// From when on nothing it signed is accepted, and it is not published any more; none while no key follows it.
    pub expires_at: Option<Timestamp>,
}

/// When the predecessors of a new key end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retirement {
    /// From when on they sign no more.
    pub retired_at: Timestamp,
    /// From when on nothing they signed is accepted.
    pub expires_at: Timestamp,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::EdDsa, Self::Rs256];

    /// Its name in the header of a token (RFC 7518, section 3.1; RFC 8037, section 3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text)
    }
}

impl SigningKey {
    /// A new key with this number, published from `now` on, that signs from `active_from` on. One for RS256 takes some tenths
    /// of a second to find, and is made of the crypto library's own randomness.
    pub fn new(
        algorithm: SigningAlgorithm,
        seq: i64,
        now: Timestamp,
        active_from: Timestamp,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Self {
        let (document, public) = match algorithm {
            SigningAlgorithm::EdDsa => new_ed25519(entropy),
            SigningAlgorithm::Rs256 => new_rsa(),
        };
        // The required members in the order of their names, without spaces (RFC 7638, section 3).
        let thumbprint = digest(&SHA256, Value::Object(public.clone()).to_string().as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let mut jwk = public;
        for (name, value) in [("kid", &*kid), ("use", "sig"), ("alg", algorithm.as_str())] {
            jwk.insert(name.to_owned(), json!(value));
        }
        Self {
            seq,
            sealed: keyring.seal(&document, &seal_context(&kid)),
            kid,
            algorithm,
            public_jwk: Value::Object(jwk).to_string(),
            created_at: now,
            active_from,
            retired_at: None,
            expires_at: None,
        }
    }

    /// The private key in PKCS#8; none if it was sealed under another master key, or damaged.
    pub fn private_key(&self, keyring: &Keyring) -> Option<Zeroizing<Vec<u8>>> {
        keyring.open(&self.sealed, &seal_context(&self.kid))
    }

    /// Whether tokens that it signed may be accepted, and it belongs into the key set.
    pub fn is_published(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// When its predecessors end so that no token is cut short: they sign until it does, and what they signed last may live
    /// as long as any token.
    pub fn orderly_retirement(&self) -> Retirement {
        let retired_at = self.active_from;
        Retirement { retired_at, expires_at: retired_at.plus(LONGEST_TOKEN_LIFETIME).plus(CLOCKS_APART) }
    }

    /// When its predecessors end so that nothing they signed is accepted any more.
    pub fn immediate_retirement(&self) -> Retirement {
        Retirement { retired_at: self.active_from, expires_at: self.active_from }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("seq", &self.seq).field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The key that signs so now: of those whose time has come, the youngest.
pub fn signer(keys: &[SigningKey], algorithm: SigningAlgorithm, now: Timestamp) -> Option<&SigningKey> {
    let signs = |key: &&SigningKey| key.algorithm == algorithm && key.active_from <= now && key.is_published(now);
    keys.iter().filter(signs).max_by_key(|key| key.seq)
}

/// From when on the next key for an algorithm is to sign, if it is time to make one: the first signs at once, all others are
/// published ahead.
pub fn next_active_from(
    keys: &[SigningKey],
    algorithm: SigningAlgorithm,
    rotation: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let keys = keys.iter().filter(|key| key.algorithm == algorithm);
    let Some(youngest) = keys.max_by_key(|key| key.seq) else { return Some(now) };
    let due = youngest.active_from.plus(rotation);
    let ahead = (rotation / 4).min(LONGEST_NOTICE);
    (now >= due.minus(ahead)).then(|| due.max(now.plus(ahead)))
}

/// A private key in PKCS#8, and the required members of its public half as a JWK.
fn new_ed25519(entropy: &dyn Entropy) -> (Zeroizing<Vec<u8>>, Map<String, Value>) {
    let mut seed = Zeroizing::new([0; 32]);
    entropy.fill(&mut *seed);
    // Fails for a seed of another length than 32 bytes.
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("a seed of 32 bytes");
    // Fails for lack of memory only.
    let document = pair.to_pkcs8().expect("a key can be written");
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    let public = [("crv", json!("Ed25519")), ("kty", json!("OKP")), ("x", json!(x))];
    (document.as_ref().to_vec().into(), public.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

fn new_rsa() -> (Zeroizing<Vec<u8>>, Map<String, Value>) {
    // Both fail for lack of memory only.
    let pair = rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
    let document = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("a key can be written");
    let public = pair.public_key();
    let [e, n] = [public.exponent(), public.modulus()]
        .map(|number| json!(URL_SAFE_NO_PAD.encode(number.big_endian_without_leading_zero())));
    let public = [("e", e), ("kty", json!("RSA")), ("n", n)];
    (document.as_ref().to_vec().into(), public.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

/// For what a private key is sealed.
pub fn seal_context(kid: &str) -> String {
    format!("signing key {kid}")
}

/// No token that these keys sign lives longer.
pub const LONGEST_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clocks of two nodes, or of a node and a client, may be apart.
pub const CLOCKS_APART: Duration = Duration::from_secs(60);

/// How long a key is published before it signs when somebody asks for a new one. Longer than a copy of the key set is good
/// for, and than nodes take to see a new key.
pub const SHORTEST_NOTICE: Duration = Duration::from_secs(10 * 60);

/// How long a key of the schedule is published before it signs, at most: some keep a copy of the key set for a day. A
/// quarter of the time between two keys, if that is shorter.
const LONGEST_NOTICE: Duration = Duration::from_secs(24 * 60 * 60);

/// Keys that may be published at one time.
pub const MOST_SIGNING_KEYS: u32 = 64;

#[cfg(test)]
mod tests {
    use super::super::entropy::SystemEntropy;
    use super::super::sealing::MasterKey;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const ED: SigningAlgorithm = SigningAlgorithm::EdDsa;

    fn at(hours: u32) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).plus(HOUR * hours)
    }

    fn key(seq: i64, active_from: Timestamp) -> SigningKey {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        SigningKey::new(SigningAlgorithm::EdDsa, seq, active_from, active_from, &keyring, &SystemEntropy)
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint_and_opens_under_its_own_master_key_only() {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        let key = SigningKey::new(SigningAlgorithm::EdDsa, 1, at(0), at(0), &keyring, &SystemEntropy);
        let jwk: serde_json::Value = serde_json::from_str(&key.public_jwk).unwrap();
        assert_eq!(jwk["kid"], key.kid);
        assert!(jwk.get("d").is_none(), "the private key is not told");
        let opened = key.private_key(&keyring).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(&opened).unwrap();
        assert_eq!(jwk["x"], URL_SAFE_NO_PAD.encode(pair.public_key()));
        assert!(!key.sealed.windows(32).any(|part| opened.ends_with(part)), "it is sealed");
        assert!(key.private_key(&MasterKey::generate(&SystemEntropy).derive()).is_none());
        let other = SigningKey { kid: "other".to_owned(), ..key };
        assert!(other.private_key(&keyring).is_none(), "sealed for another key");
    }

    #[test]
    fn each_algorithm_has_its_own_line_of_keys() {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        let rsa = SigningKey::new(SigningAlgorithm::Rs256, 2, at(3), at(3), &keyring, &SystemEntropy);
        let jwk: serde_json::Map<_, _> = serde_json::from_str(&rsa.public_jwk).unwrap();
        assert_eq!(
            jwk.keys().collect::<Vec<_>>(),
            ["e", "kty", "n", "kid", "use", "alg"],
            "the private key is not told"
        );
        assert_eq!((&jwk["alg"], &jwk["kty"], &jwk["e"]), (&json!("RS256"), &json!("RSA"), &json!("AQAB")));
        let input = format!(r#"{{"e":"AQAB","kty":"RSA","n":{}}}"#, jwk["n"]);
        assert_eq!(rsa.kid, URL_SAFE_NO_PAD.encode(digest(&SHA256, input.as_bytes())));
        let keys = [key(1, at(0)), rsa];
        let signs = |algorithm| signer(&keys, algorithm, at(4)).map(|key| key.seq);
        assert_eq!((signs(ED), signs(SigningAlgorithm::Rs256)), (Some(1), Some(2)));
        assert_eq!(next_active_from(&keys[..1], SigningAlgorithm::Rs256, 30 * DAY, at(5)), Some(at(5)));
        assert_eq!(next_active_from(&keys, SigningAlgorithm::Rs256, 30 * DAY, at(5)), None);
    }

    #[test]
    fn a_thumbprint_is_that_of_the_standard() {
        // RFC 8037, appendix A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let input = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, input.as_bytes()));
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_next_key_is_made_ahead_and_signs_when_it_is_due() {
        assert_eq!(next_active_from(&[], ED, 30 * DAY, at(5)), Some(at(5)));
        let keys = [key(1, at(0))];
        let next = |now| next_active_from(&keys, ED, 30 * DAY, now);
        assert_eq!(next(at(29 * 24 - 1)), None);
        assert_eq!(next(at(29 * 24)), Some(at(30 * 24)));
        // After a long stop it is still published ahead.
        assert_eq!(next(at(99 * 24)), Some(at(100 * 24)));
        assert_eq!(next_active_from(&keys, ED, 4 * HOUR, at(2)), None);
        assert_eq!(next_active_from(&keys, ED, 4 * HOUR, at(3)), Some(at(4)));
    }

    #[test]
    fn the_youngest_whose_time_has_come_signs() {
        let mut keys = vec![key(1, at(0)), key(2, at(10))];
        let signs = |keys: &[SigningKey], now| signer(keys, ED, now).map(|key| key.seq);
        assert_eq!(signs(&keys, at(9)), Some(1));
        assert_eq!(signs(&keys, at(10)), Some(2));
        // One that was asked for takes the place of the one that was waiting.
        keys.push(key(3, at(5)));
        assert_eq!((signs(&keys, at(4)), signs(&keys, at(6)), signs(&keys, at(11))), (Some(1), Some(3), Some(3)));
        keys[2].expires_at = Some(at(7));
        assert_eq!((signs(&keys, at(6)), signs(&keys, at(7))), (Some(3), Some(1)));
        assert_eq!(signs(&[], at(0)), None);
    }

    #[test]
    fn predecessors_stay_until_their_last_token_is_past_its_end() {
        let key = key(2, at(10));
        let orderly = key.orderly_retirement();
        assert_eq!(orderly.retired_at, at(10));
        assert!(orderly.expires_at > at(34));
        assert_eq!(key.immediate_retirement(), Retirement { retired_at: at(10), expires_at: at(10) });
    }
}
