//! Replacing the master key, in two steps, while nodes run.
//!
//! First the keys of the data are wrapped under the new master key too ([`Store::add_master_key`]): both hold them, and each
//! node can be started with the new one at its time. Then ([`Store::retire_master_keys`]) the old one loses them, and a new key
//! to seal with is made, which no earlier master key ever held: not even whoever digs a deleted row out of the database has it
//! with the old one. Each step is one transaction; what was sealed before is sealed again afterwards (`resealing.rs`).

use super::Store;
use super::db::{Row, Tx, damaged, values};
use super::error::{MasterKeyError, Result};
use super::installation::{ADD, COUNT_UP, hold};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::Entropy;
use crate::domain::sealing::{Keyring, MasterKey};

/// Where a node's master key stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is the one of the installation.
    Current,
    /// It still holds the keys of the data, but a newer one is taking over.
    Superseded,
    /// It holds nothing any more. What the node knows already it can go on using.
    Retired,
}

/// One master key that holds the keys of the data.
struct Holder {
    seq: i64,
    check: Vec<u8>,
    data_keys: Vec<u8>,
}

impl Store {
    /// Takes into account what became of the master key since the keyring was opened.
    pub async fn refresh_keyring(&self, keyring: &Keyring) -> Result<Standing> {
        self.adopt_master_key(keyring, keyring.master()).await
    }

    /// The same with another master key, which holds the keys of the data from now on, if it does.
    pub async fn adopt_master_key(&self, keyring: &Keyring, master: MasterKey) -> Result<Standing> {
        let rows = self.db.fetch_all(LIST, &[]).await?;
        let version = rows.first().map(|row| row.int("keys_version")).transpose()?.unwrap_or_default();
        let holders = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
        let check = master.check();
        let Some(own) = holders.iter().find(|holder| holder.check == check) else { return Ok(Standing::Retired) };
        let keys = master.unwrap(&own.data_keys).ok_or_else(|| damaged("master_keys.data_keys"))?;
        keyring.learn(master, version, &keys);
        let newest = holders.last().is_some_and(|newest| newest.seq == own.seq);
        Ok(if newest { Standing::Current } else { Standing::Superseded })
    }

    /// Whether a master key is being replaced.
    pub async fn has_two_master_keys(&self) -> Result<bool> {
        Ok(self.db.fetch_all(LIST, &[]).await?.len() > 1)
    }

    /// Counts up with every change of the master keys; equals [`Keyring::version`] where a node has seen the last.
    pub async fn keys_version(&self) -> Result<i64> {
        self.db.fetch_one(VERSION, &[]).await?.int("keys_version")
    }

    /// Lets a new master key hold the keys of the data too. Whether it is new: repeated with the same key it changes nothing.
    ///
    /// # Errors
    /// [`MasterKeyError::Other`] when the keyring's master key holds nothing any more, [`MasterKeyError::Same`] when the new
    /// one is that one, [`MasterKeyError::UnderWay`] when yet another one is taking over.
    pub async fn add_master_key(
        &self,
        keyring: &Keyring,
        new: &MasterKey,
        now: Timestamp,
        event: &AuditEvent,
    ) -> Result<bool, MasterKeyError> {
        let (old, check) = (keyring.master(), new.check());
        let mut tx = self.db.begin().await?;
        let holders = holders(&mut tx).await?;
        let own = holders.iter().find(|holder| holder.check == old.check()).ok_or(MasterKeyError::Other)?;
        match holders.last() {
            _ if own.check == check => return Err(MasterKeyError::Same),
            Some(newest) if newest.check == check => return Ok(false),
            Some(newest) if newest.seq != own.seq || holders.len() > 1 => return Err(MasterKeyError::UnderWay),
            _ => {}
        }
        let keys = old.unwrap(&own.data_keys).ok_or_else(|| damaged("master_keys.data_keys"))?;
        tx.execute(ADD, values![own.seq + 1, &check, &new.wrap(&keys), now]).await?;
        tx.execute(COUNT_UP, &[]).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes the keys of the data from every master key but the keyring's own, which must be the newest, and makes a new key
    /// to seal with. Whether there was another: repeated it changes nothing.
    ///
    /// # Errors
    /// [`MasterKeyError::NotNewest`] and [`MasterKeyError::Other`], when the keyring's is not the newest or holds nothing.
    pub async fn retire_master_keys(
        &self,
        keyring: &Keyring,
        entropy: &dyn Entropy,
        event: &AuditEvent,
    ) -> Result<bool, MasterKeyError> {
        let master = keyring.master();
        let check = master.check();
        let mut tx = self.db.begin().await?;
        let holders = holders(&mut tx).await?;
        let own = holders.iter().find(|holder| holder.check == check).ok_or(MasterKeyError::Other)?;
        if holders.iter().any(|holder| holder.seq > own.seq) {
            return Err(MasterKeyError::NotNewest);
        }
        if holders.len() == 1 {
            return Ok(false);
        }
        let keys = master.unwrap(&own.data_keys).ok_or_else(|| damaged("master_keys.data_keys"))?;
        let keys = keys.with_new_seal(entropy);
        tx.execute(RENEW, values![own.seq, &master.wrap(&keys)]).await?;
        tx.execute(RETIRE, values![own.seq]).await?;
        tx.execute(BELONG, values![&check]).await?;
        self.record_in(&mut tx, event).await?;
        tx.commit().await?;
        self.refresh_keyring(keyring).await?;
        Ok(true)
    }
}

/// All that hold the keys, oldest first. They stay so until the transaction ends.
async fn holders(tx: &mut Tx) -> Result<Vec<Holder>> {
    hold(tx).await?;
    tx.fetch_all(LIST, &[]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Holder> {
    Ok(Holder {
        seq: row.int("seq")?,
        check: row.bytes("check_value")?.to_vec(),
        data_keys: row.bytes("data_keys")?.to_vec(),
    })
}

const LIST: &str = "SELECT m.seq, m.check_value, m.data_keys, i.keys_version
    FROM master_keys m JOIN installation i ON i.id = 1 WHERE m.seq > 0 ORDER BY m.seq";
const VERSION: &str = "SELECT keys_version FROM installation WHERE id = 1";
const RENEW: &str = "UPDATE master_keys SET data_keys = $2 WHERE seq = $1";
const RETIRE: &str = "DELETE FROM master_keys WHERE seq > 0 AND seq < $1";
const BELONG: &str = "UPDATE installation SET master_key_check = $1, keys_version = keys_version + 1 WHERE id = 1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (LIST, "INTEGER PRIMARY KEY"),
    (VERSION, "INTEGER PRIMARY KEY"),
    (RENEW, "INTEGER PRIMARY KEY"),
    (RETIRE, "INTEGER PRIMARY KEY"),
    (BELONG, "INTEGER PRIMARY KEY"),
];
