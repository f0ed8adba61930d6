//! Clients: the programs that ask for tokens (RFC 6749, section 2), and the only ways they change.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::{ClientDocument, DocumentUrl};
use super::grant::GrantType;
use super::redirect_uri::RedirectUri;
use super::scope::OAuthScopes;
use super::uri::{LogoUri, ResourceUri, Rule};
use crate::domain::clock::Timestamp;
use crate::domain::credential::SecretRole;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::{ClientId, ProjectId};
use crate::domain::key::etag;
use crate::domain::reason::Reason;

/// A client, without its secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Identifies the client here. Its `client_id` is [`Client::public_id`].
    pub id: ClientId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// The environment it belongs to.
    pub environment: Environment,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// What may be changed about it.
    pub details: ClientDetails,
    /// The secret it was given last; none for a client that proves itself otherwise, or not at all.
    pub secret: Option<ClientSecret>,
    /// The secret before the last rotation, with when it stops working.
    pub old_secret: Option<(ClientSecret, Timestamp)>,
    /// Whether it registered itself (RFC 7591), or by a document of its own, so that nobody has vouched for it.
    pub registered_itself: bool,
    /// The document that says what it is; none where that is said here.
    pub document: Option<ClientDocument>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

/// What is known of a secret without knowing it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientSecret {
    /// How to recognise it.
    pub hint: Box<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Client {
    /// Its `client_id`, as it gives it and is given it: the address of its document, if it has one.
    pub fn public_id(&self) -> &str {
        self.document.as_ref().map_or(self.id.as_str(), |document| document.url.as_str())
    }

    /// Where its document is.
    pub fn document_url(&self) -> Option<&DocumentUrl> {
        self.document.as_ref().map(|document| &document.url)
    }

    /// Changes with every change of the client.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// Whether the secret that plays this part for the client works at this time.
    pub fn accepts(&self, role: SecretRole, now: Timestamp) -> bool {
        let there = match role {
            SecretRole::Current => self.secret.is_some(),
            SecretRole::Previous => self.open_old_secret(now).is_some(),
        };
        there && self.deleted_at.is_none() && self.details.authentication.needs_secret()
    }

    /// The secret before the last rotation, while it works at this time.
    pub fn open_old_secret(&self, now: Timestamp) -> Option<&(ClientSecret, Timestamp)> {
        self.old_secret.as_ref().filter(|(_, end)| now < *end)
    }

    /// Changes the details.
    pub fn update(&mut self, details: ClientDetails, now: Timestamp) {
        self.details = details;
        if !self.details.authentication.needs_secret() {
            // It does not come back with the method that needed it.
            (self.secret, self.old_secret) = (None, None);
        }
        self.touch(now);
    }

    /// Gives the client a new secret, known by `hint`. The one it had works for the grace period.
    ///
    /// # Errors
    /// INVALID_STATE for a client that has no secrets.
    pub fn rotate_secret(&mut self, hint: String, grace: Duration, now: Timestamp) -> Result<()> {
        if !self.details.authentication.needs_secret() {
            let message = format!(
                "the client's token_endpoint_auth_method is {}: it has no secret",
                self.details.authentication.as_str()
            );
            return Err(Error::new(Reason::InvalidState, message));
        }
        let old = self.secret.replace(ClientSecret { hint: hint.into(), created_at: now });
        self.old_secret = old.filter(|_| !grace.is_zero()).map(|old| (old, now.plus(grace)));
        self.touch(now);
        Ok(())
    }

    /// Ends the client and its secrets for good.
    pub fn delete(&mut self, now: Timestamp) {
        (self.secret, self.old_secret) = (None, None);
        self.deleted_at = Some(now);
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// Whether a client can keep a secret (RFC 6749, section 2.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientKind {
    /// It runs where nobody but its owner looks.
    Confidential,
    /// It runs in browsers, phones or terminals of its users: it has no secret.
    Public,
}

impl ClientKind {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confidential => "confidential",
            Self::Public => "public",
        }
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Confidential, Self::Public].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How a client proves itself at the token endpoint, by the names of RFC 7591, section 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAuthentication {
    /// With its secret in `Authorization: Basic` (RFC 6749, section 2.3.1).
    SecretBasic,
    /// With its secret in the body.
    SecretPost,
    /// With a token that it signs with a key of its own (RFC 7523; OpenID Connect Core 1.0, section 9).
    PrivateKeyJwt,
    /// It does not: it is public.
    None,
}

impl ClientAuthentication {
    const ALL: [Self; 4] = [Self::SecretBasic, Self::SecretPost, Self::PrivateKeyJwt, Self::None];

    /// The name, also in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecretBasic => "client_secret_basic",
            Self::SecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    /// The method of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }

    /// The rule the names keep, for error messages.
    pub const RULE: &'static str =
        "must be client_secret_basic, client_secret_post or private_key_jwt or, of a public client, none";

    /// What a client of this kind uses unless it says.
    pub const fn usual(kind: ClientKind) -> Self {
        match kind {
            ClientKind::Confidential => Self::SecretBasic,
            ClientKind::Public => Self::None,
        }
    }

    /// Whether the client needs a secret for it.
    pub const fn needs_secret(self) -> bool {
        match self {
            Self::SecretBasic | Self::SecretPost => true,
            Self::PrivateKeyJwt | Self::None => false,
        }
    }
}

/// What the access tokens of a client are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenFormat {
    /// Anybody can read them with our public keys (RFC 9068).
    Jwt,
    /// Nobody learns anything from them but by asking.
    Opaque,
}

impl TokenFormat {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::Opaque => "opaque",
        }
    }

    /// The format of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Jwt, Self::Opaque].into_iter().find(|format| format.as_str() == text)
    }
}

/// The public keys of a client (RFC 7591, section 2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ClientKeys {
    /// These: a JWK Set, up to [`MAX_KEYS`] bytes.
    Inline(String),
    /// Those at this address.
    At(String),
}

/// What may be changed about a client.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientDetails {
    /// What users are told it is called, 1 to 100 characters.
    pub name: String,
    /// What users are shown beside the name.
    pub logo_uri: Option<LogoUri>,
    /// How it proves itself.
    pub authentication: ClientAuthentication,
    /// What its own tokens are checked by.
    pub keys: Option<ClientKeys>,
    /// Where users may be sent with a code, up to [`MAX_URIS`].
    pub redirect_uris: Vec<RedirectUri>,
    /// Where users may be sent after they signed out, up to [`MAX_URIS`].
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// The ways to a token.
    pub grant_types: BTreeSet<GrantType>,
    /// What it may ask for at most.
    pub scopes: OAuthScopes,
    /// The APIs it may ask tokens for, up to [`MAX_URIS`].
    pub resources: Vec<ResourceUri>,
    /// What its access tokens are.
    pub token_format: TokenFormat,
    /// How long its access tokens live; see [`ACCESS_TOKEN_LIFETIMES`].
    pub access_token_lifetime: Duration,
    /// How long a refresh token lives that is not used; see [`REFRESH_TOKEN_IDLE_LIFETIMES`].
    pub refresh_token_idle_lifetime: Duration,
    /// How long it can be refreshed without asking the user again; see [`REFRESH_TOKEN_LIFETIMES`].
    pub refresh_token_lifetime: Duration,
    /// Whether it must prove that whoever brings a code is who asked for it (RFC 7636).
    pub require_pkce: bool,
    /// Whether its access tokens are bound to a key of its own (RFC 9449).
    pub dpop_bound_access_tokens: bool,
    /// Whether it must push its authorization requests (RFC 9126).
    pub require_pushed_requests: bool,
}

impl ClientDetails {
    /// What a client of this kind has when nothing else is said.
    pub fn usual(kind: ClientKind) -> Self {
        Self {
            name: String::new(),
            logo_uri: None,
            authentication: ClientAuthentication::usual(kind),
            keys: None,
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            grant_types: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
            scopes: OAuthScopes::default(),
            resources: Vec::new(),
            token_format: TokenFormat::Jwt,
            access_token_lifetime: Duration::from_secs(10 * 60),
            refresh_token_idle_lifetime: 30 * DAY,
            refresh_token_lifetime: 180 * DAY,
            require_pkce: true,
            dpop_bound_access_tokens: false,
            require_pushed_requests: false,
        }
    }

    /// Whether it gets tokens without any user: whoever has its secret may do what it may.
    pub fn acts_for_itself(&self) -> bool {
        self.grant_types.contains(&GrantType::ClientCredentials)
    }

    /// The rules of one field against others that they break, with the names of the fields.
    pub fn broken_rules(&self, kind: ClientKind) -> Vec<(&'static str, Rule)> {
        let public = kind == ClientKind::Public;
        let has = |grant| self.grant_types.contains(&grant);
        let with_users = has(GrantType::AuthorizationCode) || has(GrantType::DeviceCode);
        let rules = [
            (
                public != (self.authentication == ClientAuthentication::None),
                "token_endpoint_auth_method",
                "must be none for a public client, and for no other",
            ),
            (
                self.authentication == ClientAuthentication::PrivateKeyJwt && self.keys.is_none(),
                "token_endpoint_auth_method",
                "private_key_jwt needs jwks or jwks_uri",
            ),
            (
                public && (has(GrantType::ClientCredentials) || has(GrantType::TokenExchange)),
                "grant_types",
                "client_credentials and token-exchange are for confidential clients: a public one cannot prove itself",
            ),
            (
                has(GrantType::RefreshToken) && !with_users,
                "grant_types",
                "refresh_token goes with authorization_code or device_code",
            ),
            (
                has(GrantType::AuthorizationCode) && self.redirect_uris.is_empty(),
                "redirect_uris",
                "must have at least one entry: the client has the grant type authorization_code",
            ),
            (
                self.refresh_token_lifetime < self.refresh_token_idle_lifetime,
                "refresh_token_lifetime",
                "must not be shorter than refresh_token_idle_lifetime",
            ),
            (public && !self.require_pkce, "require_pkce", "must be true for a public client"),
        ];
        rules.into_iter().filter(|(broken, ..)| *broken).map(|(_, field, rule)| (field, rule)).collect()
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes of the keys that are registered with a client at most.
pub const MAX_KEYS: usize = 16 * 1024;
/// Entries of each list of URIs at most.
pub const MAX_URIS: usize = 20;
/// The longest time for which an old secret goes on working.
pub const MAX_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// 1 minute to 24 hours.
pub const ACCESS_TOKEN_LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(60)..=DAY;
/// 1 hour to 365 days.
pub const REFRESH_TOKEN_IDLE_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=Duration::from_secs(365 * 24 * 60 * 60);
/// 1 hour to 730 days.
pub const REFRESH_TOKEN_LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=Duration::from_secs(730 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::entropy::SystemEntropy;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn client(kind: ClientKind) -> Client {
        let uri = RedirectUri::parse("https://app.example.com/callback", kind).unwrap();
        let secret = ClientSecret { hint: "cs_live_Ab1c...9xYz".into(), created_at: at(1) };
        Client {
            id: ClientId::new(at(1), &SystemEntropy),
            project: ProjectId::default_project(),
            environment: Environment::Live,
            kind,
            details: ClientDetails { name: "App".to_owned(), redirect_uris: vec![uri], ..ClientDetails::usual(kind) },
            secret: (kind == ClientKind::Confidential).then_some(secret),
            old_secret: None,
            registered_itself: false,
            document: None,
            created_at: at(1),
            updated_at: at(1),
            deleted_at: None,
            version: 1,
        }
    }

    #[test]
    fn an_old_secret_works_for_the_grace_period_and_no_longer() {
        let mut client = client(ClientKind::Confidential);
        assert!(client.accepts(SecretRole::Current, at(1)));
        assert!(!client.accepts(SecretRole::Previous, at(1)), "there is none");
        client.rotate_secret("second".to_owned(), Duration::from_secs(60), at(10)).unwrap();
        for (now, works) in [(10, true), (69, true), (70, false), (1_000, false)] {
            assert_eq!(client.accepts(SecretRole::Previous, at(now)), works, "{now}");
            assert!(client.accepts(SecretRole::Current, at(now)));
        }
        assert_eq!(client.open_old_secret(at(69)).unwrap().0.created_at, at(1));
        client.rotate_secret("third".to_owned(), Duration::ZERO, at(20)).unwrap();
        assert_eq!((&client.old_secret, client.version), (&None, 3), "it ended with the rotation");
        client.delete(at(30));
        for role in [SecretRole::Current, SecretRole::Previous] {
            assert!(!client.accepts(role, at(30)));
        }
    }

    #[test]
    fn a_public_client_has_no_secret() {
        let mut client = client(ClientKind::Public);
        let refused = client.rotate_secret("x".to_owned(), Duration::ZERO, at(2)).unwrap_err();
        assert_eq!((refused.reason, client.version), (Reason::InvalidState, 1));
        client.secret = Some(ClientSecret { hint: "x".into(), created_at: at(1) });
        assert!(!client.accepts(SecretRole::Current, at(2)), "whatever is stored");
    }

    #[test]
    fn fields_are_held_against_each_other() {
        use ClientKind::{Confidential, Public};
        use GrantType::{ClientCredentials, DeviceCode, RefreshToken, TokenExchange};
        type Change = fn(&mut ClientDetails);
        let cases: [(&str, Change, &[&str], &[&str]); 10] = [
            ("as usual", |_| {}, &[], &[]),
            (
                "no method",
                |details| details.authentication = ClientAuthentication::None,
                &["token_endpoint_auth_method"],
                &[],
            ),
            (
                "a secret",
                |details| details.authentication = ClientAuthentication::SecretPost,
                &[],
                &["token_endpoint_auth_method"],
            ),
            ("no redirect", |details| details.redirect_uris.clear(), &["redirect_uris"], &["redirect_uris"]),
            ("no PKCE", |details| details.require_pkce = false, &[], &["require_pkce"]),
            (
                "ends before it is idle",
                |details| details.refresh_token_lifetime = DAY,
                &["refresh_token_lifetime"],
                &["refresh_token_lifetime"],
            ),
            ("credentials", |details| details.grant_types = BTreeSet::from([ClientCredentials]), &[], &["grant_types"]),
            ("exchange", |details| details.grant_types = BTreeSet::from([TokenExchange]), &[], &["grant_types"]),
            (
                "refresh alone",
                |details| details.grant_types = BTreeSet::from([RefreshToken, ClientCredentials]),
                &["grant_types"],
                &["grant_types", "grant_types"],
            ),
            (
                "a device",
                |details| {
                    details.redirect_uris.clear();
                    details.grant_types = BTreeSet::from([DeviceCode, RefreshToken]);
                },
                &[],
                &[],
            ),
        ];
        for (case, change, confidential, public) in cases {
            for (kind, wanted) in [(Confidential, confidential), (Public, public)] {
                let mut details = client(kind).details;
                change(&mut details);
                let broken: Vec<_> = details.broken_rules(kind).into_iter().map(|(field, _)| field).collect();
                assert_eq!(broken, wanted, "{case}, {kind:?}");
            }
        }
        let mut all = client(Confidential).details;
        all.grant_types = GrantType::ALL.into();
        assert_eq!(all.broken_rules(Confidential), []);
        assert!(all.acts_for_itself());
    }

    #[test]
    fn words_are_read_again() {
        for kind in [ClientKind::Confidential, ClientKind::Public] {
            assert_eq!(ClientKind::parse(kind.as_str()), Some(kind));
        }
        for method in ClientAuthentication::ALL {
            assert_eq!(ClientAuthentication::parse(method.as_str()), Some(method));
            assert!(ClientAuthentication::RULE.contains(method.as_str()));
        }
        for format in [TokenFormat::Jwt, TokenFormat::Opaque] {
            assert_eq!(TokenFormat::parse(format.as_str()), Some(format));
        }
        for lifetime in [ClientDetails::usual(ClientKind::Public), ClientDetails::usual(ClientKind::Confidential)] {
            assert!(ACCESS_TOKEN_LIFETIMES.contains(&lifetime.access_token_lifetime));
            assert!(REFRESH_TOKEN_IDLE_LIFETIMES.contains(&lifetime.refresh_token_idle_lifetime));
            assert!(REFRESH_TOKEN_LIFETIMES.contains(&lifetime.refresh_token_lifetime));
        }
    }
}
