//! The registry of scopes, and that nothing unregistered is granted.

use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::environment::Environment;
use crate::domain::key::Key;
use crate::domain::page::PageRequest;
use crate::domain::scope::{Scope, ScopeSet};
use crate::store::{Conflict, HOLDERS_COUNTED, ScopeDeleted, StoreError, StoredScope};

on_both_engines! {
    a_held_scope_stays,
    an_unregistered_scope_is_not_granted,
    scopes_are_kept_by_their_plain_form,
}

fn scope(text: &str) -> StoredScope {
    StoredScope {
        project: project(),
        scope: Scope::parse(text).unwrap(),
        description: format!("What {text} allows"),
        created_at: at(1),
    }
}

fn holder(scopes: &[&str], seconds: u64) -> Key {
    let mut key = key(at(seconds));
    key.details.scopes = ScopeSet::new(scopes.iter().map(|text| Scope::parse(text).unwrap()));
    key
}

async fn scopes_are_kept_by_their_plain_form(db: TestDb) {
    let budgets = scope("READ_BUDGETS");
    db.store.create_scope(&budgets, &event(&project())).await.unwrap();
    let again = db.store.create_scope(&scope("read:budgets"), &event(&project())).await;
    assert_eq!(again, Err(StoreError::Conflict(Conflict::Exists)));
    let found = db.store.find_scope(&project(), "read:budgets").await.unwrap().unwrap();
    assert_eq!((found.scope.spelling(), &found), ("READ_BUDGETS", &budgets));
    assert_eq!(db.store.find_scope(&other_project(), "read:budgets").await.unwrap(), None);
    assert_eq!(db.store.find_scope(&project(), "READ_BUDGETS").await.unwrap(), None);

    for text in ["write:budgets", "a:b", "z.z:z", "a:b:c"] {
        db.store.create_scope(&scope(text), &event(&project())).await.unwrap();
    }
    let mut elsewhere = scope("read:budgets");
    elsewhere.project = other_project();
    db.store.create_scope(&elsewhere, &event(&project())).await.unwrap();

    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = db.store.list_scopes(&project(), &PageRequest::After { limit: 2, after }).await.unwrap();
        names.extend(page.items.iter().map(|scope| scope.scope.plain().to_owned()));
        after = names.last().cloned();
        if !page.has_more {
            break;
        }
    }
    assert_eq!(names, ["a:b", "a:b:c", "read:budgets", "write:budgets", "z.z:z"]);
    let page = db.store.list_scopes(&project(), &numbered(2, 2)).await.unwrap();
    assert_eq!((page.items[0].scope.plain(), page.items.len(), page.total), ("z.z:z", 1, Some(5)));
    assert!(db.store.list_scopes(&project(), &numbered(2, 3)).await.unwrap().items.is_empty());

    assert!(db.store.update_scope(&project(), "read:budgets", "Something else", &event(&project())).await.unwrap());
    assert!(!db.store.update_scope(&project(), "read:nothing", "x", &event(&project())).await.unwrap());
    let found = db.store.find_scope(&project(), "read:budgets").await.unwrap().unwrap();
    assert_eq!(found.description, "Something else");
    let other = db.store.find_scope(&other_project(), "read:budgets").await.unwrap().unwrap();
    assert_eq!(other, elsewhere, "another project's scope is its own");
}

async fn an_unregistered_scope_is_not_granted(db: TestDb) {
    let unknown = Err(StoreError::Conflict(Conflict::UnknownScope));
    let wanted = holder(&["admin", "read:budgets"], 1);
    let made = db.store.create_key(&wanted, &new_hash(), None, None, &event(&project())).await;
    assert_eq!(made.map(drop), unknown);
    assert_eq!(db.store.find_key(&project(), Environment::Live, &wanted.id).await.unwrap(), None);

    let mut elsewhere = scope("read:budgets");
    elsewhere.project = other_project();
    db.store.create_scope(&elsewhere, &event(&project())).await.unwrap();
    let made = db.store.create_key(&wanted, &new_hash(), None, None, &event(&project())).await;
    assert_eq!(made.map(drop), unknown, "a scope of another project is not one of this");

    let mut key = holder(&["admin", "read:keys"], 2);
    db.create(&key).await;
    key.update(wanted.details.clone(), at(3)).unwrap();
    let widened = db.store.update_key(&key, 1, ChangeKind::Updated, &event(&project())).await;
    assert_eq!(widened.map(drop), unknown);

    db.store.create_scope(&scope("READ_BUDGETS"), &event(&project())).await.unwrap();
    db.store.update_key(&key, 1, ChangeKind::Updated, &event(&project())).await.unwrap();
    db.create(&wanted).await;
}

async fn a_held_scope_stays(db: TestDb) {
    db.store.create_scope(&scope("read:budgets"), &event(&project())).await.unwrap();
    let delete = async || db.store.delete_scope(&project(), "read:budgets", &event(&project())).await.unwrap();
    let count = async || db.store.count_keys_with_scope(&project(), "read:budgets").await.unwrap();
    let mut keys = [holder(&["read:budgets", "read:keys"], 1), holder(&["read:budgets"], 2), holder(&["admin"], 3)];
    for key in &keys {
        db.create(key).await;
    }
    assert_eq!((count().await, delete().await), (2, ScopeDeleted::Held(2)));

    keys[0].revoke(at(4));
    db.store.update_key(&keys[0], 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    assert_eq!((count().await, delete().await), (1, ScopeDeleted::Held(1)));
    keys[1].suspend(at(5)).unwrap();
    db.store.update_key(&keys[1], 1, ChangeKind::Suspended, &event(&project())).await.unwrap();
    assert_eq!(delete().await, ScopeDeleted::Held(1), "a suspended key may come back");
    let mut details = keys[1].details.clone();
    details.scopes = ScopeSet::default();
    keys[1].update(details, at(6)).unwrap();
    db.store.update_key(&keys[1], 2, ChangeKind::Updated, &event(&project())).await.unwrap();

    assert_eq!((count().await, delete().await), (0, ScopeDeleted::Deleted));
    assert_eq!(delete().await, ScopeDeleted::Missing);
    let revoked = db.store.find_key(&project(), Environment::Live, &keys[0].id).await.unwrap().unwrap();
    assert!(revoked.details.scopes.holds("read:budgets"), "what a revoked key held is still told");

    db.store.create_scope(&scope("read:budgets"), &event(&project())).await.unwrap();
    let many: Vec<_> = (0..HOLDERS_COUNTED as u64 + 5).map(|n| (holder(&["read:budgets"], n), new_hash())).collect();
    db.store.import_keys(&many).await.unwrap();
    assert_eq!(delete().await, ScopeDeleted::Held(HOLDERS_COUNTED as u64));
}
