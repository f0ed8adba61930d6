//! Connecting a device that has no keyboard to speak of (RFC 8628, section 3.3).

use askama::Template;

use super::{Account, Client, Decision, Form, Logo, Page, Permissions, Text, field};

/// Asks for the code that a device shows. The form posts [`field::USER_CODE`].
#[derive(Clone, Debug, Template)]
#[template(path = "device_code.html")]
pub struct DeviceCode<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// What was typed before, or came with the address.
    pub code: Text<'a>,
    /// What was wrong with it.
    pub error: Option<Text<'a>>,
    /// What the form holds.
    pub form: Form<'a>,
}

impl Page for DeviceCode<'_> {}

/// Asks the signed-in person whether the device may have what it asks for. The form posts a [`Decision`].
#[derive(Clone, Debug, Template)]
#[template(path = "device_confirm.html")]
pub struct DeviceConfirm<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// What the device runs.
    pub client: Client<'a>,
    /// Whether it registered itself: nobody has vouched for it.
    pub registered_itself: bool,
    /// Who is asked.
    pub account: Account<'a>,
    /// The code, as the device shows it.
    pub code: Text<'a>,
    /// What is asked for.
    pub permissions: Permissions<'a>,
    /// Which services it is to be used at, by address; none where the request names none.
    pub resources: Vec<Text<'a>>,
    /// What the form holds.
    pub form: Form<'a>,
}

impl Page for DeviceConfirm<'_> {
    fn logo(&self) -> Option<Logo<'_>> {
        self.client.logo
    }
}

/// Says what came of it, and that the rest happens on the device.
#[derive(Clone, Debug, Template)]
#[template(path = "device_done.html")]
pub struct DeviceDone<'a> {
    /// The project's name; nothing is shown if it is blank.
    pub project: Text<'a>,
    /// What the device runs.
    pub client: Client<'a>,
    /// Whether it was allowed.
    pub allowed: bool,
}

impl Page for DeviceDone<'_> {}
