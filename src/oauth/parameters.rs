//! The parameters of a request: a form (RFC 6749, appendix B), or a JSON object of strings where a client sends one.
//!
//! A parameter without a value counts as left out, one that is not known is ignored, and one that comes twice is refused
//! (RFC 6749, section 3.1), those aside that may (`resource`, RFC 8707; `audience`, RFC 8693).

use std::borrow::Cow;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use zeroize::Zeroizing;

use crate::domain::oauth::error::{OAuthError, Word};

/// The parameters of one request. They may hold secrets: `Debug` is not implemented on purpose.
#[derive(Default)]
pub(super) struct Parameters(Vec<(String, Zeroizing<String>)>);

impl Parameters {
    /// Reads the body of a request by its content type.
    ///
    /// # Errors
    /// `invalid_request` for a type that is not taken, what cannot be read, or too much of it.
    pub(super) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let given = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
        let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Self::of_form(body)
        } else if essence.eq_ignore_ascii_case(b"application/json") {
            Self::of_json(body)
        } else if essence.is_empty() && body.is_empty() {
            // A revocation without parameters has nothing to name a type for.
            Ok(Self::default())
        } else {
            Err(invalid("the body must be application/x-www-form-urlencoded or application/json"))
        }
    }

    /// Reads what is written like a form: a body, or the query of an authorization request.
    ///
    /// # Errors
    /// `invalid_request`, as above.
    pub(super) fn of_form(text: &[u8]) -> Result<Self, OAuthError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut parameters = Self(Vec::with_capacity(USUAL));
        for pair in text.split(|byte| *byte == b'&') {
            let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            parameters.add(decode(name)?, decode(value)?)?;
        }
        Ok(parameters)
    }

    fn of_json(text: &[u8]) -> Result<Self, OAuthError> {
        let members: Members = serde_json::from_slice(text)
            .map_err(|_| invalid("the body must be a JSON object whose members are strings, or lists of strings"))?;
        let mut parameters = Self::default();
        for (name, value) in members.0 {
            match value {
                Member::Nothing => {}
                Member::One(text) => parameters.add(name, text)?,
                Member::Number(number) => parameters.add(name, number.to_string())?,
                Member::Many(list) => {
                    for text in list {
                        parameters.add(name.clone(), text)?;
                    }
                }
            }
        }
        Ok(parameters)
    }

    fn add(&mut self, name: String, value: String) -> Result<(), OAuthError> {
        let value = Zeroizing::new(value);
        if self.0.len() == MAX_PARAMETERS {
            return Err(invalid(format!("a request has up to {MAX_PARAMETERS} parameters")));
        }
        if value.is_empty() {
            return Ok(());
        }
        if !REPEATABLE.contains(&&*name) && self.has(&name) {
            return Err(invalid(format!("the parameter {} comes twice", printable(&name))));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Takes all other parameters away.
    pub(super) fn keep(&mut self, names: &[&str]) {
        self.0.retain(|(given, _)| names.contains(&&**given));
    }

    /// Gives a parameter this value in place of what it had.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(given, _)| given != name);
        self.0.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    }

    /// All of them, written like a form.
    pub(super) fn to_form(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| (name, value.as_str()));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// Whether a parameter was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// The value of a parameter.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// `invalid_request` that names it.
    pub(super) fn need(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| invalid(format!("the parameter {name} is needed")))
    }
}

/// Refuses an address with something in it that may only stand in a body: addresses end up in logs (RFC 6749, section 2.3.1).
///
/// # Errors
/// `invalid_request` that names it.
pub(super) fn refuse_secrets_in(query: Option<&str>) -> Result<(), OAuthError> {
    for pair in query.unwrap_or_default().split('&') {
        let name = decode(pair.split('=').next().unwrap_or_default().as_bytes())?;
        if SECRET.contains(&name.as_str()) {
            return Err(invalid(format!("the parameter {name} must stand in the body, not in the address")));
        }
    }
    Ok(())
}

/// The members of a JSON object in order, those of one name too.
struct Members(Vec<(String, Member)>);

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Member {
    Nothing,
    One(String),
    Number(i64),
    Many(Vec<String>),
}

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    if members.len() == MAX_PARAMETERS {
                        return Err(serde::de::Error::custom("too many members"));
                    }
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// Decodes a name or a value: `+` is a space, `%` and two digits a byte, and the whole is UTF-8 without NUL.
pub(super) fn decode(text: &[u8]) -> Result<String, OAuthError> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%' | b'\0')) {
        // As most are: written as they are.
        return std::str::from_utf8(text).map(str::to_owned).map_err(|_| invalid("a parameter is not UTF-8"));
    }
    let spaced: Cow<'_, [u8]> = if text.contains(&b'+') {
        text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect::<Vec<_>>().into()
    } else {
        text.into()
    };
    let decoded =
        percent_encoding::percent_decode(&spaced).decode_utf8().map_err(|_| invalid("a parameter is not UTF-8"))?;
    if decoded.contains('\0') {
        return Err(invalid("a parameter holds a NUL character"));
    }
    Ok(decoded.into_owned())
}

/// What may be repeated of a name in a message: the answer's `error_description` is ASCII (RFC 6749, section 5.2).
fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
}

fn invalid(description: impl Into<String>) -> OAuthError {
    OAuthError::new(Word::InvalidRequest, description)
}

const REPEATABLE: [&str; 2] = ["resource", "audience"];
/// Parameters that hold a secret, or something as good as one.
const SECRET: [&str; 11] = [
    "access_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "password",
    "refresh_token",
    "subject_token",
    "token",
];
const MAX_PARAMETERS: usize = 64;
/// Room for those of nearly all requests.
const USUAL: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Option<Parameters> {
        Parameters::of_form(text.as_bytes()).ok()
    }

    #[test]
    fn a_form_is_read_as_it_was_written() {
        let read = form("grant_type=authorization_code&code=a%2Bb+c&x&empty=&=y&resource=a&resource=b&a=b=c").unwrap();
        assert_eq!(read.get("grant_type"), Some("authorization_code"));
        assert_eq!(read.get("code"), Some("a+b c"));
        assert_eq!((read.get("x"), read.get("empty"), read.has("empty")), (None, None, false));
        assert_eq!(read.get("a"), Some("b=c"));
        assert_eq!(read.all("resource").collect::<Vec<_>>(), ["a", "b"]);
        assert!(form("").unwrap().0.is_empty());
    }

    #[test]
    fn what_is_doubtful_is_refused() {
        for bad in ["code=a&code=b", "code=a&%63ode=b", "code=%00", "code=%ff", &vec!["a"; 70].join("=1&b")] {
            assert!(form(bad).is_none(), "{bad}");
        }
        let many: Vec<_> = (0..=MAX_PARAMETERS).map(|n| format!("p{n}=1")).collect();
        assert!(form(&many.join("&")).is_none());
        assert!(form(&many[1..].join("&")).is_some());
    }

    #[test]
    fn no_secret_stands_in_an_address() {
        for good in [None, Some(""), Some("api-version=1&client_id=x&scope=token&codes=1&x=code")] {
            assert!(refuse_secrets_in(good).is_ok(), "{good:?}");
        }
        for bad in ["client_secret=x", "a=b&code=x", "tok%65n=x", "refresh_token", "password=&a=b"] {
            assert!(refuse_secrets_in(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut read = form("state=a%2Bb+%26%3D%C3%A9&resource=a&resource=b&client_secret=x").unwrap();
        read.keep(&["state", "resource"]);
        read.set("client_id", "c");
        let again = form(&read.to_form()).unwrap();
        assert_eq!((again.get("state"), again.get("client_id")), (Some("a+b &=\u{e9}"), Some("c")));
        assert_eq!(again.all("resource").collect::<Vec<_>>(), ["a", "b"]);
        assert!(!again.has("client_secret"));
    }

    #[test]
    fn a_json_object_says_the_same() {
        let json = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, "Application/JSON; charset=utf-8".parse().unwrap());
            Parameters::of_body(&headers, text.as_bytes()).ok()
        };
        let read = json(r#"{"grant_type":"refresh_token","code":null,"n":5,"resource":["a","b"],"empty":""}"#).unwrap();
        assert_eq!((read.get("grant_type"), read.get("n")), (Some("refresh_token"), Some("5")));
        assert_eq!(read.all("resource").collect::<Vec<_>>(), ["a", "b"]);
        assert!(!read.has("code") && !read.has("empty"));
        for bad in [
            "",
            "[]",
            "1",
            "{",
            r#"{"code":{}}"#,
            r#"{"code":[{}]}"#,
            r#"{"code":true}"#,
            r#"{"code":"a","code":"b"}"#,
            r#"{"code":["a","b"]}"#,
            r#"{"code":"a"} x"#,
        ] {
            assert!(json(bad).is_none(), "{bad}");
        }
    }
}
