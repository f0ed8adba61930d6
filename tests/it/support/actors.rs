//! Those who call the server: what they send to say who they are.

use std::sync::atomic::{AtomicU64, Ordering};

use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::ProjectId;
use gatepost::domain::secret::{PlainSecret, SecretPrefix};
use gatepost::server::AdministratorKey;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::leaks;
use super::server::TestServer;
use super::wire::Wire;

/// Somebody with some credentials, or none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actor {
    /// What it sends with every call.
    pub(crate) headers: HeaderMap,
    /// The secret of its key; empty if it has none.
    pub(crate) secret: String,
    /// The id of its key; empty if it has none.
    pub(crate) id: String,
}

impl Actor {
    /// Somebody without a credential.
    pub(crate) fn anonymous() -> Self {
        Self::default()
    }

    /// The holder of a key that was made: it is a secret to keep.
    pub(crate) fn made(secret: &str, id: &str) -> Self {
        leaks::remember(secret);
        Self { id: id.to_owned(), ..Self::bearer(secret) }
    }

    /// Somebody who sends this, whatever it is, as `Authorization: Bearer`.
    pub(crate) fn bearer(credential: &str) -> Self {
        Self { secret: credential.to_owned(), ..Self::default() }.with("authorization", &format!("Bearer {credential}"))
    }

    /// Somebody who holds a well-formed key that was never issued.
    pub(crate) fn stranger(prefix: &'static str, environment: Environment) -> Self {
        let secret = PlainSecret::generate(&SecretPrefix::fixed(prefix), environment, &SystemEntropy);
        leaks::remember(secret.expose());
        Self::bearer(secret.expose())
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header's value"));
        self
    }

    /// The same with another's key beside it, in `x-api-key`.
    pub(crate) fn beside(self, publishable: &Self) -> Self {
        self.with("x-api-key", &publishable.secret)
    }

    /// The same key, sent in another header than `authorization`.
    pub(crate) fn by_header(&self, name: &str) -> Self {
        let bare = Self { headers: HeaderMap::new(), ..self.clone() };
        bare.with(name, &self.secret)
    }
}

impl TestServer {
    /// The live administrator.
    pub(crate) fn live(&self) -> Actor {
        self.admin(Environment::Live)
    }

    /// The test administrator.
    pub(crate) fn test(&self) -> Actor {
        self.admin(Environment::Test)
    }

    /// A live secret key with these scopes.
    pub(crate) async fn key(&self, scopes: &[&str]) -> Actor {
        self.new_key(json!({"name": "a secret key", "scopes": scopes})).await
    }

    /// A live key with these scopes that acts for a new service account.
    pub(crate) async fn service_account(&self, scopes: &[&str]) -> Actor {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let handle = format!("bot-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let user = json!({"user": {"type": "SERVICE_ACCOUNT", "handle": handle}});
        let user = self.call(Wire::Grpc, "Users/CreateUser", &self.live(), user).await.ok();
        self.new_key(json!({"name": "of a service account", "scopes": scopes, "user": user["user"]["id"]})).await
    }

    /// A new person with [`leaks::PASSWORD`] and these scopes in the place of an administrator: their id.
    pub(crate) async fn person(&self, admin: &Actor, handle: &str, scopes: &[&str]) -> String {
        let user = json!({"user": {"handle": handle, "email": format!("{handle}@example.com"), "scopes": scopes}});
        let user = self.call(Wire::Grpc, "Users/CreateUser", admin, user).await.ok();
        let id = user["user"]["id"].as_str().expect("an id").to_owned();
        let password = json!({"id": id, "password": leaks::PASSWORD});
        self.call(Wire::Grpc, "Auth/SetPassword", admin, password).await.ok();
        id
    }

    /// Somebody who has just signed in with [`leaks::PASSWORD`], in the place of an administrator; known by their session's id.
    pub(crate) async fn sign_in(&self, admin: &Actor, handle: &str) -> Actor {
        let request = json!({"handle": handle, "password": leaks::PASSWORD});
        let answer = self.call(Wire::Grpc, "Auth/SignIn", admin, request).await.ok();
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Actor::made(&text("token"), &text("sessionId"))
    }

    /// A key of their own that somebody makes who has signed in.
    pub(crate) async fn user_key(&self, person: &Actor, handle: &str) -> Actor {
        let made = self.call(Wire::Grpc, "Keys/CreateUserKey", person, json!({"handle": handle})).await.ok();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        Actor::made(&text("token"), &text("id"))
    }

    /// A live restricted key with these scopes.
    pub(crate) async fn rk(&self, scopes: &[&str]) -> Actor {
        self.new_key(json!({"type": "RK", "name": "a restricted key", "scopes": scopes})).await
    }

    /// A live publishable key with these scopes.
    pub(crate) async fn pk(&self, scopes: &[&str]) -> Actor {
        self.new_key(json!({"type": "PK", "name": "a publishable key", "scopes": scopes})).await
    }

    /// A live key, as a `CreateKeyRequest` says.
    pub(crate) async fn new_key(&self, request: Value) -> Actor {
        self.new_key_by(&self.live(), request).await
    }

    /// A key made by somebody.
    pub(crate) async fn new_key_by(&self, maker: &Actor, request: Value) -> Actor {
        let made = self.call(Wire::Grpc, "Keys/CreateKey", maker, request).await.ok();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Actor::made(&text(&made["secret"]), &text(&made["key"]["id"]))
    }

    /// Registers scopes for the project's own APIs.
    pub(crate) async fn register(&self, scopes: &[&str]) {
        for scope in scopes {
            self.call(Wire::Grpc, "Auth/CreateScope", &self.live(), json!({"scope": {"name": scope}})).await.ok();
        }
    }

    /// A new project, and its first administrators, live and test.
    pub(crate) async fn project(&self, name: &str) -> [Actor; 2] {
        let request = json!({"project": {"id": name}});
        let made = self.call(Wire::Grpc, "Auth/CreateProject", &self.live(), request).await.ok();
        administrators(&made)
    }

    /// The administrator of another project, which is made for it.
    pub(crate) async fn other_project(&self, name: &str, environment: Environment) -> Actor {
        let project = ProjectId::parse(name).expect("a project's name");
        let store = self.store().await;
        store.ensure_project(&project, self.now()).await.expect("the store answers");
        let clock = gatepost::domain::clock::ManualClock::new(self.now());
        let prefix = SecretPrefix::fixed(SecretPrefix::SECRET);
        let new = AdministratorKey::new(&project, &prefix, environment, &clock, &SystemEntropy);
        let hash = new.hash(self.keyring().await);
        store.import_keys(&[(new.key.clone(), hash)]).await.expect("the store answers");
        Actor::made(new.secret.expose(), new.key.id.as_str())
    }
}

/// The administrators that the answer of `CreateProject` tells of, live and test.
pub(crate) fn administrators(made: &Value) -> [Actor; 2] {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    [("liveSecret", "liveKey"), ("testSecret", "testKey")]
        .map(|(secret, key)| Actor::made(&text(&made[secret]), &text(&made[key]["id"])))
}
