//! The installation as a whole: which master key it belongs to, and the keys of the data that it holds.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::Store;
use super::db::{Tx, damaged, values};
use super::error::{MasterKeyError, Result};
use crate::domain::clock::Timestamp;
use crate::domain::sealing::{Keyring, MasterKey};

impl Store {
    /// The keys of the data, opened with a master key that holds them; the first caller ever founds the installation. With
    /// them the audit log can be written from here on; without them, nothing that is audited can be changed.
    ///
    /// # Errors
    /// [`MasterKeyError::Other`] when this master key does not hold them.
    pub async fn open_keyring(&self, master: &MasterKey, now: Timestamp) -> Result<Keyring, MasterKeyError> {
        let row = match self.db.fetch_optional(FIND_KEYS, values![&master.check()]).await? {
            Some(row) => row,
            None => {
                self.found(master, now).await?;
                let row = self.db.fetch_optional(FIND_KEYS, values![&master.check()]).await?;
                row.ok_or(MasterKeyError::Other)?
            }
        };
        let keys = master.unwrap(row.bytes("data_keys")?).ok_or_else(|| damaged("master_keys.data_keys"))?;
        let keyring = Keyring::new(master.clone(), &keys);
        keyring.learn(master.clone(), row.int("keys_version")?, &keys);
        self.audit_key.get_or_init(|| keyring.audit().clone());
        Ok(keyring)
    }

    /// Whether the database was made under a master key.
    pub async fn has_master_key(&self) -> Result<bool> {
        Ok(self.db.fetch_optional(FIND, &[]).await?.is_some())
    }

    /// Makes the keys of the data, unless there are some, or the installation is from before they were kept and belongs to
    /// another master key.
    async fn found(&self, master: &MasterKey, now: Timestamp) -> Result<(), MasterKeyError> {
        let mut tx = self.db.begin().await?;
        let check = master.check();
        tx.execute(INSERT, values![&check, now]).await?;
        hold(&mut tx).await?;
        let stored = tx.fetch_one(FIND, &[]).await?.bytes("master_key_check")?.to_vec();
        if tx.fetch_one(COUNT, &[]).await?.int("total")? > 0 || verify_slices_are_equal(&stored, &check).is_err() {
            return Ok(());
        }
        let wrapped = master.wrap(&master.founding_keys());
        tx.execute(ADD, values![1_i64, &check, &wrapped, now]).await?;
        tx.execute(COUNT_UP, &[]).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Holds the row of the installation until the transaction ends: whoever changes its master keys does, before reading them.
pub(super) async fn hold(tx: &mut Tx) -> Result<()> {
    tx.execute("UPDATE installation SET keys_version = keys_version WHERE id = 1", &[]).await?;
    Ok(())
}

const FIND: &str = "SELECT master_key_check FROM installation WHERE id = 1";
const INSERT: &str = "INSERT INTO installation (id, master_key_check, created_at) VALUES (1, $1, $2)
    ON CONFLICT (id) DO NOTHING";
const FIND_KEYS: &str = "SELECT m.data_keys, i.keys_version FROM master_keys m JOIN installation i ON i.id = 1
    WHERE m.check_value = $1";
const COUNT: &str = "SELECT COUNT(*) AS total FROM master_keys WHERE seq > 0";
pub(super) const ADD: &str =
    "INSERT INTO master_keys (seq, check_value, data_keys, created_at) VALUES ($1, $2, $3, $4)";
pub(super) const COUNT_UP: &str = "UPDATE installation SET keys_version = keys_version + 1 WHERE id = 1";
