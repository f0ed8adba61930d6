//! The integration tests: one binary, one file per subject.

mod architecture;
mod audit;
mod billing;
mod clients;
mod command_line;
mod crash;
mod json_edge;
mod keys;
mod nodes;
mod openapi;
mod outside;
mod policy;
mod process;
mod products;
mod refusals;
mod revocations;
mod scopes;
mod secrets;
mod service_accounts;
mod storefront;
mod support;
mod tls;
mod traces;
mod users;
mod verify;
mod wires;
