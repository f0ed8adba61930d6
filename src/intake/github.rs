//! GitHub's secret scanning partner program: ECDSA over P-256 with SHA-256, by one of the keys that GitHub publishes.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{header, not_proven};
use crate::auth::outside::key_source::Fetch;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;

/// Knows the signatures of GitHub.
pub struct GitHub {
    url: String,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    keys: RwLock<Keys>,
    /// Held by whoever fetches: when it may be done again.
    again_at: Mutex<Timestamp>,
}

/// The keys that were published when they were fetched last.
#[derive(Debug, Default)]
struct Keys {
    by_identifier: HashMap<String, PublicKey>,
    fresh_until: Timestamp,
    usable_until: Timestamp,
}

/// A key as a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
type PublicKey = Arc<[u8]>;

/// What the headers of a request say of it.
#[derive(Debug)]
pub(super) struct Claim {
    key: PublicKey,
    signature: Vec<u8>,
}

impl GitHub {
    /// Takes what is signed with the keys that are published at this address.
    pub fn new(url: String, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self { url, fetch, clock, keys: RwLock::default(), again_at: Mutex::default() }
    }

    /// Reads the headers, and gets the key that they name.
    ///
    /// # Errors
    /// CALLER_NOT_ALLOWED for a key that is not published; ISSUER_UNAVAILABLE when what is published cannot be had.
    pub(super) async fn claim(&self, headers: &HeaderMap) -> Result<Claim> {
        let identifier = header(headers, &IDENTIFIER)?;
        let signature = header(headers, &SIGNATURE)?;
        let signature = (signature.len() <= MAX_SIGNATURE).then(|| BASE64_STANDARD.decode(signature).ok()).flatten();
        let malformed = || Error::new(Reason::InvalidRequest, "github-public-key-signature must be base64");
        let signature = signature.ok_or_else(malformed)?;
        Ok(Claim { key: self.key(identifier).await?, signature })
    }

    async fn key(&self, identifier: &str) -> Result<PublicKey> {
        if let Some(key) = self.fresh(identifier) {
            return Ok(key);
        }
        let mut again_at = self.again_at.lock().await;
        // Whoever was before may have fetched it.
        if let Some(key) = self.fresh(identifier) {
            return Ok(key);
        }
        let now = self.clock.now();
        if *again_at <= now {
            // Beforehand: whoever asked may hang up, and must not be able to have it fetched again and again.
            *again_at = now.plus(AFTER_FAILURE);
            match self.load().await {
                Ok((by_identifier, fresh_for)) => {
                    let now = self.clock.now();
                    let fresh_until = now.plus(fresh_for.unwrap_or(FRESH).clamp(BETWEEN_FETCHES, FRESH_AT_MOST));
                    let keys = Keys { by_identifier, fresh_until, usable_until: fresh_until.plus(STALE) };
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
                    *again_at = now.plus(BETWEEN_FETCHES);
                }
                Err(error) => tracing::warn!(error, "the keys of GitHub's secret scanning cannot be had"),
            }
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        if keys.usable_until <= self.clock.now() {
            let message = "the keys that sign these reports cannot be had at the moment; try again";
            let retry_after = Some(AFTER_FAILURE);
            return Err(Error { retry_after, ..Error::new(Reason::IssuerUnavailable, message) });
        }
        keys.by_identifier.get(identifier).cloned().ok_or_else(not_proven)
    }

    fn fresh(&self, identifier: &str) -> Option<PublicKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.by_identifier.get(identifier).filter(|_| self.clock.now() < keys.fresh_until).cloned()
    }

    async fn load(&self) -> Result<(HashMap<String, PublicKey>, Option<Duration>), String> {
        let fetched = self.fetch.fetch(&self.url).await?;
        let published: Published =
            serde_json::from_slice(&fetched.body).map_err(|_| format!("what is at {} is no list of keys", self.url))?;
        let current = published.public_keys.into_iter().filter(|key| key.is_current).take(MOST_KEYS);
        let read = |key: PublishedKey| {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(key.key.as_bytes()).ok()?;
            Some((key.key_identifier, PublicKey::from(der.as_ref())))
        };
        // One that cannot be read signs nothing that is taken.
        Ok((current.filter_map(read).collect(), fetched.fresh_for))
    }
}

impl Claim {
    /// Holds the signature against the body.
    pub(super) fn verify(&self, body: &[u8]) -> Result<()> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.key)
            .verify(body, &self.signature)
            .map_err(|_| not_proven())
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What GitHub publishes.
#[derive(Deserialize)]
struct Published {
    public_keys: Vec<PublishedKey>,
}

#[derive(Deserialize)]
struct PublishedKey {
    key_identifier: String,
    key: String,
    /// One that is not current any more is listed for what it signed before.
    #[serde(default = "yes")]
    is_current: bool,
}

const fn yes() -> bool {
    true
}

const IDENTIFIER: HeaderName = HeaderName::from_static("github-public-key-identifier");
const SIGNATURE: HeaderName = HeaderName::from_static("github-public-key-signature");
/// Characters of a signature. One over P-256 has 96 at most.
const MAX_SIGNATURE: usize = 128;
/// How long keys are fresh when their host does not say, and the longest that it may say.
const FRESH: Duration = Duration::from_secs(60 * 60);
const FRESH_AT_MOST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long keys that are not fresh any more serve where no new ones can be had.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest time from a fetch to the next: how often a key that nobody knows is looked for.
const BETWEEN_FETCHES: Duration = Duration::from_secs(60);
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Keys that are kept.
const MOST_KEYS: usize = 50;
