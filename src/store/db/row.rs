//! What a statement gives back.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Postgres, Row as _, Sqlite, Type};

use crate::domain::clock::Timestamp;
use crate::store::error::StoreError;

/// One row. A column that is missing or of another kind is damage, not a panic.
pub(in crate::store) enum Row {
    /// From PostgreSQL.
    Postgres(PgRow),
    /// From SQLite.
    Sqlite(SqliteRow),
}

impl Row {
    /// A text.
    pub(in crate::store) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.column(column)
    }

    /// A text or none.
    pub(in crate::store) fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.column(column)
    }

    /// A text, without a copy.
    pub(in crate::store) fn str(&self, column: &'static str) -> Result<&str, StoreError> {
        self.column(column)
    }

    /// A text or none, without a copy.
    pub(in crate::store) fn opt_str(&self, column: &'static str) -> Result<Option<&str>, StoreError> {
        self.column(column)
    }

    /// A number.
    pub(in crate::store) fn int(&self, column: &'static str) -> Result<i64, StoreError> {
        self.column(column)
    }

    /// A number or none.
    pub(in crate::store) fn opt_int(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.column(column)
    }

    /// Yes or no.
    pub(in crate::store) fn bool(&self, column: &'static str) -> Result<bool, StoreError> {
        self.column(column)
    }

    /// Bytes.
    pub(in crate::store) fn bytes(&self, column: &'static str) -> Result<&[u8], StoreError> {
        self.column(column)
    }

    /// Bytes or none.
    pub(in crate::store) fn opt_bytes(&self, column: &'static str) -> Result<Option<&[u8]>, StoreError> {
        self.column(column)
    }

    /// A time.
    pub(in crate::store) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        self.int(column).map(Timestamp::from_micros)
    }

    /// A time or none.
    pub(in crate::store) fn opt_time(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int(column)?.map(Timestamp::from_micros))
    }

    fn column<'r, T>(&'r self, column: &'static str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        let value = match self {
            Self::Postgres(row) => row.try_get(column),
            Self::Sqlite(row) => row.try_get(column),
        };
        value.map_err(|_| damaged(column))
    }
}

/// Says once, in the log, which column cannot be read.
pub(in crate::store) fn damaged(column: &'static str) -> StoreError {
    tracing::error!(column, "a stored value cannot be read");
    StoreError::Damaged(column)
}
