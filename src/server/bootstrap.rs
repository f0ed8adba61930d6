//! What happens before a server can serve: the data directory, the master key, the store, and on the first start the first
//! administrator keys.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::World;
use crate::domain::administrator::AdministratorKey;
use crate::domain::environment::Environment;
use crate::domain::error::Result;
use crate::domain::id::ProjectId;
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
        return Ok(Vec::new());
    }
    let project = Project::new(id, ProjectDetails::default(), world.clock.now());
    let keys = [Environment::Live, Environment::Test]
        .map(|environment| AdministratorKey::of(&project, environment, &*world.clock, &*world.entropy));
    let stored: Vec<_> = keys.iter().map(|new| (new.key.clone(), new.hash(keyring))).collect();
    // Of several nodes that start at once, one makes the project, and only its keys exist.
    let made = store.found_project(&project, &stored, None).await?;
    Ok(if made { keys.into() } else { Vec::new() })
}
