//! Several nodes: what they share of a limit, and what they do when they cannot.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::Code;

use super::{Count, limit, limited, whoami};
use crate::nodes::soon;
use crate::support::postgres::Engine;
use crate::support::proxy::CutProxy;
use crate::support::{Actor, TestServer, Wire};

whoever_counts! {
    several_nodes_share_one_limit,
}

/// Nodes that share a database share the limits: together they admit what one would.
async fn several_nodes_share_one_limit(count: Count) {
    if count == Count::Nodes && Engine::chosen() == Engine::Sqlite {
        // A file is one node's, unless somebody else counts.
        return;
    }
    let one = Arc::new(count.server().await);
    let two = Arc::new(one.another_node().await);
    for calls in [7_u32, 400] {
        let key = limited(&one, &[limit("day", calls, 86_400), limit("month", 100_000, 30 * 86_400)]).await;
        let mut tasks = JoinSet::new();
        for (index, wire) in Wire::ALL.into_iter().cycle().take(16).enumerate() {
            let (node, key) = (Arc::clone(if index < 8 { &one } else { &two }), key.clone());
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

/// What nodes have taken ahead they may spend in the window after: a lease for each of them is the most that is let in beyond the
/// limit, and it is let in where each has a whole one. With Redis nothing is taken ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_let_in_so_many_more_as_is_stated() {
    if Engine::chosen() == Engine::Sqlite {
        // A file is one node's.
        return;
    }
    // So many calls, and the twentieth part: see the README.
    for (calls, lease) in [(100_u32, 5_u32), (1_000, 50), (39, 1)] {
        let one = TestServer::start().await;
        let two = one.another_node().await;
        let key = limited(&one, &[limit("day", calls, 86_400)]).await;
        for node in [&one, &two] {
            // Half of the first lease and one more, and the next is on its way.
            for _ in 0..lease.div_ceil(2) {
                whoami(node, Wire::Json, &key).await.ok();
            }
        }
        // The database knows of what was taken before the calls are let in, or soon after.
        let taken = 2 * (lease + lease.div_ceil(2)) - if lease == 1 { 2 } else { 0 };
        soon("the leases are renewed", async || {
            let spent = one.store().await.list_spent("", one.now(), 100).await.expect("the database is there");
            let left = spent.iter().find(|spent| spent.id.text.starts_with(&key.id)).expect("it was spent of");
            left.tally.remaining(one.now()) == calls - taken
        })
        .await;
        // Each has a whole lease, unless that is one: that is spent by whoever took it.
        let ahead = if lease == 1 { 0 } else { lease };
        one.advance(Duration::from_secs(86_400));
        let admitted = spend(&one, &key).await + spend(&two, &key).await;
        assert_eq!(admitted, calls + 2 * ahead, "{calls} calls");
        assert!(admitted <= calls + 2 * lease);
    }
}

async fn spend(node: &TestServer, key: &Actor) -> u32 {
    for admitted in 0..10_000 {
        if whoami(node, Wire::Json, key).await.http != 200 {
            return admitted;
        }
    }
    panic!("there is no end of calls");
}

/// A database that is away costs no call: the node counts by itself.
#[tokio::test]
async fn without_its_database_a_node_counts_by_itself() {
    if Engine::chosen() == Engine::Sqlite {
        return;
    }
    let home = TestServer::start().await;
    let (proxy, url) = CutProxy::before(&home.database_url().expect("it is on PostgreSQL")).await;
    let node = TestServer::builder().set("database_url", url).set("cache_trust", "1h").set("lease_timeout", "500ms");
    let node = home.another_node_with(node).await;
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
