//! Gatepost: issues, checks and governs API credentials.
pub mod auth;
pub mod config;
pub mod domain;
pub mod edge;
pub mod proto;
pub mod store;
