//! Which engine the suite runs on, and a database of its own for every server that runs on PostgreSQL.

use std::env;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::tools::left_out;

/// The engine behind the servers of this run: `GATEPOST_TEST_ENGINE`, SQLite unless given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Engine {
    /// A file in a temporary directory.
    Sqlite,
    /// A [`TestDatabase`].
    Postgres,
}

impl Engine {
    /// The engine of this run.
    pub(crate) fn chosen() -> Self {
        match env::var("GATEPOST_TEST_ENGINE").as_deref() {
            Err(_) | Ok("sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!("GATEPOST_TEST_ENGINE is {other:?}: it must be sqlite or postgres"),
        }
    }
}

/// An empty database on the server named by `GATEPOST_TEST_POSTGRES`; dropped with this value, whoever is connected.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    name: String,
    server: String,
}

impl TestDatabase {
    /// Makes one; `None`, after saying so, where there is no server.
    pub(crate) async fn create() -> Option<Self> {
        let Ok(server) = env::var("GATEPOST_TEST_POSTGRES") else {
            left_out("PostgreSQL (GATEPOST_TEST_POSTGRES names no server)");
            return None;
        };
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("gatepost_test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // A run that was killed may have left one of this name.
        let statements = [drop_statement(&name), format!("CREATE DATABASE {name} TEMPLATE template0")];
        execute(&server, &statements).await.unwrap_or_else(|error| panic!("making {name}: {error}"));
        Some(Self { name, server })
    }

    /// Its `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        let (address, parameters) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (host, _) = address.rsplit_once('/').expect("GATEPOST_TEST_POSTGRES ends in a database name");
        format!("{host}/{}?{parameters}", self.name).trim_end_matches('?').to_owned()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // On a thread of its own: the one that drops may be inside a runtime, or unwinding.
        let (server, statement) = (self.server.clone(), drop_statement(&self.name));
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let dropped = runtime.block_on(execute(&server, &[statement]));
            // Nobody may be waiting any more.
            let _ = tell.send(dropped.is_ok());
            io::Result::Ok(())
        });
        // Not for ever: PostgreSQL drops no database while any connection to it is being authenticated, and the other end
        // of that one may be a task of ours that gets no turn while we wait. It goes on once this thread does.
        if let Ok(false) | Err(mpsc::RecvTimeoutError::Disconnected) = told.recv_timeout(PATIENCE) {
            eprintln!("the database {} is left behind", self.name);
        }
    }
}

fn drop_statement(name: &str) -> String {
    format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")
}

async fn execute(server: &str, statements: &[String]) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(server).await?;
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement.as_str())).execute(&mut connection).await?;
    }
    connection.close().await
}

/// Dropping a database takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
