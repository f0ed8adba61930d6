//! Page tokens: a place in a list, bound to the list and the filters it was given for.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::caller::Caller;
use crate::domain::error::{Error, Result};
use crate::domain::sealing::Keyring;

/// One list under its filters, as seen by one caller's project and environment.
#[derive(Clone, Debug)]
pub struct ListScope(String);

impl ListScope {
    /// The list of this name under these filters.
    pub fn new(caller: &Caller, list: &str, filters: &str) -> Self {
        Self(format!("{list}\n{}\n{}\n{filters}", caller.project(), caller.environment()))
    }

    /// The token for what comes after this sort key.
    pub fn token(&self, keyring: &Keyring, last: &str) -> String {
        let mut bytes = self.tag(keyring, last.as_bytes()).to_vec();
        bytes.extend_from_slice(last.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The sort key in a token.
    ///
    /// # Errors
    /// INVALID_FIELD for a token of another list, of other filters, or of nobody.
    pub fn read(&self, keyring: &Keyring, token: &str) -> Result<String> {
        let bytes = (token.len() <= MAX_TOKEN).then(|| URL_SAFE_NO_PAD.decode(token).ok()).flatten();
        bytes
            .as_deref()
            .and_then(|bytes| bytes.split_at_checked(TAG_LENGTH))
            .filter(|(tag, last)| *tag == self.tag(keyring, last))
            .and_then(|(_, last)| String::from_utf8(last.to_vec()).ok())
            .ok_or_else(|| Error::field("page_token", "must be the next_page_token of this list with the same filters"))
    }

    /// Tells mistakes, not attacks, apart: whoever guessed a tag could still only read on in a list that is open to them.
    fn tag(&self, keyring: &Keyring, last: &[u8]) -> [u8; TAG_LENGTH] {
        let mut bytes = self.0.clone().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(last);
        let mut tag = [0; TAG_LENGTH];
        tag.copy_from_slice(&keyring.fingerprint(&bytes)[..TAG_LENGTH]);
        tag
    }
}

const TAG_LENGTH: usize = 9;
const MAX_TOKEN: usize = 256;
