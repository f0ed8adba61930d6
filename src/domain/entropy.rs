//! Randomness as a value that is handed in, so that a test can repeat itself.

use std::fmt;

/// Where random bytes come from.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The cryptographic generator of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // The generator fails only where the machine gives no randomness at all; going on without would make guessable
        // secrets, so the process must not.
        aws_lc_rs::rand::fill(bytes).expect("the machine gives randomness");
    }
}
