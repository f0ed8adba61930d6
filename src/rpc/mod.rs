//! The gRPC services: decode, validate, call the service, encode. JSON clients reach the same functions through the edge.

pub mod auth;
mod convert;
mod fields;
pub mod keys;
mod page;
pub mod products;
pub mod request;
pub mod status;
