//! The `gatepost` command.
fn main() {}
