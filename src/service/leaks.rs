//! Reports of leaked credentials: finding whose they are, doing what the project's policy says, and writing it down.
//!
//! What is done, and that it was reported, is one transaction. Whoever reports the same credential at the same place once
//! more changes nothing and gets the same answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::Context;
use crate::auth::caller::Caller;
use crate::auth::lookup::Found;
use crate::domain::audit::AuditEvent;
use crate::domain::change::ChangeKind;
use crate::domain::clock::Timestamp;
use crate::domain::credential::{Form, KeySecret};
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AuditEventId, CredentialId, LeakReportId, ProjectId};
use crate::domain::key::Key;
use crate::domain::leak::{LeakAction, LeakPlace, LeakPolicy, LeakReport, LeakReporter, act_on_key};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::token::{AccessToken, Grant};
use crate::domain::page::{Page, PageRequest};
use crate::domain::reason::Reason;
use crate::domain::secret::{SecretHash, SecretShape, looks_like_token};
use crate::domain::secret_kind::SecretKind;
use crate::domain::session::Session;
use crate::store::{Conflict, LeakFilter, LeakRecorded, LeakTurns, StoreError};

/// The leak reports part of the Keys service, and what stands behind the endpoints that take reports.
#[derive(Clone, Debug)]
pub struct Leaks(Arc<Context>);

/// Who reports.
#[derive(Clone, Copy, Debug)]
pub enum Reporter<'a> {
    /// Somebody who calls with a credential, and reports what belongs to the same project and environment.
    Caller(&'a Caller),
    /// Somebody whose signature was found good, and who reports what belongs to whichever project.
    Outside {
        /// Who it is.
        who: LeakReporter,
        /// Who is charged for what nobody knows.
        address: IpAddr,
        /// The request, for the audit log.
        request_id: &'a str,
    },
}

impl Leaks {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Takes a report. None for what is no credential of ours by shape, checksum or signature, of which the store is asked
    /// nothing; for what nobody knows; and for what is not the reporter's to report.
    ///
    /// # Errors
    /// ENV_MISMATCH where a caller reports what belongs to the other environment; OVERLOADED and STORE_UNAVAILABLE.
    pub async fn report(
        &self,
        reporter: Reporter<'_>,
        credential: &str,
        place: &LeakPlace,
    ) -> Result<Option<LeakReport>> {
        for _ in 0..ATTEMPTS {
            let Some(leaked) = self.find(credential).await? else { return Ok(None) };
            if let Reporter::Caller(caller) = reporter {
                if leaked.project() != caller.project() {
                    return Ok(None);
                }
                if leaked.environment() != caller.environment() {
                    let message = "the credential belongs to the other environment (live or test)";
                    return Err(Error::new(Reason::EnvMismatch, message));
                }
            }
            match self.record(reporter, credential, &leaked, place).await {
                // Somebody changed the key, or reported the same, meanwhile: it is looked at once more.
                Ok(None) | Err(StoreError::Conflict(Conflict::Version)) => {}
                Ok(Some(report)) => return Ok(Some(report)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict(Conflict::Version).into())
    }

    /// Lists reports about credentials of the caller's project and environment, newest first.
    pub async fn list(&self, caller: &Caller, filter: &LeakFilter, page: &PageRequest) -> Result<Page<LeakReport>> {
        Ok(self.0.store.list_leak_reports(caller.project(), caller.environment(), filter, page).await?)
    }

    /// Finds what leaked, as it is now: what is remembered of it only says that there is something to find.
    /// Whoever reports is known, by a key of ours or a signature, and is charged for nothing: the forged keys beside a real one would
    /// keep that from being heard of.
    async fn find(&self, credential: &str) -> Result<Option<Leaked>> {
        let kind = SecretShape::parse(credential).map(SecretShape::kind);
        match kind {
            // They end by themselves in minutes, and are good once.
            Some(SecretKind::AuthorizationCode | SecretKind::DeviceCode) => return Ok(None),
            None if !looks_like_token(credential) => return Ok(None),
            _ => {}
        }
        let hash = self.0.keyring.hash(credential);
        let store = &self.0.store;
        Ok(match kind {
            Some(SecretKind::RefreshToken) => {
                let found = self.0.credentials.ask_about(None, store.find_refresh_token(&hash)).await?;
                found.map(|(grant, _)| Leaked::Grant(Box::new(grant)))
            }
            Some(kind @ (SecretKind::ClientSecret | SecretKind::RegistrationToken)) => {
                let found = self.0.credentials.ask_about(None, store.find_client_behind(&hash)).await?;
                found.map(|client| Leaked::Client(Box::new(client), kind))
            }
            _ => {
                let (Found::Issued(known) | Found::Honey(known)) = self.0.credentials.find(credential).await? else {
                    return Ok(None);
                };
                match &known.form {
                    Form::Key(_) => store.find_key_secret(&hash).await?.map(|secret| Leaked::Key(Box::new(secret))),
                    Form::Token(..) => {
                        store.find_access_token(&hash).await?.map(|(token, _)| Leaked::Token(Box::new(token), hash))
                    }
                    Form::Session(session, _) => Some(Leaked::Session(session.clone())),
                    // It is not ours to end.
                    Form::Identity(..) => None,
                }
            }
        })
    }

    /// Does what is to be done and writes it down. None where the same was reported at the same time.
    async fn record(
        &self,
        reporter: Reporter<'_>,
        credential: &str,
        leaked: &Leaked,
        place: &LeakPlace,
    ) -> Result<Option<LeakReport>, StoreError> {
        let (subject, hint) = (leaked.subject(), hint(credential));
        if let Some(known) = self.0.store.find_leak_report(&subject, &hint, place).await? {
            return Ok(Some(known));
        }
        let project = self.0.store.find_project(leaked.project()).await?;
        let policy = project.map(|project| project.details.leak_policy).unwrap_or_default();
        let now = self.0.now();
        let (changed, action) = leaked.act(policy, now);
        let report = LeakReport {
            id: LeakReportId::new(now, &*self.0.entropy),
            project: leaked.project().clone(),
            environment: leaked.environment(),
            kind: leaked.kind(),
            subject,
            hint,
            place: place.clone(),
            reporter: reporter.id(),
            action,
            reported_at: now,
        };
        let event = self.event(reporter, leaked, &report);
        let (event, turns) = match (leaked, &changed) {
            (Leaked::Key(secret), Some(key)) => {
                let kind = match action {
                    LeakAction::Revoked => ChangeKind::Revoked,
                    LeakAction::SecretEnded => ChangeKind::Rotated,
                    _ => ChangeKind::Suspended,
                };
                let event = event.reporting_leak(Some((&secret.key, key)), &report);
                (event, LeakTurns::Key(key, secret.key.version, kind))
            }
            _ => (event.reporting_leak(None, &report), leaked.turns(action)),
        };
        match self.0.store.record_leak(&report, turns, &event, &*self.0.entropy).await? {
            LeakRecorded::Known => Ok(None),
            LeakRecorded::New(change, alert) => {
                self.0.alarm.told(alert.as_deref().map(std::slice::from_ref).unwrap_or_default());
                if let Some(change) = change {
                    self.0.committed(&change);
                }
                Ok(Some(report))
            }
        }
    }

    fn event(&self, reporter: Reporter<'_>, leaked: &Leaked, report: &LeakReport) -> AuditEvent {
        let action = format!("{}.leaked", leaked.noun());
        let event = AuditEvent {
            id: AuditEventId::new(report.reported_at, &*self.0.entropy),
            project: report.project.clone(),
            environment: Some(report.environment),
            actor: Some(report.reporter.clone()),
            token: None,
            action,
            target: report.subject.to_string(),
            request_id: None,
            client_ip: None,
            occurred_at: report.reported_at,
            before: None,
            after: None,
        };
        match reporter {
            Reporter::Caller(caller) => AuditEvent {
                request_id: Some(caller.request_id().to_string()),
                client_ip: Some(caller.client()),
                ..event
            },
            Reporter::Outside { address, request_id, .. } => {
                AuditEvent { request_id: Some(request_id.to_owned()), client_ip: Some(address), ..event }
            }
        }
    }
}

impl Reporter<'_> {
    fn id(&self) -> CredentialId {
        match self {
            Self::Caller(caller) => caller.actor(),
            Self::Outside { who, .. } => CredentialId::Reporter(*who),
        }
    }
}

/// What leaked.
#[derive(Debug)]
enum Leaked {
    Key(Box<KeySecret>),
    Token(Box<AccessToken>, SecretHash),
    Grant(Box<Grant>),
    Session(Session),
    Client(Box<Client>, SecretKind),
}

impl Leaked {
    fn project(&self) -> &ProjectId {
        match self {
            Self::Key(secret) => &secret.key.project,
            Self::Token(token, _) => &token.project,
            Self::Grant(grant) => &grant.project,
            Self::Session(session) => &session.project,
            Self::Client(client, _) => &client.project,
        }
    }

    fn environment(&self) -> Environment {
        match self {
            Self::Key(secret) => secret.key.environment,
            Self::Token(token, _) => token.environment,
            Self::Grant(grant) => grant.environment,
            Self::Session(session) => session.environment,
            Self::Client(client, _) => client.environment,
        }
    }

    fn subject(&self) -> CredentialId {
        match self {
            Self::Key(secret) => secret.key.id.clone().into(),
            Self::Token(token, _) => CredentialId::Token(token.id.clone()),
            Self::Grant(grant) => CredentialId::Grant(grant.id.clone()),
            Self::Session(session) => CredentialId::Session(session.id.clone()),
            Self::Client(client, _) => CredentialId::Client(client.id.clone()),
        }
    }

    fn kind(&self) -> SecretKind {
        match self {
            Self::Key(secret) => SecretKind::of_key(secret.key.kind),
            Self::Token(..) => SecretKind::AccessToken,
            Self::Grant(_) => SecretKind::RefreshToken,
            Self::Session(_) => SecretKind::SessionToken,
            Self::Client(_, kind) => *kind,
        }
    }

    /// The first word of the audit log's action.
    fn noun(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Token(..) => "token",
            Self::Grant(_) => "grant",
            Self::Session(_) => "session",
            Self::Client(..) => "client",
        }
    }

    /// What is done about it; the key as it is then, if it changes.
    fn act(&self, policy: LeakPolicy, now: Timestamp) -> (Option<Key>, LeakAction) {
        let ended = match self {
            Self::Key(secret) => {
                let (key, action) = act_on_key(secret, policy, now);
                return ((key.version != secret.key.version).then_some(key), action);
            }
            // Its owner has to put another in its place first: without it, nobody of theirs could sign in.
            Self::Client(..) => return (None, LeakAction::Alerted),
            Self::Token(token, _) => token.revoked_at.is_some() || token.expires_at <= now,
            Self::Grant(grant) => !grant.is_open(now),
            Self::Session(session) => session.revoked_at.is_some() || session.expires_at <= now,
        };
        let action = match policy {
            _ if ended => LeakAction::AlreadyEnded,
            LeakPolicy::Alert => LeakAction::Alerted,
            // A token cannot be held; who had it gets another by signing in.
            LeakPolicy::Revoke | LeakPolicy::Suspend => LeakAction::TokenEnded,
        };
        (None, action)
    }

    fn turns(&self, action: LeakAction) -> LeakTurns<'_> {
        match self {
            _ if action != LeakAction::TokenEnded => LeakTurns::Nothing,
            Self::Token(token, hash) => match &token.grant {
                Some(grant) => LeakTurns::Grant(grant),
                None => LeakTurns::Token(hash),
            },
            Self::Grant(grant) => LeakTurns::Grant(&grant.id),
            Self::Session(session) => LeakTurns::Session(session),
            Self::Key(_) | Self::Client(..) => LeakTurns::Nothing,
        }
    }
}

/// How to recognise what leaked; of a signed token, its end.
fn hint(credential: &str) -> String {
    match SecretShape::hint_of(credential) {
        Some(hint) => hint,
        // A signed token is base64url and dots, and longer than this.
        None => format!("eyJ...{}", credential.get(credential.len().saturating_sub(4)..).unwrap_or_default()),
    }
}

/// How often a report is tried again that others came before.
const ATTEMPTS: usize = 4;
