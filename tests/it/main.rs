//! The integration tests: one binary, one file per subject.

mod architecture;
mod json_edge;
mod keys;
mod outside;
mod policy;
mod process;
mod products;
mod refusals;
mod revocations;
mod scopes;
mod secrets;
mod support;
mod verify;
mod wires;
