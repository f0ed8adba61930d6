//! Where a browser is sent with a code (RFC 6749, section 3.1.2; RFC 9700, section 2.1; RFC 8252, section 7).

use std::fmt;

use super::client::ClientKind;
use super::uri::{self, Rule};

/// An address that a client has registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectUri(Box<str>);

impl RedirectUri {
    /// Reads a URI that a client of this kind wants to register: `https`; `http` of this machine (`127.0.0.1`, `[::1]`,
    /// `localhost`); or, of a public client, a scheme of its own with a dot (`com.example.app:/callback`).
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str, kind: ClientKind) -> Result<Self, Rule> {
        let url = uri::plain(text)?;
        match url.scheme() {
            "https" => {}
            "http" if url.host_str().is_some_and(|host| LOOPBACK.contains(&host)) => {}
            "http" => return Err("http is for 127.0.0.1, [::1] and localhost only; use https"),
            scheme if scheme.contains('.') && !url.cannot_be_a_base() => {
                if kind == ClientKind::Confidential {
                    return Err("a scheme of its own is for public clients only; use https");
                }
            }
            _ => return Err("must begin with https://, or of a native app with a scheme like com.example.app:/"),
        }
        // Answers are added to the query: two of one name could be read either way.
        if url.query_pairs().any(|(name, _)| ANSWERS.contains(&&*name)) {
            return Err("must not hold code, state, iss, error or another name that answers have in its query");
        }
        Ok(Self(text.into()))
    }

    /// Takes a URI that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// Whether the URI that a client presents is this one; see [`redirect_uri_matches`].
    pub fn matches(&self, presented: &str) -> bool {
        redirect_uri_matches(&self.0, presented)
    }

    /// Whether the URI that a client presents is this one of `localhost`, which names no port, on any port. Native apps say so in
    /// what they publish of themselves (RFC 8252, section 8.3, advises against the name, and does not rule it out).
    pub fn matches_on_any_port(&self, presented: &str) -> bool {
        let own = self.0.strip_prefix(LOCALHOST).filter(|rest| !rest.starts_with(':'));
        own.is_some_and(|own| without_port_of(LOCALHOST, presented) == Some(own))
    }

    /// The URI as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a presented URI is a registered one: letter by letter (RFC 9700, section 2.1), but that on this machine's addresses
/// any port will do, for a native app takes the one that is free (RFC 8252, section 7.3). `localhost` is no address.
pub fn redirect_uri_matches(registered: &str, presented: &str) -> bool {
    let without_port = || match (without_port(registered), without_port(presented)) {
        (Some(registered), Some(presented)) => registered == presented,
        _ => false,
    };
    registered == presented || without_port()
}

/// A loopback URI as what stands before and after its port; none for any other, and where the port is none.
fn without_port(uri: &str) -> Option<(&'static str, &str)> {
    LOOPBACK_STARTS.into_iter().find_map(|start| Some((start, without_port_of(start, uri)?)))
}

fn without_port_of<'a>(start: &str, uri: &'a str) -> Option<&'a str> {
    let rest = uri.strip_prefix(start)?;
    let rest = match rest.strip_prefix(':') {
        None => rest,
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = port.split_at(digits);
            let good = !port.starts_with('0') && port.parse::<u16>().is_ok();
            good.then_some(rest)?
        }
    };
    // What follows else would belong to the host, or make what stood before it a user.
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];
const LOCALHOST: &str = "http://localhost";
const LOOPBACK_STARTS: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];
/// What an authorization answer holds (RFC 6749, section 4.1.2; RFC 9207; JARM).
const ANSWERS: [&str; 7] = ["code", "state", "iss", "error", "error_description", "error_uri", "response"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_has_any_port_where_none_was_named() {
        for (registered, presented, good) in [
            ("http://localhost/callback", "http://localhost:3118/callback", true),
            ("http://localhost/callback", "http://localhost/callback", true),
            ("http://localhost", "http://localhost:1", true),
            ("http://localhost:8080/callback", "http://localhost:3118/callback", false),
            ("http://localhost/callback", "http://localhost:3118/callback/", false),
            ("http://localhost/callback", "http://localhost:3118@evil.example/callback", false),
            ("http://localhost/callback", "http://localhost.evil.example/callback", false),
            ("http://localhost/callback", "http://localhost:/callback", false),
            ("http://localhost/callback", "http://localhost:0/callback", false),
            ("http://localhost/callback", "https://localhost:3118/callback", false),
            ("https://localhost/callback", "https://localhost:3118/callback", false),
        ] {
            let uri = RedirectUri::parse(registered, ClientKind::Public).unwrap();
            assert_eq!(uri.matches_on_any_port(presented), good, "{registered} {presented}");
        }
    }

    #[test]
    fn what_can_be_registered() {
        use ClientKind::{Confidential, Public};
        for (uri, public, confidential) in [
            ("https://app.example.com/callback", true, true),
            ("https://app.example.com", true, true),
            ("https://app.example.com/callback?tenant=a", true, true),
            ("https://app.example.com:8443/callback", true, true),
            ("https://192.0.2.1/callback", true, true),
            ("http://127.0.0.1/callback", true, true),
            ("http://127.0.0.1:49152/callback", true, true),
            ("http://[::1]:3000/", true, true),
            ("http://localhost:3000/callback", true, true),
            ("com.example.app:/callback", true, false),
            ("com.example.app://callback/x", true, false),
            // Not ours to send codes to in the clear.
            ("http://app.example.com/callback", false, false),
            ("http://127.0.0.2/callback", false, false),
            ("http://127.0.0.1.example.com/callback", false, false),
            ("http://localhost.example.com/callback", false, false),
            ("http://localhost./callback", false, false),
            ("http://[::ffff:127.0.0.1]/callback", false, false),
            ("http://[0:0:0:0:0:0:0:1]/callback", false, false),
            ("http://127.1/callback", false, false),
            ("http://0177.0.0.1/callback", false, false),
            ("http://LOCALHOST/callback", false, false),
            // Schemes that run code, read files, or belong to nobody.
            ("javascript:alert(1)", false, false),
            ("javascript://app.example.com/%0aalert(1)", false, false),
            ("data:text/html,x", false, false),
            ("data:text/html;a.b,x", false, false),
            ("file:///etc/passwd", false, false),
            ("ftp://app.example.com/", false, false),
            ("ws://localhost/", false, false),
            ("blob:https://app.example.com/x", false, false),
            ("myapp:/callback", false, false),
            ("myapp://callback", false, false),
            ("urn:ietf:wg:oauth:2.0:oob", false, false),
            ("com.example.app:callback", false, false),
            ("COM.example.app:/callback", false, false),
            ("com.example.app:/a/../callback", false, false),
            ("com.example.app:/a\\b", false, false),
            ("com.example.app://me@callback/", false, false),
            // Read differently by different readers.
            ("https://app.example.com/callback#", false, false),
            ("https://app.example.com/callback#x", false, false),
            ("https://me@app.example.com/callback", false, false),
            ("https://me:secret@app.example.com/callback", false, false),
            ("https://*.example.com/callback", false, false),
            ("https://app.example.com/*", false, false),
            ("https://app.example.com/a/../callback", false, false),
            ("https://app.example.com/callback?code=x", false, false),
            ("https://app.example.com/callback?a=b&%73tate=x", false, false),
            ("https://app.example.com/callback?iss=https://evil.example", false, false),
            ("/callback", false, false),
            ("//app.example.com/callback", false, false),
            ("", false, false),
        ] {
            for (kind, good) in [(Public, public), (Confidential, confidential)] {
                assert_eq!(RedirectUri::parse(uri, kind).is_ok(), good, "{kind:?}: {uri}");
            }
        }
    }

    #[test]
    fn what_is_presented_must_be_what_was_registered() {
        let web = "https://app.example.com/callback";
        let loopback = "http://127.0.0.1/callback";
        let with_port = "http://127.0.0.1:8000/callback?a=b";
        let v6 = "http://[::1]:8000/callback";
        let bare = "http://127.0.0.1";
        let localhost = "http://localhost:8000/callback";
        let native = "com.example.app:/callback";
        for (registered, presented, good) in [
            (web, web, true),
            (native, native, true),
            (localhost, localhost, true),
            (loopback, loopback, true),
            (loopback, "http://127.0.0.1:1/callback", true),
            (loopback, "http://127.0.0.1:65535/callback", true),
            (with_port, "http://127.0.0.1:49152/callback?a=b", true),
            (with_port, "http://127.0.0.1/callback?a=b", true),
            (v6, "http://[::1]/callback", true),
            (bare, "http://127.0.0.1:49152", true),
            // The host, in other letters, encodings and lengths.
            (web, "https://APP.example.com/callback", false),
            (web, "https://app.example.com./callback", false),
            (web, "https://app.example.com:443/callback", false),
            (web, "https://app.example.com:8443/callback", false),
            (web, "https://app%2eexample.com/callback", false),
            (web, "https://app.example.com.evil.example/callback", false),
            (web, "https://evil.example/app.example.com/callback", false),
            (web, "https://app.example.com@evil.example/callback", false),
            (web, "https://app.example.com:x@evil.example/callback", false),
            (web, "https://me@app.example.com/callback", false),
            (web, "https://app.ex\u{430}mple.com/callback", false),
            (web, "https://app.example.com\u{3002}evil.example/callback", false),
            // The scheme.
            (web, "http://app.example.com/callback", false),
            (web, "HTTPS://app.example.com/callback", false),
            (web, "//app.example.com/callback", false),
            (native, "com.example.app:/other", false),
            (native, "com.example.app://callback", false),
            (native, "com.example.app2:/callback", false),
            // The path and what follows it.
            (web, "https://app.example.com/callback/", false),
            (web, "https://app.example.com/callbac", false),
            (web, "https://app.example.com/callback2", false),
            (web, "https://app.example.com/Callback", false),
            (web, "https://app.example.com/call%62ack", false),
            (web, "https://app.example.com/callback/../evil", false),
            (web, "https://app.example.com/x/../callback", false),
            (web, "https://app.example.com/./callback", false),
            (web, "https://app.example.com//callback", false),
            (web, "https://app.example.com\\callback", false),
            (web, "https://app.example.com/callback?", false),
            (web, "https://app.example.com/callback?a=b", false),
            (web, "https://app.example.com/callback#x", false),
            (web, "https://app.example.com/callback;x", false),
            // Blanks, and what some readers leave out.
            (web, " https://app.example.com/callback", false),
            (web, "https://app.example.com/callback ", false),
            (web, "https://app.example.com/call\tback", false),
            (web, "https://app.example.com/callback\n", false),
            (web, "https://app.example.com/callback%00", false),
            (web, "https://app.example.com/callback\0", false),
            (web, "", false),
            // Only the port of a loopback address is free, and it must be a port.
            (loopback, "http://127.0.0.1:0/callback", false),
            (loopback, "http://127.0.0.1:080/callback", false),
            (loopback, "http://127.0.0.1:65536/callback", false),
            (loopback, "http://127.0.0.1:/callback", false),
            (loopback, "http://127.0.0.1:+80/callback", false),
            (loopback, "http://127.0.0.1:80@evil.example/callback", false),
            (loopback, "http://127.0.0.1:80.evil.example/callback", false),
            (loopback, "http://127.0.0.1@evil.example/callback", false),
            (loopback, "http://127.0.0.1.evil.example/callback", false),
            (loopback, "http://127.0.0.12/callback", false),
            (loopback, "http://127.0.0.1:80\\@evil.example/callback", false),
            (loopback, "http://127.0.0.1:80#@evil.example/callback", false),
            (loopback, "http://127.0.0.1:80/other", false),
            (loopback, "http://127.0.0.1:80/callback?x", false),
            (loopback, "https://127.0.0.1:80/callback", false),
            (loopback, "http://localhost:80/callback", false),
            (loopback, "http://[::1]:80/callback", false),
            (loopback, "http://127.1:80/callback", false),
            (loopback, "http://[::ffff:127.0.0.1]:80/callback", false),
            (v6, "http://[0:0:0:0:0:0:0:1]:8000/callback", false),
            (v6, "http://[::1%25lo]:8000/callback", false),
            (v6, "http://::1:8000/callback", false),
            (bare, "http://127.0.0.1:80@evil.example", false),
            (localhost, "http://localhost:8001/callback", false),
            (localhost, "http://localhost/callback", false),
        ] {
            assert_eq!(redirect_uri_matches(registered, presented), good, "{registered} {presented:?}");
            assert_eq!(RedirectUri::stored(registered.to_owned()).matches(presented), good);
        }
    }
}
