//! What Gatepost does, in the words of the domain: one file a noun, `&Caller` first. It knows no wire.

use std::sync::Arc;

use crate::auth::alarm::Alarm;
use crate::auth::attempts::Attempts;
use crate::auth::caller::Caller;
use crate::auth::dpop::Possession;
use crate::auth::limit::Limiter;
use crate::auth::lookup::Credentials;
use crate::auth::outside::assertion::ClientKeySource;
use crate::auth::password::PasswordHasher;
use crate::auth::signing::Signing;
use crate::auth::usage::Ledger;
use crate::domain::audit::AuditEvent;
use crate::domain::change::Change;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::entropy::Entropy;
use crate::domain::error::{Error, Result};
use crate::domain::key::Key;
use crate::domain::reason::Reason;
use crate::domain::sealing::{self, Keyring};
use crate::domain::secret::PlainSecret;
use crate::store::Store;

pub mod alerts;
pub mod audit;
pub mod clients;
pub mod grants;
pub mod idempotency;
pub mod issuers;
pub mod keys;
pub mod leaks;
pub mod narrowing;
pub mod oauth;
pub mod paging;
pub mod passwords;
pub mod products;
pub mod projects;
mod reach;
pub mod revocations;
pub mod scopes;
pub mod sessions;
pub mod usage;
pub mod user_keys;
pub mod users;
pub mod verify;
pub mod webhooks;

/// What every service works with.
#[derive(Debug)]
pub struct Context {
    /// Where everything is kept.
    pub store: Store,
    /// The credentials that were looked up; told of every change before the call that made it returns.
    pub credentials: Arc<Credentials>,
    /// The keys derived from the master key.
    pub keyring: Arc<Keyring>,
    /// Signs the tokens of this installation, and checks them.
    pub signing: Arc<Signing>,
    /// Holds calls against limits.
    pub limiter: Arc<Limiter>,
    /// Checks proofs that whoever sends something holds a key.
    pub possession: Arc<Possession>,
    /// The documents that say what clients are.
    pub documents: oauth::DocumentSource,
    /// The keys that clients prove themselves by.
    pub client_keys: ClientKeySource,
    /// Makes and checks the hashes of passwords.
    pub passwords: Arc<PasswordHasher>,
    /// How often passwords were tried.
    pub attempts: Arc<Attempts>,
    /// Calls webhooks.
    pub carrier: Arc<dyn webhooks::Carrier>,
    /// Counts how credentials are used.
    pub ledger: Arc<Ledger>,
    /// Told of alerts.
    pub alarm: Arc<Alarm>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Context {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Opens a sealed secret, also one that was sealed with a key that this node has not heard of yet.
    async fn open_secret(&self, sealed: &[u8], context: &str) -> Result<Option<PlainSecret>> {
        if !self.keyring.knows_seal(sealed) {
            self.store.refresh_keyring(&self.keyring).await?;
        }
        Ok(self.keyring.open_secret(sealed, context))
    }

    /// The current secret of a recoverable key.
    async fn sealed_secret(&self, key: &Key) -> Result<PlainSecret> {
        let sealed = self.store.find_sealed(&key.project, key.environment, &key.id).await?;
        let secret = match sealed {
            Some(sealed) => self.open_secret(&sealed, &sealing::secret_context(key.id.as_str())).await?,
            None => None,
        };
        secret.ok_or_else(|| {
            tracing::error!(key_id = %key.id, "the sealed secret cannot be opened with this master key");
            Error::new(Reason::Internal, "the secret cannot be read")
        })
    }

    /// Writes down how credentials were used up to now, as far as this node counted it. Goes on to its end, whether it is waited for
    /// or not.
    async fn write_usage(&self) -> Result<()> {
        let (ledger, store) = (Arc::clone(&self.ledger), self.store.clone());
        let written = tokio::spawn(async move { ledger.flush(&store).await }).await;
        written.map_err(|_| Error::new(Reason::Internal, "what was counted could not be written down"))??;
        Ok(())
    }

    /// Takes a change that was committed into account on this node.
    fn committed(&self, change: &Change) {
        self.credentials.apply(change);
    }

    /// The entry of the audit log about what a caller does.
    fn audit(&self, caller: &Caller, action: &str, target: &str) -> AuditEvent {
        caller.event(action, target, self.now(), &*self.entropy)
    }
}

/// Refuses a change of a thing that has changed since the caller read it; without an etag the caller does not mind.
fn expect_etag(given: Option<&str>, current: &str) -> Result<()> {
    match given {
        Some(given) if !given.is_empty() && given != current => {
            let message = "it has changed since it was read; read it again, then repeat the change";
            Err(Error::new(Reason::EtagMismatch, message))
        }
        _ => Ok(()),
    }
}
