//! The integration tests: one binary, one file per subject.

mod billing;
mod nodes;
mod outside;
mod products;
mod storefront;
mod support;
mod wires;
