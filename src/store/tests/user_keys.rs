//! The keys of users' own: handles, how many, and what they may do.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::environment::Environment;
use crate::domain::key::{Key, KeyKind};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::SecretHash;
use crate::domain::user::{Handle, Standing, User, UserKind};
use crate::store::{Conflict, RecentPlace, StoreError};

on_both_engines! {
    a_handle_names_one_key_of_one_user,
    a_user_has_so_many_keys,
    it_may_do_what_both_may,
    only_people_have_keys_of_their_own,
}

fn person(handle: &str, scopes: &[&str]) -> User {
    let mut user = service_account(handle, at(1));
    user.kind = UserKind::Human;
    user.details.scopes = set(scopes);
    user
}

fn set(scopes: &[&str]) -> ScopeSet {
    ScopeSet::new(scopes.iter().map(|text| Scope::parse(text).unwrap()))
}

fn key_of(user: &User, handle: &str, made: u64, scopes: &[&str]) -> Key {
    let mut key = key(at(made));
    (key.kind, key.user, key.recoverable) = (KeyKind::User, Some(user.id.clone()), true);
    key.environment = user.environment;
    key.details.name = handle.to_owned();
    key.details.description = format!("the {handle}");
    key.details.scopes = set(scopes);
    key
}

async fn put(db: &TestDb, key: &Key) -> Result<SecretHash, StoreError> {
    let hash = new_hash();
    db.store.create_key(key, &hash, Some(b"sealed"), None, &event(&project())).await.map(|_| hash)
}

async fn add(db: &TestDb, user: &User) {
    db.store.create_user(user, &event(&project())).await.unwrap();
}

async fn a_handle_names_one_key_of_one_user(db: TestDb) {
    let (ada, bob) = (person("ada", &[]), person("bob", &[]));
    add(&db, &ada).await;
    add(&db, &bob).await;
    let mut first = key_of(&ada, "laptop", 1, &[]);
    let theirs = key_of(&bob, "laptop", 2, &[]);
    put(&db, &first).await.unwrap();
    put(&db, &theirs).await.unwrap();
    let again = key_of(&ada, "laptop", 3, &[]);
    assert_eq!(put(&db, &again).await, Err(StoreError::Conflict(Conflict::KeyHandle)));
    let second = key_of(&ada, "phone", 4, &[]);
    put(&db, &second).await.unwrap();

    let laptop = Handle::parse("laptop").unwrap();
    assert_eq!(db.store.find_user_key(&ada.id, &laptop).await.unwrap(), Some(first.clone()));
    assert_eq!(db.store.find_user_key(&bob.id, &laptop).await.unwrap(), Some(theirs));
    assert_eq!(db.store.find_user_key(&bob.id, &Handle::parse("phone").unwrap()).await.unwrap(), None);
    assert_eq!(db.store.list_user_keys(&ada.id).await.unwrap(), [second.clone(), first.clone()]);

    first.revoke(at(5));
    db.store.update_key(&first, 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    assert_eq!(db.store.find_user_key(&ada.id, &laptop).await.unwrap(), None);
    assert_eq!(db.store.list_user_keys(&ada.id).await.unwrap(), [second]);
    put(&db, &again).await.unwrap();
    assert_eq!(db.store.find_user_key(&ada.id, &laptop).await.unwrap(), Some(again));
}

async fn a_user_has_so_many_keys(db: TestDb) {
    let ada = person("ada", &[]);
    add(&db, &ada).await;
    for n in 0..100 {
        put(&db, &key_of(&ada, &format!("key-{n}"), n, &[])).await.unwrap();
    }
    let more = put(&db, &key_of(&ada, "one-more", 200, &[])).await;
    assert_eq!(more, Err(StoreError::Conflict(Conflict::TooManyKeys)));
    let all = db.store.list_user_keys(&ada.id).await.unwrap();
    assert_eq!((all.len(), all[0].details.name.as_str()), (100, "key-99"));
}

async fn only_people_have_keys_of_their_own(db: TestDb) {
    let bot = service_account("bot", at(1));
    let mut gone = person("gone", &[]);
    add(&db, &bot).await;
    add(&db, &gone).await;
    gone.delete(at(2));
    db.store.delete_user(&gone, 1, &event(&project())).await.unwrap();
    let mut elsewhere = key_of(&person("test", &[]), "laptop", 1, &[]);
    elsewhere.environment = Environment::Test;
    for key in [key_of(&bot, "laptop", 1, &[]), key_of(&gone, "laptop", 1, &[]), elsewhere] {
        assert_eq!(put(&db, &key).await, Err(StoreError::Conflict(Conflict::Version)));
    }
}

async fn it_may_do_what_both_may(db: TestDb) {
    let mut ada = person("ada", &["read:keys", "read:products"]);
    add(&db, &ada).await;
    let key = key_of(&ada, "laptop", 1, &["read:products", "write:products"]);
    let all = key_of(&ada, "phone", 2, &["admin"]);
    let (hash, of_all) = (put(&db, &key).await.unwrap(), put(&db, &all).await.unwrap());
    let acts = async |hash: &SecretHash| {
        let found = db.store.find_key_secret(hash).await.unwrap().unwrap();
        let user = found.user.unwrap();
        (user.standing, user.scopes)
    };
    assert_eq!(acts(&hash).await, (Standing::Good, set(&["read:products"])));
    assert_eq!(acts(&of_all).await, (Standing::Good, set(&["read:keys", "read:products"])));
    let (recent, _): (_, Option<RecentPlace>) = db.store.list_recent_key_secrets(None, 10).await.unwrap();
    let warmed = recent.iter().find(|(other, _)| *other == hash).unwrap();
    assert_eq!(warmed.1.user.as_ref().unwrap().scopes, set(&["read:products"]), "warming up says the same");
    // What its user has lost, it does not make them hold.
    assert_eq!(db.store.scopes_of_user(&ada.id).await.unwrap(), set(&["read:keys", "read:products"]));

    let mut details = ada.details.clone();
    details.scopes = set(&["write:products"]);
    ada.update(details, at(3));
    let changes = db.store.update_user(&ada, 1, &event(&project())).await.unwrap();
    let told: Vec<_> = changes.iter().flat_map(|change| change.hashes.clone()).collect();
    assert!(told.contains(&hash) && told.contains(&of_all), "caches hear of it");
    assert_eq!(acts(&hash).await, (Standing::Good, set(&["write:products"])));

    ada.block(at(4).plus(Duration::from_secs(1)));
    db.store.set_blocked(&ada, 2, &event(&project())).await.unwrap();
    assert_eq!(acts(&hash).await.0, Standing::Blocked);
    ada.delete(at(6));
    db.store.delete_user(&ada, 3, &event(&project())).await.unwrap();
    assert_eq!(acts(&hash).await.0, Standing::Deleted);
    let revoked = db.store.find_key_secret(&hash).await.unwrap().unwrap();
    assert_eq!(revoked.key.revoked_at, Some(at(6)));
}
