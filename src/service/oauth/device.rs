//! Devices that cannot show a sign-in page (RFC 8628): the device shows a code, somebody types it into a browser elsewhere,
//! signs in and decides, and the device asks meanwhile whether they have.
//!
//! Whoever typed a code is always asked, and is shown the code, also where it came with the address (section 3.3.1): else a
//! link from a stranger would let the stranger's device in. What they decide is not remembered, for the same reason.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::authorization::{SignedIn, within};
use super::tokens::{Issued, narrowed, require_grant, targets};
use super::{Applicant, AuthorizationServer, Origin};
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, GrantId, ProjectId};
use crate::domain::oauth::client::{Client, ClientKind};
use crate::domain::oauth::device::{DeviceRequest, DeviceState, INTERVAL, LIFETIME, Poll};
use crate::domain::oauth::error::{OAuthError, Word};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::scope::OAuthScopes;
use crate::domain::oauth::token::Grant;
use crate::domain::oauth::user_code::UserCode;
use crate::domain::secret::{PlainSecret, SecretHash, SecretPrefix};
use crate::store::DeviceStarted;

/// What a device gets to begin with, for the one answer that tells it.
#[derive(Debug)]
pub struct DeviceCodes {
    /// What the device asks with.
    pub device: PlainSecret,
    /// What somebody types elsewhere.
    pub user: UserCode,
    /// How long both last.
    pub expires_in: Duration,
    /// How long the device waits between two questions.
    pub interval: Duration,
}

/// What a device asks for, and what it runs.
#[derive(Clone, Debug)]
pub struct DeviceAsked {
    request: DeviceRequest,
    /// What it runs.
    pub client: Client,
    /// Whether it is not too late for it.
    pub in_time: bool,
}

impl DeviceAsked {
    fn is_of(&self, who: &SignedIn) -> bool {
        self.place() == (&who.session.project, who.session.environment)
    }

    /// Which services the tokens are to be used at.
    pub fn resources(&self) -> &[String] {
        &self.request.resources
    }

    /// Where those are who may decide.
    pub fn place(&self) -> (&ProjectId, Environment) {
        (&self.request.project, self.request.environment)
    }
}

/// What is to happen next with somebody who typed a code.
#[derive(Clone, Debug)]
pub enum DeviceStep {
    /// They have to say who they are.
    SignIn,
    /// There is no such code, or it is not theirs to use.
    Unknown,
    /// Their account can give nothing of what is asked for.
    Nothing,
    /// They have to decide about this much.
    Confirm(OAuthScopes),
    /// They have decided: whether they agreed.
    Decided(bool),
}

impl AuthorizationServer {
    /// Begins what a device asks for (section 3.1).
    ///
    /// # Errors
    /// `unauthorized_client`, `invalid_scope`, `invalid_target`; `slow_down` for too many at one time.
    pub async fn start_device(
        &self,
        client: &Client,
        scope: Option<&str>,
        resources: &[&str],
        address: IpAddr,
    ) -> Result<DeviceCodes, OAuthError> {
        require_grant(client, GrantType::DeviceCode)?;
        let missing = || OAuthError::new(Word::InvalidScope, "the scope is missing: nothing is granted by absence");
        let scopes = narrowed(scope.ok_or_else(missing)?, &client.details.scopes)?;
        if scopes.is_empty() {
            return Err(missing());
        }
        let resources = targets(resources, client, &[])?;
        if client.kind == ClientKind::Public {
            self.0.attempts.unproven(address)?;
        }
        let (project, environment) = (client.project.clone(), client.environment);
        let request = DeviceRequest::new(project, environment, client.id.clone(), scopes, resources, self.0.now());
        let device = self.new_secret(client, SecretPrefix::DEVICE);
        let hash = self.0.keyring.hash(device.expose());
        // That two codes are alike happens once in millions; twice in a row, something else is wrong.
        for _ in 0..3 {
            let user = UserCode::generate(&*self.0.entropy);
            match self.0.store.start_device(&request, &hash, &self.user_code_hash(&user)).await? {
                DeviceStarted::Done => {
                    return Ok(DeviceCodes { device, user, expires_in: LIFETIME, interval: INTERVAL });
                }
                DeviceStarted::SameCode => {}
                DeviceStarted::TooMany => {
                    let what = "too many devices of this client wait for somebody to decide; try again later";
                    let retry_after = Some(Duration::from_secs(60));
                    return Err(OAuthError { retry_after, ..OAuthError::new(Word::SlowDown, what) });
                }
            }
        }
        Err(OAuthError::new(Word::ServerError, "no code could be made"))
    }

    /// What the device asks for that shows this code, whatever became of it.
    pub async fn device_asked(&self, code: &UserCode) -> Result<Option<DeviceAsked>, OAuthError> {
        let hash = self.user_code_hash(code);
        let Some(request) = self.0.store.find_device_of_user_code(&hash).await? else { return Ok(None) };
        let Some(client) = self.0.store.find_client_by_id(&request.client).await? else { return Ok(None) };
        // What was asked for and is not allowed any more is not agreed to either.
        let client = match self.as_allowed(Arc::new(client)).await {
            Ok(client) => Arc::unwrap_or_clone(client),
            Err(error) if error.word == Word::UnauthorizedClient => return Ok(None),
            Err(error) => return Err(error),
        };
        let in_time = self.0.now() < request.expires_at;
        Ok(Some(DeviceAsked { request, client, in_time }))
    }

    /// What is to happen next with somebody who typed a code.
    ///
    /// # Errors
    /// `slow_down` where they have typed too many that are not good.
    pub fn consider_device(
        &self,
        asked: Option<&DeviceAsked>,
        who: Option<&SignedIn>,
        address: IpAddr,
    ) -> Result<DeviceStep, OAuthError> {
        let Some(who) = who else { return Ok(DeviceStep::SignIn) };
        let guess = self.0.attempts.user_codes().guess(&who.user.id, address)?;
        // That there is such a code elsewhere is not told.
        let Some(asked) = asked.filter(|asked| asked.is_of(who)) else { return Ok(DeviceStep::Unknown) };
        let step = match &asked.request.state {
            DeviceState::Pending if asked.request.is_open(self.0.now()) => {
                let scopes = within(&asked.request.scopes, &who.user.details.scopes);
                if scopes.is_empty() { DeviceStep::Nothing } else { DeviceStep::Confirm(scopes) }
            }
            DeviceState::Denied(by) if *by == who.user.id => DeviceStep::Decided(false),
            DeviceState::Approved(by) | DeviceState::Redeemed(by) if by.user == who.user.id => {
                DeviceStep::Decided(true)
            }
            _ => return Ok(DeviceStep::Unknown),
        };
        guess.was_right();
        Ok(step)
    }

    /// The user agrees; whether that still counts.
    pub async fn approve_device(
        &self,
        code: &UserCode,
        asked: &DeviceAsked,
        who: &SignedIn,
        origin: &Origin,
    ) -> Result<bool, OAuthError> {
        let now = self.0.now();
        let scopes = within(&asked.request.scopes, &who.user.details.scopes);
        if !asked.is_of(who) || scopes.is_empty() {
            return Ok(false);
        }
        let (client, request) = (&asked.client, &asked.request);
        let grant = Grant {
            id: GrantId::new(now, &*self.0.entropy),
            project: request.project.clone(),
            environment: request.environment,
            client: client.id.clone(),
            user: who.user.id.clone(),
            scopes,
            resources: request.resources.clone(),
            authenticated_at: who.session.created_at,
            nonce: None,
            created_at: now,
            // Until the device asks, it lasts no longer than the device does.
            expires_at: request.expires_at,
            revoked_at: None,
        };
        let event = self.given(&grant, origin);
        Ok(self.0.store.approve_device(&self.user_code_hash(code), &who.session, &grant, now, &event).await?)
    }

    /// The user does not agree; whether that still counts.
    pub async fn deny_device(
        &self,
        code: &UserCode,
        asked: &DeviceAsked,
        who: &SignedIn,
        origin: &Origin,
    ) -> Result<bool, OAuthError> {
        if !asked.is_of(who) {
            return Ok(false);
        }
        let now = self.0.now();
        let actor = CredentialId::User(who.user.id.clone());
        let event = self.event(Some(actor), asked.place(), "device.denied", asked.client.id.as_str(), origin);
        Ok(self.0.store.deny_device(&self.user_code_hash(code), &who.user.id, now, &event).await?)
    }

    /// Tokens for a device that somebody agreed to (section 3.4). Only the client that began may have them, once: if they are
    /// asked for twice, what the first got ends.
    ///
    /// # Errors
    /// `authorization_pending`, `slow_down`, `access_denied`, `expired_token`; `invalid_grant` for whatever is wrong with the
    /// code; `unauthorized_client`, `invalid_target`.
    pub async fn by_device_code(
        &self,
        client: &Applicant,
        code: &str,
        resources: &[&str],
    ) -> Result<Issued, OAuthError> {
        require_grant(client, GrantType::DeviceCode)?;
        let hash = self.hash(code, SecretPrefix::DEVICE).ok_or_else(bad_code)?;
        let request = self.0.store.find_device(&hash).await?;
        let mut request = request.filter(|request| request.client == client.id).ok_or_else(bad_code)?;
        let now = self.0.now();
        let before = request.clone();
        let mut poll = request.poll(now);
        if request != before {
            // Noted by the one of several at one time that is first.
            poll = self.0.store.poll_device(&hash, now).await?.ok_or_else(bad_code)?;
        }
        let told = |word, what| Err(OAuthError::new(word, what));
        let grant = match poll {
            Poll::Pending => return told(Word::AuthorizationPending, "nobody has decided yet; ask again"),
            Poll::TooFast => {
                return told(Word::PolledTooFast, "nobody has decided yet; wait 5 seconds longer each time");
            }
            Poll::Denied => return told(Word::AccessDenied, "the user does not agree"),
            Poll::Expired => return told(Word::ExpiredToken, "nobody decided in time; begin anew"),
            Poll::Spent(grant) => return Err(self.spent(&grant, client.origin()).await?),
            Poll::Approved(grant) => grant,
        };
        let grant = self.0.store.find_grant(&grant).await?.ok_or_else(bad_code)?;
        if !grant.is_open(now) {
            return Err(bad_code());
        }
        let first = self.first_tokens(client, grant, resources, now).await?;
        let (id, ends) = (&first.grant.id, first.grant.expires_at);
        if !self.0.store.redeem_device(&hash, id, ends, &first.tokens(), now).await? {
            // Somebody else was faster.
            return Err(self.spent(id, client.origin()).await?);
        }
        self.first_issued(client, first).await
    }

    /// Two hold what one should: neither keeps it.
    async fn spent(&self, grant: &GrantId, origin: &Origin) -> Result<OAuthError, OAuthError> {
        if let Some(grant) = self.0.store.find_grant(grant).await? {
            self.end_stolen(&grant, "grant.device_code_reused", origin).await?;
        }
        Ok(bad_code())
    }

    fn user_code_hash(&self, code: &UserCode) -> SecretHash {
        self.0.keyring.hash(&code.hashed_as())
    }
}

fn bad_code() -> OAuthError {
    OAuthError::new(Word::InvalidGrant, "the device_code is not good: unknown, used, or not this client's")
}
