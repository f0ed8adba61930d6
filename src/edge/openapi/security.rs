//! Credentials: the headers they come in, and what each RPC needs of them.

use http::HeaderName;
use prost_reflect::MethodDescriptor;
use serde_json::{Map, Value, json};

use super::super::rule::Verb;
use super::path::unused;
use crate::domain::dialect::Dialect;
use crate::domain::scope::{self, Scope};

/// The headers that a credential may come in, each a security scheme of the document.
#[derive(Debug)]
pub(super) struct Security {
    /// The name of the scheme and of the header.
    key_headers: Vec<(String, String)>,
}

/// Who may call an RPC, as its policy says.
#[derive(Debug)]
pub(super) struct Access {
    /// Whether anyone may.
    public: bool,
    /// The scopes the caller must hold. None means that any credential is enough.
    scopes: Vec<Scope>,
    /// Whether the caller must be an administrator of the installation.
    installation: bool,
    /// Whether a publishable key is enough.
    publishable: bool,
    /// Whether a token of a trusted issuer must come beside the key.
    introduction: bool,
}

impl Security {
    /// The schemes for keys in these headers, and for `Authorization: Bearer`.
    pub(super) fn new<'a>(key_headers: impl IntoIterator<Item = &'a HeaderName>) -> Self {
        let mut schemes: Vec<(String, String)> = Vec::new();
        for header in key_headers {
            // The names of schemes have fewer characters to choose from than those of headers.
            let name = header.as_str().replace(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c), "_");
            let taken = schemes.iter().map(|(name, _)| name.as_str()).chain([BEARER]);
            schemes.push((unused(&name, taken), capitalized(header.as_str())));
        }
        Self { key_headers: schemes }
    }

    /// `components.securitySchemes`.
    pub(super) fn schemes(&self) -> Value {
        let scopes = scope::BUILT_IN.iter().map(|scope| format!("- `{}`: {}", scope.name, scope.description));
        let scopes = scopes.collect::<Vec<_>>().join("\n");
        let mut schemes = Map::new();
        let description = format!(
            "A key (`sk_live_...`, `rk_test_...`) as a bearer token (RFC 6750). It may come beside a publishable key of \
             the same project and environment in another header; two credentials of one kind are refused. Beside a key, a \
             token (JWT) of an issuer that the project trusts says which user is calling.\n\n\
             The scopes that guard the operations here:\n{scopes}"
        );
        schemes.insert(BEARER.to_owned(), json!({"type": "http", "scheme": "bearer", "description": description}));
        for (name, header) in &self.key_headers {
            let description = "A key by itself: a secret, restricted or publishable one.";
            let scheme = json!({"type": "apiKey", "in": "header", "name": header, "description": description});
            schemes.insert(name.clone(), scheme);
        }
        schemes.into()
    }

    /// An operation's `security`: any one of the headers, with the scopes in the spelling of the path's dialect.
    pub(super) fn requirement(&self, access: &Access, dialect: Dialect) -> Value {
        if access.public && !access.publishable {
            return json!([]);
        }
        let scopes: Vec<String> = access.scopes.iter().map(|scope| scope.spelling_in(dialect)).collect();
        if access.introduction {
            let pair = |(name, _): &(String, String)| json!({BEARER: [], name.as_str(): []});
            return self.key_headers.iter().map(pair).collect();
        }
        let names = std::iter::once(BEARER).chain(self.key_headers.iter().map(|(name, _)| name.as_str()));
        let one_of = names.map(|name| Value::from(Map::from_iter([(name.to_owned(), scopes.clone().into())])));
        // An empty one is none.
        access.public.then(|| json!({})).into_iter().chain(one_of).collect()
    }
}

impl Access {
    /// Reads the policy of a method.
    ///
    /// # Errors
    ///
    /// It has none, or a scope breaks the rule.
    pub(super) fn of(method: &MethodDescriptor) -> Result<Self, String> {
        let wrong = |what: &str| format!("{}: {what}", method.full_name());
        let pool = method.parent_pool();
        let extension = pool.get_extension_by_name("gatepost.v1.policy").ok_or("policy.proto is not compiled in")?;
        let options = method.options();
        let policy = options.get_extension(&extension);
        let policy = policy.as_message().filter(|_| options.has_extension(&extension));
        let policy = policy.ok_or_else(|| wrong("no gatepost.v1.policy"))?;
        let flag = |name: &str| policy.get_field_by_name(name).and_then(|value| value.as_bool()).unwrap_or(false);
        let scopes = policy.get_field_by_name("scopes");
        let scopes = scopes.as_deref().and_then(prost_reflect::Value::as_list).unwrap_or_default();
        let scopes = scopes.iter().map(|scope| scope.as_str().and_then(Scope::parse));
        let scopes = scopes.collect::<Option<_>>().ok_or_else(|| wrong(Scope::RULE))?;
        let (public, installation, publishable) = (flag("public"), flag("installation"), flag("publishable"));
        Ok(Self { public, scopes, installation, publishable, introduction: flag("introduction") })
    }

    /// Whether a credential is looked at.
    pub(super) fn is_guarded(&self) -> bool {
        !self.public || self.publishable
    }

    /// Whether the RPC is there to change something, as this way to it says.
    pub(super) fn writes(&self, verb: Verb) -> bool {
        self.scopes.iter().any(|scope| scope.plain().starts_with("write:") || (scope.is_admin() && verb != Verb::Get))
    }

    /// Whether a publishable key is enough.
    pub(super) fn is_publishable(&self) -> bool {
        self.publishable
    }

    /// Who may call, in words, with the scopes in the spelling of a dialect.
    pub(super) fn in_words(&self, dialect: Dialect) -> String {
        if self.public && self.publishable {
            return "Needs no credential. One that is sent must be good; a publishable key is enough.".to_owned();
        }
        if self.public {
            return "Needs no credential.".to_owned();
        }
        if self.introduction {
            return "Needs a token of an issuer that the project trusts, beside a key. A publishable key is enough."
                .to_owned();
        }
        let describe = |scope: &Scope| {
            let meaning = scope::built_in(scope.plain()).map(|built_in| format!(" ({})", built_in.description));
            format!("`{}`{}", scope.spelling_in(dialect), meaning.unwrap_or_default())
        };
        let scopes: Vec<String> = self.scopes.iter().map(describe).collect();
        let needs = match scopes.as_slice() {
            [] => "Needs a valid credential, whatever its scopes.".to_owned(),
            [one] => format!("Needs the scope {one}."),
            several => format!("Needs the scopes {}.", several.join(", ")),
        };
        let needs = if self.installation { format!("{needs} {INSTALLATION}") } else { needs };
        let publishable =
            if self.publishable { "A publishable key is enough." } else { "Publishable keys are refused." };
        format!("{needs} {publishable}")
    }
}

/// `x-api-key` as `X-Api-Key`, the way people write headers.
fn capitalized(header: &str) -> String {
    let parts = header.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    parts.collect::<Vec<_>>().join("-")
}

const BEARER: &str = "bearer";
const INSTALLATION: &str =
    "Only for administrators of the installation: the key must be a live one of the project `default`.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::descriptor_pool;

    fn access(service: &str, method: &str) -> Access {
        let service = descriptor_pool().get_service_by_name(&format!("gatepost.v1.{service}")).unwrap();
        Access::of(&service.methods().find(|m| m.name() == method).unwrap()).unwrap()
    }

    #[test]
    fn every_header_is_a_scheme() {
        let headers = ["x-api-key", "x-shop!key", "x-shop_key", "bearer"].map(HeaderName::from_static);
        let security = Security::new(&headers);
        let schemes = security.schemes();
        let names: Vec<_> = schemes.as_object().unwrap().keys().collect();
        assert_eq!(names, ["bearer", "x-api-key", "x-shop_key", "x-shop_key2", "bearer2"]);
        assert_eq!(schemes["x-api-key"]["name"], "X-Api-Key");
        assert_eq!(schemes["x-shop_key"]["name"], "X-Shop!key");
    }

    #[test]
    fn requirements_say_which_scopes() {
        let security = Security::new(&[HeaderName::from_static("x-api-key")]);
        let list = access("Products", "ListProducts");
        let needs = |dialect| security.requirement(&list, dialect);
        assert_eq!(needs(Dialect::Standard), json!([{"bearer": ["read:products"]}, {"x-api-key": ["read:products"]}]));
        assert_eq!(needs(Dialect::Billing)[0], json!({"bearer": ["READ_PRODUCTS"]}));
        assert_eq!(
            list.in_words(Dialect::Billing),
            "Needs the scope `READ_PRODUCTS` (See products). A publishable key is enough."
        );

        let whoami = access("Auth", "WhoAmI");
        assert_eq!(security.requirement(&whoami, Dialect::Standard), json!([{"bearer": []}, {"x-api-key": []}]));
        assert!(whoami.is_guarded() && !whoami.writes(Verb::Get));
        assert!(access("Keys", "CreateKey").writes(Verb::Post) && !access("Keys", "CreateKey").is_publishable());

        let authenticate = access("Users", "Authenticate");
        assert_eq!(security.requirement(&authenticate, Dialect::Storefront), json!([{"bearer": [], "x-api-key": []}]));
        assert!(authenticate.in_words(Dialect::Storefront).contains("beside a key"));

        let delete = access("Auth", "DeleteProject");
        assert!(delete.writes(Verb::Delete) && !access("Auth", "ListProjects").writes(Verb::Get));
        let words = delete.in_words(Dialect::Standard);
        assert!(words.contains("`admin`") && words.contains("administrators of the installation"), "{words}");

        let open =
            Access { public: true, scopes: Vec::new(), installation: false, publishable: false, introduction: false };
        assert_eq!(security.requirement(&open, Dialect::Standard), json!([]));
    }
}
