//! OAuth clients: their life, their fields, who governs them, and that their secrets are theirs alone.

use std::time::Duration;

use gatepost::domain::credential::SecretRole;
use gatepost::domain::environment::Environment;
use gatepost::domain::id::{ClientId, ProjectId};
use gatepost::domain::page::PageRequest;
use gatepost::store::AuditFilter;
use serde_json::{Value, json};

use crate::nodes::soon;
use crate::support::{Actor, Answer, TestServer, Wire, leaks};

async fn create(server: &TestServer, wire: Wire, actor: &Actor, client: Value) -> Answer {
    let answer = server.call(wire, "Auth/CreateClient", actor, json!({"client": client})).await;
    answer.body["secret"].as_str().into_iter().for_each(leaks::remember);
    answer
}

async fn change(server: &TestServer, wire: Wire, actor: &Actor, client: Value, mask: &str) -> Answer {
    server.call(wire, "Auth/UpdateClient", actor, json!({"client": client, "updateMask": mask})).await
}

async fn rotate(server: &TestServer, wire: Wire, actor: &Actor, request: Value) -> Answer {
    let answer = server.call(wire, "Auth/RotateClientSecret", actor, request).await;
    answer.body["secret"].as_str().into_iter().for_each(leaks::remember);
    answer
}

/// A client with this id and what it has.
fn app(more: Value) -> Value {
    let mut client = json!({"name": "Shop app", "redirectUris": ["https://app.example.com/callback"]});
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client
}

/// The part a secret plays for a client, if it is one of its own that works now.
async fn role(server: &TestServer, client: &Value, secret: &str) -> Option<SecretRole> {
    let id = ClientId::parse(client["id"].as_str().unwrap()).unwrap();
    let hash = server.keyring().await.hash(secret);
    let found = server.store().await.find_client_by_secret(&id, &hash).await.unwrap();
    found.filter(|(client, role)| client.accepts(*role, server.now())).map(|(_, role)| role)
}

#[tokio::test]
async fn a_client_lives_the_same_on_every_wire() {
    let server = TestServer::start().await;
    let admin = server.live();
    server.register(&["READ_BUDGETS"]).await;
    for wire in Wire::ALL {
        let made = create(&server, wire, &admin, app(json!({}))).await.ok();
        let client = &made["client"];
        let id = client["id"].as_str().unwrap();
        assert!(id.starts_with("cli_") && id.len() == 36, "{id}");
        for (field, value) in [
            ("type", json!("CONFIDENTIAL")),
            ("tokenEndpointAuthMethod", json!("client_secret_basic")),
            ("redirectUris", json!(["https://app.example.com/callback"])),
            ("postLogoutRedirectUris", json!([])),
            ("grantTypes", json!(["authorization_code", "refresh_token"])),
            ("scopes", json!([])),
            ("resources", json!([])),
            ("accessTokenFormat", json!("JWT")),
            ("accessTokenLifetime", json!("600s")),
            ("refreshTokenIdleLifetime", json!("2592000s")),
            ("refreshTokenLifetime", json!("15552000s")),
            ("requirePkce", json!(true)),
            ("dpopBoundAccessTokens", json!(false)),
            ("environment", json!("LIVE")),
            ("etag", json!("v1")),
        ] {
            assert_eq!(client[field], value, "{field} unless given");
        }
        let secret = made["secret"].as_str().unwrap();
        assert!(secret.starts_with("cs_live_") && secret.len() == 57, "the shape of secrets");
        let hint = client["secrets"][0]["hint"].as_str().unwrap();
        assert!(secret.starts_with(&hint[..12]) && secret.ends_with(&hint[15..]), "{hint}");
        assert_eq!(role(&server, client, secret).await, Some(SecretRole::Current));
        assert_eq!(server.call(wire, "Auth/GetClient", &admin, json!({"id": id})).await.ok()["client"], *client);

        let wanted = json!({
            "name": "Sh\u{f6}p \u{1f6d2}", "logoUri": "https://cdn.example.com/logo.png",
            "tokenEndpointAuthMethod": "client_secret_post",
            "redirectUris": ["https://b.example/cb", "http://127.0.0.1/cb"],
            "postLogoutRedirectUris": ["https://b.example/bye"],
            "grantTypes": ["client_credentials", "refresh_token", "authorization_code",
                "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange"],
            "scopes": ["read:users", "offline_access", "read:budgets", "openid", "openid"],
            "resources": ["https://api.example.com/", "urn:example:api"],
            "accessTokenFormat": "OPAQUE", "accessTokenLifetime": "60s", "refreshTokenIdleLifetime": "3600s",
            "refreshTokenLifetime": "31536000s", "requirePkce": false, "dpopBoundAccessTokens": true,
        });
        let mut all = wanted.clone();
        all["id"] = json!(id);
        let mask: Vec<_> = wanted.as_object().unwrap().keys().map(String::as_str).collect();
        let changed = change(&server, wire, &admin, all, &mask.join(",")).await.ok()["client"].clone();
        for (field, value) in wanted.as_object().unwrap() {
            match field.as_str() {
                // Sets come in an order of their own, and a scope as it was registered.
                "scopes" => {
                    assert_eq!(changed[field], json!(["openid", "offline_access", "READ_BUDGETS", "read:users"]));
                }
                "grantTypes" => {
                    let expected = json!([
                        "authorization_code",
                        "refresh_token",
                        "client_credentials",
                        "urn:ietf:params:oauth:grant-type:device_code",
                        "urn:ietf:params:oauth:grant-type:token-exchange"
                    ]);
                    assert_eq!(changed[field], expected);
                }
                _ => assert_eq!(changed[field], *value, "{field}"),
            }
        }
        assert_eq!((&changed["etag"], &changed["secrets"]), (&json!("v2"), &client["secrets"]));
        let renamed = change(&server, wire, &admin, json!({"id": id, "name": "A", "etag": "v2"}), "name").await.ok();
        assert_eq!((&renamed["client"]["name"], &renamed["client"]["scopes"]), (&json!("A"), &changed["scopes"]));
        // What is taken away is as usual again.
        let mask = "logoUri,grantTypes,scopes,resources,accessTokenLifetime,requirePkce,tokenEndpointAuthMethod";
        let bare = change(&server, wire, &admin, json!({"id": id}), mask).await.ok()["client"].clone();
        for field in ["logoUri", "grantTypes", "scopes", "resources", "accessTokenLifetime", "requirePkce"] {
            assert_eq!(bare[field], client[field], "{field}");
        }

        let stale = json!({"id": id, "etag": "v1"});
        for rpc in ["Auth/DeleteClient", "Auth/RotateClientSecret"] {
            server.call(wire, rpc, &admin, stale.clone()).await.refused("ETAG_MISMATCH");
        }
        change(&server, wire, &admin, stale, "name").await.refused("ETAG_MISMATCH");
        let deleted = server.call(wire, "Auth/DeleteClient", &admin, json!({"id": id})).await.ok();
        assert!(deleted["client"]["deletedAt"].is_string());
        assert_eq!(role(&server, client, secret).await, None, "its secret ended with it");
        for rpc in ["Auth/GetClient", "Auth/DeleteClient", "Auth/RotateClientSecret"] {
            server.call(wire, rpc, &admin, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
        }
        change(&server, wire, &admin, json!({"id": id}), "name").await.refused("RESOURCE_NOT_FOUND");
        let list = server.call(wire, "Auth/ListClients", &admin, json!({})).await.ok();
        assert_eq!(list["data"], json!([]));
    }
}

#[tokio::test]
async fn secrets_are_rotated_with_an_overlap() {
    let server = TestServer::start().await;
    let admin = server.live();
    for wire in Wire::ALL {
        let made = create(&server, wire, &admin, app(json!({}))).await.ok();
        let (client, id) = (&made["client"], &made["client"]["id"]);
        let first = made["secret"].as_str().unwrap();
        let rotated = rotate(&server, wire, &admin, json!({"id": id, "gracePeriod": "60s"})).await.ok();
        let second = rotated["secret"].as_str().unwrap();
        let secrets = rotated["client"]["secrets"].as_array().unwrap();
        assert_eq!(secrets.len(), 2, "{rotated}");
        assert_eq!((&secrets[0]["expiresAt"], &secrets[1]["hint"]), (&Value::Null, &client["secrets"][0]["hint"]));
        assert_eq!(secrets[1]["expiresAt"], server.later(Duration::from_secs(60)));
        assert_eq!(role(&server, client, first).await, Some(SecretRole::Previous));
        assert_eq!(role(&server, client, second).await, Some(SecretRole::Current));

        server.advance(Duration::from_secs(60));
        assert_eq!(role(&server, client, first).await, None, "the grace period is over");
        let shown = server.call(wire, "Auth/GetClient", &admin, json!({"id": id})).await.ok();
        assert_eq!(shown["client"]["secrets"].as_array().unwrap().len(), 1);

        let third = rotate(&server, wire, &admin, json!({"id": id})).await.ok();
        assert_eq!(role(&server, client, second).await, None, "without a grace period it ends at once");
        assert!(role(&server, client, third["secret"].as_str().unwrap()).await.is_some());
        for grace in ["2592001s", "-1s"] {
            let answer = rotate(&server, wire, &admin, json!({"id": id, "gracePeriod": grace})).await;
            answer.violates(&["grace_period"]);
        }
    }
}

#[tokio::test]
async fn a_public_client_has_no_secret() {
    let server = TestServer::start().await;
    let admin = server.live();
    for wire in Wire::ALL {
        let native = app(json!({"type": "PUBLIC", "redirectUris": ["com.example.app:/cb", "http://[::1]/cb"]}));
        let made = create(&server, wire, &admin, native).await.ok();
        assert_eq!(
            (made.get("secret").unwrap_or(&Value::Null), &made["client"]["secrets"]),
            (&Value::Null, &json!([]))
        );
        assert_eq!(made["client"]["tokenEndpointAuthMethod"], "none");
        let id = made["client"]["id"].clone();
        rotate(&server, wire, &admin, json!({"id": id})).await.refused("INVALID_STATE");
        let answer = change(&server, wire, &admin, json!({"id": id, "type": "CONFIDENTIAL"}), "type").await;
        answer.refused("INVALID_FIELD");
    }
}

#[tokio::test]
async fn every_broken_rule_is_named() {
    let server = TestServer::start().await;
    let admin = server.live();
    let (secret, many) = ("client_secret_basic", json!(vec!["https://a.example/"; 21]));
    let public = |more: Value| {
        let mut client = app(more);
        client["type"] = json!("PUBLIC");
        client
    };
    for (client, fields) in [
        (app(json!({"name": ""})), &["client.name"][..]),
        (app(json!({"name": "x".repeat(101)})), &["client.name"]),
        (app(json!({"name": "Shop\u{202e}app"})), &["client.name"]),
        (app(json!({"type": 7})), &["client.type"]),
        (app(json!({"logoUri": "http://a.example/l.png"})), &["client.logo_uri"]),
        (app(json!({"logoUri": "javascript:alert(1)"})), &["client.logo_uri"]),
        (app(json!({"tokenEndpointAuthMethod": "basic"})), &["client.token_endpoint_auth_method"]),
        (app(json!({"tokenEndpointAuthMethod": "none"})), &["client.token_endpoint_auth_method"]),
        (public(json!({"tokenEndpointAuthMethod": secret})), &["client.token_endpoint_auth_method"]),
        (app(json!({"redirectUris": []})), &["client.redirect_uris"]),
        (app(json!({"redirectUris": many})), &["client.redirect_uris"]),
        (
            app(json!({"redirectUris": ["https://a.example/", "http://a.example/", "https://a.example/", "x"]})),
            &["client.redirect_uris[1]", "client.redirect_uris[3]", "client.redirect_uris[2]"],
        ),
        (app(json!({"redirectUris": ["com.example.app:/cb"]})), &["client.redirect_uris[0]"]),
        (app(json!({"redirectUris": ["https://*.example.com/cb"]})), &["client.redirect_uris[0]"]),
        (app(json!({"postLogoutRedirectUris": ["/bye"]})), &["client.post_logout_redirect_uris[0]"]),
        (app(json!({"grantTypes": ["password"]})), &["client.grant_types[0]"]),
        (app(json!({"grantTypes": ["implicit", "authorization_code"]})), &["client.grant_types[0]"]),
        (app(json!({"grantTypes": ["refresh_token"]})), &["client.grant_types"]),
        (public(json!({"grantTypes": ["client_credentials"]})), &["client.grant_types"]),
        (app(json!({"scopes": ["read"]})), &["client.scopes[0]"]),
        (app(json!({"scopes": ["openid", "phone"]})), &["client.scopes[1]"]),
        (app(json!({"scopes": ["openid", "read:nothing"]})), &["client.scopes"]),
        (app(json!({"scopes": ["admin"]})), &["client.scopes"]),
        (app(json!({"resources": ["api"]})), &["client.resources[0]"]),
        (app(json!({"resources": ["https://a.example/#x"]})), &["client.resources[0]"]),
        (app(json!({"accessTokenFormat": 9})), &["client.access_token_format"]),
        (app(json!({"accessTokenLifetime": "59s"})), &["client.access_token_lifetime"]),
        (app(json!({"accessTokenLifetime": "86401s"})), &["client.access_token_lifetime"]),
        (app(json!({"accessTokenLifetime": "60.5s"})), &["client.access_token_lifetime"]),
        (app(json!({"refreshTokenIdleLifetime": "3599s"})), &["client.refresh_token_idle_lifetime"]),
        (app(json!({"refreshTokenLifetime": "63072001s"})), &["client.refresh_token_lifetime"]),
        (app(json!({"refreshTokenLifetime": "86400s"})), &["client.refresh_token_lifetime"]),
        (public(json!({"requirePkce": false})), &["client.require_pkce"]),
    ] {
        for wire in Wire::ALL {
            create(&server, wire, &admin, client.clone()).await.violates(fields);
        }
        // An update is held to the same rules.
        let kind = client["type"].as_str().filter(|kind| *kind == "PUBLIC").unwrap_or("CONFIDENTIAL");
        let good = create(&server, Wire::Grpc, &admin, app(json!({"type": kind}))).await.ok();
        if client["type"] != json!(7) {
            let mut client = client;
            client["id"] = good["client"]["id"].clone();
            change(&server, Wire::Grpc, &admin, client, "*").await.violates(fields);
        }
    }
    let id = create(&server, Wire::Grpc, &admin, app(json!({}))).await.ok()["client"]["id"].clone();
    for mask in ["id", "type", "secrets", "environment", "etag", "nonsense", ""] {
        change(&server, Wire::Grpc, &admin, json!({"id": id}), mask).await.refused("INVALID_FIELD");
    }
}

#[tokio::test]
async fn only_who_holds_what_a_client_may_ask_for_governs_it() {
    let server = TestServer::start().await;
    let clerk = server.key(&["read:clients", "write:clients", "read:products"]).await;
    let scopes = |scopes: &[&str]| app(json!({"scopes": scopes}));
    let wide = create(&server, Wire::Grpc, &server.live(), scopes(&["read:users", "openid"])).await.ok();
    let id = wide["client"]["id"].clone();
    for wire in Wire::ALL {
        create(&server, wire, &clerk, scopes(&["read:users"])).await.refused("EXCEEDS_CALLER");
        change(&server, wire, &clerk, json!({"id": id, "name": "x"}), "name").await.refused("EXCEEDS_CALLER");
        for rpc in ["Auth/DeleteClient", "Auth/RotateClientSecret"] {
            server.call(wire, rpc, &clerk, json!({"id": id})).await.refused("EXCEEDS_CALLER");
        }
        // OpenID's scopes are of whoever signs in: nobody has to hold them.
        let own = create(&server, wire, &clerk, scopes(&["read:products", "openid", "offline_access"])).await.ok();
        let own = own["client"]["id"].clone();
        let more = json!({"id": own, "scopes": ["read:products", "read:users"]});
        change(&server, wire, &clerk, more, "scopes").await.refused("EXCEEDS_CALLER");
        rotate(&server, wire, &clerk, json!({"id": own})).await.ok();
        server.call(wire, "Auth/DeleteClient", &clerk, json!({"id": own})).await.ok();
    }
    assert_eq!(
        server.call(Wire::Grpc, "Auth/GetClient", &clerk, json!({"id": id})).await.ok()["client"],
        wide["client"]
    );
}

#[tokio::test]
async fn nobody_outlives_their_key_by_a_client_that_acts_for_itself() {
    let server = TestServer::start().await;
    let rights = json!(["read:clients", "write:clients"]);
    let ends = json!({"name": "ends", "scopes": rights, "expiresAt": server.later(Duration::from_secs(3_600))});
    let bound = json!({"name": "bound", "scopes": rights, "allowedIps": ["127.0.0.0/8"]});
    let job = app(json!({"grantTypes": ["client_credentials"]}));
    let existing = create(&server, Wire::Grpc, &server.live(), job.clone()).await.ok()["client"]["id"].clone();
    for key in [server.new_key(ends).await, server.new_key(bound).await] {
        create(&server, Wire::Grpc, &key, job.clone()).await.refused("EXCEEDS_CALLER");
        rotate(&server, Wire::Grpc, &key, json!({"id": existing})).await.refused("EXCEEDS_CALLER");
        let own = create(&server, Wire::Grpc, &key, app(json!({}))).await.ok()["client"]["id"].clone();
        let more = json!({"id": own, "grantTypes": ["authorization_code", "client_credentials"]});
        change(&server, Wire::Grpc, &key, more, "grantTypes").await.refused("EXCEEDS_CALLER");
        rotate(&server, Wire::Grpc, &key, json!({"id": own})).await.ok();
    }
    let free = server.key(&["read:clients", "write:clients"]).await;
    create(&server, Wire::Grpc, &free, job).await.ok();
}

#[tokio::test]
async fn the_secret_of_a_client_is_no_key() {
    let server = TestServer::start().await;
    let made = create(&server, Wire::Grpc, &server.live(), app(json!({"scopes": ["read:clients"]}))).await.ok();
    let secret = made["secret"].as_str().unwrap();
    let actor = Actor::made(secret, "");
    for wire in Wire::ALL {
        server.call(wire, "Auth/ListClients", &actor, json!({})).await.refused("NOT_FOUND");
        let asked = json!({"credential": secret});
        let decision = server.call(wire, "Auth/Verify", &server.live(), asked).await.ok();
        assert_eq!((&decision["valid"], &decision["code"]), (&json!(false), &json!("MALFORMED")));
    }
    let request = json!({"project": {"id": "default", "keyPrefix": "cs"}, "updateMask": "keyPrefix"});
    server.call(Wire::Grpc, "Auth/UpdateProject", &server.live(), request).await.refused("INVALID_FIELD");
}

#[tokio::test]
async fn environments_and_projects_see_their_own_clients() {
    let server = TestServer::start().await;
    let other = server.other_project("elsewhere", Environment::Live).await;
    let made = create(&server, Wire::Grpc, &server.live(), app(json!({}))).await.ok();
    let (id, secret) = (&made["client"]["id"], made["secret"].as_str().unwrap());
    let trial = create(&server, Wire::Grpc, &server.test(), app(json!({}))).await.ok();
    assert!(trial["secret"].as_str().unwrap().starts_with("cs_test_"));
    assert_eq!(role(&server, &trial["client"], secret).await, None, "a secret is of one client");
    for stranger in [&server.test(), &other] {
        for wire in Wire::ALL {
            for rpc in ["Auth/GetClient", "Auth/DeleteClient", "Auth/RotateClientSecret"] {
                server.call(wire, rpc, stranger, json!({"id": id})).await.refused("RESOURCE_NOT_FOUND");
            }
            change(&server, wire, stranger, json!({"id": id}), "name").await.refused("RESOURCE_NOT_FOUND");
        }
    }
    let list = server.call(Wire::Grpc, "Auth/ListClients", &server.test(), json!({})).await.ok();
    assert_eq!(list["data"], json!([trial["client"]]));
}

#[tokio::test]
async fn lists_are_paged_in_every_style() {
    let server = TestServer::start().await;
    let admin = server.live();
    let mut ids = Vec::new();
    for _ in 0..5 {
        server.advance(Duration::from_millis(1));
        ids.insert(0, create(&server, Wire::Grpc, &admin, app(json!({}))).await.ok()["client"]["id"].clone());
    }
    let seen = |list: &Value| list["data"].as_array().unwrap().iter().map(|c| c["id"].clone()).collect::<Vec<_>>();
    for wire in Wire::ALL {
        let list = async |request: Value| server.call(wire, "Auth/ListClients", &admin, request).await;
        let first = list(json!({"pageSize": 3})).await.ok();
        assert_eq!(seen(&first), ids[..3]);
        let rest = list(json!({"pageSize": 3, "pageToken": first["nextPageToken"]})).await.ok();
        assert_eq!((seen(&rest), rest.get("nextPageToken").unwrap_or(&Value::Null)), (ids[3..].to_vec(), &Value::Null));
        let second = list(json!({"limit": 2, "page": 2})).await.ok();
        assert_eq!(seen(&second), ids[2..4]);
        let pagination = json!({"page": 2, "limit": 2, "total": 5, "hasMore": true});
        assert_eq!(second["pagination"], pagination);
        assert_eq!(seen(&list(json!({"size": 2, "page": 2})).await.ok()), ids[4..]);
        list(json!({"limit": 1_001})).await.violates(&["limit"]);
        list(json!({"pageToken": "x"})).await.violates(&["page_token"]);
    }
}

#[tokio::test]
async fn a_scope_that_a_client_may_ask_for_stays() {
    let server = TestServer::start().await;
    let admin = server.live();
    server.register(&["read:budgets"]).await;
    let made = create(&server, Wire::Grpc, &admin, app(json!({"scopes": ["READ_BUDGETS"]}))).await.ok();
    let delete = async || server.call(Wire::Grpc, "Auth/DeleteScope", &admin, json!({"name": "read:budgets"})).await;
    delete().await.refused("INVALID_STATE");
    server.call(Wire::Grpc, "Auth/DeleteClient", &admin, json!({"id": made["client"]["id"]})).await.ok();
    delete().await.ok();
}

#[tokio::test]
async fn whoever_watches_is_told_of_clients_and_the_log_knows_who_did_it() {
    let server = TestServer::start().await;
    let admin = server.live();
    let made = create(&server, Wire::Grpc, &admin, app(json!({}))).await.ok();
    let id = made["client"]["id"].as_str().unwrap();
    change(&server, Wire::Grpc, &admin, json!({"id": id, "name": "Other"}), "name").await.ok();
    rotate(&server, Wire::Grpc, &admin, json!({"id": id, "gracePeriod": "60s"})).await.ok();
    server.call(Wire::Grpc, "Auth/DeleteClient", &admin, json!({"id": id})).await.ok();

    let store = server.store().await;
    let revision = store.revision().await.unwrap().0;
    for (back, kind) in [(4, "CREATED"), (3, "UPDATED"), (2, "ROTATED"), (1, "REVOKED")] {
        let request = json!({"fromRevision": (revision - back).to_string()});
        let told = server.call(Wire::Grpc, "Auth/WatchRevocations", &admin, request).await.ok();
        assert_eq!((&told["kind"], &told["clientId"]), (&json!(kind), &json!(id)));
        assert_eq!(told.get("keyId").unwrap_or(&Value::Null), &Value::Null);
    }
    let filter = AuditFilter { target: Some(id.to_owned()), ..AuditFilter::default() };
    let (project, page) = (ProjectId::default_project(), PageRequest::After { limit: 10, after: None });
    let log = store.list_audit_events(&project, Environment::Live, &filter, &page).await.unwrap().items;
    let read = |text: &Option<String>| text.as_ref().map(|text| serde_json::from_str::<Value>(text).unwrap());
    let actions: Vec<_> = log.iter().map(|entry| entry.event.action.as_str()).collect();
    assert_eq!(actions, ["client.deleted", "client.secret_rotated", "client.updated", "client.created"]);
    assert_eq!(read(&log[2].event.before), Some(json!({"name": "Shop app"})));
    assert_eq!(read(&log[2].event.after), Some(json!({"name": "Other"})));
    assert_eq!(read(&log[3].event.after).unwrap()["redirectUris"], json!(["https://app.example.com/callback"]));
    assert_eq!(read(&log[1].event.after).unwrap()["oldSecret"], made["client"]["secrets"][0]["hint"]);
    assert_eq!((read(&log[0].event.after), &log[0].event.before.is_some()), (None, &true));
}

#[tokio::test]
async fn the_end_of_a_client_reaches_the_other_nodes() {
    let one = TestServer::start().await;
    let two = one.another_node().await;
    let made = create(&one, Wire::Grpc, &one.live(), app(json!({}))).await.ok();
    let id = json!({"id": made["client"]["id"]});
    two.call(Wire::Grpc, "Auth/GetClient", &two.live(), id.clone()).await.ok();
    let from = two.store().await.revision().await.unwrap().0;
    one.call(Wire::Grpc, "Auth/DeleteClient", &one.live(), id.clone()).await.ok();
    two.call(Wire::Grpc, "Auth/GetClient", &two.live(), id).await.refused("RESOURCE_NOT_FOUND");
    soon("the other node is told", async || {
        let request = json!({"fromRevision": from.to_string()});
        let told = two.call(Wire::Grpc, "Auth/WatchRevocations", &two.live(), request).await.ok();
        told["clientId"] == made["client"]["id"]
    })
    .await;
}
