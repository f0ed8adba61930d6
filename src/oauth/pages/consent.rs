//! Asking whether a client may have what it asks for.

use askama::Template;

use super::{Destination, Form, Page, Permissions, Text};

/// Asks the signed-in person whether a client may have what it asks for. The form posts a [`Decision`].
#[derive(Clone, Debug, Template)]
#[template(path = "consent.html")]
pub struct Consent<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// Who asks.
    pub client: Client<'a>,
    /// Whether nobody has vouched for the client.
    pub registered_itself: bool,
    /// Who is asked.
    pub account: Account<'a>,
    /// What is asked for.
    pub permissions: Permissions<'a>,
    /// Which services it is to be used at, by address; none where the request names none.
    pub resources: Vec<Text<'a>>,
    /// Where either answer leads.
    pub destination: Destination<'a>,
    /// What the form holds.
    pub form: Form<'a>,
}

impl Page for Consent<'_> {
    fn leads_on(&self) -> bool {
        true
    }

    fn logo(&self) -> Option<Logo<'_>> {
        self.client.logo
    }
}

/// A client as people see it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Client<'a> {
    /// Its name, which anybody may have chosen.
    pub name: Text<'a>,
    /// Its picture.
    pub logo: Option<Logo<'a>>,
    /// The host of the document that it is known by; blank for any other.
    pub host: Text<'a>,
}

impl<'a> Client<'a> {
    /// What it is called: never nothing.
    pub fn called(&self) -> Text<'a> {
        if self.name.is_blank() { Text::from("An application without a name") } else { self.name }
    }
}

/// The address of a client's picture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Logo<'a>(&'a str);

impl<'a> Logo<'a> {
    /// Reads an address: `https:`, or a picture within it (`data:image/`); none for any other.
    pub fn parse(url: &'a str) -> Option<Self> {
        let visible = url.bytes().all(|c| c.is_ascii_graphic());
        (visible && SOURCES.iter().any(|(start, _)| url.starts_with(start))).then_some(Self(url))
    }

    /// The address as text.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// The source that allows it in a Content-Security-Policy.
    pub(super) fn source(&self) -> &'static str {
        // One of them fits, or the address would not have been read; nothing is allowed otherwise.
        SOURCES.iter().find(|(start, _)| self.0.starts_with(start)).map_or("'none'", |(_, source)| source)
    }
}

/// How a picture's address may begin, and the source that allows it.
const SOURCES: [(&str, &str); 2] = [("https://", "https:"), ("data:image/", "data:")];

/// Somebody who is signed in, as they know themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Account<'a> {
    /// Their name; may be blank.
    pub name: Text<'a>,
    /// What they sign in with: a handle or an email address.
    pub login: Text<'a>,
}

/// Which button was pressed, as posted in [`field::DECISION`](super::field::DECISION).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// The client may.
    Allow,
    /// It may not.
    Deny,
    /// Somebody else wants to be asked.
    SwitchAccount,
}

impl Decision {
    /// The value that is posted.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::SwitchAccount => "switch_account",
        }
    }

    /// The decision of this value; none for any other, which allows nothing.
    pub fn parse(value: &str) -> Option<Self> {
        [Self::Allow, Self::Deny, Self::SwitchAccount].into_iter().find(|decision| decision.as_str() == value)
    }
}
