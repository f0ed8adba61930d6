//! Clients that registered themselves (RFC 7591), and what they manage that by.

use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::id::ClientId;
use crate::domain::oauth::client::Client;
use crate::domain::secret::SecretHash;
use crate::store::client_rows::{self, client_columns};
use crate::store::db::{Tx, values};
#[cfg(doc)]
use crate::store::error::Conflict;
use crate::store::error::Result;
use crate::store::keys::PEPPER;
use crate::store::{Store, clients};

/// How many clients of a project and environment may have registered themselves.
pub struct Room<'a> {
    /// So many.
    pub at_most: i64,
    /// Of more, the oldest makes room that was registered before this and to which nobody ever agreed.
    pub unused_since: Timestamp,
    /// The entry of the audit log about one that makes room.
    pub event: &'a (dyn Fn(&Client) -> AuditEvent + Sync),
}

impl Store {
    /// Stores a client that registered itself, with the hashes of its secret and of what it manages its registration by. What came
    /// of it: what was changed about the client that made room for it, if there had to be one, and about itself; none if there
    /// is no room.
    ///
    /// # Errors
    /// [`Conflict::UnknownScope`] where a scope was removed from the registry in the meantime; [`Conflict::Version`] where the
    /// one that was to make room was changed.
    pub async fn register_client(
        &self,
        client: &Client,
        secret: Option<&SecretHash>,
        token: &SecretHash,
        room: &Room<'_>,
        event: &AuditEvent,
    ) -> Result<Option<Vec<Change>>> {
        let mut tx = self.db.begin().await?;
        let (project, environment) = (client.project.as_str(), client.environment.as_str());
        let mut changes = Vec::new();
        if tx.fetch_one(COUNT, values![project, environment]).await?.int("total")? >= room.at_most {
            let values = values![project, environment, room.unused_since];
            let Some(row) = tx.fetch_optional(OLDEST_UNUSED, values).await? else { return Ok(None) };
            let mut oldest = client_rows::read(&row)?;
            let version = oldest.version;
            let event = (room.event)(&oldest);
            oldest.delete(client.created_at);
            let hashes = clients::remove(&mut tx, &oldest, version).await?;
            self.record_in(&mut tx, &event).await?;
            changes.push(clients::tell(&mut tx, &oldest, ChangeKind::Revoked, hashes).await?);
        }
        changes.push(self.create_client_in(&mut tx, client, secret, event).await?);
        let values = values![client.id.as_str(), project, environment, token.as_bytes(), PEPPER];
        tx.execute(INSERT, values).await?;
        tx.commit().await?;
        Ok(Some(changes))
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

/// Notes that somebody agreed to a client, if it registered itself and is one to which nobody ever did.
pub(super) async fn agreed(tx: &mut Tx, client: &ClientId, now: Timestamp) -> Result<()> {
    tx.execute(AGREED, values![client.as_str(), now]).await?;
    Ok(())
}

const OLDEST_UNUSED: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM client_registrations g JOIN clients c ON c.id = g.client_id
    WHERE g.project = $1 AND g.environment = $2 AND g.first_granted_at IS NULL AND c.created_at < $3
    ORDER BY g.client_id LIMIT 1"
);
const AGREED: &str =
    "UPDATE client_registrations SET first_granted_at = $2 WHERE client_id = $1 AND first_granted_at IS NULL";
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
pub(super) const PLANNED: &[(&str, &str)] = &[
    (COUNT, "client_registrations_counted"),
    (OLDEST_UNUSED, "client_registrations_unused"),
    (AGREED, "PRIMARY KEY"),
    (FIND, "PRIMARY KEY"),
    (DELETE, "PRIMARY KEY"),
];
