//! Passwords: which may be chosen, in which form they are compared, and what is kept of them.
//!
//! The rules are those of NIST SP 800-63B, section 5.1.1.2: a password is long enough, is not one that everybody tries first,
//! and is otherwise left to whoever chose it; no rule says which characters it is made of. It is compared in Unicode's form
//! NFKC, so that two keyboards that write one character differently agree.
//!
//! What is kept is a PHC string, `$argon2id$v=19$m=65536,t=3,p=4$salt$tag`, which says how it was made. The work itself is
//! done in `auth/password.rs`.

use std::fmt;
use std::ops::RangeInclusive;

use argon2::password_hash::phc::{Decimal, PasswordHash as Phc};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, Zeroizing};

use super::common_passwords;
use super::entropy::Entropy;

/// A password in the clear, in the form in which passwords are compared. `Debug` never shows it, and it is wiped when dropped.
#[derive(Clone)]
pub struct PlainPassword(Zeroizing<String>);

impl PlainPassword {
    /// Takes a password that somebody presented; none if it is longer than any can be. Whether it could have been chosen is
    /// not asked: it is right or it is wrong.
    pub fn presented(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        if text.len() > LENGTH.end() * 4 {
            return None;
        }
        if text.is_ascii() {
            return (text.len() <= *LENGTH.end()).then_some(Self(text));
        }
        // NFKC makes UTF-8 eleven times as long at most (UAX 15, section 9): nothing is moved and left behind unwiped.
        let mut normal = Zeroizing::new(String::with_capacity(text.len() * 11));
        normal.extend(text.nfkc());
        (normal.chars().count() <= *LENGTH.end()).then_some(Self(normal))
    }

    /// Takes a password that somebody chose, whose handle and email address these names are.
    ///
    /// # Errors
    /// The rule it breaks, for error messages.
    pub fn chosen(text: String, names: &[&str]) -> Result<Self, &'static str> {
        let password = Self::presented(text).ok_or(Self::LENGTH_RULE)?;
        if !LENGTH.contains(&password.0.chars().count()) {
            return Err(Self::LENGTH_RULE);
        }
        if password.0.chars().any(char::is_control) {
            return Err("must not hold control characters");
        }
        let folded = Zeroizing::new(password.0.to_lowercase());
        if is_run(&folded) || common_passwords::contains(&folded) {
            return Err("is one that many people have, and that is tried first; choose another");
        }
        let is_name = |name: &&str| {
            let name = name.to_lowercase();
            let local = name.split_once('@').map(|(local, _)| local);
            *folded == name || local == Some(&**folded)
        };
        if names.iter().any(is_name) {
            return Err("must not be the user's own handle or email address");
        }
        Ok(password)
    }

    /// The rule about the length, for error messages.
    pub const LENGTH_RULE: &'static str = "must have 8 to 256 characters";

    /// The password itself.
    pub fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PlainPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainPassword(..)")
    }
}

/// What is kept of a password: enough to know it again, and nothing to tell it by. `Debug` does not show it: whoever reads it
/// can try passwords on it.
#[derive(Clone)]
pub struct PasswordHash {
    /// What it cost to make.
    pub cost: HashCost,
    /// Makes two equal passwords look different.
    pub salt: [u8; 16],
    /// The output of Argon2id.
    pub tag: [u8; 32],
}

impl PasswordHash {
    /// A hash that no password has, as far as anyone will ever find out: to spend on it the time that a real one takes.
    pub fn nobodys(cost: HashCost, entropy: &dyn Entropy) -> Self {
        let (salt, mut tag) = (new_salt(entropy), [0; 32]);
        entropy.fill(&mut tag);
        Self { cost, salt, tag }
    }

    /// Reads a PHC string of ours; none if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let phc = Phc::new(text).ok()?;
        let number = |name| phc.params.get_decimal(name);
        let cost = HashCost { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
        let ours = phc.algorithm.as_str() == ALGORITHM
            && phc.version == Some(VERSION)
            && phc.params.iter().count() == 3
            && cost.can_be_spent();
        let salt = phc.salt?.as_ref().try_into().ok()?;
        let tag = phc.hash?.as_bytes().try_into().ok()?;
        ours.then_some(Self { cost, salt, tag })
    }

    /// The hash as a PHC string.
    pub fn to_phc(&self) -> String {
        let (salt, tag) = (STANDARD_NO_PAD.encode(self.salt), STANDARD_NO_PAD.encode(self.tag));
        format!("${ALGORITHM}$v={VERSION}${}${salt}${tag}", self.cost)
    }

    /// Whether this is the tag of the password; takes the same time wherever the two differ.
    pub fn matches(&self, tag: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.tag, tag).is_ok()
    }
}

impl Drop for PasswordHash {
    fn drop(&mut self) {
        self.tag.zeroize();
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({}, ..)", self.cost)
    }
}

/// What one hash costs whoever makes it, us and those who guess.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashCost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes; they are computed one after the other, on one thread.
    pub lanes: u32,
}

impl HashCost {
    /// The second recommendation of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Reads `m=65536,t=3,p=4`; none if it breaks the rule ([`HashCost::RULE`]).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',').map(str::trim);
        let mut number = |name: &str| {
            let text = parts.next()?.strip_prefix(name)?.strip_prefix('=')?;
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
        };
        let cost = Self { memory_kib: number("m")?, passes: number("t")?, lanes: number("p")? };
        (parts.next().is_none() && cost.is_sane()).then_some(cost)
    }

    /// The rule a cost keeps, for error messages. The least is that of OWASP's password storage cheat sheet, whose choices are
    /// all of about this product.
    pub const RULE: &'static str = "must be such as m=65536,t=3,p=4: KiB of memory from 7168 to 1048576, passes from 1 to \
        20, and lanes from 1 to 16; memory times passes must not be under 35840";

    /// Whether a new hash may be made so.
    fn is_sane(self) -> bool {
        let work = u64::from(self.memory_kib) * u64::from(self.passes);
        self.can_be_spent() && self.memory_kib >= LEAST_MEMORY && work >= LEAST_WORK
    }

    /// Whether a stored hash that was made so is checked: not if it would take all memory or all time.
    fn can_be_spent(self) -> bool {
        let memory = (8 * self.lanes.max(1))..=MOST_MEMORY;
        memory.contains(&self.memory_kib) && PASSES.contains(&self.passes) && LANES.contains(&self.lanes)
    }
}

impl fmt::Display for HashCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={},t={},p={}", self.memory_kib, self.passes, self.lanes)
    }
}

/// A new salt.
pub fn new_salt(entropy: &dyn Entropy) -> [u8; 16] {
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    salt
}

/// Whether each character is the one before it, or each the next, or each the previous: `aaaaaaaa`, `12345678`, `hgfedcba`.
fn is_run(text: &str) -> bool {
    let step = |(one, other): (char, char)| i64::from(u32::from(other)) - i64::from(u32::from(one));
    let mut steps = text.chars().zip(text.chars().skip(1)).map(step);
    let first = steps.next();
    first.is_some_and(|first| (-1..=1).contains(&first) && steps.all(|step| step == first))
}

const ALGORITHM: &str = "argon2id";
/// Version 1.3 (RFC 9106, section 3.1).
const VERSION: Decimal = 0x13;
/// Characters, after normalisation.
const LENGTH: RangeInclusive<usize> = 8..=256;
const LEAST_MEMORY: u32 = 7 * 1024;
const LEAST_WORK: u64 = 35 * 1024;
const MOST_MEMORY: u32 = 1024 * 1024;
const PASSES: RangeInclusive<u32> = 1..=20;
const LANES: RangeInclusive<u32> = 1..=16;

#[cfg(test)]
mod tests {
    use super::super::entropy::SystemEntropy;
    use super::*;

    fn chosen(text: &str) -> Result<PlainPassword, &'static str> {
        PlainPassword::chosen(text.to_owned(), &["ada-lovelace", "Countess.Ada@example.com"])
    }

    #[test]
    fn what_may_be_chosen() {
        let long = "aé".repeat(128);
        for good in
            ["vexillum", "a b c d ", "correct horse", "пароль-мой", "\u{1f600}\u{1f601} smile", "ada-lovelace2", &long]
        {
            assert!(chosen(good).is_ok(), "{good:?}");
        }
        let (short, longer) = ("vexillu", "aé".repeat(128) + "a");
        // Eight code points that are seven once they are composed, and one that becomes eighteen and is then long enough.
        for (bad, rule) in [
            ("", "8 to 256"),
            (short, "8 to 256"),
            (&longer, "8 to 256"),
            ("vexill\u{65}\u{301}", "8 to 256"),
            (&"\u{fdfa}".repeat(15), "8 to 256"),
            (&"x".repeat(4096), "8 to 256"),
            ("vexillum\n", "control"),
            ("vexi\0llum", "control"),
            ("vexillum\u{85}", "control"),
            ("password", "many people"),
            ("PassWord", "many people"),
            ("ｐａｓｓｗｏｒｄ", "many people"),
            ("qwertyuiop", "many people"),
            ("aaaaaaaaa", "many people"),
            ("3456789:", "many people"),
            ("zyxwvutsr", "many people"),
            ("ada-lovelace", "own handle"),
            ("Ada-Lovelace", "own handle"),
            ("countess.ada@EXAMPLE.com", "own handle"),
            ("countess.ada", "own handle"),
        ] {
            let found = chosen(bad).expect_err(bad);
            assert!(found.contains(rule), "{bad:?}: {found}");
        }
        assert!(chosen("\u{fdfa}").is_ok(), "18 characters");
    }

    #[test]
    fn two_keyboards_agree() {
        let form = |text: &str| PlainPassword::presented(text.to_owned()).unwrap().expose().to_vec();
        for (one, other) in
            [("Stra\u{df}e\u{301}", "Stra\u{df}\u{e9}"), ("\u{ff41}\u{3000}b", "a b"), ("\u{fb01}n", "fin")]
        {
            assert_eq!(form(one), form(other), "{one:?}");
        }
        assert_ne!(form("Password"), form("password"));
        assert_eq!(form("short"), b"short");
        assert!(PlainPassword::presented("x".repeat(257)).is_none());
        assert!(PlainPassword::presented("\u{1f600}".repeat(257)).is_none());
        assert_eq!(format!("{:?}", chosen("vexillum").unwrap()), "PlainPassword(..)");
    }

    #[test]
    fn costs() {
        for good in ["m=65536,t=3,p=4", "m=19456,t=2,p=1", "m=47104,t=1,p=1", "m=7168,t=5,p=1", "m=1048576, t=20, p=16"]
        {
            let cost = HashCost::parse(good).unwrap();
            assert_eq!(cost.to_string(), good.replace(' ', ""));
        }
        assert_eq!(HashCost::parse("m=65536,t=3,p=4"), Some(HashCost::RECOMMENDED));
        for bad in [
            "",
            "65536,3,4",
            "t=3,m=65536,p=4",
            "m=65536,t=3",
            "m=65536,t=3,p=4,x=1",
            "m=65536,t=0,p=4",
            "m=65536,t=21,p=4",
            "m=65536,t=3,p=0",
            "m=65536,t=3,p=17",
            "m=+65536,t=3,p=4",
            "m=7167,t=20,p=1",
            "m=19456,t=1,p=1",
            "m=1048577,t=1,p=1",
            "m=99999999999,t=1,p=1",
        ] {
            assert_eq!(HashCost::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_was_written() {
        let hash = PasswordHash::nobodys(HashCost::RECOMMENDED, &SystemEntropy);
        let text = hash.to_phc();
        assert!(text.starts_with("$argon2id$v=19$m=65536,t=3,p=4$"), "{text}");
        let read = PasswordHash::parse(&text).unwrap();
        assert_eq!((read.cost, read.salt, read.tag), (hash.cost, hash.salt, hash.tag));
        assert!(read.matches(&hash.tag) && !read.matches(&[0; 32]));
        assert_eq!(format!("{read:?}"), "PasswordHash(m=65536,t=3,p=4, ..)");
        for (from, to) in [
            ("argon2id", "argon2i"),
            ("argon2id", "scrypt"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("m=65536", "m=4194304"),
            ("m=65536", "m=16"),
            ("t=3", "t=4000000000"),
            (",p=4", ""),
            (",p=4", ",p=4,data=AAAA"),
        ] {
            assert!(PasswordHash::parse(&text.replace(from, to)).is_none(), "{from} {to}");
        }
        assert!(PasswordHash::parse(&text[..text.len() - 2]).is_none());
        assert!(PasswordHash::parse("").is_none());
    }
}
