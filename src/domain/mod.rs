//! What Gatepost is about, as values: no transport, no SQL, no reading of the clock or of randomness.

pub mod administrator;
pub mod audit;
pub mod audit_chain;
pub mod change;
pub mod clock;
pub mod dialect;
pub mod entropy;
pub mod environment;
pub mod error;
pub mod id;
pub mod key;
pub mod memo;
pub mod metadata;
pub mod network;
pub mod page;
pub mod product;
pub mod project;
pub mod reason;
pub mod scope;
pub mod sealing;
pub mod secret;
pub mod signing_key;
pub mod throttle;
pub mod user;
pub mod words;
