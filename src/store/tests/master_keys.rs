//! The master key: founding, replacing, sealing anew, and an installation from before it could be replaced.

use std::time::Duration;

use super::on_both_engines;
use super::support::*;
use crate::domain::entropy::SystemEntropy;
use crate::domain::environment::Environment;
use crate::domain::id::KeyId;
use crate::domain::sealing::{Keyring, MasterKey, answer_context, secret_context};
use crate::domain::signing_key::{SigningAlgorithm, SigningKey};
use crate::store::{KeyCreated, MasterKeyError, NewIdempotent, Remembered, Resealed, Standing, Store};

on_both_engines! {
    a_master_key_is_replaced_and_everything_still_opens,
    a_node_that_was_not_told_goes_on_and_knows_where_it_stands,
    an_installation_from_before_is_taken_over,
    nodes_found_one_installation,
    only_one_master_key_takes_over_at_a_time,
    what_cannot_be_opened_does_not_stand_in_the_way,
}

/// Things that are sealed, as they lie in the store.
struct Things {
    key: KeyId,
    request: crate::domain::key::Key,
}

const IDEMPOTENCY_KEY: &str = "once";
const FINGERPRINT: [u8; 32] = [1; 32];

impl Things {
    /// Puts one thing of each kind into the store.
    async fn put(store: &Store, keyring: &Keyring) -> Self {
        let mut key = key(at(1));
        key.recoverable = true;
        let sealed = keyring.seal(b"the secret", &secret_context(key.id.as_str()));
        let answer = keyring.seal(b"the answer", &answer_context("default", "", IDEMPOTENCY_KEY));
        let promise = Self::promise(&answer);
        store.create_key(&key, &new_hash(), Some(&sealed), Some(&promise), &event(&project())).await.unwrap();
        let signing = SigningKey::new(SigningAlgorithm::EdDsa, 1, at(1), at(1), keyring, &SystemEntropy);
        assert!(store.add_signing_key(&signing, signing.orderly_retirement(), None).await.unwrap());
        Self { key: key.id.clone(), request: key }
    }

    fn promise(answer: &[u8]) -> NewIdempotent<'_> {
        let expires_at = at(1_000_000);
        NewIdempotent { actor: None, key: IDEMPOTENCY_KEY, fingerprint: &FINGERPRINT, answer, expires_at }
    }

    /// What is stored now: the secret, the answer, and the signing key.
    async fn sealed(&self, store: &Store) -> [Vec<u8>; 3] {
        let secret = store.find_sealed(&project(), Environment::Live, &self.key).await.unwrap().unwrap();
        let mut again = self.request.clone();
        again.id = KeyId::new(at(2), &SystemEntropy);
        let promise = Self::promise(b"never stored");
        let replay = store.create_key(&again, &new_hash(), None, Some(&promise), &event(&project())).await.unwrap();
        let KeyCreated::Replay(Remembered { answer, .. }) = replay else { panic!("it was remembered") };
        let signing = store.list_signing_keys(at(1)).await.unwrap().remove(0);
        [secret, answer, signing.sealed]
    }

    /// Whether this keyring opens all of it.
    async fn open_with(&self, store: &Store, keyring: &Keyring) -> [bool; 3] {
        let [secret, answer, _] = self.sealed(store).await;
        let secret = keyring.open(&secret, &secret_context(self.key.as_str()));
        let answer = keyring.open(&answer, &answer_context("default", "", IDEMPOTENCY_KEY));
        let signing = store.list_signing_keys(at(1)).await.unwrap().remove(0);
        [
            secret.is_some_and(|secret| secret.as_slice() == b"the secret"),
            answer.is_some_and(|answer| answer.as_slice() == b"the answer"),
            signing.private_key(keyring).is_some(),
        ]
    }
}

fn new_master_key() -> MasterKey {
    MasterKey::generate(&SystemEntropy)
}

async fn open(db: &TestDb, master: &MasterKey) -> Result<Keyring, MasterKeyError> {
    Store::open(&db.options).await.unwrap().open_keyring(master, at(9)).await
}

async fn begin(db: &TestDb, keyring: &Keyring, new: &MasterKey) -> Result<bool, MasterKeyError> {
    db.store.add_master_key(keyring, new, at(5), &event(&project())).await
}

async fn finish(db: &TestDb, keyring: &Keyring) -> Result<bool, MasterKeyError> {
    db.store.retire_master_keys(keyring, &SystemEntropy, &event(&project())).await
}

async fn a_master_key_is_replaced_and_everything_still_opens(db: TestDb) {
    let (old, new) = (master_key(), new_master_key());
    let before = open(&db, &old).await.unwrap();
    let things = Things::put(&db.store, &before).await;
    let hash = before.hash("x");

    assert!(begin(&db, &before, &new).await.unwrap());
    assert!(!begin(&db, &before, &new).await.unwrap(), "repeated, it changes nothing");
    for master in [&old, &new] {
        let keyring = open(&db, master).await.unwrap();
        assert_eq!(things.open_with(&db.store, &keyring).await, [true; 3], "both are good");
        assert_eq!(keyring.hash("x"), hash);
    }
    let after = open(&db, &new).await.unwrap();
    assert!(finish(&db, &after).await.unwrap());
    assert!(matches!(open(&db, &old).await, Err(MasterKeyError::Other)));
    assert_eq!(things.open_with(&db.store, &after).await, [true; 3], "what was not sealed anew yet");

    let sealed = things.sealed(&db.store).await;
    assert_eq!(db.store.reseal(&after).await.unwrap(), Resealed { anew: 3, unreadable: 0 });
    assert_eq!(db.store.reseal(&after).await.unwrap(), Resealed::default());
    assert_eq!(things.open_with(&db.store, &after).await, [true; 3]);
    let again = open(&db, &new).await.unwrap();
    assert_eq!((things.open_with(&db.store, &again).await, again.hash("x")), ([true; 3], hash));
    assert_eq!(things.open_with(&db.store, &old.derive()).await, [false; 3], "the old one opens nothing");
    for (old, new) in sealed.iter().zip(&things.sealed(&db.store).await) {
        assert_ne!((&old[..4], old), (&new[..4], new));
    }
    assert!(!finish(&db, &after).await.unwrap(), "there is nothing to finish");
    let check = db.store.check_audit_log("default", 10).await.unwrap();
    assert!(check.broken.is_none() && check.whole >= 3, "{check:?}");

    // And once more, from there.
    let third = new_master_key();
    begin(&db, &again, &third).await.unwrap();
    let last = open(&db, &third).await.unwrap();
    assert!(finish(&db, &last).await.unwrap());
    assert_eq!(db.store.reseal(&last).await.unwrap().anew, 3);
    assert!(matches!(open(&db, &new).await, Err(MasterKeyError::Other)));
    assert_eq!(things.open_with(&db.store, &last).await, [true; 3]);
}

async fn only_one_master_key_takes_over_at_a_time(db: TestDb) {
    let (old, new, other) = (master_key(), new_master_key(), new_master_key());
    let keyring = open(&db, &old).await.unwrap();
    assert!(matches!(begin(&db, &keyring, &old).await, Err(MasterKeyError::Same)));
    let [one, two] = [&new, &other].map(|master| begin(&db, &keyring, master));
    let (one, two) = tokio::join!(one, two);
    let lost = [&one, &two].into_iter().filter(|result| matches!(result, Err(MasterKeyError::UnderWay))).count();
    assert_eq!(lost, 1, "{one:?} {two:?}");
    let (new, other) = if one.is_ok() { (new, other) } else { (other, new) };
    assert!(matches!(open(&db, &other).await, Err(MasterKeyError::Other)));
    assert!(matches!(finish(&db, &keyring).await, Err(MasterKeyError::NotNewest)), "not with the old one");
    let after = open(&db, &new).await.unwrap();
    assert!(matches!(begin(&db, &after, &other).await, Err(MasterKeyError::UnderWay)), "the old one is there still");
    assert!(finish(&db, &after).await.unwrap());
    assert!(matches!(begin(&db, &keyring, &other).await, Err(MasterKeyError::Other)));
    assert!(matches!(finish(&db, &keyring).await, Err(MasterKeyError::Other)));
}

async fn a_node_that_was_not_told_goes_on_and_knows_where_it_stands(db: TestDb) {
    let new = new_master_key();
    let node = open(&db, &master_key()).await.unwrap();
    assert_eq!(db.store.refresh_keyring(&node).await.unwrap(), Standing::Current);
    assert_eq!(db.store.keys_version().await.unwrap(), node.version());
    begin(&db, &node, &new).await.unwrap();
    assert_ne!(db.store.keys_version().await.unwrap(), node.version());
    assert_eq!(db.store.refresh_keyring(&node).await.unwrap(), Standing::Superseded);

    let told = open(&db, &new).await.unwrap();
    finish(&db, &told).await.unwrap();
    let things = Things::put(&db.store, &told).await;
    let hash = node.hash("x");
    assert_eq!(db.store.refresh_keyring(&node).await.unwrap(), Standing::Retired);
    assert_eq!(things.open_with(&db.store, &node).await, [false; 3]);
    let sealed = node.seal(b"hello", "x");
    assert!(told.open(&sealed, "x").is_some(), "what it seals is not lost");

    assert_eq!(db.store.adopt_master_key(&node, new_master_key()).await.unwrap(), Standing::Retired);
    assert_eq!(db.store.adopt_master_key(&node, new).await.unwrap(), Standing::Current);
    assert_eq!(things.open_with(&db.store, &node).await, [true; 3]);
    assert_eq!((node.hash("x"), node.version()), (hash, db.store.keys_version().await.unwrap()));
}

async fn what_cannot_be_opened_does_not_stand_in_the_way(db: TestDb) {
    let (new, keyring) = (new_master_key(), open(&db, &master_key()).await.unwrap());
    Things::put(&db.store, &keyring).await;
    // More than are read at once, so that what follows them is reached.
    for n in 0..250 {
        let mut key = key(at(n));
        key.recoverable = true;
        let context = if n % 2 == 0 { "another key" } else { &secret_context(key.id.as_str()) };
        let sealed = keyring.seal(b"x", context);
        db.store.create_key(&key, &new_hash(), Some(&sealed), None, &event(&project())).await.unwrap();
    }
    begin(&db, &keyring, &new).await.unwrap();
    let after = open(&db, &new).await.unwrap();
    finish(&db, &after).await.unwrap();
    assert_eq!(db.store.reseal(&after).await.unwrap(), Resealed { anew: 128, unreadable: 125 });
    assert_eq!(db.store.reseal(&after).await.unwrap(), Resealed { anew: 0, unreadable: 125 });
}

async fn nodes_found_one_installation(db: TestDb) {
    db.raw("DELETE FROM master_keys").await;
    db.raw("DELETE FROM installation").await;
    let masters = [new_master_key(), new_master_key()];
    let opened = futures_util::future::join_all((0..8).map(|n| open(&db, &masters[n % 2]))).await;
    let good: Vec<_> = (0..8).filter(|n| opened[*n].is_ok()).map(|n| n % 2).collect();
    assert_eq!(good.len(), 4, "{opened:?}");
    assert!(good.iter().all(|n| *n == good[0]), "all with the same master key");
}

/// Its keys are derived from the master key, and nothing but the check is stored.
async fn an_installation_from_before_is_taken_over(db: TestDb) {
    let founding = master_key().derive();
    let things = Things::put(&db.store, &founding).await;
    let statements = [
        "DROP TABLE master_keys",
        "DROP INDEX key_secrets_sealed",
        "ALTER TABLE installation DROP COLUMN keys_version",
        "DELETE FROM _sqlx_migrations WHERE description = 'master_keys'",
        // Without the number of the key.
        "UPDATE key_secrets SET sealed = substr(sealed, 5) WHERE sealed IS NOT NULL",
        "UPDATE idempotency SET answer = substr(answer, 5)",
        "UPDATE signing_keys SET private_key = substr(private_key, 5)",
    ];
    for sql in statements {
        db.raw(sql).await;
    }
    let store = Store::open(&db.options).await.unwrap();
    assert!(matches!(store.open_keyring(&new_master_key(), at(9)).await, Err(MasterKeyError::Other)));
    let keyring = store.open_keyring(&master_key(), at(9)).await.unwrap();
    assert_eq!((things.open_with(&store, &keyring).await, keyring.hash("x")), ([true; 3], founding.hash("x")));
    store.record(&event(&project())).await.unwrap();
    assert!(store.check_audit_log("default", 10).await.unwrap().broken.is_none(), "the chain goes on");
    let later = at(9).plus(Duration::from_secs(1));
    assert_eq!(store.open_keyring(&master_key(), later).await.unwrap().version(), keyring.version());
}
