//! What ties the entries of an audit log together, so that none can be changed, removed or added unnoticed by somebody who
//! can write the database but has no master key.
//!
//! Every entry carries a link: HMAC-SHA-256 over the link before it, its number and all of its fields, each behind its
//! length, so that no two entries are encoded alike. The head of the log (the last number and link) is sealed in the same
//! way: without a seal, whoever cuts off the end could set the head back to a link that lies open in the entry before.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

/// Ties an entry to all before it.
pub type Link = [u8; 32];

/// The fields of an entry as they are stored, in the order in which they are tied. Entries were written before there were the last
/// two: where both are absent, they are left out, and all others are tied as they always were.
pub type Fields<'a> = [Option<&'a str>; 13];

/// The key of the audit log.
#[derive(Clone)]
pub struct AuditKey(hmac::Key);

/// The end of a project's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// The number of the last entry; 0 where there is none.
    pub seq: i64,
    /// Its link; that of the project itself where there is none.
    pub link: Link,
    /// Entries from before the chain.
    pub unchained: i64,
}

impl AuditKey {
    pub(super) fn new(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The head of a project's log before its first entry.
    pub fn genesis(&self, project: &str, unchained: i64) -> Head {
        let mut text = Encoding::of("genesis");
        text.text(project).number(unchained);
        Head { seq: 0, link: self.sign(&text), unchained }
    }

    /// The link of the entry of this number and time with these fields, after the one that carries `before`.
    pub fn link(&self, before: &Link, seq: i64, occurred_at: i64, fields: &Fields<'_>) -> Link {
        let mut text = Encoding::of("entry");
        text.bytes(before).number(seq).number(occurred_at);
        let later = &fields[AT_FIRST..];
        let tied = if later.iter().all(Option::is_none) { &fields[..AT_FIRST] } else { &fields[..] };
        for field in tied {
            match field {
                Some(field) => text.number(1).text(field),
                None => text.number(0),
            };
        }
        self.sign(&text)
    }

    /// The proof that a project's log ends so.
    pub fn seal(&self, project: &str, head: &Head) -> Link {
        let mut text = Encoding::of("head");
        text.text(project).number(head.seq).bytes(&head.link).number(head.unchained);
        self.sign(&text)
    }

    /// Whether a seal is that of the head.
    pub fn proves(&self, seal: &[u8], project: &str, head: &Head) -> bool {
        verify_slices_are_equal(seal, &self.seal(project, head)).is_ok()
    }

    fn sign(&self, text: &Encoding) -> Link {
        let mut link = [0; 32];
        link.copy_from_slice(hmac::sign(&self.0, &text.0).as_ref());
        link
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(..)")
    }
}

/// What an entry after a head is tied to when the head has no valid seal: the break stays to be seen, and the log goes on.
pub const BROKEN: Link = [0; 32];

/// Fields that every entry has been tied with.
const AT_FIRST: usize = 11;

/// Values one behind the other, each behind its length.
struct Encoding(Vec<u8>);

impl Encoding {
    fn of(what: &str) -> Self {
        let mut encoding = Self(Vec::with_capacity(512));
        encoding.text(what);
        encoding
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        // A usize is never wider than 64 bits here.
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AuditKey {
        AuditKey::new(&[7; 32])
    }

    #[test]
    fn every_part_of_an_entry_counts() {
        let key = key();
        let mut fields: Fields = [Some("a"); 13];
        let link = key.link(&[1; 32], 5, 9, &fields);
        assert_eq!(link, key.link(&[1; 32], 5, 9, &fields));
        let mut others = vec![
            key.link(&[2; 32], 5, 9, &fields),
            key.link(&[1; 32], 6, 9, &fields),
            key.link(&[1; 32], 5, 8, &fields),
            AuditKey::new(&[8; 32]).link(&[1; 32], 5, 9, &fields),
        ];
        for at in 0..fields.len() {
            for other in [None, Some(""), Some("b"), Some("aa")] {
                let mut fields = fields;
                fields[at] = other;
                others.push(key.link(&[1; 32], 5, 9, &fields));
            }
        }
        (fields[0], fields[1]) = (Some("aa"), Some(""));
        others.push(key.link(&[1; 32], 5, 9, &fields));
        let all = others.len();
        others.push(link);
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), all + 1);
    }

    #[test]
    fn what_was_written_before_there_were_all_fields_stays_whole() {
        let mut text = Encoding::of("entry");
        text.bytes(&[1; 32]).number(5).number(9);
        (0..11).for_each(|_| {
            text.number(1).text("a");
        });
        let mut fields: Fields = [Some("a"); 13];
        assert_ne!(key().link(&[1; 32], 5, 9, &fields), key().sign(&text));
        (fields[11], fields[12]) = (None, None);
        assert_eq!(key().link(&[1; 32], 5, 9, &fields), key().sign(&text));
    }

    #[test]
    fn a_head_is_proven_for_its_project_only() {
        let key = key();
        let head = key.genesis("shop", 0);
        let seal = key.seal("shop", &head);
        assert!(key.proves(&seal, "shop", &head));
        assert!(!key.proves(&seal, "other", &head));
        assert!(!key.proves(&seal, "shop", &Head { seq: 1, ..head }));
        assert!(!key.proves(&seal, "shop", &Head { unchained: 1, ..head }));
        assert!(!key.proves(&[], "shop", &head));
        assert_ne!(key.genesis("shop", 1).link, head.link);
    }
}
