//! `gatepost users create` and `update`.

use clap::Args;

use super::{OneUser, UserType, print};
use crate::cli::arguments::{mask, named, pair};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// The new user.
#[derive(Args, Clone, Debug)]
pub(super) struct CreateArgs {
    /// What the user is.
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = UserType::Human)]
    kind: UserType,
    /// A short name of lower-case letters, digits and inner hyphens; a service account needs one.
    #[arg(long)]
    handle: Option<String>,
    /// A name to show in place of the handle.
    #[arg(long)]
    alias: Option<String>,
    /// The email address.
    #[arg(long)]
    email: Option<String>,
    /// The first name.
    #[arg(long, default_value = "", hide_default_value = true)]
    first_name: String,
    /// The last name.
    #[arg(long, default_value = "", hide_default_value = true)]
    last_name: String,
    /// A pair of your own; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// What the user may do in person; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
}

/// What to change. An empty word takes a handle, an alias, an email address or a name away.
#[derive(Args, Clone, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    user: OneUser,
    /// A new handle, or "" for none.
    #[arg(long)]
    handle: Option<String>,
    /// A new alias, or "" for none.
    #[arg(long)]
    alias: Option<String>,
    /// A new email address, or "" for none.
    #[arg(long)]
    email: Option<String>,
    /// A new first name, or "" for none.
    #[arg(long)]
    first_name: Option<String>,
    /// A new last name, or "" for none.
    #[arg(long)]
    last_name: Option<String>,
    /// The pairs they shall have, in place of all there are now; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Take all pairs away.
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    /// A scope they shall hold, in place of all there are now; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Take all scopes away.
    #[arg(long, conflicts_with = "scopes")]
    no_scopes: bool,
    /// Change them only if they still have this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl CreateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let user = v1::User {
            r#type: v1::user::Type::from(self.kind).into(),
            handle: self.handle.clone(),
            alias: self.alias.clone(),
            email: self.email.clone(),
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            scopes: self.scopes.clone(),
            ..v1::User::default()
        };
        let request = v1::CreateUserRequest { user: Some(user) };
        print(connection.users().create_user(request).await?.into_inner().user, output)
    }
}

impl UpdateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let update_mask = Some(mask(self.paths(), "users")?);
        let request = v1::UpdateUserRequest { user: Some(self.values()), update_mask };
        print(connection.users().update_user(request).await?.into_inner().user, output)
    }

    /// The fields that were named.
    fn paths(&self) -> Vec<String> {
        named([
            ("handle", self.handle.is_some()),
            ("alias", self.alias.is_some()),
            ("email", self.email.is_some()),
            ("first_name", self.first_name.is_some()),
            ("last_name", self.last_name.is_some()),
            ("metadata", !self.metadata.is_empty() || self.no_metadata),
            ("scopes", !self.scopes.is_empty() || self.no_scopes),
        ])
    }

    /// Their new values; what is taken away is absent.
    fn values(&self) -> v1::User {
        let given = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
        v1::User {
            id: self.user.user.clone(),
            handle: given(&self.handle),
            alias: given(&self.alias),
            email: given(&self.email),
            first_name: self.first_name.clone().unwrap_or_default(),
            last_name: self.last_name.clone().unwrap_or_default(),
            metadata: self.metadata.iter().cloned().collect(),
            scopes: self.scopes.clone(),
            etag: self.etag.clone().unwrap_or_default(),
            ..v1::User::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: UpdateArgs,
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&[], &[]),
            (&["--email", "ada@example.com"], &["email"]),
            (&["--handle", "", "--no-metadata"], &["handle", "metadata"]),
            (&["--first-name", "Ada", "--last-name=", "--alias", "A"], &["alias", "first_name", "last_name"]),
        ];
        for (line, paths) in cases {
            let args = Line::try_parse_from(["update", "usr_1"].iter().chain(line)).unwrap().args;
            assert_eq!(args.paths(), paths, "{line:?}");
            assert_eq!(args.values().handle, None, "an empty word takes away");
        }
    }
}
