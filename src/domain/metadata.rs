//! Free pairs that a client attaches to a key.

use std::collections::BTreeMap;
use std::fmt;

/// Names with their values, by name.
///
/// They lie in one piece of text, for they are kept with every key in memory: a map takes ten times as much for the one or
/// two pairs that a key has. Each name and each value is there as its length, `:` and its characters (`4:plan3:pro`).
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Metadata(Box<str>);

impl Metadata {
    /// The pairs, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (name, behind) = take(rest)?;
            let (value, behind) = take(behind)?;
            rest = behind;
            Some((name, value))
        })
    }

    /// The pairs as a map.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

impl From<BTreeMap<String, String>> for Metadata {
    fn from(map: BTreeMap<String, String>) -> Self {
        let mut text = String::new();
        for part in map.iter().flat_map(|(name, value)| [name, value]) {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        Self(text.into())
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The first part of the text, and what is behind it; none at the end.
fn take(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.split_once(':')?;
    rest.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_takes_no_memory() {
        assert_eq!(Metadata::default(), Metadata::from(BTreeMap::new()));
        assert_eq!(Metadata::default().0.len(), 0);
        assert_eq!(Metadata::default().iter().next(), None);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(map in prop::collection::btree_map(".{0,40}", "(?s).{0,60}|[0-9:]{0,8}", 0..6)) {
            prop_assert_eq!(Metadata::from(map.clone()).to_map(), map);
        }
    }
}
