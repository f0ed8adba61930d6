//! Connections kept open for use again.
//!
//! The driver has a pool of its own, but it asks a connection for a sign of life after each use, which doubles the work of
//! a look-up, and it does so without a time limit, so that a server that went silent would keep its places taken. Here a
//! connection that ended its work properly goes back as it is; any other proves itself first, in bounded time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Database};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::engine::Dialect;
use super::failure::Failure;

type Options<D> = <<D as Database>::Connection as Connection>::Options;

/// How much of a pool is in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PoolUsage {
    /// Connections that can be in use at the same time.
    pub size: u32,
    /// Connections that are.
    pub in_use: u32,
}

/// A bounded number of connections.
pub(super) struct Pool<D: Dialect>(Arc<Shared<D>>);

struct Shared<D: Dialect> {
    options: Options<D>,
    size: u32,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<D::Connection>>,
    recovery: Duration,
}

impl<D: Dialect> Pool<D> {
    /// A pool of up to `size` connections. One that was left in the middle of its work has `recovery` to come back.
    pub(super) fn new(options: Options<D>, size: u32, recovery: Duration) -> Self {
        let places = Arc::new(Semaphore::new(size as usize));
        Self(Arc::new(Shared { options, size, places, idle: Mutex::default(), recovery }))
    }

    /// Takes a connection for one piece of work.
    pub(super) async fn lease(&self, deadline: Instant) -> Result<Lease<D>, Failure> {
        let waiting = Arc::clone(&self.0.places).acquire_owned();
        let place = match timeout_at(deadline, waiting).await {
            Ok(Ok(place)) => place,
            // Closed: the process is about to end.
            Ok(Err(_)) => return Err(Failure::Unavailable),
            Err(_) => return Err(Failure::timed_out()),
        };
        let kept = self.idle().pop();
        let reused = kept.is_some();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect(deadline).await?,
        };
        let pool = self.clone();
        Ok(Lease { connection: Some(connection), reused, in_transaction: false, pool, place: Some(place) })
    }

    /// Opens a connection that does not count.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<D::Connection, Failure> {
        match timeout_at(deadline, self.0.options.connect()).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Failure::timed_out()),
        }
    }

    /// Keeps a connection for later.
    pub(super) fn keep(&self, connection: D::Connection) {
        if !self.0.places.is_closed() {
            self.idle().push(connection);
        }
    }

    /// Ends all connections that wait for work; after one of them was found dead, the others are likely to be so too.
    pub(super) fn forget_idle(&self) {
        let idle = std::mem::take(&mut *self.idle());
        drop(idle);
    }

    /// Lets what is under way end, for as long as that may take at most, and closes the connections.
    pub(super) async fn close(&self, patience: Duration) {
        let all = timeout(patience, self.0.places.acquire_many(self.0.size)).await;
        self.0.places.close();
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            let closed = timeout(patience, connection.close()).await;
            if !matches!(closed, Ok(Ok(()))) {
                tracing::debug!("a connection to the database did not close in order");
            }
        }
        drop(all);
    }

    /// How much of it is in use.
    pub(super) fn usage(&self) -> PoolUsage {
        let free = u32::try_from(self.0.places.available_permits()).unwrap_or(u32::MAX);
        PoolUsage { size: self.0.size, in_use: self.0.size.saturating_sub(free) }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<D::Connection>> {
        // Nothing that can panic runs under the lock, and a list of connections has no half-changed state.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Dialect> Clone for Pool<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A connection in use. Dropped without [`Lease::end`], it was left in the middle of its work.
pub(super) struct Lease<D: Dialect> {
    connection: Option<D::Connection>,
    reused: bool,
    in_transaction: bool,
    pool: Pool<D>,
    place: Option<OwnedSemaphorePermit>,
}

impl<D: Dialect> Lease<D> {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut D::Connection {
        // It is taken out only where the lease itself ends.
        self.connection.as_mut().expect("a lease has its connection until it ends")
    }

    /// Whether the connection was used before, so that it may have died in the meantime.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Says that a transaction may be open from here on, until [`Lease::end`].
    pub(super) fn enter_transaction(&mut self) {
        self.in_transaction = true;
    }

    /// Gives the connection back after work that ended properly.
    pub(super) fn end(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.keep(connection);
        }
    }

    /// Gives the connection up: it is dead.
    pub(super) fn discard(mut self) {
        self.connection = None;
    }

    /// Ends the wait for a connection that did not answer in time.
    pub(super) fn time_out(self) {
        if D::GIVES_UP {
            self.discard();
        }
    }
}

impl<D: Dialect> Drop for Lease<D> {
    /// Whoever waited for the work has gone. The connection may still be at it, or in a transaction: it is rolled back and
    /// asked for a sign of life before anybody else gets it; its place stays taken until then.
    fn drop(&mut self) {
        let (Some(mut connection), Some(place)) = (self.connection.take(), self.place.take()) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let (pool, in_transaction) = (self.pool.clone(), self.in_transaction);
        runtime.spawn(async move {
            let recovering = async {
                match in_transaction {
                    true => D::run(&mut connection, "ROLLBACK").await,
                    false => connection.ping().await,
                }
            };
            // A rollback also fails where the database has rolled back by itself: better a new connection than a guess.
            if let Ok(Ok(())) = timeout(pool.0.recovery, recovering).await {
                pool.keep(connection);
            }
            drop(place);
        });
    }
}
