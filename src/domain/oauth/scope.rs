//! What a client may ask for: scopes of the registry (`verb:noun`), and those that OpenID Connect gives a meaning of their
//! own (`openid`). The two never meet: no scope of the registry is spelt without a colon but `admin`, and none of the OpenID
//! words is in the registry, guards an RPC, or must be held by whoever gives it.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::scope::{Scope, ScopeSet};

/// A scope that OpenID Connect Core 1.0 defines.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum OpenIdScope {
    /// The client learns who the user is (section 3.1.2.1).
    OpenId,
    /// And their name (section 5.4).
    Profile,
    /// And their email address (section 5.4).
    Email,
    /// The client may act when the user is away (section 11).
    OfflineAccess,
}

impl OpenIdScope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OpenId, Self::Profile, Self::Email, Self::OfflineAccess];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenId => "openid",
            Self::Profile => "profile",
            Self::Email => "email",
            Self::OfflineAccess => "offline_access",
        }
    }

    /// The scope of this word; there is no second spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text)
    }
}

/// One scope of either kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OAuthScope {
    /// One that OpenID Connect defines.
    OpenId(OpenIdScope),
    /// One of the registry.
    Registered(Scope),
}

impl OAuthScope {
    /// Reads a scope; none if it breaks the rule ([`OAuthScope::RULE`]).
    pub fn parse(text: &str) -> Option<Self> {
        let registered = || Scope::parse(text).map(Self::Registered);
        OpenIdScope::parse(text).map(Self::OpenId).or_else(registered)
    }

    /// The rule a scope keeps, for error messages.
    pub const RULE: &'static str = "a scope is openid, profile, email or offline_access, or spelt `verb:noun` or \
        `VERB_NOUN`, up to 100 characters";
}

/// The scopes of either kind that somebody may ask for, or was given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OAuthScopes {
    /// Those that OpenID Connect defines.
    pub openid: BTreeSet<OpenIdScope>,
    /// Those of the registry.
    pub registered: ScopeSet,
}

impl OAuthScopes {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.openid.is_empty() && self.registered.is_empty()
    }

    /// The words, those of OpenID Connect first.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.openid.iter().map(|scope| scope.as_str()).chain(self.registered.iter().map(Scope::spelling))
    }

    /// These and those.
    pub fn and(&self, more: &Self) -> Self {
        Self {
            openid: self.openid.union(&more.openid).copied().collect(),
            registered: ScopeSet::new(self.registered.iter().chain(more.registered.iter()).cloned()),
        }
    }
}

impl FromIterator<OAuthScope> for OAuthScopes {
    fn from_iter<I: IntoIterator<Item = OAuthScope>>(scopes: I) -> Self {
        let (mut openid, mut registered) = (BTreeSet::new(), Vec::new());
        for scope in scopes {
            match scope {
                OAuthScope::OpenId(scope) => drop(openid.insert(scope)),
                OAuthScope::Registered(scope) => registered.push(scope),
            }
        }
        Self { openid, registered: ScopeSet::new(registered) }
    }
}

impl fmt::Display for OAuthScopes {
    /// As in the `scope` of a token answer (RFC 6749, section 3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words().enumerate() {
            write!(f, "{}{word}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OAuthScopes {
        text.split(' ').map(|word| OAuthScope::parse(word).unwrap()).collect()
    }

    #[test]
    fn the_two_kinds_are_kept_apart() {
        let scopes = read("read:users offline_access READ_BUDGETS openid admin openid");
        assert_eq!(scopes.to_string(), "openid offline_access admin READ_BUDGETS read:users");
        assert_eq!(scopes.openid, BTreeSet::from([OpenIdScope::OpenId, OpenIdScope::OfflineAccess]));
        assert_eq!(scopes.registered.iter().count(), 3);
        assert_eq!(OAuthScopes::default().to_string(), "");
        let both = read("openid read:users").and(&read("READ_USERS email write:users openid"));
        assert_eq!(both.to_string(), "openid email read:users write:users");
    }

    #[test]
    fn no_word_is_both() {
        for scope in OpenIdScope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), None, "{scope:?}");
            assert_eq!(OpenIdScope::parse(scope.as_str()), Some(scope));
        }
        // The registry has a spelling in capitals, OpenID has none.
        assert_eq!(OAuthScope::parse("OPENID"), None);
        assert_eq!(read("OFFLINE_ACCESS").openid, BTreeSet::new());
        for bad in ["", "phone", "Openid", "openid ", "read"] {
            assert_eq!(OAuthScope::parse(bad), None, "{bad:?}");
        }
    }
}
