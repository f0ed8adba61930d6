//! The help's first page: the commands in groups, examples, and the exit codes.

use std::fmt::Write;

use clap::{Command, CommandFactory};

use super::Cli;
use super::exit::EXIT_CODES;

/// The whole command line.
pub(super) fn command() -> Command {
    // The server's flags work here too, but `gatepost serve --help` is where they are explained.
    let command = Cli::command().mut_args(|argument| argument.hide(true));
    let groups = groups(&command);
    command
        .help_template(format!(
            "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
        ))
        .override_usage("gatepost [OPTIONS OF serve]\n       gatepost COMMAND")
        .after_help(format!("{EXAMPLES}\n\n{EXIT_CODES}\n\n`gatepost COMMAND --help` says more about a command."))
}

/// The commands under their headings, with what each says of itself.
fn groups(command: &Command) -> String {
    let mut text = String::new();
    for (heading, names) in GROUPS {
        let _ = writeln!(text, "{heading}:");
        for name in *names {
            let about = command.find_subcommand(name).and_then(Command::get_about).map(ToString::to_string);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<12} {}", about.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// A test holds this to be every command.
const GROUPS: &[(&str, &[&str])] = &[
    ("Server", &["serve", "config", "admin-key", "master-key", "signing-key"]),
    (
        "Client of a running server (GATEPOST_URL, GATEPOST_KEY)",
        &[
            "projects",
            "keys",
            "scopes",
            "products",
            "users",
            "sessions",
            "issuers",
            "clients",
            "grants",
            "audit",
            "usage",
            "access-log",
            "leaks",
            "alerts",
            "webhooks",
            "whoami",
        ],
    ),
    ("Without a server", &["scan", "test-keys", "completions"]),
];

const EXAMPLES: &str = "\
Examples:
  gatepost serve                                   serve on 127.0.0.1:8080, data in ./gatepost-data
  export GATEPOST_KEY=sk_live_...                  the key that the first start printed
  gatepost scopes create read:budgets --description 'See budgets'
  KEY=$(gatepost keys create --name shop --scope read:budgets --expires-in 90d --quiet)
  echo \"$KEY\" | gatepost keys verify - --scope read:budgets
  gatepost keys list --json | jq -r '.data[].id'
  gatepost scan . && git push                      keys that were written into files, if there are any";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let command = command();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let mut known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        known.sort_unstable();
        assert_eq!(grouped, known);
    }
}
