//! Gatepost: issues, checks and governs API credentials.
pub mod config;
pub mod domain;
pub mod proto;
pub mod telemetry;
