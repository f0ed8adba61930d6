//! Projects: their settings, and that nothing of a deleted one is found or left.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row as _};

use super::grants::Party;
use super::on_both_engines;
use super::support::*;
use crate::domain::alert::{AlertKind, AlertRule};
use crate::domain::change::{ChangeKind, Revision};
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::key::KeyKind;
use crate::domain::leak::LeakPolicy;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::tally::{Tally, Terms};
use crate::domain::oauth::device::DeviceRequest;
use crate::domain::oauth::scope::OAuthScope;
use crate::domain::oauth::uri::ResourceUri;
use crate::domain::project::{ClientRegistration, Project, ProjectDetails, SignUp};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::SecretPrefix;
use crate::domain::session::Origin;
use crate::domain::usage::Subject;
use crate::store::{AuditFilter, Conflict, LeakTurns, NewIdempotent, NewSession, Room, StoreError, StoredScope};
use crate::store::{PushedRequest, Spent};

on_both_engines! {
    a_deleted_project_is_emptied_in_batches,
    a_deleted_project_is_gone_at_once,
    a_project_keeps_its_settings,
    projects_are_listed_by_name,
}

fn named(id: &str, seconds: u64) -> Project {
    let details = ProjectDetails {
        display_name: "Caf\u{e9} \u{1f6d2}".to_owned(),
        description: "line one\nline 'two'".to_owned(),
        secret_prefix: SecretPrefix::parse_own("bk").unwrap(),
        sign_up: SignUp::Open,
        session_lifetime: std::time::Duration::from_secs(300),
        user_scopes: ScopeSet::new(["read:products", "read:users"].map(|text| Scope::parse(text).unwrap())),
        client_registration: ClientRegistration::Token,
        client_documents: true,
        registration_scopes: ScopeSet::new(Scope::parse("READ_USERS")),
        registration_resources: ["https://mcp.example.com/", "urn:x"]
            .map(|uri| ResourceUri::parse(uri).unwrap())
            .into(),
        leak_policy: LeakPolicy::Alert,
        default_rate_limits: vec![(KeyKind::Secret, rate_limits()), (KeyKind::Publishable, rate_limits())],
    };
    Project::new(ProjectId::parse(id).unwrap(), details, at(seconds))
}

async fn a_project_keeps_its_settings(db: TestDb) {
    let mut shop = named("shop", 1);
    assert!(db.store.found_project(&shop, &[], &[event(&project())]).await.unwrap());
    assert!(!db.store.found_project(&shop, &[(key(at(1)), new_hash())], &[]).await.unwrap());
    assert!(!db.store.ensure_project(&shop.id, at(9)).await.unwrap(), "it is there already");
    assert_eq!(db.store.find_project(&shop.id).await.unwrap(), Some(shop.clone()));
    let bare = Project::new(project(), ProjectDetails::default(), at(0));
    assert_eq!(db.store.find_project(&project()).await.unwrap(), Some(bare), "nothing is said of it");
    assert_eq!(db.store.find_project(&ProjectId::parse("nowhere").unwrap()).await.unwrap(), None);

    shop.update(ProjectDetails::default(), at(2));
    db.store.update_project(&shop, 1, &event(&project())).await.unwrap();
    assert_eq!(db.store.find_project(&shop.id).await.unwrap(), Some(shop.clone()));
    let stale = db.store.update_project(&shop, 1, &event(&project())).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
    let lost = db.store.update_project(&named("nowhere", 1), 1, &event(&project())).await;
    assert_eq!(lost, Err(StoreError::Conflict(Conflict::Version)));
    let (all, page) = (AuditFilter::default(), first(10));
    let told = db.store.list_audit_events(&project(), Environment::Live, &all, &page).await.unwrap();
    assert_eq!(told.items.len(), 2, "what was not done is not in the log");
}

async fn projects_are_listed_by_name(db: TestDb) {
    for id in ["a", "z", "m-1"] {
        db.store.found_project(&named(id, 1), &[], &[]).await.unwrap();
    }
    let mut gone = named("gone", 1);
    db.store.found_project(&gone, &[], &[]).await.unwrap();
    gone.delete(at(2));
    db.store.delete_project(&gone, 1, &event(&project())).await.unwrap();
    let all = ["a", "default", "m-1", "other-shop", "z"];
    let names = |items: &[Project]| items.iter().map(|project| project.id.to_string()).collect::<Vec<_>>();
    let page = db.store.list_projects(&first(3)).await.unwrap();
    assert_eq!(
        (names(&page.items), page.has_more, page.total),
        (all[..3].iter().map(ToString::to_string).collect(), true, None)
    );
    let after = crate::domain::page::PageRequest::After { limit: 3, after: Some("m-1".to_owned()) };
    let page = db.store.list_projects(&after).await.unwrap();
    assert_eq!((names(&page.items), page.has_more), (all[3..].iter().map(ToString::to_string).collect(), false));
    let page = db.store.list_projects(&numbered(2, 2)).await.unwrap();
    assert_eq!((names(&page.items), page.total), (vec!["z".to_owned()], Some(5)));
    assert!(db.store.list_projects(&numbered(2, 3)).await.unwrap().items.is_empty());
}

async fn a_deleted_project_is_gone_at_once(db: TestDb) {
    let mut other = db.store.find_project(&other_project()).await.unwrap().unwrap();
    let mut theirs = key(at(1));
    theirs.project = other_project();
    let (lost, kept) = (db.create(&theirs).await, db.create(&key(at(1))).await);
    let before = db.store.revision().await.unwrap();

    other.delete(at(5));
    let stale = db.store.delete_project(&other, 7, &event(&project())).await;
    assert_eq!(stale.map(drop), Err(StoreError::Conflict(Conflict::Version)));
    assert!(db.store.find_key_secret(&lost).await.unwrap().is_some(), "nothing happened");
    let change = db.store.delete_project(&other, 1, &event(&project())).await.unwrap();
    assert_eq!(db.store.find_key_secret(&lost).await.unwrap(), None);
    assert!(db.store.find_key_secret(&kept).await.unwrap().is_some());
    assert_eq!(db.store.find_project(&other_project()).await.unwrap(), None);

    // Whoever watches one environment, and whoever follows all, is told.
    assert_eq!((change.revision, db.store.revision().await.unwrap()), (Revision(before.0 + 2), Revision(before.0 + 2)));
    let all = db.store.list_changes_after(before, 10).await.unwrap();
    assert_eq!(all.iter().map(|change| change.revision.0).collect::<Vec<_>>(), [before.0 + 1, before.0 + 2]);
    for environment in [Environment::Live, Environment::Test] {
        let told = db.store.list_changes_of(&other_project(), environment, before, 10).await.unwrap();
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!((told.kind, &told.subject, told.hashes.len()), (ChangeKind::ProjectDeleted, &None, 0));
        assert_eq!((&told.project, told.occurred_at), (&other_project(), at(5)));
    }
    // It does not come back, whatever is tried.
    assert!(!db.store.ensure_project(&other_project(), at(9)).await.unwrap());
    assert!(!db.store.found_project(&named("other-shop", 9), &[], &[]).await.unwrap());
    let late = db.store.update_project(&other, other.version, &event(&project())).await;
    assert_eq!(late, Err(StoreError::Conflict(Conflict::Version)));
    let late = db.store.delete_project(&other, other.version, &event(&project())).await;
    assert_eq!(late.map(drop), Err(StoreError::Conflict(Conflict::Version)));
}

/// Fills a project with everything a project can have.
async fn fill(db: &TestDb, id: &ProjectId) {
    let mut project = db.store.find_project(id).await.unwrap().unwrap();
    let user_scopes = ScopeSet::new(Scope::parse("read:users"));
    let registration_scopes = user_scopes.clone();
    let default_rate_limits = vec![(KeyKind::Secret, rate_limits())];
    let details = ProjectDetails { user_scopes, registration_scopes, default_rate_limits, ..project.details.clone() };
    project.update(details, at(1));
    let spent = ["a", "b", "c"].map(|name| Spent {
        id: BucketId { text: format!("{id}/{name}").into(), project: id.clone() },
        tally: Tally::restored(Terms { calls: 5, window: 60_000_000 }, at(1_000_000), 0),
    });
    db.store.write_spent(&spent).await.unwrap();
    db.store.update_project(&project, 1, &event(id)).await.unwrap();
    for text in ["read:products", "read:budgets"] {
        let scope = Scope::parse(text).unwrap();
        let scope = StoredScope { project: id.clone(), scope, description: String::new(), created_at: at(1) };
        db.store.create_scope(&scope, &event(id)).await.unwrap();
    }
    for n in 0..7 {
        let mut key = full_key(at(n));
        key.project = id.clone();
        key.environment = if n < 4 { Environment::Live } else { Environment::Test };
        key.details.scopes = ScopeSet::new(Scope::parse("read:budgets"));
        let name = format!("once-{n}");
        let (fingerprint, expires_at) = ([1; 32], at(1_000_000));
        let request = NewIdempotent { actor: None, key: &name, fingerprint: &fingerprint, answer: b"x", expires_at };
        db.store.create_key(&key, &new_hash(), Some(b"sealed"), Some(&request), &event(id)).await.unwrap();
        key.rotate(
            "hint".to_owned(),
            std::time::Duration::from_secs(60),
            crate::domain::key::RotationMode::Immediate,
            at(n),
        )
        .unwrap();
        db.store.rotate_key(&key, 1, &new_hash(), None, &event(id)).await.unwrap();
        let leak = leak_report(&key, &format!("https://a.example/{n}"), at(n));
        db.store.record_leak(&leak, LeakTurns::Nothing, &event(id), &SystemEntropy).await.unwrap();
        let mut webhook = webhook(at(n));
        webhook.project = id.clone();
        db.store.create_webhook(&webhook, b"sealed", None, &event(id)).await.unwrap();
        let mut told = webhook_event(at(n));
        told.project = id.clone();
        db.store.enqueue_event(&told).await.unwrap();
        let mut product = product("red shoe", at(n));
        product.project = id.clone();
        product.details.tags = vec!["new".to_owned(), "red".to_owned()];
        db.store.create_product(&product).await.unwrap();
        if n % 2 == 0 {
            product.delete(at(n));
            db.store.update_product(&product, 1).await.unwrap();
        }
        let mut client = client(at(n));
        client.project = id.clone();
        client.details.scopes = "read:budgets".split(' ').filter_map(OAuthScope::parse).collect();
        let room = Room { at_most: 100, unused_since: at(0), event: &|_| event(id) };
        db.store.register_client(&client, Some(&new_hash()), &new_hash(), &room, &event(id)).await.unwrap().unwrap();
        let pushed = PushedRequest {
            hash: new_hash(),
            client: client.id.clone(),
            parameters: "scope=read:budgets".to_owned(),
            pushed_at: at(n),
            expires_at: at(1_000_000),
        };
        assert!(db.store.push_request(&pushed, 1).await.unwrap());
        let (environment, scopes) = (client.environment, client.details.scopes.clone());
        let device = DeviceRequest::new(id.clone(), environment, client.id.clone(), scopes, Vec::new(), at(n));
        db.store.start_device(&device, &new_hash(), &new_hash()).await.unwrap();
        if n % 2 == 0 {
            client.delete(at(n));
            db.store.delete_client(&client, 1, &event(id)).await.unwrap();
        }
        Party::new(db, id).await.redeemed(db, at(n)).await;
        let mut user = service_account(&format!("bot-{n}"), at(n));
        user.project = id.clone();
        user.details.scopes = ScopeSet::new(Scope::parse("read:budgets"));
        db.store.create_user(&user, &event(id)).await.unwrap();
        let mut held = crate::store::tests::support::key(at(n));
        (held.project, held.user) = (id.clone(), Some(user.id.clone()));
        db.store.create_key(&held, &new_hash(), None, None, &event(id)).await.unwrap();
        let mut shopper = service_account(&format!("shopper-{n}"), at(n));
        shopper.project = id.clone();
        db.store.create_user_of_issuer(&shopper, "https://id.example", &n.to_string(), &event(id)).await.unwrap();
        let mut issuer = issuer(&format!("https://id.example/{n}"), at(n));
        issuer.project = id.clone();
        db.store.create_issuer(&issuer, &event(id)).await.unwrap();
        if n % 2 == 0 {
            user.delete(at(n));
            db.store.delete_user(&user, 1, &event(id)).await.unwrap();
        }
        let mut person = human(&format!("ada-{n}"), at(n));
        person.project = id.clone();
        let session = session(&person, at(n));
        let new = NewSession { session: &session, hash: &new_hash(), origin: &Origin::default() };
        db.store.sign_up(&person, &password(), &new, &event(id)).await.unwrap();
        let used = Subject { place: Some((id.clone(), key.environment)), key: Some(key.id), ..Subject::default() };
        db.store.add_usage(&[tally(&used, at(n))], &SystemEntropy).await.unwrap();
        let kind = AlertKind::ALL[usize::try_from(n).unwrap()];
        let mut rule = AlertRule::default_of(kind);
        rule.update(true, rule.thresholds, at(n));
        db.store.update_alert_rule(id, &rule, 0, &event(id)).await.unwrap();
    }
}

async fn a_deleted_project_is_emptied_in_batches(db: TestDb) {
    fill(&db, &project()).await;
    let before = db.rows().await;
    fill(&db, &other_project()).await;
    let filled = db.rows().await;
    for (table, rows) in &filled {
        let one_for_all = ["installation", "projects", "change_counter", "master_keys", "signing_keys", "used_proofs"]
            .contains(&table.as_str());
        assert!(one_for_all || rows > &before[table], "{table}: a project's data is not made in `fill`");
    }

    assert!(!db.store.empty_project(&other_project(), 100).await.unwrap(), "it was not deleted");
    assert_eq!((db.store.list_projects_to_empty(10).await.unwrap(), db.rows().await), (vec![], filled));
    let mut other = db.store.find_project(&other_project()).await.unwrap().unwrap();
    other.delete(at(50));
    db.store.delete_project(&other, 2, &event(&project())).await.unwrap();
    assert_eq!(db.store.list_projects_to_empty(10).await.unwrap(), [(other_project(), at(50))]);
    let mut batches = 0;
    while db.store.empty_project(&other_project(), 2).await.unwrap() {
        batches += 1;
        let next = db.rows().await;
        assert!(next["keys"] >= 7 && next["products"] >= 7 && next["clients"] >= 7, "the other project's stay");
    }
    assert!(batches >= 4, "7 keys, 2 at a time: {batches}");
    let after = db.rows().await;
    for (table, rows) in &before {
        match table.as_str() {
            "audit_chains" | "audit_events" | "changes" | "change_counter" => {
                assert!(after[table] >= *rows, "{table} is kept")
            }
            _ => assert_eq!(after[table], *rows, "{table}"),
        }
    }
    assert_eq!(db.store.list_projects_to_empty(10).await.unwrap().len(), 1, "something may be on its way");
    db.store.project_is_empty(&other_project(), at(60)).await.unwrap();
    assert_eq!(db.store.list_projects_to_empty(10).await.unwrap(), []);
    assert_eq!(db.store.find_project(&other_project()).await.unwrap(), None);
}

impl TestDb {
    /// How many rows each table has.
    async fn rows(&self) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for table in TABLES.iter().copied().collect::<BTreeSet<_>>() {
            counts.insert(table.to_owned(), self.count(&format!("SELECT COUNT(*) FROM {table}")).await);
        }
        counts
    }

    async fn count(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.home {
            Home::File(directory) => {
                let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
                sqlx::query_scalar(sql).fetch_one(&mut options.connect().await.unwrap()).await.unwrap()
            }
            Home::Server { url } => {
                let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
        }
    }
}

/// A table that is not here is one that nobody has thought of.
#[tokio::test]
async fn every_table_is_emptied_or_kept_on_purpose() {
    on_sqlite(async |db| {
        let Home::File(directory) = &db.home else { unreachable!() };
        let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
        let rows = sqlx::query(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')
                AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%'",
        );
        let rows = rows.fetch_all(&mut options.connect().await.unwrap()).await.unwrap();
        let tables: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        let known = TABLES.iter().map(|table| (*table).to_owned()).collect();
        assert_eq!(tables, known, "see `EMPTYING` in project_data.rs, and `fill` here");
    })
    .await;
}

const TABLES: [&str; 57] = [
    "access_log",
    "access_tokens",
    "alert_claims",
    "alert_rules",
    "alert_watch",
    "alerts",
    "audit_chains",
    "audit_events",
    "authorization_codes",
    "change_counter",
    "changes",
    "client_lists",
    "client_registrations",
    "client_scopes",
    "client_secrets",
    "clients",
    "consents",
    "device_requests",
    "grants",
    "idempotency",
    "identities",
    "installation",
    "issuers",
    "key_allowed_ips",
    "key_credits",
    "key_rate_limits",
    "key_scope_uses",
    "key_scopes",
    "key_secrets",
    "key_uses",
    "keys",
    "leak_reports",
    "master_keys",
    "passwords",
    "product_tags",
    "product_words",
    "products",
    "project_rate_limits",
    "projects",
    "pushed_requests",
    "refresh_tokens",
    "registration_scopes",
    "scopes",
    "sessions",
    "sign_up_scopes",
    "signing_keys",
    "spent_limits",
    "usage_counts",
    "used_proofs",
    "user_scopes",
    "user_words",
    "users",
    "webhook_deliveries",
    "webhook_kinds",
    "webhook_lanes",
    "webhook_secrets",
    "webhooks",
];
