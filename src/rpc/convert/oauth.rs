//! Those who take tokens, and those who give them: from domain values to messages.

use prost_types::Duration as WireDuration;

use super::{environment, texts, time};
use crate::domain::clock::Timestamp;
use crate::domain::issuer::{Algorithm, Issuer, IssuerKeys};
use crate::domain::oauth::client::{Client, ClientKeys, ClientKind, ClientSecret, TokenFormat};
use crate::domain::oauth::token::ListedGrant;
use crate::proto::v1;

pub(in crate::rpc) fn issuer(issuer: Issuer) -> v1::Issuer {
    let (etag, environment) = (issuer.etag(), environment(issuer.environment));
    let rules = issuer.details.rules;
    let (jwks_uri, jwks) = match issuer.details.keys {
        IssuerKeys::Discovered => (None, None),
        IssuerKeys::At(uri) => (Some(uri), None),
        IssuerKeys::Inline(keys) => (None, Some(keys)),
    };
    v1::Issuer {
        id: issuer.id.to_string(),
        issuer: rules.issuer,
        display_name: issuer.details.display_name,
        description: issuer.details.description,
        jwks_uri,
        jwks,
        audiences: rules.audiences.into_iter().collect(),
        algorithms: rules.algorithms.into_iter().map(|algorithm| Algorithm::as_str(algorithm).to_owned()).collect(),
        email_claim: rules.claims.email,
        first_name_claim: rules.claims.first_name,
        last_name_claim: rules.claims.last_name,
        // At most a minute.
        leeway: rules.leeway.try_into().ok(),
        environment: environment.into(),
        created_at: Some(time(issuer.created_at)),
        updated_at: Some(time(issuer.updated_at)),
        etag,
    }
}

pub(in crate::rpc) fn grant(listed: ListedGrant) -> v1::Grant {
    let ListedGrant { grant, client_name, refreshed_at } = listed;
    v1::Grant {
        id: grant.id.to_string(),
        user_id: grant.user.to_string(),
        client_id: grant.client.to_string(),
        client_name,
        environment: environment(grant.environment).into(),
        scopes: grant.scopes.words().map(str::to_owned).collect(),
        resources: grant.resources,
        created_at: Some(time(grant.created_at)),
        refreshed_at: refreshed_at.map(time),
        expires_at: Some(time(grant.expires_at)),
    }
}

pub(in crate::rpc) fn client(client: Client, now: Timestamp) -> v1::Client {
    let (etag, environment) = (client.etag(), environment(client.environment));
    let secret = |secret: &ClientSecret, end: Option<Timestamp>| v1::client::Secret {
        hint: secret.hint.clone().into(),
        created_at: Some(time(secret.created_at)),
        expires_at: end.map(time),
    };
    let old = client.open_old_secret(now).map(|(old, end)| secret(old, Some(*end)));
    let secrets = client.secret.as_ref().map(|current| secret(current, None)).into_iter().chain(old).collect();
    // Lifetimes are at most two years, so they fit.
    let lifetime = |lifetime| WireDuration::try_from(lifetime).ok();
    let details = client.details;
    let (jwks, jwks_uri) = match details.keys {
        None => (None, None),
        Some(ClientKeys::Inline(jwks)) => (Some(jwks), None),
        Some(ClientKeys::At(uri)) => (None, Some(uri)),
    };
    v1::Client {
        id: client.id.to_string(),
        r#type: match client.kind {
            ClientKind::Confidential => v1::client::Type::Confidential,
            ClientKind::Public => v1::client::Type::Public,
        }
        .into(),
        name: details.name,
        logo_uri: details.logo_uri.map(|uri| uri.to_string()),
        token_endpoint_auth_method: details.authentication.as_str().to_owned(),
        redirect_uris: texts(&details.redirect_uris),
        post_logout_redirect_uris: texts(&details.post_logout_redirect_uris),
        grant_types: details.grant_types.iter().map(|grant| grant.as_str().to_owned()).collect(),
        scopes: details.scopes.words().map(str::to_owned).collect(),
        resources: texts(&details.resources),
        access_token_format: match details.token_format {
            TokenFormat::Jwt => v1::client::TokenFormat::Jwt,
            TokenFormat::Opaque => v1::client::TokenFormat::Opaque,
        }
        .into(),
        access_token_lifetime: lifetime(details.access_token_lifetime),
        refresh_token_idle_lifetime: lifetime(details.refresh_token_idle_lifetime),
        refresh_token_lifetime: lifetime(details.refresh_token_lifetime),
        require_pkce: Some(details.require_pkce),
        dpop_bound_access_tokens: details.dpop_bound_access_tokens,
        secrets,
        created_at: Some(time(client.created_at)),
        updated_at: Some(time(client.updated_at)),
        deleted_at: client.deleted_at.map(time),
        etag,
        environment: environment.into(),
        jwks,
        jwks_uri,
        require_pushed_authorization_requests: details.require_pushed_requests,
        registered_itself: client.registered_itself,
        metadata_document: client.document.map(|document| document.url.to_string()),
    }
}

pub(in crate::rpc) fn client_kind_in(kind: v1::client::Type) -> ClientKind {
    match kind {
        v1::client::Type::Unspecified | v1::client::Type::Confidential => ClientKind::Confidential,
        v1::client::Type::Public => ClientKind::Public,
    }
}

pub(in crate::rpc) fn token_format_in(format: v1::client::TokenFormat) -> TokenFormat {
    match format {
        v1::client::TokenFormat::Unspecified | v1::client::TokenFormat::Jwt => TokenFormat::Jwt,
        v1::client::TokenFormat::Opaque => TokenFormat::Opaque,
    }
}
