//! Where a webhook is.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// An `https` or `http` address, up to 2,000 ASCII characters. Whether it may be called is for whoever calls it to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WebhookUrl {
    text: Box<str>,
}

impl WebhookUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must be an https address of up to 2,000 ASCII characters without spaces");
        }
        let url = Url::parse(text).map_err(|_| "must be an https address")?;
        if !matches!(url.scheme(), "https" | "http") || url.host().is_none() {
            return Err("must be an https address");
        }
        if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
            return Err("must not hold a name or password, nor an @");
        }
        if url.fragment().is_some() || text.contains('#') {
            return Err("must not have a fragment");
        }
        if url.port() == Some(0) {
            return Err("must not have port 0");
        }
        // What is read differently by different readers could be checked as one address and called as another.
        if url.as_str() != text && url.as_str().strip_suffix('/') != Some(text) {
            return Err(
                "must be written as browsers write it: lower-case host, no default port, no `..`, numbers plainly",
            );
        }
        Ok(Self { text: text.into() })
    }

    /// Takes an address that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self { text: text.into() }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether what is sent there is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// What it says of the host: a number, or a name that stands for this machine. None for other names.
    pub fn literal(&self) -> Option<IpAddr> {
        match Url::parse(&self.text).ok()?.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            // RFC 6761, section 6.3.
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                let local = name == "localhost" || name.ends_with(".localhost");
                local.then_some(IpAddr::from([127, 0, 0, 1]))
            }
        }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const MAX_LENGTH: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_that_all_read_alike() {
        for text in [
            "https://example.com",
            "https://example.com/",
            "https://hooks.example.com:8443/a/b?c=d&e=%20",
            "http://127.0.0.1:8080/x",
            "http://[::1]:8080/",
        ] {
            assert_eq!(WebhookUrl::parse(text).map(|url| url.as_str().to_owned()).as_deref(), Ok(text));
        }
        for text in [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://a b/",
            "https://user@example.com/",
            "https://user:x@example.com/",
            "https://@example.com/",
            "https://example.com/#a",
            "https://example.com:0/",
            "https://example.com:443/",
            "https://EXAMPLE.com/",
            "https://example.com/a/../b",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://127.1/",
            "https://[0:0::1]/",
            "https:\\\\example.com/",
            "https://exa\u{308}mple.com/",
            "https:///example.com/",
        ] {
            assert!(WebhookUrl::parse(text).is_err(), "{text}");
        }
        assert!(WebhookUrl::parse(&format!("https://example.com/{}", "x".repeat(2_000))).is_err());
    }

    #[test]
    fn numbers_and_names_of_this_machine_are_known() {
        for (text, wanted) in [
            ("https://10.1.2.3/", Some("10.1.2.3")),
            ("https://[::ffff:7f00:1]/", Some("::ffff:127.0.0.1")),
            ("https://localhost/", Some("127.0.0.1")),
            ("https://a.localhost:8/", Some("127.0.0.1")),
            ("https://localhost./", Some("127.0.0.1")),
            ("https://localhost.example/", None),
        ] {
            let wanted: Option<IpAddr> = wanted.map(|address| address.parse().unwrap());
            assert_eq!(WebhookUrl::parse(text).unwrap().literal(), wanted, "{text}");
        }
    }
}
