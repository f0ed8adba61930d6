//! The one error of the domain: a [`Reason`] and the words for the caller.

use std::fmt;
use std::time::Duration;

use super::reason::Reason;
use super::secret::{SecretShape, looks_like_token};

/// Why a call failed, in words that may be shown to the caller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    /// What kind of failure it is; decides the status on every wire.
    pub reason: Reason,
    /// What happened and what to do, for people. Never a secret and never a driver's words.
    pub message: String,
    /// The fields that break a rule, if any do; of RATE_LIMITED and QUOTA_EXHAUSTED the limits that stand against the call, by name.
    pub violations: Vec<Violation>,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
    /// The scope that is missing, in the spelling of the rule that refused.
    pub missing_scope: Option<String>,
}

/// A field that breaks a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The field, as a path in the request (`key.allowed_ips[2]`).
    pub field: String,
    /// The rule, for people.
    pub rule: String,
}

/// The result of anything that can fail for a caller to see.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with this reason and message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), violations: Vec::new(), retry_after: None, missing_scope: None }
    }

    /// A field breaks a rule.
    pub fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self::fields(vec![Violation { field: field.into(), rule: rule.into() }])
    }

    /// Some fields break their rules; there is at least one.
    pub fn fields(violations: Vec<Violation>) -> Self {
        let message = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { violations, ..Self::new(Reason::InvalidField, message) }
    }

    /// The same error of a part of the request that stands at `place` (`requests[2].`).
    pub fn within(mut self, place: &str) -> Self {
        if place.is_empty() || self.violations.is_empty() {
            return self;
        }
        for violation in &mut self.violations {
            violation.field.insert_str(0, place);
        }
        Self::fields(self.violations)
    }

    /// Nothing with this id exists in the caller's project and environment.
    pub fn not_found(what: &str, id: &str) -> Self {
        let message = match SecretShape::parse(id).is_some() || looks_like_token(id) {
            true => {
                format!("there is no {what} of this id; what was given is a secret, which belongs into a header")
            }
            false => format!("there is no {what} {:?}", shortened(id)),
        };
        Self::new(Reason::ResourceNotFound, message)
    }

    /// A needed scope is missing; `spelling` is the needed scope as the rule that refused spells it.
    pub fn insufficient_scope(spelling: String) -> Self {
        let message = format!("API key does not have required scope: {spelling}");
        Self { missing_scope: Some(spelling), ..Self::new(Reason::InsufficientScope, message) }
    }

    /// The store could not do its part; the cause is logged where it happened.
    pub fn store_unavailable() -> Self {
        let message = "the service cannot reach its data; try again";
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(Reason::StoreUnavailable, message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

/// The start of a client's own words, so that an error does not grow with them.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
