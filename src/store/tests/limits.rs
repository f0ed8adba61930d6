//! Limits: those of keys and projects as they were given, and what was spent of them.

use super::on_both_engines;
use super::support::*;
use crate::domain::id::ProjectId;
use crate::domain::key::KeyKind;
use crate::domain::limit::bucket::BucketId;
use crate::domain::limit::tally::{Tally, Terms};
use crate::domain::limit::{RateLimit, RateLimits};
use crate::store::Spent;
use crate::store::tests::support::full_key;

on_both_engines! {
    a_credential_is_under_its_own_limits_and_those_of_its_project,
    nodes_that_share_a_bucket_get_what_there_is_and_no_more,
    what_was_spent_is_found_again_until_it_has_come_back,
}

async fn nodes_that_share_a_bucket_get_what_there_is_and_no_more(db: TestDb) {
    let id = BucketId { text: "a".into(), project: project() };
    let terms = Terms { calls: 70, window: 70_000_000 };
    let lease = |most, now| {
        let (store, id) = (db.store.clone(), id.clone());
        async move { store.lease_calls(&id, terms, most, at(now)).await.unwrap() }
    };
    let mut tasks = tokio::task::JoinSet::new();
    for most in [9, 4, 13, 1].into_iter().cycle().take(20) {
        tasks.spawn(lease(most, 0));
    }
    let given: Vec<_> = tasks.join_all().await.into_iter().map(|(given, _)| given).collect();
    assert_eq!(given.iter().sum::<u32>(), 70, "{given:?}");
    let (given, tally) = lease(5, 3).await;
    assert_eq!((given, tally.remaining(at(3))), (3, 0), "one comes back a second");
    let other = Terms { calls: 140, ..terms };
    let (given, tally) = db.store.lease_calls(&id, other, 100, at(3)).await.unwrap();
    assert_eq!((given, tally.terms()), (70, other), "what was spent stays spent");
}

async fn a_credential_is_under_its_own_limits_and_those_of_its_project(db: TestDb) {
    let key = full_key(at(0));
    let hash = db.create(&key).await;
    let limits = || async { db.store.find_key_secret(&hash).await.unwrap().unwrap().limits };
    assert_eq!(limits().await, key.details.rate_limits);
    let limit = |name: &str| RateLimit { calls: 7, name: name.into(), ..rate_limits().iter().next().unwrap().clone() };
    let defaults = RateLimits::new([limit("per-minute"), limit("hourly")]);
    let mut project = db.store.find_project(&project()).await.unwrap().unwrap();
    project.details.default_rate_limits = vec![(KeyKind::Restricted, defaults), (KeyKind::User, rate_limits())];
    project.version += 1;
    db.store.update_project(&project, 1, &event(&project.id)).await.unwrap();
    let all: Vec<_> = limits().await.iter().map(|limit| (limit.name.to_string(), limit.calls)).collect();
    assert_eq!(all, [("day_1".to_owned(), 1_000_000_000), ("hourly".to_owned(), 7), ("per-minute".to_owned(), 100)]);
    let recent = db.store.list_recent_key_secrets(None, 10).await.unwrap().0;
    assert_eq!(recent[0].1.limits, limits().await);

    let mut bare = key.clone();
    bare.details.rate_limits = RateLimits::default();
    bare.version += 1;
    db.store.update_key(&bare, 1, crate::domain::change::ChangeKind::Updated, &event(&key.project)).await.unwrap();
    assert_eq!(limits().await.iter().map(|limit| limit.calls).collect::<Vec<_>>(), [7, 7]);
    let plain = db.create(&super::support::key(at(1))).await;
    assert!(db.store.find_key_secret(&plain).await.unwrap().unwrap().limits.is_empty(), "another type");
}

async fn what_was_spent_is_found_again_until_it_has_come_back(db: TestDb) {
    let spent = |name: &str, seconds| Spent {
        id: BucketId { text: name.into(), project: ProjectId::default_project() },
        tally: Tally::restored(Terms { calls: 7, window: 60_000_000 }, at(seconds), 3),
    };
    let found = |after: &'static str, now| {
        let store = db.store.clone();
        async move {
            let found = store.list_spent(after, at(now), 2).await.unwrap();
            found.into_iter().map(|spent| spent.id.text.to_string()).collect::<Vec<_>>()
        }
    };
    db.store.write_spent(&[spent("a", 10), spent("b", 20), spent("c", 30)]).await.unwrap();
    assert_eq!((found("", 5).await, found("b", 5).await), (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
    db.store.write_spent(&[spent("a", 40)]).await.unwrap();
    assert_eq!(db.store.list_spent("", at(31), 10).await.unwrap(), [spent("a", 40)], "the later counts");
    assert_eq!(db.store.prune_spent(at(31), 1).await.unwrap(), 1);
    assert_eq!(db.store.prune_spent(at(31), 10).await.unwrap(), 1);
    assert_eq!(db.store.prune_spent(at(31), 10).await.unwrap(), 0);
    assert_eq!(found("", 0).await, ["a"]);
}
