//! Grants, codes and tokens: what is good once is good once, and what ends ends whole.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::change::ChangeKind;
use crate::domain::clock::Timestamp;
use crate::domain::entropy::SystemEntropy;
use crate::domain::id::{ClientId, CredentialId, GrantId, ProjectId, TokenId};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::pkce::CodeChallenge;
use crate::domain::oauth::scope::{OAuthScope, OAuthScopes};
use crate::domain::oauth::thumbprint::Thumbprint;
use crate::domain::oauth::token::{AccessToken, AuthorizationCode, Grant};
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::secret::SecretHash;
use crate::domain::session::Session;
use crate::domain::user::{Standing, User};
use crate::store::{NewAccessToken, NewPassword, NewTokens, Refreshed, StoreError};

on_both_engines! {
    a_code_is_redeemed_once,
    a_grant_and_its_code_come_back_as_they_were_stored,
    a_grant_that_ends_takes_its_tokens_along,
    a_lost_answer_to_a_refresh_is_made_good,
    a_refresh_token_is_used_once,
    a_token_holds_what_its_user_and_client_hold_now,
    an_access_token_is_ended_once,
    of_many_that_are_issued_at_once_none_stands_against_the_others,
    nothing_is_given_in_a_session_that_ended,
    of_many_that_redeem_one_code_one_does,
    of_many_that_refresh_at_once_one_family_is_left,
    what_was_agreed_to_adds_up,
    what_is_past_its_end_is_removed_in_batches,
    surplus_grants_are_the_oldest,
}

/// What all tokens here are bound to.
const KEY: Thumbprint = Thumbprint::from_bytes([9; 32]);

/// A client, a user who holds what it may ask for, and how many codes they exchanged.
pub(super) struct Party {
    pub(super) client: Client,
    pub(super) user: User,
    pub(super) session: Session,
}

impl Party {
    pub(super) async fn new(db: &TestDb, project: &ProjectId) -> Self {
        let mut client = client(at(0));
        client.project = project.clone();
        client.details.scopes = scopes("openid read:users write:users");
        db.store.create_client(&client, None, &event(project)).await.unwrap();
        Self::of(db, client).await
    }

    /// Somebody who agrees to this client.
    pub(super) async fn of(db: &TestDb, client: Client) -> Self {
        let project = &client.project.clone();
        let mut user = human(&format!("agrees-{}", client.id.as_str().to_lowercase().replace('_', "-")), at(0));
        user.details.handle = None;
        user.project = project.clone();
        user.details.scopes = ScopeSet::new(["read:users", "write:users"].map(|text| Scope::parse(text).unwrap()));
        let session = signed_up(db, &user).await;
        Self { client, user, session }
    }

    fn grant(&self, now: Timestamp) -> Grant {
        Grant {
            id: GrantId::new(now, &SystemEntropy),
            project: self.client.project.clone(),
            environment: self.client.environment,
            client: self.client.id.clone(),
            user: self.user.id.clone(),
            scopes: scopes("openid read:users"),
            resources: vec!["https://api.example/".to_owned()],
            authenticated_at: at(1),
            nonce: Some("n'\u{e4}".to_owned()),
            created_at: now,
            expires_at: now.plus(MINUTE),
            revoked_at: None,
        }
    }

    /// A grant with a code that nobody redeemed yet.
    pub(super) async fn agree(&self, db: &TestDb, now: Timestamp) -> (Grant, SecretHash) {
        let (grant, hash) = (self.grant(now), new_hash());
        assert!(
            db.store.create_grant(&self.session, &grant, &hash, &code(&grant), &event(&grant.project)).await.unwrap()
        );
        (grant, hash)
    }

    /// A token of this grant, or of the client itself.
    fn token(&self, grant: Option<&Grant>, now: Timestamp) -> AccessToken {
        AccessToken {
            id: TokenId::new(now, &SystemEntropy),
            project: self.client.project.clone(),
            environment: self.client.environment,
            client: self.client.id.clone(),
            client_document: None,
            user: grant.map(|grant| grant.user.clone()),
            grant: grant.map(|grant| grant.id.clone()),
            scopes: scopes("openid read:users"),
            audiences: vec!["https://api.example/".to_owned(), "https://b.example/".to_owned()],
            key: Some(KEY),
            issued_at: now,
            expires_at: now.plus(HOUR),
            revoked_at: None,
            waits_for_first_use: false,
            subject: None,
        }
    }

    /// A code redeemed: the grant, the access token's hash and the refresh token's.
    pub(super) async fn redeemed(&self, db: &TestDb, now: Timestamp) -> (Grant, SecretHash, SecretHash) {
        let (grant, code) = self.agree(db, now).await;
        let (access, refresh) = (new_hash(), new_hash());
        let token = self.token(Some(&grant), now);
        let tokens = NewTokens {
            access: NewAccessToken { hash: &access, token: &token },
            refresh: Some((&refresh, now.plus(HOUR))),
            refresh_key: Some(&KEY),
        };
        let ends = now.plus(DAY);
        assert!(db.store.redeem_code(&code, &grant.id, ends, &tokens, now).await.unwrap());
        (Grant { expires_at: ends, ..grant }, access, refresh)
    }

    async fn refresh(&self, db: &TestDb, grant: &Grant, with: &SecretHash, now: Timestamp) -> Option<New> {
        let new = New { access: new_hash(), refresh: new_hash() };
        let token = AccessToken { waits_for_first_use: true, ..self.token(Some(grant), now) };
        let tokens = NewTokens {
            access: NewAccessToken { hash: &new.access, token: &token },
            refresh: Some((&new.refresh, now.plus(HOUR))),
            refresh_key: Some(&KEY),
        };
        match db.store.refresh(&grant.id, with, &tokens, now).await.unwrap() {
            Refreshed::Done => Some(new),
            Refreshed::Stolen => {
                db.store.revoke_grant(grant, now, &event(&grant.project)).await.unwrap();
                None
            }
            Refreshed::Ended => None,
        }
    }
}

/// What a refresh gave.
struct New {
    access: SecretHash,
    refresh: SecretHash,
}

fn code(grant: &Grant) -> AuthorizationCode {
    AuthorizationCode {
        grant: grant.id.clone(),
        redirect_uri: "https://app.example.com/callback?a='b'".to_owned(),
        redirect_uri_named: true,
        challenge: Some(CodeChallenge::stored([7; 32])),
        expires_at: grant.expires_at,
        used_at: None,
        key: Some(KEY),
    }
}

fn scopes(text: &str) -> OAuthScopes {
    text.split(' ').filter_map(OAuthScope::parse).collect()
}

/// Whether an access token of this hash is there, and was not ended.
async fn opens(db: &TestDb, access: &SecretHash) -> bool {
    db.store.find_access_token(access).await.unwrap().is_some_and(|(token, _)| token.revoked_at.is_none())
}

async fn a_grant_and_its_code_come_back_as_they_were_stored(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (grant, hash) = party.agree(&db, at(5)).await;
    assert_eq!(db.store.find_code(&hash).await.unwrap(), Some((grant.clone(), code(&grant))));
    assert_eq!(db.store.find_code(&new_hash()).await.unwrap(), None);
    let (hash, token) = (new_hash(), party.token(Some(&grant), at(6)));
    db.store.issue_access_token(&NewAccessToken { hash: &hash, token: &token }).await.unwrap();
    let (found, user) = db.store.find_access_token(&hash).await.unwrap().unwrap();
    assert_eq!(found, token);
    let user = user.unwrap();
    assert_eq!((user.standing, &user.scopes), (Standing::Good, &party.user.details.scopes));
    let (hash, own) = (new_hash(), party.token(None, at(6)));
    db.store.issue_access_token(&NewAccessToken { hash: &hash, token: &own }).await.unwrap();
    assert_eq!(db.store.find_access_token(&hash).await.unwrap(), Some((own, None)));
}

async fn a_code_is_redeemed_once(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (grant, code) = party.agree(&db, at(5)).await;
    let redeem = async |now: Timestamp| {
        let (access, token) = (new_hash(), party.token(Some(&grant), now));
        let tokens =
            NewTokens { access: NewAccessToken { hash: &access, token: &token }, refresh: None, refresh_key: None };
        let done = db.store.redeem_code(&code, &grant.id, now.plus(DAY), &tokens, now).await.unwrap();
        assert_eq!(opens(&db, &access).await, done, "tokens are there if and only if it was redeemed");
        done
    };
    assert!(!redeem(grant.expires_at).await, "past its end");
    assert!(redeem(at(6)).await);
    assert!(!redeem(at(7)).await, "a second time");
    let (lasting, used) = db.store.find_code(&code).await.unwrap().unwrap();
    assert_eq!((lasting.expires_at, used.used_at), (at(6).plus(DAY), Some(at(6))));
    let (grant, code) = party.agree(&db, at(5)).await;
    db.store.spoil_code(&code, at(6)).await.unwrap();
    let token = party.token(Some(&grant), at(7));
    let tokens =
        NewTokens { access: NewAccessToken { hash: &new_hash(), token: &token }, refresh: None, refresh_key: None };
    assert!(!db.store.redeem_code(&code, &grant.id, at(90), &tokens, at(7)).await.unwrap(), "spoiled");
}

async fn of_many_that_redeem_one_code_one_does(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    for round in 0..5 {
        let now = at(10 + round);
        let (grant, code) = party.agree(&db, now).await;
        let attempts = (0..8).map(|_| {
            let (store, token) = (db.store.clone(), party.token(Some(&grant), now));
            let (code, id) = (code, grant.id.clone());
            tokio::spawn(async move {
                let access = new_hash();
                let tokens = NewTokens {
                    access: NewAccessToken { hash: &access, token: &token },
                    refresh: None,
                    refresh_key: None,
                };
                store.redeem_code(&code, &id, now.plus(DAY), &tokens, now).await.unwrap()
            })
        });
        let mut redeemed = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            redeemed += usize::from(attempt.await.unwrap());
        }
        assert_eq!(redeemed, 1);
    }
}

async fn of_many_that_are_issued_at_once_none_stands_against_the_others(db: TestDb) {
    let (party, mut stranger) = (Party::new(&db, &project()).await, Party::new(&db, &project()).await);
    stranger.client.id = ClientId::new(at(0), &SystemEntropy);
    let issued: Vec<_> = (0..200)
        .map(|n| {
            let good = n % 20 != 7;
            let (store, hash) = (db.store.clone(), new_hash());
            let token = if good { &party } else { &stranger }.token(None, at(5));
            let issue = async move { store.issue_access_token(&NewAccessToken { hash: &hash, token: &token }).await };
            (good, hash, tokio::spawn(issue))
        })
        .collect();
    for (good, hash, issue) in issued {
        assert_eq!(issue.await.unwrap().is_ok(), good);
        assert_eq!(opens(&db, &hash).await, good, "what is acknowledged is there, and nothing else");
    }
    db.store.close().await;
    let late = NewAccessToken { hash: &new_hash(), token: &party.token(None, at(6)) };
    assert_eq!(db.store.issue_access_token(&late).await, Err(StoreError::Unavailable));
}

async fn a_refresh_token_is_used_once(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (grant, _, first) = party.redeemed(&db, at(5)).await;
    let second = party.refresh(&db, &grant, &first, at(6)).await.unwrap();
    let third = party.refresh(&db, &grant, &second.refresh, at(7)).await.unwrap();
    assert!(opens(&db, &third.access).await);
    // What the first gave was used: two have it.
    assert!(party.refresh(&db, &grant, &first, at(8)).await.is_none());
    assert!(!opens(&db, &third.access).await && !opens(&db, &second.access).await);
    assert!(party.refresh(&db, &grant, &third.refresh, at(9)).await.is_none());
    // One that waited too long, one of another grant, and one that never was.
    let (grant, _, late) = party.redeemed(&db, at(5)).await;
    assert!(party.refresh(&db, &grant, &late, at(5).plus(HOUR)).await.is_none());
    let (other, ..) = party.redeemed(&db, at(5)).await;
    assert!(party.refresh(&db, &other, &late, at(6)).await.is_none());
    assert!(party.refresh(&db, &grant, &new_hash(), at(6)).await.is_none());
    assert!(party.refresh(&db, &grant, &late, at(6)).await.is_some(), "none of that has ended it");
}

async fn a_lost_answer_to_a_refresh_is_made_good(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (grant, _, first) = party.redeemed(&db, at(5)).await;
    let lost = party.refresh(&db, &grant, &first, at(6)).await.unwrap();
    let again = party.refresh(&db, &grant, &first, at(7)).await.unwrap();
    assert!(!opens(&db, &lost.access).await && opens(&db, &again.access).await);
    assert!(db.store.find_refresh_token(&lost.refresh).await.unwrap().unwrap().1.spent_at.is_some());
    // The first use proves that the answer arrived; then there is no second.
    let (token, _) = db.store.find_access_token(&again.access).await.unwrap().unwrap();
    let used = db.store.use_access_token(&again.access, &token).await.unwrap().unwrap();
    assert_eq!((used.kind, &used.hashes[..]), (ChangeKind::Updated, &[again.access][..]));
    assert_eq!(db.store.use_access_token(&again.access, &token).await.unwrap(), None);
    assert!(party.refresh(&db, &grant, &first, at(8)).await.is_none());
    assert!(!opens(&db, &again.access).await, "the family has ended");

    // Whoever shows what was taken back has it after all, and somebody else has what came in its place.
    let (grant, _, first) = party.redeemed(&db, at(5)).await;
    let kept = party.refresh(&db, &grant, &first, at(6)).await.unwrap();
    let stolen = party.refresh(&db, &grant, &first, at(7)).await.unwrap();
    assert!(party.refresh(&db, &grant, &kept.refresh, at(8)).await.is_none());
    assert!(!opens(&db, &stolen.access).await && party.refresh(&db, &grant, &stolen.refresh, at(9)).await.is_none());
}

async fn of_many_that_refresh_at_once_one_family_is_left(db: TestDb) {
    let party = std::sync::Arc::new(Party::new(&db, &project()).await);
    let (grant, _, first) = party.redeemed(&db, at(5)).await;
    let db = std::sync::Arc::new(db);
    let attempts: Vec<_> = (0..8)
        .map(|_| {
            let (db, party, grant) = (db.clone(), party.clone(), grant.clone());
            tokio::spawn(async move { party.refresh(&db, &grant, &first, at(6)).await })
        })
        .collect();
    let mut answered = Vec::new();
    for attempt in attempts {
        answered.extend(attempt.await.unwrap());
    }
    let mut open = 0;
    for new in &answered {
        let (_, found) = db.store.find_refresh_token(&new.refresh).await.unwrap().unwrap();
        assert_eq!(found.spent_at.is_none(), opens(&db, &new.access).await, "both or neither");
        open += usize::from(found.spent_at.is_none());
    }
    assert_eq!(open, 1, "of {} answered", answered.len());
}

async fn a_grant_that_ends_takes_its_tokens_along(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (grant, access, refresh) = party.redeemed(&db, at(5)).await;
    let (_, bystander, _) = party.redeemed(&db, at(5)).await;
    let change = db.store.revoke_grant(&grant, at(8), &event(&project())).await.unwrap().unwrap();
    assert_eq!((change.kind, change.hashes), (ChangeKind::Revoked, vec![access]));
    assert_eq!(change.subject, Some(CredentialId::Grant(grant.id.clone())));
    assert!(!opens(&db, &access).await && opens(&db, &bystander).await);
    let (token, _) = db.store.find_access_token(&access).await.unwrap().unwrap();
    assert_eq!(token.revoked_at, Some(at(8)));
    assert!(party.refresh(&db, &grant, &refresh, at(9)).await.is_none());
    assert_eq!(db.store.revoke_grant(&grant, at(9), &event(&project())).await.unwrap(), None);
}

async fn an_access_token_is_ended_once(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let (_, access, _) = party.redeemed(&db, at(5)).await;
    let (token, _) = db.store.find_access_token(&access).await.unwrap().unwrap();
    let change = db.store.revoke_access_token(&access, &token, at(6)).await.unwrap().unwrap();
    assert_eq!((change.kind, change.hashes), (ChangeKind::Revoked, vec![access]));
    assert_eq!(change.subject, Some(CredentialId::Token(token.id.clone())));
    assert!(!opens(&db, &access).await);
    assert_eq!(db.store.revoke_access_token(&access, &token, at(7)).await.unwrap(), None);
}

async fn a_token_holds_what_its_user_and_client_hold_now(db: TestDb) {
    let mut party = Party::new(&db, &project()).await;
    let (_, access, _) = party.redeemed(&db, at(5)).await;
    let (own, token) = (new_hash(), party.token(None, at(5)));
    db.store.issue_access_token(&NewAccessToken { hash: &own, token: &token }).await.unwrap();
    let held = async |hash: &SecretHash| {
        let (token, _) = db.store.find_access_token(hash).await.unwrap().unwrap();
        token.scopes.to_string()
    };
    assert_eq!((held(&access).await.as_str(), held(&own).await.as_str()), ("openid read:users", "openid read:users"));

    let mut details = party.user.details.clone();
    details.scopes = ScopeSet::new(Scope::parse("write:users"));
    party.user.update(details, at(6));
    let changes = db.store.update_user(&party.user, 1, &event(&project())).await.unwrap();
    let subject = Some(CredentialId::User(party.user.id.clone()));
    assert!(changes.iter().any(|change| change.subject == subject), "whoever keeps tokens of the user is told");
    assert_eq!((held(&access).await.as_str(), held(&own).await.as_str()), ("openid", "openid read:users"));

    let mut details = party.client.details.clone();
    details.scopes = scopes("openid write:users");
    party.client.update(details, at(7));
    let change = db.store.update_client(&party.client, 1, &event(&project())).await.unwrap();
    assert_eq!(change.subject, Some(CredentialId::Client(party.client.id.clone())));
    assert_eq!(held(&own).await, "openid");

    party.user.block(at(8));
    let changes = db.store.set_blocked(&party.user, 2, &event(&project())).await.unwrap();
    assert!(changes.iter().any(|change| change.subject == subject));
    let (_, user) = db.store.find_access_token(&access).await.unwrap().unwrap();
    assert_eq!(user.unwrap().standing, Standing::Blocked);
    party.client.delete(at(9));
    db.store.delete_client(&party.client, 2, &event(&project())).await.unwrap();
    assert!(db.store.find_access_token(&access).await.unwrap().is_none());
    assert!(db.store.find_access_token(&own).await.unwrap().is_none());
}

async fn nothing_is_given_in_a_session_that_ended(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let give = async |now| {
        let grant = party.grant(now);
        let given = db.store.create_grant(&party.session, &grant, &new_hash(), &code(&grant), &event(&project())).await;
        (given.unwrap(), db.store.find_grant(&grant.id).await.unwrap().is_some())
    };
    assert_eq!(give(at(5)).await, (true, true));
    let long = party.session.expires_at.plus(MINUTE);
    assert_eq!(give(long).await, (false, false), "it is past its end");
    let password = password();
    let new = NewPassword { user: &party.user, password: &password, in_place_of: None, keep: None, now: at(6) };
    db.store.set_password(&new, &event(&project())).await.unwrap().unwrap();
    assert_eq!(give(at(7)).await, (false, false));
}

async fn what_was_agreed_to_adds_up(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let consent = async || db.store.find_consent(&party.user.id, &party.client.id).await.unwrap();
    assert_eq!(consent().await, None);
    for (asked, held) in [("openid", "openid"), ("read:users", "openid read:users"), ("openid", "openid read:users")] {
        let grant = Grant { scopes: scopes(asked), ..party.grant(at(5)) };
        let stored =
            db.store.create_grant(&party.session, &grant, &new_hash(), &code(&grant), &event(&project())).await;
        assert!(stored.unwrap());
        assert_eq!(consent().await.unwrap().to_string(), held);
    }
}

async fn surplus_grants_are_the_oldest(db: TestDb) {
    let (party, other) = (Party::new(&db, &project()).await, Party::new(&db, &project()).await);
    let mut given = Vec::new();
    for n in 0..5 {
        given.push(party.redeemed(&db, at(5 + n)).await.0.id);
        other.redeemed(&db, at(5 + n)).await;
    }
    let surplus = async |most, now| {
        let found = db.store.list_surplus_grants(&party.user.id, &party.client.id, most, now).await.unwrap();
        found.into_iter().map(|grant| grant.id).collect::<Vec<_>>()
    };
    assert_eq!(surplus(5, at(20)).await, []);
    assert_eq!(surplus(3, at(20)).await, [given[1].clone(), given[0].clone()]);
    assert_eq!(surplus(3, at(6).plus(DAY)).await, [], "two have ended by themselves");
}

async fn what_is_past_its_end_is_removed_in_batches(db: TestDb) {
    let party = Party::new(&db, &project()).await;
    let mut families = Vec::new();
    for n in 0..5 {
        families.push(party.redeemed(&db, at(n)).await);
        party.agree(&db, at(n)).await;
    }
    let (_, access, refresh) = &families[4];
    assert_eq!(db.store.prune_access_tokens(at(0).plus(HOUR), 10).await.unwrap(), 1);
    assert_eq!(db.store.prune_access_tokens(at(3).plus(HOUR), 2).await.unwrap(), 2);
    assert_eq!(db.store.prune_access_tokens(at(3).plus(HOUR), 2).await.unwrap(), 1);
    assert!(opens(&db, access).await);
    assert_eq!(db.store.prune_refresh_tokens(at(3).plus(HOUR), 10).await.unwrap(), 4);
    assert!(db.store.find_refresh_token(refresh).await.unwrap().is_some());
    // Grants whose code nobody redeemed go first, all others with what is left of theirs.
    assert_eq!(db.store.prune_grants(at(4).plus(MINUTE), 3).await.unwrap(), 3);
    assert_eq!(db.store.prune_grants(at(4).plus(MINUTE), 3).await.unwrap(), 2);
    assert_eq!(db.store.prune_grants(at(4).plus(DAY), 10).await.unwrap(), 5);
    assert!(db.store.find_refresh_token(refresh).await.unwrap().is_none() && !opens(&db, access).await);
    assert_eq!(db.store.prune_grants(at(4).plus(DAY), 10).await.unwrap(), 0);
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
