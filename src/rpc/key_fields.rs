//! From messages about keys to what a key is to be.

use super::fields::Fields;
use super::key_requests::user;
use super::{convert, limits};
use crate::domain::error::Result;
use crate::domain::key::{KeyDetails, KeyKind};
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
            // The mask holds only the names of CHANGEABLE; this is the last of them.
            _ => details.expires_at = fields.time("expires_at", key.expires_at),
        }
    }
    fields.finish(details)
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

/// What can be changed about a key.
pub(super) const CHANGEABLE: [&str; 12] = [
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
    "expires_at",
];
