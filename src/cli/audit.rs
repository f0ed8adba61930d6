//! `gatepost audit`: reading the audit log of a running server, and checking it at the server's machine.

use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::arguments::{PageArgs, timestamp};
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::installation::DataArgs;
use super::output::{Output, OutputArgs, Rows, print};
use super::text::{plain, time};
use crate::proto::v1;
use crate::server::offline::Offline;
use crate::store::AuditCheck;

/// Read and check the audit log: who did what to keys and scopes.
#[derive(Args, Clone, Debug)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    pub(super) command: AuditCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List entries, newest first. Asks a running server, in the environment of the key it is asked with.
    List(Box<ListArgs>),
    /// Check, at the server's machine, that no entry of any project was changed, removed or added behind the server's back.
    /// Exit code 0 means that the logs are whole, 1 that one is not. The server may run meanwhile.
    Verify(VerifyArgs),
}

/// Which entries.
#[derive(Args, Clone, Debug)]
pub(super) struct ListArgs {
    /// Only what the key of this id did; `command-line` for what was done there.
    #[arg(long, value_name = "KEY")]
    actor: Option<String>,
    /// Only this action, or all of one kind of thing: key.revoked, 'key.*'.
    #[arg(long)]
    action: Option<String>,
    /// Only what was done to this key (its id) or scope.
    #[arg(long)]
    target: Option<String>,
    /// Only what was done at this time or later: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    after: Option<Timestamp>,
    /// Only what was done before this time.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    before: Option<Timestamp>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where the data is.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    data: DataArgs,
}

impl ListArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        let fetch = async |size, token| {
            let answer = connection.keys().list_audit_events(self.request(size, token)).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(fetch).await?;
        let answer = v1::ListAuditEventsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || rows(&answer.data), answer.data.iter().map(|event| event.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }

    fn request(&self, size: i32, token: Option<String>) -> v1::ListAuditEventsRequest {
        v1::ListAuditEventsRequest {
            page_size: Some(size),
            page_token: token,
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            occurred_after: self.after,
            occurred_before: self.before,
            ..v1::ListAuditEventsRequest::default()
        }
    }
}

impl VerifyArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        self.data.run(async |data: &Offline| {
            let checks = data.check_audit_logs().await?;
            checks.iter().try_for_each(|check| print(&line(check)))?;
            let whole = checks.iter().all(|check| check.broken.is_none());
            Ok(if whole { Exit::Done } else { Exit::Failed })
        })
    }
}

fn rows(events: &[v1::AuditEvent]) -> Rows {
    let mut rows = Rows::under(["SEQ", "TIME", "ACTION", "TARGET", "ACTOR", "FROM", "CHANGE"]);
    for event in events {
        let change = match (&event.before, &event.after) {
            (Some(before), Some(after)) => format!("{before} -> {after}"),
            (before, after) => before.clone().or(after.clone()).unwrap_or_default(),
        };
        let from = event.client_ip.clone().unwrap_or_default();
        let (action, target, actor) = (event.action.clone(), event.target.clone(), event.actor.clone());
        rows.push([event.seq.to_string(), time(event.occurred_at.as_ref()), action, target, actor, from, change]);
    }
    rows
}

/// What came of checking a project's log, in a line.
fn line(check: &AuditCheck) -> String {
    let AuditCheck { project, whole, unchained, broken } = check;
    let before = if *unchained > 0 { format!(", {unchained} from before it could be checked") } else { String::new() };
    let found = match broken {
        None => format!("whole, {whole} entries{before}"),
        Some(broken) => {
            let id = broken.event.as_deref().unwrap_or("none there");
            let kind = broken.kind.as_str();
            format!("BROKEN at seq {}: {kind} (event {id}); {whole} entries before it are whole{before}", broken.seq)
        }
    };
    plain(&format!("{project}: {found}")).into_owned()
}
