//! `gatepost keys create`.

use clap::{Args, ValueEnum};
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::{KeyType, view};
use crate::cli::arguments::{ExpiryArgs, pair};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::limits::{AddressModeArg, CreditsArgs, limit};
use crate::cli::output::Output;
use crate::proto::v1;

/// What the new key shall be.
#[derive(Args, Clone, Debug)]
pub(super) struct CreateArgs {
    /// A name for people.
    #[arg(long)]
    name: String,
    /// What the key is for: sk (server to server), rk (restricted), pk (may be public).
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = KeyType::Sk)]
    kind: KeyType,
    /// Refuse unless the calling key is of this environment; a new key is always of its maker's.
    #[arg(long, value_enum)]
    environment: Option<EnvironmentName>,
    /// A scope it gets; may be given several times, or with commas. Without any it may do nothing.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// An address or range it may be used from; may be given several times. Without any: from anywhere.
    #[arg(long = "allowed-ip", value_name = "CIDR", value_delimiter = ',')]
    allowed_ips: Vec<String>,
    /// A second, short name.
    #[arg(long)]
    alias: Option<String>,
    /// What it is for, in prose.
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Who it belongs to, in your own words.
    #[arg(long)]
    owner: Option<String>,
    /// The id of the service account it acts for.
    #[arg(long)]
    user: Option<String>,
    /// A pair of your own; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Keep the secret so that `gatepost keys reveal` can show it again.
    #[arg(long)]
    recoverable: bool,
    #[command(flatten)]
    expiry: ExpiryArgs,
    /// How many calls it may make in how long, as in per-minute=100/1m; may be given several times. With `,shared` at its end
    /// all keys of the owner share it.
    #[arg(long = "limit", value_name = "NAME=CALLS/TIME", value_parser = limit)]
    limits: Vec<v1::RateLimit>,
    #[command(flatten)]
    credits: CreditsArgs,
    /// What is done about a call from an address that is not allowed.
    #[arg(long, value_name = "MODE", value_enum)]
    allowed_ips_mode: Option<AddressModeArg>,
    /// Nobody is to use it: whoever does is answered as if nobody knew it, and the project gets an alert.
    #[arg(long)]
    honey: bool,
    /// Makes repeating safe: within 24 h, the same word and flags give the same key back, secret included.
    #[arg(long, value_name = "WORD")]
    idempotency_key: Option<String>,
}

/// Live or test.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum EnvironmentName {
    /// Real data.
    Live,
    /// Trial data.
    Test,
}

impl CreateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let mut request = Request::new(self.request());
        if let Some(word) = &self.idempotency_key {
            let value = MetadataValue::try_from(word.as_str())
                .map_err(|_| Failure::usage("--idempotency-key must be visible ASCII"))?;
            request.metadata_mut().insert("idempotency-key", value);
        }
        let answer = connection.keys().create_key(request).await?.into_inner();
        let key = view::present(answer.key.clone())?;
        output.result(&answer, || view::with_secret(&key, &answer.secret), [answer.secret.clone()])?;
        if !key.recoverable {
            output.note("Keep the secret: it is shown only here.");
        }
        Ok(())
    }

    fn request(&self) -> v1::CreateKeyRequest {
        let environment = match self.environment {
            None => v1::Environment::Unspecified,
            Some(EnvironmentName::Live) => v1::Environment::Live,
            Some(EnvironmentName::Test) => v1::Environment::Test,
        };
        v1::CreateKeyRequest {
            r#type: v1::key::Type::from(self.kind).into(),
            environment: environment.into(),
            name: self.name.clone(),
            alias: self.alias.clone(),
            description: self.description.clone(),
            owner: self.owner.clone(),
            user: self.user.clone(),
            scopes: self.scopes.clone(),
            allowed_ips: self.allowed_ips.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            recoverable: self.recoverable,
            expires_at: self.expiry.end(),
            rate_limits: self.limits.clone(),
            credits: self.credits.credits(),
            allowed_ips_mode: self.allowed_ips_mode.map_or(0, |mode| v1::key::AddressMode::from(mode).into()),
            honey: self.honey,
        }
    }
}
