//! The server as a process: its starts, its end, and the commands at its machine.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::support::command::{Gatepost, Serving};
use crate::support::leaks;
use crate::support::postgres::{Engine, TestDatabase};

/// A place for the data of one server.
struct Place {
    directory: tempfile::TempDir,
    database: Option<TestDatabase>,
}

impl Place {
    async fn new() -> Self {
        let database = match Engine::chosen() {
            Engine::Sqlite => None,
            Engine::Postgres => Some(TestDatabase::create().await.expect("the suite was asked to run on PostgreSQL")),
        };
        Self { directory: tempfile::tempdir().unwrap(), database }
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, line: &str) -> Gatepost {
        let url = self.database.as_ref().map(TestDatabase::url);
        Gatepost::new(line).on_data(&self.data(), url.as_deref())
    }

    async fn serve(&self) -> Serving {
        let serving = self.command("serve --listen 127.0.0.1:0 --poll-interval 50ms").serve().await;
        for line in &serving.greeting {
            leaks::find_secret(line.as_bytes()).inspect(|secret| leaks::remember(secret));
        }
        serving
    }
}

async fn whoami(url: &str, key: &str) -> i32 {
    Gatepost::new("whoami").variable("GATEPOST_URL", url).variable("GATEPOST_KEY", key).run().await.code
}

/// Waits until a key is accepted or refused, as the server hears of it.
async fn comes_to(url: &str, key: &str, code: i32) {
    for _ in 0..100 {
        if whoami(url, key).await == code {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("whoami did not come to end with {code}");
}

#[tokio::test]
async fn the_first_start_makes_everything_and_the_second_nothing() {
    let place = Place::new().await;
    let first = place.serve().await;
    let (live, test) = (first.administrator("live").unwrap().to_owned(), first.administrator("test").unwrap());
    assert!(live.starts_with("sk_live_") && test.starts_with("sk_test_"), "{:?}", first.greeting);
    assert_eq!(whoami(first.url(), &live).await, 0);
    private(&place.data(), 0o700);
    private(&place.data().join("master.key"), 0o600);
    let (code, _, log) = first.stop().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(leaks::find_secret(log.as_bytes()), None, "{log}");

    let second = place.serve().await;
    assert_eq!(second.administrator("live"), None, "{:?}", second.greeting);
    assert_eq!(whoami(second.url(), &live).await, 0, "what was made is still there");
    assert_eq!(second.stop().await.0, Some(0));
}

#[tokio::test]
async fn serving_is_what_happens_without_a_command() {
    let place = Place::new().await;
    let serving = place.command("--listen 127.0.0.1:0").serve().await;
    assert!(serving.url().starts_with("http://127.0.0.1:"), "{:?}", serving.greeting);
    assert_eq!(serving.stop().await.0, Some(0));
}

#[tokio::test]
async fn a_lost_administrator_key_is_replaced() {
    let place = Place::new().await;
    place.command("admin-key new").run().await.fails_with(2);
    assert!(!place.data().exists(), "in the wrong directory nothing is made");

    let serving = place.serve().await;
    let url = serving.url().to_owned();
    let (lost, test) = (serving.administrator("live").unwrap(), serving.administrator("test").unwrap());
    let new = place.command("admin-key new --environment live --revoke-others -q").run().await.ok();
    leaks::remember(&new);
    comes_to(&url, &new, 0).await;
    comes_to(&url, lost, 3).await;
    assert_eq!(whoami(&url, test).await, 0, "the other environment keeps its own");
    place.command("admin-key new --project nope").run().await.fails_with(4);
    assert_eq!(serving.stop().await.0, Some(0));

    let both = place.command("admin-key new").run().await.ok();
    let keys: Vec<&str> = both.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert!(keys[0].starts_with("sk_live_") && keys[1].starts_with("sk_test_") && keys.len() == 2, "{}", keys.len());
}

#[tokio::test]
async fn a_project_chooses_its_prefix() {
    let place = Place::new().await;
    let serving = place.serve().await;
    let (url, live) = (serving.url(), serving.administrator("live").unwrap());
    let shown = place.command("projects set --key-prefix bk --json").run().await.json();
    assert_eq!((&shown["id"], &shown["keyPrefix"]), (&"default".into(), &"bk".into()));
    assert!(place.command("projects show").run().await.ok().contains("bk"));

    let client = |line: &str| Gatepost::new(line).variable("GATEPOST_URL", url).variable("GATEPOST_KEY", live);
    let made = client("keys create --name x -q").run().await.ok();
    leaks::remember(&made);
    assert!(made.starts_with("bk_live_"), "a running server knows it at once");
    assert_eq!(whoami(url, &made).await, 0);
    assert_eq!(whoami(url, live).await, 0, "keys that exist keep their prefix");
    assert_eq!(serving.stop().await.0, Some(0));
}

#[tokio::test]
async fn a_wrong_configuration_stops_the_start() {
    let place = Place::new().await;
    let wrong = place.command("serve --listen 0.0.0.0:0").run().await.fails_with(2);
    assert!(wrong.contains("--listen = \"0.0.0.0:0\"") && wrong.contains("--behind-proxy"), "{wrong}");
    let wrong = place.command("serve").variable("GATEPOST_MAX_BODY", "much").run().await.fails_with(2);
    assert!(wrong.contains("GATEPOST_MAX_BODY = \"much\": must be a size"), "{wrong}");
    let url = "postgres://me:hunter2@127.0.0.1:1/none";
    let lost = place.command("serve --listen 127.0.0.1:0").variable("DATABASE_URL", url).run().await.fails_with(1);
    assert!(lost.contains("me:***@127.0.0.1:1") && !lost.contains("hunter2"), "{lost}");

    let config = place.command("config --json").variable("DATABASE_URL", url).run().await.json();
    assert_eq!(config["database_url"]["value"], "postgres://me:***@127.0.0.1:1/none");
    assert_eq!(config["database_url"]["source"], "DATABASE_URL");
}

#[tokio::test]
async fn a_master_key_that_others_can_read_stops_the_start() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new().await;
    assert_eq!(place.serve().await.stop().await.0, Some(0));
    let key = place.data().join("master.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = place.command("serve --listen 127.0.0.1:0").run().await.fails_with(2);
    assert!(refused.contains("chmod 600"), "{refused}");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let refused = place.command("serve --listen 127.0.0.1:0").variable("GATEPOST_MASTER_KEY", other).run().await;
    let refused = refused.fails_with(2);
    assert!(refused.contains("GATEPOST_MASTER_KEY") && !refused.contains(other), "{refused}");
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let place = Place::new().await;
    let serving = place.serve().await;
    let (url, live) = (serving.url().to_owned(), serving.administrator("live").unwrap().to_owned());
    assert_eq!(whoami(&url, &live).await, 0);
    assert_eq!(whoami(&url, "sk_live_x").await, 3);
    // Held open, so that it is counted.
    let client = reqwest::Client::new();
    let metrics = async || client.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let mut text = metrics().await;
    for _ in 0..50 {
        // What is sampled is a second old at most.
        if text.contains("\ngatepost_connections_open 1\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        text = metrics().await;
    }
    for line in [
        "gatepost_connections_open 1",
        r#"gatepost_decisions_total{code="VALID",door="guard"} 1"#,
        r#"gatepost_decisions_total{code="MALFORMED",door="guard"} 1"#,
        r#"gatepost_requests_total{rpc="gatepost.v1.Auth/WhoAmI",status="OK",wire="grpc"} 1"#,
        r#"gatepost_requests_total{rpc="gatepost.v1.Auth/WhoAmI",status="UNAUTHENTICATED",wire="grpc"} 1"#,
        r#"gatepost_request_seconds_count{rpc="gatepost.v1.Auth/WhoAmI",wire="grpc"} 2"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(text.contains("\ngatepost_store_connections_max{pool="), "{text}");
    assert_eq!(leaks::find_secret(text.as_bytes()), None);
    drop(client);
    assert_eq!(serving.stop().await.0, Some(0));
}

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
    let live = serving.administrator("live").unwrap().to_owned();
    leaks::remember(&live);
    assert_eq!(whoami(serving.url(), &live).await, 0);
    let (code, _, log) = serving.stop().await;
    assert_eq!(code, Some(0), "{log}");

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
    let live = serving.administrator("live").unwrap().to_owned();
    leaks::remember(&live);
    assert_eq!(whoami(serving.url(), &live).await, 0);
    let began = std::time::Instant::now();
    assert_eq!(serving.stop().await.0, Some(0));
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

fn private(path: &Path, expected: u32) {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, expected, "{}: {mode:o}", path.display());
}
