//! `gatepost completions`: what a shell can complete.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::exit::{Exit, Failure};

/// Print a script that makes a shell complete this command.
#[derive(Args, Clone, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

impl CompletionsArgs {
    pub(super) fn run(&self, mut command: Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut command, "gatepost", &mut script);
        io::stdout().write_all(&script)?;
        Ok(Exit::Done)
    }
}
