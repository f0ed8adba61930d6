//! What a token says about its user (RFC 7519, section 4.1), and whether that is for us and for now.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::flaw::Flaw;
use super::json::{self, Fault};
use super::jws::{Jws, Purpose};
use super::key_set::KeySet;
use crate::domain::clock::Timestamp;
use crate::domain::issuer::{ClaimNames, TokenRules};
use crate::domain::user::Email;

/// A token of which nothing is known to be true.
#[derive(Debug)]
pub struct Unverified<'a> {
    jws: Jws<'a>,
    claims: Map<String, Value>,
    issuer: String,
}

/// What a token says whose signature, issuer, audience and times are good.
#[derive(Clone, Debug, PartialEq)]
pub struct Introduction {
    /// Who made it.
    pub issuer: String,
    /// What the issuer calls the user: 1 to 255 characters, none of them a control character.
    pub subject: String,
    /// When the token stops being good, the leeway included.
    pub expires_at: Timestamp,
    /// What it tells about the user.
    pub profile: Profile,
}

/// What an issuer tells about a user, as far as it can be kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// Their address.
    pub email: Option<Email>,
    /// Their first name.
    pub first_name: Option<String>,
    /// Their last name.
    pub last_name: Option<String>,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What keeps it from being a token of a user.
    pub fn parse(token: &'a str) -> Result<Self, Flaw> {
        let jws = Jws::parse(token, Purpose::Identity)?;
        let claims = json::object(jws.unverified_payload()).map_err(|fault| match fault {
            Fault::NotAnObject => Flaw::ClaimsNotJson,
            Fault::Duplicate => Flaw::DuplicateMember,
        })?;
        let issuer = text(&claims, "iss")?.ok_or(Flaw::ClaimMissing("iss"))?.to_owned();
        Ok(Self { jws, claims, issuer })
    }

    /// Who the token says made it: good for finding out whose keys to check it by, and for nothing else.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The envelope, for finding out whether its key is there.
    pub fn jws(&self) -> &Jws<'a> {
        &self.jws
    }

    /// Believes the token, if it keeps all rules of its issuer and is signed by one of these keys, which are its issuer's.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn verify(&self, keys: &KeySet, rules: &TokenRules, now: Timestamp) -> Result<Introduction, Flaw> {
        if self.issuer != rules.issuer {
            return Err(Flaw::UnknownIssuer);
        }
        self.jws.verify(keys, |algorithm| rules.algorithms.contains(&algorithm))?;
        let claims = &self.claims;
        if !is_for(claims.get("aud").ok_or(Flaw::ClaimMissing("aud"))?, &rules.audiences)? {
            return Err(Flaw::WrongAudience);
        }
        let expires_at = time(claims, "exp")?.ok_or(Flaw::ClaimMissing("exp"))?.plus(rules.leeway);
        if expires_at <= now {
            return Err(Flaw::Expired);
        }
        for name in ["nbf", "iat"] {
            if time(claims, name)?.is_some_and(|start| start.minus(rules.leeway) > now) {
                return Err(Flaw::NotYetValid);
            }
        }
        let subject = text(claims, "sub")?.ok_or(Flaw::ClaimMissing("sub"))?;
        if !(1..=MAX_SUBJECT).contains(&subject.chars().count()) || subject.chars().any(char::is_control) {
            return Err(Flaw::ClaimInvalid("sub"));
        }
        let profile = Profile::read(claims, &rules.claims);
        Ok(Introduction { issuer: self.issuer.clone(), subject: subject.to_owned(), expires_at, profile })
    }
}

impl Profile {
    /// What the issuer tells. A claim that breaks a rule of ours is as good as none: the user signs in all the same.
    fn read(claims: &Map<String, Value>, names: &ClaimNames) -> Self {
        let told = |name: &str| claims.get(name).and_then(Value::as_str);
        let name = |name: &str| told(name).filter(|text| is_name(text)).map(str::to_owned);
        Self {
            email: told(&names.email).and_then(Email::parse),
            first_name: name(&names.first_name),
            last_name: name(&names.last_name),
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// One audience or a list of them (RFC 7519, section 4.1.3).
fn is_for(audience: &Value, wanted: &BTreeSet<String>) -> Result<bool, Flaw> {
    match audience {
        Value::String(one) => Ok(wanted.contains(one)),
        Value::Array(list) => {
            let names = list.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or(Flaw::ClaimInvalid("aud"))?;
            Ok(names.into_iter().any(|name| wanted.contains(name)))
        }
        _ => Err(Flaw::ClaimInvalid("aud")),
    }
}

pub(in crate::auth) fn text<'a>(claims: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, Flaw> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Flaw::ClaimInvalid(name)),
    }
}

/// Seconds since the epoch, perhaps with a fraction (RFC 7519, section 2, NumericDate), up to the end of the year 9999.
pub(in crate::auth) fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Flaw> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| (0.0..=END_OF_TIME).contains(seconds));
    // In range, so nothing is cut off but what is less than a microsecond.
    seconds.map(|seconds| Some(Timestamp::from_micros((seconds * 1e6) as i64))).ok_or(Flaw::ClaimInvalid(name))
}

/// The longest subject, in characters (OpenID Connect Core 1.0, section 2).
pub const MAX_SUBJECT: usize = 255;
/// The longest first or last name, in characters: the rule of users.
const MAX_NAME: usize = 100;
/// 9999-12-31T23:59:59Z.
const END_OF_TIME: f64 = 253_402_300_799.0;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::tests::{KID, RSA, Signer};
    use super::*;
    use crate::domain::issuer::Algorithm;

    const NOW: i64 = 1_800_000_000;

    fn rules() -> TokenRules {
        TokenRules {
            issuer: "https://id.example".to_owned(),
            audiences: ["shop", "app"].map(str::to_owned).into(),
            algorithms: [Algorithm::EdDsa, Algorithm::Rs256].into(),
            claims: ClaimNames::default(),
            leeway: Duration::from_secs(30),
        }
    }

    fn claims() -> Map<String, Value> {
        let claims = json!({
            "iss": "https://id.example", "aud": "shop", "sub": "auth0|1", "exp": NOW + 600, "iat": NOW,
            "email": "ada@example.com", "given_name": "Ada", "family_name": "Lovelace",
        });
        claims.as_object().unwrap().clone()
    }

    fn verify(token: &str, keys: &KeySet, rules: &TokenRules) -> Result<Introduction, Flaw> {
        Unverified::parse(token)?.verify(keys, rules, Timestamp::from_micros(NOW * 1_000_000))
    }

    #[test]
    fn a_good_token_tells_about_its_user() {
        let signer = Signer::ed25519(KID);
        let introduction = verify(&signer.sign(&claims().into()), &signer.keys(), &rules()).unwrap();
        assert_eq!(introduction.subject, "auth0|1");
        assert_eq!(introduction.expires_at, Timestamp::from_micros((NOW + 630) * 1_000_000));
        assert_eq!(introduction.profile.email.unwrap().as_str(), "ada@example.com");
        assert_eq!(introduction.profile.first_name.as_deref(), Some("Ada"));
        assert_eq!(introduction.profile.last_name.as_deref(), Some("Lovelace"));
    }

    #[test]
    fn claims_keep_their_rules() {
        let signer = Signer::ed25519(KID);
        let (keys, rules) = (signer.keys(), rules());
        let long = |length: usize| json!("x".repeat(length));
        let cases = [
            ("iss", None, Err(Flaw::ClaimMissing("iss"))),
            ("iss", Some(json!("https://id.example/")), Err(Flaw::UnknownIssuer)),
            ("iss", Some(json!("https://ID.example")), Err(Flaw::UnknownIssuer)),
            ("iss", Some(json!(["https://id.example"])), Err(Flaw::ClaimInvalid("iss"))),
            ("aud", None, Err(Flaw::ClaimMissing("aud"))),
            ("aud", Some(json!("app")), Ok(())),
            ("aud", Some(json!(["other", "app"])), Ok(())),
            ("aud", Some(json!("other")), Err(Flaw::WrongAudience)),
            ("aud", Some(json!("Shop")), Err(Flaw::WrongAudience)),
            ("aud", Some(json!([])), Err(Flaw::WrongAudience)),
            ("aud", Some(json!(["shop", 1])), Err(Flaw::ClaimInvalid("aud"))),
            ("aud", Some(json!({"shop": true})), Err(Flaw::ClaimInvalid("aud"))),
            ("exp", None, Err(Flaw::ClaimMissing("exp"))),
            ("exp", Some(json!(NOW - 29)), Ok(())),
            ("exp", Some(json!(NOW - 30)), Err(Flaw::Expired)),
            ("exp", Some(json!(0)), Err(Flaw::Expired)),
            ("exp", Some(json!(NOW as f64 + 0.5)), Ok(())),
            ("exp", Some(json!("1900000000")), Err(Flaw::ClaimInvalid("exp"))),
            ("exp", Some(json!(-1)), Err(Flaw::ClaimInvalid("exp"))),
            ("exp", Some(json!(1e30)), Err(Flaw::ClaimInvalid("exp"))),
            ("exp", Some(json!(u64::MAX)), Err(Flaw::ClaimInvalid("exp"))),
            ("exp", Some(json!(null)), Err(Flaw::ClaimInvalid("exp"))),
            ("nbf", Some(json!(NOW + 30)), Ok(())),
            ("nbf", Some(json!(NOW + 31)), Err(Flaw::NotYetValid)),
            ("nbf", Some(json!("soon")), Err(Flaw::ClaimInvalid("nbf"))),
            ("iat", None, Ok(())),
            ("iat", Some(json!(NOW + 30)), Ok(())),
            ("iat", Some(json!(NOW + 31)), Err(Flaw::NotYetValid)),
            ("iat", Some(json!([NOW])), Err(Flaw::ClaimInvalid("iat"))),
            ("sub", None, Err(Flaw::ClaimMissing("sub"))),
            ("sub", Some(json!("")), Err(Flaw::ClaimInvalid("sub"))),
            ("sub", Some(json!(7)), Err(Flaw::ClaimInvalid("sub"))),
            ("sub", Some(long(255)), Ok(())),
            ("sub", Some(long(256)), Err(Flaw::ClaimInvalid("sub"))),
            ("sub", Some(json!("a\u{0}b")), Err(Flaw::ClaimInvalid("sub"))),
            ("sub", Some(json!("a\u{85}b")), Err(Flaw::ClaimInvalid("sub"))),
            ("sub", Some(json!("\u{e4}".repeat(255))), Ok(())),
            ("nonce", Some(json!({"any": ["thing"]})), Ok(())),
        ];
        for (name, value, wanted) in cases {
            let mut claims = claims();
            let case = format!("{name} {value:?}");
            match value {
                Some(value) => claims.insert(name.to_owned(), value),
                None => claims.remove(name),
            };
            let answer = verify(&signer.sign(&claims.into()), &keys, &rules);
            assert_eq!(answer.map(|_| ()), wanted, "{case:.80}");
        }
    }

    #[test]
    fn what_breaks_a_rule_of_users_is_not_told() {
        let signer = Signer::ed25519(KID);
        let mut claims = claims();
        for (name, value) in
            [("email", json!("not an address")), ("given_name", json!("a".repeat(101))), ("family_name", json!("a\nb"))]
        {
            claims.insert(name.to_owned(), value);
        }
        let named = TokenRules {
            claims: ClaimNames { email: "mail".to_owned(), first_name: "vorname".to_owned(), ..ClaimNames::default() },
            ..rules()
        };
        let token = signer.sign(&claims.clone().into());
        assert_eq!(verify(&token, &signer.keys(), &rules()).unwrap().profile, Profile::default());
        claims.insert("mail".to_owned(), json!("grace@example.com"));
        claims.insert("vorname".to_owned(), json!(["Grace"]));
        let profile = verify(&signer.sign(&claims.into()), &signer.keys(), &named).unwrap().profile;
        assert_eq!(profile, Profile { email: Email::parse("grace@example.com"), ..Profile::default() });
    }

    #[test]
    fn what_is_no_set_of_claims_is_refused() {
        let signer = Signer::ed25519(KID);
        for (payload, wanted) in [
            (&b"[]"[..], Flaw::ClaimsNotJson),
            (b"", Flaw::ClaimsNotJson),
            (b"{\"iss\":\"\xff\"}", Flaw::ClaimsNotJson),
            (br#"{"iss":"https://id.example","sub":"a","sub":"b"}"#, Flaw::DuplicateMember),
            // A token as the payload of another, without the header that says so (RFC 7519, section 5.2).
            (b"eyJhbGciOiJub25lIn0.e30.", Flaw::ClaimsNotJson),
        ] {
            let token = signer.sign_bytes(payload);
            assert_eq!(verify(&token, &signer.keys(), &rules()).unwrap_err(), wanted);
        }
    }

    #[test]
    fn signatures_count_by_the_issuers_keys_and_algorithms_only() {
        let (ours, others) = (Signer::ed25519(KID), Signer::ed25519(KID));
        let token = ours.sign(&claims().into());
        assert_eq!(verify(&token, &others.keys(), &rules()), Err(Flaw::BadSignature));
        let renamed = Signer::ed25519("another");
        assert_eq!(verify(&token, &renamed.keys(), &rules()), Err(Flaw::UnknownKey));
        let only_rsa = TokenRules { algorithms: [Algorithm::Rs256].into(), ..rules() };
        assert_eq!(verify(&token, &ours.keys(), &only_rsa), Err(Flaw::AlgorithmNotListed));
        // A key of another kind under the same name.
        let rsa = KeySet::parse(json!({"keys": [serde_json::from_str::<Value>(RSA).unwrap()]}).to_string().as_bytes());
        assert_eq!(verify(&token, &rsa.unwrap(), &rules()), Err(Flaw::UnknownKey));
        // What was signed is all of it.
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let mut other = claims();
        other.insert("sub".to_owned(), json!("admin"));
        let forged = format!("{header}.{}.{signature}", Signer::encode(Value::from(other).to_string().as_bytes()));
        assert_eq!(verify(&forged, &ours.keys(), &rules()), Err(Flaw::BadSignature));
    }
}
