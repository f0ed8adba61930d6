//! What clients are told of the server before they ask for anything: RFC 8414 and RFC 9728.

use bytes::Bytes;
use http::Response;
use http::header::HeaderValue;
use serde_json::{Value, json};

use super::answer;
use crate::domain::issuer::Algorithm;
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::scope::OpenIdScope;
use crate::domain::scope::BUILT_IN;
use crate::service::oauth::Welcome;

/// The authorization server (RFC 8414, section 2).
pub(super) fn server(issuer: &str, welcome: Welcome) -> Response<Bytes> {
    let algorithms = Algorithm::ALL.map(Algorithm::as_str);
    let mut document = json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth/token"),
        "device_authorization_endpoint": format!("{issuer}/oauth/device_authorization"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "pushed_authorization_request_endpoint": format!("{issuer}/oauth/par"),
        "require_pushed_authorization_requests": false,
        "end_session_endpoint": format!("{issuer}/oauth/logout"),
        "userinfo_endpoint": format!("{issuer}/oauth/userinfo"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "subject_types_supported": ["public"],
        "dpop_signing_alg_values_supported": algorithms,
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": CLAIMS,
        "scopes_supported": scopes(),
        "token_endpoint_auth_methods_supported": CLIENT_METHODS,
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": CLIENT_METHODS[..3],
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": CLIENT_METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "client_id_metadata_document_supported": welcome.documents,
        "service_documentation": format!("{issuer}/openapi.json"),
    });
    if welcome.registration {
        document["registration_endpoint"] = json!(format!("{issuer}/oauth/register"));
    }
    kept(&document)
}

/// This service as one that takes the tokens (RFC 9728, section 2).
pub(super) fn resource(issuer: &str) -> Response<Bytes> {
    kept(&json!({
        "resource": issuer,
        "resource_name": "Gatepost",
        "authorization_servers": [issuer],
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": grantable().collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
        "dpop_bound_access_tokens_required": false,
        "resource_documentation": format!("{issuer}/openapi.json"),
    }))
}

fn scopes() -> Vec<&'static str> {
    OpenIdScope::ALL.iter().map(|scope| scope.as_str()).chain(grantable()).collect()
}

/// What a client may ask for of the scopes that every project has: not `admin`, which none may.
fn grantable() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|scope| scope.name).filter(|name| *name != "admin")
}

fn kept(document: &Value) -> Response<Bytes> {
    answer::lasting(document, HeaderValue::from_static("public, max-age=300"))
}

const CLAIMS: [&str; 14] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "auth_time",
    "nonce",
    "name",
    "given_name",
    "family_name",
    "nickname",
    "preferred_username",
    "email",
    "updated_at",
];
/// The last proves nothing.
const CLIENT_METHODS: [&str; 4] = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
