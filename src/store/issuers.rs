//! Trusted issuers. Whatever happens to one is told under the hash of all that its environment trusts
//! ([`crate::domain::issuer::trust_hash`]).

use std::collections::BTreeSet;
use std::time::Duration;

use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::pages::{self, Statements};
use super::{Store, changes};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::environment::Environment;
use crate::domain::id::{CredentialId, IssuerId, ProjectId};
use crate::domain::issuer::{Algorithm, ClaimNames, Issuer, IssuerDetails, IssuerKeys, TokenRules, trust_hash};
use crate::domain::page::{Page, PageRequest};

/// The columns of an issuer, as [`read`] expects them.
macro_rules! issuer_columns {
    () => {
        "i.id, i.project, i.environment, i.issuer, i.display_name, i.description, i.jwks_uri, i.jwks, i.audiences, i.algorithms,
        i.email_claim, i.first_name_claim, i.last_name_claim, i.leeway_micros, i.created_at, i.updated_at, i.version"
    };
}

impl Store {
    /// Stores a new issuer.
    ///
    /// # Errors
    /// [`Conflict::Exists`] where one of its name is trusted already, [`Conflict::TooManyIssuers`], and [`Conflict::Version`]
    /// where the project was deleted.
    pub async fn create_issuer(&self, issuer: &Issuer, event: &AuditEvent) -> Result<Change> {
        let details = &issuer.details;
        let (audiences, algorithms) = (audiences(issuer)?, algorithms(issuer));
        let (uri, inline) = keys(issuer);
        let values = values![
            issuer.id.as_str(),
            issuer.project.as_str(),
            issuer.environment.as_str(),
            issuer.name(),
            &details.display_name,
            &details.description,
            uri,
            inline,
            &audiences,
            &algorithms,
            &details.rules.claims.email,
            &details.rules.claims.first_name,
            &details.rules.claims.last_name,
            leeway_micros(issuer),
            issuer.created_at,
            issuer.updated_at,
            issuer.version,
        ];
        let mut tx = self.db.begin().await?;
        // Of two that add the last one, one is first.
        if tx.execute(CLAIM, values![issuer.project.as_str()]).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        let count = values![issuer.project.as_str(), issuer.environment.as_str()];
        let there = tx.fetch_one(COUNT, count).await?.int("total")?;
        if !u32::try_from(there).is_ok_and(|there| there < MAX_ISSUERS) {
            return Err(StoreError::Conflict(Conflict::TooManyIssuers));
        }
        tx.execute(INSERT, values).await.map_err(|failure| failure.or_conflict(Conflict::Exists))?;
        self.told(tx, issuer, ChangeKind::Created, event).await
    }

    /// The issuer of this id.
    pub async fn find_issuer(
        &self,
        project: &ProjectId,
        environment: Environment,
        id: &IssuerId,
    ) -> Result<Option<Issuer>> {
        let values = values![id.as_str(), project.as_str(), environment.as_str()];
        self.db.fetch_optional(FIND, values).await?.as_ref().map(read).transpose()
    }

    /// The issuers of an environment, oldest first. A page comes after the id of the last issuer of the one before.
    pub async fn list_issuers(
        &self,
        project: &ProjectId,
        environment: Environment,
        request: &PageRequest,
    ) -> Result<Page<Issuer>> {
        let after = pages::after(request).unwrap_or_default();
        let statements = Statements { page: LIST, count: COUNT };
        self.page(statements, values![project.as_str(), environment.as_str()], after.into(), request, read).await
    }

    /// Stores a changed issuer, if it still has the version expected.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn update_issuer(&self, issuer: &Issuer, expected_version: i64, event: &AuditEvent) -> Result<Change> {
        let details = &issuer.details;
        let (audiences, algorithms) = (audiences(issuer)?, algorithms(issuer));
        let (uri, inline) = keys(issuer);
        let values = values![
            issuer.id.as_str(),
            issuer.project.as_str(),
            issuer.environment.as_str(),
            expected_version,
            &details.display_name,
            &details.description,
            uri,
            inline,
            &audiences,
            &algorithms,
            &details.rules.claims.email,
            &details.rules.claims.first_name,
            &details.rules.claims.last_name,
            leeway_micros(issuer),
            issuer.updated_at,
            issuer.version,
        ];
        let mut tx = self.db.begin().await?;
        if tx.execute(UPDATE, values).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        self.told(tx, issuer, ChangeKind::Updated, event).await
    }

    /// Removes an issuer, if it still has the version expected. Its users stay, and so does which of them it means.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn delete_issuer(&self, issuer: &Issuer, expected_version: i64, event: &AuditEvent) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        let values =
            values![issuer.id.as_str(), issuer.project.as_str(), issuer.environment.as_str(), expected_version];
        if tx.execute(DELETE, values).await? == 0 {
            return Err(StoreError::Conflict(Conflict::Version));
        }
        self.told(tx, issuer, ChangeKind::Revoked, event).await
    }

    /// Ends the transaction with the word of what was done.
    async fn told(&self, mut tx: Tx, issuer: &Issuer, kind: ChangeKind, event: &AuditEvent) -> Result<Change> {
        self.record_in(&mut tx, event).await?;
        let (project, environment) = (&issuer.project, issuer.environment);
        let hashes = vec![trust_hash(project, environment)];
        let subject = CredentialId::Issuer(issuer.id.clone());
        let change = changes::write_of(&mut tx, project, environment, subject, kind, hashes, event.occurred_at).await?;
        tx.commit().await?;
        Ok(change)
    }
}

fn read(row: &Row) -> Result<Issuer> {
    let keys = match (row.opt_str("jwks_uri")?, row.opt_str("jwks")?) {
        (None, None) => IssuerKeys::Discovered,
        (Some(uri), None) => IssuerKeys::At(uri.to_owned()),
        (None, Some(inline)) => IssuerKeys::Inline(inline.to_owned()),
        (Some(_), Some(_)) => return Err(damaged("issuers.jwks")),
    };
    let algorithms = row.str("algorithms")?.split(' ').map(Algorithm::parse).collect::<Option<_>>();
    let leeway = u64::try_from(row.int("leeway_micros")?).map_err(|_| damaged("issuers.leeway_micros"))?;
    let audiences: BTreeSet<String> =
        serde_json::from_str(row.str("audiences")?).map_err(|_| damaged("issuers.audiences"))?;
    Ok(Issuer {
        id: IssuerId::stored(row.text("id")?),
        project: ProjectId::stored(row.text("project")?),
        environment: Environment::parse(row.str("environment")?).ok_or_else(|| damaged("issuers.environment"))?,
        details: IssuerDetails {
            display_name: row.text("display_name")?,
            description: row.text("description")?,
            keys,
            rules: TokenRules {
                issuer: row.text("issuer")?,
                audiences,
                algorithms: algorithms.ok_or_else(|| damaged("issuers.algorithms"))?,
                claims: ClaimNames {
                    email: row.text("email_claim")?,
                    first_name: row.text("first_name_claim")?,
                    last_name: row.text("last_name_claim")?,
                },
                leeway: Duration::from_micros(leeway),
            },
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        version: row.int("version")?,
    })
}

fn audiences(issuer: &Issuer) -> Result<String> {
    serde_json::to_string(&issuer.details.rules.audiences).map_err(|_| damaged("issuers.audiences"))
}

fn algorithms(issuer: &Issuer) -> String {
    let names: Vec<_> = issuer.details.rules.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
    names.join(" ")
}

fn keys(issuer: &Issuer) -> (Option<&str>, Option<&str>) {
    match &issuer.details.keys {
        IssuerKeys::Discovered => (None, None),
        IssuerKeys::At(uri) => (Some(uri), None),
        IssuerKeys::Inline(inline) => (None, Some(inline)),
    }
}

fn leeway_micros(issuer: &Issuer) -> i64 {
    // At most a minute.
    i64::try_from(issuer.details.rules.leeway.as_micros()).unwrap_or(i64::MAX)
}

/// Issuers an environment may trust.
pub const MAX_ISSUERS: u32 = 50;

/// Changes nothing; the row is held until the transaction ends.
const CLAIM: &str = "UPDATE projects SET version = version WHERE id = $1 AND deleted_at IS NULL";
const COUNT: &str = "SELECT COUNT(*) AS total FROM issuers i WHERE i.project = $1 AND i.environment = $2";
const INSERT: &str =
    "INSERT INTO issuers (id, project, environment, issuer, display_name, description, jwks_uri, jwks, audiences,
        algorithms, email_claim, first_name_claim, last_name_claim, leeway_micros, created_at, updated_at, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
const FIND: &str =
    concat!("SELECT ", issuer_columns!(), " FROM issuers i WHERE i.id = $1 AND i.project = $2 AND i.environment = $3");
const LIST: &str = concat!(
    "SELECT ",
    issuer_columns!(),
    " FROM issuers i WHERE i.project = $1 AND i.environment = $2 AND i.id > $3 ORDER BY i.id LIMIT $4 OFFSET $5"
);
const UPDATE: &str = "UPDATE issuers SET display_name = $5, description = $6, jwks_uri = $7, jwks = $8, audiences = $9,
        algorithms = $10, email_claim = $11, first_name_claim = $12, last_name_claim = $13, leeway_micros = $14,
        updated_at = $15, version = $16
    WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4";
const DELETE: &str = "DELETE FROM issuers WHERE id = $1 AND project = $2 AND environment = $3 AND version = $4";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (CLAIM, "sqlite_autoindex_projects_1"),
    (COUNT, "issuers_"),
    (FIND, "PRIMARY KEY"),
    (LIST, "issuers_listed"),
    (UPDATE, "PRIMARY KEY"),
    (DELETE, "PRIMARY KEY"),
];
