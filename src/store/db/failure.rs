//! What the drivers' errors mean, and what of them may be logged.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sqlx::Error;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::domain::throttle::Throttle;
use crate::store::error::{Conflict, StoreError};

/// Writes down that the database cannot be worked with, now and then: while it is away every operation meets it.
macro_rules! unavailable {
    ($($line:tt)*) => {{
        static LINES: Throttle = Throttle::new(LOG_EVERY);
        if let Some(others) = LINES.pass(STARTED.elapsed()) {
            tracing::error!(others, $($line)*);
        }
        Failure::Unavailable
    }};
}

/// How a statement failed.
#[derive(Debug)]
pub(in crate::store) enum Failure {
    /// A unique value is there already.
    Duplicate,
    /// The statement or the data is wrong; trying again does not help. Logged.
    Fault(&'static str),
    /// A report took longer than it may.
    TooMuch,
    /// As many reports are made as may be at one time.
    Busy,
    /// The database did not do its part. Logged, but no more than once a second for each way to fail.
    Unavailable,
}

impl Failure {
    /// A fault found by ourselves.
    pub(in crate::store) fn fault(what: &'static str) -> Self {
        tracing::error!(what, "the store broke a rule of its own");
        Self::Fault(what)
    }

    /// The operation's deadline passed.
    pub(super) fn timed_out() -> Self {
        unavailable!("the database did not answer in time")
    }

    /// What this means where a duplicate is a conflict to be expected.
    pub(in crate::store) fn or_conflict(self, conflict: Conflict) -> StoreError {
        match self {
            Self::Duplicate => StoreError::Conflict(conflict),
            other => other.into(),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Duplicate => {
                tracing::error!("a value that must be new is stored already");
                Self::Damaged("a value that must be new is stored already")
            }
            Failure::Fault(what) => Self::Damaged(what),
            Failure::TooMuch => Self::TooMuch,
            Failure::Busy => Self::Busy,
            Failure::Unavailable => Self::Unavailable,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Database(cause) if cause.is_unique_violation() => Self::Duplicate,
            Error::Database(cause) => from_database(&**cause),
            Error::PoolTimedOut => unavailable!("no connection to the database was free in time"),
            Error::Io(cause) => unavailable!(kind = ?cause.kind(), "the connection to the database broke"),
            Error::PoolClosed => Self::Unavailable,
            Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::BeginFailed => {
                unavailable!(kind = kind(&error), "the connection to the database broke")
            }
            _ => {
                tracing::error!(kind = kind(&error), "the driver refused a statement");
                Self::Fault("the driver refused a statement")
            }
        }
    }
}

/// Whether the engine ended a statement at its deadline: SQLite's INTERRUPT, PostgreSQL's `query_canceled`.
pub(super) fn is_ended(error: &Error) -> bool {
    matches!(error, Error::Database(cause) if matches!(cause.code().as_deref(), Some("9" | "57014")))
}

/// Whether a new connection may do better.
pub(super) fn is_connection_lost(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Protocol(_) | Error::Tls(_) | Error::WorkerCrashed => true,
        // The server ends its connections when it stops (PostgreSQL, appendix A, class 57).
        Error::Database(cause) => matches!(cause.code().as_deref(), Some("57P01" | "57P02" | "57P03")),
        _ => false,
    }
}

/// The database's own words can hold values, so they are logged only for failures of the machine, never of a statement.
fn from_database(cause: &dyn DatabaseError) -> Failure {
    let code = cause.code().unwrap_or_default();
    let of_machine = if cause.try_downcast_ref::<SqliteError>().is_some() {
        code.parse::<i32>().is_ok_and(|code| SQLITE_MACHINE.contains(&(code & 0xff)))
    } else {
        cause.try_downcast_ref::<PgDatabaseError>().is_some()
            && code.get(..2).is_some_and(|class| POSTGRES_MACHINE.contains(&class))
    };
    if of_machine {
        unavailable!(%code, cause = cause.message(), "the database cannot do its part")
    } else {
        tracing::error!(%code, "the database refused a statement");
        Failure::Fault("the database refused a statement")
    }
}

/// The error's kind, without what it holds.
fn kind(error: &Error) -> &'static str {
    match error {
        Error::BeginFailed => "begin",
        Error::ColumnDecode { .. } | Error::Decode(_) => "decode",
        Error::ColumnIndexOutOfBounds { .. } | Error::ColumnNotFound(_) => "column",
        Error::Configuration(_) => "configuration",
        Error::Encode(_) => "encode",
        Error::Protocol(_) => "protocol",
        Error::Tls(_) => "tls",
        Error::TypeNotFound { .. } => "type",
        Error::WorkerCrashed => "worker",
        _ => "other",
    }
}

/// SQLite's primary result codes PERM, BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL
/// and NOTADB.
const SQLITE_MACHINE: [i32; 12] = [3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26];

/// PostgreSQL's classes for the connection, authentication, missing database, rollback by the server, resources, its state,
/// the operator, the system and internal errors; and read-only or ended transactions.
const POSTGRES_MACHINE: [&str; 11] = ["08", "25", "28", "3D", "40", "53", "54", "55", "57", "58", "XX"];

/// Where the throttles count from.
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
const LOG_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_lost_database_does_not_fill_the_log() {
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        let began = Instant::now();
        tracing::subscriber::with_default(subscriber, || {
            // Another test may take the line of the first second.
            while log.0.lock().unwrap().is_empty() {
                for _ in 0..1000 {
                    assert!(matches!(
                        Failure::from(Error::Io(ErrorKind::ConnectionReset.into())),
                        Failure::Unavailable
                    ));
                }
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = text.matches("the connection to the database broke").count();
        assert!((1..=1 + began.elapsed().as_secs() as usize).contains(&lines), "{lines} lines");
        assert!(text.contains("others="), "{text}");
    }
}
