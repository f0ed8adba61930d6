//! Trusted issuers: whose tokens, made elsewhere, say who a user is.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{IssuerId, ProjectId};
use super::key::etag;
use super::secret::SecretHash;

/// Somebody outside whose tokens are believed about the users of one project and environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Issuer {
    /// Identifies it here.
    pub id: IssuerId,
    /// The project whose users it tells of.
    pub project: ProjectId,
    /// The environment whose users it tells of.
    pub environment: Environment,
    /// What may be changed about it, but for its name.
    pub details: IssuerDetails,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

impl Issuer {
    /// What its tokens call it.
    pub fn name(&self) -> &str {
        &self.details.rules.issuer
    }

    /// Changes with every change of the issuer.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// Changes the details.
    pub fn update(&mut self, details: IssuerDetails, now: Timestamp) {
        self.details = details;
        self.updated_at = now;
        self.version += 1;
    }
}

/// What is said of an issuer.
#[derive(Clone, Debug, PartialEq)]
pub struct IssuerDetails {
    /// A name for people, up to 100 characters; may be empty.
    pub display_name: String,
    /// What it is for, in prose.
    pub description: String,
    /// Where its keys are.
    pub keys: IssuerKeys,
    /// What its tokens must say.
    pub rules: TokenRules,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum IssuerKeys {
    /// Where the issuer's own description says.
    Discovered,
    /// At this address.
    At(String),
    /// Here: a JWK Set.
    Inline(String),
}

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

/// Stands in the change log for whatever is trusted in an environment: with it, caches forget what they believed of its issuers
/// and their tokens. It hides nothing, and depends on no key.
pub fn trust_hash(project: &ProjectId, environment: Environment) -> SecretHash {
    hash(&["gatepost trust v1", project.as_str(), environment.as_str()])
}

/// Stands for one user of one issuer in the same way.
pub fn identity_hash(project: &ProjectId, environment: Environment, issuer: &str, subject: &str) -> SecretHash {
    hash(&["gatepost identity v1", project.as_str(), environment.as_str(), issuer, subject])
}

/// Each part with its length before it, so that no two lists of parts are one text.
fn hash(parts: &[&str]) -> SecretHash {
    let mut digest = Context::new(&SHA256);
    for part in parts {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    SecretHash::from_bytes(bytes)
}

/// The most that clocks may differ by.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// What they may differ by where nothing else is said.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_known_by_their_exact_names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
        }
        assert_eq!(Algorithm::parse("Ed25519"), Some(Algorithm::EdDsa));
        for other in ["", "none", "None", "HS256", "HS512", "rs256", "RS256 ", "ES512", "ES256K", "Ed448", "eddsa"] {
            assert_eq!(Algorithm::parse(other), None, "{other}");
        }
    }

    #[test]
    fn no_two_identities_share_a_hash() {
        let (shop, other) = (ProjectId::parse("shop").unwrap(), ProjectId::parse("shop2").unwrap());
        let (live, test) = (Environment::Live, Environment::Test);
        let all = [
            identity_hash(&shop, live, "a", "bc"),
            identity_hash(&shop, live, "ab", "c"),
            identity_hash(&shop, test, "a", "bc"),
            identity_hash(&other, live, "a", "bc"),
            trust_hash(&shop, live),
            trust_hash(&shop, test),
            trust_hash(&other, live),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(identity_hash(&shop, live, "a", "bc"), all[0]);
    }
}
