//! Exchanging a credential for an access token that can do no more (RFC 8693): how credentials are named, and what ties the
//! token to what it was exchanged for.

use std::sync::Arc;

use super::token::AccessToken;
use crate::domain::credential::{Credential, Form};
use crate::domain::secret::SecretHash;

/// What a credential is, in the names of RFC 8693, section 3, and one of our own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenType {
    /// An access token of ours, whatever it looks like.
    AccessToken,
    /// An access token of ours that is signed.
    Jwt,
    /// An API key.
    ApiKey,
}

impl TokenType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AccessToken, Self::Jwt, Self::ApiKey];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            Self::ApiKey => "urn:gatepost:params:oauth:token-type:api-key",
        }
    }

    /// The type of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// What an access token was exchanged for. The token is worth no more than that is now, and nothing once that is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The hash of what was presented.
    pub hash: SecretHash,
    /// What it is kept as.
    pub kind: SubjectKind,
    /// What is known of it now; none where it is gone, or nobody has looked.
    pub credential: Option<Arc<Credential>>,
}

/// What a [`Subject`] is kept as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubjectKind {
    /// A secret of a key.
    Key,
    /// An access token.
    Token,
}

impl SubjectKind {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
        }
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Key, Self::Token].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl AccessToken {
    /// Takes away what the subject cannot do any more, and what would outlast it.
    pub fn hold_to_subject(&mut self) {
        let Some(credential) = self.subject.as_ref().and_then(|subject| subject.credential.clone()) else { return };
        self.scopes.registered = self.scopes.registered.shared_with(credential.scopes());
        if let Some(token) = credential.token() {
            self.scopes.openid.retain(|scope| token.scopes.openid.contains(scope));
        }
        if let Some(end) = credential.expires_at() {
            self.expires_at = self.expires_at.min(end);
        }
    }

    /// Whom the token is about (`sub`): its user, or else the key it was exchanged for, or else its client.
    pub fn about(&self) -> &str {
        if let Some(user) = &self.user {
            return user.as_str();
        }
        match self.exchanged_for().map(|credential| &credential.form) {
            Some(Form::Key(secret)) => secret.key.id.as_str(),
            Some(Form::Token(token, _)) => token.about(),
            _ => self.client.as_str(),
        }
    }

    /// How many exchanges lie between the token and what nobody exchanged.
    pub fn exchanges(&self) -> usize {
        let before = self.exchanged_for().and_then(Credential::token).map_or(0, Self::exchanges);
        usize::from(self.subject.is_some()) + before
    }
}

/// Exchanges in a row at most: each is looked up with the token.
pub const MOST_EXCHANGES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_again() {
        for known in TokenType::ALL {
            assert_eq!(TokenType::parse(known.as_str()), Some(known));
        }
        for bad in ["", "access_token", "urn:ietf:params:oauth:token-type:refresh_token"] {
            assert_eq!(TokenType::parse(bad), None, "{bad}");
        }
        for kind in [SubjectKind::Key, SubjectKind::Token] {
            assert_eq!(SubjectKind::parse(kind.as_str()), Some(kind));
        }
    }
}
