//! The settings as tables: for the README, and with their values for `gatepost config`.

use std::fmt::Write;

use super::settings::{Fallback, Form, SETTINGS, Setting};
use super::source::Source;

/// What holds for one setting.
#[derive(Debug)]
pub struct Effective {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value, as it may be shown.
    pub value: String,
    /// Who said so.
    pub source: Source,
}

/// The table of the README, in Markdown.
pub fn markdown_table() -> String {
    let mut out = String::from("| flag | variable | in the file | default | what it is |\n|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let flag = setting.flag().map_or("-".to_owned(), |flag| match setting.form {
            Form::Value(name) | Form::List(name) => format!("`--{flag} {name}`"),
            Form::Switch | Form::EnvironmentOnly => format!("`--{flag}[=BOOL]`"),
        });
        let key = match setting.form {
            Form::EnvironmentOnly => "-".to_owned(),
            _ => format!("`{}`", setting.key),
        };
        let default = match setting.default {
            Fallback::Value(text) => format!("`{text}`"),
            Fallback::Words(words) => words.to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {flag} | `{}` | {key} | {default} | {} |", setting.env, setting.help);
    }
    out
}

/// What holds and who said so, in columns for people.
pub fn effective_table(effective: &[Effective]) -> String {
    let width = |text: fn(&Effective) -> &str| effective.iter().map(|e| text(e).chars().count()).max().unwrap_or(0);
    let (keys, values) = (width(|e| e.setting.key), width(|e| &e.value));
    effective.iter().fold(String::new(), |mut out, e| {
        let source = e.source.describe(e.setting);
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:keys$}  {:values$}  {source}", e.setting.key, e.value);
        out
    })
}
