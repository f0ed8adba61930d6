//! The data of a server, for the commands that work on it without a key: they read what `gatepost serve` reads.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use super::exit::{Exit, Failure};
use crate::config::settings::{Group, SETTINGS};
use crate::config::{Config, Flags};
use crate::domain::id::ProjectId;
use crate::server::World;
use crate::server::offline::{Offline, OfflineError};
use crate::telemetry::Telemetry;

/// The flags that say where the data is: those of `gatepost serve`, of which the help shows the ones that matter.
#[derive(Clone, Debug)]
pub(super) struct DataArgs(Flags);

impl DataArgs {
    /// Opens the data, and runs a command on it.
    pub(super) fn run<T>(&self, command: impl AsyncFnOnce(&Offline) -> Result<T, Failure>) -> Result<T, Failure> {
        let config = Config::load(&self.0, &|name| std::env::var_os(name))?.config;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
        runtime.block_on(async {
            Telemetry::log_for_a_command();
            let data = Offline::open(&config, World::real()).await?;
            let done = command(&data).await;
            data.close().await;
            done
        })
    }
}

impl Args for DataArgs {
    fn augment_args(command: Command) -> Command {
        let shown = |argument: &Arg| {
            let setting = SETTINGS.iter().find(|setting| setting.key == argument.get_id().as_str());
            setting.is_none_or(|setting| setting.group == Group::Basics && setting.key != "listen")
        };
        let flags = Flags::augment_args(Command::new("flags"));
        command.args(flags.get_arguments().map(|argument| argument.clone().hide(!shown(argument))))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DataArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Flags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl From<OfflineError> for Failure {
    fn from(error: OfflineError) -> Self {
        match error {
            OfflineError::Open(error) => error.into(),
            OfflineError::MasterKey(_) | OfflineError::NoNewMasterKey | OfflineError::NoData(_) => {
                Self::usage(error.to_string())
            }
            OfflineError::NoProject(_) => Self::new(Exit::NotFound, error.to_string()),
            OfflineError::Store(_) => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

/// The name of a project.
pub(super) fn project(text: &str) -> Result<ProjectId, String> {
    ProjectId::parse(text).ok_or_else(|| ProjectId::RULE.to_owned())
}
