//! Reports signed by the Standard Webhooks scheme: HMAC-SHA-256 over id, time and body, under a secret that both sides have.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, HeaderName};
use standardwebhooks::Webhook;

use super::{header, not_proven};
use crate::domain::clock::Clock;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;

/// Knows the signatures of whoever has one of the secrets.
pub struct Signed {
    secrets: Vec<Webhook>,
    clock: Arc<dyn Clock>,
}

/// What the headers of a request say of it.
#[derive(Clone, Copy)]
pub(super) struct Claim<'a> {
    id: &'a str,
    sent_at: i64,
    signatures: &'a str,
}

impl Signed {
    /// Takes what is signed with any of these secrets.
    pub fn new<'a>(secrets: impl Iterator<Item = &'a [u8]>, clock: Arc<dyn Clock>) -> Self {
        // It takes any bytes.
        let secrets = secrets.filter_map(|secret| Webhook::from_bytes(secret.to_vec()).ok());
        Self { secrets: secrets.collect(), clock }
    }

    /// Reads the headers.
    pub(super) fn claim<'a>(&self, headers: &'a HeaderMap) -> Result<Claim<'a>> {
        let (id, signatures) = (header(headers, &ID)?, header(headers, &SIGNATURE)?);
        let sent_at: Option<i64> = header(headers, &TIMESTAMP)?.parse().ok();
        let now = self.clock.now().millis().div_euclid(1_000);
        match sent_at {
            Some(sent_at) if now.abs_diff(sent_at) <= TOLERANCE => Ok(Claim { id, sent_at, signatures }),
            _ => {
                let message = "webhook-timestamp must be the time in seconds since 1970, within five minutes";
                Err(Error::new(Reason::InvalidRequest, message))
            }
        }
    }

    /// Holds the signatures against the body. One that is good is enough: others may be there for other secrets.
    pub(super) fn verify(&self, claim: &Claim<'_>, body: &[u8]) -> Result<()> {
        let given = || claim.signatures.split(' ').filter(|one| one.starts_with(VERSION)).take(MOST_SIGNATURES);
        let good = self.secrets.iter().any(|secret| {
            // It fails for a body that is not text, and so is not JSON.
            secret.sign(claim.id, claim.sent_at, body).is_ok_and(|right| {
                given().any(|given| verify_slices_are_equal(given.as_bytes(), right.as_bytes()).is_ok())
            })
        });
        if good { Ok(()) } else { Err(not_proven()) }
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signed(..)")
    }
}

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const VERSION: &str = "v1,";
/// How far the clock of whoever signs may be off, in seconds.
const TOLERANCE: u64 = 5 * 60;
/// Signatures that are looked at.
const MOST_SIGNATURES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, Timestamp};

    /// The example of the scheme's own libraries.
    #[test]
    fn the_published_example_is_taken() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_649_367_553_000_000)));
        let secret = [
            0x0b, 0x61, 0x55, 0xb0, 0x14, 0x08, 0x86, 0xbb, 0x1c, 0x0a, 0x19, 0x50, 0x20, 0xc5, 0x7e, 0x6f, 0x9b, 0x12,
            0x62, 0xca, 0x68, 0x6f, 0xba, 0x03,
        ];
        let signed = Signed::new([&secret[..]].into_iter(), clock);
        let mut headers = HeaderMap::new();
        headers.insert(ID, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk".parse().unwrap());
        headers.insert(TIMESTAMP, "1649367553".parse().unwrap());
        headers.insert(SIGNATURE, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=".parse().unwrap());
        let claim = signed.claim(&headers).unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert!(signed.verify(&claim, body).is_ok());
        assert!(signed.verify(&claim, &body[1..]).is_err());
    }
}
