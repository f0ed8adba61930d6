//! Sealing anew what was sealed with a key that is not the newest, row by row, while others read and write: each row is
//! changed only if it is still as it was read.

use super::Store;
use super::db::{Row, Value, values};
use super::error::Result;
use crate::domain::sealing::{Keyring, answer_context, secret_context};
use crate::domain::signing_key;
use crate::domain::webhook;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Resealed {
    /// Values that were sealed anew.
    pub anew: u64,
    /// Values that no key opens. They stay as they are.
    pub unreadable: u64,
}

impl Store {
    /// Goes through all that is sealed, and seals anew what is not sealed with the newest key. Can be stopped at any time and
    /// repeated.
    pub async fn reseal(&self, keyring: &Keyring) -> Result<Resealed> {
        let mut done = Resealed::default();
        self.reseal_secrets(keyring, &mut done).await?;
        self.reseal_answers(keyring, &mut done).await?;
        self.reseal_signing_keys(keyring, &mut done).await?;
        self.reseal_webhook_secrets(keyring, &mut done).await?;
        Ok(done)
    }

    async fn reseal_secrets(&self, keyring: &Keyring, done: &mut Resealed) -> Result<()> {
        let (newest, mut after) = (keyring.newest_seal(), Vec::new());
        loop {
            let rows = self.db.fetch_all(SECRETS, values![&after, &newest[..], BATCH]).await?;
            for row in &rows {
                let (hash, sealed) = (row.bytes("hash")?, row.bytes("sealed")?);
                if let Some(anew) = again(keyring, sealed, &secret_context(row.str("key_id")?), done) {
                    self.replace(SET_SECRET, values![&anew, sealed, hash], done).await?;
                }
            }
            let Some(last) = full(&rows) else { return Ok(()) };
            after = last.bytes("hash")?.to_vec();
        }
    }

    async fn reseal_answers(&self, keyring: &Keyring, done: &mut Resealed) -> Result<()> {
        let (newest, mut after) = (keyring.newest_seal(), [const { String::new() }; 4]);
        loop {
            let [project, environment, actor, key] = &after;
            let values = values![project, environment, actor, key, &newest[..], BATCH];
            let rows = self.db.fetch_all(ANSWERS, values).await?;
            for row in &rows {
                let [project, environment, actor, key] = place(row)?;
                let sealed = row.bytes("answer")?;
                if let Some(anew) = again(keyring, sealed, &answer_context(project, actor, key), done) {
                    let values = values![&anew, sealed, project, environment, actor, key];
                    self.replace(SET_ANSWER, values, done).await?;
                }
            }
            let Some(last) = full(&rows) else { return Ok(()) };
            after = place(last)?.map(str::to_owned);
        }
    }

    async fn reseal_signing_keys(&self, keyring: &Keyring, done: &mut Resealed) -> Result<()> {
        // There are a few dozen at most.
        for row in &self.db.fetch_all(SIGNING_KEYS, values![&keyring.newest_seal()[..]]).await? {
            let (seq, sealed) = (row.int("seq")?, row.bytes("private_key")?);
            if let Some(anew) = again(keyring, sealed, &signing_key::seal_context(row.str("kid")?), done) {
                self.replace(SET_SIGNING_KEY, values![&anew, sealed, seq], done).await?;
            }
        }
        Ok(())
    }

    async fn reseal_webhook_secrets(&self, keyring: &Keyring, done: &mut Resealed) -> Result<()> {
        let (newest, mut after) = (keyring.newest_seal(), (String::new(), 0));
        loop {
            let rows = self.db.fetch_all(WEBHOOK_SECRETS, values![&after.0, after.1, &newest[..], BATCH]).await?;
            for row in &rows {
                let (id, number, sealed) = (row.str("webhook_id")?, row.int("number")?, row.bytes("sealed")?);
                if let Some(anew) = again(keyring, sealed, &webhook::seal_context(id), done) {
                    self.replace(SET_WEBHOOK_SECRET, values![&anew, sealed, id, number], done).await?;
                }
            }
            let Some(last) = full(&rows) else { return Ok(()) };
            after = (last.text("webhook_id")?, last.int("number")?);
        }
    }

    /// One row a transaction: whoever holds several of them is never in a circle with this.
    async fn replace(&self, sql: &'static str, values: &[Value<'_>], done: &mut Resealed) -> Result<()> {
        let mut tx = self.db.begin().await?;
        done.anew += tx.execute(sql, values).await?;
        Ok(tx.commit().await?)
    }
}

fn again(keyring: &Keyring, sealed: &[u8], context: &str, done: &mut Resealed) -> Option<Vec<u8>> {
    let Some(plain) = keyring.open(sealed, context) else {
        done.unreadable += 1;
        return None;
    };
    Some(keyring.seal(&plain, context))
}

/// The last row, if there may be more behind it.
fn full(rows: &[Row]) -> Option<&Row> {
    rows.last().filter(|_| rows.len() == BATCH as usize)
}

fn place(row: &Row) -> Result<[&str; 4]> {
    Ok([row.str("project")?, row.str("environment")?, row.str("actor")?, row.str("idempotency_key")?])
}

/// Rows that are read at once.
const BATCH: u32 = 200;

const SECRETS: &str = "SELECT hash, key_id, sealed FROM key_secrets
    WHERE hash > $1 AND sealed IS NOT NULL AND substr(sealed, 1, 4) <> $2 ORDER BY hash LIMIT $3";
const ANSWERS: &str = "SELECT project, environment, actor, idempotency_key, answer FROM idempotency
    WHERE (project, environment, actor, idempotency_key) > ($1, $2, $3, $4) AND substr(answer, 1, 4) <> $5
    ORDER BY project, environment, actor, idempotency_key LIMIT $6";
const SIGNING_KEYS: &str =
    "SELECT seq, kid, private_key FROM signing_keys WHERE seq > 0 AND substr(private_key, 1, 4) <> $1";
const SET_SECRET: &str = "UPDATE key_secrets SET sealed = $1 WHERE hash = $3 AND sealed = $2";
const SET_ANSWER: &str = "UPDATE idempotency SET answer = $1
    WHERE project = $3 AND environment = $4 AND actor = $5 AND idempotency_key = $6 AND answer = $2";
const SET_SIGNING_KEY: &str = "UPDATE signing_keys SET private_key = $1 WHERE seq = $3 AND private_key = $2";
const WEBHOOK_SECRETS: &str = "SELECT webhook_id, number, sealed FROM webhook_secrets
    WHERE (webhook_id, number) > ($1, $2) AND substr(sealed, 1, 4) <> $3 ORDER BY webhook_id, number LIMIT $4";
const SET_WEBHOOK_SECRET: &str =
    "UPDATE webhook_secrets SET sealed = $1 WHERE webhook_id = $3 AND number = $4 AND sealed = $2";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (SECRETS, "key_secrets_sealed"),
    (ANSWERS, "PRIMARY KEY"),
    (SIGNING_KEYS, "INTEGER PRIMARY KEY"),
    (SET_SECRET, "PRIMARY KEY"),
    (SET_ANSWER, "PRIMARY KEY"),
    (SET_SIGNING_KEY, "INTEGER PRIMARY KEY"),
    (WEBHOOK_SECRETS, "PRIMARY KEY"),
    (SET_WEBHOOK_SECRET, "PRIMARY KEY"),
];
