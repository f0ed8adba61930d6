//! What is good once: proofs that were used, and requests that clients pushed.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::id::ClientId;
use crate::store::PushedRequest;

on_both_engines! {
    a_proof_is_used_once_by_one_of_many,
    a_pushed_request_is_its_clients_and_is_answered_once,
    a_client_has_so_many_requests_waiting,
    what_is_past_its_end_is_removed_in_batches,
}

async fn a_proof_is_used_once_by_one_of_many(db: TestDb) {
    let tries = (0..8).map(|_| db.store.use_proof(&[1; 32], at(60)));
    let first = futures_util::future::join_all(tries).await.into_iter().filter(|used| *used == Ok(true)).count();
    assert_eq!(first, 1);
    assert_eq!(db.store.use_proof(&[2; 32], at(60)).await, Ok(true), "another is another");
}

fn request(client: &ClientId, seconds: u64) -> PushedRequest {
    PushedRequest {
        hash: new_hash(),
        client: client.clone(),
        parameters: "state=%27%3B+DROP+TABLE&scope=\u{e9}".to_owned(),
        pushed_at: at(seconds),
        expires_at: at(seconds + 90),
    }
}

async fn client_id(db: &TestDb, seconds: u64) -> ClientId {
    let client = client(at(seconds));
    db.store.create_client(&client, Some(&new_hash()), &event(&client.project)).await.unwrap();
    client.id
}

async fn a_pushed_request_is_its_clients_and_is_answered_once(db: TestDb) {
    let (own, other) = (client_id(&db, 1).await, client_id(&db, 2).await);
    let pushed = request(&own, 10);
    assert!(db.store.push_request(&pushed, 5).await.unwrap());
    let find = async |client: &ClientId, seconds| {
        db.store.find_pushed_request(&pushed.hash, client, at(seconds)).await.unwrap()
    };
    assert_eq!(find(&own, 99).await.as_ref(), Some(&pushed));
    assert_eq!((find(&other, 20).await, find(&own, 100).await), (None, None));
    assert_eq!(db.store.find_pushed_request(&new_hash(), &own, at(20)).await, Ok(None));
    for until in [at(1_000), at(500)] {
        db.store.extend_pushed_request(&pushed.hash, until).await.unwrap();
        assert_eq!(find(&own, 999).await.map(|found| found.expires_at), Some(at(1_000)), "never less");
    }
    assert_eq!(db.store.take_pushed_request(&pushed.hash, at(1_000)).await, Ok(false), "too late");
    let takes = (0..8).map(|_| db.store.take_pushed_request(&pushed.hash, at(999)));
    let taken = futures_util::future::join_all(takes).await.into_iter().filter(|taken| *taken == Ok(true)).count();
    assert_eq!((taken, find(&own, 20).await), (1, None));
}

async fn a_client_has_so_many_requests_waiting(db: TestDb) {
    let (own, other) = (client_id(&db, 1).await, client_id(&db, 2).await);
    for n in 0..3 {
        assert_eq!(db.store.push_request(&request(&own, 10 + n), 3).await, Ok(true));
    }
    assert_eq!(db.store.push_request(&request(&own, 20), 3).await, Ok(false));
    assert_eq!(db.store.push_request(&request(&other, 20), 3).await, Ok(true));
    assert_eq!(db.store.push_request(&request(&own, 100), 3).await, Ok(true), "the first is past its end");
}

async fn what_is_past_its_end_is_removed_in_batches(db: TestDb) {
    let own = client_id(&db, 1).await;
    for n in 0..5 {
        assert!(db.store.push_request(&request(&own, n), 10).await.unwrap());
        assert!(db.store.use_proof(&[n as u8; 32], at(90).plus(Duration::from_secs(n))).await.unwrap());
    }
    for (now, left) in [(89, [0, 0]), (92, [2, 1]), (92, [0, 0]), (1_000, [2, 0])] {
        let requests = db.store.prune_pushed_requests(at(now), 2).await.unwrap();
        let more = db.store.prune_pushed_requests(at(now), 1).await.unwrap();
        assert_eq!([requests, more], left, "{now}");
    }
    assert_eq!(db.store.prune_used_proofs(at(89), 10).await, Ok(0));
    assert_eq!(db.store.prune_used_proofs(at(92), 2).await, Ok(2));
    assert_eq!(db.store.use_proof(&[4; 32], at(1_000)).await, Ok(false), "those that are fresh stay");
}
