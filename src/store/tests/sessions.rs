//! Sessions and passwords: beginning, finding, ending, and what becomes of them with their user.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::environment::Environment;
use crate::domain::id::CredentialId;
use crate::domain::password::{HashCost, PasswordHash};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::SecretHash;
use crate::domain::session::{Login, Origin, Session};
use crate::domain::user::{Email, Standing, User};
use crate::store::{MAX_SESSIONS_OF_USER, NewPassword, NewSession};

on_both_engines! {
    a_password_and_a_session_do_not_miss_each_other,
    a_session_is_found_with_its_user,
    accounts_are_found_by_both_names,
    lists_hold_what_has_not_ended,
    no_session_is_begun_that_may_not_be,
    one_user_has_so_many_sessions,
    what_becomes_of_a_user_becomes_of_their_sessions,
}

/// A person with a password, and a session of theirs from when they signed up.
struct Person {
    user: User,
    password: PasswordHash,
    session: Session,
    hash: SecretHash,
}

impl Person {
    async fn new(db: &TestDb, handle: &str) -> Self {
        let mut user = human(handle, at(1));
        user.details.email = Email::parse(&format!("{handle}@Example.com"));
        user.details.scopes = ScopeSet::new(Scope::parse("read:products"));
        let (password, session, hash) = (password(), session(&user, at(1)), new_hash());
        let new = NewSession { session: &session, hash: &hash, origin: &Origin::default() };
        db.store.sign_up(&user, &password, &new, &event(&user.project)).await.unwrap();
        Self { user, password, session, hash }
    }

    async fn sign_in(&self, db: &TestDb, seconds: u64) -> Option<(Session, SecretHash, Vec<Change>)> {
        let (session, hash) = (session(&self.user, at(seconds)), new_hash());
        let new = NewSession { session: &session, hash: &hash, origin: &Origin::default() };
        let begun = db.store.begin_session(&new, &self.password, None, &event(&self.user.project)).await.unwrap();
        begun.map(|changes| (session, hash, changes))
    }

    async fn set_password(&self, db: &TestDb, new: &NewPassword<'_>) -> Option<Vec<Change>> {
        db.store.set_password(new, &event(&self.user.project)).await.unwrap()
    }
}

fn told(changes: &[Change]) -> Vec<(ChangeKind, CredentialId, Vec<SecretHash>)> {
    changes.iter().map(|c| (c.kind, c.subject.clone().unwrap(), c.hashes.clone())).collect()
}

async fn a_session_is_found_with_its_user(db: TestDb) {
    let ada = Person::new(&db, "ada").await;
    let (session, acting) = db.store.find_session(&ada.hash).await.unwrap().unwrap();
    assert_eq!((session, acting.standing), (ada.session.clone(), Standing::Good));
    assert_eq!(acting.scopes, ada.user.details.scopes);
    assert_eq!(db.store.find_session(&new_hash()).await.unwrap(), None);
    let (later, hash, ended) = ada.sign_in(&db, 5).await.unwrap();
    assert_eq!(ended, []);
    assert_eq!(db.store.find_session(&hash).await.unwrap().unwrap().0, later);
    assert_eq!(db.store.find_session(&ada.hash).await.unwrap().unwrap().0, ada.session, "it goes on");

    let mut project = db.store.find_project(&project()).await.unwrap().unwrap();
    project.delete(at(9));
    db.store.delete_project(&project, 1, &event(&other_project())).await.unwrap();
    assert_eq!(db.store.find_session(&hash).await.unwrap(), None);
    let login = Login::handle("ada").unwrap();
    assert!(db.store.find_account(&project.id, Environment::Live, &login).await.unwrap().is_none());
}

async fn accounts_are_found_by_both_names(db: TestDb) {
    let ada = Person::new(&db, "ada").await;
    let find = async |login: Option<Login>, environment| {
        let found = db.store.find_account(&project(), environment, &login.unwrap()).await.unwrap();
        found.map(|account| (account.user, account.session_lifetime, account.password.to_phc()))
    };
    let wanted = Some((ada.user.id.clone(), Duration::from_secs(3600), ada.password.to_phc()));
    for login in [Login::handle("ada"), Login::handle("ADA"), Login::email("aDA@example.COM")] {
        assert_eq!(find(login.clone(), Environment::Live).await, wanted, "{login:?}");
        assert_eq!(find(login, Environment::Test).await, None);
    }
    assert_eq!(find(Login::handle("grace"), Environment::Live).await, None);
    let bot = service_account("bot", at(2));
    db.store.create_user(&bot, &event(&project())).await.unwrap();
    let passwordless = human("passwordless", at(2));
    db.store.create_user(&passwordless, &event(&project())).await.unwrap();
    for name in ["bot", "passwordless"] {
        assert_eq!(find(Login::handle(name), Environment::Live).await, None, "{name}");
    }
    let mut blocked = ada.user.clone();
    blocked.block(at(3));
    db.store.set_blocked(&blocked, 1, &event(&project())).await.unwrap();
    assert_eq!(find(Login::handle("ada"), Environment::Live).await, None);
    assert!(db.store.find_password(&ada.user.id).await.unwrap().is_some());
    blocked.unblock(at(4));
    db.store.set_blocked(&blocked, 2, &event(&project())).await.unwrap();
    assert_eq!(find(Login::handle("ada"), Environment::Live).await, wanted);
    blocked.delete(at(5));
    db.store.delete_user(&blocked, 3, &event(&project())).await.unwrap();
    assert!(db.store.find_password(&ada.user.id).await.unwrap().is_none(), "nothing is left of it");
}

async fn no_session_is_begun_that_may_not_be(db: TestDb) {
    let ada = Person::new(&db, "ada").await;
    let renewed = PasswordHash { cost: HashCost { passes: 4, ..ada.password.cost }, ..ada.password.clone() };
    let session = session(&ada.user, at(5));
    let new = NewSession { session: &session, hash: &new_hash(), origin: &Origin::default() };
    let begun = db.store.begin_session(&new, &ada.password, Some(&renewed), &event(&project())).await.unwrap();
    assert_eq!(begun, Some(Vec::new()));
    let kept = db.store.find_password(&ada.user.id).await.unwrap().unwrap();
    assert_eq!(kept.to_phc(), renewed.to_phc());
    assert!(ada.sign_in(&db, 6).await.is_none(), "the password that was shown is another by now");
    let ada = Person { password: renewed, ..ada };
    assert!(ada.sign_in(&db, 7).await.is_some());

    let mut user = ada.user.clone();
    user.block(at(8));
    db.store.set_blocked(&user, 1, &event(&project())).await.unwrap();
    assert!(ada.sign_in(&db, 9).await.is_none());
    user.delete(at(10));
    db.store.delete_user(&user, 2, &event(&project())).await.unwrap();
    let before = db.store.list_changes_after(Default::default(), 1000).await.unwrap().len();
    assert!(ada.sign_in(&db, 11).await.is_none());
    let another = NewPassword { user: &user, password: &password(), in_place_of: None, keep: None, now: at(12) };
    assert_eq!(ada.set_password(&db, &another).await, None, "for nobody");
    assert_eq!(db.store.list_changes_after(Default::default(), 1000).await.unwrap().len(), before, "nothing happened");
}

async fn what_becomes_of_a_user_becomes_of_their_sessions(db: TestDb) {
    let (ada, other) = (Person::new(&db, "ada").await, Person::new(&db, "other").await);
    let (second, hash, _) = ada.sign_in(&db, 5).await.unwrap();
    let both = |kind| {
        let mut both = vec![
            (kind, CredentialId::Session(ada.session.id.clone()), vec![ada.hash]),
            (kind, CredentialId::Session(second.id.clone()), vec![hash]),
        ];
        both.sort_by(|one, other| one.1.cmp(&other.1));
        both
    };
    let of_user = CredentialId::User(ada.user.id.clone());
    // What shows no session of the user's is told by the user.
    let but_last = |changes: &[Change]| {
        let mut told = told(changes);
        let (_, subject, hashes) = told.pop().unwrap();
        assert_eq!((subject, hashes), (of_user.clone(), Vec::new()));
        told
    };
    let sorted = |changes: &[Change]| {
        let mut told = but_last(changes);
        told.sort_by(|one, other| one.1.cmp(&other.1));
        told
    };
    let mut user = ada.user.clone();
    user.details.scopes = ScopeSet::new(Scope::parse("write:products"));
    user.update(user.details.clone(), at(6));
    let changes = db.store.update_user(&user, 1, &event(&project())).await.unwrap();
    assert_eq!(sorted(&changes), both(ChangeKind::Updated));
    assert_eq!(db.store.find_session(&hash).await.unwrap().unwrap().1.scopes, user.details.scopes);
    user.details.first_name = "Ada".to_owned();
    user.update(user.details.clone(), at(7));
    assert_eq!(db.store.update_user(&user, 2, &event(&project())).await.unwrap(), [], "no decision is another");

    // Another password ends all but the one that it was changed in.
    let (another, third) = (password(), password());
    let new = NewPassword {
        user: &user,
        password: &another,
        in_place_of: Some(&ada.password),
        keep: Some(&second.id),
        now: at(8),
    };
    let changes = ada.set_password(&db, &new).await.unwrap();
    let first = vec![(ChangeKind::Revoked, CredentialId::Session(ada.session.id.clone()), vec![ada.hash])];
    assert_eq!(told(&changes), first);
    assert_eq!(db.store.find_session(&ada.hash).await.unwrap().unwrap().0.revoked_at, Some(at(8)));
    assert_eq!(db.store.find_session(&hash).await.unwrap().unwrap().0.revoked_at, None);
    assert_eq!(ada.set_password(&db, &new).await, None, "the old one is not there any more");
    let new = NewPassword { password: &third, in_place_of: None, keep: None, now: at(9), ..new };
    let changes = ada.set_password(&db, &new).await.unwrap();
    assert_eq!(told(&changes), [(ChangeKind::Revoked, CredentialId::Session(second.id.clone()), vec![hash])]);

    // So do a block and a deletion.
    let ada = Person { user, password: third, ..ada };
    let (blocked, hash, _) = ada.sign_in(&db, 10).await.unwrap();
    let mut user = ada.user.clone();
    user.block(at(11));
    let changes = db.store.set_blocked(&user, 3, &event(&project())).await.unwrap();
    assert_eq!(but_last(&changes), [(ChangeKind::Revoked, CredentialId::Session(blocked.id), vec![hash])]);
    user.unblock(at(12));
    let changes = db.store.set_blocked(&user, 4, &event(&project())).await.unwrap();
    assert_eq!(but_last(&changes), [], "it stays ended");
    let (deleted, hash, _) = ada.sign_in(&db, 13).await.unwrap();
    user.delete(at(14));
    let changes = db.store.delete_user(&user, 5, &event(&project())).await.unwrap();
    assert_eq!(but_last(&changes), [(ChangeKind::Revoked, CredentialId::Session(deleted.id), vec![hash])]);
    assert_eq!(db.store.find_session(&hash).await.unwrap().unwrap().1.standing, Standing::Deleted);

    let found = db.store.find_session(&other.hash).await.unwrap().unwrap().0;
    assert_eq!(found.revoked_at, None, "nothing of another user's ended");
}

async fn one_user_has_so_many_sessions(db: TestDb) {
    let (ada, other) = (Person::new(&db, "ada").await, Person::new(&db, "other").await);
    for n in 1..u64::from(MAX_SESSIONS_OF_USER) {
        let (_, _, ended) = ada.sign_in(&db, 1 + n).await.unwrap();
        assert_eq!(ended, [], "{n}");
    }
    let (_, _, ended) = ada.sign_in(&db, 1000).await.unwrap();
    let oldest = (ChangeKind::Revoked, CredentialId::Session(ada.session.id.clone()), vec![ada.hash]);
    assert_eq!(told(&ended), [oldest]);
    assert_eq!(db.store.find_session(&ada.hash).await.unwrap().unwrap().0.revoked_at, Some(at(1000)));
    let listed = db.store.list_sessions(&ada.user, at(1000), &first(1000)).await.unwrap();
    assert_eq!(listed.items.len(), MAX_SESSIONS_OF_USER as usize);
    let listed = db.store.list_sessions(&other.user, at(1000), &first(1000)).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

async fn lists_hold_what_has_not_ended(db: TestDb) {
    let ada = Person::new(&db, "ada").await;
    let origin = Origin { client_ip: Some("2001:db8::1".parse().unwrap()), user_agent: "curl/8".to_owned() };
    let (second, hash) = (session(&ada.user, at(2)), new_hash());
    let new = NewSession { session: &second, hash: &hash, origin: &origin };
    db.store.begin_session(&new, &ada.password, None, &event(&project())).await.unwrap().unwrap();
    let (third, _, _) = ada.sign_in(&db, 3).await.unwrap();
    let list = async |now, page| {
        let page = db.store.list_sessions(&ada.user, now, &page).await.unwrap();
        let ids: Vec<_> = page.items.iter().map(|listed| listed.session.id.clone()).collect();
        (ids, page.has_more, page.total)
    };
    let ids = [&third, &second, &ada.session].map(|session| session.id.clone());
    assert_eq!(list(at(4), first(2)).await, (ids[..2].to_vec(), true, None));
    let rest = crate::domain::page::PageRequest::After { limit: 2, after: Some(ids[1].to_string()) };
    assert_eq!(list(at(4), rest).await, (ids[2..].to_vec(), false, None));
    assert_eq!(list(at(4), numbered(2, 1)).await, (ids[2..].to_vec(), false, Some(3)));
    let listed = db.store.list_sessions(&ada.user, at(4), &first(10)).await.unwrap();
    assert_eq!((&listed.items[1].origin, &listed.items[1].session), (&origin, &second));

    let mut elsewhere = ada.user.clone();
    elsewhere.environment = Environment::Test;
    let grace = human("grace", at(1));
    assert_eq!(db.store.list_sessions(&grace, at(4), &first(10)).await.unwrap().items, []);
    for user in [&elsewhere, &grace] {
        assert_eq!(db.store.end_session(user, &second.id, at(4), &event(&project())).await.unwrap(), None);
    }
    let ended = db.store.end_session(&ada.user, &second.id, at(5), &event(&project())).await.unwrap().unwrap();
    assert_eq!(told(&[ended]), [(ChangeKind::Revoked, CredentialId::Session(second.id.clone()), vec![hash])]);
    assert_eq!(db.store.end_session(&ada.user, &second.id, at(6), &event(&project())).await.unwrap(), None);
    assert_eq!(list(at(6), first(10)).await.0, [ids[0].clone(), ids[2].clone()]);

    let end = ada.session.expires_at;
    assert_eq!(list(end, first(10)).await.0, [ids[0].clone()], "the first is past its end");
    assert_eq!(db.store.prune_sessions(end, 10).await.unwrap(), 0);
    assert_eq!(db.store.prune_sessions(end.plus(Duration::from_secs(60)), 2).await.unwrap(), 2);
    assert_eq!(db.store.prune_sessions(end.plus(Duration::from_secs(60)), 2).await.unwrap(), 1);
    assert_eq!(db.store.find_session(&hash).await.unwrap(), None);

    let (_, _, _) = ada.sign_in(&db, 7).await.unwrap();
    let mut user = ada.user.clone();
    user.delete(at(8));
    db.store.delete_user(&user, 1, &event(&project())).await.unwrap();
    assert_eq!(db.store.list_sessions(&user, at(8), &first(10)).await.unwrap().items, []);
}

async fn a_password_and_a_session_do_not_miss_each_other(db: TestDb) {
    for round in 0..10 {
        let ada = Person::new(&db, &format!("ada-{round}")).await;
        let (store, another) = (db.second().await, password());
        let change = async {
            let new = NewPassword { user: &ada.user, password: &another, in_place_of: None, keep: None, now: at(5) };
            store.set_password(&new, &event(&project())).await.unwrap().unwrap()
        };
        let (begun, ended) = tokio::join!(ada.sign_in(&db, 4), change);
        // It was begun first, and has ended with the others, or was not begun.
        if let Some((session, _, _)) = begun {
            let ended = ended.iter().any(|change| change.subject == Some(CredentialId::Session(session.id.clone())));
            assert!(ended, "a session was begun past another password");
        }
        assert_eq!(db.store.list_sessions(&ada.user, at(6), &first(10)).await.unwrap().items, []);
        store.close().await;
    }
}
