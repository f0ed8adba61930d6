//! `gatepost signing-key`: replacing the key that signs tokens, at the server's machine.

use clap::{Args, Subcommand};

use super::exit::{Exit, Failure};
use super::installation::DataArgs;
use super::output::print;
use crate::server::offline::Offline;

/// Replace the key that signs tokens, at the server's machine.
#[derive(Args, Clone, Debug)]
pub(super) struct SigningKeyArgs {
    #[command(subcommand)]
    command: SigningKeyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum SigningKeyCommand {
    /// Make the next signing key before it is due, and print its name. Works on the server's data, whether the server runs or
    /// not; it needs no key.
    Rotate(RotateArgs),
}

#[derive(Args, Clone, Debug)]
struct RotateArgs {
    /// The present key may have been stolen: the new one signs at once, and nothing that was signed before is accepted any
    /// more. Everybody has to sign in again.
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    data: DataArgs,
}

impl SigningKeyArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let SigningKeyCommand::Rotate(args) = &self.command;
        args.data.run(async |data| args.rotate(data).await)
    }
}

impl RotateArgs {
    async fn rotate(&self, data: &Offline) -> Result<Exit, Failure> {
        for next in data.rotate_signing_keys(self.now).await? {
            print(&next.kid)?;
        }
        eprintln!("{}", if self.now { AT_ONCE } else { IN_TIME });
        Ok(Exit::Done)
    }
}

const AT_ONCE: &str = "It signs from now on; running servers know it within some seconds. Whoever keeps a copy of the key set \
                       may go on accepting what the old keys signed for as long as the copy is kept: five minutes as a rule.";
const IN_TIME: &str =
    "It signs in ten minutes, when whoever checks tokens has it; what the key before it signed stays good.";
