//! Credentials that were looked up, by the hash of their secret, in this process's memory.
//!
//! The invariant: after [`CredentialCache::invalidate`] returned, no reader sees what was read from the store before the call.
//! A fill that began before an invalidation loses to it, because each entry carries the generation its read began in, and
//! is worth nothing once the generation of its slot has moved on.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, UnitWeighter};

use super::recent::Recent;
use crate::domain::change::Revision;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::credential::Credential;
use crate::domain::entropy::Entropy;
use crate::domain::secret::SecretHash;

/// A bounded cache of found and of unknown credentials.
#[derive(Debug)]
pub struct CredentialCache {
    entries: Cache<SecretHash, Entry, UnitWeighter, DefaultHashBuilder, Evictions>,
    recent: Recent<(SecretHash, Entry)>,
    generations: Box<[AtomicU64]>,
    creations: AtomicU64,
    owners: Owners,
    revision: AtomicU64,
    trust: Trust,
    counts: Arc<Counts>,
    clock: Arc<dyn Clock>,
}

/// What the cache knows about a secret.
#[derive(Clone, Debug)]
pub enum Known {
    /// It was issued here.
    Issued(Arc<Credential>),
    /// It was not.
    Unknown,
}

impl Known {
    /// Whether it is an access token that came of a refresh and was not used yet.
    pub(super) fn is_waiting_token(&self) -> bool {
        match self {
            Self::Issued(credential) => credential.token().is_some_and(|token| token.waits_for_first_use),
            Self::Unknown => false,
        }
    }
}

/// Proves when a read from the store began; see [`CredentialCache::begin`].
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    hash: SecretHash,
    began: Began,
}

/// When a read began, counted in what can end its outcome: changes of its slot, creations of keys, turns of owners, and the time.
#[derive(Clone, Copy, Debug)]
struct Began {
    generation: u64,
    creations: u64,
    turns: u64,
    at: Timestamp,
}

/// How often the cache answered, for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered from memory.
    pub hits: AtomicU64,
    /// Had to ask the store.
    pub misses: AtomicU64,
    /// Entries that made room for others.
    pub evictions: AtomicU64,
    /// Entries dropped because what they held changed.
    pub invalidations: AtomicU64,
}

#[derive(Clone, Debug)]
struct Entry {
    known: Known,
    began: Began,
    /// The reads of what it hangs on beside itself, which end it too; none for most.
    behind: Option<Arc<[Fill]>>,
}

impl CredentialCache {
    /// A cache of at most `capacity` secrets, whose entries are believed for `trust` after the last word that the
    /// change log was read to its end.
    pub fn new(capacity: usize, trust: Duration, clock: Arc<dyn Clock>, entropy: &dyn Entropy) -> Self {
        let counts = Arc::new(Counts::default());
        Self {
            entries: Cache::with(
                capacity,
                capacity as u64,
                UnitWeighter,
                DefaultHashBuilder::default(),
                Evictions(Arc::clone(&counts)),
            ),
            recent: Recent::new(capacity, entropy),
            generations: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            creations: AtomicU64::new(0),
            owners: Owners::default(),
            revision: AtomicU64::new(0),
            trust: Trust::new(trust),
            counts,
            clock,
        }
    }

    /// What is known about a secret that was presented lately, if that can still be believed. Needs no stored hash.
    pub fn recall(&self, presented: &str) -> Option<Known> {
        let (hash, entry) = self.recent.find(presented)?;
        let known = self.believed(&hash, entry)?.known;
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        Some(known)
    }

    /// What is known about a presented secret, by its stored hash, if that can still be believed.
    pub fn find(&self, presented: &str, hash: &SecretHash) -> Option<Known> {
        let found = self.entries.get(hash).and_then(|entry| self.believed(hash, entry));
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
        let entry = found?;
        self.recent.remember(presented, (*hash, entry.clone()));
        Some(entry.known)
    }

    /// Must be called before the store is read, so that a change in between is noticed.
    pub fn begin(&self, hash: SecretHash) -> Fill {
        let generation = self.slot(&hash).load(Ordering::SeqCst);
        let (creations, turns) = (self.creations.load(Ordering::SeqCst), self.owners.turns());
        Fill { hash, began: Began { generation, creations, turns, at: self.clock.now() } }
    }

    /// Keeps what was read since `fill` began.
    pub fn keep(&self, fill: Fill, known: Known) {
        self.keep_behind(fill, known, &[]);
    }

    /// Keeps what was read since `fill` began, and what it hangs on since those of `behind` did: it is worth nothing once one
    /// of them is.
    pub fn keep_behind(&self, fill: Fill, known: Known, behind: &[Fill]) {
        let behind = (!behind.is_empty()).then(|| behind.into());
        self.entries.insert(fill.hash, Entry { known, began: fill.began, behind });
    }

    /// Whether nothing was told under the hash of this read since it began, and the cache is believed.
    pub fn holds(&self, fill: &Fill) -> bool {
        fill.began.generation == self.slot(&fill.hash).load(Ordering::SeqCst) && self.trust.holds()
    }

    /// Whether what this read found, which belongs to these owners, can still be believed, wherever it is kept.
    pub fn stands<'a>(&self, fill: &Fill, owners: impl Iterator<Item = &'a str>) -> bool {
        self.owners.stood_since(fill.began.turns, owners) && self.holds(fill)
    }

    /// Whether what this read found can still be believed, wherever it is kept.
    pub fn is_current(&self, fill: &Fill, found: &Known) -> bool {
        self.stood(found, &fill.began) && self.holds(fill)
    }

    /// Whether outsiders are told now that nobody knows this.
    pub fn is_told_as_unknown(&self, known: &Known) -> bool {
        match known {
            Known::Issued(credential) => credential.is_told_as_unknown(self.clock.now()),
            Known::Unknown => true,
        }
    }

    /// Forgets these secrets: whoever asks from now on asks the store.
    pub fn invalidate(&self, hashes: &[SecretHash]) {
        for hash in hashes {
            self.slot(hash).fetch_add(1, Ordering::SeqCst);
            self.entries.remove(hash);
        }
        self.counts.invalidations.fetch_add(hashes.len() as u64, Ordering::Relaxed);
    }

    /// Forgets which secrets are unknown: one of them may have been issued now.
    pub fn invalidate_unknown(&self) {
        self.creations.fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets all secrets that belong to this project, user or client, and perhaps some of others.
    pub fn invalidate_owned_by(&self, owner: &str) {
        self.owners.turn(owner);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for slot in &self.generations {
            slot.fetch_add(1, Ordering::SeqCst);
        }
        self.invalidate_unknown();
        self.entries.clear();
    }

    /// The change log was read to its end, `revision`, by a read that began at `at`: entries are believed for a while from
    /// then.
    pub fn confirm(&self, revision: Revision, at: Instant) {
        self.revision.fetch_max(revision.0, Ordering::SeqCst);
        self.trust.renew(at);
    }

    /// The end of the change log when it was last read: no answer of the cache is older.
    pub fn revision(&self) -> Revision {
        Revision(self.revision.load(Ordering::SeqCst))
    }

    /// Whether entries are believed at the moment.
    pub fn is_trusted(&self) -> bool {
        self.trust.holds()
    }

    /// How many secrets are held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no secret is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often the cache answered.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn believed(&self, hash: &SecretHash, entry: Entry) -> Option<Entry> {
        let unturned = |fill: &Fill| fill.began.generation == self.slot(&fill.hash).load(Ordering::SeqCst);
        let current = entry.began.generation == self.slot(hash).load(Ordering::SeqCst)
            && entry.behind.as_deref().is_none_or(|fills| fills.iter().all(unturned))
            && self.stood(&entry.known, &entry.began);
        (current && self.trust.holds()).then_some(entry)
    }

    /// Whether nothing has ended what was found by a read that began then. What outsiders are told nobody knows ends when what nobody
    /// knows does, and by nothing else but its own change: whoever may not ask the store any more would tell them apart otherwise.
    /// For the same reason what is told so since a moment ago, as it is past its end, is no longer in memory.
    fn stood(&self, found: &Known, began: &Began) -> bool {
        let Known::Issued(credential) = found else { return self.is_latest_creation(began) };
        // Most have no end, and need no clock.
        let now = if credential.expires_at().is_some() { self.clock.now() } else { began.at };
        if credential.is_told_as_unknown(now) {
            credential.is_told_as_unknown(began.at) && self.is_latest_creation(began)
        } else {
            self.owners.stood_behind(began.turns, credential)
        }
    }

    /// Whether no key was made since a read began, so that it may tell what is unknown.
    fn is_latest_creation(&self, began: &Began) -> bool {
        began.creations == self.creations.load(Ordering::SeqCst)
    }

    fn slot(&self, hash: &SecretHash) -> &AtomicU64 {
        let bytes = hash.as_bytes();
        // The hash is a MAC, so its first bytes spread evenly. Two bytes name one of 65,536 slots.
        &self.generations[usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))]
    }
}

/// Which projects, users and clients changed while entries were held. A turn costs nothing until an entry is asked for that
/// is older than it.
#[derive(Debug)]
struct Owners {
    turns: AtomicU64,
    /// The number of the last turn of an owner of each slot.
    last: Box<[AtomicU64]>,
    hasher: DefaultHashBuilder,
}

impl Owners {
    fn turns(&self) -> u64 {
        self.turns.load(Ordering::SeqCst)
    }

    fn turn(&self, owner: &str) {
        let number = self.turns.fetch_add(1, Ordering::SeqCst) + 1;
        self.slot(owner).fetch_max(number, Ordering::SeqCst);
    }

    /// Whether no turn from the one of this number on was of an owner of this credential, or of what it was exchanged for.
    fn stood_behind(&self, number: u64, credential: &Credential) -> bool {
        self.stood_since(number, credential.owners())
            && credential.exchanged_for().is_none_or(|subject| self.stood_behind(number, subject))
    }

    /// Whether no turn from the one of this number on was of one of these owners.
    fn stood_since<'a>(&self, number: u64, mut owners: impl Iterator<Item = &'a str>) -> bool {
        number == self.turns() || owners.all(|owner| self.slot(owner).load(Ordering::SeqCst) <= number)
    }

    fn slot(&self, owner: &str) -> &AtomicU64 {
        // The remainder is below the number of slots.
        &self.last[(self.hasher.hash_one(owner) % OWNER_SLOTS as u64) as usize]
    }
}

impl Default for Owners {
    fn default() -> Self {
        let last = (0..OWNER_SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { turns: AtomicU64::new(0), last, hasher: DefaultHashBuilder::default() }
    }
}

/// Counts what makes room for others.
#[derive(Clone, Debug)]
struct Evictions(Arc<Counts>);

impl Lifecycle<SecretHash, Entry> for Evictions {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: SecretHash, _: Entry) {
        self.0.evictions.fetch_add(1, Ordering::Relaxed);
    }
}

/// Until when entries are believed without word from the change log.
#[derive(Debug)]
struct Trust {
    origin: Instant,
    window: Duration,
    until: AtomicU64,
}

impl Trust {
    fn new(window: Duration) -> Self {
        Self { origin: Instant::now(), window, until: AtomicU64::new(0) }
    }

    fn renew(&self, at: Instant) {
        let until = (at + self.window).saturating_duration_since(self.origin);
        self.until.fetch_max(u64::try_from(until.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    fn holds(&self) -> bool {
        self.origin.elapsed().as_micros() < u128::from(self.until.load(Ordering::SeqCst))
    }
}

const SLOTS: usize = 1 << 16;
const OWNER_SLOTS: usize = 1 << 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, SystemClock};
    use crate::domain::credential::{Form, KeySecret};
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::id::ProjectId;
    use crate::domain::key::Key;
    use crate::store::tests::support::{at, full_key};

    fn cache() -> CredentialCache {
        cache_by(Arc::new(ManualClock::new(at(0))))
    }

    fn cache_by(clock: Arc<ManualClock>) -> CredentialCache {
        let cache = CredentialCache::new(100, Duration::from_secs(3600), clock, &SystemEntropy);
        cache.confirm(Revision(1), Instant::now());
        cache
    }

    fn hash(first: u8, last: u8) -> SecretHash {
        let mut bytes = [first; 32];
        bytes[31] = last;
        SecretHash::from_bytes(bytes)
    }

    fn issued(key: Key) -> Known {
        Known::Issued(Arc::new(Credential::new(Form::Key(KeySecret::only_of(key)))))
    }

    /// Asks both ways; what was found by the stored hash is recalled from then on.
    fn knows(cache: &CredentialCache, hash: &SecretHash) -> bool {
        let presented = format!("secret {:?}", hash.as_bytes().first());
        let recalled = cache.recall(&presented).is_some();
        let found = cache.find(&presented, hash).is_some();
        assert!(found || !recalled, "nothing is recalled that is not believed");
        assert_eq!(cache.recall(&presented).is_some(), found);
        found
    }

    #[test]
    fn what_was_recalled_is_forgotten_with_the_rest() {
        let (cache, secret) = (cache(), hash(1, 1));
        for forget in [
            (|cache: &CredentialCache, secret| cache.invalidate(&[secret])) as fn(&CredentialCache, SecretHash),
            |cache, _| cache.invalidate_unknown(),
            |cache, _| cache.clear(),
        ] {
            cache.keep(cache.begin(secret), Known::Unknown);
            assert!(knows(&cache, &secret));
            forget(&cache, secret);
            assert!(!knows(&cache, &secret));
        }
    }

    #[test]
    fn an_invalidation_wins_over_a_fill_that_began_before_it() {
        let (cache, secret) = (cache(), hash(1, 1));
        let fill = cache.begin(secret);
        cache.invalidate(&[secret]);
        cache.keep(fill, Known::Unknown);
        assert!(!knows(&cache, &secret));
        cache.keep(cache.begin(secret), Known::Unknown);
        assert!(knows(&cache, &secret));
    }

    #[test]
    fn what_hangs_on_another_ends_with_it() {
        let (cache, secret, other) = (cache(), hash(1, 1), hash(2, 2));
        let keep = |fill, behind: Fill| cache.keep_behind(fill, Known::Unknown, &[behind]);
        keep(cache.begin(secret), cache.begin(other));
        assert!(knows(&cache, &secret));
        cache.invalidate(&[other]);
        assert!(!knows(&cache, &secret));
        let (fill, behind) = (cache.begin(secret), cache.begin(other));
        cache.invalidate(&[other]);
        keep(fill, behind);
        assert!(!knows(&cache, &secret), "its read began before");
        keep(cache.begin(secret), cache.begin(other));
        assert!(knows(&cache, &secret));
    }

    #[test]
    fn a_new_key_ends_what_was_unknown() {
        let (cache, secret) = (cache(), hash(1, 1));
        let fill = cache.begin(secret);
        cache.invalidate_unknown();
        cache.keep(fill, Known::Unknown);
        assert!(!knows(&cache, &secret));
    }

    #[test]
    fn a_new_key_ends_what_is_told_as_unknown() {
        let honey = full_key(at(0));
        let mut good = honey.clone();
        good.details.honey = false;
        let mut revoked = good.clone();
        revoked.revoke(at(1));
        for (key, stays) in [(good, true), (honey, false), (revoked, false)] {
            let (cache, secret) = (cache(), hash(1, 1));
            let project = key.project.clone();
            let found = issued(key);
            cache.keep(cache.begin(secret), found.clone());
            assert!(knows(&cache, &secret));
            cache.invalidate_unknown();
            assert_eq!(knows(&cache, &secret), stays);
            if !stays {
                cache.keep(cache.begin(secret), found);
                cache.invalidate_owned_by(project.as_str());
                assert!(knows(&cache, &secret), "as what nobody knows");
            }
        }
    }

    #[test]
    fn what_is_past_its_end_is_forgotten_and_then_told_as_unknown() {
        let clock = Arc::new(ManualClock::new(at(0)));
        let (cache, secret) = (cache_by(Arc::clone(&clock)), hash(1, 1));
        let mut key = full_key(at(0));
        key.details.honey = false;
        key.details.expires_at = Some(at(10));
        let (project, found) = (key.project.clone(), issued(key));
        cache.keep(cache.begin(secret), found.clone());
        clock.advance(Duration::from_secs(9));
        assert!(knows(&cache, &secret));
        clock.advance(Duration::from_secs(1));
        assert!(!knows(&cache, &secret), "what nobody knows and was not asked for is not in memory");
        assert!(cache.is_told_as_unknown(&found));
        cache.keep(cache.begin(secret), found);
        assert!(knows(&cache, &secret));
        cache.invalidate_owned_by(project.as_str());
        assert!(knows(&cache, &secret), "as what nobody knows");
        cache.invalidate_unknown();
        assert!(!knows(&cache, &secret));
    }

    #[test]
    fn a_deleted_project_is_forgotten_and_others_are_not() {
        let cache = cache();
        let issued = |project: &str| {
            let mut key = Key { project: ProjectId::parse(project).unwrap(), ..full_key(at(0)) };
            key.details.honey = false;
            issued(key)
        };
        let (here, elsewhere, late, unknown) = (hash(1, 1), hash(2, 2), hash(3, 3), hash(4, 4));
        cache.keep(cache.begin(here), issued("shop"));
        cache.keep(cache.begin(elsewhere), issued("another"));
        cache.keep(cache.begin(unknown), Known::Unknown);
        let fill = cache.begin(late);
        let shop = ProjectId::parse("shop").unwrap();
        cache.invalidate_owned_by(shop.as_str());
        cache.keep(fill, issued("shop"));
        assert!(!knows(&cache, &here) && !knows(&cache, &late), "a read from before the deletion is worth nothing");
        // Two projects may share a slot; then the other is looked up again.
        let another = ProjectId::parse("another").unwrap();
        let apart = !std::ptr::eq(cache.owners.slot(shop.as_str()), cache.owners.slot(another.as_str()));
        assert_eq!(knows(&cache, &elsewhere), apart);
        assert!(knows(&cache, &unknown));
        cache.keep(cache.begin(elsewhere), issued("another"));
        assert!(knows(&cache, &elsewhere));
    }

    #[test]
    fn clearing_wins_over_fills() {
        let (cache, secret) = (cache(), hash(1, 1));
        let fill = cache.begin(secret);
        cache.clear();
        cache.keep(fill, Known::Unknown);
        assert!(!knows(&cache, &secret));
    }

    #[test]
    fn nothing_is_believed_without_word_from_the_change_log() {
        let cache = CredentialCache::new(100, Duration::from_millis(50), Arc::new(SystemClock), &SystemEntropy);
        let secret = hash(1, 1);
        cache.keep(cache.begin(secret), Known::Unknown);
        assert!(!knows(&cache, &secret), "before the first word");
        cache.confirm(Revision(1), Instant::now());
        assert!(cache.is_trusted());
        std::thread::sleep(Duration::from_millis(60));
        assert!(!knows(&cache, &secret), "after the last word is too old");
        cache.confirm(Revision(1), Instant::now() + Duration::from_secs(3600));
        assert!(knows(&cache, &secret));
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = cache();
        for n in 0..=u8::MAX {
            cache.keep(cache.begin(hash(n, n)), Known::Unknown);
        }
        assert!(cache.len() <= 100);
        assert!(cache.counts().evictions.load(Ordering::Relaxed) >= 156);
    }
}
