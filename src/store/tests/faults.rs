//! Callers that go away, disks that are full, servers that stop or fall silent.

use std::task::Poll;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::Revision;
use crate::domain::environment::Environment;
use crate::domain::error::Error;
use crate::domain::id::CredentialId;
use crate::domain::reason::Reason;
use crate::store::{KeyFilter, Store, StoreError, StoreOptions};

on_both_engines! {
    callers_that_go_away_leave_nothing_half_done,
    readers_that_go_away_leave_the_pool_whole,
    reports_end_in_time_and_nothing_else_waits_for_them,
    whoever_waits_too_long_is_told,
}

const PATIENCE: Duration = Duration::from_secs(1);

/// The store with little patience.
async fn impatient(db: &TestDb) -> Store {
    let store = Store::open(&StoreOptions { timeout: PATIENCE, ..db.options.clone() }).await.unwrap();
    store.open_keyring(&master_key(), at(0)).await.unwrap();
    store
}

/// Goes on with something for so many steps; then it is dropped, and there is no outcome.
async fn for_steps<T>(steps: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = steps;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

async fn callers_that_go_away_leave_nothing_half_done(db: TestDb) {
    let mut gone = 0;
    for n in 0..300_u64 {
        let mut key = full_key(at(n));
        key.environment = Environment::Live;
        let (hash, event) = (new_hash(), event(&project()));
        let making = db.store.create_key(&key, &hash, None, None, &event);
        // From "just began" to "about to end". How many steps that is depends on how fast the answers come; one never is enough.
        let steps = if n % 2 == 0 { n % 60 } else { n % 6 };
        gone += usize::from(for_steps(steps, making).await.is_none());
    }
    assert!(gone > 30, "some did go away: {gone}");

    db.create(&key(at(1_000))).await;
    let changes = db.store.list_changes_after(Revision(0), 1_000).await.unwrap();
    assert_eq!(db.store.revision().await.unwrap().0, changes.len() as u64);
    let page = db.store.list_keys(&project(), Environment::Live, &KeyFilter::default(), &numbered(1_000, 0)).await;
    let keys = page.unwrap().items;
    assert_eq!(keys.len(), changes.len(), "each key that was made is in the log, and no other");
    for change in &changes {
        let stored = db.store.find_key_secret(&change.hashes[0]).await.unwrap().unwrap();
        assert_eq!(Some(&stored.key.id), change.subject.as_ref().and_then(CredentialId::key));
        assert!(keys.contains(&stored.key));
        assert_eq!(stored.key.details.scopes.is_empty(), stored.key.details.alias.is_none(), "with its sets");
    }
}

async fn readers_that_go_away_leave_the_pool_whole(db: TestDb) {
    let key = full_key(at(1));
    let hash = db.create(&key).await;
    let mut gone = 0;
    for n in 0..400 {
        let looking = db.store.find_key_secret(&hash);
        gone += usize::from(for_steps(n % 4, looking).await.is_none());
    }
    assert!(gone > 100, "some did go away: {gone}");
    // All of the pool at once, several times over.
    let looks = (0..100).map(|_| db.store.find_key_secret(&hash));
    for found in futures_util::future::join_all(looks).await {
        assert_eq!(found.unwrap().unwrap().key, key);
    }
    assert!(db.store.pool_usage().iter().all(|(_, usage)| usage.in_use == 0 && usage.size > 0));
}

async fn reports_end_in_time_and_nothing_else_waits_for_them(db: TestDb) {
    let key = full_key(at(1));
    let hash = db.create(&key).await;
    let reports = || db.store.pool_usage().into_iter().find(|(pool, _)| *pool == "reports").unwrap().1;
    let looks = async {
        let mut looks = 0;
        while looks == 0 || reports().in_use > 0 {
            // All that are not for reports at once.
            let some = futures_util::future::join_all((0..8).map(|_| db.store.find_key_secret(&hash))).await;
            assert!(some.into_iter().all(|found| found.unwrap().unwrap().key == key));
            db.store.ping().await.unwrap();
            looks += 1;
        }
        looks
    };
    let begun = async { futures_util::future::join_all((0..8).map(|_| db.store.db.fetch_report(ENDLESS, &[]))).await };
    let (outcomes, looks) = futures_util::future::join(begun, looks).await;
    let outcomes: Vec<StoreError> = outcomes.into_iter().map(|outcome| outcome.map(drop).unwrap_err().into()).collect();
    let ended = outcomes.iter().filter(|error| **error == StoreError::TooMuch).count();
    let refused = outcomes.iter().filter(|error| **error == StoreError::Busy).count();
    assert!(ended >= reports().size as usize && ended + refused == outcomes.len(), "{outcomes:?}");
    assert!(looks > 1, "{looks}");
    // What was begun has ended, whether or not somebody waited for it, and a report that can be had is.
    for _ in 0..reports().size {
        let gone = for_steps(2, db.store.db.fetch_report(ENDLESS, &[])).await;
        assert!(gone.is_none_or(|outcome| outcome.is_err()));
    }
    loop {
        match db.store.db.fetch_report("SELECT COUNT(*) AS total FROM keys", &[]).await {
            Ok(rows) => break assert_eq!(rows[0].int("total").unwrap(), 1),
            Err(failure) => assert_eq!(StoreError::from(failure), StoreError::Busy),
        }
    }
    for error in [StoreError::TooMuch, StoreError::Busy].map(Error::from) {
        assert_ne!(error.reason, Reason::StoreUnavailable);
        assert!(error.message.contains("ask for less"), "{error}");
    }
}

/// Counts for ever.
const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) AS total FROM n";

/// A lock on the change log's counter, held by somebody else until dropped.
enum Lock {
    File(#[expect(dead_code, reason = "held until dropped")] SqliteConnection),
    Server(#[expect(dead_code, reason = "held until dropped")] PgConnection),
}

async fn lock(db: &TestDb) -> Lock {
    match &db.home {
        Home::File(directory) => {
            let options = SqliteConnectOptions::new().filename(directory.path().join("gatepost.db"));
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
            Lock::File(connection)
        }
        Home::Server { url, .. } => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            let take = "BEGIN; UPDATE change_counter SET revision = revision";
            sqlx::raw_sql(take).execute(&mut connection).await.unwrap();
            Lock::Server(connection)
        }
    }
}

async fn whoever_waits_too_long_is_told(db: TestDb) {
    let store = impatient(&db).await;
    let before = store.revision().await.unwrap();
    let lock = lock(&db).await;
    let started = Instant::now();
    let event = event(&project());
    let keys = [key(at(1)), key(at(2)), key(at(3))];
    let hashes = [new_hash(), new_hash(), new_hash()];
    let makings = keys.iter().zip(&hashes).map(|(key, hash)| store.create_key(key, hash, None, None, &event));
    let outcomes = futures_util::future::join_all(makings).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Err(StoreError::Unavailable)), "{outcomes:?}");
    let waited = started.elapsed();
    assert!(waited < PATIENCE * 3, "{waited:?}");
    store.ping().await.unwrap();
    assert_eq!(store.revision().await.unwrap(), before, "reading goes on");

    drop(lock);
    let made = store.create_key(&key(at(4)), &new_hash(), None, None, &super::support::event(&project())).await;
    assert!(made.is_ok(), "{made:?}");
    let kept = store.list_keys(&project(), Environment::Live, &KeyFilter::default(), &numbered(10, 0)).await.unwrap();
    assert_eq!(kept.total, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_survived() {
    on_sqlite(async |db| {
        // As for the database itself: the file may not grow any more.
        let limit = async || {
            let mut tx = db.store.db.begin().await.unwrap();
            tx.fetch_all("PRAGMA max_page_count = 1", &[]).await.unwrap();
            tx.commit().await.unwrap();
        };
        limit().await;
        let mut made = Vec::new();
        let refused = loop {
            let (key, hash) = (key(at(made.len() as u64)), new_hash());
            match db.store.create_key(&key, &hash, None, None, &event(&project())).await {
                Ok(_) => made.push((key, hash)),
                Err(error) => break error,
            }
            assert!(made.len() < 10_000, "the file does not fill up");
        };
        assert_eq!(refused, StoreError::Unavailable);
        for (key, hash) in &made {
            assert_eq!(db.store.find_key_secret(hash).await.unwrap().unwrap().key, *key);
        }
        assert_eq!(db.store.revision().await.unwrap(), Revision(made.len() as u64));

        // There is room again: the store needs no restart.
        let mut tx = db.store.db.begin().await.unwrap();
        tx.fetch_all("PRAGMA max_page_count = 1000000", &[]).await.unwrap();
        tx.commit().await.unwrap();
        for n in 0..20 {
            db.create(&key(at(20_000 + n))).await;
        }
        assert_eq!(db.store.revision().await.unwrap(), Revision(made.len() as u64 + 20));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ended_are_replaced() {
    on_postgres(async |db| {
        let key = key(at(1));
        let hash = db.create(&key).await;
        let mut signal = db.store.listen().await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        for _ in 0..5 {
            // Several connections wait for work, and all of them die.
            let looks = (0..8).map(|_| db.store.find_key_secret(&hash));
            futures_util::future::join_all(looks).await;
            db.raw(end).await;
            let looks = (0..8).map(|_| db.store.find_key_secret(&hash));
            for found in futures_util::future::join_all(looks).await {
                assert!(found.unwrap().is_some());
            }
            db.raw(end).await;
            db.create(&super::support::key(at(2))).await;
        }
        let lost = timeout(Duration::from_secs(5), signal.wait()).await.unwrap();
        assert_eq!(lost, Err(StoreError::Unavailable), "whoever listens knows that it may have missed something");
        let mut signal = db.store.listen().await.unwrap();
        db.create(&super::support::key(at(3))).await;
        timeout(Duration::from_secs(5), signal.wait()).await.unwrap().unwrap();
    })
    .await;
}

/// Stands between the store and its server, and can fall silent or be gone.
struct Between {
    url: String,
    passes: watch::Sender<bool>,
}

impl Between {
    async fn new(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        let target = (server.get_host().to_owned(), server.get_port());
        let (passes, passing) = watch::channel(true);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (target, mut passing) = (target.clone(), passing.clone());
                tokio::spawn(async move {
                    passing.wait_for(|passes| *passes).await.unwrap();
                    let mut server = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => return,
                        _ = passing.wait_for(|passes| !*passes) => {}
                    }
                    // What is on its way from here on is lost, and nobody is told.
                    std::future::pending::<()>().await;
                });
            }
        });
        let url = server.host("127.0.0.1").port(address.port()).to_url_lossy().to_string();
        Self { url, passes }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_noticed_and_found_again() {
    on_postgres(async |db| {
        let Home::Server { url, .. } = &db.home else { unreachable!() };
        let between = Between::new(url).await;
        let mut options = StoreOptions::url(&between.url).unwrap();
        (options.timeout, options.connections) = (PATIENCE, 3);
        let store = Store::open(&options).await.unwrap();
        store.open_keyring(&master_key(), at(0)).await.unwrap();
        let key = key(at(1));
        let hash = db.create(&key).await;
        for round in 0..2 {
            let looks = (0..3).map(|_| store.find_key_secret(&hash));
            assert!(futures_util::future::join_all(looks).await.iter().all(Result::is_ok));
            between.passes.send_replace(false);
            for _ in 0..2 {
                let started = Instant::now();
                // More than there are connections, so that some wait for one.
                let looks = (0..7).map(|_| store.find_key_secret(&hash));
                let outcomes = futures_util::future::join_all(looks).await;
                assert!(outcomes.iter().all(|outcome| *outcome == Err(StoreError::Unavailable)), "{outcomes:?}");
                let made = store.create_key(&key, &new_hash(), None, None, &event(&project())).await;
                assert_eq!(made, Err(StoreError::Unavailable));
                assert!(started.elapsed() < PATIENCE * 4, "{:?}", started.elapsed());
            }
            between.passes.send_replace(true);
            let looks = (0..7).map(|_| store.find_key_secret(&hash));
            let outcomes = futures_util::future::join_all(looks).await;
            assert!(outcomes.iter().all(Result::is_ok), "round {round}: {outcomes:?}");
            let key = super::support::key(at(2));
            let made = store.create_key(&key, &new_hash(), None, None, &event(&project())).await;
            assert!(made.is_ok(), "{made:?}");
        }
    })
    .await;
}
