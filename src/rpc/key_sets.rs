//! Public keys as callers give them: a JWK Set, or where one is.

use http::Uri;

use super::fields::Fields;
use crate::auth::outside::key_set::KeySet;

/// Takes the address of a set.
pub(super) fn address(fields: &mut Fields, field: &str, text: &str) {
    if !is_address(text) {
        fields.refuse(field, "must be an https address of up to 2,048 characters, without a user or a fragment");
    }
}

/// Takes a set of up to so many bytes.
pub(super) fn inline(fields: &mut Fields, field: &str, text: &str, most: usize) {
    if text.len() > most {
        fields.refuse(field, format!("must be at most {most} bytes"));
    } else if let Err(flaw) = KeySet::parse(text.as_bytes()) {
        fields.refuse(field, flaw.to_string());
    }
}

/// Whether something can be fetched there: what it leads to is checked when that happens.
pub(super) fn is_address(text: &str) -> bool {
    let plain = text.len() <= 2_048 && text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains('#');
    let parsed = text.parse::<Uri>().ok().filter(|_| plain);
    parsed.is_some_and(|uri| {
        let host = uri.authority().is_some_and(|authority| !authority.as_str().contains('@') && authority.host() != "");
        host && matches!(uri.scheme_str(), Some("https" | "http"))
    })
}
