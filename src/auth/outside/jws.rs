//! The envelope of a signed token: JWS in its compact form (RFC 7515, section 7.1), read strictly.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::flaw::Flaw;
use super::json::{self, Fault};
use super::key_set::KeySet;
use crate::domain::issuer::Algorithm;

/// What a signed token is for. The types keep the purposes apart: nobody passes one for the other (RFC 8725, section 3.11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// It says who a user is, or what they may do.
    Identity,
    /// It says which client asks (RFC 7523, section 2.2).
    ClientAssertion,
    /// It says that whoever sends it has a key, which it names itself (RFC 9449, section 4.2).
    Possession,
}

/// A token that was taken apart. Nothing of it is true yet.
pub struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<String>,
    /// The key that a proof of possession brings; none in any other token.
    pub(in crate::auth) brought: Option<Map<String, Value>>,
    /// What was signed: the first two parts, as they were sent.
    pub(super) signed: &'a str,
    pub(super) signature: &'a str,
    payload: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What keeps it from being a signed token of a kind that is taken here.
    pub fn parse(token: &'a str, purpose: Purpose) -> Result<Self, Flaw> {
        if token.len() > MAX_TOKEN {
            return Err(Flaw::TooLong);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Flaw::NotCompact);
        };
        match parts.count() {
            0 => {}
            // RFC 7516, section 9.
            2 => return Err(Flaw::Encrypted),
            _ => return Err(Flaw::NotCompact),
        }
        let (algorithm, key, brought) = read_header(&decode(header)?, purpose)?;
        if signature.is_empty() {
            return Err(Flaw::NotCompact);
        }
        // Whether it is base64 is checked here; it is decoded where it is held against the key.
        decode(signature)?;
        let payload = decode(payload)?;
        let signed = &token[..token.len() - signature.len() - 1];
        Ok(Self { algorithm, key, brought, signed, signature, payload })
    }

    /// What was signed, if it is signed by the key of `keys` that it names, in one of the ways that `allowed` lists.
    pub fn verify(&self, keys: &KeySet, allowed: impl Fn(Algorithm) -> bool) -> Result<&[u8], Flaw> {
        if !allowed(self.algorithm) {
            return Err(Flaw::AlgorithmNotListed);
        }
        keys.verify(self)?;
        Ok(&self.payload)
    }

    /// The key that it says it was signed by.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// What it says, which nobody has checked: good for looking up whose keys to check it by, and for nothing else.
    pub(in crate::auth) fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }
}

/// A token is a credential: it is shown nowhere.
impl fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Base64url without padding, and without bits that say nothing (RFC 7515, section 2; RFC 4648, section 3.5): one token has
/// one spelling.
fn decode(part: &str) -> Result<Vec<u8>, Flaw> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::NotCompact)
}

/// The algorithm, the name of the key (RFC 7515, section 4.1) and, of a proof of possession, the key. In all others `jwk`, as
/// everywhere `jku`, `x5c` and `x5u`, would have the token say what it is checked by; they are passed over, as are all that
/// change nothing.
fn read_header(text: &[u8], purpose: Purpose) -> Result<Header, Flaw> {
    let mut header = json::object(text).map_err(|fault| match fault {
        Fault::NotAnObject => Flaw::HeaderNotJson,
        Fault::Duplicate => Flaw::DuplicateMember,
    })?;
    // No extension is understood here. `b64` (RFC 7797) must come with `crit`; where it does not, it is left to nobody to
    // guess what was signed.
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Flaw::Critical);
    }
    if ["enc", "zip"].into_iter().any(|name| header.contains_key(name)) {
        return Err(Flaw::Encrypted);
    }
    if header.contains_key("cty") {
        // Claims need none (RFC 7519, section 5.2). Whatever it says, what is in there is no plain set of claims.
        return Err(Flaw::Nested);
    }
    check_type(text_member(&header, "typ")?, purpose)?;
    let algorithm = text_member(&header, "alg")?.ok_or(Flaw::AlgorithmUnsupported)?;
    let algorithm = Algorithm::parse(algorithm).ok_or(Flaw::AlgorithmUnsupported)?;
    let key = text_member(&header, "kid")?.map(str::to_owned);
    let brought = match (purpose, header.remove("jwk")) {
        (Purpose::Possession, Some(Value::Object(key))) => Some(key),
        (Purpose::Possession, _) => return Err(Flaw::HeaderMember),
        _ => None,
    };
    Ok((algorithm, key, brought))
}

type Header = (Algorithm, Option<String>, Option<Map<String, Value>>);

fn text_member<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Flaw> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Flaw::HeaderMember),
    }
}

/// Identity tokens say `JWT` or nothing, access tokens `at+jwt` (RFC 9068, section 2.1); the prefix `application/` may be there,
/// and case does not count (RFC 7515, section 4.1.9). All other types are tokens about something else: that a session ended
/// (`logout+jwt`), that something happened (`secevent+jwt`), that a key is held (`dpop+jwt`), and so on. Who holds one of
/// those has not signed in. What a client proves itself with says `JWT`, nothing, or what RFC 7523 is to ask for
/// (draft-ietf-oauth-rfc7523bis); a proof of possession says what it is.
fn check_type(typ: Option<&str>, purpose: Purpose) -> Result<(), Flaw> {
    let typ = typ.map(str::to_ascii_lowercase);
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    let known = match purpose {
        Purpose::Identity => matches!(typ, None | Some("jwt" | "at+jwt")),
        Purpose::ClientAssertion => matches!(typ, None | Some("jwt" | "client-authentication+jwt")),
        Purpose::Possession => typ == Some("dpop+jwt"),
    };
    if known { Ok(()) } else { Err(Flaw::WrongType) }
}

/// The longest token taken, in bytes.
pub const MAX_TOKEN: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(header))
    }

    fn flaw(token: &str) -> Option<Flaw> {
        Jws::parse(token, Purpose::Identity).err()
    }

    #[test]
    fn a_plain_token_is_taken_apart() {
        let text = token(r#"{"alg":"RS256","kid":"one","typ":"JWT"}"#);
        let jws = Jws::parse(&text, Purpose::Identity).unwrap();
        assert_eq!((jws.algorithm, jws.key()), (Algorithm::Rs256, Some("one")));
        assert_eq!((jws.unverified_payload(), jws.signature), (&b"{}"[..], "c2lnbmF0dXJl"));
        assert_eq!(jws.signed, text.rsplit_once('.').unwrap().0);
    }

    #[test]
    fn headers() {
        let cases = [
            (r#"{"alg":"ES256"}"#, None),
            (r#"{"alg":"Ed25519"}"#, None),
            (r#"{"alg":"EdDSA","typ":"at+jwt"}"#, None),
            (r#"{"alg":"EdDSA","typ":"Application/AT+JWT"}"#, None),
            (r#"{"alg":"PS512","typ":"jwt","x5t":"abc","unknown":{"a":[1]}}"#, None),
            // What would say by which key to check is passed over, whatever it is.
            (r#"{"alg":"RS256","jwk":{"kty":"RSA"},"jku":"https://evil.example","x5c":["a"],"x5u":7}"#, None),
            (r#"{"alg":"none"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"None"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"nOnE"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":""}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"HS256"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"HS384"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"HS512"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"rs256"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"ES256K"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"ES512"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"Ed448"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"RS1"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":"RSA-OAEP"}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{}"#, Some(Flaw::AlgorithmUnsupported)),
            (r#"{"alg":["RS256"]}"#, Some(Flaw::HeaderMember)),
            (r#"{"alg":null}"#, Some(Flaw::HeaderMember)),
            (r#"{"alg":"RS256","kid":7}"#, Some(Flaw::HeaderMember)),
            (r#"{"alg":"RS256","typ":null}"#, Some(Flaw::HeaderMember)),
            (r#"{"alg":"RS256","crit":["exp"]}"#, Some(Flaw::Critical)),
            (r#"{"alg":"RS256","crit":[]}"#, Some(Flaw::Critical)),
            (r#"{"alg":"RS256","b64":false}"#, Some(Flaw::Critical)),
            (r#"{"alg":"RS256","cty":"JWT"}"#, Some(Flaw::Nested)),
            (r#"{"alg":"RS256","cty":"json"}"#, Some(Flaw::Nested)),
            (r#"{"alg":"RS256","enc":"A128GCM"}"#, Some(Flaw::Encrypted)),
            (r#"{"alg":"RS256","zip":"DEF"}"#, Some(Flaw::Encrypted)),
            (r#"{"alg":"RS256","typ":"logout+jwt"}"#, Some(Flaw::WrongType)),
            (r#"{"alg":"RS256","typ":"secevent+jwt"}"#, Some(Flaw::WrongType)),
            (r#"{"alg":"RS256","typ":"dpop+jwt"}"#, Some(Flaw::WrongType)),
            (r#"{"alg":"RS256","typ":"JOSE"}"#, Some(Flaw::WrongType)),
            (r#"{"alg":"RS256","typ":""}"#, Some(Flaw::WrongType)),
            (r#"{"alg":"RS256","alg":"RS256"}"#, Some(Flaw::DuplicateMember)),
            (r#"{"alg":"none","\u0061lg":"RS256"}"#, Some(Flaw::DuplicateMember)),
            (r#"{"alg":"RS256","kid":"a","kid":"b"}"#, Some(Flaw::DuplicateMember)),
            (r#"["RS256"]"#, Some(Flaw::HeaderNotJson)),
            ("", Some(Flaw::HeaderNotJson)),
        ];
        for (header, wanted) in cases {
            assert_eq!(flaw(&token(header)), wanted, "{header}");
        }
    }

    #[test]
    fn a_token_of_one_purpose_is_none_of_another() {
        use Purpose::{ClientAssertion, Identity, Possession};
        for (typ, purposes) in [
            (None, &[Identity, ClientAssertion][..]),
            (Some("JWT"), &[Identity, ClientAssertion]),
            (Some("at+jwt"), &[Identity]),
            (Some("client-authentication+jwt"), &[ClientAssertion]),
            (Some("dpop+jwt"), &[Possession]),
            (Some("application/DPoP+JWT"), &[Possession]),
        ] {
            let mut header = serde_json::json!({"alg": "ES256", "jwk": {"kty": "EC"}});
            if let Some(typ) = typ {
                header["typ"] = typ.into();
            }
            for purpose in [Identity, ClientAssertion, Possession] {
                let text = token(&header.to_string());
                let parsed = Jws::parse(&text, purpose);
                assert_eq!(parsed.is_ok(), purposes.contains(&purpose), "{typ:?} {purpose:?}");
                assert!(
                    parsed.is_ok_and(|jws| jws.brought.is_some()) == purposes.contains(&Possession)
                        || purpose != Possession
                );
            }
        }
        for header in [r#"{"alg":"ES256","typ":"dpop+jwt"}"#, r#"{"alg":"ES256","typ":"dpop+jwt","jwk":"a"}"#] {
            assert_eq!(Jws::parse(&token(header), Possession).err(), Some(Flaw::HeaderMember));
        }
    }

    #[test]
    fn envelopes() {
        let good = token(r#"{"alg":"RS256"}"#);
        let (signed, _) = good.rsplit_once('.').unwrap();
        let header = signed.split('.').next().unwrap();
        assert_eq!(flaw(&good), None);
        for (bad, wanted) in [
            (String::new(), Flaw::NotCompact),
            ("a".to_owned(), Flaw::NotCompact),
            (signed.to_owned(), Flaw::NotCompact),
            (format!("{signed}."), Flaw::NotCompact),
            (format!("{good}."), Flaw::NotCompact),
            (format!("{good}.a.b"), Flaw::Encrypted),
            (format!("{good}.a.b.c"), Flaw::NotCompact),
            (format!("{good}="), Flaw::NotCompact),
            (format!("{good} "), Flaw::NotCompact),
            (format!("{good}\n"), Flaw::NotCompact),
            (format!("{header}.e30.+/+/"), Flaw::NotCompact),
            // The last letter carries bits that say nothing: `e30` and `e31` would be two spellings of `{}`.
            (format!("{header}.e31.AAAA"), Flaw::NotCompact),
            (format!("{header}.e30.AAB"), Flaw::NotCompact),
            (format!("{header}.e30.AAAAA"), Flaw::NotCompact),
            (format!("{header}.e30=.AAAA"), Flaw::NotCompact),
            (".e30.AAAA".to_owned(), Flaw::HeaderNotJson),
            (format!("{header}.{}.AAAA", "A".repeat(MAX_TOKEN)), Flaw::TooLong),
        ] {
            assert_eq!(flaw(&bad), Some(wanted), "{bad:.100}");
        }
        let room = MAX_TOKEN - good.len();
        let filled = |length: usize| format!("{header}.{}.AAAA", "A".repeat(length));
        let longest = filled(room / 4 * 4);
        assert!(longest.len() <= MAX_TOKEN && flaw(&longest).is_none());
    }
}
