//! What users gave to clients, as people see it, and its end by their will.
//!
//! What a user is not asked about again (their consent) goes with the last grant of theirs to the client.

use super::access_tokens;
use super::grants::{self, grant_columns};
use crate::domain::audit::AuditEvent;
use crate::domain::change::{Change, ChangeKind};
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::id::{ClientId, CredentialId, GrantId, ProjectId, UserId};
use crate::domain::oauth::token::{Grant, ListedGrant};
use crate::domain::page::{Page, PageRequest};
use crate::domain::secret::SecretHash;
use crate::domain::user::User;
use crate::store::db::{Row, Tx, Value, values};
use crate::store::error::Result;
use crate::store::pages::{self, Statements};
use crate::store::{Store, changes};

/// Which grants are listed.
#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    /// Those of this user.
    pub user: Option<UserId>,
    /// Those to this client.
    pub client: Option<ClientId>,
}

/// A grant that has ended with these tokens.
pub(in crate::store) struct Ended {
    id: GrantId,
    hashes: Vec<SecretHash>,
}

impl Store {
    /// The grants that have not ended, newest first, but for those of users and clients that were deleted. A page comes after the
    /// id of the last grant of the one before.
    pub async fn list_grants(
        &self,
        project: &ProjectId,
        environment: Environment,
        filter: &GrantFilter,
        now: Timestamp,
        request: &PageRequest,
    ) -> Result<Page<ListedGrant>> {
        let mut values = values![project.as_str(), environment.as_str(), now].to_vec();
        let (user, client) = (filter.user.as_ref().map(UserId::as_str), filter.client.as_ref().map(ClientId::as_str));
        values.extend(user.into_iter().chain(client).map(Value::from));
        let statements = match (user, client) {
            (None, None) => LIST,
            (Some(_), None) => LIST_OF_USER,
            (None, Some(_)) => LIST_OF_CLIENT,
            (Some(_), Some(_)) => LIST_OF_BOTH,
        };
        let below = pages::after(request).unwrap_or(ABOVE_ALL);
        self.page(statements, &values, below.into(), request, read).await
    }

    /// Ends a grant with all that came of it, because its user or whoever governs them wants it; none if it had ended.
    pub async fn end_grant(&self, grant: &Grant, now: Timestamp, event: &AuditEvent) -> Result<Option<Change>> {
        let mut tx = self.db.begin().await?;
        let Some(hashes) = grants::end(&mut tx, &grant.id, now).await? else { return Ok(None) };
        tx.execute(FORGET, values![grant.user.as_str(), grant.client.as_str(), now]).await?;
        self.record_in(&mut tx, event).await?;
        let ended = Ended { id: grant.id.clone(), hashes };
        let change = tell_of(&mut tx, (&grant.project, grant.environment), ended, now).await?;
        tx.commit().await?;
        Ok(Some(change))
    }
}

/// Ends all grants of a user whose row is held, and forgets what they agreed to.
pub(in crate::store) async fn end_all(tx: &mut Tx, user: &UserId, now: Timestamp) -> Result<Vec<Ended>> {
    let rows = tx.fetch_all(END_ALL, values![user.as_str(), now]).await?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let id = GrantId::stored(row.text("id")?);
        let hashes = access_tokens::of_grant(tx, &id, now).await?;
        all.push(Ended { id, hashes });
    }
    tx.execute(FORGET_ALL, values![user.as_str()]).await?;
    Ok(all)
}

/// Writes a change for each grant.
pub(in crate::store) async fn tell(tx: &mut Tx, user: &User, ended: Vec<Ended>, now: Timestamp) -> Result<Vec<Change>> {
    let mut told = Vec::with_capacity(ended.len());
    for ended in ended {
        told.push(tell_of(tx, (&user.project, user.environment), ended, now).await?);
    }
    Ok(told)
}

async fn tell_of(
    tx: &mut Tx,
    (project, environment): (&ProjectId, Environment),
    Ended { id, hashes }: Ended,
    now: Timestamp,
) -> Result<Change> {
    let subject = CredentialId::Grant(id);
    changes::write_of(tx, project, environment, subject, ChangeKind::Revoked, hashes, now).await
}

fn read(row: &Row) -> Result<ListedGrant> {
    let (client_name, refreshed_at) = (row.text("client_name")?, row.opt_time("refreshed_at")?);
    Ok(ListedGrant { grant: grants::read(row)?, client_name, refreshed_at })
}

/// Both statements of a list, with what narrows it and the place it comes after.
macro_rules! list {
    ($narrowed:literal, $page:literal) => {
        Statements {
            page: concat!(
                "SELECT c.name AS client_name, g.refreshed_at, ",
                grant_columns!(),
                listed!(),
                $narrowed,
                $page
            ),
            count: concat!("SELECT COUNT(*) AS total", listed!(), $narrowed),
        }
    };
}
/// The grants that have not ended at `$3`. A user or a client says by itself which project `$1` and environment `$2` it is of.
macro_rules! listed {
    () => {
        " FROM grants g JOIN clients c ON c.id = g.client_id JOIN users u ON u.id = g.user_id
    WHERE g.revoked_at IS NULL AND g.expires_at > $3 AND c.deleted_at IS NULL AND u.deleted_at IS NULL"
    };
}

const LIST: Statements =
    list!(" AND g.project = $1 AND g.environment = $2", " AND g.id < $4 ORDER BY g.id DESC LIMIT $5 OFFSET $6");
const LIST_OF_USER: Statements = list!(
    " AND u.project = $1 AND u.environment = $2 AND g.user_id = $4",
    " AND g.id < $5 ORDER BY g.id DESC LIMIT $6 OFFSET $7"
);
const LIST_OF_CLIENT: Statements = list!(
    " AND c.project = $1 AND c.environment = $2 AND g.client_id = $4",
    " AND g.id < $5 ORDER BY g.id DESC LIMIT $6 OFFSET $7"
);
const LIST_OF_BOTH: Statements = list!(
    " AND u.project = $1 AND u.environment = $2 AND g.user_id = $4 AND g.client_id = $5",
    " AND g.id < $6 ORDER BY g.id DESC LIMIT $7 OFFSET $8"
);
const FORGET: &str = "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 AND NOT EXISTS
    (SELECT 1 FROM grants g WHERE g.user_id = $1 AND g.client_id = $2 AND g.revoked_at IS NULL AND g.expires_at > $3)";
const END_ALL: &str =
    "UPDATE grants SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 RETURNING id";
const FORGET_ALL: &str = "DELETE FROM consents WHERE user_id = $1";
/// Comes after every id of a grant.
const ABOVE_ALL: &str = "grt_~";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(in crate::store) const PLANNED: &[(&str, &str)] = &[
    (LIST.page, "grants_listed"),
    (LIST.count, "grants_listed"),
    (LIST_OF_USER.page, "grants_of_user"),
    (LIST_OF_USER.count, "grants_of_user"),
    (LIST_OF_CLIENT.page, "grants_of_client"),
    (LIST_OF_CLIENT.count, "grants_of_client"),
    (LIST_OF_BOTH.page, "grants_of_user"),
    (LIST_OF_BOTH.count, "grants_of_user"),
    (FORGET, "PRIMARY KEY"),
    (END_ALL, "grants_of_user"),
    (FORGET_ALL, "PRIMARY KEY"),
];
