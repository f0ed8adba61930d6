//! `gatepost projects`: what holds for a whole project, at the server's machine.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::installation::{DataArgs, project};
use super::output::print;
use super::text::time;
use crate::domain::id::ProjectId;
use crate::domain::project::Project;
use crate::domain::secret::SecretPrefix;

/// Show and set what holds for a whole project, at the server's machine.
#[derive(Args, Clone, Debug)]
pub(super) struct ProjectsArgs {
    #[command(subcommand)]
    command: ProjectsCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ProjectsCommand {
    /// Show a project.
    Show(ShowArgs),
    /// Change a project.
    Set(SetArgs),
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The project.
    #[arg(long, default_value = ProjectId::DEFAULT, value_parser = project)]
    project: ProjectId,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Args, Clone, Debug)]
struct SetArgs {
    /// What the project's new secret keys begin with: 2 to 12 lower-case letters and digits, a letter first, and not pk, rk
    /// or uk. Keys that exist keep theirs.
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    key_prefix: SecretPrefix,
    #[command(flatten)]
    show: ShowArgs,
}

impl ProjectsArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match &self.command {
            ProjectsCommand::Show(args) => args.data.run(async |data| args.print(&data.project(&args.project).await?)),
            ProjectsCommand::Set(SetArgs { key_prefix, show }) => {
                show.data.run(async |data| show.print(&data.set_secret_prefix(&show.project, key_prefix).await?))
            }
        }
    }

    /// Whether errors are told as JSON.
    pub(super) fn answers_json(&self) -> bool {
        match &self.command {
            ProjectsCommand::Show(args) => args.json,
            ProjectsCommand::Set(args) => args.show.json,
        }
    }
}

impl ShowArgs {
    fn print(&self, project: &Project) -> Result<Exit, Failure> {
        let (seconds, id, prefix) =
            (project.created_at.millis().div_euclid(1_000), &project.id, &project.secret_prefix);
        let created = time(Some(&prost_types::Timestamp { seconds, nanos: 0 }));
        if self.json {
            let project = json!({"id": id.as_str(), "keyPrefix": prefix.as_str(), "createdAt": created});
            print(&project.to_string())?;
        } else {
            print(&format!("project:     {id}\nkey prefix:  {prefix}\ncreated:     {created}"))?;
        }
        Ok(Exit::Done)
    }
}

fn prefix(text: &str) -> Result<SecretPrefix, String> {
    let rule = "a prefix is 2 to 12 lower-case letters and digits, a letter first, and not pk, rk or uk";
    SecretPrefix::parse_own(text).ok_or_else(|| rule.to_owned())
}
