//! A Redis or Valkey server of a test's own, on a port of its own, that the test may kill, hold up and start again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, cmd};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::leaks::PASSWORD;
use super::tools::{find, left_out};

/// A server. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct TestRedis {
    program: PathBuf,
    port: u16,
    /// What it is told.
    said: String,
    /// Where its certificate is, if it speaks TLS.
    certificate: Option<TempDir>,
    child: Mutex<Child>,
}

impl TestRedis {
    /// Whether there can be one; says so where there cannot.
    pub(crate) fn is_there() -> bool {
        let there = program().is_some();
        if !there {
            left_out("what needs the program `valkey-server` or `redis-server`");
        }
        there
    }

    /// Starts one with nothing in it, which keeps nothing on a disk.
    pub(crate) async fn start() -> Self {
        let port = free_port();
        Self::begin(port, format!("port {port}"), None).await
    }

    /// The same over TLS alone, as `localhost`.
    pub(crate) async fn start_with_tls() -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a directory can be made"));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate can be made");
        let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).expect("the directory can be written");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("the directory can be written");
        let (cert, key) = (cert.display(), key.display());
        let said = format!(
            "port 0\ntls-port {port}\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {cert}\ntls-auth-clients no"
        );
        Self::begin(port, said, Some(directory)).await
    }

    async fn begin(port: u16, how: String, certificate: Option<TempDir>) -> Self {
        let program = program().expect("the test asked whether there is one");
        let said = format!("bind 127.0.0.1\n{how}\nrequirepass {PASSWORD}\nsave \"\"\nappendonly no\n");
        let child = Mutex::new(spawn(&program, &said).await);
        let started = Self { program, port, said, certificate, child };
        started.answers().await;
        started
    }

    /// Where it is, and with what password: one that may be seen nowhere.
    pub(crate) fn url(&self) -> String {
        match &self.certificate {
            None => format!("redis://:{PASSWORD}@127.0.0.1:{}/0", self.port),
            Some(_) => format!("rediss://:{PASSWORD}@localhost:{}/0", self.port),
        }
    }

    /// The file that says who vouches for it.
    pub(crate) fn authority(&self) -> PathBuf {
        self.certificate.as_ref().expect("it speaks TLS").path().join("cert.pem")
    }

    /// Ends it without a word, and all that it knows.
    pub(crate) async fn kill(&self) {
        self.child.lock().await.kill().await.expect("it can be killed");
    }

    /// Starts it again after it was killed, with nothing in it.
    pub(crate) async fn restart(&self) {
        *self.child.lock().await = spawn(&self.program, &self.said).await;
        self.answers().await;
    }

    /// Has it take connections and answer nothing.
    pub(crate) async fn hold_up(&self) {
        self.signal("STOP").await;
    }

    /// Has it go on.
    pub(crate) async fn let_go(&self) {
        self.signal("CONT").await;
    }

    /// A connection of the test's own.
    pub(crate) async fn connection(&self) -> redis::RedisResult<MultiplexedConnection> {
        // A machine under load may take longer than the library waits for.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        Client::open(self.url())?.get_multiplexed_async_connection_with_config(&config).await
    }

    async fn answers(&self) {
        let began = Instant::now();
        loop {
            let answers = match &self.certificate {
                // Whoever has to trust it finds out more.
                Some(_) => TcpStream::connect(("127.0.0.1", self.port)).await.is_ok(),
                None => match self.connection().await {
                    Ok(mut connection) => cmd("PING").query_async::<()>(&mut connection).await.is_ok(),
                    Err(_) => false,
                },
            };
            if answers {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not start", self.program.display());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn signal(&self, name: &str) {
        let id = self.child.lock().await.id().expect("it runs").to_string();
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &id]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} can be sent");
    }
}

fn program() -> Option<PathBuf> {
    find("valkey-server").or_else(|| find("redis-server"))
}

async fn spawn(program: &Path, said: &str) -> Child {
    let mut command = Command::new(program);
    command.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("the program can be started");
    // By standard input, for arguments can be read by everybody.
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(said.as_bytes()).await.expect("it reads what it is told");
    child
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.expect("there is a free port").port()
}

const PATIENCE: Duration = Duration::from_secs(20);
