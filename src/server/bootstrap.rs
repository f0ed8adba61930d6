//! What happens before a server can serve: the data directory, the master key, the store, and on the first start the first
//! administrator keys.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::World;
use crate::domain::administrator::AdministratorKey;
use crate::domain::audit::AuditEvent;
use crate::domain::environment::Environment;
use crate::domain::error::Result;
use crate::domain::id::{AuditEventId, ProjectId};
use crate::domain::key::Key;
use crate::domain::project::{Project, ProjectDetails};
use crate::domain::sealing::Keyring;
use crate::store::Store;

/// Makes the data directory, for its owner only, if it is not there.
pub(super) fn make_data_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the first project and its administrator keys, if there is no project yet.
pub(super) async fn first_start(store: &Store, keyring: &Keyring, world: &World) -> Result<Vec<AdministratorKey>> {
    let id = ProjectId::default_project();
    if store.find_project(&id).await?.is_some() {
        // Of a database from before the audit log was a chain.
        for project in store.list_projects_without_audit_log().await? {
            store.record(&command_line_event(world, &project, "project.audit_begun", project.as_str())).await?;
        }
        return Ok(Vec::new());
    }
    let project = Project::new(id, ProjectDetails::default(), world.clock.now());
    let keys = [Environment::Live, Environment::Test]
        .map(|environment| AdministratorKey::of(&project, environment, &*world.clock, &*world.entropy));
    let stored: Vec<_> = keys.iter().map(|new| (new.key.clone(), new.hash(keyring))).collect();
    // Of several nodes that start at once, one makes the project, and only its keys exist.
    let mut events = vec![command_line_event(world, &project.id, "project.created", project.id.as_str())];
    events.extend(keys.iter().map(|new| made_event(world, new)));
    let made = store.found_project(&project, &stored, &events).await?;
    Ok(if made { keys.into() } else { Vec::new() })
}

/// The entry of the audit log about a key that the command line made.
pub(super) fn made_event(world: &World, new: &AdministratorKey) -> AuditEvent {
    key_event(world, &new.key, "key.created").changing_key(None, &new.key)
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
        token: None,
        action: action.to_owned(),
        target: target.to_owned(),
        request_id: None,
        client_ip: None,
        occurred_at: now,
        before: None,
        after: None,
    }
}
