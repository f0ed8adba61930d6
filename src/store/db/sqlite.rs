//! SQLite: one file, one connection that writes, several that read.
//!
//! What is acknowledged survives a crash and a power loss: the write-ahead log is synchronised at each commit
//! (`synchronous = FULL`). Other processes on the same file are waited for, and their changes found by asking.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqliteQueryResult, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::engine::{self, Dialect, EngineTx};
use super::failure::Failure;
use super::migrations;
use super::pool::{Pool, PoolUsage};
use super::row::Row;
use super::signal::{ChangeSignal, Source};
use super::value::{self, Value};
use crate::store::error::OpenError;
use crate::store::options::StoreOptions;

impl Dialect for sqlx::Sqlite {
    /// A transaction that only later finds out that it writes can fail half-way; this one waits for its turn at once.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";

    /// The thread behind a connection cannot be stopped.
    const GIVES_UP: bool = false;

    fn query<'q>(sql: &'static str, values: &'q [Value<'q>]) -> Query<'q, Self, SqliteArguments> {
        value::sqlite(sql, values)
    }

    fn row(row: Self::Row) -> Row {
        Row::Sqlite(row)
    }

    async fn end_at(connection: &mut sqlx::SqliteConnection, end: Instant) -> Result<(), sqlx::Error> {
        let end = end.into_std();
        // Whether it may go on.
        connection.lock_handle().await?.set_progress_handler(STEPS, move || std::time::Instant::now() < end);
        Ok(())
    }

    async fn run(connection: &mut sqlx::SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(connection).await.map(drop)
    }
}

/// One database file.
#[derive(Clone)]
pub(in crate::store) struct Sqlite {
    writer: Pool<sqlx::Sqlite>,
    readers: Pool<sqlx::Sqlite>,
    reports: Pool<sqlx::Sqlite>,
    changed: Arc<watch::Sender<()>>,
    timeout: Duration,
}

impl Sqlite {
    pub(super) async fn open(path: &Path, options: &StoreOptions) -> Result<Self, OpenError> {
        make_private(path).map_err(|cause| OpenError::Database(format!("{}: {cause}", path.display())))?;
        let timeout = options.timeout;
        let base = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            // Below the deadline of an operation, so that the engine's own answer comes first.
            .busy_timeout(timeout * 3 / 4)
            .pragma("temp_store", "MEMORY")
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let writing = base
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("cache_size", "-16000")
            .pragma("journal_size_limit", "67108864")
            // 16 MiB: a page that is written again and again, as those of indices are, goes into the file once for all of them.
            .pragma("wal_autocheckpoint", "4000")
            // On macOS only this reaches the platter.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON");
        let reading = base.pragma("cache_size", "-2000").pragma("query_only", "ON");

        let db = Self {
            writer: Pool::new(writing.clone(), 1, RECOVERY),
            readers: Pool::new(reading.clone(), options.connections.max(1), RECOVERY),
            reports: Pool::new(reading.clone(), engine::REPORTS, RECOVERY),
            changed: Arc::new(watch::Sender::new(())),
            timeout,
        };
        let mut connection = prepare(&writing, timeout).await?;
        if let Err(cause) = connection.ping().await {
            return Err(OpenError::Database(cause.to_string()));
        }
        db.writer.keep(connection);
        db.readers.keep(reading.connect().await.map_err(|cause| OpenError::Database(cause.to_string()))?);
        Ok(db)
    }

    pub(super) async fn fetch_all(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        engine::fetch_all(&self.readers, self.timeout, sql, values, true).await
    }

    pub(super) async fn fetch_report(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        engine::fetch_report(&self.reports, self.timeout, sql, values).await
    }

    pub(super) async fn fetch_optional(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, Failure> {
        engine::fetch_optional(&self.readers, self.timeout, sql, values).await
    }

    pub(super) async fn begin(&self, deadline: Instant) -> Result<SqliteTx, Failure> {
        let tx = engine::begin(&self.writer, deadline).await?;
        Ok(SqliteTx { tx, changed: Arc::clone(&self.changed), announces: false })
    }

    pub(super) fn listen(&self) -> ChangeSignal {
        ChangeSignal(Source::Process(self.changed.subscribe()))
    }

    pub(super) async fn close(&self) {
        self.reports.close(self.timeout).await;
        self.readers.close(self.timeout).await;
        // Last, so that it finds the log unread by others and can empty it into the file.
        self.writer.close(self.timeout).await;
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn usage(&self) -> [(&'static str, PoolUsage); 3] {
        [("read", self.readers.usage()), ("write", self.writer.usage()), ("reports", self.reports.usage())]
    }
}

/// A transaction on the connection that writes.
pub(in crate::store) struct SqliteTx {
    tx: EngineTx<sqlx::Sqlite>,
    changed: Arc<watch::Sender<()>>,
    announces: bool,
}

impl SqliteTx {
    pub(super) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Failure> {
        self.tx.execute(sql, values, SqliteQueryResult::rows_affected).await
    }

    pub(super) async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        self.tx.fetch_all(sql, values).await
    }

    pub(super) fn announce(&mut self) {
        self.announces = true;
    }

    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.tx.commit().await?;
        if self.announces {
            self.changed.send_replace(());
        }
        Ok(())
    }
}

/// Opens the connection that writes and brings the tables up to date. A second process that starts at the same time is
/// waited for: making the write-ahead log is the one step that SQLite does not wait for by itself.
async fn prepare(options: &SqliteConnectOptions, patience: Duration) -> Result<sqlx::SqliteConnection, OpenError> {
    let deadline = Instant::now() + patience;
    loop {
        let busy = match options.connect().await {
            Ok(mut connection) => match migrations::apply_sqlite(&mut connection).await {
                Ok(()) => return Ok(connection),
                Err(error) => return Err(error),
            },
            Err(sqlx::Error::Database(cause)) if is_busy(&*cause) => cause,
            Err(cause) => return Err(OpenError::Database(cause.to_string())),
        };
        if Instant::now() > deadline {
            return Err(OpenError::Database(busy.to_string()));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// SQLITE_BUSY and its extended codes.
fn is_busy(cause: &dyn sqlx::error::DatabaseError) -> bool {
    cause.code().and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| code & 0xff == 5)
}

/// Makes the file readable for its owner only. SQLite gives its other files the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// How long a statement that nobody waits for any more may go on before its connection is given up.
const RECOVERY: Duration = Duration::from_secs(60);
/// Steps of SQLite's machine between two looks at the clock: well below a millisecond.
const STEPS: i32 = 10_000;
