//! Fills a data directory with keys, as `benches/million` wants them.
//!
//! `seed DIRECTORY KEYS SAMPLE` makes `DIRECTORY/data`, which `gatepost serve` takes for its own, and `DIRECTORY/secrets`:
//! one secret a line, the first that of an administrator key, the others those of `SAMPLE` of the `KEYS` keys, in no order
//! that the database knows. The installation looks as it does after a quiet week: the keys were made over two years, the
//! change log is empty, and what was sampled is not among the keys that a start loads by itself.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use gatepost::config::{Config, Flags};
use gatepost::domain::clock::{Clock, SystemClock, Timestamp};
use gatepost::domain::entropy::SystemEntropy;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{KeyId, ProjectId};
use gatepost::domain::key::{Key, KeyDetails, KeyKind};
use gatepost::domain::project::{Project, ProjectDetails};
use gatepost::domain::scope::{Scope, ScopeSet};
use gatepost::domain::sealing::Keyring;
use gatepost::domain::secret::{PlainSecret, SecretHash, SecretPrefix};
use gatepost::server::{AdministratorKey, World, open};
use gatepost::store::Store;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, keys, sample] = arguments.as_slice() else {
        return Err("usage: seed DIRECTORY KEYS SAMPLE".into());
    };
    let (directory, keys, sample) = (Path::new(directory), keys.parse()?, sample.parse()?);
    tokio::runtime::Runtime::new()?.block_on(seed(directory, keys, sample))
}

async fn seed(directory: &Path, keys: usize, sample: usize) -> Result<(), Box<dyn Error>> {
    let given = vec![("data_dir", directory.join("data").display().to_string())];
    let config = Config::load(&Flags { config: None, given }, &|_| None)?.config;
    let (store, keyring) = open(&config, &World::real()).await?;

    let now = SystemClock.now();
    let first = now.minus(BEGAN);
    let administrator = found(&store, &keyring, first).await?;
    let mut sampled = Vec::with_capacity(sample);
    // The last tenth was changed last, and a start loads what was changed last.
    let stride = (keys - keys / 10).checked_div(sample).unwrap_or_default().max(1);
    for from in (0..keys).step_by(BATCH) {
        let mut batch = Vec::with_capacity(BATCH);
        for number in from..keys.min(from + BATCH) {
            let (key, secret) = make(number, first.plus(AGED * u32::try_from(number)? / u32::try_from(keys)?));
            batch.push((key, keyring.hash(secret.expose())));
            if number % stride == 0 && sampled.len() < sample {
                sampled.push(secret);
            }
        }
        store.import_keys(&batch).await?;
        eprintln!("{} of {keys} keys", from + batch.len());
    }
    while store.prune_changes(now, PRUNED).await? > 0 {}
    store.close().await;

    // Neighbours in time lie on one page of the keys, and neighbours by hash on one page of their hashes. By their text they
    // lie on none.
    sampled.sort_by(|one, other| one.expose().cmp(other.expose()));
    sampled.insert(0, administrator);
    write(&directory.join("secrets"), &sampled)?;
    Ok(())
}

/// Makes the project with an administrator key, whose secret it gives.
async fn found(store: &Store, keyring: &Keyring, now: Timestamp) -> Result<PlainSecret, Box<dyn Error>> {
    let project = Project::new(ProjectId::default_project(), ProjectDetails::default(), now);
    let new = AdministratorKey::of(&project, Environment::Live, &SystemClock, &SystemEntropy);
    let stored: [(Key, SecretHash); 1] = [(new.key.clone(), new.hash(keyring))];
    if !store.found_project(&project, &stored, &[]).await? {
        return Err("there are keys already; take an empty directory".into());
    }
    Ok(new.secret)
}

/// A key as a service has it: the same kind, owner, scope and metadata as the one that `benches/load` asks about.
fn make(number: usize, now: Timestamp) -> (Key, PlainSecret) {
    let secret = PlainSecret::generate(&SecretPrefix::fixed(SecretPrefix::SECRET), Environment::Live, &SystemEntropy);
    let key = Key {
        id: KeyId::new(now, &SystemEntropy),
        project: ProjectId::default_project(),
        environment: Environment::Live,
        kind: KeyKind::Secret,
        user: None,
        details: KeyDetails {
            name: format!("Orders service {number}"),
            owner: Some(format!("team-{}", number % TEAMS)),
            scopes: ScopeSet::new(Scope::parse("read:products")),
            metadata: BTreeMap::from([("plan".to_owned(), "pro".to_owned())]).into(),
            ..KeyDetails::default()
        },
        recoverable: false,
        hint: secret.hint().into(),
        rotation: None,
        created_by: None,
        created_at: now,
        updated_at: now,
        suspended_at: None,
        revoked_at: None,
        version: 1,
    };
    (key, secret)
}

/// Written last and whole: the harness takes the file for a sign that the directory is good.
fn write(path: &Path, secrets: &[PlainSecret]) -> Result<(), Box<dyn Error>> {
    let draft = path.with_extension("draft");
    let mut file = BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?);
    for secret in secrets {
        writeln!(file, "{}", secret.expose())?;
    }
    file.into_inner()?.sync_all()?;
    std::fs::rename(draft, path)?;
    Ok(())
}

/// The first key was made so long ago, and the last so much later: two years, and a month without new keys.
const BEGAN: Duration = Duration::from_secs(760 * 24 * 60 * 60);
const AGED: Duration = Duration::from_secs(730 * 24 * 60 * 60);
/// Keys in one transaction.
const BATCH: usize = 50_000;
/// Changes forgotten in one transaction, which has the time of one operation.
const PRUNED: u32 = 10_000;
const TEAMS: usize = 1_000;
