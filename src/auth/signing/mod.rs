//! The tokens that this installation signs itself: making them, checking them, and the keys they are signed with.
//!
//! A valid signature says that a node of this installation made the token, and nothing of whether it was ended since: that
//! is for whoever keeps the session. The keys are in the store, sealed under the master key. Each node reads them again by a
//! timer, and when it meets a token of a key it does not know; whichever node first sees that the next key is due makes it.

mod access;
mod hint;
mod ring;
mod token;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub use self::access::{AccessClaims, IdentityClaims};
pub use self::hint::IdentityHint;
use self::ring::Ring;
pub use self::token::{InvalidToken, SessionClaims, SessionToken};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;
use crate::domain::sealing::Keyring;
use crate::domain::secret::PlainSecret;
use crate::domain::signing_key::{SigningAlgorithm, SigningKey, next_active_from};
use crate::store::Store;

/// Signs tokens and checks them.
pub struct Signing {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    issuer: Box<str>,
    rotation: Duration,
    ring: RwLock<Arc<Ring>>,
    endings: AtomicU64,
    making: Mutex<()>,
    /// When the keys were last read because of a token of an unknown key. One reads at a time.
    asked: Mutex<Option<Timestamp>>,
}

impl Signing {
    /// Reads the keys of the store, and makes the first if there is none. `issuer` is the `iss` of every token; a key signs
    /// for as long as `rotation`.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE; INTERNAL when the stored keys cannot be used.
    pub async fn open(
        store: Store,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        issuer: impl Into<Box<str>>,
        rotation: Duration,
    ) -> Result<Self> {
        let (issuer, ring, asked, making) = (issuer.into(), RwLock::default(), Mutex::default(), Mutex::default());
        let signing =
            Self { store, keyring, clock, entropy, issuer, rotation, ring, asked, making, endings: AtomicU64::new(0) };
        // The other is made when there is time, or when it is needed: finding one takes some tenths of a second.
        signing.tend_for(SigningAlgorithm::EdDsa).await?;
        Ok(signing)
    }

    /// The `iss` of every token: the URL under which clients reach this installation.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Makes a token for a session. Its times are cut to whole seconds, and it ends when the claims say, 24 hours after its
    /// beginning at most.
    ///
    /// # Errors
    /// INTERNAL when no key can sign, or the session lasts longer than a token may.
    pub fn mint(&self, claims: &SessionClaims) -> Result<SessionToken> {
        let ring = self.ring();
        // The store always has a key that signs; if this node's copy has none, its clock went back past the first.
        let key = ring.signer(SigningAlgorithm::EdDsa, self.clock.now()).ok_or_else(cannot_sign)?;
        token::mint(key, &self.issuer, claims)
    }

    /// Whether a presented token says that this installation issued it. Nothing is checked: it says who is to check it.
    pub fn claims_to_be_ours(&self, presented: &str) -> bool {
        token::unverified_issuer(presented).is_some_and(|issuer| *issuer == *self.issuer)
    }

    /// Checks a token: that a key of this installation signed it, for this issuer, and that it is not past its end.
    ///
    /// # Errors
    /// None about the token. STORE_UNAVAILABLE when the keys had to be read again and could not be.
    pub async fn verify(&self, presented: &str) -> Result<Result<SessionClaims, InvalidToken>> {
        let Some((ring, kid)) = self.ring_for(presented).await? else { return Ok(Err(InvalidToken::Malformed)) };
        let now = self.clock.now();
        Ok(match ring.verifier(&kid, now) {
            Some(key) => token::verify(presented, key, &self.issuer, now),
            None => Err(InvalidToken::UnknownKey),
        })
    }

    /// Makes an access token (RFC 9068). It ends when the claims say, 24 hours after its beginning at most.
    ///
    /// # Errors
    /// INTERNAL when no key can sign, or it is to live longer than a token may.
    pub fn mint_access(&self, claims: &AccessClaims<'_>) -> Result<PlainSecret> {
        let ring = self.ring();
        let key = ring.signer(SigningAlgorithm::EdDsa, self.clock.now()).ok_or_else(cannot_sign)?;
        access::mint(key, &self.issuer, claims)
    }

    /// Makes an `id_token` (OpenID Connect Core 1.0, section 2), signed as every client expects unless it says otherwise.
    ///
    /// # Errors
    /// INTERNAL when no key can sign; STORE_UNAVAILABLE when the first key had to be made.
    pub async fn mint_identity(&self, claims: &IdentityClaims<'_>) -> Result<PlainSecret> {
        self.can_sign_identities().await?;
        let ring = self.ring();
        let key = ring.signer(SigningAlgorithm::Rs256, self.clock.now()).ok_or_else(cannot_sign)?;
        access::mint_identity(key, &self.issuer, claims)
    }

    /// Whether a key of this installation signed this as an access token that is not past its end.
    ///
    /// # Errors
    /// None about the token. STORE_UNAVAILABLE when the keys had to be read again and could not be.
    pub async fn verify_access(&self, presented: &str) -> Result<bool> {
        let Some((ring, kid)) = self.ring_for(presented).await? else { return Ok(false) };
        let now = self.clock.now();
        Ok(ring.verifier(&kid, now).is_some_and(|key| access::is_ours(presented, key, &self.issuer, now)))
    }

    /// Reads an `id_token` of ours, past its end or not; none for anything else.
    pub async fn read_hint(&self, presented: &str) -> Result<Option<IdentityHint>> {
        let Some((ring, kid)) = self.ring_for(presented).await? else { return Ok(None) };
        Ok(ring.verifier(&kid, self.clock.now()).and_then(|key| hint::read(presented, key, &self.issuer)))
    }

    /// How often keys have ended that this node knew: what was found by their tokens before counts no more.
    pub fn endings(&self) -> u64 {
        self.endings.load(Ordering::SeqCst)
    }

    /// Makes the first key that an `id_token` is signed with, if there is none yet. It takes longer than a start may, and whoever
    /// reads the key set before there is one would keep that for a while.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE.
    pub async fn can_sign_identities(&self) -> Result<()> {
        match self.ring().signer(SigningAlgorithm::Rs256, self.clock.now()) {
            Some(_) => Ok(()),
            None => self.tend_for(SigningAlgorithm::Rs256).await,
        }
    }

    /// The keys that are published, as a JWK Set (RFC 7517, section 5).
    pub fn key_set(&self) -> String {
        self.ring().key_set(self.clock.now())
    }

    /// Reads the keys again, and makes those that are due.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn tend(&self) -> Result<()> {
        for algorithm in SigningAlgorithm::ALL {
            self.tend_for(algorithm).await?;
        }
        Ok(())
    }

    async fn tend_for(&self, algorithm: SigningAlgorithm) -> Result<()> {
        // One at a time: a key may take a while to make.
        let _alone = self.making.lock().await;
        let now = self.clock.now();
        let mut keys = self.store.list_signing_keys(now).await?;
        if let Some(active_from) = next_active_from(&keys, algorithm, self.rotation, now) {
            let seq = keys.last().map_or(1, |youngest| youngest.seq + 1);
            let (keyring, entropy) = (Arc::clone(&self.keyring), Arc::clone(&self.entropy));
            let make = move || SigningKey::new(algorithm, seq, now, active_from, &keyring, &*entropy);
            // Panics are the only errors here, and this does not.
            let next = spawn_blocking(make).await.map_err(|_| cannot_sign())?;
            // Whichever node was first: its key counts.
            if self.store.add_signing_key(&next, next.orderly_retirement(), None).await? {
                tracing::info!(kid = next.kid, algorithm = algorithm.as_str(), "a new signing key was made");
            }
            keys = self.store.list_signing_keys(now).await?;
        }
        self.keep(keys).await
    }

    async fn keep(&self, keys: Vec<SigningKey>) -> Result<()> {
        let old = self.ring();
        if !old.is_of(&keys) {
            if keys.iter().any(|key| !self.keyring.knows_seal(&key.sealed)) {
                self.store.refresh_keyring(&self.keyring).await?;
            }
            let ended = old.kids().any(|kid| !keys.iter().any(|key| key.kid == *kid));
            let new = Arc::new(Ring::new(keys, &self.keyring)?);
            *self.ring.write().unwrap_or_else(PoisonError::into_inner) = new;
            if ended {
                self.endings.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// The keys to check a token by, read again if they lack the one it names, and the name of that; none if it names none.
    async fn ring_for(&self, presented: &str) -> Result<Option<(Arc<Ring>, String)>> {
        let Some(kid) = token::unverified_kid(presented) else { return Ok(None) };
        let mut ring = self.ring();
        if !ring.knows(&kid) && self.may_ask_again().await? {
            ring = self.ring();
        }
        Ok(Some((ring, kid)))
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the keys again, unless that was done a moment ago: anybody can name a key that does not exist. Whether they
    /// were read.
    async fn may_ask_again(&self) -> Result<bool> {
        let Ok(mut asked) = self.asked.try_lock() else {
            // Somebody is reading them; wait until that is done.
            drop(self.asked.lock().await);
            return Ok(true);
        };
        let now = self.clock.now();
        // A clock that was set back must not stop this.
        let lately = |last: &Timestamp| *last <= now && now.since(*last) < ASK_AGAIN_AFTER;
        if asked.as_ref().is_some_and(lately) {
            return Ok(false);
        }
        *asked = Some(now);
        let keys = self.store.list_signing_keys(now).await?;
        self.keep(keys).await?;
        Ok(true)
    }
}

fn cannot_sign() -> Error {
    Error::new(Reason::Internal, "the service cannot sign tokens")
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Tokens of unknown keys cause one reading in this time at most.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
