//! Deciding about credentials for the services that guard APIs of their own.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::Context;
use crate::auth::caller::Caller;
use crate::auth::decide::{Check, Objection, Outcome, Question, Recorder, decide};
use crate::auth::dpop::Shown;
use crate::auth::limit::payer;
use crate::auth::lookup::Found;
use crate::auth::outside::lookup::Beside;
use crate::auth::usage::Asked;
use crate::domain::change::Revision;
use crate::domain::clock::Timestamp;
use crate::domain::credential::Credential;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::limit::limits::Cost;
use crate::domain::limit::report::Report;
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::domain::test_keys::{self, TestKey};

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
    /// What the call costs where limits are held against it.
    pub cost: Cost,
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
    /// Whether the credential is a reserved test key, which is told of as if it were one of the caller's project.
    pub reserved: bool,
    /// The honey key of the caller's project that it is. Only its project is told: whoever asks is told that nobody knows it.
    pub touched: Option<Arc<Credential>>,
    /// How it stands with its limits and credits, if it has any.
    pub limits: Option<Report>,
    /// Whether its address list, which only reports, would have refused it.
    pub address_reported: bool,
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
        let now = self.0.now();
        let mut verdict = self.judge(caller, inquiry, now, &mut ()).await?;
        if let (None, Some(credential)) = (verdict.objection, &verdict.credential) {
            let used = self.0.credentials.used(inquiry.credential, credential, caller, now).await;
            if let Err(error) = used {
                let reason = if error.reason == Reason::NotFound { Reason::NotFound } else { Reason::StoreUnavailable };
                (verdict.objection, verdict.credential) = (Some(reason), None);
            }
        }
        let asked = Asked { outcome: verdict.objection, at: now, client: inquiry.client, scopes: inquiry.scopes };
        // A reserved test key is a key of nobody.
        let issued = verdict.credential.as_ref().filter(|_| !verdict.reserved);
        match issued.or(verdict.touched.as_ref()) {
            Some(credential) => self.0.ledger.verified(credential, &asked),
            None => self.0.ledger.verified_unknown(caller.project(), caller.environment(), &asked),
        }
        Ok(verdict)
    }

    /// Decides and lists every check. Not a use of the credential.
    pub async fn explain(&self, caller: &Caller, inquiry: &Inquiry<'_>) -> Result<(Verdict, Vec<Explanation>)> {
        let mut checks = Vec::new();
        let verdict = self.judge(caller, inquiry, self.0.now(), &mut checks).await?;
        self.0.store.record(&self.0.audit(caller, "credential.explained", &target(&verdict))).await?;
        Ok((verdict, checks))
    }

    async fn judge(
        &self,
        caller: &Caller,
        inquiry: &Inquiry<'_>,
        now: Timestamp,
        recorder: &mut impl Recorder,
    ) -> Result<Verdict> {
        // Taken before anything is looked up, so that no answer is older than it says.
        let revision = self.0.credentials.cache().revision();
        let mut question =
            Question { now, environment: Some(caller.environment()), client: inquiry.client, scopes: &[] };
        let refused = |reason| Verdict {
            objection: Some(reason),
            missing_scope: None,
            credential: None,
            reserved: false,
            touched: None,
            limits: None,
            address_reported: false,
            revision,
        };
        if inquiry.credential.is_empty() {
            recorder.record(Check::Format, Outcome::Failed, || "no credential was presented".into());
            return Ok(refused(Reason::MissingCredential));
        }
        let mut publishable_key = None;
        if let Some(publishable) = inquiry.publishable {
            let beside = match self.find(caller, publishable, recorder).await {
                Ok(credential) => credential,
                Err(unfound) => return Ok(Verdict { touched: unfound.touched(), ..refused(unfound.reason()) }),
            };
            if let Err(objection) = decide(&beside, &question, recorder) {
                return Ok(verdict(beside, Err(objection), revision));
            }
            publishable_key = Some(beside);
        }
        let credential = match self.find(caller, inquiry.credential, recorder).await {
            Ok(credential) => credential,
            Err(Unfound::Reserved(key)) => return Ok(rehearsed(key, caller, inquiry, (now, revision), recorder)),
            Err(unfound) => return Ok(Verdict { touched: unfound.touched(), ..refused(unfound.reason()) }),
        };
        question.scopes = inquiry.scopes;
        let decision = decide(&credential, &question, recorder);
        // As most are: neither bound to a key, nor said to be.
        let unbound = credential.bound_to().is_none() && inquiry.held.is_none();
        let held = if unbound { Ok(()) } else { self.is_held(&credential, inquiry, recorder) };
        let decision = match held {
            Ok(()) => decision,
            Err(reason) => decision.and(Err(Objection { reason, scope: None })),
        };
        let payer = payer(&credential, publishable_key.as_ref());
        let limits = match self.spend(payer, decision.is_ok(), inquiry.cost, now, recorder).await {
            Ok(limits) => limits,
            Err(_) => return Ok(refused(Reason::StoreUnavailable)),
        };
        let refusal = limits.as_ref().and_then(Report::refusal);
        let decision = match refusal {
            Some(reason) => decision.and(Err(Objection { reason, scope: None })),
            None => decision,
        };
        let address_reported = [Some(&credential), publishable_key.as_ref()]
            .into_iter()
            .flatten()
            .any(|credential| credential.only_reports(inquiry.client));
        Ok(Verdict { limits, address_reported, ..verdict(credential, decision, revision) })
    }

    /// Holds the call against the limits of whoever pays for it, last of all: of a call that is refused already nothing is taken,
    /// nor for an explanation.
    async fn spend<R: Recorder>(
        &self,
        payer: &Credential,
        may: bool,
        cost: Cost,
        now: Timestamp,
        recorder: &mut R,
    ) -> Result<Option<Report>> {
        let limiter = &self.0.limiter;
        let report = match (R::ALL, may) {
            (true, _) => limiter.spend(payer, cost.looking(), now).await?,
            (false, true) => limiter.spend(payer, cost, now).await?,
            (false, false) => limiter.look(payer, now),
        };
        for (limit, standing) in report.iter().flat_map(Report::each) {
            let outcome = if standing.short.is_some() { Outcome::Failed } else { Outcome::Passed };
            recorder.record(Check::RateLimit, outcome, || {
                let (name, calls, seconds) = (&limit.name, limit.terms.calls, limit.terms.window().as_secs());
                format!("{} of {calls} calls in {seconds} s are left of {name}", standing.remaining).into()
            });
        }
        if report.as_ref().is_none_or(|report| report.each().next().is_none()) {
            recorder
                .record(Check::RateLimit, Outcome::Skipped, || format!("the {} has no limits", payer.noun()).into());
        }
        match report.as_ref().and_then(Report::credits) {
            Some(credits) => {
                let outcome = if credits.short.is_some() { Outcome::Failed } else { Outcome::Passed };
                let detail = || format!("{} of {} credits are left", credits.remaining, credits.full).into();
                recorder.record(Check::Quota, outcome, detail);
            }
            None => {
                recorder.record(Check::Quota, Outcome::Skipped, || format!("the {} has no quota", payer.noun()).into())
            }
        }
        Ok(report)
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
    ) -> Result<Arc<Credential>, Unfound> {
        let beside = Beside { project: caller.project(), environment: caller.environment(), address: None };
        let found = self.0.credentials.find_beside(presented, &beside).await.map_err(|_| {
            // The cause was logged where it happened. That nothing could be decided is a decision too, and not a yes.
            recorder.record(Check::Lookup, Outcome::Failed, || "the store could not be asked".into());
            Unfound::Refused(Reason::StoreUnavailable)
        })?;
        if let Found::Flawed(flaw) = found {
            recorder.record(Check::Format, Outcome::Failed, || flaw.to_string().into());
            return Err(Unfound::Refused(flaw.reason()));
        }
        if let Found::Malformed = found {
            recorder.record(Check::Format, Outcome::Failed, || "not a credential by its shape and checksum".into());
            return Err(Unfound::Refused(Reason::Malformed));
        }
        recorder.record(Check::Format, Outcome::Passed, || "a credential by its shape and checksum".into());
        match found {
            Found::Issued(credential) if credential.project() == caller.project() => {
                recorder.record(Check::Lookup, Outcome::Passed, || format!("it is {}", credential.id()).into());
                Ok(credential)
            }
            Found::Honey(credential) if credential.project() == caller.project() => {
                let id = credential.id();
                recorder.record(Check::Lookup, Outcome::Failed, || {
                    format!("it is {id}, a honey key: whoever presents it is answered as if nobody knew it").into()
                });
                Err(Unfound::Honey(credential))
            }
            Found::Reserved(key) if caller.environment() == Environment::Test => Err(Unfound::Reserved(key)),
            _ => {
                recorder.record(Check::Lookup, Outcome::Failed, || "it was not issued in this project".into());
                Err(Unfound::Refused(Reason::NotFound))
            }
        }
    }
}

/// Why there is no credential to decide about.
enum Unfound {
    /// There is none, or none that can be told of.
    Refused(Reason),
    /// It is a honey key of the caller's project.
    Honey(Arc<Credential>),
    /// It is a reserved test key, and the caller's environment is the one for tests.
    Reserved(&'static TestKey),
}

impl Unfound {
    fn reason(&self) -> Reason {
        match self {
            Self::Refused(reason) => *reason,
            Self::Honey(_) => Reason::NotFound,
            Self::Reserved(key) => key.reason,
        }
    }

    fn touched(&self) -> Option<Arc<Credential>> {
        match self {
            Self::Honey(credential) => Some(Arc::clone(credential)),
            Self::Refused(_) | Self::Reserved(_) => None,
        }
    }
}

/// The answer that a reserved test key is there for.
fn rehearsed(
    key: &TestKey,
    caller: &Caller,
    inquiry: &Inquiry<'_>,
    (now, revision): (Timestamp, Revision),
    recorder: &mut impl Recorder,
) -> Verdict {
    let reason = key.reason;
    let always = || format!("it is a reserved test key, which is always answered {}", reason.wording().name).into();
    match check_of(reason) {
        Some(check) => {
            recorder.record(Check::Lookup, Outcome::Passed, || format!("it is {}", key.id).into());
            recorder.record(check, Outcome::Failed, always);
        }
        None => recorder.record(Check::Lookup, Outcome::Failed, always),
    }
    let scope = inquiry.scopes.first().map_or(test_keys::SCOPE, Scope::spelling);
    Verdict {
        objection: Some(reason),
        missing_scope: (reason == Reason::InsufficientScope).then(|| scope.to_owned()),
        credential: key.credential(caller.project()).map(Arc::new),
        reserved: true,
        touched: None,
        limits: key.standing(now),
        address_reported: false,
        revision,
    }
}

/// The check that answers this.
fn check_of(reason: Reason) -> Option<Check> {
    Some(match reason {
        Reason::Revoked | Reason::Suspended => Check::Status,
        Reason::Expired => Check::Expiry,
        Reason::EnvMismatch => Check::Environment,
        Reason::IpDenied => Check::ClientIp,
        Reason::InsufficientScope => Check::Scopes,
        Reason::RateLimited => Check::RateLimit,
        Reason::QuotaExhausted => Check::Quota,
        _ => return None,
    })
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
        reserved: false,
        touched: None,
        limits: None,
        address_reported: false,
        revision,
    }
}

fn target(verdict: &Verdict) -> String {
    verdict.credential.as_ref().map_or_else(|| "unknown".to_owned(), |credential| credential.id().to_string())
}
