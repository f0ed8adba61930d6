//! The integration tests: one binary, one file per subject.

mod command_line;
mod outside;
mod process;
mod support;
mod wires;
