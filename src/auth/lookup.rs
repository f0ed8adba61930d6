//! From a presented secret to the credential it belongs to: checksum, cache, store.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::cache::{CredentialCache, Known};
use super::caller::Caller;
use super::strangers::Strangers;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::credential::{Credential, Form, KeySecret, SecretRole};
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::reason::Reason;
use crate::domain::sealing::Keyring;
use crate::domain::secret::{SecretHash, SecretShape};
use crate::store::Store;

/// Finds credentials.
#[derive(Debug)]
pub struct Credentials {
    store: Store,
    cache: CredentialCache,
    keyring: Arc<Keyring>,
    misses: Semaphore,
    strangers: Strangers,
    entropy: Arc<dyn Entropy>,
}

/// What is known about a presented secret.
#[derive(Clone, Debug)]
pub enum Found {
    /// It is not a credential by shape and checksum.
    Malformed,
    /// It was not issued here.
    Unknown,
    /// It was issued here.
    Issued(Arc<Credential>),
}

impl Credentials {
    /// Finds credentials in this store, and remembers them in this cache; asks for strangers within these budgets.
    pub fn new(
        store: Store,
        cache: CredentialCache,
        keyring: Arc<Keyring>,
        strangers: Strangers,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, cache, keyring, misses: Semaphore::new(MAX_LOOKUPS), strangers, entropy }
    }

    /// Finds out what a secret is that was presented at the door, from this address.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE when the store had to be asked and could not; OVERLOADED when too many look-ups are under way;
    /// TOO_MANY_UNKNOWN when it would have to be asked and the address has presented too much that it does not know.
    pub async fn find_for(&self, presented: &str, address: IpAddr) -> Result<Found> {
        self.look_up(presented, Some(address)).await
    }

    /// Finds out what a secret is that somebody presented to a caller of ours, who asks. It is charged to nobody's budget:
    /// the caller is known, the more strangers it meets the more it has to ask, and a refusal would hit its good clients.
    /// Its look-ups are bounded with all others.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE and OVERLOADED as above.
    pub async fn find(&self, presented: &str) -> Result<Found> {
        self.look_up(presented, None).await
    }

    async fn look_up(&self, presented: &str, address: Option<IpAddr>) -> Result<Found> {
        if let Some(known) = self.cache.recall(presented) {
            return Ok(known.into());
        }
        if SecretShape::parse(presented).is_none() {
            return Ok(Found::Malformed);
        }
        let hash = self.keyring.hash(presented);
        if let Some(known) = self.cache.find(presented, &hash) {
            return Ok(known.into());
        }
        // Boxed, like all that only some calls need: what is awaited in place makes the future of every call larger.
        Box::pin(self.ask(hash, address)).await
    }

    /// Tells that a credential was accepted, in a call of this caller. It starts the grace period that waits for the first use
    /// of a new secret.
    pub async fn used(&self, presented: &str, credential: &Credential, caller: &Caller, now: Timestamp) {
        if let Form::Key(secret) = &credential.form
            && secret.waits_for_first_use
            && secret.role == SecretRole::Current
        {
            Box::pin(self.begin_grace(presented, secret, caller, now)).await;
        }
    }

    /// Takes a change into account: what was cached about the key, or the whole project, is forgotten before this returns.
    pub fn apply(&self, change: &Change) {
        if change.kind == ChangeKind::ProjectDeleted {
            self.cache.invalidate_project(&change.project);
        }
        self.cache.invalidate(&change.hashes);
        if matches!(change.kind, ChangeKind::Created | ChangeKind::Rotated) {
            self.cache.invalidate_unknown();
        }
    }

    /// Loads the most recently changed credentials into the cache, a few at a time; answers how many.
    pub async fn warm_up(&self, most: usize) -> Result<usize> {
        let (mut place, mut loaded) = (None, 0);
        while loaded < most {
            // Each is read again: between the list and the cache it may have changed.
            let (part, next) = self.store.list_recent_key_secrets(place.as_ref(), WARM_UP_PART).await?;
            for (hash, _) in &part {
                self.load(*hash).await?;
            }
            loaded += part.len();
            place = next;
            if place.is_none() {
                break;
            }
        }
        Ok(loaded)
    }

    /// The cache, for the change feed and for metrics.
    pub fn cache(&self) -> &CredentialCache {
        &self.cache
    }

    async fn ask(&self, hash: SecretHash, address: Option<IpAddr>) -> Result<Found> {
        let may_ask = || address.map_or(Ok(()), |address| self.strangers.may_ask(address));
        // Before the wait, so that a flood does not stand in the way of others, and after it, for what others of its own have
        // spent meanwhile.
        may_ask()?;
        let _permit = self.permit().await?;
        may_ask()?;
        let known = self.load(hash).await?;
        if let (Known::Unknown, Some(address)) = (&known, address) {
            self.strangers.charge(address);
        }
        Ok(known.into())
    }

    async fn begin_grace(&self, presented: &str, secret: &KeySecret, caller: &Caller, now: Timestamp) {
        let hash = self.keyring.hash(presented);
        let mut event = caller.event("key.grace_begun", secret.key.id.as_str(), now, &*self.entropy);
        // The key's environment: whoever has it verified may be of the other one.
        event.environment = Some(secret.key.environment);
        // The new secret is good in any case. If the store cannot be written now, the next use tries again.
        match self.store.begin_grace(&secret.key.id, &hash, now, event).await {
            Ok(Some(change)) => self.apply(&change),
            Ok(None) => {}
            Err(error) => tracing::warn!(key_id = %secret.key.id, %error, "the grace period could not be started"),
        }
    }

    async fn load(&self, hash: SecretHash) -> Result<Known> {
        let fill = self.cache.begin(hash);
        let known = match self.store.find_key_secret(&hash).await? {
            Some(secret) => Known::Issued(Arc::new(Credential::new(Form::Key(secret)))),
            None => Known::Unknown,
        };
        self.cache.keep(fill, known.clone());
        Ok(known)
    }

    async fn permit(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        match timeout(LOOKUP_PATIENCE, self.misses.acquire()).await {
            // The semaphore is never closed.
            Ok(permit) => permit.map_err(|_| Error::store_unavailable()),
            Err(_) => {
                let message = "too many credentials are being looked up; try again";
                Err(Error { retry_after: Some(Duration::from_secs(1)), ..Error::new(Reason::Overloaded, message) })
            }
        }
    }
}

impl From<Known> for Found {
    fn from(known: Known) -> Self {
        match known {
            Known::Issued(credential) => Self::Issued(credential),
            Known::Unknown => Self::Unknown,
        }
    }
}

/// Look-ups in the store at one time. More would only queue there.
const MAX_LOOKUPS: usize = 64;
/// How long a look-up waits for its turn.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(1);
/// Credentials loaded at once after a start.
const WARM_UP_PART: u32 = 200;
