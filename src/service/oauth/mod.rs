//! The authorization server: clients prove themselves, and get tokens for what was agreed to. It knows no HTTP.

mod applicant;
mod authentication;
mod authorization;
mod device;
mod documents;
mod exchange;
mod introspection;
mod logout;
mod pushed;
mod registration;
mod request;
mod revocation;
mod tokens;

pub use applicant::{Applicant, Origin};
pub use authentication::ClientProof;
pub use authorization::{Answer, SignedIn, Step};
pub use device::{DeviceAsked, DeviceCodes, DeviceStep};
pub use documents::DocumentSource;
pub use exchange::{Exchange, Exchanged};
pub use introspection::{Asker, Introspection, Known};
pub use logout::{LogoutAsked, LogoutRequest};
pub use pushed::{Named, Pushed};
pub use registration::{MAY_REGISTER, Registered, Registrant, Welcome};
pub use request::{AnswerTo, Asked, AuthorizationRequest, Prompt, ResponseMode, Wrong};
pub use tokens::{CodeUse, Issued};

use std::sync::Arc;

use super::Context;
use crate::auth::dpop::{Possession, Proof};
use crate::domain::audit::AuditEvent;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::id::{AuditEventId, CredentialId, ProjectId};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::thumbprint::Thumbprint;
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

    /// Checks the proofs that clients hold keys.
    pub fn possession(&self) -> &Possession {
        &self.0.possession
    }

    /// Uses up a proof that came to one of the server's own endpoints: the key it proves.
    ///
    /// # Errors
    /// `invalid_dpop_proof` for one that was used, on whichever node.
    pub async fn use_proof(&self, proof: &Proof) -> Result<Thumbprint, OAuthError> {
        let used = self.0.keyring.fingerprint(format!("proof\n{}\n{}", proof.key, proof.id).as_bytes());
        if !self.0.store.use_proof(&used, proof.until()).await? {
            return Err(OAuthError::new(Word::InvalidDpopProof, "the proof was used before"));
        }
        Ok(proof.key)
    }

    /// The entry of the audit log about what somebody does at one of the endpoints.
    fn event(
        &self,
        actor: Option<CredentialId>,
        (project, environment): (&ProjectId, Environment),
        action: &str,
        target: &str,
        origin: &Origin,
    ) -> AuditEvent {
        let now = self.0.now();
        AuditEvent {
            id: AuditEventId::new(now, &*self.0.entropy),
            project: project.clone(),
            environment: Some(environment),
            actor,
            token: None,
            action: action.to_owned(),
            target: target.to_owned(),
            request_id: Some(origin.request_id.to_string()),
            client_ip: Some(origin.address),
            occurred_at: now,
            before: None,
            after: None,
        }
    }

    /// The identifier of this server (RFC 8414, section 2, `issuer`).
    pub fn issuer(&self) -> &str {
        self.0.signing.issuer()
    }
}
