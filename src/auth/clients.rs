//! Clients that proved themselves lately, by the hash of the secret they did it with, in this process's memory. A client's secret
//! is no credential: it is kept apart from those, so that nothing lets it in by mistake.
//!
//! What is kept is believed by the rules of [`CredentialCache`](super::cache::CredentialCache): each change of a client is told
//! under the hashes of its secrets.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::cache::Fill;
use super::lookup::Credentials;
use super::recent::Recent;
use crate::domain::credential::SecretRole;
use crate::domain::entropy::Entropy;
use crate::domain::error::Result;
use crate::domain::id::ClientId;
use crate::domain::oauth::client::Client;
use crate::domain::secret::SecretHash;

/// The clients that are remembered.
pub(super) struct KnownClients {
    kept: Cache<SecretHash, Arc<Kept>>,
    recent: Recent<Arc<Kept>>,
}

struct Kept {
    client: Arc<Client>,
    role: SecretRole,
    fill: Fill,
}

impl KnownClients {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        Self { kept: Cache::new(MOST_REMEMBERED), recent: Recent::new(MOST_REMEMBERED, entropy) }
    }
}

impl fmt::Debug for KnownClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownClients").field("len", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The client of this id, if this is one of its own secrets, and the part that the secret plays; whether that still works
    /// is for [`Client::accepts`] to say. Nothing is compared that could be timed: a secret is found by its keyed hash.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE when the store had to be asked and could not.
    /// TOO_MANY_UNKNOWN when it would have to be asked and the address has presented too much that nobody knows.
    pub async fn find_client(
        &self,
        id: &ClientId,
        secret: &str,
        address: IpAddr,
    ) -> Result<Option<(Arc<Client>, SecretRole)>> {
        let believed = |kept: &Arc<Kept>| {
            let owners = [kept.client.project.as_str(), kept.client.id.as_str()];
            self.cache.stands(&kept.fill, owners.into_iter())
        };
        let own = |kept: &Kept| (kept.client.id == *id).then(|| (Arc::clone(&kept.client), kept.role));
        if let Some(kept) = self.clients.recent.find(secret).filter(believed) {
            return Ok(own(&kept));
        }
        let hash = self.keyring.hash(secret);
        if let Some(kept) = self.clients.kept.get(&hash).filter(believed) {
            self.clients.recent.remember(secret, Arc::clone(&kept));
            return Ok(own(&kept));
        }
        // Those who are known are not shut out by what others of their address guess.
        self.may_ask(Some(address))?;
        Box::pin(self.ask_for_client(id, hash)).await
    }

    async fn ask_for_client(&self, id: &ClientId, hash: SecretHash) -> Result<Option<(Arc<Client>, SecretRole)>> {
        let fill = self.cache.begin(hash);
        let Some((client, role)) = self.store.find_client_by_secret(id, &hash).await? else { return Ok(None) };
        let client = Arc::new(client);
        self.clients.kept.insert(hash, Arc::new(Kept { client: Arc::clone(&client), role, fill }));
        Ok(Some((client, role)))
    }
}

/// Clients remembered at one time.
const MOST_REMEMBERED: usize = 10_000;
