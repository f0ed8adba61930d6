//! Who spends of which limit, and how much.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Count, items, limit, limited, verify, whoami};
use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

whoever_counts! {
    verify_spends_what_it_is_told_and_tells_what_is_left,
    all_keys_of_an_owner_share_what_is_shared,
    a_change_of_a_key_is_no_fresh_start,
    a_project_gives_limits_to_keys_by_type_and_a_key_has_its_own_instead,
    a_token_that_was_exchanged_for_a_key_spends_what_the_key_may,
}

async fn verify_spends_what_it_is_told_and_tells_what_is_left(count: Count) {
    let server = count.server().await;
    let key = limited(&server, &[limit("minute", 10, 60), limit("day", 1000, 86_400)]).await;
    let ask = async |cost: Option<u32>| {
        let mut question = json!({"credential": key.secret, "scopes": ["read:products"]});
        if let Some(cost) = cost {
            question["cost"] = json!(cost);
        }
        verify(&server, question).await
    };
    let minute = |answer: &Value| {
        let found = answer["rateLimits"].as_array().unwrap().iter().find(|limit| limit["name"] == "minute").cloned();
        found.expect("it is told")
    };
    let first = ask(None).await;
    assert_eq!(minute(&first), json!({"name": "minute", "limit": 10, "window": "60s", "remaining": 9, "reset": "6s"}));
    assert_eq!(
        (minute(&ask(Some(0)).await)["remaining"].clone(), minute(&ask(Some(7)).await)["remaining"].clone()),
        (json!(9), json!(2))
    );
    let refused = ask(Some(3)).await;
    assert_eq!((&refused["valid"], &refused["code"]), (&json!(false), &json!("RATE_LIMITED")));
    assert_eq!(
        (&refused["message"], &refused["retryAfter"]),
        (&json!("Rate limit exceeded. Try again in 6 seconds"), &json!("6s"))
    );
    assert_eq!(minute(&refused)["remaining"], 2, "nothing was taken");
    assert_eq!(ask(Some(2)).await["valid"], true);
    let spent = ask(Some(0)).await;
    assert_eq!(
        (&spent["code"], minute(&spent)["remaining"].clone()),
        (&json!("RATE_LIMITED"), json!(0)),
        "not even one is left"
    );
    let never = ask(Some(11)).await;
    assert_eq!((&never["code"], &never["retryAfter"]), (&json!("RATE_LIMITED"), &Value::Null));
    server
        .call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": key.secret, "cost": 1_000_000_001}))
        .await
        .violates(&["cost"]);

    // What is refused for another reason spends nothing, and the verifier's own calls are its own.
    server.advance(Duration::from_secs(60));
    let missing = verify(&server, json!({"credential": key.secret, "scopes": ["admin"]})).await;
    assert_eq!((&missing["code"], minute(&missing)["remaining"].clone()), (&json!("INSUFFICIENT_SCOPE"), json!(10)));
    // An explanation lists each limit, and spends nothing.
    let question = json!({"credential": key.secret, "cost": 11});
    let explained = server.call(Wire::Json, "Auth/ExplainVerify", &server.live(), question).await.ok();
    let checks: Vec<_> =
        explained["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "rate_limit").collect();
    let outcomes: Vec<_> = checks.iter().map(|check| check["outcome"].as_str().unwrap()).collect();
    assert_eq!(
        (outcomes.len(), outcomes.contains(&"FAILED"), outcomes.contains(&"PASSED")),
        (2, true, true),
        "{explained}"
    );
    assert_eq!(
        (&explained["decision"]["code"], minute(&ask(Some(0)).await)["remaining"].clone()),
        (&json!("RATE_LIMITED"), json!(10))
    );

    // Each question of a batch spends by itself.
    let requests: Vec<_> = (0..12).map(|_| json!({"credential": key.secret})).collect();
    let batch =
        server.call(Wire::GrpcWeb, "Auth/BatchVerify", &server.live(), json!({"requests": requests})).await.ok();
    let valid = batch["results"].as_array().unwrap().iter().filter(|result| result["valid"] == true).count();
    assert_eq!(valid, 10);
}

async fn all_keys_of_an_owner_share_what_is_shared(count: Count) {
    let server = count.server().await;
    let shared = json!({"name": "day", "limit": 3, "window": "86400s", "shared": true});
    let key = |owner: &'static str| {
        server.new_key(json!({"name": "k", "owner": owner, "rateLimits": [shared.clone(), limit("own", 2, 60)]}))
    };
    let (one, two, other) = (key("team-a").await, key("team-a").await, key("team-b").await);
    let mut answers = Vec::new();
    for key in [&one, &two, &one, &two, &one, &other] {
        answers.push(whoami(&server, Wire::Json, key).await.http);
    }
    assert_eq!(answers, [200, 200, 200, 429, 429, 200]);
    let refused = whoami(&server, Wire::Json, &two).await;
    assert_eq!(refused.document["violated-policies"], json!(["day"]), "its own is not spent");
    let test = json!({"name": "k", "owner": "team-a", "rateLimits": [shared.clone()]});
    let test = server.new_key_by(&server.test(), test).await;
    whoami(&server, Wire::Json, &test).await.ok();
}

async fn a_change_of_a_key_is_no_fresh_start(count: Count) {
    let server = count.server().await;
    let key = limited(&server, &[limit("day", 10, 86_400)]).await;
    for _ in 0..6 {
        whoami(&server, Wire::Grpc, &key).await.ok();
    }
    let change = async |limits: Value| {
        let update = json!({"key": {"id": key.id, "rateLimits": limits}, "updateMask": "rateLimits"});
        server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), update).await.ok()
    };
    let remaining = async || whoami(&server, Wire::Json, &key).await.header("x-ratelimit-remaining").to_owned();
    change(json!([limit("day", 20, 86_400)])).await;
    assert_eq!(remaining().await, "13");
    let rotated = server
        .call(Wire::Grpc, "Keys/RotateKey", &server.live(), json!({"id": key.id, "gracePeriod": "60s"}))
        .await
        .ok();
    let new = Actor::made(rotated["secret"].as_str().unwrap(), &key.id);
    assert_eq!(
        whoami(&server, Wire::Json, &new).await.header("x-ratelimit-remaining"),
        "12",
        "both secrets spend from one"
    );
    assert_eq!(remaining().await, "11");
    change(json!([])).await;
    assert_eq!(remaining().await, "");
    change(json!([limit("day", 10, 86_400)])).await;
    assert_eq!(remaining().await, "0", "what it is taken off and put on again has still spent");
    let found = server.call(Wire::Json, "Keys/GetKey", &server.live(), json!({"id": key.id})).await.ok();
    assert_eq!(found["key"]["rateLimits"], json!([{"name": "day", "limit": 10, "window": "86400s", "shared": false}]));
    let events = json!({"target": key.id, "action": "key.updated"});
    let events = server.call(Wire::Grpc, "Keys/ListAuditEvents", &server.live(), events).await.ok();
    let told: Value = serde_json::from_str(events["data"][2]["after"].as_str().unwrap()).unwrap();
    assert_eq!(told["rateLimits"][0]["limit"], 20);
}

async fn a_project_gives_limits_to_keys_by_type_and_a_key_has_its_own_instead(count: Count) {
    let server = count.server().await;
    let node = server.another_node().await;
    let plain = server.key(&[]).await;
    let own = limited(&server, &[limit("minute", 50, 60)]).await;
    let publishable = server.pk(&[]).await;
    let limits = async |node: &TestServer, key: &Actor| {
        whoami(node, Wire::Json, key).await.header("ratelimit-policy").to_owned()
    };
    assert_eq!((limits(&server, &plain).await, limits(&node, &plain).await), (String::new(), String::new()));
    let defaults = json!([
        {"type": "SK", "rateLimits": [limit("minute", 5, 60), limit("hour", 9, 3600)]},
        {"type": "PK", "rateLimits": [limit("minute", 2, 60)]},
    ]);
    let project = json!({"id": "default", "defaultRateLimits": defaults});
    let update = json!({"project": project, "updateMask": "defaultRateLimits"});
    let changed = server.call(Wire::Json, "Auth/UpdateProject", &server.live(), update.clone()).await.ok();
    assert_eq!(changed["project"]["defaultRateLimits"][0]["rateLimits"][0]["name"], "hour");
    assert_eq!(items(&limits(&server, &plain).await).keys().collect::<Vec<_>>(), [&"hour", &"minute"]);
    assert_eq!(items(&limits(&server, &own).await)["minute"], "q=50;w=60");
    assert_eq!(limits(&server, &publishable).await, "\"minute\";q=2;w=60");
    soon("the other node knows", async || !limits(&node, &plain).await.is_empty()).await;

    // Beside a publishable key, a user in person spends what that may.
    server.person(&server.live(), "ada", &[]).await;
    let ada = server.sign_in(&server.live(), "ada").await;
    assert_eq!(whoami(&server, Wire::Json, &ada).await.header("ratelimit"), "", "a session has no limits");
    let beside = ada.clone().beside(&publishable);
    whoami(&server, Wire::Json, &beside).await.ok();
    whoami(&server, Wire::Json, &beside).await.refused("RATE_LIMITED");
    let question = json!({"credential": ada.secret, "publishableKey": publishable.secret});
    assert_eq!(verify(&server, question).await["code"], "RATE_LIMITED");

    for (field, limits) in [
        ("project.default_rate_limits[0].type", json!([{"rateLimits": []}])),
        ("project.default_rate_limits[1].type", json!([{"type": "SK"}, {"type": "SK"}])),
        (
            "project.default_rate_limits[0].rate_limits[0].limit",
            json!([{"type": "SK", "rateLimits": [limit("a", 0, 1)]}]),
        ),
        (
            "project.default_rate_limits[0].rate_limits[0].window",
            json!([{"type": "SK", "rateLimits": [limit("a", 1, 0)]}]),
        ),
    ] {
        let mut wrong = update.clone();
        wrong["project"]["defaultRateLimits"] = limits;
        for wire in Wire::THREE {
            // The administrator is under these limits too.
            server.advance(Duration::from_secs(3600));
            server.call(wire, "Auth/UpdateProject", &server.live(), wrong.clone()).await.violates(&[field]);
        }
    }
}

async fn a_token_that_was_exchanged_for_a_key_spends_what_the_key_may(count: Count) {
    let server = count.server().await;
    let key = server
        .new_key(json!({"name": "k", "scopes": ["read:products"], "rateLimits": [limit("day", 3, 86_400)]}))
        .await;
    let client = json!({"client": {
        "name": "c", "type": "CONFIDENTIAL", "grantTypes": ["urn:ietf:params:oauth:grant-type:token-exchange"], "scopes": ["read:products"],
    }});
    let client = server.call(Wire::Json, "Auth/CreateClient", &server.live(), client).await.ok();
    let (id, secret) =
        (client["client"]["id"].as_str().unwrap().to_owned(), client["secret"].as_str().unwrap().to_owned());
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", key.secret.as_str()),
        ("subject_token_type", "urn:gatepost:params:oauth:token-type:api-key"),
        ("scope", "read:products"),
    ];
    let request =
        server.request(Method::POST, "/oauth/token", &Actor::anonymous()).basic_auth(id, Some(secret)).form(&form);
    let answer = server.send(request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = Actor::bearer(answer.json()["access_token"].as_str().unwrap());
    let mut statuses = Vec::new();
    for actor in [&token, &key, &token, &key, &token] {
        let answer = whoami(&server, Wire::Json, actor).await;
        statuses.push((answer.http, answer.header("x-ratelimit-remaining").to_owned()));
    }
    let wanted = [(200, "2"), (200, "1"), (200, "0"), (429, "0"), (429, "0")];
    assert_eq!(statuses, wanted.map(|(status, left)| (status, left.to_owned())));
}

#[tokio::test]
async fn bad_limits_are_named() {
    let server = TestServer::start().await;
    for (field, limits) in [
        ("rate_limits[0].name", json!([limit("Per Minute", 1, 1)])),
        ("rate_limits[0].name", json!([limit("credits", 1, 1)])),
        ("rate_limits[1].name", json!([limit("a", 1, 1), limit("a", 2, 1)])),
        ("rate_limits[0].limit", json!([limit("a", 0, 1)])),
        ("rate_limits[0].limit", json!([limit("a", 1_000_000_001, 1)])),
        ("rate_limits[0].window", json!([limit("a", 1, 31 * 86_400 + 1)])),
        ("rate_limits[0].window", json!([{"name": "a", "limit": 1, "window": "1.5s"}])),
        ("rate_limits[0].window", json!([{"name": "a", "limit": 1}])),
        ("rate_limits", (0..11).map(|n| limit(&format!("l{n}"), 1, 1)).collect()),
    ] {
        for wire in Wire::THREE {
            let request = json!({"name": "k", "rateLimits": limits});
            server.call(wire, "Keys/CreateKey", &server.live(), request).await.violates(&[field]);
        }
    }
}

/// What a key spent of a small limit says nothing about a larger one of the same name and owner.
#[tokio::test]
async fn a_shared_limit_is_not_made_whole_by_a_smaller_one() {
    let server = TestServer::start().await;
    let shared = |calls: u32| json!([{"name": "minute", "limit": calls, "window": "60s", "shared": true}]);
    let key = |kind: &str, calls| json!({"name": "k", "type": kind, "owner": "team", "rateLimits": shared(calls)});
    let large = server.new_key(key("SK", 600)).await;
    let small = server.new_key(key("PK", 6)).await;
    assert_eq!(verify(&server, json!({"credential": large.secret, "cost": 590})).await["code"], "VALID");
    for cost in [0, 6, 7] {
        verify(&server, json!({"credential": small.secret, "cost": cost})).await;
    }
    assert_eq!(verify(&server, json!({"credential": large.secret, "cost": 11})).await["code"], "RATE_LIMITED");
    assert_eq!(verify(&server, json!({"credential": large.secret, "cost": 10})).await["code"], "VALID");
}
