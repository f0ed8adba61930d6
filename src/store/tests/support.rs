//! A store to test, and things to put into it.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::{
    AuditEventId, ClientId, CredentialId, EventId, IssuerId, KeyId, LeakReportId, ProductId, ProjectId, SessionId,
    UserId, WebhookId,
};
use crate::domain::issuer::{Algorithm, ClaimNames, DEFAULT_LEEWAY, Issuer, IssuerDetails, IssuerKeys, TokenRules};
use crate::domain::key::{Key, KeyDetails, KeyKind};
use crate::domain::leak::{LeakAction, LeakPlace, LeakReport, LeakReporter};
use crate::domain::limit::quota::{Quota, Refill};
use crate::domain::limit::{RateLimit, RateLimits};
use crate::domain::network::AddressMode;
use crate::domain::oauth::client::{Client, ClientDetails, ClientKind, ClientSecret};
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::page::PageRequest;
use crate::domain::password::{HashCost, PasswordHash};
use crate::domain::product::{Price, Product, ProductDetails};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::sealing::{Keyring, MasterKey};
use crate::domain::secret::SecretHash;
use crate::domain::secret_kind::SecretKind;
use crate::domain::session::{Origin, Session};
use crate::domain::usage::{Grain, Subject, Tally};
use crate::domain::user::{Handle, User, UserDetails, UserKind};
use crate::domain::webhook::event::{EventPattern, WEBHOOK_TEST, WebhookEvent};
use crate::domain::webhook::url::WebhookUrl;
use crate::domain::webhook::{Webhook, WebhookDetails};
use crate::store::{KeyCreated, NewSession, Store, StoreOptions};

/// A store of its own for one test.
pub(super) struct TestDb {
    pub(super) store: Store,
    pub(super) options: StoreOptions,
    pub(super) home: Home,
}

/// Where the store lies until the test is over.
pub(super) enum Home {
    /// A file, in a directory that goes with it.
    File(tempfile::TempDir),
    /// A database of a server.
    Server { url: String },
}

pub(super) async fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(TestDb) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let options = StoreOptions::file(directory.path().join("gatepost.db"));
    test(TestDb::open(options, Home::File(directory)).await).await;
}

pub(super) async fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(TestDb) -> F) {
    let Ok(url) = std::env::var("GATEPOST_TEST_POSTGRES") else {
        assert_ne!(
            std::env::var("GATEPOST_TEST_REQUIRED").as_deref(),
            Ok("1"),
            "GATEPOST_TEST_POSTGRES must name a server"
        );
        eprintln!("LEFT OUT: this test did not run on PostgreSQL, for GATEPOST_TEST_POSTGRES is not set");
        return;
    };
    let name = format!("gatepost_test_{}_{}", std::process::id(), next());
    let server = PgConnectOptions::from_str(&url).unwrap();
    let mut admin = server.connect().await.unwrap();
    run(&mut admin, format!("CREATE DATABASE {name}")).await;
    let own = server.database(&name).to_url_lossy().to_string();
    test(TestDb::open(StoreOptions::url(&own).unwrap(), Home::Server { url: own }).await).await;
    run(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await;
    admin.close().await.unwrap();
}

/// Runs a statement beside the store.
pub(super) async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

impl TestDb {
    async fn open(mut options: StoreOptions, home: Home) -> Self {
        // A machine that is busy with many tests is slow, not lost.
        options.timeout = Duration::from_secs(20);
        let store = Store::open(&options).await.unwrap();
        store.open_keyring(&master_key(), at(0)).await.unwrap();
        assert!(store.ensure_project(&project(), at(0)).await.unwrap());
        assert!(store.ensure_project(&other_project(), at(0)).await.unwrap());
        Self { store, options, home }
    }

    /// Another process on the same database, as far as the store can tell.
    pub(super) async fn second(&self) -> Store {
        let store = Store::open(&self.options).await.unwrap();
        store.open_keyring(&master_key(), at(0)).await.unwrap();
        store
    }

    /// Stores a key; its secret's hash.
    pub(super) async fn create(&self, key: &Key) -> SecretHash {
        let hash = new_hash();
        let created = self.store.create_key(key, &hash, None, None, &event(&key.project)).await.unwrap();
        assert!(matches!(created, KeyCreated::Created(_)));
        hash
    }
}

/// What the master key of all these stores makes.
pub(super) fn keyring() -> Keyring {
    master_key().derive()
}

/// The master key that all these stores begin with.
pub(super) fn master_key() -> MasterKey {
    MasterKey::parse("c29tZSBtYXN0ZXIga2V5IG9mIDMyIGJ5dGVzLCB5ZXM=").unwrap()
}

pub(super) fn project() -> ProjectId {
    ProjectId::default_project()
}

pub(super) fn other_project() -> ProjectId {
    ProjectId::parse("other-shop").unwrap()
}

/// So many seconds after the start of the tests' time.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(seconds))
}

/// A key of the first project's live environment, made at a time.
pub(super) fn key(now: Timestamp) -> Key {
    Key {
        id: KeyId::new(now, &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        kind: KeyKind::Secret,
        user: None,
        details: KeyDetails { name: "A key".to_owned(), ..KeyDetails::default() },
        recoverable: false,
        hint: "sk_live_Ab1c...9xYz".into(),
        rotation: None,
        created_by: None,
        created_at: now,
        updated_at: now,
        suspended_at: None,
        revoked_at: None,
        version: 1,
    }
}

/// A key with something in every field.
pub(crate) fn full_key(now: Timestamp) -> Key {
    let mut key = key(now);
    key.kind = KeyKind::Restricted;
    key.environment = Environment::Test;
    key.recoverable = true;
    key.created_by = Some(KeyId::new(now, &SystemEntropy).into());
    key.details = KeyDetails {
        name: "Caf\u{e9} \u{1f511} 'quoted' \"twice\"".to_owned(),
        alias: Some(format!("alias-{}", next())),
        description: "line one\nline two; DROP TABLE keys; --".to_owned(),
        owner: Some("team-a".to_owned()),
        scopes: ScopeSet::new(["read:products", "WRITE_PRODUCTS", "read:keys"].map(|text| Scope::parse(text).unwrap())),
        allowed_ips: crate::domain::network::AllowList::new(
            ["10.0.0.0/8", "2001:db8::/32"].map(|range| crate::domain::network::parse_range(range).unwrap()),
        ),
        metadata: BTreeMap::from([("a".to_owned(), "1".to_owned()), ("\u{fc}".to_owned(), "\u{0}\"\\".to_owned())])
            .into(),
        expires_at: Some(now.plus(Duration::from_secs(3600))),
        rate_limits: rate_limits(),
        credits: Some(Box::new(Quota::set(1_000, Refill::Monthly(500, 31), 1, now))),
        allowed_ips_mode: AddressMode::Report,
        honey: true,
    };
    key
}

/// Two limits, one of which is shared.
pub(super) fn rate_limits() -> RateLimits {
    let limit = |name: &str, calls, seconds, shared| RateLimit {
        name: name.into(),
        calls,
        window: Duration::from_secs(seconds),
        shared,
    };
    RateLimits::new([limit("per-minute", 100, 60, false), limit("day_1", 1_000_000_000, 31 * 86_400, true)])
}

/// A service account of the first project's live environment.
pub(super) fn service_account(handle: &str, now: Timestamp) -> User {
    User {
        id: UserId::new(now, &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        kind: UserKind::ServiceAccount,
        details: UserDetails { handle: Handle::parse(handle), ..UserDetails::default() },
        created_at: now,
        updated_at: now,
        blocked_at: None,
        deleted_at: None,
        version: 1,
    }
}

/// A confidential client of the first project's live environment.
pub(super) fn client(now: Timestamp) -> Client {
    let kind = ClientKind::Confidential;
    let redirect_uri = RedirectUri::parse("https://app.example.com/callback", kind).unwrap();
    Client {
        id: ClientId::new(now, &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        kind,
        details: ClientDetails {
            name: "An app".to_owned(),
            redirect_uris: vec![redirect_uri],
            ..ClientDetails::usual(kind)
        },
        secret: Some(ClientSecret { hint: "cs_live_Ab1c...9xYz".into(), created_at: now }),
        old_secret: None,
        registered_itself: false,
        document: None,
        created_at: now,
        updated_at: now,
        deleted_at: None,
        version: 1,
    }
}

/// An issuer that the first project's live environment trusts.
pub(super) fn issuer(name: &str, now: Timestamp) -> Issuer {
    let rules = TokenRules {
        issuer: name.to_owned(),
        audiences: ["shop", "\u{e4}\"'"].map(str::to_owned).into(),
        algorithms: Algorithm::DEFAULT.into(),
        claims: ClaimNames::default(),
        leeway: DEFAULT_LEEWAY,
    };
    let (display_name, description) = ("Caf\u{e9}".to_owned(), "line one\nline 'two'".to_owned());
    Issuer {
        id: IssuerId::new(now, &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        details: IssuerDetails { display_name, description, keys: IssuerKeys::Discovered, rules },
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

/// A person of the first project's live environment.
pub(super) fn human(handle: &str, now: Timestamp) -> User {
    User { kind: UserKind::Human, ..service_account(handle, now) }
}

/// A session of this user that lasts for an hour.
pub(super) fn session(user: &User, now: Timestamp) -> Session {
    Session {
        id: SessionId::new(now, &SystemEntropy),
        project: user.project.clone(),
        environment: user.environment,
        user: user.id.clone(),
        created_at: now,
        expires_at: now.plus(Duration::from_secs(3600)),
        revoked_at: None,
    }
}

/// What is kept of a password that nobody knows.
pub(super) fn password() -> PasswordHash {
    PasswordHash::nobodys(HashCost::RECOMMENDED, &SystemEntropy)
}

/// A product of the first project's live environment.
pub(super) fn product(name: &str, now: Timestamp) -> Product {
    Product {
        id: ProductId::new(now, &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        details: ProductDetails {
            name: name.to_owned(),
            description: String::new(),
            price: Price::parse("19.90", "EUR").ok(),
            tags: Vec::new(),
            active: true,
            metadata: BTreeMap::new(),
        },
        created_at: now,
        updated_at: now,
        deleted_at: None,
        version: 1,
    }
}

/// A report that a key's secret leaked.
pub(super) fn leak_report(key: &Key, url: &str, now: Timestamp) -> LeakReport {
    LeakReport {
        id: LeakReportId::new(now, &SystemEntropy),
        project: key.project.clone(),
        environment: key.environment,
        subject: key.id.clone().into(),
        kind: SecretKind::SecretKey,
        hint: key.hint.to_string(),
        place: LeakPlace::of("commit", url),
        reporter: CredentialId::Reporter(LeakReporter::GitHub),
        action: LeakAction::Alerted,
        reported_at: now,
    }
}

/// One accepted call of this subject, of a method that needs a scope.
pub(super) fn tally(subject: &Subject, now: Timestamp) -> Tally {
    Tally {
        subject: Arc::new(subject.clone()),
        method: "Keys/GetKey",
        outcome: None,
        minute: Grain::Minute.start(now),
        address: Some("192.0.2.7".parse().unwrap()),
        scopes: Scope::parse("read:keys").into_iter().collect(),
        calls: 1,
        last_at: now,
        user_agent: Some(Arc::new("a client".into())),
    }
}

pub(super) fn event(project: &ProjectId) -> AuditEvent {
    AuditEvent {
        id: AuditEventId::new(at(next()), &SystemEntropy),
        project: project.clone(),
        environment: Some(Environment::Live),
        actor: None,
        token: None,
        action: "key.created".to_owned(),
        target: "key_x".to_owned(),
        request_id: Some("req_x".to_owned()),
        client_ip: Some("192.0.2.7".parse().unwrap()),
        occurred_at: at(0),
        before: None,
        after: None,
    }
}

/// A hash that nothing else has.
pub(super) fn new_hash() -> SecretHash {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&next().to_be_bytes());
    SecretHash::from_bytes(bytes)
}

pub(super) fn first(limit: u32) -> PageRequest {
    PageRequest::After { limit, after: None }
}

pub(super) fn numbered(limit: u32, page: u32) -> PageRequest {
    PageRequest::Numbered { limit, page, first: 0 }
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Stores a user by their signing up: the session that begins with that, and lasts longer than any test.
pub(super) async fn signed_up(db: &TestDb, user: &User) -> Session {
    let long = Duration::from_secs(400 * 24 * 60 * 60);
    let session = Session { expires_at: user.created_at.plus(long), ..session(user, user.created_at) };
    let (hash, origin) = (new_hash(), Origin::default());
    let new = NewSession { session: &session, hash: &hash, origin: &origin };
    db.store.sign_up(user, &password(), &new, &event(&user.project)).await.unwrap();
    session
}

/// A webhook of the first project's live environment that is told of everything.
pub(super) fn webhook(now: Timestamp) -> Webhook {
    Webhook {
        id: WebhookId::new(now, &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        details: WebhookDetails {
            url: WebhookUrl::parse("https://hooks.example/a").unwrap(),
            description: "line one\nline 'two'".to_owned(),
            enabled: true,
            kinds: EventPattern::parse("*").into_iter().collect(),
        },
        disabled: None,
        failing_since: None,
        old_secret_ends_at: None,
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

/// Something that webhooks of that environment are told of.
pub(super) fn webhook_event(now: Timestamp) -> WebhookEvent {
    WebhookEvent {
        id: EventId::new(now, &SystemEntropy),
        kind: WEBHOOK_TEST,
        project: project(),
        environment: Environment::Live,
        at: now,
        data: serde_json::json!({"a": 1}),
    }
}
