//! `gatepost issuers`: whose tokens say who the users are.

mod change;

use clap::{Args, Subcommand};

use super::arguments::PageArgs;
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// Trust identity providers: their tokens then say who a user is.
#[derive(Args, Clone, Debug)]
pub(super) struct IssuersArgs {
    #[command(subcommand)]
    command: IssuersCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum IssuersCommand {
    /// List the issuers that are trusted, oldest first.
    List(PageArgs),
    /// Show one issuer.
    Show(OneIssuer),
    /// Trust an issuer.
    Create(Box<change::CreateArgs>),
    /// Change what is known of an issuer.
    Update(Box<change::UpdateArgs>),
    /// Trust issuers no more: their tokens end at once. Their users stay.
    Delete(SomeIssuers),
}

#[derive(Args, Clone, Debug)]
struct OneIssuer {
    /// The issuer's id.
    issuer: String,
}

#[derive(Args, Clone, Debug)]
struct SomeIssuers {
    /// The issuers' ids.
    #[arg(required = true, value_name = "ISSUER")]
    issuers: Vec<String>,
}

impl IssuersArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            IssuersCommand::List(page) => list(page, &connection, output).await?,
            IssuersCommand::Show(OneIssuer { issuer }) => {
                let request = v1::GetIssuerRequest { id: issuer.clone() };
                print(connection.auth().get_issuer(request).await?.into_inner().issuer, output)?;
            }
            IssuersCommand::Create(args) => args.run(&connection, output).await?,
            IssuersCommand::Update(args) => args.run(&connection, output).await?,
            IssuersCommand::Delete(SomeIssuers { issuers }) => {
                for id in issuers {
                    let request = v1::DeleteIssuerRequest { id: id.clone(), etag: None };
                    print(connection.auth().delete_issuer(request).await?.into_inner().issuer, output)?;
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

async fn list(page: &PageArgs, connection: &Connection, output: Output) -> Result<(), Failure> {
    let fetch = async |size, token| {
        let request =
            v1::ListIssuersRequest { page_size: Some(size), page_token: token, ..v1::ListIssuersRequest::default() };
        let answer = connection.auth().list_issuers(request).await?.into_inner();
        Ok((answer.data, answer.next_page_token))
    };
    let (data, next_page_token) = page.fetch(fetch).await?;
    let answer = v1::ListIssuersResponse { data, pagination: None, next_page_token };
    let rows = || {
        let mut rows = Rows::under(["ID", "ISSUER", "NAME", "AUDIENCES", "CREATED"]);
        for v1::Issuer { id, issuer, display_name, audiences, created_at, .. } in &answer.data {
            let audiences = audiences.join(" ");
            rows.push([id.clone(), issuer.clone(), display_name.clone(), audiences, time(created_at.as_ref())]);
        }
        rows
    };
    output.result(&answer, rows, answer.data.iter().map(|issuer| issuer.id.clone()))?;
    page.note(answer.next_page_token.as_deref(), output);
    Ok(())
}

fn print(issuer: Option<v1::Issuer>, output: Output) -> Result<(), Failure> {
    let issuer = issuer.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no issuer"))?;
    output.result(&issuer, || record(&issuer), [issuer.id.clone()])
}

fn record(issuer: &v1::Issuer) -> Rows {
    let keys = match (&issuer.jwks_uri, &issuer.jwks) {
        (Some(uri), _) => uri,
        (None, Some(_)) => "given",
        (None, None) => "where its own description says",
    };
    let mut rows = Rows::record();
    rows.field("id", &issuer.id);
    rows.field("issuer", &issuer.issuer);
    rows.field("name", &issuer.display_name);
    rows.field("description", &issuer.description);
    rows.field("environment", issuer.environment().as_str_name().to_lowercase());
    rows.field("keys", keys);
    rows.field("audiences", issuer.audiences.join(" "));
    rows.field("algorithms", issuer.algorithms.join(" "));
    rows.field("email claim", &issuer.email_claim);
    rows.field("first name claim", &issuer.first_name_claim);
    rows.field("last name claim", &issuer.last_name_claim);
    rows.field("leeway", issuer.leeway.as_ref().map(|leeway| format!("{}s", leeway.seconds)).unwrap_or_default());
    rows.field("created", time(issuer.created_at.as_ref()));
    rows.field("updated", time(issuer.updated_at.as_ref()));
    rows.field("etag", &issuer.etag);
    rows
}
