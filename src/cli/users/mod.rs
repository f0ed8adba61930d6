//! `gatepost users`: people and service accounts.

mod change;
mod find;

use clap::{Args, Subcommand, ValueEnum};

use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Mood, Output, OutputArgs, Rows};
use super::password;
use super::text::time;
use crate::proto::v1::{self, user::State};

/// Keep users: people and service accounts.
#[derive(Args, Clone, Debug)]
pub(super) struct UsersArgs {
    #[command(subcommand)]
    command: UsersCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum UsersCommand {
    /// List users, newest first.
    List(find::ListArgs),
    /// Find users by words.
    Search(find::SearchArgs),
    /// Show one user.
    Show(OneUser),
    /// Add a user.
    Create(Box<change::CreateArgs>),
    /// Change a user.
    Update(Box<change::UpdateArgs>),
    /// Block users: their sessions end, and none of their keys works until they are unblocked.
    Block(SomeUsers),
    /// Let the keys of blocked users work again.
    Unblock(SomeUsers),
    /// Delete users for good, with their keys and sessions.
    Delete(SomeUsers),
    /// Give a user a password, which is read from standard input. Their sessions end.
    SetPassword(OneUser),
}

#[derive(Args, Clone, Debug)]
struct OneUser {
    /// The user's id.
    user: String,
}

#[derive(Args, Clone, Debug)]
struct SomeUsers {
    /// The users' ids.
    #[arg(required = true, value_name = "USER")]
    users: Vec<String>,
}

/// What a user is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum UserType {
    /// A person.
    Human,
    /// A program that holds keys.
    ServiceAccount,
}

impl From<UserType> for v1::user::Type {
    fn from(kind: UserType) -> Self {
        match kind {
            UserType::Human => Self::Human,
            UserType::ServiceAccount => Self::ServiceAccount,
        }
    }
}

impl UsersArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            UsersCommand::List(args) => args.run(&connection, output).await?,
            UsersCommand::Search(args) => args.run(&connection, output).await?,
            UsersCommand::Show(one) => {
                let request = v1::GetUserRequest { id: one.user.clone() };
                print(connection.users().get_user(request).await?.into_inner().user, output)?;
            }
            UsersCommand::Create(args) => args.run(&connection, output).await?,
            UsersCommand::Update(args) => args.run(&connection, output).await?,
            UsersCommand::Block(some) => {
                for id in &some.users {
                    let request = v1::BlockUserRequest { id: id.clone(), etag: None };
                    print(connection.users().block_user(request).await?.into_inner().user, output)?;
                }
            }
            UsersCommand::Unblock(some) => {
                for id in &some.users {
                    let request = v1::UnblockUserRequest { id: id.clone(), etag: None };
                    print(connection.users().unblock_user(request).await?.into_inner().user, output)?;
                }
            }
            UsersCommand::Delete(some) => {
                for id in &some.users {
                    let request = v1::DeleteUserRequest { id: id.clone(), etag: None };
                    print(connection.users().delete_user(request).await?.into_inner().user, output)?;
                }
            }
            UsersCommand::SetPassword(one) => {
                let password = password::read()?;
                let request = v1::SetPasswordRequest { id: one.user.clone(), password: (*password).clone() };
                let answer = connection.auth().set_password(request).await?.into_inner();
                output.result(&answer, || has_password(&one.user), [one.user.clone()])?;
            }
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

fn print(user: Option<v1::User>, output: Output) -> Result<(), Failure> {
    let user = user.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no user"))?;
    output.result(&user, || record(&user), [user.id.clone()])
}

fn has_password(user: &str) -> Rows {
    let mut rows = Rows::record();
    rows.field("user", user);
    rows.field("password", "set");
    rows
}

fn list(users: &[v1::User]) -> Rows {
    let mut rows = Rows::under(["ID", "TYPE", "STATE", "HANDLE", "EMAIL", "NAME"]);
    for user in users {
        rows.push([
            user.id.clone(),
            kind(user),
            user.state().as_str_name().to_owned(),
            user.handle().to_owned(),
            user.email().to_owned(),
            name(user),
        ]);
        rows.mood(2, mood(user.state()));
    }
    rows
}

fn record(user: &v1::User) -> Rows {
    let mut rows = Rows::record();
    rows.field("id", &user.id);
    rows.field("type", kind(user));
    rows.field("state", user.state().as_str_name());
    rows.mood(1, mood(user.state()));
    rows.field("handle", user.handle());
    rows.field("alias", user.alias());
    rows.field("email", user.email());
    rows.field("name", name(user));
    rows.field("environment", user.environment().as_str_name().to_ascii_lowercase());
    for (name, value) in &user.metadata {
        rows.field("metadata", format!("{name}={value}"));
    }
    rows.field("created", time(user.created_at.as_ref()));
    rows.field("updated", time(user.updated_at.as_ref()));
    rows.field("deleted", time(user.deleted_at.as_ref()));
    rows.field("etag", &user.etag);
    rows
}

fn kind(user: &v1::User) -> String {
    user.r#type().as_str_name().to_ascii_lowercase().replace('_', "-")
}

fn name(user: &v1::User) -> String {
    format!("{} {}", user.first_name, user.last_name).trim().to_owned()
}

fn mood(state: State) -> Option<Mood> {
    match state {
        State::Active => Some(Mood::Good),
        State::Blocked => Some(Mood::Waiting),
        State::Unspecified => None,
    }
}
