//! Webhooks, the outbox, and the log of deliveries.

use std::collections::BTreeSet;
use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::WebhookId;
use crate::domain::page::PageRequest;
use crate::domain::webhook::delivery::{Attempt, AttemptError, Delivery, DeliveryState};
use crate::domain::webhook::event::EventPattern;
use crate::domain::webhook::url::WebhookUrl;
use crate::domain::webhook::{DisabledReason, MAX_WEBHOOKS, Webhook, seal_context};
use crate::store::{Claim, Conflict, DeliveryFilter, Enqueued, Resealed, Settled, Settlement, Store, StoreError};

on_both_engines! {
    a_claimed_delivery_is_tried_by_others_once_the_lease_is_over,
    a_webhook_is_disabled_and_what_waits_is_given_up,
    a_webhook_keeps_what_is_said_of_it,
    deliveries_are_listed_redelivered_and_forgotten,
    nodes_claim_each_delivery_once,
    secrets_are_rotated,
    secrets_are_sealed_anew,
    the_webhooks_that_are_told,
    what_an_address_answers_is_not_held_against_the_next,
    what_fails_is_tried_again,
}

const LEASE: Duration = Duration::from_secs(60);

pub(super) async fn create(db: &TestDb, webhook: &Webhook) {
    db.store.create_webhook(webhook, b"sealed", None, &event(&webhook.project)).await.unwrap();
}

async fn find(db: &TestDb, webhook: &Webhook) -> Option<Webhook> {
    db.store.find_webhook(&webhook.project, webhook.environment, &webhook.id).await.unwrap()
}

pub(super) async fn deliveries(db: &TestDb, id: &WebhookId) -> Vec<Delivery> {
    db.store.list_deliveries(id, &DeliveryFilter::default(), &first(2_000)).await.unwrap().items
}

pub(super) async fn claim(store: &Store, id: &WebhookId, now: Timestamp) -> Option<Claim> {
    store.claim_deliveries(id, now, LEASE, 4).await.unwrap()
}

pub(super) async fn due(store: &Store, now: Timestamp) -> Vec<WebhookId> {
    store.list_due_webhooks(now, 10).await.unwrap().into_iter().map(|due| due.webhook).collect()
}

pub(super) fn attempt(at: Timestamp, error: Option<AttemptError>) -> Attempt {
    Attempt { at, took: Duration::from_micros(1_500), status: Some(if error.is_some() { 500 } else { 204 }), error }
}

async fn a_webhook_keeps_what_is_said_of_it(db: TestDb) {
    let mut one = webhook(at(1));
    create(&db, &one).await;
    assert_eq!(find(&db, &one).await, Some(one.clone()));
    for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        assert_eq!(db.store.find_webhook(&project, environment, &one.id).await, Ok(None));
    }
    let mut details = one.details.clone();
    details.kinds = ["webhook.*", "webhook.test"].iter().filter_map(|kind| EventPattern::parse(kind)).collect();
    details.description = String::new();
    one.update(details, at(2));
    db.store.update_webhook(&one, 1, &event(&project())).await.unwrap();
    assert_eq!(find(&db, &one).await, Some(one.clone()));
    let stale = db.store.update_webhook(&one, 1, &event(&project())).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));

    let mut none = one.details.clone();
    none.kinds = BTreeSet::new();
    one.update(none, at(3));
    db.store.update_webhook(&one, 2, &event(&project())).await.unwrap();
    assert_eq!(find(&db, &one).await, Some(one.clone()));
    assert_eq!(db.store.enqueue_event(&webhook_event(at(4))).await, Ok(Enqueued::default()), "told of nothing");

    for n in 1..MAX_WEBHOOKS {
        create(&db, &webhook(at(u64::from(n) + 10))).await;
    }
    let full = db.store.create_webhook(&webhook(at(50)), b"sealed", None, &event(&project())).await;
    assert_eq!(full, Err(StoreError::Conflict(Conflict::TooManyWebhooks)));
    let page = db.store.list_webhooks(&project(), Environment::Live, &numbered(7, 2)).await.unwrap();
    assert_eq!((page.items.len(), page.has_more, page.total), (6, false, Some(20)));
    let after = PageRequest::After { limit: 3, after: Some(page.items[0].id.to_string()) };
    let next = db.store.list_webhooks(&project(), Environment::Live, &after).await.unwrap();
    assert_eq!((&next.items[..], next.has_more), (&page.items[1..4], true));

    let stale = db.store.delete_webhook(&one, 1, &event(&project())).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
    db.store.delete_webhook(&one, 3, &event(&project())).await.unwrap();
    assert_eq!(find(&db, &one).await, None);
    create(&db, &webhook(at(51))).await;
}

async fn the_webhooks_that_are_told(db: TestDb) {
    let all = webhook(at(1));
    let mut family = webhook(at(2));
    family.details.kinds = EventPattern::parse("webhook.*").into_iter().collect();
    let mut exact = webhook(at(3));
    exact.details.kinds = EventPattern::parse("webhook.test").into_iter().collect();
    let mut others = webhook(at(4));
    others.details.kinds = [EventPattern::stored("alert.*".to_owned())].into();
    let mut disabled = webhook(at(5));
    disabled.details.enabled = false;
    let mut trial = webhook(at(6));
    trial.environment = Environment::Test;
    let mut elsewhere = webhook(at(7));
    elsewhere.project = other_project();
    for webhook in [&all, &family, &exact, &others, &disabled, &trial, &elsewhere] {
        create(&db, webhook).await;
    }
    let told = webhook_event(at(10));
    assert_eq!(db.store.enqueue_event(&told).await, Ok(Enqueued { deliveries: 3, dropped: 0 }));
    assert_eq!(db.store.enqueue_event(&told).await, Ok(Enqueued::default()), "once an event");
    for webhook in [&all, &family, &exact] {
        let [delivery] = &deliveries(&db, &webhook.id).await[..] else { panic!("one delivery") };
        let wanted = Delivery {
            webhook: webhook.id.clone(),
            id: told.id.clone(),
            kind: "webhook.test".to_owned(),
            payload: told.payload(),
            state: DeliveryState::Waiting,
            created_at: at(10),
            due_at: Some(at(10)),
            attempts: 0,
            last: None,
        };
        assert_eq!(*delivery, wanted);
    }
    for webhook in [&others, &disabled, &trial, &elsewhere] {
        assert_eq!(deliveries(&db, &webhook.id).await, []);
    }
    assert_eq!(db.store.count_waiting_deliveries().await, Ok(3));
    assert_eq!(due(&db.store, at(9)).await, []);
    assert_eq!(db.store.list_due_webhooks(at(10), 2).await.unwrap().len(), 2);

    // What is deleted is told of no more.
    db.store.delete_webhook(&all, 1, &event(&project())).await.unwrap();
    assert_eq!(deliveries(&db, &all.id).await[0].state, DeliveryState::Dropped);
    assert!(claim(&db.store, &all.id, at(11)).await.is_none());
}

async fn what_fails_is_tried_again(db: TestDb) {
    let one = webhook(at(1));
    create(&db, &one).await;
    let told = webhook_event(at(2));
    db.store.enqueue_event(&told).await.unwrap();
    let first = claim(&db.store, &one.id, at(3)).await.unwrap();
    assert_eq!((first.url.as_str(), &first.secrets[..]), ("https://hooks.example/a", &[b"sealed".to_vec()][..]));
    let [delivery] = &first.deliveries[..] else { panic!("{first:?}") };
    assert_eq!((delivery.payload.as_str(), delivery.tries, delivery.attempts), (told.payload().as_str(), 1, 1));
    assert!(claim(&db.store, &one.id, at(3)).await.is_none(), "somebody is at it");
    let failed = attempt(at(3), Some(AttemptError::Status));
    let settled = Settled { attempt: failed, state: DeliveryState::Waiting, due_at: Some(at(100)), disable: None };
    assert_eq!(db.store.settle_delivery(&first, delivery, &settled).await, Ok(Settlement::Written));
    db.store.release_webhook(&first, at(3)).await.unwrap();
    assert_eq!(find(&db, &one).await.unwrap().failing_since, Some(at(3)));
    let shown = &deliveries(&db, &one.id).await[0];
    assert_eq!((shown.due_at, shown.attempts, shown.last), (Some(at(100)), 1, Some(failed)));
    assert!(db.store.list_due_webhooks(at(99), 10).await.unwrap().is_empty());
    assert!(claim(&db.store, &one.id, at(99)).await.is_none());

    // Something new does not wait for that, and is not held back by it.
    let newer = webhook_event(at(50));
    db.store.enqueue_event(&newer).await.unwrap();
    let second = claim(&db.store, &one.id, at(51)).await.unwrap();
    assert_eq!(second.deliveries.iter().map(|delivery| &delivery.id).collect::<Vec<_>>(), [&newer.id]);
    assert_eq!(second.failing_since, Some(at(3)));
    let done = attempt(at(51), None);
    let settled = Settled { attempt: done, state: DeliveryState::Delivered, due_at: None, disable: None };
    assert_eq!(db.store.settle_delivery(&second, &second.deliveries[0], &settled).await, Ok(Settlement::Written));
    db.store.release_webhook(&second, at(51)).await.unwrap();
    assert_eq!(find(&db, &one).await.unwrap().failing_since, None);
    assert_eq!(due(&db.store, at(100)).await, std::slice::from_ref(&one.id));
    let third = claim(&db.store, &one.id, at(100)).await.unwrap();
    assert_eq!((third.deliveries[0].tries, third.deliveries[0].attempts), (2, 2));
    // What was added while somebody was at it is not forgotten.
    db.store.enqueue_event(&webhook_event(at(101))).await.unwrap();
    let settled = Settled { attempt: attempt(at(102), None), ..settled };
    db.store.settle_delivery(&third, &third.deliveries[0], &settled).await.unwrap();
    assert!(db.store.list_due_webhooks(at(102), 10).await.unwrap().is_empty(), "busy");
    db.store.release_webhook(&third, at(102)).await.unwrap();
    assert_eq!(db.store.list_due_webhooks(at(102), 10).await.unwrap().len(), 1);
}

async fn a_claimed_delivery_is_tried_by_others_once_the_lease_is_over(db: TestDb) {
    let one = webhook(at(1));
    create(&db, &one).await;
    db.store.enqueue_event(&webhook_event(at(2))).await.unwrap();
    let lost = claim(&db.store, &one.id, at(3)).await.unwrap();
    assert!(db.store.list_due_webhooks(at(62), 10).await.unwrap().is_empty());
    let other = db.second().await;
    assert_eq!(due(&other, at(63)).await, std::slice::from_ref(&one.id));
    let again = claim(&other, &one.id, at(63)).await.unwrap();
    assert_eq!((again.deliveries[0].tries, again.deliveries[0].attempts), (2, 2));
    // The one that was thought lost comes back, too late to say anything.
    let settled =
        Settled { attempt: attempt(at(64), None), state: DeliveryState::Delivered, due_at: None, disable: None };
    assert_eq!(db.store.settle_delivery(&lost, &lost.deliveries[0], &settled).await, Ok(Settlement::TooLate));
    db.store.release_webhook(&lost, at(64)).await.unwrap();
    assert!(claim(&db.store, &one.id, at(64)).await.is_none(), "the other one is still at it");
    assert_eq!(other.settle_delivery(&again, &again.deliveries[0], &settled).await, Ok(Settlement::Written));
    other.release_webhook(&again, at(64)).await.unwrap();
    assert_eq!(db.store.count_waiting_deliveries().await, Ok(0));
    assert_eq!(deliveries(&db, &one.id).await[0].state, DeliveryState::Delivered);
}

async fn nodes_claim_each_delivery_once(db: TestDb) {
    let hooks: Vec<_> = (0..4).map(|n| webhook(at(n))).collect();
    for hook in &hooks {
        create(&db, hook).await;
    }
    for n in 0..10 {
        db.store.enqueue_event(&webhook_event(at(10 + n))).await.unwrap();
    }
    let nodes = [db.second().await, db.second().await, db.second().await];
    let mut tasks = tokio::task::JoinSet::new();
    for node in nodes {
        tasks.spawn(async move {
            let mut taken = Vec::new();
            // 4 webhooks with 10 deliveries each, 4 at a time: 12 rounds, if nobody else did any.
            for _ in 0..200 {
                for id in due(&node, at(30)).await {
                    let Some(claim) = claim(&node, &id, at(30)).await else { continue };
                    for delivery in &claim.deliveries {
                        let attempt = attempt(at(30), None);
                        let state = DeliveryState::Delivered;
                        let settled = Settled { attempt, state, due_at: None, disable: None };
                        assert_eq!(node.settle_delivery(&claim, delivery, &settled).await, Ok(Settlement::Written));
                        taken.push((id.clone(), delivery.id.clone()));
                    }
                    node.release_webhook(&claim, at(30)).await.unwrap();
                }
                if node.count_waiting_deliveries().await.unwrap() == 0 {
                    break;
                }
            }
            taken
        });
    }
    let taken: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 40);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), 40);
}

async fn a_webhook_is_disabled_and_what_waits_is_given_up(db: TestDb) {
    let mut one = webhook(at(1));
    create(&db, &one).await;
    for n in 0..6 {
        db.store.enqueue_event(&webhook_event(at(2 + n))).await.unwrap();
    }
    let claimed = claim(&db.store, &one.id, at(10)).await.unwrap();
    assert_eq!(claimed.deliveries.len(), 4);
    let gone = Attempt { status: Some(410), ..attempt(at(10), Some(AttemptError::Gone)) };
    let (state, disable) = (DeliveryState::Failed, Some(DisabledReason::Gone));
    let settled = Settled { attempt: gone, state, due_at: None, disable };
    let settle = async |n: usize| db.store.settle_delivery(&claimed, &claimed.deliveries[n], &settled).await;
    assert_eq!(settle(0).await, Ok(Settlement::Disabled));
    assert_eq!(settle(1).await, Ok(Settlement::TooLate), "it was given up with the others");
    db.store.release_webhook(&claimed, at(10)).await.unwrap();
    let found = find(&db, &one).await.unwrap();
    assert_eq!((found.details.enabled, found.disabled, found.version), (false, disable, 2));
    let states: Vec<_> = deliveries(&db, &one.id).await.iter().map(|delivery| delivery.state).collect();
    let dropped = |state: &&DeliveryState| **state == DeliveryState::Dropped;
    assert_eq!((states.iter().filter(dropped).count(), states.len()), (5, 6));
    assert!(db.store.list_due_webhooks(at(1_000), 10).await.unwrap().is_empty());
    assert_eq!(db.store.enqueue_event(&webhook_event(at(20))).await, Ok(Enqueued::default()));

    // Enabled again, it begins anew; disabled by somebody, it gives up what waits too.
    one = found;
    one.update(one.details.clone(), at(21));
    assert!(one.disabled.is_some(), "still disabled");
    let mut details = one.details.clone();
    details.enabled = true;
    one.update(details.clone(), at(21));
    db.store.update_webhook(&one, 2, &event(&project())).await.unwrap();
    let found = find(&db, &one).await.unwrap();
    assert_eq!((found.details.enabled, found.disabled, found.failing_since), (true, None, None));
    assert_eq!(db.store.enqueue_event(&webhook_event(at(22))).await.unwrap().deliveries, 1);
    details.enabled = false;
    one.update(details, at(23));
    db.store.update_webhook(&one, found.version, &event(&project())).await.unwrap();
    assert_eq!(db.store.count_waiting_deliveries().await, Ok(0));
}

async fn what_an_address_answers_is_not_held_against_the_next(db: TestDb) {
    let mut one = webhook(at(1));
    create(&db, &one).await;
    for n in 0..4 {
        db.store.enqueue_event(&webhook_event(at(2 + n))).await.unwrap();
    }
    let claimed = claim(&db.store, &one.id, at(10)).await.unwrap();
    let mut details = one.details.clone();
    details.url = WebhookUrl::parse("https://hooks.example/new").unwrap();
    one.update(details, at(11));
    db.store.update_webhook(&one, 1, &event(&project())).await.unwrap();

    let failed = attempt(at(10), Some(AttemptError::Status));
    let settled = |error, disable| Settled {
        attempt: Attempt { error, ..failed },
        state: if error.is_some() { DeliveryState::Failed } else { DeliveryState::Delivered },
        due_at: None,
        disable,
    };
    let later = Settled { state: DeliveryState::Waiting, due_at: Some(at(9_000)), ..settled(failed.error, None) };
    let cases = [
        (settled(Some(AttemptError::Gone), Some(DisabledReason::Gone)), Settlement::Moved),
        (settled(failed.error, Some(DisabledReason::Failing)), Settlement::Moved),
        (later, Settlement::Moved),
        (settled(None, None), Settlement::Written),
    ];
    for (claimed_one, (settled, wanted)) in claimed.deliveries.iter().zip(&cases) {
        assert_eq!(db.store.settle_delivery(&claimed, claimed_one, settled).await, Ok(*wanted), "{settled:?}");
        assert_eq!(find(&db, &one).await, Some(one.clone()), "{settled:?}");
        let shown = db.store.find_delivery(&one.id, &claimed_one.id).await.unwrap().unwrap();
        let wanted = match wanted {
            Settlement::Moved => (DeliveryState::Waiting, Some(at(10)), Some(settled.attempt)),
            _ => (DeliveryState::Delivered, None, Some(settled.attempt)),
        };
        assert_eq!((shown.state, shown.due_at, shown.last), wanted);
    }
    db.store.release_webhook(&claimed, at(10)).await.unwrap();
    let again = claim(&db.store, &one.id, at(12)).await.unwrap();
    assert_eq!((again.url.as_str(), again.deliveries.len()), ("https://hooks.example/new", 3));

    // Nor does what arrived at the old one excuse the new one.
    let failed = settled(Some(AttemptError::Status), None);
    assert_eq!(db.store.settle_delivery(&again, &again.deliveries[0], &failed).await, Ok(Settlement::Written));
    let old = Claim { url: claimed.url.clone(), ..again.clone() };
    let arrived = settled(None, None);
    assert_eq!(db.store.settle_delivery(&old, &again.deliveries[1], &arrived).await, Ok(Settlement::Written));
    assert_eq!(find(&db, &one).await.unwrap().failing_since, Some(at(10)));
}

async fn secrets_are_rotated(db: TestDb) {
    let mut one = webhook(at(1));
    create(&db, &one).await;
    let secrets = async |now| db.store.find_webhook_secrets(&one.id, now).await.unwrap();
    assert_eq!(secrets(at(2)).await, [b"sealed"]);
    for (end, sealed) in [(Some(at(100)), b"second"), (Some(at(200)), b"third.")] {
        let (mut next, version) = (one.clone(), one.version);
        (next.old_secret_ends_at, next.version, next.updated_at) = (end, version + 1, at(3));
        db.store.rotate_webhook_secret(&next, version, sealed, None, &event(&project())).await.unwrap();
        let stale = db.store.rotate_webhook_secret(&next, version, b"stale", None, &event(&project())).await;
        assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
        one = next;
        assert_eq!(find(&db, &one).await, Some(one.clone()));
    }
    let secrets = async |now| db.store.find_webhook_secrets(&one.id, now).await.unwrap();
    assert_eq!(secrets(at(199)).await, [b"third.", b"second"], "the first one ended with the second rotation");
    assert_eq!(secrets(at(200)).await, [b"third."]);
    assert_eq!(db.store.prune_webhook_secrets(at(199), 10).await, Ok(0));
    assert_eq!(db.store.prune_webhook_secrets(at(200), 10).await, Ok(1));
    assert_eq!(find(&db, &one).await.unwrap().old_secret_ends_at, None);
    let (mut next, version) = (one.clone(), one.version);
    (next.old_secret_ends_at, next.version) = (None, version + 1);
    db.store.rotate_webhook_secret(&next, version, b"fourth", None, &event(&project())).await.unwrap();
    assert_eq!(secrets(at(4)).await, [b"fourth"], "at once");
}

async fn secrets_are_sealed_anew(db: TestDb) {
    let keyring = master_key().derive();
    let mut one = webhook(at(1));
    let seal = |secret: &str| keyring.seal(secret.as_bytes(), &seal_context(one.id.as_str()));
    let (first, second) = (seal("first"), seal("second"));
    db.store.create_webhook(&one, &first, None, &event(&project())).await.unwrap();
    (one.old_secret_ends_at, one.version) = (Some(at(100)), 2);
    db.store.rotate_webhook_secret(&one, 1, &second, None, &event(&project())).await.unwrap();

    keyring.learn(master_key(), 2, &master_key().founding_keys().with_new_seal(&SystemEntropy));
    assert_eq!(db.store.reseal(&keyring).await.unwrap(), Resealed { anew: 2, unreadable: 0 });
    assert_eq!(db.store.reseal(&keyring).await.unwrap(), Resealed::default());
    let sealed = db.store.find_webhook_secrets(&one.id, at(2)).await.unwrap();
    assert!(sealed.iter().all(|sealed| sealed[..4] == keyring.newest_seal()));
    let open = |sealed: &Vec<u8>| keyring.open(sealed, &seal_context(one.id.as_str())).unwrap().to_vec();
    assert_eq!(sealed.iter().map(open).collect::<Vec<_>>(), [b"second".to_vec(), b"first".to_vec()]);
}

async fn deliveries_are_listed_redelivered_and_forgotten(db: TestDb) {
    let one = webhook(at(1));
    create(&db, &one).await;
    for n in 0..5 {
        db.store.enqueue_event(&webhook_event(at(2 + n))).await.unwrap();
    }
    let claimed = claim(&db.store, &one.id, at(10)).await.unwrap();
    let settled =
        Settled { attempt: attempt(at(10), None), state: DeliveryState::Delivered, due_at: None, disable: None };
    for delivery in &claimed.deliveries {
        db.store.settle_delivery(&claimed, delivery, &settled).await.unwrap();
    }
    db.store.release_webhook(&claimed, at(10)).await.unwrap();
    let list = async |state, page: &PageRequest| {
        db.store.list_deliveries(&one.id, &DeliveryFilter { state }, page).await.unwrap()
    };
    let delivered = list(Some(DeliveryState::Delivered), &numbered(3, 0)).await;
    assert_eq!((delivered.items.len(), delivered.has_more, delivered.total), (3, true, Some(4)));
    assert_eq!(list(Some(DeliveryState::Waiting), &first(9)).await.items.len(), 1);
    let newest = list(None, &first(2)).await;
    let after = PageRequest::After { limit: 9, after: Some(newest.items[1].id.to_string()) };
    assert_eq!(list(None, &after).await.items.len(), 3);
    assert!(newest.items[0].created_at > newest.items[1].created_at);

    // Once more: it is told again, and the log says how often it was.
    let again = &claimed.deliveries[0].id;
    assert_eq!(db.store.redeliver(&one.id, again, at(20), &event(&project())).await, Ok(true));
    let unknown = webhook_event(at(1)).id;
    assert_eq!(db.store.redeliver(&one.id, &unknown, at(20), &event(&project())).await, Ok(false));
    assert_eq!(db.store.redeliver(&webhook(at(1)).id, again, at(20), &event(&project())).await, Ok(false));
    let second = claim(&db.store, &one.id, at(20)).await.unwrap();
    let second = second.deliveries.iter().find(|delivery| delivery.id == *again).unwrap();
    assert_eq!((second.tries, second.attempts), (1, 2));

    let ended = Delivery { state: DeliveryState::Failed, attempts: 1, due_at: None, ..newest.items[0].clone() };
    let ended = Delivery { id: webhook_event(at(30)).id, last: Some(attempt(at(30), None)), ..ended };
    db.store.record_delivery(&project(), Environment::Live, &ended).await.unwrap();
    assert_eq!(db.store.find_delivery(&one.id, &ended.id).await, Ok(Some(ended)));
    assert_eq!(db.store.find_delivery(&webhook(at(1)).id, again).await, Ok(None));

    // What still waits is kept, however old.
    assert_eq!(db.store.prune_deliveries(at(1_000), 2).await, Ok(2));
    assert_eq!(db.store.prune_deliveries(at(1_000), 10).await, Ok(2));
    assert_eq!(list(None, &first(9)).await.items.len(), 2);
}
