//! How far a key reaches, and that no key gives anybody more than it holds itself: addresses, an end, rate limits and credits.

use crate::auth::caller::Caller;
use crate::domain::error::{Error, Result};
use crate::domain::key::Key;
use crate::domain::limit::{MOST_LIMITS, RateLimit, RateLimits};
use crate::domain::network::{AddressMode, AllowList};
use crate::domain::reason::Reason;

/// The addresses of a key that this caller makes: its own, or some of them.
///
/// # Errors
/// EXCEEDS_CALLER.
pub(super) fn reach(caller: &Caller, wanted: AllowList, mode: AddressMode) -> Result<AllowList> {
    let Some(own) = caller.allowed_ips() else { return Ok(wanted) };
    if mode == AddressMode::Report {
        let message = "allowed_ips_mode REPORT refuses no address, and the key that makes this call may not be used from all of them";
        return Err(Error::new(Reason::ExceedsCaller, message));
    }
    if own.covers(&wanted) {
        Ok(wanted)
    } else if wanted.is_open() {
        Ok(own.clone())
    } else {
        let message = "allowed_ips holds addresses that the key that makes this call may not be used from";
        Err(Error::new(Reason::ExceedsCaller, message))
    }
}

/// The limits of a key that this caller makes: those that the caller's key has of its own too, none of them wider.
///
/// # Errors
/// EXCEEDS_CALLER.
pub(super) fn rate_limits(caller: &Caller, wanted: RateLimits) -> Result<RateLimits> {
    let Some(own) = caller.credential().key_behind().map(|key| &key.details.rate_limits) else { return Ok(wanted) };
    if let Some(wider) = wider(&wanted, own) {
        let message = format!("the limit {} is wider than that of the key that makes this call", wider.name);
        return Err(Error::new(Reason::ExceedsCaller, message));
    }
    let all = wanted.over(own);
    if all.iter().len() > MOST_LIMITS {
        let message =
            format!("with those of the key that makes this call the key has more than {MOST_LIMITS} rate limits");
        return Err(Error::new(Reason::ExceedsCaller, message));
    }
    Ok(all)
}

/// A key that has credits makes no keys, which would have others, and sets none.
///
/// # Errors
/// EXCEEDS_CALLER.
pub(super) fn refuse_credits(caller: &Caller) -> Result<()> {
    if caller.credential().key_behind().is_some_and(|key| key.details.credits.is_some()) {
        let message = "the key that makes this call has credits, so it makes no keys and sets no credits";
        return Err(Error::new(Reason::ExceedsCaller, message));
    }
    Ok(())
}

/// Whoever gets a key's secret must not outlive its own end by it, nor use it from more places, nor call more often.
///
/// # Errors
/// EXCEEDS_CALLER.
pub(super) fn refuse_more_than_own(caller: &Caller, key: &Key) -> Result<()> {
    let exceeds = |how: &str| {
        let message = format!("the key {how} than the caller, so the caller may not have its secret");
        Err(Error::new(Reason::ExceedsCaller, message))
    };
    let longer = match (key.details.expires_at, caller.makes_until()) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(key), Some(own)) => key > own,
    };
    if longer {
        return exceeds("works longer");
    }
    let from = match key.details.allowed_ips_mode {
        AddressMode::Enforce => key.details.allowed_ips.clone(),
        AddressMode::Report => AllowList::default(),
    };
    if caller.allowed_ips().is_some_and(|own| !own.covers(&from)) {
        return exceeds("works from more addresses");
    }
    let Some(own) = caller.credential().key_behind().filter(|own| own.id != key.id) else { return Ok(()) };
    let lacks = |limit: &RateLimit| key.details.rate_limits.iter().all(|other| other.name != limit.name);
    if own.details.rate_limits.iter().any(lacks) || wider(&key.details.rate_limits, &own.details.rate_limits).is_some()
    {
        return exceeds("may call more often");
    }
    if own.details.credits.is_some() {
        return exceeds("may call more often");
    }
    Ok(())
}

/// The limit that allows more than one of the same name does that the caller's key has of its own.
fn wider<'a>(limits: &'a RateLimits, own: &RateLimits) -> Option<&'a RateLimit> {
    limits.iter().find(|limit| {
        own.iter().any(|own| {
            let within = limit.calls <= own.calls && limit.window >= own.window && (limit.shared || !own.shared);
            own.name == limit.name && !within
        })
    })
}
