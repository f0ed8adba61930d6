//! Users: their life, their fields, their pages, their search, and the walls around them.

use gatepost::domain::environment::Environment;
use gatepost::domain::page::PageRequest;
use gatepost::store::AuditFilter;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Actor, Answer, TestServer, Wire};

async fn add(server: &TestServer, actor: &Actor, user: Value) -> Value {
    server.call(Wire::Grpc, "Users/CreateUser", actor, json!({"user": user})).await.ok()["user"].clone()
}

async fn change(server: &TestServer, wire: Wire, user: Value, mask: &str) -> Answer {
    let request = json!({"user": user, "updateMask": mask});
    server.call(wire, "Users/UpdateUser", &server.live(), request).await
}

fn handles(list: &Value) -> Vec<&str> {
    list["data"].as_array().expect("a list").iter().map(|user| user["handle"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_user_lives_the_same_on_every_wire() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let admin = server.live();
        let user = json!({
            "handle": "ada", "alias": "The Countess \u{1f451}", "email": "Ada@Example.com", "firstName": "Ad\u{e4}",
            "lastName": "Lovelace", "metadata": {"k": "v"},
        });
        let made = server.call(wire, "Users/CreateUser", &admin, json!({"user": user})).await.ok()["user"].clone();
        for field in ["handle", "alias", "email", "firstName", "lastName", "metadata"] {
            assert_eq!(made[field], user[field], "{field}");
        }
        for (field, value) in
            [("type", "HUMAN"), ("state", "ACTIVE"), ("environment", "LIVE"), ("etag", "v1"), ("createdAt", START)]
        {
            assert_eq!(made[field], value, "{field}");
        }
        let id = made["id"].as_str().unwrap();
        assert!(id.starts_with("usr_") && id.len() == 36, "{id}");
        assert_eq!(server.call(wire, "Users/GetUser", &admin, json!({"id": id})).await.ok()["user"], made);

        let changed = change(&server, wire, json!({"id": id, "lastName": "King", "etag": "v1"}), "lastName").await.ok();
        assert_eq!((&changed["user"]["lastName"], &changed["user"]["handle"]), (&json!("King"), &json!("ada")));
        change(&server, wire, json!({"id": id, "etag": "v1"}), "handle").await.refused("ETAG_MISMATCH");
        let bare = change(&server, wire, json!({"id": id}), "handle,email,alias").await.ok();
        assert_eq!((&bare["user"]["handle"], &bare["user"]["email"]), (&Value::Null, &Value::Null));

        for (rpc, state, etag) in [
            ("Users/BlockUser", "BLOCKED", "v4"),
            ("Users/BlockUser", "BLOCKED", "v4"),
            ("Users/UnblockUser", "ACTIVE", "v5"),
            ("Users/UnblockUser", "ACTIVE", "v5"),
        ] {
            let stale = json!({"id": id, "etag": "v1"});
            server.call(wire, rpc, &admin, stale).await.refused("ETAG_MISMATCH");
            let user = server.call(wire, rpc, &admin, json!({"id": id})).await.ok()["user"].clone();
            assert_eq!((&user["state"], &user["etag"]), (&json!(state), &json!(etag)), "{rpc}");
        }

        server.call(wire, "Users/DeleteUser", &admin, json!({"id": id, "etag": "v1"})).await.refused("ETAG_MISMATCH");
        let deleted = server.call(wire, "Users/DeleteUser", &admin, json!({"id": id})).await.ok();
        assert!(deleted["user"]["deletedAt"].is_string());
        assert_eq!(deleted["user"]["firstName"], "Ad\u{e4}", "the answer is the user as they were");
        for rpc in ["Users/GetUser", "Users/BlockUser", "Users/UnblockUser", "Users/DeleteUser"] {
            server.call(wire, rpc, &admin, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        }
        let list = server.call(wire, "Users/ListUsers", &admin, json!({})).await.ok();
        assert_eq!(list["data"], json!([]));
    }
    let (store, project) = (server.store().await, gatepost::domain::id::ProjectId::default_project());
    let all = PageRequest::After { limit: 100, after: None };
    let log = store.list_audit_events(&project, Environment::Live, &AuditFilter::default(), &all).await;
    let log = log.expect("the store answers").items;
    for (action, times) in [("created", 1), ("updated", 2), ("blocked", 1), ("unblocked", 1), ("deleted", 1)] {
        let written = log.iter().filter(|entry| entry.event.action == format!("user.{action}")).count();
        assert_eq!(written, times * Wire::ALL.len(), "{action}: what changes nothing is not written down");
    }
}

#[tokio::test]
async fn every_broken_rule_is_named_at_once() {
    let server = TestServer::start().await;
    let long = "x".repeat(101);
    let user = json!({
        "type": "SERVICE_ACCOUNT", "handle": "Ada", "alias": "", "email": "ada@localhost", "firstName": long,
        "lastName": "\u{7}", "metadata": {"": "x"},
    });
    let fields = ["user.handle", "user.alias", "user.email", "user.first_name", "user.last_name", "user.metadata"];
    // Over HTTP the user is the body, so the fields are named without it.
    for wire in [Wire::Grpc, Wire::GrpcWeb] {
        let answer = server.call(wire, "Users/CreateUser", &server.live(), json!({"user": user})).await;
        answer.refused("INVALID_FIELD");
        answer.violates(&fields);
    }
    let refused = async |user: Value, field: &str| {
        for wire in Wire::ALL {
            let answer = server.call(wire, "Users/CreateUser", &server.live(), json!({"user": user})).await;
            answer.refused("INVALID_FIELD");
            assert_eq!(answer.violations.len(), 1, "{answer:?}");
            assert!(format!("user.{}", answer.violations[0].0).ends_with(field), "{answer:?}");
        }
    };
    refused(json!({"type": "SERVICE_ACCOUNT"}), "user.handle").await;
    for handle in ["", "a b", "-a", "a-", "\u{430}da", "a\u{200b}", &"a".repeat(51)] {
        refused(json!({"handle": handle}), "user.handle").await;
    }
    // Cyrillic, full width, a zero-width space, a right-to-left mark: all look like ada@example.com.
    let look_alikes =
        ["\u{430}da@example.com", "ada@ex\u{ff41}mple.com", "ada@ex\u{200b}ample.com", "ada@example.com\u{200f}"];
    for email in ["", "ada", "Ada <ada@example.com>", "ada@example.com\n"].iter().chain(&look_alikes) {
        refused(json!({"email": email}), "user.email").await;
    }
    for turned in ["\u{202e}ada", "ada\u{2066}", "a\u{2028}b", "a\nb", "a\0b", " ada"] {
        for (field, name) in [("alias", "user.alias"), ("firstName", "Name"), ("lastName", "Name")] {
            let user = json!({"user": {field: turned}});
            let refused = server.call(Wire::Grpc, "Users/CreateUser", &server.live(), user).await;
            refused.refused("INVALID_FIELD");
            assert!(refused.violations[0].0.replace("_name", "Name").ends_with(name), "{refused:?}");
        }
    }
    // Joiners belong to names in many languages.
    add(&server, &server.live(), json!({"firstName": "\u{646}\u{627}\u{645}\u{200c}\u{647}\u{627}"})).await;
    let account = add(&server, &server.live(), json!({"type": "SERVICE_ACCOUNT", "handle": "bot"})).await;
    let without = change(&server, Wire::Grpc, json!({"id": account["id"]}), "handle").await;
    without.refused("INVALID_FIELD");
    without.violates(&["user.handle"]);
    for mask in ["type", "state", "id", "etag", "nonsense", ""] {
        change(&server, Wire::Grpc, json!({"id": account["id"]}), mask).await.refused("INVALID_FIELD");
    }
    for filter in [json!({"email": "x"}), json!({"handle": "X"}), json!({"type": 9}), json!({"state": 9})] {
        server.call(Wire::Grpc, "Users/ListUsers", &server.live(), filter).await.refused("INVALID_FIELD");
    }
}

#[tokio::test]
async fn handles_and_addresses_are_unique_but_for_case_and_within_their_walls() {
    let server = TestServer::start().await;
    let first = json!({"handle": "ada", "email": "Ada@Example.com"});
    let made = add(&server, &server.live(), first.clone()).await;
    let second = add(&server, &server.live(), json!({"handle": "grace"})).await;
    for wire in Wire::ALL {
        for taken in [json!({"handle": "ada"}), json!({"email": "aDA@eXAMPLE.COM"})] {
            let answer = server.call(wire, "Users/CreateUser", &server.live(), json!({"user": taken})).await;
            answer.refused("ALREADY_EXISTS");
            let mut changed = taken.clone();
            let field = taken.as_object().unwrap().keys().next().unwrap().clone();
            changed["id"] = second["id"].clone();
            change(&server, wire, changed, &field).await.refused("ALREADY_EXISTS");
        }
    }
    let other = server.other_project("elsewhere", Environment::Live).await;
    for stranger in [&server.test(), &other] {
        add(&server, stranger, first.clone()).await;
    }
    server.call(Wire::Grpc, "Users/DeleteUser", &server.live(), json!({"id": made["id"]})).await.ok();
    assert_ne!(add(&server, &server.live(), first).await["id"], made["id"], "what a deleted user had is free again");
}

#[tokio::test]
async fn of_many_who_want_one_address_one_gets_it() {
    let server = TestServer::start().await;
    let admin = server.live();
    let want = |n: usize| {
        let email = if n.is_multiple_of(2) { "ada@example.com" } else { "ADA@example.com" };
        server.call(Wire::Grpc, "Users/CreateUser", &admin, json!({"user": {"email": email}}))
    };
    let all = futures_util::future::join_all((0..8).map(want)).await;
    assert_eq!(all.iter().filter(|answer| answer.reason.is_empty()).count(), 1);
    assert!(all.iter().all(|answer| answer.reason.is_empty() || answer.reason == "ALREADY_EXISTS"), "{all:?}");
}

#[tokio::test]
async fn lists_are_filtered_and_paged_in_every_style() {
    let server = TestServer::start().await;
    let admin = server.live();
    for n in 0..7 {
        let kind = if n % 2 == 0 { "SERVICE_ACCOUNT" } else { "HUMAN" };
        let user = json!({"type": kind, "handle": format!("u{n}"), "email": format!("U{n}@example.com")});
        let made = add(&server, &admin, user).await;
        if n < 2 {
            server.call(Wire::Grpc, "Users/BlockUser", &admin, json!({"id": made["id"]})).await.ok();
        }
    }
    for wire in Wire::ALL {
        let list = async |request| server.call(wire, "Users/ListUsers", &admin, request).await.ok();
        for (filter, wanted) in [
            (json!({}), vec!["u6", "u5", "u4", "u3", "u2", "u1", "u0"]),
            (json!({"type": "SERVICE_ACCOUNT"}), vec!["u6", "u4", "u2", "u0"]),
            (json!({"state": "BLOCKED"}), vec!["u1", "u0"]),
            (json!({"state": "ACTIVE", "type": "HUMAN"}), vec!["u5", "u3"]),
            (json!({"email": "u3@EXAMPLE.com"}), vec!["u3"]),
            (json!({"handle": "u4"}), vec!["u4"]),
            (json!({"handle": "u4", "type": "HUMAN"}), vec![]),
        ] {
            assert_eq!(handles(&list(filter.clone()).await), wanted, "{filter}");
        }
        let page = list(json!({"limit": 3, "page": 3})).await;
        assert_eq!(handles(&page), ["u0"]);
        assert_eq!(page["pagination"], json!({"page": 3, "limit": 3, "total": 7, "hasMore": false}));
        assert_eq!(handles(&list(json!({"size": 3, "page": 1})).await), ["u3", "u2", "u1"]);
        let (mut seen, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut request = json!({"pageSize": 3});
            if !token.is_null() {
                request["pageToken"] = token;
            }
            let page = list(request).await;
            seen.extend(handles(&page).into_iter().map(str::to_owned));
            token = page["nextPageToken"].clone();
            if token.is_null() {
                break;
            }
        }
        assert_eq!(seen, ["u6", "u5", "u4", "u3", "u2", "u1", "u0"]);
    }
    let token = server.call(Wire::Json, "Users/ListUsers", &admin, json!({"pageSize": 1})).await.ok();
    let mixed = json!({"pageToken": token["nextPageToken"], "handle": "u1"});
    server.call(Wire::Json, "Users/ListUsers", &admin, mixed).await.refused("INVALID_FIELD");
}

#[tokio::test]
async fn search_finds_words_wherever_they_stand() {
    let server = TestServer::start().await;
    let admin = server.live();
    let ada = json!({"handle": "countess-1", "alias": "Number Cruncher", "email": "ada.l@mail.example.com",
        "firstName": "Ad\u{e4}", "lastName": "O'Lovelace"});
    add(&server, &admin, ada).await;
    add(&server, &admin, json!({"type": "SERVICE_ACCOUNT", "handle": "build-bot"})).await;
    add(&server, &server.test(), json!({"handle": "ada-bot"})).await;
    for wire in Wire::ALL {
        for (query, wanted) in [
            ("ada", vec!["countess-1"]),
            ("ADA.L@mail", vec!["countess-1"]),
            ("lovelace crun countess", vec!["countess-1"]),
            ("bot", vec!["build-bot"]),
            ("ada bot", vec![]),
            ("ovelace", vec![]),
        ] {
            let found = server.call(wire, "Users/SearchUsers", &admin, json!({"query": query})).await.ok();
            assert_eq!(handles(&found), wanted, "{query}");
        }
        for bad in ["", "--", &"x ".repeat(101), "a b c d e f g h i j k"] {
            let refused = server.call(wire, "Users/SearchUsers", &admin, json!({"query": bad})).await;
            refused.refused("INVALID_FIELD");
        }
    }
}

#[tokio::test]
async fn nobody_reaches_over_a_wall() {
    let server = TestServer::start().await;
    let user = add(&server, &server.live(), json!({"handle": "mine"})).await;
    let other = server.other_project("elsewhere", Environment::Live).await;
    for stranger in [server.test(), other] {
        for (rpc, request) in [
            ("Users/GetUser", json!({"id": user["id"]})),
            ("Users/BlockUser", json!({"id": user["id"]})),
            ("Users/UnblockUser", json!({"id": user["id"]})),
            ("Users/DeleteUser", json!({"id": user["id"]})),
            ("Users/UpdateUser", json!({"user": {"id": user["id"], "handle": "x"}, "updateMask": "handle"})),
        ] {
            server.call(Wire::Grpc, rpc, &stranger, request).await.refused("RESOURCE_NOT_FOUND");
        }
        for (rpc, request) in [("Users/ListUsers", json!({})), ("Users/SearchUsers", json!({"query": "mine"}))] {
            let list = server.call(Wire::Grpc, rpc, &stranger, request).await.ok();
            assert_eq!(list["data"].as_array().map_or(0, Vec::len), 0);
        }
    }
}

#[tokio::test]
async fn the_spellings_of_http_name_the_same_users() {
    let server = TestServer::start().await;
    let admin = server.live();
    let billing = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"});
    let made = server.post("/v1/api/public/users", &admin, &billing).await.expect(200, "").json();
    assert_eq!((&made["firstName"], &made["lastName"]), (&json!("Ada"), &json!("Lovelace")));
    let second = server.post("/v1/users", &admin, &json!({"handle": "grace"})).await.expect(200, "").json();
    let id = made["id"].as_str().unwrap();

    let list = server.get("/users?size=1&page=0", &admin).await.expect(200, "");
    assert_eq!((list.json(), list.header("x-pagination-total")), (json!([second]), "2"));
    let past = server.get("/users?size=100&page=7", &admin).await.expect(200, "");
    assert_eq!((past.text.as_str(), past.header("x-pagination-total")), ("[]", "2"));
    let found = server.get("/users/search?query=ada&page=0&size=100", &admin).await.expect(200, "");
    assert_eq!((found.json(), found.header("x-pagination-total")), (json!([made]), "1"));
    for search in ["/v1/users:search", "/v1/users/search", "/v1/api/public/users/search"] {
        let found = server.get(&format!("{search}?query=ada"), &admin).await.expect(200, "").json();
        assert_eq!(found["data"], json!([made]), "{search}");
    }
    let page = server.get("/v1/api/public/users?page=2&limit=1", &admin).await.expect(200, "").json();
    assert_eq!(page["data"], json!([made]));
    assert_eq!(page["pagination"], json!({"page": 2, "limit": 1, "total": 2, "hasMore": false}));

    for (n, base) in ["/v1/users", "/users", "/v1/api/public/users"].into_iter().enumerate() {
        let target = format!("{base}/{id}");
        assert_eq!(server.get(&target, &admin).await.expect(200, "").json()["id"], id);
        for method in [Method::PUT, Method::PATCH] {
            let name = format!("{method} {n}");
            let put = server.request(method, &target, &admin).json(&json!({"first_name": name}));
            let put = server.send(put).await.expect(200, "").json();
            assert_eq!((&put["firstName"], &put["lastName"]), (&json!(name), &json!("Lovelace")), "{base}");
        }
        let blank = server.post(base, &admin, &json!({})).await;
        if base == "/users" {
            // There the users of other identity providers come in.
            blank.expect(403, "CALLER_NOT_ALLOWED");
            continue;
        }
        let blank = blank.expect(200, "").json();
        let delete = server.request(Method::DELETE, &format!("{base}/{}", blank["id"].as_str().unwrap()), &admin);
        assert_eq!(server.send(delete).await.expect(200, "").json()["id"], blank["id"]);
    }
    let block = server.post(&format!("/v1/users/{id}:block"), &admin, &json!({})).await.expect(200, "").json();
    assert_eq!(block["state"], "BLOCKED");
    let unblock = server.post(&format!("/v1/users/{id}:unblock"), &admin, &json!({})).await.expect(200, "").json();
    assert_eq!(unblock["state"], "ACTIVE");
    let delete = server.request(Method::DELETE, &format!("/users/{id}"), &admin);
    assert_eq!(server.send(delete).await.expect(200, "").json()["id"], id);
    server.get(&format!("/users/{id}"), &admin).await.expect(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn what_was_got_can_be_put_back() {
    let server = TestServer::start().await;
    let user = add(&server, &server.live(), json!({"handle": "ada", "email": "a@b.example"})).await;
    let target = format!("/v1/users/{}", user["id"].as_str().unwrap());
    let got = server.get(&target, &server.live()).await.json();
    let put = server.send(server.request(Method::PUT, &target, &server.live()).json(&got)).await.expect(200, "").json();
    assert_eq!((&put["handle"], &put["email"], &put["etag"]), (&got["handle"], &got["email"], &json!("v2")));
    let stale = server.request(Method::PUT, &target, &server.live()).json(&got);
    server.send(stale).await.expect(409, "ETAG_MISMATCH");
}

/// The suite's time begins here.
const START: &str = "2030-01-01T00:00:00Z";

#[tokio::test]
async fn scopes_of_a_user_come_from_whoever_holds_them() {
    let server = TestServer::start().await;
    let lesser = server.key(&["write:users", "read:users", "read:products"]).await;
    for wire in Wire::ALL {
        let call = async |rpc: &str, actor: &Actor, request: Value| server.call(wire, rpc, actor, request).await;
        let new = |scopes: Value| json!({"user": {"scopes": scopes}});
        let user = call("Users/CreateUser", &lesser, new(json!(["READ_PRODUCTS"]))).await.ok()["user"].clone();
        assert_eq!(user["scopes"], json!(["read:products"]), "in the registry's spelling");
        call("Users/CreateUser", &lesser, new(json!(["read:keys"]))).await.refused("EXCEEDS_CALLER");
        call("Users/CreateUser", &lesser, new(json!(["read:nothing"]))).await.refused("INVALID_FIELD");
        call("Users/CreateUser", &lesser, new(json!(["x"]))).await.refused("INVALID_FIELD");
        let bot = json!({"user": {"type": "SERVICE_ACCOUNT", "handle": "bot", "scopes": ["read:products"]}});
        call("Users/CreateUser", &server.live(), bot).await.refused("INVALID_FIELD");

        let change = |scopes: Value| json!({"user": {"id": user["id"], "scopes": scopes}, "updateMask": "scopes"});
        call("Users/UpdateUser", &server.live(), change(json!(["admin"]))).await.ok();
        for rpc in ["Users/BlockUser", "Users/DeleteUser"] {
            call(rpc, &lesser, json!({"id": user["id"]})).await.refused("EXCEEDS_CALLER");
        }
        call("Users/UpdateUser", &lesser, change(json!([]))).await.refused("EXCEEDS_CALLER");
        let rename = json!({"user": {"id": user["id"], "firstName": "Ada"}, "updateMask": "firstName"});
        call("Users/UpdateUser", &lesser, rename.clone()).await.refused("EXCEEDS_CALLER");
        assert_eq!(call("Users/UpdateUser", &server.live(), rename).await.ok()["user"]["scopes"], json!(["admin"]));
        assert_eq!(call("Users/UpdateUser", &server.live(), change(json!([]))).await.ok()["user"]["scopes"], json!([]));
        call("Users/DeleteUser", &lesser, json!({"id": user["id"]})).await.ok();
    }
}

#[tokio::test]
async fn a_key_of_a_user_knows_them_and_does_not_take_them_over() {
    let server = TestServer::start().await;
    let bot = server.service_account(&["write:users"]).await;
    for wire in Wire::ALL {
        let me = server.call(wire, "Users/GetMe", &bot, json!({})).await.ok()["user"].clone();
        assert_eq!(me["type"], "SERVICE_ACCOUNT");
        let change = json!({"user": {"alias": "B"}, "updateMask": "alias"});
        server.call(wire, "Users/UpdateMe", &bot, change).await.refused("CALLER_NOT_ALLOWED");
        server.call(wire, "Users/DeleteMe", &bot, json!({})).await.refused("CALLER_NOT_ALLOWED");
    }
    for path in ["/v1/users/me", "/users/me", "/user"] {
        let me = server.get(path, &bot).await.expect(200, "").json();
        assert_eq!(me["type"], "SERVICE_ACCOUNT", "{path}");
    }
}
