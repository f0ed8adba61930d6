//! Gatepost: issues, checks and governs API credentials.
pub mod auth;
pub mod domain;
pub mod net;
pub mod proto;
pub mod rpc;
pub mod service;
pub mod store;
