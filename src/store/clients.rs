//! OAuth clients and their secrets.

use super::client_rows::{self, client_columns};
use super::db::{Row, Tx, damaged, values};
#[cfg(doc)]
use super::error::Conflict;
use super::error::Result;
use super::keys::PEPPER;
use super::oauth::registrations;
use super::pages::{self, Statements};
use super::{Store, changes, scopes};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::credential::SecretRole;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, CredentialId, ProjectId};
use crate::domain::oauth::client::Client;
use crate::domain::page::{Page, PageRequest};
use crate::domain::secret::SecretHash;

impl Store {
    /// Stores a new client, with the hash of its secret if it has one.
    ///
    /// # Errors
    /// [`Conflict::UnknownScope`] where a scope was removed from the registry in the meantime.
    pub async fn create_client(
        &self,
        client: &Client,
        hash: Option<&SecretHash>,
        event: &AuditEvent,
    ) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        let change = self.create_client_in(&mut tx, client, hash, event).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// The same as a part of something larger.
    pub(super) async fn create_client_in(
        &self,
        tx: &mut Tx,
        client: &Client,
        hash: Option<&SecretHash>,
        event: &AuditEvent,
    ) -> Result<Change> {
        client_rows::insert(tx, client).await?;
        if let Some(hash) = hash {
            tx.execute(INSERT_SECRET, values![hash.as_bytes(), client.id.as_str(), PEPPER]).await?;
        }
        client_rows::insert_lists(tx, client).await?;
        self.record_in(tx, event).await?;
        let change = tell(tx, client, ChangeKind::Created, hash.copied().into_iter().collect()).await?;
        scopes::require_registered_of_client(tx, client).await?;
        Ok(change)
    }

    /// The client of this id, unless it was deleted.
    pub async fn find_client(
        &self,
        project: &ProjectId,
        environment: Environment,
        id: &ClientId,
    ) -> Result<Option<Client>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(client_rows::read).transpose()
    }

    /// The client of this id wherever it belongs, unless it or its project was deleted: for who only says their `client_id`. One
    /// that is known by a document counts as long as its project takes such clients.
    pub async fn find_client_by_id(&self, id: &ClientId) -> Result<Option<Client>> {
        self.db.fetch_optional(FIND_ANYWHERE, values![id.as_str()]).await?.as_ref().map(client_rows::read).transpose()
    }

    /// The client of this id wherever it belongs, if a secret of this hash is one of its own, and the part that the secret
    /// plays; whether it still works is for [`Client::accepts`] to say. Not of a deleted client or project.
    pub async fn find_client_by_secret(
        &self,
        id: &ClientId,
        hash: &SecretHash,
    ) -> Result<Option<(Client, SecretRole)>> {
        let row = self.db.fetch_optional(FIND_BY_SECRET, values![hash.as_bytes(), id.as_str()]).await?;
        row.as_ref().map(|row| Ok((client_rows::read(row)?, role(row)?))).transpose()
    }

    /// The clients of a project and environment, newest first. A page comes after the id of the last client of the one
    /// before.
    pub async fn list_clients(
        &self,
        project: &ProjectId,
        environment: Environment,
        request: &PageRequest,
    ) -> Result<Page<Client>> {
        let statements = Statements { page: LIST, count: COUNT };
        let after = pages::after(request).unwrap_or(AFTER_ALL);
        let filter = values![project.as_str(), environment.as_str()];
        self.page(statements, filter, after.into(), request, client_rows::read).await
    }

    /// Stores a client whose details were changed, if it still has the version expected and was not deleted.
    ///
    /// # Errors
    /// [`Conflict::Version`], [`Conflict::UnknownScope`].
    pub async fn update_client(&self, client: &Client, expected_version: i64, event: &AuditEvent) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        client_rows::update(&mut tx, client, expected_version).await?;
        client_rows::delete_lists(&mut tx, &client.id).await?;
        client_rows::insert_lists(&mut tx, client).await?;
        let hashes = hashes(&mut tx, &client.id).await?;
        if client.secret.is_none() {
            tx.execute(DELETE_SECRETS, values![client.id.as_str()]).await?;
        }
        self.record_in(&mut tx, event).await?;
        let change = tell(&mut tx, client, ChangeKind::Updated, hashes).await?;
        scopes::require_registered_of_client(&mut tx, client).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// Stores a client that was given a new secret, if it still has the version expected, with the hash of that. The secret
    /// that was current becomes the previous one, or is gone where it does not work any longer; one that was previous is gone.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn rotate_client_secret(
        &self,
        client: &Client,
        expected_version: i64,
        hash: &SecretHash,
        event: &AuditEvent,
    ) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        client_rows::update(&mut tx, client, expected_version).await?;
        let mut hashes = hashes(&mut tx, &client.id).await?;
        tx.execute(DELETE_PREVIOUS, values![client.id.as_str()]).await?;
        let old = if client.old_secret.is_some() { DEMOTE_CURRENT } else { DELETE_SECRETS };
        tx.execute(old, values![client.id.as_str()]).await?;
        tx.execute(INSERT_SECRET, values![hash.as_bytes(), client.id.as_str(), PEPPER]).await?;
        hashes.push(*hash);
        self.record_in(&mut tx, event).await?;
        let change = tell(&mut tx, client, ChangeKind::Rotated, hashes).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// Deletes a client, if it still has the version expected: removes its secrets, its scopes and its lists. Its id is not
    /// free again.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn delete_client(&self, client: &Client, expected_version: i64, event: &AuditEvent) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        let hashes = remove(&mut tx, client, expected_version).await?;
        self.record_in(&mut tx, event).await?;
        let change = tell(&mut tx, client, ChangeKind::Revoked, hashes).await?;
        tx.commit().await?;
        Ok(change)
    }
}

/// Removes all of a client but its row; the hashes of the secrets it had.
pub(super) async fn remove(tx: &mut Tx, client: &Client, expected_version: i64) -> Result<Vec<SecretHash>> {
    client_rows::update(tx, client, expected_version).await?;
    let hashes = hashes(tx, &client.id).await?;
    tx.execute(DELETE_SECRETS, values![client.id.as_str()]).await?;
    registrations::remove(tx, &client.id).await?;
    client_rows::delete_lists(tx, &client.id).await?;
    Ok(hashes)
}

/// Writes a change of a client.
pub(super) async fn tell(tx: &mut Tx, client: &Client, kind: ChangeKind, hashes: Vec<SecretHash>) -> Result<Change> {
    let (subject, now): (_, Timestamp) = (CredentialId::Client(client.id.clone()), client.updated_at);
    changes::write_of(tx, &client.project, client.environment, subject, kind, hashes, now).await
}

/// The hashes of a client's secrets.
async fn hashes(tx: &mut Tx, id: &ClientId) -> Result<Vec<SecretHash>> {
    let rows = tx.fetch_all(HASHES, values![id.as_str()]).await?;
    rows.iter().map(|row| changes::hash(row.bytes("hash")?, "client_secrets.hash")).collect()
}

fn role(row: &Row) -> Result<SecretRole> {
    match row.str("role")? {
        "current" => Ok(SecretRole::Current),
        "previous" => Ok(SecretRole::Previous),
        _ => Err(damaged("client_secrets.role")),
    }
}

/// Sorts after every id: `~` comes after all letters and digits.
const AFTER_ALL: &str = "~";

const FIND: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM clients c WHERE c.id = $1 AND c.project = $2 AND c.environment = $3 AND c.deleted_at IS NULL"
);
const FIND_ANYWHERE: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM clients c JOIN projects o ON o.id = c.project
    WHERE c.id = $1 AND c.deleted_at IS NULL AND o.deleted_at IS NULL
        AND (c.document_url IS NULL OR o.client_documents = true)"
);
const FIND_BY_SECRET: &str = concat!(
    "SELECT s.role, ",
    client_columns!(),
    " FROM client_secrets s JOIN clients c ON c.id = s.client_id JOIN projects o ON o.id = c.project
    WHERE s.hash = $1 AND s.client_id = $2 AND c.deleted_at IS NULL AND o.deleted_at IS NULL"
);
const LIST: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM clients c WHERE c.project = $1 AND c.environment = $2 AND c.deleted_at IS NULL
        AND c.id < $3 ORDER BY c.id DESC LIMIT $4 OFFSET $5"
);
const COUNT: &str = "SELECT COUNT(*) AS total FROM clients c
    WHERE c.project = $1 AND c.environment = $2 AND c.deleted_at IS NULL";
const INSERT_SECRET: &str = "INSERT INTO client_secrets (hash, client_id, pepper, role) VALUES ($1, $2, $3, 'current')";
const HASHES: &str = "SELECT hash FROM client_secrets WHERE client_id = $1 ORDER BY role";
const DELETE_PREVIOUS: &str = "DELETE FROM client_secrets WHERE client_id = $1 AND role = 'previous'";
const DEMOTE_CURRENT: &str = "UPDATE client_secrets SET role = 'previous' WHERE client_id = $1 AND role = 'current'";
const DELETE_SECRETS: &str = "DELETE FROM client_secrets WHERE client_id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (FIND, "sqlite_autoindex_clients_1"),
    (FIND_ANYWHERE, "sqlite_autoindex_clients_1"),
    (FIND_BY_SECRET, "SEARCH s USING PRIMARY KEY"),
    (LIST, "clients_listed"),
    (COUNT, "clients_listed"),
    (HASHES, "client_secrets_by_client"),
    (DELETE_PREVIOUS, "client_secrets_by_client"),
    (DEMOTE_CURRENT, "client_secrets_by_client"),
    (DELETE_SECRETS, "client_secrets_by_client"),
];
