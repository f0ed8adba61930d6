//! The clients part of the Auth service on the wire.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::key_sets;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::error::{Error, Result};
use crate::domain::oauth::client::{
    ACCESS_TOKEN_LIFETIMES, Client, ClientAuthentication, ClientDetails, ClientKeys, ClientKind, MAX_GRACE, MAX_KEYS,
    MAX_URIS, REFRESH_TOKEN_IDLE_LIFETIMES, REFRESH_TOKEN_LIFETIMES,
};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::oauth::scope::OAuthScope;
use crate::domain::oauth::uri::{LogoUri, ResourceUri, Rule};
use crate::proto::v1;
use crate::service::Context;
use crate::service::clients::Clients;
use crate::service::paging::ListScope;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub(super) struct ClientRpcs {
    context: Arc<Context>,
    clients: Clients,
}

impl ClientRpcs {
    /// The RPCs over this context.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { clients: Clients::new(Arc::clone(&context)), context }
    }

    fn encode(&self, client: Client) -> Option<v1::Client> {
        Some(convert::client(client, self.context.clock.now()))
    }

    pub(super) async fn create(
        &self,
        request: Request<v1::CreateClientRequest>,
    ) -> Result<Response<v1::CreateClientResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let client = message.client.ok_or_else(|| Error::field("client", "is needed"))?;
            let (kind, details) = new_client(client)?;
            let (client, secret) = self.clients.create(&around.caller, kind, details).await?;
            let secret = secret.map(|secret| secret.expose().to_owned());
            Ok(v1::CreateClientResponse { client: self.encode(client), secret })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn find(
        &self,
        request: Request<v1::GetClientRequest>,
    ) -> Result<Response<v1::GetClientResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let found = self.clients.find(&around.caller, &message.id).await;
        let client = found.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetClientResponse { client: self.encode(client) }))
    }

    pub(super) async fn list(
        &self,
        request: Request<v1::ListClientsRequest>,
    ) -> Result<Response<v1::ListClientsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let list = ListScope::new(&around.caller, "clients", "");
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.clients.list(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |client| client.id.as_str());
            let now = self.context.clock.now();
            Ok(place.answer(|pagination, next_page_token| v1::ListClientsResponse {
                data: page.items.into_iter().map(|client| convert::client(client, now)).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn update(
        &self,
        request: Request<v1::UpdateClientRequest>,
    ) -> Result<Response<v1::UpdateClientResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let client = message.client.ok_or_else(|| Error::field("client", "is needed"))?;
            let mut fields = Fields::under("client.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            fields.finish(())?;
            let (id, etag) = (client.id.clone(), client.etag.clone());
            let change = |kind, details: &mut _| change(kind, details, client, &mask);
            let client = self.clients.update(&around.caller, &id, Some(&etag), change).await?;
            Ok(v1::UpdateClientResponse { client: self.encode(client) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn delete(
        &self,
        request: Request<v1::DeleteClientRequest>,
    ) -> Result<Response<v1::DeleteClientResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.clients.delete(&around.caller, &message.id, message.etag.as_deref()).await;
        let client = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteClientResponse { client: self.encode(client) }))
    }

    pub(super) async fn rotate_secret(
        &self,
        request: Request<v1::RotateClientSecretRequest>,
    ) -> Result<Response<v1::RotateClientSecretResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let grace = fields.duration("grace_period", message.grace_period, MAX_GRACE);
            let grace = fields.finish(grace)?;
            let rotated = self.clients.rotate_secret(&around.caller, &message.id, message.etag.as_deref(), grace);
            let (client, secret) = rotated.await?;
            Ok(v1::RotateClientSecretResponse { client: self.encode(client), secret: secret.expose().to_owned() })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }
}

fn new_client(client: v1::Client) -> Result<(ClientKind, ClientDetails)> {
    let mut fields = Fields::under("client.");
    let kind = fields.known("type", client.r#type, |kind| Some(convert::client_kind_in(kind)));
    let kind = kind.unwrap_or(ClientKind::Confidential);
    let mut details = ClientDetails::usual(kind);
    take(&mut fields, kind, &mut details, client, &CHANGEABLE);
    fields.finish((kind, details))
}

/// Changes the masked fields.
fn change(kind: ClientKind, details: &mut ClientDetails, client: v1::Client, mask: &[&str]) -> Result<()> {
    let mut fields = Fields::under("client.");
    take(&mut fields, kind, details, client, mask);
    fields.finish(())
}

/// Takes the masked fields, each by its own rule; what is not given is as usual.
fn take(fields: &mut Fields, kind: ClientKind, details: &mut ClientDetails, client: v1::Client, mask: &[&str]) {
    let usual = ClientDetails::usual(kind);
    for field in mask {
        match *field {
            "name" => details.name = fields.name("name", client.name.clone(), 1, 100),
            "logo_uri" => {
                let uri = client.logo_uri.as_deref();
                details.logo_uri = uri.and_then(|uri| checked(fields, "logo_uri", LogoUri::parse(uri)));
            }
            "token_endpoint_auth_method" => {
                details.authentication = authentication(fields, &client.token_endpoint_auth_method, &usual);
            }
            "jwks" => details.keys = keys(fields, &client, mask),
            "jwks_uri" if mask.contains(&"jwks") => {}
            "jwks_uri" => details.keys = keys(fields, &client, mask),
            "redirect_uris" => {
                let parse = |uri: &str| RedirectUri::parse(uri, kind);
                details.redirect_uris = uris(fields, "redirect_uris", &client.redirect_uris, parse);
            }
            "post_logout_redirect_uris" => {
                let (field, parse) = ("post_logout_redirect_uris", |uri: &str| RedirectUri::parse(uri, kind));
                details.post_logout_redirect_uris = uris(fields, field, &client.post_logout_redirect_uris, parse);
            }
            "grant_types" if client.grant_types.is_empty() => details.grant_types = usual.grant_types.clone(),
            "grant_types" => {
                let parse = |text: &str| GrantType::parse(text).ok_or(GrantType::RULE);
                details.grant_types = fields.each("grant_types", &client.grant_types, 5, parse).into_iter().collect();
            }
            "scopes" => {
                let parse = |text: &str| OAuthScope::parse(text).ok_or(OAuthScope::RULE);
                details.scopes = fields.each("scopes", &client.scopes, 100, parse).into_iter().collect();
            }
            "resources" => details.resources = uris(fields, "resources", &client.resources, ResourceUri::parse),
            "access_token_format" => {
                let format = |format| Some(convert::token_format_in(format));
                let format = fields.known("access_token_format", client.access_token_format, format);
                details.token_format = format.unwrap_or(usual.token_format);
            }
            "access_token_lifetime" => {
                let wanted = client.access_token_lifetime;
                details.access_token_lifetime = lifetime(fields, field, wanted, usual.access_token_lifetime, ACCESS);
            }
            "refresh_token_idle_lifetime" => {
                let (wanted, usual) = (client.refresh_token_idle_lifetime, usual.refresh_token_idle_lifetime);
                details.refresh_token_idle_lifetime = lifetime(fields, field, wanted, usual, REFRESH_IDLE);
            }
            "refresh_token_lifetime" => {
                let (wanted, usual) = (client.refresh_token_lifetime, usual.refresh_token_lifetime);
                details.refresh_token_lifetime = lifetime(fields, field, wanted, usual, REFRESH);
            }
            "require_pushed_authorization_requests" => {
                details.require_pushed_requests = client.require_pushed_authorization_requests;
            }
            "require_pkce" => details.require_pkce = client.require_pkce.unwrap_or(usual.require_pkce),
            // The mask holds only the names of CHANGEABLE; this is the last of them.
            _ => details.dpop_bound_access_tokens = client.dpop_bound_access_tokens,
        }
    }
}

fn authentication(fields: &mut Fields, text: &str, usual: &ClientDetails) -> ClientAuthentication {
    if text.is_empty() {
        return usual.authentication;
    }
    let found = ClientAuthentication::parse(text).ok_or(ClientAuthentication::RULE);
    let found = checked(fields, "token_endpoint_auth_method", found);
    found.unwrap_or(usual.authentication)
}

/// Naming either place says anew where the keys are.
fn keys(fields: &mut Fields, client: &v1::Client, mask: &[&str]) -> Option<ClientKeys> {
    let given = |name, text: &Option<String>| text.clone().filter(|text| mask.contains(&name) && !text.is_empty());
    match (given("jwks", &client.jwks), given("jwks_uri", &client.jwks_uri)) {
        (None, None) => None,
        (Some(jwks), None) => {
            key_sets::inline(fields, "jwks", &jwks, MAX_KEYS);
            Some(ClientKeys::Inline(jwks))
        }
        (None, Some(uri)) => {
            key_sets::address(fields, "jwks_uri", &uri);
            Some(ClientKeys::At(uri))
        }
        (Some(_), Some(_)) => {
            fields.refuse("jwks", "must not be given beside jwks_uri");
            None
        }
    }
}

/// URIs, no one twice.
fn uris<T: PartialEq>(
    fields: &mut Fields,
    field: &str,
    value: &[String],
    parse: impl Fn(&str) -> Result<T, Rule>,
) -> Vec<T> {
    let parsed = fields.each(field, value, MAX_URIS, parse);
    for (index, uri) in value.iter().enumerate().take(MAX_URIS) {
        if value.len() <= MAX_URIS && value[..index].contains(uri) {
            fields.refuse(format!("{field}[{index}]"), "is given twice");
        }
    }
    parsed
}

fn checked<T>(fields: &mut Fields, field: &str, parsed: Result<T, Rule>) -> Option<T> {
    parsed.map_err(|rule| fields.refuse(field, rule)).ok()
}

/// A lifetime in whole seconds; without one, the usual one.
fn lifetime(
    fields: &mut Fields,
    field: &str,
    wanted: Option<prost_types::Duration>,
    usual: Duration,
    (range, rule): (RangeInclusive<Duration>, Rule),
) -> Duration {
    let Some(wanted) = wanted else { return usual };
    match Duration::try_from(wanted) {
        Ok(wanted) if range.contains(&wanted) && wanted.subsec_nanos() == 0 => wanted,
        _ => {
            fields.refuse(field, rule);
            usual
        }
    }
}

const ACCESS: (RangeInclusive<Duration>, Rule) =
    (ACCESS_TOKEN_LIFETIMES, "must be 1 minute to 24 hours in whole seconds: 60s to 86400s");
const REFRESH_IDLE: (RangeInclusive<Duration>, Rule) =
    (REFRESH_TOKEN_IDLE_LIFETIMES, "must be 1 hour to 365 days in whole seconds: 3600s to 31536000s");
const REFRESH: (RangeInclusive<Duration>, Rule) =
    (REFRESH_TOKEN_LIFETIMES, "must be 1 hour to 730 days in whole seconds: 3600s to 63072000s");

const CHANGEABLE: [&str; 17] = [
    "name",
    "logo_uri",
    "token_endpoint_auth_method",
    "jwks",
    "jwks_uri",
    "redirect_uris",
    "post_logout_redirect_uris",
    "grant_types",
    "scopes",
    "resources",
    "access_token_format",
    "access_token_lifetime",
    "refresh_token_idle_lifetime",
    "refresh_token_lifetime",
    "require_pkce",
    "require_pushed_authorization_requests",
    "dpop_bound_access_tokens",
];
