//! The scopes that projects registered. Built-in ones are not stored: the service adds them.

use super::db::{Row, Tx, values};
use super::error::{Conflict, Result, StoreError};
use super::pages::{self, Statements};
use super::{Store, changes};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::id::ProjectId;
use crate::domain::key::Key;
use crate::domain::oauth::client::Client;
use crate::domain::page::{Page, PageRequest};
use crate::domain::project::Project;
use crate::domain::scope::Scope;
use crate::domain::user::User;

/// A registered scope.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredScope {
    /// The project it belongs to.
    pub project: ProjectId,
    /// The scope, in the spelling it was registered in.
    pub scope: Scope,
    /// What it allows, in words.
    pub description: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// What came of removing a scope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ScopeDeleted {
    /// It was removed.
    Deleted,
    /// It was not, because so many unrevoked keys, clients and users hold it; at most [`HOLDERS_COUNTED`], which means "so many or more".
    Held(u64),
    /// There was none.
    Missing,
}

impl Store {
    /// Registers a scope.
    ///
    /// # Errors
    /// [`Conflict::Exists`] where one of the same plain form is registered.
    pub async fn create_scope(&self, scope: &StoredScope, event: &AuditEvent) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let (plain, spelling) = (scope.scope.plain(), scope.scope.spelling());
        let values = values![scope.project.as_str(), plain, spelling, &scope.description, scope.created_at];
        tx.execute(INSERT, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The scope of this plain form.
    pub async fn find_scope(&self, project: &ProjectId, plain: &str) -> Result<Option<StoredScope>> {
        let row = self.db.fetch_optional(FIND, values![project.as_str(), plain]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The scopes of a project by plain form. A page comes after the plain form of the last scope of the one before.
    pub async fn list_scopes(&self, project: &ProjectId, request: &PageRequest) -> Result<Page<StoredScope>> {
        let after = pages::after(request).unwrap_or_default();
        let statements = Statements { page: LIST, count: COUNT };
        self.page(statements, values![project.as_str()], after.into(), request, read).await
    }

    /// Changes what a scope's description says; whether there is such a scope.
    pub async fn update_scope(
        &self,
        project: &ProjectId,
        plain: &str,
        description: &str,
        event: &AuditEvent,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        if tx.execute(UPDATE, values![project.as_str(), plain, description]).await? == 0 {
            return Ok(false);
        }
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes a scope, unless an unrevoked key, a client or a user holds it, or users who add themselves or clients that register themselves are
    /// to get it.
    pub async fn delete_scope(&self, project: &ProjectId, plain: &str, event: &AuditEvent) -> Result<ScopeDeleted> {
        let mut tx = self.db.begin().await?;
        // Its row comes first, then the audit log, then the counter, as everywhere; if keys hold it, all that is undone.
        if tx.execute(DELETE, values![project.as_str(), plain]).await? == 0 {
            return Ok(ScopeDeleted::Missing);
        }
        self.record_in(&mut tx, event).await?;
        // Whoever grants a scope takes the counter before it looks the scope up, and so must whoever takes one away:
        // then one of the two sees what the other did.
        changes::take(&mut tx, 0).await?;
        let held =
            tx.fetch_one(COUNT_HOLDERS, values![project.as_str(), plain, HOLDERS_COUNTED]).await?.int("total")?;
        if let Ok(held @ 1..) = u64::try_from(held) {
            return Ok(ScopeDeleted::Held(held));
        }
        tx.commit().await?;
        Ok(ScopeDeleted::Deleted)
    }
}

/// Fails if a key that was just stored holds a scope that is neither registered nor built in. Comes after the revision was
/// taken; see [`Store::delete_scope`].
pub(super) async fn require_registered(tx: &mut Tx, key: &Key) -> Result<()> {
    if key.details.scopes.iter().all(Scope::is_built_in) {
        return Ok(());
    }
    refuse_unregistered(tx.fetch_all(UNREGISTERED, values![key.id.as_str()]).await?)
}

/// Fails if a user who was just stored holds a scope that is neither registered nor built in; takes the revision first.
pub(super) async fn require_registered_of_user(tx: &mut Tx, user: &User) -> Result<()> {
    if user.details.scopes.iter().all(Scope::is_built_in) {
        return Ok(());
    }
    changes::take(tx, 0).await?;
    refuse_unregistered(tx.fetch_all(UNREGISTERED_OF_USER, values![user.id.as_str()]).await?)
}

/// The same for the scopes that users of a project get who add themselves, and clients that register themselves.
pub(super) async fn require_registered_of_project(tx: &mut Tx, project: &Project) -> Result<()> {
    let details = &project.details;
    if details.user_scopes.iter().chain(&details.registration_scopes).all(Scope::is_built_in) {
        return Ok(());
    }
    changes::take(tx, 0).await?;
    refuse_unregistered(tx.fetch_all(UNREGISTERED_OF_PROJECT, values![project.id.as_str()]).await?)?;
    refuse_unregistered(tx.fetch_all(UNREGISTERED_FOR_CLIENTS, values![project.id.as_str()]).await?)
}

/// The same for a client that was just stored, whose change took the revision.
pub(super) async fn require_registered_of_client(tx: &mut Tx, client: &Client) -> Result<()> {
    if client.details.scopes.registered.iter().all(Scope::is_built_in) {
        return Ok(());
    }
    refuse_unregistered(tx.fetch_all(UNREGISTERED_OF_CLIENT, values![client.id.as_str()]).await?)
}

fn refuse_unregistered(held: Vec<Row>) -> Result<()> {
    for row in held {
        if !Scope::stored(row.str("plain")?, row.str("plain")?).is_built_in() {
            return Err(StoreError::Conflict(Conflict::UnknownScope));
        }
    }
    Ok(())
}

fn read(row: &Row) -> Result<StoredScope> {
    Ok(StoredScope {
        project: ProjectId::stored(row.text("project")?),
        scope: Scope::stored(row.str("plain")?, row.str("spelling")?),
        description: row.text("description")?,
        created_at: row.time("created_at")?,
    })
}

/// Holders of a scope are counted up to here.
pub const HOLDERS_COUNTED: i64 = 1_000;

pub(super) const COUNT_HOLDERS: &str = "SELECT COUNT(*) AS total FROM
    (SELECT 1 AS held FROM key_scopes c JOIN keys k ON k.id = c.key_id
        WHERE c.project = $1 AND c.plain = $2 AND k.revoked_at IS NULL
    UNION ALL SELECT 1 AS held FROM client_scopes c WHERE c.project = $1 AND c.plain = $2
    UNION ALL SELECT 1 AS held FROM user_scopes c WHERE c.project = $1 AND c.plain = $2
    UNION ALL SELECT 1 AS held FROM registration_scopes c WHERE c.project = $1 AND c.plain = $2
    UNION ALL SELECT 1 AS held FROM sign_up_scopes c WHERE c.project = $1 AND c.plain = $2 LIMIT $3) holders";
const INSERT: &str =
    "INSERT INTO scopes (project, plain, spelling, description, created_at) VALUES ($1, $2, $3, $4, $5)";
const FIND: &str = "SELECT project, plain, spelling, description, created_at FROM scopes
    WHERE project = $1 AND plain = $2";
const COUNT: &str = "SELECT COUNT(*) AS total FROM scopes WHERE project = $1";
const LIST: &str = "SELECT project, plain, spelling, description, created_at FROM scopes
    WHERE project = $1 AND plain > $2 ORDER BY plain LIMIT $3 OFFSET $4";
const UPDATE: &str = "UPDATE scopes SET description = $3 WHERE project = $1 AND plain = $2";
const DELETE: &str = "DELETE FROM scopes WHERE project = $1 AND plain = $2";
const UNREGISTERED: &str = "SELECT c.plain FROM key_scopes c
    WHERE c.key_id = $1 AND NOT EXISTS (SELECT 1 FROM scopes s WHERE s.project = c.project AND s.plain = c.plain)";
const UNREGISTERED_OF_CLIENT: &str = "SELECT c.plain FROM client_scopes c
    WHERE c.client_id = $1 AND NOT EXISTS (SELECT 1 FROM scopes s WHERE s.project = c.project AND s.plain = c.plain)";
const UNREGISTERED_OF_USER: &str = "SELECT c.plain FROM user_scopes c
    WHERE c.user_id = $1 AND NOT EXISTS (SELECT 1 FROM scopes s WHERE s.project = c.project AND s.plain = c.plain)";
const UNREGISTERED_OF_PROJECT: &str = "SELECT c.plain FROM sign_up_scopes c
    WHERE c.project = $1 AND NOT EXISTS (SELECT 1 FROM scopes s WHERE s.project = c.project AND s.plain = c.plain)";
const UNREGISTERED_FOR_CLIENTS: &str = "SELECT c.plain FROM registration_scopes c
    WHERE c.project = $1 AND NOT EXISTS (SELECT 1 FROM scopes s WHERE s.project = c.project AND s.plain = c.plain)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (COUNT_HOLDERS, "key_scopes_by_scope"),
    (FIND, "PRIMARY KEY"),
    (COUNT, "PRIMARY KEY"),
    (LIST, "PRIMARY KEY"),
    (UPDATE, "PRIMARY KEY"),
    (DELETE, "PRIMARY KEY"),
    (UNREGISTERED, "PRIMARY KEY"),
    (UNREGISTERED_OF_CLIENT, "PRIMARY KEY"),
    (UNREGISTERED_OF_USER, "PRIMARY KEY"),
    (UNREGISTERED_OF_PROJECT, "PRIMARY KEY"),
    (UNREGISTERED_FOR_CLIENTS, "PRIMARY KEY"),
];
