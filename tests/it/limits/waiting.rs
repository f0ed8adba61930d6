//! Clients that wait as they are told, and no longer.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;

use super::{Count, items, limit};
use crate::support::serving::Place;
use crate::support::wire::Clients;
use crate::support::{Actor, Answer, Wire};

whoever_counts! {
    a_client_that_waits_as_told_succeeds_at_the_first_try,
}

/// On real time, on each wire, under several policies: whoever floods, and then waits so many seconds as the refusal says, is let
/// in at the first try; and all that tells of the wait says the same.
async fn a_client_that_waits_as_told_succeeds_at_the_first_try(count: Count) {
    let (place, redis) = (Place::new().await, count.redis().await);
    let mut command = place.command("serve --listen 127.0.0.1:0");
    if let Some(redis) = &redis {
        command = command.variable("REDIS_URL", &redis.url()).variable("GATEPOST_REDIS_TIMEOUT", "20s");
    }
    let server = command.serve().await;
    let admin = server.admin("live");
    let policies = [
        vec![limit("second", 1, 1)],
        vec![limit("burst", 5, 2)],
        vec![limit("few", 2, 5)],
        vec![limit("second", 3, 1), limit("more", 4, 6), limit("day", 1_000, 86_400)],
    ];
    let mut clients = JoinSet::new();
    for limits in policies {
        for wire in Wire::ALL {
            let request = json!({"name": "k", "rateLimits": limits});
            let made = server.post("/v1/keys", &admin, &request).await.expect(200, "").json();
            let key = Actor::made(made["secret"].as_str().expect("a secret"), "");
            clients.spawn(floods_and_waits(server.clients(), wire, key, limits.clone()));
        }
    }
    clients.join_all().await;
    assert_eq!(server.stop().await.code, 0);
}

async fn floods_and_waits(clients: Clients, wire: Wire, key: Actor, limits: Vec<Value>) {
    let call = async || clients.call(wire, "Auth/WhoAmI", &key, json!({})).await;
    for round in 0..ROUNDS {
        let refused = loop {
            let answer = call().await;
            if answer.code != Code::Ok {
                break answer;
            }
            // What is told of a success: so much is left, and in so long all is back.
            for told in items(answer.header("ratelimit")).values() {
                assert!(told.starts_with("r=") && told.contains(";t="), "{answer:?}");
            }
        };
        let wait = told_wait(&refused);
        let most = limits.iter().map(|limit| seconds(&limit["window"])).max().expect("there is a limit");
        assert!((1..=most).contains(&wait), "{wire:?}, round {round}: {refused:?}");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let answer = call().await;
        assert_eq!(answer.code, Code::Ok, "{wire:?}, round {round}: after {wait} s {answer:?}");
    }
}

/// How long the refusal says to wait: the same in all places.
fn told_wait(refused: &Answer) -> u64 {
    refused.refused("RATE_LIMITED");
    let text = refused.header("retry-after");
    let wait: u64 = text.parse().unwrap_or_else(|_| panic!("seconds: {refused:?}"));
    assert_eq!(refused.message, format!("Rate limit exceeded. Try again in {wait} seconds"));
    assert_eq!(refused.header("x-ratelimit-reset"), text, "{refused:?}");
    assert_eq!(refused.header("x-ratelimit-remaining"), "0", "{refused:?}");
    let told = items(refused.header("ratelimit"));
    let resets: Vec<u64> =
        told.values().filter_map(|item| item.split_once(";t=")).map(|(_, t)| t.parse().expect("seconds")).collect();
    assert_eq!(resets.iter().max(), Some(&wait), "no limit that refuses is longer: {refused:?}");
    if refused.wire == Wire::Json {
        assert_eq!(refused.http, 429);
    } else {
        assert_eq!((refused.code, refused.retry), (Code::ResourceExhausted, Some(Duration::from_secs(wait))));
    }
    wait
}

fn seconds(window: &Value) -> u64 {
    let text = window.as_str().and_then(|text| text.strip_suffix('s')).expect("a window in seconds");
    text.parse().expect("a number")
}

const ROUNDS: usize = 3;
