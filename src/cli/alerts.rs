//! `gatepost alerts`: what the project was told about its credentials, and when it is.

use std::time::Duration;

use clap::{Args, Subcommand};
use prost_types::{Duration as WireDuration, Timestamp};

use super::arguments::{PageArgs, duration, mask, named, timestamp};
use super::connection::{Connection, ConnectionArgs};
use super::exit::{Exit, Failure};
use super::output::{Mood, Output, OutputArgs, Rows};
use super::text::{span, time};
use crate::proto::v1;
use crate::proto::v1::alert::Severity;

/// See what is unusual about keys and their use, and say what is.
#[derive(Args, Clone, Debug)]
pub(super) struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum AlertsCommand {
    /// List alerts, newest first.
    List(ListArgs),
    /// Show one alert: what happened, and what to do.
    Show(ShowArgs),
    /// List the rules by which alerts are raised.
    Rules,
    /// Change a rule.
    Set(Box<SetArgs>),
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// Only alerts of this kind: new_network, honey_key; `rules` lists all.
    #[arg(long)]
    kind: Option<String>,
    /// Only alerts about what has this id.
    #[arg(long, value_name = "ID")]
    credential_id: Option<String>,
    /// Only what was seen at this time or later: 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    since: Option<Timestamp>,
    #[command(flatten)]
    page: PageArgs,
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// The alert's id.
    alert: String,
}

#[derive(Args, Clone, Debug)]
struct SetArgs {
    /// Which rule; `rules` lists all.
    kind: String,
    /// Raise alerts of this kind.
    #[arg(long, conflicts_with = "off")]
    on: bool,
    /// Raise none.
    #[arg(long)]
    off: bool,
    /// What is held against what is seen: refusals, times the average, days or per cent, as the kind says.
    #[arg(long, value_name = "N")]
    threshold: Option<i64>,
    /// Of rate_jump: how many calls the minute must have at least.
    #[arg(long, value_name = "N")]
    min_calls: Option<i64>,
    /// Of many_refusals: the time in which refusals are counted, 1m to 1h.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    window: Option<Duration>,
    /// How long the same is not told again, 1m to 30d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cooldown: Option<Duration>,
    /// Change it only if it still has this etag.
    #[arg(long)]
    etag: Option<String>,
}

impl AlertsArgs {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let output = Output::new(self.output);
        let connection = Connection::open(&self.connection).await?;
        match &self.command {
            AlertsCommand::List(args) => args.run(&connection, output).await?,
            AlertsCommand::Show(args) => {
                let request = v1::GetAlertRequest { id: args.alert.clone() };
                let alert = connection.keys().get_alert(request).await?.into_inner().alert;
                let alert = alert.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no alert"))?;
                output.result(&alert, || record(&alert), [alert.id.clone()])?;
            }
            AlertsCommand::Rules => {
                let answer = connection.keys().list_alert_rules(v1::ListAlertRulesRequest {}).await?.into_inner();
                output.result(&answer, || rules(&answer.data), answer.data.iter().map(|rule| rule.kind.clone()))?;
            }
            AlertsCommand::Set(args) => {
                let rule = connection.keys().update_alert_rule(args.request()?).await?.into_inner().rule;
                let rule = rule.ok_or_else(|| Failure::new(Exit::Failed, "the server's answer holds no rule"))?;
                output.result(&rule, || rules(std::slice::from_ref(&rule)), [rule.kind.clone()])?;
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
            let request = v1::ListAlertsRequest {
                page_size: Some(size),
                page_token: token,
                kind: self.kind.clone(),
                credential_id: self.credential_id.clone(),
                since: self.since,
                ..v1::ListAlertsRequest::default()
            };
            let answer = connection.keys().list_alerts(request).await?.into_inner();
            Ok((answer.data, answer.next_page_token))
        };
        let (data, next_page_token) = self.page.fetch(fetch).await?;
        let answer = v1::ListAlertsResponse { data, pagination: None, next_page_token };
        output.result(&answer, || rows(&answer.data), answer.data.iter().map(|alert| alert.id.clone()))?;
        self.page.note(answer.next_page_token.as_deref(), output);
        Ok(())
    }
}

impl SetArgs {
    fn request(&self) -> Result<v1::UpdateAlertRuleRequest, Failure> {
        let paths = named([
            ("enabled", self.on || self.off),
            ("threshold", self.threshold.is_some()),
            ("min_calls", self.min_calls.is_some()),
            ("window", self.window.is_some()),
            ("cooldown", self.cooldown.is_some()),
        ]);
        if paths.is_empty() {
            let hint = "`gatepost alerts set --help` lists what can be changed";
            return Err(Failure::usage("nothing to change").hint(hint));
        }
        // Each is a century at most.
        let span = |span: Option<Duration>| span.and_then(|span| WireDuration::try_from(span).ok());
        let rule = v1::AlertRule {
            kind: self.kind.clone(),
            enabled: Some(self.on),
            threshold: self.threshold,
            min_calls: self.min_calls,
            window: span(self.window),
            cooldown: span(self.cooldown),
            updated_at: None,
            etag: self.etag.clone().unwrap_or_default(),
        };
        Ok(v1::UpdateAlertRuleRequest { rule: Some(rule), update_mask: Some(mask(paths, "alerts")?) })
    }
}

fn rows(alerts: &[v1::Alert]) -> Rows {
    let mut rows = Rows::under(["ID", "TIME", "SEVERITY", "KIND", "CREDENTIAL", "CALLS", "FROM", "MESSAGE"]);
    for alert in alerts {
        let severity = alert.severity();
        let v1::Alert { id, kind, credential_id, calls, client_ip, last_at, message, .. } = alert.clone();
        rows.push([
            id,
            time(last_at.as_ref()),
            severity.as_str_name().to_owned(),
            kind,
            credential_id.unwrap_or_default(),
            calls.to_string(),
            client_ip.unwrap_or_default(),
            message,
        ]);
        rows.mood(2, mood(severity));
    }
    rows
}

fn record(alert: &v1::Alert) -> Rows {
    let mut rows = Rows::record();
    rows.field("alert", &alert.id);
    rows.field("kind", &alert.kind);
    rows.field("severity", alert.severity().as_str_name());
    rows.field("message", &alert.message);
    rows.field("credential", alert.credential_id());
    rows.field("owner", alert.owner());
    rows.field("project", &alert.project);
    rows.field("environment", alert.environment().as_str_name().to_ascii_lowercase());
    rows.field("observed", alert.observed.to_string());
    rows.field("threshold", alert.threshold.to_string());
    rows.field("calls", alert.calls.to_string());
    rows.field("from", alert.client_ip());
    rows.field("by", alert.user_agent());
    rows.field("called", alert.method());
    rows.field("first", time(alert.first_at.as_ref()));
    rows.field("last", time(alert.last_at.as_ref()));
    rows
}

fn rules(rules: &[v1::AlertRule]) -> Rows {
    let mut rows = Rows::under(["KIND", "ENABLED", "THRESHOLD", "MIN CALLS", "WINDOW", "COOLDOWN", "CHANGED"]);
    for rule in rules {
        let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
        rows.push([
            rule.kind.clone(),
            if rule.enabled() { "yes" } else { "no" }.to_owned(),
            number(rule.threshold),
            number(rule.min_calls),
            span(rule.window.as_ref()),
            span(rule.cooldown.as_ref()),
            time(rule.updated_at.as_ref()),
        ]);
    }
    rows
}

fn mood(severity: Severity) -> Option<Mood> {
    match severity {
        Severity::Critical => Some(Mood::Bad),
        Severity::Warning => Some(Mood::Waiting),
        Severity::Info | Severity::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::readme;
    use crate::domain::alert::{AlertKind, AlertRule, Thresholds};

    #[test]
    fn the_readme_lists_the_rules() {
        let mut table =
            "| kind | severity | raised when | unless changed | cooldown |\n|---|---|---|---|---|\n".to_owned();
        for kind in AlertKind::ALL {
            let when = match kind {
                AlertKind::ManyRefusals => {
                    "one key, or credentials that nobody knows in `Verify`, were refused so often within `window`"
                }
                AlertKind::RateJump => "a key made so many times its average in a minute, and at least `min_calls`",
                AlertKind::NewNetwork => "a key was accepted from a network that it was never accepted from",
                AlertKind::DormantKey => "a key was accepted after so many days without",
                AlertKind::KeyExpiring => "a key stops working in so many days",
                AlertKind::OldSecretUsed => {
                    "the old secret of a rotation was accepted, and so little of its grace period is left"
                }
                AlertKind::QuotaNearlySpent => "so little of a key's credits is left",
                AlertKind::HoneyKey => "somebody presented a honey key",
                AlertKind::LeakedCredential => {
                    "a credential of the project was reported as leaked, and may have worked"
                }
            };
            let Thresholds { threshold, floor, window, cooldown } = AlertRule::default_of(kind).thresholds;
            let mut values = Vec::new();
            if AlertRule::bounds(kind).threshold.is_some() {
                values.push(format!("`threshold` {threshold} {}", AlertRule::threshold_means(kind)));
            }
            if floor > 0 {
                values.push(format!("`min_calls` {floor}"));
            }
            if !window.is_zero() {
                values.push(format!("`window` {}", humantime::format_duration(window)));
            }
            let cooldown = match kind {
                AlertKind::KeyExpiring => "once for each end".to_owned(),
                AlertKind::QuotaNearlySpent => "once for each refill".to_owned(),
                _ => humantime::format_duration(cooldown).to_string(),
            };
            let values = if values.is_empty() { "-".to_owned() } else { values.join(", ") };
            let (name, severity) = (kind.as_str(), kind.severity().as_str());
            table += &format!("| `{name}` | {severity} | {when} | {values} | {cooldown} |\n");
        }
        readme::assert_section("alerts", &table);
    }
}
