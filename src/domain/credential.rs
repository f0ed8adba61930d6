//! Credentials as they were found: what somebody who calls is known by, and the user they act as.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use super::clock::Timestamp;
use super::environment::Environment;
use super::id::{CredentialId, ProjectId, UserId};
use super::key::{Key, KeyKind, KeyState};
use super::limit::RateLimits;
use super::limit::limits::Limits;
use super::memo::Memo;
use super::network::{AddressMode, AllowList};
use super::oauth::thumbprint::Thumbprint;
use super::oauth::token::AccessToken;
use super::scope::ScopeSet;
use super::session::{Identity, Session};
use super::usage::Recorder;
use super::user::Standing;

/// What is known behind something that was presented.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// What it is.
    pub form: Form,
    /// What callers are told of it, encoded: kept for who tells it, and nothing the store knows of.
    pub told: Memo<Box<[u8]>>,
    /// Its limits and where they are counted, if it has any: kept for who holds calls against them.
    pub limits: Memo<Option<Arc<Limits>>>,
    /// What its last uses were counted by: nothing the store knows of either.
    pub used: Memo<Arc<Recorder>>,
}

/// The forms a credential has.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A secret of a key.
    Key(KeySecret),
    /// The token of a session, and its user.
    Session(Session, ActingUser),
    /// A token of an issuer that the project trusts, and its user.
    Identity(Identity, ActingUser),
    /// An access token, and the user it acts for, if it acts for one.
    Token(AccessToken, Option<ActingUser>),
}

/// One of a key's secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySecret {
    /// The key.
    pub key: Key,
    /// Which of the key's secrets it is.
    pub role: SecretRole,
    /// When this secret stops working, apart from its key: set for the old secret of a rotation whose grace period has
    /// begun.
    pub secret_expires_at: Option<Timestamp>,
    /// Whether this is the new secret of a rotation whose grace period begins with its first use.
    pub waits_for_first_use: bool,
    /// The user that the key acts for; none where there is no such user.
    pub user: Option<Box<ActingUser>>,
    /// The limits it is under: the key's own, and those that its project gives to keys of its type.
    pub limits: RateLimits,
}

/// Which of a key's secrets a secret is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SecretRole {
    /// The one made last.
    Current,
    /// The one before the last rotation.
    Previous,
}

/// A user, as far as a decision about their credentials needs them.
#[derive(Clone, Debug, PartialEq)]
pub struct ActingUser {
    /// Whether they may act.
    pub standing: Standing,
    /// What a credential that acts as them may do: what they may, and with a key of their own what both may. A service
    /// account's keys do not ask for it: they hold scopes of their own.
    pub scopes: ScopeSet,
}

impl KeySecret {
    /// The one secret of a key that was not rotated, under no limits, without what is known of a user.
    pub fn only_of(key: Key) -> Self {
        Self {
            key,
            role: SecretRole::Current,
            secret_expires_at: None,
            waits_for_first_use: false,
            user: None,
            limits: RateLimits::default(),
        }
    }
}

impl Credential {
    /// A credential that nobody was told of yet.
    pub fn new(form: Form) -> Self {
        Self { form, told: Memo::default(), limits: Memo::default(), used: Memo::default() }
    }

    /// Names it, in logs and to callers: a key by its id, a session by its own, a token from outside by its user.
    pub fn id(&self) -> CredentialId {
        match &self.form {
            Form::Key(secret) => CredentialId::Key(secret.key.id.clone()),
            Form::Session(session, _) => CredentialId::Session(session.id.clone()),
            Form::Identity(identity, _) => CredentialId::User(identity.user.clone()),
            Form::Token(token, _) => CredentialId::Token(token.id.clone()),
        }
    }

    /// The key, if it is a secret of one.
    pub fn key(&self) -> Option<&Key> {
        match &self.form {
            Form::Key(secret) => Some(&secret.key),
            Form::Session(..) | Form::Identity(..) | Form::Token(..) => None,
        }
    }

    /// The access token, if it is one.
    pub fn token(&self) -> Option<&AccessToken> {
        match &self.form {
            Form::Token(token, _) => Some(token),
            Form::Key(_) | Form::Session(..) | Form::Identity(..) => None,
        }
    }

    /// The key that whoever presents it has to hold (RFC 9449).
    pub fn bound_to(&self) -> Option<&Thumbprint> {
        self.token().and_then(|token| token.key.as_ref())
    }

    /// The key behind it: itself, or what an access token was exchanged for.
    pub fn key_behind(&self) -> Option<&Key> {
        self.key_secret_behind().map(|secret| &secret.key)
    }

    /// The secret of that key.
    pub fn key_secret_behind(&self) -> Option<&KeySecret> {
        match &self.form {
            Form::Key(secret) => Some(secret),
            Form::Token(token, _) => token.exchanged_for().and_then(Self::key_secret_behind),
            Form::Session(..) | Form::Identity(..) => None,
        }
    }

    /// Whether nobody is to use it: it is answered like one that nobody knows.
    pub fn is_honey(&self) -> bool {
        self.key_behind().is_some_and(|key| key.details.honey)
    }

    /// Whether outsiders are told at this time that nobody knows it, whatever they ask: honey, revoked, or past its end.
    pub fn is_told_as_unknown(&self, now: Timestamp) -> bool {
        self.is_honey()
            || match (self.state(now), self.standing()) {
                (KeyState::Revoked, _) | (_, Some(Standing::Deleted)) => true,
                // That it is suspended is told even past the end.
                (KeyState::Suspended, _) | (_, Some(Standing::Blocked)) => false,
                (KeyState::Active | KeyState::Expired, _) => self.expires_at().is_some_and(|end| end <= now),
            }
    }

    /// What it was exchanged for, if it is an access token that was (RFC 8693).
    pub fn exchanged_for(&self) -> Option<&Self> {
        self.token().and_then(AccessToken::exchanged_for)
    }

    /// The session, if it is the token of one.
    pub fn session(&self) -> Option<&Session> {
        match &self.form {
            Form::Session(session, _) => Some(session),
            Form::Key(_) | Form::Identity(..) | Form::Token(..) => None,
        }
    }

    /// The project it belongs to.
    pub fn project(&self) -> &ProjectId {
        match &self.form {
            Form::Key(secret) => &secret.key.project,
            Form::Session(session, _) => &session.project,
            Form::Identity(identity, _) => &identity.project,
            Form::Token(token, _) => &token.project,
        }
    }

    /// The environment it belongs to.
    pub fn environment(&self) -> Environment {
        match &self.form {
            Form::Key(secret) => secret.key.environment,
            Form::Session(session, _) => session.environment,
            Form::Identity(identity, _) => identity.environment,
            Form::Token(token, _) => token.environment,
        }
    }

    /// The user it acts for.
    pub fn user_id(&self) -> Option<&UserId> {
        match &self.form {
            Form::Key(secret) => secret.key.user.as_ref(),
            Form::Session(session, _) => Some(&session.user),
            Form::Identity(identity, _) => Some(&identity.user),
            Form::Token(token, _) => token.user.as_ref(),
        }
    }

    /// What it belongs to: when one of these changes or ends, what was known of the credential counts no more.
    pub fn owners(&self) -> impl Iterator<Item = &str> {
        let client = match &self.form {
            Form::Token(token, _) => Some(token.client.as_str()),
            _ => None,
        };
        let user = self.user_id().map(UserId::as_str);
        [Some(self.project().as_str()), user, client].into_iter().flatten()
    }

    /// Whether whoever presents it is the user, who proved it lately, rather than a key that works by
    /// itself.
    pub fn is_of_the_user_in_person(&self) -> bool {
        matches!(self.form, Form::Session(..) | Form::Identity(..))
    }

    /// Whether it is a publishable key.
    pub fn is_publishable(&self) -> bool {
        self.key().is_some_and(|key| key.kind == KeyKind::Publishable)
    }

    /// What the user means for it; none where there is no such user.
    pub fn standing(&self) -> Option<Standing> {
        match &self.form {
            Form::Key(secret) => secret.user.as_ref().map(|user| user.standing),
            Form::Session(_, user) | Form::Identity(_, user) => Some(user.standing),
            Form::Token(token, user) => match user.as_ref().map(|user| user.standing) {
                None | Some(Standing::Good) => {
                    token.exchanged_for().and_then(Self::standing).or(user.as_ref().map(|user| user.standing))
                }
                bad => bad,
            },
        }
    }

    /// What it may do.
    pub fn scopes(&self) -> &ScopeSet {
        match &self.form {
            Form::Key(secret) if secret.key.kind == KeyKind::User => {
                secret.user.as_ref().map_or(&NOTHING, |user| &user.scopes)
            }
            Form::Key(secret) => &secret.key.details.scopes,
            Form::Session(_, user) | Form::Identity(_, user) => &user.scopes,
            Form::Token(token, _) => &token.scopes.registered,
        }
    }

    /// Where it may be used from; none where it was not restricted, or its list only reports.
    pub fn allowed_ips(&self) -> Option<&AllowList> {
        self.address_list(AddressMode::Enforce)
    }

    /// Whether its address list would refuse a call from there, if it did more than report.
    pub fn only_reports(&self, client: Option<IpAddr>) -> bool {
        let list = self.address_list(AddressMode::Report);
        // As with lists that are enforced: none can be satisfied by an address nobody knows.
        list.is_some_and(|list| client.is_none_or(|address| !list.allows(address)))
    }

    fn address_list(&self, mode: AddressMode) -> Option<&AllowList> {
        let details = &self.key_behind()?.details;
        Some(&details.allowed_ips).filter(|list| !list.is_open() && details.allowed_ips_mode == mode)
    }

    /// When it stops working by itself: a secret with its key, or before it.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match &self.form {
            Form::Key(secret) => [secret.key.details.expires_at, secret.secret_expires_at].into_iter().flatten().min(),
            Form::Session(session, _) => Some(session.expires_at),
            Form::Identity(identity, _) => Some(identity.expires_at),
            Form::Token(token, _) => Some(token.expires_at),
        }
    }

    /// Where it is in its life at this time, its user aside.
    pub fn state(&self, now: Timestamp) -> KeyState {
        match &self.form {
            Form::Key(secret) => secret.key.state(now),
            Form::Session(session, _) if session.revoked_at.is_some() => KeyState::Revoked,
            Form::Token(token, _) if token.revoked_at.is_some() => KeyState::Revoked,
            Form::Token(AccessToken { subject: Some(subject), .. }, _) => {
                // What it was exchanged for may be gone altogether.
                subject.credential.as_ref().map_or(KeyState::Revoked, |credential| credential.state(now))
            }
            Form::Session(..) | Form::Identity(..) | Form::Token(..) => KeyState::Active,
        }
    }

    /// What it is, for people.
    pub fn noun(&self) -> &'static str {
        match self.form {
            Form::Key(_) => "key",
            Form::Session(..) => "session",
            Form::Identity(..) | Form::Token(..) => "token",
        }
    }
}

static NOTHING: LazyLock<ScopeSet> = LazyLock::new(ScopeSet::default);
