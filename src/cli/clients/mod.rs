//! `gatepost clients`: the programs that ask for tokens.

mod change;
mod view;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::arguments::{PageArgs, grace};
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs};
use crate::proto::v1;

/// Register the OAuth clients that ask for tokens.
#[derive(Args, Clone, Debug)]
pub(super) struct ClientsArgs {
    #[command(subcommand)]
    command: ClientsCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum ClientsCommand {
    /// Register a client and print its secret, which is shown only here.
    Create(Box<change::CreateArgs>),
    /// List clients, newest first.
    List(PageArgs),
    /// Show one client, without its secrets.
    Show(OneClient),
    /// Change a client.
    Update(Box<change::UpdateArgs>),
    /// Delete clients for good, with their secrets.
    Delete(SomeClients),
    /// Give a client a new secret; the old one can go on working for a while.
    RotateSecret(RotateArgs),
}

#[derive(Args, Clone, Debug)]
struct OneClient {
    /// The client's id.
    client: String,
}

#[derive(Args, Clone, Debug)]
struct SomeClients {
    /// The clients' ids.
    #[arg(required = true, value_name = "CLIENT")]
    clients: Vec<String>,
}

#[derive(Args, Clone, Debug)]
struct RotateArgs {
    #[command(flatten)]
    client: OneClient,
    /// How long the old secret goes on working: 0s to 30d.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = grace)]
    grace: Duration,
    /// Rotate only if the client still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl ClientsArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            ClientsCommand::Create(args) => args.run(&connection, output).await?,
            ClientsCommand::List(page) => list(page, &connection, output).await?,
            ClientsCommand::Show(one) => {
                let request = v1::GetClientRequest { id: one.client.clone() };
                view::print(connection.auth().get_client(request).await?.into_inner().client, output)?;
            }
            ClientsCommand::Update(args) => args.run(&connection, output).await?,
            ClientsCommand::Delete(some) => {
                for id in &some.clients {
                    let request = v1::DeleteClientRequest { id: id.clone(), etag: None };
                    view::print(connection.auth().delete_client(request).await?.into_inner().client, output)?;
                }
            }
            ClientsCommand::RotateSecret(args) => args.run(&connection, output).await?,
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

impl RotateArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::RotateClientSecretRequest {
            id: self.client.client.clone(),
            // The flag's own rule keeps it in range.
            grace_period: prost_types::Duration::try_from(self.grace).ok(),
            etag: self.etag.clone(),
        };
        let answer = connection.auth().rotate_client_secret(request).await?.into_inner();
        let client = view::present(answer.client.clone())?;
        output.result(&answer, || view::with_secret(&client, &answer.secret), [answer.secret.clone()])?;
        output.note("Keep the new secret: it is shown only here.");
        Ok(())
    }
}

async fn list(page: &PageArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let fetch = async |size, token| {
        let request =
            v1::ListClientsRequest { page_size: Some(size), page_token: token, ..v1::ListClientsRequest::default() };
        let answer = connection.auth().list_clients(request).await?.into_inner();
        Ok((answer.data, answer.next_page_token))
    };
    let (data, next_page_token) = page.fetch(fetch).await?;
    let answer = v1::ListClientsResponse { data, pagination: None, next_page_token };
    output.result(&answer, || view::list(&answer.data), answer.data.iter().map(|client| client.id.clone()))?;
    page.note(answer.next_page_token.as_deref(), output);
    Ok(())
}
