//! What devices ask for: each turn, who of two is first, and that what was exchanged says for what.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::id::{GrantId, TokenId};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::device::{Decided, DeviceRequest, DeviceState, LIFETIME, Poll};
use crate::domain::oauth::exchange::{Subject, SubjectKind};
use crate::domain::oauth::scope::{OAuthScope, OAuthScopes};
use crate::domain::oauth::token::{AccessToken, Grant};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::SecretHash;
use crate::domain::session::Session;
use crate::domain::user::User;
use crate::store::{DeviceStarted, MAX_DEVICE_REQUESTS, NewAccessToken, NewTokens};

on_both_engines! {
    a_client_has_so_many_devices_and_no_more,
    a_device_is_turned_once_by_whoever_is_first,
    a_token_says_what_it_was_exchanged_for,
    devices_of_deleted_clients_are_not_found,
    what_a_device_asks_for_comes_back_as_it_was_stored,
}

/// A request with the hashes of its two codes.
struct Asked {
    request: DeviceRequest,
    device: SecretHash,
    user: SecretHash,
}

struct Scene {
    db: TestDb,
    client: Client,
    ada: User,
    session: Session,
}

impl Scene {
    async fn new(db: TestDb) -> Self {
        let (mut client, mut ada) = (client(at(1)), human("ada", at(1)));
        client.details.scopes = scopes("openid read:users write:users");
        ada.details.scopes = ScopeSet::new(Scope::parse("read:users"));
        db.store.create_client(&client, Some(&new_hash()), &event(&project())).await.unwrap();
        let session = signed_up(&db, &ada).await;
        Self { db, client, ada, session }
    }

    fn request(&self, now: Timestamp) -> DeviceRequest {
        let client = &self.client;
        let resources = vec!["urn:a".to_owned(), "https://b.example/".to_owned()];
        let (project, environment) = (client.project.clone(), client.environment);
        DeviceRequest::new(project, environment, client.id.clone(), scopes("openid READ_USERS"), resources, now)
    }

    async fn start(&self, now: Timestamp) -> Asked {
        let asked = Asked { request: self.request(now), device: new_hash(), user: new_hash() };
        let started = self.db.store.start_device(&asked.request, &asked.device, &asked.user).await.unwrap();
        assert_eq!(started, DeviceStarted::Done);
        asked
    }

    fn grant(&self, now: Timestamp) -> Grant {
        Grant {
            id: GrantId::new(now, &SystemEntropy),
            project: project(),
            environment: self.client.environment,
            client: self.client.id.clone(),
            user: self.ada.id.clone(),
            scopes: scopes("read:users"),
            resources: vec!["urn:a".to_owned()],
            authenticated_at: at(1),
            nonce: None,
            created_at: now,
            expires_at: now.plus(Duration::from_secs(3_600)),
            revoked_at: None,
        }
    }

    fn token(&self, grant: Option<&Grant>, now: Timestamp) -> AccessToken {
        AccessToken {
            id: TokenId::new(now, &SystemEntropy),
            project: project(),
            environment: self.client.environment,
            client: self.client.id.clone(),
            client_document: None,
            user: grant.map(|grant| grant.user.clone()),
            grant: grant.map(|grant| grant.id.clone()),
            scopes: scopes("read:users"),
            audiences: Vec::new(),
            issued_at: now,
            expires_at: now.plus(Duration::from_secs(600)),
            revoked_at: None,
            waits_for_first_use: false,
            subject: None,
            key: None,
        }
    }

    async fn approve(&self, asked: &Asked, grant: &Grant, now: Timestamp) -> bool {
        self.db.store.approve_device(&asked.user, &self.session, grant, now, &event(&project())).await.unwrap()
    }

    async fn deny(&self, asked: &Asked, now: Timestamp) -> bool {
        self.db.store.deny_device(&asked.user, &self.ada.id, now, &event(&project())).await.unwrap()
    }

    async fn poll(&self, asked: &Asked, now: Timestamp) -> Poll {
        self.db.store.poll_device(&asked.device, now).await.unwrap().unwrap()
    }

    async fn redeem(&self, asked: &Asked, grant: &Grant, hash: &SecretHash, now: Timestamp) -> bool {
        let token = self.token(Some(grant), now);
        let tokens = NewTokens { access: NewAccessToken { hash, token: &token }, refresh: None, refresh_key: None };
        self.db.store.redeem_device(&asked.device, &grant.id, grant.expires_at, &tokens, now).await.unwrap()
    }

    async fn find(&self, asked: &Asked) -> DeviceRequest {
        let by_device = self.db.store.find_device(&asked.device).await.unwrap();
        let by_user = self.db.store.find_device_of_user_code(&asked.user).await.unwrap();
        assert_eq!(by_device, by_user);
        by_device.unwrap()
    }
}

fn scopes(text: &str) -> OAuthScopes {
    text.split(' ').filter_map(OAuthScope::parse).collect()
}

async fn what_a_device_asks_for_comes_back_as_it_was_stored(db: TestDb) {
    let scene = Scene::new(db).await;
    let asked = scene.start(at(10)).await;
    assert_eq!(scene.find(&asked).await, asked.request);
    // The two codes are not taken for each other.
    assert_eq!(scene.db.store.find_device(&asked.user).await.unwrap(), None);
    assert_eq!(scene.db.store.find_device_of_user_code(&asked.device).await.unwrap(), None);
    let alike = scene.db.store.start_device(&scene.request(at(11)), &new_hash(), &asked.user).await.unwrap();
    assert_eq!(alike, DeviceStarted::SameCode);

    assert_eq!(scene.poll(&asked, at(11)).await, Poll::Pending);
    assert_eq!(scene.poll(&asked, at(12)).await, Poll::TooFast);
    let found = scene.find(&asked).await;
    assert_eq!((found.polled_at, found.interval), (Some(at(12)), Duration::from_secs(10)));
    let grant = scene.grant(at(13));
    assert!(scene.approve(&asked, &grant, at(13)).await);
    let decided = Decided { user: grant.user.clone(), grant: grant.id.clone() };
    assert_eq!(scene.find(&asked).await.state, DeviceState::Approved(decided.clone()));
    assert_eq!(scene.db.store.find_grant(&grant.id).await.unwrap(), Some(grant.clone()));
    assert_eq!(scene.db.store.find_grant(&scene.grant(at(13)).id).await.unwrap(), None);
    assert_eq!(scene.poll(&asked, at(13)).await, Poll::Approved(grant.id.clone()));
    let hash = new_hash();
    assert!(scene.redeem(&asked, &grant, &hash, at(14)).await);
    assert_eq!(scene.find(&asked).await.state, DeviceState::Redeemed(decided));
    assert_eq!(scene.poll(&asked, at(700)).await, Poll::Spent(grant.id.clone()));
    let (token, user) = scene.db.store.find_access_token(&hash).await.unwrap().unwrap();
    assert_eq!((token.grant, user.is_some()), (Some(grant.id.clone()), true));

    let denied = scene.start(at(20)).await;
    assert!(scene.deny(&denied, at(21)).await);
    assert_eq!(scene.find(&denied).await.state, DeviceState::Denied(grant.user));
    assert_eq!(scene.poll(&denied, at(22)).await, Poll::Denied);

    // Past their end they go, a few at a time.
    let kept = scene.start(at(1_000)).await;
    assert_eq!(scene.db.store.prune_devices(at(10).plus(LIFETIME), 1).await.unwrap(), 1);
    assert_eq!(scene.db.store.prune_devices(at(999), 10).await.unwrap(), 1);
    assert_eq!(scene.db.store.poll_device(&asked.device, at(999)).await.unwrap(), None);
    assert_eq!(scene.find(&kept).await, kept.request);
}

async fn a_device_is_turned_once_by_whoever_is_first(db: TestDb) {
    let scene = Scene::new(db).await;
    for round in 0..10 {
        let now = at(100 + round);
        let asked = scene.start(now).await;
        let (one, other) = (scene.grant(now), scene.grant(now));
        let decisions =
            tokio::join!(scene.approve(&asked, &one, now), scene.approve(&asked, &other, now), scene.deny(&asked, now));
        let state = scene.find(&asked).await.state;
        let grant = match (&decisions, &state) {
            ((true, false, false), DeviceState::Approved(decided)) if decided.grant == one.id => one,
            ((false, true, false), DeviceState::Approved(decided)) if decided.grant == other.id => other,
            ((false, false, true), DeviceState::Denied(_)) => {
                assert!(!scene.redeem(&asked, &one, &new_hash(), now).await);
                assert_eq!(scene.db.store.find_grant(&one.id).await.unwrap(), None, "nothing was given");
                continue;
            }
            _ => panic!("{decisions:?} {state:?}"),
        };
        let (first, second) = (new_hash(), new_hash());
        let redeemed = tokio::join!(
            scene.redeem(&asked, &grant, &first, now),
            scene.redeem(&asked, &grant, &second, now),
            scene.poll(&asked, now)
        );
        assert_ne!(redeemed.0, redeemed.1, "one of them");
        for (hash, there) in [(first, redeemed.0), (second, redeemed.1)] {
            assert_eq!(scene.db.store.find_access_token(&hash).await.unwrap().is_some(), there);
        }
    }
    // Not for another client's grant, nor after the end.
    let asked = scene.start(at(200)).await;
    let mut other = scene.client.clone();
    other.id = crate::domain::id::ClientId::new(at(2), &SystemEntropy);
    scene.db.store.create_client(&other, Some(&new_hash()), &event(&project())).await.unwrap();
    let theirs = Grant { client: other.id, ..scene.grant(at(200)) };
    assert!(!scene.approve(&asked, &theirs, at(200)).await);
    let end = at(200).plus(LIFETIME);
    assert!(!scene.approve(&asked, &scene.grant(end), end).await && !scene.deny(&asked, end).await);
    assert_eq!(scene.poll(&asked, end).await, Poll::Expired);
}

async fn a_client_has_so_many_devices_and_no_more(db: TestDb) {
    let scene = Scene::new(db).await;
    scene.start(at(5)).await;
    // As many as there may be, made behind the store's back.
    let copies = format!(
        "INSERT INTO device_requests (hash, user_code, project, environment, client_id, scopes, resources, state,
            interval_micros, created_at, expires_at)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
        SELECT CAST(CAST(i AS TEXT) AS %BYTES%), CAST(CAST(i AS TEXT) AS %BYTES%), project, environment, client_id,
            scopes, resources, state, interval_micros, created_at, expires_at FROM n CROSS JOIN device_requests",
        MAX_DEVICE_REQUESTS - 1
    );
    scene.db.raw(&copies).await;
    let start = async |now| scene.db.store.start_device(&scene.request(now), &new_hash(), &new_hash()).await.unwrap();
    assert_eq!(start(at(6)).await, DeviceStarted::TooMany);
    assert_eq!(start(at(5).plus(LIFETIME)).await, DeviceStarted::Done, "those are past their end");
}

async fn devices_of_deleted_clients_are_not_found(db: TestDb) {
    let mut scene = Scene::new(db).await;
    let asked = scene.start(at(5)).await;
    scene.client.delete(at(6));
    scene.db.store.delete_client(&scene.client, 1, &event(&project())).await.unwrap();
    assert_eq!(scene.db.store.find_device(&asked.device).await.unwrap(), None);
    assert_eq!(scene.db.store.poll_device(&asked.device, at(6)).await.unwrap(), None);
    let grant = scene.grant(at(6));
    assert!(!scene.approve(&asked, &grant, at(6)).await && !scene.redeem(&asked, &grant, &new_hash(), at(6)).await);
}

async fn a_token_says_what_it_was_exchanged_for(db: TestDb) {
    let scene = Scene::new(db).await;
    for (kind, subject) in [(SubjectKind::Key, new_hash()), (SubjectKind::Token, new_hash())] {
        let subject = Subject { hash: subject, kind, credential: None };
        let mut token = scene.token(None, at(5));
        token.scopes = scopes("read:users write:users");
        token.user = Some(scene.ada.id.clone());
        token.subject = Some(Box::new(subject));
        let hash = new_hash();
        scene.db.store.issue_access_token(&NewAccessToken { hash: &hash, token: &token }).await.unwrap();
        // It is held to its subject, and by that to the user.
        let (found, user) = scene.db.store.find_access_token(&hash).await.unwrap().unwrap();
        assert_eq!((found, user.is_some()), (token.clone(), true));
    }
}
