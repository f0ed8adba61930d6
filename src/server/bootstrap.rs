//! What happens before a server can serve: the data directory, the master key, the store, and on the first start the first
//! administrator keys.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::World;
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::domain::environment::Environment;
use crate::domain::error::Result;
use crate::domain::id::{AuditEventId, KeyId, ProjectId};
use crate::domain::key::{Key, KeyDetails, KeyKind};
use crate::domain::scope::ScopeSet;
use crate::domain::sealing::Keyring;
use crate::domain::secret::{PlainSecret, SecretHash, SecretPrefix};
use crate::store::Store;

/// Makes the data directory, for its owner only, if it is not there.
pub(super) fn make_data_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the first project and its administrator keys, if there is no project yet.
pub(super) async fn first_start(store: &Store, keyring: &Keyring, world: &World) -> Result<Vec<AdministratorKey>> {
    let project = ProjectId::default_project();
    if store.find_project(&project).await?.is_some() {
        // Of a database from before the audit log was a chain.
        for project in store.list_projects_without_audit_log().await? {
            store.record(&command_line_event(world, &project, "project.audit_begun", project.as_str())).await?;
        }
        return Ok(Vec::new());
    }
    let prefix = SecretPrefix::fixed(SecretPrefix::SECRET);
    let keys = [Environment::Live, Environment::Test]
        .map(|environment| AdministratorKey::new(&project, &prefix, environment, &*world.clock, &*world.entropy));
    let stored: Vec<_> = keys.iter().map(|new| (new.key.clone(), new.hash(keyring))).collect();
    // Of several nodes that start at once, one makes the project, and only its keys exist.
    let mut events = vec![command_line_event(world, &project, "project.created", project.as_str())];
    events.extend(keys.iter().map(|new| new.event(world)));
    let made = store.found_project(&project, world.clock.now(), &stored, &events).await?;
    Ok(if made { keys.into() } else { Vec::new() })
}

/// A key that may do everything in its project and environment, made by whoever runs the server.
#[derive(Debug)]
pub struct AdministratorKey {
    /// The key.
    pub key: Key,
    /// Its secret, to be shown once.
    pub secret: PlainSecret,
}

impl AdministratorKey {
    /// Makes one; it works once it is stored.
    pub fn new(
        project: &ProjectId,
        prefix: &SecretPrefix,
        environment: Environment,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Self {
        let now = clock.now();
        let secret = PlainSecret::generate(prefix, environment, entropy);
        let key = Key {
            id: KeyId::new(now, entropy),
            project: project.clone(),
            environment,
            kind: KeyKind::Secret,
            user: None,
            details: KeyDetails {
                name: format!("administrator ({environment})"),
                description: "Made on the command line of the server".to_owned(),
                scopes: ScopeSet::admin(),
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
        Self { key, secret }
    }

    /// The entry of the audit log about its making.
    pub(super) fn event(&self, world: &World) -> AuditEvent {
        key_event(world, &self.key, "key.created").changing_key(None, &self.key)
    }

    /// What the store looks it up by.
    pub fn hash(&self, keyring: &Keyring) -> SecretHash {
        keyring.hash(self.secret.expose())
    }
}

/// The entry of the audit log about what the command line does to a key.
pub(super) fn key_event(world: &World, key: &Key, action: &str) -> AuditEvent {
    let event = command_line_event(world, &key.project, action, key.id.as_str());
    AuditEvent { environment: Some(key.environment), ..event }
}

/// The entry of the audit log about what the command line does to a whole project.
pub(super) fn command_line_event(world: &World, project: &ProjectId, action: &str, target: &str) -> AuditEvent {
    let now = world.clock.now();
    AuditEvent {
        id: AuditEventId::new(now, &*world.entropy),
        project: project.clone(),
        environment: None,
        actor: None,
        action: action.to_owned(),
        target: target.to_owned(),
        request_id: None,
        client_ip: None,
        occurred_at: now,
        before: None,
        after: None,
    }
}
