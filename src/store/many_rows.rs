//! Inserting many rows by few statements.

use std::sync::LazyLock;

use super::db::{Tx, Value};
use super::error::{Conflict, Result};

/// An insertion of many rows, and of one for what is left over.
pub(super) struct Insertion {
    pub(super) many: LazyLock<&'static str>,
    pub(super) one: LazyLock<&'static str>,
    pub(super) columns: usize,
}

/// The same where a row that is there already is changed.
pub(super) type Upsert = Insertion;

/// Rows on their way to an insertion.
pub(super) struct Rows<'a> {
    insertion: &'static Insertion,
    values: Vec<Value<'a>>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(insertion: &'static Insertion) -> Self {
        Self { insertion, values: Vec::with_capacity(insertion.columns * ROWS) }
    }

    pub(super) fn add(&mut self, row: &[Value<'a>]) {
        debug_assert_eq!(row.len(), self.insertion.columns);
        self.values.extend_from_slice(row);
    }

    pub(super) async fn insert_if_full(&mut self, tx: &mut Tx) -> Result<()> {
        if self.values.len() < self.insertion.columns * ROWS { Ok(()) } else { self.insert(tx).await }
    }

    pub(super) async fn insert(&mut self, tx: &mut Tx) -> Result<()> {
        let Insertion { many, one, columns } = self.insertion;
        for rows in self.values.chunks(columns * ROWS) {
            let full = rows.len() == columns * ROWS;
            let (sql, length) = if full { (**many, rows.len()) } else { (**one, *columns) };
            for values in rows.chunks(length) {
                tx.execute(sql, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
            }
        }
        self.values.clear();
        Ok(())
    }
}

/// An insertion into a table and its columns, of which there are so many.
macro_rules! insertion {
    ($into:literal, $columns:literal) => {
        $crate::store::many_rows::insertion!($into, $columns, "")
    };
    ($into:literal, $columns:literal, $conflict:literal) => {
        $crate::store::many_rows::Insertion {
            many: std::sync::LazyLock::new(|| {
                $crate::store::many_rows::sql($into, $columns, $crate::store::many_rows::ROWS, $conflict)
            }),
            one: std::sync::LazyLock::new(|| $crate::store::many_rows::sql($into, $columns, 1, $conflict)),
            columns: $columns,
        }
    };
}
pub(super) use insertion;

/// The statement for so many rows. It is made once and holds nothing but the numbers of its placeholders, so it may stay.
pub(super) fn sql(into: &str, columns: usize, rows: usize, conflict: &str) -> &'static str {
    let row = |row: usize| {
        let places: Vec<String> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    format!("INSERT INTO {into} VALUES {} {conflict}", rows.join(", ")).leak()
}

/// Rows of one insertion. 25 columns of so many rows stay below the placeholders that a statement may have: 32,766 in
/// SQLite, 65,535 in PostgreSQL.
pub(super) const ROWS: usize = 100;
