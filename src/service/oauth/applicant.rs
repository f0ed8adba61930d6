//! Who asks for tokens: a client, the key that they are to be bound to, and where the request comes from.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::domain::oauth::client::{Client, ClientKind};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::thumbprint::Thumbprint;

/// A client that proved who it is, and perhaps to hold a key.
#[derive(Clone, Debug)]
pub struct Applicant {
    client: Arc<Client>,
    key: Option<Thumbprint>,
    origin: Origin,
}

/// A request to one of the endpoints, for the audit log.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Where it comes from.
    pub address: IpAddr,
    /// Its id.
    pub request_id: Arc<str>,
}

impl Applicant {
    /// The client, and the key it proved to hold (RFC 9449, section 5).
    ///
    /// # Errors
    /// `invalid_dpop_proof` for a client whose tokens have to be bound to one, and that proved none.
    pub fn new(client: Arc<Client>, key: Option<Thumbprint>, origin: Origin) -> Result<Self, OAuthError> {
        if client.details.dpop_bound_access_tokens && key.is_none() {
            let what = "the client's tokens are bound to a key: a proof that it holds one is needed in the header DPoP";
            return Err(OAuthError::new(Word::InvalidDpopProof, what));
        }
        Ok(Self { client, key, origin })
    }

    /// Where it asks from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What its access tokens are bound to.
    pub fn key(&self) -> Option<&Thumbprint> {
        self.key.as_ref()
    }

    /// What its refresh tokens are bound to: those of a client that proves who it is are bound to it by that (RFC 9449,
    /// section 5), and its keys may change.
    pub fn refresh_key(&self) -> Option<&Thumbprint> {
        self.key().filter(|_| self.client.kind == ClientKind::Public)
    }

    /// Whether it holds the key that something is bound to.
    ///
    /// # Errors
    /// `invalid_grant` if it is another's.
    pub fn require(&self, bound_to: Option<&Thumbprint>, what: &str) -> Result<(), OAuthError> {
        match bound_to {
            Some(_) if bound_to != self.key() => {
                let what = format!("the {what} is bound to a key that this request does not prove to hold");
                Err(OAuthError::new(Word::InvalidGrant, what))
            }
            _ => Ok(()),
        }
    }
}

/// Nearly all that is asked of an applicant is asked of the client.
impl Deref for Applicant {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
