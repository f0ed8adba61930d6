//! Opening a database, whatever made it.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tokio::task::JoinSet;

use super::on_both_engines;
use super::support::*;
use crate::store::db::MIGRATIONS;
use crate::store::{OpenError, Store, StoreOptions};

on_both_engines! {
    a_changed_migration_is_refused,
    a_migration_that_failed_is_refused,
    a_newer_database_is_refused,
    an_opened_database_opens_again,
    both_series_end_alike,
    nodes_may_start_at_the_same_time,
}

async fn an_opened_database_opens_again(db: TestDb) {
    let hash = db.create(&key(at(1))).await;
    db.store.close().await;
    assert!(db.store.ping().await.is_err(), "what is closed stays closed");
    let again = db.second().await;
    assert!(again.find_key_secret(&hash).await.unwrap().is_some());
}

async fn a_newer_database_is_refused(db: TestDb) {
    let next = MIGRATIONS.len() + 1;
    db.raw(&format!("UPDATE _sqlx_migrations SET version = {next} WHERE version = {}", MIGRATIONS.len())).await;
    let error = Store::open(&db.options).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { version } if version == next as i64), "{error:?}");
    let said = "the database was made by a newer gatepost";
    let text = format!("{said} (migration {next:04}); start that version or restore a backup");
    assert_eq!(error.to_string(), text);
}

async fn a_changed_migration_is_refused(db: TestDb) {
    db.raw("UPDATE _sqlx_migrations SET checksum = CAST('other' AS %BYTES%)").await;
    let error = Store::open(&db.options).await.unwrap_err();
    assert!(matches!(error, OpenError::ChangedMigration { version: 1 }), "{error:?}");
}

async fn a_migration_that_failed_is_refused(db: TestDb) {
    db.raw("UPDATE _sqlx_migrations SET success = FALSE").await;
    let error = Store::open(&db.options).await.unwrap_err();
    assert!(matches!(error, OpenError::DirtyMigration { version: 1 }), "{error:?}");
}

async fn nodes_may_start_at_the_same_time(db: TestDb) {
    let fresh = db.empty().await;
    let mut nodes = JoinSet::new();
    for _ in 0..6 {
        let options = fresh.clone();
        nodes.spawn(
            async move { Store::open(&options).await.unwrap().ensure_project(&project(), at(1)).await.unwrap() },
        );
    }
    let made = nodes.join_all().await;
    assert_eq!(made.iter().filter(|made| **made).count(), 1);
}

#[tokio::test]
async fn both_series_are_listed_whole() {
    for engine in ["sqlite", "postgres"] {
        let folder = format!("{}/src/store/migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
        let on_disk: BTreeSet<String> =
            std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let listed = MIGRATIONS.iter().map(|step| format!("{:04}_{}.sql", step.version, step.name)).collect();
        assert_eq!(on_disk, listed, "{engine}");
    }
    let versions: Vec<i64> = MIGRATIONS.iter().map(|step| step.version).collect();
    assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_opened_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("not-a-database");
    std::fs::write(&path, "a text that is long enough to be taken for the header of a database file, but is none")
        .unwrap();
    let error = Store::open(&StoreOptions::file(&path)).await.unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
    let error = Store::open(&StoreOptions::file(directory.path().join("no/such/folder"))).await.unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");

    for url in ["", "sqlite:", "sqlite::memory:", "sqlite:x?mode=ro", "mysql://h/d", "/a/path"] {
        assert!(matches!(StoreOptions::url(url), Err(OpenError::BadUrl(_))), "{url:?}");
    }
    let mut gone = StoreOptions::url("postgres://someone:hidden@127.0.0.1:9/none").unwrap();
    gone.timeout = std::time::Duration::from_millis(500);
    let error = Store::open(&gone).await.unwrap_err();
    assert!(!format!("{error} {error:?} {gone:?}").contains("hidden"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    on_sqlite(async |db| {
        db.create(&key(at(1))).await;
        let Home::File(directory) = &db.home else { unreachable!() };
        let mut seen = 0;
        for file in std::fs::read_dir(directory.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
            seen += 1;
        }
        assert_eq!(seen, 3, "the database, its log and the log's index");
    })
    .await;
}

/// Columns that are true or false, which SQLite has no type for.
const YES_OR_NO: [&str; 11] = [
    "recoverable",
    "shared",
    "active",
    "require_pkce",
    "require_pushed",
    "dpop_bound",
    "waits",
    "redirect_uri_named",
    "client_documents",
    "enabled",
    "honey",
];

/// Table and column to kind and whether it may be null.
type Tables = BTreeMap<(String, String), (String, bool)>;

async fn both_series_end_alike(db: TestDb) {
    let mut expected = Tables::new();
    on_sqlite(async |db| expected = tables(&db).await).await;
    assert!(expected.len() > 80, "the tables are seen: {}", expected.len());
    assert_eq!(tables(&db).await, expected);
}

async fn tables(db: &TestDb) -> Tables {
    let mut tables = match &db.home {
        Home::File(_) => sqlite_tables(db).await,
        Home::Server { url, .. } => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let rows = sqlx::query(
                "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' AS nullable
                FROM information_schema.columns WHERE table_schema = 'public'",
            );
            let rows = rows.fetch_all(&mut connection).await.unwrap();
            rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect()
        }
    };
    // The driver's own, and the words.
    tables.retain(|(table, _), _| !table.starts_with("_sqlx") && !WORDS.iter().any(|words| table.starts_with(words)));
    for ((_, column), (kind, _)) in &mut tables {
        *kind = match kind.as_str() {
            "INTEGER" | "boolean" if YES_OR_NO.contains(&column.as_str()) => "yes or no",
            "INTEGER" | "bigint" => "number",
            "TEXT" | "text" => "text",
            "BLOB" | "bytea" => "bytes",
            other => panic!("{column} is {other}, which the two engines do not share"),
        }
        .to_owned();
    }
    tables
}

async fn sqlite_tables(db: &TestDb) -> Tables {
    let Home::File(directory) = &db.home else { unreachable!() };
    let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
    let mut connection = options.connect().await.unwrap();
    let rows = sqlx::query(
        "SELECT t.name, c.name, c.type, c.\"notnull\" = 0, t.strict FROM pragma_table_list t, pragma_table_info(t.name) c
        WHERE t.schema = 'main' AND t.name NOT LIKE 'sqlite_%'",
    );
    let mut tables = Tables::new();
    for row in rows.fetch_all(&mut connection).await.unwrap() {
        let table: String = row.get(0);
        let ours = !table.starts_with("_sqlx") && !WORDS.iter().any(|words| table.starts_with(words));
        assert!(!ours || row.get::<bool, _>(4), "{table} is not STRICT");
        tables.insert((table, row.get(1)), (row.get(2), row.get(3)));
    }
    tables
}

impl TestDb {
    /// Runs a statement beside the store; `%BYTES%` is the engine's type for bytes.
    pub(super) async fn raw(&self, sql: &str) {
        match &self.home {
            Home::File(directory) => {
                let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
                let mut connection = options.connect().await.unwrap();
                let sql = AssertSqlSafe(sql.replace("%BYTES%", "BLOB"));
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
            Home::Server { url, .. } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                run(&mut connection, sql.replace("%BYTES%", "BYTEA")).await;
            }
        }
    }

    /// A database that nobody has opened yet.
    async fn empty(&self) -> StoreOptions {
        match &self.home {
            Home::File(directory) => StoreOptions::file(directory.path().join("fresh.db")),
            Home::Server { .. } => {
                self.store.close().await;
                self.raw("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
                self.options.clone()
            }
        }
    }
}

/// The tables of words, which each engine keeps in its own way.
const WORDS: [&str; 2] = ["product_words", "user_words"];
