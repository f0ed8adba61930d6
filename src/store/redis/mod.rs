//! Redis or Valkey, where it is configured: what was spent of rate limits, counted once for all nodes.
//!
//! One script (`take.lua`) holds a call against all of its limits at once. The time is that of Redis itself, so that nodes
//! whose clocks differ count alike. Nothing is kept that does not matter any more: each bucket ends when it is whole again.
//!
//! Where Redis is away, or does not answer in time, that is found out once and not by each call: the session is over, and
//! whoever asks has to do without until there is a new one. What was spent meanwhile, and what a Redis that lost its memory
//! has forgotten, is told to the new one by those who know it ([`Question::least`]).
//!
//! Owns the connection and the form of what is kept. Knows nothing of what a node does without it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::domain::clock::Timestamp;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::limits::together::{Question, Told};
use crate::domain::limit::tally::Owed;

/// A Redis or Valkey server, or what stands before several. Clones share the connection.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    script: Script,
    /// How long a call waits for an answer.
    patience: Duration,
    /// None while there is no answer.
    session: ArcSwapOption<Session>,
    begun: AtomicU64,
    lost: Arc<Notify>,
}

/// A connection from its beginning to its end.
pub struct Session {
    connection: MultiplexedConnection,
    number: u64,
}

/// Why what was configured cannot be used.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct RedisUrlError(&'static str);

/// Why there is no answer.
#[derive(Debug, Error)]
enum Lost {
    #[error("{0}")]
    Failed(#[from] RedisError),
    #[error("no answer in time")]
    TimedOut,
    #[error("an answer of another form")]
    Strange,
}

impl Redis {
    /// Connects, and keeps on trying where there is no answer.
    ///
    /// # Errors
    /// When the URL names nothing that could be connected to.
    pub async fn open(url: &str, patience: Duration) -> Result<Self, RedisUrlError> {
        // What the library says might quote the URL.
        let client = Client::open(url).map_err(|_| RedisUrlError("it names no server that can be connected to"))?;
        let inner = Arc::new(Inner {
            client,
            script: Script::new(TAKE),
            patience,
            session: ArcSwapOption::empty(),
            begun: AtomicU64::new(0),
            lost: Arc::new(Notify::new()),
        });
        if let Err(error) = inner.connect().await {
            tracing::warn!(%error, "Redis does not answer; this node counts rate limits by itself");
        }
        tokio::spawn(keep(Arc::downgrade(&inner), Arc::clone(&inner.lost)));
        Ok(Self(inner))
    }

    /// The session with it; none while it does not answer.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.0.session.load_full()
    }

    /// Takes what a call costs from all of these buckets, or from none if one has not enough, or if `takes` is false. The
    /// time is that of Redis unless it is given. None where there is no answer in time: then nobody knows whether something
    /// was taken.
    pub async fn take(
        &self,
        session: &Session,
        questions: &[Question<'_>],
        takes: bool,
        now: Option<Timestamp>,
    ) -> Option<Vec<Told>> {
        match timeout(self.0.patience, self.0.ask(session, questions, takes, now)).await.unwrap_or(Err(Lost::TimedOut))
        {
            Ok(told) => Some(told),
            Err(error) => {
                self.0.lose(session, &error);
                None
            }
        }
    }
}

impl Session {
    /// Which it is, counted from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Inner {
    async fn ask(
        &self,
        session: &Session,
        questions: &[Question<'_>],
        takes: bool,
        now: Option<Timestamp>,
    ) -> Result<Vec<Told>, Lost> {
        let mut call = self.script.prepare_invoke();
        call.arg(now.map_or(0, Timestamp::micros)).arg(u8::from(takes));
        for Question { bucket, terms, price, least } in questions {
            // Windows are whole seconds.
            call.key(key(bucket)).arg(terms.calls).arg(terms.window / MICROS);
            call.arg(price.micros).arg(price.part).arg(least.micros).arg(least.part);
        }
        let told: Vec<u64> = call.invoke_async(&mut session.connection.clone()).await?;
        let told: Option<Vec<Told>> = told.chunks_exact(3).map(read).collect();
        told.filter(|told| told.len() == questions.len()).ok_or(Lost::Strange)
    }

    async fn connect(&self) -> Result<(), Lost> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_PATIENCE))
            .set_response_timeout(Some(CONNECT_PATIENCE.max(self.patience)));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config);
        let connection = timeout(2 * CONNECT_PATIENCE, connected).await.map_err(|_| Lost::TimedOut)??;
        self.try_out(&connection).await?;
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        self.session.store(Some(Arc::new(Session { connection, number })));
        Ok(())
    }

    /// Runs the script once, on a bucket of nobody's: a server may answer and take nothing, as one whose memory is full.
    async fn try_out(&self, connection: &MultiplexedConnection) -> Result<(), Lost> {
        let (mut connection, mut call) = (connection.clone(), self.script.prepare_invoke());
        call.key(NOBODYS).arg(0).arg(0).arg(&[1, 1, 0, 0, 1, 0]);
        let told = timeout(self.patience.max(CONNECT_PATIENCE), call.invoke_async::<Vec<u64>>(&mut connection)).await;
        let told = told.map_err(|_| Lost::TimedOut)??;
        if told.len() == 3 { Ok(()) } else { Err(Lost::Strange) }
    }

    async fn ping(&self, connection: &MultiplexedConnection) -> Result<(), Lost> {
        let (mut connection, ping) = (connection.clone(), redis::cmd("PING"));
        let answered = timeout(self.patience.max(CONNECT_PATIENCE), ping.query_async::<()>(&mut connection)).await;
        Ok(answered.map_err(|_| Lost::TimedOut)??)
    }

    /// Says so once, whoever else finds out.
    fn lose(&self, session: &Session, error: &Lost) {
        let current = self.session.load();
        let Some(known) = current.as_ref().filter(|known| known.number == session.number) else { return };
        let before = self.session.compare_and_swap(known, None);
        if before.as_ref().is_some_and(|before| before.number == session.number) {
            tracing::warn!(%error, "Redis does not answer; this node counts rate limits by itself");
            if !matches!(error, Lost::TimedOut) {
                // One that is slow is given a while; one that was restarted may be there already.
                self.lost.notify_one();
            }
        }
    }

    /// Looks whether it still answers, or does again.
    async fn look(&self) {
        if let Some(session) = self.session.load_full() {
            if let Err(error) = self.ping(&session.connection).await {
                self.lose(&session, &error);
            }
            return;
        }
        match self.connect().await {
            Ok(()) => tracing::info!("Redis answers again; rate limits are shared with the other nodes"),
            Err(error) => tracing::debug!(%error, "Redis still does not answer"),
        }
    }
}

/// Keeps a session, as long as somebody uses it.
async fn keep(inner: Weak<Inner>, lost: Arc<Notify>) {
    loop {
        // It does not matter which of the two ended the wait.
        let _ = timeout(LOOK_EVERY, lost.notified()).await;
        let Some(inner) = inner.upgrade() else { return };
        inner.look().await;
    }
}

/// The buckets of a project are together, wherever keys are parted by what stands in braces: a call may need several.
fn key(bucket: &BucketId) -> String {
    format!("gatepost:{{{}}}:{}", bucket.project, bucket.text)
}

fn read(told: &[u64]) -> Option<Told> {
    let &[micros, part, wait] = told else { return None };
    let wait = (wait > 0).then(|| Duration::from_micros(wait));
    Some(Told { owed: Owed { micros, part: part.try_into().ok()? }, wait })
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis(..)")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Session").field(&self.number).finish()
    }
}

/// No project is called so.
const NOBODYS: &str = "gatepost:{}:";
const TAKE: &str = include_str!("take.lua");
const MICROS: u64 = 1_000_000;
/// How often it is looked whether it answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a connection may take to be made, or to show that it is alive.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
