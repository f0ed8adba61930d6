//! From request headers to what was presented: at most one publishable key and at most one other credential.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::outside::lookup::looks_like_a_token;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;
use crate::domain::secret::SecretShape;

/// The credentials of one request, as text that nobody has checked yet.
#[derive(Clone, Copy, Default)]
pub struct Presented<'a> {
    /// A publishable key, or another key beside a token: it names the project and the environment.
    pub publishable: Option<&'a str>,
    /// Any other credential: it names who is calling.
    pub secret: Option<&'a str>,
    /// Whether what came in `authorization` came with the scheme DPoP: it is bound to a key.
    pub by_dpop: bool,
}

/// The headers a key is taken from, beside `authorization: Bearer`: `x-api-key` and the configured aliases.
#[derive(Clone, Debug)]
pub struct KeyHeaders(Box<[HeaderName]>);

impl KeyHeaders {
    /// `x-api-key` and these aliases.
    pub fn new(aliases: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut names = vec![X_API_KEY];
        names.extend(aliases.into_iter().filter(|name| *name != X_API_KEY && *name != AUTHORIZATION));
        names.dedup();
        Self(names.into())
    }

    /// The header names.
    pub fn iter(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter()
    }

    /// Reads the credentials of a request.
    ///
    /// # Errors
    /// INVALID_REQUEST for two credentials of one kind (RFC 6750, section 2: one method per request), MALFORMED for a header
    /// that holds something else than a credential.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Result<Presented<'a>> {
        let mut presented = Presented::default();
        for value in headers.get_all(AUTHORIZATION) {
            let (text, by_dpop) = authorization(value)?;
            presented.add(text)?;
            presented.by_dpop |= by_dpop;
        }
        for name in &self.0 {
            for value in headers.get_all(name) {
                presented.add(token(value.as_bytes()).ok_or_else(malformed)?)?;
            }
        }
        Ok(presented)
    }
}

impl<'a> Presented<'a> {
    /// Whether nothing was presented.
    pub fn is_empty(&self) -> bool {
        self.publishable.is_none() && self.secret.is_none()
    }

    /// Sorts a credential by what it says of itself: only a publishable key's shape makes one.
    pub fn add(&mut self, text: &'a str) -> Result<()> {
        // Beside a token, which says who the user is, every other key names the project as a publishable one does. The token is
        // in `authorization`, which is read first.
        let beside_token = self.secret.is_some_and(looks_like_a_token) && !looks_like_a_token(text);
        let publishable = SecretShape::is_publishable_key(text) || beside_token;
        let (place, kind) =
            if publishable { (&mut self.publishable, "publishable keys") } else { (&mut self.secret, "credentials") };
        match place.replace(text) {
            Some(_) => Err(Error::new(Reason::InvalidRequest, format!("the request carries two {kind}; send one"))),
            None => Ok(()),
        }
    }
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1) or `DPoP <token>` (RFC 9449, section 7.1), and whether it was the
/// latter; the scheme's case does not count (RFC 9110, section 11.1).
fn authorization(value: &HeaderValue) -> Result<(&str, bool)> {
    let bytes = value.as_bytes();
    for (scheme, by_dpop) in [(BEARER, false), (DPOP, true)] {
        if let Some((given, rest)) = bytes.split_at_checked(scheme.len())
            && given.eq_ignore_ascii_case(scheme)
        {
            return token(rest.trim_ascii_start()).map(|token| (token, by_dpop)).ok_or_else(malformed);
        }
    }
    Err(malformed())
}

/// A credential is visible ASCII without spaces.
fn token(bytes: &[u8]) -> Option<&str> {
    let visible = (1..=MAX_CREDENTIAL).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    visible.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

fn malformed() -> Error {
    Error::new(Reason::Malformed, "what was sent is not a credential")
}

/// The longest credential taken, in bytes.
pub const MAX_CREDENTIAL: usize = 8 * 1024;
const BEARER: &[u8] = b"Bearer ";
const DPOP: &[u8] = b"DPoP ";
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;
    use crate::domain::environment::Environment;
    use crate::domain::secret::{PlainSecret, SecretPrefix};

    #[test]
    fn credentials_are_read_from_the_headers_they_may_come_in() {
        let make = |prefix| PlainSecret::generate(&SecretPrefix::fixed(prefix), Environment::Live, &SystemEntropy);
        let (sk, pk) = (make("sk"), make("pk"));
        let (sk, pk) = (sk.expose(), pk.expose());
        let bearer = |text: &str| ("authorization", format!("Bearer {text}"));
        let key = |text: &str| ("x-api-key", text.to_owned());
        let alias = |text: &str| ("x-builton-api-key", text.to_owned());
        let read = |headers: &[(&'static str, String)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_str(value).unwrap());
            }
            KeyHeaders::new([HeaderName::from_static("x-builton-api-key")])
                .read(&map)
                .map(|p| (p.publishable.map(str::to_owned), p.secret.map(str::to_owned), p.by_dpop))
                .map_err(|error| error.reason)
        };
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(read(&[]), Ok((None, None, false)));
        assert_eq!(read(&[bearer(sk)]), Ok((None, own(sk), false)));
        assert_eq!(read(&[("authorization", format!("bEARER   {sk}"))]), Ok((None, own(sk), false)));
        assert_eq!(read(&[key(sk)]), Ok((None, own(sk), false)));
        assert_eq!(read(&[alias(pk), bearer(sk)]), Ok((own(pk), own(sk), false)));
        assert_eq!(read(&[bearer("a.b.c")]), Ok((None, own("a.b.c"), false)));
        assert_eq!(read(&[alias(pk), bearer("a.b.c")]), Ok((own(pk), own("a.b.c"), false)));
        assert_eq!(
            read(&[key(sk), bearer("a.b.c")]),
            Ok((own(sk), own("a.b.c"), false)),
            "any key names the project beside a token"
        );
        let dpop = |text: &str| ("authorization", format!("dPoP {text}"));
        assert_eq!(read(&[dpop("a.b.c")]), Ok((None, own("a.b.c"), true)));
        assert_eq!(read(&[dpop(pk), key(sk)]), Ok((own(pk), own(sk), true)));
        assert_eq!(read(&[dpop("a.b.c"), bearer("a.b.c")]), Err(Reason::InvalidRequest));
        for twice in [
            [bearer(sk), key(sk)],
            [bearer(sk), bearer(sk)],
            [key(sk), alias("junk")],
            [alias(pk), key(pk)],
            [key(sk), key(sk)],
            [bearer("a.b.c"), key("a.b.c")],
        ] {
            assert_eq!(read(&twice), Err(Reason::InvalidRequest), "{twice:?}");
        }
        for bad in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer a\tb", sk] {
            assert_eq!(read(&[("authorization", bad.to_owned())]), Err(Reason::Malformed), "{bad:?}");
        }
        assert_eq!(read(&[key("")]), Err(Reason::Malformed));
        assert_eq!(read(&[key(&"x".repeat(MAX_CREDENTIAL + 1))]), Err(Reason::Malformed));
    }
}
