//! Who asks the store: of those who need the same, one at a time.

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// A place for each name; some share one.
#[derive(Debug)]
pub(super) struct Turns {
    places: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Turns {
    /// Nobody asks.
    pub(super) fn new() -> Self {
        let places = std::iter::repeat_with(Mutex::default).take(PLACES).collect();
        Self { places, hasher: RandomState::new() }
    }

    /// Waits until nobody else of this name asks.
    pub(super) async fn wait(&self, name: &impl Hash) -> MutexGuard<'_, ()> {
        // The remainder is below the number of places.
        self.places[(self.hasher.hash_one(name) % PLACES as u64) as usize].lock().await
    }
}

/// Of so many names one may wait for another.
const PLACES: usize = 256;
