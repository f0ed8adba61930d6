//! Finding secrets of ours in a stream of bytes: text, logs, dumps and programs alike, in UTF-8 and in UTF-16.
//!
//! A place is looked at where one of the two environments stands between underscores, and taken for a secret only if the
//! checksum says so. No more is held than the piece that was fed last and the length of a secret.

use std::borrow::Cow;

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::secret::{BODY_LENGTH, MAX_PREFIX, SecretShape, hint, looks_like_token};
use super::secret_kind::SecretKind;
use super::test_keys::TestKey;

/// A search through one file or stream. Secrets that lie across two pieces are found too.
pub struct SecretSearch {
    finders: [Finder<'static>; 2],
    wide: [Finder<'static>; 2],
    /// What was fed and may still be part of a secret, behind what was fed last.
    held: Vec<u8>,
    /// Where what is held begins in the stream.
    at: u64,
    /// The line it begins in, from 1.
    line: u64,
    /// Where that line begins in the stream.
    line_at: u64,
    /// Up to where in what is held every place was looked at.
    done: usize,
}

/// A secret that was found. It holds nothing that would be of use to anybody who must not have it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The line, from 1.
    pub line: u64,
    /// The byte in the line at which it begins, from 1.
    pub column: u64,
    /// What it is for.
    pub kind: SecretKind,
    /// The environment it belongs to.
    pub environment: Environment,
    /// How to recognise it without knowing it.
    pub hint: String,
    /// How many bytes it has.
    pub length: usize,
}

impl SecretSearch {
    /// A search at the begin of a stream.
    pub fn new() -> Self {
        let (finders, wide) = (NARROW.map(Finder::new), WIDE.map(Finder::new));
        Self { finders, wide, held: Vec::new(), at: 0, line: 1, line_at: 0, done: 0 }
    }

    /// Looks through the next piece; `found` takes what is in it, in order. What may go on in the next piece is kept for it.
    pub fn feed(&mut self, piece: &[u8], found: &mut impl FnMut(Finding)) {
        self.held.extend_from_slice(piece);
        let end = self.held.len().saturating_sub(BEHIND);
        self.look(end, found);
        let keep = end.saturating_sub(BEFORE);
        let gone = &self.held[..keep];
        self.line += newlines(gone);
        if let Some(last) = memrchr(b'\n', gone) {
            self.line_at = self.at + last as u64 + 1;
        }
        self.at += keep as u64;
        self.done = self.done.max(end) - keep;
        self.held.drain(..keep);
    }

    /// Looks through what was kept, at the end of the stream.
    pub fn finish(mut self, found: &mut impl FnMut(Finding)) {
        self.look(self.held.len(), found);
    }

    /// Looks at every place up to `end` that was not looked at.
    fn look(&mut self, end: usize, found: &mut impl FnMut(Finding)) {
        let (mut line, mut line_at, mut counted) = (self.line, self.line_at, 0);
        for (place, step) in self.places(end) {
            let Some((start, text)) = self.secret(place, step) else { continue };
            let Some(shape) = SecretShape::parse(&text) else { continue };
            // Those are public, and open nothing.
            if TestKey::find(&text).is_some() {
                continue;
            }
            let between = &self.held[counted..start];
            line += newlines(between);
            if let Some(last) = memrchr(b'\n', between) {
                line_at = self.at + (counted + last) as u64 + 1;
            }
            counted = start;
            let column = self.at + start as u64 - line_at + 1;
            let (kind, environment, length) = (shape.kind(), shape.environment, text.len() * step);
            found(Finding { line, column, kind, environment, hint: hint(&text), length });
        }
    }

    /// Where an environment stands between underscores, in order, and how far apart the characters are there.
    fn places(&self, end: usize) -> Vec<(usize, usize)> {
        let open = &self.held[self.done.min(end)..];
        let mut places = Vec::new();
        let mut note = |finders: &[Finder<'_>], step| {
            for finder in finders {
                // One may begin with the underscore that another ends with.
                let mut from = 0;
                while let Some(at) = finder.find(&open[from..]).map(|at| from + at)
                    && self.done + at < end
                {
                    places.push((self.done + at, step));
                    from = at + 1;
                }
            }
        };
        note(&self.finders, 1);
        // UTF-16 is the rarer, and what holds no zero is none.
        if memchr(0, open).is_some() {
            note(&self.wide, 2);
        }
        places.sort_unstable();
        places
    }

    /// The secret around a place, and where it begins. Which of the letters in front belong to it, the checksum decides.
    fn secret(&self, place: usize, step: usize) -> Option<(usize, Zeroizing<String>)> {
        let byte = |at: usize| self.held.get(at).copied();
        // In UTF-16 what lies between two characters is the other half of one of them, in either order of bytes.
        let joined = |at: usize| step == 1 || byte(at + 1) == Some(0);
        let behind = ENVIRONMENT + BODY_LENGTH;
        let mut rest = String::with_capacity(MAX_PREFIX + behind);
        for at in (0..behind).map(|index| place + index * step) {
            let inner = at < place + ENVIRONMENT * step;
            let fits = |byte: &u8| inner || byte.is_ascii_alphanumeric();
            rest.push(char::from(byte(at).filter(fits)?));
            if at < place + (behind - 1) * step && !joined(at) {
                return None;
            }
        }
        let rest = Zeroizing::new(rest);
        let mut prefix = String::new();
        for length in 1..=MAX_PREFIX {
            let at = place.checked_sub(length * step)?;
            let letter = byte(at).filter(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            prefix.insert(0, char::from(letter.filter(|_| joined(at))?));
            let text = Zeroizing::new(format!("{prefix}{}", *rest));
            if SecretShape::parse(&text).is_some() {
                return Some((at, text));
            }
        }
        None
    }
}

impl Default for SecretSearch {
    fn default() -> Self {
        Self::new()
    }
}

/// A line of text with the hint in place of each secret, and signed tokens left out.
pub fn without_secrets(line: &str) -> String {
    let (mut secrets, mut search) = (Vec::new(), SecretSearch::new());
    search.feed(line.as_bytes(), &mut |secret| secrets.push(secret));
    search.finish(&mut |secret| secrets.push(secret));
    let (mut clean, mut end) = (String::with_capacity(line.len()), 0);
    for Finding { column, length, hint, .. } in secrets {
        // Of two that share bytes, which only chance makes, both are gone.
        let start = (column as usize - 1).max(end);
        clean += line.get(end..start).unwrap_or_default();
        clean += &hint;
        end = end.max(column as usize - 1 + length);
    }
    clean += line.get(end..).unwrap_or_default();
    let is_between = |c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c);
    let parts = clean.split_inclusive(is_between).map(|part| {
        let word = part.trim_end_matches(is_between);
        if looks_like_token(word) { Cow::Owned(format!("...{}", &part[word.len()..])) } else { Cow::Borrowed(part) }
    });
    parts.collect()
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

const NARROW: [&[u8]; 2] = [b"_live_", b"_test_"];
const WIDE: [&[u8]; 2] = [b"_\0l\0i\0v\0e\0_", b"_\0t\0e\0s\0t\0_"];
/// Characters of an environment and its underscores.
const ENVIRONMENT: usize = 6;
/// The most bytes of a secret behind the place it is found by, and in front of it.
const BEHIND: usize = 2 * (ENVIRONMENT + BODY_LENGTH);
const BEFORE: usize = 2 * MAX_PREFIX;

#[cfg(test)]
mod tests {
    use super::super::entropy::SystemEntropy;
    use super::super::secret::{PlainSecret, SecretPrefix};
    use super::super::test_keys::TEST_KEYS;
    use super::*;

    fn secret(prefix: &str, environment: Environment) -> String {
        let prefix = SecretPrefix::parse_own(prefix).unwrap_or_else(|| match prefix {
            "cs" => SecretPrefix::fixed(SecretPrefix::CLIENT),
            "rat" => SecretPrefix::fixed(SecretPrefix::REGISTRATION),
            _ => SecretPrefix::fixed(SecretPrefix::PUBLISHABLE),
        });
        PlainSecret::generate(&prefix, environment, &SystemEntropy).expose().to_owned()
    }

    /// What is found in pieces of this length: lines, columns, kinds and hints.
    fn found(bytes: &[u8], piece: usize) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut search = SecretSearch::new();
        for piece in bytes.chunks(piece) {
            search.feed(piece, &mut |finding| found.push(finding));
            assert!(search.held.len() <= BEHIND + BEFORE, "no more is held than a secret needs");
        }
        search.finish(&mut |finding| found.push(finding));
        found
    }

    fn places(found: &[Finding]) -> Vec<(u64, u64)> {
        found.iter().map(|finding| (finding.line, finding.column)).collect()
    }

    #[test]
    fn secrets_are_found_wherever_they_stand_and_however_the_pieces_fall() {
        let (own, public, client) = (
            secret("abcdefghijkl", Environment::Live),
            secret("pk", Environment::Test),
            secret("cs", Environment::Live),
        );
        let text = format!("{own}\n\nkey = \"{public}\";\r\n%3d{client}n\u{ff}\0").into_bytes();
        let whole = found(&text, text.len());
        assert_eq!(places(&whole), [(1, 1), (3, 8), (4, 4)]);
        let kinds: Vec<SecretKind> = whole.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [SecretKind::SecretKey, SecretKind::PublishableKey, SecretKind::ClientSecret]);
        assert_eq!(whole[1].environment, Environment::Test);
        assert_eq!(whole[0].hint, format!("{}...{}", &own[..22], &own[own.len() - 4..]));
        for piece in 1..200 {
            assert_eq!(found(&text, piece), whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn utf_16_is_read_in_both_orders() {
        let key = secret("sk", Environment::Live);
        let text = format!("a\nb {key}\n");
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, column) in [(little, 6), (big, 6)] {
            for piece in [1, 2, 3, 64, 1000] {
                assert_eq!(places(&found(&bytes, piece)), [(2, column)], "in pieces of {piece}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_secret_is_passed_over() {
        let key = secret("sk", Environment::Live);
        let wrong_checksum = format!("{}{}", &key[..key.len() - 1], if key.ends_with('a') { 'b' } else { 'a' });
        let other_prefix = key.replacen("sk_", "rk_", 1);
        let cut = &key[..key.len() - 1];
        let other_environment = key.replace("_live_", "_test_");
        for junk in
            [&wrong_checksum, &other_prefix, cut, &other_environment, "_live_", "sk_live_", &"_live_".repeat(100)]
        {
            assert_eq!(found(junk.as_bytes(), 7), [], "{junk}");
        }
        assert_eq!(found(TEST_KEYS[0].secret.as_bytes(), 1000), [], "a reserved test key is no secret");
        // What is joined to it does not hide it: it may be part of a longer word.
        assert_eq!(places(&found(format!("a_live_{}", secret("live", Environment::Live)).as_bytes(), 50)), [(1, 8)]);
        assert_eq!(places(&found(format!("0{key}{key}").as_bytes(), 50)), [(1, 2), (1, 2 + key.len() as u64)]);
    }

    #[test]
    fn every_kind_has_its_word() {
        for (prefix, kind) in [("bk", "secret_key"), ("rat", "registration_token"), ("cs", "client_secret")] {
            let text = secret(prefix, Environment::Live);
            assert_eq!(found(text.as_bytes(), 1000)[0].kind.as_str(), kind);
        }
    }
}
