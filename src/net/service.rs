//! Puts a service behind a connection: tells each request where it came from and counts it while it is in flight.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::liveness::{InFlight, Liveness};

/// The connection that a request came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The other end of the socket: the client, or the nearest proxy (see [`client_address()`](super::client_address())).
    /// An IPv4 address is given as such, also on an IPv6 socket.
    pub peer: SocketAddr,
    /// Our end of the socket.
    pub local: SocketAddr,
    /// Whether the bytes came through our own TLS.
    pub tls: bool,
}

/// What is served: answers every request, and is cloned for each connection. A function of both will do.
pub trait Service: Clone + Send + 'static {
    /// The body of its answers.
    type Answer: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;
    /// A request on its way to an answer.
    type Future: Future<Output = Response<Self::Answer>> + Send + 'static;

    /// Answers a request that came on this connection.
    fn call(&self, connection: Connection, request: Request<Incoming>) -> Self::Future;
}

impl<F, R, B> Service for F
where
    F: Fn(Connection, Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    type Answer = B;
    type Future = R;

    fn call(&self, connection: Connection, request: Request<Incoming>) -> R {
        self(connection, request)
    }
}

/// The service of one connection.
#[derive(Debug)]
pub(super) struct PerConnection<S> {
    pub(super) service: S,
    pub(super) connection: Connection,
    pub(super) liveness: Arc<Liveness>,
}

impl<S: Service> hyper::service::Service<Request<Incoming>> for PerConnection<S> {
    type Response = Response<Counted<S::Answer>>;
    type Error = Infallible;
    type Future = Handled<S>;

    fn call(&self, request: Request<Incoming>) -> Handled<S> {
        let in_flight = Some(InFlight::new(self.liveness.clone()));
        Handled { in_flight, answer: self.service.call(self.connection, request) }
    }
}

pin_project! {
    /// A request on its way to a response.
    pub(super) struct Handled<S>
    where
        S: Service,
    {
        // Before the answer, so that what a dropped request leaves behind in it is still counted as being in flight.
        #[pin]
        answer: S::Future,
        in_flight: Option<InFlight>,
    }
}

impl<S: Service> Future for Handled<S> {
    type Output = Result<Response<Counted<S::Answer>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answer.poll(cx));
        let mut in_flight = this.in_flight.take();
        in_flight.iter_mut().for_each(InFlight::offered);
        Poll::Ready(Ok(response.map(|body| Counted { body, in_flight })))
    }
}

pin_project! {
    /// The body of a response, which keeps its request in flight until it is sent or dropped.
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        in_flight: Option<InFlight>,
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(_))) => this.in_flight.iter_mut().for_each(InFlight::offered),
            Poll::Ready(_) => *this.in_flight = None,
            Poll::Pending => this.in_flight.iter_mut().for_each(InFlight::taken),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
