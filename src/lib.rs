//! Gatepost: issues, checks and governs API credentials.
pub mod domain;
pub mod proto;
pub mod store;
