//! The name of a public key by itself (RFC 7638): what a token is bound to.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The SHA-256 thumbprint of a public key (`jkt`, RFC 9449, section 6).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// Reads a thumbprint: base64url of 32 bytes, without padding.
    pub fn parse(text: &str) -> Option<Self> {
        // The engine refuses stray bits, so that one thumbprint has one spelling.
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// The rule a thumbprint keeps, for error messages.
    pub const RULE: &'static str = "must be 43 characters of base64url: the SHA-256 thumbprint of a key (RFC 7638)";

    /// The thumbprint of these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thumbprint_has_one_spelling() {
        // RFC 7638, section 3.1.
        let text = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(Thumbprint::parse(text).map(|thumbprint| thumbprint.to_string()).as_deref(), Some(text));
        for bad in ["", &text[1..], &format!("{text}="), &format!("{}t", &text[..42]), &format!("{text}A")] {
            assert_eq!(Thumbprint::parse(bad), None, "{bad}");
        }
    }
}
