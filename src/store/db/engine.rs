//! Running statements and transactions on a pool, alike for both engines.

use std::time::Duration;

use sqlx::database::HasStatementCache;
use sqlx::query::Query;
use sqlx::{Database, Error, Executor, IntoArguments};
use tokio::time::{Instant, timeout_at};

use super::failure::{Failure, is_connection_lost, is_ended};
use super::pool::{Lease, Pool};
use super::row::Row;
use super::value::Value;

/// What an engine adds to its driver.
pub(super) trait Dialect: Database + HasStatementCache {
    /// How a transaction that will write begins.
    const BEGIN: &'static str;

    /// Whether a connection that does not answer in time is best given up. If not, it keeps its place until it answers: a
    /// thread that is still at work must count.
    const GIVES_UP: bool;

    /// A statement with its values.
    fn query<'q>(sql: &'static str, values: &'q [Value<'q>]) -> Query<'q, Self, Self::Arguments>;

    /// A row of the engine.
    fn row(row: Self::Row) -> Row;

    /// Has the next statement of a report end at this time, where the engine is not told for all of them.
    fn end_at(connection: &mut Self::Connection, end: Instant) -> impl Future<Output = Result<(), Error>> + Send;

    /// Runs a statement without values or rows.
    fn run(connection: &mut Self::Connection, sql: &'static str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Runs a statement that changes nothing. A connection that died while it waited for work is replaced once. A statement
/// that is not kept prepared is planned anew, for its values.
pub(super) async fn fetch_all<D>(
    pool: &Pool<D>,
    timeout: Duration,
    sql: &'static str,
    values: &[Value<'_>],
    kept: bool,
) -> Result<Vec<Row>, Failure>
where
    D: Dialect,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let deadline = Instant::now() + timeout;
    loop {
        let mut lease = pool.lease(deadline).await?;
        let rows = timeout_at(deadline, D::query(sql, values).persistent(kept).fetch_all(lease.connection())).await;
        if let Some(rows) = settle(pool, lease, rows)? {
            return Ok(rows.into_iter().map(D::row).collect());
        }
    }
}

/// Runs a statement that may look through much and changes nothing, on a pool that is for such ones alone. It ends when it has taken
/// as long as an operation may, and is not even begun where those before it take too long.
pub(super) async fn fetch_report<D>(
    pool: &Pool<D>,
    timeout: Duration,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Vec<Row>, Failure>
where
    D: Dialect,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    loop {
        let patience = Instant::now() + timeout / 2;
        // The pool's own deadline comes after it.
        let Ok(lease) = timeout_at(patience, pool.lease(patience + timeout)).await else { return Err(Failure::Busy) };
        let (mut lease, end) = (lease?, Instant::now() + timeout);
        let running = async {
            D::end_at(lease.connection(), end).await?;
            D::query(sql, values).persistent(false).fetch_all(lease.connection()).await
        };
        let rows = match timeout_at(end + GRACE, running).await {
            Ok(Err(error)) if is_ended(&error) => {
                lease.end();
                return Err(Failure::TooMuch);
            }
            // What does not end by itself keeps its place until it does.
            Err(_) => return Err(Failure::TooMuch),
            rows => settle(pool, lease, rows)?,
        };
        if let Some(rows) = rows {
            return Ok(rows.into_iter().map(D::row).collect());
        }
    }
}

/// The first row of a statement that changes nothing. A connection that died while it waited for work is replaced once.
pub(super) async fn fetch_optional<D>(
    pool: &Pool<D>,
    timeout: Duration,
    sql: &'static str,
    values: &[Value<'_>],
) -> Result<Option<Row>, Failure>
where
    D: Dialect,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    let deadline = Instant::now() + timeout;
    loop {
        let mut lease = pool.lease(deadline).await?;
        let row = timeout_at(deadline, D::query(sql, values).fetch_optional(lease.connection())).await;
        if let Some(row) = settle(pool, lease, row)? {
            return Ok(row.map(D::row));
        }
    }
}

/// Begins a transaction. A connection that died while it waited for work is replaced once: nothing was done on it yet.
pub(super) async fn begin<D: Dialect>(pool: &Pool<D>, deadline: Instant) -> Result<EngineTx<D>, Failure> {
    loop {
        let mut lease = pool.lease(deadline).await?;
        lease.enter_transaction();
        match timeout_at(deadline, D::run(lease.connection(), D::BEGIN)).await {
            Ok(Ok(())) => return Ok(EngineTx { lease, deadline }),
            Err(_) => {
                lease.time_out();
                return Err(Failure::timed_out());
            }
            Ok(Err(error)) if is_connection_lost(&error) => {
                let again = lease.is_reused();
                lease.discard();
                pool.forget_idle();
                if !again {
                    return Err(error.into());
                }
            }
            Ok(Err(error)) => {
                // What could not begin is not there to be rolled back.
                lease.end();
                return Err(error.into());
            }
        }
    }
}

/// Ends a read: the result; none if it is to be tried again on another connection; or why it failed.
fn settle<D: Dialect, T>(
    pool: &Pool<D>,
    lease: Lease<D>,
    outcome: Result<Result<T, Error>, tokio::time::error::Elapsed>,
) -> Result<Option<T>, Failure> {
    match outcome {
        Ok(Ok(value)) => {
            lease.end();
            Ok(Some(value))
        }
        Ok(Err(error)) if is_connection_lost(&error) => {
            let again = lease.is_reused();
            lease.discard();
            pool.forget_idle();
            if again { Ok(None) } else { Err(error.into()) }
        }
        Ok(Err(error)) => {
            lease.end();
            Err(error.into())
        }
        Err(_) => {
            lease.time_out();
            Err(Failure::timed_out())
        }
    }
}

/// A transaction. Dropped before it is committed, it is rolled back.
pub(super) struct EngineTx<D: Dialect> {
    lease: Lease<D>,
    deadline: Instant,
}

impl<D> EngineTx<D>
where
    D: Dialect,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    /// See [`super::Tx::execute`]; `count` reads the engine's answer.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        count: fn(&D::QueryResult) -> u64,
    ) -> Result<u64, Failure> {
        let running = D::query(sql, values).execute(self.lease.connection());
        match timeout_at(self.deadline, running).await {
            Ok(result) => Ok(count(&result?)),
            Err(_) => Err(Failure::timed_out()),
        }
    }

    /// See [`super::Tx::fetch_all`].
    pub(super) async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        let running = D::query(sql, values).fetch_all(self.lease.connection());
        match timeout_at(self.deadline, running).await {
            Ok(rows) => Ok(rows?.into_iter().map(D::row).collect()),
            Err(_) => Err(Failure::timed_out()),
        }
    }

    /// See [`super::Tx::commit`].
    pub(super) async fn commit(mut self) -> Result<(), Failure> {
        match timeout_at(self.deadline, D::run(self.lease.connection(), "COMMIT")).await {
            Ok(Ok(())) => {
                self.lease.end();
                Ok(())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Failure::timed_out()),
        }
    }
}

/// Reports that are made at one time.
pub(super) const REPORTS: u32 = 2;
/// How much later than it was told to an engine may end a report.
const GRACE: Duration = Duration::from_millis(500);
