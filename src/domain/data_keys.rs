//! The keys that an installation's data is hashed, tied and sealed with, and how a master key holds them.
//!
//! They are stored, wrapped under the master key, so that the master key can be replaced: hashes and links cannot be made
//! anew, because what was hashed is not kept, but what holds their keys can. What is sealed can be sealed again, and is, under
//! a seal key that no earlier master key ever held.

use std::fmt;

use zeroize::Zeroizing;

use super::entropy::Entropy;

/// A key of 32 bytes.
pub(super) type Bytes = Zeroizing<[u8; 32]>;

/// The keys of an installation's data.
#[derive(Clone, Eq, PartialEq)]
pub struct DataKeys {
    /// Hashes the secrets of credentials.
    pub(super) pepper: Bytes,
    /// Ties the tokens of pages, and knows requests again.
    pub(super) pages: Bytes,
    /// Ties the entries of the audit log together.
    pub(super) audit: Bytes,
    /// Seal what must be read again, each by its number, oldest first. There is at least one. All new seals are of the last;
    /// those before it stay, for what nobody got round to seal again.
    pub(super) seals: Vec<(u32, Bytes)>,
}

impl DataKeys {
    /// The same keys and a new one to seal with.
    pub fn with_new_seal(mut self, entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key);
        let number = self.seals.last().map_or(1, |(last, _)| last.saturating_add(1));
        self.seals.push((number, key));
        self
    }

    /// The keys as bytes, to be wrapped.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // As long as it gets: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 3 * 32 + self.seals.len() * SEAL));
        bytes.push(FORM);
        for key in [&self.pepper, &self.pages, &self.audit] {
            bytes.extend_from_slice(&**key);
        }
        for (number, key) in &self.seals {
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes.extend_from_slice(&**key);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (form, bytes) = bytes.split_first()?;
        let (pepper, bytes) = bytes.split_first_chunk::<32>()?;
        let (pages, bytes) = bytes.split_first_chunk::<32>()?;
        let (audit, bytes) = bytes.split_first_chunk::<32>()?;
        let (seals, rest) = bytes.as_chunks::<SEAL>();
        if *form != FORM || seals.is_empty() || !rest.is_empty() {
            return None;
        }
        let mut keys = Vec::with_capacity(seals.len());
        for seal in seals {
            let (number, key) = seal.split_first_chunk::<4>()?;
            keys.push((u32::from_be_bytes(*number), Zeroizing::new(key.try_into().ok()?)));
        }
        let in_order = keys.is_sorted_by(|(one, _), (other, _)| one < other);
        let [pepper, pages, audit] = [pepper, pages, audit].map(|key| Zeroizing::new(*key));
        in_order.then_some(Self { pepper, pages, audit, seals: keys })
    }
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKeys(..)")
    }
}

/// The form of the bytes.
const FORM: u8 = 1;
/// A seal key with its number.
const SEAL: usize = 4 + 32;

#[cfg(test)]
mod tests {
    use super::super::entropy::SystemEntropy;
    use super::super::sealing::MasterKey;
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let founding = MasterKey::generate(&SystemEntropy).founding_keys();
        let keys = founding.clone().with_new_seal(&SystemEntropy).with_new_seal(&SystemEntropy);
        assert_eq!(keys.seals.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((&keys.pepper, &keys.seals[0]), (&founding.pepper, &founding.seals[0]));
        let bytes = keys.to_bytes();
        assert_eq!(DataKeys::from_bytes(&bytes).as_ref(), Some(&keys));
        assert_eq!(format!("{keys:?}"), "DataKeys(..)");
        for end in [0, 1, 97, bytes.len() - 1] {
            assert_eq!(DataKeys::from_bytes(&bytes[..end]), None, "{end} bytes");
        }
        let mut other = bytes.to_vec();
        other[0] = 2;
        assert_eq!(DataKeys::from_bytes(&other), None);
        let mut twice = bytes.to_vec();
        twice.extend_from_within(97..97 + SEAL);
        assert_eq!(DataKeys::from_bytes(&twice), None, "out of order");
    }
}
