//! The flags of `gatepost serve`, made from the table of settings.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::settings::{Fallback, Form, SETTINGS, Setting};
use super::source::CONFIG_VARIABLE;

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// The settings given, by key.
    pub given: Vec<(&'static str, String)>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        SETTINGS.iter().filter_map(|setting| argument(setting)).fold(command.arg(config_argument()), Command::arg)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS
            .iter()
            .filter(|setting| setting.form != Form::EnvironmentOnly)
            .filter_map(|setting| Some((setting.key, matches.get_one::<String>(setting.key)?.clone())))
            .collect();
        Ok(Self { config: matches.get_one::<PathBuf>(CONFIG).cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn config_argument() -> Arg {
    Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(ValueParser::path_buf())
        .help(format!("Configuration file in TOML; `gatepost config` lists its keys [env: {CONFIG_VARIABLE}]"))
        .help_heading("Basics")
}

fn argument(setting: &'static Setting) -> Option<Arg> {
    let flag = setting.flag()?;
    let default = match setting.default {
        Fallback::Value(text) | Fallback::Words(text) => text,
    };
    let argument = Arg::new(setting.key)
        .long(flag)
        .help(format!("{} [env: {}] [default: {default}]", setting.help, setting.env))
        .help_heading(setting.group.heading())
        .action(ArgAction::Set)
        .allow_hyphen_values(true);
    Some(match setting.form {
        Form::Switch => argument.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL"),
        Form::Value(name) | Form::List(name) => argument.value_name(name),
        Form::EnvironmentOnly => return None,
    })
}

const CONFIG: &str = "config";
