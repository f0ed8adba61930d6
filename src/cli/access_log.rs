//! `gatepost access-log`: who used credentials, when, and from where.

use clap::Args;
use prost_types::Timestamp;

use super::arguments::{PageArgs, timestamp};
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::json::to_json_line;
use super::keys::key_id;
use super::output::{Mood, Output, OutputArgs, Rows, print};
use super::text::time;
use crate::proto::v1;

/// List who used credentials, newest first: a row for all calls of a minute that are alike.
#[derive(Args, Clone, Debug)]
pub(super) struct AccessLogArgs {
    /// Only calls with this key, by its id or alias.
    #[arg(long = "key-id", value_name = "KEY")]
    key: Option<String>,
    /// Only calls of this OAuth client, by id.
    #[arg(long)]
    client: Option<String>,
    /// Only calls that act for this user, by id.
    #[arg(long)]
    user: Option<String>,
    /// Only calls of this method: Keys/GetKey, verification.
    #[arg(long)]
    method: Option<String>,
    /// Only calls that were decided so: VALID, EXPIRED.
    #[arg(long)]
    outcome: Option<String>,
    /// Only calls from this address or range: 10.0.0.0/8.
    #[arg(long, value_name = "RANGE")]
    address: Option<String>,
    /// Only minutes that began at this time or later: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    after: Option<Timestamp>,
    /// Only minutes that began before this time.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    before: Option<Timestamp>,
    /// Instead: calls with what nobody knows, which are of no project. Takes an administrator of the installation.
    #[arg(long)]
    unknown: bool,
    /// Print all that pass the filters, a line of JSON each.
    #[arg(long, conflicts_with_all = ["limit", "page_token", "all", "json", "quiet"])]
    export: bool,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl AccessLogArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        let key = match &self.key {
            Some(name) => Some(key_id(name, &connection).await?),
            None => None,
        };
        if self.export {
            return self.export(key, &connection).await;
        }
        let fetch = async |size, token| {
            let request = self.request(key.clone(), size, token);
            let answer = connection.keys().list_access_log(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(fetch).await?;
        let answer = v1::ListAccessLogResponse { data, pagination: None, next_page_token };
        let addresses = answer.data.iter().filter_map(|entry| entry.address.clone());
        output.result(&answer, || rows(&answer.data), addresses)?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(Exit::Done)
    }

    async fn export(&self, key: Option<String>, connection: &Connection) -> Result<Exit, Failure> {
        let request = self.request(key, 0, None);
        let request = v1::ExportAccessLogRequest {
            key_id: request.key_id,
            client_id: request.client_id,
            user_id: request.user_id,
            method: request.method,
            outcome: request.outcome,
            address: request.address,
            start_time: request.start_time,
            end_time: request.end_time,
            unknown: request.unknown,
        };
        let mut entries = connection.keys().export_access_log(request).await?.into_inner();
        while let Some(v1::ExportAccessLogResponse { entry }) = entries.message().await? {
            entry.map_or(Ok(()), |entry| print(&to_json_line(&entry)?))?;
        }
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }

    fn request(&self, key: Option<String>, size: i32, token: Option<String>) -> v1::ListAccessLogRequest {
        v1::ListAccessLogRequest {
            page_size: Some(size),
            page_token: token,
            key_id: key,
            client_id: self.client.clone(),
            user_id: self.user.clone(),
            method: self.method.clone(),
            outcome: self.outcome.clone(),
            address: self.address.clone(),
            start_time: self.after,
            end_time: self.before,
            unknown: self.unknown.then_some(true),
            ..v1::ListAccessLogRequest::default()
        }
    }
}

fn rows(entries: &[v1::AccessLogEntry]) -> Rows {
    let mut rows = Rows::under(["MINUTE", "CALLS", "OUTCOME", "METHOD", "WHO", "FROM", "USER AGENT"]);
    for entry in entries {
        let who = [&entry.key_id, &entry.client_id, &entry.user_id];
        let who: Vec<&str> = who.into_iter().filter_map(|id| id.as_deref()).collect();
        let (minute, who) = (time(entry.minute.as_ref()), who.join(" "));
        let from = entry.address.clone().unwrap_or_default();
        let (calls, agent) = (entry.calls.to_string(), entry.user_agent().to_owned());
        rows.push([minute, calls, entry.outcome.clone(), entry.method().to_owned(), who, from, agent]);
        let good = entry.outcome == crate::domain::usage::VALID;
        rows.mood(2, Some(if good { Mood::Good } else { Mood::Bad }));
    }
    rows
}
