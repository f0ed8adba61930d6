//! The command line: the server and what belongs to its machine, and a gRPC client of a running server for people and
//! scripts.
//!
//! Owns the words of the command line, its exit codes and its forms of output. The client knows the protos and nothing of
//! what stands behind them.

mod access_log;
mod admin_key;
mod alerts;
mod arguments;
mod audit;
mod clients;
mod completions;
mod configuration;
mod connection;
mod credential;
mod exit;
mod grants;
mod help;
mod installation;
mod issuers;
mod json;
mod keys;
mod leaks;
mod limits;
mod master_key;
mod output;
mod password;
mod products;
mod projects;
mod refusal;
mod scan;
mod scopes;
mod serve;
mod sessions;
mod signing_key;
mod test_keys;
mod text;
mod usage;
mod users;
mod webhooks;
mod whoami;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};

use self::audit::AuditCommand;
use self::exit::{Exit, Failure};
use crate::config::{ConfigError, Flags};

/// Gatepost issues, checks and governs API credentials over gRPC, gRPC-Web and HTTP/JSON.
#[derive(Clone, Debug, Parser)]
#[command(name = "gatepost", version, max_term_width = 110, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command the server is started, with its flags.
    #[command(flatten)]
    serve: Flags,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Start the server; what happens too when no command is given.
    Serve(Flags),
    #[command(name = "config")]
    Config(configuration::ConfigArgs),
    AdminKey(Box<admin_key::AdminKeyArgs>),
    MasterKey(Box<master_key::MasterKeyArgs>),
    SigningKey(Box<signing_key::SigningKeyArgs>),
    Projects(Box<projects::ProjectsArgs>),
    Keys(Box<keys::KeysArgs>),
    Scopes(Box<scopes::ScopesArgs>),
    Products(Box<products::ProductsArgs>),
    Users(Box<users::UsersArgs>),
    Sessions(Box<sessions::SessionsArgs>),
    Clients(Box<clients::ClientsArgs>),
    Grants(Box<grants::GrantsArgs>),
    Issuers(Box<issuers::IssuersArgs>),
    Audit(Box<audit::AuditArgs>),
    Leaks(Box<leaks::LeaksArgs>),
    Alerts(Box<alerts::AlertsArgs>),
    Usage(Box<usage::UsageArgs>),
    #[command(name = "access-log")]
    AccessLog(Box<access_log::AccessLogArgs>),
    Webhooks(Box<webhooks::WebhooksArgs>),
    #[command(name = "whoami")]
    WhoAmI(Box<whoami::WhoAmIArgs>),
    Scan(scan::ScanArgs),
    TestKeys(test_keys::TestKeysArgs),
    Completions(completions::CompletionsArgs),
}

/// Runs the command line of this process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::read(arguments) {
        Ok(cli) => cli,
        // Help and version go to standard output with 0, all else to standard error with 2.
        Err(error) => error.exit(),
    };
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let json = command.answers_json();
    match command.run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            if !failure.is_silent() {
                eprintln!("{}", if json { failure.to_json() } else { failure.to_string() });
            }
            failure.exit().into()
        }
    }
}

impl Cli {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::from_arg_matches(&help::command().try_get_matches_from(arguments)?)
    }
}

impl Command {
    fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Serve(flags) => serve::run(flags),
            Self::Config(args) => args.run(),
            Self::AdminKey(args) => args.run(),
            Self::MasterKey(args) => args.run(),
            Self::SigningKey(args) => args.run(),
            Self::Projects(args) => args.run(),
            Self::Scan(args) => args.run(),
            Self::TestKeys(args) => args.run(),
            Self::Completions(args) => args.run(help::command()),
            Self::Keys(args) => client(args.run()),
            Self::Audit(args) => match &args.command {
                AuditCommand::List(list) => client(list.run()),
                AuditCommand::Verify(verify) => verify.run(),
            },
            Self::Usage(args) => client(args.run()),
            Self::AccessLog(args) => client(args.run()),
            Self::Scopes(args) => client(args.run()),
            Self::Products(args) => client(args.run()),
            Self::Users(args) => client(args.run()),
            Self::Sessions(args) => client(args.run()),
            Self::Clients(args) => client(args.run()),
            Self::Grants(args) => client(args.run()),
            Self::Issuers(args) => client(args.run()),
            Self::Leaks(args) => client(args.run()),
            Self::Alerts(args) => client(args.run()),
            Self::Webhooks(args) => client(args.run()),
            Self::WhoAmI(args) => client(args.run()),
        }
    }

    /// Whether errors are told as JSON.
    fn answers_json(&self) -> bool {
        match self {
            Self::Keys(args) => args.output().json,
            Self::Scopes(args) => args.output().json,
            Self::Products(args) => args.output().json,
            Self::Users(args) => args.output().json,
            Self::Sessions(args) => args.output().json,
            Self::Clients(args) => args.output().json,
            Self::Grants(args) => args.output().json,
            Self::Issuers(args) => args.output().json,
            Self::Leaks(args) => args.output().json,
            Self::Alerts(args) => args.output().json,
            Self::Usage(args) => args.output().json,
            Self::AccessLog(args) => args.output().json,
            Self::Webhooks(args) => args.output().json,
            Self::WhoAmI(args) => args.output().json,
            Self::Projects(args) => args.output().json,
            Self::Scan(args) => args.json(),
            Self::Audit(args) => match &args.command {
                AuditCommand::List(list) => list.output().json,
                AuditCommand::Verify(_) => false,
            },
            Self::Serve(_)
            | Self::Config(_)
            | Self::AdminKey(_)
            | Self::MasterKey(_)
            | Self::SigningKey(_)
            | Self::TestKeys(_)
            | Self::Completions(_) => false,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string()).hint("`gatepost serve --help` explains the settings")
    }
}

/// Runs a command that calls a server, on one thread.
fn client(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?.block_on(command)
}
