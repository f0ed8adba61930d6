//! Signing keys: that each number is given once, and when the keys before it end.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::signing_key::{MOST_SIGNING_KEYS, Retirement, SigningAlgorithm, SigningKey};
use crate::store::{Conflict, StoreError};

on_both_engines! {
    a_key_ends_those_before_it,
    a_number_is_given_once,
    no_more_are_published_than_may_be,
}

fn key(seq: i64, made: u64, active_from: u64) -> SigningKey {
    SigningKey::new(SigningAlgorithm::EdDsa, seq, at(made), at(active_from), &keyring(), &SystemEntropy)
}

fn ends(retired_at: Timestamp, expires_at: Timestamp) -> Retirement {
    Retirement { retired_at, expires_at }
}

async fn a_key_ends_those_before_it(db: TestDb) {
    assert!(db.store.list_signing_keys(at(0)).await.unwrap().is_empty());
    let mut keys = vec![key(1, 0, 0), key(2, 100, 200), key(3, 110, 150)];
    assert!(db.store.add_signing_key(&keys[0], keys[0].orderly_retirement(), None).await.unwrap());
    assert_eq!(db.store.list_signing_keys(at(0)).await.unwrap(), keys[..1]);
    assert!(db.store.add_signing_key(&keys[1], ends(at(200), at(300)), None).await.unwrap());
    let end = |key: &mut SigningKey, retired, expires| {
        (key.retired_at, key.expires_at) = (Some(at(retired)), Some(at(expires)));
    };
    end(&mut keys[0], 200, 300);
    assert_eq!(db.store.list_signing_keys(at(120)).await.unwrap(), keys[..2]);

    // One that signs earlier than the one before it was to.
    assert!(db.store.add_signing_key(&keys[2], ends(at(150), at(250)), Some(&event(&project()))).await.unwrap());
    end(&mut keys[0], 150, 250);
    end(&mut keys[1], 150, 250);
    assert_eq!(db.store.list_signing_keys(at(249)).await.unwrap(), keys);
    assert_eq!(db.store.list_signing_keys(at(250)).await.unwrap(), keys[2..]);

    assert_eq!(db.store.prune_signing_keys(at(249)).await.unwrap(), 0);
    assert_eq!(db.store.prune_signing_keys(at(250)).await.unwrap(), 2);
    assert_eq!(db.store.list_signing_keys(at(0)).await.unwrap(), keys[2..]);
    assert_eq!(db.store.prune_signing_keys(at(1_000_000_000)).await.unwrap(), 0, "the youngest has no end");

    // At once: what had an end keeps the time at which it signed last.
    let now = key(4, 400, 400);
    assert!(db.store.add_signing_key(&now, now.immediate_retirement(), None).await.unwrap());
    assert_eq!(db.store.list_signing_keys(at(400)).await.unwrap(), [now]);
}

async fn a_number_is_given_once(db: TestDb) {
    let first = key(1, 0, 0);
    assert!(db.store.add_signing_key(&first, first.orderly_retirement(), None).await.unwrap());
    let second = db.second().await;
    let [one, other] = [key(2, 1, 50), key(2, 1, 60)];
    let (made, also) = tokio::join!(
        db.store.add_signing_key(&one, one.orderly_retirement(), None),
        second.add_signing_key(&other, other.orderly_retirement(), None),
    );
    let (made, also) = (made.unwrap(), also.unwrap());
    assert!(made != also, "exactly one: {made} {also}");
    let keys = db.store.list_signing_keys(at(1)).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[1], if made { one } else { other });
    assert_eq!(keys[0].retired_at, Some(keys[1].active_from), "the one that lost has changed nothing");
}

async fn no_more_are_published_than_may_be(db: TestDb) {
    let most = i64::from(MOST_SIGNING_KEYS);
    for seq in 1..=most {
        let next = key(seq, 0, 0);
        assert!(db.store.add_signing_key(&next, next.orderly_retirement(), None).await.unwrap());
    }
    let next = key(most + 1, 0, 0);
    let refused = db.store.add_signing_key(&next, next.orderly_retirement(), None).await;
    assert_eq!(refused, Err(StoreError::Conflict(Conflict::TooManySigningKeys)));
    assert_eq!(db.store.list_signing_keys(at(0)).await.unwrap().len(), 64);
    let later = SigningKey::new(
        SigningAlgorithm::EdDsa,
        most + 1,
        at(0),
        at(0).plus(Duration::from_secs(1)),
        &keyring(),
        &SystemEntropy,
    );
    assert!(db.store.add_signing_key(&later, ends(at(0), at(0)), None).await.unwrap(), "when it ends all others");
}
