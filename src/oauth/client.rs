//! How a client says who it is (RFC 6749, section 2.3.1): in `Authorization: Basic`, or in the body.

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
    id: String,
    secret: Option<Zeroizing<String>>,
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
        match basic {
            Some(_) if parameters.has("client_secret") => Err(twice()),
            // The id beside it is no second way, as long as it is the same.
            Some(said) if id.is_some_and(|id| id != said.id) => Err(twice()),
            Some(said) => Ok(said),
            None => {
                let id = id.ok_or_else(unknown)?.to_owned();
                let secret = parameters.get("client_secret").map(|secret| Zeroizing::new(secret.to_owned()));
                Ok(Self { id, secret })
            }
        }
    }

    /// As the service takes it.
    pub(super) fn proof(&self) -> ClientProof<'_> {
        match &self.secret {
            Some(secret) => ClientProof::Secret { id: &self.id, secret },
            None => ClientProof::Nothing { id: &self.id },
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
        Ok(Self { id: half(&joined[..colon])?, secret: (!secret.is_empty()).then_some(secret) })
    }
}

/// Whether a request tries `Authorization: Basic`.
pub(super) fn is_basic(headers: &HeaderMap) -> bool {
    let is_basic = |value: &[u8]| value.get(..BASIC.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(BASIC));
    headers.get_all(AUTHORIZATION).iter().any(|value| is_basic(value.as_bytes()))
}

fn twice() -> OAuthError {
    OAuthError::new(Word::InvalidRequest, "the client proves itself in two ways; use one (RFC 6749, section 2.3)")
}

fn unknown() -> OAuthError {
    OAuthError::new(Word::InvalidClient, "the request does not say which client it is from")
}

const BASIC: &[u8] = b"Basic ";

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
        Ok((said.id, said.secret.map(|secret| secret.to_string())))
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
