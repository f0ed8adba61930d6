//! URIs that clients are registered with. Each is kept and compared as text, so only text is taken that says the same to
//! everybody who reads it: what a browser would write differently is refused.

use std::fmt;

use url::Url;

/// Why a text is not taken, in words for the client.
pub type Rule = &'static str;

/// An API that tokens are for (RFC 8707, section 2): an absolute URI without a fragment, up to 2,000 ASCII characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResourceUri(Box<str>);

impl ResourceUri {
    /// Reads a URI.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        plain(text).map(|_| Self(text.into()))
    }

    /// Takes a URI that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ResourceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A picture that browsers fetch: `https`, up to 2,000 ASCII characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogoUri(Box<str>);

impl LogoUri {
    /// Reads a URI.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        match plain(text)?.scheme() {
            "https" => Ok(Self(text.into())),
            _ => Err("must begin with https://"),
        }
    }

    /// Takes a URI that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogoUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads an absolute URI that has one reading: the characters of RFC 3986, no user, no fragment, no wildcard, and written as
/// browsers write it (WHATWG URL), but that the path of a bare host may be left out.
pub(super) fn plain(text: &str) -> Result<Url, Rule> {
    if !(1..=MAX_LENGTH).contains(&text.len()) || !text.bytes().all(is_of_a_uri) || !escapes_are_whole(text) {
        return Err("must be an absolute URI of up to 2,000 ASCII characters, all others percent-encoded");
    }
    let url = Url::parse(text).map_err(|_| "must be an absolute URI, like https://app.example.com/callback")?;
    if url.fragment().is_some() {
        return Err("must not have a fragment (#)");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not name a user (@ before the host)");
    }
    if text.contains('*') {
        return Err("must not hold a wildcard (*)");
    }
    let bare = url.path() == "/" && url.query().is_none() && url.as_str().strip_suffix('/') == Some(text);
    if url.as_str() == text || bare {
        Ok(url)
    } else {
        Err("must be written plainly: scheme and host in lower case, no default port, and no `.` or `..` in the path")
    }
}

/// RFC 3986, section 2: unreserved, reserved, and the percent sign.
fn is_of_a_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

fn escapes_are_whole(text: &str) -> bool {
    let digits = |rest: &str| rest.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    text.split('%').skip(1).all(digits)
}

const MAX_LENGTH: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_absolute_and_have_one_reading() {
        let long = format!("https://a.example/{}", "x".repeat(1_982));
        assert_eq!(long.len(), MAX_LENGTH);
        for good in [
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com/v1?tenant=a",
            "https://api.example.com:8443/%C3%A9",
            "https://xn--bcher-kva.example/",
            "urn:example:api",
            "http://10.0.0.1/",
            &long,
        ] {
            assert_eq!(ResourceUri::parse(good).map(|uri| uri.to_string()), Ok(good.to_owned()));
        }
        let longer = format!("{long}x");
        for bad in [
            "",
            "api",
            "/v1",
            "//api.example.com/",
            "api.example.com/v1",
            "https://",
            "https://api.example.com/#",
            "https://api.example.com/#x",
            "https://me@api.example.com/",
            "https://:x@api.example.com/",
            "https://@api.example.com/",
            "https://*.example.com/",
            "https://api.example.com/*",
            "HTTPS://api.example.com/",
            "https://API.example.com/",
            "https://api.example.com:443/",
            "https://api.example.com:/",
            "https://api.example.com/a/../b",
            "https://api.example.com/a/%2e%2E/b",
            "https://api.example.com/./",
            "https://api.example.com\\@evil.example/",
            "https:/api.example.com/",
            "https:api.example.com",
            "https:///api.example.com/",
            "https://api.example.com/%",
            "https://api.example.com/%4",
            "https://api.example.com/%zz",
            "https://ap%69.example.com/",
            "https://b\u{fc}cher.example/",
            "https://api.example.com/\u{e9}",
            "https://api.example.com/ ",
            " https://api.example.com/",
            "https://api.example.com/a\tb",
            "https://api.example.com/\n",
            "https://127.1/",
            "https://0x7f.0.0.1/",
            "https://2130706433/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::1/",
            "https://api.example.com/{id}",
            "https://api.example.com/<b>",
            "https://api.example.com/\"",
            &longer,
        ] {
            assert!(ResourceUri::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn logos_come_over_https() {
        assert!(LogoUri::parse("https://cdn.example.com/logo.png").is_ok());
        for bad in ["http://cdn.example.com/logo.png", "data:image/png;base64,AA==", "javascript:alert(1)", "logo.png"]
        {
            assert!(LogoUri::parse(bad).is_err(), "{bad:?}");
        }
    }
}
