//! A project from its making to its end.

use std::time::{Duration, Instant};

use gatepost::domain::id::ProjectId;
use gatepost::proto::v1::auth_client::AuthClient;
use gatepost::proto::v1::watch_revocations_response::Kind;
use gatepost::proto::v1::{WatchRevocationsRequest, WatchRevocationsResponse};
use serde_json::{Value, json};
use tonic::{Code, Request, Streaming};

use crate::support::actors::administrators;
use crate::support::command::Gatepost;
use crate::support::{Actor, TestServer, Wire, leaks};

#[tokio::test]
async fn a_project_goes_through_its_life() {
    let server = TestServer::start().await;
    for (name, wire) in ["one", "two", "three", "four"].into_iter().zip(Wire::ALL) {
        let call = async |rpc: &str, actor: &Actor, request: Value| server.call(wire, rpc, actor, request).await;
        let boss = server.live();
        let new =
            json!({"project": {"id": name, "displayName": "Shop", "description": "All of it", "keyPrefix": "bk"}});
        let made = call("Auth/CreateProject", &boss, new.clone()).await.ok();
        let [live, test] = administrators(&made);
        let project = &made["project"];
        assert_eq!(
            (&project["id"], &project["displayName"], &project["keyPrefix"], &project["createdAt"]),
            (&json!(name), &json!("Shop"), &json!("bk"), &json!("2030-01-01T00:00:00Z"))
        );
        assert!(live.secret.starts_with("bk_live_") && test.secret.starts_with("bk_test_"));
        for (key, environment) in [(&live, "LIVE"), (&test, "TEST")] {
            let who = call("Auth/WhoAmI", key, json!({})).await.ok();
            let seen = (&who["project"], &who["environment"], &who["scopes"]);
            assert_eq!(seen, (&json!(name), &json!(environment), &json!(["admin"])));
        }
        call("Auth/CreateProject", &boss, new.clone()).await.refused("ALREADY_EXISTS");
        for reader in [&boss, &live, &test] {
            assert_eq!(call("Auth/GetProject", reader, json!({"id": name})).await.ok()["project"], *project);
        }

        // Its own administrator changes it, and so does one of the installation; live keys alone.
        let change = |etag: &str, prefix: &str| json!({"project": {"id": name, "keyPrefix": prefix, "etag": etag}, "updateMask": "keyPrefix"});
        let etag = project["etag"].as_str().expect("an etag");
        call("Auth/UpdateProject", &test, change(etag, "ck")).await.refused("ENV_MISMATCH");
        let changed = call("Auth/UpdateProject", &live, change(etag, "ck")).await.ok()["project"].clone();
        assert_eq!((&changed["keyPrefix"], &changed["displayName"]), (&json!("ck"), &json!("Shop")));
        call("Auth/UpdateProject", &boss, change(etag, "dk")).await.refused("ETAG_MISMATCH");
        call("Auth/UpdateProject", &boss, change("", "dk")).await.ok();
        let key = server.new_key_by(&live, json!({"name": "k", "scopes": ["verify:credentials"]})).await;
        assert!(key.secret.starts_with("dk_live_"), "the newest prefix");
        call("Auth/WhoAmI", &live, json!({})).await.ok();

        let gone = call("Auth/DeleteProject", &boss, json!({"id": name})).await.ok();
        assert_eq!(gone["project"]["deletedAt"], "2030-01-01T00:00:00Z");
        for ended in [&live, &test, &key] {
            for wire in Wire::ALL {
                server.call(wire, "Auth/WhoAmI", ended, json!({})).await.refused("NOT_FOUND");
            }
        }
        for rpc in ["Auth/GetProject", "Auth/DeleteProject"] {
            call(rpc, &boss, json!({"id": name})).await.refused("RESOURCE_NOT_FOUND");
        }
        call("Auth/UpdateProject", &boss, change("", "ek")).await.refused("RESOURCE_NOT_FOUND");
        call("Auth/CreateProject", &boss, new).await.refused("ALREADY_EXISTS");
    }
    let request = json!({"action": "project.*", "target": "one", "pageSize": 100});
    let log = server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), request).await.ok();
    let told = log["data"].as_array().expect("a list");
    for action in ["project.created", "project.updated", "project.deleted"] {
        let mut of_one = told.iter().filter(|event| event["action"] == action);
        let event = of_one.next().unwrap_or_else(|| panic!("{action} is not in the audit log"));
        assert_eq!(event["actor"], json!(server.live().id), "{event}");
        assert!(of_one.next().is_none(), "what is refused is not told");
    }
}

#[tokio::test]
async fn the_first_project_stays() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
        call("Auth/DeleteProject", json!({"id": "default"})).await.refused("INVALID_STATE");
        call("Auth/DeleteProject", json!({"id": "default", "etag": "7"})).await.refused("INVALID_STATE");
        call("Auth/WhoAmI", json!({})).await.ok();
    }
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
        for id in ["", "Shop", "1shop", "shop-", "a_b", "caf\u{e9}", &"x".repeat(41)] {
            call("Auth/CreateProject", json!({"project": {"id": id}})).await.violates(&["project.id"]);
        }
        let all = json!({
            "id": "Shop", "displayName": "x".repeat(101), "description": "a\u{7}b", "keyPrefix": "pk",
        });
        let fields = ["project.id", "project.display_name", "project.description", "project.key_prefix"];
        call("Auth/CreateProject", json!({"project": all})).await.violates(&fields);
        let update = async |project: Value, mask: &str| {
            call("Auth/UpdateProject", json!({"project": project, "updateMask": mask})).await
        };
        for prefix in ["", "rk", "uk", "a", "SK", "toolongprefix"] {
            update(json!({"id": "default", "keyPrefix": prefix}), "keyPrefix").await.violates(&["project.key_prefix"]);
        }
        update(json!({"id": "default", "description": "x".repeat(1_001)}), "description")
            .await
            .violates(&["project.description"]);
        update(json!({"id": "default", "displayName": " x"}), "displayName").await.violates(&["project.display_name"]);
        update(json!({"id": "default"}), "createdAt").await.violates(&["update_mask"]);
        for id in ["", "Shop", "nowhere", "key_0123"] {
            call("Auth/GetProject", json!({"id": if id.is_empty() { "-" } else { id }}))
                .await
                .refused("RESOURCE_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn a_project_says_how_users_come_to_it() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
        let name = format!("shop-{wire:?}").to_lowercase();
        let told = |project: &Value| {
            [&project["signUp"], &project["sessionLifetime"], &project["userScopes"]].map(Value::clone)
        };
        let made = call("Auth/CreateProject", json!({"project": {"id": name}})).await.ok();
        assert_eq!(told(&made["project"]), [json!("CLOSED"), json!("3600s"), json!([])], "closed unless it is opened");
        let settings = json!({"id": name, "signUp": "OPEN", "sessionLifetime": "300s", "userScopes": ["READ_USERS"]});
        let update = async |project: Value, mask: &str| {
            call("Auth/UpdateProject", json!({"project": project, "updateMask": mask})).await
        };
        let changed = update(settings, "signUp,sessionLifetime,userScopes").await.ok();
        let open = [json!("OPEN"), json!("300s"), json!(["read:users"])];
        assert_eq!(told(&changed["project"]), open);
        let renamed = update(json!({"id": name, "displayName": "Shop"}), "displayName").await.ok();
        assert_eq!(told(&renamed["project"]), open);
        for (field, value) in [
            ("sessionLifetime", json!("299s")),
            ("sessionLifetime", json!("86400.000000001s")),
            ("sessionLifetime", json!("-1s")),
            ("userScopes", json!(["READ"])),
            ("userScopes", json!(["read:nothing"])),
        ] {
            update(json!({"id": name, field: value}), field).await.refused("INVALID_FIELD");
        }
        let closed = update(json!({"id": name}), "signUp,sessionLifetime,userScopes").await.ok();
        assert_eq!(told(&closed["project"]), told(&made["project"]));
    }
}

#[tokio::test]
async fn projects_are_listed_in_every_style() {
    let server = TestServer::start().await;
    for name in ["c", "b", "a"] {
        server.project(name).await;
    }
    server.project("bb").await;
    server.call(Wire::Grpc, "Auth/DeleteProject", &server.live(), json!({"id": "bb"})).await.ok();
    let all = ["a", "b", "c", "default"];
    for wire in Wire::ALL {
        let list = async |request: Value| server.call(wire, "Auth/ListProjects", &server.live(), request).await.ok();
        let names = |page: &Value| -> Vec<String> {
            let data = page["data"].as_array().expect("a list").iter();
            data.map(|project| project["id"].as_str().expect("an id").to_owned()).collect()
        };
        assert_eq!(names(&list(json!({})).await), all);
        let first = list(json!({"pageSize": 3})).await;
        assert_eq!(names(&first), all[..3]);
        let rest = list(json!({"pageSize": 3, "pageToken": first["nextPageToken"]})).await;
        assert_eq!(
            (names(&rest), rest["nextPageToken"].as_str().unwrap_or_default()),
            (vec!["default".to_owned()], "")
        );
        for (style, second) in [(json!({"limit": 2, "page": 2}), &all[2..]), (json!({"size": 2, "page": 1}), &all[2..])]
        {
            let page = list(style).await;
            assert_eq!(
                (names(&page), &page["pagination"]["total"]),
                (second.iter().map(ToString::to_string).collect(), &json!(4))
            );
        }
    }
}

#[tokio::test]
async fn a_watch_ends_with_its_project() {
    let server = TestServer::start().await;
    let [live, _] = server.project("shop").await;
    let other = server.project("other").await;
    let mut watch = watch(&server, &live).await;
    let mut elsewhere = self::watch(&server, &other[0]).await;
    for watch in [&mut watch, &mut elsewhere] {
        assert_eq!(next(watch).await.expect("a sign of life").kind(), Kind::Heartbeat);
    }
    server.call(Wire::Grpc, "Auth/DeleteProject", &server.live(), json!({"id": "shop"})).await.ok();
    let last = next(&mut watch).await.expect("the end is told");
    assert_eq!((last.kind(), last.key_id), (Kind::ProjectDeleted, None));
    assert_eq!(next(&mut watch).await.expect_err("nobody is told any more").code(), Code::Unavailable);
    // The other project's watch goes on, and is told of its own changes only.
    let key = server.new_key_by(&other[0], json!({"name": "x"})).await;
    let told = next(&mut elsewhere).await.expect("it goes on");
    assert_eq!((told.kind(), told.key_id), (Kind::Created, Some(key.id)));
}

#[tokio::test]
async fn the_data_of_a_deleted_project_is_removed() {
    let server = TestServer::start().await;
    let [live, test] = server.project("shop").await;
    for admin in [&live, &test] {
        for n in 0..3 {
            server.new_key_by(admin, json!({"name": "k", "scopes": ["read:keys"], "allowedIps": ["127.0.0.1"]})).await;
            let product = json!({"product": {"name": format!("red shoe {n}"), "tags": ["new"]}});
            server.call(Wire::Grpc, "Products/CreateProduct", admin, product).await.ok();
        }
    }
    server.call(Wire::Grpc, "Auth/DeleteProject", &server.live(), json!({"id": "shop"})).await.ok();
    let shop = ProjectId::parse("shop").expect("a name");
    let left = async || server.store().await.list_projects_to_empty(10).await.expect("the store answers").len();
    assert_eq!(left().await, 1);
    server.advance(Duration::from_secs(2 * 60 * 60));
    // A node sweeps when it starts.
    let _two = server.another_node().await;
    let began = Instant::now();
    while left().await > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not emptied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let request = gatepost::domain::page::PageRequest::After { limit: 10, after: None };
    let store = server.store().await;
    for environment in
        [gatepost::domain::environment::Environment::Live, gatepost::domain::environment::Environment::Test]
    {
        let keys = store.list_keys(&shop, environment, &Default::default(), &request).await.expect("the store answers");
        let products = store.list_products(&shop, environment, &Default::default(), &request).await;
        assert_eq!((keys.items.len(), products.expect("the store answers").items.len()), (0, 0));
    }
    server.call(Wire::Grpc, "Auth/WhoAmI", &server.live(), json!({})).await.ok();
}

#[tokio::test]
async fn the_command_line_governs_projects() {
    let server = TestServer::start().await;
    let admin = |line: &str| Gatepost::new(line).calls(&server, &server.live().secret);
    let made = admin("projects create shop --display-name Shop --key-prefix bk --quiet").run().await.ok();
    let keys: Vec<_> = made.lines().map(|secret| Actor::made(secret, "")).collect();
    assert!(keys.len() == 2 && keys[0].secret.starts_with("bk_live_") && keys[1].secret.starts_with("bk_test_"));
    for key in &keys {
        server.call(Wire::Grpc, "Auth/WhoAmI", key, json!({})).await.ok();
    }
    let second = admin("projects create second --json").run().await.json();
    leaks::remember(second["liveSecret"].as_str().expect("a secret"));
    leaks::remember(second["testSecret"].as_str().expect("a secret"));
    assert_eq!(second["project"]["keyPrefix"], "sk");
    admin("projects create second").run().await.fails_with(1);

    assert_eq!(
        admin("projects list --quiet").run().await.ok().lines().collect::<Vec<_>>(),
        ["default", "second", "shop"]
    );
    let shown = admin("projects list").run().await.ok();
    assert!(shown.contains("KEY PREFIX") && shown.contains("Shop"), "{shown}");
    let own = |line: &str| Gatepost::new(line).calls(&server, &keys[0].secret);
    assert!(own("projects show shop").run().await.ok().contains("bk"));
    own("projects show second").run().await.fails_with(4);
    own("projects list").run().await.fails_with(3);
    let changed = own("projects update shop --description all --key-prefix ck --json").run().await.json();
    assert_eq!((&changed["description"], &changed["keyPrefix"]), (&json!("all"), &json!("ck")));
    admin("projects update shop").run().await.fails_with(2);
    admin("projects update shop --key-prefix dk --etag 1").run().await.fails_with(1);
    assert_eq!(admin("projects delete shop second --quiet").run().await.ok().lines().count(), 2);
    own("projects show shop").run().await.fails_with(3);
    admin("projects delete shop").run().await.fails_with(4);
}

async fn watch(server: &TestServer, actor: &Actor) -> Streaming<WatchRevocationsResponse> {
    let mut request = Request::new(WatchRevocationsRequest { from_revision: None });
    let bearer = format!("Bearer {}", actor.secret).parse().expect("a header's value");
    request.metadata_mut().insert("authorization", bearer);
    let mut client = AuthClient::new(server.clients().channel());
    client.watch_revocations(request).await.expect("it begins").into_inner()
}

async fn next(watch: &mut Streaming<WatchRevocationsResponse>) -> Result<WatchRevocationsResponse, tonic::Status> {
    let next = tokio::time::timeout(Duration::from_secs(20), watch.message()).await.expect("it is told in time");
    next.map(|message| message.expect("a watch does not end without a word"))
}
