//! Signing up.

use askama::Template;

use super::{Client, Form, OwnUrl, Page, Text, field};

/// Asks for what a new user needs. The form posts [`field::HANDLE`], [`field::ALIAS`] and [`field::PASSWORD`].
#[derive(Clone, Debug, Template)]
#[template(path = "sign_up.html")]
pub struct SignUp<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// The client that people want to get on to.
    pub client: Option<Client<'a>>,
    /// The handle that was typed before.
    pub handle: Text<'a>,
    /// What was wrong with it.
    pub handle_error: Option<Text<'a>>,
    /// The name that was typed before.
    pub alias: Text<'a>,
    /// What was wrong with it.
    pub alias_error: Option<Text<'a>>,
    /// What was wrong with the password.
    pub password_error: Option<Text<'a>>,
    /// What was wrong with none of them.
    pub error: Option<Text<'a>>,
    /// Where those sign in who have signed up before.
    pub sign_in: Option<OwnUrl<'a>>,
    /// Whether signing up may lead on to a client without another page.
    pub leads_on: bool,
    /// What the form holds.
    pub form: Form<'a>,
}

impl SignUp<'_> {
    /// Whether anything was wrong.
    fn has_error(&self) -> bool {
        [self.handle_error, self.alias_error, self.password_error, self.error].iter().any(Option::is_some)
    }
}

impl Page for SignUp<'_> {
    fn leads_on(&self) -> bool {
        self.leads_on
    }
}
