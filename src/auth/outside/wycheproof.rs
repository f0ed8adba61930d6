//! The vectors of Project Wycheproof, in `tests/wycheproof`, held against the reader of tokens and the reader of keys.

use serde_json::{Value, json};

use super::jws::{Jws, Purpose};
use super::key_set::KeySet;

/// Vectors that Wycheproof calls valid and that are refused here, with the reason. All others come out as they should.
const STRICTER: [(u64, &str); 4] = [
    // RFC 8725, section 3.1: a key is for one algorithm. This one says PS256, and the token PS384.
    (346, "the key's alg is another than the token's"),
    (350, "the key's alg is another than the token's"),
    // P-521 is not among the algorithms taken; besides, the key's alg is ES521, which no RFC knows.
    (347, "ES512 is not taken"),
    (351, "ES512 is not taken"),
];

#[test]
fn signatures() {
    let (mut ran, mut symmetric, mut stricter) = (0, 0, Vec::new());
    for group in groups(include_str!("../../../tests/wycheproof/json_web_signature_test.json")) {
        // Symmetric groups have no public part. Their keys must be of no use, and so must their tokens, whatever the key.
        let public = group.get("public");
        let keys = json!({"keys": [public.unwrap_or(&group["private"])]});
        for test in group["tests"].as_array().unwrap() {
            let (id, valid) = (test["tcId"].as_u64().unwrap(), test["result"] == "valid");
            let accepted = accepts(&keys, test["jws"].as_str().unwrap());
            ran += 1;
            if public.is_none() {
                symmetric += 1;
                assert!(!accepted, "{id}: a shared secret was taken");
            } else if valid && !accepted {
                stricter.push(id);
            } else {
                assert_eq!(accepted, valid, "{id}: {}", test["comment"]);
            }
        }
    }
    stricter.sort_unstable();
    let mut known = STRICTER.map(|(id, _)| id);
    known.sort_unstable();
    assert_eq!(stricter, known);
    assert_eq!((ran, symmetric), (401, 40), "none was left out");
}

#[test]
fn key_sets() {
    let mut ran = 0;
    for group in groups(include_str!("../../../tests/wycheproof/json_web_key_test.json")) {
        let public = group.get("public");
        let keys = public.unwrap_or(&group["private"]);
        for test in group["tests"].as_array().unwrap() {
            let accepted = accepts(keys, test["jws"].as_str().unwrap());
            let wanted = public.is_some() && test["result"] == "valid";
            assert_eq!(accepted, wanted, "{}: {}", test["tcId"], test["comment"]);
            ran += 1;
        }
    }
    assert_eq!(ran, 26, "none was left out");
}

fn accepts(keys: &Value, token: &str) -> bool {
    let Ok(keys) = KeySet::parse(keys.to_string().as_bytes()) else { return false };
    Jws::parse(token, Purpose::Identity).is_ok_and(|jws| jws.verify(&keys, |_| true).is_ok())
}

fn groups(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["testGroups"].as_array().unwrap().clone()
}
