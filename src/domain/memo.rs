//! What is worked out once about a value that never changes, and kept beside it.

use std::fmt;
use std::sync::OnceLock;

/// A place for something that follows from the value it is kept in, filled by whoever needs it first. It says nothing of its
/// own: it equals any other, and a copy of the value begins without it.
pub struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    /// What is kept; `work_out` is asked the first time.
    pub fn get_or_init(&self, work_out: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(work_out)
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for Memo<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> fmt::Debug for Memo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memo(..)")
    }
}
