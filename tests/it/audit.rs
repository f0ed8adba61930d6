//! The audit log: whatever changes keys and scopes leaves one entry, which says who, what and from where, and no secret; the
//! environments see their own; and tampering is named.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::ProjectId;
use gatepost::domain::page::PageRequest;
use gatepost::store::AuditFilter;
use http::Method;
use serde_json::{Value, json};

use crate::openapi::{calls, fresh_path};
use crate::support::command::Gatepost;
use crate::support::postgres::Engine;
use crate::support::serving::Place;
use crate::support::{Actor, Rpc, TestServer, Wire, leaks};

/// The RPCs that are no GET and leave no entry, and why.
const UNAUDITED: [(&str, &str); 6] = [
    ("Auth/Verify", "decides, and changes nothing"),
    ("Auth/BatchVerify", "decides, and changes nothing"),
    ("Keys/TestWebhook", "tells the webhook, and changes nothing; the log of deliveries has it"),
    ("Products/CreateProduct", "products are data"),
    ("Products/UpdateProduct", "products are data"),
    ("Products/DeleteProduct", "products are data"),
];

#[tokio::test]
async fn whatever_changes_something_leaves_one_entry() {
    let server = TestServer::start().await;
    let document = server.get("/openapi.json", &Actor::anonymous()).await.expect(200, "").json();
    let mut unaudited: Vec<_> = UNAUDITED.iter().map(|(rpc, _)| *rpc).collect();
    let mut audited = 0;
    for call in calls(&document).into_iter().filter(|call| !call.is_for_users()) {
        let method = call.method.as_str().to_lowercase();
        let id = document["paths"][&call.template][&method]["operationId"].as_str().expect("an id");
        let rpc = Rpc::all().into_iter().find(|rpc| id.to_lowercase().starts_with(&rpc.0.name().to_lowercase()));
        let rpc = rpc.unwrap_or_else(|| panic!("{id} is of no RPC"));
        let path = fresh_path(&server, &call).await;
        let call = call.about_what_is_there(&server).await;
        if let Some(user) = path.strip_prefix("/v1/users/").and_then(|path| path.strip_suffix(":unblock")) {
            server.call(Wire::Grpc, "Users/BlockUser", &server.live(), json!({"id": user})).await.ok();
        }
        let before = entries(&server, Environment::Live).await;
        let answer = call.send(&server, &path, &server.live()).await;
        assert_eq!(answer["status"], 200, "{answer}");
        let after = entries(&server, Environment::Live).await;
        let read_only = call.method == Method::GET;
        let excused = UNAUDITED.iter().any(|(name, _)| *name == rpc.name());
        unaudited.retain(|name| *name != rpc.name() || read_only);
        let wanted = usize::from(!read_only && !excused);
        assert_eq!(after.len() - before.len(), wanted, "{} at {} {}", rpc.name(), call.method, call.template);
        if wanted == 1 {
            let entry = &after[0].event;
            assert_eq!(entry.actor.as_ref().map(|id| id.as_str()), Some(server.live().id.as_str()));
            assert!(entry.request_id.as_deref().is_some_and(|id| id.starts_with("req_")), "{entry:?}");
            assert_eq!(entry.client_ip.map(|ip| ip.to_string()).as_deref(), Some("127.0.0.1"));
            audited += 1;
        }
    }
    assert_eq!(unaudited, Vec::<&str>::new(), "these are no RPCs that change something");
    assert!(audited >= 12, "{audited}");
    // What is refused leaves nothing.
    let before = entries(&server, Environment::Live).await.len();
    for rpc in Rpc::all().iter().filter(|rpc| !["Auth/ExplainVerify"].contains(&rpc.name().as_str())) {
        for actor in [server.live(), server.test(), Actor::anonymous()] {
            if !rpc.0.is_server_streaming() {
                server.call_rpc(Wire::Grpc, rpc, &actor, json!({})).await;
            }
        }
    }
    assert_eq!(entries(&server, Environment::Live).await.len(), before);
}

#[tokio::test]
async fn an_entry_says_who_did_what_and_what_changed() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| {
            let actor = server.live().with("x-request-id", &format!("{wire:?}-{}", rpc.replace('/', "-")));
            server.call(wire, rpc, &actor, request).await.ok()
        };
        server.advance(Duration::from_secs(10));
        let start = server.later(Duration::ZERO);
        let made = call("Keys/CreateKey", json!({"name": "shop", "scopes": ["read:keys"], "owner": "ann"})).await;
        let id = made["key"]["id"].as_str().expect("a text").to_owned();
        leaks::remember(made["secret"].as_str().expect("a text"));
        let mask = "name,owner,scopes";
        call("Keys/UpdateKey", json!({"key": {"id": id, "name": "web", "scopes": ["read:keys"]}, "updateMask": mask}))
            .await;
        call("Keys/SuspendKey", json!({"id": id})).await;
        call("Keys/ResumeKey", json!({"id": id})).await;
        let rotate = json!({"id": id, "mode": "FIRST_USE", "gracePeriod": "60s"});
        let rotated = call("Keys/RotateKey", rotate).await;
        let new = Actor::made(rotated["secret"].as_str().expect("a text"), &id);
        let first_use = new.with("x-request-id", "first-use");
        server.call(wire, "Auth/WhoAmI", &first_use, json!({})).await.ok();
        server.call(wire, "Auth/WhoAmI", &first_use, json!({})).await.ok();
        call("Keys/DeleteKey", json!({"id": id})).await;
        // Done already: nothing changes.
        call("Keys/DeleteKey", json!({"id": id})).await;

        let listed = call("Keys/ListAuditEvents", json!({"target": id, "occurredAfter": start})).await;
        let listed: Vec<_> = listed["data"].as_array().expect("a list").iter().rev().cloned().collect();
        let seqs: Vec<i64> =
            listed.iter().map(|e| e["seq"].as_str().expect("a text").parse().expect("a number")).collect();
        assert!(seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
        let told = |name: &str| -> Vec<Value> { listed.iter().map(|entry| entry[name].clone()).collect() };
        let actions = ["created", "updated", "suspended", "resumed", "rotated", "grace_begun", "revoked"];
        assert_eq!(told("action"), actions.map(|action| json!(format!("key.{action}"))));
        let mut actors = vec![json!(server.live().id); 7];
        actors[5] = json!(id);
        assert_eq!(told("actor"), actors);
        assert_eq!(told("requestId")[4..6], [json!(format!("{wire:?}-Keys-RotateKey")), json!("first-use")]);
        assert_eq!(told("clientIp"), vec![json!("127.0.0.1"); 7]);
        assert_eq!(told("environment"), vec![json!("LIVE"); 7]);
        assert_eq!(told("occurredAt"), vec![json!(start); 7]);

        let change = |at: usize| {
            ["before", "after"]
                .map(|side| listed[at][side].as_str().map(|text| serde_json::from_str::<Value>(text).expect("JSON")))
        };
        let [before, after] = change(0);
        assert_eq!((before, &after.expect("it was made")["owner"]), (None, &json!("ann")));
        let names = [json!({"name": "shop", "owner": "ann"}), json!({"name": "web", "owner": null})];
        assert_eq!(change(1), names.map(Some));
        assert_eq!(change(2), [json!({"suspendedAt": null}), json!({"suspendedAt": start})].map(Some));
        let [before, after] = change(4).map(|side| side.expect("it changed"));
        assert_eq!((&before["hint"], &after["hint"]), (&made["key"]["hint"], &rotated["key"]["hint"]));
        assert_eq!((&before["rotation"], &after["rotation"]["oldSecretExpiresAt"]), (&Value::Null, &Value::Null));
        let [before, after] = change(5).map(|side| side.expect("it changed"));
        assert_eq!(before["rotation"]["oldSecretExpiresAt"], Value::Null);
        assert_eq!(after["rotation"]["oldSecretExpiresAt"], server.later(Duration::from_secs(60)));
        assert_eq!(change(6)[1], Some(json!({"revokedAt": start})));
    }
}

#[tokio::test]
async fn each_environment_sees_its_own_and_what_is_the_projects() {
    let server = TestServer::start().await;
    let other = server.other_project("other", Environment::Live).await;
    let live = server.key(&[]).await;
    let test = server.new_key_by(&server.test(), json!({"name": "test"})).await;
    server.register(&["read:budgets"]).await;
    for wire in Wire::ALL {
        let seen = async |actor: &Actor, request: Value| -> Vec<Value> {
            let listed = server.call(wire, "Keys/ListAuditEvents", actor, request).await.ok();
            listed["data"].as_array().expect("a list").iter().map(|entry| entry["target"].clone()).collect()
        };
        for (own, key, foreign) in [(server.live(), &live, &test), (server.test(), &test, &live)] {
            let all = seen(&own, json!({})).await;
            let has = |id: &str| all.contains(&json!(id));
            assert!(has(&key.id) && has(&own.id) && has("read:budgets") && has("default"), "{all:?}");
            assert!(!has(&foreign.id), "{all:?}");
            assert_eq!(seen(&own, json!({"target": foreign.id})).await, Vec::<Value>::new());
            assert_eq!(seen(&own, json!({"actor": "command-line", "action": "project.*"})).await, [json!("default")]);
            assert_eq!(seen(&own, json!({"actor": "command-line", "action": "key.created"})).await, [json!(own.id)]);
            assert_eq!(seen(&own, json!({"action": "scope.registered"})).await, [json!("read:budgets")]);
            assert_eq!(seen(&own, json!({"occurredBefore": server.later(Duration::ZERO)})).await, Vec::<Value>::new());
        }
        assert_eq!(seen(&other, json!({})).await, Vec::<Value>::new());
        let list = async |actor: &Actor, request| server.call(wire, "Keys/ListAuditEvents", actor, request).await;
        let reader = server.key(&["read:audit"]).await;
        list(&reader, json!({"limit": 2, "page": 1})).await.ok();
        list(&live, json!({})).await.refused("INSUFFICIENT_SCOPE");
        for bad in ["", "key", "key.", "*", "key.re*", "Key.revoked", ".x", "key.a.b"] {
            list(&reader, json!({"action": bad})).await.violates(&["action"]);
        }
        list(&reader, json!({"actor": "me"})).await.violates(&["actor"]);
        list(&reader, json!({"target": "a b"})).await.violates(&["target"]);
        list(&reader, json!({"pageSize": 0})).await.violates(&["page_size"]);

        let first = list(&server.live(), json!({"pageSize": 2})).await.ok();
        let token = first["nextPageToken"].clone();
        let second = list(&server.live(), json!({"pageSize": 2, "pageToken": token})).await.ok();
        assert_ne!(first["data"], second["data"]);
        list(&server.live(), json!({"pageToken": token, "action": "key.*"})).await.violates(&["page_token"]);
        list(&server.test(), json!({"pageToken": token})).await.violates(&["page_token"]);
    }
}

#[tokio::test]
async fn no_entry_holds_a_secret() {
    let server = TestServer::start().await;
    let maker = server.live().with("idempotency-key", "once");
    let key = server.new_key_by(&maker, json!({"name": "shop", "recoverable": true, "scopes": ["admin"]})).await;
    let call = async |rpc: &str, request: Value| server.call(Wire::Json, rpc, &server.live(), request).await.ok();
    call("Keys/RevealKey", json!({"id": key.id})).await;
    for rpc in ["Auth/ExplainVerify", "Auth/Verify"] {
        call(rpc, json!({"credential": key.secret})).await;
        call(rpc, json!({"credential": Actor::stranger("sk", Environment::Live).secret})).await;
    }
    let rotated = call("Keys/RotateKey", json!({"id": key.id, "mode": "FIRST_USE", "gracePeriod": "60s"})).await;
    let new = Actor::made(rotated["secret"].as_str().expect("a text"), &key.id);
    server.call(Wire::Grpc, "Auth/WhoAmI", &new, json!({})).await.ok();
    call("Keys/DeleteKey", json!({"id": key.id})).await;

    let mut text = String::new();
    for environment in [Environment::Live, Environment::Test] {
        text += &format!("{:?}\n", entries(&server, environment).await);
    }
    assert!(text.contains("key.grace_begun") && text.contains("key.revealed") && text.contains("sk_live_"), "{text}");
    assert_eq!(leaks::find_secret(text.as_bytes()), None);
    let keyring = server.keyring().await;
    for secret in [&key.secret, &new.secret, &server.live().secret, &server.test().secret] {
        let hash = keyring.hash(secret);
        let hash = hash.as_bytes();
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        for told in [secret.clone(), secret[8..].to_owned(), hex, BASE64_STANDARD.encode(hash), format!("{hash:?}")] {
            assert!(!text.contains(&told), "{told}");
        }
    }
}

#[tokio::test]
async fn the_log_is_read_and_checked_on_the_command_line() {
    let place = Place::new().await;
    let nothing = place.command("audit verify").run().await.fails_with(2);
    assert!(nothing.contains("there is no gatepost data in"), "{nothing}");
    let serving = place.serve().await;
    let admin = serving.admin("live");
    let made = serving.post("/v1/keys", &admin, &json!({"name": "shop"})).await.expect(200, "").json();
    leaks::remember(made["secret"].as_str().expect("a text"));
    let id = made["key"]["id"].as_str().expect("a text");
    serving.post(&format!("/v1/keys/{id}:suspend"), &admin, &json!({})).await.expect(200, "");
    let replaced = place.command("admin-key new --environment test --revoke-others --quiet").run().await.ok();
    leaks::remember(&replaced);
    place.command("projects set --key-prefix bk").run().await.ok();

    let client = |line: &str| {
        Gatepost::new(line).variable("GATEPOST_URL", serving.url()).variable("GATEPOST_KEY", &admin.secret)
    };
    let listed = client("audit list --all --json").run().await.json();
    let actions: Vec<_> = listed["data"].as_array().expect("a list").iter().map(|e| e["action"].clone()).collect();
    let wanted = ["project.updated", "key.suspended", "key.created", "key.created", "project.created"];
    assert_eq!(actions, wanted.map(Value::from), "{listed}");
    let updated = &listed["data"][0];
    let sides = [&updated["actor"], &updated["before"], &updated["after"]];
    assert_eq!(sides, [&json!("command-line"), &json!("{\"keyPrefix\":\"sk\"}"), &json!("{\"keyPrefix\":\"bk\"}")]);
    let table = client(&format!("audit list --target {id} --action key.* --limit 1")).run().await;
    assert!(table.stdout.starts_with("SEQ ") && table.stdout.contains("key.suspended"), "{table:?}");
    assert!(table.stderr.contains("There is more: --page-token "), "{table:?}");
    let refused = client("audit list --action key").run().await.fails_with(1);
    assert!(refused.contains("action"), "{refused}");

    // project.created, 3 keys, a suspension, a revocation and the prefix.
    let verify = async || place.command("audit verify").run().await;
    assert_eq!(verify().await.ok(), "default: whole, 8 entries");
    serving.stop().await;
    assert_eq!(verify().await.ok(), "default: whole, 8 entries");
    let table = String::from("UPDATE audit_events SET target = 'key_x' WHERE action = 'key.suspended'");
    execute(&place, table).await;
    let broken = verify().await;
    assert_eq!(
        (broken.code, broken.stdout.as_str().starts_with("default: BROKEN at seq 5: changed (event evt_")),
        (1, true),
        "{broken:?}"
    );
}

/// What an environment sees, newest first.
async fn entries(server: &TestServer, environment: Environment) -> Vec<gatepost::domain::audit::AuditEntry> {
    let request = PageRequest::After { limit: PageRequest::MAX_LIMIT, after: None };
    let project = ProjectId::default_project();
    let listed = server.store().await.list_audit_events(&project, environment, &AuditFilter::default(), &request).await;
    let listed = listed.expect("the store answers");
    assert!(!listed.has_more, "more than a test makes");
    listed.items
}

async fn execute(place: &Place, sql: String) {
    use sqlx::{AssertSqlSafe, Connection};
    let url = place.database_url();
    let done = match Engine::chosen() {
        Engine::Sqlite => {
            let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the file can be opened");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.map(|done| done.rows_affected())
        }
        Engine::Postgres => {
            let mut connection = sqlx::PgConnection::connect(&url).await.expect("the database is there");
            sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.map(|done| done.rows_affected())
        }
    };
    assert_eq!(done.expect("it can be changed"), 1);
}
