//! Users: the people a project serves, and the programs that act in its name.

use std::collections::BTreeMap;
use std::fmt;

use email_address::{EmailAddress, Options};

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{ProjectId, UserId};
use super::key::etag;
use super::scope::ScopeSet;

/// A person or a program.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Identifies the user.
    pub id: UserId,
    /// The project they belong to.
    pub project: ProjectId,
    /// The environment they belong to.
    pub environment: Environment,
    /// What they are.
    pub kind: UserKind,
    /// What may be changed about them.
    pub details: UserDetails,
    /// When they were added.
    pub created_at: Timestamp,
    /// When they were last changed.
    pub updated_at: Timestamp,
    /// When they were blocked, if they are.
    pub blocked_at: Option<Timestamp>,
    /// When they were deleted, if they were.
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

impl User {
    /// Whether they may act.
    pub fn state(&self) -> UserState {
        if self.blocked_at.is_some() { UserState::Blocked } else { UserState::Active }
    }

    /// Changes with every change of the user.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// Changes the details.
    pub fn update(&mut self, details: UserDetails, now: Timestamp) {
        self.details = details;
        self.touch(now);
    }

    /// Lets the user act no more. Blocking a blocked user changes nothing.
    pub fn block(&mut self, now: Timestamp) -> bool {
        if self.blocked_at.is_some() {
            return false;
        }
        self.blocked_at = Some(now);
        self.touch(now);
        true
    }

    /// Lets the user act again. Unblocking a user who is not blocked changes nothing.
    pub fn unblock(&mut self, now: Timestamp) -> bool {
        if self.blocked_at.take().is_none() {
            return false;
        }
        self.touch(now);
        true
    }

    /// Ends the user for good.
    pub fn delete(&mut self, now: Timestamp) {
        self.deleted_at = Some(now);
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// What may be changed about a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserDetails {
    /// A short name; a service account has one.
    pub handle: Option<Handle>,
    /// A name to show in place of the handle, 1 to 100 characters.
    pub alias: Option<String>,
    /// Where they get their mail.
    pub email: Option<Email>,
    /// The first name, up to 100 characters.
    pub first_name: String,
    /// The last name, up to 100 characters.
    pub last_name: String,
    /// Free pairs.
    pub metadata: BTreeMap<String, String>,
    /// What they may do in person.
    pub scopes: ScopeSet,
}

/// What a user is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserKind {
    /// A person.
    Human,
    /// A program: it cannot sign in, and holds keys instead.
    ServiceAccount,
}

impl UserKind {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::ServiceAccount => "service_account",
        }
    }

    /// The kind of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Human, Self::ServiceAccount].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether a user may act.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UserState {
    /// They may.
    Active,
    /// They may not, until they are unblocked.
    Blocked,
}

/// What the user that a key acts for means for the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// The key is as good as it is by itself.
    Good,
    /// The key is held.
    Blocked,
    /// The key is at its end.
    Deleted,
}

impl Standing {
    /// The standing of this word in the store.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "good" => Some(Self::Good),
            "blocked" => Some(Self::Blocked),
            "deleted" => Some(Self::Deleted),
            _ => None,
        }
    }
}

/// A short name: 1 to 50 lower-case letters, digits and inner hyphens, so that no two that look alike are different.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handle(Box<str>);

impl Handle {
    /// Reads a handle; none if it breaks the rule ([`Handle::RULE`]).
    pub fn parse(text: &str) -> Option<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ok =
            (1..=50).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-');
        ok.then(|| Self(text.into()))
    }

    /// The rule a handle keeps, for error messages.
    pub const RULE: &'static str = "must be 1 to 50 lower-case letters (a to z), digits and inner hyphens";

    /// Takes a handle that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An email address: ASCII only, so that no two that look alike are different, in the letters it was given in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Email(Box<str>);

impl Email {
    /// Reads an address (RFC 5321, section 4.1.2); none if it breaks the rule ([`Email::RULE`]). Domains without a dot,
    /// addresses in brackets, names beside the address and quoted parts are not for us.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() <= 254 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        let options = Options::default().with_required_tld().without_display_text().without_domain_literal();
        (plain && EmailAddress::parse_with_options(text, options).is_ok()).then(|| Self(text.into()))
    }

    /// The rule an address keeps, for error messages.
    pub const RULE: &'static str = "must be an email address like ada@example.com, in up to 254 ASCII characters; \
        a domain of other letters is written as xn--";

    /// Takes an address that our own store holds.
    pub(crate) fn stored(text: String) -> Self {
        Self(text.into())
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form addresses compare by.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles() {
        let long = "a".repeat(50);
        for good in ["a", "0", "build-bot", "a--b", &long] {
            assert_eq!(Handle::parse(good).unwrap().as_str(), good);
        }
        let longer = "a".repeat(51);
        for bad in ["", "-a", "a-", "-", "A", "a b", "a_b", "a.b", "\u{430}da", "a\n", "a\0", "\u{e4}", &longer] {
            assert_eq!(Handle::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn addresses() {
        let long = format!("{}@{}.example.com", "a".repeat(64), "b".repeat(63));
        for good in
            ["ada@example.com", "Ada.Lovelace+x@Mail.Example.COM", "o'neil@xn--bcher-kva.example", "1@2.de", &long]
        {
            assert_eq!(Email::parse(good).unwrap().as_str(), good);
        }
        let longer = format!("{}@example.com", "a".repeat(65));
        let longest = format!("a@{}com", "b12345678.".repeat(25));
        for bad in [
            "",
            "ada",
            "@",
            "ada@",
            "@example.com",
            "ada@localhost",
            "ada@@example.com",
            "a b@example.com",
            "ada@example.com ",
            " ada@example.com",
            "ada@exa mple.com",
            "Ada <ada@example.com>",
            "ada@[192.0.2.1]",
            "\"ada\"@example.com",
            "ada@example..com",
            ".ada@example.com",
            "ada.@example.com",
            "ada@-example.com",
            "ada@example.com\n",
            "ada\0@example.com",
            "\u{430}da@example.com",
            "ada@ex\u{e4}mple.com",
            "ada@example.com\u{202e}",
            "ada@ex\u{200b}ample.com",
            "\u{ff41}da@example.com",
            &longer,
            &longest,
        ] {
            assert_eq!(Email::parse(bad), None, "{bad:?}");
        }
        let [one, other] = ["Ada@Example.com", "aDA@eXAMPLE.COM"].map(|text| Email::parse(text).unwrap());
        assert_eq!(one.folded(), other.folded());
    }
}
