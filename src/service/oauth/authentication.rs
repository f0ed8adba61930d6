//! Who a client is (RFC 6749, section 2.3).

use std::net::IpAddr;
use std::sync::Arc;

use super::AuthorizationServer;
use crate::auth::outside::assertion::Assertion;
use crate::auth::outside::flaw::Flaw;
use crate::domain::id::ClientId;
use crate::domain::oauth::client::{Client, ClientAuthentication};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::secret::SecretShape;

/// What a client says to prove itself.
#[derive(Clone, Copy)]
pub enum ClientProof<'a> {
    /// Its id and its secret.
    Secret {
        /// The id.
        id: &'a str,
        /// The secret.
        secret: &'a str,
    },
    /// A token that it signed with a key of its own (RFC 7523).
    Assertion {
        /// The token.
        text: &'a str,
        /// The id it gave beside it, if it did.
        id: Option<&'a str>,
    },
    /// Its id alone: it is public.
    Nothing {
        /// The id.
        id: &'a str,
    },
}

impl AuthorizationServer {
    /// The client that proves to be who it says it is.
    ///
    /// # Errors
    /// `invalid_client`, in the same words whether there is no such client, it is deleted, or the proof is wrong.
    pub async fn authenticate(&self, proof: ClientProof<'_>, address: IpAddr) -> Result<Arc<Client>, OAuthError> {
        let found = self.found(proof, address).await?;
        if found.is_none() {
            self.0.credentials.charge(Some(address));
        }
        found.ok_or_else(|| {
            OAuthError::new(Word::InvalidClient, "there is no such client, or this does not prove that you are it")
        })
    }

    async fn found(&self, proof: ClientProof<'_>, address: IpAddr) -> Result<Option<Arc<Client>>, OAuthError> {
        if !matches!(proof, ClientProof::Secret { .. }) {
            self.0.credentials.may_ask(Some(address))?;
        }
        match proof {
            ClientProof::Secret { id, secret } => self.by_secret(id, secret, address).await,
            ClientProof::Assertion { text, id } => Box::pin(self.by_assertion(text, id, address)).await,
            ClientProof::Nothing { id } => {
                let client = self.client_of_id(id).await?;
                let public = |client: &Client| client.details.authentication == ClientAuthentication::None;
                Ok(client.filter(public).map(Arc::new))
            }
        }
    }

    /// What is wrong with an assertion is for the log: whoever does not hold the key learns nothing.
    async fn by_assertion(
        &self,
        text: &str,
        named: Option<&str>,
        address: IpAddr,
    ) -> Result<Option<Arc<Client>>, OAuthError> {
        let refused = |client: &str, flaw: Flaw| {
            tracing::info!(client, %flaw, "a client's assertion was refused");
            Ok(None)
        };
        let assertion = match Assertion::parse(text) {
            Ok(assertion) if named.is_none_or(|named| named == assertion.client()) => assertion,
            Ok(_) => return refused("", Flaw::ClaimInvalid("sub")),
            Err(flaw) => return refused("", flaw),
        };
        let client = self.client_of_id(assertion.client()).await?;
        let signs = |client: &Client| client.details.authentication == ClientAuthentication::PrivateKeyJwt;
        let Some(client) = client.filter(signs) else { return Ok(None) };
        let keys = self.0.client_keys.keys_for(&client, &assertion).await.inspect_err(|_| {
            // Anybody can name a client whose keys have to be fetched, and are not there.
            self.0.credentials.charge(Some(address));
        })?;
        let Some(keys) = keys else { return Ok(None) };
        // Its own name is what a client should use; the others are what it was told to (RFC 7523, section 3; RFC 9126,
        // section 2).
        let issuer = self.issuer();
        let endpoints = ["token", "par"].map(|endpoint| format!("{issuer}/oauth/{endpoint}"));
        let names = [issuer, &endpoints[0], &endpoints[1]];
        let single = match assertion.verify(&keys, &names, self.0.now()) {
            Ok(single) => single,
            Err(flaw) => return refused(client.id.as_str(), flaw),
        };
        let used = self.0.keyring.fingerprint(format!("assertion\n{}\n{}", client.id, single.id).as_bytes());
        if !self.0.store.use_proof(&used, single.until).await? {
            return refused(client.id.as_str(), Flaw::Used);
        }
        Ok(Some(Arc::new(client)))
    }

    async fn by_secret(&self, id: &str, secret: &str, address: IpAddr) -> Result<Option<Arc<Client>>, OAuthError> {
        let (Some(id), Some(_)) = (ClientId::parse(id), SecretShape::parse(secret)) else { return Ok(None) };
        let found = self.0.credentials.find_client(&id, secret, address).await?;
        Ok(found.filter(|(client, role)| client.accepts(*role, self.0.now())).map(|(client, _)| client))
    }
}
