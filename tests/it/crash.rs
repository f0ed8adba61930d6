//! kill -9 in the middle of writes: what was acknowledged is there, and nothing is there by half.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::time::Duration;

use gatepost::domain::entropy::{Entropy, SystemEntropy};
use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::Actor;
use crate::support::postgres::Engine;
use crate::support::serving::{Place, Serving, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let place = Place::new().await;
    let mut server = place.serve().await;
    let admin = server.admin("live");
    let (mut all, mut doubts) = (Ledger::default(), 0);
    for round in 0..ROUNDS {
        let (begun, mut first) = mpsc::channel(1);
        let mut writing = JoinSet::new();
        for id in 0..WRITERS {
            writing.spawn(Writer::new(round, id, &server, &admin, begun.clone()).write());
        }
        drop(begun);
        // A machine under load may need a while before anything is written at all.
        first.recv().await.expect("somebody writes");
        let delay = Duration::from_millis(random(1..1_000));
        sleep(delay).await;
        server.kill().await;
        server = place.serve().await;
        assert_eq!(server.administrator("live"), None, "a crash does not look like a first start");

        let mut ledger = Ledger::default();
        while let Some(written) = writing.join_next().await {
            ledger.absorb(written.expect("a writer does not panic"));
        }
        assert!(!ledger.keys.is_empty(), "round {round}: nothing was written in {delay:?}");
        doubts += ledger.doubts();
        ledger.settle(&server, &admin).await;
        ledger.check(&server, &admin).await;
        // Whatever was written was written with its entry, and the next one was tied to it.
        let checked = place.command("audit verify").run().await.ok();
        assert!(checked.starts_with("default: whole, "), "round {round}: {checked}");
        all.absorb(ledger);
    }
    all.check(&server, &admin).await;
    all.nothing_else_is_there(&server, &admin).await;
    assert!(doubts > 0, "no kill ever met a write: the loop shows nothing");
    assert_eq!(server.stop().await.code, 0);
    the_file_is_sound(&place).await;
}

#[tokio::test]
async fn a_first_start_that_was_killed_can_be_repeated() {
    for _ in 0..6 {
        let place = Place::new().await;
        for _ in 0..2 {
            let time = Duration::from_millis(random(1..300));
            place.command("serve --listen 127.0.0.1:0").killed_after(time).await;
        }
        let server = place.serve().await;
        // Whether the first keys were told or lost: there is a way to one.
        let key = place.command("admin-key new --environment live --quiet").run().await.ok();
        let key = Actor::made(&key, "");
        server.get("/v1/keys", &key).await.expect(200, "");
        let files = std::fs::read_dir(place.data()).expect("the directory was made");
        let files: BTreeSet<_> = files.map(|file| file.expect("it can be listed").file_name()).collect();
        assert!(files.contains(OsStr::new("master.key")), "{files:?}");
    }
}

/// Writes until the server is gone.
struct Writer {
    name: String,
    origin: String,
    admin: Actor,
    http: reqwest::Client,
    /// Is told when the first write is acknowledged.
    begun: mpsc::Sender<()>,
}

/// What was done, and what nobody knows of: whatever was under way when the server was killed.
#[derive(Default)]
struct Ledger {
    /// Keys that were made, by id.
    keys: BTreeMap<String, Made>,
    /// Names of products that were made, by id. The name holds a word that no other product has.
    products: BTreeMap<String, String>,
    /// Names of keys whose making was not answered. The name is the idempotency key too.
    keys_in_doubt: BTreeSet<String>,
    /// Ids of keys whose revocation was not answered.
    revocations_in_doubt: BTreeSet<String>,
    /// Names of products whose making was not answered.
    products_in_doubt: BTreeSet<String>,
}

/// A key that was made.
#[derive(Clone)]
struct Made {
    name: String,
    secret: String,
    revoked: bool,
}

impl Writer {
    fn new(round: usize, id: usize, server: &Serving, admin: &Actor, begun: mpsc::Sender<()>) -> Self {
        // A connection of its own for each writer, so that many writes are under way at once.
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().expect("a client");
        Self {
            name: format!("round{round}writer{id}"),
            origin: server.url().to_owned(),
            admin: admin.clone(),
            http,
            begun,
        }
    }

    async fn write(self) -> Ledger {
        let mut ledger = Ledger::default();
        for count in 0.. {
            // The last letter keeps the name of one item from being the beginning of another's.
            let name = format!("{}item{count}x", self.name);
            let Some(made) = self.post("/v1/keys", &name, &new_key(&name)).await else {
                ledger.keys_in_doubt.insert(name);
                break;
            };
            let made_key = Made { name: name.clone(), secret: text(&made["secret"]), revoked: false };
            let id = text(&made["key"]["id"]);
            ledger.keys.insert(id.clone(), made_key);
            // It is full once somebody was told before.
            let _ = self.begun.try_send(());
            if count % 3 == 1 {
                if self.post(&format!("/v1/keys/{id}:revoke"), "", &json!({})).await.is_none() {
                    ledger.revocations_in_doubt.insert(id);
                    break;
                }
                ledger.keys.get_mut(&id).expect("it was made just now").revoked = true;
            }
            let Some(product) = self.post("/v1/products", "", &new_product(&name)).await else {
                ledger.products_in_doubt.insert(name);
                break;
            };
            ledger.products.insert(text(&product["id"]), name);
        }
        ledger
    }

    /// The answer; none if the server was gone before it was whole.
    async fn post(&self, target: &str, idempotency_key: &str, body: &Value) -> Option<Value> {
        let url = format!("{}{target}", self.origin);
        let mut request = self.http.post(url).headers(self.admin.headers.clone()).json(body);
        if !idempotency_key.is_empty() {
            request = request.header("idempotency-key", idempotency_key);
        }
        let reply = send(request).await.ok()?;
        assert_eq!(reply.status, 200, "{reply:?}");
        Some(reply.json())
    }
}

impl Ledger {
    fn absorb(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.products.extend(other.products);
        self.keys_in_doubt.extend(other.keys_in_doubt);
        self.revocations_in_doubt.extend(other.revocations_in_doubt);
        self.products_in_doubt.extend(other.products_in_doubt);
    }

    fn doubts(&self) -> usize {
        self.keys_in_doubt.len() + self.revocations_in_doubt.len() + self.products_in_doubt.len()
    }

    /// Does again what was not answered, as a client would.
    async fn settle(&mut self, server: &Serving, admin: &Actor) {
        for name in std::mem::take(&mut self.keys_in_doubt) {
            // Whether it was made before the crash or is made now, there is one, and its secret is known.
            let first = create_key(server, admin, &name).await;
            let again = create_key(server, admin, &name).await;
            assert_eq!(first, again, "{name}: repeated, it is another key");
            let made = Made { name, secret: text(&first["secret"]), revoked: false };
            self.keys.insert(text(&first["key"]["id"]), made);
        }
        for id in std::mem::take(&mut self.revocations_in_doubt) {
            server.post(&format!("/v1/keys/{id}:revoke"), admin, &json!({})).await.expect(200, "");
            self.keys.get_mut(&id).expect("it was made before").revoked = true;
        }
        for name in std::mem::take(&mut self.products_in_doubt) {
            let mut found = search(server, admin, &name).await;
            assert!(found.len() <= 1, "{name}: one request made {} products", found.len());
            if let Some(product) = found.pop() {
                self.products.insert(text(&product["id"]), name);
            }
        }
    }

    /// Fails unless all of it is there.
    async fn check(&self, server: &Serving, admin: &Actor) {
        let keys: Vec<_> = self.keys.iter().collect();
        for batch in keys.chunks(BATCH) {
            let requests: Vec<_> = batch.iter().map(|(_, made)| json!({"credential": made.secret})).collect();
            let answer = server.post("/v1/auth/verify:batch", admin, &json!({"requests": requests})).await;
            let answer = answer.expect(200, "").json();
            let results = answer["results"].as_array().expect("a list");
            assert_eq!(results.len(), batch.len());
            for ((id, made), result) in batch.iter().zip(results) {
                let wanted = if made.revoked { "REVOKED" } else { "VALID" };
                assert_eq!((&result["code"], &result["keyId"]), (&json!(wanted), &json!(id)), "{}", made.name);
            }
        }
        // The newest of each round: repeating a request that was answered before the crash.
        for (id, made) in keys.iter().rev().filter(|(_, made)| !made.revoked).take(3) {
            let again = create_key(server, admin, &made.name).await;
            assert_eq!((&again["key"]["id"], &again["secret"]), (&json!(id), &json!(made.secret)), "{}", made.name);
        }
        for (id, name) in &self.products {
            let product = server.get(&format!("/v1/products/{id}"), admin).await.expect(200, "").json();
            assert_eq!((&product["name"], &product["tags"]), (&json!(name), &json!(["crash", format!("tag{name}")])));
            // By its name and by its tag: the index was written with the row.
            for word in [name.clone(), format!("tag{name}")] {
                let found = search(server, admin, &word).await;
                assert_eq!(found, std::slice::from_ref(&product), "{word}");
            }
        }
    }

    /// Fails if something is listed that nobody made, or that cannot be read.
    async fn nothing_else_is_there(&self, server: &Serving, admin: &Actor) {
        let listed = list(server, admin, "/v1/keys").await;
        for key in &listed {
            let id = text(&key["id"]);
            assert_eq!(&server.get(&format!("/v1/keys/{id}"), admin).await.expect(200, "").json(), key);
            // The administrators were made by the first start, and by nobody here.
            match self.keys.get(&id) {
                Some(made) => {
                    let state = if made.revoked { "REVOKED" } else { "ACTIVE" };
                    assert_eq!((&key["name"], &key["state"]), (&json!(made.name), &json!(state)));
                    assert_eq!(key["scopes"], json!(["read:products", "verify:credentials"]));
                }
                None => assert_eq!(key["scopes"], json!(["admin"]), "nobody made this key"),
            }
        }
        assert_eq!(listed.len(), self.keys.len() + 1, "all keys are listed, once");

        let audited = async |action: &str| -> Vec<String> {
            let entries = list(server, admin, &format!("/v1/audit-events?action={action}")).await;
            let mut targets: Vec<_> = entries.iter().map(|entry| text(&entry["target"])).collect();
            targets.sort();
            targets
        };
        let mut made: Vec<_> = listed.iter().map(|key| text(&key["id"])).collect();
        made.sort();
        assert_eq!(audited("key.created").await, made, "each key that was made is in the audit log, once");
        let revoked: Vec<_> = self.keys.iter().filter(|(_, made)| made.revoked).map(|(id, _)| id.clone()).collect();
        assert_eq!(audited("key.revoked").await, revoked);

        let listed = list(server, admin, "/v1/products").await;
        let names: BTreeMap<_, _> = listed.iter().map(|one| (text(&one["id"]), text(&one["name"]))).collect();
        assert_eq!(names, self.products, "the products that are listed are those that were made");
        assert_eq!(search(server, admin, "crash").await.len(), self.products.len().min(PAGE), "the index has no more");
    }
}

async fn create_key(server: &Serving, admin: &Actor, name: &str) -> Value {
    let request = server.request(Method::POST, "/v1/keys", admin).header("idempotency-key", name);
    send(request.json(&new_key(name))).await.expect("the server answers").expect(200, "").json()
}

async fn search(server: &Serving, admin: &Actor, word: &str) -> Vec<Value> {
    let target = format!("/v1/products:search?query={word}&pageSize={PAGE}");
    items(server.get(&target, admin).await.expect(200, "").json())
}

/// Every page of a list.
async fn list(server: &Serving, admin: &Actor, path: &str) -> Vec<Value> {
    let mark = if path.contains('?') { '&' } else { '?' };
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let next = if token.is_empty() { String::new() } else { format!("&pageToken={token}") };
        let page = server.get(&format!("{path}{mark}pageSize={PAGE}{next}"), admin).await.expect(200, "").json();
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        all.extend(items(page));
        if token.is_empty() {
            return all;
        }
    }
}

fn items(page: Value) -> Vec<Value> {
    page["data"].as_array().expect("a list").clone()
}

fn new_key(name: &str) -> Value {
    json!({"name": name, "scopes": ["read:products", "verify:credentials"], "metadata": {"made": "in a crash"}})
}

fn new_product(name: &str) -> Value {
    json!({"name": name, "description": "made in a crash", "tags": ["crash", format!("tag{name}")]})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text")).to_owned()
}

fn random(range: std::ops::Range<u64>) -> u64 {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    range.start + u64::from_le_bytes(bytes) % (range.end - range.start)
}

/// SQLite's own opinion of its file, and of the search index.
async fn the_file_is_sound(place: &Place) {
    if Engine::chosen() != Engine::Sqlite {
        return;
    }
    let mut connection = SqliteConnection::connect(&place.database_url()).await.expect("the file can be opened");
    let opinion: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.expect("it answers");
    assert_eq!(opinion, "ok");
    let broken: Vec<String> = sqlx::query_scalar("SELECT \"table\" FROM pragma_foreign_key_check")
        .fetch_all(&mut connection)
        .await
        .expect("it answers");
    assert_eq!(broken, Vec::<String>::new());
    connection.close().await.expect("it can be closed");
}

const ROUNDS: usize = 8;
const WRITERS: usize = 5;
/// Credentials in one BatchVerify.
const BATCH: usize = 100;
/// Items on a page: the most there can be.
const PAGE: usize = 1_000;
