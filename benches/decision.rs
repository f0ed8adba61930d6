//! One cached decision in process: what the guard costs a request, and what a question to Verify costs.
//!
//! `cargo bench --bench decision`. The store is asked once, before the measurement.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use gatepost::auth::alarm::Alarm;
use gatepost::auth::cache::CredentialCache;
use gatepost::auth::credential::KeyHeaders;
use gatepost::auth::dpop::{Addresses, Possession};
use gatepost::auth::guard::{Call, Guard};
use gatepost::auth::limit::Limiter;
use gatepost::auth::lookup::Credentials;
use gatepost::auth::policy::Policies;
use gatepost::auth::signing::Signing;
use gatepost::auth::strangers::Strangers;
use gatepost::auth::usage::Ledger;
use gatepost::domain::change::Revision;
use gatepost::domain::clock::{Clock, SystemClock};
use gatepost::domain::dialect::Dialect;
use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::ProjectId;
use gatepost::domain::sealing::MasterKey;
use gatepost::domain::secret::SecretPrefix;
use gatepost::proto::{MethodId, descriptor_pool};
use gatepost::server::AdministratorKey;
use gatepost::store::{Store, StoreOptions};
use http::{HeaderMap, HeaderValue, Method, Uri};

fn decision(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let keyring = Arc::new(MasterKey::generate(&SystemEntropy).derive());
    let project = ProjectId::default_project();
    let prefix = SecretPrefix::fixed(SecretPrefix::SECRET);
    let new = AdministratorKey::new(&project, &prefix, Environment::Live, &SystemClock, &SystemEntropy);

    let store = runtime.block_on(async {
        let store = Store::open(&StoreOptions::file(directory.path().join("bench.db"))).await.expect("a store");
        store.ensure_project(&project, SystemClock.now()).await.expect("a project");
        store.import_keys(&[(new.key.clone(), new.hash(&keyring))]).await.expect("a key");
        store
    });
    let cache = CredentialCache::new(1_000, Duration::from_secs(3600), Arc::new(SystemClock), &SystemEntropy);
    cache.confirm(Revision(1), Instant::now());
    let strangers = Strangers::new(Arc::new(SystemClock));
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let month = Duration::from_secs(30 * 24 * 3600);
    let issuer = "https://gatepost.example";
    let signing = Signing::open(store.clone(), Arc::clone(&keyring), clock, entropy, issuer, month);
    let signing = Arc::new(runtime.block_on(signing).expect("signing keys"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let addresses = Addresses::only(issuer);
    let possession = Possession::new(addresses, Arc::clone(&keyring), false, Arc::clone(&clock), &SystemEntropy);
    let limiter = runtime
        .block_on(Limiter::open(store.clone(), None, Duration::from_millis(500), Arc::clone(&clock)))
        .expect("a limiter");
    let credentials = Arc::new(Credentials::new(store, cache, keyring, signing, strangers, Arc::new(SystemEntropy)));
    let policies = Policies::from_descriptors(descriptor_pool()).expect("policies");
    let (possession, limiter) = (Arc::new(possession), Arc::new(limiter));
    let guard = |counts: bool| {
        let (policies, credentials, possession) = (policies.clone(), Arc::clone(&credentials), Arc::clone(&possession));
        let alarm = Arc::new(Alarm::new(Arc::clone(&clock), Arc::new(SystemEntropy)));
        let (limiter, ledger) = (Arc::clone(&limiter), Arc::new(Ledger::new(counts, alarm)));
        Guard::new(policies, KeyHeaders::new([]), credentials, possession, limiter, ledger, Arc::clone(&clock))
    };
    let (guard, uncounted) = (guard(true), guard(false));

    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", new.secret.expose());
    headers.insert("authorization", HeaderValue::from_str(&bearer).expect("visible ASCII"));
    headers.insert("user-agent", HeaderValue::from_static("grpc-go/1.80.0"));
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let request_id: Arc<str> = "req_bench".into();
    let method = MethodId::find("/gatepost.v1.Auth/Verify").expect("an RPC of ours");
    let uri = Uri::from_static("/gatepost.v1.Auth/Verify");
    let standing = OnceLock::new();
    let call = Call {
        method,
        dialect: Dialect::Standard,
        http_method: &Method::POST,
        uri: &uri,
        headers: &headers,
        client: Some(address),
        address,
        request_id: &request_id,
        standing: &standing,
    };
    runtime.block_on(guard.admit(call)).expect("admitted").expect("a caller");

    criterion.bench_function("guard, cached", |bencher| {
        bencher.iter(|| guard.admit(call).now_or_never().expect("cached").expect("admitted"));
    });
    // What usage and the access log cost is the difference.
    criterion.bench_function("guard, cached, uncounted", |bencher| {
        bencher.iter(|| uncounted.admit(call).now_or_never().expect("cached").expect("admitted"));
    });
    criterion.bench_function("look-up, cached", |bencher| {
        bencher.iter(|| credentials.find(new.secret.expose()).now_or_never().expect("cached").expect("found"));
    });
}

criterion_group!(benches, decision);
criterion_main!(benches);
