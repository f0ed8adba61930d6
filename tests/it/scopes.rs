//! The registry of scopes.

use serde_json::{Value, json};

use crate::support::{Actor, TestServer, Wire};

#[tokio::test]
async fn a_scope_lives_from_its_registration_to_its_removal() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
        let new = json!({"scope": {"name": "READ_BUDGETS", "description": "See budgets"}});
        let made = call("Auth/CreateScope", new.clone()).await.ok()["scope"].clone();
        assert_eq!(made["name"], "READ_BUDGETS", "the spelling it was registered in");
        assert_eq!((&made["builtIn"], &made["createdAt"]), (&json!(false), &json!("2030-01-01T00:00:00Z")));
        call("Auth/CreateScope", new).await.refused("ALREADY_EXISTS");
        call("Auth/CreateScope", json!({"scope": {"name": "read:budgets"}})).await.refused("ALREADY_EXISTS");
        for name in ["READ_BUDGETS", "read:budgets"] {
            assert_eq!(call("Auth/GetScope", json!({"name": name})).await.ok()["scope"], made, "either spelling");
        }
        let change =
            json!({"scope": {"name": "read:budgets", "description": "See all budgets"}, "updateMask": "description"});
        let changed = call("Auth/UpdateScope", change).await.ok()["scope"].clone();
        assert_eq!((&changed["name"], &changed["description"]), (&json!("READ_BUDGETS"), &json!("See all budgets")));
        let change = json!({"scope": {"name": "read:budgets"}, "updateMask": "name"});
        call("Auth/UpdateScope", change).await.violates(&["update_mask"]);

        let listed = call("Auth/ListScopes", json!({"pageSize": 1000})).await.ok();
        let names: Vec<_> = listed["data"].as_array().expect("a list").iter().map(|s| s["name"].clone()).collect();
        assert!(names.contains(&json!("READ_BUDGETS")) && names.contains(&json!("admin")), "{names:?}");

        let key = server.key(&["read:budgets"]).await;
        call("Auth/DeleteScope", json!({"name": "READ_BUDGETS"})).await.refused("INVALID_STATE");
        call("Keys/SuspendKey", json!({"id": key.id})).await.ok();
        call("Auth/DeleteScope", json!({"name": "READ_BUDGETS"})).await.refused("INVALID_STATE");
        call("Keys/DeleteKey", json!({"id": key.id})).await.ok();
        let gone = call("Auth/DeleteScope", json!({"name": "read:budgets"})).await.ok();
        assert_eq!(gone["scope"], changed);
        for rpc in ["Auth/DeleteScope", "Auth/GetScope"] {
            call(rpc, json!({"name": "read:budgets"})).await.refused("RESOURCE_NOT_FOUND");
        }
        let create = json!({"name": "x", "scopes": ["read:budgets"]});
        call("Keys/CreateKey", create).await.violates(&["scopes[0]"]);
    }
}

#[tokio::test]
async fn built_in_scopes_are_not_the_projects_to_change() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        for name in ["admin", "READ_KEYS"] {
            let call = async |rpc: &str, request: Value| server.call(wire, rpc, &server.live(), request).await;
            call("Auth/CreateScope", json!({"scope": {"name": name}})).await.refused("ALREADY_EXISTS");
            call("Auth/DeleteScope", json!({"name": name})).await.refused("INVALID_STATE");
            let change = json!({"scope": {"name": name, "description": "mine"}, "updateMask": "description"});
            call("Auth/UpdateScope", change).await.refused("INVALID_STATE");
            assert_eq!(call("Auth/GetScope", json!({"name": name})).await.ok()["scope"]["builtIn"], true);
        }
    }
}

#[tokio::test]
async fn what_is_no_scope_is_refused() {
    let server = TestServer::start().await;
    let long = format!("read:{}", "x".repeat(96));
    for wire in Wire::ALL {
        let create =
            async |scope: Value| server.call(wire, "Auth/CreateScope", &server.live(), json!({"scope": scope})).await;
        for name in ["", "read", "Read:x", "read:", "r\u{e9}ad:x", "read products", "*", &long] {
            create(json!({"name": name})).await.violates(&["scope.name"]);
        }
        create(json!({"name": "read:x", "description": "x".repeat(501)})).await.violates(&["scope.description"]);
    }
}

#[tokio::test]
async fn a_projects_scopes_are_its_own() {
    let server = TestServer::start().await;
    let other = server.other_project("other", gatepost::domain::environment::Environment::Live).await;
    server.register(&["read:budgets"]).await;
    for wire in Wire::ALL {
        let name = json!({"name": "read:budgets"});
        server.call(wire, "Auth/GetScope", &other, name.clone()).await.refused("RESOURCE_NOT_FOUND");
        server.call(wire, "Auth/DeleteScope", &other, name).await.refused("RESOURCE_NOT_FOUND");
        let create = json!({"name": "x", "scopes": ["read:budgets"]});
        server.call(wire, "Keys/CreateKey", &other, create).await.violates(&["scopes[0]"]);
    }
}

#[tokio::test]
async fn scopes_are_listed_by_name_in_every_style() {
    let server = TestServer::start().await;
    server.register(&["read:aaa", "write:zzz"]).await;
    let reader = server.key(&["read:scopes"]).await;
    let list = async |request: Value| server.call(Wire::Json, "Auth/ListScopes", &reader, request).await.ok();
    let names = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().expect("a list").iter();
        data.map(|scope| scope["name"].as_str().expect("a name").to_owned()).collect()
    };
    let all = names(&list(json!({"pageSize": 1000})).await);
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(all, sorted);
    let (mut paged, mut token) = (Vec::new(), Value::from(""));
    while token != Value::Null {
        let page = list(json!({"pageSize": 5, "pageToken": token})).await;
        paged.extend(names(&page));
        token = page["nextPageToken"].clone();
    }
    assert_eq!(paged, all);
    let second = list(json!({"limit": 5, "page": 2})).await;
    assert_eq!(names(&second), all[5..10]);
    assert_eq!(second["pagination"]["total"], all.len());
    server.call(Wire::Json, "Auth/ListScopes", &Actor::anonymous(), json!({})).await.refused("MISSING_CREDENTIAL");
}
