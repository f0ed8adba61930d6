//! What is remembered of a key between two looks at its calls, and the rules that compare with it.
//!
//! It is what all nodes counted together: the store holds it while they take turns. Nothing in it grows with the number of calls.

use std::collections::VecDeque;
use std::net::IpAddr;

use ipnet::IpNet;

use super::finding::sum;
use super::rule::MOST_WINDOW;
use super::{AlertKind, AlertRules, Finding, MOST_OF_ONE};
use crate::domain::clock::Timestamp;
use crate::domain::id::{CredentialId, KeyId};
use crate::domain::network::unmapped;
use crate::domain::reason::Reason;
use crate::domain::usage::Tally;

/// What is remembered of a key, or of the credentials that nobody knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watched {
    /// The minute that calls were counted in last.
    pub minute: Option<Timestamp>,
    /// How many there were in it.
    pub calls: i64,
    /// The calls of a minute on average, in thousandths, of those before. Half of it is what came in the last 42 minutes.
    pub average: i64,
    /// How many minutes the average is of, those without calls included.
    pub history: i64,
    /// When it was accepted last.
    pub used_at: Option<Timestamp>,
    /// Minutes in which it was refused, the oldest first, with how often.
    pub refusals: VecDeque<(Timestamp, i64)>,
    /// The networks it was accepted from, the one used last at the end.
    pub networks: VecDeque<IpNet>,
}

impl Watched {
    /// Takes in what was counted of one key, and says what the rules find in it. That a key was used after long, and from a new network,
    /// is not taken in with it, but with what is [learned](Self::learn) of the findings: until then it is found again.
    pub fn observe(&mut self, key: Option<&KeyId>, counted: &[&Tally], rules: &AlertRules) -> Vec<Finding> {
        let mut counted = counted.to_vec();
        counted.sort_by_key(|tally| (tally.minute, tally.last_at));
        let subject = key.map(|key| CredentialId::Key(key.clone()));
        let mut found = Vec::new();
        let (touched, counted): (Vec<_>, Vec<_>) = counted.into_iter().partition(|tally| tally.subject.watch.honey);
        found.extend(honey(subject.as_ref(), &touched, rules));
        found.extend(self.rate(subject.as_ref(), &counted, rules));
        let (accepted, refused): (Vec<_>, Vec<_>) = counted.into_iter().partition(|tally| tally.outcome.is_none());
        found.extend(self.refused(subject.as_ref(), &refused, rules));
        if key.is_some() {
            found.extend(self.woken(subject.as_ref(), &accepted, rules));
            found.extend(self.moved(subject.as_ref(), &accepted, rules));
            found.extend(old_secret(subject.as_ref(), &accepted, rules));
        }
        found
    }

    /// Takes in what was told, so that it is not found again.
    pub fn learn(&mut self, told: &Finding) {
        match told.kind {
            AlertKind::DormantKey => self.used_at = self.used_at.max(Some(told.last_at)),
            AlertKind::NewNetwork => told.network.into_iter().for_each(|network| self.see(network)),
            _ => {}
        }
    }

    fn refused(&mut self, subject: Option<&CredentialId>, refused: &[&Tally], rules: &AlertRules) -> Option<Finding> {
        // That we could not say is not their doing.
        let counts = |tally: &&&Tally| tally.outcome != Some(Reason::StoreUnavailable);
        let refused: Vec<&Tally> = refused.iter().filter(counts).copied().collect();
        for tally in &refused {
            let calls = sum(&[tally]);
            match self.refusals.iter_mut().find(|(minute, _)| *minute == tally.minute) {
                Some((_, known)) => *known = known.saturating_add(calls),
                None => self.refusals.push_back((tally.minute, calls)),
            }
        }
        self.refusals.make_contiguous().sort_unstable();
        let newest = self.refusals.back()?.0;
        self.refusals.retain(|(minute, _)| *minute > newest.minus(MOST_WINDOW));
        let last = refused.last()?.minute;
        let rule = rules.enabled(AlertKind::ManyRefusals)?;
        let in_window = |minute: Timestamp| minute <= last && minute > last.minus(rule.thresholds.window);
        let known = self.refusals.iter().filter(|(minute, _)| in_window(*minute));
        let observed = known.map(|(_, calls)| *calls).fold(0, i64::saturating_add);
        let finding = Finding::of_calls(AlertKind::ManyRefusals, subject.cloned(), &refused);
        (observed >= rule.thresholds.threshold).then(|| Finding {
            until: rule.cooled_down(finding.last_at),
            observed,
            calls: observed,
            threshold: rule.thresholds.threshold,
            ..finding
        })
    }

    fn rate(&mut self, subject: Option<&CredentialId>, counted: &[&Tally], rules: &AlertRules) -> Option<Finding> {
        let mut found = None;
        for of_minute in counted.chunk_by(|a, b| a.minute == b.minute) {
            let (minute, calls) = (of_minute[0].minute, sum(of_minute));
            if !self.turn(minute) {
                continue;
            }
            self.calls = self.calls.saturating_add(calls);
            let Some(rule) = rules.enabled(AlertKind::RateJump) else { continue };
            let wanted = self.average.saturating_mul(rule.thresholds.threshold);
            let jumps = self.history >= LEAST_HISTORY
                && self.calls >= rule.thresholds.floor
                && self.calls.saturating_mul(1_000) > wanted;
            if subject.is_some() && jumps {
                let finding = Finding::of_calls(AlertKind::RateJump, subject.cloned(), of_minute);
                found = Some(Finding {
                    until: rule.cooled_down(finding.last_at),
                    observed: self.calls,
                    calls: self.calls,
                    threshold: (wanted / 1_000).max(rule.thresholds.floor),
                    detail: thousandths(self.average),
                    ..finding
                });
            }
        }
        found
    }

    /// Goes on to this minute; whether it is not before the one that is counted now, whose calls are in the average already.
    fn turn(&mut self, minute: Timestamp) -> bool {
        let Some(known) = self.minute else {
            self.minute = Some(minute);
            return true;
        };
        if minute <= known {
            return minute == known;
        }
        let passed = i64::try_from(minute.since(known).as_secs() / 60).unwrap_or(i64::MAX);
        let last = self.calls.saturating_mul(1_000) as f64;
        let average = if self.history == 0 { last } else { self.average as f64 + (last - self.average as f64) * SHARE };
        // And the minutes without calls.
        let idle = i32::try_from(passed - 1).unwrap_or(i32::MAX);
        self.average = (average * (1.0 - SHARE).powi(idle)) as i64;
        self.history = self.history.saturating_add(passed);
        (self.minute, self.calls) = (Some(minute), 0);
        true
    }

    fn woken(&mut self, subject: Option<&CredentialId>, accepted: &[&Tally], rules: &AlertRules) -> Option<Finding> {
        let (first, last) = (accepted.first()?.last_at, accepted.iter().map(|tally| tally.last_at).max()?);
        let dormant = rules.enabled(AlertKind::DormantKey).zip(self.used_at).and_then(|(rule, before)| {
            let days = i64::try_from(first.since(before).as_secs() / DAY).unwrap_or(i64::MAX);
            (days >= rule.thresholds.threshold).then(|| Finding {
                until: rule.cooled_down(last),
                observed: days,
                threshold: rule.thresholds.threshold,
                detail: super::told::time(before),
                ..Finding::of_calls(AlertKind::DormantKey, subject.cloned(), accepted)
            })
        });
        if dormant.is_none() {
            self.used_at = self.used_at.max(Some(last));
        }
        dormant
    }

    /// Each new network by itself, with the calls from there.
    fn moved(&mut self, subject: Option<&CredentialId>, accepted: &[&Tally], rules: &AlertRules) -> Vec<Finding> {
        let rule = rules.enabled(AlertKind::NewNetwork);
        let mut strange: Vec<(IpNet, Vec<&Tally>)> = Vec::new();
        // Who may have a publishable key is anybody, wherever they are.
        for tally in accepted.iter().filter(|tally| !tally.subject.watch.public) {
            let Some(network) = tally.address.and_then(neighbourhood) else { continue };
            if rule.is_none() || self.networks.is_empty() || self.networks.contains(&network) {
                self.see(network);
            } else if let Some((_, calls)) = strange.iter_mut().find(|(known, _)| *known == network) {
                calls.push(tally);
            } else if strange.len() < MOST_OF_ONE {
                strange.push((network, vec![tally]));
            }
        }
        let Some(rule) = rule else { return Vec::new() };
        let found = strange.iter().zip(self.networks.len() + 1..).map(|((network, calls), known)| {
            let finding = Finding::of_calls(AlertKind::NewNetwork, subject.cloned(), calls);
            let observed = i64::try_from(known.min(MOST_NETWORKS)).unwrap_or(i64::MAX);
            Finding {
                claim: format!("{} {network}", finding.claim),
                until: rule.cooled_down(finding.last_at),
                observed,
                threshold: observed - 1,
                detail: network.to_string(),
                network: Some(*network),
                ..finding
            }
        });
        found.collect()
    }

    /// Remembers a network as the one that was used last.
    fn see(&mut self, network: IpNet) {
        if self.networks.back() == Some(&network) {
            return;
        }
        self.networks.retain(|known| *known != network);
        self.networks.push_back(network);
        if self.networks.len() > MOST_NETWORKS {
            self.networks.pop_front();
        }
    }
}

/// The network that an address is told apart by here: its /24, or its /48.
fn neighbourhood(address: IpAddr) -> Option<IpNet> {
    let address = unmapped(address);
    let bits = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, bits).ok().map(|network| network.trunc())
}

fn honey(subject: Option<&CredentialId>, touched: &[&Tally], rules: &AlertRules) -> Option<Finding> {
    let rule = rules.enabled(AlertKind::HoneyKey).filter(|_| !touched.is_empty())?;
    let finding = Finding::of_calls(AlertKind::HoneyKey, subject.cloned(), touched);
    Some(Finding { until: rule.cooled_down(finding.last_at), ..finding })
}

fn old_secret(subject: Option<&CredentialId>, accepted: &[&Tally], rules: &AlertRules) -> Option<Finding> {
    let rule = rules.enabled(AlertKind::OldSecretUsed)?;
    let threshold = rule.thresholds.threshold;
    // Of the whole grace period, in hundredths of it.
    let left = |tally: &Tally| {
        let fading = tally.subject.watch.fading?;
        Some((fading.ends_at.since(tally.last_at).as_micros() * 100, fading.grace.as_micros().max(1)))
    };
    let is_late = |tally: &&Tally| {
        left(tally).is_some_and(|(left, grace)| left <= grace * u128::try_from(threshold).unwrap_or_default())
    };
    let late: Vec<&Tally> = accepted.iter().copied().filter(is_late).collect();
    let last = late.iter().max_by_key(|tally| tally.last_at)?;
    let ends_at = last.subject.watch.fading?.ends_at;
    Some(Finding {
        until: rule.cooled_down(last.last_at),
        observed: left(last).and_then(|(left, grace)| i64::try_from(left / grace).ok())?,
        threshold,
        detail: super::told::time(ends_at),
        ..Finding::of_calls(AlertKind::OldSecretUsed, subject.cloned(), &late)
    })
}

fn thousandths(number: i64) -> String {
    format!("{}.{}", number / 1_000, number % 1_000 / 100)
}

/// Networks of a key that are known; the one that was used longest ago goes first.
pub const MOST_NETWORKS: usize = 64;
/// How much of the average the last minute makes.
const SHARE: f64 = 1.0 / 60.0;
/// Minutes that have to be known before a jump is one.
const LEAST_HISTORY: i64 = 60;
const DAY: u64 = 24 * 60 * 60;
