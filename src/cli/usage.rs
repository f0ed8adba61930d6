//! `gatepost usage`: how often credentials are used, in a table with a line of how it went.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use super::arguments::duration;
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::keys::key_id;
use super::output::{Output, OutputArgs, Rows};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::usage::Grain;
use crate::proto::v1;
use crate::proto::v1::get_usage_request::{Group, Interval};

/// Show how often credentials are used. Asks a running server, in the environment of the key it is asked with.
#[derive(Args, Clone, Debug)]
pub(super) struct UsageArgs {
    /// Only calls with this key, by its id or alias.
    #[arg(value_name = "KEY")]
    key: Option<String>,
    /// What calls are told apart by.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "outcome")]
    by: Vec<By>,
    /// How far to look back: 24h, 30d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    since: Duration,
    /// The spans that are counted; up to 2h back minutes, up to 7d hours, else days, unless given.
    #[arg(long, value_name = "SPAN")]
    interval: Option<Span>,
    /// Only calls with keys that have this owner now.
    #[arg(long)]
    owner: Option<String>,
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
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What calls can be told apart by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum By {
    Key,
    Owner,
    Client,
    User,
    Project,
    Method,
    Outcome,
}

/// A span of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Span {
    Minute,
    Hour,
    Day,
}

impl UsageArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        let key = match &self.key {
            Some(name) => Some(key_id(name, &connection).await?),
            None => None,
        };
        let now = SystemClock.now();
        let span = self.span();
        let (start, end) = (span.grain().start(now.minus(self.since)), now);
        let seconds = |at: crate::domain::clock::Timestamp| at.micros().div_euclid(1_000_000);
        let wire = |seconds: i64| Some(Timestamp { seconds, nanos: 0 });
        let request = v1::GetUsageRequest {
            start_time: wire(seconds(start)),
            // The span that has begun counts.
            end_time: wire(seconds(end) + 1),
            interval: span.on_the_wire().into(),
            group_by: self.by.iter().map(|by| by.on_the_wire().into()).collect(),
            key_id: key,
            owner: self.owner.clone(),
            client_id: self.client.clone(),
            user_id: self.user.clone(),
            method: self.method.clone(),
            outcome: self.outcome.clone(),
        };
        let answer = connection.keys().get_usage(request).await?.into_inner();
        let length = span.grain().length().as_secs() as i64;
        let spans = usize::try_from((seconds(end) - seconds(start)) / length + 1).unwrap_or(1);
        let place = |count: &v1::UsageCount| {
            let at = count.start_time.map_or(0, |time| time.seconds);
            usize::try_from((at - seconds(start)) / length).unwrap_or(0)
        };
        output.result(&answer, || self.rows(&answer.data, spans, place), [answer.total.to_string()])?;
        Ok(Exit::Done)
    }

    /// The form of errors.
    pub(super) fn output(&self) -> OutputArgs {
        self.output
    }

    fn span(&self) -> Span {
        let hours = self.since.as_secs() / 3_600;
        self.interval.unwrap_or(match hours {
            0..=2 => Span::Minute,
            3..=168 => Span::Hour,
            _ => Span::Day,
        })
    }

    /// A row for each group, with the most calls first.
    fn rows(&self, counts: &[v1::UsageCount], spans: usize, place: impl Fn(&v1::UsageCount) -> usize) -> Rows {
        let mut groups: BTreeMap<Vec<String>, Vec<u64>> = BTreeMap::new();
        for count in counts {
            let name = self.by.iter().map(|by| by.of(count).unwrap_or("-").to_owned()).collect();
            let line = groups.entry(name).or_insert_with(|| vec![0; spans]);
            let at = place(count).min(spans - 1);
            line[at] += u64::try_from(count.calls).unwrap_or(0);
        }
        let mut groups: Vec<_> =
            groups.into_iter().map(|(name, line)| (line.iter().sum::<u64>(), name, line)).collect();
        groups.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let header = self.by.iter().map(|by| by.heading()).chain(["CALLS", "OVER TIME"]);
        let mut rows = Rows::under(header);
        for (calls, name, line) in groups {
            rows.push(name.into_iter().chain([calls.to_string(), sparkline(&line)]));
        }
        rows
    }
}

impl By {
    fn heading(self) -> &'static str {
        match self {
            Self::Key => "KEY",
            Self::Owner => "OWNER",
            Self::Client => "CLIENT",
            Self::User => "USER",
            Self::Project => "PROJECT",
            Self::Method => "METHOD",
            Self::Outcome => "OUTCOME",
        }
    }

    fn on_the_wire(self) -> Group {
        match self {
            Self::Key => Group::Key,
            Self::Owner => Group::Owner,
            Self::Client => Group::Client,
            Self::User => Group::User,
            Self::Project => Group::Project,
            Self::Method => Group::Method,
            Self::Outcome => Group::Outcome,
        }
    }

    fn of(self, count: &v1::UsageCount) -> Option<&str> {
        match self {
            Self::Key => count.key_id.as_deref(),
            Self::Owner => count.owner.as_deref(),
            Self::Client => count.client_id.as_deref(),
            Self::User => count.user_id.as_deref(),
            Self::Project => count.project.as_deref(),
            Self::Method => count.method.as_deref(),
            Self::Outcome => count.outcome.as_deref(),
        }
    }
}

impl Span {
    fn grain(self) -> Grain {
        match self {
            Self::Minute => Grain::Minute,
            Self::Hour => Grain::Hour,
            Self::Day => Grain::Day,
        }
    }

    fn on_the_wire(self) -> Interval {
        match self {
            Self::Minute => Interval::Minute,
            Self::Hour => Interval::Hour,
            Self::Day => Interval::Day,
        }
    }
}

/// Numbers as a line of bars, as high as the highest allows. More than fit are added up, as many as it takes.
fn sparkline(line: &[u64]) -> String {
    let together = line.len().div_ceil(WIDEST).max(1);
    let bars: Vec<u64> = line.chunks(together).map(|part| part.iter().sum()).collect();
    let highest = bars.iter().copied().max().unwrap_or(0).max(1);
    let top = BARS.len() as u64 - 1;
    let bar = |calls: u64| match calls {
        0 => NO_BAR,
        // What there is at all is seen.
        calls => BARS[usize::try_from(calls.saturating_mul(top) / highest).unwrap_or(0)],
    };
    bars.into_iter().map(bar).collect()
}

const BARS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
const NO_BAR: char = '\u{b7}';
/// Characters of a line.
const WIDEST: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_high_as_its_highest() {
        assert_eq!(sparkline(&[0, 1, 4, 7, 0]), "·▂▅█·");
        assert_eq!(sparkline(&[1_000_000, 1]), "█▁");
        assert_eq!(sparkline(&[0, 0]), "··");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[1; 96]), "█".repeat(48));
        assert_eq!(sparkline(&[u64::MAX / 2, 1]).chars().count(), 2);
    }
}
