//! Counts of calls, the access log and last uses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::on_both_engines;
use super::support::*;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, KeyId, ProjectId, UserId};
use crate::domain::page::PageRequest;
use crate::domain::reason::Reason;
use crate::domain::scope::Scope;
use crate::domain::usage::{Grain, LastUse, Subject, Tally};
use crate::store::{AccessFilter, UsageFilter, UsageGroups, UsageQuery};

on_both_engines! {
    counts_are_told_apart_as_asked,
    counts_of_many_nodes_are_added,
    old_counts_and_entries_are_forgotten_in_batches,
    the_access_log_is_filtered_and_paged,
    the_last_use_only_goes_forward,
}

/// A subject of the first project's live environment.
fn subject(key: Option<&KeyId>) -> Subject {
    Subject { place: Some((project(), Environment::Live)), key: key.cloned(), ..Subject::default() }
}

fn query(grain: Grain, by: UsageGroups) -> UsageQuery {
    let (from, before) = (Timestamp::from_micros(0), at(1_000_000));
    UsageQuery { grain, from, before, by, filter: UsageFilter::default(), limit: 1_000 }
}

async fn total(db: &TestDb, query: &UsageQuery) -> u64 {
    let rows = db.store.report_usage(&project(), Environment::Live, query).await.unwrap();
    rows.iter().map(|row| row.calls).sum()
}

async fn counts_of_many_nodes_are_added(db: TestDb) {
    let keys: Vec<_> = (0..250).map(|n| KeyId::new(at(n), &SystemEntropy)).collect();
    let mut nodes = JoinSet::new();
    for node in 0..4 {
        let store = db.second().await;
        let keys = keys.clone();
        nodes.spawn(async move {
            for round in 0..3_u64 {
                // Each node in an order of its own, and some rows twice.
                let mut tallies: Vec<_> = keys.iter().map(|key| tally(&subject(Some(key)), at(round * 60))).collect();
                tallies.rotate_left(node * 60);
                tallies.extend(tallies.clone().into_iter().take(50));
                store.add_usage(&tallies, &SystemEntropy).await.unwrap();
            }
        });
    }
    nodes.join_all().await;
    for grain in Grain::ALL {
        assert_eq!(total(&db, &query(grain, UsageGroups::default())).await, 4 * 3 * 300, "{grain:?}");
    }
    let by = UsageGroups { key: true, ..UsageGroups::default() };
    let rows = db.store.report_usage(&project(), Environment::Live, &query(Grain::Minute, by)).await.unwrap();
    assert_eq!(rows.len(), 3 * 250);
    let log =
        db.store.list_access(&project(), Environment::Live, &AccessFilter::default(), &first(1_000)).await.unwrap();
    assert_eq!((log.items.len(), log.items.iter().map(|entry| entry.calls).sum::<u64>()), (3 * 250, 4 * 3 * 300));
}

async fn counts_are_told_apart_as_asked(db: TestDb) {
    let (ann, ben) = (key(at(1)), key(at(2)));
    for (mut key, owner) in [(ann.clone(), Some("ann")), (ben.clone(), None)] {
        key.details.owner = owner.map(str::to_owned);
        db.create(&key).await;
    }
    let (client, user) = (ClientId::new(at(1), &SystemEntropy), UserId::new(at(1), &SystemEntropy));
    let of_client = Subject { client: Some(client.clone()), user: Some(user.clone()), ..subject(None) };
    let elsewhere = Subject { place: Some((other_project(), Environment::Live)), ..subject(Some(&ann.id)) };
    let in_test = Subject { place: Some((project(), Environment::Test)), ..subject(Some(&ann.id)) };
    let calls = |subject: &Subject, seconds: u64, calls: u64| Tally { calls, ..tally(subject, at(seconds)) };
    let refused = Tally { outcome: Some(Reason::Expired), ..calls(&subject(Some(&ben.id)), 0, 7) };
    let looked = Tally { method: "verification", ..calls(&subject(Some(&ann.id)), 61, 5) };
    let all = [
        calls(&subject(Some(&ann.id)), 0, 1),
        calls(&subject(Some(&ann.id)), 59, 2),
        looked,
        refused,
        calls(&of_client, 4_000, 11),
        calls(&elsewhere, 0, 100),
        calls(&in_test, 0, 1_000),
    ];
    db.store.add_usage(&all, &SystemEntropy).await.unwrap();

    let none = UsageGroups::default();
    let told = async |query: UsageQuery| -> Vec<(u64, u64)> {
        let rows = db.store.report_usage(&project(), Environment::Live, &query).await.unwrap();
        rows.iter().map(|row| (row.began_at.since(at(0).minus(Duration::from_secs(20))).as_secs(), row.calls)).collect()
    };
    // The tests' time begins 20 seconds into a minute, 800 into an hour and 80,000 into a day.
    assert_eq!(told(query(Grain::Minute, none)).await, [(0, 8), (60, 2 + 5), (4_020, 11)]);
    assert_eq!(told(query(Grain::Day, none)).await.iter().map(|(_, calls)| *calls).collect::<Vec<_>>(), [26]);
    let by = |change: fn(&mut UsageGroups)| {
        let mut by = UsageGroups::default();
        change(&mut by);
        query(Grain::Day, by)
    };
    let names = async |query: UsageQuery| -> BTreeSet<(String, u64)> {
        let rows = db.store.report_usage(&project(), Environment::Live, &query).await.unwrap();
        rows.into_iter()
            .map(|row| {
                let name = [row.key, row.owner, row.client, row.user, row.method, row.outcome];
                (name.into_iter().flatten().collect::<Vec<_>>().join("|"), row.calls)
            })
            .collect()
    };
    let set = |rows: &[(&str, u64)]| rows.iter().map(|(name, calls)| ((*name).to_owned(), *calls)).collect();
    let (ann_id, ben_id) = (ann.id.as_str(), ben.id.as_str());
    for (query, wanted) in [
        (by(|by| by.key = true), set(&[("", 11), (ann_id, 8), (ben_id, 7)])),
        (by(|by| by.owner = true), set(&[("", 18), ("ann", 8)])),
        (by(|by| by.client = true), set(&[("", 15), (client.as_str(), 11)])),
        (by(|by| by.user = true), set(&[("", 15), (user.as_str(), 11)])),
        (by(|by| by.method = true), set(&[("Keys/GetKey", 21), ("verification", 5)])),
        (by(|by| by.outcome = true), set(&[("VALID", 19), ("EXPIRED", 7)])),
        (by(|by| (by.owner, by.outcome) = (true, true)), set(&[("VALID", 11), ("EXPIRED", 7), ("ann|VALID", 8)])),
    ] {
        assert_eq!(names(query.clone()).await, wanted, "{query:?}");
    }
    let only = |filter: UsageFilter| UsageQuery { filter, ..query(Grain::Hour, none) };
    let some = |text: &str| Some(text.to_owned());
    for (filter, wanted) in [
        (UsageFilter { key: some(ann_id), ..UsageFilter::default() }, 8),
        (UsageFilter { owner: some("ann"), ..UsageFilter::default() }, 8),
        (UsageFilter { owner: some("ann"), key: some(ben_id), ..UsageFilter::default() }, 0),
        (UsageFilter { client: some(client.as_str()), ..UsageFilter::default() }, 11),
        (UsageFilter { user: some(user.as_str()), ..UsageFilter::default() }, 11),
        (UsageFilter { method: some("verification"), ..UsageFilter::default() }, 5),
        (UsageFilter { outcome: some("EXPIRED"), ..UsageFilter::default() }, 7),
        (UsageFilter { outcome: some("EXPIRED"), key: some(ann_id), ..UsageFilter::default() }, 0),
    ] {
        assert_eq!(total(&db, &only(filter.clone())).await, wanted, "{filter:?}");
    }
    let part = UsageQuery { from: at(40), before: at(41), ..query(Grain::Minute, none) };
    assert_eq!(told(part).await, [(60, 7)]);
    let cut = UsageQuery { limit: 2, ..query(Grain::Minute, none) };
    assert_eq!(told(cut).await.len(), 2);
    let there = db.store.report_usage(&other_project(), Environment::Live, &query(Grain::Day, none)).await.unwrap();
    assert_eq!(there.iter().map(|row| row.calls).collect::<Vec<_>>(), [100]);
}

async fn the_access_log_is_filtered_and_paged(db: TestDb) {
    let (one, other) = (KeyId::new(at(1), &SystemEntropy), KeyId::new(at(2), &SystemEntropy));
    let mut all = Vec::new();
    for n in 0..40_u64 {
        let key = if n % 2 == 0 { &one } else { &other };
        let base = tally(&subject(Some(key)), at(n / 4 * 60));
        let address = match n % 4 {
            0 => Some("10.0.0.1".parse().unwrap()),
            1 => Some("10.0.1.1".parse().unwrap()),
            2 => Some("2001:db8::1".parse().unwrap()),
            _ => None,
        };
        all.push(Tally { address, outcome: (n % 4 == 3).then_some(Reason::Revoked), calls: n + 1, ..base });
    }
    all.push(tally(&Subject::unknown(None), at(0)));
    all.push(tally(&Subject::unknown(Some((project(), Environment::Test))), at(0)));
    db.store.add_usage(&all, &SystemEntropy).await.unwrap();

    let list = async |filter: AccessFilter, page: PageRequest| {
        db.store.list_access(&project(), Environment::Live, &filter, &page).await.unwrap()
    };
    let some = |text: &str| Some(text.to_owned());
    let range = |text: &str| crate::domain::network::parse_range(text);
    let none = AccessFilter::default;
    for (filter, wanted) in [
        (none(), 40),
        (AccessFilter { key: some(one.as_str()), ..none() }, 20),
        (AccessFilter { outcome: some("REVOKED"), ..none() }, 10),
        (AccessFilter { outcome: some("REVOKED"), key: some(one.as_str()), ..none() }, 0),
        (AccessFilter { method: some("Keys/GetKey"), ..none() }, 40),
        (AccessFilter { method: some("verification"), ..none() }, 0),
        (AccessFilter { addresses: range("10.0.0.0/16"), ..none() }, 20),
        (AccessFilter { addresses: range("10.0.1.1"), ..none() }, 10),
        (AccessFilter { addresses: range("2001:db8::/32"), ..none() }, 10),
        (AccessFilter { addresses: range("0.0.0.0/0"), ..none() }, 20),
        (AccessFilter { addresses: range("::/0"), ..none() }, 30),
        (AccessFilter { addresses: range("10.0.2.0/24"), ..none() }, 0),
        (AccessFilter { from: Some(at(60).minus(Duration::from_secs(20))), ..none() }, 36),
        (AccessFilter { before: Some(at(60).minus(Duration::from_secs(20))), ..none() }, 4),
        (AccessFilter { unknown_at_the_door: true, ..none() }, 1),
    ] {
        let page = list(filter.clone(), first(100)).await;
        assert_eq!(page.items.len(), wanted, "{filter:?}");
        let counted = list(filter.clone(), numbered(10, 0)).await;
        assert_eq!(counted.total, Some(wanted as u64), "{filter:?}");
        assert!(page.items.is_sorted_by(|a, b| a.minute >= b.minute), "newest first");
    }
    let whole = list(none(), first(100)).await.items;
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = list(none(), PageRequest::After { limit: 7, after }).await;
        paged.extend(page.items.clone());
        after = page.items.last().map(|entry| entry.place.clone());
        if !page.has_more {
            break;
        }
    }
    assert_eq!(paged, whole);
    let entry = whole.iter().find(|entry| entry.calls == 1).unwrap();
    assert_eq!(
        (entry.key.as_deref(), entry.address, entry.method.as_deref(), entry.outcome.as_str()),
        (Some(one.as_str()), Some("10.0.0.1".parse().unwrap()), Some("Keys/GetKey"), "VALID"),
    );
    assert_eq!((entry.minute, entry.last_at, entry.client.as_ref()), (Grain::Minute.start(at(0)), at(0), None));
    assert_eq!(entry.user_agent.as_deref(), Some("a client"));
}

async fn the_last_use_only_goes_forward(db: TestDb) {
    let id = KeyId::new(at(1), &SystemEntropy);
    let used = |seconds: u64, address: &str, agent: &str, scope: &str| Tally {
        address: address.parse().ok(),
        user_agent: Some(Arc::new(agent.into())),
        scopes: Scope::parse(scope).into_iter().collect(),
        ..tally(&subject(Some(&id)), at(seconds))
    };
    let last = async |project: &ProjectId| {
        let mut found = db.store.list_last_uses(project, &[&KeyId::new(at(2), &SystemEntropy), &id]).await.unwrap();
        assert!(found.len() < 2);
        found.remove(&id)
    };
    assert_eq!(last(&project()).await, None);
    let refused = Tally { outcome: Some(Reason::Expired), ..used(99, "10.0.0.9", "x", "read:users") };
    for batch in [
        vec![used(10, "10.0.0.1", "one", "read:keys"), used(30, "2001:db8::3", "three", "read:usage")],
        // What nobody registered leaves nothing behind.
        vec![used(25, "10.0.0.1", "one", "read:made_up")],
        vec![used(20, "10.0.0.2", "two", "read:keys"), refused],
    ] {
        db.store.add_usage(&batch, &SystemEntropy).await.unwrap();
        let address = Some("2001:db8::3".parse().unwrap());
        assert_eq!(last(&project()).await, Some(LastUse { at: at(30), address, user_agent: Some("three".to_owned()) }));
    }
    let scopes = db.store.list_scope_uses(&project(), &id).await.unwrap();
    let scope = |text: &str| Scope::parse(text).unwrap();
    assert_eq!(scopes, [(scope("read:keys"), at(20)), (scope("read:usage"), at(30))]);
    assert_eq!(last(&other_project()).await, None);
    assert_eq!(db.store.list_scope_uses(&other_project(), &id).await.unwrap(), []);
}

async fn old_counts_and_entries_are_forgotten_in_batches(db: TestDb) {
    let id = KeyId::new(at(1), &SystemEntropy);
    let all: Vec<_> = (0..30).map(|n| tally(&subject(Some(&id)), at(n * 60))).collect();
    db.store.add_usage(&all, &SystemEntropy).await.unwrap();
    let before = Grain::Minute.start(at(20 * 60));
    for wanted in [7, 7, 6, 0] {
        assert_eq!(db.store.prune_usage(Grain::Minute, before, 7).await.unwrap(), wanted);
        assert_eq!(db.store.prune_access_log(before, 7).await.unwrap(), wanted);
    }
    let left = [Grain::Minute, Grain::Hour, Grain::Day].map(|grain| query(grain, UsageGroups::default()));
    assert_eq!(total(&db, &left[0]).await, 10);
    assert_eq!((total(&db, &left[1]).await, total(&db, &left[2]).await), (30, 30), "each grain ends by itself");
    let log = db.store.list_access(&project(), Environment::Live, &AccessFilter::default(), &first(100)).await.unwrap();
    assert_eq!(log.items.len(), 10);
    assert!(log.items.iter().all(|entry| entry.minute >= before));
}
