//! The composition root: opens the store, puts the layers together, listens, drains. The only file that knows all.

mod bootstrap;
mod ending;
mod endpoints;
mod front;
mod grpc;
mod health;
mod issuer_keys;
mod janitor;
mod limits;
mod master_key;
pub mod offline;
mod readiness;
mod refusals;
mod request;
mod tarpit;
mod unary;
mod webhooks;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use thiserror::Error;
use tokio::task::JoinSet;
use tonic_health::pb::health_server::HealthServer;

use self::ending::{relayed, told_to_stop};
use self::endpoints::{Endpoints, KeySet, OpenApi};
use self::front::{Front, Parts};
use self::grpc::Services;
use self::health::HealthService;
use self::master_key::MasterKeyWatch;
use self::readiness::Readiness;
use self::refusals::Refusals;
use self::request::RequestIds;
use self::tarpit::Tarpit;
use crate::auth::alarm::Alarm;
use crate::auth::attempts::Attempts;
use crate::auth::cache::CredentialCache;
use crate::auth::credential::KeyHeaders;
use crate::auth::dpop::{Addresses, Possession};
use crate::auth::feed::Feed;
use crate::auth::guard::Guard;
use crate::auth::limit::Limiter;
use crate::auth::lookup::Credentials;
use crate::auth::outside::assertion::ClientKeySource;
use crate::auth::outside::lookup::Outside;
use crate::auth::password::PasswordHasher;
use crate::auth::policy::{Policies, PolicyError};
use crate::auth::signing::Signing;
use crate::auth::strangers::Strangers;
use crate::auth::usage::Ledger;
use crate::config::{Config, CorsOrigins, Database, MasterKeyError, MasterKeySource};
pub use crate::domain::administrator::AdministratorKey;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::entropy::{Entropy, SystemEntropy};
use crate::domain::error::Error as DomainError;
use crate::domain::sealing::Keyring;
use crate::edge::cors::{Cors, Origins};
use crate::edge::{Edge, problem};
use crate::intake::{GitHub, Intake, Signed};
use crate::net::{self, DrainReport, Listener, Tls, TlsError};
use crate::oauth::{self, OAuth};
use crate::proto::{descriptor_pool, dispatch};
use crate::rpc::Rpcs;
use crate::rpc::auth::AuthService;
use crate::rpc::keys::KeysService;
use crate::rpc::products::ProductsService;
use crate::rpc::users::UsersService;
use crate::service::Context;
use crate::service::leaks::Leaks;
use crate::service::oauth::{AuthorizationServer, DocumentSource};
use crate::service::revocations::Revocations;
use crate::service::sessions::Sessions;
use crate::service::users::Users;
use crate::service::webhooks::Courier;
use crate::store::redis::RedisUrlError;
use crate::store::{MasterKeyError as MasterKeyCheckError, OpenError, Store, StoreOptions};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::Metrics;

/// A server that is bound and ready to serve.
#[derive(Debug)]
pub struct Server {
    front: Front,
    listener: Listener,
    tls: Option<Tls>,
    settings: net::Settings,
    first_keys: Vec<AdministratorKey>,
    readiness: Readiness,
    limiter: Arc<Limiter>,
    background: JoinSet<()>,
    streams: JoinSet<()>,
    ledger: Arc<Ledger>,
    store: Store,
}

/// What a server takes from the world, so that a test can own it.
#[derive(Clone, Debug)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The certificate authorities that are trusted beside the machine's, where documents are fetched.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl World {
    /// The machine's clock and randomness.
    pub fn real() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), authorities: Vec::new() }
    }
}

/// Why a server could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {cause}; choose another address with --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: io::Error,
    },
    /// The data directory cannot be made.
    #[error("cannot make the data directory {path}: {cause}; choose another with --data-dir")]
    DataDir {
        /// The directory.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The descriptors in the binary cannot be served.
    #[error("the RPCs of this binary cannot be served: {0}")]
    Descriptors(String),
    /// The master key cannot be had.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The master key is not the one the database was made under.
    #[error("{0}; give the key it belongs to in GATEPOST_MASTER_KEY or in master.key of the data directory")]
    OtherMasterKey(#[from] MasterKeyCheckError),
    /// There is no master key, but the database was made under one.
    #[error(
        "the database was made under a master key that is not here; put master.key back into the data directory from your \
         backup, or give the key in GATEPOST_MASTER_KEY"
    )]
    LostMasterKey,
    /// An RPC has no policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// What was configured as Redis is none.
    #[error("{url}: {cause}")]
    Redis {
        /// Its URL, without the password.
        url: String,
        /// What is wrong with it.
        cause: RedisUrlError,
    },
    /// Signals cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// The database cannot be opened.
    #[error("{database}: {cause}")]
    Open {
        /// Which database.
        database: String,
        /// What is wrong with it.
        cause: OpenError,
    },
    /// The database cannot be worked with.
    #[error("the database was opened but cannot be worked with: {0}")]
    Store(DomainError),
    /// The threads that hash passwords cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(io::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Starts a server and serves until the process is told to stop.
///
/// # Errors
/// Those of [`Server::start`].
pub async fn run(config: &Config, telemetry: &Telemetry) -> Result<(), StartError> {
    let server = Server::start(config, telemetry.metrics(), World::real()).await?;
    let stop = told_to_stop().map_err(StartError::Signals)?;
    println!("{}", server.greeting(config));
    let report = server.serve(stop).await;
    tracing::info!(finished = report.finished, cut = report.cut, "stopped");
    Ok(())
}

/// The store and the keys of an installation, for a server or for a command that works on its data.
///
/// # Errors
/// Says what is wrong with the data directory, the master key or the database.
pub async fn open(config: &Config, world: &World) -> Result<(Store, Keyring), StartError> {
    // A node whose database and master key are elsewhere keeps nothing here.
    let keeps_data =
        matches!(config.database, Database::Sqlite(_)) || matches!(config.master_key, MasterKeySource::File(_));
    if keeps_data {
        bootstrap::make_data_dir(&config.data_dir).map_err(|cause| {
            let path = config.data_dir.display().to_string();
            StartError::DataDir { path, cause }
        })?;
    }
    let found = config.master_key.load()?;
    let database = match &config.database {
        Database::Sqlite(path) => path.display().to_string(),
        Database::Postgres(url) => url.to_string(),
    };
    let options = match &config.database {
        Database::Sqlite(path) => Ok(StoreOptions::file(path)),
        Database::Postgres(url) => StoreOptions::url(url.expose()),
    };
    let opened = async { Store::open(&options?).await };
    let store = opened.await.map_err(|cause| StartError::Open { database, cause })?;
    let master = match found {
        Some(master) => master,
        // Made anew it would be of no use to this database, and might take the right one's place in the next backup.
        None if store.has_master_key().await.map_err(MasterKeyCheckError::from)? => {
            return Err(StartError::LostMasterKey);
        }
        None => config.master_key.load_or_create(&*world.entropy)?,
    };
    let keyring = store.open_keyring(&master, world.clock.now()).await?;
    Ok((store, keyring))
}

impl Server {
    /// Opens the data, binds the address and gets ready to serve.
    ///
    /// # Errors
    /// Says what stands against it and what to do.
    pub async fn start(config: &Config, metrics: &Arc<Metrics>, world: World) -> Result<Self, StartError> {
        let policies = Policies::from_descriptors(descriptor_pool())?;
        let edge = Edge::new(descriptor_pool(), config.limits.max_body).map_err(StartError::Descriptors)?;
        let key_headers = KeyHeaders::new(config.key_headers.clone());
        let tls = config.tls.as_ref().map(|files| Tls::load(&files.cert, &files.key)).transpose()?;
        // The address is taken before the data: a second server on one machine fails before it touches anything.
        let listener =
            Listener::bind(config.listen).map_err(|cause| StartError::Bind { address: config.listen, cause })?;
        let (store, keyring) = open(config, &world).await?;
        let first_keys = bootstrap::first_start(&store, &keyring, &world).await.map_err(StartError::Store)?;

        let keyring = Arc::new(keyring);
        let signing = Signing::open(
            store.clone(),
            Arc::clone(&keyring),
            Arc::clone(&world.clock),
            Arc::clone(&world.entropy),
            config.public_url.clone().unwrap_or_else(|| format!("{}://{}", scheme(&tls), listener.local_addr())),
            config.signing_key_rotation,
        );
        let signing = Arc::new(signing.await.map_err(StartError::Store)?);
        let cache =
            CredentialCache::new(config.cache.capacity, config.cache.trust, Arc::clone(&world.clock), &*world.entropy);
        let strangers = Strangers::new(Arc::clone(&world.clock));
        let fetch = issuer_keys::fetch(config, &world);
        let fetch_of_strangers = issuer_keys::fetch_of_strangers(config, &world);
        let outside = Outside::new(issuer_keys::source(&fetch, &world), Arc::clone(&world.clock), &*world.entropy);
        let documents = DocumentSource::new(issuer_keys::documents(config, &world));
        let carrier = webhooks::carrier(config, &world, metrics);
        let client_keys =
            ClientKeySource::new(issuer_keys::source(&fetch, &world), issuer_keys::source(&fetch_of_strangers, &world));
        let credentials = Credentials::new(
            store.clone(),
            cache,
            Arc::clone(&keyring),
            Arc::clone(&signing),
            strangers,
            Arc::clone(&world.entropy),
        );
        let credentials = Arc::new(credentials.trusting(outside));
        let feed = Feed::open(store.clone(), Arc::clone(&credentials), config.cache.poll_interval);
        let feed = feed.await.map_err(StartError::Store)?;
        let passwords = config.passwords;
        let passwords = PasswordHasher::start(passwords.cost, passwords.threads, Arc::clone(&world.entropy));
        let passwords = Arc::new(passwords.map_err(StartError::Threads)?);
        let World { clock, entropy, .. } = world;
        let limiter = limits::open(config, &store, &clock).await?;
        // What is listened on tells no name by which the service is reached.
        let addresses = match &config.public_url {
            Some(url) => Addresses::only(url.as_str()),
            None if config.behind_proxy => Addresses::listening_on(signing.issuer(), "https"),
            None => Addresses::listening_on(signing.issuer(), scheme(&tls)),
        };
        let (nonces, keys) = (config.require_dpop_nonces, Arc::clone(&keyring));
        let possession = Arc::new(Possession::new(addresses, keys, nonces, Arc::clone(&clock), &*entropy));
        let alarm = Arc::new(Alarm::new(Arc::clone(&clock), Arc::clone(&entropy)));
        let ledger = Arc::new(Ledger::new(config.usage.recorded, Arc::clone(&alarm)));
        let context = Arc::new(Context {
            store: store.clone(),
            credentials: Arc::clone(&credentials),
            keyring: Arc::clone(&keyring),
            signing: Arc::clone(&signing),
            limiter: Arc::clone(&limiter),
            possession: Arc::clone(&possession),
            documents,
            client_keys,
            passwords: Arc::clone(&passwords),
            attempts: Arc::new(Attempts::new(Arc::clone(&clock))),
            carrier,
            ledger: Arc::clone(&ledger),
            alarm: Arc::clone(&alarm),
            clock: Arc::clone(&clock),
            entropy: Arc::clone(&entropy),
        });

        let readiness = Readiness::default();
        let mut streams = JoinSet::new();
        let revocations = Revocations::new(Arc::clone(&context), relayed(&feed, &mut streams));
        let rpcs = Rpcs(dispatch::Services {
            auth: Arc::new(AuthService::new(Arc::clone(&context), revocations, Arc::clone(metrics))),
            keys: Arc::new(KeysService::new(Arc::clone(&context))),
            products: Arc::new(ProductsService::new(Arc::clone(&context))),
            users: Arc::new(UsersService::new(Arc::clone(&context))),
        });
        let health = HealthServer::new(HealthService::new(readiness.clone()));
        let grpc = Services::new(&rpcs, health, config.limits.max_body)
            .map_err(|error| StartError::Descriptors(error.to_string()))?;

        let progress = feed.progress();
        let mut background = JoinSet::new();
        background.spawn(feed.run());
        background.spawn(Arc::clone(&ledger).run(store.clone(), config.usage.interval));
        background.spawn(Arc::clone(&alarm).run(store.clone(), config.usage.interval));
        let master_key = MasterKeyWatch::new(store.clone(), Arc::clone(&keyring), config.master_key.clone());
        let janitor = janitor::Janitor {
            store: store.clone(),
            keyring: Arc::clone(&keyring),
            master_key,
            credentials: Arc::clone(&credentials),
            signing: Arc::clone(&signing),
            passwords,
            limiter: Arc::clone(&limiter),
            usage: config.usage,
            alarm,
            clock: Arc::clone(&clock),
            metrics: Arc::clone(metrics),
            readiness: readiness.clone(),
            progress,
            connections: listener.open(),
        };
        janitor.look_once().await;
        streams.spawn(janitor.run());
        streams.spawn(Courier::new(Arc::clone(&context)).run());

        let origins = match &config.cors_origins {
            CorsOrigins::Any => Origins::Any,
            CorsOrigins::Only(list) => Origins::Listed(list.clone()),
        };
        let challenge =
            format!("{}, resource_metadata=\"{}{}\"", problem::REALM, signing.issuer(), oauth::RESOURCE_METADATA);
        let signed = config.leak_reports.secrets.as_ref();
        let signed = signed.map(|secrets| Signed::new(secrets.expose(), Arc::clone(&clock)));
        let github = config.leak_reports.github_keys.clone();
        let github = github.map(|url| GitHub::new(url, fetch, Arc::clone(&clock)));
        let intake = Intake::new(Leaks::new(Arc::clone(&context)), signed, github);
        streams.spawn(limits::write_down(Arc::clone(&limiter)));
        let (limits, counts) = (Arc::clone(&limiter), Arc::clone(&ledger));
        let guard = Guard::new(policies, key_headers.clone(), credentials, possession, limits, counts, clock);
        let guard = Arc::new(guard);
        let parts = Parts {
            grpc,
            edge,
            rpcs,
            endpoints: Endpoints {
                readiness: readiness.clone(),
                metrics: Arc::clone(metrics),
                openapi: OpenApi::new(key_headers.iter()),
                key_set: KeySet::new(signing),
            },
            oauth: OAuth::new(
                AuthorizationServer::new(Arc::clone(&context)),
                Sessions::new(Arc::clone(&context)),
                Users::new(context),
                Arc::clone(&guard),
            ),
            intake,
            guard,
            cors: Cors::new(origins, &config.key_headers),
            ids: RequestIds::new(&*entropy),
            metrics: Arc::clone(metrics),
            proxies: config.trusted_proxies,
            https_only: config.behind_proxy,
            patience: config.limits.request_timeout,
            refusals: Refusals::new(),
            tarpit: Tarpit::new(),
            challenge,
        };
        let settings = settings(config);
        let front = Front(Arc::new(parts));
        Ok(Self { front, listener, tls, settings, first_keys, readiness, limiter, background, streams, ledger, store })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// The administrator keys that this start made: on the very first start only.
    pub fn first_keys(&self) -> &[AdministratorKey] {
        &self.first_keys
    }

    /// Serves until `stop` resolves, then drains.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> DrainReport {
        let Self {
            front,
            listener,
            tls,
            settings,
            readiness,
            limiter,
            background,
            mut streams,
            ledger,
            store,
            first_keys: _,
        } = self;
        let stop = async move {
            stop.await;
            tracing::info!("told to stop; finishing what is under way");
            readiness.stop();
            // Streams have no end of their own.
            streams.abort_all();
        };
        let report = net::serve(listener, front, settings, tls, stop).await;
        limits::settle(&limiter).await;
        ledger.finish(&store).await;
        drop(background);
        report
    }

    /// What the person who started the server reads on standard output.
    fn greeting(&self, config: &Config) -> String {
        let scheme = scheme(&self.tls);
        let mut text = String::new();
        for AdministratorKey { key, secret } in &self.first_keys {
            text += &format!("administrator key ({}): {}\n", key.environment, secret.expose());
        }
        if !self.first_keys.is_empty() {
            text += "Keep these keys: they are shown only now.\n\n";
        }
        let address = self.address();
        text += &format!("gatepost {} serves gRPC, gRPC-Web and HTTP/JSON\n", env!("CARGO_PKG_VERSION"));
        text += &format!("  address   {scheme}://{address}\n");
        text += &format!("  openapi   {scheme}://{address}/openapi.json\n");
        text += &format!("  data      {}", config.data_dir.display());
        text
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Front(..)")
    }
}

fn scheme(tls: &Option<Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

fn settings(config: &Config) -> net::Settings {
    net::Settings {
        max_connections: config.limits.max_connections,
        max_concurrent_streams: config.limits.max_concurrent_streams,
        max_header_bytes: u32::try_from(config.limits.max_header).unwrap_or(u32::MAX),
        drain: config.limits.drain_timeout,
        coalesce_writes: config.coalesce_writes,
        inline_streams: config.inline_streams,
        ..net::Settings::default()
    }
}
