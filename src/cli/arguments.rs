//! Values on the command line: times, pairs, pages, ends.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use prost_types::{FieldMask, Timestamp};
use tonic::Status;

use super::exit::{Exit, Failure};
use super::output::Output;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::key::MAX_GRACE;

/// A while: `30d`, `12h`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let rule = "a time has a unit: 30d, 12h, 90s";
    // The library takes 30 years and more; a century is long enough and keeps sums in range.
    humantime::parse_duration(text).ok().filter(|time| *time <= CENTURY).ok_or_else(|| rule.to_owned())
}

/// How long an old secret goes on working.
pub(super) fn grace(text: &str) -> Result<Duration, String> {
    let rule = || "a grace period is 0s to 30d".to_owned();
    duration(text).ok().filter(|time| *time <= MAX_GRACE).ok_or_else(rule)
}

/// A point in time, RFC 3339.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    let rule = || "a point in time is written in RFC 3339: 2027-01-31T12:00:00Z".to_owned();
    if !text.contains(['T', 't']) {
        return Err(rule());
    }
    text.parse().map_err(|_| rule())
}

/// A pair: `name=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a pair is written name=value".to_owned()),
    }
}

/// The fields of these that were named on the command line.
pub(super) fn named<const N: usize>(fields: [(&str, bool); N]) -> Vec<String> {
    fields.into_iter().filter(|(_, named)| *named).map(|(field, _)| field.to_owned()).collect()
}

/// The mask of an update of these fields; to change nothing is a mistake.
pub(super) fn mask(paths: Vec<String>, noun: &str) -> Result<FieldMask, Failure> {
    if paths.is_empty() {
        let hint = format!("`gatepost {noun} update --help` lists what can be changed");
        return Err(Failure::usage("nothing to change").hint(hint));
    }
    Ok(FieldMask { paths })
}

/// When something ends.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub(super) struct ExpiryArgs {
    /// It stops working after this time: 90d, 12h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) expires_in: Option<Duration>,
    /// It stops working at this point: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub(super) expires_at: Option<Timestamp>,
}

impl ExpiryArgs {
    /// The end that was given, if one was.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.expires_at.or_else(|| self.expires_in.map(|after| end(&SystemClock, after)))
    }
}

/// The flags that say how much of a list to print.
#[derive(Args, Clone, Debug)]
#[group(multiple = true)]
pub(super) struct PageArgs {
    /// Print this many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) limit: u32,
    /// Go on after the page that ended with this token.
    #[arg(long, value_name = "TOKEN")]
    pub(super) page_token: Option<String>,
    /// Print all, however many.
    #[arg(long, conflicts_with_all = ["limit", "page_token"])]
    pub(super) all: bool,
}

impl PageArgs {
    /// Fetches the page or, with `--all`, page after page; the items and the token of the next page.
    pub(super) async fn fetch<T>(
        &self,
        mut page: impl AsyncFnMut(i32, Option<String>) -> Result<(Vec<T>, Option<String>), Status>,
    ) -> Result<(Vec<T>, Option<String>), Failure> {
        let size = if self.all { MAX_PAGE } else { self.limit };
        let (mut items, mut next) = page(size as i32, self.page_token.clone()).await?;
        while self.all && next.is_some() {
            let (more, after) = page(size as i32, next).await?;
            items.extend(more);
            next = after;
        }
        Ok((items, next))
    }

    /// Tells people that there is more.
    pub(super) fn note(&self, next: Option<&str>, output: Output) {
        if let Some(next) = next {
            output.note(&format!("There is more: --page-token {next}, or --all"));
        }
    }
}

/// The point that was this long ago.
pub(super) fn ago(time: Duration) -> Timestamp {
    point(SystemClock.now().minus(time))
}

fn end(clock: &dyn Clock, after: Duration) -> Timestamp {
    point(clock.now().plus(after))
}

fn point(at: crate::domain::clock::Timestamp) -> Timestamp {
    let (seconds, micros) = (at.micros().div_euclid(1_000_000), at.micros().rem_euclid(1_000_000));
    // Below a million, so the nanoseconds are below 2^31.
    Timestamp { seconds, nanos: micros as i32 * 1_000 }
}

const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
const MAX_PAGE: u32 = 1_000;

/// What a file holds.
pub(super) fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::{ManualClock, Timestamp as Point};

    #[test]
    fn times_need_a_unit() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        for bad in ["", "30", "d", "-1d", "1000years", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_grace_period_has_its_bound() {
        assert_eq!(grace("30d"), Ok(MAX_GRACE));
        assert_eq!(grace("0s"), Ok(Duration::ZERO));
        assert!(grace("31d").is_err() && grace("7").is_err());
    }

    #[test]
    fn points_are_rfc_3339() {
        assert_eq!(timestamp("2026-01-02T03:04:05Z").unwrap().seconds, 1_767_323_045);
        assert_eq!(timestamp("2026-01-02T04:04:05+01:00").unwrap().seconds, 1_767_323_045);
        for bad in ["", "tomorrow", "2026-01-02", "2026-13-02T03:04:05Z"] {
            assert!(timestamp(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_is_counted_from_now() {
        let clock = ManualClock::new(Point::from_micros(1_767_323_045_000_001));
        assert_eq!(end(&clock, Duration::from_secs(60)), Timestamp { seconds: 1_767_323_105, nanos: 1_000 });
    }

    #[test]
    fn pairs_have_names() {
        assert_eq!(pair("team=shop=1"), Ok(("team".to_owned(), "shop=1".to_owned())));
        assert!(pair("team").is_err() && pair("=x").is_err());
    }

    #[tokio::test]
    async fn all_pages_are_fetched_when_all_are_asked_for() {
        let pages = |all| PageArgs { limit: 2, page_token: None, all };
        let fetch = async |_: i32, token: Option<String>| {
            let at: usize = token.map_or(0, |token| token.parse().unwrap());
            Ok((vec![at], (at < 3).then(|| (at + 1).to_string())))
        };
        assert_eq!(pages(true).fetch(fetch).await.unwrap(), (vec![0, 1, 2, 3], None));
        assert_eq!(pages(false).fetch(fetch).await.unwrap(), (vec![0], Some("1".to_owned())));
    }
}
