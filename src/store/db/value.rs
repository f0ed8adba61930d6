//! What is bound to a statement.

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;

use crate::domain::clock::Timestamp;

/// A value for a placeholder. The kinds are those that both engines store alike.
#[derive(Clone, Copy)]
pub(in crate::store) enum Value<'a> {
    /// Yes or no.
    Bool(Option<bool>),
    /// Bytes.
    Bytes(Option<&'a [u8]>),
    /// A number, or a time in microseconds.
    Int(Option<i64>),
    /// A text.
    Text(Option<&'a str>),
}

/// The values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::Value::from($value)),*] };
}
pub(in crate::store) use values;

macro_rules! from {
    ($($type:ty => $variant:ident($from:expr)),* $(,)?) => { $(
        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Self::$variant($from(value))
            }
        }
    )* };
}

from! {
    bool => Bool(Some),
    Option<bool> => Bool(|value| value),
    &'a [u8] => Bytes(Some),
    &'a [u8; 32] => Bytes(|bytes: &'a [u8; 32]| Some(bytes.as_slice())),
    &'a Vec<u8> => Bytes(|bytes: &'a Vec<u8>| Some(bytes.as_slice())),
    Option<&'a [u8]> => Bytes(|value| value),
    i64 => Int(Some),
    u32 => Int(|number| Some(i64::from(number))),
    Option<i64> => Int(|value| value),
    Timestamp => Int(|time: Timestamp| Some(time.micros())),
    Option<Timestamp> => Int(|time: Option<Timestamp>| time.map(Timestamp::micros)),
    &'a str => Text(Some),
    &'a String => Text(|text: &'a String| Some(text.as_str())),
    Option<&'a str> => Text(|value| value),
}

/// The statement with its values, for SQLite.
pub(super) fn sqlite<'q>(sql: &'static str, values: &'q [Value<'q>]) -> Query<'q, sqlx::Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Bool(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}

/// The statement with its values, for PostgreSQL.
pub(super) fn postgres<'q>(sql: &'static str, values: &'q [Value<'q>]) -> Query<'q, sqlx::Postgres, PgArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Bool(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
    })
}
