//! Trusting and changing issuers.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use prost_types::FieldMask;

use super::{OneIssuer, print};
use crate::cli::arguments::{duration, text_of};
use crate::cli::connection::Connection;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::proto::v1;

#[derive(Args, Clone, Debug)]
pub(super) struct CreateArgs {
    /// What its tokens say in iss, letter by letter.
    name: String,
    #[command(flatten)]
    rules: RulesArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct UpdateArgs {
    #[command(flatten)]
    issuer: OneIssuer,
    #[command(flatten)]
    rules: RulesArgs,
    /// Look for its keys where its own description says, and no more where they were looked for.
    #[arg(long, conflicts_with_all = ["jwks_uri", "jwks"])]
    discover: bool,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct RulesArgs {
    /// For whom its tokens are: aud must name it; may be given several times.
    #[arg(long = "audience", value_name = "AUDIENCE")]
    audiences: Vec<String>,
    /// Where its keys are published. Without this and --jwks, where its own description says.
    #[arg(long, value_name = "URL", conflicts_with = "jwks")]
    jwks_uri: Option<String>,
    /// A file with its keys, a JWK Set.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// How its tokens may be signed; may be given several times. ES256, EdDSA and RS256 unless given.
    #[arg(long = "algorithm", value_name = "NAME")]
    algorithms: Vec<String>,
    /// A name for people.
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// What it is for, in prose.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The claim that tells a user's email address, in place of email.
    #[arg(long, value_name = "CLAIM")]
    email_claim: Option<String>,
    /// The claim that tells a user's first name, in place of given_name.
    #[arg(long, value_name = "CLAIM")]
    first_name_claim: Option<String>,
    /// The claim that tells a user's last name, in place of family_name.
    #[arg(long, value_name = "CLAIM")]
    last_name_claim: Option<String>,
    /// By how much its clock may differ: up to 60s, 30s unless given.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    leeway: Option<Duration>,
}

impl CreateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let issuer = v1::Issuer { issuer: self.name.clone(), ..self.rules.values()? };
        let request = v1::CreateIssuerRequest { issuer: Some(issuer) };
        print(connection.auth().create_issuer(request).await?.into_inner().issuer, output)
    }
}

impl UpdateArgs {
    pub(super) async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let paths = self.paths();
        if paths.is_empty() {
            let hint = "`gatepost issuers update --help` lists what can be changed";
            return Err(Failure::usage("nothing to change").hint(hint));
        }
        let (id, etag) = (self.issuer.issuer.clone(), self.etag.clone().unwrap_or_default());
        let issuer = v1::Issuer { id, etag, ..self.rules.values()? };
        let request = v1::UpdateIssuerRequest { issuer: Some(issuer), update_mask: Some(FieldMask { paths }) };
        print(connection.auth().update_issuer(request).await?.into_inner().issuer, output)
    }

    /// The fields that were named.
    fn paths(&self) -> Vec<String> {
        let rules = &self.rules;
        let fields = [
            ("audiences", !rules.audiences.is_empty()),
            ("jwks_uri", rules.jwks_uri.is_some() || self.discover),
            ("jwks", rules.jwks.is_some()),
            ("algorithms", !rules.algorithms.is_empty()),
            ("display_name", rules.display_name.is_some()),
            ("description", rules.description.is_some()),
            ("email_claim", rules.email_claim.is_some()),
            ("first_name_claim", rules.first_name_claim.is_some()),
            ("last_name_claim", rules.last_name_claim.is_some()),
            ("leeway", rules.leeway.is_some()),
        ];
        fields.into_iter().filter(|(_, named)| *named).map(|(name, _)| name.to_owned()).collect()
    }
}

impl RulesArgs {
    fn values(&self) -> Result<v1::Issuer, Failure> {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        Ok(v1::Issuer {
            display_name: given(&self.display_name),
            description: given(&self.description),
            jwks_uri: self.jwks_uri.clone(),
            jwks: self.jwks.as_deref().map(text_of).transpose()?,
            audiences: self.audiences.clone(),
            algorithms: self.algorithms.clone(),
            email_claim: given(&self.email_claim),
            first_name_claim: given(&self.first_name_claim),
            last_name_claim: given(&self.last_name_claim),
            leeway: self.leeway.and_then(|leeway| leeway.try_into().ok()),
            ..v1::Issuer::default()
        })
    }
}
