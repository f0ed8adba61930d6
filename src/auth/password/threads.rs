//! The threads on which passwords are hashed, each with the memory for one hash.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::Block;

/// A few threads. They end when this is dropped and their work is done.
pub(super) struct HashThreads(Arc<Work>);

/// What a thread is to do.
pub(super) type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// What a thread works in. It is kept from hash to hash: to get it from the system and give it back each time would cost a
/// quarter of the work, and hold up all threads of the process.
#[derive(Default)]
pub(super) struct Memory(Vec<Block>);

impl HashThreads {
    /// Starts so many; each keeps so many blocks between its jobs.
    pub(super) fn start(threads: usize, blocks: usize) -> io::Result<Self> {
        let this = Self(Arc::default());
        for number in 0..threads {
            let work = Arc::clone(&this.0);
            let name = format!("passwords-{number}");
            thread::Builder::new().name(name).spawn(move || serve(&work, blocks))?;
        }
        Ok(this)
    }

    /// Has a thread do this. How many jobs wait is bounded by whoever gives them.
    pub(super) fn give(&self, job: Job) {
        self.0.line().jobs.push_back(job);
        self.0.given.notify_one();
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        self.0.line().ended = true;
        self.0.given.notify_all();
    }
}

impl Memory {
    /// So many blocks, whatever they hold.
    pub(super) fn blocks(&mut self, many: usize) -> &mut [Block] {
        if self.0.len() < many {
            // Made anew: what there is would only be copied.
            self.0 = Vec::new();
            self.0.resize(many, Block::default());
        }
        &mut self.0[..many]
    }

    /// Gives back what is more than so many blocks.
    fn keep(&mut self, most: usize) {
        if self.0.len() > most {
            self.0 = Vec::new();
        }
    }
}

#[derive(Default)]
struct Work {
    line: Mutex<Line>,
    given: Condvar,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    ended: bool,
}

impl Work {
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(work: &Work, blocks: usize) {
    stand_back();
    let mut memory = Memory::default();
    while let Some(job) = next(work, &mut memory) {
        // A job that panics takes only its own caller with it, who is told by what the job drops.
        if catch_unwind(AssertUnwindSafe(|| job(&mut memory))).is_err() {
            tracing::error!("a job of a password thread panicked");
        }
        memory.keep(blocks);
    }
}

/// Waits for a job; none when there will be no more. The memory is given back when none comes for a while.
fn next(work: &Work, memory: &mut Memory) -> Option<Job> {
    let mut line = work.line();
    loop {
        if let Some(job) = line.jobs.pop_front() {
            return Some(job);
        }
        if line.ended {
            return None;
        }
        let (woken, waited) = work.given.wait_timeout(line, IDLE).unwrap_or_else(PoisonError::into_inner);
        line = woken;
        if waited.timed_out() {
            drop(line);
            memory.keep(0);
            line = work.line();
        }
    }
}

/// Has the threads that answer requests go first where there are not processors enough for all.
#[cfg(target_os = "linux")]
fn stand_back() {
    // Of this thread alone: on Linux a thread is what the system calls a process here.
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::warn!(%error, "the threads for passwords cannot stand back behind others");
    }
}

/// Elsewhere the priority is that of the whole process.
#[cfg(not(target_os = "linux"))]
fn stand_back() {}

impl fmt::Debug for HashThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashThreads(..)")
    }
}

/// A ninth of the weight of other threads (sched(7)).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// How long a thread without work keeps its memory.
const IDLE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_only_as_far_as_it_is_needed() {
        let mut memory = Memory::default();
        assert_eq!(memory.blocks(16).len(), 16);
        assert_eq!(memory.blocks(8).len(), 8);
        memory.keep(16);
        assert_eq!(memory.0.len(), 16);
        assert_eq!(memory.blocks(32).len(), 32);
        memory.keep(16);
        assert_eq!(memory.0.capacity(), 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_threads_stand_back_and_no_other_does() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let threads = HashThreads::start(1, 0).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        threads.give(Box::new(move |_| tell.send(rustix::process::getpriority_process(None)).unwrap()));
        assert_eq!(told.recv().unwrap().unwrap(), (before + NICENESS).min(19));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn the_threads_end_when_their_work_is_done() {
        let threads = HashThreads::start(2, 0).unwrap();
        let work = Arc::downgrade(&threads.0);
        let (tell, told) = std::sync::mpsc::channel();
        for number in 0..10 {
            let tell = tell.clone();
            threads.give(Box::new(move |_| tell.send(number).unwrap()));
        }
        drop((threads, tell));
        assert_eq!(told.iter().count(), 10);
        let gone = (0..1000).any(|_| {
            thread::sleep(Duration::from_millis(10));
            work.strong_count() == 0
        });
        assert!(gone);
    }
}
