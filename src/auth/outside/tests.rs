//! Signers of tokens, for the tests of all files here, and the tests of key sets.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::jws::{Jws, Purpose};
use super::key_set::{KeySet, KeySetFlaw, MAX_KEY_SET};

/// The name of the key in [`RSA`].
pub(super) const KID: &str = "kid-rsa-sign";
/// A public key of the Wycheproof vectors.
pub(super) const RSA: &str = r#"{"use":"sig","kid":"kid-rsa-sign","kty":"RSA","e":"AQAB","n":"kqGboBfAWttWPCA-0cGRgsY6SaYoIARt0B_PkaEcIq9HPYNdu9n6UuWHuuTHrjF_ZoQW97r5HaAorNvrMEGTGdxCHZdEtkHvNVVmrtxTBLiQCbCozXhFoIrVcr3qUBrdGnNn_M3jJi7Wg7p_-x62nS5gNG875oyheRkutHsQXikFZwsN3q_TsPNOVlCiHy8mxzaFTUQGm-X8UYexFyAivlDSjgDJLAZSWfxd7k9Gxuwa3AUfQqQcVcegmgKGCaErQ3qQbh1x7WB6iopE3_-GZ8HMAVtR9AmrVscqYsnjhaCehfAI0iKKs8zXr8tISc0ORbaalrkk03H1ZrsEnDKEWQ"}"#;

/// Makes tokens.
pub(super) struct Signer {
    kid: String,
    pair: Ed25519KeyPair,
}

impl Signer {
    pub(super) fn ed25519(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: Ed25519KeyPair::generate().unwrap() }
    }

    pub(super) fn jwk(&self) -> Value {
        let x = Self::encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x})
    }

    pub(super) fn keys(&self) -> KeySet {
        KeySet::parse(json!({"keys": [self.jwk()]}).to_string().as_bytes()).unwrap()
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_bytes(claims.to_string().as_bytes())
    }

    pub(super) fn sign_bytes(&self, payload: &[u8]) -> String {
        self.sign_under(&json!({"alg": "EdDSA", "kid": self.kid}), payload)
    }

    pub(super) fn sign_under(&self, header: &Value, payload: &[u8]) -> String {
        let signed = format!("{}.{}", Self::encode(header.to_string().as_bytes()), Self::encode(payload));
        format!("{signed}.{}", Self::encode(self.pair.sign(signed.as_bytes()).as_ref()))
    }

    pub(super) fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn parse(keys: &[Value]) -> Result<KeySet, KeySetFlaw> {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
}

fn with(key: &Value, members: Value) -> Value {
    let mut key = key.clone();
    for (name, value) in members.as_object().unwrap() {
        match value {
            Value::Null => key.as_object_mut().unwrap().remove(name),
            value => key.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    key
}

#[test]
fn sets_are_taken_or_refused_whole() {
    let (one, two) = (Signer::ed25519("one").jwk(), Signer::ed25519("two").jwk());
    let unnamed = with(&two, json!({"kid": null}));
    assert!(parse(&[one.clone(), two.clone()]).is_ok());
    assert!(parse(&[one.clone(), unnamed.clone(), unnamed]).is_ok(), "keys without a name are not of one name");
    let many = |count: usize| (0..count).map(|n| with(&one, json!({"kid": n.to_string()}))).collect::<Vec<_>>();
    assert!(parse(&many(100)).is_ok());
    assert_eq!(parse(&many(101)).unwrap_err(), KeySetFlaw::TooMany);
    assert_eq!(parse(&[]).unwrap_err(), KeySetFlaw::NoneUsable);
    assert_eq!(parse(&[one.clone(), with(&two, json!({"kid": "one"}))]).unwrap_err(), KeySetFlaw::DuplicateKid);
    // Even where one of the two would be passed over.
    let encrypts = with(&two, json!({"kid": "one", "use": "enc"}));
    assert_eq!(parse(&[one.clone(), encrypts]).unwrap_err(), KeySetFlaw::DuplicateKid);
    assert_eq!(parse(&[one.clone(), with(&two, json!({"d": "AAAA"}))]).unwrap_err(), KeySetFlaw::Secret);
    assert_eq!(parse(&[one.clone(), json!({"kty": "oct", "k": "AAAA"})]).unwrap_err(), KeySetFlaw::Secret);
    assert_eq!(parse(&[with(&one, json!({"kid": 7}))]).unwrap_err(), KeySetFlaw::NotAKeySet);
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(KeySet::parse(bad.as_bytes()).unwrap_err(), KeySetFlaw::NotAKeySet, "{bad}");
    }
    let long = format!("{{\"keys\":[{one}],\"x\":\"{}\"}}", "x".repeat(MAX_KEY_SET));
    assert_eq!(KeySet::parse(long.as_bytes()).unwrap_err(), KeySetFlaw::TooLong);
}

#[test]
fn keys_of_no_use_are_passed_over() {
    let ed = Signer::ed25519("ed").jwk();
    let rsa: Value = serde_json::from_str(RSA).unwrap();
    let modulus = |bytes: &[u8]| with(&rsa, json!({ "n": Signer::encode(bytes) }));
    let ones = |length: usize, first: u8| [&[first][..], &vec![0xff; length - 1]].concat();
    for good in [
        ed.clone(),
        with(&ed, json!({"alg": "EdDSA", "use": "sig", "key_ops": ["verify"]})),
        with(&ed, json!({"alg": "Ed25519", "x5c": ["ignored"]})),
        rsa.clone(),
        with(&rsa, json!({"alg": "PS384"})),
        with(&rsa, json!({"e": "Aw"})),
        modulus(&ones(256, 0x80)),
        modulus(&ones(1024, 0xff)),
    ] {
        assert!(parse(std::slice::from_ref(&good)).is_ok(), "{good:.200}");
    }
    for bad in [
        with(&ed, json!({"use": "enc"})),
        with(&ed, json!({"use": ["sig"]})),
        with(&ed, json!({"key_ops": ["sign"]})),
        with(&ed, json!({"key_ops": []})),
        with(&ed, json!({"key_ops": "verify"})),
        with(&ed, json!({"alg": "RS256"})),
        with(&ed, json!({"alg": "none"})),
        with(&ed, json!({"alg": 7})),
        with(&ed, json!({"crv": "Ed448"})),
        with(&ed, json!({"crv": "X25519"})),
        with(&ed, json!({"kty": "EC"})),
        with(&ed, json!({"kty": null})),
        with(&ed, json!({"x": null})),
        with(&ed, json!({"x": "AAAA"})),
        with(&rsa, json!({"alg": "ES256"})),
        with(&rsa, json!({"n": null})),
        with(&rsa, json!({"e": "AQ"})),
        with(&rsa, json!({"e": "AA"})),
        with(&rsa, json!({"e": "BA"})),
        with(&rsa, json!({"e": ""})),
        with(&rsa, json!({"e": "AQAAAAE"})),
        with(&rsa, json!({"e": "AAEAAQ"})),
        with(&rsa, json!({"n": format!("{}=", rsa["n"].as_str().unwrap())})),
        modulus(&ones(256, 0x7f)),
        modulus(&ones(128, 0xff)),
        modulus(&ones(1025, 0x01)),
        modulus(&ones(257, 0x00)),
        modulus(&[&ones(256, 0xff)[..255], &[0xfe]].concat()),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "LATER", "kid": "x"}),
    ] {
        assert_eq!(parse(std::slice::from_ref(&bad)).unwrap_err(), KeySetFlaw::NoneUsable, "{bad:.200}");
        assert!(parse(&[bad.clone(), Signer::ed25519("good").jwk()]).is_ok(), "{bad:.200}");
    }
}

#[test]
fn a_token_that_names_no_key_means_the_only_one() {
    let (one, two) = (Signer::ed25519("one"), Signer::ed25519("two"));
    let token = one.sign_under(&json!({"alg": "EdDSA"}), b"{}");
    let jws = Jws::parse(&token, Purpose::Identity).unwrap();
    let rsa: Value = serde_json::from_str(RSA).unwrap();
    let verify = |keys: &[Value]| jws.verify(&parse(keys).unwrap(), |_| true).err();
    assert_eq!(verify(&[one.jwk()]), None);
    assert_eq!(verify(&[rsa.clone(), one.jwk()]), None, "keys of other kinds cannot be meant");
    assert_eq!(verify(&[one.jwk(), two.jwk()]), Some(super::flaw::Flaw::KeyNotNamed));
    assert_eq!(verify(&[rsa]), Some(super::flaw::Flaw::UnknownKey));
    assert_eq!(verify(&[two.jwk()]), Some(super::flaw::Flaw::BadSignature));
}
