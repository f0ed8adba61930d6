//! What a client that registers itself says of itself (RFC 7591, section 2), and what becomes of it.
//!
//! Nobody has vouched for such a client: it acts for users who agree, and never for itself. It gets the scopes and resources
//! that the project has set apart for its like, and no more; what it asks for beyond that is left out, and the answer says what
//! it got. What it says that is not known here is ignored (section 2).

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::client::{ClientAuthentication, ClientDetails, ClientKeys, ClientKind, MAX_KEYS, MAX_URIS};
use super::error::{OAuthError, Word};
use super::grant::GrantType;
use super::redirect_uri::RedirectUri;
use super::scope::{OAuthScope, OAuthScopes, OpenIdScope};
use super::uri::{LogoUri, ResourceUri, plain};
use crate::domain::name::broken_by_name;
use crate::domain::project::ProjectDetails;
use crate::domain::scope::ScopeSet;

/// What a client says of itself. A member that is null counts as left out.
#[derive(Debug, Default, Deserialize)]
pub struct ClientMetadata {
    /// Where users may be sent with a code.
    pub redirect_uris: Option<Vec<String>>,
    /// Where users may be sent after they signed out (OpenID Connect RP-Initiated Logout 1.0, section 3.1).
    pub post_logout_redirect_uris: Option<Vec<String>>,
    /// How it proves itself.
    pub token_endpoint_auth_method: Option<String>,
    /// The ways to a token.
    pub grant_types: Option<Vec<String>>,
    /// The answers it wants of the authorization endpoint.
    pub response_types: Option<Vec<String>>,
    /// What users are told it is called.
    pub client_name: Option<String>,
    /// What users are shown beside the name.
    pub logo_uri: Option<String>,
    /// What it may ask for.
    pub scope: Option<String>,
    /// The public keys it proves itself by: a JWK Set.
    pub jwks: Option<Value>,
    /// Where it publishes them.
    pub jwks_uri: Option<String>,
    /// Whether its access tokens are bound to a key of its own (RFC 9449, section 5.2).
    pub dpop_bound_access_tokens: Option<bool>,
    /// What somebody else says of it.
    pub software_statement: Option<IgnoredAny>,
    /// Who it is, where it is registered already (RFC 7592, section 2.2).
    pub client_id: Option<String>,
    /// Its secret, likewise.
    pub client_secret: Option<String>,
    /// What only we say (RFC 7592, section 2.2).
    pub registration_access_token: Option<IgnoredAny>,
    /// The same.
    pub registration_client_uri: Option<IgnoredAny>,
    /// The same.
    pub client_id_issued_at: Option<IgnoredAny>,
    /// The same.
    pub client_secret_expires_at: Option<IgnoredAny>,
}

/// What clients that register themselves may ask for in a project.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowance {
    /// The scopes.
    pub scopes: OAuthScopes,
    /// The APIs.
    pub resources: Vec<ResourceUri>,
}

impl Allowance {
    /// What a project allows: to know who users are, and what it has set apart; of the APIs also this very service, whose address
    /// its `issuer` is (RFC 9728, section 7.3). Never `admin`, whatever is stored.
    pub fn of(project: &ProjectDetails, issuer: &str) -> Self {
        let registered = project.registration_scopes.iter().filter(|scope| !scope.is_admin()).cloned();
        let scopes = OAuthScopes { openid: OpenIdScope::ALL.into(), registered: ScopeSet::new(registered) };
        let (own, others) = (ResourceUri::parse(issuer).ok(), &project.registration_resources);
        let own = own.filter(|own| !others.contains(own));
        Self { scopes, resources: own.into_iter().chain(others.iter().cloned()).collect() }
    }

    /// What of this somebody may give who holds no more than these scopes.
    pub fn within(mut self, held: &ScopeSet) -> Self {
        let kept = self.scopes.registered.iter().filter(|scope| held.holds(scope.plain())).cloned();
        self.scopes.registered = ScopeSet::new(kept);
        self
    }

    /// Takes from a client what is not allowed any more.
    pub fn hold(&self, details: &mut ClientDetails) {
        details.scopes.openid.retain(|scope| self.scopes.openid.contains(scope));
        let kept =
            details.scopes.registered.iter().filter(|scope| self.scopes.registered.holds(scope.plain())).cloned();
        details.scopes.registered = ScopeSet::new(kept);
        details.resources.retain(|resource| self.resources.contains(resource));
    }
}

impl ClientMetadata {
    /// Whether it wants a secret.
    ///
    /// # Errors
    /// `invalid_client_metadata` for a method that is not known here.
    pub fn kind(&self) -> Result<ClientKind, OAuthError> {
        Ok(match self.authentication()? {
            ClientAuthentication::None => ClientKind::Public,
            _ => ClientKind::Confidential,
        })
    }

    /// What becomes of it: in place of what `before` says of all that a client says of itself (RFC 7592, section 2.2). Whether its
    /// `jwks` hold a key that is of use is left to be asked.
    ///
    /// # Errors
    /// `invalid_redirect_uri`, `invalid_client_metadata`, `unapproved_software_statement`.
    pub fn details(&self, before: ClientDetails, allowed: &Allowance) -> Result<ClientDetails, OAuthError> {
        if self.software_statement.is_some() {
            let what = "nobody's word for a client counts here: leave software_statement out";
            return Err(OAuthError::new(Word::UnapprovedSoftwareStatement, what));
        }
        let kind = self.kind()?;
        let redirect_uris = uris("redirect_uris", self.redirect_uris.as_deref(), kind)?;
        let logo = self.logo_uri.as_deref().filter(|uri| !uri.is_empty());
        let logo_uri = logo.map(LogoUri::parse).transpose().map_err(|rule| invalid("logo_uri", rule))?;
        let details = ClientDetails {
            name: self.name(&redirect_uris)?,
            logo_uri,
            authentication: self.authentication()?,
            keys: self.keys()?,
            post_logout_redirect_uris: uris(POST_LOGOUT, self.post_logout_redirect_uris.as_deref(), kind)?,
            redirect_uris,
            grant_types: self.grant_types()?,
            scopes: self.scopes(&allowed.scopes),
            resources: allowed.resources.clone(),
            require_pkce: true,
            dpop_bound_access_tokens: self.dpop_bound_access_tokens.unwrap_or_default(),
            ..before
        };
        match details.broken_rules(kind).first() {
            None => Ok(details),
            Some((field @ "redirect_uris", rule)) => Err(unusable(field, rule)),
            Some((field, rule)) => Err(invalid(field, rule)),
        }
    }

    fn authentication(&self) -> Result<ClientAuthentication, OAuthError> {
        match self.token_endpoint_auth_method.as_deref() {
            None | Some("") => Ok(ClientAuthentication::SecretBasic),
            Some(text) => ClientAuthentication::parse(text)
                .ok_or_else(|| invalid("token_endpoint_auth_method", ClientAuthentication::RULE)),
        }
    }

    /// What it proves itself by, if it does so with a key; keys for anything else are not looked at.
    fn keys(&self) -> Result<Option<ClientKeys>, OAuthError> {
        if self.authentication()? != ClientAuthentication::PrivateKeyJwt {
            return Ok(None);
        }
        match (&self.jwks, self.jwks_uri.as_deref().filter(|uri| !uri.is_empty())) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(invalid("jwks", "must not be given beside jwks_uri")),
            (Some(keys), None) => match keys.to_string() {
                text if text.len() > MAX_KEYS => Err(invalid("jwks", &format!("must be at most {MAX_KEYS} bytes"))),
                text => Ok(Some(ClientKeys::Inline(text))),
            },
            (None, Some(uri)) => match plain(uri) {
                Ok(url) if url.scheme() == "https" => Ok(Some(ClientKeys::At(uri.to_owned()))),
                Ok(_) => Err(invalid("jwks_uri", "must begin with https://")),
                Err(rule) => Err(invalid("jwks_uri", rule)),
            },
        }
    }

    /// The ways that are for users who agree, of those it wants; there must be one, and it must fit the answers it wants.
    fn grant_types(&self) -> Result<BTreeSet<GrantType>, OAuthError> {
        let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
        let code = GrantType::AuthorizationCode.as_str().to_owned();
        let wanted = given(&self.grant_types).unwrap_or_else(|| vec![code]);
        let open = |grant: &GrantType| {
            matches!(grant, GrantType::AuthorizationCode | GrantType::RefreshToken | GrantType::DeviceCode)
        };
        let grants: BTreeSet<GrantType> =
            wanted.iter().filter_map(|text| GrantType::parse(text)).filter(open).collect();
        let with_users = grants.contains(&GrantType::AuthorizationCode) || grants.contains(&GrantType::DeviceCode);
        if !with_users {
            let rule = "must hold authorization_code or the device code: a client that registers itself acts for users";
            return Err(invalid("grant_types", rule));
        }
        let answers = given(&self.response_types);
        let no_code = answers.is_some_and(|answers| !answers.iter().any(|answer| answer == "code"));
        if grants.contains(&GrantType::AuthorizationCode) && no_code {
            return Err(invalid("response_types", "must hold code, which is the only answer there is"));
        }
        Ok(grants)
    }

    /// What is allowed of what it wants; all that is allowed, if it does not say.
    fn scopes(&self, allowed: &OAuthScopes) -> OAuthScopes {
        let Some(wanted) = self.scope.as_deref().filter(|scope| !scope.trim().is_empty()) else {
            return allowed.clone();
        };
        let wanted = wanted.split(' ').take(MAX_SCOPES).filter_map(OAuthScope::parse);
        // In the spelling that the project knows them by.
        let kept = wanted.filter_map(|wanted| match wanted {
            OAuthScope::OpenId(scope) => allowed.openid.contains(&scope).then_some(OAuthScope::OpenId(scope)),
            OAuthScope::Registered(scope) => {
                let known = allowed.registered.iter().find(|known| known.plain() == scope.plain());
                known.cloned().map(OAuthScope::Registered)
            }
        });
        kept.collect()
    }

    /// What it is called; by where it has users sent, if it does not say.
    fn name(&self, redirect_uris: &[RedirectUri]) -> Result<String, OAuthError> {
        if let Some(name) = self.client_name.as_deref().filter(|name| !name.is_empty()) {
            return match broken_by_name(name, 1, 100) {
                None => Ok(name.to_owned()),
                Some(rule) => Err(invalid("client_name", &rule)),
            };
        }
        let host =
            redirect_uris.iter().find_map(|uri| url::Url::parse(uri.as_str()).ok()?.host_str().map(str::to_owned));
        Ok(host.filter(|host| broken_by_name(host, 1, 100).is_none()).unwrap_or_else(|| "A program".to_owned()))
    }
}

fn uris(field: &str, given: Option<&[String]>, kind: ClientKind) -> Result<Vec<RedirectUri>, OAuthError> {
    let given = given.unwrap_or_default();
    if given.len() > MAX_URIS {
        return Err(unusable(field, &format!("has up to {MAX_URIS} entries")));
    }
    let mut read: Vec<RedirectUri> = Vec::new();
    for text in given {
        let uri = RedirectUri::parse(text, kind).map_err(|rule| unusable(field, rule))?;
        if !read.contains(&uri) {
            read.push(uri);
        }
    }
    Ok(read)
}

fn unusable(field: &str, rule: &str) -> OAuthError {
    let word = if field == POST_LOGOUT { Word::InvalidClientMetadata } else { Word::InvalidRedirectUri };
    OAuthError::new(word, format!("{field} {rule}"))
}

fn invalid(field: &str, rule: &str) -> OAuthError {
    OAuthError::new(Word::InvalidClientMetadata, format!("{field} {rule}"))
}

const POST_LOGOUT: &str = "post_logout_redirect_uris";
/// Words of a scope that are looked at.
const MAX_SCOPES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::scope::Scope;

    fn allowance() -> Allowance {
        let scopes = ["read:orders", "WRITE_ORDERS", "admin"].map(|text| Scope::parse(text).unwrap());
        let project = ProjectDetails { registration_scopes: ScopeSet::new(scopes), ..ProjectDetails::default() };
        Allowance::of(&project, "https://keys.example")
    }

    fn read(json: &str) -> Result<(ClientKind, ClientDetails), Word> {
        let metadata: ClientMetadata = serde_json::from_str(json).unwrap();
        let kind = metadata.kind().map_err(|error| error.word)?;
        let details = metadata.details(ClientDetails::usual(kind), &allowance()).map_err(|error| error.word)?;
        Ok((kind, details))
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let (kind, details) =
            read(r#"{"redirect_uris": ["https://app.example/cb"], "jwks": {}, "scope": null}"#).unwrap();
        assert_eq!((kind, details.name.as_str()), (ClientKind::Confidential, "app.example"));
        assert_eq!(details.authentication, ClientAuthentication::SecretBasic);
        assert_eq!(details.grant_types, BTreeSet::from([GrantType::AuthorizationCode]));
        assert_eq!(details.scopes.to_string(), "openid profile email offline_access read:orders WRITE_ORDERS");
        assert!(details.require_pkce && !details.dpop_bound_access_tokens);
        assert_eq!(details.resources, [ResourceUri::parse("https://keys.example").unwrap()]);
    }

    #[test]
    fn keys_count_for_whoever_proves_itself_by_them() {
        let with = |method: &str, keys: &str| {
            let json = format!(
                r#"{{"redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "{method}", {keys}}}"#
            );
            read(&json).unwrap().1.keys
        };
        let set = r#""jwks": {"keys":[{"kty":"OKP"}]}"#;
        let inline = ClientKeys::Inline(r#"{"keys":[{"kty":"OKP"}]}"#.to_owned());
        assert_eq!(with("private_key_jwt", set), Some(inline));
        let at = ClientKeys::At("https://app.example/keys".to_owned());
        assert_eq!(with("private_key_jwt", r#""jwks_uri": "https://app.example/keys", "jwks": null"#), Some(at));
        for method in ["client_secret_basic", "none"] {
            assert_eq!(with(method, set), None, "{method}");
        }
    }

    #[test]
    fn what_is_taken_back_is_gone() {
        let (_, before) =
            read(r#"{"redirect_uris": ["https://app.example/cb"], "scope": "openid read:orders WRITE_ORDERS"}"#)
                .unwrap();
        let mut details = before.clone();
        allowance().hold(&mut details);
        assert_eq!(details, before, "all of it is allowed");
        let lesser =
            allowance().within(&ScopeSet::new(["write:orders", "read:users"].map(|text| Scope::parse(text).unwrap())));
        lesser.hold(&mut details);
        assert_eq!(details.scopes.to_string(), "openid WRITE_ORDERS");
        Allowance { resources: Vec::new(), ..lesser }.hold(&mut details);
        assert_eq!(details.resources, []);
        assert_eq!(allowance().within(&ScopeSet::new(Scope::parse("admin"))), allowance(), "who holds all gives all");
    }

    #[test]
    fn nothing_is_had_by_asking_that_was_not_set_apart() {
        for (wanted, got) in [
            ("openid read:orders", "openid read:orders"),
            ("admin", ""),
            ("read:users write:keys openid", "openid"),
            ("READ_ORDERS", "read:orders"),
            ("write:orders email ADMIN x", "email WRITE_ORDERS"),
        ] {
            let json = format!(r#"{{"redirect_uris": ["https://app.example/cb"], "scope": "{wanted}"}}"#);
            assert_eq!(read(&json).unwrap().1.scopes.to_string(), got, "{wanted}");
        }
        let all = r#"{"redirect_uris": ["https://app.example/cb"], "grant_types": ["authorization_code", "refresh_token",
            "client_credentials", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange"]}"#;
        let grants = read(all).unwrap().1.grant_types;
        assert_eq!(grants, BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]));
    }

    #[test]
    fn what_cannot_be_taken_is_refused_in_the_words_of_the_rfc() {
        use Word::{InvalidClientMetadata, InvalidRedirectUri, UnapprovedSoftwareStatement};
        let good = r#""redirect_uris": ["https://app.example/cb"]"#;
        for (json, word) in [
            ("", InvalidRedirectUri),
            (r#""redirect_uris": []"#, InvalidRedirectUri),
            (r#""redirect_uris": ["http://app.example/cb"]"#, InvalidRedirectUri),
            (r#""redirect_uris": ["javascript:alert(1)"]"#, InvalidRedirectUri),
            (r#""redirect_uris": ["data:text/html,x"]"#, InvalidRedirectUri),
            (r#""redirect_uris": ["https://app.example/cb#x"]"#, InvalidRedirectUri),
            (r#""redirect_uris": ["https://*.example/cb"]"#, InvalidRedirectUri),
            (r#""redirect_uris": ["com.example.app:/cb"]"#, InvalidRedirectUri),
            (&format!(r#"{good}, "token_endpoint_auth_method": "private_key"#), InvalidClientMetadata),
            (&format!(r#"{good}, "grant_types": ["client_credentials"]"#), InvalidClientMetadata),
            (&format!(r#"{good}, "grant_types": ["refresh_token"]"#), InvalidClientMetadata),
            (&format!(r#"{good}, "response_types": ["token"]"#), InvalidClientMetadata),
            (&format!(r#"{good}, "client_name": "Bank\u202e""#), InvalidClientMetadata),
            (&format!(r#"{good}, "logo_uri": "http://app.example/logo.png""#), InvalidClientMetadata),
            (&format!(r#"{good}, "logo_uri": "javascript:alert(1)""#), InvalidClientMetadata),
            (&format!(r#"{good}, "post_logout_redirect_uris": ["javascript:alert(1)"]"#), InvalidClientMetadata),
            (&format!(r#"{good}, "software_statement": "eyJ""#), UnapprovedSoftwareStatement),
        ] {
            let json = format!("{{{}}}", json.replace(r#""private_key"#, r#""private_key""#));
            assert_eq!(read(&json).unwrap_err(), word, "{json}");
        }
        for keys in [
            "",
            r#", "jwks_uri": "http://app.example/keys""#,
            r#", "jwks_uri": "https://app.example/keys#one""#,
            r#", "jwks_uri": "https://app.example/keys", "jwks": {"keys": []}"#,
            &format!(r#", "jwks": {{"keys": ["{}"]}}"#, "x".repeat(MAX_KEYS)),
        ] {
            let json = format!(r#"{{{good}, "token_endpoint_auth_method": "private_key_jwt"{keys}}}"#);
            assert_eq!(read(&json).unwrap_err(), InvalidClientMetadata, "{json}");
        }
        let native = r#"{"redirect_uris": ["com.example.app:/cb"], "token_endpoint_auth_method": "none"}"#;
        assert_eq!(read(native).unwrap().0, ClientKind::Public);
    }
}
