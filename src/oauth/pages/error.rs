//! Errors that a person is told here, because there is no client to tell (RFC 6749, section 4.1.2.1).

use askama::Template;

use super::{Page, Text};

/// Says what happened and what to do.
#[derive(Clone, Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// What is wrong, in a few words.
    pub title: Text<'a>,
    /// What happened, in a sentence.
    pub happened: Text<'a>,
    /// What to do now, in a sentence.
    pub to_do: Text<'a>,
    /// What to name to whoever runs the server.
    pub request_id: Text<'a>,
}

impl Page for ErrorPage<'_> {}
