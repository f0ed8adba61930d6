//! Clients that registered themselves (RFC 7591), and what they manage that by.

use crate::domain::audit::AuditEvent;
use crate::domain::change::Change;
use crate::domain::id::ClientId;
use crate::domain::oauth::client::Client;
use crate::domain::secret::SecretHash;
use crate::store::Store;
use crate::store::client_rows::{self, client_columns};
use crate::store::db::{Tx, values};
#[cfg(doc)]
use crate::store::error::Conflict;
use crate::store::error::Result;
use crate::store::keys::PEPPER;

impl Store {
    /// Stores a client that registered itself, with the hashes of its secret and of what it manages its registration by; none if
    /// its project and environment have as many such clients as they may.
    ///
    /// # Errors
    /// [`Conflict::UnknownScope`] where a scope was removed from the registry in the meantime.
    pub async fn register_client(
        &self,
        client: &Client,
        secret: Option<&SecretHash>,
        token: &SecretHash,
        at_most: i64,
        event: &AuditEvent,
    ) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        let (project, environment) = (client.project.as_str(), client.environment.as_str());
        if tx.fetch_one(COUNT, values![project, environment]).await?.int("total")? >= at_most {
            return Ok(None);
        }
        let change = self.create_client_in(&mut tx, client, secret, event).await?;
        let values = values![client.id.as_str(), project, environment, token.as_bytes(), PEPPER];
        tx.execute(INSERT, values).await?;
        tx.commit().await?;
        Ok(Some(change))
    }

    /// The client of this id wherever it belongs, if its registration is managed by what has this hash. Not of a deleted client
    /// or project.
    pub async fn find_registered_client(&self, id: &ClientId, token: &SecretHash) -> Result<Option<Client>> {
        let row = self.db.fetch_optional(FIND, values![id.as_str(), token.as_bytes()]).await?;
        row.as_ref().map(client_rows::read).transpose()
    }
}

/// Removes the registration of a client, if it has one.
pub(in crate::store) async fn remove(tx: &mut Tx, client: &ClientId) -> Result<()> {
    tx.execute(DELETE, values![client.as_str()]).await?;
    Ok(())
}

const COUNT: &str = "SELECT COUNT(*) AS total FROM client_registrations WHERE project = $1 AND environment = $2";
const INSERT: &str = "INSERT INTO client_registrations (client_id, project, environment, hash, pepper)
    VALUES ($1, $2, $3, $4, $5)";
const FIND: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_registrations g JOIN clients c ON c.id = g.client_id JOIN projects o ON o.id = c.project
    WHERE g.client_id = $1 AND g.hash = $2 AND c.deleted_at IS NULL AND o.deleted_at IS NULL"
);
const DELETE: &str = "DELETE FROM client_registrations WHERE client_id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] =
    &[(COUNT, "client_registrations_counted"), (FIND, "PRIMARY KEY"), (DELETE, "PRIMARY KEY")];
