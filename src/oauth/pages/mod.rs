//! The pages that people see on their way through the authorization server: a typed context each, and what comes with
//! every page's answer. They are HTML without JavaScript (one line in [`FormPost`] aside), fit for a phone, a screen
//! reader and a dark room.
//!
//! This module renders and knows nothing else: no routes, no sessions, no clients or users, only the texts and addresses it
//! is given. What it is given may come from anybody, so each kind has a type that keeps it harmless:
//!
//! | type | what | what it keeps out |
//! |---|---|---|
//! | [`Text`] | what is shown | markup, characters that are not seen or turn others round, endless names |
//! | [`OwnUrl`] | where forms post and links lead | every other site |
//! | [`Destination`] | where a client has people sent | what is not a web address or an app; what a header cannot hold |
//! | [`Logo`] | a client's picture | everything but `https:` and `data:image/` |
//! | [`Form`] | what every form holds | a form without its CSRF token |
//!
//! # Adding a page
//!
//! Write the context and its template, which extends `base.html`; implement [`Page`]; add samples to `tests/samples.rs`,
//! where the tests find them. `GATEPOST_PAGES=DIRECTORY cargo test --lib oauth::pages` writes the samples as files to look
//! at. Whatever somebody else may have written stands in a `<bdi>`, so that its direction is its own.

mod answer;
mod consent;
mod destination;
mod device;
mod error;
pub mod field;
mod form;
mod form_post;
mod permission;
mod sign_in;
mod sign_out;
mod sign_up;
mod text;

#[cfg(test)]
mod tests;

pub use answer::{Page, response};
pub use consent::{Account, Client, Consent, Decision, Logo};
pub use destination::Destination;
pub use device::{DeviceCode, DeviceConfirm, DeviceDone};
pub use error::ErrorPage;
pub use form::{Form, OwnUrl};
pub use form_post::{FormPost, PostTarget};
pub use permission::{Group, Permission, Permissions, words};
pub use sign_in::SignIn;
pub use sign_out::{SignOut, SignedOut};
pub use sign_up::SignUp;
pub use text::Text;

/// The one stylesheet, as it stands in every page. The policy of the answer allows these very bytes.
const STYLE: &str = include_str!("style.css");
