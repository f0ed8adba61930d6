//! `gatepost leaks`: credentials that were found where they must not be.

use clap::{Args, Subcommand};

use super::arguments::PageArgs;
use super::connection::{Connection, ConnectionArgs};
use super::credential;
use super::exit::{Exit, Failure};
use super::output::{Output, OutputArgs, Rows};
use super::text::time;
use crate::proto::v1;

/// Report leaked credentials, and see which were.
#[derive(Args, Clone, Debug)]
pub(super) struct LeaksArgs {
    #[command(subcommand)]
    command: LeaksCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum LeaksCommand {
    /// List reports, newest first: where credentials were found, and what was done.
    List(ListArgs),
    /// Report a credential that you found. What is done about it is the project's `leak_policy`, and is done at once.
    Report(ReportArgs),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only reports about what has this id.
    #[arg(long, value_name = "ID")]
    credential_id: Option<String>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Clone, Debug)]
struct ReportArgs {
    /// `-` reads the credential from standard input, as does nothing; GATEPOST_CREDENTIAL may hold it.
    #[arg(value_name = "-")]
    credential: Option<String>,
    /// What kind of place it was found in: repository, log, chat.
    #[arg(long, default_value = "operator")]
    source: String,
    /// Where it was found: an address.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    found_at: String,
}

impl LeaksArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        match &self.command {
            LeaksCommand::List(args) => args.run(&Connection::open(&self.connection).await?, output).await?,
            LeaksCommand::Report(args) => {
                // Before anything is sent: it is asked for where nobody gave it.
                let credential = credential::read(args.credential.as_deref(), "leaks report")?;
                let connection = Connection::open(&self.connection).await?;
                let request = v1::ReportLeakRequest {
                    credential: credential.to_string(),
                    source: args.source.clone(),
                    url: args.found_at.clone(),
                };
                let report = connection.keys().report_leak(request).await?.into_inner().report;
                let report = report.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no report"))?;
                output.result(&report, || record(&report), [report.action().as_str_name().to_owned()])?;
            }
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }
}

impl ListArgs {
    async fn run(&self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let fetch = async |size, token| {
            let request = v1::ListLeakReportsRequest {
                page_size: Some(size),
                page_token: token,
                credential_id: self.credential_id.clone(),
                ..v1::ListLeakReportsRequest::default()
            };
            let answer = connection.keys().list_leak_reports(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(fetch).await?;
        let answer = v1::ListLeakReportsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || rows(&answer.data), answer.data.iter().map(|report| report.credential_id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}

fn rows(reports: &[v1::LeakReport]) -> Rows {
    let mut rows = Rows::under(["TIME", "CREDENTIAL", "TYPE", "HINT", "ACTION", "REPORTER", "SOURCE", "URL"]);
    for report in reports {
        let action = report.action().as_str_name().to_owned();
        let v1::LeakReport { credential_id, r#type, hint, source, url, reporter, reported_at, .. } = report.clone();
        rows.push([time(reported_at.as_ref()), credential_id, r#type, hint, action, reporter, source, url]);
    }
    rows
}

fn record(report: &v1::LeakReport) -> Rows {
    let mut rows = Rows::record();
    rows.field("report", &report.id);
    rows.field("credential", &report.credential_id);
    rows.field("type", &report.r#type);
    rows.field("hint", &report.hint);
    rows.field("done", report.action().as_str_name());
    rows.field("source", &report.source);
    rows.field("url", &report.url);
    rows.field("reporter", &report.reporter);
    rows.field("reported", time(report.reported_at.as_ref()));
    rows
}
