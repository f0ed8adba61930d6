//! People who proved who they are: with a password here, or with a token of an issuer that the project trusts.

use std::net::IpAddr;

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{ProjectId, SessionId, UserId};
use super::user::{Email, Handle};

/// A user who signed in here, until they sign out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Identifies the session.
    pub id: SessionId,
    /// The project of the user.
    pub project: ProjectId,
    /// The environment of the user.
    pub environment: Environment,
    /// Who signed in.
    pub user: UserId,
    /// When they did.
    pub created_at: Timestamp,
    /// When the session ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended before that.
    pub revoked_at: Option<Timestamp>,
}

/// Where a session was begun from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The address of the client; none where it was forgotten, with the user.
    pub client_ip: Option<IpAddr>,
    /// What the client called itself, cut short.
    pub user_agent: String,
}

/// A session as it is listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedSession {
    /// The session.
    pub session: Session,
    /// Where it was begun from.
    pub origin: Origin,
}

/// What somebody names themselves by who signs in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Login {
    /// The handle.
    Handle(Handle),
    /// The email address.
    Email(Email),
}

impl Login {
    /// Reads a handle, in any case of letters; none if it breaks the rule ([`Handle::RULE`]).
    pub fn handle(text: &str) -> Option<Self> {
        Handle::parse(&text.to_ascii_lowercase()).map(Self::Handle)
    }

    /// Reads an email address; none if it breaks the rule ([`Email::RULE`]).
    pub fn email(text: &str) -> Option<Self> {
        Email::parse(text).map(Self::Email)
    }

    /// The name in the form in which names compare.
    pub fn folded(&self) -> String {
        match self {
            Self::Handle(handle) => handle.to_string(),
            Self::Email(email) => email.folded(),
        }
    }
}

/// A user who shows a token of an issuer that the project trusts, as long as that token is good.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The project of the user.
    pub project: ProjectId,
    /// The environment of the user.
    pub environment: Environment,
    /// Who it is.
    pub user: UserId,
    /// When the token ends.
    pub expires_at: Timestamp,
}
