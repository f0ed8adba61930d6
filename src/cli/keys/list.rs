//! `gatepost keys list`.

use clap::{Args, ValueEnum};

use super::{KeyType, view};
use crate::cli::arguments::PageArgs;
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// Which keys.
#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    /// Only keys of this type.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Option<KeyType>,
    /// Only keys in this state.
    #[arg(long, value_enum)]
    state: Option<StateName>,
    /// Only keys of this owner.
    #[arg(long)]
    owner: Option<String>,
    /// Only keys of this user, by id.
    #[arg(long)]
    user: Option<String>,
    /// Only the key with this alias.
    #[arg(long)]
    alias: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum StateName {
    /// Works.
    Active,
    /// Held.
    Suspended,
    /// Ended for good.
    Revoked,
    /// Past its end.
    Expired,
}

impl ListArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let page = async |size, token| {
            let answer = connection.keys().list_keys(self.request(size, token)).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::ListKeysResponse { data, pagination: None, next_page_token };
        output.result(&answer, || view::list(&answer.data), answer.data.iter().map(|key| key.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }

    fn request(&self, size: i32, token: Option<String>) -> v1::ListKeysRequest {
        let state = self.state.map(|state| match state {
            StateName::Active => v1::key::State::Active,
            StateName::Suspended => v1::key::State::Suspended,
            StateName::Revoked => v1::key::State::Revoked,
            StateName::Expired => v1::key::State::Expired,
        });
        v1::ListKeysRequest {
            page_size: Some(size),
            page_token: token,
            r#type: self.kind.map(|kind| v1::key::Type::from(kind).into()),
            state: state.map(Into::into),
            owner: self.owner.clone(),
            user: self.user.clone(),
            alias: self.alias.clone(),
            ..v1::ListKeysRequest::default()
        }
    }
}
