//! The integration tests: one binary, one file per subject.

mod architecture;
mod keys;
mod outside;
mod policy;
mod refusals;
mod support;
mod wires;
