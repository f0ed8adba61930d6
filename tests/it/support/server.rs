//! A real server: the whole composition with its real middleware, on a port of its own, with a clock that the test owns.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost::auth::signing::Signing;
use gatepost::config::{Config, Flags};
use gatepost::domain::clock::{Clock, ManualClock, SystemClock, Timestamp};
use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::sealing::Keyring;
use gatepost::net::DrainReport;
use gatepost::server::{Server, World};
use gatepost::store::Store;
use gatepost::telemetry::Metrics;
use rustls_pki_types::CertificateDer;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::JoinHandle;

use super::actors::Actor;
use super::leaks;
use super::postgres::{Engine, TestDatabase};
use super::redis::TestRedis;
use super::wire::Clients;
use crate::nodes::soon;

/// A running server. It stops when it is dropped; [`TestServer::stop`] waits for that.
pub(crate) struct TestServer {
    address: SocketAddr,
    clock: Arc<ManualClock>,
    clients: Clients,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<DrainReport>,
    data: OnceCell<(Store, Keyring)>,
    home: Arc<Home>,
}

/// Where the data of one or more servers is; removed with the last of them.
struct Home {
    // Before the directory: a database is let go of before it is removed.
    database: Option<TestDatabase>,
    redis: Option<TestRedis>,
    directory: TempDir,
    /// The first administrator keys, live and test.
    administrators: OnceCell<[Actor; 2]>,
}

/// What is said differently from the defaults of the suite.
#[derive(Clone, Default)]
pub(crate) struct Builder {
    flags: Vec<(&'static str, String)>,
    certificate: Option<Certificate>,
    in_real_time: bool,
    with_redis: bool,
    authorities: Vec<CertificateDer<'static>>,
}

#[derive(Clone)]
struct Certificate {
    chain: String,
    key: String,
}

impl TestServer {
    /// A server with the defaults of the suite.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// A server that is told something else.
    pub(crate) fn builder() -> Builder {
        Builder::default()
    }

    /// Another server on the same data, with the same clock and the defaults of the suite.
    pub(crate) async fn another_node(&self) -> Self {
        Self::builder().start_at(Arc::clone(&self.home), Arc::clone(&self.clock)).await
    }

    /// Another server on the same data, told something else.
    pub(crate) async fn another_node_with(&self, builder: Builder) -> Self {
        builder.start_at(Arc::clone(&self.home), Arc::clone(&self.clock)).await
    }

    /// Waits until what is loaded into the cache at the start is there: it is counted once it all is.
    pub(crate) async fn warmed_up(&self) {
        soon("the newest keys are loaded", async || {
            let metrics = self.get("/metrics", &Actor::anonymous()).await.expect(200, "");
            let held = metrics.text.lines().find_map(|line| line.strip_prefix("gatepost_cache_entries "));
            held.expect("the cache is measured") != "0"
        })
        .await;
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data directory.
    pub(crate) fn directory(&self) -> &Path {
        self.home.directory.path()
    }

    /// Moves its clock on.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// What its clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A point in time after now, in RFC 3339.
    pub(crate) fn later(&self, by: Duration) -> String {
        let at = self.now().plus(by);
        let at = prost_types::Timestamp { seconds: at.micros().div_euclid(1_000_000), nanos: 0 };
        at.to_string()
    }

    /// The administrator key that the first start made.
    pub(crate) fn admin(&self, environment: Environment) -> Actor {
        let [live, test] = self.home.administrators.get().expect("the first start makes administrator keys");
        match environment {
            Environment::Live => live.clone(),
            Environment::Test => test.clone(),
        }
    }

    /// The clients that call it.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The Redis that counts its limits.
    pub(crate) fn redis(&self) -> &TestRedis {
        self.home.redis.as_ref().expect("it was started with one")
    }

    /// Clients with connections of their own.
    pub(crate) fn more_clients(&self) -> Clients {
        Clients::new(self.address, None)
    }

    /// The URL of its database; none where that is a file.
    pub(crate) fn database_url(&self) -> Option<String> {
        self.home.database.as_ref().map(TestDatabase::url)
    }

    /// Its data, as another process sees it.
    pub(crate) async fn store(&self) -> &Store {
        &self.data().await.0
    }

    /// Its keys, as another process with the same master key has them.
    pub(crate) async fn keyring(&self) -> &Keyring {
        &self.data().await.1
    }

    /// What signs its tokens, as on another node.
    pub(crate) async fn signing(&self) -> Signing {
        let (store, keyring) = self.open().await;
        let (clock, month) = (self.clock.clone(), Duration::from_secs(30 * 24 * 3600));
        let signing = Signing::open(store, Arc::new(keyring), clock, Arc::new(SystemEntropy), PUBLIC_URL, month);
        signing.await.expect("the keys of a running server can be read")
    }

    /// Changes its data behind its back.
    pub(crate) async fn execute_sql(&self, sql: &'static str) {
        let failed = match &self.home.database {
            Some(database) => {
                let mut connection = sqlx::PgConnection::connect(&database.url()).await.expect("the database is there");
                sqlx::query(sql).execute(&mut connection).await.err()
            }
            None => {
                let file = self.directory().join("gatepost.db");
                assert!(file.is_file(), "the database is in another file now");
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
                let mut connection = options.connect().await.expect("the database is there");
                sqlx::query(sql).execute(&mut connection).await.err()
            }
        };
        assert!(failed.is_none(), "{sql}: {failed:?}");
    }

    /// Stops it, and waits until it has drained.
    pub(crate) async fn stop(mut self) -> DrainReport {
        let stop = self.stop.take().expect("only this takes it");
        // Connections of our own that are idle must not be what the drain waits for.
        self.clients = Clients::new(self.address, None);
        let _ = stop.send(());
        (&mut self.served).await.expect("the server does not panic")
    }

    async fn data(&self) -> &(Store, Keyring) {
        self.data.get_or_init(|| self.open()).await
    }

    async fn open(&self) -> (Store, Keyring) {
        let config = config(&self.home, &[]);
        let world = World { clock: self.clock.clone(), entropy: Arc::new(SystemEntropy), authorities: Vec::new() };
        gatepost::server::open(&config, &world).await.expect("the data of a running server can be opened")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.served.abort();
        if !std::thread::panicking() {
            leaks::assert_none();
        }
    }
}

impl Builder {
    /// Says a setting, by its key in the table of settings (`max_body`).
    pub(crate) fn set(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((key, value.into()));
        self
    }

    /// Behind this many trusted proxies, the nearest of which ends TLS.
    pub(crate) fn behind_proxies(self, count: usize) -> Self {
        self.set("behind_proxy", "true").set("trusted_proxies", count.to_string())
    }

    /// With TLS, for `localhost`.
    pub(crate) fn tls(mut self) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        self.certificate = Some(Certificate { chain: made.cert.pem(), key: made.signing_key.serialize_pem() });
        self
    }

    /// Trusting whoever has this certificate, where it fetches documents.
    pub(crate) fn trusting(mut self, authority: CertificateDer<'static>) -> Self {
        self.authorities.push(authority);
        self
    }

    /// With a Redis of its own, and of all nodes on its data, that counts its limits.
    pub(crate) fn with_redis(mut self) -> Self {
        self.with_redis = true;
        self
    }

    /// As browsers meet it: at `localhost` and a port, which they take for a secure place without TLS too, and in the machine's
    /// own time, which clients go by that hold its tokens against theirs.
    pub(crate) fn for_browsers(mut self) -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = free.expect("there is a free port").port();
        self.in_real_time = true;
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        self.set("listen", format!("127.0.0.1:{port}")).set("public_url", format!("{scheme}://localhost:{port}"))
    }

    /// Starts it.
    pub(crate) async fn start(self) -> TestServer {
        let directory = tempfile::Builder::new().prefix("gatepost-test-").tempdir().expect("a directory can be made");
        let database = match Engine::chosen() {
            Engine::Sqlite => None,
            Engine::Postgres => {
                Some(TestDatabase::create().await.expect("the suite was asked to run on PostgreSQL: name a server"))
            }
        };
        let redis = if self.with_redis { Some(TestRedis::start().await) } else { None };
        let home = Home { database, redis, directory, administrators: OnceCell::new() };
        let clock = if self.in_real_time { real_time() } else { Arc::new(ManualClock::new(START)) };
        self.start_at(Arc::new(home), clock).await
    }

    async fn start_at(mut self, home: Arc<Home>, clock: Arc<ManualClock>) -> TestServer {
        leaks::watch_the_log();
        if let Some(Certificate { chain, key }) = &self.certificate {
            for (setting, file, content) in [("tls_cert", "cert.pem", chain), ("tls_key", "key.pem", key)] {
                let path = home.directory.path().join(file);
                std::fs::write(&path, content).expect("the directory can be written");
                self.flags.push((setting, path.display().to_string()));
            }
        }
        let config = config(&home, &self.flags);
        let world =
            World { clock: clock.clone(), entropy: Arc::new(SystemEntropy), authorities: self.authorities.clone() };
        let server = Server::start(&config, &Arc::new(Metrics::new()), world).await.expect("the server starts");
        let address = server.address();
        let made: Vec<_> =
            server.first_keys().iter().map(|made| Actor::made(made.secret.expose(), made.key.id.as_str())).collect();
        if let Ok(administrators) = made.try_into() {
            home.administrators.set(administrators).expect("only the first start makes keys");
        }
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(async {
            // A test that forgets the server does not stop it: dropping does.
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        let clients = Clients::new(address, self.certificate.map(|certificate| certificate.chain));
        TestServer { address, clock, clients, stop: Some(stop), served, data: OnceCell::new(), home }
    }
}

/// A clock that goes with the machine's.
fn real_time() -> Arc<ManualClock> {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let kept = Arc::downgrade(&clock);
    tokio::spawn(async move {
        while let Some(clock) = kept.upgrade() {
            clock.advance(SystemClock.now().since(clock.now()));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    clock
}

/// The configuration of a server at `home`, from flags as on the command line.
fn config(home: &Home, more: &[(&'static str, String)]) -> Config {
    let mut given = vec![
        ("listen", "127.0.0.1:0".to_owned()),
        ("data_dir", home.directory.path().display().to_string()),
        ("poll_interval", "50ms".to_owned()),
        ("drain_timeout", "5s".to_owned()),
        ("password_cost", "m=7168,t=5,p=1".to_owned()),
        // Nothing is written down in the middle of a test that does not ask for it.
        ("usage_interval", "1m".to_owned()),
        // No machine is so slow that a node would count by itself.
        ("lease_timeout", "20s".to_owned()),
        // The same on every node, whatever port it got.
        ("public_url", PUBLIC_URL.to_owned()),
    ];
    given.extend(home.database.as_ref().map(|database| ("database_url", database.url())));
    if let Some(redis) = &home.redis {
        given.extend([("redis_url", redis.url()), ("redis_timeout", "20s".to_owned())]);
    }
    given.extend(more.iter().cloned());
    let flags = Flags { config: None, given };
    Config::load(&flags, &|_| None).unwrap_or_else(|error| panic!("{error}")).config
}

/// The issuer of its tokens.
pub(crate) const PUBLIC_URL: &str = "https://keys.example";

/// 2030-01-01T00:00:00Z. Far from the machine's time, so that whoever reads that is found out.
const START: Timestamp = Timestamp::from_micros(1_893_456_000_000_000);
