//! Clients that are known by a document: by which address they are found, how many there are, and when they are forgotten.

use std::time::Duration;

use super::grants::Party;
use super::on_both_engines;
use super::support::*;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::GrantId;
use crate::domain::oauth::client::{Client, ClientAuthentication, ClientKind};
use crate::domain::oauth::document::{ClientDocument, DocumentUrl};
use crate::domain::oauth::scope::OAuthScope;
use crate::domain::oauth::token::{AuthorizationCode, Grant};
use crate::domain::project::ProjectDetails;
use crate::store::{Conflict, StoreError};

on_both_engines! {
    of_such_clients_there_are_so_many,
    a_client_is_found_by_its_document_while_the_project_takes_such,
    a_document_is_that_of_one_client,
    clients_that_nobody_gave_anything_are_forgotten,
}

fn url(path: &str) -> DocumentUrl {
    DocumentUrl::parse(&format!("https://app.example/{path}")).unwrap()
}

/// A client of this document, which was had at this second and is believed for a minute.
fn documented(path: &str, seconds: u64) -> Client {
    let now = at(seconds);
    let document = ClientDocument { url: url(path), fetched_at: now, fresh_until: now.plus(Duration::from_secs(60)) };
    let mut client = Client { registered_itself: true, document: Some(document), secret: None, ..client(now) };
    (client.kind, client.details.authentication) = (ClientKind::Public, ClientAuthentication::None);
    client.details.scopes = "openid read:users".split(' ').filter_map(OAuthScope::parse).collect();
    client
}

async fn takes(db: &TestDb, documents: bool) {
    let mut project = db.store.find_project(&project()).await.unwrap().unwrap();
    let version = project.version;
    let details = ProjectDetails { client_documents: documents, ..project.details.clone() };
    project.update(details, at(1));
    db.store.update_project(&project, version, &event(&project.id)).await.unwrap();
}

async fn add(db: &TestDb, client: &Client) -> Result<bool, StoreError> {
    Ok(db.store.add_document_client(client, 3, &event(&project())).await?.is_some())
}

async fn find(db: &TestDb, path: &str) -> Option<Client> {
    db.store.find_document_client(&project(), Environment::Live, &url(path)).await.unwrap()
}

async fn a_client_is_found_by_its_document_while_the_project_takes_such(db: TestDb) {
    let (mut one, other) = (documented("a", 1), documented("b", 2));
    for client in [&one, &other] {
        assert_eq!(add(&db, client).await, Ok(true));
    }
    let by_id = async |client: &Client| db.store.find_client_by_id(&client.id).await.unwrap();
    assert_eq!((find(&db, "a").await, by_id(&one).await), (None, None), "it was not asked for");
    takes(&db, true).await;
    assert_eq!((find(&db, "a").await, find(&db, "b").await), (Some(one.clone()), Some(other.clone())));
    assert_eq!(by_id(&one).await.as_ref(), Some(&one));
    for unlike in ["A", "a/", "c"] {
        assert_eq!(find(&db, unlike).await, None, "{unlike}");
    }
    for (place, environment) in [(other_project(), Environment::Live), (project(), Environment::Test)] {
        assert_eq!(db.store.find_document_client(&place, environment, &url("a")).await.unwrap(), None);
    }
    // It was had again, and says the same, or something else.
    let again = |path: &str, seconds| documented(path, seconds).document;
    one.document = again("a", 50);
    db.store.renew_document(&one).await.unwrap();
    assert_eq!(find(&db, "a").await.as_ref(), Some(&one), "of the same version");
    one.document = again("a", 70);
    one.update(client(at(1)).details, at(70));
    one.details.authentication = ClientAuthentication::None;
    db.store.update_client(&one, 1, &event(&project())).await.unwrap();
    assert_eq!(find(&db, "a").await.as_ref(), Some(&one));
    assert_eq!(find(&db, "b").await, Some(other));
    takes(&db, false).await;
    assert_eq!((find(&db, "a").await, by_id(&one).await), (None, None));
    let there = db.store.find_client(&project(), Environment::Live, &one.id).await.unwrap();
    assert_eq!(there, Some(one), "for whoever runs the project");
}

async fn a_document_is_that_of_one_client(db: TestDb) {
    takes(&db, true).await;
    let mut one = documented("a", 1);
    assert_eq!(add(&db, &one).await, Ok(true));
    assert_eq!(add(&db, &documented("a", 2)).await, Err(StoreError::Conflict(Conflict::Exists)));
    let elsewhere = Client { environment: Environment::Test, ..documented("a", 3) };
    assert_eq!(add(&db, &elsewhere).await, Ok(true));
    one.delete(at(4));
    db.store.delete_client(&one, 1, &event(&project())).await.unwrap();
    assert_eq!(find(&db, "a").await, None);
    let next = documented("a", 5);
    assert_eq!((add(&db, &next).await, find(&db, "a").await), (Ok(true), Some(next)));
}

async fn of_such_clients_there_are_so_many(db: TestDb) {
    takes(&db, true).await;
    let add =
        async |client: &Client| db.store.add_document_client(client, 2, &event(&project())).await.unwrap().is_some();
    let (held, idle, next) = (documented("a", 1), documented("b", 2), documented("c", 3));
    for client in [&held, &idle] {
        assert!(add(client).await);
    }
    Party::of(&db, held.clone()).await.agree(&db, at(2)).await;
    assert!(add(&next).await, "the one that nobody gave anything makes room");
    assert_eq!((find(&db, "a").await, find(&db, "b").await), (Some(held), None));
    Party::of(&db, next.clone()).await.agree(&db, at(3)).await;
    assert!(!add(&documented("d", 4)).await, "both are in use");
    assert_eq!(find(&db, "c").await, Some(next));
}

async fn clients_that_nobody_gave_anything_are_forgotten(db: TestDb) {
    takes(&db, true).await;
    let (old, granted, recent) = (documented("a", 1), documented("b", 2), documented("c", 10));
    for client in [&old, &granted, &recent] {
        assert_eq!(add(&db, client).await, Ok(true));
    }
    let registered = client(at(1));
    db.store.create_client(&registered, Some(&new_hash()), &event(&project())).await.unwrap();
    let ada = human("ada", at(1));
    let session = signed_up(&db, &ada).await;
    let grant = Grant {
        id: GrantId::new(at(3), &SystemEntropy),
        project: project(),
        environment: Environment::Live,
        client: granted.id.clone(),
        user: ada.id.clone(),
        scopes: granted.details.scopes.clone(),
        resources: Vec::new(),
        authenticated_at: at(3),
        nonce: None,
        created_at: at(3),
        expires_at: at(20),
        revoked_at: None,
    };
    let code = AuthorizationCode {
        grant: grant.id.clone(),
        redirect_uri: "https://app.example.com/callback".to_owned(),
        redirect_uri_named: true,
        challenge: None,
        key: None,
        expires_at: at(20),
        used_at: None,
    };
    assert!(db.store.create_grant(&session, &grant, &new_hash(), &code, &event(&project())).await.unwrap());
    let prune = async |before: Timestamp| db.store.prune_document_clients(before, 10).await.unwrap();
    assert_eq!(prune(at(1)).await, 0);
    assert_eq!(prune(at(10)).await, 1);
    let there =
        async || [find(&db, "a").await.is_some(), find(&db, "b").await.is_some(), find(&db, "c").await.is_some()];
    assert_eq!(there().await, [false, true, true]);
    let found = db.store.find_client(&project(), Environment::Live, &registered.id).await.unwrap();
    assert_eq!(found, Some(registered), "nobody forgets those that were made here");
    // When the grant is over, it is no longer kept for that; what was agreed to goes with it.
    assert_eq!(db.store.prune_grants(at(30), 10).await.unwrap(), 1);
    assert_eq!(prune(at(11)).await, 2);
    assert_eq!(there().await, [false, false, false]);
    assert_eq!(db.store.find_consent(&ada.id, &granted.id).await.unwrap(), None);
    assert_eq!(add(&db, &documented("b", 40)).await, Ok(true));
}
