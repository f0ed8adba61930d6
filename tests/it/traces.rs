//! Traces leave the process for the collector that is configured, and none that is down holds anything up.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::leaks;
use crate::support::serving::Place;

#[tokio::test]
async fn traces_go_to_the_collector_that_is_configured() {
    let collector = Collector::start().await;
    let place = Place::new().await;
    let serving = place
        .command("serve --listen 127.0.0.1:0")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .variable("OTEL_SERVICE_NAME", "keys-of-the-shop")
        .serve()
        .await;
    serving.get("/v1/auth/whoami", &serving.admin("live")).await.expect(200, "");
    let stopped = serving.stop().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");

    // Strings stand in protobuf messages as they are.
    let sent = collector.taken();
    for word in ["gatepost.v1.Auth/WhoAmI", "keys-of-the-shop", "request_id", "key_id", "latency_us"] {
        assert!(sent.windows(word.len()).any(|bytes| bytes == word.as_bytes()), "{word} was not sent");
    }
    assert_eq!(leaks::find_secret(&sent), None);
}

#[tokio::test]
async fn a_collector_that_is_down_holds_nothing_up() {
    let place = Place::new().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let serving = place.command("serve --listen 127.0.0.1:0").variable("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let serving = serving.serve().await;
    serving.get("/v1/auth/whoami", &serving.admin("live")).await.expect(200, "");
    let began = std::time::Instant::now();
    assert_eq!(serving.stop().await.code, 0);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Takes what is exported over OTLP/gRPC, and keeps it.
struct Collector {
    url: String,
    taken: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                let service = service_fn(move |request: Request<Incoming>| {
                    let kept = Arc::clone(&kept);
                    async move {
                        let body = request.into_body().collect().await?.to_bytes();
                        kept.lock().unwrap().extend_from_slice(&body);
                        // An empty message, which says that all was taken.
                        let message = Frame::data(Bytes::from_static(&[0; 5]));
                        let status = [(HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))];
                        let frames = [message, Frame::trailers(HeaderMap::from_iter(status))].map(Ok::<_, Infallible>);
                        let body = StreamBody::new(futures_util::stream::iter(frames));
                        Response::builder().header("content-type", "application/grpc").body(body).map_err(Failure::from)
                    }
                });
                tokio::spawn(
                    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(connection), service),
                );
            }
        });
        Self { url, taken }
    }

    fn taken(&self) -> Vec<u8> {
        self.taken.lock().unwrap().clone()
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
