//! From messages about keys to what a key is to be.

use super::fields::Fields;
use super::key_requests::user;
use super::{convert, limits};
use crate::domain::error::Result;
use crate::domain::key::{KeyDetails, KeyKind};
use crate::domain::limit::quota::Quota;
use crate::domain::network::AddressMode;
use crate::proto::v1;
use crate::service::keys::NewKey;

/// The key that is asked for.
pub(super) fn new_key(message: v1::CreateKeyRequest) -> Result<NewKey> {
    let mut fields = Fields::default();
    let kind = fields.known("type", message.r#type, |kind| match kind {
        v1::key::Type::Unspecified => Some(KeyKind::Secret),
        other => convert::kind_in(other),
    });
    let environment =
        fields.known("environment", message.environment, |environment| Some(convert::environment_in(environment)));
    let details = KeyDetails {
        name: fields.line("name", message.name, 1, 100),
        alias: message.alias.map(|alias| fields.line("alias", alias, 1, 100)),
        description: fields.prose("description", message.description, 1_000),
        owner: message.owner.map(|owner| fields.visible("owner", owner, 128)),
        scopes: fields.scope_set("scopes", &message.scopes),
        allowed_ips: fields.allow_list("allowed_ips", &message.allowed_ips),
        metadata: fields.metadata("metadata", message.metadata).into(),
        expires_at: fields.time("expires_at", message.expires_at),
        rate_limits: limits::read(&mut fields, "rate_limits", &message.rate_limits),
        credits: limits::read_credits(&mut fields, "credits", message.credits.as_ref()),
        allowed_ips_mode: address_mode(&mut fields, message.allowed_ips_mode),
        honey: message.honey,
    };
    let user = message.user.and_then(|id| user(&mut fields, &id));
    fields.finish(NewKey {
        kind: kind.unwrap_or(KeyKind::Secret),
        user,
        environment: environment.flatten(),
        details,
        recoverable: message.recoverable,
    })
}

/// The values of the masked fields; those of the others are not looked at.
pub(super) fn changed(key: v1::Key, mask: &[&str]) -> Result<KeyDetails> {
    let mut fields = Fields::under("key.");
    let mut details = KeyDetails::default();
    for field in mask {
        match *field {
            "name" => details.name = fields.line("name", key.name.clone(), 1, 100),
            "alias" => details.alias = key.alias.clone().map(|alias| fields.line("alias", alias, 1, 100)),
            "description" => details.description = fields.prose("description", key.description.clone(), 1_000),
            "owner" => details.owner = key.owner.clone().map(|owner| fields.visible("owner", owner, 128)),
            "scopes" => details.scopes = fields.scope_set("scopes", &key.scopes),
            "allowed_ips" => details.allowed_ips = fields.allow_list("allowed_ips", &key.allowed_ips),
            "rate_limits" => details.rate_limits = limits::read(&mut fields, "rate_limits", &key.rate_limits),
            "credits" => details.credits = limits::read_credits(&mut fields, "credits", key.credits.as_ref()),
            "allowed_ips_mode" => details.allowed_ips_mode = address_mode(&mut fields, key.allowed_ips_mode),
            "honey" => details.honey = key.honey,
            "metadata" => details.metadata = fields.metadata("metadata", key.metadata.clone()).into(),
            "expires_at" => details.expires_at = fields.time("expires_at", key.expires_at),
            // Parts of credits, which depend on what is there.
            _ => {}
        }
    }
    fields.finish(details)
}

/// The credits of a key as they are to be where the mask names parts of them; none where it does not, or where they are what they
/// are already: a client may send back the key it was given.
///
/// # Errors
/// INVALID_FIELD.
pub(super) fn credits_in_part(
    stored: Option<&v1::Credits>,
    given: Option<&v1::Credits>,
    mask: &[&str],
) -> Result<Option<Box<Quota>>> {
    let names = |name: &str| mask.contains(&name);
    if names("credits") || !CREDITS_IN_PART.iter().any(|name| names(name)) {
        return Ok(None);
    }
    let mut fields = Fields::under("key.");
    let mut wanted = given.copied().unwrap_or_default();
    if let Some(stored) = stored {
        if !names("credits.refill") {
            wanted.refill = stored.refill;
        }
        // What goes with another refill is another number.
        let goes_with = wanted.refill == stored.refill;
        if goes_with && !names("credits.amount") {
            wanted.amount = stored.amount;
        }
        if goes_with && !names("credits.day") {
            wanted.day = stored.day;
        }
        let told = |credits: &v1::Credits| (credits.remaining, credits.refill, credits.amount, credits.day);
        if told(stored) == told(&wanted) {
            return Ok(None);
        }
    }
    if !names("credits.remaining") {
        // What is left changes with each call: whoever does not say how many there are to be would set what was left a moment ago.
        fields.refuse("credits.remaining", "is needed: a change of credits says how many there are from now on");
    }
    let credits = limits::read_credits(&mut fields, "credits", Some(&wanted));
    fields.finish(credits)
}

/// Takes over what the mask names.
pub(super) fn take(details: &mut KeyDetails, change: KeyDetails, mask: &[&str]) {
    let wanted = |name| mask.contains(&name);
    let KeyDetails { name, alias, description, owner, scopes, allowed_ips, metadata, expires_at, .. } = change;
    let KeyDetails { rate_limits, credits, allowed_ips_mode, honey, .. } = change;
    wanted("name").then(|| details.name = name);
    wanted("alias").then(|| details.alias = alias);
    wanted("description").then(|| details.description = description);
    wanted("owner").then(|| details.owner = owner);
    wanted("scopes").then(|| details.scopes = scopes);
    wanted("allowed_ips").then(|| details.allowed_ips = allowed_ips);
    wanted("metadata").then(|| details.metadata = metadata);
    wanted("rate_limits").then(|| details.rate_limits = rate_limits);
    wanted("credits").then(|| details.credits = credits);
    wanted("allowed_ips_mode").then(|| details.allowed_ips_mode = allowed_ips_mode);
    wanted("honey").then(|| details.honey = honey);
    wanted("expires_at").then(|| details.expires_at = expires_at);
}

fn address_mode(fields: &mut Fields, wanted: i32) -> AddressMode {
    fields.known("allowed_ips_mode", wanted, convert::address_mode_in).unwrap_or_default()
}

/// What can be changed about credits.
const CREDITS_IN_PART: [&str; 4] = ["credits.remaining", "credits.refill", "credits.amount", "credits.day"];

/// What can be changed about a key.
pub(super) const CHANGEABLE: [&str; 16] = [
    "name",
    "alias",
    "description",
    "owner",
    "scopes",
    "allowed_ips",
    "allowed_ips_mode",
    "honey",
    "metadata",
    "rate_limits",
    "credits",
    CREDITS_IN_PART[0],
    CREDITS_IN_PART[1],
    CREDITS_IN_PART[2],
    CREDITS_IN_PART[3],
    "expires_at",
];
