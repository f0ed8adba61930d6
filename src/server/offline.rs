//! What the person at the server's machine does to its data, whether a server runs on it or not. There is no caller: whoever
//! can read the master key and the database needs nobody's leave. Running servers learn of it through the change log.

use std::time::Duration;

use serde_json::json;
use thiserror::Error;
use tokio::time::sleep;

use super::bootstrap::{command_line_event, key_event, made_event};
use super::{AdministratorKey, StartError, World, open};
use crate::config::{Config, Database, MasterKeySource};
use crate::domain::audit::{AuditEvent, fields};
use crate::domain::change::ChangeKind;
use crate::domain::environment::Environment;
use crate::domain::error::Error as DomainError;
use crate::domain::id::{KeyId, ProjectId};
use crate::domain::key::{Key, KeyKind};
use crate::domain::page::PageRequest;
use crate::domain::project::Project;
use crate::domain::scope::Scope;
use crate::domain::sealing::{Keyring, MasterKey};
use crate::domain::secret::SecretPrefix;
use crate::domain::signing_key::{SHORTEST_NOTICE, SigningAlgorithm, SigningKey};
use crate::store::{AuditCheck, KeyFilter, MasterKeyError, Resealed, Standing, Store, StoreError};

/// An installation's data, opened.
#[derive(Debug)]
pub struct Offline {
    store: Store,
    keyring: Keyring,
    world: World,
    master_key: MasterKeySource,
    /// Whether no other machine has a node on this data.
    alone: bool,
}

/// How far the replacement of the master key came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MasterKeyStep {
    /// The new one holds the keys of the data, and so does the old one.
    Begun,
    /// The old one is of no use any more.
    Finished(Resealed),
}

/// Why the data cannot be worked on.
#[derive(Debug, Error)]
pub enum OfflineError {
    /// There is no data yet.
    #[error("there is no gatepost data in {0}; name its place with --data-dir or --database-url")]
    NoData(String),
    /// There is no such project.
    #[error("there is no project {0:?}")]
    NoProject(String),
    /// The data cannot be opened.
    #[error(transparent)]
    Open(#[from] StartError),
    /// The master key cannot be replaced.
    #[error("{0}")]
    MasterKey(#[from] MasterKeyError),
    /// A new master key was not given.
    #[error(
        "the environment gives the master key, so it has to give the new one too: put 32 bytes in base64 into \
         {NEW_MASTER_KEY} (`openssl rand -base64 32`)"
    )]
    NoNewMasterKey,
    /// The data cannot be read or changed.
    #[error("{0}")]
    Store(DomainError),
}

impl From<StoreError> for OfflineError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl Offline {
    /// Opens the data of an installation that was started before. Never makes a new one: in the wrong directory that would
    /// look like success.
    pub async fn open(config: &Config, world: World) -> Result<Self, OfflineError> {
        if let Database::Sqlite(path) = &config.database
            && !path.exists()
        {
            return Err(OfflineError::NoData(path.display().to_string()));
        }
        if config.master_key.load().map_err(StartError::from)?.is_none() {
            return Err(OfflineError::NoData(config.data_dir.display().to_string()));
        }
        let (store, keyring) = open(config, &world).await?;
        let alone = matches!(config.database, Database::Sqlite(_));
        Ok(Self { store, keyring, world, master_key: config.master_key.clone(), alone })
    }

    /// The project of this name.
    pub async fn project(&self, id: &ProjectId) -> Result<Project, OfflineError> {
        self.store.find_project(id).await?.ok_or_else(|| OfflineError::NoProject(id.to_string()))
    }

    /// Chooses what the project's secret keys begin with from now on. Keys that exist keep theirs.
    pub async fn set_secret_prefix(&self, id: &ProjectId, prefix: &SecretPrefix) -> Result<Project, OfflineError> {
        let mut project = self.project(id).await?;
        let (version, mut details) = (project.version, project.details.clone());
        let [before, after] =
            [&details.secret_prefix, prefix].map(|prefix| fields([("keyPrefix", json!(prefix.as_str()))]));
        let event =
            command_line_event(&self.world, id, "project.updated", id.as_str()).changing(Some(before), Some(after));
        details.secret_prefix = prefix.clone();
        project.update(details, self.world.clock.now());
        self.store.update_project(&project, version, &event).await?;
        Ok(project)
    }

    /// Makes an administrator key.
    pub async fn make_administrator(
        &self,
        project: &Project,
        environment: Environment,
    ) -> Result<AdministratorKey, OfflineError> {
        let World { clock, entropy, .. } = &self.world;
        let new = AdministratorKey::of(project, environment, &**clock, &**entropy);
        let event = made_event(&self.world, &new);
        self.store.create_key(&new.key, &new.hash(&self.keyring), None, None, &event).await?;
        Ok(new)
    }

    /// Revokes every key of the environment that holds `admin`, except this one; the keys that were revoked.
    pub async fn revoke_other_administrators(&self, kept: &Key) -> Result<Vec<KeyId>, OfflineError> {
        let mut revoked = Vec::new();
        let filter = KeyFilter { kind: Some(KeyKind::Secret), ..KeyFilter::default() };
        let mut after = None;
        loop {
            let request = PageRequest::After { limit: PageRequest::MAX_LIMIT, after };
            let page = self.store.list_keys(&kept.project, kept.environment, &filter, &request).await?;
            after = page.items.last().map(|key| key.id.to_string());
            for key in page.items.into_iter().filter(|key| key.id != kept.id && is_administrator(key)) {
                revoked.extend(self.revoke(key).await?);
            }
            if !page.has_more {
                return Ok(revoked);
            }
        }
    }

    /// Closes the data.
    pub async fn close(self) {
        self.store.close().await;
    }

    async fn revoke(&self, mut key: Key) -> Result<Option<KeyId>, OfflineError> {
        let (version, before) = (key.version, key.clone());
        if !key.revoke(self.world.clock.now()) {
            return Ok(None);
        }
        let event = key_event(&self.world, &key, "key.revoked").changing_key(Some(&before), &key);
        self.store.update_key(&key, version, ChangeKind::Revoked, &event).await?;
        Ok(Some(key.id))
    }

    /// Makes the next signing keys, one for each algorithm in use, published ahead of their first signatures. `at_once` they
    /// sign now, and whatever the keys before them signed is refused from now on.
    pub async fn rotate_signing_keys(&self, at_once: bool) -> Result<Vec<SigningKey>, OfflineError> {
        let there = self.store.list_signing_keys(self.world.clock.now()).await?;
        let mut made = Vec::new();
        for algorithm in SigningAlgorithm::ALL {
            if algorithm == SigningAlgorithm::EdDsa || there.iter().any(|key| key.algorithm == algorithm) {
                made.push(self.rotate_signing_key(algorithm, at_once).await?);
            }
        }
        Ok(made)
    }

    async fn rotate_signing_key(&self, algorithm: SigningAlgorithm, at_once: bool) -> Result<SigningKey, OfflineError> {
        let World { clock, entropy, .. } = &self.world;
        let project = ProjectId::default_project();
        loop {
            let now = clock.now();
            let keys = self.store.list_signing_keys(now).await?;
            let seq = keys.last().map_or(1, |youngest| youngest.seq + 1);
            let from = if at_once { now } else { now.plus(SHORTEST_NOTICE) };
            let next = SigningKey::new(algorithm, seq, now, from, &self.keyring, &**entropy);
            let retirement = if at_once { next.immediate_retirement() } else { next.orderly_retirement() };
            let told = fields([("algorithm", json!(algorithm.as_str())), ("at_once", json!(at_once))]);
            let event = command_line_event(&self.world, &project, "signing_key.rotated", &next.kid);
            // A node that made the next key at this moment was first: this one comes after it.
            if self.store.add_signing_key(&next, retirement, Some(&event.changing(None, Some(told)))).await? {
                return Ok(next);
            }
        }
    }

    /// Replaces the master key: by one that is made here, where it lies in a file, otherwise by `given`. Repeated after an
    /// interruption it goes on from there. Where a file on this machine is all there is, it is finished too.
    pub async fn rotate_master_key(&self, given: Option<MasterKey>) -> Result<MasterKeyStep, OfflineError> {
        if self.store.refresh_keyring(&self.keyring).await? != Standing::Current
            || !self.store.has_two_master_keys().await?
        {
            let made = self.master_key.load_or_create_next(&*self.world.entropy).map_err(StartError::from)?;
            let from_file = made.is_some();
            let new = made.or(given).ok_or(OfflineError::NoNewMasterKey)?;
            let event = self.installation_event("master_key.rotated");
            self.store.add_master_key(&self.keyring, &new, self.world.clock.now(), &event).await?;
            if from_file {
                self.master_key.take_next().map_err(StartError::from)?;
                self.store.adopt_master_key(&self.keyring, new).await?;
            }
        }
        if !self.alone || matches!(self.master_key, MasterKeySource::Given(_)) {
            return Ok(MasterKeyStep::Begun);
        }
        // A server that runs here takes the new file meanwhile.
        sleep(NOTICE).await;
        self.finish_master_key().await
    }

    /// Ends the old master key, with the new one in hand: seals all that is sealed anew.
    pub async fn finish_master_key(&self) -> Result<MasterKeyStep, OfflineError> {
        let event = self.installation_event("master_key.finished");
        if self.store.retire_master_keys(&self.keyring, &*self.world.entropy, &event).await? {
            // Running servers begin to seal with the new key meanwhile.
            sleep(NOTICE).await;
        }
        let mut all = Resealed::default();
        loop {
            let done = self.store.reseal(&self.keyring).await?;
            all = Resealed { anew: all.anew + done.anew, unreadable: done.unreadable };
            if done.anew == 0 {
                return Ok(MasterKeyStep::Finished(all));
            }
        }
    }

    /// The entry of the audit log about what belongs to no project: it is in that of the first.
    fn installation_event(&self, action: &str) -> AuditEvent {
        command_line_event(&self.world, &ProjectId::default_project(), action, "installation")
    }

    /// Checks the audit log of every project; what came of each.
    pub async fn check_audit_logs(&self) -> Result<Vec<AuditCheck>, OfflineError> {
        let mut checks = Vec::new();
        for project in self.store.list_audited_projects().await? {
            checks.push(self.store.check_audit_log(&project, AUDIT_BATCH).await?);
        }
        Ok(checks)
    }
}

fn is_administrator(key: &Key) -> bool {
    key.details.scopes.iter().any(Scope::is_admin)
}

/// The variable of a new master key.
pub const NEW_MASTER_KEY: &str = "GATEPOST_NEW_MASTER_KEY";

/// Running servers look every second.
const NOTICE: Duration = Duration::from_secs(3);

/// Entries of the audit log that are read at once.
const AUDIT_BATCH: u32 = 1_000;
