//! Authorization requests that a client pushes to the server itself (RFC 9126): nobody on their way through the browser can read
//! or change them. A request is answered once; until then its user may come back to it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::request::{Asked, AuthorizationRequest, Wrong};
use super::{AuthorizationServer, Origin};
use crate::domain::clock::Timestamp;
use crate::domain::oauth::client::{Client, ClientAuthentication};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::secret::SecretHash;
use crate::store::PushedRequest;

/// The name of a request that was pushed, and for how long it may be begun.
#[derive(Debug)]
pub struct Named {
    /// The name (`request_uri`).
    pub request_uri: String,
    /// How long the user may take to get here.
    pub expires_in: Duration,
}

/// Which pushed request it is that a user is asked about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pushed {
    hash: SecretHash,
    /// When it was pushed, in whole seconds, as a session's beginning is.
    pub(super) at: Timestamp,
}

impl AuthorizationServer {
    /// Keeps a request of a client, which is checked as if its user had brought it. `parameters` are all of it, written like a
    /// form.
    ///
    /// # Errors
    /// What is wrong with the request; `slow_down` for a client too many of whose requests wait, or an address that pushes too
    /// many for clients that prove nothing.
    pub async fn push(
        &self,
        client: &Client,
        asked: &Asked<'_>,
        parameters: String,
        origin: &Origin,
    ) -> Result<Named, OAuthError> {
        if client.details.authentication == ClientAuthentication::None {
            // Anybody can say to be it.
            self.0.attempts.unproven(origin.address)?;
        }
        if parameters.len() > MOST_BYTES {
            let what = format!("the request has more than {MOST_BYTES} bytes");
            return Err(OAuthError::new(Word::InvalidRequest, what));
        }
        if asked.client_id != Some(client.public_id()) {
            return Err(OAuthError::new(Word::InvalidRequest, "the client_id is not that of the client"));
        }
        match self.read_request(asked, origin).await {
            Ok(_) => {}
            Err(Wrong::Here(error) | Wrong::ToClient(error, _)) => return Err(error),
        }
        let mut random = [0; 32];
        self.0.entropy.fill(&mut random);
        let request_uri = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let now = self.0.now();
        let pushed = PushedRequest {
            hash: self.0.keyring.hash(&request_uri),
            client: client.id.clone(),
            parameters,
            pushed_at: now,
            expires_at: now.plus(TO_BEGIN),
        };
        if !self.0.store.push_request(&pushed, MOST_WAITING).await? {
            return Err(OAuthError::new(Word::SlowDown, "too many requests of the client wait to be answered"));
        }
        Ok(Named { request_uri, expires_in: TO_BEGIN })
    }

    /// Whether this is a name that is given here.
    pub fn is_pushed(request_uri: &str) -> bool {
        request_uri.starts_with(PREFIX)
    }

    /// The pushed request of a client by its name, and its parameters.
    ///
    /// # Errors
    /// `invalid_request_uri` for one that is unknown, another client's, answered or past its end: they are not told apart.
    pub async fn find_pushed(&self, client: Option<&str>, request_uri: &str) -> Result<(Pushed, String), OAuthError> {
        let client = self.client_of_id(client.ok_or_else(gone)?).await?.ok_or_else(gone)?;
        let (hash, now) = (self.0.keyring.hash(request_uri), self.0.now());
        let found = self.0.store.find_pushed_request(&hash, &client.id, now).await?.ok_or_else(gone)?;
        let end = found.pushed_at.plus(TO_ANSWER);
        if found.expires_at < end {
            self.0.store.extend_pushed_request(&hash, end).await?;
        }
        let at = Timestamp::from_micros(found.pushed_at.micros().div_euclid(1_000_000) * 1_000_000);
        Ok((Pushed { hash, at }, found.parameters))
    }

    /// Takes the pushed request away that is about to be answered, if it is one.
    ///
    /// # Errors
    /// `invalid_request_uri` if it was answered before.
    pub async fn take_pushed(&self, request: &AuthorizationRequest) -> Result<(), OAuthError> {
        match &request.pushed {
            Some(pushed) if !self.0.store.take_pushed_request(&pushed.hash, self.0.now()).await? => Err(gone()),
            _ => Ok(()),
        }
    }
}

fn gone() -> OAuthError {
    let what = "there is no request of this name: it is unknown, another client's, answered or too old";
    OAuthError::new(Word::InvalidRequestUri, what)
}

/// What all names begin with (RFC 9126, section 2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// Bytes of a request, as it is written.
const MOST_BYTES: usize = 16 * 1024;
/// How long a user may take to get here.
const TO_BEGIN: Duration = Duration::from_secs(90);
/// How long they may take to say who they are and whether they agree.
const TO_ANSWER: Duration = Duration::from_secs(30 * 60);
/// Requests of one client that wait. Anybody can push them for a public one.
const MOST_WAITING: u32 = 10_000;
