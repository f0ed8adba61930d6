//! Makes and checks the hashes of passwords, which is slow on purpose, without standing in the way of anything else.
//!
//! The work is done on a few threads of its own (`HashThreads`), fewer than there are processors and with less of a claim to
//! them than those that answer requests. Callers wait for a thread in a line: who gives up leaves it at once, and who would
//! have to wait too long is turned away at its end. So memory is bounded too, by the threads times what one hash takes.

mod threads;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

use self::threads::{HashThreads, Memory};
use super::budget::whole_seconds;
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::password::{HashCost, PasswordHash, PlainPassword, new_salt};
use crate::domain::reason::Reason;

/// Hashes passwords, a few at a time.
pub struct PasswordHasher {
    cost: HashCost,
    entropy: Arc<dyn Entropy>,
    /// Takes the place of a hash that there is not.
    nobodys: PasswordHash,
    threads: HashThreads,
    turns: Arc<Semaphore>,
    parallel: usize,
    load: Arc<Load>,
}

/// How much there is to do, for metrics.
#[derive(Debug, Default)]
pub struct Load {
    /// Hashes made since the start.
    pub hashes: AtomicU64,
    /// Callers in line.
    pub waiting: AtomicUsize,
    /// How long one turn takes, in microseconds: a mean in which the last ones count most.
    turn_micros: AtomicU64,
}

/// Whether a password was the right one.
#[derive(Debug)]
pub enum Judgement {
    /// It was not, or there is none.
    Wrong,
    /// It was. Where its hash was made at another cost than is configured now, this is a new one to keep in its place.
    Right(Option<PasswordHash>),
}

impl PasswordHasher {
    /// Starts so many threads, which make hashes at this cost.
    ///
    /// # Errors
    /// The system's, when a thread cannot be started.
    pub fn start(cost: HashCost, threads: usize, entropy: Arc<dyn Entropy>) -> io::Result<Self> {
        Ok(Self {
            cost,
            nobodys: PasswordHash::nobodys(cost, &*entropy),
            entropy,
            threads: HashThreads::start(threads, blocks(cost))?,
            turns: Arc::new(Semaphore::new(threads)),
            parallel: threads,
            load: Arc::default(),
        })
    }

    /// Makes the hash to keep of a password.
    ///
    /// # Errors
    /// OVERLOADED, when too many wait already.
    pub async fn hash(&self, password: PlainPassword) -> Result<PasswordHash> {
        let (cost, salt, load) = (self.cost, new_salt(&*self.entropy), Arc::clone(&self.load));
        self.in_turn(move |memory| new_hash(&password, cost, salt, memory, &load)).await
    }

    /// Says whether a password is the one whose hash was kept. It takes as long where none was: one hash at today's cost.
    ///
    /// # Errors
    /// OVERLOADED, when too many wait already.
    pub async fn judge(&self, password: PlainPassword, kept: Option<PasswordHash>) -> Result<Judgement> {
        let (cost, salt, load) = (self.cost, new_salt(&*self.entropy), Arc::clone(&self.load));
        let exists = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobodys.clone());
        let judged = self.in_turn(move |memory| {
            let tag = Zeroizing::new(tag(&password, kept.cost, &kept.salt, memory, &load)?);
            if !kept.matches(&tag) || !exists {
                return Some(Judgement::Wrong);
            }
            let outdated = kept.cost != cost;
            let renewed = outdated.then(|| new_hash(&password, cost, salt, memory, &load));
            Some(Judgement::Right(renewed.flatten()))
        });
        judged.await
    }

    /// How much there is to do.
    pub fn load(&self) -> &Load {
        &self.load
    }

    /// Waits for a turn and then does the work on a thread. Once begun it is finished, whether the caller waits or not.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Option<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.line_up()?;
        // The semaphore is never closed, and keeps to the order of the callers.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| broken())?;
        drop(place);
        let (tell, told) = oneshot::channel();
        let load = Arc::clone(&self.load);
        self.threads.give(Box::new(move |memory| {
            let begun = Instant::now();
            let done = work(memory);
            load.took(begun.elapsed());
            drop(turn);
            // The caller may be gone.
            let _ = tell.send(done);
        }));
        told.await.ok().flatten().ok_or_else(broken)
    }

    fn line_up(&self) -> Result<Place> {
        let before = self.load.waiting.fetch_add(1, Relaxed);
        let place = Place(Arc::clone(&self.load));
        let turn = Duration::from_micros(self.load.turn_micros.load(Relaxed));
        let line = u32::try_from(before / self.parallel).unwrap_or(u32::MAX);
        let wait = turn.saturating_mul(line);
        if before < MAX_WAITING && wait <= PATIENCE {
            return Ok(place);
        }
        let wait = whole_seconds(wait);
        let message = format!("too many people are signing in; try again in {} seconds", wait.as_secs());
        Err(Error { retry_after: Some(wait), ..Error::new(Reason::Overloaded, message) })
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher").field("cost", &self.cost).field("load", &self.load).finish_non_exhaustive()
    }
}

/// A place in the line. It is free again when this is dropped.
struct Place(Arc<Load>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

impl Load {
    /// Turns at one time may overwrite each other's word; each is a fair one.
    fn took(&self, turn: Duration) {
        let turn = u64::try_from(turn.as_micros()).unwrap_or(u64::MAX).min(PATIENCE.as_micros() as u64);
        let mean = match self.turn_micros.load(Relaxed) {
            0 => turn,
            mean => (mean * 7 + turn) / 8,
        };
        self.turn_micros.store(mean, Relaxed);
    }
}

fn new_hash(
    password: &PlainPassword,
    cost: HashCost,
    salt: [u8; 16],
    memory: &mut Memory,
    load: &Load,
) -> Option<PasswordHash> {
    let tag = tag(password, cost, &salt, memory, load)?;
    Some(PasswordHash { cost, salt, tag })
}

/// The output of Argon2id; none if the library refuses what [`HashCost`] allows, which it does not.
fn tag(
    password: &PlainPassword,
    cost: HashCost,
    salt: &[u8; 16],
    memory: &mut Memory,
    load: &Load,
) -> Option<[u8; 32]> {
    let HashCost { memory_kib, passes, lanes } = cost;
    let params = Params::new(memory_kib, passes, lanes, Some(32)).ok()?;
    let memory = memory.blocks(params.block_count());
    let mut tag = [0; 32];
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon.hash_password_into_with_memory(password.expose(), salt, &mut tag, memory).ok()?;
    load.hashes.fetch_add(1, Relaxed);
    Some(tag)
}

/// Blocks of 1 KiB that a hash of this cost takes.
fn blocks(cost: HashCost) -> usize {
    cost.memory_kib as usize
}

fn broken() -> Error {
    tracing::error!("a password could not be hashed");
    Error::new(Reason::Internal, "the password could not be checked")
}

/// Callers in line at most, whatever a turn takes.
const MAX_WAITING: usize = 256;
/// Nobody lines up who would have to wait for longer: they would have given up before, and tried again.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::*;
    use crate::domain::entropy::SystemEntropy;

    const CHEAP: HashCost = HashCost { memory_kib: 16, passes: 1, lanes: 1 };

    fn hasher(cost: HashCost, threads: usize) -> Arc<PasswordHasher> {
        Arc::new(PasswordHasher::start(cost, threads, Arc::new(SystemEntropy)).unwrap())
    }

    fn password(text: &str) -> PlainPassword {
        PlainPassword::presented(text.to_owned()).unwrap()
    }

    fn hashes(hasher: &PasswordHasher) -> u64 {
        hasher.load().hashes.load(Relaxed)
    }

    /// Keeps a thread busy until the sender is dropped.
    fn block(hasher: &Arc<PasswordHasher>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<()>>) {
        let (release, released) = mpsc::channel::<()>();
        let hasher = Arc::clone(hasher);
        let work = async move { hasher.in_turn(move |_| released.recv().err().map(|_| ())).await };
        (release, tokio::spawn(work))
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other_is() {
        let hasher = hasher(CHEAP, 1);
        let kept = hasher.hash(password("vexillum")).await.unwrap();
        let kept = PasswordHash::parse(&kept.to_phc()).unwrap();
        let judged = hasher.judge(password("vexillum"), Some(kept.clone())).await.unwrap();
        assert!(matches!(judged, Judgement::Right(None)), "{judged:?}");
        for (wrong, kept) in [("vexillun", Some(kept.clone())), ("", Some(kept)), ("vexillum", None)] {
            let before = hashes(&hasher);
            assert!(matches!(hasher.judge(password(wrong), kept).await.unwrap(), Judgement::Wrong));
            assert_eq!(hashes(&hasher), before + 1, "the same work, whether there is a hash or not");
        }
        let other = hasher.hash(password("vexillum")).await.unwrap();
        assert_ne!(other.tag, hasher.hash(password("vexillum")).await.unwrap().tag, "salted");
    }

    #[tokio::test]
    async fn hashes_are_those_of_the_reference_implementation() {
        // Made by argon2-cffi, which wraps it.
        let kept = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHRzb21lc2FsdA$+j6fpp969JWgSLHyZRDuFMvgabplCo/vJO3PVDSbjOo";
        let kept = PasswordHash::parse(kept).unwrap();
        let judged = hasher(kept.cost, 1).judge(password("correct horse"), Some(kept)).await.unwrap();
        assert!(matches!(judged, Judgement::Right(None)), "{judged:?}");
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_renewed_when_the_password_was_right() {
        let old = hasher(CHEAP, 1).hash(password("vexillum")).await.unwrap();
        let hasher = hasher(HashCost { passes: 2, ..CHEAP }, 1);
        let judged = hasher.judge(password("wrong"), Some(old.clone())).await.unwrap();
        assert!(matches!(judged, Judgement::Wrong));
        let judged = hasher.judge(password("vexillum"), Some(old)).await.unwrap();
        let Judgement::Right(Some(renewed)) = judged else { panic!("{judged:?}") };
        assert_eq!(renewed.cost.passes, 2);
        let judged = hasher.judge(password("vexillum"), Some(renewed)).await.unwrap();
        assert!(matches!(judged, Judgement::Right(None)), "{judged:?}");
    }

    #[tokio::test]
    async fn the_line_has_an_end_and_those_at_it_are_told_when_to_come_back() {
        let hasher = hasher(CHEAP, 2);
        let blocked = [block(&hasher), block(&hasher)];
        tokio::task::yield_now().await;
        let mut line: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(hasher.hash(password("vexillum")))).collect();
        for waiting in &mut line {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        assert_eq!(hasher.load().waiting.load(Relaxed), MAX_WAITING);
        let refused = hasher.hash(password("vexillum")).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Overloaded);
        assert!(refused.retry_after >= Some(Duration::from_secs(1)));
        // Who gives up frees the place, whether at the end of the line or within it.
        drop(line.swap_remove(7));
        let mut late = Box::pin(hasher.hash(password("vexillum")));
        assert!(late.as_mut().now_or_never().is_none(), "in line");
        drop(blocked);
        let all = timeout(Duration::from_secs(60), join_all(line)).await.expect("the line moves");
        assert!(all.iter().all(Result::is_ok));
        late.await.unwrap();
        assert_eq!((hasher.load().waiting.load(Relaxed), hasher.turns.available_permits()), (0, 2));
        assert_eq!(hashes(&hasher), MAX_WAITING as u64, "nothing was done for the one who left");
    }

    #[tokio::test]
    async fn nobody_lines_up_for_longer_than_is_worth_it() {
        let hasher = hasher(CHEAP, 1);
        hasher.load.took(Duration::from_secs(4));
        let blocked = block(&hasher);
        tokio::task::yield_now().await;
        let mut line: Vec<_> = (0..3).map(|_| Box::pin(hasher.hash(password("vexillum")))).collect();
        for waiting in &mut line {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let refused = hasher.hash(password("vexillum")).await.unwrap_err();
        assert_eq!((refused.reason, refused.retry_after), (Reason::Overloaded, Some(Duration::from_secs(12))));
        drop(blocked);
        join_all(line).await;
    }

    #[tokio::test]
    async fn a_turn_that_began_ends_by_itself_and_one_that_panics_takes_nothing_with_it() {
        let hasher = hasher(CHEAP, 1);
        let (release, caller) = block(&hasher);
        tokio::task::yield_now().await;
        caller.abort();
        let _ = caller.await;
        assert_eq!(hasher.turns.available_permits(), 0, "the work goes on");
        drop(release);
        hasher.hash(password("vexillum")).await.unwrap();
        let panicked = hasher.in_turn::<()>(|_| panic!("on purpose")).await.unwrap_err();
        assert_eq!(panicked.reason, Reason::Internal);
        hasher.hash(password("vexillum")).await.unwrap();
    }
}
