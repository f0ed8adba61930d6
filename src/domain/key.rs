//! API keys: what they are and the only ways they change.

use std::time::Duration;

use super::clock::Timestamp;
use super::environment::Environment;
use super::error::{Error, Result};
use super::id::{CredentialId, KeyId, ProjectId, UserId};
use super::limit::RateLimits;
use super::limit::quota::Quota;
use super::metadata::Metadata;
use super::network::{AddressMode, AllowList};
use super::reason::Reason;
use super::scope::ScopeSet;

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Identifies the key.
    pub id: KeyId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// The environment it belongs to.
    pub environment: Environment,
    /// What it is for.
    pub kind: KeyKind,
    /// The service account it acts for; of a user key, its user.
    pub user: Option<UserId>,
    /// What may be changed about it.
    pub details: KeyDetails,
    /// Whether its secret can be shown again.
    pub recoverable: bool,
    /// How to recognise the current secret.
    pub hint: Box<str>,
    /// The last rotation, while the old secret still works or waits.
    pub rotation: Option<Rotation>,
    /// The key or the user that made it; none for those made on the command line.
    pub created_by: Option<CredentialId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When it was suspended, if it is.
    pub suspended_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// Counts the changes; the etag is made from it.
    pub version: i64,
}

/// What may be changed about a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeyDetails {
    /// A name for people, 1 to 100 characters.
    pub name: String,
    /// A second, short name, unique among the unrevoked keys of one project and environment.
    pub alias: Option<String>,
    /// What the key is for, in prose.
    pub description: String,
    /// Who the key belongs to, in the words of the system that asked for it.
    pub owner: Option<String>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// Where it may be used from.
    pub allowed_ips: AllowList,
    /// Free pairs.
    pub metadata: Metadata,
    /// When it stops working by itself.
    pub expires_at: Option<Timestamp>,
    /// Its own limits, which take the place of those of their names that its project gives to keys of its type.
    pub rate_limits: RateLimits,
    /// What it may spend in all; none where that is not counted.
    pub credits: Option<Box<Quota>>,
    /// What is done about a call from an address that is not on its list.
    pub allowed_ips_mode: AddressMode,
    /// Whether it lies somewhere for whoever has no business there: it is answered like one that nobody knows, and its project is
    /// told.
    pub honey: bool,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum KeyKind {
    /// Server to server.
    Secret,
    /// Server to server, with an explicit scope list and never `admin`.
    Restricted,
    /// May be public.
    Publishable,
    /// Acts as the user who made it. Its name is the handle, its description the alias.
    User,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Secret, Self::Restricted, Self::Publishable, Self::User];

    /// The short word, `sk`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "sk",
            Self::Restricted => "rk",
            Self::Publishable => "pk",
            Self::User => "uk",
        }
    }

    /// The kind of this short word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum KeyState {
    /// Works.
    Active,
    /// Held; can be resumed.
    Suspended,
    /// Ended for good.
    Revoked,
    /// Past its end.
    Expired,
}

/// A change of secret, with the time in which both work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// When the key was rotated.
    pub rotated_at: Timestamp,
    /// How long both secrets work.
    pub grace: Duration,
    /// When the grace period begins.
    pub mode: RotationMode,
    /// When the old secret stops working; none while it waits for the new one's first use.
    pub old_expires_at: Option<Timestamp>,
}

/// When the grace period of a rotation begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RotationMode {
    /// At the rotation.
    Immediate,
    /// When the new secret is first used.
    FirstUse,
}

impl RotationMode {
    /// The word in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::FirstUse => "first_use",
        }
    }

    /// The mode of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Immediate, Self::FirstUse].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// The longest grace period: 30 days.
pub const MAX_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Key {
    /// Where the key is in its life at this time.
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.details.expires_at.is_some_and(|end| end <= now) {
            KeyState::Expired
        } else if self.suspended_at.is_some() {
            KeyState::Suspended
        } else {
            KeyState::Active
        }
    }

    /// Changes with every change of the key.
    pub fn etag(&self) -> String {
        etag(self.version)
    }

    /// The rotation whose old secret works at this time.
    pub fn open_rotation(&self, now: Timestamp) -> Option<&Rotation> {
        self.rotation.as_ref().filter(|rotation| rotation.old_expires_at.is_none_or(|end| now < end))
    }

    /// Changes the details. A revoked key is not changed any more.
    pub fn update(&mut self, details: KeyDetails, now: Timestamp) -> Result<()> {
        self.refuse_if_revoked("changed")?;
        self.details = details;
        self.touch(now);
        Ok(())
    }

    /// Holds the key. Suspending a suspended key changes nothing.
    pub fn suspend(&mut self, now: Timestamp) -> Result<bool> {
        self.refuse_if_revoked("suspended")?;
        if self.suspended_at.is_some() {
            return Ok(false);
        }
        self.suspended_at = Some(now);
        self.touch(now);
        Ok(true)
    }

    /// Lets the key work again. Resuming a key that is not suspended changes nothing.
    pub fn resume(&mut self, now: Timestamp) -> Result<bool> {
        self.refuse_if_revoked("resumed")?;
        if self.suspended_at.take().is_none() {
            return Ok(false);
        }
        self.touch(now);
        Ok(true)
    }

    /// Ends the key for good. Revoking a revoked key changes nothing.
    pub fn revoke(&mut self, now: Timestamp) -> bool {
        if self.revoked_at.is_some() {
            return false;
        }
        self.revoked_at = Some(now);
        self.touch(now);
        true
    }

    /// Gives the key a new secret, known by `hint`. The old one works for the grace period.
    pub fn rotate(&mut self, hint: String, grace: Duration, mode: RotationMode, now: Timestamp) -> Result<()> {
        if self.state(now) != KeyState::Active {
            let message = "only a key that works can be rotated; resume it first, or make a new one";
            return Err(Error::new(Reason::InvalidState, message));
        }
        let old_expires_at = (mode == RotationMode::Immediate).then(|| now.plus(grace));
        self.hint = hint.into();
        self.rotation = Some(Rotation { rotated_at: now, grace, mode, old_expires_at });
        self.touch(now);
        Ok(())
    }

    /// Ends the old secret of the last rotation at once; whether it still worked.
    pub fn end_grace(&mut self, now: Timestamp) -> bool {
        let open = self.rotation.as_mut().filter(|rotation| rotation.old_expires_at.is_none_or(|end| now < end));
        let Some(rotation) = open else { return false };
        rotation.old_expires_at = Some(now);
        self.touch(now);
        true
    }

    fn refuse_if_revoked(&self, what: &str) -> Result<()> {
        match self.revoked_at {
            Some(_) => Err(Error::new(Reason::InvalidState, format!("a revoked key cannot be {what}"))),
            None => Ok(()),
        }
    }

    fn touch(&mut self, now: Timestamp) {
        self.updated_at = now;
        self.version += 1;
    }
}

/// The etag of the n-th version of a thing.
pub(crate) fn etag(version: i64) -> String {
    format!("v{version}")
}
