//! The one decision: may this credential do this? Pure, so that the guard, Verify and ExplainVerify cannot differ.
//!
//! Order: status and expiry, environment, client address, scopes. What is spent on a call ([limits and quotas](super::limit))
//! comes after the last of them, so that a refusal spends nothing.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::domain::clock::Timestamp;
use crate::domain::credential::{Credential, Form, SecretRole};
use crate::domain::environment::Environment;
use crate::domain::key::KeyState;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::domain::user::Standing;

/// What a credential is asked to do, and under which circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The time.
    pub now: Timestamp,
    /// The environment it must belong to; none where it decides that itself.
    pub environment: Option<Environment>,
    /// Where the end client's request came from, if known.
    pub client: Option<IpAddr>,
    /// The scopes it must hold, all of them.
    pub scopes: &'a [Scope],
}

/// The answer: nothing stands against it, or this.
pub type Decision<'a> = Result<(), Objection<'a>>;

/// What stands against a credential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objection<'a> {
    /// The decision code.
    pub reason: Reason,
    /// The scope that is missing.
    pub scope: Option<&'a Scope>,
}

/// Sees each check as it is made.
pub trait Recorder {
    /// Whether the checks after the first objection are wanted too.
    const ALL: bool;

    /// Takes the outcome of a check. `detail` is made only by recorders that want it.
    fn record(&mut self, check: Check, outcome: Outcome, detail: impl FnOnce() -> Cow<'static, str>);
}

/// The recorder of the hot path: sees nothing and costs nothing.
impl Recorder for () {
    const ALL: bool = false;

    fn record(&mut self, _: Check, _: Outcome, _: impl FnOnce() -> Cow<'static, str>) {}
}

/// One of the checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Check {
    /// Shape and checksum of what was presented.
    Format,
    /// Whether it was issued in the caller's project.
    Lookup,
    /// Whether it is revoked or suspended.
    Status,
    /// Whether it, or the old secret of a rotation, is past its end.
    Expiry,
    /// Live or test.
    Environment,
    /// Where the request came from.
    ClientIp,
    /// What it may do.
    Scopes,
    /// Whether whoever sent it holds the key it is bound to. Not made here: it takes the request.
    Possession,
    /// One of the limits that it is under. Not made here either.
    RateLimit,
    /// What it may spend in all. Not made here either.
    Quota,
}

impl Check {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Lookup => "lookup",
            Self::Status => "status",
            Self::Expiry => "expiry",
            Self::Environment => "environment",
            Self::ClientIp => "client_ip",
            Self::Scopes => "scopes",
            Self::Possession => "possession",
            Self::RateLimit => "rate_limit",
            Self::Quota => "quota",
        }
    }
}

/// How a check went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It objects.
    Failed,
    /// It does not.
    Passed,
    /// There was nothing to check.
    Skipped,
}

/// Decides about a credential that was found. `recorder` sees the checks; the first objection is the answer.
pub fn decide<'a>(credential: &Credential, question: &Question<'a>, recorder: &mut impl Recorder) -> Decision<'a> {
    let mut first = Ok(());
    for check in [status, expiry, environment, client_ip, scopes] {
        let answer = check(credential, question, recorder);
        if first.is_ok() {
            first = answer;
        }
        if first.is_err() && !wants_all(recorder) {
            break;
        }
    }
    first
}

fn wants_all<R: Recorder>(_: &R) -> bool {
    R::ALL
}

fn status<'a>(credential: &Credential, question: &Question<'a>, recorder: &mut impl Recorder) -> Decision<'a> {
    let by_itself = match credential.state(question.now) {
        KeyState::Active | KeyState::Expired => None,
        KeyState::Revoked => Some(Reason::Revoked),
        KeyState::Suspended => Some(Reason::Suspended),
    };
    let reason = match (by_itself, credential.standing()) {
        (Some(Reason::Revoked), _) | (_, Some(Standing::Deleted)) => Some(Reason::Revoked),
        (Some(_), _) | (_, Some(Standing::Blocked)) => Some(Reason::Suspended),
        (None, None | Some(Standing::Good)) => None,
    };
    let noun = credential.noun();
    answer(recorder, Check::Status, reason, || match (reason, by_itself) {
        (Some(Reason::Revoked), Some(Reason::Revoked)) => format!("the {noun} is revoked").into(),
        (Some(Reason::Revoked), _) => format!("the user of the {noun} is deleted").into(),
        (Some(_), Some(_)) => format!("the {noun} is suspended").into(),
        (Some(_), None) => format!("the user of the {noun} is blocked").into(),
        (None, _) => format!("the {noun} is neither revoked nor suspended").into(),
    })
}

fn expiry<'a>(credential: &Credential, question: &Question<'a>, recorder: &mut impl Recorder) -> Decision<'a> {
    let past = |end: Option<Timestamp>| end.is_some_and(|end| end <= question.now);
    let noun = credential.noun();
    let over = past(credential.expires_at());
    answer(recorder, Check::Expiry, over.then_some(Reason::Expired), || match &credential.form {
        Form::Key(secret) if secret.role == SecretRole::Previous && !past(secret.key.details.expires_at) => {
            match over {
                true => "this is the old secret of a rotation, and its grace period is over".into(),
                false => "this is the old secret of a rotation, in its grace period".into(),
            }
        }
        _ if over => format!("the {noun} is past its end").into(),
        _ if credential.expires_at().is_none() => format!("the {noun} has no end").into(),
        _ => format!("the {noun} is before its end").into(),
    })
}

fn environment<'a>(credential: &Credential, question: &Question<'a>, recorder: &mut impl Recorder) -> Decision<'a> {
    let (own, noun) = (credential.environment(), credential.noun());
    let Some(wanted) = question.environment else {
        recorder.record(Check::Environment, Outcome::Skipped, || "no environment was asked for".into());
        return Ok(());
    };
    let reason = (own != wanted).then_some(Reason::EnvMismatch);
    answer(recorder, Check::Environment, reason, || {
        format!("the {noun} is for {own} data, asked about {wanted}").into()
    })
}

fn client_ip<'a>(credential: &Credential, question: &Question<'a>, recorder: &mut impl Recorder) -> Decision<'a> {
    let Some(list) = credential.allowed_ips() else {
        let (noun, reports) = (credential.noun(), credential.only_reports(question.client));
        let outcome = if reports { Outcome::Passed } else { Outcome::Skipped };
        recorder.record(Check::ClientIp, outcome, || match (reports, question.client) {
            (true, Some(address)) => {
                format!("{address} is not on the key's address list, which only reports: it would be refused").into()
            }
            (true, None) => {
                "no client address was given, and the key's address list, which only reports, would refuse that".into()
            }
            (false, _) => format!("the {noun} has no address list that refuses").into(),
        });
        return Ok(());
    };
    // A list cannot be satisfied by an address nobody knows.
    let allowed = question.client.is_some_and(|address| list.allows(address));
    answer(recorder, Check::ClientIp, (!allowed).then_some(Reason::IpDenied), || match question.client {
        Some(address) if allowed => format!("{address} is on the key's address list").into(),
        Some(address) => format!("{address} is not on the key's address list").into(),
        None => "the key has an address list, and no client address was given".into(),
    })
}

fn scopes<'a>(credential: &Credential, question: &Question<'a>, recorder: &mut impl Recorder) -> Decision<'a> {
    let noun = credential.noun();
    if question.scopes.is_empty() {
        recorder.record(Check::Scopes, Outcome::Skipped, || "no scope was asked for".into());
        return Ok(());
    }
    let Some(missing) = credential.scopes().first_missing(question.scopes) else {
        recorder.record(Check::Scopes, Outcome::Passed, || format!("the {noun} holds every scope asked for").into());
        return Ok(());
    };
    recorder.record(Check::Scopes, Outcome::Failed, || format!("the {noun} does not hold {missing}").into());
    Err(Objection { reason: Reason::InsufficientScope, scope: Some(missing) })
}

fn answer<'a>(
    recorder: &mut impl Recorder,
    check: Check,
    reason: Option<Reason>,
    detail: impl FnOnce() -> Cow<'static, str>,
) -> Decision<'a> {
    let outcome = if reason.is_some() { Outcome::Failed } else { Outcome::Passed };
    recorder.record(check, outcome, detail);
    reason.map_or(Ok(()), |reason| Err(Objection { reason, scope: None }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::credential::{ActingUser, KeySecret};
    use crate::domain::scope::ScopeSet;
    use crate::store::tests::support::{at, full_key};

    #[test]
    fn a_user_makes_a_key_worse_and_never_better() {
        let mut key = full_key(at(0));
        key.details.honey = false;
        let mut suspended = key.clone();
        suspended.suspend(at(1)).unwrap();
        let mut revoked = suspended.clone();
        revoked.revoke(at(1));
        let mut expired = key.clone();
        expired.details.expires_at = Some(at(1));
        let (held, gone, over) = (Some(Reason::Suspended), Some(Reason::Revoked), Some(Reason::Expired));
        let users = [None, Some(Standing::Good), Some(Standing::Blocked), Some(Standing::Deleted)];
        for (key, secret_expires_at, wanted) in [
            (key.clone(), None, [None, None, held, gone]),
            (suspended.clone(), None, [held, held, held, gone]),
            (revoked, None, [gone, gone, gone, gone]),
            (expired, None, [over, over, held, gone]),
            (key, Some(at(1)), [over, over, held, gone]),
            (suspended, Some(at(1)), [held, held, held, gone]),
        ] {
            for (user, wanted) in users.into_iter().zip(wanted) {
                let credential = Credential::new(Form::Key(KeySecret {
                    secret_expires_at,
                    user: user.map(|standing| Box::new(ActingUser { standing, scopes: ScopeSet::default() })),
                    ..KeySecret::only_of(key.clone())
                }));
                let client = Some("10.0.0.1".parse().unwrap());
                let now = at(1).plus(Duration::from_secs(1));
                let question = Question { now, environment: None, client, scopes: &[] };
                let decision = decide(&credential, &question, &mut ());
                let place = format!("{user:?} {:?} {secret_expires_at:?}", key.state(now));
                assert_eq!(decision.err().map(|objection| objection.reason), wanted, "{place}");
                // What outsiders are told nobody knows.
                let as_unknown = matches!(wanted, Some(Reason::Revoked | Reason::Expired));
                assert_eq!(credential.is_told_as_unknown(now), as_unknown, "{place}");
            }
        }
    }
}
