//! The integration tests: one binary, one file per subject.

mod architecture;
mod billing;
mod command_line;
mod nodes;
mod outside;
mod policy;
mod process;
mod products;
mod refusals;
mod storefront;
mod support;
mod wires;
