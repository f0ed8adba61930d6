//! Proof Key for Code Exchange (RFC 7636): whoever redeems a code proves to be who asked for it. S256 only (RFC 9700, section
//! 2.1.1): `plain` proves nothing to whoever saw the request.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a client sends with its authorization request: the SHA-256 of its verifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Reads a challenge of the method `S256`: base64url of 32 bytes, without padding (RFC 7636, section 4.2).
    pub fn parse(text: &str) -> Option<Self> {
        // The engine refuses stray bits, so that one challenge has one spelling.
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The rule a challenge keeps, for error messages.
    pub const RULE: &'static str = "must be 43 characters of base64url: the SHA-256 of the code verifier";

    /// The only method there is.
    pub const METHOD: &'static str = "S256";

    /// Takes a challenge that our own store holds.
    pub(crate) const fn stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether this verifier is the one that the challenge was made of. A verifier has 43 to 128 unreserved characters (RFC
    /// 7636, section 4.1); anything else is none. Takes the same time wherever the two differ.
    pub fn is_met_by(&self, verifier: &str) -> bool {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        (43..=128).contains(&verifier.len())
            && verifier.bytes().all(unreserved)
            && verify_slices_are_equal(digest(&SHA256, verifier.as_bytes()).as_ref(), &self.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_rfc_holds() {
        let challenge = CodeChallenge::parse(CHALLENGE).unwrap();
        assert!(challenge.is_met_by(VERIFIER));
        assert!(!challenge.is_met_by(CHALLENGE), "the challenge itself proves nothing");
        for wrong in ["", &VERIFIER[1..], &VERIFIER.to_lowercase(), &format!("{VERIFIER}="), &format!("{VERIFIER} ")] {
            assert!(!challenge.is_met_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_challenge_is_refused() {
        // The last is another spelling of the first: the same bytes, and a stray bit.
        for bad in ["", &CHALLENGE[1..], &format!("{CHALLENGE}="), &format!("{CHALLENGE}A"), VERIFIER_PLAIN, &stray()] {
            assert!(CodeChallenge::parse(bad).is_none(), "{bad}");
        }
    }

    const VERIFIER_PLAIN: &str = "not base64url, but as long as a challenge is";

    fn stray() -> String {
        format!("{}N", &CHALLENGE[..42])
    }
}
