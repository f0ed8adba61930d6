//! The integration tests: one binary, one file per subject.

mod architecture;
mod outside;
mod policy;
mod refusals;
mod support;
mod wires;
