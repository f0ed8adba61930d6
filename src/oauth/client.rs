//! How a client says who it is (RFC 6749, section 2.3.1; RFC 7521, section 4.2): in `Authorization: Basic`, or in the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::parameters::{Parameters, decode};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::service::oauth::ClientProof;

/// What a client said of itself.
pub(super) struct Said {
    id: Option<String>,
    means: Means,
}

/// The scheme of `Authorization` that somebody tried: a refusal answers in it (RFC 6749, section 5.2).
#[derive(Clone, Copy)]
pub(super) enum Tried {
    /// The one for clients; or none, or one that is not known here.
    Basic,
    /// That of keys and tokens.
    Bearer,
    /// That of tokens which are bound to a key.
    DPoP,
}

impl Tried {
    /// What a request with these headers tries.
    pub(super) fn by(headers: &HeaderMap) -> Self {
        if has_scheme(headers, BEARER) {
            Self::Bearer
        } else if has_scheme(headers, DPOP) {
            Self::DPoP
        } else {
            Self::Basic
        }
    }
}

/// How it proves that.
enum Means {
    Nothing,
    Secret(Zeroizing<String>),
    Assertion(Zeroizing<String>),
}

impl Said {
    /// Reads what a request says.
    ///
    /// # Errors
    /// `invalid_request` for two ways at once; `invalid_client` for none, or what cannot be read.
    pub(super) fn read(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, OAuthError> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let basic = match (given.next(), given.next()) {
            (None, _) => None,
            (Some(value), None) => Some(Self::basic(value.as_bytes())?),
            (Some(_), Some(_)) => return Err(twice()),
        };
        let id = parameters.get("client_id");
        let own = |text: &str| Zeroizing::new(text.to_owned());
        let means = match (parameters.get("client_secret"), assertion(parameters)?) {
            (Some(_), Some(_)) => return Err(twice()),
            (Some(secret), None) => Means::Secret(own(secret)),
            (None, Some(assertion)) => Means::Assertion(own(assertion)),
            (None, None) => Means::Nothing,
        };
        match (basic, means) {
            (Some(_), Means::Secret(_) | Means::Assertion(_)) => Err(twice()),
            // The id beside it is no second way, as long as it is the same.
            (Some(said), Means::Nothing) if id.is_some_and(|id| said.id.as_deref() != Some(id)) => Err(twice()),
            (Some(said), Means::Nothing) => Ok(said),
            // An assertion says itself whose it is (RFC 7521, section 4.2).
            (None, Means::Nothing | Means::Secret(_)) if id.is_none() => Err(unknown()),
            (None, means) => Ok(Self { id: id.map(str::to_owned), means }),
        }
    }

    /// As the service takes it.
    pub(super) fn proof(&self) -> ClientProof<'_> {
        let id = self.id.as_deref().unwrap_or_default();
        match &self.means {
            Means::Secret(secret) => ClientProof::Secret { id, secret },
            Means::Assertion(text) => ClientProof::Assertion { text, id: self.id.as_deref() },
            Means::Nothing => ClientProof::Nothing { id },
        }
    }

    /// Both halves are written like a form before they are joined.
    fn basic(value: &[u8]) -> Result<Self, OAuthError> {
        let (scheme, rest) = value.split_at_checked(BASIC.len()).ok_or_else(unknown)?;
        if !scheme.eq_ignore_ascii_case(BASIC) {
            return Err(unknown());
        }
        let joined = Zeroizing::new(STANDARD.decode(rest.trim_ascii()).map_err(|_| unknown())?);
        let colon = joined.iter().position(|byte| *byte == b':').ok_or_else(unknown)?;
        let half = |text: &[u8]| decode(text).map_err(|_| unknown());
        let secret = Zeroizing::new(half(&joined[colon + 1..])?);
        let means = if secret.is_empty() { Means::Nothing } else { Means::Secret(secret) };
        Ok(Self { id: Some(half(&joined[..colon])?), means })
    }
}

/// The token that a client proves itself with (RFC 7521, section 4.2).
fn assertion(parameters: &Parameters) -> Result<Option<&str>, OAuthError> {
    match (parameters.get("client_assertion"), parameters.get("client_assertion_type")) {
        (None, None) => Ok(None),
        (Some(text), Some(JWT_BEARER)) => Ok(Some(text)),
        (Some(_), Some(_)) => {
            Err(OAuthError::new(Word::InvalidClient, format!("the client_assertion_type must be {JWT_BEARER}")))
        }
        _ => Err(OAuthError::new(
            Word::InvalidRequest,
            "client_assertion and client_assertion_type go together (RFC 7521, section 4.2)",
        )),
    }
}

/// Whether a request tries `Authorization: Basic`.
pub(super) fn is_basic(headers: &HeaderMap) -> bool {
    has_scheme(headers, BASIC)
}

fn has_scheme(headers: &HeaderMap, scheme: &[u8]) -> bool {
    let has = |value: &[u8]| value.get(..scheme.len()).is_some_and(|given| given.eq_ignore_ascii_case(scheme));
    headers.get_all(AUTHORIZATION).iter().any(|value| has(value.as_bytes()))
}

fn twice() -> OAuthError {
    OAuthError::new(Word::InvalidRequest, "the client proves itself in two ways; use one (RFC 6749, section 2.3)")
}

fn unknown() -> OAuthError {
    OAuthError::new(Word::InvalidClient, "the request does not say which client it is from")
}

const BASIC: &[u8] = b"Basic ";
const BEARER: &[u8] = b"Bearer ";
const DPOP: &[u8] = b"DPoP ";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &[&str], body: &str) -> Result<(String, Option<String>), Word> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let parameters = Parameters::of_form(body.as_bytes()).unwrap();
        let said = Said::read(&headers, &parameters).map_err(|error| error.word)?;
        Ok(match said.means {
            Means::Nothing => (said.id.unwrap(), None),
            Means::Secret(secret) => (said.id.unwrap(), Some(secret.to_string())),
            Means::Assertion(text) => (said.id.unwrap_or_default(), Some(format!("signed {}", *text))),
        })
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn a_client_says_who_it_is_in_one_way() {
        let known = |id: &str, secret: Option<&str>| Ok((id.to_owned(), secret.map(str::to_owned)));
        assert_eq!(read(&[&basic("cli_1:se:cret")], ""), known("cli_1", Some("se:cret")));
        assert_eq!(read(&[&basic("a%3Ab:x%2By+z")], ""), known("a:b", Some("x+y z")));
        assert_eq!(read(&[&basic("cli_1:")], ""), known("cli_1", None));
        assert_eq!(read(&[&basic("cli_1:x")], "client_id=cli_1"), known("cli_1", Some("x")));
        assert_eq!(read(&[], "client_id=cli_1&client_secret=x"), known("cli_1", Some("x")));
        assert_eq!(read(&[], "client_id=cli_1"), known("cli_1", None));
        let signed = format!("client_assertion=a.b.c&client_assertion_type={JWT_BEARER}");
        assert_eq!(read(&[], &signed), known("", Some("signed a.b.c")));
        assert_eq!(read(&[], &format!("{signed}&client_id=cli_1")), known("cli_1", Some("signed a.b.c")));
        assert_eq!(read(&[], "client_id=cli_1&client_assertion=a.b.c"), Err(Word::InvalidRequest));
        assert_eq!(read(&[], &format!("client_assertion_type={JWT_BEARER}")), Err(Word::InvalidRequest));
        assert_eq!(read(&[], "client_assertion=a&client_assertion_type=saml"), Err(Word::InvalidClient));
        assert_eq!(read(&[], &format!("{signed}&client_id=cli_1&client_secret=x")), Err(Word::InvalidRequest));
        assert_eq!(read(&[&basic("cli_1:x")], &signed), Err(Word::InvalidRequest));
        let one = basic("cli_1:x");
        for (headers, body) in
            [(vec![&*one], "client_secret=x"), (vec![&*one], "client_id=cli_2"), (vec![&*one, &*one], "")]
        {
            assert_eq!(read(&headers, body), Err(Word::InvalidRequest), "{body}");
        }
        for header in ["Basic", "Basic !", "Bearer x", "Basic Y2xpXzE="] {
            assert_eq!(read(&[header], "client_id=cli_1"), Err(Word::InvalidClient), "{header}");
        }
        assert_eq!(read(&[], ""), Err(Word::InvalidClient));
    }
}
