//! `gatepost keys verify`.

use clap::Args;

use crate::cli::connection::{Connection, ConnectionArgs};
use crate::cli::credential;
use crate::cli::exit::{Exit, Failure};
use crate::cli::limits;
use crate::cli::output::{Mood, Output, Rows};
use crate::cli::text::time;
use crate::proto::v1::{self, explain_verify_response::Outcome};

/// What to verify.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    /// `-`: read the credential from standard input, as happens too when GATEPOST_CREDENTIAL is not set. The credential
    /// itself must not stand here, where others on the machine could see it.
    #[arg(value_name = "-")]
    credential: Option<String>,
    /// A scope it must hold; may be given several times, or with commas.
    #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
    scopes: Vec<String>,
    /// The address the end client came from.
    #[arg(long = "ip", value_name = "ADDRESS")]
    client_ip: Option<String>,
    /// The publishable key the end client sent beside it.
    #[arg(long, value_name = "KEY")]
    publishable_key: Option<String>,
    /// What the call costs, in calls, where the key has limits. With 0 nothing is spent.
    #[arg(long, value_name = "CALLS")]
    cost: Option<u32>,
    /// List each check with its outcome. Nothing is counted as a use.
    #[arg(long)]
    explain: bool,
}

impl VerifyArgs {
    pub(super) async fn run(&self, connection: &ConnectionArgs, output: Output) -> Result<Exit, Failure> {
        if connection.key_file.as_ref().is_some_and(|path| path.as_os_str() == "-") {
            let message = "standard input can give the key to call with or the credential to verify, not both";
            return Err(Failure::usage(message).hint("set GATEPOST_KEY, or name a file with --key-file"));
        }
        let credential = credential::read(self.credential.as_deref(), "keys verify")?;
        let connection = Connection::open(connection).await?;
        let decision = if self.explain {
            let answer = connection.auth().explain_verify(self.explain_request(&credential)).await?.into_inner();
            let decision = answer.decision.clone().unwrap_or_default();
            output.result(&answer, || explained(&answer, &decision), [decision.code().as_str_name().to_owned()])?;
            decision
        } else {
            let decision = connection.auth().verify(self.request(&credential)).await?.into_inner();
            output.result(&decision, || record(&decision), [decision.code().as_str_name().to_owned()])?;
            decision
        };
        Ok(if decision.valid { Exit::Done } else { Exit::NotValid })
    }

    fn request(&self, credential: &str) -> v1::VerifyRequest {
        v1::VerifyRequest {
            credential: credential.to_owned(),
            publishable_key: self.publishable_key.clone(),
            scopes: self.scopes.clone(),
            client_ip: self.client_ip.clone(),
            cost: self.cost,
            ..v1::VerifyRequest::default()
        }
    }

    fn explain_request(&self, credential: &str) -> v1::ExplainVerifyRequest {
        let v1::VerifyRequest { credential, publishable_key, scopes, client_ip, dpop, dpop_jkt, cost } =
            self.request(credential);
        v1::ExplainVerifyRequest { credential, publishable_key, scopes, client_ip, dpop, dpop_jkt, cost }
    }
}

fn record(decision: &v1::VerifyResponse) -> Rows {
    let mut rows = Rows::record();
    rows.field("code", decision.code().as_str_name());
    rows.mood(1, Some(if decision.valid { Mood::Good } else { Mood::Bad }));
    rows.field("message", &decision.message);
    rows.field("key", decision.key_id());
    rows.field("name", decision.name());
    if decision.key_id.is_some() {
        rows.field("type", decision.key_type().as_str_name().to_ascii_lowercase());
        rows.field("environment", decision.environment().as_str_name().to_ascii_lowercase());
    }
    rows.field("project", decision.project());
    rows.field("owner", decision.owner());
    rows.field("user", decision.user_id());
    rows.field("scopes", decision.scopes.join(" "));
    rows.field("expires", time(decision.expires_at.as_ref()));
    limits::status_rows(&decision.rate_limits, &mut rows);
    rows.field("credits left", decision.remaining_credits.map(|credits| credits.to_string()).unwrap_or_default());
    let reported = "not allowed; the key's address list only reports";
    rows.field("address", if decision.client_ip_would_be_denied { reported } else { "" });
    for (name, value) in &decision.metadata {
        rows.field("metadata", format!("{name}={value}"));
    }
    rows
}

/// The checks, and the decision after them.
fn explained(answer: &v1::ExplainVerifyResponse, decision: &v1::VerifyResponse) -> Rows {
    let mut rows = Rows::under(["CHECK", "OUTCOME", "DETAIL"]);
    for check in &answer.checks {
        rows.push([check.name.clone(), check.outcome().as_str_name().to_owned(), check.detail.clone()]);
        rows.mood(
            1,
            match check.outcome() {
                Outcome::Passed => Some(Mood::Good),
                Outcome::Failed => Some(Mood::Bad),
                Outcome::Skipped | Outcome::Unspecified => None,
            },
        );
    }
    rows.push(["decision".to_owned(), decision.code().as_str_name().to_owned(), decision.message.clone()]);
    rows.mood(1, Some(if decision.valid { Mood::Good } else { Mood::Bad }));
    rows
}
