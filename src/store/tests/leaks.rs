//! Reports of leaked credentials: each place is written down once, with what it turns.

use super::grants::Party;
use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, LeakReportId};
use crate::domain::key::Key;
use crate::domain::leak::{LeakAction, LeakPlace, LeakReport};
use crate::domain::oauth::token::Grant;
use crate::domain::session::Origin;
use crate::store::{AuditFilter, Conflict, LeakFilter, LeakRecorded, LeakTurns, NewSession, Room, StoreError};

on_both_engines! {
    a_client_is_found_by_its_secret_alone,
    a_place_is_written_down_once,
    of_reports_at_one_time_one_is_written_down,
    of_one_credential_the_newest_are_kept,
    reports_are_listed_by_credential_and_forgotten_in_time,
    what_leaked_ends_with_the_report,
}

async fn a_place_is_written_down_once(db: TestDb) {
    let key = key(at(1));
    let hash = db.create(&key).await;
    let mut suspended = key.clone();
    suspended.suspend(at(5)).unwrap();
    let mut report = leak_report(&key, "https://a.example/1", at(5));
    report.action = LeakAction::Suspended;
    let find = async || db.store.find_leak_report(&report.subject, &report.hint, &report.place).await.unwrap();
    assert_eq!(find().await, None);

    let turns = LeakTurns::Key(&suspended, 1, ChangeKind::Suspended);
    let LeakRecorded::New(Some(change), _) =
        db.store.record_leak(&report, turns, &event(&key.project), &SystemEntropy).await.unwrap()
    else {
        panic!("it is new")
    };
    assert_eq!(
        (change.kind, change.hashes, change.subject),
        (ChangeKind::Suspended, vec![hash], Some(report.subject.clone()))
    );
    assert_eq!(find().await, Some(report.clone()));
    assert_eq!(db.store.find_key(&key.project, key.environment, &key.id).await.unwrap(), Some(suspended.clone()));

    let events = async || {
        let filter = AuditFilter::default();
        db.store.list_audit_events(&key.project, Environment::Live, &filter, &first(100)).await.unwrap().items.len()
    };
    let before = events().await;
    // Resumed by its owner, it is not held again for the same place.
    let mut resumed = suspended.clone();
    resumed.resume(at(6)).unwrap();
    db.store.update_key(&resumed, 2, ChangeKind::Resumed, &event(&key.project)).await.unwrap();
    let mut again = suspended.clone();
    again.version = 4;
    let twice = LeakReport { id: LeakReportId::new(at(7), &SystemEntropy), ..report.clone() };
    let turns = LeakTurns::Key(&again, 3, ChangeKind::Suspended);
    assert_eq!(
        db.store.record_leak(&twice, turns, &event(&key.project), &SystemEntropy).await,
        Ok(LeakRecorded::Known)
    );
    assert_eq!(db.store.find_key(&key.project, key.environment, &key.id).await.unwrap(), Some(resumed.clone()));
    assert_eq!(events().await, before + 1, "the resuming alone");

    // Changed meanwhile: nothing is written down.
    let elsewhere = leak_report(&key, "https://a.example/2", at(8));
    let (turns, event) = (LeakTurns::Key(&again, 2, ChangeKind::Suspended), event(&key.project));
    let stale = db.store.record_leak(&elsewhere, turns, &event, &SystemEntropy).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
    assert_eq!(db.store.find_leak_report(&elsewhere.subject, &elsewhere.hint, &elsewhere.place).await, Ok(None));
}

async fn of_reports_at_one_time_one_is_written_down(db: TestDb) {
    let key = key(at(1));
    db.create(&key).await;
    let reports = (0..8).map(|n| {
        let (store, report, event) =
            (db.store.clone(), leak_report(&key, "https://a.example", at(n)), event(&key.project));
        tokio::spawn(
            async move { store.record_leak(&report, LeakTurns::Nothing, &event, &SystemEntropy).await.unwrap() },
        )
    });
    let mut new = 0;
    for report in reports.collect::<Vec<_>>() {
        new += usize::from(matches!(report.await.unwrap(), LeakRecorded::New(..)));
    }
    assert_eq!(new, 1);
}

async fn what_leaked_ends_with_the_report(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (Grant { id, .. }, redeemed, _) = party.redeemed(&db, at(1)).await;
    let report = |subject: CredentialId| {
        let mut report = leak_report(&key(at(1)), "https://a.example", at(5));
        report.subject = subject;
        report
    };
    let grant = report(CredentialId::Grant(id.clone()));
    let ended = db.store.record_leak(&grant, LeakTurns::Grant(&id), &event(&project()), &SystemEntropy).await.unwrap();
    let LeakRecorded::New(Some(change), _) = ended else { panic!("{ended:?}") };
    assert_eq!((change.kind, change.subject.as_ref()), (ChangeKind::Revoked, Some(&grant.subject)));
    assert!(change.hashes.contains(&redeemed), "{change:?}");
    let (token, _) = db.store.find_access_token(&redeemed).await.unwrap().unwrap();
    assert_eq!(token.revoked_at, Some(at(5)));
    // It has ended: a report from elsewhere is written down, and turns nothing.
    let mut elsewhere = report(grant.subject.clone());
    elsewhere.place = LeakPlace::of("commit", "https://b.example");
    let again = db.store.record_leak(&elsewhere, LeakTurns::Grant(&id), &event(&project()), &SystemEntropy).await;
    assert_eq!(again, Ok(LeakRecorded::New(None, None)));

    let person = human("ada", at(1));
    let (session, hash) = (session(&person, at(1)), new_hash());
    let new = NewSession { session: &session, hash: &hash, origin: &Origin::default() };
    db.store.sign_up(&person, &password(), &new, &event(&project())).await.unwrap();
    let leaked = report(CredentialId::Session(session.id.clone()));
    let ended =
        db.store.record_leak(&leaked, LeakTurns::Session(&session), &event(&project()), &SystemEntropy).await.unwrap();
    assert!(matches!(ended, LeakRecorded::New(Some(change), _) if change.hashes == [hash]));
    assert_eq!(db.store.find_session(&hash).await.unwrap().unwrap().0.revoked_at, Some(at(5)));
}

async fn a_client_is_found_by_its_secret_alone(db: TestDb) {
    let client = client(at(1));
    let (secret, token) = (new_hash(), new_hash());
    let room = Room { at_most: 10, unused_since: at(0), event: &|_| event(&project()) };
    db.store.register_client(&client, Some(&secret), &token, &room, &event(&project())).await.unwrap().unwrap();
    for hash in [secret, token] {
        assert_eq!(db.store.find_client_behind(&hash).await.unwrap().map(|client| client.id), Some(client.id.clone()));
    }
    assert_eq!(db.store.find_client_behind(&new_hash()).await, Ok(None));
    let mut deleted = client.clone();
    deleted.delete(at(2));
    db.store.delete_client(&deleted, 1, &event(&project())).await.unwrap();
    for hash in [secret, token] {
        assert_eq!(db.store.find_client_behind(&hash).await, Ok(None));
    }
}

async fn of_one_credential_the_newest_are_kept(db: TestDb) {
    let key = key(at(1));
    for n in 0..103 {
        let report = leak_report(&key, &format!("https://a.example/{n}"), at(n));
        db.store.record_leak(&report, LeakTurns::Nothing, &event(&project()), &SystemEntropy).await.unwrap();
    }
    let filter = LeakFilter { subject: Some(key.id.to_string()) };
    let kept = db.store.list_leak_reports(&project(), Environment::Live, &filter, &first(1_000)).await.unwrap().items;
    let urls: Vec<_> = kept.iter().map(|report| report.place.url().to_owned()).collect();
    assert_eq!(
        (urls.len(), urls[0].as_str(), urls[99].as_str()),
        (100, "https://a.example/102", "https://a.example/3")
    );
}

async fn reports_are_listed_by_credential_and_forgotten_in_time(db: TestDb) {
    let (one, other) = (key(at(1)), key(at(2)));
    let mut trial = key(at(3));
    trial.environment = Environment::Test;
    for (n, key) in [(1, &one), (2, &other), (3, &one), (4, &trial)] {
        let report = leak_report(key, &format!("https://a.example/{n}"), at(n));
        db.store.record_leak(&report, LeakTurns::Nothing, &event(&project()), &SystemEntropy).await.unwrap();
    }
    let list = async |environment, subject: Option<&Key>| {
        let filter = LeakFilter { subject: subject.map(|key| key.id.to_string()) };
        let page = db.store.list_leak_reports(&project(), environment, &filter, &numbered(10, 0)).await.unwrap();
        assert_eq!(page.total, Some(page.items.len() as u64));
        page.items.into_iter().map(|report| report.reported_at).collect::<Vec<_>>()
    };
    assert_eq!(list(Environment::Live, None).await, [at(3), at(2), at(1)]);
    assert_eq!(list(Environment::Live, Some(&one)).await, [at(3), at(1)]);
    assert_eq!(list(Environment::Test, None).await, [at(4)]);
    let (other, filter) = (other_project(), LeakFilter::default());
    let elsewhere = db.store.list_leak_reports(&other, Environment::Live, &filter, &first(9)).await.unwrap();
    assert_eq!(elsewhere.items, []);

    assert_eq!(db.store.prune_leak_reports(at(3), 1).await, Ok(1));
    assert_eq!(db.store.prune_leak_reports(at(3), 10).await, Ok(1));
    assert_eq!(list(Environment::Live, None).await, [at(3)]);
}
