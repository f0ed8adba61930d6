//! The same reports on the command line.

use http::Method;
use serde_json::json;

use super::number;
use crate::nodes::soon;
use crate::support::Actor;
use crate::support::command::{Gatepost, Run};
use crate::support::serving::{Place, Serving, send};

/// A command of the live administrator.
async fn line(server: &Serving, line: &str) -> Run {
    let key = server.administrator("live").expect("the first start makes administrator keys");
    Gatepost::new(line).variable("GATEPOST_URL", server.url()).variable("GATEPOST_KEY", key).run().await
}

#[tokio::test]
async fn what_was_counted_is_a_table_with_a_sparkline_or_json() {
    // By the clock of the machine, which the command line goes by.
    let place = Place::new().await;
    let server = place.command("serve --listen 127.0.0.1:0 --usage-interval 100ms").serve().await;
    let admin = server.admin("live");
    let made = json!({"name": "shop", "scopes": ["read:keys", "read:users"]});
    let made = server.post("/v1/keys", &admin, &made).await.expect(200, "").json();
    let (secret, id) = (made["secret"].as_str().expect("a secret"), made["key"]["id"].as_str().expect("an id"));
    let key = Actor::made(secret, id);
    for (target, status, calls) in [("/v1/keys", 200, 7), ("/v1/products", 403, 2)] {
        for _ in 0..calls {
            let reply = send(server.request(Method::GET, target, &key)).await.expect("an answer");
            assert_eq!(reply.status, status, "{reply:?}");
        }
    }
    let by_method = format!("usage {id} --by method --interval minute --json");
    soon("that all are counted", async || number(&line(&server, &by_method).await.json()["total"]) == 9).await;

    let table = line(&server, &format!("usage {id}")).await.ok();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["OUTCOME", "CALLS", "OVER", "TIME"], "{table}");
    assert_eq!((rows[1][..2].to_vec(), rows[2][..2].to_vec()), (vec!["VALID", "7"], vec!["INSUFFICIENT_SCOPE", "2"]));
    for row in &rows[1..] {
        assert!(row[2].contains('█'), "{table}");
    }
    let log = line(&server, &format!("access-log --key-id {id} --outcome VALID --json")).await.json();
    assert_eq!((&log["data"][0]["method"], &log["data"][0]["address"]), (&json!("Keys/ListKeys"), &json!("127.0.0.1")));
    let exported = line(&server, &format!("access-log --key-id {id} --export")).await.ok();
    let calls = exported.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    assert_eq!(calls.map(|entry| number(&entry["calls"])).sum::<u64>(), 9, "{exported}");
    let narrowed = line(&server, &format!("keys narrow {id} --json")).await.json();
    assert_eq!(narrowed["removedScopes"], json!(["read:users"]), "{narrowed}");
}
