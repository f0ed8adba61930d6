//! Alerts: each is raised once, whoever counts, with what webhooks are told of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::on_both_engines;
use super::support::*;
use crate::domain::alert::{Alert, AlertKind, AlertRule};
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::KeyId;
use crate::domain::reason::Reason;
use crate::domain::usage::{Subject, Tally, Watch};
use crate::store::{AlertFilter, Conflict, DeliveryFilter, StoreError};

on_both_engines! {
    a_flood_of_keys_makes_a_bounded_number_of_alerts,
    a_rule_is_changed_by_one_at_a_time,
    alerts_and_claims_are_forgotten_in_batches,
    an_alert_and_its_event_are_one,
    ends_are_told_once_and_in_parts,
    what_nodes_count_in_parts_is_one_alert,
    what_was_learned_is_there_after_a_restart,
}

fn subject(key: &KeyId, watch: Watch) -> Arc<Subject> {
    let place = Some((project(), Environment::Live));
    Arc::new(Subject { place, key: Some(key.clone()), watch, ..Subject::default() })
}

fn refused(key: &KeyId, calls: u64, now: Timestamp) -> Tally {
    let subject = subject(key, Watch::default());
    Tally { outcome: Some(Reason::Expired), calls, ..tally(&subject, now) }
}

async fn all(db: &TestDb) -> Vec<Alert> {
    let filter = AlertFilter::default();
    db.store.list_alerts(&project(), Environment::Live, &filter, &first(1_000)).await.unwrap().items
}

async fn what_nodes_count_in_parts_is_one_alert(db: TestDb) {
    let key = key(at(1));
    db.create(&key).await;
    let mut nodes = JoinSet::new();
    for node in 0..4_u64 {
        let (store, key) = (db.second().await, key.id.clone());
        nodes.spawn(async move {
            let mut raised = 0;
            for _ in 0..10 {
                // None of them alone counts as many as the rule says.
                let counted = [refused(&key, 5, at(60 + node))];
                raised += store.add_usage(&counted, &SystemEntropy).await.unwrap().len();
            }
            raised
        });
    }
    assert_eq!(nodes.join_all().await.iter().sum::<usize>(), 1);
    let [alert] = &all(&db).await[..] else { panic!("one alert") };
    assert_eq!((alert.kind, alert.calls, alert.observed), (AlertKind::ManyRefusals, 200, 200));
    assert!(alert.message.contains(&key.details.name), "{}", alert.message);
}

async fn what_was_learned_is_there_after_a_restart(db: TestDb) {
    let key = key(at(1)).id;
    let from = |address: &str, now| {
        let subject = subject(&key, Watch::default());
        Tally { address: Some(address.parse().unwrap()), ..tally(&subject, now) }
    };
    let mut told = Vec::new();
    for (n, address) in ["192.0.2.1", "2001:db8::1", "192.0.2.9", "2001:db8:0:9::1", "10.0.0.1"].iter().enumerate() {
        let store = db.second().await;
        let day = Duration::from_secs(24 * 3600 * n as u64);
        let raised = store.add_usage(&[from(address, at(1).plus(day))], &SystemEntropy).await.unwrap();
        told.push(raised.iter().map(|alert| alert.kind).collect::<Vec<_>>());
    }
    let new = vec![AlertKind::NewNetwork];
    assert_eq!(told, [vec![], new.clone(), vec![], vec![], new]);
    let month = Duration::from_secs(40 * 24 * 3600);
    let raised = db.store.add_usage(&[from("10.0.0.1", at(1).plus(month))], &SystemEntropy).await.unwrap();
    assert_eq!(raised.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::DormantKey]);
}

async fn a_flood_of_keys_makes_a_bounded_number_of_alerts(db: TestDb) {
    let honey = Watch { honey: true, ..Watch::default() };
    let touched = |n: u64| {
        let subject = subject(&KeyId::new(at(n), &SystemEntropy), honey);
        Tally { outcome: Some(Reason::NotFound), calls: 3, ..tally(&subject, at(1_000 + n)) }
    };
    let mut raised = 0;
    for part in 0..4 {
        let tallies: Vec<_> = (0..100).map(|n| touched(part * 100 + n)).collect();
        raised += db.store.add_usage(&tallies, &SystemEntropy).await.unwrap().len();
    }
    let alerts = all(&db).await;
    assert_eq!((raised, alerts.len()), (100, 100));
    assert_eq!(alerts.iter().map(|alert| alert.calls).sum::<i64>(), 1_200, "no call is lost");
    assert_eq!(alerts.iter().filter(|alert| alert.message.contains("100th")).count(), 1);
}

async fn an_alert_and_its_event_are_one(db: TestDb) {
    let webhook = webhook(at(1));
    db.store.create_webhook(&webhook, b"sealed", &event(&project())).await.unwrap();
    let key = key(at(1));
    for n in 0..3 {
        db.store.add_usage(&[refused(&key.id, 100, at(60 + n))], &SystemEntropy).await.unwrap();
    }
    let told = db.store.list_deliveries(&webhook.id, &DeliveryFilter::default(), &first(10)).await.unwrap().items;
    let [told] = &told[..] else { panic!("{told:?}") };
    assert_eq!(told.kind, "alert.many_refusals");
    // After the cooldown there is another.
    db.store.add_usage(&[refused(&key.id, 100, at(60 + 3_600))], &SystemEntropy).await.unwrap();
    assert_eq!(
        db.store.list_deliveries(&webhook.id, &DeliveryFilter::default(), &first(10)).await.unwrap().items.len(),
        2
    );
    assert_eq!(all(&db).await.len(), 2);
}

async fn ends_are_told_once_and_in_parts(db: TestDb) {
    let day = Duration::from_secs(24 * 3600);
    let now = at(1).plus(20 * day);
    for n in 0..7_u32 {
        let mut key = key(at(1));
        // The last two are too far away.
        key.details.expires_at = Some(now.plus(day * (1 + n * 3)));
        db.create(&key).await;
    }
    // Nobody plans for the end of what is to be found, and what was made to end soon is told of later.
    for (honey, made) in [(true, at(1)), (false, now)] {
        let mut key = key(made);
        (key.details.honey, key.details.expires_at) = (honey, Some(now.plus(2 * day)));
        db.create(&key).await;
    }
    let until = now.plus(90 * day);
    let (mut raised, mut place, mut parts) = (0, None, 0);
    loop {
        let (part, next) = db.store.raise_expiring(now, until, place.as_ref(), 2, &SystemEntropy).await.unwrap();
        (raised, parts, place) = (raised + part.len(), parts + 1, next);
        if place.is_none() {
            break;
        }
    }
    // Parts of two of the eight that are no honey keys.
    assert_eq!((raised, parts), (5, 5));
    let second = Duration::from_secs(1);
    let (again, _) = db.store.raise_expiring(now.plus(second), until, None, 100, &SystemEntropy).await.unwrap();
    assert_eq!(again, []);
    let (more, _) = db.store.raise_expiring(now.plus(3 * day), until, None, 100, &SystemEntropy).await.unwrap();
    assert_eq!(more.iter().map(|alert| alert.kind).collect::<Vec<_>>(), [AlertKind::KeyExpiring]);
}

async fn a_rule_is_changed_by_one_at_a_time(db: TestDb) {
    let mut rule = AlertRule::default_of(AlertKind::NewNetwork);
    rule.update(false, rule.thresholds, at(5));
    let update = async |rule: &AlertRule, version| {
        db.store.update_alert_rule(&project(), rule, version, &event(&project())).await
    };
    let stale = Err(StoreError::Conflict(Conflict::Version));
    assert_eq!(update(&AlertRule { version: 4, ..rule.clone() }, 3).await, stale, "there is none to change");
    assert_eq!(update(&rule, 0).await, Ok(()));
    assert_eq!(update(&rule, 0).await, stale);
    assert_eq!(db.store.find_alert_rules(&project()).await.unwrap().of(AlertKind::NewNetwork), rule);
    assert!(db.store.find_alert_rules(&other_project()).await.unwrap().enabled(AlertKind::NewNetwork).is_some());
    let mut next = rule.clone();
    next.update(true, rule.thresholds, at(6));
    assert_eq!(update(&next, 1).await, Ok(()));
    assert_eq!(db.store.find_alert_rules(&project()).await.unwrap().of(AlertKind::NewNetwork), next);
}

async fn alerts_and_claims_are_forgotten_in_batches(db: TestDb) {
    for n in 0..5 {
        let key = KeyId::new(at(n), &SystemEntropy);
        db.store.add_usage(&[refused(&key, 100, at(n * 10_000))], &SystemEntropy).await.unwrap();
    }
    assert_eq!(db.store.prune_alerts(at(20_001), 2).await, Ok(2));
    assert_eq!(db.store.prune_alerts(at(20_001), 2).await, Ok(1));
    assert_eq!(all(&db).await.len(), 2);
    assert_eq!(db.store.prune_alert_claims(at(20_000), 10).await, Ok(2));
    assert_eq!(db.store.prune_alert_claims(at(1_000_000), 10).await, Ok(3));
}
