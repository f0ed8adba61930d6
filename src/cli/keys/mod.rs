//! `gatepost keys`: issuing and governing API keys.

mod create;
mod life;
mod list;
mod narrow;
mod update;
mod verify;
mod view;

use clap::{Args, Subcommand, ValueEnum};

use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs};
use crate::proto::v1;

/// Issue and govern API keys.
#[derive(Args, Clone, Debug)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum KeysCommand {
    /// Make a key and print its secret, which is shown only here.
    Create(create::CreateArgs),
    /// List keys, newest first.
    List(list::ListArgs),
    /// Show one key, without its secret.
    Show(OneKey),
    /// Give a key a new secret; the old one can go on working for a while.
    Rotate(life::RotateArgs),
    /// Hold keys: until they are resumed, every use is refused.
    Suspend(SomeKeys),
    /// Let suspended keys work again.
    Resume(SomeKeys),
    /// End keys for good.
    Revoke(SomeKeys),
    /// Show the secret of a key that was made recoverable.
    Reveal(OneKey),
    /// Change what is said about a key, what it may do, and until when.
    Update(update::UpdateArgs),
    /// Take from a key the scopes that it did not need lately.
    Narrow(narrow::NarrowArgs),
    /// Ask whether a credential is valid. Exit code 0 means VALID, 6 anything else.
    Verify(verify::VerifyArgs),
}

/// Names one key.
#[derive(Args, Clone, Debug)]
struct OneKey {
    /// The key's id or alias.
    key: String,
}

/// Names keys.
#[derive(Args, Clone, Debug)]
struct SomeKeys {
    /// The keys' ids or aliases.
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum KeyType {
    /// Secret: server to server.
    Sk,
    /// Restricted: secret, with an explicit scope list.
    Rk,
    /// Publishable: may be public.
    Pk,
}

impl KeysArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let command = &self.command;
        if let KeysCommand::Verify(args) = command {
            return args.run(&self.connection, output).await;
        }
        let connection = Connection::open(&self.connection).await?;
        match command {
            KeysCommand::Create(args) => args.run(&connection, output).await?,
            KeysCommand::List(args) => args.run(&connection, output).await?,
            KeysCommand::Show(one) => life::show(one, &connection, output).await?,
            KeysCommand::Rotate(args) => args.run(&connection, output).await?,
            KeysCommand::Suspend(some) => life::suspend(some, &connection, output).await?,
            KeysCommand::Resume(some) => life::resume(some, &connection, output).await?,
            KeysCommand::Revoke(some) => life::revoke(some, &connection, output).await?,
            KeysCommand::Reveal(one) => life::reveal(one, &connection, output).await?,
            KeysCommand::Update(args) => args.run(&connection, output).await?,
            KeysCommand::Narrow(args) => args.run(&connection, output).await?,
            KeysCommand::Verify(_) => unreachable!("it was handled before"),
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

impl From<KeyType> for v1::key::Type {
    fn from(kind: KeyType) -> Self {
        match kind {
            KeyType::Sk => Self::Sk,
            KeyType::Rk => Self::Rk,
            KeyType::Pk => Self::Pk,
        }
    }
}

/// The id of the key that goes by this id or alias.
pub(super) async fn key_id(name: &str, connection: &Connection) -> Result<String, Failure> {
    if name.starts_with("key_") {
        return Ok(name.to_owned());
    }
    let request = v1::ListKeysRequest { alias: Some(name.to_owned()), ..v1::ListKeysRequest::default() };
    let keys = connection.keys().list_keys(request).await?.into_inner().data;
    // An alias is free again once its key is revoked, so revoked keys of the same alias do not count.
    let found = keys.into_iter().find(|key| key.state() != v1::key::State::Revoked);
    found.map(|key| key.id).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no key with the alias {name:?}"))
            .hint("`gatepost keys list` shows what exists; a live key sees live keys only and a test key test keys")
    })
}
