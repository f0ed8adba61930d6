//! Clients that are known by the address of a document of theirs. To all else they are clients like any other.

use crate::domain::audit::AuditEvent;
use crate::domain::change::Change;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::ProjectId;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::document::DocumentUrl;
use crate::store::Store;
use crate::store::client_rows::{self, client_columns};
use crate::store::db::{Tx, values};
#[cfg(doc)]
use crate::store::error::Conflict;
use crate::store::error::Result;

impl Store {
    /// The client whose document is at this address. None of a project that does not take such clients now.
    pub async fn find_document_client(
        &self,
        project: &ProjectId,
        environment: Environment,
        url: &DocumentUrl,
    ) -> Result<Option<Client>> {
        let values = values![project.as_str(), environment.as_str(), url.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(client_rows::read).transpose()
    }

    /// Stores a client that has a document; none if its project and environment have as many of them as they may. The one whose
    /// document was had longest ago, of those that nobody has given anything, makes room.
    ///
    /// # Errors
    /// [`Conflict::Exists`] if there is one of the same document, [`Conflict::UnknownScope`].
    pub async fn add_document_client(
        &self,
        client: &Client,
        at_most: i64,
        event: &AuditEvent,
    ) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        let place = values![client.project.as_str(), client.environment.as_str()];
        if tx.fetch_one(COUNT, place).await?.int("total")? >= at_most
            && forget(&mut tx, client.created_at, 1).await? == 0
        {
            return Ok(None);
        }
        let change = self.create_client_in(&mut tx, client, None, event).await?;
        tx.commit().await?;
        Ok(Some(change))
    }

    /// Notes that a client's document was had again and says what it said: nobody need be told.
    pub async fn renew_document(&self, client: &Client) -> Result<()> {
        let Some(document) = &client.document else { return Ok(()) };
        let mut tx = self.db.begin().await?;
        let values = values![client.id.as_str(), document.fetched_at, document.fresh_until];
        tx.execute(RENEW, values).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes up to `batch` clients whose documents were had last before this time and that nobody has given anything, as if
    /// they had never been; how many were looked at.
    pub async fn prune_document_clients(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = forget(&mut tx, before, batch).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

async fn forget(tx: &mut Tx, before: Timestamp, batch: u32) -> Result<u64> {
    let mut removed = 0;
    for row in tx.fetch_all(FORGOTTEN, values![before, batch]).await? {
        let id = row.str("id")?;
        for statement in FORGET {
            tx.execute(statement, values![id]).await?;
        }
        removed += 1;
    }
    Ok(removed)
}

const FIND: &str = concat!(
    "SELECT ",
    client_columns!(),
    " FROM clients c JOIN projects o ON o.id = c.project
    WHERE c.project = $1 AND c.environment = $2 AND c.document_url = $3 AND c.deleted_at IS NULL
        AND o.deleted_at IS NULL AND o.client_documents = true"
);
const COUNT: &str = "SELECT COUNT(*) AS total FROM clients c
    WHERE c.project = $1 AND c.environment = $2 AND c.document_url IS NOT NULL AND c.deleted_at IS NULL";
const RENEW: &str = "UPDATE clients SET document_fetched_at = $2, document_fresh_until = $3
    WHERE id = $1 AND document_url IS NOT NULL AND deleted_at IS NULL";
/// A grant that is over is there for a while: what hangs on it is pruned first.
const FORGOTTEN: &str = "SELECT c.id FROM clients c
    WHERE c.document_fetched_at < $1 AND c.deleted_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.client_id = c.id)
        AND NOT EXISTS (SELECT 1 FROM access_tokens t WHERE t.client_id = c.id)
        AND NOT EXISTS (SELECT 1 FROM device_requests d WHERE d.client_id = c.id)
    ORDER BY c.document_fetched_at LIMIT $2";
/// Should anything come to hang on it meanwhile, the last of them fails, and with it all.
const FORGET: [&str; 5] = [FORGET_REQUESTS, FORGET_CONSENTS, FORGET_SCOPES, FORGET_LISTS, FORGET_CLIENT];
const FORGET_REQUESTS: &str = "DELETE FROM pushed_requests WHERE client_id = $1";
const FORGET_CONSENTS: &str = "DELETE FROM consents WHERE client_id = $1";
const FORGET_SCOPES: &str = "DELETE FROM client_scopes WHERE client_id = $1";
const FORGET_LISTS: &str = "DELETE FROM client_lists WHERE client_id = $1";
const FORGET_CLIENT: &str = "DELETE FROM clients WHERE id = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[
    (FIND, "clients_by_document"),
    (COUNT, "clients_by_document"),
    (RENEW, "sqlite_autoindex_clients_1"),
    (FORGOTTEN, "clients_by_document_age"),
    (FORGET_REQUESTS, "pushed_requests_of_client"),
    (FORGET_CONSENTS, "consents_of_client"),
    (FORGET_SCOPES, "PRIMARY KEY"),
    (FORGET_LISTS, "PRIMARY KEY"),
    (FORGET_CLIENT, "sqlite_autoindex_clients_1"),
];
