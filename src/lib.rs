//! Gatepost: issues, checks and governs API credentials.
pub mod domain;
pub mod net;
pub mod proto;
