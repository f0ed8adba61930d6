//! The keys that sign the tokens of the installation. They belong to no project.

use super::Store;
use super::db::{Row, damaged, values};
use super::error::{Conflict, Result, StoreError};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::signing_key::{MOST_SIGNING_KEYS, Retirement, SigningAlgorithm, SigningKey};

impl Store {
    /// The keys that are not past their end, oldest first.
    pub async fn list_signing_keys(&self, now: Timestamp) -> Result<Vec<SigningKey>> {
        self.db.fetch_all(LIST, values![now, MOST_SIGNING_KEYS]).await?.iter().map(read).collect()
    }

    /// Stores the next key and ends those before it that sign in the same way, unless another node was first and has stored one of this number;
    /// whether it was stored. Nobody is asked to approve what happens by itself: an event is for what a person did.
    ///
    /// # Errors
    /// [`Conflict::TooManySigningKeys`] when as many are published as may be.
    pub async fn add_signing_key(
        &self,
        key: &SigningKey,
        retirement: Retirement,
        event: Option<&AuditEvent>,
    ) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let values = values![
            key.seq,
            &key.kid,
            key.algorithm.as_str(),
            &key.sealed,
            &key.public_jwk,
            key.created_at,
            key.active_from,
        ];
        if tx.execute(ADD, values).await? == 0 {
            return Ok(false);
        }
        let values = values![key.seq, retirement.retired_at, retirement.expires_at, key.algorithm.as_str()];
        tx.execute(RETIRE, values).await?;
        let published = tx.fetch_one(COUNT, values![key.created_at]).await?.int("total")?;
        if published > i64::from(MOST_SIGNING_KEYS) {
            return Err(StoreError::Conflict(Conflict::TooManySigningKeys));
        }
        if let Some(event) = event {
            self.record_in(&mut tx, event).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Removes the keys that are past their end, with their private halves. The youngest never is: what has no successor has
    /// no end.
    pub async fn prune_signing_keys(&self, now: Timestamp) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![now]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

fn read(row: &Row) -> Result<SigningKey> {
    Ok(SigningKey {
        seq: row.int("seq")?,
        kid: row.text("kid")?,
        algorithm: SigningAlgorithm::parse(row.str("algorithm")?).ok_or_else(|| damaged("signing_keys.algorithm"))?,
        sealed: row.bytes("private_key")?.to_vec(),
        public_jwk: row.text("public_jwk")?,
        created_at: row.time("created_at")?,
        active_from: row.time("active_from")?,
        retired_at: row.opt_time("retired_at")?,
        expires_at: row.opt_time("expires_at")?,
    })
}

const LIST: &str =
    "SELECT seq, kid, algorithm, private_key, public_jwk, created_at, active_from, retired_at, expires_at
    FROM signing_keys WHERE seq > 0 AND (expires_at IS NULL OR expires_at > $1) ORDER BY seq LIMIT $2";
const ADD: &str = "INSERT INTO signing_keys (seq, kid, algorithm, private_key, public_jwk, created_at, active_from)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (seq) DO NOTHING";
/// Those that end earlier already are left alone.
const RETIRE: &str = "UPDATE signing_keys
    SET retired_at = CASE WHEN retired_at < $2 THEN retired_at ELSE $2 END, expires_at = $3
    WHERE seq < $1 AND algorithm = $4 AND (expires_at IS NULL OR expires_at > $3)";
const COUNT: &str =
    "SELECT COUNT(*) AS total FROM signing_keys WHERE seq > 0 AND (expires_at IS NULL OR expires_at > $1)";
const PRUNE: &str = "DELETE FROM signing_keys WHERE seq > 0 AND expires_at <= $1";

/// For the test of their plans: each statement and the index it walks along. There are so few rows that all are looked at.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (LIST, "INTEGER PRIMARY KEY"),
    (RETIRE, "INTEGER PRIMARY KEY"),
    (COUNT, "INTEGER PRIMARY KEY"),
    (PRUNE, "INTEGER PRIMARY KEY"),
];
