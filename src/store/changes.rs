//! The change log, and the wake-ups that go with it.

use super::Store;
use super::db::{ChangeSignal, Row, Tx, damaged, values};
use super::error::Result;
use crate::domain::change::{Change, ChangeKind, Revision};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, ProjectId};
use crate::domain::key::Key;
use crate::domain::secret::SecretHash;

impl Store {
    /// The revision of the last change.
    pub async fn revision(&self) -> Result<Revision> {
        revision(self.db.fetch_one(COUNTER, &[]).await?.int("revision")?)
    }

    /// How far the log reaches back: it holds every change after this revision, and may miss some before. Asked *after* a
    /// list, it says whether the list can be trusted to have missed nothing.
    pub async fn oldest_revision(&self) -> Result<Revision> {
        revision(self.db.fetch_one(COUNTER, &[]).await?.int("pruned_to")?)
    }

    /// The changes of all projects after a revision, in order.
    pub async fn list_changes_after(&self, after: Revision, limit: u32) -> Result<Vec<Change>> {
        let rows = self.db.fetch_all(LIST, values![number(after), limit]).await?;
        rows.iter().map(read).collect()
    }

    /// The changes of one project and environment after a revision, in order.
    pub async fn list_changes_of(
        &self,
        project: &ProjectId,
        environment: Environment,
        after: Revision,
        limit: u32,
    ) -> Result<Vec<Change>> {
        let values = values![project.as_str(), environment.as_str(), number(after), limit];
        let rows = self.db.fetch_list(LIST_OF, values).await?;
        rows.iter().map(read).collect()
    }

    /// Forgets up to `batch` of the oldest changes, as far as they happened before this time; how many it were. What is
    /// left has no gap: the first change that is young enough ends it.
    pub async fn prune_changes(&self, before: Timestamp, batch: u32) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let oldest = tx.fetch_all(OLDEST, values![batch]).await?;
        let mut end = None;
        for row in &oldest {
            if row.time("occurred_at")? >= before {
                break;
            }
            end = Some(row.int("revision")?);
        }
        let Some(end) = end else { return Ok(0) };
        let pruned = tx.execute(PRUNE, values![end]).await?;
        tx.execute(SET_PRUNED, values![end]).await?;
        tx.commit().await?;
        Ok(pruned)
    }

    /// A wake-up for each change from now on.
    pub async fn listen(&self) -> Result<ChangeSignal> {
        Ok(self.db.listen().await?)
    }
}

/// Writes a change of a key. Comes last in its transaction: the counter it takes is held until the end.
pub(super) async fn write(
    tx: &mut Tx,
    key: &Key,
    kind: ChangeKind,
    hashes: Vec<SecretHash>,
    now: Timestamp,
) -> Result<Change> {
    write_of(tx, &key.project, key.environment, key.id.clone().into(), kind, hashes, now).await
}

/// Writes a change of a credential that is known by its id.
pub(super) async fn write_of(
    tx: &mut Tx,
    project: &ProjectId,
    environment: Environment,
    subject: CredentialId,
    kind: ChangeKind,
    hashes: Vec<SecretHash>,
    now: Timestamp,
) -> Result<Change> {
    let taken = take(tx, 1).await?;
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
    let values = values![taken, project.as_str(), environment.as_str(), subject.as_str(), kind.as_str(), &bytes, now];
    tx.execute(INSERT, values).await?;
    tx.announce().await?;
    Ok(Change {
        revision: revision(taken)?,
        project: project.clone(),
        environment,
        subject: Some(subject),
        kind,
        hashes,
        occurred_at: now,
    })
}

/// Writes that a project has ended: one row for each environment, so that whoever watches one of them is told. Comes last
/// in its transaction, as above.
pub(super) async fn write_end(tx: &mut Tx, project: &ProjectId, now: Timestamp) -> Result<Change> {
    write_of_project(tx, project, ChangeKind::ProjectDeleted, now).await
}

/// Writes that the settings of a project have changed, which what is cached of its credentials may hold. Comes last in its
/// transaction, as above.
pub(super) async fn write_update(tx: &mut Tx, project: &ProjectId, now: Timestamp) -> Result<Change> {
    write_of_project(tx, project, ChangeKind::ProjectUpdated, now).await
}

async fn write_of_project(tx: &mut Tx, project: &ProjectId, kind: ChangeKind, now: Timestamp) -> Result<Change> {
    let last = take(tx, 2).await?;
    for (taken, environment) in [(last - 1, Environment::Live), (last, Environment::Test)] {
        let none: &[u8] = &[];
        let values = values![taken, project.as_str(), environment.as_str(), NO_SUBJECT, kind.as_str(), none, now];
        tx.execute(INSERT, values).await?;
    }
    tx.announce().await?;
    let (revision, environment) = (revision(last)?, Environment::Test);
    Ok(Change {
        revision,
        project: project.clone(),
        environment,
        subject: None,
        kind,
        hashes: Vec::new(),
        occurred_at: now,
    })
}

/// Takes the next so many revisions; the last of them.
pub(super) async fn take(tx: &mut Tx, many: i64) -> Result<i64> {
    tx.fetch_one(TAKE, values![many]).await?.int("revision")
}

/// A revision that is stored.
pub(super) fn revision(number: i64) -> Result<Revision> {
    u64::try_from(number).map(Revision).map_err(|_| damaged("change_counter.revision"))
}

/// A hash that is stored.
pub(super) fn hash(bytes: &[u8], column: &'static str) -> Result<SecretHash> {
    bytes.try_into().map(SecretHash::from_bytes).map_err(|_| damaged(column))
}

/// A revision as it is stored; those that cannot be come after all that are.
fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<Change> {
    let hashes = row.bytes("hashes")?.chunks(32).map(|bytes| hash(bytes, "changes.hashes"));
    Ok(Change {
        revision: revision(row.int("revision")?)?,
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("changes.environment"))?,
        subject: Some(row.text("key_id")?).filter(|id| id != NO_SUBJECT).map(CredentialId::stored),
        kind: ChangeKind::parse(row.str("kind")?).ok_or_else(|| damaged("changes.kind"))?,
        hashes: hashes.collect::<Result<_>>()?,
        occurred_at: row.time("occurred_at")?,
    })
}

/// Stands for the subject of a change that is of a whole project.
const NO_SUBJECT: &str = "";

const COUNTER: &str = "SELECT revision, pruned_to FROM change_counter WHERE id = 1";
const TAKE: &str = "UPDATE change_counter SET revision = revision + $1 WHERE id = 1 RETURNING revision";
pub(super) const INSERT: &str =
    "INSERT INTO changes (revision, project, environment, key_id, kind, hashes, occurred_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const LIST: &str = "SELECT revision, project, environment, key_id, kind, hashes, occurred_at FROM changes
    WHERE revision > $1 ORDER BY revision LIMIT $2";
const LIST_OF: &str = "SELECT revision, project, environment, key_id, kind, hashes, occurred_at FROM changes
    WHERE project = $1 AND environment = $2 AND revision > $3 ORDER BY revision LIMIT $4";
const OLDEST: &str = "SELECT revision, occurred_at FROM changes ORDER BY revision LIMIT $1";
const PRUNE: &str = "DELETE FROM changes WHERE revision <= $1";
const SET_PRUNED: &str = "UPDATE change_counter SET pruned_to = $1 WHERE id = 1 AND pruned_to < $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] =
    &[(COUNTER, "PRIMARY KEY"), (LIST, "PRIMARY KEY"), (LIST_OF, "changes_of_environment"), (PRUNE, "PRIMARY KEY")];
