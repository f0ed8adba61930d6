//! Runs the streams of one HTTP/2 connection inside the connection's own task.
//!
//! hyper hands each stream to an executor. Spawning it costs a task, two wake-ups and often a second core for work that
//! takes microseconds; here the stream is queued, polled once by the connection right after it was read, and only what
//! is still unfinished is kept and polled when woken. A handler must therefore not compute for long: such work belongs
//! on the blocking pool.

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream as _};
use tokio::task::coop;

/// Where hyper puts the streams of a connection.
#[derive(Clone, Debug)]
pub(super) enum Executor {
    /// Into the connection's own task.
    Inline(Queue),
    /// Each into a task of its own.
    Spawn,
}

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        match self {
            Self::Inline(queue) => queue.push(Stream(Box::pin(stream))),
            Self::Spawn => drop(tokio::spawn(stream)),
        }
    }
}

/// Streams taken up and not yet polled. The protocol bounds their number by its limit of concurrent streams.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<Mutex<Vec<Stream>>>);

impl Queue {
    fn push(&self, stream: Stream) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
    }

    fn swap(&self, empty: &mut Vec<Stream>) {
        mem::swap(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), empty);
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

/// The streams of one connection, polled by its task.
#[derive(Default)]
pub(super) struct Streams {
    queue: Queue,
    started: Vec<Stream>,
    unfinished: FuturesUnordered<Stream>,
}

impl Streams {
    /// The executor that feeds these streams.
    pub(super) fn executor(&self) -> Executor {
        Executor::Inline(self.queue.clone())
    }

    /// Polls each stream that was taken up since the last call, once.
    pub(super) fn poll_started(&mut self, cx: &mut Context<'_>) {
        self.queue.swap(&mut self.started);
        for mut stream in self.started.drain(..) {
            if Pin::new(&mut stream).poll(cx).is_pending() {
                self.unfinished.push(stream);
            }
        }
    }

    /// Polls the unfinished streams that were woken, but no more than a fair share of them.
    pub(super) fn poll_unfinished(&mut self, cx: &mut Context<'_>) {
        let mut finished = 0;
        while finished < FAIR_SHARE && coop::has_budget_remaining() {
            match Pin::new(&mut self.unfinished).poll_next(cx) {
                Poll::Ready(Some(())) => finished += 1,
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
        // Not all that were woken were polled, and they will not wake us again.
        if !self.unfinished.is_empty() {
            cx.waker().wake_by_ref();
        }
    }
}

/// One stream. A panic in it ends it alone: dropping it resets the stream.
struct Stream(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Stream {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Nothing of a stream is used after it panicked, except that it is dropped.
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))).unwrap_or_else(|_| {
            tracing::error!("a request handler panicked; its stream is reset");
            Poll::Ready(())
        })
    }
}

/// Streams finished per call at most, so that a connection goes back to reading between them.
const FAIR_SHARE: usize = 64;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use hyper::rt::Executor as _;
    use tokio::sync::oneshot;

    use super::*;

    async fn poll_started(streams: &mut Streams) {
        poll_fn(|cx| {
            streams.poll_started(cx);
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn a_stream_that_is_ready_at_once_is_polled_once_and_never_kept() {
        let mut streams = Streams::default();
        let polls = Arc::new(AtomicUsize::new(0));
        let counter = polls.clone();
        streams.executor().execute(async move {
            counter.fetch_add(1, SeqCst);
        });
        assert_eq!(polls.load(SeqCst), 0, "the executor only queues");
        poll_started(&mut streams).await;
        assert_eq!(polls.load(SeqCst), 1);
        assert!(streams.unfinished.is_empty());
    }

    #[tokio::test]
    async fn an_unfinished_stream_wakes_the_task_that_polls_it() {
        let mut streams = Streams::default();
        let (wake, woken) = oneshot::channel::<()>();
        streams.executor().execute(async move { woken.await.expect("the sender is kept") });
        poll_started(&mut streams).await;
        let task = tokio::spawn(async move {
            poll_fn(|cx| {
                streams.poll_unfinished(cx);
                match streams.unfinished.is_empty() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        });
        tokio::task::yield_now().await;
        wake.send(()).expect("the stream waits");
        task.await.expect("no panic");
    }

    #[tokio::test]
    async fn a_panic_ends_its_stream_alone() {
        let mut streams = Streams::default();
        let (done, finished) = oneshot::channel();
        streams.executor().execute(async { panic!("on purpose") });
        streams.executor().execute(async {
            tokio::task::yield_now().await;
            panic!("on purpose, later")
        });
        streams.executor().execute(async move {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            done.send(()).expect("the test waits");
        });
        poll_fn(|cx| {
            streams.poll_started(cx);
            streams.poll_unfinished(cx);
            match streams.unfinished.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        finished.await.expect("the third stream ran to its end");
    }

    #[tokio::test]
    async fn many_woken_streams_are_polled_in_shares() {
        let mut streams = Streams::default();
        for _ in 0..FAIR_SHARE * 3 {
            streams.executor().execute(async { tokio::task::yield_now().await });
        }
        let mut rounds = 0;
        poll_fn(|cx| {
            streams.poll_started(cx);
            rounds += 1;
            streams.poll_unfinished(cx);
            match streams.unfinished.is_empty() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        assert!(rounds >= 3, "{rounds} rounds");
    }
}
