//! The code that a device shows and somebody types elsewhere (RFC 8628, section 6.1).

use std::fmt;

use crate::domain::entropy::Entropy;

/// Eight of twenty letters, in capitals: no vowels, so that they make no words, and none that is taken for another. That is
/// one of 2.6 * 10^10.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct UserCode([u8; LENGTH]);

impl UserCode {
    /// A new code, each letter drawn evenly.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut letters = [0; LENGTH];
        let mut missing = &mut letters[..];
        let mut bytes = [0; 2 * LENGTH];
        while !missing.is_empty() {
            entropy.fill(&mut bytes);
            // 240 = 12 * 20: what is above would come more often than the rest.
            let even = bytes.iter().filter(|byte| **byte < 240).map(|byte| LETTERS[usize::from(byte % 20)]);
            let mut drawn = 0;
            for (place, letter) in missing.iter_mut().zip(even) {
                *place = letter;
                drawn += 1;
            }
            missing = &mut missing[drawn..];
        }
        Self(letters)
    }

    /// Reads what somebody typed: case, hyphens, blanks and other marks do not matter. None if it cannot be a code.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut letters = [0; LENGTH];
        let mut typed = text.chars().filter(|c| c.is_alphanumeric());
        for place in &mut letters {
            let letter = u8::try_from(typed.next()?).ok()?.to_ascii_uppercase();
            *place = LETTERS.contains(&letter).then_some(letter)?;
        }
        typed.next().is_none().then_some(Self(letters))
    }

    /// What is hashed to look it up.
    pub fn hashed_as(&self) -> String {
        format!("user code {self}")
    }
}

impl fmt::Display for UserCode {
    /// As it is shown: `WDJB-MJHT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, letter) in self.0.iter().enumerate() {
            let hyphen = if index == LENGTH / 2 { "-" } else { "" };
            write!(f, "{hyphen}{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

const LENGTH: usize = 8;
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Bytes that are looked through for letters.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = UserCode::parse("WDJB-MJHT").unwrap();
        assert_eq!((code.to_string().as_str(), format!("{code:?}").as_str()), ("WDJB-MJHT", "UserCode(..)"));
        for typed in ["wdjbmjht", " wdjb mjht\n", "W.D.J.B_M-J-H-T", "wdjb\u{2013}mjht"] {
            assert_eq!(UserCode::parse(typed), Some(code), "{typed:?}");
        }
        let long = format!("WDJBMJHT{}", "-".repeat(LONGEST));
        for bad in ["", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH1", "WDJB-MJH\u{442}", "----", &long] {
            assert_eq!(UserCode::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn new_codes_differ_and_use_all_letters() {
        let codes: Vec<String> = (0..500).map(|_| UserCode::generate(&SystemEntropy).to_string()).collect();
        assert!(codes.iter().all(|code| UserCode::parse(code).is_some_and(|read| read.to_string() == *code)));
        let mut apart = codes.clone();
        apart.sort();
        apart.dedup();
        assert_eq!(apart.len(), codes.len());
        let all = codes.concat();
        assert!(LETTERS.iter().all(|letter| all.contains(char::from(*letter))));
    }
}
