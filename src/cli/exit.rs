//! How a command ends: its exit code, and where it failed, the words and the next step.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::text::plain;

/// What a script learns from a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Exit {
    /// Done.
    Done = 0,
    /// The server refused or failed, or what was checked is not in order.
    Failed = 1,
    /// The command line or the configuration is wrong, or something that it names cannot be read.
    Usage = 2,
    /// The server refused the credential.
    Credential = 3,
    /// There is no such thing.
    NotFound = 4,
    /// The server cannot be reached.
    Unreachable = 5,
    /// The credential that was verified is not valid.
    NotValid = 6,
}

/// The exit codes for the help.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done; for `keys verify`: the credential is VALID
  1  the server refused or failed; for `audit verify`: a log is broken; for `scan`: something was found
  2  the command line or the configuration is wrong; for `scan`: something cannot be read
  3  the server refused the credential in GATEPOST_KEY
  4  there is no such key, scope, client or product
  5  the server cannot be reached
  6  `keys verify`: the credential is not valid";

/// Why a command failed, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    answer: Option<Box<Answer>>,
}

/// What the server's refusal says besides its message.
#[derive(Debug)]
pub(super) struct Answer {
    /// The reason, as in `error_reason.proto`.
    pub(super) reason: String,
    /// Finds the request in the server's log.
    pub(super) request_id: Option<String>,
    /// The fields that break a rule, with the rules.
    pub(super) violations: Vec<(String, String)>,
}

impl Failure {
    /// A failure with these words.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, answer: None }
    }

    /// The command line is wrong.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Says what to do next.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Takes over what the server's refusal says besides its message.
    pub(super) fn answered(mut self, answer: Answer) -> Self {
        self.answer = Some(Box::new(answer));
        self
    }

    /// The code the process ends with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether there is nothing to say: whoever read our output has gone.
    pub(super) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// The failure for scripts: one line of JSON.
    pub(super) fn to_json(&self) -> String {
        let answer = self.answer.as_deref();
        let violations = answer.map(|answer| answer.violations.as_slice()).unwrap_or_default();
        let violations: Vec<Value> =
            violations.iter().map(|(field, rule)| json!({"field": field, "rule": rule})).collect();
        json!({
            "error": answer.map(|answer| &answer.reason),
            "message": self.message,
            "hint": self.hint,
            "requestId": answer.and_then(|answer| answer.request_id.as_ref()),
            "violations": violations,
            "exitCode": self.exit as u8,
        })
        .to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", plain(&self.message))?;
        if let Some(id) = self.answer.as_ref().and_then(|answer| answer.request_id.as_ref()) {
            write!(f, "\n  request: {}", plain(id))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  next: {hint}")?;
        }
        Ok(())
    }
}

impl From<io::Error> for Failure {
    /// Our own output could not be written. That a reader such as `head` has seen enough is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, ""),
            _ => Self::new(Exit::Failed, format!("the output cannot be written: {error}")),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
