//! Signing in.

use askama::Template;

use super::{Client, Form, OwnUrl, Page, Text, field};

/// Asks for a handle or email address and a password. The form posts [`field::LOGIN`] and [`field::PASSWORD`].
#[derive(Clone, Debug, Template)]
#[template(path = "sign_in.html")]
pub struct SignIn<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// The client that people want to get on to.
    pub client: Option<Client<'a>>,
    /// What was typed before, or the client's hint.
    pub login: Text<'a>,
    /// Why it did not work.
    pub error: Option<Text<'a>>,
    /// Where one can sign up, if one can.
    pub sign_up: Option<OwnUrl<'a>>,
    /// Whether signing in may lead on to a client without another page.
    pub leads_on: bool,
    /// What the form holds.
    pub form: Form<'a>,
}

impl Page for SignIn<'_> {
    fn leads_on(&self) -> bool {
        self.leads_on
    }
}
