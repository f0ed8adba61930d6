//! What must happen once when many want it at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::{ChangeKind, Revision};
use crate::domain::environment::Environment;
use crate::domain::key::RotationMode;
use crate::domain::scope::{Scope, ScopeSet};
use crate::store::{
    Conflict, KeyCreated, KeyFilter, NewIdempotent, Remembered, ScopeDeleted, Store, StoreError, StoredScope,
};

on_both_engines! {
    a_scope_is_either_granted_or_removed,
    changes_of_one_scope_wait_for_each_other,
    equal_requests_make_one_key,
    one_of_many_updates_wins,
    one_use_begins_the_grace_period,
    revisions_come_in_commit_order,
}

/// Runs the same thing on two nodes, four times each.
async fn on_two_nodes<T: Send + 'static, F>(db: &TestDb, run: impl Fn(Store, usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let nodes = [db.store.clone(), db.second().await];
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        tasks.spawn(run(nodes[n % 2].clone(), n));
    }
    tasks.join_all().await
}

async fn one_of_many_updates_wins(db: TestDb) {
    for round in 0..10 {
        let key = key(at(round));
        db.create(&key).await;
        let before = db.store.revision().await.unwrap().0;
        let outcomes = on_two_nodes(&db, |store, n| {
            let mut key = key.clone();
            async move {
                let mut details = key.details.clone();
                details.name = format!("By {n}");
                key.update(details, at(100)).unwrap();
                store.update_key(&key, 1, ChangeKind::Updated, &event(&project())).await.map(|_| n)
            }
        })
        .await;
        let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.ok()).collect();
        assert_eq!(won.len(), 1, "{outcomes:?}");
        let lost = Err(StoreError::Conflict(Conflict::Version));
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == lost).count(), 7);
        let kept = db.store.find_key(&project(), Environment::Live, &key.id).await.unwrap().unwrap();
        assert_eq!(kept.details.name, format!("By {}", won[0]));
        assert_eq!(db.store.revision().await.unwrap().0, before + 1);
    }
}

async fn equal_requests_make_one_key(db: TestDb) {
    for round in 0..10 {
        let outcomes = on_two_nodes(&db, |store, n| async move {
            let key = key(at(round * 10 + n as u64));
            let request = NewIdempotent {
                actor: None,
                key: &format!("round-{round}"),
                fingerprint: &[round as u8; 32],
                answer: key.id.as_str().as_bytes(),
                expires_at: at(100_000),
            };
            let made = store.create_key(&key, &new_hash(), None, Some(&request), &event(&project())).await.unwrap();
            (key.id, made)
        })
        .await;
        let (made, replayed): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| matches!(outcome, KeyCreated::Created(_)));
        assert_eq!(made.len(), 1);
        for (_, replay) in replayed {
            let KeyCreated::Replay(Remembered { fingerprint, answer }) = replay else { unreachable!() };
            assert_eq!((fingerprint, answer.as_slice()), ([round as u8; 32], made[0].0.as_str().as_bytes()));
        }
    }
    let all = db.store.list_keys(&project(), Environment::Live, &KeyFilter::default(), &numbered(100, 0)).await;
    assert_eq!(all.unwrap().total, Some(10));
}

async fn one_use_begins_the_grace_period(db: TestDb) {
    for round in 0..10 {
        let mut key = key(at(round));
        db.create(&key).await;
        let hash = new_hash();
        key.rotate(String::new(), std::time::Duration::from_secs(9), RotationMode::FirstUse, at(50)).unwrap();
        db.store.rotate_key(&key, 1, &hash, None, &event(&project())).await.unwrap();
        let outcomes = on_two_nodes(&db, |store, n| {
            let key = key.id.clone();
            async move { store.begin_grace(&key, &hash, at(60 + n as u64), event(&project())).await.unwrap() }
        })
        .await;
        assert_eq!(outcomes.iter().flatten().count(), 1, "{outcomes:?}");
    }
}

async fn a_scope_is_either_granted_or_removed(db: TestDb) {
    for round in 0..15 {
        let scope = StoredScope {
            project: project(),
            scope: Scope::parse(&format!("read:round{round}")).unwrap(),
            description: String::new(),
            created_at: at(0),
        };
        db.store.create_scope(&scope, &event(&project())).await.unwrap();
        let plain = scope.scope.plain().to_owned();
        let outcomes = on_two_nodes(&db, |store, n| {
            let scope = scope.scope.clone();
            async move {
                if n < 2 {
                    store.delete_scope(&project(), scope.plain(), &event(&project())).await.unwrap()
                        == ScopeDeleted::Deleted
                } else {
                    let mut key = key(at(n as u64));
                    key.details.scopes = ScopeSet::new([scope]);
                    let made = store.create_key(&key, &new_hash(), None, None, &event(&project())).await;
                    assert!(matches!(made, Ok(_) | Err(StoreError::Conflict(Conflict::UnknownScope))), "{made:?}");
                    false
                }
            }
        })
        .await;
        let removed = outcomes.contains(&true);
        let holders = db.store.count_keys_with_scope(&project(), &plain).await.unwrap();
        let registered = db.store.find_scope(&project(), &plain).await.unwrap().is_some();
        assert_eq!(removed, !registered);
        assert!(registered || holders == 0, "{holders} keys hold a scope that is gone");
    }
}

/// Every change holds what it changes, then the audit log, then the counter: nobody waits for somebody who waits.
async fn changes_of_one_scope_wait_for_each_other(db: TestDb) {
    let audited = on_two_nodes(&db, |store, n| async move {
        let scope = StoredScope {
            project: project(),
            scope: Scope::parse("read:shared").unwrap(),
            description: String::new(),
            created_at: at(0),
        };
        let mut audited = 0;
        for step in 0..10 {
            match store.create_scope(&scope, &event(&project())).await {
                Ok(()) => audited += 1,
                Err(error) => assert_eq!(error, StoreError::Conflict(Conflict::Exists)),
            }
            audited += i64::from(store.update_scope(&project(), "read:shared", "x", &event(&project())).await.unwrap());
            let mut key = key(at((n * 100 + step) as u64));
            key.details.scopes = ScopeSet::new([scope.scope.clone()]);
            match store.create_key(&key, &new_hash(), None, None, &event(&project())).await {
                Ok(_) => {
                    key.revoke(at(5_000));
                    store.update_key(&key, 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
                    audited += 2;
                }
                Err(error) => assert_eq!(error, StoreError::Conflict(Conflict::UnknownScope)),
            }
            let deleted = store.delete_scope(&project(), "read:shared", &event(&project())).await.unwrap();
            audited += i64::from(deleted == ScopeDeleted::Deleted);
        }
        audited
    })
    .await;
    let checked = db.store.check_audit_log(project().as_str(), 1_000).await.unwrap();
    assert_eq!((checked.whole, checked.broken), (audited.iter().sum(), None));
}

/// A reader that has seen n has seen all below n, however the writers interleave.
async fn revisions_come_in_commit_order(db: TestDb) {
    let nodes = [db.store.clone(), db.second().await];
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for node in nodes.clone() {
        let done = Arc::clone(&done);
        readers.spawn(async move {
            let mut seen = 0;
            loop {
                let last = done.load(Ordering::SeqCst);
                let counted = node.revision().await.unwrap().0;
                let changes = node.list_changes_after(Revision(seen), 1_000).await.unwrap();
                for change in &changes {
                    assert_eq!(change.revision.0, seen + 1, "a change came after a later one");
                    seen += 1;
                }
                assert!(seen >= counted, "the counter ran ahead of the log: {counted} > {seen}");
                if last {
                    return seen;
                }
            }
        });
    }
    let mut writers = JoinSet::new();
    for n in 0..12 {
        let node = nodes[n % 2].clone();
        writers.spawn(async move {
            for step in 0..10 {
                let key = key(at((n * 100 + step) as u64));
                node.create_key(&key, &new_hash(), None, None, &event(&project())).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    done.store(true, Ordering::SeqCst);
    assert_eq!(readers.join_all().await, [120, 120]);
}
