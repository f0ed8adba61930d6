//! The change log and its wake-ups.

use std::time::Duration;

use tokio::time::timeout;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::{ChangeKind, Revision};
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::CredentialId;
use crate::domain::sealing::MasterKey;
use crate::store::{Conflict, MasterKeyError, Store, StoreError};

on_both_engines! {
    an_import_is_logged_key_by_key,
    pruning_leaves_no_gap,
    the_database_belongs_to_one_master_key,
    the_log_holds_every_change_in_order,
    whoever_listens_is_woken,
}

async fn the_log_holds_every_change_in_order(db: TestDb) {
    assert_eq!(db.store.revision().await.unwrap(), Revision(0));
    assert_eq!(db.store.list_changes_after(Revision(0), 10).await.unwrap(), []);
    let mut live = key(at(1));
    let hash = db.create(&live).await;
    let mut test = key(at(2));
    test.environment = Environment::Test;
    db.create(&test).await;
    let mut other = key(at(3));
    other.project = other_project();
    db.create(&other).await;
    live.revoke(at(4));
    let last = db.store.update_key(&live, 1, ChangeKind::Revoked, &event(&project())).await.unwrap().revision;

    assert_eq!(db.store.revision().await.unwrap(), last);
    let all = db.store.list_changes_after(Revision(0), 10).await.unwrap();
    let revisions: Vec<u64> = all.iter().map(|change| change.revision.0).collect();
    assert_eq!(revisions, [1, 2, 3, 4]);
    let revoked = &all[3];
    assert_eq!(
        (revoked.subject.as_ref().and_then(CredentialId::key), revoked.kind, revoked.occurred_at),
        (Some(&live.id), ChangeKind::Revoked, at(4))
    );
    assert_eq!(
        (&revoked.hashes[..], &revoked.project, revoked.environment),
        (&[hash][..], &project(), Environment::Live)
    );
    assert_eq!(db.store.list_changes_after(Revision(2), 1).await.unwrap(), all[2..3]);
    assert_eq!(db.store.list_changes_after(last, 10).await.unwrap(), []);
    assert_eq!(db.store.list_changes_after(Revision(u64::MAX), 10).await.unwrap(), []);
    let of_live = db.store.list_changes_of(&project(), Environment::Live, Revision(0), 10).await.unwrap();
    assert_eq!(of_live, [all[0].clone(), all[3].clone()]);
    let of_live = db.store.list_changes_of(&project(), Environment::Live, Revision(1), 10).await.unwrap();
    assert_eq!(of_live, all[3..]);
}

async fn pruning_leaves_no_gap(db: TestDb) {
    // The third happened, by its node's clock, before the second.
    for seconds in [10, 30, 20, 40] {
        db.create(&key(at(seconds))).await;
    }
    let left = async || {
        let all = db.store.list_changes_after(Revision(0), 10).await.unwrap();
        let revisions: Vec<u64> = all.iter().map(|change| change.revision.0).collect();
        (revisions, db.store.oldest_revision().await.unwrap().0)
    };
    assert_eq!(db.store.prune_changes(at(10), 10).await.unwrap(), 0);
    assert_eq!(left().await, (vec![1, 2, 3, 4], 0));
    assert_eq!(db.store.prune_changes(at(25), 10).await.unwrap(), 1);
    assert_eq!(left().await, (vec![2, 3, 4], 1), "the younger second keeps the third");
    assert_eq!(db.store.prune_changes(at(50), 1).await.unwrap(), 1);
    assert_eq!(left().await, (vec![3, 4], 2));
    assert_eq!(db.store.prune_changes(at(50), 10).await.unwrap(), 2);
    assert_eq!(left().await, (vec![], 4));
    assert_eq!(db.store.revision().await.unwrap(), Revision(4), "revisions are not given twice");
    db.create(&key(at(60))).await;
    assert_eq!(left().await, (vec![5], 4));
}

async fn an_import_is_logged_key_by_key(db: TestDb) {
    db.create(&key(at(1))).await;
    let mut batch = Vec::new();
    for n in 0..250 {
        let mut key = full_key(at(n));
        key.rotation = None;
        batch.push((key, new_hash()));
    }
    let last = db.store.import_keys(&batch).await.unwrap();
    assert_eq!(last, Revision(251));
    let changes = db.store.list_changes_after(Revision(1), 1_000).await.unwrap();
    assert_eq!(changes.len(), 250);
    for (change, (key, hash)) in changes.iter().zip(&batch) {
        assert_eq!(
            (change.subject.as_ref().and_then(CredentialId::key), &change.hashes[..]),
            (Some(&key.id), &[*hash][..])
        );
        assert_eq!(db.store.find_key_secret(hash).await.unwrap().unwrap().key, *key);
    }
    let twice = [batch[0].clone()];
    assert_eq!(db.store.import_keys(&twice).await, Err(StoreError::Conflict(Conflict::Exists)));
    assert_eq!(db.store.import_keys(&[]).await.unwrap(), last);
    assert_eq!(db.store.revision().await.unwrap(), last);
}

async fn whoever_listens_is_woken(db: TestDb) {
    let mut signal = db.store.listen().await.unwrap();
    let patience = Duration::from_secs(5);
    let quiet = timeout(Duration::from_millis(50), signal.wait()).await;
    assert!(quiet.is_err(), "nothing has changed");

    for n in 0..3 {
        db.create(&key(at(n))).await;
    }
    timeout(patience, signal.wait()).await.unwrap().unwrap();
    assert_eq!(db.store.revision().await.unwrap(), Revision(3));
    // What came while nobody waited may have left further wake-ups; then it is quiet again.
    while timeout(Duration::from_millis(50), signal.wait()).await.is_ok() {}

    let mut stale = key(at(9));
    stale.revoke(at(9));
    let refused = db.store.update_key(&stale, 1, ChangeKind::Revoked, &event(&project())).await;
    assert!(refused.is_err(), "there is no such key");
    assert!(timeout(Duration::from_millis(50), signal.wait()).await.is_err());
    db.create(&key(at(10))).await;
    timeout(patience, signal.wait()).await.unwrap().unwrap();
}

async fn the_database_belongs_to_one_master_key(db: TestDb) {
    db.store.open_keyring(&master_key(), at(1)).await.unwrap();
    let node = Store::open(&db.options).await.unwrap();
    let other = node.open_keyring(&MasterKey::generate(&SystemEntropy), at(3)).await;
    assert!(matches!(other, Err(MasterKeyError::Other)), "{other:?}");
    assert_eq!(MasterKeyError::Other.to_string(), "this database belongs to another master key");
    db.store.ping().await.unwrap();
    let unaudited = node.create_key(&key(at(4)), &new_hash(), None, None, &event(&project())).await;
    assert!(matches!(unaudited, Err(StoreError::Damaged(_))), "{unaudited:?}");
}
