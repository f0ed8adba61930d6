//! Making, reading, changing and listing keys.

use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::environment::Environment;
use crate::domain::id::KeyId;
use crate::domain::key::{Key, KeyKind, KeyState};
use crate::domain::metadata::Metadata;
use crate::domain::page::PageRequest;
use crate::domain::scope::{Scope, ScopeSet};
use crate::store::{Conflict, KeyCreated, KeyFilter, NewIdempotent, Remembered, StoreError};

on_both_engines! {
    a_key_comes_back_as_it_was_stored,
    an_alias_is_unique_among_the_unrevoked,
    filters_and_pages_agree_with_the_domain,
    nobody_sees_over_the_wall,
    numbered_pages_count,
    only_the_expected_version_is_changed,
    repeated_requests_are_recognised,
}

async fn a_key_comes_back_as_it_was_stored(db: TestDb) {
    for key in [key(at(1)), full_key(at(2))] {
        let hash = new_hash();
        let made = db.store.create_key(&key, &hash, Some(b"sealed"), None, &event(&project())).await.unwrap();
        assert!(matches!(made, KeyCreated::Created(_)));
        let (environment, id) = (key.environment, &key.id);
        assert_eq!(db.store.find_key(&project(), environment, id).await.unwrap().as_ref(), Some(&key));
        assert_eq!(db.store.find_sealed(&project(), environment, id).await.unwrap().as_deref(), Some(&b"sealed"[..]));
        let found = db.store.find_key_secret(&hash).await.unwrap().unwrap();
        assert_eq!(found.key, key);
    }
    let unknown = KeyId::new(at(3), &crate::domain::entropy::SystemEntropy);
    assert_eq!(db.store.find_key(&project(), Environment::Live, &unknown).await.unwrap(), None);
    assert_eq!(db.store.find_sealed(&project(), Environment::Live, &unknown).await.unwrap(), None);
}

async fn nobody_sees_over_the_wall(db: TestDb) {
    let mine = key(at(1));
    db.create(&mine).await;
    assert_eq!(db.store.find_key(&other_project(), Environment::Live, &mine.id).await.unwrap(), None);
    assert_eq!(db.store.find_key(&project(), Environment::Test, &mine.id).await.unwrap(), None);
    assert_eq!(db.store.find_sealed(&other_project(), Environment::Live, &mine.id).await.unwrap(), None);
    for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        let list = db.store.list_keys(&project, environment, &KeyFilter::default(), &first(10)).await.unwrap();
        assert!(list.items.is_empty());
    }
    let mut stolen = mine.clone();
    stolen.project = other_project();
    stolen.version += 1;
    let refused = db.store.update_key(&stolen, 1, ChangeKind::Updated, &event(&other_project())).await;
    assert_eq!(refused, Err(StoreError::Conflict(Conflict::Version)));
}

async fn only_the_expected_version_is_changed(db: TestDb) {
    let mut key = full_key(at(1));
    let hash = db.create(&key).await;
    let before = key.version;

    let mut details = key.details.clone();
    details.name = "Another".to_owned();
    details.alias = None;
    details.scopes = ScopeSet::new([Scope::parse("read:keys").unwrap()]);
    details.allowed_ips = Default::default();
    details.metadata = Metadata::default();
    details.expires_at = None;
    key.update(details, at(2)).unwrap();
    let change = db.store.update_key(&key, before, ChangeKind::Updated, &event(&project())).await.unwrap();
    assert_eq!(db.store.find_key(&project(), key.environment, &key.id).await.unwrap().as_ref(), Some(&key));
    assert_eq!(db.store.revision().await.unwrap(), change.revision);

    let stale = db.store.update_key(&key, before, ChangeKind::Updated, &event(&project())).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
    assert_eq!(db.store.revision().await.unwrap(), change.revision, "what was refused left no change");

    type Step = fn(&mut Key);
    let steps: [(ChangeKind, Step); 3] = [
        (ChangeKind::Suspended, |key| assert!(key.suspend(at(3)).unwrap())),
        (ChangeKind::Resumed, |key| assert!(key.resume(at(4)).unwrap())),
        (ChangeKind::Revoked, |key| assert!(key.revoke(at(5)))),
    ];
    for (kind, step) in steps {
        let version = key.version;
        step(&mut key);
        db.store.update_key(&key, version, kind, &event(&project())).await.unwrap();
        assert_eq!(db.store.find_key_secret(&hash).await.unwrap().unwrap().key, key, "{kind:?}");
    }
}

async fn an_alias_is_unique_among_the_unrevoked(db: TestDb) {
    let alias = Some("till-1".to_owned());
    let mut one = key(at(1));
    one.details.alias = alias.clone();
    db.create(&one).await;

    let mut two = key(at(2));
    two.details.alias = alias.clone();
    let taken = Err(StoreError::Conflict(Conflict::Alias));
    let made = db.store.create_key(&two, &new_hash(), None, None, &event(&project())).await;
    assert_eq!(made.map(drop), taken);
    two.environment = Environment::Test;
    db.create(&two).await;
    let mut three = key(at(3));
    three.project = other_project();
    three.details.alias = alias.clone();
    db.create(&three).await;

    let mut four = key(at(4));
    db.create(&four).await;
    four.update(one.details.clone(), at(5)).unwrap();
    let renamed = db.store.update_key(&four, 1, ChangeKind::Updated, &event(&project())).await;
    assert_eq!(renamed.map(drop), taken);

    one.revoke(at(6));
    db.store.update_key(&one, 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    db.store.update_key(&four, 1, ChangeKind::Updated, &event(&project())).await.unwrap();
    let filter = KeyFilter { alias, ..KeyFilter::default() };
    let both = db.store.list_keys(&project(), Environment::Live, &filter, &first(10)).await.unwrap();
    assert_eq!(both.items.len(), 2);
}

async fn repeated_requests_are_recognised(db: TestDb) {
    let actor = KeyId::new(at(0), &crate::domain::entropy::SystemEntropy).into();
    let request = NewIdempotent {
        actor: Some(&actor),
        key: "order-7",
        fingerprint: &[1; 32],
        answer: b"first answer",
        expires_at: at(100),
    };
    let create = async |now, request: &NewIdempotent<'_>| {
        let key = key(now);
        let made = db.store.create_key(&key, &new_hash(), None, Some(request), &event(&project())).await.unwrap();
        (key.id, made)
    };
    assert!(matches!(create(at(1), &request).await.1, KeyCreated::Created(_)));

    let again = NewIdempotent { fingerprint: &[2; 32], answer: b"second answer", ..request };
    let (id, replay) = create(at(99), &again).await;
    let known = KeyCreated::Replay(Remembered { fingerprint: [1; 32], answer: b"first answer".to_vec() });
    assert_eq!(replay, known, "what was remembered stays, whoever compares decides");
    assert_eq!(db.store.find_key(&project(), Environment::Live, &id).await.unwrap(), None, "nothing was made");

    let stranger = KeyId::new(at(0), &crate::domain::entropy::SystemEntropy).into();
    let other = NewIdempotent { actor: Some(&stranger), ..again };
    assert!(matches!(create(at(2), &other).await.1, KeyCreated::Created(_)));
    let nobody = NewIdempotent { actor: None, ..again };
    assert!(matches!(create(at(2), &nobody).await.1, KeyCreated::Created(_)));

    let late = NewIdempotent { expires_at: at(300), ..again };
    assert!(matches!(create(at(100), &late).await.1, KeyCreated::Created(_)), "forgotten at its end");
    let known = create(at(101), &late).await.1;
    assert!(matches!(known, KeyCreated::Replay(Remembered { fingerprint: [2, ..], .. })));

    assert_eq!(db.store.prune_idempotency(at(99), 10).await.unwrap(), 0);
    assert_eq!(db.store.prune_idempotency(at(100), 1).await.unwrap(), 1);
    assert_eq!(db.store.prune_idempotency(at(100), 10).await.unwrap(), 1);
    assert_eq!(db.store.prune_idempotency(at(300), 10).await.unwrap(), 1);
}

/// Stores keys of every sort; all of the project's live environment, newest first.
async fn mixed_keys(db: &TestDb) -> Vec<Key> {
    let mut keys = Vec::new();
    let (soon, later) = (at(500), at(5_000));
    for n in 0..60_u64 {
        let mut key = key(at(n + 1));
        key.kind = [KeyKind::Secret, KeyKind::Restricted, KeyKind::Publishable][(n % 3) as usize];
        key.details.owner = [None, Some("ann".to_owned()), Some("bob".to_owned())][(n / 3 % 3) as usize].clone();
        key.details.alias = (n % 10 == 0).then(|| format!("alias-{n}"));
        key.details.expires_at = [None, Some(soon), Some(later)][(n / 9 % 3) as usize];
        key.suspended_at = (n % 5 == 1).then(|| at(70));
        key.revoked_at = (n % 7 == 2).then(|| at(80));
        db.create(&key).await;
        keys.push(key);
    }
    let mut elsewhere = key(at(1));
    elsewhere.project = other_project();
    db.create(&elsewhere).await;
    keys.reverse();
    keys
}

async fn filters_and_pages_agree_with_the_domain(db: TestDb) {
    let keys = mixed_keys(&db).await;
    let now = at(1_000);
    let states = [KeyState::Active, KeyState::Suspended, KeyState::Revoked, KeyState::Expired];
    let kinds = [KeyKind::Secret, KeyKind::Restricted, KeyKind::Publishable];
    let mut nonempty = 0;
    for state in std::iter::once(None).chain(states.map(Some)) {
        for kind in std::iter::once(None).chain(kinds.map(Some)) {
            for owner in [None, Some("ann"), Some("nobody")] {
                for alias in [None, Some("alias-10")] {
                    let filter = KeyFilter {
                        kind,
                        state: state.map(|state| (state, now)),
                        owner: owner.map(str::to_owned),
                        alias: alias.map(str::to_owned),
                        user: None,
                    };
                    let wanted: Vec<&Key> = keys
                        .iter()
                        .filter(|key| state.is_none_or(|state| key.state(now) == state))
                        .filter(|key| kind.is_none_or(|kind| key.kind == kind))
                        .filter(|key| owner.is_none_or(|owner| key.details.owner.as_deref() == Some(owner)))
                        .filter(|key| alias.is_none_or(|alias| key.details.alias.as_deref() == Some(alias)))
                        .collect();
                    nonempty += usize::from(!wanted.is_empty());
                    let mut found = Vec::new();
                    let mut after = None;
                    loop {
                        let request = PageRequest::After { limit: 7, after };
                        let page = db.store.list_keys(&project(), Environment::Live, &filter, &request).await.unwrap();
                        assert_eq!(page.total, None);
                        after = page.items.last().map(|key| key.id.to_string());
                        found.extend(page.items);
                        if !page.has_more {
                            break;
                        }
                        assert_eq!(found.len() % 7, 0);
                    }
                    assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{filter:?}");
                    let counted =
                        db.store.list_keys(&project(), Environment::Live, &filter, &numbered(5, 1)).await.unwrap();
                    assert_eq!(counted.total, Some(wanted.len() as u64), "{filter:?}");
                    let second: Vec<&Key> = wanted.iter().skip(5).take(5).copied().collect();
                    assert_eq!(counted.items.iter().collect::<Vec<_>>(), second, "{filter:?}");
                }
            }
        }
    }
    assert!(nonempty > 30, "the filters are tried on something: {nonempty}");
}

async fn numbered_pages_count(db: TestDb) {
    let mut keys = Vec::new();
    for n in 1..=5 {
        let key = key(at(n));
        db.create(&key).await;
        keys.insert(0, key);
    }
    let list = async |request: PageRequest| {
        db.store.list_keys(&project(), Environment::Live, &KeyFilter::default(), &request).await.unwrap()
    };
    for (limit, page, first, wanted, more) in [
        (2, 0, 0, &keys[0..2], true),
        (2, 2, 0, &keys[4..5], false),
        (2, 1, 1, &keys[0..2], true),
        (2, 3, 1, &keys[4..5], false),
        (5, 0, 0, &keys[..], false),
        (2, 3, 0, &[], false),
        (1_000, u32::MAX, 0, &[], false),
    ] {
        let found = list(PageRequest::Numbered { limit, page, first }).await;
        assert_eq!((&found.items[..], found.has_more, found.total), (wanted, more, Some(5)), "{limit} {page} {first}");
    }
}
