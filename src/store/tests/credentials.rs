//! Looking a presented secret up, and what a rotation does to it.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::credential::SecretRole;
use crate::domain::key::{Key, RotationMode};
use crate::domain::secret::SecretHash;
use crate::store::{Conflict, StoreError};

on_both_engines! {
    a_grace_period_begins_once_and_only_with_the_current_secret,
    a_rotation_keeps_the_last_two_secrets,
    an_unknown_secret_is_nothing,
    recent_credentials_come_newest_first,
}

const GRACE: Duration = Duration::from_secs(60);

async fn rotate(db: &TestDb, key: &mut Key, mode: RotationMode, seconds: u64) -> SecretHash {
    let (hash, version) = (new_hash(), key.version);
    key.rotate(format!("hint-{seconds}"), GRACE, mode, at(seconds)).unwrap();
    db.store.rotate_key(key, version, &hash, Some(&[seconds as u8]), &event(&key.project)).await.unwrap();
    hash
}

async fn an_unknown_secret_is_nothing(db: TestDb) {
    db.create(&key(at(1))).await;
    assert_eq!(db.store.find_key_secret(&new_hash()).await.unwrap(), None);
}

async fn a_rotation_keeps_the_last_two_secrets(db: TestDb) {
    let mut key = full_key(at(1));
    let first = db.create(&key).await;
    let second = rotate(&db, &mut key, RotationMode::Immediate, 2).await;

    let current = db.store.find_key_secret(&second).await.unwrap().unwrap();
    assert_eq!((current.role, current.secret_expires_at), (SecretRole::Current, None));
    assert!(!current.waits_for_first_use);
    assert_eq!(current.key, key);
    let previous = db.store.find_key_secret(&first).await.unwrap().unwrap();
    assert_eq!((previous.role, previous.secret_expires_at), (SecretRole::Previous, Some(at(62))));
    assert_eq!(previous.key, key);
    assert_eq!(db.store.find_sealed(&project(), key.environment, &key.id).await.unwrap(), Some(vec![2]));

    let stale = db.store.rotate_key(&key, 1, &new_hash(), None, &event(&project())).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));

    let third = rotate(&db, &mut key, RotationMode::Immediate, 3).await;
    assert_eq!(db.store.find_key_secret(&first).await.unwrap(), None, "the older one ends at once");
    assert_eq!(db.store.find_key_secret(&second).await.unwrap().unwrap().role, SecretRole::Previous);
    assert_eq!(db.store.find_key_secret(&third).await.unwrap().unwrap().role, SecretRole::Current);
    let change = db.store.list_changes_after(Default::default(), 10).await.unwrap().pop().unwrap();
    assert_eq!(change.kind, ChangeKind::Rotated);
    for hash in [first, second, third] {
        assert!(change.hashes.contains(&hash), "every cache can tell that it holds the key");
    }
}

async fn a_grace_period_begins_once_and_only_with_the_current_secret(db: TestDb) {
    let mut key = key(at(1));
    let first = db.create(&key).await;
    assert_eq!(
        db.store.begin_grace(&key.id, &first, at(2), event(&project())).await.unwrap(),
        None,
        "there is no rotation"
    );

    let second = rotate(&db, &mut key, RotationMode::FirstUse, 3).await;
    let old = db.store.find_key_secret(&first).await.unwrap().unwrap();
    assert_eq!((old.secret_expires_at, old.waits_for_first_use), (None, false));
    assert!(db.store.find_key_secret(&second).await.unwrap().unwrap().waits_for_first_use);

    assert_eq!(
        db.store.begin_grace(&key.id, &first, at(4), event(&project())).await.unwrap(),
        None,
        "the old secret was used"
    );
    let before = db.store.revision().await.unwrap();
    let change = db.store.begin_grace(&key.id, &second, at(5), event(&project())).await.unwrap().unwrap();
    assert!(change.revision > before);
    assert_eq!(
        db.store.begin_grace(&key.id, &second, at(6), event(&project())).await.unwrap(),
        None,
        "it began already"
    );
    assert_eq!(db.store.revision().await.unwrap(), change.revision);

    let old = db.store.find_key_secret(&first).await.unwrap().unwrap();
    assert_eq!(old.secret_expires_at, Some(at(65)));
    let new = db.store.find_key_secret(&second).await.unwrap().unwrap();
    assert!(!new.waits_for_first_use);
    assert_eq!((new.key.version, new.key.updated_at), (key.version + 1, at(5)));
    let change = db.store.list_changes_after(before, 10).await.unwrap().pop().unwrap();
    assert_eq!((change.kind, change.hashes.len(), change.occurred_at), (ChangeKind::Rotated, 2, at(5)));

    let late = db.store.update_key(&key, key.version - 1, ChangeKind::Updated, &event(&project())).await;
    assert_eq!(late, Err(StoreError::Conflict(Conflict::Version)), "whoever read before cannot undo it");

    let mut revoked = new.key;
    rotate(&db, &mut revoked, RotationMode::FirstUse, 7).await;
    let third = rotate(&db, &mut revoked, RotationMode::FirstUse, 8).await;
    revoked.revoke(at(9));
    db.store.update_key(&revoked, revoked.version - 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    assert_eq!(db.store.begin_grace(&revoked.id, &third, at(10), event(&project())).await.unwrap(), None);
}

async fn recent_credentials_come_newest_first(db: TestDb) {
    let mut keys = Vec::new();
    for seconds in 1..=5 {
        let key = key(at(seconds));
        db.create(&key).await;
        keys.push(key);
    }
    rotate(&db, &mut keys[1], RotationMode::Immediate, 20).await;
    keys[3].revoke(at(21));
    db.store.update_key(&keys[3], 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    // Two that were changed at the same time.
    for n in [0, 2] {
        keys[n].suspend(at(10)).unwrap();
        db.store.update_key(&keys[n], 1, ChangeKind::Suspended, &event(&project())).await.unwrap();
    }

    let mut found = Vec::new();
    let mut place = None;
    loop {
        let (part, next) = db.store.list_recent_key_secrets(place.as_ref(), 2).await.unwrap();
        found.extend(part);
        place = next;
        if place.is_none() {
            break;
        }
    }
    let ids: Vec<_> = found.iter().map(|(_, credential)| &credential.key.id).collect();
    let mut same_time = [&keys[0].id, &keys[2].id];
    same_time.sort_by(|a, b| b.cmp(a));
    assert_eq!(ids, [&keys[1].id, &keys[1].id, same_time[0], same_time[1], &keys[4].id]);
    for (hash, credential) in &found {
        assert_eq!(db.store.find_key_secret(hash).await.unwrap().as_ref(), Some(credential));
    }
}
