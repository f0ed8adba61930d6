//! Where a client has people sent.

use super::Text;

/// What a redirect URI leads to, in the words a person knows it by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Destination<'a> {
    /// A website.
    Site {
        /// `https://app.example:8443`.
        origin: &'a str,
        /// `app.example:8443`.
        host: &'a str,
    },
    /// A program that listens on the person's own machine (RFC 8252, section 7.3).
    Program {
        /// `http://127.0.0.1:51004`.
        origin: &'a str,
        /// `127.0.0.1:51004`.
        host: &'a str,
    },
    /// An app that has registered a scheme of its own (RFC 8252, section 7.1).
    App {
        /// `com.example.app`.
        scheme: &'a str,
    },
}

impl<'a> Destination<'a> {
    /// Where a redirect URI leads; none if that is neither a web address nor an app. Whether the client may use it is not
    /// asked here.
    pub fn of(redirect_uri: &'a str) -> Option<Self> {
        let (scheme, rest) = redirect_uri.split_once(':')?;
        if !is_scheme(scheme) || NEVER.iter().any(|never| scheme.eq_ignore_ascii_case(never)) {
            return None;
        }
        if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
            return Some(Self::App { scheme });
        }
        let authority = rest.strip_prefix("//")?;
        let host = authority.split(['/', '?', '#']).next().unwrap_or_default();
        let name = name_of(host)?;
        let origin = &redirect_uri[..scheme.len() + "://".len() + host.len()];
        if LOOPBACK.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            Some(Self::Program { origin, host })
        } else {
            Some(Self::Site { origin, host })
        }
    }

    /// What people know it by: a host, or an app's scheme.
    pub fn name(&self) -> Text<'a> {
        match self {
            Self::Site { host, .. } | Self::Program { host, .. } => Text::from(*host),
            Self::App { scheme } => Text::from(*scheme),
        }
    }
}

/// The host without its port; none if it is not made as one is. User names are not taken: `good.example@evil.example` is read
/// wrongly by people.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')? + 1;
        let inner = &host[1..end - 1];
        if inner.is_empty() || !inner.bytes().all(|c| c.is_ascii_hexdigit() || b":.".contains(&c)) {
            return None;
        }
        host.split_at(end)
    } else {
        let end = host.find(':').unwrap_or(host.len());
        let (name, port) = host.split_at(end);
        if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
            return None;
        }
        (name, port)
    };
    let number = port.strip_prefix(':').unwrap_or_default();
    let is_port = port.is_empty() || number.parse::<u16>().is_ok() && number.bytes().all(|c| c.is_ascii_digit());
    is_port.then_some(name)
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
}

/// The names of one's own machine, of which only the port of a redirect URI may differ.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// Schemes that a browser gives a meaning of its own: script, content, or files.
const NEVER: [&str; 10] =
    ["about", "blob", "content", "data", "file", "filesystem", "javascript", "vbscript", "view-source", "wss"];

#[cfg(test)]
mod tests {
    use super::Destination;

    #[test]
    fn a_redirect_uri_leads_to_a_site_a_program_or_an_app() {
        let cases = [
            ("https://app.example/callback?x=1", "site app.example"),
            ("https://app.example:8443", "site app.example:8443"),
            ("https://[2001:db8::1]/cb", "site [2001:db8::1]"),
            ("http://my_app:3000/cb", "site my_app:3000"),
            ("https://app.example?next=https://evil.example", "site app.example"),
            ("http://127.0.0.1:51004/cb", "program 127.0.0.1:51004"),
            ("http://LOCALHOST/cb", "program LOCALHOST"),
            ("http://[::1]:51004/cb", "program [::1]:51004"),
            ("http://127.0.0.1.evil.example/", "site 127.0.0.1.evil.example"),
            ("com.example.app:/cb", "app com.example.app"),
            ("cursor://anysphere.cursor-mcp/oauth/callback", "app cursor"),
        ];
        for (uri, told) in cases {
            let destination = Destination::of(uri).unwrap();
            let kind = match destination {
                Destination::Site { .. } => "site",
                Destination::Program { .. } => "program",
                Destination::App { .. } => "app",
            };
            let words = format!("{kind} {}", destination.name());
            assert_eq!(words, told, "{uri}");
        }
    }

    #[test]
    fn what_leads_elsewhere_is_none() {
        for bad in [
            "",
            "app.example",
            "/cb",
            "https:app.example",
            "https:/app.example",
            "https://",
            "https:///x",
            "https://user@app.example/",
            "https://app.example:x/",
            "https://app.example:99999/",
            "https://app.example:+1/",
            "https://app.example; script-src *",
            "https://app.example 'unsafe-inline'",
            "https://[::1",
            "https://[]/",
            "https://\u{e9}.example/",
            "https://app.example,evil.example/",
            "javascript:alert(1)",
            "JavaScript://x/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "1x:/cb",
            "a b:/cb",
            "a;b:/cb",
            ":x",
        ] {
            assert_eq!(Destination::of(bad), None, "{bad:?}");
        }
    }
}
