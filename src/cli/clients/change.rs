//! `gatepost clients create` and `update`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{OneClient, view};
use crate::cli::arguments::{duration, mask, named, text_of};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

/// The new client.
#[derive(Args, Clone, Debug)]
pub(super) struct CreateArgs {
    /// What users are told it is called.
    #[arg(long)]
    name: String,
    /// Whether it can keep a secret.
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = ClientType::Confidential)]
    kind: ClientType,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What to change.
#[derive(Args, Clone, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    client: OneClient,
    /// What users are told it is called.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Take the logo away.
    #[arg(long, conflicts_with = "logo_uri")]
    no_logo_uri: bool,
    /// Take its keys away.
    #[arg(long, conflicts_with_all = ["jwks_uri", "jwks"])]
    no_keys: bool,
    /// Take all redirect URIs away.
    #[arg(long, conflicts_with = "redirect_uris")]
    no_redirect_uris: bool,
    /// Take all URIs for after signing out away.
    #[arg(long, conflicts_with = "post_logout_redirect_uris")]
    no_post_logout_redirect_uris: bool,
    /// Take all scopes away.
    #[arg(long, conflicts_with = "scopes")]
    no_scopes: bool,
    /// Take all resources away.
    #[arg(long, conflicts_with = "resources")]
    no_resources: bool,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

/// What both set. In an update, a list comes in place of all there is now.
#[derive(Args, Clone, Debug)]
struct SettingsArgs {
    /// A picture to show beside the name, over https.
    #[arg(long, value_name = "URI")]
    logo_uri: Option<String>,
    /// How it proves itself: client_secret_basic, client_secret_post, private_key_jwt or, of a public client, none.
    #[arg(long, value_name = "METHOD")]
    auth_method: Option<String>,
    /// Where it publishes the keys for private_key_jwt.
    #[arg(long, value_name = "URL", conflicts_with = "jwks")]
    jwks_uri: Option<String>,
    /// A file with those keys, a JWK Set.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Where users may be sent with a code; may be given several times.
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Where users may be sent after they signed out; may be given several times.
    #[arg(long = "post-logout-redirect-uri", value_name = "URI")]
    post_logout_redirect_uris: Vec<String>,
    /// A way to a token: authorization_code, refresh_token, client_credentials, device_code, token-exchange; may be given
    /// several times, or with commas.
    #[arg(long = "grant-type", value_name = "GRANT", value_delimiter = ',')]
    grant_types: Vec<String>,
    /// A scope it may ask for; may be given several times, or with commas. Without any it may do nothing.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// An API it may ask tokens for; may be given several times.
    #[arg(long = "resource", value_name = "URI")]
    resources: Vec<String>,
    /// What its access tokens are.
    #[arg(long, value_name = "FORMAT", value_enum)]
    token_format: Option<FormatName>,
    /// How long an access token lives: 1 minute to 24 hours.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    access_token_lifetime: Option<Duration>,
    /// How long a refresh token lives that is not used: 1 hour to 365 days.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    refresh_token_idle_lifetime: Option<Duration>,
    /// How long tokens can be refreshed until the user is asked again: 1 hour to 730 days.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    refresh_token_lifetime: Option<Duration>,
    /// Whether whoever brings a code must prove that they asked for it; a confidential client may do without.
    #[arg(long, value_name = "BOOL")]
    require_pkce: Option<bool>,
    /// Whether it must push its authorization requests.
    #[arg(long, value_name = "BOOL")]
    require_par: Option<bool>,
    /// Whether its access tokens are bound to a key of its own.
    #[arg(long, value_name = "BOOL")]
    dpop: Option<bool>,
}

/// Whether a client can keep a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum ClientType {
    /// It runs where nobody but its owner looks.
    Confidential,
    /// It runs in the browsers, phones or terminals of its users.
    Public,
}

/// What access tokens are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FormatName {
    /// Anybody can check them.
    Jwt,
    /// Nobody learns anything from them but by asking.
    Opaque,
}

impl CreateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let kind = match self.kind {
            ClientType::Confidential => v1::client::Type::Confidential,
            ClientType::Public => v1::client::Type::Public,
        };
        let client = v1::Client { name: self.name.clone(), r#type: kind.into(), ..self.settings.values()? };
        let request = v1::CreateClientRequest { client: Some(client) };
        let answer = connection.auth().create_client(request).await?.into_inner();
        let client = view::present(answer.client.clone())?;
        // A script asks for what it cannot find out later: the secret or, where there is none, the id.
        let bare = answer.secret.clone().unwrap_or_else(|| client.id.clone());
        output.result(&answer, || view::with_secret(&client, answer.secret()), [bare])?;
        if answer.secret.is_some() {
            output.note("Keep the secret: it is shown only here.");
        }
        Ok(())
    }
}

impl UpdateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let request =
            v1::UpdateClientRequest { client: Some(self.values()?), update_mask: Some(mask(self.paths(), "clients")?) };
        view::print(connection.auth().update_client(request).await?.into_inner().client, output)
    }

    /// The fields that were named.
    fn paths(&self) -> Vec<String> {
        let set = &self.settings;
        named([
            ("name", self.name.is_some()),
            ("logo_uri", set.logo_uri.is_some() || self.no_logo_uri),
            ("token_endpoint_auth_method", set.auth_method.is_some()),
            ("jwks_uri", set.jwks_uri.is_some() || self.no_keys),
            ("jwks", set.jwks.is_some()),
            ("redirect_uris", !set.redirect_uris.is_empty() || self.no_redirect_uris),
            (
                "post_logout_redirect_uris",
                !set.post_logout_redirect_uris.is_empty() || self.no_post_logout_redirect_uris,
            ),
            ("grant_types", !set.grant_types.is_empty()),
            ("scopes", !set.scopes.is_empty() || self.no_scopes),
            ("resources", !set.resources.is_empty() || self.no_resources),
            ("access_token_format", set.token_format.is_some()),
            ("access_token_lifetime", set.access_token_lifetime.is_some()),
            ("refresh_token_idle_lifetime", set.refresh_token_idle_lifetime.is_some()),
            ("refresh_token_lifetime", set.refresh_token_lifetime.is_some()),
            ("require_pkce", set.require_pkce.is_some()),
            ("require_pushed_authorization_requests", set.require_par.is_some()),
            ("dpop_bound_access_tokens", set.dpop.is_some()),
        ])
    }

    /// Their new values; what is taken away is absent.
    fn values(&self) -> Result<v1::Client, Failure> {
        Ok(v1::Client {
            id: self.client.client.clone(),
            name: self.name.clone().unwrap_or_default(),
            etag: self.etag.clone().unwrap_or_default(),
            ..self.settings.values()?
        })
    }
}

impl SettingsArgs {
    fn values(&self) -> Result<v1::Client, Failure> {
        // A time on the command line is a century at most, so it fits.
        let wire = |time: Option<Duration>| time.and_then(|time| prost_types::Duration::try_from(time).ok());
        let format = match self.token_format {
            None => v1::client::TokenFormat::Unspecified,
            Some(FormatName::Jwt) => v1::client::TokenFormat::Jwt,
            Some(FormatName::Opaque) => v1::client::TokenFormat::Opaque,
        };
        Ok(v1::Client {
            logo_uri: self.logo_uri.clone(),
            token_endpoint_auth_method: self.auth_method.clone().unwrap_or_default(),
            jwks_uri: self.jwks_uri.clone(),
            jwks: self.jwks.as_deref().map(text_of).transpose()?,
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            grant_types: self.grant_types.iter().map(|grant| full(grant)).collect(),
            scopes: self.scopes.clone(),
            resources: self.resources.clone(),
            access_token_format: format.into(),
            access_token_lifetime: wire(self.access_token_lifetime),
            refresh_token_idle_lifetime: wire(self.refresh_token_idle_lifetime),
            refresh_token_lifetime: wire(self.refresh_token_lifetime),
            require_pkce: self.require_pkce,
            require_pushed_authorization_requests: self.require_par.unwrap_or_default(),
            dpop_bound_access_tokens: self.dpop.unwrap_or_default(),
            ..v1::Client::default()
        })
    }
}

/// The whole name of a grant type that is a URN.
fn full(grant: &str) -> String {
    match grant {
        "device_code" | "token-exchange" => format!("urn:ietf:params:oauth:grant-type:{grant}"),
        other => other.to_owned(),
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
        let cases: [(&str, &[&str]); 7] = [
            ("cli_1 --no-keys --auth-method none", &["token_endpoint_auth_method", "jwks_uri"]),
            ("cli_1", &[]),
            ("cli_1 --name x --no-logo-uri", &["name", "logo_uri"]),
            ("cli_1 --redirect-uri a --redirect-uri b --no-scopes", &["redirect_uris", "scopes"]),
            ("cli_1 --grant-type device_code,refresh_token", &["grant_types"]),
            ("cli_1 --require-pkce false --dpop true", &["require_pkce", "dpop_bound_access_tokens"]),
            (
                "cli_1 --access-token-lifetime 5m --token-format opaque",
                &["access_token_format", "access_token_lifetime"],
            ),
        ];
        for (line, paths) in cases {
            assert_eq!(parsed(line).unwrap().paths(), paths, "{line}");
        }
        let device = parsed("cli_1 --grant-type device_code,refresh_token").unwrap().values().unwrap().grant_types;
        assert_eq!(device, ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]);
        for line in
            ["cli_1 --scope a:b --no-scopes", "cli_1 --logo-uri x --no-logo-uri", "cli_1 --require-pkce perhaps"]
        {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
