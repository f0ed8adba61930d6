//! Deciding about credentials for the services that guard APIs of their own.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::Context;
use crate::auth::caller::Caller;
use crate::auth::decide::{Check, Objection, Outcome, Question, Recorder, decide};
use crate::auth::dpop::Shown;
use crate::auth::lookup::Found;
use crate::auth::outside::lookup::Beside;
use crate::domain::change::Revision;
use crate::domain::credential::Credential;
use crate::domain::error::{Error, Result};
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;

/// The deciding part of the Auth service.
#[derive(Clone, Debug)]
pub struct Verify(Arc<Context>);

/// What is asked about a credential.
#[derive(Clone, Copy)]
pub struct Inquiry<'a> {
    /// What the end client presented.
    pub credential: &'a str,
    /// The publishable key it sent beside it; never a key of another kind.
    pub publishable: Option<&'a str>,
    /// The scopes the credential must hold.
    pub scopes: &'a [Scope],
    /// The end client's address.
    pub client: Option<IpAddr>,
    /// The key that it holds.
    pub held: Option<Held<'a>>,
}

/// By what is known that an end client holds a key (RFC 9449).
#[derive(Clone, Copy)]
pub enum Held<'a> {
    /// By this proof, which nobody has checked.
    Shown(Shown<'a>),
    /// By the word of whoever asks.
    Known(Thumbprint),
}

/// The decision about a credential.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What stands against it; none if it may do what was asked.
    pub objection: Option<Reason>,
    /// The scope that is missing, in the spelling of the question.
    pub missing_scope: Option<String>,
    /// The credential, when it is one of the caller's project.
    pub credential: Option<Arc<Credential>>,
    /// The end of the change log this decision is not older than.
    pub revision: Revision,
}

/// One check and its outcome.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Which check.
    pub check: Check,
    /// How it went.
    pub outcome: Outcome,
    /// What was compared, for people.
    pub detail: Cow<'static, str>,
}

impl Verify {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Decides. Counts as a use of the credential.
    pub async fn verify(&self, caller: &Caller, inquiry: &Inquiry<'_>) -> Result<Verdict> {
        let mut verdict = self.judge(caller, inquiry, &mut ()).await?;
        if let (None, Some(credential)) = (verdict.objection, &verdict.credential) {
            let used = self.0.credentials.used(inquiry.credential, credential, caller, self.0.now()).await;
            if let Err(error) = used {
                let reason = if error.reason == Reason::NotFound { Reason::NotFound } else { Reason::StoreUnavailable };
                (verdict.objection, verdict.credential) = (Some(reason), None);
            }
        }
        Ok(verdict)
    }

    /// Decides and lists every check. Not a use of the credential.
    pub async fn explain(&self, caller: &Caller, inquiry: &Inquiry<'_>) -> Result<(Verdict, Vec<Explanation>)> {
        let mut checks = Vec::new();
        let verdict = self.judge(caller, inquiry, &mut checks).await?;
        self.0.store.record(&self.0.audit(caller, "credential.explained", &target(&verdict))).await?;
        Ok((verdict, checks))
    }

    async fn judge(&self, caller: &Caller, inquiry: &Inquiry<'_>, recorder: &mut impl Recorder) -> Result<Verdict> {
        // Taken before anything is looked up, so that no answer is older than it says.
        let revision = self.0.credentials.cache().revision();
        let mut question = Question {
            now: self.0.now(),
            environment: Some(caller.environment()),
            client: inquiry.client,
            scopes: &[],
        };
        let refused = |reason| Verdict { objection: Some(reason), missing_scope: None, credential: None, revision };
        if inquiry.credential.is_empty() {
            recorder.record(Check::Format, Outcome::Failed, || "no credential was presented".into());
            return Ok(refused(Reason::MissingCredential));
        }
        if let Some(publishable) = inquiry.publishable {
            let beside = match self.find(caller, publishable, recorder).await {
                Ok(credential) => credential,
                Err(reason) => return Ok(refused(reason)),
            };
            if let Err(objection) = decide(&beside, &question, recorder) {
                return Ok(verdict(beside, Err(objection), revision));
            }
        }
        let credential = match self.find(caller, inquiry.credential, recorder).await {
            Ok(credential) => credential,
            Err(reason) => return Ok(refused(reason)),
        };
        question.scopes = inquiry.scopes;
        let decision = decide(&credential, &question, recorder);
        // As most are: neither bound to a key, nor said to be.
        if credential.bound_to().is_none() && inquiry.held.is_none() {
            return Ok(verdict(credential, decision, revision));
        }
        let held = self.is_held(&credential, inquiry, recorder);
        let objection = Objection { reason: held.err().unwrap_or(Reason::InvalidDpopProof), scope: None };
        let decision = if held.is_ok() { decision } else { decision.and(Err(objection)) };
        Ok(verdict(credential, decision, revision))
    }

    /// Whether the end client holds the key that its token is bound to.
    fn is_held<R: Recorder>(
        &self,
        credential: &Credential,
        inquiry: &Inquiry<'_>,
        recorder: &mut R,
    ) -> Result<(), Reason> {
        let wrong = |what: &'static str| Err(Error::new(Reason::InvalidDpopProof, what));
        let answer = match (credential.bound_to(), &inquiry.held) {
            (Some(key), Some(Held::Known(held))) if key == held => Ok(()),
            (Some(_), Some(Held::Known(_))) => wrong("the token is bound to another key"),
            (Some(key), Some(Held::Shown(shown))) => {
                // An explanation uses nothing up.
                self.0.possession.require_elsewhere(shown, inquiry.credential, key, !R::ALL)
            }
            (Some(_), None) => wrong("the token is bound to a key, and nothing says that it is held"),
            (None, _) => wrong("the token is not bound to a key"),
        };
        let outcome = if answer.is_ok() { Outcome::Passed } else { Outcome::Failed };
        recorder.record(Check::Possession, outcome, || match &answer {
            Ok(()) => "it is held by whoever sent the token".into(),
            Err(error) => error.message.clone().into(),
        });
        answer.map_err(|error| match error.reason {
            Reason::Overloaded => Reason::StoreUnavailable,
            _ => Reason::InvalidDpopProof,
        })
    }

    /// Finds a credential of the caller's project. Credentials of other projects do not exist for the caller.
    async fn find(
        &self,
        caller: &Caller,
        presented: &str,
        recorder: &mut impl Recorder,
    ) -> Result<Arc<Credential>, Reason> {
        let beside = Beside { project: caller.project(), environment: caller.environment(), address: None };
        let found = self.0.credentials.find_beside(presented, &beside).await.map_err(|_| {
            // The cause was logged where it happened. That nothing could be decided is a decision too, and not a yes.
            recorder.record(Check::Lookup, Outcome::Failed, || "the store could not be asked".into());
            Reason::StoreUnavailable
        })?;
        if let Found::Flawed(flaw) = found {
            recorder.record(Check::Format, Outcome::Failed, || flaw.to_string().into());
            return Err(flaw.reason());
        }
        if let Found::Malformed = found {
            recorder.record(Check::Format, Outcome::Failed, || "not a credential by its shape and checksum".into());
            return Err(Reason::Malformed);
        }
        recorder.record(Check::Format, Outcome::Passed, || "a credential by its shape and checksum".into());
        match found {
            Found::Issued(credential) if credential.project() == caller.project() => {
                recorder.record(Check::Lookup, Outcome::Passed, || format!("it is {}", credential.id()).into());
                Ok(credential)
            }
            _ => {
                recorder.record(Check::Lookup, Outcome::Failed, || "it was not issued in this project".into());
                Err(Reason::NotFound)
            }
        }
    }
}

impl Recorder for Vec<Explanation> {
    const ALL: bool = true;

    fn record(&mut self, check: Check, outcome: Outcome, detail: impl FnOnce() -> Cow<'static, str>) {
        self.push(Explanation { check, outcome, detail: detail() });
    }
}

fn verdict(credential: Arc<Credential>, decision: Result<(), Objection<'_>>, revision: Revision) -> Verdict {
    let objection = decision.err();
    Verdict {
        objection: objection.map(|objection| objection.reason),
        missing_scope: objection.and_then(|objection| objection.scope).map(|scope| scope.spelling().to_owned()),
        credential: Some(credential),
        revision,
    }
}

fn target(verdict: &Verdict) -> String {
    verdict.credential.as_ref().map_or_else(|| "unknown".to_owned(), |credential| credential.id().to_string())
}
