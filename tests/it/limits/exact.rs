//! No more than limits allow, however many call at once, and no less.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;

use super::{Count, limit, limited, whoami};
use crate::support::postgres::Engine;
use crate::support::{Actor, TestServer, Wire};

whoever_counts! {
    many_connections_are_admitted_exactly_what_the_limits_allow,
    no_stretch_of_real_time_sees_more_than_the_limit_allows,
}

/// Many connections on all wires, and the clock stands still: exactly the limits are let in, of one key and of all keys of an
/// owner, on each node that there may be.
async fn many_connections_are_admitted_exactly_what_the_limits_allow(count: Count) {
    let one = Arc::new(count.server().await);
    // A file is one node's, unless somebody else counts.
    let alone = count == Count::Nodes && Engine::chosen() == Engine::Sqlite;
    let two = if alone { Arc::clone(&one) } else { Arc::new(one.another_node().await) };
    let shared = |calls: u32| json!({"name": "team", "limit": calls, "window": "86400s", "shared": true});
    let own = |limits: Vec<serde_json::Value>| json!({"name": "k", "owner": "team-a", "rateLimits": limits});
    for (round, (wanted, limits)) in [
        (100, vec![limit("minute", 100, 60)]),
        (77, vec![limit("hour", 90, 3600), limit("day", 500, 86_400), limit("minute", 77, 60)]),
        (60, vec![shared(60), limit("minute", 59, 60)]),
    ]
    .into_iter()
    .enumerate()
    {
        let (first, second) = (one.new_key(own(limits.clone())).await, one.new_key(own(limits)).await);
        // Of the last, each key has fewer than the owner, and both together more.
        let keys = if round == 2 { [&first, &second] } else { [&first, &first] };
        let mut tasks = JoinSet::new();
        for (index, wire) in Wire::ALL.into_iter().cycle().take(CONNECTIONS).enumerate() {
            let (node, key) = (Arc::clone([&one, &two][index / 4 % 2]), keys[index / 8 % 2].clone());
            tasks.spawn(async move { flood(&node, wire, &key, index % 3 == 0).await });
        }
        let admitted: u32 = tasks.join_all().await.into_iter().sum();
        assert_eq!(admitted, wanted, "round {round}");
        for wire in Wire::ALL {
            for key in keys {
                whoami(&two, wire, key).await.refused("RATE_LIMITED");
            }
        }
    }
}

/// Calls over a connection of its own until it is refused, or asks whether somebody else may; says how many were let in.
async fn flood(node: &TestServer, wire: Wire, key: &Actor, asks: bool) -> u32 {
    let (clients, verifier) = (node.more_clients(), node.live());
    for admitted in 0..1_000 {
        let refused = if asks {
            let answer = clients.call(wire, "Auth/Verify", &verifier, json!({"credential": key.secret})).await.ok();
            answer["code"] == "RATE_LIMITED"
        } else {
            let answer = clients.call(wire, "Auth/WhoAmI", key, json!({})).await;
            assert!([Code::Ok, Code::ResourceExhausted].contains(&answer.code), "{answer:?}");
            answer.code != Code::Ok
        };
        if refused {
            return admitted;
        }
    }
    panic!("there is no end of calls");
}

/// The same with the wires' own clients at once, while time goes on.
async fn no_stretch_of_real_time_sees_more_than_the_limit_allows(count: Count) {
    let server = Arc::new(count.builder().for_browsers().start().await);
    let key = limited(&server, &[limit("burst", 20, 2)]).await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for wire in Wire::ALL.into_iter().cycle().take(8) {
        let (server, key) = (Arc::clone(&server), key.clone());
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

const CONNECTIONS: usize = 48;
