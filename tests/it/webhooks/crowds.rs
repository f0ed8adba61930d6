//! Many webhooks, and slow ones: no project holds up another.

use std::pin::pin;
use std::time::{Duration, Instant};

use gatepost::domain::environment::Environment;
use gatepost::domain::id::ProjectId;
use serde_json::json;

use super::{Receiver, SILENCE, happens, happens_in, hearing, local, webhook_by};
use crate::nodes::soon;
use crate::support::{Actor, TestServer, Wire};

/// Webhooks that one environment may have.
const MOST: usize = 20;

/// The project `crowd`, with all webhooks that it may have, at a host that never answers; its administrators.
async fn crowd_in(server: &TestServer) -> (Receiver, [Actor; 2]) {
    let silent = Receiver::answering(&[SILENCE; 400]).await;
    let makers = server.project("crowd").await;
    for maker in &makers {
        for _ in 0..MOST {
            webhook_by(server, maker, &silent.url()).await;
        }
    }
    (silent, makers)
}

#[tokio::test]
async fn a_project_with_many_slow_webhooks_holds_up_no_other() {
    let (server, quick, _) = hearing(local(), &[]).await;
    let (silent, _) = crowd_in(&server).await;
    let crowd = || ProjectId::parse("crowd").expect("a name");
    for n in 0..8 {
        for environment in [Environment::Live, Environment::Test] {
            happens_in(&server, crowd(), environment, &n.to_string()).await;
        }
    }
    soon("the crowd is told", async || silent.told().len() >= 8).await;
    let began = Instant::now();
    for n in 1..=5 {
        happens(&server, &n.to_string()).await;
        soon("the other project is told", async || quick.told().len() == n).await;
    }
    // In the time of one of its attempts, no more than a few of its webhooks are told anything.
    let told = silent.told().len();
    assert!(told <= 8 * 4 || began.elapsed() > Duration::from_secs(10), "{told}");
}

#[tokio::test]
async fn the_test_button_of_one_project_leaves_that_of_others_alone() {
    let (server, _quick, (id, _)) = hearing(local(), &[]).await;
    let (silent, makers) = crowd_in(&server).await;
    let crowd = async |maker| server.call(Wire::Grpc, "Keys/TestWebhook", maker, json!({})).await;
    let shop = async {
        soon("the crowd is tried", async || silent.told().len() >= 10).await;
        let began = Instant::now();
        for wire in Wire::THREE {
            let tested = server.call(wire, "Keys/TestWebhook", &server.live(), json!({"id": id})).await.ok();
            assert_eq!(tested["data"][0]["state"], "DELIVERED");
        }
        let tried = silent.told().len();
        assert!(tried <= 10 || began.elapsed() > Duration::from_secs(4), "{tried}");
    };
    let mut shop = pin!(shop);
    tokio::select! {
        () = &mut shop => {}
        _ = async { tokio::join!(crowd(&makers[0]), crowd(&makers[1])) } => shop.await,
    }
}
