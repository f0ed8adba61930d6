//! One key and the steps of its life: show, rotate, suspend, resume, revoke, reveal.

use std::time::Duration;

use clap::Args;

use super::{OneKey, SomeKeys, key_id, view};
use crate::cli::arguments::grace;
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// How to rotate.
#[derive(Args, Clone, Debug)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    key: OneKey,
    /// How long the old secret goes on working: 0s to 30d.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = grace)]
    grace: Duration,
    /// Count the grace period from the first use of the new secret instead of from now.
    #[arg(long)]
    at_first_use: bool,
    /// Rotate only if the key still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl RotateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let mode = if self.at_first_use { v1::key::RotationMode::FirstUse } else { v1::key::RotationMode::Immediate };
        let request = v1::RotateKeyRequest {
            id: key_id(&self.key.key, connection).await?,
            // The flag's own rule keeps it in range.
            grace_period: prost_types::Duration::try_from(self.grace).ok(),
            mode: mode.into(),
            etag: self.etag.clone(),
        };
        let answer = connection.keys().rotate_key(request).await?.into_inner();
        let key = view::present(answer.key.clone())?;
        output.result(&answer, || view::with_secret(&key, &answer.secret), [answer.secret.clone()])?;
        if !key.recoverable {
            output.note("Keep the new secret: it is shown only here.");
        }
        Ok(())
    }
}

pub(super) async fn show(one: &OneKey, connection: &Connection, output: Output) -> Result<(), Failure> {
    let id = key_id(&one.key, connection).await?;
    let answer = connection.keys().get_key(v1::GetKeyRequest { id }).await?.into_inner();
    print(answer.key, output)
}

pub(super) async fn suspend(some: &SomeKeys, connection: &Connection, output: Output) -> Result<(), Failure> {
    for name in &some.keys {
        let id = key_id(name, connection).await?;
        let answer = connection.keys().suspend_key(v1::SuspendKeyRequest { id, etag: None }).await?.into_inner();
        print(answer.key, output)?;
    }
    Ok(())
}

pub(super) async fn resume(some: &SomeKeys, connection: &Connection, output: Output) -> Result<(), Failure> {
    for name in &some.keys {
        let id = key_id(name, connection).await?;
        let answer = connection.keys().resume_key(v1::ResumeKeyRequest { id, etag: None }).await?.into_inner();
        print(answer.key, output)?;
    }
    Ok(())
}

pub(super) async fn revoke(some: &SomeKeys, connection: &Connection, output: Output) -> Result<(), Failure> {
    for name in &some.keys {
        let id = key_id(name, connection).await?;
        let answer = connection.keys().delete_key(v1::DeleteKeyRequest { id, etag: None }).await?.into_inner();
        print(answer.key, output)?;
    }
    Ok(())
}

pub(super) async fn reveal(one: &OneKey, connection: &Connection, output: Output) -> Result<(), Failure> {
    let id = key_id(&one.key, connection).await?;
    let answer = connection.keys().reveal_key(v1::RevealKeyRequest { id }).await?.into_inner();
    let key = view::present(answer.key.clone())?;
    output.result(&answer, || view::with_secret(&key, &answer.secret), [answer.secret.clone()])
}

fn print(key: Option<v1::Key>, output: Output) -> Result<(), Failure> {
    let key = view::present(key)?;
    output.result(&key, || view::record(&key), [key.id.clone()])
}
