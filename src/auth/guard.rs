//! The door: from a request's headers to a [`Caller`], or to the reason why not. Called once a request, before a byte of
//! the body is read.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Uri};

use super::caller::Caller;
use super::credential::{KeyHeaders, Presented};
use super::decide::{Objection, Question, decide};
use super::dpop::{self, Possession, Sent};
use super::limit::Limiter;
use super::lookup::{Credentials, Found};
use super::outside::flaw::Flaw;
use super::outside::lookup::Beside;
use super::policy::{Access, Policies, Policy};
use super::usage::{Knock, Ledger};
use crate::domain::clock::Clock;
use crate::domain::credential::Credential;
use crate::domain::dialect::Dialect;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::limit::limits::Cost;
use crate::domain::limit::report::Report;
use crate::domain::oauth::token::AccessToken;
use crate::domain::project::administers_installation;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::domain::test_keys::TestKey;
use crate::proto::MethodId;

/// Checks every call against the policy of its RPC.
#[derive(Debug)]
pub struct Guard {
    policies: Policies,
    headers: KeyHeaders,
    credentials: Arc<Credentials>,
    possession: Arc<Possession>,
    limiter: Arc<Limiter>,
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
}

/// One call, as far as the guard looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The RPC.
    pub method: MethodId,
    /// The family of paths it came in by.
    pub dialect: Dialect,
    /// The request's method.
    pub http_method: &'a Method,
    /// The request's target.
    pub uri: &'a Uri,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Where it came from, if the trusted proxies said: what is held against address lists.
    pub client: Option<IpAddr>,
    /// Where it came from, or else the nearest proxy: what is written down and charged for unknown keys.
    pub address: IpAddr,
    /// Its id.
    pub request_id: &'a Arc<str>,
    /// Where is said how the credential stands with its limits, if it has any.
    pub standing: &'a OnceLock<Report>,
}

/// A refusal: what the caller is told, and what the log is.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the caller is told. Outsiders see one reason for every credential that is not good.
    pub error: Error,
    /// The true reason.
    pub reason: Reason,
    /// The credential, if one was recognised.
    pub credential: Option<Arc<Credential>>,
}

impl Guard {
    /// A guard over these credentials.
    pub fn new(
        policies: Policies,
        headers: KeyHeaders,
        credentials: Arc<Credentials>,
        possession: Arc<Possession>,
        limiter: Arc<Limiter>,
        ledger: Arc<Ledger>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { policies, headers, credentials, possession, limiter, ledger, clock }
    }

    /// A nonce for the next proof that a caller holds a key.
    pub fn nonce(&self) -> String {
        self.possession.nonce()
    }

    /// Whether a request carries a credential, in whichever header, or something in its place.
    pub fn is_credential_in(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(AUTHORIZATION) || self.headers.iter().any(|name| headers.contains_key(name))
    }

    /// The policy of an RPC.
    pub fn policy(&self, method: MethodId) -> &Policy {
        self.policies.of(method)
    }

    /// Says who is calling; none for an RPC that is open to anyone. Counts the call.
    ///
    /// # Errors
    /// The refusal, when the caller may not call this RPC.
    pub async fn admit(&self, call: Call<'_>) -> Result<Option<Caller>, Refusal> {
        let wider = |caller: &Caller| {
            if caller.credential().token().is_some() { &self.policy(call.method).wider[..] } else { &[] }
        };
        self.admit_asking(call, wider).await
    }

    /// The same where whoever serves the call asks the caller for scopes, besides those of the RPC, of which there are none then:
    /// they count as needed if the caller holds them.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn admit_asking<'a>(
        &self,
        call: Call<'_>,
        asked: impl FnOnce(&Caller) -> &'a [Scope],
    ) -> Result<Option<Caller>, Refusal> {
        let policy = self.policies.of(call.method);
        let answer = self.judge(call, policy).await;
        if let Err(refusal) = &answer {
            self.tell_limits(&call, refusal);
        }
        let Call { method, headers, address, .. } = call;
        let knock = Knock { method, scopes: policy.access.scopes(), address, headers };
        match &answer {
            Ok(Some(caller)) => {
                let asked = asked(caller);
                let makes_use = !asked.is_empty() && caller.scopes().first_missing(asked).is_none();
                self.ledger.admitted(caller, &if makes_use { Knock { scopes: asked, ..knock } } else { knock });
            }
            Ok(None) => {}
            Err(refusal) => self.ledger.refused(refusal, &knock, self.clock.now()),
        }
        answer
    }

    async fn judge(&self, call: Call<'_>, policy: &Policy) -> Result<Option<Caller>, Refusal> {
        if matches!(policy.access, Access::Public) {
            return Ok(None);
        }
        let presented = self.headers.read(call.headers)?;
        if matches!(policy.access, Access::Open) && presented.is_empty() {
            return Ok(None);
        }
        if policy.introduction {
            let caller = Box::pin(self.introduce(&call, policy, presented)).await?;
            self.spend(&call, policy, &caller).await?;
            return Ok(Some(caller));
        }
        let (credential, beside) = self.find(&call, policy, presented).await?;
        self.require_key(&call, presented, &credential, beside.as_deref())?;
        let caller = self.check(&call, policy, credential, beside)?;
        self.spend(&call, policy, &caller).await?;
        if let Some(presented) = presented.secret.or(presented.publishable) {
            self.credentials.used(presented, caller.credential(), &caller, self.clock.now()).await.map_err(
                |error| match error.reason {
                    Reason::NotFound => Refusal::of_credential(Reason::NotFound, None),
                    _ => error.into(),
                },
            )?;
        }
        Ok(Some(caller))
    }

    /// Takes what the call costs from the limits of whoever makes it. Comes after all other checks, so that what they refuse
    /// spends nothing.
    async fn spend(&self, call: &Call<'_>, policy: &Policy, caller: &Caller) -> Result<(), Refusal> {
        let payer = caller.payer();
        let refused = |error: Error| Refusal { reason: error.reason, error, credential: Some(Arc::clone(payer)) };
        let spent = self.limiter.spend(payer, Cost::of_rpc(policy.cost), caller.at()).await.map_err(refused)?;
        let Some(report) = spent else { return Ok(()) };
        let error = report.is_refused().then(|| report.error());
        // Nobody has said it before.
        let _ = call.standing.set(report);
        error.map_or(Ok(()), |error| Err(refused(error)))
    }

    /// Says how a credential stands with its limits that is refused for another reason; nothing of one that is as good as unknown.
    fn tell_limits(&self, call: &Call<'_>, refusal: &Refusal) {
        if call.standing.get().is_none()
            && refusal.error.reason.wording().http != UNAUTHORIZED
            && let Some(report) =
                refusal.credential.as_ref().and_then(|credential| self.limiter.look(credential, self.clock.now()))
        {
            let _ = call.standing.set(report);
        }
    }

    /// Looks up what was presented: who is calling, and the publishable key beside it.
    async fn find(
        &self,
        call: &Call<'_>,
        policy: &Policy,
        presented: Presented<'_>,
    ) -> Result<(Arc<Credential>, Option<Arc<Credential>>), Refusal> {
        match (presented.secret, presented.publishable) {
            (None, None) => Err(missing().into()),
            (Some(one), None) | (None, Some(one)) => Ok((self.issued(call, policy, one).await?, None)),
            (Some(secret), Some(publishable)) => {
                let beside = self.issued(call, policy, publishable).await?;
                match self.credentials.find_beside(secret, &beside_of(&beside, call.address)).await? {
                    // Beside a live key a test key is unknown, and beside one that is not good it does not matter.
                    Found::Reserved(key) if beside.environment() == Environment::Test => {
                        let question =
                            Question { now: self.clock.now(), environment: None, client: call.client, scopes: &[] };
                        decide(&beside, &question, &mut ())
                            .map_err(|objection| refuse(&objection, call.dialect, &beside))?;
                        Err(self.reserved(key, call, policy))
                    }
                    found => Ok((good(found)?, Some(beside))),
                }
            }
        }
    }

    async fn issued(&self, call: &Call<'_>, policy: &Policy, presented: &str) -> Result<Arc<Credential>, Refusal> {
        match self.credentials.find_for(presented, call.address).await? {
            Found::Reserved(key) => Err(self.reserved(key, call, policy)),
            found => good(found),
        }
    }

    /// The refusal that a reserved test key is there for.
    fn reserved(&self, key: &TestKey, call: &Call<'_>, policy: &Policy) -> Refusal {
        let scope = policy.access.scopes().first().map(|scope| scope.spelling_in(call.dialect));
        match key.reason {
            Reason::Expired | Reason::NotFound | Reason::Revoked => Refusal::of_credential(key.reason, None),
            reason => {
                let standing = key.standing(self.clock.now());
                let error = key.refusal(scope, standing.as_ref());
                if let Some(report) = standing {
                    // Nobody has said it before.
                    let _ = call.standing.set(report);
                }
                Refusal { error, reason, credential: None }
            }
        }
    }

    /// Says which key brings which user. Whoever calls with anything else is held against the policy first, so that they learn
    /// no more than at any other RPC.
    async fn introduce(&self, call: &Call<'_>, policy: &Policy, presented: Presented<'_>) -> Result<Caller, Refusal> {
        let (Some(token), Some(key)) = (presented.secret, presented.publishable) else {
            return self.refuse_without_token(call, policy, presented).await;
        };
        if presented.by_dpop {
            // No key is known that such a token would be bound to.
            return Err(Refusal { credential: None, ..not_bound().into() });
        }
        if !self.credentials.is_from_outside(token) {
            return self.refuse_without_token(call, policy, presented).await;
        }
        let key = self.issued(call, policy, key).await?;
        let now = self.clock.now();
        let question = Question { now, environment: None, client: call.client, scopes: &[] };
        decide(&key, &question, &mut ()).map_err(|objection| refuse(&objection, call.dialect, &key))?;
        match self.credentials.introduce(token, &beside_of(&key, call.address)).await? {
            Ok(introduction) => {
                let caller = Caller::new(key, None, call.address, Arc::clone(call.request_id), now);
                Ok(caller.introducing(introduction))
            }
            Err(flaw) => Err(flawed(flaw)),
        }
    }

    async fn refuse_without_token(
        &self,
        call: &Call<'_>,
        policy: &Policy,
        presented: Presented<'_>,
    ) -> Result<Caller, Refusal> {
        let (credential, beside) = self.find(call, policy, presented).await?;
        self.require_key(call, presented, &credential, beside.as_deref())?;
        // Of which kind the credential is does not matter: the token is what is missing.
        let policy = Policy { user: false, publishable: true, ..policy.clone() };
        let caller = self.check(call, &policy, credential, beside)?;
        let credential = Some(Arc::new(caller.credential().clone()));
        Err(Refusal { credential, ..needs_introduction().into() })
    }

    /// Whoever sends a token that is bound to a key has to prove that they hold it (RFC 9449, section 7), and a token that is
    /// not bound is not sent as one that is.
    fn require_key(
        &self,
        call: &Call<'_>,
        presented: Presented<'_>,
        credential: &Arc<Credential>,
        beside: Option<&Credential>,
    ) -> Result<(), Refusal> {
        // As nearly all are.
        if credential.bound_to().is_none() && !presented.by_dpop && beside.is_none_or(|it| it.bound_to().is_none()) {
            return Ok(());
        }
        let refuse = |error| Err(Refusal { credential: Some(Arc::clone(credential)), ..Refusal::from(error) });
        match (credential.bound_to(), presented.secret) {
            _ if beside.is_some_and(|beside| beside.bound_to().is_some()) => refuse(bound()),
            (Some(key), Some(token)) if presented.by_dpop => {
                let sent = Sent { method: call.http_method, uri: call.uri, headers: call.headers };
                self.possession.require(&sent, token, key).or_else(refuse)
            }
            (Some(_), _) => refuse(bound()),
            (None, _) => refuse(not_bound()),
        }
    }

    fn check(
        &self,
        call: &Call<'_>,
        policy: &Policy,
        credential: Arc<Credential>,
        beside: Option<Arc<Credential>>,
    ) -> Result<Caller, Refusal> {
        let now = self.clock.now();
        let mut question = Question { now, environment: None, client: call.client, scopes: &[] };
        if let Some(beside) = &beside {
            decide(beside, &question, &mut ()).map_err(|objection| refuse(&objection, call.dialect, beside))?;
            // Beside a publishable key, a credential of another project is as good as unknown.
            if credential.project() != beside.project() {
                return Err(Refusal::of_credential(Reason::NotFound, Some(credential)));
            }
            question.environment = Some(beside.environment());
        }
        // Whether the key is good at all comes first, then which kind it is (no scope makes a publishable key secret), then
        // what it may do.
        decide(&credential, &question, &mut ()).map_err(|objection| refuse(&objection, call.dialect, &credential))?;
        // A token that was made for other services is not for this one (RFC 9068, section 4).
        let for_us = |token: &AccessToken| {
            token.audiences.is_empty() || token.audiences.iter().any(|audience| audience == self.credentials.issuer())
        };
        if credential.token().is_some_and(|token| !for_us(token)) {
            return Err(Refusal::of_credential(Reason::NotFound, Some(credential)));
        }
        if credential.is_publishable() && !policy.publishable {
            return Err(Refusal { credential: Some(credential), ..not_for_publishable_keys().into() });
        }
        if policy.user && credential.user_id().is_none() {
            return Err(Refusal { credential: Some(credential), ..only_for_users().into() });
        }
        let needed = policy.access.scopes();
        // What the publishable key may do alone, it may do for whoever is signed in beside it.
        let beside_may = || {
            policy.publishable && beside.as_ref().is_some_and(|beside| beside.scopes().first_missing(needed).is_none())
        };
        if let Some(scope) = credential.scopes().first_missing(needed)
            && !(credential.is_of_the_user_in_person() && beside_may())
        {
            let objection = Objection { reason: Reason::InsufficientScope, scope: Some(scope) };
            return Err(refuse(&objection, call.dialect, &credential));
        }
        let governs = || administers_installation(credential.project(), credential.environment(), credential.scopes());
        if policy.installation && !governs() {
            return Err(Refusal { credential: Some(credential), ..only_for_the_installation().into() });
        }
        Ok(Caller::new(credential, beside, call.address, Arc::clone(call.request_id), now))
    }
}

impl Refusal {
    /// A credential that is not good: outsiders are told one reason, whichever it is.
    fn of_credential(reason: Reason, credential: Option<Arc<Credential>>) -> Self {
        Self { error: Error::new(Reason::NotFound, INVALID_CREDENTIAL), reason, credential }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error.reason {
            Reason::Malformed => Self::of_credential(Reason::Malformed, None),
            reason => Self { error, reason, credential: None },
        }
    }
}

fn beside_of(key: &Credential, address: IpAddr) -> Beside<'_> {
    Beside { project: key.project(), environment: key.environment(), address: Some(address) }
}

fn good(found: Found) -> Result<Arc<Credential>, Refusal> {
    match found {
        Found::Issued(credential) => Ok(credential),
        Found::Honey(credential) => Err(Refusal::of_credential(Reason::NotFound, Some(credential))),
        Found::Malformed => Err(Refusal::of_credential(Reason::Malformed, None)),
        Found::Unknown | Found::Reserved(_) => Err(Refusal::of_credential(Reason::NotFound, None)),
        Found::Flawed(flaw) => Err(flawed(flaw)),
    }
}

/// What is wrong with a token is for the log.
fn flawed(flaw: Flaw) -> Refusal {
    tracing::debug!(%flaw, "a token from outside was refused");
    Refusal::of_credential(flaw.reason(), None)
}

fn refuse(objection: &Objection<'_>, dialect: Dialect, credential: &Arc<Credential>) -> Refusal {
    let found = Some(Arc::clone(credential));
    let spelling = |scope: &Scope| scope.spelling_in(dialect);
    let error = match (objection.reason, objection.scope) {
        (Reason::Revoked | Reason::Expired, _) => return Refusal::of_credential(objection.reason, found),
        (Reason::InsufficientScope, Some(scope)) => Error::insufficient_scope(spelling(scope)),
        (reason, _) => Error::new(reason, explanation(reason)),
    };
    Refusal { reason: objection.reason, error, credential: found }
}

/// What the holder of a good but refused key is told.
pub(crate) fn explanation(reason: Reason) -> &'static str {
    match reason {
        Reason::EnvMismatch => "The key belongs to the other environment (live or test)",
        Reason::IpDenied => "The key may not be used from this address",
        Reason::QuotaExhausted => "The key's quota is used up",
        Reason::RateLimited => "Rate limit exceeded",
        Reason::Suspended => "The key is suspended",
        _ => INVALID_CREDENTIAL,
    }
}

fn bound() -> Error {
    dpop::invalid("the token is bound to a key: it is sent as Authorization: DPoP, with a proof in the header DPoP")
}

fn not_bound() -> Error {
    dpop::invalid("this is not bound to a key: it is sent as Authorization: Bearer")
}

fn missing() -> Error {
    Error::new(Reason::MissingCredential, INVALID_CREDENTIAL)
}

fn not_for_publishable_keys() -> Error {
    let message = "A publishable key cannot do this; call with a secret or restricted key";
    Error::new(Reason::CallerNotAllowed, message)
}

fn only_for_users() -> Error {
    let message = "Only a user may do this; call with the token of a session, a token of theirs beside the API key, or a key that acts for a user";
    Error::new(Reason::CallerNotAllowed, message)
}

fn needs_introduction() -> Error {
    let message =
        "This takes the token of an issuer that the project trusts, as Authorization: Bearer, beside the API key";
    Error::new(Reason::CallerNotAllowed, message)
}

fn only_for_the_installation() -> Error {
    let message = "Only an administrator of the installation may do this; call with a live key of the project default that holds admin";
    Error::new(Reason::CallerNotAllowed, message)
}

/// The status of whoever is told nothing about what they presented.
const UNAUTHORIZED: u16 = 401;
/// The words for every credential that is missing or not good.
pub(crate) const INVALID_CREDENTIAL: &str = "Invalid or missing API key";
