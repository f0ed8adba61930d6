//! From message fields to domain values. Every broken rule of a request is collected, so that one answer names them all.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use prost_types::{FieldMask, Timestamp as WireTimestamp};

use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result, Violation};
use crate::domain::name::{broken_by_line, broken_by_name};
use crate::domain::network::{AllowList, RANGE_RULE, parse_range};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::words::words;

/// Collects the broken rules of one request.
#[derive(Debug, Default)]
pub(super) struct Fields {
    prefix: &'static str,
    violations: Vec<Violation>,
}

impl Fields {
    /// Collects for the fields of a message that stands in the request at `prefix` (`key.`), or at its top (empty).
    pub(super) fn under(prefix: &'static str) -> Self {
        Self { prefix, violations: Vec::new() }
    }

    /// The value, if no rule was broken.
    pub(super) fn finish<T>(self, value: T) -> Result<T> {
        if self.violations.is_empty() { Ok(value) } else { Err(Error::fields(self.violations)) }
    }

    /// Notes a broken rule.
    pub(super) fn refuse(&mut self, field: impl AsRef<str>, rule: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            let field = format!("{}{}", self.prefix, field.as_ref());
            self.violations.push(Violation { field, rule: rule.into() });
        }
    }

    /// A line of text: `least` to `most` characters, none of them a control character.
    pub(super) fn line(&mut self, field: &str, value: String, least: usize, most: usize) -> String {
        if let Some(rule) = broken_by_line(&value, least, most) {
            self.refuse(field, rule);
        }
        value
    }

    /// The name of a person or thing: a line without characters that turn or break the text they are shown in.
    pub(super) fn name(&mut self, field: &str, value: String, least: usize, most: usize) -> String {
        if let Some(rule) = broken_by_name(&value, least, most) {
            self.refuse(field, rule);
        }
        value
    }

    /// Prose: up to `most` characters, no control characters but tab and line breaks.
    pub(super) fn prose(&mut self, field: &str, value: String, most: usize) -> String {
        let count = value.chars().count();
        if count > most {
            self.refuse(field, format!("must have up to {most} characters, not {count}"));
        } else if value.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
            self.refuse(field, "must not hold control characters");
        }
        value
    }

    /// The words of a query of up to 200 characters: 1 to 10.
    pub(super) fn words(&mut self, field: &str, value: &str) -> Vec<String> {
        let mut found = Vec::new();
        if value.chars().count() > 200 {
            self.refuse(field, "must have up to 200 characters");
        } else {
            found.extend(words(value));
            found.sort();
            found.dedup();
            if !(1..=10).contains(&found.len()) {
                self.refuse(field, "must have 1 to 10 words of letters or digits");
            }
        }
        found
    }

    /// Visible ASCII: 1 to `most` characters.
    pub(super) fn visible(&mut self, field: &str, value: String, most: usize) -> String {
        if !(1..=most).contains(&value.len()) || !value.bytes().all(|b| b.is_ascii_graphic()) {
            self.refuse(field, format!("must be 1 to {most} visible ASCII characters"));
        }
        value
    }

    /// Free pairs: up to 50, names of 1 to 40 characters, values of up to 500.
    pub(super) fn metadata(&mut self, field: &str, value: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if value.len() > 50 {
            self.refuse(field, format!("must have up to 50 pairs, not {}", value.len()));
            return value;
        }
        for (name, text) in &value {
            if !(1..=40).contains(&name.chars().count()) || name.chars().any(char::is_control) {
                self.refuse(field, "each name must have 1 to 40 characters, none a control character");
            }
            if text.chars().count() > 500 || text.contains('\0') {
                self.refuse(format!("{field}.{name}"), "a value must have up to 500 characters, none of them NUL");
            }
        }
        value
    }

    /// Scopes: up to 100, in either spelling.
    pub(super) fn scopes(&mut self, field: &str, value: &[impl AsRef<str>]) -> Vec<Scope> {
        self.each(field, value, 100, |text| Scope::parse(text).ok_or(Scope::RULE))
    }

    /// A set of scopes.
    pub(super) fn scope_set(&mut self, field: &str, value: &[String]) -> ScopeSet {
        ScopeSet::new(self.scopes(field, value))
    }

    /// Address ranges: up to 100.
    pub(super) fn allow_list(&mut self, field: &str, value: &[String]) -> AllowList {
        AllowList::new(self.each(field, value, 100, |text| parse_range(text).ok_or(RANGE_RULE)))
    }

    /// Tags: up to 50 lines of 1 to 50 characters, no one twice.
    pub(super) fn tags(&mut self, field: &str, value: Vec<String>) -> Vec<String> {
        if value.len() > 50 {
            self.refuse(field, format!("must have up to 50 tags, not {}", value.len()));
            return Vec::new();
        }
        let mut seen = HashSet::new();
        for (index, tag) in value.iter().enumerate() {
            self.line(&format!("{field}[{index}]"), tag.clone(), 1, 50);
            if !seen.insert(tag) {
                self.refuse(format!("{field}[{index}]"), "the tag is given twice");
            }
        }
        value
    }

    /// An address.
    pub(super) fn address(&mut self, field: &str, value: Option<&str>) -> Option<IpAddr> {
        let value = value?;
        let address = value.parse().ok();
        if address.is_none() {
            self.refuse(field, "must be an IPv4 or IPv6 address");
        }
        address
    }

    /// An address range.
    pub(super) fn range(&mut self, field: &str, value: &str) -> Option<IpNet> {
        let range = parse_range(value);
        if range.is_none() {
            self.refuse(field, RANGE_RULE);
        }
        range
    }

    /// A point in time, from 1970 to 9999.
    pub(super) fn time(&mut self, field: &str, value: Option<WireTimestamp>) -> Option<Timestamp> {
        let WireTimestamp { seconds, nanos } = value?;
        if !(0..=LAST_SECOND).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
            self.refuse(field, "must be a time from 1970 to 9999");
            return None;
        }
        Some(Timestamp::from_micros(seconds * 1_000_000 + i64::from(nanos) / 1_000))
    }

    /// A span of time, from nothing to `most`.
    pub(super) fn duration(&mut self, field: &str, value: Option<prost_types::Duration>, most: Duration) -> Duration {
        let Some(value) = value else { return Duration::ZERO };
        match Duration::try_from(value) {
            Ok(duration) if duration <= most => duration,
            _ => {
                self.refuse(field, format!("must be from 0 s to {} s", most.as_secs()));
                Duration::ZERO
            }
        }
    }

    /// An enum that a request must not make up.
    pub(super) fn known<T, U>(&mut self, field: &str, value: i32, find: impl FnOnce(T) -> Option<U>) -> Option<U>
    where
        T: TryFrom<i32>,
    {
        let found = T::try_from(value).ok().and_then(find);
        if found.is_none() {
            self.refuse(field, "has no such value");
        }
        found
    }

    /// The paths of a mask, each one of `allowed`. `*` stands for all.
    ///
    /// An absent or empty mask is refused: it could mean all fields or none.
    pub(super) fn mask(&mut self, mask: Option<&FieldMask>, allowed: &[&'static str]) -> Vec<&'static str> {
        let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
        let list = allowed.join(", ");
        let outer = std::mem::take(&mut self.prefix);
        if paths.is_empty() {
            self.refuse("update_mask", format!("must name the fields to change, of: {list}"));
        }
        let mut found = Vec::new();
        for path in paths.iter().take(64) {
            match allowed.iter().find(|name| *name == path) {
                Some(name) => found.push(*name),
                None if path == "*" => found.extend(allowed),
                None => self.refuse("update_mask", format!("{:?} cannot be changed; these can: {list}", cut(path))),
            }
        }
        self.prefix = outer;
        found
    }

    /// Up to `most` entries, each read by `parse`, which tells the rule that one breaks.
    pub(super) fn each<T>(
        &mut self,
        field: &str,
        value: &[impl AsRef<str>],
        most: usize,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Vec<T> {
        if value.len() > most {
            self.refuse(field, format!("must have up to {most} entries, not {}", value.len()));
            return Vec::new();
        }
        let mut parsed = Vec::with_capacity(value.len());
        for (index, text) in value.iter().enumerate() {
            match parse(text.as_ref()) {
                Ok(item) => parsed.push(item),
                Err(rule) => self.refuse(format!("{field}[{index}]"), rule),
            }
        }
        parsed
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// More broken rules than this are not told.
const MAX_VIOLATIONS: usize = 32;
/// 9999-12-31T23:59:59Z, the last second of RFC 3339.
const LAST_SECOND: i64 = 253_402_300_799;
