//! `gatepost users list` and `search`.

use clap::{Args, ValueEnum};

use super::{UserType, list};
use crate::cli::arguments::PageArgs;
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// Which users.
#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    /// Only users of this type.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kind: Option<UserType>,
    /// Only users in this state.
    #[arg(long, value_enum)]
    state: Option<StateName>,
    /// Only the user with this email address.
    #[arg(long)]
    email: Option<String>,
    /// Only the user with this handle.
    #[arg(long)]
    handle: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Which words.
#[derive(Args, Clone, Debug)]
pub(super) struct SearchArgs {
    /// The words; a user must hold them all, in their handle, alias, email address or names.
    #[arg(required = true, value_name = "WORD")]
    words: Vec<String>,
    #[command(flatten)]
    page: PageArgs,
}

/// Whether a user may act.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum StateName {
    /// They may.
    Active,
    /// They may not.
    Blocked,
}

impl ListArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let page = async |size, token| {
            let answer = connection.users().list_users(self.request(size, token)).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::ListUsersResponse { data, pagination: None, next_page_token };
        output.result(&answer, || list(&answer.data), answer.data.iter().map(|user| user.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }

    fn request(&self, size: i32, token: Option<String>) -> v1::ListUsersRequest {
        let state = self.state.map(|state| match state {
            StateName::Active => v1::user::State::Active,
            StateName::Blocked => v1::user::State::Blocked,
        });
        v1::ListUsersRequest {
            page_size: Some(size),
            page_token: token,
            r#type: self.kind.map(|kind| v1::user::Type::from(kind).into()),
            state: state.map(Into::into),
            email: self.email.clone(),
            handle: self.handle.clone(),
            ..v1::ListUsersRequest::default()
        }
    }
}

impl SearchArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let page = async |size, token| {
            let request = v1::SearchUsersRequest {
                query: self.words.join(" "),
                page_size: Some(size),
                page_token: token,
                ..v1::SearchUsersRequest::default()
            };
            let answer = connection.users().search_users(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(page).await?;
        let answer = v1::SearchUsersResponse { data, pagination: None, next_page_token };
        output.result(&answer, || list(&answer.data), answer.data.iter().map(|user| user.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}
