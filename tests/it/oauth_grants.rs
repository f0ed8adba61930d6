//! What users gave to clients: seen and ended, by themselves and by whoever governs them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::nodes::soon;
use crate::oauth::{Browser, CALLBACK, Client, authorize, error, exchange, post, query_of, register, web_client};
use crate::support::{Actor, Reply, TestServer, Wire, leaks};

/// Somebody agrees to a new client of this name: the grant's id.
pub(crate) async fn given(server: &TestServer, admin: &Actor, handle: &str, name: &str) -> String {
    let client = json!({"name": name, "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"]});
    let made = server.call(Wire::Grpc, "Auth/CreateClient", admin, json!({"client": client})).await.ok();
    let secret = Actor::made(made["secret"].as_str().expect("a secret"), "").secret;
    let client = Client { id: made["client"]["id"].as_str().expect("an id").to_owned(), secret };
    agreed(server, &client, handle, &[]).await;
    let listed = server.call(Wire::Grpc, "Auth/ListGrants", admin, json!({"client": client.id})).await.ok();
    listed["data"][0]["id"].as_str().expect("an id").to_owned()
}

/// Somebody agrees to a client: the code. Later than all before, so that lists have an order.
async fn agreed(server: &TestServer, client: &Client, handle: &str, more: &[(&str, &str)]) -> String {
    server.advance(Duration::from_secs(1));
    let mut browser = Browser::new(server);
    let page = browser.get(&authorize(client, more)).await.expect(200, "");
    let mut sent = browser.sign_in(&page, handle).await;
    if sent.status == 200 {
        sent = browser.submit(&sent, &[("decision", "allow")]).await;
    }
    query_of(sent.header("location"))["code"].clone()
}

struct Tokens {
    access: String,
    refresh: String,
}

/// What comes of it.
async fn tokens(server: &TestServer, client: &Client, handle: &str, more: &[(&str, &str)]) -> Tokens {
    let code = agreed(server, client, handle, more).await;
    let issued = post(server, "/oauth/token", Some(client), &exchange(&code)).await.expect(200, "").json();
    let text = |name: &str| issued[name].as_str().unwrap_or_default().to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token") }
}

async fn refreshed(server: &TestServer, client: &Client, tokens: &Tokens) -> Reply {
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh)];
    post(server, "/oauth/token", Some(client), &form).await
}

/// Nothing of it is good any more.
async fn assert_ended(server: &TestServer, client: &Client, tokens: &Tokens) {
    server.get("/v1/users/me", &Actor::bearer(&tokens.access)).await.expect(401, "NOT_FOUND");
    assert_eq!(error(&refreshed(server, client, tokens).await), (400, "invalid_grant".to_owned()));
}

async fn assert_goes_on(server: &TestServer, tokens: &Tokens) {
    server.get("/v1/users/me", &Actor::bearer(&tokens.access)).await.expect(200, "");
}

/// Whether somebody who is signed in is asked.
async fn is_asked(server: &TestServer, client: &Client, handle: &str) -> bool {
    let mut browser = Browser::new(server);
    let page = browser.get(&authorize(client, &[])).await.expect(200, "");
    match browser.sign_in(&page, handle).await.status {
        200 => true,
        303 => false,
        other => panic!("{other}"),
    }
}

fn ids(listed: &Value) -> Vec<&str> {
    listed["data"].as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn grants_are_seen_by_their_users_and_by_administrators() {
    let server = TestServer::start().await;
    let admin = server.live();
    let resource = "https://api.example.com/";
    let app = json!({
        "name": "App", "redirectUris": [CALLBACK], "scopes": ["openid", "read:users"], "resources": [resource],
    });
    let (app, other) = (register(&server, app).await, web_client(&server).await);
    let mut users = Vec::new();
    for handle in ["ada", "grace"] {
        users.push(server.person(&admin, handle, &["read:users"]).await);
    }
    let first = tokens(&server, &app, "ada", &[("resource", resource)]).await;
    let of_other = tokens(&server, &other, "ada", &[]).await;
    tokens(&server, &app, "grace", &[]).await;
    agreed(&server, &app, "grace", &[]).await;
    let ada = server.sign_in(&admin, "ada").await;
    for wire in Wire::ALL {
        let list = async |filter: Value| server.call(wire, "Auth/ListGrants", &admin, filter).await.ok();
        let all = list(json!({})).await;
        let [waiting, grace, second, adas] = ids(&all)[..] else { panic!("{all}") };
        let one = &all["data"][3];
        assert_eq!(
            (&one["userId"], &one["clientId"], &one["clientName"]),
            (&json!(users[0]), &json!(app.id), &json!("App"))
        );
        assert_eq!((&one["scopes"], &one["resources"]), (&json!(["openid", "read:users"]), &json!([resource])));
        for time in ["createdAt", "expiresAt", "refreshedAt"] {
            assert!(one[time].is_string(), "{one}");
        }
        assert_eq!((all["data"][0].get("refreshedAt"), &one["environment"]), (None, &json!("LIVE")));
        for (filter, wanted) in [
            (json!({"user": users[0]}), vec![second, adas]),
            (json!({"client": app.id}), vec![waiting, grace, adas]),
            (json!({"user": users[0], "client": other.id}), vec![second]),
            (json!({"user": "usr_00000000000000000000000000000000"}), vec![]),
        ] {
            assert_eq!(ids(&list(filter.clone()).await), wanted, "{filter}");
        }
        let page = list(json!({"client": app.id, "pageSize": 2})).await;
        assert_eq!(ids(&page), [waiting, grace]);
        let next = list(json!({"client": app.id, "pageSize": 2, "pageToken": page["nextPageToken"]})).await;
        assert_eq!((ids(&next), next.get("nextPageToken")), (vec![adas], None));
        let page = list(json!({"limit": 3, "page": 2})).await;
        assert_eq!((ids(&page), &page["pagination"]["total"]), (vec![adas], &json!(4)));
        for wrong in [json!({"user": "x"}), json!({"client": users[0]})] {
            server.call(wire, "Auth/ListGrants", &admin, wrong).await.refused("INVALID_FIELD");
        }
        let own = server.call(wire, "Auth/ListMyGrants", &ada, json!({})).await.ok();
        assert_eq!(ids(&own), [second, adas]);
        let none = server.call(wire, "Auth/ListGrants", &server.test(), json!({})).await.ok();
        assert_eq!(ids(&none), [] as [&str; 0]);
    }
    // By HTTP, as it is written.
    let named = format!("/v1/grants?user={}&client={}", users[0], app.id);
    assert_eq!(ids(&server.get(&named, &admin).await.expect(200, "").json()).len(), 1);

    let before = server.get(&named, &admin).await.json()["data"][0].clone();
    server.advance(Duration::from_secs(60));
    refreshed(&server, &app, &first).await.expect(200, "");
    let after = server.get(&named, &admin).await.json()["data"][0].clone();
    assert!(after["refreshedAt"].as_str() > before["refreshedAt"].as_str(), "{before} {after}");
    assert_eq!((&after["createdAt"], &after["id"]), (&before["createdAt"], &before["id"]));
    // What a client does for somebody it does not see, and neither does a key of theirs.
    for actor in [Actor::bearer(&of_other.access), server.user_key(&ada, "own").await] {
        server.get("/v1/users/me/grants", &actor).await.expect(403, "CALLER_NOT_ALLOWED");
    }
    server.call(Wire::Grpc, "Auth/DeleteClient", &admin, json!({"id": other.id})).await.ok();
    // The one whose code was not fetched in time may be gone too.
    let left = server.get(&format!("/v1/grants?user={}", users[0]), &admin).await.json();
    assert_eq!(ids(&left), [after["id"].as_str().unwrap()]);
}

#[tokio::test]
async fn a_grant_that_is_ended_takes_all_tokens_along_on_every_node() {
    let server = TestServer::start().await;
    let node = server.another_node().await;
    let admin = server.live();
    let client = web_client(&server).await;
    let user = server.person(&admin, "ada", &["read:users"]).await;
    server.person(&admin, "grace", &["read:users"]).await;
    let others = tokens(&server, &client, "grace", &[]).await;
    let (ada, grace) = (server.sign_in(&admin, "ada").await, server.sign_in(&admin, "grace").await);
    let lesser = server.key(&["write:users"]).await;
    let elsewhere = server.other_project("elsewhere", gatepost::domain::environment::Environment::Live).await;
    for wire in Wire::ALL {
        for (rpc, who) in [("Auth/EndGrant", &admin), ("Auth/EndMyGrant", &ada)] {
            let (one, two) = (tokens(&server, &client, "ada", &[]).await, tokens(&server, &client, "ada", &[]).await);
            assert_goes_on(&node, &one).await;
            let listed = server.get(&format!("/v1/grants?user={user}"), &admin).await.json();
            let [second, first] = ids(&listed)[..] else { panic!("{listed}") };
            let end = async |rpc: &str, who: &Actor, id: &str| server.call(wire, rpc, who, json!({"id": id})).await;
            end("Auth/EndGrant", &lesser, first).await.refused("EXCEEDS_CALLER");
            end("Auth/EndMyGrant", &grace, first).await.refused("RESOURCE_NOT_FOUND");
            for stranger in [&server.test(), &elsewhere] {
                end("Auth/EndGrant", stranger, first).await.refused("RESOURCE_NOT_FOUND");
            }
            assert_goes_on(&server, &one).await;
            end(rpc, who, first).await.ok();
            assert_ended(&server, &client, &one).await;
            let on_node = async || node.get("/v1/users/me", &Actor::bearer(&one.access)).await.status;
            soon("the other node refuses", async || on_node().await == 401).await;
            end(rpc, who, first).await.refused("RESOURCE_NOT_FOUND");
            assert_goes_on(&server, &two).await;
            assert!(!is_asked(&server, &client, "ada").await, "there is another");
            for id in ids(&server.get(&format!("/v1/grants?user={user}"), &admin).await.json()) {
                end(rpc, who, id).await.ok();
            }
            assert!(!second.is_empty() && is_asked(&server, &client, "ada").await, "it is as if it had never been");
            assert_ended(&server, &client, &two).await;
        }
    }
    assert_goes_on(&server, &others).await;
    let events = server.get("/v1/audit-events?action=grant.ended", &admin).await.expect(200, "").json();
    let event = &events["data"][0];
    assert!(event["target"].as_str().unwrap().starts_with("grt_"), "{event}");
    assert!(event["before"].as_str().unwrap().contains(&client.id), "{event}");
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_for_whom_from_where() {
    let server = TestServer::start().await;
    let admin = server.live();
    let client = web_client(&server).await;
    let ada = server.person(&admin, "ada", &["read:users", "write:users"]).await;
    let bob = server.person(&admin, "bob", &["read:users"]).await;
    let given = tokens(&server, &client, "ada", &[("scope", "read:users write:users")]).await;
    let told = post(&server, "/oauth/introspect", Some(&client), &[("token", &given.access)]).await.json();
    let change = json!({"user": {"id": bob, "alias": "Bob"}, "updateMask": "alias"});
    server.call(Wire::Json, "Users/UpdateUser", &Actor::bearer(&given.access), change).await.ok();
    let events = async |query: &str| {
        server.get(&format!("/v1/audit-events?{query}"), &admin).await.expect(200, "").json()["data"].clone()
    };
    let event = events(&format!("actor={}&action=user.updated", client.id)).await[0].clone();
    assert_eq!((&event["actor"], &event["target"]), (&json!(client.id), &json!(bob)));
    assert_eq!((&event["tokenId"], &event["userId"]), (&told["jti"], &json!(ada)), "{event}");
    let made = &events("action=user.created").await[0];
    assert_eq!((made.get("tokenId"), made.get("userId")), (None, None), "a key did");

    // All that happens to grants is told with where it came from.
    let code = agreed(&server, &client, "ada", &[("scope", "read:users write:users")]).await;
    post(&server, "/oauth/token", Some(&client), &exchange(&code)).await.expect(200, "");
    post(&server, "/oauth/token", Some(&client), &exchange(&code)).await.expect(400, "");
    post(&server, "/oauth/revoke", Some(&client), &[("token", &given.refresh)]).await.expect(200, "");
    for (action, actor) in [("given", &ada), ("code_reused", &client.id), ("revoked", &client.id)] {
        let event = events(&format!("action=grant.{action}")).await[0].clone();
        assert_eq!(event["actor"], **actor, "{event}");
        assert_eq!(event["clientIp"], "127.0.0.1", "{event}");
        assert!(event["requestId"].as_str().is_some_and(|id| id.starts_with("req_")), "{event}");
    }
    let check = server.store().await.check_audit_log("default", 100).await.unwrap();
    assert_eq!(check.broken, None);
}

#[tokio::test]
async fn another_password_ends_what_was_given() {
    let server = TestServer::start().await;
    let admin = server.live();
    let client = web_client(&server).await;
    let user = server.person(&admin, "ada", &["read:users"]).await;
    server.person(&admin, "grace", &["read:users"]).await;
    let others = tokens(&server, &client, "grace", &[]).await;
    let given = tokens(&server, &client, "ada", &[]).await;
    let waiting = agreed(&server, &client, "ada", &[]).await;
    let ada = server.sign_in(&admin, "ada").await;
    let wrong = json!({"oldPassword": leaks::OTHER_PASSWORD, "newPassword": leaks::OTHER_PASSWORD});
    server.call(Wire::Json, "Auth/ChangePassword", &ada, wrong).await.refused("INVALID_FIELD");
    assert_goes_on(&server, &given).await;
    let change = json!({"oldPassword": leaks::PASSWORD, "newPassword": leaks::OTHER_PASSWORD});
    server.call(Wire::Json, "Auth/ChangePassword", &ada, change).await.ok();
    assert_ended(&server, &client, &given).await;
    let late = post(&server, "/oauth/token", Some(&client), &exchange(&waiting)).await;
    assert_eq!(error(&late), (400, "invalid_grant".to_owned()));
    server.get("/v1/users/me/grants", &ada).await.expect(200, "");

    let set = async |password: &str| {
        let request = json!({"id": user, "password": password});
        server.call(Wire::Json, "Auth/SetPassword", &admin, request).await.ok();
    };
    set(leaks::PASSWORD).await;
    assert!(is_asked(&server, &client, "ada").await, "they may not have been the one who agreed");
    let given = tokens(&server, &client, "ada", &[]).await;
    assert_goes_on(&server, &given).await;
    set(leaks::OTHER_PASSWORD).await;
    assert_ended(&server, &client, &given).await;
    assert_goes_on(&server, &others).await;
}
