//! Nonces that nobody has to remember (RFC 9449, section 8): the time, and a MAC that all nodes can check.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::clock::Timestamp;
use crate::domain::sealing::Keyring;

/// Makes nonces and knows its own again.
pub(super) struct Nonces {
    keyring: Arc<Keyring>,
    needed: bool,
}

impl Nonces {
    pub(super) fn new(keyring: Arc<Keyring>, needed: bool) -> Self {
        Self { keyring, needed }
    }

    /// Whether a proof must hold one.
    pub(super) fn needed(&self) -> bool {
        self.needed
    }

    pub(super) fn issue(&self, now: Timestamp) -> String {
        let time = now.micros().to_be_bytes();
        URL_SAFE_NO_PAD.encode([&time[..], &self.mac(time)].concat())
    }

    /// Whether this was issued a short time ago.
    pub(super) fn knows(&self, nonce: &str, now: Timestamp) -> bool {
        if nonce.len() != LENGTH {
            return false;
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((time, mac)) = bytes.split_first_chunk::<8>() else { return false };
        let issued = Timestamp::from_micros(i64::from_be_bytes(*time));
        let genuine = verify_slices_are_equal(&self.mac(*time), mac).is_ok();
        // Another node's clock may be ahead.
        genuine && issued <= now.plus(CLOCKS_APART) && now < issued.plus(LIFE)
    }

    fn mac(&self, time: [u8; 8]) -> [u8; 16] {
        let whole = self.keyring.fingerprint(&[&b"dpop nonce\n"[..], &time].concat());
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }
}

/// How long a nonce is good.
const LIFE: Duration = Duration::from_secs(5 * 60);
const CLOCKS_APART: Duration = Duration::from_secs(30);
/// Characters of a nonce: 24 bytes in base64url.
const LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::sealing::MasterKey;

    #[test]
    fn a_nonce_is_ours_and_young() {
        let made = || Nonces::new(Arc::new(MasterKey::generate(&SystemEntropy).derive()), true);
        let (ours, others, at) = (made(), made(), |seconds: i64| Timestamp::from_micros(seconds * 1_000_000));
        let nonce = ours.issue(at(1_000));
        assert_eq!(nonce.len(), LENGTH);
        for (seconds, good) in [(969, false), (970, true), (1_000, true), (1_299, true), (1_300, false)] {
            assert_eq!(ours.knows(&nonce, at(seconds)), good, "{seconds}");
        }
        assert!(!others.knows(&nonce, at(1_000)));
        let later = ours.issue(at(2_000));
        let mixed = format!("{}{}", &later[..10], &nonce[10..]);
        for bad in ["", "x", &nonce[1..], &format!("{nonce}A"), &mixed, &"A".repeat(LENGTH)] {
            assert!(!ours.knows(bad, at(1_000)), "{bad}");
        }
    }
}
