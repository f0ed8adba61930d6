//! The installation as a whole: which master key it belongs to.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::db::values;
use super::error::{MasterKeyError, Result};
use super::{Store, StoreError};
use crate::domain::clock::Timestamp;
use crate::domain::sealing::Keyring;

impl Store {
    /// Compares the master key's check ([`Keyring::check`]) with the one the database was made under; the first caller leaves
    /// its own. With the right master key the audit log can be written from here on; without it, nothing that is audited
    /// can be changed.
    pub async fn check_master_key(&self, keyring: &Keyring, now: Timestamp) -> Result<(), MasterKeyError> {
        let stored = self.master_key_check(keyring.check(), now).await?;
        verify_slices_are_equal(&stored, keyring.check()).map_err(|_| MasterKeyError::Other)?;
        self.audit_key.get_or_init(|| keyring.audit().clone());
        Ok(())
    }

    /// Whether the database was made under a master key.
    pub async fn has_master_key(&self) -> Result<bool> {
        Ok(self.db.fetch_optional(FIND, &[]).await?.is_some())
    }

    async fn master_key_check(&self, check: &[u8; 32], now: Timestamp) -> Result<Vec<u8>> {
        if let Some(row) = self.db.fetch_optional(FIND, &[]).await? {
            return Ok(row.bytes("master_key_check")?.to_vec());
        }
        let mut tx = self.db.begin().await?;
        tx.execute(INSERT, values![check, now]).await?;
        let stored = tx.fetch_one(FIND, &[]).await?.bytes("master_key_check")?.to_vec();
        tx.commit().await?;
        Ok::<_, StoreError>(stored)
    }
}

const FIND: &str = "SELECT master_key_check FROM installation WHERE id = 1";
const INSERT: &str = "INSERT INTO installation (id, master_key_check, created_at) VALUES (1, $1, $2)
    ON CONFLICT (id) DO NOTHING";
