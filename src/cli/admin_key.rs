//! `gatepost admin-key`: replacing a lost administrator key, at the server's machine.

use clap::{Args, Subcommand, ValueEnum};

use super::exit::{Exit, Failure};
use super::installation::{DataArgs, project};
use super::output::print;
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::server::offline::Offline;

/// Make administrator keys, at the server's machine.
#[derive(Args, Clone, Debug)]
pub(super) struct AdminKeyArgs {
    #[command(subcommand)]
    command: AdminKeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum AdminKeyCommand {
    /// Make a key that may do everything in its project and environment, and print it. Works on the server's data, whether
    /// the server runs or not; it needs no key.
    New(NewArgs),
}

#[derive(Args, Clone, Debug)]
struct NewArgs {
    /// The project.
    #[arg(long, default_value = ProjectId::DEFAULT, value_parser = project)]
    project: ProjectId,
    /// The environment.
    #[arg(long, value_enum, default_value_t = Environments::Both)]
    environment: Environments,
    /// Revoke every other key of the same environment that holds `admin`, for good: a lost key may have been found.
    #[arg(long)]
    revoke_others: bool,
    /// Print the keys alone, one a line, live before test.
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Environments {
    /// Real data.
    Live,
    /// Trial data.
    Test,
    /// One key for each.
    Both,
}

impl AdminKeyArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let AdminKeyCommand::New(args) = &self.command;
        args.data.run(async |data| args.make(data).await)
    }
}

impl NewArgs {
    async fn make(&self, data: &Offline) -> Result<Exit, Failure> {
        let project = data.project(&self.project).await?;
        for environment in self.environment.list() {
            let new = data.make_administrator(&project, *environment).await?;
            // Printed before anything is revoked, so that no failure on the way can leave nobody with a key.
            let secret = new.secret.expose();
            print(&if self.quiet {
                secret.to_owned()
            } else {
                format!("administrator key ({environment}): {secret}")
            })?;
            if self.revoke_others {
                let revoked = data.revoke_other_administrators(&new.key).await?;
                for key in revoked {
                    eprintln!("revoked {key}");
                }
            }
        }
        if !self.quiet {
            eprintln!("Keep what was printed: it is shown only now. A running server knows it within a second or so.");
        }
        Ok(Exit::Done)
    }
}

impl Environments {
    fn list(self) -> &'static [Environment] {
        match self {
            Self::Live => &[Environment::Live],
            Self::Test => &[Environment::Test],
            Self::Both => &[Environment::Live, Environment::Test],
        }
    }
}
