//! The integration tests: one binary, one file per subject.

mod outside;
mod support;
mod wires;
