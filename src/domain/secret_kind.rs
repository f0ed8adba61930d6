//! What a secret is for, as far as its prefix tells.

use super::key::KeyKind;
use super::secret::{SecretPrefix, SecretShape};

/// What a secret is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum SecretKind {
    /// A secret key, also one with a prefix of its project's own.
    SecretKey,
    /// A restricted key.
    RestrictedKey,
    /// A publishable key, which may be public.
    PublishableKey,
    /// A user's own key.
    UserKey,
    /// The secret of an OAuth client.
    ClientSecret,
    /// An opaque access token.
    AccessToken,
    /// A refresh token.
    RefreshToken,
    /// An authorization code.
    AuthorizationCode,
    /// The code of a device.
    DeviceCode,
    /// What a client manages its registration by.
    RegistrationToken,
    /// The token of a session, which is signed and has no prefix.
    SessionToken,
}

impl SecretKind {
    const ALL: [Self; 11] = [
        Self::SecretKey,
        Self::RestrictedKey,
        Self::PublishableKey,
        Self::UserKey,
        Self::ClientSecret,
        Self::AccessToken,
        Self::RefreshToken,
        Self::AuthorizationCode,
        Self::DeviceCode,
        Self::RegistrationToken,
        Self::SessionToken,
    ];

    /// The word in output and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecretKey => "secret_key",
            Self::RestrictedKey => "restricted_key",
            Self::PublishableKey => "publishable_key",
            Self::UserKey => "user_key",
            Self::ClientSecret => "client_secret",
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::AuthorizationCode => "authorization_code",
            Self::DeviceCode => "device_code",
            Self::RegistrationToken => "registration_token",
            Self::SessionToken => "session_token",
        }
    }

    /// What it is, for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::SecretKey => "secret key",
            Self::RestrictedKey => "restricted key",
            Self::PublishableKey => "publishable key",
            Self::UserKey => "user key",
            Self::ClientSecret => "client secret",
            Self::AccessToken => "access token",
            Self::RefreshToken => "refresh token",
            Self::AuthorizationCode => "authorization code",
            Self::DeviceCode => "device code",
            Self::RegistrationToken => "registration token",
            Self::SessionToken => "session token",
        }
    }

    /// What the secret of a key is for.
    pub const fn of_key(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Secret => Self::SecretKey,
            KeyKind::Restricted => Self::RestrictedKey,
            KeyKind::Publishable => Self::PublishableKey,
            KeyKind::User => Self::UserKey,
        }
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl SecretShape<'_> {
    /// What the secret is for. Every prefix that has no meaning of its own is a project's, for secret keys.
    pub fn kind(self) -> SecretKind {
        match self.prefix {
            SecretPrefix::RESTRICTED => SecretKind::RestrictedKey,
            SecretPrefix::PUBLISHABLE => SecretKind::PublishableKey,
            SecretPrefix::USER => SecretKind::UserKey,
            SecretPrefix::CLIENT => SecretKind::ClientSecret,
            SecretPrefix::ACCESS => SecretKind::AccessToken,
            SecretPrefix::REFRESH => SecretKind::RefreshToken,
            SecretPrefix::CODE => SecretKind::AuthorizationCode,
            SecretPrefix::DEVICE => SecretKind::DeviceCode,
            SecretPrefix::REGISTRATION => SecretKind::RegistrationToken,
            _ => SecretKind::SecretKey,
        }
    }
}
