//! Signing out (OpenID Connect RP-Initiated Logout 1.0).

use askama::Template;

use super::{Account, Client, Form, OwnUrl, Page, Text};

/// Asks whether somebody wants to sign out, for when it was not they themselves who asked for it (section 2).
#[derive(Clone, Debug, Template)]
#[template(path = "sign_out.html")]
pub struct SignOut<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// The client that sent them here.
    pub client: Option<Client<'a>>,
    /// Who is signed in.
    pub account: Account<'a>,
    /// Whether signing out leads back to the client.
    pub leads_on: bool,
    /// What the form holds.
    pub form: Form<'a>,
}

impl Page for SignOut<'_> {
    fn leads_on(&self) -> bool {
        self.leads_on
    }
}

/// Says that the session has ended.
#[derive(Clone, Debug, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOut<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// Where one can sign in again.
    pub sign_in: Option<OwnUrl<'a>>,
}

impl Page for SignedOut<'_> {}
