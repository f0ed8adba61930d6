//! Limits on the wire.

use std::time::Duration;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::convert;
use super::fields::Fields;
use crate::domain::clock::Timestamp;
use crate::domain::key::KeyKind;
use crate::domain::limit::limits::Limit;
use crate::domain::limit::quota::{CREDITS, Quota, Refill};
use crate::domain::limit::report::{Report, Standing};
use crate::domain::limit::{RateLimit, RateLimits};
use crate::proto::v1;
use crate::proto::v1::credits::Refill as WireRefill;
use crate::proto::v1::project::DefaultRateLimits;

/// Reads limits.
pub(super) fn read(fields: &mut Fields, field: &str, given: &[v1::RateLimit]) -> RateLimits {
    // A window that cannot be told is none that is allowed.
    let window = |limit: &v1::RateLimit| limit.window.and_then(|window| Duration::try_from(window).ok());
    let limits: Vec<_> = given
        .iter()
        .map(|limit| RateLimit {
            name: limit.name.as_str().into(),
            calls: limit.limit,
            window: window(limit).unwrap_or_default(),
            shared: limit.shared,
        })
        .collect();
    for violation in RateLimits::violations(field, &limits) {
        fields.refuse(violation.field, violation.rule);
    }
    RateLimits::new(limits)
}

/// Reads the limits that a project gives to keys.
pub(super) fn read_defaults(
    fields: &mut Fields,
    field: &str,
    given: &[DefaultRateLimits],
) -> Vec<(KeyKind, RateLimits)> {
    let mut defaults: Vec<(KeyKind, RateLimits)> = Vec::new();
    for (index, entry) in given.iter().enumerate().take(KeyKind::ALL.len() + 1) {
        let place = format!("{field}[{index}]");
        let limits = read(fields, &format!("{place}.rate_limits"), &entry.rate_limits);
        let Some(kind) = fields.known(&format!("{place}.type"), entry.r#type, convert::kind_in) else { continue };
        if defaults.iter().any(|(other, _)| *other == kind) {
            fields.refuse(format!("{place}.type"), "has an entry already");
        }
        defaults.push((kind, limits));
    }
    defaults.retain(|(_, limits)| !limits.is_empty());
    defaults.sort_by_key(|(kind, _)| *kind);
    defaults
}

/// Reads credits.
pub(super) fn read_credits(fields: &mut Fields, field: &str, given: Option<&v1::Credits>) -> Option<Box<Quota>> {
    let given = given?;
    let refill = fields.known(&format!("{field}.refill"), given.refill, Some)?;
    let never = matches!(refill, WireRefill::Unspecified | WireRefill::None);
    if never && given.amount != 0 || !never && !(1..=*CREDITS.end()).contains(&given.amount) {
        fields.refuse(format!("{field}.amount"), "must be 1 to 1,000,000,000,000, and only with a refill");
    }
    if given.day > 31 || given.day != 0 && refill != WireRefill::Monthly {
        fields.refuse(format!("{field}.day"), "must be 1 to 31, and only with MONTHLY");
    }
    // Nobody means no credits at all who does not say so.
    let remaining = given.remaining.or((!never).then_some(given.amount));
    match remaining {
        None => fields.refuse(format!("{field}.remaining"), "is needed, unless there is a refill"),
        Some(remaining) if !CREDITS.contains(&remaining) => {
            fields.refuse(format!("{field}.remaining"), "must be 0 to 1,000,000,000,000");
        }
        Some(_) => {}
    }
    // No more than 31; more was refused.
    let day = u8::try_from(given.day.clamp(1, 31)).unwrap_or(1);
    let refill = match refill {
        WireRefill::Unspecified | WireRefill::None => Refill::Never,
        WireRefill::Daily => Refill::Daily(given.amount),
        WireRefill::Monthly => Refill::Monthly(given.amount, day),
    };
    // When they count as set is for whoever sets them to say.
    Some(Box::new(Quota::set(remaining.unwrap_or(0), refill, 0, Timestamp::default())))
}

/// Credits as a message.
pub(super) fn told_credits(quota: &Quota, now: Timestamp) -> v1::Credits {
    let refill = match quota.refill {
        Refill::Never => WireRefill::None,
        Refill::Daily(_) => WireRefill::Daily,
        Refill::Monthly(..) => WireRefill::Monthly,
    };
    v1::Credits {
        remaining: Some(quota.remaining_at(now)),
        refill: refill.into(),
        amount: quota.refill.amount(),
        day: if let Refill::Monthly(_, day) = quota.refill { day.into() } else { 0 },
        refilled_at: quota.refill.period(now).end.map(convert::time),
    }
}

/// Limits as messages.
pub(super) fn told(limits: &RateLimits) -> Vec<v1::RateLimit> {
    let told = |limit: &RateLimit| v1::RateLimit {
        name: limit.name.to_string(),
        limit: limit.calls,
        window: limit.window.try_into().ok(),
        shared: limit.shared,
    };
    limits.iter().map(told).collect()
}

/// The limits that a project gives to keys as messages.
pub(super) fn told_defaults(defaults: &[(KeyKind, RateLimits)]) -> Vec<DefaultRateLimits> {
    let told = |(kind, limits): &(KeyKind, RateLimits)| DefaultRateLimits {
        r#type: convert::kind(*kind).into(),
        rate_limits: told(limits),
    };
    defaults.iter().map(told).collect()
}

/// How a credential stands with its limits.
pub(super) fn statuses(report: &Report) -> Vec<v1::RateLimitStatus> {
    let status = |(limit, standing): (&Limit, &Standing)| {
        let v1::RateLimitStatus { remaining, reset, .. } = left(standing);
        v1::RateLimitStatus { remaining, reset, ..terms(limit) }
    };
    report.each().map(status).collect()
}

/// Writes the same, encoded, as the field of this number. What never changes about a limit was encoded once, and is kept beside
/// it.
pub(super) fn write_statuses(number: u32, report: &Report, out: &mut Vec<u8>) {
    for (limit, standing) in report.each() {
        let (terms, mut buffer) = (told_terms(limit), [0; LEFT]);
        let mut free = &mut buffer[..];
        left(standing).encode_raw(&mut free);
        let written = LEFT - free.len();
        let left = &buffer[..written];
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint((terms.len() + left.len()) as u64, out);
        out.extend_from_slice(terms);
        out.extend_from_slice(left);
    }
}

/// How many bytes that takes at the most.
pub(super) fn room_for_statuses(report: &Report) -> usize {
    report.each().map(|(limit, _)| told_terms(limit).len() + LEFT).sum()
}

fn told_terms(limit: &Limit) -> &[u8] {
    limit.told.get_or_init(|| terms(limit).encode_to_vec().into())
}

/// The fields of a status that never change: the first ones.
fn terms(limit: &Limit) -> v1::RateLimitStatus {
    v1::RateLimitStatus {
        name: limit.name.to_string(),
        limit: limit.terms.calls,
        window: limit.terms.window().try_into().ok(),
        ..v1::RateLimitStatus::default()
    }
}

/// The other ones.
fn left(standing: &Standing) -> v1::RateLimitStatus {
    v1::RateLimitStatus {
        // No more than the limit.
        remaining: standing.remaining.try_into().unwrap_or(u32::MAX),
        reset: standing.reset.try_into().ok(),
        ..v1::RateLimitStatus::default()
    }
}

/// Room for what changes about one limit, which is a number and a duration of up to 30 bytes, and for its tag and its length.
const LEFT: usize = 48;
