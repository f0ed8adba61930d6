//! People who proved who they are: with a password here, or with a token of an issuer that the project trusts.

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{ProjectId, SessionId, UserId};

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
