//! `gatepost sessions`: who is signed in, and ending it.

use clap::{Args, Subcommand};

use super::arguments::PageArgs;
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// See who is signed in, and end it.
#[derive(Args, Clone, Debug)]
pub(super) struct SessionsArgs {
    #[command(subcommand)]
    command: SessionsCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum SessionsCommand {
    /// List the sessions of a user, newest first.
    List(ListArgs),
    /// End sessions of a user.
    Revoke(RevokeArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// The user's id.
    user: String,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Clone, Debug)]
struct RevokeArgs {
    /// The user's id.
    user: String,
    /// The sessions' ids.
    #[arg(required = true, value_name = "SESSION")]
    sessions: Vec<String>,
}

impl SessionsArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            SessionsCommand::List(args) => args.run(&connection, output).await?,
            SessionsCommand::Revoke(args) => {
                for id in &args.sessions {
                    let request = v1::RevokeSessionRequest { user_id: args.user.clone(), id: id.clone() };
                    let answer = connection.auth().revoke_session(request).await?.into_inner();
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
            let request = v1::ListSessionsRequest {
                user_id: self.user.clone(),
                page_size: Some(size),
                page_token: token,
                ..v1::ListSessionsRequest::default()
            };
            let answer = connection.auth().list_sessions(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::ListSessionsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || list(&answer.data), answer.data.iter().map(|session| session.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}

fn list(sessions: &[v1::Session]) -> Rows {
    let mut rows = Rows::under(["ID", "SINCE", "UNTIL", "FROM", "WITH"]);
    for session in sessions {
        rows.push([
            session.id.clone(),
            time(session.created_at.as_ref()),
            time(session.expires_at.as_ref()),
            session.client_ip().to_owned(),
            session.user_agent.clone(),
        ]);
    }
    rows
}

fn ended(id: &str) -> Rows {
    let mut rows = Rows::record();
    rows.field("ended", id);
    rows
}
