//! Proofs that came lately, so that none is taken twice. Bounded: when there is no more room, nothing is taken, for what is
//! forgotten could be sent again.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroizing;

use super::proof::{FRESH, Proof};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;

/// What was seen, in two halves: the older goes when the younger is as old as a proof can get.
pub(super) struct Seen {
    key: Zeroizing<[u8; 32]>,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    began: Timestamp,
    now: HashSet<[u8; 16]>,
    before: HashSet<[u8; 16]>,
}

impl Seen {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key);
        Self { key, shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Remembers a proof: whether it was new; none if there is no room.
    pub(super) fn add(&self, proof: &Proof, now: Timestamp) -> Option<bool> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(proof.key.as_bytes());
        hasher.update(proof.id.as_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        // Each change of a shard is whole.
        let shard = &self.shards[usize::from(name[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).add(name, now)
    }
}

impl Shard {
    fn add(&mut self, name: [u8; 16], now: Timestamp) -> Option<bool> {
        if now >= self.began.plus(FRESH) {
            let last = std::mem::take(&mut self.now);
            // After a pause the younger half is too old as well.
            self.before = if now < self.began.plus(FRESH * 2) { last } else { HashSet::new() };
            self.began = now;
        }
        if self.before.contains(&name) || self.now.contains(&name) {
            return Some(false);
        }
        if self.now.len() >= MOST {
            return None;
        }
        Some(self.now.insert(name))
    }
}

const SHARDS: usize = 16;
/// Of one half of one shard: a million in all, of some 20 bytes each, for those who send so many.
const MOST: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_proof_is_known_for_as_long_as_it_could_be_taken() {
        let fresh = FRESH.as_secs();
        for first in [0, 1, fresh - 1, fresh, fresh + 7] {
            let mut shard = Shard::default();
            assert_eq!(shard.add([1; 16], at(0)), Some(true));
            assert_eq!(shard.add([7; 16], at(first)), Some(true));
            for later in [0, 1, fresh / 2, fresh - 1] {
                assert_eq!(shard.add([7; 16], at(first + later)), Some(false), "{first} {later}");
            }
        }
    }

    #[test]
    fn there_is_an_end_of_it() {
        let mut shard = Shard::default();
        let name = |n: usize| (n as u128).to_be_bytes();
        for n in 0..MOST {
            assert_eq!(shard.add(name(n), at(0)), Some(true));
        }
        assert_eq!(shard.add(name(MOST), at(0)), None);
        assert_eq!(shard.add(name(0), at(0)), Some(false));
        assert_eq!(shard.add(name(MOST), at(FRESH.as_secs())), Some(true));
        assert_eq!(shard.add(name(0), at(FRESH.as_secs() * 5)), Some(true));
        assert!(shard.before.is_empty());
    }
}
