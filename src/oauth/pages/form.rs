//! What every form holds, and where it may post.

/// What a form holds beside what people fill in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Form<'a> {
    /// Where it posts.
    pub action: OwnUrl<'a>,
    /// The token that shows that our page was in between, in [`field::CSRF`](super::field::CSRF).
    pub csrf: &'a str,
    /// Further names and values to carry through, for example the authorization request's id. They arrive as they are here,
    /// but for line ends (browsers send CR LF) and NUL. No name may be one of [`field`](super::field).
    pub carried: Vec<(&'a str, &'a str)>,
}

/// An address on this very server: path and query. A browser reads it as nothing else, since it begins with one slash and
/// holds neither a backslash (which counts as a slash) nor white space (which is dropped).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OwnUrl<'a>(&'a str);

impl<'a> OwnUrl<'a> {
    /// Reads an address; none if it could lead elsewhere.
    pub const fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes[0] != b'/' || (bytes.len() > 1 && bytes[1] == b'/') {
            return None;
        }
        let mut at = 0;
        while at < bytes.len() {
            if !bytes[at].is_ascii_graphic() || bytes[at] == b'\\' {
                return None;
            }
            at += 1;
        }
        Some(Self(text))
    }

    /// The address as text.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::OwnUrl;

    #[test]
    fn an_own_address_leads_nowhere_else() {
        for good in ["/", "/oauth/sign-in", "/base/oauth/sign-up?request=par_1&x=%2F%2Fe", "/x?to=https://e.example"] {
            assert_eq!(OwnUrl::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "oauth",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a b",
            "/\u{e9}",
            "/\0",
        ] {
            assert!(OwnUrl::parse(bad).is_none(), "{bad:?}");
        }
    }
}
