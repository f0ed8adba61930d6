//! How much the outbox and the log hold, and in whose turn it is told.

use super::on_both_engines;
use super::support::*;
use super::webhooks::{attempt, claim, create, deliveries, due};
use crate::domain::environment::Environment;
use crate::domain::webhook::delivery::{AttemptError, Delivery, DeliveryState, MAX_WAITING};
use crate::domain::webhook::{Webhook, WebhookDetails};
use crate::store::{Conflict, DueWebhook, Enqueued, Settled, StoreError};

on_both_engines! {
    a_full_outbox_gives_up_the_oldest,
    the_log_keeps_the_newest_tests,
    the_one_that_was_told_last_is_behind_the_others,
}

async fn a_full_outbox_gives_up_the_oldest(db: TestDb) {
    let one = webhook(at(1));
    create(&db, &one).await;
    for n in 0..u64::from(MAX_WAITING) {
        assert_eq!(db.store.enqueue_event(&webhook_event(at(n + 10))).await.unwrap().dropped, 0);
    }
    let enqueued = db.store.enqueue_event(&webhook_event(at(5_000))).await;
    assert_eq!(enqueued, Ok(Enqueued { deliveries: 1, dropped: 1 }));
    assert_eq!((db.store.outbox_dropped(), db.store.count_waiting_deliveries().await), (1, Ok(1_000)));
    let all = deliveries(&db, &one.id).await;
    let (oldest, newest) = (all.last().unwrap(), all.first().unwrap());
    assert_eq!((oldest.state, oldest.created_at), (DeliveryState::Dropped, at(10)));
    assert_eq!((newest.state, newest.created_at), (DeliveryState::Waiting, at(5_000)));

    // Nothing is given up for what is told once more. What waits already takes no more room, and once there is some, it is taken.
    let redeliver = async |id| db.store.redeliver(&one.id, id, at(6_000), &event(&project())).await;
    let full = Err(StoreError::Conflict(Conflict::TooManyWaiting));
    assert_eq!(redeliver(&oldest.id).await, full);
    assert_eq!(db.store.find_delivery(&one.id, &oldest.id).await, Ok(Some(oldest.clone())));
    assert_eq!(db.store.count_waiting_deliveries().await, Ok(1_000));
    assert_eq!(redeliver(&newest.id).await, Ok(true));
    let claimed = claim(&db.store, &one.id, at(6_000)).await.unwrap();
    let (state, attempt) = (DeliveryState::Delivered, attempt(at(6_000), None));
    let settled = Settled { attempt, state, due_at: None, disable: None };
    db.store.settle_delivery(&claimed, &claimed.deliveries[0], &settled).await.unwrap();
    assert_eq!(redeliver(&oldest.id).await, Ok(true));
    assert_eq!(redeliver(&claimed.deliveries[0].id).await, full);
}

async fn the_log_keeps_the_newest_tests(db: TestDb) {
    let (one, other) = (webhook(at(1)), webhook(at(2)));
    create(&db, &one).await;
    create(&db, &other).await;
    let told = webhook_event(at(3));
    db.store.enqueue_event(&told).await.unwrap();
    let test = |webhook: &Webhook, n| Delivery {
        webhook: webhook.id.clone(),
        id: webhook_event(at(n)).id,
        kind: "webhook.test".to_owned(),
        payload: "{}".to_owned(),
        state: DeliveryState::Failed,
        created_at: at(n),
        due_at: None,
        attempts: 1,
        last: Some(attempt(at(n), Some(AttemptError::Status))),
    };
    let record = async |test: &Delivery| db.store.record_delivery(&project(), Environment::Live, test).await.unwrap();
    record(&test(&other, 4)).await;
    for n in 10..130 {
        record(&test(&one, n)).await;
    }
    let kept = deliveries(&db, &one.id).await;
    assert_eq!((kept.len(), kept[0].created_at, kept[99].created_at), (101, at(129), at(30)));
    assert_eq!((&kept[100].id, kept[100].state), (&told.id, DeliveryState::Waiting), "which is of the outbox");
    assert_eq!(deliveries(&db, &other.id).await.len(), 2);
    let waits = async |webhook: &Webhook, kinds| db.store.has_waiting_deliveries(&webhook.id, kinds).await.unwrap();
    assert!(waits(&one, "webhook.").await && !waits(&one, "alert.").await);
    db.store.update_webhook(&disabled(&one), 1, &event(&project())).await.unwrap();
    assert!(!waits(&one, "webhook.").await && waits(&other, "webhook.").await);
}

fn disabled(webhook: &Webhook) -> Webhook {
    let mut webhook = webhook.clone();
    let details = WebhookDetails { enabled: false, ..webhook.details.clone() };
    webhook.update(details, at(200));
    webhook
}

async fn the_one_that_was_told_last_is_behind_the_others(db: TestDb) {
    let (one, other) = (webhook(at(1)), webhook(at(2)));
    create(&db, &one).await;
    for n in 0..9 {
        db.store.enqueue_event(&webhook_event(at(3 + n))).await.unwrap();
    }
    create(&db, &other).await;
    db.store.enqueue_event(&webhook_event(at(20))).await.unwrap();
    assert_eq!(due(&db.store, at(30)).await, [one.id.clone(), other.id.clone()]);
    let claimed = claim(&db.store, &one.id, at(30)).await.unwrap();
    let (state, attempt) = (DeliveryState::Delivered, attempt(at(30), None));
    let settled = Settled { attempt, state, due_at: None, disable: None };
    for delivery in &claimed.deliveries {
        db.store.settle_delivery(&claimed, delivery, &settled).await.unwrap();
    }
    db.store.release_webhook(&claimed, at(31)).await.unwrap();
    assert_eq!(due(&db.store, at(31)).await, [other.id.clone(), one.id.clone()], "however old what it waits for is");
    let listed = db.store.list_due_webhooks(at(31), 1).await.unwrap();
    assert_eq!(listed, [DueWebhook { webhook: other.id, project: project() }]);
}
