//! Any text, resolved as a path with every method, and parsed as a template.
#![no_main]

use std::sync::LazyLock;

use gatepost::edge::{Edge, fuzzing};
use gatepost::proto::descriptor_pool;
use libfuzzer_sys::fuzz_target;

static EDGE: LazyLock<Edge> =
    LazyLock::new(|| Edge::new(descriptor_pool(), 1024).expect("our own rules can be served"));

fuzz_target!(|text: &str| {
    fuzzing::check_path(&EDGE, text);
    fuzzing::check_template(text);
});
