//! Projects.

use super::Store;
use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::id::ProjectId;
use crate::domain::project::Project;
use crate::domain::secret::SecretPrefix;

impl Store {
    /// The project of this name.
    pub async fn find_project(&self, id: &ProjectId) -> Result<Option<Project>> {
        let row = self.db.fetch_optional(FIND, values![id.as_str()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// Makes the project if there is none of this name; whether it was made.
    pub async fn ensure_project(&self, id: &ProjectId, now: Timestamp) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let made = insert(&mut tx, id, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Chooses what the project's secret keys begin with from now on. A project that is not there is a version conflict.
    pub async fn set_secret_prefix(&self, id: &ProjectId, prefix: &SecretPrefix, event: &AuditEvent) -> Result<()> {
        let mut tx = self.db.begin().await?;
        if tx.execute(SET_PREFIX, values![id.as_str(), prefix.as_str()]).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Makes the project if there is none of this name; whether it was made.
pub(super) async fn insert(tx: &mut Tx, id: &ProjectId, now: Timestamp) -> Result<bool> {
    Ok(tx.execute(INSERT, values![id.as_str(), SecretPrefix::SECRET, now]).await? > 0)
}

fn read(row: &Row) -> Result<Project> {
    let prefix = SecretPrefix::parse_own(row.str("secret_prefix")?);
    Ok(Project {
        id: ProjectId::stored(row.text("id")?),
        secret_prefix: prefix.ok_or_else(|| damaged("projects.secret_prefix"))?,
        created_at: row.time("created_at")?,
    })
}

const FIND: &str = "SELECT id, secret_prefix, created_at FROM projects WHERE id = $1";
const INSERT: &str =
    "INSERT INTO projects (id, secret_prefix, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
const SET_PREFIX: &str = "UPDATE projects SET secret_prefix = $2 WHERE id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] =
    &[(FIND, "sqlite_autoindex_projects_1"), (SET_PREFIX, "sqlite_autoindex_projects_1")];
