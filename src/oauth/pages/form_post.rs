//! Answering a client through the browser by a form that submits itself (OAuth 2.0 Form Post Response Mode).

use askama::Template;

use super::{Destination, Page, Text};

/// Posts the answer to the client; without JavaScript, by a button.
#[derive(Clone, Debug, Template)]
#[template(path = "form_post.html")]
pub struct FormPost<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// Where the answer goes.
    pub to: PostTarget<'a>,
    /// The answer: `code`, `state`, `iss` and so on. None may be called `submit`: the form would not submit itself.
    pub fields: Vec<(&'a str, &'a str)>,
}

impl Page for FormPost<'_> {
    fn leads_on(&self) -> bool {
        true
    }

    fn script(&self) -> Option<&'static str> {
        Some(SUBMIT)
    }
}

/// A redirect URI that a form can post to: a web address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PostTarget<'a> {
    uri: &'a str,
    host: &'a str,
}

impl<'a> PostTarget<'a> {
    /// Reads a redirect URI; none if it is no web address.
    pub fn parse(redirect_uri: &'a str) -> Option<Self> {
        let visible = redirect_uri.bytes().all(|c| c.is_ascii_graphic());
        match Destination::of(redirect_uri)? {
            Destination::Site { host, .. } | Destination::Program { host, .. } if visible => {
                Some(Self { uri: redirect_uri, host })
            }
            _ => None,
        }
    }

    /// The address as it was given.
    pub const fn as_str(&self) -> &'a str {
        self.uri
    }

    /// Its host, to show.
    pub fn host(&self) -> Text<'a> {
        Text::from(self.host)
    }
}

/// The one line of JavaScript there is. The policy of the answer allows these very bytes.
const SUBMIT: &str = "document.forms[0].submit()";
