//! How credentials are used: whose calls are counted together, in which spans of time, and the counter that a credential
//! remembers.
//!
//! Pure: what bounds the counters and writes them down is in `auth::usage` and the store.

mod agent;
mod cell;
mod recorder;
mod span;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Timestamp;
use super::credential::{Credential, Form, KeySecret, SecretRole};
use super::environment::Environment;
use super::id::{ClientId, KeyId, ProjectId, UserId};
use super::key::KeyKind;
use super::reason::Reason;
use super::scope::Scope;

pub use agent::{MOST_USER_AGENT, agent_unless_known, kept_agent};
pub use cell::Cell;
pub use recorder::Recorder;
pub use span::Grain;

/// Whose calls are counted together.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Subject {
    /// The project and environment whose calls they are; none where nobody knows the credential.
    pub place: Option<(ProjectId, Environment)>,
    /// The key: the credential itself, what a token was exchanged for, or the publishable key beside a user's token.
    pub key: Option<KeyId>,
    /// The OAuth client, if it is a token of one.
    pub client: Option<ClientId>,
    /// The user it acts for.
    pub user: Option<UserId>,
    /// What alerts look for in its calls. It is the same for all calls with one secret, so that none costs more for it.
    pub watch: Watch,
}

/// What alerts look for in the calls with a secret of a key.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Watch {
    /// Whether nobody is to use the key.
    pub honey: bool,
    /// Whether anybody may have it.
    pub public: bool,
    /// Whether what it may spend is counted.
    pub metered: bool,
    /// The end of the secret, if it is the old one of a rotation and its grace period has begun.
    pub fading: Option<Fading>,
}

/// The end of an old secret.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fading {
    /// When it stops working.
    pub ends_at: Timestamp,
    /// How long it works beside the new one.
    pub grace: Duration,
}

/// One call, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// What was called.
    pub method: &'static str,
    /// Why it was refused; none if it was not.
    pub outcome: Option<Reason>,
    /// When.
    pub at: Timestamp,
    /// Where it came from, if that is known.
    pub address: Option<IpAddr>,
    /// The publishable key beside it.
    pub beside: Option<&'a KeyId>,
    /// The scopes it needed, those included that were not asked of every caller.
    pub scopes: &'a [Scope],
    /// What the client called itself.
    pub user_agent: Option<&'a str>,
}

/// Calls of one minute that are alike, counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Whose they are.
    pub subject: Arc<Subject>,
    /// What was called; empty where it is not told apart.
    pub method: &'static str,
    /// Why they were refused; none if they were not.
    pub outcome: Option<Reason>,
    /// The minute.
    pub minute: Timestamp,
    /// Where they came from; none where that is not known, or there were too many.
    pub address: Option<IpAddr>,
    /// The scopes they needed.
    pub scopes: Arc<[Scope]>,
    /// How many they are.
    pub calls: u64,
    /// When the last of them was.
    pub last_at: Timestamp,
    /// What the client of the last of them called itself.
    pub user_agent: Option<Arc<Box<str>>>,
}

/// When and where a key was accepted last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastUse {
    /// When.
    pub at: Timestamp,
    /// Where from, if that is known.
    pub address: Option<IpAddr>,
    /// What the client called itself.
    pub user_agent: Option<String>,
}

impl Subject {
    /// Whoever calls with this credential.
    pub fn of(credential: &Credential) -> Self {
        let client = match &credential.form {
            Form::Token(token, _) => Some(token.client.clone()),
            Form::Key(_) | Form::Session(..) | Form::Identity(..) => None,
        };
        Self {
            place: Some((credential.project().clone(), credential.environment())),
            key: credential.key_behind().map(|key| key.id.clone()),
            client,
            user: credential.user_id().cloned(),
            watch: credential.key_secret_behind().map(Watch::of).unwrap_or_default(),
        }
    }

    /// Whoever calls with something that nobody knows; where a caller asked about it, that caller's project is told.
    pub fn unknown(place: Option<(ProjectId, Environment)>) -> Self {
        Self { place, ..Self::default() }
    }

    /// The same, beside this publishable key. A key of its own goes before it.
    fn beside(&self, key: Option<&KeyId>) -> Self {
        let watch = Watch { public: self.watch.public || self.key.is_none() && key.is_some(), ..self.watch };
        Self { key: self.key.clone().or_else(|| key.cloned()), watch, ..self.clone() }
    }
}

impl Watch {
    fn of(secret: &KeySecret) -> Self {
        let (details, rotation) = (&secret.key.details, secret.key.rotation.as_ref());
        let fading = match (secret.role, secret.secret_expires_at, rotation) {
            (SecretRole::Previous, Some(ends_at), Some(rotation)) => Some(Fading { ends_at, grace: rotation.grace }),
            _ => None,
        };
        Self {
            honey: details.honey,
            public: secret.key.kind == KeyKind::Publishable,
            metered: details.credits.is_some(),
            fading,
        }
    }
}

/// How an outcome is called: `VALID`, or the reason's name.
pub fn outcome_name(outcome: Option<Reason>) -> &'static str {
    outcome.map_or(VALID, |reason| reason.wording().name)
}

/// The outcome of a call that was not refused.
pub const VALID: &str = "VALID";

/// What is called where a caller asks about another credential: the credential that is asked about is the subject.
pub const VERIFICATION: &str = "verification";
