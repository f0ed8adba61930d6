//! What Gatepost is about, as values: no transport, no SQL, no reading of the clock or of randomness.

pub mod dialect;
pub mod reason;
