//! Trusted issuers, and the users they mean.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::{ChangeKind, Revision};
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, ProjectId};
use crate::domain::issuer::{Algorithm, ClaimNames, Issuer, IssuerKeys, identity_hash, trust_hash};
use crate::domain::page::PageRequest;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::SecretHash;
use crate::domain::user::{Standing, User, UserKind};
use crate::store::{Conflict, MAX_ISSUERS, StoreError};

on_both_engines! {
    an_environment_trusts_so_many_issuers,
    an_issuer_goes_through_its_life,
    issuers_are_listed_oldest_first,
    what_happens_to_users_is_told_of_their_identities,
    two_that_make_one_user_make_one,
}

async fn an_issuer_goes_through_its_life(db: TestDb) {
    let live = Environment::Live;
    let mut shop = issuer("https://id.example", at(1));
    let before = db.store.revision().await.unwrap();
    let change = db.store.create_issuer(&shop, &event(&project())).await.unwrap();
    assert_eq!((change.kind, change.subject), (ChangeKind::Created, Some(CredentialId::Issuer(shop.id.clone()))));
    assert_eq!(change.hashes, [trust_hash(&project(), live)]);
    assert_eq!(db.store.find_issuer(&project(), live, &shop.id).await.unwrap(), Some(shop.clone()));
    for (project, environment) in [(other_project(), live), (project(), Environment::Test)] {
        assert_eq!(db.store.find_issuer(&project, environment, &shop.id).await.unwrap(), None);
    }
    let twice = Issuer { id: issuer("x", at(2)).id, ..shop.clone() };
    let refused = db.store.create_issuer(&twice, &event(&project())).await;
    assert_eq!(refused, Err(StoreError::Conflict(Conflict::Exists)));
    let tested = Issuer { environment: Environment::Test, ..twice };
    db.store.create_issuer(&tested, &event(&project())).await.unwrap();

    for keys in [IssuerKeys::At("https://id.example/keys".to_owned()), IssuerKeys::Inline("{}".to_owned())] {
        let version = shop.version;
        let mut details = shop.details.clone();
        details.keys = keys;
        details.rules.audiences = ["other".to_owned()].into();
        details.rules.algorithms = Algorithm::ALL.into();
        details.rules.leeway = Duration::from_secs(60);
        details.rules.claims = ClaimNames { email: "mail".to_owned(), ..ClaimNames::default() };
        shop.update(details, at(2));
        let change = db.store.update_issuer(&shop, version, &event(&project())).await.unwrap();
        assert_eq!((change.kind, &change.hashes[..]), (ChangeKind::Updated, &[trust_hash(&project(), live)][..]));
        assert_eq!(db.store.find_issuer(&project(), live, &shop.id).await.unwrap(), Some(shop.clone()));
        let stale = db.store.update_issuer(&shop, version, &event(&project())).await;
        assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
    }
    let stale = db.store.delete_issuer(&shop, 1, &event(&project())).await;
    assert_eq!(stale, Err(StoreError::Conflict(Conflict::Version)));
    let change = db.store.delete_issuer(&shop, shop.version, &event(&project())).await.unwrap();
    assert_eq!((change.kind, &change.hashes[..]), (ChangeKind::Revoked, &[trust_hash(&project(), live)][..]));
    assert_eq!(db.store.find_issuer(&project(), live, &shop.id).await.unwrap(), None);

    let told = db.store.list_changes_of(&project(), live, before, 10).await.unwrap();
    let kinds: Vec<_> = told.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Updated, ChangeKind::Revoked]);
    assert!(told.iter().all(|change| change.subject == Some(CredentialId::Issuer(shop.id.clone()))));
}

async fn issuers_are_listed_oldest_first(db: TestDb) {
    let mut all = Vec::new();
    for n in 0..5 {
        let one = issuer(&format!("https://id.example/{n}"), at(n));
        db.store.create_issuer(&one, &event(&project())).await.unwrap();
        all.push(one);
    }
    let mut theirs = issuer("https://id.example", at(1));
    theirs.project = other_project();
    db.store.create_issuer(&theirs, &event(&other_project())).await.unwrap();
    let list = async |request: PageRequest| {
        let page = db.store.list_issuers(&project(), Environment::Live, &request).await.unwrap();
        (page.items, page.has_more, page.total)
    };
    assert_eq!(list(first(3)).await, (all[..3].to_vec(), true, None));
    let after = PageRequest::After { limit: 3, after: Some(all[2].id.to_string()) };
    assert_eq!(list(after).await, (all[3..].to_vec(), false, None));
    assert_eq!(list(numbered(2, 2)).await, (all[4..].to_vec(), false, Some(5)));
}

async fn an_environment_trusts_so_many_issuers(db: TestDb) {
    // Several at a time: the last place is given once.
    let adding = (0..MAX_ISSUERS + 6).map(|n| {
        let store = db.store.clone();
        async move { store.create_issuer(&issuer(&format!("https://id.example/{n}"), at(1)), &event(&project())).await }
    });
    let mut made = 0;
    for answer in futures_util::future::join_all(adding).await {
        match answer {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error, StoreError::Conflict(Conflict::TooManyIssuers)),
        }
    }
    assert_eq!(made, MAX_ISSUERS);
    let tested = Issuer { environment: Environment::Test, ..issuer("https://id.example", at(1)) };
    db.store.create_issuer(&tested, &event(&project())).await.unwrap();
    let nowhere = Issuer { project: ProjectId::parse("nowhere").unwrap(), ..issuer("https://id.example", at(1)) };
    let refused = db.store.create_issuer(&nowhere, &event(&project())).await;
    assert_eq!(refused, Err(StoreError::Conflict(Conflict::Version)));
}

const ISSUER: &str = "https://id.example";

fn shopper(email: Option<&str>) -> User {
    let mut user = service_account("x", at(1));
    user.kind = UserKind::Human;
    user.details.handle = None;
    user.details.email = email.map(|email| crate::domain::user::Email::parse(email).unwrap());
    user
}

fn hash(subject: &str) -> SecretHash {
    identity_hash(&project(), Environment::Live, ISSUER, subject)
}

async fn what_happens_to_users_is_told_of_their_identities(db: TestDb) {
    let live = Environment::Live;
    let mut user = shopper(None);
    user.details.scopes = ScopeSet::new(Scope::parse("read:products"));
    let find = async || db.store.find_identity(&project(), live, ISSUER, "one").await.unwrap();
    assert_eq!(find().await, None);
    let change = db.store.create_user_of_issuer(&user, ISSUER, "one", &event(&project())).await.unwrap();
    assert_eq!((change.kind, &change.hashes[..]), (ChangeKind::Created, &[hash("one")][..]));
    let (id, acting) = find().await.unwrap();
    assert_eq!((&id, acting.standing, acting.scopes), (&user.id, Standing::Good, user.details.scopes.clone()));
    for (project, environment, issuer, subject) in [
        (other_project(), live, ISSUER, "one"),
        (project(), Environment::Test, ISSUER, "one"),
        (project(), live, "https://id.example/", "one"),
        (project(), live, ISSUER, "One"),
    ] {
        assert_eq!(db.store.find_identity(&project, environment, issuer, subject).await.unwrap(), None);
    }

    // What is no matter of a decision is not told.
    let mut details = user.details.clone();
    details.first_name = "Ada".to_owned();
    user.update(details.clone(), at(2));
    assert_eq!(db.store.update_user(&user, 1, &event(&project())).await.unwrap(), []);
    details.scopes = ScopeSet::default();
    user.update(details, at(3));
    let told = db.store.update_user(&user, 2, &event(&project())).await.unwrap();
    let expect = |told: &[crate::domain::change::Change], kind| {
        let [one] = told else { panic!("{told:?}") };
        assert_eq!((one.kind, &one.hashes[..]), (kind, &[hash("one")][..]));
        assert_eq!(one.subject, Some(CredentialId::User(user.id.clone())));
    };
    expect(&told, ChangeKind::Updated);
    assert_eq!(find().await.unwrap().1.scopes, ScopeSet::default());
    let mut user = user.clone();
    user.block(at(4));
    expect(&db.store.set_blocked(&user, 3, &event(&project())).await.unwrap(), ChangeKind::Suspended);
    assert_eq!(find().await.unwrap().1.standing, Standing::Blocked);
    user.unblock(at(5));
    expect(&db.store.set_blocked(&user, 4, &event(&project())).await.unwrap(), ChangeKind::Resumed);
    assert_eq!(find().await.unwrap().1.standing, Standing::Good);
    user.delete(at(6));
    expect(&db.store.delete_user(&user, 5, &event(&project())).await.unwrap(), ChangeKind::Revoked);
    assert_eq!(find().await, None, "the identity is free");
    let again = shopper(None);
    db.store.create_user_of_issuer(&again, ISSUER, "one", &event(&project())).await.unwrap();
    assert_eq!(find().await.unwrap().0, again.id);
}

async fn two_that_make_one_user_make_one(db: TestDb) {
    let before: Revision = db.store.revision().await.unwrap();
    let making = (0..8).map(|_| {
        let store = db.store.clone();
        async move { store.create_user_of_issuer(&shopper(None), ISSUER, "one", &event(&project())).await }
    });
    let answers = futures_util::future::join_all(making).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = |answer: &Result<_, StoreError>| *answer == Err(StoreError::Conflict(Conflict::Exists));
    assert_eq!(answers.iter().filter(|answer| refused(answer)).count(), 7);
    assert_eq!(db.store.revision().await.unwrap(), Revision(before.0 + 1));
    // Another's address is not taken over.
    let first =
        db.store.create_user_of_issuer(&shopper(Some("a@example.com")), ISSUER, "two", &event(&project())).await;
    first.unwrap();
    let taken = shopper(Some("A@example.com"));
    let refused = db.store.create_user_of_issuer(&taken, ISSUER, "three", &event(&project())).await;
    assert_eq!(refused, Err(StoreError::Conflict(Conflict::Email)));
    assert_eq!(db.store.find_identity(&project(), Environment::Live, ISSUER, "three").await.unwrap(), None);
}
