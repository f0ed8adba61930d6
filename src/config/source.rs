//! Where values come from: flags before the environment before the file before the defaults.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::flags::Flags;
use super::settings::{Fallback, Form, SETTINGS, Secrecy, Setting};

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// The command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

/// Reads environment variables; a test hands in its own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A value before it is understood.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) source: Source,
}

/// What every setting was given.
pub(super) struct Sources(HashMap<&'static str, Given>);

impl Source {
    /// How a setting is called there.
    pub fn name_of(&self, setting: &Setting) -> String {
        match self {
            Self::Flag => format!("--{}", setting.key.replace('_', "-")),
            Self::Environment => setting.env.to_owned(),
            Self::File(path) => format!("{} in {}", setting.key, path.display()),
            Self::Default => format!("{} (default)", setting.key),
        }
    }

    /// The source itself, in a word or two.
    pub fn describe(&self, setting: &Setting) -> String {
        match self {
            Self::Flag | Self::Environment => self.name_of(setting),
            Self::File(path) => path.display().to_string(),
            Self::Default => "default".to_owned(),
        }
    }
}

impl Sources {
    /// Gathers what was given. What is wrong with a source itself is added to `problems`.
    pub(super) fn gather(flags: &Flags, environment: Environment<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut given = HashMap::new();
        if let Some((path, named_by)) = config_file(flags, environment) {
            match read_file(&path) {
                Ok(table) => given.extend(from_file(&path, table, problems)),
                Err(rule) => problems.push(Problem::of(format!("{named_by} = {:?}", path.display().to_string()), rule)),
            }
        }
        for setting in SETTINGS {
            match environment(setting.env).map(OsString::into_string) {
                // An empty variable counts as not set, as the OTLP specification and most shells' users expect; but a
                // secret that failed to arrive must not turn into another database or another master key.
                Some(Ok(text)) if text.is_empty() && setting.secrecy == Secrecy::Open => {}
                Some(Ok(text)) if text.is_empty() && setting.env.starts_with("OTEL_") => {}
                Some(Ok(text)) if text.is_empty() => {
                    problems.push(Problem::of(setting.env, "is empty; give it a value or unset it"));
                }
                Some(Ok(text)) => {
                    given.insert(setting.key, Given { text, source: Source::Environment });
                }
                Some(Err(_)) => problems.push(Problem::of(setting.env, "must be text in UTF-8")),
                None => {}
            }
        }
        for (key, text) in &flags.given {
            given.insert(key, Given { text: text.clone(), source: Source::Flag });
        }
        Self(given)
    }

    /// What a setting was given, or its default; none if that is said in words.
    pub(super) fn of(&self, setting: &Setting) -> Option<Given> {
        self.0.get(setting.key).cloned().or(match setting.default {
            Fallback::Value(text) => Some(Given { text: text.to_owned(), source: Source::Default }),
            Fallback::Words(_) => None,
        })
    }
}

/// The configuration file and what named it.
fn config_file(flags: &Flags, environment: Environment<'_>) -> Option<(PathBuf, &'static str)> {
    let by_flag = flags.config.clone().map(|path| (path, "--config"));
    by_flag.or_else(|| environment(CONFIG_VARIABLE).filter(|v| !v.is_empty()).map(|v| (v.into(), CONFIG_VARIABLE)))
}

fn read_file(path: &Path) -> Result<toml::Table, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_FILE {
        return Err("is larger than 1 MiB; that is no configuration file".to_owned());
    }
    // The parser's own words quote the line, which may hold a password; its message and the line's number do not.
    text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        format!("is not TOML: line {line}: {}", error.message())
    })
}

fn from_file(path: &Path, table: toml::Table, problems: &mut Vec<Problem>) -> Vec<(&'static str, Given)> {
    let mut given = Vec::new();
    for (key, value) in table {
        let subject = format!("{key:?} in {}", path.display());
        match SETTINGS.iter().find(|setting| setting.key == key) {
            Some(setting) if setting.form == Form::EnvironmentOnly => {
                problems.push(Problem::of(subject, format!("must not be in a file; use {}", setting.env)));
            }
            Some(setting) => match as_text(value, setting.form) {
                Ok(text) => given.push((setting.key, Given { text, source: Source::File(path.to_owned()) })),
                Err(rule) => problems.push(Problem::of(subject, rule)),
            },
            None => problems.push(Problem::of(subject, "is not a setting; `gatepost config` lists them")),
        }
    }
    given
}

/// A value of the file in the form it has on the command line, so that both are read alike.
fn as_text(value: toml::Value, form: Form) -> Result<String, &'static str> {
    match (value, form) {
        (toml::Value::Array(items), Form::List(_)) if items.is_empty() => Ok("none".to_owned()),
        (toml::Value::Array(items), Form::List(_)) => {
            let items: Option<Vec<String>> = items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect();
            items.map(|items| items.join(",")).ok_or("must be a list of strings")
        }
        (toml::Value::Boolean(value), Form::Switch) => Ok(value.to_string()),
        (_, Form::Switch) => Err("must be true or false"),
        (toml::Value::String(text), _) => Ok(text),
        (toml::Value::Integer(number), Form::Value(_)) => Ok(number.to_string()),
        (_, Form::List(_)) => Err("must be a string or a list of strings"),
        _ => Err("must be a string or a whole number"),
    }
}

/// Names the configuration file where no flag does.
pub(super) const CONFIG_VARIABLE: &str = "GATEPOST_CONFIG";

const MAX_FILE: u64 = 1024 * 1024;
