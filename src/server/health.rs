//! `grpc.health.v1.Health`: the server's readiness in the words of gRPC's health checking protocol.

use std::pin::Pin;

use futures_util::stream::{self, Stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::readiness::{Readiness, State};

/// Answers for the whole server and each of its services: they are ready together or not at all.
#[derive(Debug)]
pub(super) struct HealthService {
    readiness: Readiness,
}

impl HealthService {
    /// The service that tells this.
    pub(super) fn new(readiness: Readiness) -> Self {
        Self { readiness }
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match is_served(request.get_ref()) {
            true => Ok(Response::new(answer(status(self.readiness.state())))),
            false => Err(Status::not_found("there is no such service")),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let served = is_served(request.get_ref());
        let begin = (self.readiness.follow(), Next::Tell);
        let told = stream::unfold(begin, move |(mut readiness, next)| async move {
            match next {
                Next::Over => return None,
                Next::End => return Some((Err(stopping()), (readiness, Next::Over))),
                Next::Tell => {}
                Next::Wait => loop {
                    // The sender lives as long as the server does.
                    if readiness.changed().await.is_err() {
                        return Some((Err(stopping()), (readiness, Next::Over)));
                    }
                    // A service that is not there is told of once: it does not change.
                    if served || *readiness.borrow() == State::Stopping {
                        break;
                    }
                },
            }
            let state = *readiness.borrow_and_update();
            let status = if served { status(state) } else { ServingStatus::ServiceUnknown };
            // A stream has no end of its own, and a stop would wait for it.
            let next = if state == State::Stopping { Next::End } else { Next::Wait };
            Some((Ok(answer(status)), (readiness, next)))
        });
        Ok(Response::new(Box::pin(told)))
    }
}

/// What a watcher is told next.
enum Next {
    /// How things stand.
    Tell,
    /// How things stand once they change.
    Wait,
    /// That the server stops.
    End,
    /// Nothing.
    Over,
}

fn is_served(request: &HealthCheckRequest) -> bool {
    SERVICES.contains(&request.service.as_str())
}

fn status(state: State) -> ServingStatus {
    match state {
        State::Ready => ServingStatus::Serving,
        State::Unready | State::Stopping => ServingStatus::NotServing,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// The code that makes clients watch again, elsewhere or later.
fn stopping() -> Status {
    Status::unavailable("the server is stopping")
}

/// The whole server, and each of its services.
const SERVICES: [&str; 5] = ["", "gatepost.v1.Auth", "gatepost.v1.Keys", "gatepost.v1.Products", "gatepost.v1.Users"];

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn a_watch_tells_each_change_and_ends_with_the_server() {
        let readiness = Readiness::default();
        let health = HealthService::new(readiness.clone());
        let service = |name: &str| Request::new(HealthCheckRequest { service: name.to_owned() });
        let mut told = health.watch(service("gatepost.v1.Keys")).await.expect("it is served").into_inner();
        let mut unknown = health.watch(service("nothing")).await.expect("it may come").into_inner();
        assert_eq!(unknown.next().await.expect("a message").expect("no error").status(), ServingStatus::ServiceUnknown);
        for (ready, wanted) in
            [(false, ServingStatus::NotServing), (true, ServingStatus::Serving), (false, ServingStatus::NotServing)]
        {
            readiness.set(ready);
            assert_eq!(told.next().await.expect("a message").expect("no error").status(), wanted);
        }
        assert!(futures_util::poll!(told.next()).is_pending() && futures_util::poll!(unknown.next()).is_pending());

        readiness.stop();
        let mut late = health.watch(service("")).await.expect("it is served").into_inner();
        for (watch, last) in [
            (&mut told, ServingStatus::NotServing),
            (&mut unknown, ServingStatus::ServiceUnknown),
            (&mut late, ServingStatus::NotServing),
        ] {
            assert_eq!(watch.next().await.expect("a message").expect("no error").status(), last);
            let end = watch.next().await.expect("an end").expect_err("a reason to come again");
            assert_eq!(end.code(), Code::Unavailable);
            assert!(watch.next().await.is_none());
        }
        let answer = health.check(service("")).await.expect("it is served").into_inner();
        assert_eq!(answer.status(), ServingStatus::NotServing);
        assert_eq!(health.check(service("nothing")).await.expect_err("there is none").code(), Code::NotFound);
    }
}
