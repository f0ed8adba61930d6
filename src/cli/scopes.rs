//! `gatepost scopes`: the rights that keys can hold.

use clap::{Args, Subcommand};
use prost_types::FieldMask;

use super::arguments::PageArgs;
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// Register the scopes of the APIs you protect.
#[derive(Args, Clone, Debug)]
pub(super) struct ScopesArgs {
    #[command(subcommand)]
    command: ScopesCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum ScopesCommand {
    /// List scopes, built-in ones included.
    List(PageArgs),
    /// Register a scope, so that keys can be granted it.
    Create(Described),
    /// Change a scope's description.
    Update(Described),
    /// Remove scopes that no key holds any more.
    Delete(Named),
}

#[derive(Args, Clone, Debug)]
struct Described {
    /// The scope, spelt read:budgets or READ_BUDGETS.
    scope: String,
    /// What it allows, in words.
    #[arg(long)]
    description: String,
}

#[derive(Args, Clone, Debug)]
struct Named {
    /// The scopes, in either spelling.
    #[arg(required = true, value_name = "SCOPE")]
    scopes: Vec<String>,
}

impl ScopesArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            ScopesCommand::List(page) => list(page, &connection, output).await?,
            ScopesCommand::Create(described) => {
                let request = v1::CreateScopeRequest { scope: Some(described.scope()) };
                print(connection.auth().create_scope(request).await?.into_inner().scope, output)?;
            }
            ScopesCommand::Update(described) => {
                let update_mask = Some(FieldMask { paths: vec!["description".to_owned()] });
                let request = v1::UpdateScopeRequest { scope: Some(described.scope()), update_mask };
                print(connection.auth().update_scope(request).await?.into_inner().scope, output)?;
            }
            ScopesCommand::Delete(named) => {
                for name in &named.scopes {
                    let request = v1::DeleteScopeRequest { name: name.clone() };
                    print(connection.auth().delete_scope(request).await?.into_inner().scope, output)?;
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

impl Described {
    fn scope(&self) -> v1::Scope {
        v1::Scope { name: self.scope.clone(), description: self.description.clone(), ..v1::Scope::default() }
    }
}

async fn list(page: &PageArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let fetch = async |size, token| {
        let request =
            v1::ListScopesRequest { page_size: Some(size), page_token: token, ..v1::ListScopesRequest::default() };
        let answer = connection.auth().list_scopes(request).await?.into_inner();
        Ok((answer.data, answer.next_page_token))
    };
    let (data, next_page_token) = page.fetch(fetch).await?;
    let answer = v1::ListScopesResponse { data, pagination: None, next_page_token };
    output.result(&answer, || rows(&answer.data), answer.data.iter().map(|scope| scope.name.clone()))?;
    page.note(answer.next_page_token.as_deref(), output);
    Ok(())
}

fn rows(scopes: &[v1::Scope]) -> Rows {
    let mut rows = Rows::under(["SCOPE", "DESCRIPTION", "CREATED"]);
    for scope in scopes {
        let created = if scope.built_in { "built in".to_owned() } else { time(scope.created_at.as_ref()) };
        rows.push([scope.name.clone(), scope.description.clone(), created]);
    }
    rows
}

fn print(scope: Option<v1::Scope>, output: Output) -> Result<(), Failure> {
    let scope = scope.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no scope"))?;
    output.result(&scope, || rows(std::slice::from_ref(&scope)), [scope.name.clone()])
}
