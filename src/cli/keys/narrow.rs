//! `gatepost keys narrow`.

use std::time::Duration;

use clap::Args;

use super::{OneKey, key_id};
use crate::cli::arguments::{ago, duration};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::{Output, Rows};
use crate::proto::v1;

/// What a key may keep.
#[derive(Args, Clone, Debug)]
pub(super) struct NarrowArgs {
    #[command(flatten)]
    key: OneKey,
    /// It keeps the scopes that it needed in this time: 30d, 12h.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = duration)]
    since: Duration,
    /// Only say what would be taken away.
    #[arg(long)]
    dry_run: bool,
    /// Narrow it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl NarrowArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request = v1::NarrowKeyRequest {
            id: key_id(&self.key.key, connection).await?,
            used_since: Some(ago(self.since)),
            etag: self.etag.clone(),
            dry_run: self.dry_run,
        };
        let answer = connection.keys().narrow_key(request).await?.into_inner();
        output.result(&answer, || record(&answer), answer.removed_scopes.clone())?;
        if self.dry_run {
            output.note("Nothing was changed.");
        }
        Ok(())
    }
}

fn record(answer: &v1::NarrowKeyResponse) -> Rows {
    let words = |scopes: &[String]| if scopes.is_empty() { "none".to_owned() } else { scopes.join(" ") };
    let mut rows = Rows::record();
    rows.field("key", answer.key.as_ref().map(|key| key.id.clone()).unwrap_or_default());
    rows.field("kept", words(&answer.kept_scopes));
    rows.field("removed", words(&answer.removed_scopes));
    rows
}
