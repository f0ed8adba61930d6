//! Trusted issuers: whose tokens, made elsewhere, say who a user is.

use std::collections::BTreeSet;
use std::time::Duration;

/// A way to sign a token (RFC 7518, section 3.1; RFC 8037; RFC 9864). Only those with a public key to check by: a shared secret
/// would let whoever checks a token make one, and `none` would let anybody.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519. RFC 8037 calls it `EdDSA`, RFC 9864 `Ed25519`; both are taken.
    EdDsa,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// What an issuer may use that lists none: what nearly all of them do.
    pub const DEFAULT: [Self; 3] = [Self::Es256, Self::EdDsa, Self::Rs256];

    /// The name in the `alg` of a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    /// The algorithm of this name, in exactly these letters.
    pub fn parse(name: &str) -> Option<Self> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// What a token of an issuer must say, and what is read from it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenRules {
    /// What `iss` is, letter by letter.
    pub issuer: String,
    /// Of these, `aud` names one at least; there is one at least.
    pub audiences: BTreeSet<String>,
    /// How it may be signed; there is one at least.
    pub algorithms: BTreeSet<Algorithm>,
    /// Where it tells about the user.
    pub claims: ClaimNames,
    /// By how much the issuer's clock may differ from ours, [`MAX_LEEWAY`] at most.
    pub leeway: Duration,
}

/// Where the public keys of an issuer are.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum KeyLocation {
    /// Where the issuer's own description says (OpenID Connect Discovery 1.0, section 4): `/.well-known/openid-configuration`
    /// below this issuer.
    Discovered(String),
    /// At this address.
    At(String),
}

/// The names of the claims that tell about a user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimNames {
    /// The email address.
    pub email: String,
    /// The first name.
    pub first_name: String,
    /// The last name.
    pub last_name: String,
}

impl Default for ClaimNames {
    /// Those of OpenID Connect Core 1.0, section 5.1.
    fn default() -> Self {
        Self { email: "email".to_owned(), first_name: "given_name".to_owned(), last_name: "family_name".to_owned() }
    }
}

/// The most that clocks may differ by.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// What they may differ by where nothing else is said.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
