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
use crate::domain::key::KeyKind;
use crate::domain::reason::Reason;
use crate::domain::usage::{Subject, Tally, Watch};
use crate::domain::user::{User, UserKind};
use crate::store::{AlertFilter, Conflict, DeliveryFilter, StoreError};

on_both_engines! {
    a_flood_of_keys_makes_a_bounded_number_of_alerts,
    a_rule_is_changed_by_one_at_a_time,
    alerts_and_claims_are_forgotten_in_batches,
    an_alert_and_its_event_are_one,
    ends_are_told_once_and_in_parts,
    keys_of_one_leave_room_for_those_of_others,
    keys_of_many_users_leave_room_for_those_of_the_project,
    what_is_held_back_is_told_when_there_is_room,
    what_is_held_back_says_nothing_of_the_alert_that_counts_it,
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

fn person(handle: &str) -> User {
    User { kind: UserKind::Human, ..service_account(handle, at(1)) }
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
    let says_so: Vec<_> = alerts.iter().filter(|alert| alert.message.contains("100th")).collect();
    assert!(matches!(says_so[..], [alert] if alert.calls == 3 + 900), "{says_so:?}");
}

async fn what_is_held_back_is_told_when_there_is_room(db: TestDb) {
    let day = Duration::from_secs(24 * 3600);
    let ends = at(1).plus(20 * day);
    for _ in 0..103 {
        let mut key = key(at(1));
        key.details.expires_at = Some(ends);
        db.create(&key).await;
    }
    let now = at(1).plus(10 * day);
    let told =
        async |now: Timestamp| db.store.raise_expiring(now, ends, None, 500, &SystemEntropy).await.unwrap().0.len();
    assert_eq!(told(now).await, 100);
    let minute = Duration::from_secs(60);
    assert_eq!((told(now.plus(minute)).await, told(now.plus(59 * minute)).await), (0, 0));
    let counts =
        |alerts: &[Alert]| alerts.iter().map(|alert| alert.calls).filter(|calls| *calls > 0).collect::<Vec<_>>();
    assert_eq!(counts(&all(&db).await), [3], "each is counted once, in one alert");
    assert_eq!((told(now.plus(61 * minute)).await, told(now.plus(62 * minute)).await), (3, 0));
    let all = all(&db).await;
    let subjects: std::collections::BTreeSet<_> = all.iter().map(|alert| alert.subject.clone().unwrap()).collect();
    assert_eq!((all.len(), subjects.len()), (103, 103));
}

async fn keys_of_one_leave_room_for_those_of_others(db: TestDb) {
    let user = person("ann");
    db.store.create_user(&user, &event(&project())).await.unwrap();
    let mut keys: Vec<_> = (0..45).map(|_| key(at(1))).collect();
    for (n, key) in keys.iter_mut().enumerate() {
        match n / 15 {
            0 => key.details.owner = Some("ann".to_owned()),
            1 => (key.kind, key.user, key.details.name) = (KeyKind::User, Some(user.id.clone()), format!("key-{n}")),
            _ => {}
        }
        db.create(key).await;
    }
    let mut raised = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        raised
            .push(db.store.add_usage(&[refused(&key.id, 100, at(60 + n as u64))], &SystemEntropy).await.unwrap().len());
    }
    let of = |part: usize| raised[part * 15..][..15].iter().sum::<usize>();
    assert_eq!((of(0), of(1), of(2)), (10, 10, 15));
    for (n, words) in [(9, "keys of one owner"), (24, "keys of one user")] {
        let last = all(&db).await.into_iter().find(|alert| alert.subject == Some(keys[n].id.clone().into())).unwrap();
        assert!(last.message.contains("10th") && last.message.contains(words), "{}", last.message);
        assert_eq!((last.calls, last.observed), (600, 100));
    }
    // What goes on is counted there too, and told when there is room.
    let again = |now| [refused(&keys[14].id, 7, now)];
    assert_eq!(db.store.add_usage(&again(at(200)), &SystemEntropy).await.unwrap(), []);
    let last = all(&db).await.into_iter().find(|alert| alert.subject == Some(keys[9].id.clone().into())).unwrap();
    assert_eq!((last.calls, last.last_at), (607, at(200)));
    let later = [refused(&keys[14].id, 100, at(3_700))];
    assert_eq!(db.store.add_usage(&later, &SystemEntropy).await.unwrap().len(), 1);
}

async fn keys_of_many_users_leave_room_for_those_of_the_project(db: TestDb) {
    let mut raised = 0;
    for n in 0..12 {
        let user = person(&format!("user-{n}"));
        db.store.create_user(&user, &event(&project())).await.unwrap();
        for m in 0..5 {
            let mut key = key(at(1));
            (key.kind, key.user, key.details.name) = (KeyKind::User, Some(user.id.clone()), format!("key-{m}"));
            db.create(&key).await;
            raised += db.store.add_usage(&[refused(&key.id, 100, at(60))], &SystemEntropy).await.unwrap().len();
        }
    }
    assert_eq!(raised, 50);
    let own = key(at(1));
    db.create(&own).await;
    assert_eq!(db.store.add_usage(&[refused(&own.id, 100, at(61))], &SystemEntropy).await.unwrap().len(), 1);
}

async fn what_is_held_back_says_nothing_of_the_alert_that_counts_it(db: TestDb) {
    let key = key(at(1));
    db.create(&key).await;
    let from = async |n: u8, now: Timestamp| {
        let subject = subject(&key.id, Watch::default());
        let agent = Some(Arc::new(format!("client {n}").into()));
        let call = Tally { address: Some([10, 0, n, 1].into()), user_agent: agent, ..tally(&subject, now) };
        db.store.add_usage(&[call], &SystemEntropy).await.unwrap()
    };
    // The first one teaches.
    let mut raised = 0;
    for n in 0..=12 {
        raised += from(n, at(u64::from(n))).await.len();
    }
    assert_eq!(raised, 10);
    from(12, at(40)).await;
    let alerts = all(&db).await;
    let [last, rest @ ..] = &alerts[..] else { panic!("alerts") };
    assert!(last.message.contains("10th") && last.message.contains("10.0.10.0/24"), "{}", last.message);
    let shown = (last.address.map(|address| address.to_string()), last.user_agent.as_deref(), last.calls);
    assert_eq!(shown, (Some("10.0.10.1".to_owned()), Some("client 10"), 1 + 3));
    assert!(rest.iter().all(|alert| alert.calls == 1), "{rest:?}");
    // A network that was held back is not known: it is told when there is room. One that was told is.
    let hour = 3_600;
    let kinds = |raised: Vec<Alert>| raised.iter().map(|alert| alert.kind).collect::<Vec<_>>();
    assert_eq!(kinds(from(12, at(hour + 100)).await), [AlertKind::NewNetwork]);
    assert_eq!(kinds(from(11, at(hour + 101)).await), [AlertKind::NewNetwork]);
    assert_eq!((kinds(from(12, at(hour + 102)).await), kinds(from(10, at(hour + 103)).await)), (vec![], vec![]));
    // The networks that were held back have pushed none out that was known.
    assert_eq!(kinds(from(0, at(hour + 104)).await), []);
}

async fn an_alert_and_its_event_are_one(db: TestDb) {
    let webhook = webhook(at(1));
    db.store.create_webhook(&webhook, b"sealed", None, &event(&project())).await.unwrap();
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
