//! Rate limits: exactly what they allow on every wire, told in headers that are true, and kept over restarts; counted by the
//! nodes themselves, and by a Redis for all of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::redis::TestRedis;
use crate::support::server::Builder;
use crate::support::{Actor, Answer, TestServer, Wire};

/// Tests that hold whoever counts: each is run with the nodes' own count, and with Redis.
macro_rules! whoever_counts {
    ($($test:ident),* $(,)?) => {
        mod by_the_nodes {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::limits::Count::Nodes).await;
            })*
        }
        mod by_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if crate::support::redis::TestRedis::is_there() {
                    super::$test(crate::limits::Count::Redis).await;
                }
            })*
        }
    };
}

pub(crate) use whoever_counts;

mod addresses;
mod exact;
mod headers;
mod nodes;
mod redis;
mod script;
mod spending;
mod survival;
mod waiting;

/// Who counts what is spent of limits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Count {
    /// The nodes, by their memory and their database.
    Nodes,
    /// A Redis.
    Redis,
}

impl Count {
    /// A server whose limits are counted so, with more to be said.
    pub(crate) fn builder(self) -> Builder {
        match self {
            Self::Nodes => TestServer::builder(),
            Self::Redis => TestServer::builder().with_redis(),
        }
    }

    /// A server whose limits are counted so.
    pub(crate) async fn server(self) -> TestServer {
        self.builder().start().await
    }

    /// The Redis for servers that are processes, if they are to have one.
    async fn redis(self) -> Option<TestRedis> {
        match self {
            Self::Nodes => None,
            Self::Redis => Some(TestRedis::start().await),
        }
    }
}

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
