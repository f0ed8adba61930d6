//! `gatepost keys update`.

use clap::Args;

use super::{OneKey, key_id, view};
use crate::cli::arguments::{ExpiryArgs, mask, named, pair};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::limits::{AddressModeArg, CreditsArgs, limit};
use crate::cli::output::Output;
use crate::proto::v1;

/// What to change.
#[derive(Args, Clone, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    key: OneKey,
    /// A new name for people.
    #[arg(long)]
    name: Option<String>,
    /// A new second, short name.
    #[arg(long)]
    alias: Option<String>,
    /// Take the alias away.
    #[arg(long, conflicts_with = "alias")]
    no_alias: bool,
    /// A new description.
    #[arg(long)]
    description: Option<String>,
    /// A new owner.
    #[arg(long)]
    owner: Option<String>,
    /// Take the owner away.
    #[arg(long, conflicts_with = "owner")]
    no_owner: bool,
    /// The scopes it shall hold, in place of all it holds now; may be given several times, or with commas.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// Take all scopes away.
    #[arg(long, conflicts_with = "scopes")]
    no_scopes: bool,
    /// The addresses it may be used from, in place of all there are now; may be given several times.
    #[arg(long = "allowed-ip", value_name = "CIDR", value_delimiter = ',')]
    allowed_ips: Vec<String>,
    /// Let it be used from anywhere.
    #[arg(long, conflicts_with = "allowed_ips")]
    any_ip: bool,
    /// The pairs it shall have, in place of all there are now; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Take all pairs away.
    #[arg(long, conflicts_with = "metadata")]
    no_metadata: bool,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// Let it work for ever.
    #[arg(long, conflicts_with = "ExpiryArgs")]
    no_expiry: bool,
    /// The limits it shall have, in place of all its own now; may be given several times.
    #[arg(long = "limit", value_name = "NAME=CALLS/TIME", value_parser = limit)]
    limits: Vec<v1::RateLimit>,
    /// Take its own limits away. Those that its project gives to keys of its type stay.
    #[arg(long, conflicts_with = "limits")]
    no_limits: bool,
    #[command(flatten)]
    credits: CreditsArgs,
    /// Count credits no more.
    #[arg(long, conflicts_with = "credits")]
    no_credits: bool,
    /// What is done about a call from an address that is not allowed.
    #[arg(long, value_name = "MODE", value_enum)]
    allowed_ips_mode: Option<AddressModeArg>,
    /// Whether nobody is to use it, and the project gets an alert when somebody does.
    #[arg(long, value_name = "BOOL")]
    honey: Option<bool>,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl UpdateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let update_mask = Some(mask(self.paths(), "keys")?);
        let mut key = self.values();
        key.id = key_id(&self.key.key, connection).await?;
        let request = v1::UpdateKeyRequest { key: Some(key), update_mask };
        let key = view::present(connection.keys().update_key(request).await?.into_inner().key)?;
        output.result(&key, || view::record(&key), [key.id.clone()])
    }

    /// The fields that were named.
    fn paths(&self) -> Vec<String> {
        named([
            ("name", self.name.is_some()),
            ("alias", self.alias.is_some() || self.no_alias),
            ("description", self.description.is_some()),
            ("owner", self.owner.is_some() || self.no_owner),
            ("scopes", !self.scopes.is_empty() || self.no_scopes),
            ("allowed_ips", !self.allowed_ips.is_empty() || self.any_ip),
            ("metadata", !self.metadata.is_empty() || self.no_metadata),
            ("credits", self.credits.names_refill() || self.no_credits),
            ("credits.remaining", self.credits.credits().is_some() && !self.credits.names_refill()),
            ("allowed_ips_mode", self.allowed_ips_mode.is_some()),
            ("honey", self.honey.is_some()),
            ("rate_limits", !self.limits.is_empty() || self.no_limits),
            ("expires_at", self.expiry.end().is_some() || self.no_expiry),
        ])
    }

    /// Their new values; what is taken away is empty.
    fn values(&self) -> v1::Key {
        v1::Key {
            name: self.name.clone().unwrap_or_default(),
            alias: self.alias.clone(),
            description: self.description.clone().unwrap_or_default(),
            owner: self.owner.clone(),
            scopes: self.scopes.clone(),
            allowed_ips: self.allowed_ips.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            expires_at: self.expiry.end(),
            rate_limits: self.limits.clone(),
            credits: self.credits.credits(),
            allowed_ips_mode: self.allowed_ips_mode.map_or(0, |mode| v1::key::AddressMode::from(mode).into()),
            honey: self.honey.unwrap_or_default(),
            etag: self.etag.clone().unwrap_or_default(),
            ..v1::Key::default()
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

    fn parsed(line: &str) -> Result<UpdateArgs, clap::Error> {
        Line::try_parse_from(["update"].into_iter().chain(line.split_whitespace())).map(|line| line.args)
    }

    #[test]
    fn only_what_is_named_is_changed() {
        let cases: [(&str, &[&str]); 12] = [
            ("key_1", &[]),
            ("key_1 --name x", &["name"]),
            ("key_1 --no-alias --no-owner", &["alias", "owner"]),
            ("key_1 --scope a:b,c:d --scope e:f", &["scopes"]),
            ("key_1 --any-ip --no-metadata --no-scopes", &["scopes", "allowed_ips", "metadata"]),
            ("key_1 --expires-in 1d", &["expires_at"]),
            ("key_1 --no-limits", &["rate_limits"]),
            ("key_1 --credits 5", &["credits.remaining"]),
            ("key_1 --credits 5 --refill monthly --refill-day 31", &["credits"]),
            ("key_1 --no-credits --allowed-ips-mode report", &["credits", "allowed_ips_mode"]),
            ("key_1 --honey false", &["honey"]),
            ("key_1 --no-expiry --description x", &["description", "expires_at"]),
        ];
        for (line, paths) in cases {
            assert_eq!(parsed(line).unwrap().paths(), paths, "{line}");
        }
        assert_eq!(parsed("key_1 --scope a:b,c:d --scope e:f").unwrap().values().scopes, ["a:b", "c:d", "e:f"]);
    }

    #[test]
    fn a_value_and_its_absence_exclude_each_other() {
        for line in [
            "key_1 --alias x --no-alias",
            "key_1 --scope a:b --no-scopes",
            "key_1 --allowed-ip 10.0.0.1 --any-ip",
            "key_1 --metadata a=b --no-metadata",
            "key_1 --limit a=1/1m --no-limits",
            "key_1 --credits 5 --no-credits",
            "key_1 --refill daily",
            "key_1 --expires-in 1d --no-expiry",
            "key_1 --expires-in 1d --expires-at 2027-01-01T00:00:00Z",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
