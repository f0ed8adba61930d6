//! The server as a process: its starts, what stops a start, its end, and the commands at its machine.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use gatepost::proto::v1;
use gatepost::proto::v1::auth_client::AuthClient;
use serde_json::json;
use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::command::{Gatepost, Run};
use crate::support::postgres::Engine;
use crate::support::serving::{Place, Serving};
use crate::support::{Actor, leaks};

#[tokio::test]
async fn the_first_start_makes_everything_and_tells_the_keys_once() {
    let place = Place::new().await;
    let first = place.serve().await;
    assert_eq!((mode(&place.data()), mode(&place.data().join("master.key"))), (0o700, 0o600));
    if Engine::chosen() == Engine::Sqlite {
        assert_eq!(mode(&place.data().join("gatepost.db")), 0o600);
    }
    let greeting = first.greeting.join("\n");
    for words in [format!("{}/openapi.json", first.url()), place.data().display().to_string()] {
        assert!(greeting.contains(&words), "{words} is missing in {greeting}");
    }
    let keys = [first.admin("live"), first.admin("test")];
    assert!(keys[0].secret.starts_with("sk_live_") && keys[1].secret.starts_with("sk_test_"), "{greeting}");
    for (key, environment) in keys.iter().zip(["LIVE", "TEST"]) {
        let caller = first.get("/v1/auth/whoami", key).await.expect(200, "").json();
        assert_eq!((&caller["environment"], &caller["project"]), (&json!(environment), &json!("default")));
        assert_eq!(caller["scopes"], json!(["admin"]));
    }
    let master_key = fs::read_to_string(place.data().join("master.key")).expect("it was made");
    let stopped = first.stop().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_eq!(stopped.stdout.matches("sk_").count(), 2, "each key is told once");
    assert!(!stopped.stderr.is_empty(), "the server logs");
    assert_silent_about(&stopped, &keys, &master_key);

    let second = place.serve().await;
    assert_eq!(leaks::find_secret(second.greeting.join("\n").as_bytes()), None, "the second start shows a key");
    for key in &keys {
        second.get("/v1/auth/whoami", key).await.expect(200, "");
    }
    assert_eq!(fs::read_to_string(place.data().join("master.key")).expect("it is still there"), master_key);
    let stopped = second.stop().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert_silent_about(&stopped, &keys, &master_key);
}

#[tokio::test]
async fn serving_is_what_happens_without_a_command() {
    let place = Place::new().await;
    // Nothing is said but the port, as `cargo run` does it: the data comes into the working directory.
    let here = place.data();
    fs::create_dir(&here).expect("the directory can be made");
    let mut call = Gatepost::new("").variable("GATEPOST_LISTEN", "127.0.0.1:0").within(&here);
    if Engine::chosen() == Engine::Postgres {
        call = call.variable("DATABASE_URL", &place.database_url());
    }
    let serving = call.serve().await;
    serving.get("/v1/auth/whoami", &serving.admin("live")).await.expect(200, "");
    let made = here.join("gatepost-data");
    assert_eq!((mode(&made), mode(&made.join("master.key"))), (0o700, 0o600));
    serving.signal("INT").await;
    assert_eq!(serving.ended().await.code, 0, "an interrupt is a stop like any other");
}

#[tokio::test]
async fn a_lost_administrator_key_is_replaced_while_the_server_runs() {
    let place = Place::new().await;
    for line in ["admin-key new", "projects show"] {
        let nothing = place.command(line).run().await.fails_with(2);
        assert!(nothing.contains("there is no gatepost data in") && nothing.contains("--data-dir"), "{nothing}");
    }
    assert!(!place.data().exists(), "in the wrong directory nothing is made");

    let serving = place.serve().await;
    let first = [serving.admin("live"), serving.admin("test")];
    let made = place.command("admin-key new --quiet").run().await.ok();
    let made: Vec<_> = made.lines().map(|secret| Actor::made(secret, "")).collect();
    assert_eq!(made.len(), 2, "one for each environment");
    for (key, environment) in made.iter().zip(["LIVE", "TEST"]) {
        comes_true("the new key works", async || whoami(&serving, key).await == 200).await;
        let caller = serving.get("/v1/auth/whoami", key).await.json();
        assert_eq!((&caller["environment"], &caller["scopes"]), (&json!(environment), &json!(["admin"])));
    }
    assert_eq!(whoami(&serving, &first[0]).await, 200, "the first key goes on working");

    let replaced = place.command("admin-key new --environment live --revoke-others").run().await;
    assert_eq!(replaced.stderr.matches("revoked key_").count(), 2, "{replaced:?}");
    let replaced = replaced.ok();
    let last = Actor::made(replaced.strip_prefix("administrator key (live): ").expect("the key is told"), "");
    comes_true("the newest key works", async || whoami(&serving, &last).await == 200).await;
    for lost in [&first[0], &made[0]] {
        comes_true("the other live keys end", async || whoami(&serving, lost).await == 401).await;
    }
    assert_eq!((whoami(&serving, &first[1]).await, whoami(&serving, &made[1]).await), (200, 200), "test keys are kept");
    place.command("admin-key new --project nope").run().await.fails_with(4);
}

#[tokio::test]
async fn a_project_chooses_its_prefix() {
    let place = Place::new().await;
    let serving = place.serve().await;
    let live = serving.admin("live");
    let shown = place.command("projects set --key-prefix bk --json").run().await.json();
    assert_eq!((&shown["id"], &shown["keyPrefix"]), (&"default".into(), &"bk".into()));
    assert!(place.command("projects show").run().await.ok().contains("bk"));

    let made = serving.post("/v1/keys", &live, &json!({"name": "x"})).await.expect(200, "").json();
    let made = Actor::made(made["secret"].as_str().expect("a secret"), "");
    assert!(made.secret.starts_with("bk_live_"), "a running server knows it at once");
    assert_eq!(
        (whoami(&serving, &made).await, whoami(&serving, &live).await),
        (200, 200),
        "old keys keep their prefix"
    );
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_and_is_told() {
    let place = Place::new().await;
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("the directory can be written");
        path.display().to_string()
    };
    let (junk, misspelt) = (file("junk.pem", "no certificate"), file("gatepost.toml", "listne = '127.0.0.1:80'"));
    let absent = directory.path().join("absent.pem").display().to_string();
    let one_of_two = format!("--tls-cert {junk}");
    let not_there = format!("--tls-cert {absent} --tls-key {junk}");
    let no_certificate = format!("--tls-cert {junk} --tls-key {junk}");
    let misspelt = format!("--config {misspelt}");
    // Flags, a variable and its value, words of the message.
    let cases: [(&str, (&str, &str), &[&str]); 16] = [
        ("", ("GATEPOST_LISTEN", "localhost:80"), &["GATEPOST_LISTEN = \"localhost:80\": must be an IP address"]),
        ("--listen 80", NONE, &["--listen = \"80\": must be an IP address and a port"]),
        ("--listen 0.0.0.0:0", NONE, &["--listen = \"0.0.0.0:0\": is not a loopback address", "--behind-proxy"]),
        ("", ("GATEPOST_LISTEN", "[::]:0"), &["is not a loopback address", "--tls-cert"]),
        ("", ("GATEPOST_MAX_BODY", "1MB"), &["GATEPOST_MAX_BODY = \"1MB\": must be a size from 1KiB to 64MiB"]),
        ("--request-timeout 30", NONE, &["--request-timeout = \"30\": must be a time from 100ms to 10m"]),
        ("", ("GATEPOST_MASTER_KEY", "hunter2"), &["GATEPOST_MASTER_KEY", "must be 32 bytes in base64"]),
        ("", ("DATABASE_URL", "mysql://me:hunter2@db/x"), &["DATABASE_URL", "must be postgres://"]),
        ("--behind-proxy --trusted-proxies 0", NONE, &["--trusted-proxies = \"0\": must be at least 1"]),
        (&one_of_two, NONE, &["needs tls_key beside it"]),
        (&not_there, NONE, &[&absent, "must be a file that can be read"]),
        (&no_certificate, NONE, &[&junk, "holds no certificate"]),
        (&misspelt, NONE, &["\"listne\" in", "is not a setting"]),
        ("--log loud", NONE, &["--log = \"loud\": must be a level"]),
        ("--max-boddy 1MiB", NONE, &["--max-boddy", "--max-body"]),
        (
            "--listen x --max-connections 0",
            ("GATEPOST_LOG_FORMAT", "xml"),
            &["--listen = \"x\"", "--max-connections = \"0\"", "GATEPOST_LOG_FORMAT = \"xml\""],
        ),
    ];
    for (flags, (variable, value), words) in cases {
        let mut call = place.command(&format!("serve {flags}"));
        if !variable.is_empty() {
            call = call.variable(variable, value);
        }
        let said = call.run().await.fails_with(2);
        for word in words {
            assert!(said.contains(word), "{flags} {variable}: {word:?} is missing in {said}");
        }
        assert!(!said.contains("hunter2"), "{said}");
    }
    assert!(!place.data().exists(), "a start that was refused leaves nothing behind");

    let url = "postgres://me:hunter2@127.0.0.1:1/none";
    let lost = place.command("serve --listen 127.0.0.1:0").variable("DATABASE_URL", url).run().await.fails_with(1);
    assert!(lost.contains("me:***@127.0.0.1:1") && !lost.contains("hunter2"), "{lost}");
    let config = place.command("config --json").variable("DATABASE_URL", url).run().await.json();
    assert_eq!(config["database_url"]["value"], "postgres://me:***@127.0.0.1:1/none");
    assert_eq!(config["database_url"]["source"], "DATABASE_URL");
}

#[tokio::test]
async fn a_master_key_that_is_not_the_right_one_stops_the_start() {
    let place = Place::new().await;
    let serving = place.serve().await;
    let live = serving.admin("live");
    assert_eq!(serving.stop().await.code, 0);
    let path = place.data().join("master.key");
    let serve = || place.command("serve --listen 127.0.0.1:0");
    let refused = async |call: Gatepost, words: &[&str]| {
        let said = call.run().await.fails_with(2);
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in {said}");
        }
        assert!(!said.contains(OTHER_KEY) && !said.contains("hunter2"), "{said}");
    };

    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("the file is ours");
    refused(serve(), &["master.key", "0644", "chmod 600"]).await;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("the file is ours");
    let other = serve().variable("GATEPOST_MASTER_KEY", OTHER_KEY);
    refused(other, &["belongs to another master key", "GATEPOST_MASTER_KEY", "master.key"]).await;
    let right = fs::read_to_string(&path).expect("the file is there");
    fs::write(&path, "hunter2").expect("the file is ours");
    refused(serve(), &["master.key", "holds no master key"]).await;

    // A lost file is not made anew: the next backup would put it in the place of the one that is worth something.
    fs::remove_file(&path).expect("the file is ours");
    refused(serve(), &["master key", "GATEPOST_MASTER_KEY", "backup"]).await;
    assert!(!path.exists(), "a master key was made for a database that has one");

    // From the environment it is as good as from the file.
    let serving = serve().variable("GATEPOST_MASTER_KEY", right.trim()).serve().await;
    assert_eq!(whoami(&serving, &live).await, 200);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let place = Place::new().await;
    assert_eq!(place.serve().await.stop().await.code, 0);
    let newer = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
        SELECT 9999, description, installed_on, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
    let (url, query) = (place.database_url(), sqlx::query(newer));
    let written = match Engine::chosen() {
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(&url).await.expect("the database can be opened");
            sqlx::query(newer).execute(&mut connection).await.map(|done| done.rows_affected())
        }
        Engine::Postgres => {
            let mut connection = PgConnection::connect(&url).await.expect("the database can be opened");
            query.execute(&mut connection).await.map(|done| done.rows_affected())
        }
    };
    assert_eq!(written.expect("the row can be written"), 1);
    for line in ["serve --listen 127.0.0.1:0", "admin-key new"] {
        let refused = place.command(line).run().await.fails_with(1);
        let words = "made by a newer gatepost (migration 9999); start that version or restore a backup";
        assert!(refused.contains(words), "{refused}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_before_anything_is_touched() {
    let place = Place::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound");
    let said = place.command(&format!("serve --listen {address}")).run().await.fails_with(1);
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("choose another address with --listen"), "{said}");
    assert!(!place.data().exists());
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_ends_streams() {
    let place = Place::new().await;
    let serving = place.serve().await;
    let (admin, address) = (serving.admin("live"), serving.address());

    let channel = Endpoint::from_shared(serving.url().to_owned()).expect("a URI").connect().await.expect("it listens");
    let mut watch = tonic::Request::new(v1::WatchRevocationsRequest::default());
    let bearer = format!("Bearer {}", admin.secret).parse().expect("a header's value");
    watch.metadata_mut().insert("authorization", bearer);
    let stream = AuthClient::new(channel).watch_revocations(watch).await.expect("the stream begins");
    let mut stream = stream.into_inner();
    stream.message().await.expect("no error").expect("a heartbeat comes at once");

    let body = json!({"credential": admin.secret}).to_string();
    let (early, late) = body.split_at(body.len() / 2);
    let mut slow = begin_post(&serving, "/v1/auth/verify", &admin, body.len()).await;
    slow.write_all(early.as_bytes()).await.expect("it reads");

    serving.signal("TERM").await;
    let end = timeout(SOON, async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a stream that the server ends says why"),
                Err(status) => return status,
            }
        }
    });
    let end = end.await.expect("the stream ends with the server");
    assert_eq!(end.code(), tonic::Code::Unavailable, "so that clients come again: {end:?}");
    comes_true("no connection is taken any more", async || TcpStream::connect(address).await.is_err()).await;

    slow.write_all(late.as_bytes()).await.expect("the connection is still there");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("the answer comes whole");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"VALID\""), "{answer}");
    let stopped = serving.ended().await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert!(stopped.stderr.contains("cut=0"), "{stopped:?}");
}

#[tokio::test]
async fn who_watches_the_health_is_told_of_a_stop_and_does_not_hold_it_up() {
    let place = Place::new().await;
    let serving = place.serve().await;
    let channel = Endpoint::from_shared(serving.url().to_owned()).expect("a URI").connect().await.expect("it listens");
    let mut watches = Vec::new();
    for service in ["", "gatepost.v1.Keys"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let watch = HealthClient::new(channel.clone()).watch(request).await.expect("the stream begins");
        let mut watch = watch.into_inner();
        let told = watch.message().await.expect("no error").expect("how it stands is told at once");
        assert_eq!(told.status(), ServingStatus::Serving, "{service}");
        watches.push(watch);
    }
    let began = Instant::now();
    serving.signal("TERM").await;
    for mut watch in watches {
        let told = timeout(SOON, watch.message()).await.expect("it is told soon").expect("before the stream ends");
        assert_eq!(told.expect("a message").status(), ServingStatus::NotServing);
        let end = timeout(SOON, watch.message()).await.expect("it ends soon").expect_err("the end has its reason");
        assert_eq!(end.code(), tonic::Code::Unavailable, "so that clients come again: {end:?}");
    }
    let stopped = serving.ended().await;
    assert!(began.elapsed() < SOON, "{:?}: {stopped:?}", began.elapsed());
    assert!(stopped.code == 0 && stopped.stderr.contains("cut=0"), "{stopped:?}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let place = Place::new().await;
    let serving = place.command("serve --listen 127.0.0.1:0 --drain-timeout 300ms").serve().await;
    let _stuck = begin_post(&serving, "/v1/auth/verify", &serving.admin("live"), 100).await;
    let began = Instant::now();
    let stopped = serving.stop().await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(stopped.code, 0, "{stopped:?}");
    assert!(stopped.stderr.contains("cut=1"), "{stopped:?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

async fn whoami(serving: &Serving, key: &Actor) -> u16 {
    serving.get("/v1/auth/whoami", key).await.status
}

/// Sends the head of a request on a connection of its own, and waits until the server wants the body.
async fn begin_post(serving: &Serving, target: &str, actor: &Actor, length: usize) -> TcpStream {
    let mut socket = TcpStream::connect(serving.address()).await.expect("the server listens");
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nExpect: 100-continue\r\n\r\n",
        actor.secret
    );
    socket.write_all(head.as_bytes()).await.expect("it reads");
    let mut answer = [0; 25];
    let read = timeout(SOON, socket.read_exact(&mut answer)).await.expect("it asks for the body");
    read.expect("the connection is there");
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket
}

/// Waits for what happens soon.
async fn comes_true(what: &str, is_true: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_true().await {
        assert!(Instant::now() < deadline, "{what}: not within {SOON:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Fails if a log holds one of these, or anything that the standard output should not hold either.
fn assert_silent_about(stopped: &Run, keys: &[Actor], master_key: &str) {
    for secret in keys.iter().map(|key| key.secret.as_str()).chain([master_key.trim()]) {
        assert!(!stopped.stderr.contains(secret), "the log holds a secret: {}", stopped.stderr);
    }
    assert!(!stopped.stdout.contains(master_key.trim()), "the greeting holds the master key");
}

/// "Within a second or so", on a machine under load.
const SOON: Duration = Duration::from_secs(20);
const NONE: (&str, &str) = ("", "");
const OTHER_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
