//! Users: reading, changing, listing and searching, and what becomes of their keys.

use super::on_both_engines;
use super::support::*;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, ProjectId, UserId};
use crate::domain::key::{Key, KeyState};
use crate::domain::page::PageRequest;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::user::{Email, Handle, Standing, User, UserKind, UserState};
use crate::domain::words::words;
use crate::store::{Conflict, KeyFilter, ScopeDeleted, StoreError, StoredScope, UserFilter};

on_both_engines! {
    a_user_comes_back_as_they_were_stored,
    blocking_and_deleting_turn_every_key_of_the_user,
    scopes_of_a_user_turn_what_they_call_with,
    filters_and_pages_agree_with_the_domain,
    handles_and_addresses_are_unique_within_their_walls,
    keys_are_for_service_accounts_of_their_own_place,
    no_key_is_made_past_a_deletion,
    of_a_deleted_user_nothing_is_left,
    search_finds_users_by_their_words,
}

async fn add(db: &TestDb, user: &User) {
    db.store.create_user(user, &event(&user.project)).await.unwrap();
}

fn with_email(mut user: User, email: &str) -> User {
    user.details.email = Email::parse(email);
    assert!(user.details.email.is_some(), "{email}");
    user
}

fn elsewhere(mut user: User, project: ProjectId, environment: Environment) -> User {
    (user.project, user.environment) = (project, environment);
    user
}

fn key_of(user: &User, seconds: u64) -> Key {
    let mut key = key(at(seconds));
    (key.project, key.environment) = (user.project.clone(), user.environment);
    key.user = Some(user.id.clone());
    key
}

async fn a_user_comes_back_as_they_were_stored(db: TestDb) {
    let plain = service_account("build-bot", at(1));
    let mut full = with_email(service_account("ada", at(2)), "Ada@Example.com");
    full.kind = UserKind::Human;
    full.details.alias = Some("Countess \u{1f451}".to_owned());
    full.details.first_name = "Ad\u{e4}'; DROP TABLE users; --".to_owned();
    full.details.last_name = "Lovelace".to_owned();
    full.details.metadata.insert("\u{fc}".to_owned(), "\u{0}\"\\".to_owned());
    for user in [&plain, &full] {
        add(&db, user).await;
        let found = db.store.find_user(&project(), Environment::Live, &user.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(user));
        for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
            assert_eq!(db.store.find_user(&project, environment, &user.id).await.unwrap(), None);
            let mut stolen = elsewhere(user.clone(), project, environment);
            stolen.update(stolen.details.clone(), at(3));
            let version = Err(StoreError::Conflict(Conflict::Version));
            assert_eq!(db.store.update_user(&stolen, 1, &event(&stolen.project)).await.map(|_| ()), version);
            assert_eq!(db.store.set_blocked(&stolen, 1, &event(&stolen.project)).await.map(|_| ()), version);
            assert_eq!(db.store.delete_user(&stolen, 1, &event(&stolen.project)).await.map(|_| ()), version);
        }
    }
    let mut details = full.details.clone();
    (details.handle, details.email, details.alias) = (None, None, None);
    full.update(details, at(4));
    db.store.update_user(&full, 1, &event(&project())).await.unwrap();
    let found = db.store.find_user(&project(), Environment::Live, &full.id).await.unwrap();
    assert_eq!(found, Some(full));
}

async fn handles_and_addresses_are_unique_within_their_walls(db: TestDb) {
    let first = with_email(service_account("ada", at(1)), "ada@example.com");
    add(&db, &first).await;
    let handle = service_account("ada", at(2));
    let email = with_email(service_account("other", at(2)), "ADA@example.COM");
    let taken = [(handle, Conflict::Handle), (email, Conflict::Email)];
    for (user, conflict) in &taken {
        let refused = db.store.create_user(user, &event(&project())).await;
        assert_eq!(refused, Err(StoreError::Conflict(*conflict)));
        assert_eq!(db.store.find_user(&project(), Environment::Live, &user.id).await.unwrap(), None, "nothing is left");
    }
    let mut second = service_account("second", at(3));
    add(&db, &second).await;
    for (user, conflict) in &taken {
        let mut changed = second.clone();
        changed.update(user.details.clone(), at(4));
        let refused = db.store.update_user(&changed, 1, &event(&project())).await;
        assert_eq!(refused, Err(StoreError::Conflict(*conflict)));
    }
    second.update(second.details.clone(), at(5));
    db.store.update_user(&second, 1, &event(&project())).await.unwrap();
    for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        let same = elsewhere(with_email(service_account("ada", at(6)), "ada@example.com"), project, environment);
        add(&db, &same).await;
    }
    let mut first = first;
    first.delete(at(7));
    db.store.delete_user(&first, 1, &event(&project())).await.unwrap();
    add(&db, &with_email(service_account("ada", at(8)), "Ada@example.com")).await;
}

async fn filters_and_pages_agree_with_the_domain(db: TestDb) {
    let mut users = Vec::new();
    for n in 0..40_u64 {
        let mut user = service_account(&format!("user-{n}"), at(n / 2));
        if n % 2 == 0 {
            user.kind = UserKind::Human;
        }
        if n % 5 == 0 {
            user = with_email(user, &format!("User-{n}@Example.com"));
        }
        add(&db, &user).await;
        if n % 3 == 0 {
            user.block(at(100));
            db.store.set_blocked(&user, 1, &event(&project())).await.unwrap();
        }
        if n % 10 == 9 {
            let version = user.version;
            user.delete(at(101));
            db.store.delete_user(&user, version, &event(&project())).await.unwrap();
        } else {
            users.push(user);
        }
    }
    users.reverse();
    let mut nonempty = 0;
    for kind in [None, Some(UserKind::Human), Some(UserKind::ServiceAccount)] {
        for state in [None, Some(UserState::Active), Some(UserState::Blocked)] {
            for email in [None, Some("uSER-15@example.com"), Some("user-1@example.com")] {
                for handle in [None, Some("user-15"), Some("user-9")] {
                    let filter = UserFilter {
                        kind,
                        state,
                        email: email.and_then(Email::parse),
                        handle: handle.and_then(Handle::parse),
                    };
                    let folded = |user: &User| user.details.email.as_ref().map(Email::folded);
                    let wanted: Vec<&User> = users
                        .iter()
                        .filter(|user| kind.is_none_or(|kind| user.kind == kind))
                        .filter(|user| state.is_none_or(|state| user.state() == state))
                        .filter(|user| email.is_none_or(|email| folded(user) == Some(email.to_ascii_lowercase())))
                        .filter(|user| handle.is_none_or(|_| user.details.handle == filter.handle))
                        .collect();
                    nonempty += usize::from(!wanted.is_empty());
                    let (mut found, mut after) = (Vec::new(), None);
                    loop {
                        let request = PageRequest::After { limit: 7, after };
                        let page = db.store.list_users(&project(), Environment::Live, &filter, &request).await.unwrap();
                        after = page.items.last().map(|user| user.id.to_string());
                        found.extend(page.items);
                        if !page.has_more {
                            break;
                        }
                    }
                    assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{filter:?}");
                    let page =
                        db.store.list_users(&project(), Environment::Live, &filter, &numbered(7, 1)).await.unwrap();
                    assert_eq!(page.total, Some(wanted.len() as u64), "{filter:?}");
                    let second: Vec<&User> = wanted.iter().skip(7).take(7).copied().collect();
                    assert_eq!(page.items.iter().collect::<Vec<_>>(), second, "{filter:?}");
                }
            }
        }
    }
    assert!(nonempty > 20, "{nonempty}");
    for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        let list = db.store.list_users(&project, environment, &UserFilter::default(), &first(10)).await.unwrap();
        assert!(list.items.is_empty());
    }
}

async fn search(db: &TestDb, query: &str) -> Vec<String> {
    let words: Vec<String> = words(query).collect();
    let page = db.store.search_users(&project(), Environment::Live, &words, &numbered(10, 0)).await.unwrap();
    assert_eq!(page.total, Some(page.items.len() as u64));
    page.items.iter().filter_map(|user| user.details.handle.as_ref()).map(ToString::to_string).collect()
}

async fn search_finds_users_by_their_words(db: TestDb) {
    let mut ada = with_email(service_account("countess-1", at(1)), "ada.l@mail.example.com");
    (ada.details.first_name, ada.details.last_name) = ("Ad\u{e4}".to_owned(), "O'Lovelace".to_owned());
    ada.details.alias = Some("Number Cruncher".to_owned());
    add(&db, &ada).await;
    add(&db, &service_account("build-bot", at(2))).await;
    for (project, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        add(&db, &elsewhere(service_account("ada-bot", at(3)), project, environment)).await;
    }
    for (query, wanted) in [
        ("ada", vec!["countess-1"]),
        ("ADA.L@MAIL.example.com", vec!["countess-1"]),
        ("lovelace o", vec!["countess-1"]),
        ("countess 1 num crun", vec!["countess-1"]),
        ("bot", vec!["build-bot"]),
        ("b", vec!["build-bot"]),
        ("ada bot", vec![]),
        ("oot", vec![]),
        ("live", vec![]),
    ] {
        assert_eq!(search(&db, query).await, wanted, "{query}");
    }
    let mut details = ada.details.clone();
    details.first_name = "Grace".to_owned();
    details.email = None;
    ada.update(details, at(4));
    db.store.update_user(&ada, 1, &event(&project())).await.unwrap();
    assert_eq!((search(&db, "grace").await.len(), search(&db, "ada").await.len()), (1, 0));
    ada.delete(at(5));
    db.store.delete_user(&ada, 2, &event(&project())).await.unwrap();
    assert_eq!(search(&db, "grace").await, Vec::<String>::new());
}

async fn of_a_deleted_user_nothing_is_left(db: TestDb) {
    let mut user = with_email(service_account("secret-handle", at(1)), "secret@example.com");
    user.details.first_name = "Secretname".to_owned();
    user.details.metadata.insert("a".to_owned(), "secretvalue".to_owned());
    add(&db, &user).await;
    user.delete(at(2));
    db.store.delete_user(&user, 1, &event(&project())).await.unwrap();
    assert_eq!(db.store.find_user(&project(), Environment::Live, &user.id).await.unwrap(), None);
    assert_eq!(search(&db, "secretname").await, Vec::<String>::new());
    let left = "SELECT id FROM users WHERE handle IS NOT NULL OR alias IS NOT NULL OR email IS NOT NULL
        OR email_folded IS NOT NULL OR first_name <> '' OR last_name <> '' OR metadata <> '{}'";
    assert_eq!(db.store.db.fetch_all(left, &[]).await.unwrap().len(), 0);
    let version = Err(StoreError::Conflict(Conflict::Version));
    assert_eq!(db.store.delete_user(&user, 2, &event(&project())).await.map(|_| ()), version, "they are gone");
    assert_eq!(db.store.set_blocked(&user, 2, &event(&project())).await.map(|_| ()), version);
    assert_eq!(db.store.update_user(&user, 2, &event(&project())).await.map(|_| ()), version);
}

async fn keys_are_for_service_accounts_of_their_own_place(db: TestDb) {
    let account = service_account("bot", at(1));
    let mut human = service_account("ada", at(1));
    human.kind = UserKind::Human;
    let mut gone = service_account("gone", at(1));
    for user in [&account, &human, &gone] {
        add(&db, user).await;
    }
    gone.delete(at(2));
    db.store.delete_user(&gone, 1, &event(&project())).await.unwrap();
    let unknown = service_account("unknown", at(1));
    let test = elsewhere(account.clone(), project(), Environment::Test);
    let other = elsewhere(account.clone(), other_project(), Environment::Live);
    for user in [&human, &gone, &unknown, &test, &other] {
        let key = key_of(user, 3);
        let refused = db.store.create_key(&key, &new_hash(), None, None, &event(&key.project)).await;
        assert_eq!(refused, Err(StoreError::Conflict(Conflict::ServiceAccount)));
    }
    let mut keys = Vec::new();
    for n in 0..100 {
        let key = key_of(&account, 10 + n);
        db.create(&key).await;
        keys.push(key);
    }
    let one_more = key_of(&account, 200);
    let refused = db.store.create_key(&one_more, &new_hash(), None, None, &event(&project())).await;
    assert_eq!(refused, Err(StoreError::Conflict(Conflict::TooManyKeys)));
    let first_key = &mut keys[0];
    first_key.revoke(at(300));
    db.store.update_key(first_key, 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    db.create(&one_more).await;

    let filter = |user: &UserId, state| KeyFilter { user: Some(user.clone()), state, ..KeyFilter::default() };
    let count = async |user: &UserId, state| {
        let filter = filter(user, state);
        let page = db.store.list_keys(&project(), Environment::Live, &filter, &numbered(1, 0)).await.unwrap();
        page.total.unwrap()
    };
    assert_eq!(count(&account.id, None).await, 101);
    assert_eq!(count(&account.id, Some((KeyState::Revoked, at(400)))).await, 1);
    assert_eq!(count(&human.id, None).await, 0);
}

/// What the store says of a key by its secret.
async fn standing(db: &TestDb, hash: &crate::domain::secret::SecretHash) -> (Option<Standing>, bool) {
    let found = db.store.find_key_secret(hash).await.unwrap().unwrap();
    (found.user.map(|user| user.standing), found.key.revoked_at.is_some())
}

async fn scopes_of_a_user_turn_what_they_call_with(db: TestDb) {
    let read = Scope::parse("READ_BUDGETS").unwrap();
    let registered =
        StoredScope { project: project(), scope: read.clone(), description: String::new(), created_at: at(1) };
    let mut user = service_account("bot", at(1));
    user.details.scopes = ScopeSet::new([read.clone()]);
    let unknown = Err(StoreError::Conflict(Conflict::UnknownScope));
    assert_eq!(db.store.create_user(&user, &event(&project())).await, unknown, "a scope has to be registered");
    user.details.scopes = ScopeSet::default();
    add(&db, &user).await;
    let key = key_of(&user, 2);
    let hash = db.create(&key).await;

    user.details.scopes = ScopeSet::new([read.clone(), Scope::parse("read:users").unwrap()]);
    user.version = 2;
    let update = async |user: &User| db.store.update_user(user, user.version - 1, &event(&project())).await;
    assert_eq!(update(&user).await.map(|_| ()), unknown);
    db.store.create_scope(&registered, &event(&project())).await.unwrap();
    let changes = update(&user).await.unwrap();
    let [change, of_user] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(
        (change.kind, &change.subject, &change.hashes),
        (ChangeKind::Updated, &Some(key.id.into()), &vec![hash])
    );
    let subject = Some(CredentialId::User(user.id.clone()));
    assert_eq!((of_user.kind, &of_user.subject), (ChangeKind::Updated, &subject));
    let found = db.store.find_user(&user.project, user.environment, &user.id).await.unwrap().unwrap();
    assert_eq!(
        (&found.details.scopes, found.details.scopes.iter().next().unwrap().spelling()),
        (&user.details.scopes, "READ_BUDGETS")
    );
    assert_eq!(db.store.scopes_of_user(&user.id).await.unwrap().iter().count(), 2);
    let held = db.store.delete_scope(&project(), read.plain(), &event(&project())).await;
    assert_eq!(held, Ok(ScopeDeleted::Held(1)));

    user.details.alias = Some("B".to_owned());
    user.version = 3;
    assert_eq!(update(&user).await, Ok(vec![]), "the same scopes turn nothing");
    user.delete(at(3));
    db.store.delete_user(&user, 3, &event(&project())).await.unwrap();
    let held = db.store.delete_scope(&project(), read.plain(), &event(&project())).await;
    assert_eq!(held, Ok(ScopeDeleted::Deleted), "whoever is gone holds nothing");
}

async fn blocking_and_deleting_turn_every_key_of_the_user(db: TestDb) {
    let (mut user, other) = (service_account("bot", at(1)), service_account("other", at(1)));
    add(&db, &user).await;
    add(&db, &other).await;
    let (one, mut held, mut gone, theirs) = (key_of(&user, 2), key_of(&user, 3), key_of(&user, 4), key_of(&other, 5));
    let hashes = [db.create(&one).await, db.create(&held).await];
    let (gone_hash, their_hash, free) =
        (db.create(&gone).await, db.create(&theirs).await, db.create(&key(at(6))).await);
    held.suspend(at(7)).unwrap();
    db.store.update_key(&held, 1, ChangeKind::Suspended, &event(&project())).await.unwrap();
    gone.revoke(at(7));
    db.store.update_key(&gone, 1, ChangeKind::Revoked, &event(&project())).await.unwrap();
    assert_eq!(standing(&db, &hashes[0]).await, (Some(Standing::Good), false));
    assert_eq!(standing(&db, &free).await, (None, false));

    let of_user = CredentialId::User(user.id.clone());
    let told = |changes: &[Change]| -> Vec<_> {
        // What shows no key of the user's is told by the user.
        let (last, of_keys) = changes.split_last().unwrap();
        assert_eq!((last.subject.as_ref(), last.hashes.len()), (Some(&of_user), 0));
        of_keys
            .iter()
            .map(|change| {
                (change.subject.as_ref().and_then(CredentialId::key).cloned(), change.kind, change.hashes.clone())
            })
            .collect()
    };
    let wanted = |kinds: [ChangeKind; 2]| {
        let of = |n: usize, key: &Key| (Some(key.id.clone()), kinds[n], vec![hashes[n]]);
        vec![of(0, &one), of(1, &held)]
    };
    for (kinds, now) in [
        ([ChangeKind::Suspended, ChangeKind::Suspended], Standing::Blocked),
        ([ChangeKind::Resumed, ChangeKind::Updated], Standing::Good),
    ] {
        let (before, version) = (db.store.revision().await.unwrap(), user.version);
        assert!(if now == Standing::Blocked { user.block(at(8)) } else { user.unblock(at(9)) });
        let changes = db.store.set_blocked(&user, version, &event(&project())).await.unwrap();
        assert_eq!(told(&changes), wanted(kinds));
        assert_eq!(db.store.list_changes_after(before, 10).await.unwrap(), changes, "the log tells the other nodes");
        assert_eq!(standing(&db, &hashes[0]).await, (Some(now), false));
        assert_eq!(standing(&db, &their_hash).await, (Some(Standing::Good), false));
        let (recent, _) = db.store.list_recent_key_secrets(None, 10).await.unwrap();
        assert!(recent.iter().any(|(hash, found)| *hash == hashes[0] && found.user.as_ref().is_some_and(|user| user.standing == now)));
    }

    let (before, version) = (db.store.revision().await.unwrap(), user.version);
    user.delete(at(10));
    let changes = db.store.delete_user(&user, version, &event(&project())).await.unwrap();
    assert_eq!(told(&changes), wanted([ChangeKind::Revoked, ChangeKind::Revoked]));
    assert_eq!(db.store.list_changes_after(before, 10).await.unwrap(), changes);
    for hash in hashes.iter().chain([&gone_hash]) {
        assert_eq!(standing(&db, hash).await, (Some(Standing::Deleted), true));
    }
    assert_eq!(standing(&db, &their_hash).await, (Some(Standing::Good), false));
    let kept = db.store.find_key(&project(), Environment::Live, &one.id).await.unwrap().unwrap();
    assert_eq!((kept.revoked_at, kept.version, kept.user), (Some(at(10)), 2, Some(user.id)));
}

async fn no_key_is_made_past_a_deletion(db: TestDb) {
    for round in 0..10 {
        let mut user = service_account(&format!("bot-{round}"), at(round));
        add(&db, &user).await;
        let mut makers = tokio::task::JoinSet::new();
        for n in 0..4 {
            let (store, key) = (db.store.clone(), key_of(&user, 100 + n));
            makers.spawn(async move {
                let hash = new_hash();
                (hash, store.create_key(&key, &hash, None, None, &event(&key.project)).await)
            });
        }
        user.delete(at(200));
        let changes = db.second().await.delete_user(&user, 1, &event(&project())).await.unwrap();
        let mut made = 0;
        for (hash, outcome) in makers.join_all().await {
            match outcome {
                Ok(_) => {
                    made += 1;
                    assert_eq!(standing(&db, &hash).await, (Some(Standing::Deleted), true));
                    assert!(changes.iter().any(|change| change.hashes.contains(&hash)), "it was told of");
                }
                Err(error) => assert_eq!(error, StoreError::Conflict(Conflict::ServiceAccount)),
            }
        }
        assert_eq!(changes.len(), made + 1, "one for each key, and one for the user");
    }
}
