//! What was signed for one use, and was used: by whom and what for is in the hash. Of two that use the same at one time, on
//! whichever nodes, one is first.

use crate::domain::clock::Timestamp;
use crate::store::Store;
use crate::store::db::values;
use crate::store::error::Result;

impl Store {
    /// Uses up what has this hash, which is refused for its age from `until` on; whether nobody did before.
    pub async fn use_proof(&self, hash: &[u8; 32], until: Timestamp) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let first = tx.execute(USE, values![&hash[..], until]).await? > 0;
        tx.commit().await?;
        Ok(first)
    }

    /// Forgets up to `batch` of those that are refused for their age; how many it were.
    pub async fn prune_used_proofs(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let removed = tx.execute(PRUNE, values![now, batch]).await?;
        tx.commit().await?;
        Ok(removed)
    }
}

const USE: &str = "INSERT INTO used_proofs (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
const PRUNE: &str = "DELETE FROM used_proofs WHERE hash IN
    (SELECT p.hash FROM used_proofs p WHERE p.expires_at <= $1 ORDER BY p.expires_at LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[(PRUNE, "used_proofs_ending")];
