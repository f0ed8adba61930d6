//! Credits: taken once, refilled once, given back only to what they were taken from.

use tokio::task::JoinSet;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::clock::Timestamp;
use crate::domain::key::Key;
use crate::domain::limit::purse::Returned;
use crate::domain::limit::quota::{Quota, Refill};
use crate::store::Taken;

on_both_engines! {
    a_refill_happens_once_and_comes_before_what_is_taken,
    what_is_given_back_belongs_to_what_it_was_taken_from,
    what_many_take_at_one_time_is_what_there_is,
}

async fn with_credits(db: &TestDb, remaining: i64, refill: Refill) -> (Key, Quota) {
    let mut key = key(at(0));
    let quota = Quota::set(remaining, refill, 1, at(0));
    key.details.credits = Some(Box::new(quota));
    db.create(&key).await;
    (key, quota)
}

impl TestDb {
    async fn take(&self, key: &Key, epoch: i64, start: Timestamp, most: i64) -> Option<(i64, i64)> {
        let taken = self.store.take_credits(&key.id, epoch, start, most).await.unwrap();
        taken.map(|Taken { credits, remaining, .. }| (credits, remaining))
    }

    async fn found(&self, key: &Key) -> Option<Quota> {
        self.store
            .find_key(&key.project, key.environment, &key.id)
            .await
            .unwrap()
            .unwrap()
            .details
            .credits
            .map(|quota| *quota)
    }
}

async fn a_refill_happens_once_and_comes_before_what_is_taken(db: TestDb) {
    let (key, quota) = with_credits(&db, 5, Refill::Daily(7)).await;
    assert_eq!(db.found(&key).await, Some(quota));
    assert_eq!(db.take(&key, quota.epoch, quota.start, 3).await, Some((3, 2)));
    assert_eq!(db.take(&key, quota.epoch, quota.start, 3).await, Some((2, 0)), "no more than there is");
    assert_eq!(db.take(&key, quota.epoch, quota.start, 3).await, Some((0, 0)));
    let next = Refill::Daily(7).period(at(86_400)).start;
    assert_eq!(db.take(&key, quota.epoch, next, 3).await, Some((3, 4)), "seven are new");
    assert_eq!(db.take(&key, quota.epoch, next, 30).await, Some((4, 0)), "once");
    assert_eq!(db.take(&key, quota.epoch, quota.start, 3).await, Some((0, 0)), "a clock behind begins nothing again");
    assert_eq!(db.take(&key, quota.epoch - 1, next, 3).await, None, "of before they were set");
    let plain = super::support::key(at(1));
    db.create(&plain).await;
    assert_eq!(db.take(&plain, quota.epoch, next, 3).await, None);
}

async fn what_is_given_back_belongs_to_what_it_was_taken_from(db: TestDb) {
    let (mut key, quota) = with_credits(&db, 100, Refill::Monthly(50, 31)).await;
    assert_eq!(db.take(&key, quota.epoch, quota.start, 10).await, Some((10, 90)));
    let back = |epoch, start, credits| [Returned { key: key.id.clone(), epoch, start, credits }];
    let returned =
        [back(quota.epoch, quota.start, 4), back(quota.epoch + 1, quota.start, 4), back(quota.epoch, at(0), 4)];
    for returned in &returned {
        db.store.return_credits(returned).await.unwrap();
    }
    assert_eq!(db.found(&key).await.map(|quota| quota.remaining), Some(94), "of other times nothing comes back");

    // A change of something else leaves them as they are, whatever the key was read with.
    key.details.name = "other".to_owned();
    key.version += 1;
    db.store.update_key(&key, 1, ChangeKind::Updated, &event(&key.project)).await.unwrap();
    assert_eq!(db.found(&key).await.map(|quota| quota.remaining), Some(94));
    let set = Quota::set(7, Refill::Never, 3, at(1));
    key.details.credits = Some(Box::new(set));
    key.version += 1;
    db.store.update_key(&key, 2, ChangeKind::Updated, &event(&key.project)).await.unwrap();
    db.store.return_credits(&returned[0]).await.unwrap();
    assert_eq!(db.found(&key).await, Some(set), "what was taken before belongs to nothing");
    key.details.credits = None;
    key.version += 1;
    db.store.update_key(&key, 3, ChangeKind::Updated, &event(&key.project)).await.unwrap();
    assert_eq!((db.found(&key).await, db.take(&key, set.epoch, set.start, 1).await), (None, None));
}

async fn what_many_take_at_one_time_is_what_there_is(db: TestDb) {
    let (key, quota) = with_credits(&db, 0, Refill::Daily(101)).await;
    let next = quota.refill.period(at(86_400)).start;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, id) = (db.store.clone(), key.id.clone());
        tasks.spawn(async move { store.take_credits(&id, quota.epoch, next, 7).await.unwrap().unwrap().credits });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<i64>(), 101);
}
