//! At which addresses requests reach this service, to hold those against them that proofs are for (RFC 9449, section 4.3).
//!
//! What a request says of its host is its sender's word. So it counts only where nobody has said what the service's own
//! address is: a proof that was made for another service is worth nothing here.

use http::header::HOST;
use percent_encoding::percent_decode_str;
use url::Url;

use super::Sent;

/// The addresses of this service.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Without a slash at its end.
    base: Box<str>,
    /// Where the host that a request names counts as well: with this scheme.
    any_host: Option<&'static str>,
}

impl Addresses {
    /// The one address that was configured.
    pub fn only(base: impl Into<Box<str>>) -> Self {
        Self { base: base.into(), any_host: None }
    }

    /// The address that is listened on, and whatever name it was reached by, with this scheme.
    pub fn listening_on(base: impl Into<Box<str>>, scheme: &'static str) -> Self {
        Self { base: base.into(), any_host: Some(scheme) }
    }

    /// Whether a request was sent to this address, its query and fragment aside.
    pub(super) fn are_of(&self, url: &str, sent: &Sent<'_>) -> bool {
        let path = sent.uri.path();
        if are_one(url, &format!("{}{path}", self.base)) {
            return true;
        }
        let authority = || sent.uri.authority().map(http::uri::Authority::as_str);
        let host = || sent.headers.get(HOST).and_then(|host| host.to_str().ok());
        let reached = self.any_host.zip(authority().or_else(host));
        reached.is_some_and(|(scheme, host)| are_one(url, &format!("{scheme}://{host}{path}")))
    }
}

/// Whether two addresses are one when they are written in the same way (RFC 3986, sections 6.2.2 and 6.2.3), their queries and
/// fragments aside.
pub(super) fn are_one(left: &str, right: &str) -> bool {
    plain(left).is_some_and(|left| plain(right) == Some(left))
}

fn plain(url: &str) -> Option<String> {
    // Beyond what the standard of browsers lets pass.
    let visible = url.len() <= LONGEST && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    // It writes scheme and host small, leaves a usual port out and takes `.` and `..` away.
    let parsed = Url::parse(url).ok().filter(|_| visible)?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.username().is_empty() || parsed.password().is_some() {
        return None;
    }
    let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{}{port}{}", parsed.scheme(), parsed.host_str()?, same_escapes(parsed.path())))
}

/// Escapes in capital letters, and none for what needs none.
fn same_escapes(path: &str) -> String {
    let mut written = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        written.push_str(before);
        let escape = after.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some(digits) = escape else {
            written.push('%');
            rest = after;
            continue;
        };
        let byte = percent_decode_str(&format!("%{digits}")).next().unwrap_or_default();
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push('%');
            written.push_str(&digits.to_ascii_uppercase());
        }
        rest = &after[2..];
    }
    written + rest
}

const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method, Uri};

    use super::*;

    #[test]
    fn one_address_can_be_written_in_several_ways() {
        let here = "https://keys.example/v1/users/a%2Fb~c";
        for same in [
            here,
            "HTTPS://Keys.Example:443/v1/users/a%2Fb~c",
            "https://keys.example/v1/users/a%2fb%7ec?page=1",
            "https://keys.example/v1/users/a%2Fb~c?page=1#top",
            "https://keys.example/v1/x/../users/./a%2Fb~c",
            "https://keys.example/v1/%75sers/a%2Fb~c",
        ] {
            assert!(are_one(same, here), "{same}");
        }
        for other in [
            "",
            "keys.example/v1/users/a%2Fb~c",
            "http://keys.example/v1/users/a%2Fb~c",
            "https://keys.example:8443/v1/users/a%2Fb~c",
            "https://keys.example.evil.example/v1/users/a%2Fb~c",
            "https://user@keys.example/v1/users/a%2Fb~c",
            "https://keys.example/v1/users/a/b~c",
            "https://keys.example/v1/users/a%2Fb~c/",
            "https://keys.example/V1/users/a%2Fb~c",
            "https:\\\\keys.example/v1/users/a%2Fb~c",
            "https://keys.example/v1/users/a%2Fb~c ",
            "urn:keys.example",
        ] {
            assert!(!are_one(other, here), "{other}");
        }
        assert!(are_one("https://keys.example", "https://keys.example/"));
    }

    #[test]
    fn the_host_of_a_request_counts_only_where_no_address_was_configured() {
        let headers = HeaderMap::from_iter([(HOST, "evil.example".parse().unwrap())]);
        let uri: Uri = "/v1/users?page=2".parse().unwrap();
        let sent = Sent { method: &Method::GET, uri: &uri, headers: &headers };
        let only = Addresses::only("https://keys.example/base");
        assert!(only.are_of("https://keys.example/base/v1/users", &sent));
        assert!(!only.are_of("https://keys.example/v1/users", &sent));
        assert!(!only.are_of("https://evil.example/v1/users", &sent));
        let listening = Addresses::listening_on("http://127.0.0.1:8080", "http");
        assert!(listening.are_of("http://127.0.0.1:8080/v1/users", &sent));
        assert!(listening.are_of("http://evil.example/v1/users", &sent));
        assert!(!listening.are_of("https://evil.example/v1/users", &sent));
        let uri: Uri = "http://other.example/v1/users".parse().unwrap();
        let sent = Sent { uri: &uri, ..sent };
        assert!(listening.are_of("http://other.example/v1/users", &sent), "over HTTP/2 the target says it");
        assert!(!listening.are_of("http://evil.example/v1/users", &sent));
    }
}
