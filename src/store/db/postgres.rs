//! PostgreSQL: one server, any number of nodes.
//!
//! The connection must be a session of its own (no transaction pooler between), because statements stay prepared and
//! changes are told with LISTEN and NOTIFY.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgListener, PgPoolOptions, PgQueryResult};
use sqlx::query::Query;
use tokio::time::{Instant, timeout};

use super::engine::{self, Dialect, EngineTx};
use super::failure::Failure;
use super::migrations;
use super::pool::{Pool, PoolUsage};
use super::row::Row;
use super::signal::{CHANNEL, ChangeSignal, Source};
use super::value::{self, Value, values};
use crate::store::error::OpenError;
use crate::store::options::StoreOptions;

impl Dialect for sqlx::Postgres {
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

    /// The server ends what is still at work (`statement_timeout`) or finds nobody to answer.
    const GIVES_UP: bool = true;

    fn query<'q>(sql: &'static str, values: &'q [Value<'q>]) -> Query<'q, Self, PgArguments> {
        value::postgres(sql, values)
    }

    fn row(row: Self::Row) -> Row {
        Row::Postgres(row)
    }

    /// The server was told for all of them (`statement_timeout`).
    async fn end_at(_: &mut sqlx::PgConnection, _: Instant) -> Result<(), sqlx::Error> {
        Ok(())
    }

    async fn run(connection: &mut sqlx::PgConnection, sql: &'static str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(sql).execute(connection).await.map(drop)
    }
}

/// One database of a server.
#[derive(Clone)]
pub(in crate::store) struct Postgres {
    pool: Pool<sqlx::Postgres>,
    reports: Pool<sqlx::Postgres>,
    options: Arc<PgConnectOptions>,
    timeout: Duration,
}

impl Postgres {
    pub(super) async fn open(url: &str, options: &StoreOptions) -> Result<Self, OpenError> {
        let limit = options.timeout;
        let connecting = PgConnectOptions::from_str(url)
            .map_err(|_| OpenError::BadUrl("cannot be read"))?
            .application_name("gatepost")
            .disable_statement_logging();
        // The server ends what a node began and then was cut off from, so that no lock outlives its node for long.
        let server_limit = format!("{}ms", (limit * 2).as_millis());
        let working = connecting.clone().options(LIMITS.map(|name| (name, server_limit.as_str())));
        let mut connection = match timeout(OPENING, connecting.connect()).await {
            Ok(connected) => connected.map_err(|cause| OpenError::Database(cause.to_string()))?,
            Err(_) => return Err(OpenError::TimedOut(OPENING)),
        };
        // A migration takes as long as it takes; the limits come after it, and the connection goes on to work.
        migrations::apply_postgres(&mut connection).await?;
        for name in LIMITS {
            let values = values![name, &server_limit];
            let set = value::postgres("SELECT set_config($1, $2, false)", values);
            set.execute(&mut connection).await.map_err(|cause| OpenError::Database(cause.to_string()))?;
        }
        let of_reports = (options.connections / 3).clamp(1, engine::REPORTS);
        let pool = Pool::new(working.clone(), options.connections.saturating_sub(of_reports).max(1), limit);
        pool.keep(connection);
        let report_limit = format!("{}ms", limit.as_millis());
        let reporting = connecting.options(LIMITS.map(|name| (name, report_limit.as_str())));
        let reports = Pool::new(reporting, of_reports, limit);
        Ok(Self { pool, reports, options: Arc::new(working), timeout: limit })
    }

    pub(super) async fn fetch_all(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        engine::fetch_all(&self.pool, self.timeout, sql, values, true).await
    }

    /// A plan for any values would suit the largest project: it may walk through all projects to spare a look into the
    /// index, and would do so for the smallest as well.
    pub(super) async fn fetch_list(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        engine::fetch_all(&self.pool, self.timeout, sql, values, false).await
    }

    pub(super) async fn fetch_report(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        engine::fetch_report(&self.reports, self.timeout, sql, values).await
    }

    pub(super) async fn fetch_optional(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<Row>, Failure> {
        engine::fetch_optional(&self.pool, self.timeout, sql, values).await
    }

    pub(super) async fn begin(&self, deadline: Instant) -> Result<PostgresTx, Failure> {
        let mut tx = PostgresTx(engine::begin(&self.pool, deadline).await?);
        let left = deadline.saturating_duration_since(Instant::now());
        if left > self.timeout * 2 {
            let left = left.as_millis().to_string();
            tx.fetch_all("SELECT set_config('statement_timeout', $1, true)", values![&left]).await?;
        }
        Ok(tx)
    }

    /// A connection of its own, for as long as the signal lives.
    pub(super) async fn listen(&self) -> Result<ChangeSignal, Failure> {
        let listening = async {
            let one = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .acquire_timeout(self.timeout)
                .connect_lazy_with(self.options.as_ref().clone());
            let mut listener = PgListener::connect_with(&one).await?;
            listener.ignore_pool_close_event(true);
            listener.eager_reconnect(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match timeout(self.timeout, listening).await {
            Ok(listener) => Ok(ChangeSignal(Source::Server(Box::new(listener?)))),
            Err(_) => Err(Failure::timed_out()),
        }
    }

    pub(super) async fn close(&self) {
        self.reports.close(self.timeout).await;
        self.pool.close(self.timeout).await;
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn usage(&self) -> [(&'static str, PoolUsage); 2] {
        [("all", self.pool.usage()), ("reports", self.reports.usage())]
    }
}

/// A transaction on one of the connections.
pub(in crate::store) struct PostgresTx(EngineTx<sqlx::Postgres>);

impl PostgresTx {
    pub(super) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Failure> {
        self.0.execute(sql, values, PgQueryResult::rows_affected).await
    }

    pub(super) async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        self.0.fetch_all(sql, values).await
    }

    /// The server tells it when the transaction is committed, and not before.
    pub(super) async fn announce(&mut self) -> Result<(), Failure> {
        self.fetch_all("SELECT pg_notify($1, '')", values![CHANNEL]).await.map(drop)
    }

    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.0.commit().await
    }
}

/// What the server ends by itself: statements, and transactions in which nothing happens any more.
const LIMITS: [&str; 2] = ["statement_timeout", "idle_in_transaction_session_timeout"];

/// How long the first connection may take.
const OPENING: Duration = Duration::from_secs(10);
