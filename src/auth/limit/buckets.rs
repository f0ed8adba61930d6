//! The buckets of all limits, by name, in this process's memory.
//!
//! A bucket of which nothing was spent is as good as none, and is dropped when there are many. Of those that are in use
//! the table keeps as many as it has room for: then those give way that no cached credential spends from, and that would
//! be whole soonest. Their keys, should they come back before that, begin with a whole bucket. Refusing a good key for want
//! of room would be worse, and only keys that were issued, and not used for a while, are ever concerned. Buckets of
//! cached credentials are never dropped: of these there are as many as the cache holds. Room is made for many at once, so
//! that a flood of keys does not look through all of them for each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::BRIEF;
use crate::domain::clock::Timestamp;
use crate::domain::limit::bucket::{Bucket, BucketId};
use crate::domain::limit::tally::{Tally, Terms};
use crate::store::Spent;

/// All buckets.
#[derive(Debug)]
pub struct Buckets {
    shards: Box<[Mutex<Shard>]>,
    /// How many a shard has room for.
    most: usize,
    hasher: RandomState,
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    buckets: HashMap<Box<str>, Arc<Bucket>>,
    /// Those to be written down.
    changed: Vec<Arc<Bucket>>,
    /// With how many it is looked again for some to drop, where those that cannot be are more than there is room for.
    full_at: usize,
}

impl Buckets {
    /// Room for about so many.
    pub fn new(most: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, most: (most / SHARDS).max(1), hasher: RandomState::new(), numbers: AtomicU64::new(0) }
    }

    /// The bucket of this name; a whole one, under these terms, if there is none.
    pub fn get(&self, id: BucketId, terms: Terms, now: Timestamp) -> Arc<Bucket> {
        let mut shard = self.shard(&id.text);
        if shard.buckets.len() >= self.most.max(shard.full_at) && !shard.buckets.contains_key(&id.text) {
            shard.make_room(self.most, now);
        }
        self.put(&mut shard, id, Tally::fresh(terms))
    }

    /// Puts a bucket of which so much was spent, if there is none of this name.
    pub fn restore(&self, id: BucketId, tally: Tally) {
        let mut shard = self.shard(&id.text);
        self.put(&mut shard, id, tally);
    }

    /// Notes that a bucket is to be written down.
    pub fn note(&self, bucket: &Arc<Bucket>) {
        self.shard(&bucket.id().text).changed.push(Arc::clone(bucket));
    }

    /// Takes those that are to be written down.
    pub fn take_changed(&self) -> Vec<Arc<Bucket>> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut lock(shard).changed)).collect()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).buckets.len()).sum()
    }

    fn put(&self, shard: &mut Shard, id: BucketId, tally: Tally) -> Arc<Bucket> {
        match shard.buckets.entry(id.text.clone()) {
            Entry::Occupied(found) => Arc::clone(found.get()),
            Entry::Vacant(place) => {
                let number = self.numbers.fetch_add(1, Ordering::Relaxed);
                Arc::clone(place.insert(Arc::new(Bucket::new(id, number, tally))))
            }
        }
    }

    fn shard(&self, text: &str) -> MutexGuard<'_, Shard> {
        // The remainder is below the number of shards.
        lock(&self.shards[(self.hasher.hash_one(text) % SHARDS as u64) as usize])
    }
}

impl Shard {
    fn make_room(&mut self, most: usize, now: Timestamp) {
        // Nobody can take hold of a bucket that only the table holds: that takes the lock on this shard.
        let is_held = |bucket: &Arc<Bucket>| Arc::strong_count(bucket) > 1;
        self.buckets.retain(|_, bucket| is_held(bucket) || !bucket.lock().tally.whole_in(now).is_zero());
        let keep = most - (most / AT_ONCE).max(1);
        let idle = self.buckets.values().filter(|bucket| !is_held(bucket));
        let mut idle: Vec<_> = idle.map(|bucket| bucket.lock().tally.whole_at()).collect();
        let mut surplus = self.buckets.len().saturating_sub(keep).min(idle.len());
        if surplus > 0 {
            let soonest = *idle.select_nth_unstable(surplus - 1).1;
            self.buckets.retain(|_, bucket| {
                let goes = surplus > 0 && !is_held(bucket) && bucket.lock().tally.whole_at() <= soonest;
                surplus -= usize::from(goes);
                !goes
            });
        }
        self.full_at = self.buckets.len() + self.buckets.len() / AT_ONCE;
    }
}

/// What was spent of these buckets, which count as written down from now on. What is whole again in a moment is not worth a
/// line.
pub(super) fn spent(changed: &[Arc<Bucket>]) -> Vec<Spent> {
    let spent = |bucket: &Arc<Bucket>| {
        let mut state = bucket.lock();
        state.changed = false;
        let lasts = state.tally.terms().window() > BRIEF;
        lasts.then(|| Spent { id: bucket.id().clone(), tally: state.tally })
    };
    changed.iter().filter_map(spent).collect()
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing that is done while it is held can stop halfway.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS: usize = 64;
/// The part of a shard for which room is made at once.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::ProjectId;

    const TERMS: Terms = Terms { calls: 10, window: 60_000_000 };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn named(text: &str) -> BucketId {
        BucketId { text: text.into(), project: ProjectId::default_project() }
    }

    fn spend(bucket: &Bucket, cost: u32, now: Timestamp) {
        bucket.lock().tally.spend(cost, now);
    }

    fn left(buckets: &Buckets, text: &str, now: Timestamp) -> u32 {
        buckets.get(named(text), TERMS, now).lock().tally.remaining(now)
    }

    #[test]
    fn a_bucket_is_found_again_by_its_name_alone() {
        let buckets = Buckets::new(100);
        spend(&buckets.get(named("a"), TERMS, at(0)), 4, at(0));
        assert_eq!((left(&buckets, "a", at(0)), left(&buckets, "b", at(0))), (6, 10));
        buckets.restore(named("a"), Tally::fresh(TERMS));
        assert_eq!(left(&buckets, "a", at(0)), 6, "what is there counts");
    }

    #[test]
    fn what_is_whole_or_will_be_soonest_gives_way_and_what_is_held_never_does() {
        // One a shard.
        let buckets = Buckets::new(1);
        let held = buckets.get(named("held"), TERMS, at(0));
        spend(&held, 10, at(0));
        for number in 0..10_000 {
            spend(&buckets.get(named(&number.to_string()), TERMS, at(0)), 1, at(0));
        }
        assert!(buckets.len() <= SHARDS + 1, "{}", buckets.len());
        assert_eq!(left(&buckets, "held", at(0)), 0);
        drop(held);
        for number in 0..10_000 {
            buckets.get(named(&number.to_string()), TERMS, at(61));
        }
        assert_eq!(left(&buckets, "held", at(0)), 10, "it was whole again");
    }

    #[test]
    fn a_flood_of_keys_and_owners_stays_within_the_room_there_is() {
        const ROOM: usize = 20_000;
        let (buckets, mut most) = (Buckets::new(ROOM), 0);
        // As many as cached credentials hold, for a while more than there is room for.
        let mut cached = std::collections::VecDeque::new();
        for number in 0..200_000_usize {
            let now = at(number as i64 / 10_000);
            let name =
                if number % 2 == 0 { format!("key_{number}/minute") } else { format!("p/live/owner/{number}/minute") };
            let bucket = buckets.get(named(&name), TERMS, now);
            spend(&bucket, 1 + number as u32 % 10, now);
            cached.push_back(bucket);
            if cached.len() > if number < 60_000 { 30_000 } else { 1_000 } {
                cached.pop_front();
            }
            if number % 1_000 == 0 {
                let (len, held) = (buckets.len(), cached.len());
                // Shards are filled by chance, and held ones are looked through when a sixteenth more are there.
                assert!(len <= (ROOM + held) * 9 / 8, "{len} with {held} held, after {number}");
                most = most.max(len);
            }
        }
        assert!(most > ROOM, "it was full: {most}");
        assert!(cached.iter().all(|bucket| Arc::ptr_eq(bucket, &buckets.get(bucket.id().clone(), TERMS, at(20)))));
        let bytes = size_of::<Bucket>() + size_of::<(Box<str>, Arc<Bucket>)>();
        assert!(bytes <= 256, "{bytes} bytes each, beside its name");
    }

    #[test]
    fn those_that_changed_are_written_once() {
        let buckets = Buckets::new(100);
        let bucket = buckets.get(named("a"), TERMS, at(0));
        bucket.lock().changed = true;
        buckets.note(&bucket);
        let changed = buckets.take_changed();
        assert_eq!(spent(&changed).len(), 1);
        assert!(!bucket.lock().changed && buckets.take_changed().is_empty());
    }
}
