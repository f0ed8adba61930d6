//! The keys that sign the tokens of this installation: what they are, and when each begins and ends.
//!
//! Every node reads the same rows and comes to the same answer by its clock, so nothing has to be agreed on but who makes
//! the next key. A key is published ahead of its first signature, for whoever keeps a copy of the key set, and stays
//! published until the last token it signed is past its end.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use zeroize::Zeroizing;

use super::clock::Timestamp;
use super::entropy::Entropy;
use super::sealing::Keyring;

/// How a key signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SigningAlgorithm {
    /// EdDSA with Ed25519 (RFC 8037): small keys and signatures, and both signing and checking take tens of microseconds.
    EdDsa,
}

/// A signing key as it is stored.
#[derive(Clone, Eq, PartialEq)]
pub struct SigningKey {
    /// Its number: the first key of an installation is 1, and each next one follows without gaps.
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
    /// Its name in the header of a token (RFC 7518, section 3.1; RFC 8037, section 3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        (text == "EdDSA").then_some(Self::EdDsa)
    }
}

impl SigningKey {
    /// A new key with this number, published from `now` on, that signs from `active_from` on.
    pub fn new(seq: i64, now: Timestamp, active_from: Timestamp, keyring: &Keyring, entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        // Fails for a seed of another length than 32 bytes.
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("a seed of 32 bytes");
        // Fails for lack of memory only.
        let document = pair.to_pkcs8().expect("a key can be written");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        // The required members in the order of their names, without spaces (RFC 7638, section 3).
        let thumbprint = digest(&SHA256, format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#).as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint);
        let algorithm = SigningAlgorithm::EdDsa;
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": algorithm.as_str()});
        Self {
            seq,
            sealed: keyring.seal(document.as_ref(), &seal_context(&kid)),
            kid,
            algorithm,
            public_jwk: jwk.to_string(),
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

/// The key that signs now: of those whose time has come, the youngest.
pub fn signer(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    keys.iter().filter(|key| key.active_from <= now && key.is_published(now)).max_by_key(|key| key.seq)
}

/// From when on the next key is to sign, if it is time to make one: that of an installation without any signs at once, all
/// others are published ahead.
pub fn next_active_from(keys: &[SigningKey], rotation: Duration, now: Timestamp) -> Option<Timestamp> {
    let Some(youngest) = keys.iter().max_by_key(|key| key.seq) else { return Some(now) };
    let due = youngest.active_from.plus(rotation);
    let ahead = (rotation / 4).min(LONGEST_NOTICE);
    (now >= due.minus(ahead)).then(|| due.max(now.plus(ahead)))
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

    fn at(hours: u32) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).plus(HOUR * hours)
    }

    fn key(seq: i64, active_from: Timestamp) -> SigningKey {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        SigningKey::new(seq, active_from, active_from, &keyring, &SystemEntropy)
    }

    #[test]
    fn a_key_is_named_by_its_thumbprint_and_opens_under_its_own_master_key_only() {
        let keyring = MasterKey::generate(&SystemEntropy).derive();
        let key = SigningKey::new(1, at(0), at(0), &keyring, &SystemEntropy);
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
    fn a_thumbprint_is_that_of_the_standard() {
        // RFC 8037, appendix A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let input = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, input.as_bytes()));
        assert_eq!(thumbprint, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_next_key_is_made_ahead_and_signs_when_it_is_due() {
        assert_eq!(next_active_from(&[], 30 * DAY, at(5)), Some(at(5)));
        let keys = [key(1, at(0))];
        let next = |now| next_active_from(&keys, 30 * DAY, now);
        assert_eq!(next(at(29 * 24 - 1)), None);
        assert_eq!(next(at(29 * 24)), Some(at(30 * 24)));
        // After a long stop it is still published ahead.
        assert_eq!(next(at(99 * 24)), Some(at(100 * 24)));
        assert_eq!(next_active_from(&keys, 4 * HOUR, at(2)), None);
        assert_eq!(next_active_from(&keys, 4 * HOUR, at(3)), Some(at(4)));
    }

    #[test]
    fn the_youngest_whose_time_has_come_signs() {
        let mut keys = vec![key(1, at(0)), key(2, at(10))];
        let signs = |keys: &[SigningKey], now| signer(keys, now).map(|key| key.seq);
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
