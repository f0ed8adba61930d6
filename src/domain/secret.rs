//! Secrets of keys and clients: how they look, how they are made, recognised and hashed.
//!
//! A secret is `<prefix>_<environment>_`, 43 base62 characters (256 bits) and 6 of CRC-32 over all before them:
//! `sk_live_` + 49 characters. The checksum is a junk filter that spares a look-up; it proves nothing. The prefix is never
//! changed for secrets that exist: they are matched whole.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::entropy::Entropy;
use super::environment::Environment;

/// A secret in the clear. It is shown once, to whoever asked for it; `Debug` never shows it, and it is wiped when dropped.
#[derive(Clone)]
pub struct PlainSecret(Zeroizing<String>);

impl PlainSecret {
    /// Makes a new secret with this prefix (`sk`).
    pub fn generate(prefix: &SecretPrefix, environment: Environment, entropy: &dyn Entropy) -> Self {
        let mut text = format!("{prefix}_{environment}_");
        text.reserve_exact(BODY_LENGTH);
        push_random(&mut text, entropy);
        let checksum = checksum(text.as_bytes());
        text.extend(checksum.map(char::from));
        Self(Zeroizing::new(text))
    }

    /// Takes a secret that was sealed by [`super::sealing`].
    pub(crate) fn unsealed(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Takes a token that was signed here.
    pub(crate) fn signed(token: Zeroizing<String>) -> Self {
        Self(token)
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How to recognise the secret without knowing it: the prefix, the first four and the last four characters.
    pub fn hint(&self) -> String {
        hint(&self.0)
    }
}

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainSecret(..)")
    }
}

/// What a presented secret says of itself, once its shape and checksum are right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecretShape<'a> {
    /// The prefix, `sk`.
    pub prefix: &'a str,
    /// The environment.
    pub environment: Environment,
}

impl<'a> SecretShape<'a> {
    /// Reads what a client presented; none if it is not a secret of ours by shape and checksum.
    pub fn parse(text: &'a str) -> Option<Self> {
        if !LENGTHS.contains(&text.len()) || !text.is_ascii() {
            return None;
        }
        let (head, body) = text.split_at(text.len() - BODY_LENGTH);
        let (prefix, environment) = head.strip_suffix('_')?.rsplit_once('_')?;
        if !is_prefix(prefix) || !body.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let (covered, found) = text.as_bytes().split_at(text.len() - CHECKSUM_LENGTH);
        if checksum(covered) != *found {
            return None;
        }
        Some(Self { prefix, environment: Environment::parse(environment)? })
    }

    /// How to recognise what a client presented; none if it is not a secret of ours by shape and checksum.
    pub fn hint_of(text: &str) -> Option<String> {
        SecretShape::parse(text).map(|_| hint(text))
    }

    /// Whether a presented text is a publishable key by shape and checksum. Looks no further than it must.
    pub fn is_publishable_key(text: &str) -> bool {
        text.starts_with(SecretPrefix::PUBLISHABLE) && SecretShape::parse(text).is_some_and(SecretShape::is_publishable)
    }

    /// Whether the secret may be public.
    pub fn is_publishable(self) -> bool {
        self.prefix == SecretPrefix::PUBLISHABLE
    }
}

/// Whether a text looks like a signed token (RFC 7515, section 7.1): three parts of base64url, of which the first begins as
/// JSON does. It may be somebody's; that is all that is known.
pub fn looks_like_token(text: &str) -> bool {
    let base64url =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    text.starts_with("eyJ") && text.split('.').count() == 3 && text.split('.').all(base64url)
}

/// The letters a secret begins with: 2 to 12 lower-case letters and digits, a letter first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SecretPrefix(String);

impl SecretPrefix {
    /// Secret keys, unless the project chose its own.
    pub const SECRET: &'static str = "sk";
    /// Restricted keys.
    pub const RESTRICTED: &'static str = "rk";
    /// Publishable keys.
    pub const PUBLISHABLE: &'static str = "pk";
    /// User keys.
    pub const USER: &'static str = "uk";
    /// Secrets of OAuth clients.
    pub const CLIENT: &'static str = "cs";
    /// Opaque access tokens.
    pub const ACCESS: &'static str = "at";
    /// Refresh tokens.
    pub const REFRESH: &'static str = "rt";
    /// Authorization codes.
    pub const CODE: &'static str = "ac";
    /// Codes of devices.
    pub const DEVICE: &'static str = "dc";
    /// What a client manages its registration by (RFC 7592).
    pub const REGISTRATION: &'static str = "rat";

    /// The rule a project's own prefix keeps, for error messages.
    pub const RULE: &'static str = "a prefix is 2 to 12 lower-case letters and digits, a letter first, and not pk, rk, uk, cs, \
        at, rt, ac, dc or rat";

    /// Reads a project's own prefix for secret keys; none if it breaks the rule or has a meaning already.
    pub fn parse_own(text: &str) -> Option<Self> {
        let keys = [Self::RESTRICTED, Self::PUBLISHABLE, Self::USER];
        let others = [Self::CLIENT, Self::ACCESS, Self::REFRESH, Self::CODE, Self::DEVICE, Self::REGISTRATION];
        let taken = [&keys[..], &others].concat();
        (is_prefix(text) && !taken.contains(&text)).then(|| Self(text.to_owned()))
    }

    /// One of the prefixes above.
    pub fn fixed(text: &'static str) -> Self {
        debug_assert!(is_prefix(text));
        Self(text.to_owned())
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The HMAC-SHA-256 of a secret under the installation's pepper: what is stored, and what a look-up goes by.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Eq for SecretHash {}

impl PartialEq for SecretHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Hash for SecretHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// How to recognise a text that has the shape of a secret.
pub(super) fn hint(secret: &str) -> String {
    // The body is 49 ASCII characters after the second underscore, so the cuts are on character boundaries.
    let body = secret.len() - BODY_LENGTH;
    format!("{}...{}", &secret[..body + 4], &secret[secret.len() - 4..])
}

fn is_prefix(text: &str) -> bool {
    (2..=MAX_PREFIX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_lowercase()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Appends 43 base62 characters, each drawn evenly: a byte of 248 or more is thrown away, for 248 = 4 * 62.
fn push_random(text: &mut String, entropy: &dyn Entropy) {
    let mut missing = RANDOM_LENGTH;
    let mut bytes = Zeroizing::new([0; 64]);
    while missing > 0 {
        entropy.fill(&mut *bytes);
        let even = bytes.iter().filter(|byte| **byte < 248).take(missing);
        for byte in even {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
            missing -= 1;
        }
    }
}

/// The CRC-32 of these bytes in base62, zero-padded.
fn checksum(covered: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(covered);
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
/// Characters of a secret behind its environment.
pub(super) const BODY_LENGTH: usize = RANDOM_LENGTH + CHECKSUM_LENGTH;
/// The most letters that a prefix has.
pub(super) const MAX_PREFIX: usize = 12;
/// From `sk_live_` to a prefix of twelve letters.
const LENGTHS: Range<usize> = 2 + 6 + BODY_LENGTH..MAX_PREFIX + 6 + BODY_LENGTH + 1;

#[cfg(test)]
mod tests {
    use super::super::entropy::SystemEntropy;
    use super::*;

    fn secret() -> PlainSecret {
        PlainSecret::generate(&SecretPrefix::fixed("sk"), Environment::Live, &SystemEntropy)
    }

    #[test]
    fn a_new_secret_has_the_published_shape() {
        let secret = secret();
        assert_eq!(secret.expose().len(), 8 + 43 + 6);
        assert_eq!(
            SecretShape::parse(secret.expose()),
            Some(SecretShape { prefix: "sk", environment: Environment::Live })
        );
        assert_eq!(secret.hint().len(), "sk_live_abcd...wxyz".len());
        assert_eq!(format!("{secret:?}"), "PlainSecret(..)");
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let secret = secret();
        for at in 0..secret.expose().len() {
            let mut bytes = secret.expose().as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(SecretShape::parse(&changed), None, "changed at {at}");
        }
    }

    #[test]
    fn junk_is_not_a_secret() {
        let good = secret();
        let cases = ["", "sk", "sk_live_", "_live_", "Bearer x", &good.expose()[1..], &format!("{} ", good.expose())];
        for case in cases {
            assert_eq!(SecretShape::parse(case), None, "{case:?}");
        }
        let unicode = "\u{e9}".repeat(28) + "a";
        assert_eq!(unicode.len(), 57);
        assert_eq!(SecretShape::parse(&unicode), None);
    }

    #[test]
    fn tokens_look_alike() {
        assert!(looks_like_token("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln-_"));
        for other in ["", "eyJ", "eyJh.eyJz", "eyJh.eyJz.", "eyJh.ey/z.c2ln", "a.b.c", "eyJh.b.c.d", "eyJh.b.c d"] {
            assert!(!looks_like_token(other), "{other:?}");
        }
    }

    #[test]
    fn a_project_may_not_take_a_prefix_that_means_something_else() {
        for bad in ["pk", "rk", "uk", "cs", "at", "rt", "ac", "rat", "", "b", "Bk", "1k", "b_k", "abcdefghijklm"] {
            assert_eq!(SecretPrefix::parse_own(bad), None, "{bad:?}");
        }
        assert!(SecretPrefix::parse_own("bk").is_some());
    }
}
