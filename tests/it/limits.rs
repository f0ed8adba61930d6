//! Rate limits: exactly what they allow on every wire, told in headers that are true, and kept over restarts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gatepost::domain::environment::Environment;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;

use crate::nodes::soon;
use crate::support::postgres::Engine;
use crate::support::proxy::CutProxy;
use crate::support::serving::Place;
use crate::support::{Actor, Answer, TestServer, Wire};

fn limit(name: &str, calls: u32, seconds: u32) -> Value {
    json!({"name": name, "limit": calls, "window": format!("{seconds}s")})
}

async fn limited(server: &TestServer, limits: &[Value]) -> Actor {
    server.new_key(json!({"name": "limited", "scopes": ["read:products"], "rateLimits": limits})).await
}

async fn whoami(server: &TestServer, wire: Wire, key: &Actor) -> Answer {
    server.call(wire, "Auth/WhoAmI", key, json!({})).await
}

async fn verify(server: &TestServer, question: Value) -> Value {
    server.call(Wire::Grpc, "Auth/Verify", &server.live(), question).await.ok()
}

/// Many connections on all wires, and the clock stands still: exactly the limit is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_are_admitted_exactly_what_the_limit_allows() {
    let server = TestServer::start().await;
    for (calls, others) in [(100, vec![]), (77, vec![limit("hour", 90, 3600), limit("day", 500, 86_400)])] {
        let limits: Vec<_> = others.into_iter().chain([limit("minute", calls, 60)]).collect();
        let key = limited(&server, &limits).await;
        let mut tasks = JoinSet::new();
        for (index, wire) in Wire::ALL.into_iter().cycle().take(48).enumerate() {
            let (origin, key, verifier) = (server.clients().origin.clone(), key.clone(), server.live());
            let client = if index % 8 < 4 { &server.clients().http } else { &server.clients().http2 };
            // A pool of its own is a connection of its own.
            let (client, grpc) = (client.clone(), wire == Wire::Grpc);
            tasks.spawn(async move {
                let mut admitted = 0;
                for call in 0..5 {
                    let status = match (grpc, call % 2) {
                        (true, 0) => {
                            let question = json!({"credential": key.secret});
                            let request =
                                client.post(format!("{origin}/v1/auth/verify")).headers(verifier.headers.clone());
                            let answer = request.json(&question).send().await.expect("an answer");
                            let answer: Value = answer.json().await.expect("JSON");
                            if answer["valid"] == true { 200 } else { 429 }
                        }
                        _ => {
                            let request = client.get(format!("{origin}/v1/auth/whoami")).headers(key.headers.clone());
                            request.send().await.expect("an answer").status().as_u16()
                        }
                    };
                    assert!([200, 429].contains(&status), "{status}");
                    admitted += u32::from(status == 200);
                }
                admitted
            });
        }
        let mut admitted: u32 = tasks.join_all().await.into_iter().sum();
        for wire in Wire::ALL.into_iter().cycle().take(40) {
            admitted += u32::from(whoami(&server, wire, &key).await.code == Code::Ok);
        }
        assert_eq!(admitted, calls);
    }
}

/// The same with the wires' own clients at once, while time goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stretch_of_real_time_sees_more_than_the_limit_allows() {
    let server = std::sync::Arc::new(TestServer::builder().for_browsers().start().await);
    let key = limited(&server, &[limit("burst", 20, 2)]).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for wire in Wire::ALL.into_iter().cycle().take(8) {
        let (server, key) = (std::sync::Arc::clone(&server), key.clone());
        tasks.spawn(async move {
            let mut admitted = 0;
            while began.elapsed() < Duration::from_secs(3) {
                admitted += u32::from(whoami(&server, wire, &key).await.code == Code::Ok);
            }
            admitted
        });
    }
    let admitted: u32 = tasks.join_all().await.into_iter().sum();
    // The clock of the server goes in steps of 20 ms.
    let most = 20.0 + (began.elapsed().as_secs_f64() + 0.02) * 10.0;
    assert!(f64::from(admitted) <= most, "{admitted} of {most}");
    assert!(admitted >= 20 + 20, "what came back was given: {admitted}");
}

#[tokio::test]
async fn the_headers_are_true_on_every_wire() {
    let server = TestServer::start().await;
    for wire in Wire::ALL {
        let key = limited(&server, &[limit("minute", 3, 60), limit("day", 1000, 86_400)]).await;
        for left in [2, 1, 0] {
            let answer = whoami(&server, wire, &key).await;
            let reset = 20 * (3 - left);
            assert_eq!(answer.code, Code::Ok, "{answer:?}");
            assert_eq!(answer.header("x-ratelimit-limit"), "3");
            assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
            assert_eq!(answer.header("x-ratelimit-reset"), reset.to_string());
            let policy = BTreeMap::from([("day", "q=1000;w=86400".to_owned()), ("minute", "q=3;w=60".to_owned())]);
            assert_eq!(items(answer.header("ratelimit-policy")), policy);
            assert_eq!(items(answer.header("ratelimit"))["minute"], format!("r={left};t={reset}"));
            assert!(items(answer.header("ratelimit"))["day"].starts_with(&format!("r={}", 997 + left)));
            assert_eq!(answer.header("retry-after"), "");
        }
        let refused = whoami(&server, wire, &key).await;
        refused.refused("RATE_LIMITED");
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (Code::ResourceExhausted, "Rate limit exceeded. Try again in 20 seconds")
        );
        for (header, value) in [
            ("retry-after", "20"),
            ("x-ratelimit-limit", "3"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "20"),
        ] {
            assert_eq!(refused.header(header), value, "{header} on {wire:?}");
        }
        assert_eq!(
            items(refused.header("ratelimit")),
            BTreeMap::from([("minute", "r=0;t=20".to_owned()), ("day", "r=997".to_owned())])
        );
        if wire == Wire::Json {
            let document = &refused.document;
            assert_eq!(refused.http, 429);
            assert_eq!(refused.header("content-type"), "application/problem+json");
            assert_eq!(document["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert_eq!(
                (&document["violated-policies"], &document["error"]),
                (&json!(["minute"]), &json!("rate_limit_exceeded"))
            );
        }
        // A client that waits as told succeeds; one that does not, does not.
        server.advance(Duration::from_millis(19_999));
        assert_eq!(whoami(&server, wire, &key).await.header("retry-after"), "1");
        server.advance(Duration::from_millis(1));
        whoami(&server, wire, &key).await.ok();
        whoami(&server, wire, &key).await.refused("RATE_LIMITED");
    }
}

/// The members of a list of strings with parameters (RFC 9651).
fn items(header: &str) -> BTreeMap<&str, String> {
    let item = |item: &'_ str| -> (String, String) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        (name.trim().trim_matches('"').to_owned(), parameters.to_owned())
    };
    assert!(header.is_ascii() && !header.is_empty(), "{header:?}");
    header
        .split(',')
        .map(|text| {
            let (name, parameters) = item(text);
            let at = header.find(&format!("\"{name}\"")).expect("a quoted name") + 1;
            (&header[at..at + name.len()], parameters)
        })
        .collect()
}

#[tokio::test]
async fn a_grpc_refusal_says_when_and_which_in_its_details() {
    use tonic_types::StatusExt;
    let server = TestServer::start().await;
    let key = limited(&server, &[limit("minute", 1, 60)]).await;
    let mut client = gatepost::proto::v1::auth_client::AuthClient::new(server.clients().channel());
    let mut ask = async || {
        let mut request = tonic::Request::new(gatepost::proto::v1::WhoAmIRequest {});
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(key.headers.clone());
        client.who_am_i(request).await
    };
    let first = ask().await.expect("the first is let in");
    assert_eq!(first.metadata().get("x-ratelimit-remaining").unwrap(), "0", "as initial metadata");
    let refused = ask().await.expect_err("the second is not");
    let details = refused.get_error_details();
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(60)));
    let violations = &details.quota_failure().unwrap().violations;
    assert_eq!((&*violations[0].subject, &*violations[0].description), ("minute", "1 calls in 60 s"));
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
}

/// A client on real time does what `Retry-After` says, and nothing else.
#[tokio::test]
async fn a_client_that_waits_as_told_succeeds() {
    let server = TestServer::builder().for_browsers().start().await;
    let key = limited(&server, &[limit("second", 2, 2)]).await;
    for _ in 0..3 {
        let refused = loop {
            let answer = server.get("/v1/auth/whoami", &key).await;
            if answer.status == 429 {
                break answer;
            }
        };
        let wait: u64 = refused.header("retry-after").parse().expect("seconds");
        assert!((1..=2).contains(&wait), "{refused:?}");
        // The server's clock goes in steps, and stands behind the machine's by as much.
        tokio::time::sleep(Duration::from_secs(wait) + Duration::from_millis(100)).await;
        server.get("/v1/auth/whoami", &key).await.expect(200, "");
    }
}

#[tokio::test]
async fn a_refusal_before_the_limits_spends_nothing_and_tells_them_to_good_keys_alone() {
    let server = TestServer::start().await;
    let request = json!({
        "name": "k", "scopes": ["read:products"], "rateLimits": [limit("minute", 2, 60)], "allowedIps": ["127.0.0.1"],
    });
    let key = server.new_key(request).await;
    for wire in Wire::ALL {
        let refused = server.call(wire, "Keys/ListKeys", &key, json!({})).await;
        refused.refused("INSUFFICIENT_SCOPE");
        assert_eq!((refused.header("x-ratelimit-remaining"), refused.header("retry-after")), ("2", ""));
    }
    server.call(Wire::Grpc, "Keys/SuspendKey", &server.live(), json!({"id": key.id})).await.ok();
    assert_eq!(whoami(&server, Wire::Json, &key).await.header("ratelimit"), "\"minute\";r=2;t=0");
    server.call(Wire::Grpc, "Keys/ResumeKey", &server.live(), json!({"id": key.id})).await.ok();
    whoami(&server, Wire::Json, &key).await.ok();
    server.call(Wire::Grpc, "Keys/DeleteKey", &server.live(), json!({"id": key.id})).await.ok();
    let ended = whoami(&server, Wire::Json, &key).await;
    ended.refused("NOT_FOUND");
    assert_eq!(ended.header("ratelimit"), "", "as of a key that nobody issued");
    let free = server.key(&["read:products"]).await;
    for actor in [&free, &Actor::stranger("sk", Environment::Live), &Actor::anonymous()] {
        let answer = server.get("/v1/auth/whoami", actor).await;
        assert!(!answer.headers.keys().any(|name| name.as_str().contains("ratelimit")), "{answer:?}");
    }
}

#[tokio::test]
async fn verify_spends_what_it_is_told_and_tells_what_is_left() {
    let server = TestServer::start().await;
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

#[tokio::test]
async fn all_keys_of_an_owner_share_what_is_shared() {
    let server = TestServer::start().await;
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

#[tokio::test]
async fn a_change_of_a_key_is_no_fresh_start() {
    let server = TestServer::start().await;
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

#[tokio::test]
async fn a_project_gives_limits_to_keys_by_type_and_a_key_has_its_own_instead() {
    let server = TestServer::start().await;
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

#[tokio::test]
async fn a_token_that_was_exchanged_for_a_key_spends_what_the_key_may() {
    let server = TestServer::start().await;
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

/// What was spent is there after a graceful stop.
#[tokio::test]
async fn what_was_spent_outlives_the_server() {
    let server = TestServer::start().await;
    if Engine::chosen() == Engine::Postgres {
        // There each node counts by itself, in memory.
        return;
    }
    let key = limited(&server, &[limit("day", 10, 86_400), limit("second", 100, 1)]).await;
    let remaining =
        async |server: &TestServer| whoami(server, Wire::Json, &key).await.header("x-ratelimit-remaining").to_owned();
    for left in [9, 8, 7] {
        assert_eq!(remaining(&server).await, left.to_string());
    }
    // It only keeps the data from going with the first.
    let keeper = server.another_node().await;
    server.stop().await;
    let next = keeper.another_node().await;
    assert_eq!(remaining(&next).await, "6");
    next.advance(Duration::from_secs(4 * 8_640));
    let later = next.another_node().await;
    assert_eq!(remaining(&later).await, "9", "of what had come back nothing is kept");
}

/// A kill forgets what was spent in the last second at most.
#[tokio::test]
async fn what_was_spent_outlives_a_kill() {
    if Engine::chosen() == Engine::Postgres {
        return;
    }
    let place = Place::new().await;
    let mut server = place.serve().await;
    let admin = server.admin("live");
    let request = json!({"name": "k", "rateLimits": [limit("day", 1000, 86_400)]});
    let made = server.post("/v1/keys", &admin, &request).await.expect(200, "").json();
    let key = Actor::made(made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    for round in 1..=3 {
        for _ in 0..10 {
            server.get("/v1/auth/whoami", &key).await.expect(200, "");
        }
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        server.kill().await;
        server = place.serve().await;
        let answer = server.get("/v1/auth/whoami", &key).await.expect(200, "");
        let left: u32 = answer.header("x-ratelimit-remaining").parse().expect("a number");
        assert!(left <= 1000 - 10 * round, "round {round}: {left}");
    }
}

#[tokio::test]
async fn browsers_may_read_the_headers() {
    let server = TestServer::start().await;
    let key = limited(&server, &[limit("minute", 1, 60)]).await;
    for status in [200, 429] {
        let request = server.request(Method::GET, "/v1/auth/whoami", &key).header("origin", "https://shop.example");
        let answer = server.send(request).await.expect(status, "");
        let exposed = answer.header("access-control-expose-headers");
        for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
        {
            assert!(
                exposed.split(", ").any(|other| other == name) && !answer.header(name).is_empty(),
                "{name}: {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_second_door_holds_to_the_limits_too() {
    let server = TestServer::start().await;
    let request = json!({"name": "k", "scopes": ["verify:credentials"], "rateLimits": [limit("minute", 1, 60)]});
    let key = server.new_key(request).await;
    let ask = || server.send(server.request(Method::POST, "/oauth/introspect", &key).form(&[("token", "x")]));
    let first = ask().await.expect(200, "");
    assert_eq!(first.header("x-ratelimit-remaining"), "0", "{first:?}");
    let refused = ask().await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "60"), "{refused:?}");
}

/// A list that only reports refuses nobody, and says so wherever it would have.
#[tokio::test]
async fn an_address_list_that_only_reports_is_told_of() {
    let server = TestServer::builder().behind_proxies(1).start().await;
    let request = |mode: &str| json!({"name": "k", "allowedIps": ["203.0.113.0/24"], "allowedIpsMode": mode});
    let admin = server.live().with("x-forwarded-proto", "https");
    let (live, reports) = (server.live(), "REPORT");
    let make = async |mode: &str| {
        let made = server.post("/v1/keys", &admin, &request(mode)).await.expect(200, "").json();
        Actor::made(made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap())
    };
    let (reporting, enforcing) = (make(reports).await, make("ENFORCE").await);
    drop(live);
    let from =
        |key: &Actor, address: &str| key.clone().with("x-forwarded-proto", "https").with("x-forwarded-for", address);
    for (address, status) in [
        ("203.0.113.7", 200),
        ("::ffff:203.0.113.7", 200),
        ("198.51.100.1", 403),
        ("2001:db8::1", 403),
        // The nearest proxy's word counts, and not that of whoever stands before it.
        ("203.0.113.7, 198.51.100.1", 403),
        ("198.51.100.1, 203.0.113.7", 200),
    ] {
        server.get("/v1/auth/whoami", &from(&enforcing, address)).await.expect(status, "");
        server.get("/v1/auth/whoami", &from(&reporting, address)).await.expect(200, "");
    }
    let ask = async |path: &str, key: &Actor, address: Option<&str>| {
        let mut question = json!({"credential": key.secret});
        if let Some(address) = address {
            question["clientIp"] = json!(address);
        }
        server.post(path, &admin, &question).await.expect(200, "").json()
    };
    for (address, denied) in
        [(Some("203.0.113.7"), false), (Some("::ffff:203.0.113.7"), false), (Some("10.0.0.1"), true), (None, true)]
    {
        let told = ask("/v1/auth/verify", &reporting, address).await;
        assert_eq!(
            (&told["valid"], told["clientIpWouldBeDenied"] == true),
            (&json!(true), denied),
            "{address:?}: {told}"
        );
        let refused = ask("/v1/auth/verify", &enforcing, address).await;
        assert_eq!(
            (refused["code"] == "IP_DENIED", refused["clientIpWouldBeDenied"] == true),
            (denied, false),
            "{address:?}"
        );
        let explained = ask("/v1/auth/verify:explain", &reporting, address).await;
        let check =
            explained["checks"].as_array().unwrap().iter().find(|check| check["name"] == "client_ip").cloned().unwrap();
        assert_eq!(check["detail"].as_str().unwrap().contains("only reports"), denied, "{check}");
        assert_eq!(explained["decision"]["code"], "VALID");
    }
    let metrics = server.get("/metrics", &admin).await.text;
    let count = |door: &str| {
        let start = format!("gatepost_address_reports_total{{door=\"{door}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
    };
    assert_eq!((count("guard"), count("verify")), (Some("3".to_owned()), Some("2".to_owned())));
    let update = json!({"allowedIpsMode": "ENFORCE"});
    let update = server.request(Method::PATCH, &format!("/v1/keys/{}", reporting.id), &admin).json(&update);
    server.send(update).await.expect(200, "");
    server.get("/v1/auth/whoami", &from(&reporting, "198.51.100.1")).await.expect(403, "IP_DENIED");
}

/// Nodes that share a database share the limits: together they admit what one would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_nodes_share_one_limit() {
    if Engine::chosen() == Engine::Sqlite {
        // A file is one node's.
        return;
    }
    let one = std::sync::Arc::new(TestServer::start().await);
    let two = std::sync::Arc::new(one.another_node().await);
    for calls in [7_u32, 400] {
        let key = limited(&one, &[limit("day", calls, 86_400), limit("month", 100_000, 30 * 86_400)]).await;
        let mut tasks = JoinSet::new();
        for (index, wire) in Wire::ALL.into_iter().cycle().take(16).enumerate() {
            let (node, key) = (std::sync::Arc::clone(if index < 8 { &one } else { &two }), key.clone());
            tasks.spawn(async move {
                let mut admitted = 0;
                while whoami(&node, wire, &key).await.code == Code::Ok {
                    admitted += 1;
                }
                admitted
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), calls);
        // What was spent is known to a node that begins now.
        let three = one.another_node().await;
        let refused = whoami(&three, Wire::Json, &key).await;
        refused.refused("RATE_LIMITED");
        assert_eq!(refused.header("retry-after"), (86_400_u32.div_ceil(calls)).to_string());
        one.advance(Duration::from_secs(86_400_u64.div_ceil(calls.into())));
        assert_eq!(whoami(&two, Wire::Json, &key).await.code, Code::Ok, "whoever waits as told succeeds");
    }
}

/// A database that is away costs no call: the node counts by itself.
#[tokio::test]
async fn without_its_database_a_node_counts_by_itself() {
    if Engine::chosen() == Engine::Sqlite {
        return;
    }
    let home = TestServer::start().await;
    let (proxy, url) = CutProxy::before(&home.database_url().expect("it is on PostgreSQL")).await;
    let node = home.another_node_with(TestServer::builder().set("database_url", url).set("cache_trust", "1h")).await;
    let key = limited(&home, &[limit("day", 20, 86_400)]).await;
    for _ in 0..5 {
        whoami(&node, Wire::Json, &key).await.ok();
    }
    proxy.cut();
    let mut admitted = 0;
    while whoami(&node, Wire::Json, &key).await.http == 200 {
        admitted += 1;
    }
    assert_eq!(admitted, 15);
    proxy.mend();
    soon("the node shares again", async || {
        node.advance(Duration::from_secs(4_320));
        whoami(&node, Wire::Json, &key).await.http == 200
    })
    .await;
}
