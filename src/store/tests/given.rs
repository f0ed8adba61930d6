//! What users gave to clients is listed while it lasts, and ends when they want it to.

use super::grants::Party;
use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::environment::Environment;
use crate::domain::id::CredentialId;
use crate::domain::page::PageRequest;
use crate::store::{GrantFilter, NewPassword};

on_both_engines! {
    a_grant_that_is_ended_is_forgotten_with_the_last_of_its_kind,
    grants_are_listed_while_they_last,
    what_a_user_gave_ends_with_their_password,
}

/// The ids of the grants in a list.
async fn listed(db: &TestDb, filter: &GrantFilter, seconds: u64, page: &PageRequest) -> Vec<String> {
    let page = db.store.list_grants(&project(), Environment::Live, filter, at(seconds), page).await.unwrap();
    page.items.into_iter().map(|listed| listed.grant.id.to_string()).collect()
}

async fn grants_are_listed_while_they_last(db: TestDb) {
    let (one, other) = (Party::new(&db, &project()).await, Party::new(&db, &project()).await);
    let first_of_one = one.redeemed(&db, at(1)).await.0;
    let of_other = other.redeemed(&db, at(2)).await.0;
    let second_of_one = one.redeemed(&db, at(3)).await.0;
    let all = GrantFilter::default();
    let of_user = GrantFilter { user: Some(one.user.id.clone()), client: None };
    let of_client = GrantFilter { user: None, client: Some(other.client.id.clone()) };
    let of_both = GrantFilter { user: Some(one.user.id.clone()), client: Some(other.client.id.clone()) };
    let (first_id, second_id) = (first_of_one.id.to_string(), second_of_one.id.to_string());
    let other_id = of_other.id.to_string();
    for (filter, wanted) in [
        (&all, vec![&second_id, &other_id, &first_id]),
        (&of_user, vec![&second_id, &first_id]),
        (&of_client, vec![&other_id]),
        (&of_both, vec![]),
    ] {
        let found = listed(&db, filter, 4, &first(10)).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{filter:?}");
    }
    let page = PageRequest::After { limit: 1, after: Some(second_id.clone()) };
    assert_eq!(listed(&db, &of_user, 4, &page).await, std::slice::from_ref(&first_id));
    let whole = db.store.list_grants(&project(), Environment::Live, &of_user, at(4), &first(10)).await.unwrap().items;
    assert_eq!((&whole[0].grant, &whole[0].client_name), (&second_of_one, &one.client.details.name));
    assert_eq!(whole[0].refreshed_at, Some(at(3)), "when its code was redeemed");
    let test = db.store.list_grants(&project(), Environment::Test, &all, at(4), &first(10)).await.unwrap();
    assert_eq!(test.items, []);
    // Not when it is past its end, nor when its client is gone.
    assert_eq!(listed(&db, &of_user, 1 + 24 * 60 * 60, &first(10)).await, std::slice::from_ref(&second_id));
    let mut gone = one.client.clone();
    gone.delete(at(5));
    db.store.delete_client(&gone, 1, &event(&project())).await.unwrap();
    assert_eq!(listed(&db, &all, 6, &first(10)).await, [other_id]);
}

async fn a_grant_that_is_ended_is_forgotten_with_the_last_of_its_kind(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (one, access, refresh) = party.redeemed(&db, at(1)).await;
    let other = party.redeemed(&db, at(2)).await.0;
    let consent = async || db.store.find_consent(&party.user.id, &party.client.id).await.unwrap();
    let change = db.store.end_grant(&one, at(3), &event(&project())).await.unwrap().unwrap();
    assert_eq!((change.kind, change.hashes), (ChangeKind::Revoked, vec![access]));
    assert_eq!(change.subject, Some(CredentialId::Grant(one.id.clone())));
    assert!(!db.store.find_refresh_token(&refresh).await.unwrap().unwrap().0.is_open(at(3)));
    assert!(consent().await.is_some(), "there is another grant");
    assert_eq!(db.store.end_grant(&one, at(4), &event(&project())).await.unwrap(), None, "it has ended");
    db.store.end_grant(&other, at(4), &event(&project())).await.unwrap().unwrap();
    assert_eq!(consent().await, None);
}

async fn what_a_user_gave_ends_with_their_password(db: TestDb) {
    let (party, other) = (Party::new(&db, &project()).await, Party::new(&db, &project()).await);
    let (one, access, _) = party.redeemed(&db, at(1)).await;
    let two = party.redeemed(&db, at(2)).await.0;
    other.redeemed(&db, at(2)).await;
    let hash = password();
    let new = NewPassword { user: &party.user, password: &hash, in_place_of: None, keep: None, now: at(3) };
    let changes = db.store.set_password(&new, &event(&project())).await.unwrap().unwrap();
    let mut ended: Vec<_> = changes.iter().filter_map(|change| change.subject.clone()).collect();
    ended.sort_by_key(|id| id.as_str().to_owned());
    let session = CredentialId::Session(party.session.id.clone());
    assert_eq!(ended, [CredentialId::Grant(one.id.clone()), CredentialId::Grant(two.id), session]);
    assert!(changes.iter().any(|change| change.hashes == [access]));
    assert_eq!(db.store.find_consent(&party.user.id, &party.client.id).await.unwrap(), None);
    assert!(db.store.find_consent(&other.user.id, &other.client.id).await.unwrap().is_some());
    assert_eq!(listed(&db, &GrantFilter::default(), 4, &first(10)).await.len(), 1);
}
