//! Gatepost: issues, checks and governs API credentials.
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod edge;
pub mod net;
pub mod proto;
pub mod rpc;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
