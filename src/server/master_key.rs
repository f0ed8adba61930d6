//! Following what becomes of the master key while the server runs.

use std::sync::Arc;

use crate::config::MasterKeySource;
use crate::domain::sealing::Keyring;
use crate::store::{Result, Standing, Store};

/// Looks whether the master key is being replaced, and takes the new one where it can be read.
pub(super) struct MasterKeyWatch {
    store: Store,
    keyring: Arc<Keyring>,
    source: MasterKeySource,
    standing: Standing,
}

impl MasterKeyWatch {
    /// A watch over the keys of the data in this keyring, and the place of the master key.
    pub(super) fn new(store: Store, keyring: Arc<Keyring>, source: MasterKeySource) -> Self {
        Self { store, keyring, source, standing: Standing::Current }
    }

    /// Looks once. Whether something has changed.
    pub(super) async fn look(&mut self) -> Result<bool> {
        let version = self.keyring.version();
        if self.standing == Standing::Current && self.store.keys_version().await? == version {
            return Ok(false);
        }
        let mut standing = self.store.refresh_keyring(&self.keyring).await?;
        if standing != Standing::Current {
            standing = self.take_new(standing).await?;
        }
        if standing != self.standing {
            self.standing = standing;
            tell(standing);
        }
        Ok(self.keyring.version() != version)
    }

    /// Reads the master key's file again: on the machine where it was replaced, it holds the new one.
    async fn take_new(&self, standing: Standing) -> Result<Standing> {
        match self.source.load() {
            Ok(Some(master)) if master.check() != self.keyring.master().check() => {
                match self.store.adopt_master_key(&self.keyring, master).await? {
                    // What the file holds now is of no use to this database; the old one may still be.
                    Standing::Retired => Ok(standing),
                    taken => Ok(taken),
                }
            }
            // It is the same; or it cannot be read at this moment, and will be looked at again.
            _ => Ok(standing),
        }
    }
}

fn tell(standing: Standing) {
    match standing {
        Standing::Current => tracing::info!("the new master key is in use"),
        Standing::Superseded => tracing::warn!(
            "the master key is being replaced: give this node the new one and start it again, before \
             `gatepost master-key finish` ends the old one"
        ),
        Standing::Retired => tracing::error!(
            "the master key of this node was replaced; it goes on with what it knows, but cannot read what is sealed from \
             now on: give it the new one and start it again"
        ),
    }
}
