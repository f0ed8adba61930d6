//! Which user a trusted issuer means by a subject. A user has one identity at most: they are made for it.

use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result};
use super::{Store, changes, key_rows, scopes};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::credential::ActingUser;
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, ProjectId, UserId};
use crate::domain::issuer::identity_hash;
use crate::domain::secret::SecretHash;
use crate::domain::user::{Standing, User};

impl Store {
    /// The user whom an issuer means, unless the project was deleted.
    pub async fn find_identity(
        &self,
        project: &ProjectId,
        environment: Environment,
        issuer: &str,
        subject: &str,
    ) -> Result<Option<(UserId, ActingUser)>> {
        let values = values![project.as_str(), environment.as_str(), issuer, subject];
        let Some(row) = self.db.fetch_optional(FIND, values).await? else { return Ok(None) };
        let standing = Standing::parse(row.str("standing")?).ok_or_else(|| damaged("identities.user_id"))?;
        let scopes = key_rows::scopes(row.opt_str("scopes")?)?;
        Ok(Some((UserId::stored(row.text("user_id")?), ActingUser { standing, scopes })))
    }

    /// Stores a new user whom an issuer means by this subject.
    ///
    /// # Errors
    /// [`Conflict::Exists`] where it means somebody already, [`Conflict::Email`], [`Conflict::UnknownScope`].
    pub async fn create_user_of_issuer(
        &self,
        user: &User,
        issuer: &str,
        subject: &str,
        event: &AuditEvent,
    ) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        self.insert_user(&mut tx, user).await?;
        let values = values![
            user.project.as_str(),
            user.environment.as_str(),
            issuer,
            subject,
            user.id.as_str(),
            user.created_at
        ];
        tx.execute(INSERT, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
        self.record_in(&mut tx, event).await?;
        let hash = identity_hash(&user.project, user.environment, issuer, subject);
        let change = tell(&mut tx, user, vec![hash], ChangeKind::Created).await?;
        scopes::require_registered_of_user(&mut tx, user).await?;
        tx.commit().await?;
        Ok(change)
    }
}

/// The hashes that the identities of a user are told by.
pub(super) async fn hashes(tx: &mut Tx, user: &User) -> Result<Vec<SecretHash>> {
    hashes_of(user, &tx.fetch_all(LIST, values![user.id.as_str()]).await?)
}

/// Forgets the identities of a user; the hashes that they are told by.
pub(super) async fn remove(tx: &mut Tx, user: &User) -> Result<Vec<SecretHash>> {
    hashes_of(user, &tx.fetch_all(REMOVE, values![user.id.as_str()]).await?)
}

/// Writes a change of a user: it concerns the identities of these hashes, and all access tokens that act for the user, even
/// one that is issued at this moment. Comes last in its transaction, as all changes do.
pub(super) async fn tell(tx: &mut Tx, user: &User, hashes: Vec<SecretHash>, kind: ChangeKind) -> Result<Change> {
    let subject = CredentialId::User(user.id.clone());
    changes::write_of(tx, &user.project, user.environment, subject, kind, hashes, user.updated_at).await
}

fn hashes_of(user: &User, rows: &[Row]) -> Result<Vec<SecretHash>> {
    let hash = |row: &Row| {
        let (issuer, subject) = (row.str("issuer")?, row.str("subject")?);
        Ok(identity_hash(&user.project, user.environment, issuer, subject))
    };
    rows.iter().map(hash).collect()
}

const FIND: &str = "SELECT d.user_id,
        CASE WHEN u.deleted_at IS NOT NULL THEN 'deleted' WHEN u.blocked_at IS NOT NULL THEN 'blocked'
            ELSE 'good' END AS standing,
        (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM user_scopes c WHERE c.user_id = u.id) AS scopes
    FROM identities d JOIN users u ON u.id = d.user_id JOIN projects o ON o.id = d.project
    WHERE d.project = $1 AND d.environment = $2 AND d.issuer = $3 AND d.subject = $4 AND o.deleted_at IS NULL";
const INSERT: &str = "INSERT INTO identities (project, environment, issuer, subject, user_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)";
const LIST: &str = "SELECT d.issuer, d.subject FROM identities d WHERE d.user_id = $1";
const REMOVE: &str = "DELETE FROM identities WHERE user_id = $1 RETURNING issuer, subject";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] =
    &[(FIND, "PRIMARY KEY"), (LIST, "identities_of_user"), (REMOVE, "identities_of_user")];
