//! What is wrong with a configuration, in words that name the variable, the value and the rule.

use std::fmt;

use super::settings::Setting;
use super::source::Source;

/// Why a configuration is refused: every problem found, so that one start shows them all.
#[derive(Debug, Eq, PartialEq)]
pub struct ConfigError(Vec<Problem>);

/// One thing that is wrong.
#[derive(Debug, Eq, PartialEq)]
pub struct Problem {
    subject: String,
    rule: String,
}

impl ConfigError {
    /// The error of these problems; there is at least one.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self(problems)
    }

    /// The problems.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl Problem {
    /// A value breaks a rule.
    pub(super) fn value(setting: &Setting, source: &Source, text: &str, rule: impl Into<String>) -> Self {
        let shown: String = setting.shown(text).chars().take(MAX_SHOWN).collect();
        Self { subject: format!("{} = {shown:?}", source.name_of(setting)), rule: rule.into() }
    }

    /// Something other than the value of a setting is wrong.
    pub(super) fn of(subject: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { subject: subject.into(), rule: rule.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.rule)
    }
}

/// A value longer than this is cut in a message.
const MAX_SHOWN: usize = 200;
