//! `gatepost whoami`: who the calling key is.

use clap::Args;

use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// Show who GATEPOST_KEY is and what it may do.
#[derive(Args, Clone, Debug)]
pub(super) struct WhoAmIArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl WhoAmIArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let connection = Connection::open(&self.connection).await?;
        let caller = connection.auth().who_am_i(v1::WhoAmIRequest {}).await?.into_inner();
        Output::new(self.output).result(&caller, || record(&caller), [caller.key_id.clone()])?;
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

fn record(caller: &v1::WhoAmIResponse) -> Rows {
    let mut rows = Rows::record();
    rows.field("key", &caller.key_id);
    rows.field("name", &caller.name);
    rows.field("type", caller.key_type().as_str_name().to_ascii_lowercase());
    rows.field("project", &caller.project);
    rows.field("environment", caller.environment().as_str_name().to_ascii_lowercase());
    rows.field("owner", caller.owner());
    rows.field("user", caller.user_id());
    rows.field("session", caller.session_id());
    rows.field("scopes", if caller.scopes.is_empty() { "none".to_owned() } else { caller.scopes.join(" ") });
    rows.field("expires", caller.expires_at.as_ref().map_or("never".to_owned(), |end| time(Some(end))));
    rows.field("publishable key", caller.publishable_key_id());
    rows
}
