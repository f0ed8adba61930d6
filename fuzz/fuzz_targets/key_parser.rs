//! Any text, read as a secret: no panic, and what is accepted is what its parts and its checksum make again.
#![no_main]

use gatepost::domain::secret::SecretShape;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(shape) = SecretShape::parse(text) else { return };
    let head = format!("{}_{}_", shape.prefix, shape.environment);
    let body = text.strip_prefix(head.as_str()).expect("a secret begins with what it says of itself");
    assert_eq!(body.len(), 49);
    assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    for at in 0..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(changed).expect("ASCII");
        assert_eq!(SecretShape::parse(&changed), None, "a change at {at} went unnoticed");
    }
});
