//! Any bytes, read as every message of our RPCs: no panic, and what is accepted means the same to prost-reflect.
#![no_main]

use std::sync::LazyLock;

use gatepost::edge::fuzzing::Decoders;
use gatepost::proto::descriptor_pool;
use libfuzzer_sys::fuzz_target;

static DECODERS: LazyLock<Decoders> =
    LazyLock::new(|| Decoders::new(descriptor_pool()).expect("our own messages have a JSON form"));

fuzz_target!(|json: &[u8]| DECODERS.check(json));
