//! `gatepost serve` as a process of its own, which a test may signal or kill, and the place of its data, which stays.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::actors::Actor;
use super::command::{Gatepost, PATIENCE, Run};
use super::http::Reply;
use super::leaks;
use super::postgres::{Engine, TestDatabase};
use super::wire::Clients;

/// A place for the data of one server after another, on the engine of this run.
pub(crate) struct Place {
    // Before the directory: a database is let go of before it is removed.
    database: Option<TestDatabase>,
    directory: TempDir,
}

/// A server that runs. It is killed when it is dropped.
pub(crate) struct Serving {
    child: Child,
    address: SocketAddr,
    written: [Written; 2],
    http: reqwest::Client,
    /// The lines it said up to the one that names its data.
    pub(crate) greeting: Vec<String>,
}

/// What a process wrote so far. Read as it comes, so that a process that says much is not held up.
struct Written {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Place {
    /// A place with nothing in it.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("gatepost-test-").tempdir().expect("a directory can be made");
        let database = match Engine::chosen() {
            Engine::Sqlite => None,
            Engine::Postgres => {
                Some(TestDatabase::create().await.expect("the suite was asked to run on PostgreSQL: name a server"))
            }
        };
        Self { database, directory }
    }

    /// The data directory. The first start makes it.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The URL of the database.
    pub(crate) fn database_url(&self) -> String {
        match &self.database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", self.data().join("gatepost.db").display()),
        }
    }

    /// A command that works on this data.
    pub(crate) fn command(&self, line: &str) -> Gatepost {
        let url = self.database.as_ref().map(TestDatabase::url);
        Gatepost::new(line).on_data(&self.data(), url.as_deref()).within(self.directory.path())
    }

    /// A server on this data.
    pub(crate) async fn serve(&self) -> Serving {
        self.command("serve --listen 127.0.0.1:0 --poll-interval 50ms").serve().await
    }
}

impl Serving {
    /// Starts it, and waits until it serves.
    pub(super) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the command can be started");
        let written = [
            Written::follow(child.stdout.take().expect("standard output is piped")),
            Written::follow(child.stderr.take().expect("standard error is piped")),
        ];
        let greeting = timeout(PATIENCE, async {
            loop {
                let ended = child.try_wait().expect("the process can be asked");
                let greeting: Vec<_> = written[0].text().lines().map(|line| line.trim_end().to_owned()).collect();
                if greeting.last().is_some_and(|line| line.trim_start().starts_with("data ")) {
                    return greeting;
                }
                if let Some(status) = ended {
                    panic!("the server ended ({status}) after {greeting:?}: {}", written[1].text());
                }
                sleep(Duration::from_millis(5)).await;
            }
        });
        let greeting = greeting.await.unwrap_or_else(|_| panic!("the server does not start: {}", written[1].text()));
        for line in &greeting {
            leaks::find_secret(line.as_bytes()).inspect(|secret| leaks::remember(secret));
        }
        let url = value(&greeting, "address").expect("the greeting names the address");
        let address = url.split_once("://").and_then(|(_, address)| address.parse().ok()).expect("an address");
        let http = reqwest::Client::builder().no_proxy().http1_only().timeout(PATIENCE).build().expect("a client");
        Self { child, address, written, http, greeting }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves.
    pub(crate) fn url(&self) -> &str {
        value(&self.greeting, "address").expect("the greeting names the address")
    }

    /// Clients of all wires, with connections of their own.
    pub(crate) fn clients(&self) -> Clients {
        Clients::new(self.address, None)
    }

    /// The administrator key it made for an environment, if it made one.
    pub(crate) fn administrator(&self, environment: &str) -> Option<&str> {
        let start = format!("administrator key ({environment}): ");
        self.greeting.iter().find_map(|line| line.strip_prefix(&start))
    }

    /// The holder of that key.
    pub(crate) fn admin(&self, environment: &str) -> Actor {
        Actor::bearer(self.administrator(environment).expect("the first start makes administrator keys"))
    }

    /// Sends it a signal: `TERM`, `INT`.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} can be sent");
    }

    /// Bytes that it has in memory.
    pub(crate) fn resident(&self) -> u64 {
        self.of_status("VmRSS:")
    }

    /// The most bytes that it ever had in memory.
    pub(crate) fn most_resident(&self) -> u64 {
        self.of_status("VmHWM:")
    }

    fn of_status(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id().expect("it runs"));
        let status = std::fs::read_to_string(path).expect("the system tells what a process has");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("memory is told");
        let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
        kilobytes.expect("a number of kilobytes") * 1024
    }

    /// Waits until it has ended, and says how. Its log may hold no secret.
    pub(crate) async fn ended(mut self) -> Run {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("the server does not end: {}", self.written[1].text()));
        for written in &mut self.written {
            (&mut written.reader).await.expect("reading does not panic");
        }
        let [stdout, stderr] = [self.written[0].text(), self.written[1].text()];
        Run { code: code(status.expect("the process can be waited for")), stdout, stderr }
    }

    /// Tells it to stop, waits, and says how it ended.
    pub(crate) async fn stop(self) -> Run {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Ends it without a word, as a fault would, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("the process can be killed");
    }

    /// Begins a request of somebody's, over HTTP/1.1.
    pub(crate) fn request(&self, method: Method, target: &str, actor: &Actor) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{target}", self.url())).headers(actor.headers.clone())
    }

    /// GET of somebody's.
    pub(crate) async fn get(&self, target: &str, actor: &Actor) -> Reply {
        send(self.request(Method::GET, target, actor)).await.unwrap_or_else(|error| panic!("{target}: {error:?}"))
    }

    /// POST of somebody's with a JSON body.
    pub(crate) async fn post(&self, target: &str, actor: &Actor, body: &Value) -> Reply {
        let request = self.request(Method::POST, target, actor).json(body);
        send(request).await.unwrap_or_else(|error| panic!("{target}: {error:?}"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // That it is killed is the child's own doing.
        if !std::thread::panicking() {
            let log = self.written[1].text();
            assert_eq!(leaks::find_secret(log.as_bytes()), None, "the log holds a secret: {log}");
        }
    }
}

impl Written {
    fn follow(mut from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let to = Arc::clone(&text);
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer).await {
                to.lock().expect("nobody panics here").push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { text, reader }
    }

    fn text(&self) -> String {
        self.text.lock().expect("nobody panics here").clone()
    }
}

/// Sends a request, and takes in the whole answer or the failure of the connection.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, text: response.text().await? })
}

fn value<'a>(greeting: &'a [String], name: &str) -> Option<&'a str> {
    greeting.iter().find_map(|line| line.trim_start().strip_prefix(name)).map(str::trim)
}

/// The exit code, or the signal as a shell tells it.
fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("it ended one way or the other")
}
