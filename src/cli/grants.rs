//! `gatepost grants`: what users gave to clients, and ending it.

use clap::{Args, Subcommand};

use super::arguments::PageArgs;
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// See what users gave to OAuth clients, and end it.
#[derive(Args, Clone, Debug)]
pub(super) struct GrantsArgs {
    #[command(subcommand)]
    command: GrantsCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum GrantsCommand {
    /// List the grants that have not ended, newest first.
    List(ListArgs),
    /// End grants, with all tokens that came of them.
    End(EndArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only those of this user, by id.
    #[arg(long)]
    user: Option<String>,
    /// Only those to this client, by id.
    #[arg(long)]
    client: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Clone, Debug)]
struct EndArgs {
    /// The grants' ids.
    #[arg(required = true, value_name = "GRANT")]
    grants: Vec<String>,
}

impl GrantsArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            GrantsCommand::List(args) => args.run(&connection, output).await?,
            GrantsCommand::End(args) => {
                for id in &args.grants {
                    let request = v1::EndGrantRequest { id: id.clone() };
                    let answer = connection.auth().end_grant(request).await?.into_inner();
                    output.result(&answer, || ended(id), [id.clone()])?;
                }
            }
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

impl ListArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let page = async |size, token| {
            let request = v1::ListGrantsRequest {
                user: self.user.clone(),
                client: self.client.clone(),
                page_size: Some(size),
                page_token: token,
                ..v1::ListGrantsRequest::default()
            };
            let answer = connection.auth().list_grants(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::ListGrantsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || list(&answer.data), answer.data.iter().map(|grant| grant.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}

fn list(grants: &[v1::Grant]) -> Rows {
    let mut rows = Rows::under(["ID", "USER", "CLIENT", "SCOPES", "SINCE", "LAST TOKENS"]);
    for grant in grants {
        rows.push([
            grant.id.clone(),
            grant.user_id.clone(),
            format!("{} ({})", grant.client_name, grant.client_id),
            grant.scopes.join(" "),
            time(grant.created_at.as_ref()),
            time(grant.refreshed_at.as_ref()),
        ]);
    }
    rows
}

fn ended(id: &str) -> Rows {
    let mut rows = Rows::record();
    rows.field("ended", id);
    rows
}
