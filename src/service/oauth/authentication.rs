//! Who a client is (RFC 6749, section 2.3).

use std::net::IpAddr;
use std::sync::Arc;

use super::AuthorizationServer;
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
    pub async fn authenticate(&self, proof: ClientProof<'_>, address: IpAddr) -> Result<Client, OAuthError> {
        self.0.credentials.may_ask(Some(address))?;
        let found = self.found(proof).await?;
        if found.is_none() {
            self.0.credentials.charge(Some(address));
        }
        found.ok_or_else(|| {
            OAuthError::new(Word::InvalidClient, "there is no such client, or this does not prove that you are it")
        })
    }

    async fn found(&self, proof: ClientProof<'_>) -> Result<Option<Client>, OAuthError> {
        match proof {
            ClientProof::Secret { id, secret } => self.by_secret(id, secret).await,
            ClientProof::Nothing { id } => {
                let client = match ClientId::parse(id) {
                    Some(id) => self.0.store.find_client_by_id(&id).await?,
                    None => None,
                };
                let public = |client: &Client| client.details.authentication == ClientAuthentication::None;
                Ok(client.filter(public))
            }
        }
    }

    async fn by_secret(&self, id: &str, secret: &str) -> Result<Option<Client>, OAuthError> {
        let (Some(id), Some(_)) = (ClientId::parse(id), SecretShape::parse(secret)) else { return Ok(None) };
        let found = self.0.credentials.find_client(&id, secret).await?;
        let found = found.filter(|(client, role)| client.accepts(*role, self.0.now()));
        Ok(found.map(|(client, _)| Arc::unwrap_or_clone(client)))
    }
}
