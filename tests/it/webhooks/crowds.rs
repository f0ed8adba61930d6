//! Many webhooks, and slow ones: no project holds up another.

use std::pin::pin;
use std::time::{Duration, Instant};

use gatepost::domain::environment::Environment;
use gatepost::domain::id::ProjectId;
use serde_json::json;

use super::{Receiver, SILENCE, happens, happens_in, local, webhook, webhook_by};
use crate::nodes::soon;
use crate::support::Wire;

/// Webhooks that one environment may have.
const MOST: usize = 20;

#[tokio::test]
async fn a_project_with_many_slow_webhooks_holds_up_no_other() {
    let server = local().start().await;
    let silent = Receiver::answering(&[SILENCE; 400]).await;
    let quick = Receiver::answering(&[]).await;
    let makers = server.project("crowd").await;
    for maker in &makers {
        for _ in 0..MOST {
            webhook_by(&server, maker, &silent.url()).await;
        }
    }
    webhook(&server, &quick.url()).await;
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
    let server = local().start().await;
    let silent = Receiver::answering(&[SILENCE; 100]).await;
    let quick = Receiver::answering(&[]).await;
    let makers = server.project("crowd").await;
    for maker in &makers {
        for _ in 0..MOST {
            webhook_by(&server, maker, &silent.url()).await;
        }
    }
    let (id, _) = webhook(&server, &quick.url()).await;
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
