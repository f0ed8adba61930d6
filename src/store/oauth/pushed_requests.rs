//! Authorization requests that clients pushed (RFC 9126), until they are answered.

use crate::domain::clock::Timestamp;
use crate::domain::id::ClientId;
use crate::domain::secret::SecretHash;
use crate::store::Store;
use crate::store::db::values;
use crate::store::error::Result;

/// A request that a client pushed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PushedRequest {
    /// The hash of the name that it was given.
    pub hash: SecretHash,
    /// Whose it is.
    pub client: ClientId,
    /// Its parameters, written like a form; no proof of who the client is.
    pub parameters: String,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// When it ends if it is not answered.
    pub expires_at: Timestamp,
}

impl Store {
    /// Keeps a request, unless the client has as many as it may that wait to be answered; whether it is kept.
    pub async fn push_request(&self, request: &PushedRequest, most: u32) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let values = values![
            request.hash.as_bytes(),
            request.client.as_str(),
            &request.parameters,
            request.pushed_at,
            request.expires_at,
            most,
        ];
        let kept = tx.execute(INSERT, values).await? > 0;
        tx.commit().await?;
        Ok(kept)
    }

    /// The request of this client with this hash, if it is not past its end.
    pub async fn find_pushed_request(
        &self,
        hash: &SecretHash,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<PushedRequest>> {
        let row = self.db.fetch_optional(FIND, values![hash.as_bytes(), client.as_str(), now]).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(PushedRequest {
            hash: *hash,
            client: client.clone(),
            parameters: row.text("parameters")?,
            pushed_at: row.time("pushed_at")?,
            expires_at: row.time("expires_at")?,
        }))
    }

    /// Gives the user who was sent here with a request time until then to answer it.
    pub async fn extend_pushed_request(&self, hash: &SecretHash, until: Timestamp) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(EXTEND, values![hash.as_bytes(), until]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a request away that is about to be answered; whether it was there.
    pub async fn take_pushed_request(&self, hash: &SecretHash, now: Timestamp) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let taken = tx.execute(TAKE, values![hash.as_bytes(), now]).await? > 0;
        tx.commit().await?;
        Ok(taken)
    }

    /// Removes up to `batch` requests that are past their end; how many it were.
    pub async fn prune_pushed_requests(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![now, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

const INSERT: &str = "INSERT INTO pushed_requests (hash, client_id, parameters, pushed_at, expires_at)
    SELECT $1, $2, $3, $4, $5 WHERE (SELECT COUNT(*) FROM (SELECT 1 FROM pushed_requests p
        WHERE p.client_id = $2 AND p.expires_at > $4 LIMIT $6) AS recent) < $6";
const FIND: &str = "SELECT parameters, pushed_at, expires_at FROM pushed_requests
    WHERE hash = $1 AND client_id = $2 AND expires_at > $3";
const EXTEND: &str = "UPDATE pushed_requests SET expires_at = $2 WHERE hash = $1 AND expires_at < $2";
const TAKE: &str = "DELETE FROM pushed_requests WHERE hash = $1 AND expires_at > $2";
const PRUNE: &str = "DELETE FROM pushed_requests WHERE hash IN
    (SELECT p.hash FROM pushed_requests p WHERE p.expires_at <= $1 ORDER BY p.expires_at LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[
    (INSERT, "pushed_requests_of_client"),
    (FIND, "PRIMARY KEY"),
    (EXTEND, "PRIMARY KEY"),
    (TAKE, "PRIMARY KEY"),
    (PRUNE, "pushed_requests_ending"),
];
