//! Quotas: credits that are spent exactly once, refilled once, and never restored by a race, a restart or a kill.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;

use crate::limits::Count;
use crate::nodes::soon;
use crate::support::serving::{Place, send};
use crate::support::{Actor, Answer, TestServer, Wire};

async fn with_credits(server: &TestServer, credits: Value) -> Actor {
    server.new_key(json!({"name": "metered", "scopes": ["read:products"], "credits": credits})).await
}

async fn whoami(server: &TestServer, wire: Wire, key: &Actor) -> Answer {
    server.call(wire, "Auth/WhoAmI", key, json!({})).await
}

async fn verify(server: &TestServer, key: &Actor, cost: u32) -> Value {
    server.call(Wire::Grpc, "Auth/Verify", &server.live(), json!({"credential": key.secret, "cost": cost})).await.ok()
}

async fn set(server: &TestServer, key: &Actor, credits: Value) {
    let update = json!({"key": {"id": key.id, "credits": credits}, "updateMask": "credits"});
    server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), update).await.ok();
}

async fn left(server: &TestServer, key: &Actor) -> String {
    let found = server.call(Wire::Grpc, "Keys/GetKey", &server.live(), json!({"id": key.id})).await.ok();
    found["key"]["credits"]["remaining"].as_str().unwrap_or_default().to_owned()
}

/// How many calls are let in until the first is not.
async fn spend(server: &TestServer, key: &Actor) -> usize {
    for count in 0..10_000 {
        if whoami(server, Wire::Json, key).await.http != 200 {
            return count;
        }
    }
    panic!("there is no end of credits");
}

crate::limits::whoever_counts! {
    many_connections_spend_exactly_what_there_is,
}

async fn many_connections_spend_exactly_what_there_is(count: Count) {
    let server = Arc::new(count.server().await);
    for (credits, limits) in [(150, json!([])), (1_000, json!([{"name": "minute", "limit": 120, "window": "60s"}]))] {
        let request = json!({"name": "k", "credits": {"remaining": credits}, "rateLimits": limits});
        let key = server.new_key(request).await;
        let mut tasks = JoinSet::new();
        for wire in Wire::ALL.into_iter().cycle().take(16) {
            let (server, key) = (Arc::clone(&server), key.clone());
            tasks.spawn(async move {
                let mut admitted = 0;
                for call in 0..12 {
                    let cost = 1 + call % 2;
                    let ok = match wire {
                        Wire::Grpc => verify(&server, &key, cost).await["valid"] == true,
                        _ => whoami(&server, wire, &key).await.code == Code::Ok,
                    };
                    admitted += if wire == Wire::Grpc { cost * u32::from(ok) } else { u32::from(ok) };
                }
                admitted
            });
        }
        let mut admitted: u32 = tasks.join_all().await.into_iter().sum();
        admitted += spend(&server, &key).await as u32;
        // What a limit refuses spends no credit.
        assert_eq!(admitted, credits.min(120 + 30 * u32::from(credits == 150)));
        assert_eq!(left(&server, &key).await, (credits - admitted).to_string());
    }
}

#[tokio::test]
async fn what_is_left_is_told_and_an_end_says_when_there_is_more() {
    let server = TestServer::start().await;
    // The clock of the suite begins at midnight, UTC.
    let key = with_credits(&server, json!({"remaining": 2, "refill": "DAILY", "amount": 3})).await;
    for wire in Wire::ALL {
        set(&server, &key, json!({"remaining": 2, "refill": "DAILY", "amount": 3})).await;
        let first = whoami(&server, wire, &key).await;
        assert_eq!(first.header("ratelimit-policy"), "\"credits\";q=3;w=86400");
        assert_eq!(first.header("ratelimit"), "\"credits\";r=1;t=86400");
        assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")), ("3", "1"));
        whoami(&server, wire, &key).await.ok();
        let refused = whoami(&server, wire, &key).await;
        refused.refused("QUOTA_EXHAUSTED");
        assert_eq!((refused.code, refused.header("retry-after")), (Code::ResourceExhausted, "86400"));
        assert_eq!(refused.message, "Quota exhausted. Try again in 86400 seconds");
        if wire == Wire::Json {
            let document = &refused.document;
            assert_eq!((refused.http, &document["error"]), (429, &json!("quota_exhausted")));
            assert_eq!(document["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
            assert_eq!(document["violated-policies"], json!(["credits"]));
        }
    }
    let spent = verify(&server, &key, 0).await;
    assert_eq!(
        (&spent["code"], &spent["remainingCredits"], &spent["retryAfter"]),
        (&json!("QUOTA_EXHAUSTED"), &json!("0"), &json!("86400s"))
    );
    server.advance(Duration::from_secs(86_399));
    whoami(&server, Wire::Json, &key).await.refused("QUOTA_EXHAUSTED");
    server.advance(Duration::from_secs(1));
    assert_eq!(left(&server, &key).await, "3");
    assert_eq!(verify(&server, &key, 0).await["remainingCredits"], "3");
    assert_eq!(verify(&server, &key, 4).await["retryAfter"], Value::Null, "there are never so many");
    assert_eq!(verify(&server, &key, 2).await["remainingCredits"], "1");
    let explained = json!({"credential": key.secret, "cost": 2});
    let explained = server.call(Wire::Json, "Auth/ExplainVerify", &server.live(), explained).await.ok();
    let quota = explained["checks"].as_array().unwrap().iter().find(|check| check["name"] == "quota").cloned();
    assert_eq!(quota.unwrap()["outcome"], "FAILED");
    assert_eq!((spend(&server, &key).await, left(&server, &key).await), (1, "0".to_owned()));
}

#[tokio::test]
async fn what_is_never_refilled_has_an_end_without_a_promise() {
    let server = TestServer::start().await;
    let key = with_credits(&server, json!({"remaining": 1})).await;
    whoami(&server, Wire::Json, &key).await.ok();
    let refused = whoami(&server, Wire::Json, &key).await;
    refused.refused("QUOTA_EXHAUSTED");
    assert_eq!((refused.header("retry-after"), refused.header("ratelimit")), ("", "\"credits\";r=0"));
    server.advance(Duration::from_secs(400 * 86_400));
    whoami(&server, Wire::Json, &key).await.refused("QUOTA_EXHAUSTED");
}

#[tokio::test]
async fn a_month_without_the_day_is_refilled_on_its_last() {
    let server = TestServer::start().await;
    let key = with_credits(&server, json!({"remaining": 1, "refill": "MONTHLY", "amount": 2, "day": 31})).await;
    let found = server.call(Wire::Json, "Keys/GetKey", &server.live(), json!({"id": key.id})).await.ok();
    assert_eq!(
        found["key"]["credits"],
        json!({
            "remaining": "1", "refill": "MONTHLY", "amount": "2", "day": 31, "refilledAt": "2030-01-31T00:00:00Z",
        })
    );
    assert_eq!(spend(&server, &key).await, 1);
    let mut refills = Vec::new();
    for day in 2..=120 {
        server.advance(Duration::from_secs(86_400));
        let count = spend(&server, &key).await;
        if count > 0 {
            assert_eq!(count, 2);
            refills.push(day);
        }
    }
    // The 31st of January, the 28th of February, the 31st of March and the 30th of April, as days of the year 2030.
    assert_eq!(refills, [31, 59, 90, 120]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refill_happens_once_whoever_comes_first() {
    let one = Arc::new(TestServer::start().await);
    let two = Arc::new(one.another_node().await);
    let key = with_credits(&one, json!({"remaining": 5, "refill": "DAILY", "amount": 40})).await;
    assert_eq!(spend(&one, &key).await, 5);
    for _ in 0..3 {
        one.advance(Duration::from_secs(86_400));
        let mut tasks = JoinSet::new();
        for node in [&one, &two, &one, &two] {
            let (node, key) = (Arc::clone(node), key.clone());
            tasks.spawn(async move { spend(&node, &key).await });
        }
        assert_eq!(tasks.join_all().await.into_iter().sum::<usize>(), 40);
    }
}

#[tokio::test]
async fn credits_that_are_set_are_not_undone_by_those_that_were_taken_before() {
    let server = TestServer::start().await;
    let key = with_credits(&server, json!({"remaining": 100_000})).await;
    whoami(&server, Wire::Json, &key).await.ok();
    assert_eq!(left(&server, &key).await, "99999");
    set(&server, &key, json!({"remaining": 10})).await;
    assert_eq!(left(&server, &key).await, "10");
    assert_eq!(spend(&server, &key).await, 10);
    // A change of something else leaves them alone, and so does a rotation.
    let update = json!({"key": {"id": key.id, "name": "other"}, "updateMask": "name"});
    server.call(Wire::Grpc, "Keys/UpdateKey", &server.live(), update).await.ok();
    assert_eq!(spend(&server, &key).await, 0);
    set(&server, &key, json!({"remaining": 10})).await;
    assert_eq!(spend(&server, &key).await, 10, "the same number, set again");
    set(&server, &key, Value::Null).await;
    assert_eq!(whoami(&server, Wire::Json, &key).await.header("ratelimit"), "");
    set(&server, &key, json!({"remaining": 3})).await;
    assert_eq!(spend(&server, &key).await, 3);
    set(&server, &key, json!({"refill": "DAILY", "amount": 7})).await;
    assert_eq!(spend(&server, &key).await, 7, "as many as after a refill");
    for (field, credits) in [
        ("key.credits.remaining", json!({})),
        ("key.credits.remaining", json!({"remaining": null, "refill": "NONE"})),
        ("key.credits.remaining", json!({"remaining": -1})),
        ("key.credits.remaining", json!({"remaining": "1000000000001"})),
        ("key.credits.amount", json!({"remaining": 1, "refill": "DAILY"})),
        ("key.credits.amount", json!({"remaining": 1, "amount": 5})),
        ("key.credits.day", json!({"remaining": 1, "refill": "MONTHLY", "amount": 1, "day": 32})),
        ("key.credits.day", json!({"remaining": 1, "refill": "DAILY", "amount": 1, "day": 3})),
    ] {
        let update = json!({"key": {"id": key.id, "credits": credits}, "updateMask": "credits"});
        for wire in Wire::THREE {
            server.call(wire, "Keys/UpdateKey", &server.live(), update.clone()).await.violates(&[field]);
        }
    }
}

#[tokio::test]
async fn a_graceful_stop_gives_back_all_that_was_not_spent() {
    let server = TestServer::start().await;
    let keeper = server.another_node().await;
    let key = with_credits(&server, json!({"remaining": 100_000})).await;
    for _ in 0..3 {
        whoami(&server, Wire::Json, &key).await.ok();
    }
    server.stop().await;
    assert_eq!(left(&keeper, &key).await, "99997");
    let next = keeper.another_node().await;
    assert_eq!(whoami(&next, Wire::Json, &key).await.header("x-ratelimit-remaining"), "99996");
    soon("the other node sees it", async || left(&keeper, &key).await != "99997").await;
}

/// However often the server is killed: no credit is spent twice, and each kill loses what one node may hold at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_a_bounded_number_of_credits_and_restore_none() {
    const CREDITS: usize = 20_000;
    const KILLS: usize = 5;
    let place = Place::new().await;
    let mut server = place.serve().await;
    let admin = server.admin("live");
    let request = json!({"name": "k", "credits": {"remaining": CREDITS}});
    let made = server.post("/v1/keys", &admin, &request).await.expect(200, "").json();
    let (key, id) = (Actor::made(made["secret"].as_str().unwrap(), ""), made["key"]["id"].as_str().unwrap().to_owned());
    let (mut admitted, mut doubts) = (0, 0);
    for round in 0..KILLS {
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let (origin, key) = (server.url().to_owned(), key.clone());
            tasks.spawn(async move {
                let client = reqwest::Client::builder().no_proxy().http1_only().build().expect("a client");
                let mut admitted = 0;
                loop {
                    let request = client.get(format!("{origin}/v1/auth/whoami")).headers(key.headers.clone());
                    match send(request).await {
                        Ok(answer) if answer.status == 200 => admitted += 1,
                        Ok(answer) => panic!("{answer:?}"),
                        // Whether this one was let in nobody knows.
                        Err(_) => return admitted,
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(300 + 170 * round as u64)).await;
        server.kill().await;
        admitted += tasks.join_all().await.into_iter().sum::<usize>();
        doubts += 4;
        server = place.serve().await;
        let found = server.get(&format!("/v1/keys/{id}"), &admin).await.expect(200, "").json();
        let left: usize = found["credits"]["remaining"].as_str().unwrap().parse().expect("a number");
        // A hundredth of what is left is the most that is taken at once: 200 of 20,000, and two are under way at most.
        let lost = CREDITS.saturating_sub(admitted + left);
        assert!(left + admitted <= CREDITS, "round {round}: {left} left after {admitted} were admitted");
        assert!(lost <= (round + 1) * 200 + doubts, "round {round}: {lost} were lost");
    }
    assert!(admitted > 50, "the loop shows something: {admitted}");
}

#[tokio::test]
async fn credits_are_changed_in_part_and_sent_back() {
    let server = TestServer::start().await;
    let key = with_credits(&server, json!({"remaining": 50, "refill": "DAILY", "amount": 50})).await;
    let path = format!("/v1/keys/{}", key.id);
    let patch =
        async |body: Value| server.send(server.request(http::Method::PATCH, &path, &server.live()).json(&body)).await;
    let whole = server.get(&path, &server.live()).await.json();
    for (change, told) in [
        // As it was told, with the key around it or without.
        (whole.clone(), ("50", "DAILY", "50")),
        (json!({"credits": {"remaining": 500}}), ("500", "DAILY", "50")),
        (json!({"credits": {"remaining": "20", "amount": "25"}}), ("20", "DAILY", "25")),
        (json!({"credits": {"remaining": 7, "refill": "NONE"}}), ("7", "NONE", "0")),
        (json!({"credits": {"remaining": 8, "refill": "MONTHLY", "amount": 9, "day": 31}}), ("8", "MONTHLY", "9")),
    ] {
        let credits = patch(change.clone()).await.expect(200, "").json()["credits"].clone();
        let has = (credits["remaining"].as_str(), credits["refill"].as_str(), credits["amount"].as_str());
        assert_eq!(has, (Some(told.0), Some(told.1), Some(told.2)), "{change}: {credits}");
    }
    // What is left changes all the time: whoever sets the rest says it too.
    let reply = patch(json!({"credits": {"refill": "DAILY", "amount": 3}})).await.expect(400, "INVALID_FIELD");
    assert_eq!(reply.json()["violations"][0]["field"], "credits.remaining", "{reply:?}");
    assert_eq!(left(&server, &key).await, "8");
    assert!(patch(json!({"credits": null})).await.expect(200, "").json()["credits"].is_null());
}
