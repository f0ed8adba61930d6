//! Secrets that were presented lately, known again by a cheaper hash than the one they are stored by.
//!
//! The stored hash is an HMAC under the pepper, which costs more than all the rest of a cached decision. What is asked for again
//! and again is found by keyed BLAKE3 instead, under a key that lives and dies with this process: without it nobody can say
//! which secrets share a place, and nothing that outlives the process depends on it.

use std::fmt;

use quick_cache::sync::Cache;
use zeroize::Zeroizing;

use crate::domain::entropy::Entropy;

/// A bounded table of what was found for a presented secret.
pub(super) struct Recent<T> {
    key: Zeroizing<[u8; 32]>,
    found: Cache<[u8; 32], T>,
}

impl<T: Clone> Recent<T> {
    /// An empty table of up to `capacity` secrets, or as many as are asked for at one time.
    pub(super) fn new(capacity: usize, entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key);
        Self { key, found: Cache::new(capacity.min(MOST)) }
    }

    /// What was found for this secret. Secrets of no possible length are not looked for.
    pub(super) fn find(&self, presented: &str) -> Option<T> {
        self.found.get(&self.place(presented)?)
    }

    /// Remembers what was found.
    pub(super) fn remember(&self, presented: &str, found: T) {
        if let Some(place) = self.place(presented) {
            self.found.insert(place, found);
        }
    }

    fn place(&self, presented: &str) -> Option<[u8; 32]> {
        (presented.len() <= LONGEST).then(|| *blake3::keyed_hash(&self.key, presented.as_bytes()).as_bytes())
    }
}

impl<T> fmt::Debug for Recent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent(..)")
    }
}

/// Entries, of about a hundred bytes each.
const MOST: usize = 1 << 14;
/// Hardly a token is longer; what is costs no hash here.
const LONGEST: usize = 2_048;
