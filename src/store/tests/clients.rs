//! Clients: reading, changing and listing them, and which of their secrets are found.

use std::collections::BTreeSet;
use std::time::Duration;

use super::grants::Party;
use super::on_both_engines;
use super::support::*;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::credential::SecretRole::{Current, Previous};
use crate::domain::environment::Environment;
use crate::domain::id::CredentialId;
use crate::domain::oauth::client::{Client, ClientAuthentication, ClientDetails, ClientKeys, ClientKind, TokenFormat};
use crate::domain::oauth::grant::GrantType;
use crate::domain::oauth::redirect_uri::RedirectUri;
use crate::domain::oauth::scope::{OAuthScope, OAuthScopes};
use crate::domain::oauth::uri::{LogoUri, ResourceUri};
use crate::domain::page::PageRequest;
use crate::domain::scope::Scope;
use crate::domain::secret::SecretHash;
use crate::store::{Conflict, Room, ScopeDeleted, StoreError, StoredScope};

on_both_engines! {
    a_client_that_nobody_ever_agreed_to_makes_room,
    a_client_comes_back_as_it_was_stored,
    a_deleted_client_is_gone_and_its_secrets_with_it,
    a_secret_is_found_for_its_own_client_only,
    clients_are_listed_newest_first,
    clients_that_register_themselves_are_bounded_and_known_by_their_token,
    only_one_of_two_changes_of_a_version_is_made,
    scopes_of_clients_are_registered_and_stay_so,
    secrets_are_rotated_with_an_overlap,
    the_change_log_tells_of_clients,
}

async fn add(db: &TestDb, client: &Client) -> SecretHash {
    let hash = new_hash();
    db.store.create_client(client, client.secret.is_some().then_some(&hash), &event(&client.project)).await.unwrap();
    hash
}

async fn find(db: &TestDb, client: &Client) -> Option<Client> {
    db.store.find_client(&client.project, client.environment, &client.id).await.unwrap()
}

fn scopes(text: &str) -> OAuthScopes {
    text.split(' ').filter_map(OAuthScope::parse).collect()
}

fn uris(texts: &[&str]) -> Vec<RedirectUri> {
    texts.iter().map(|text| RedirectUri::parse(text, ClientKind::Public).unwrap()).collect()
}

/// A client with something in every field.
fn full_client(seconds: u64) -> Client {
    let mut client = client(at(seconds));
    client.environment = Environment::Test;
    let details = &mut client.details;
    details.name = "Caf\u{e9}'; DROP TABLE clients; -- \u{1f511}".to_owned();
    details.logo_uri = LogoUri::parse("https://cdn.example.com/logo.png?a=b").ok();
    details.authentication = ClientAuthentication::SecretPost;
    details.keys = Some(ClientKeys::At("https://app.example.com/keys".to_owned()));
    details.redirect_uris = uris(&["https://b.example/cb", "https://a.example/cb?x=%20", "http://127.0.0.1/"]);
    details.post_logout_redirect_uris = uris(&["https://b.example/bye", "https://a.example/bye"]);
    details.grant_types = GrantType::ALL.into();
    details.scopes = scopes("openid offline_access email profile read:products WRITE_PRODUCTS");
    details.resources = ["urn:z", "https://api.example.com/"].map(|uri| ResourceUri::parse(uri).unwrap()).into();
    details.token_format = TokenFormat::Opaque;
    details.access_token_lifetime = Duration::from_secs(61);
    details.refresh_token_idle_lifetime = Duration::from_secs(3_601);
    details.refresh_token_lifetime = Duration::from_secs(7_202);
    details.require_pkce = false;
    details.dpop_bound_access_tokens = true;
    details.require_pushed_requests = true;
    client
}

async fn a_client_comes_back_as_it_was_stored(db: TestDb) {
    let mut public = client(at(1));
    (public.kind, public.secret) = (ClientKind::Public, None);
    public.details.authentication = ClientAuthentication::None;
    public.details.redirect_uris = uris(&["com.example.app:/cb"]);
    public.details.keys = Some(ClientKeys::Inline("{\"keys\": []}".to_owned()));
    let full = full_client(2);
    for client in [&public, &full] {
        add(&db, client).await;
        assert_eq!(find(&db, client).await.as_ref(), Some(client));
        assert_eq!(db.store.find_client_by_id(&client.id).await.unwrap().as_ref(), Some(client));
        let other = if client.environment == Environment::Live { Environment::Test } else { Environment::Live };
        for (project, environment) in [(other_project(), client.environment), (project(), other)] {
            let mut stolen = client.clone();
            (stolen.project, stolen.environment) = (project, environment);
            assert_eq!(find(&db, &stolen).await, None);
            stolen.update(stolen.details.clone(), at(3));
            let version = Err(StoreError::Conflict(Conflict::Version));
            let event = event(&stolen.project);
            assert_eq!(db.store.update_client(&stolen, 1, &event).await.map(drop), version);
            assert_eq!(db.store.rotate_client_secret(&stolen, 1, &new_hash(), &event).await.map(drop), version);
            assert_eq!(db.store.delete_client(&stolen, 1, &event).await.map(drop), version);
        }
        let twice = db.store.create_client(client, None, &event(&project())).await;
        assert_eq!(twice.map(drop), Err(StoreError::Conflict(Conflict::Exists)));
    }
    let (mut bare, mut filled) = (full.clone(), public.clone());
    bare.update(client(at(1)).details, at(4));
    db.store.update_client(&bare, 1, &event(&project())).await.unwrap();
    assert_eq!(find(&db, &bare).await.as_ref(), Some(&bare), "what it had is gone");
    let mut details = full.details.clone();
    (details.authentication, details.grant_types) = (ClientAuthentication::None, BTreeSet::new());
    filled.update(details, at(4));
    db.store.update_client(&filled, 1, &event(&project())).await.unwrap();
    assert_eq!(find(&db, &filled).await.as_ref(), Some(&filled));
}

async fn a_secret_is_found_for_its_own_client_only(db: TestDb) {
    let (mine, mut theirs) = (client(at(1)), client(at(1)));
    theirs.project = other_project();
    let (secret, other_secret) = (add(&db, &mine).await, add(&db, &theirs).await);
    let find = async |client: &Client, hash: &SecretHash| {
        db.store.find_client_by_secret(&client.id, hash).await.unwrap().map(|(found, role)| (found.id, role))
    };
    assert_eq!(find(&mine, &secret).await, Some((mine.id.clone(), Current)));
    assert_eq!(find(&theirs, &other_secret).await, Some((theirs.id.clone(), Current)));
    for (client, hash) in [(&mine, &other_secret), (&theirs, &secret), (&mine, &new_hash())] {
        assert_eq!(find(client, hash).await, None);
    }
    // The secret of a key is no secret of a client, and the reverse.
    let key = db.create(&key(at(1))).await;
    assert_eq!(find(&mine, &key).await, None);
    assert_eq!(db.store.find_key_secret(&secret).await.unwrap(), None);

    let mut other = db.store.find_project(&other_project()).await.unwrap().unwrap();
    other.delete(at(5));
    db.store.delete_project(&other, 1, &event(&project())).await.unwrap();
    assert_eq!(find(&theirs, &other_secret).await, None, "its project is gone");
    assert_eq!(db.store.find_client_by_id(&theirs.id).await.unwrap(), None);
    assert!(db.store.find_client_by_id(&mine.id).await.unwrap().is_some());
}

async fn secrets_are_rotated_with_an_overlap(db: TestDb) {
    let mut client = client(at(1));
    let mut hashes = vec![add(&db, &client).await];
    let day = Duration::from_secs(86_400);
    let cases: [(Duration, &[Option<_>]); 3] = [
        (day, &[Some(Previous), Some(Current)]),
        // A second rotation ends the first old secret, for there are two at most.
        (day, &[None, Some(Previous), Some(Current)]),
        (Duration::ZERO, &[None, None, None, Some(Current)]),
    ];
    for (grace, roles) in cases {
        let version = client.version;
        client.rotate_secret(format!("hint {version}"), grace, at(10)).unwrap();
        let hash = new_hash();
        let change = db.store.rotate_client_secret(&client, version, &hash, &event(&project())).await.unwrap();
        assert_eq!(change.kind, ChangeKind::Rotated);
        assert!(change.hashes.contains(&hash) && change.hashes.contains(hashes.last().unwrap()), "both are told of");
        hashes.push(hash);
        for (hash, role) in hashes.iter().zip(roles) {
            let found = db.store.find_client_by_secret(&client.id, hash).await.unwrap();
            assert_eq!(found.as_ref().map(|(_, role)| *role), *role);
            assert!(found.is_none_or(|(found, _)| found == client));
        }
        assert_eq!(find(&db, &client).await.as_ref(), Some(&client));
    }
}

async fn a_deleted_client_is_gone_and_its_secrets_with_it(db: TestDb) {
    let mut gone = full_client(1);
    let secret = add(&db, &gone).await;
    let (version, before) = (gone.version, gone.clone());
    gone.delete(at(5));
    let change = db.store.delete_client(&gone, version, &event(&project())).await.unwrap();
    assert_eq!((change.kind, change.hashes), (ChangeKind::Revoked, vec![secret]));
    assert_eq!(find(&db, &gone).await, None);
    assert_eq!(db.store.find_client_by_id(&gone.id).await.unwrap(), None);
    assert_eq!(db.store.find_client_by_secret(&gone.id, &secret).await.unwrap(), None);
    assert!(db.store.list_clients(&project(), Environment::Test, &first(10)).await.unwrap().items.is_empty());
    // Neither is it changed any more, nor is its id free.
    let late = Err(StoreError::Conflict(Conflict::Version));
    for version in [1, 2] {
        assert_eq!(db.store.update_client(&gone, version, &event(&project())).await.map(drop), late);
        let rotated = db.store.rotate_client_secret(&gone, version, &new_hash(), &event(&project())).await;
        assert_eq!(rotated.map(drop), late);
        assert_eq!(db.store.delete_client(&gone, version, &event(&project())).await.map(drop), late);
    }
    let again = db.store.create_client(&before, None, &event(&project())).await;
    assert_eq!(again.map(drop), Err(StoreError::Conflict(Conflict::Exists)));
}

async fn clients_that_register_themselves_are_bounded_and_known_by_their_token(db: TestDb) {
    let register = async |client: &Client, token: &SecretHash| {
        let room = Room { at_most: 2, unused_since: at(0), event: &|_| unreachable!("all are too young") };
        let changes = db.store.register_client(client, None, token, &room, &event(&client.project)).await.unwrap();
        changes.map(|changes| <[Change; 1]>::try_from(changes).unwrap()[0].clone())
    };
    let own = |seconds| Client { registered_itself: true, ..client(at(seconds)) };
    let (mut one, two, three) = (own(1), own(2), own(3));
    let (token, other) = (new_hash(), new_hash());
    assert_eq!(register(&one, &token).await.unwrap().kind, ChangeKind::Created);
    assert!(register(&two, &other).await.is_some());
    assert_eq!((register(&three, &new_hash()).await, find(&db, &three).await), (None, None), "there are two already");
    let elsewhere = Client { environment: Environment::Test, ..own(4) };
    assert!(register(&elsewhere, &new_hash()).await.is_some(), "they are counted apart");
    let managed =
        async |client: &Client, token: &SecretHash| db.store.find_registered_client(&client.id, token).await.unwrap();
    assert_eq!((managed(&one, &token).await, managed(&two, &other).await), (Some(one.clone()), Some(two.clone())));
    assert_eq!(
        (managed(&one, &other).await, managed(&two, &token).await, managed(&three, &token).await),
        (None, None, None)
    );
    assert_eq!(find(&db, &one).await.as_ref(), Some(&one), "and are clients like any other");
    // One that is deleted makes room, and its token ends.
    one.delete(at(5));
    db.store.delete_client(&one, 1, &event(&project())).await.unwrap();
    assert_eq!(managed(&one, &token).await, None);
    assert!(register(&three, &token).await.is_some());
    let made = client(at(6));
    add(&db, &made).await;
    assert!(!find(&db, &made).await.unwrap().registered_itself);
}

async fn a_client_that_nobody_ever_agreed_to_makes_room(db: TestDb) {
    let register = async |seconds, unused_since| {
        let client = Client { registered_itself: true, ..client(at(seconds)) };
        let room = Room { at_most: 3, unused_since: at(unused_since), event: &|_| event(&project()) };
        let secret = new_hash();
        let stored = db.store.register_client(&client, Some(&secret), &new_hash(), &room, &event(&project())).await;
        stored.unwrap().map(|changes| (client, secret, changes))
    };
    let (used, ..) = register(1, 0).await.unwrap();
    let (oldest, secret, _) = register(2, 0).await.unwrap();
    register(3, 0).await.unwrap();
    let party = Party::of(&db, used.clone()).await;
    let grant = party.redeemed(&db, at(4)).await.0;
    assert!(register(5, 2).await.is_none(), "none has waited for so long");
    let (_, _, changes) = register(6, 3).await.unwrap();
    let ([gone, made], hashes) = (&changes[..], vec![secret]) else { panic!("{changes:?}") };
    assert_eq!((gone.kind, &gone.hashes, made.kind), (ChangeKind::Revoked, &hashes, ChangeKind::Created));
    assert_eq!(gone.subject, Some(CredentialId::Client(oldest.id.clone())));
    assert_eq!((find(&db, &oldest).await, find(&db, &used).await.is_some()), (None, true));
    // Also when nothing is left of what they agreed to.
    db.store.end_grant(&grant, at(7), &event(&project())).await.unwrap().unwrap();
    db.store.prune_grants(at(1_000_000), 10).await.unwrap();
    for n in 0..2 {
        register(8 + n, 7).await.unwrap();
    }
    assert!(register(10, 7).await.is_none() && find(&db, &used).await.is_some());
}

async fn only_one_of_two_changes_of_a_version_is_made(db: TestDb) {
    let client = client(at(1));
    add(&db, &client).await;
    let change = async |name: &str| {
        let mut client = client.clone();
        client.update(ClientDetails { name: name.to_owned(), ..client.details.clone() }, at(2));
        db.store.update_client(&client, 1, &event(&project())).await
    };
    let (one, other) = tokio::join!(change("one"), change("other"));
    assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1, "{one:?} {other:?}");
    let found = find(&db, &client).await.unwrap();
    assert_eq!((found.version, found.details.name == "one"), (2, one.is_ok()));
}

async fn scopes_of_clients_are_registered_and_stay_so(db: TestDb) {
    let mut client = client(at(1));
    client.details.scopes = scopes("openid read:users");
    add(&db, &client).await;
    let mut wants = client.clone();
    wants.update(client.details.clone(), at(2));
    wants.details.scopes = scopes("openid READ_BUDGETS");
    let unknown = Err(StoreError::Conflict(Conflict::UnknownScope));
    assert_eq!(db.store.update_client(&wants, 1, &event(&project())).await.map(drop), unknown);
    assert_eq!(find(&db, &client).await.as_ref(), Some(&client), "nothing happened");
    let mut new = super::support::client(at(2));
    new.details.scopes = scopes("READ_BUDGETS");
    assert_eq!(db.store.create_client(&new, None, &event(&project())).await.map(drop), unknown);

    let scope = Scope::parse("READ_BUDGETS").unwrap();
    let scope = StoredScope { project: project(), scope, description: String::new(), created_at: at(1) };
    db.store.create_scope(&scope, &event(&project())).await.unwrap();
    db.store.update_client(&wants, 1, &event(&project())).await.unwrap();
    let delete = async || db.store.delete_scope(&project(), "read:budgets", &event(&project())).await.unwrap();
    assert_eq!(delete().await, ScopeDeleted::Held(1));
    wants.delete(at(3));
    db.store.delete_client(&wants, 2, &event(&project())).await.unwrap();
    assert_eq!(delete().await, ScopeDeleted::Deleted, "a deleted client holds nothing");
}

async fn the_change_log_tells_of_clients(db: TestDb) {
    let mut client = client(at(1));
    let before = db.store.revision().await.unwrap();
    let hash = new_hash();
    let mut told = vec![db.store.create_client(&client, Some(&hash), &event(&project())).await.unwrap()];
    client.update(client.details.clone(), at(2));
    told.push(db.store.update_client(&client, 1, &event(&project())).await.unwrap());
    client.delete(at(3));
    told.push(db.store.delete_client(&client, 2, &event(&project())).await.unwrap());
    let kinds: Vec<_> = told.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Revoked]);
    for Change { subject, hashes, .. } in &told {
        assert_eq!((subject, hashes), (&Some(CredentialId::Client(client.id.clone())), &vec![hash]));
    }
    assert_eq!(db.store.list_changes_after(before, 10).await.unwrap(), told, "other nodes read the same");
}

async fn clients_are_listed_newest_first(db: TestDb) {
    let mut all = Vec::new();
    for n in 0..7 {
        let mut client = client(at(n));
        if n % 3 == 2 {
            client.environment = Environment::Test;
        } else {
            all.insert(0, client.id.clone());
        }
        add(&db, &client).await;
        let mut other = super::support::client(at(n));
        other.project = other_project();
        add(&db, &other).await;
    }
    let list = async |request: &PageRequest| {
        let page = db.store.list_clients(&project(), Environment::Live, request).await.unwrap();
        (page.items.into_iter().map(|client| client.id).collect::<Vec<_>>(), page.has_more, page.total)
    };
    assert_eq!(list(&first(2)).await, (all[..2].to_vec(), true, None));
    let after = PageRequest::After { limit: 10, after: Some(all[1].to_string()) };
    assert_eq!(list(&after).await, (all[2..].to_vec(), false, None));
    assert_eq!(list(&numbered(2, 2)).await, (all[4..].to_vec(), false, Some(5)));
    assert_eq!(list(&numbered(2, 3)).await, (Vec::new(), false, Some(5)));
}
