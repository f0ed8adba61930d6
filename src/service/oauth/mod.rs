//! The authorization server: clients prove themselves, and get tokens for what was agreed to. It knows no HTTP.

mod authentication;
mod authorization;
mod introspection;
mod request;
mod revocation;
mod tokens;

pub use authentication::ClientProof;
pub use authorization::{Answer, SignedIn, Step};
pub use introspection::{Asker, Introspection, Known};
pub use request::{AnswerTo, Asked, AuthorizationRequest, Prompt, ResponseMode, Wrong};
pub use tokens::{CodeUse, Issued};

use std::sync::Arc;

use super::Context;
use crate::domain::entropy::Entropy;
use crate::domain::sealing::Keyring;

/// The authorization server.
#[derive(Clone, Debug)]
pub struct AuthorizationServer(Arc<Context>);

impl AuthorizationServer {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// What proves that a form is ours.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.0.entropy
    }

    /// The identifier of this server (RFC 8414, section 2, `issuer`).
    pub fn issuer(&self) -> &str {
        self.0.signing.issuer()
    }
}
