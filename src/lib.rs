//! Gatepost: issues, checks and governs API credentials.
pub mod domain;
pub mod edge;
pub mod proto;
