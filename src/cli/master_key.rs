//! `gatepost master-key`: replacing the master key, at the server's machine, while servers run.

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use super::installation::DataArgs;
use crate::domain::sealing::MasterKey;
use crate::server::offline::{MasterKeyStep, NEW_MASTER_KEY, Offline};
use crate::store::Resealed;

/// Replace the master key, at the server's machine, while servers run.
#[derive(Args, Clone, Debug)]
pub(super) struct MasterKeyArgs {
    #[command(subcommand)]
    command: MasterKeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum MasterKeyCommand {
    /// Make a new master key. With SQLite and a `master.key` file, that is all: the file is replaced, and a running server
    /// takes the new one. Otherwise both work until `finish`. A master key that comes from the environment is replaced by
    /// that in GATEPOST_NEW_MASTER_KEY. Interrupted, it goes on when it is run again.
    Rotate(StepArgs),
    /// End the old master key, once every server was started with the new one: it is of no use any more, and all that is
    /// sealed is sealed anew. It needs the new one. Interrupted, it goes on when it is run again.
    Finish(StepArgs),
}

#[derive(Args, Clone, Debug)]
struct StepArgs {
    #[command(flatten)]
    data: DataArgs,
}

impl MasterKeyArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            MasterKeyCommand::Rotate(args) => {
                let given = given()?;
                args.data.run(async |data: &Offline| Ok(tell(data.rotate_master_key(given).await?)))
            }
            MasterKeyCommand::Finish(args) => {
                args.data.run(async |data: &Offline| Ok(tell(data.finish_master_key().await?)))
            }
        }
    }
}

fn given() -> Result<Option<MasterKey>, Failure> {
    let Some(text) = std::env::var_os(NEW_MASTER_KEY) else { return Ok(None) };
    let key = text.to_str().and_then(MasterKey::parse);
    let rule =
        || Failure::usage(format!("{NEW_MASTER_KEY}: must be 32 bytes in base64; `openssl rand -base64 32` makes one"));
    key.map(Some).ok_or_else(rule)
}

fn tell(step: MasterKeyStep) -> Exit {
    match step {
        MasterKeyStep::Begun => eprintln!("{BEGUN}"),
        MasterKeyStep::Finished(Resealed { anew, unreadable }) => {
            eprintln!("The old master key is of no use any more; {anew} secrets were sealed anew.");
            if unreadable > 0 {
                eprintln!("{unreadable} could not be read, before and now.");
            }
            eprintln!("Keep the new master key with your backups: without it they cannot be read.");
        }
    }
    Exit::Done
}

const BEGUN: &str = "Both master keys work now. Give every server the new one (master.key, or GATEPOST_MASTER_KEY) and start it \
                     again, one after the other; then run `gatepost master-key finish` with the new one.";
