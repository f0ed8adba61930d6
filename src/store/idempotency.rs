//! Requests that were answered before and may come again.

use super::Store;
use super::db::{Tx, damaged, values};
use super::error::Result;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, ProjectId};

/// What to remember of a request, so that the same request gets the same answer.
#[derive(Clone, Copy)]
pub struct NewIdempotent<'a> {
    /// Whose request it is; its keys are apart from those of others. None for the command line.
    pub actor: Option<&'a CredentialId>,
    /// The idempotency key that the client chose.
    pub key: &'a str,
    /// Knows the request again.
    pub fingerprint: &'a [u8; 32],
    /// The answer, sealed: it may hold a secret.
    pub answer: &'a [u8],
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

/// What is remembered of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// Knows the request again.
    pub fingerprint: [u8; 32],
    /// Its answer, sealed.
    pub answer: Vec<u8>,
}

impl Store {
    /// Forgets up to `batch` requests that are not to be remembered any more; how many it were.
    pub async fn prune_idempotency(&self, now: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let forgotten = tx.execute(PRUNE, values![now, batch]).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

/// Remembers a request, unless it is remembered already: then what is. Of two equal requests at the same time one waits
/// here until the other has ended.
pub(super) async fn claim(
    tx: &mut Tx,
    project: &ProjectId,
    environment: Environment,
    request: &NewIdempotent<'_>,
    now: Timestamp,
) -> Result<Option<Remembered>> {
    let actor = request.actor.map_or("", CredentialId::as_str);
    let (project, environment) = (project.as_str(), environment.as_str());
    let values = values![
        project,
        environment,
        actor,
        request.key,
        request.fingerprint,
        request.answer,
        request.expires_at,
        now,
    ];
    if tx.execute(CLAIM, values).await? > 0 {
        return Ok(None);
    }
    let row = tx.fetch_one(FIND, values![project, environment, actor, request.key]).await?;
    let fingerprint = row.bytes("fingerprint")?.try_into();
    Ok(Some(Remembered {
        fingerprint: fingerprint.map_err(|_| damaged("idempotency.fingerprint"))?,
        answer: row.bytes("answer")?.to_vec(),
    }))
}

const CLAIM: &str =
    "INSERT INTO idempotency (project, environment, actor, idempotency_key, fingerprint, answer, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (project, environment, actor, idempotency_key) DO UPDATE
        SET fingerprint = excluded.fingerprint, answer = excluded.answer, expires_at = excluded.expires_at
        WHERE idempotency.expires_at <= $8";
const FIND: &str = "SELECT fingerprint, answer FROM idempotency
    WHERE project = $1 AND environment = $2 AND actor = $3 AND idempotency_key = $4";
const PRUNE: &str = "DELETE FROM idempotency WHERE (project, environment, actor, idempotency_key) IN
    (SELECT project, environment, actor, idempotency_key FROM idempotency WHERE expires_at <= $1
        ORDER BY expires_at LIMIT $2)";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[(FIND, "PRIMARY KEY"), (PRUNE, "idempotency_ending")];
