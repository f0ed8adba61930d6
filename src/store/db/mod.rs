//! The two database engines behind one face. Only this folder names them.
//!
//! A statement is one text for both, with its [`Value`]s; what cannot be said alike is said twice in [`text_search`]. An
//! operation has one deadline for all it waits for, so that a lost database is noticed in bounded time.

mod engine;
mod failure;
mod migrations;
mod pool;
mod postgres;
mod row;
mod signal;
mod sqlite;
pub(super) mod text_search;
mod value;

#[cfg(test)]
pub(super) use migrations::MIGRATIONS;

pub(super) use failure::Failure;
pub use pool::PoolUsage;
pub(super) use row::{Row, damaged};
pub use signal::ChangeSignal;
pub(super) use value::{Value, values};

use std::time::Duration;

use tokio::time::Instant;

use self::postgres::{Postgres, PostgresTx};
use self::sqlite::{Sqlite, SqliteTx};
use self::text_search::TextSearch;
use super::error::{OpenError, StoreError};
use super::options::{Location, StoreOptions};

/// A database.
#[derive(Clone)]
pub(super) enum Db {
    /// One server for any number of nodes.
    Postgres(Postgres),
    /// One file for one node.
    Sqlite(Sqlite),
}

impl Db {
    /// Opens the database and brings its tables up to date.
    pub(super) async fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        match &options.location {
            Location::File(path) => Sqlite::open(path, options).await.map(Self::Sqlite),
            Location::Server(url) => Postgres::open(url, options).await.map(Self::Postgres),
        }
    }

    /// Runs a statement that changes nothing and gives its rows.
    pub(super) async fn fetch_all(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(db) => db.fetch_all(sql, values).await,
            Self::Sqlite(db) => db.fetch_all(sql, values).await,
        }
    }

    /// Runs a statement that lists or counts what belongs to a project and gives its rows.
    pub(super) async fn fetch_list(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(db) => db.fetch_list(sql, values).await,
            Self::Sqlite(db) => db.fetch_all(sql, values).await,
        }
    }

    /// Runs a statement that may look through much of what belongs to a project and gives its rows. Only few of them run at one
    /// time, on connections of their own, so that nothing else waits for them.
    pub(super) async fn fetch_report(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(db) => db.fetch_report(sql, values).await,
            Self::Sqlite(db) => db.fetch_report(sql, values).await,
        }
    }

    /// Runs a statement that counts what belongs to a project, as `total`.
    pub(super) async fn count(&self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        total(&self.fetch_list(sql, values).await?)
    }

    /// Runs a statement that changes nothing and gives its first row.
    pub(super) async fn fetch_optional(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, Failure> {
        match self {
            Self::Postgres(db) => db.fetch_optional(sql, values).await,
            Self::Sqlite(db) => db.fetch_optional(sql, values).await,
        }
    }

    /// Runs a statement that changes nothing and always has a row.
    pub(super) async fn fetch_one(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Row, Failure> {
        self.fetch_optional(sql, values).await?.ok_or_else(|| Failure::fault("a row is missing"))
    }

    /// Begins a transaction that may write. It has until the deadline of one operation.
    pub(super) async fn begin(&self) -> Result<Tx, Failure> {
        self.begin_within(self.timeout()).await
    }

    /// Begins a transaction that may write and may take this long.
    pub(super) async fn begin_within(&self, timeout: Duration) -> Result<Tx, Failure> {
        let deadline = Instant::now() + timeout;
        match self {
            Self::Postgres(db) => db.begin(deadline).await.map(Tx::Postgres),
            Self::Sqlite(db) => db.begin(deadline).await.map(Tx::Sqlite),
        }
    }

    /// Whether one transaction waits for the other, so that what can share one should.
    pub(super) fn has_one_writer(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// By when an operation that begins now has to be done.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout()
    }

    /// A wake-up for each change of the change log.
    pub(super) async fn listen(&self) -> Result<ChangeSignal, Failure> {
        match self {
            Self::Postgres(db) => db.listen().await,
            Self::Sqlite(db) => Ok(db.listen()),
        }
    }

    /// How to search products for words here.
    pub(super) fn product_search(&self) -> &'static TextSearch {
        match self {
            Self::Postgres(_) => &text_search::POSTGRES_PRODUCTS,
            Self::Sqlite(_) => &text_search::SQLITE_PRODUCTS,
        }
    }

    /// How to search users for words here.
    pub(super) fn user_search(&self) -> &'static TextSearch {
        match self {
            Self::Postgres(_) => &text_search::POSTGRES_USERS,
            Self::Sqlite(_) => &text_search::SQLITE_USERS,
        }
    }

    /// Closes all connections, after what is under way.
    pub(super) async fn close(&self) {
        match self {
            Self::Postgres(db) => db.close().await,
            Self::Sqlite(db) => db.close().await,
        }
    }

    /// How much of each pool is in use, by what it is for.
    pub(super) fn usage(&self) -> Vec<(&'static str, PoolUsage)> {
        match self {
            Self::Postgres(db) => db.usage().to_vec(),
            Self::Sqlite(db) => db.usage().to_vec(),
        }
    }

    fn timeout(&self) -> Duration {
        match self {
            Self::Postgres(db) => db.timeout(),
            Self::Sqlite(db) => db.timeout(),
        }
    }
}

/// What a statement counted, as `total`.
pub(super) fn total(rows: &[Row]) -> Result<u64, StoreError> {
    let total = rows.first().ok_or_else(|| Failure::fault("a count is missing"))?.int("total")?;
    u64::try_from(total).map_err(|_| damaged("total"))
}

/// A transaction that may write. Dropped before [`Tx::commit`], it changes nothing.
pub(super) enum Tx {
    /// See [`Db::Postgres`].
    Postgres(PostgresTx),
    /// See [`Db::Sqlite`].
    Sqlite(SqliteTx),
}

impl Tx {
    /// Runs a statement and gives the number of rows it changed.
    pub(super) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Failure> {
        match self {
            Self::Postgres(tx) => tx.execute(sql, values).await,
            Self::Sqlite(tx) => tx.execute(sql, values).await,
        }
    }

    /// Runs a statement and gives its rows.
    pub(super) async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        match self {
            Self::Postgres(tx) => tx.fetch_all(sql, values).await,
            Self::Sqlite(tx) => tx.fetch_all(sql, values).await,
        }
    }

    /// Runs a statement and gives its first row. One that changes rows must change at most one, for the rest of them may
    /// not be looked at.
    pub(super) async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, Failure> {
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    /// Runs a statement that always has a row.
    pub(super) async fn fetch_one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Row, Failure> {
        self.fetch_optional(sql, values).await?.ok_or_else(|| Failure::fault("a row is missing"))
    }

    /// Wakes everybody who listens, once the transaction is committed.
    pub(super) async fn announce(&mut self) -> Result<(), Failure> {
        match self {
            Self::Postgres(tx) => tx.announce().await,
            Self::Sqlite(tx) => {
                tx.announce();
                Ok(())
            }
        }
    }

    /// Makes the changes last. When this returns they are on the disk.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        match self {
            Self::Postgres(tx) => tx.commit().await,
            Self::Sqlite(tx) => tx.commit().await,
        }
    }
}
