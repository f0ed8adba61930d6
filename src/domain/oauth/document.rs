//! Clients that are known by the address of a document which says what they are (OAuth Client ID Metadata Document,
//! draft-ietf-oauth-client-id-metadata-document): which addresses are taken, what a document may say, how long it is believed.
//!
//! The address is the `client_id`. Whoever can answer for it is the client, and nobody has vouched for them: they get what
//! clients that register themselves get, by the same rules ([`super::registration`]).

use std::fmt;
use std::time::Duration;

use super::client::{ClientAuthentication, ClientDetails, ClientKind};
use super::error::{OAuthError, Word};
use super::registration::{Allowance, ClientMetadata};
use super::uri::{self, Rule};
use crate::domain::clock::Timestamp;

/// The address of a document: `https`, with a path, up to 512 ASCII characters, written plainly. Compared letter by letter.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct DocumentUrl(Box<str>);

impl DocumentUrl {
    /// Reads an address (section 3).
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Rule> {
        if !Self::is_meant(text) {
            return Err("must begin with https://");
        }
        if text.len() > MAX_LENGTH {
            return Err("has up to 512 characters");
        }
        let url = uri::plain(text)?;
        if url.query().is_some() {
            return Err("must not have a query (?)");
        }
        // What is written plainly has its host between the scheme and the path.
        if !text[SCHEME.len()..].contains('/') {
            return Err("must have a path");
        }
        Ok(Self(text.into()))
    }

    /// Whether a `client_id` is meant as an address, good or not. None that is given out here is.
    pub fn is_meant(client_id: &str) -> bool {
        client_id.starts_with(SCHEME)
    }

    /// Takes an address that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it is, as people know it: the host, and the port if it is an unusual one.
    pub fn host(&self) -> &str {
        self.0[SCHEME.len()..].split('/').next().unwrap_or_default()
    }
}

impl fmt::Display for DocumentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The document that says what a client is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientDocument {
    /// Where it is.
    pub url: DocumentUrl,
    /// When it was had last.
    pub fetched_at: Timestamp,
    /// Until when it is believed.
    pub fresh_until: Timestamp,
}

impl ClientDocument {
    /// One that was had now, of which its host says for how long it may be kept. It is believed for 5 minutes at least, so that
    /// nobody makes us ask with every request, and for a day at most (section 5.2).
    pub fn had(url: DocumentUrl, now: Timestamp, fresh_for: Option<Duration>) -> Self {
        let fresh_for = fresh_for.unwrap_or(FRESH).clamp(FRESH_AT_LEAST, FRESH_AT_MOST);
        Self { url, fetched_at: now, fresh_until: now.plus(fresh_for) }
    }

    /// Whether it is still believed.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until
    }
}

/// What a document says.
#[derive(Debug)]
pub struct DocumentMetadata {
    metadata: ClientMetadata,
    kind: ClientKind,
}

impl DocumentMetadata {
    /// Reads the document at this address (section 4).
    ///
    /// # Errors
    /// `invalid_client`, with what is wrong.
    pub fn read(url: &DocumentUrl, body: &[u8]) -> Result<Self, OAuthError> {
        // A list would be read as the members in turn.
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let (true, Ok(mut metadata)) = (is_object, serde_json::from_slice::<ClientMetadata>(body)) else {
            return Err(bad("must be a JSON object whose members are as RFC 7591 says, each there once"));
        };
        if metadata.client_id.as_deref() != Some(url.as_str()) {
            return Err(bad("must name its own address as client_id, letter by letter"));
        }
        if metadata.client_secret.is_some() || metadata.client_secret_expires_at.is_some() {
            return Err(bad("must not have client_secret or client_secret_expires_at: everybody reads it"));
        }
        let method = metadata.token_endpoint_auth_method.take().filter(|method| !method.is_empty());
        // What RFC 7591 takes for granted where nothing is said is a secret, which there is none of.
        let method = method.map_or(Some(ClientAuthentication::None), |method| ClientAuthentication::parse(&method));
        let kind = match method {
            Some(ClientAuthentication::None) => ClientKind::Public,
            Some(ClientAuthentication::PrivateKeyJwt) => ClientKind::Confidential,
            _ => return Err(bad("must have none or private_key_jwt as token_endpoint_auth_method")),
        };
        metadata.token_endpoint_auth_method = method.map(|method| method.as_str().to_owned());
        metadata.client_name =
            metadata.client_name.filter(|name| !name.is_empty()).or_else(|| Some(url.host().to_owned()));
        Ok(Self { metadata, kind })
    }

    /// Whether the client proves who it is.
    pub fn kind(&self) -> ClientKind {
        self.kind
    }

    /// What becomes of it: in place of what `before` says of all that a client says of itself.
    ///
    /// # Errors
    /// `invalid_client`, with what is wrong.
    pub fn details(&self, before: ClientDetails, allowed: &Allowance) -> Result<ClientDetails, OAuthError> {
        self.metadata.details(before, allowed).map_err(|error| bad(&format!("cannot be taken: {}", error.description)))
    }
}

fn bad(rule: &str) -> OAuthError {
    OAuthError::new(Word::InvalidClient, format!("the document at the client_id {rule}"))
}

const SCHEME: &str = "https://";
const MAX_LENGTH: usize = 512;
/// How long a document is believed whose host does not say.
const FRESH: Duration = Duration::from_secs(60 * 60);
const FRESH_AT_LEAST: Duration = Duration::from_secs(5 * 60);
const FRESH_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::super::client::ClientKeys;
    use super::*;
    use crate::domain::oauth::grant::GrantType;
    use crate::domain::project::ProjectDetails;

    const URL: &str = "https://app.example/client.json";

    #[test]
    fn addresses_have_one_reading() {
        let long = format!("https://app.example/{}", "x".repeat(492));
        assert_eq!(long.len(), MAX_LENGTH);
        for (good, host) in [
            (URL, "app.example"),
            ("https://app.example/", "app.example"),
            ("https://app.example:8443/a/b", "app.example:8443"),
            ("https://192.0.2.1/c", "192.0.2.1"),
            ("https://[2001:db8::1]:8443/c", "[2001:db8::1]:8443"),
            ("https://xn--bcher-kva.example/%C3%A9;v=1", "xn--bcher-kva.example"),
            ("https://app.example/a//b", "app.example"),
            ("https://app.example/a.b/..c/d.", "app.example"),
            (&long, "app.example"),
        ] {
            assert_eq!(DocumentUrl::parse(good).as_ref().map(DocumentUrl::host), Ok(host), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///client.json",
            "https://app.example",
            "http://app.example/client.json",
            "HTTPS://app.example/client.json",
            "https:app.example/client.json",
            "https://App.example/client.json",
            "https://b\u{fc}cher.example/client.json",
            "https://app.example:443/client.json",
            "https://app.example:/client.json",
            "https://app.example/./client.json",
            "https://app.example/a/../client.json",
            "https://app.example/..",
            "https://app.example/a/%2e%2E/client.json",
            "https://app.example/client.json#",
            "https://app.example/client.json#a",
            "https://app.example/client.json?",
            "https://app.example/client.json?a=b",
            "https://app.example?a=/b",
            "https://me@app.example/client.json",
            "https://me:secret@app.example/client.json",
            "https://@app.example/client.json",
            "https://app.example\\client.json",
            "https://app.example/cl ient.json",
            "https://app.example/client.json\n",
            " https://app.example/client.json",
            "https://app.example/%zz",
            "https://app.example/*",
            "https://0x7f.1/client.json",
            "https://127.1/client.json",
            &format!("{long}x"),
            "file:///etc/passwd",
            "data:application/json,{}",
            "cli_00000000000000000000000000000000",
        ] {
            assert!(DocumentUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_document_is_believed_for_minutes_to_a_day() {
        let url = DocumentUrl::parse(URL).unwrap();
        let now = Timestamp::from_micros(1_000_000);
        for (said, seconds) in
            [(None, 3_600), (Some(0), 300), (Some(299), 300), (Some(7_200), 7_200), (Some(u64::MAX), 86_400)]
        {
            let document = ClientDocument::had(url.clone(), now, said.map(Duration::from_secs));
            assert!(document.is_fresh(now.plus(Duration::from_secs(seconds - 1))), "{said:?}");
            assert!(!document.is_fresh(now.plus(Duration::from_secs(seconds))), "{said:?}");
        }
    }

    fn read(members: &str) -> Result<(ClientKind, ClientDetails), OAuthError> {
        let url = DocumentUrl::parse(URL).unwrap();
        let json = format!(r#"{{"client_id": "{URL}", "redirect_uris": ["https://app.example/cb"]{members}}}"#);
        let said = DocumentMetadata::read(&url, json.as_bytes())?;
        let allowed = Allowance::of(&ProjectDetails::default(), "https://keys.example");
        Ok((said.kind(), said.details(ClientDetails::usual(said.kind()), &allowed)?))
    }

    #[test]
    fn a_document_says_what_a_client_says_that_registers_itself() {
        let (kind, details) =
            read(r#", "grant_types": ["refresh_token", "authorization_code", "client_credentials"]"#).unwrap();
        assert_eq!(
            (kind, details.name.as_str(), details.authentication),
            (ClientKind::Public, "app.example", ClientAuthentication::None)
        );
        assert_eq!(details.grant_types, [GrantType::AuthorizationCode, GrantType::RefreshToken].into());
        assert!(details.require_pkce);
        let (kind, details) = read(
            r#", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example/keys", "client_name": "App""#,
        )
        .unwrap();
        assert_eq!((kind, details.name.as_str()), (ClientKind::Confidential, "App"));
        assert_eq!(details.keys, Some(ClientKeys::At("https://app.example/keys".to_owned())));
        // A public client's keys prove nothing.
        let (kind, details) = read(r#", "jwks": {"keys": []}, "client_secret": null"#).unwrap();
        assert_eq!((kind, details.keys), (ClientKind::Public, None));
    }

    #[test]
    fn what_a_document_cannot_say_is_refused() {
        for members in [
            r#", "client_secret": """#,
            r#", "client_secret": "x""#,
            r#", "client_secret_expires_at": 0"#,
            r#", "token_endpoint_auth_method": "client_secret_basic""#,
            r#", "token_endpoint_auth_method": "client_secret_post""#,
            r#", "token_endpoint_auth_method": "client_secret_jwt""#,
            r#", "token_endpoint_auth_method": "tls_client_auth""#,
            r#", "token_endpoint_auth_method": "private_key_jwt""#,
            r#", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/keys""#,
            r#", "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "file:///etc/passwd""#,
            r#", "token_endpoint_auth_method": "private_key_jwt", "jwks": {}, "jwks_uri": "https://app.example/keys""#,
            r#", "token_endpoint_auth_method": ["none"]"#,
            r#", "token_endpoint_auth_method": "private_key_jwt", "jwks": [], "jwks_uri": "https://app.example/keys""#,
            r#", "client_id": "https://app.example/client.json""#,
            r#", "grant_types": ["client_credentials"]"#,
            r#", "client_name": "Bank\u202e""#,
            r#", "software_statement": "eyJ""#,
        ] {
            let error = read(members).expect_err(members);
            assert_eq!(error.word, Word::InvalidClient, "{members}");
            assert!(error.description.starts_with("the document at the client_id "), "{error:?}");
        }
        let url = DocumentUrl::parse(URL).unwrap();
        let cases = [
            "",
            "{}",
            "[]",
            "null",
            "{",
            r#"["https://app.example/cb"]"#,
            "\"x\"",
            "\u{feff}{}",
            r#"{"client_id": null}"#,
            r#"{"client_id": "https://app.example/client.jsoN"}"#,
            r#"{"client_id": "https://app.example/client.json "}"#,
            r#"{"client_id": "https://app.example:443/client.json"}"#,
            r#"{"client_id": ["https://app.example/client.json"]}"#,
        ];
        for body in cases {
            assert!(DocumentMetadata::read(&url, body.as_bytes()).is_err(), "{body}");
        }
        assert!(DocumentMetadata::read(&url, b"{\"client_id\": \"\xff\"}").is_err());
        let bare = format!(r#"{{"client_id": "{URL}"}}"#);
        let said = DocumentMetadata::read(&url, bare.as_bytes()).unwrap();
        let allowed = Allowance::of(&ProjectDetails::default(), "https://keys.example");
        assert!(said.details(ClientDetails::usual(said.kind()), &allowed).is_err(), "it leads nowhere");
    }
}
