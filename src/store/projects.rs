//! Projects. A deleted one keeps its row, for good: its name is not given again, and its audit log still names it.

use std::time::Duration;

use super::db::{Row, Tx, damaged, values};
use super::error::{Conflict, Result, StoreError};
use super::pages::{self, Statements};
use super::{Store, changes, key_rows, limits, scopes};
use crate::domain::audit::AuditEvent;
use crate::domain::change::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::ProjectId;
use crate::domain::leak::LeakPolicy;
use crate::domain::oauth::uri::ResourceUri;
use crate::domain::page::{Page, PageRequest};
use crate::domain::project::{ClientRegistration, Project, ProjectDetails, SignUp};
use crate::domain::secret::SecretPrefix;

/// The columns of a project, as [`read`] expects them.
macro_rules! project_columns {
    () => {
        "id, display_name, description, secret_prefix, sign_up, session_micros, created_at, updated_at, deleted_at, version,
        client_registration, registration_resources, client_documents, leak_policy,
        (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM sign_up_scopes c WHERE c.project = projects.id) AS scopes,
        (SELECT string_agg(c.plain || ' ' || c.spelling, ' ') FROM registration_scopes c WHERE c.project = projects.id)
            AS registration_scopes,
        (SELECT string_agg(d.kind || ' ' || d.name || ' ' || d.calls || ' ' || d.window_micros
                || CASE WHEN d.shared THEN ' shared' ELSE ' own' END, ' ')
            FROM project_rate_limits d WHERE d.project = projects.id) AS default_rate_limits"
    };
}

impl Store {
    /// The project of this name, unless it was deleted.
    pub async fn find_project(&self, id: &ProjectId) -> Result<Option<Project>> {
        let row = self.db.fetch_optional(FIND, values![id.as_str()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The projects that were not deleted, by name. A page comes after the name of the last project of the one before.
    pub async fn list_projects(&self, request: &PageRequest) -> Result<Page<Project>> {
        let after = pages::after(request).unwrap_or_default();
        self.page(Statements { page: LIST, count: COUNT }, &[], after.into(), request, read).await
    }

    /// Makes the project, with nothing said about it, if there never was one of this name; whether it was made.
    pub async fn ensure_project(&self, id: &ProjectId, now: Timestamp) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        let made = insert(&mut tx, &Project::new(id.clone(), ProjectDetails::default(), now)).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Stores a changed project, if it still has the version expected and was not deleted. What is cached of its keys holds the
    /// limits that it gives them, so that this is a change of them too.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn update_project(&self, project: &Project, expected_version: i64, event: &AuditEvent) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        update(&mut tx, project, expected_version).await?;
        self.record_in(&mut tx, event).await?;
        scopes::require_registered_of_project(&mut tx, project).await?;
        let change = changes::write_update(&mut tx, &project.id, project.updated_at).await?;
        tx.commit().await?;
        Ok(change)
    }

    /// Stores a project that was deleted, if it still has the version expected. None of its credentials is found from then
    /// on; its data is for [`Store::empty_project`] to remove.
    ///
    /// # Errors
    /// [`Conflict::Version`].
    pub async fn delete_project(&self, project: &Project, expected_version: i64, event: &AuditEvent) -> Result<Change> {
        let mut tx = self.db.begin().await?;
        update(&mut tx, project, expected_version).await?;
        self.record_in(&mut tx, event).await?;
        let change = changes::write_end(&mut tx, &project.id, project.updated_at).await?;
        tx.commit().await?;
        Ok(change)
    }
}

/// Makes the project if there never was one of this name; whether it was made.
pub(super) async fn insert(tx: &mut Tx, project: &Project) -> Result<bool> {
    let (details, resources) = (&project.details, resources(project));
    let values = values![
        project.id.as_str(),
        &details.display_name,
        &details.description,
        details.secret_prefix.as_str(),
        project.created_at,
        project.updated_at,
        project.version,
        details.sign_up.as_str(),
        session_micros(project),
        details.client_registration.as_str(),
        &resources,
        details.client_documents,
        details.leak_policy.as_str(),
    ];
    let made = tx.execute(INSERT, values).await? > 0;
    if made {
        insert_scopes(tx, project).await?;
        limits::replace_of_project(tx, project).await?;
    }
    Ok(made)
}

async fn update(tx: &mut Tx, project: &Project, expected_version: i64) -> Result<()> {
    let (details, resources) = (&project.details, resources(project));
    let values = values![
        project.id.as_str(),
        expected_version,
        &details.display_name,
        &details.description,
        details.secret_prefix.as_str(),
        project.updated_at,
        project.deleted_at,
        project.version,
        details.sign_up.as_str(),
        session_micros(project),
        details.client_registration.as_str(),
        &resources,
        details.client_documents,
        details.leak_policy.as_str(),
    ];
    if tx.execute(UPDATE, values).await? == 0 {
        return Err(StoreError::Conflict(Conflict::Version));
    }
    tx.execute(DELETE_SCOPES, values![project.id.as_str()]).await?;
    tx.execute(DELETE_REGISTRATION_SCOPES, values![project.id.as_str()]).await?;
    limits::replace_of_project(tx, project).await?;
    insert_scopes(tx, project).await
}

/// Stores the scopes for users and for clients that register themselves, of a project that has none.
async fn insert_scopes(tx: &mut Tx, project: &Project) -> Result<()> {
    for scope in &project.details.user_scopes {
        tx.execute(INSERT_SCOPE, values![project.id.as_str(), scope.plain(), scope.spelling()]).await?;
    }
    for scope in &project.details.registration_scopes {
        let values = values![project.id.as_str(), scope.plain(), scope.spelling()];
        tx.execute(INSERT_REGISTRATION_SCOPE, values).await?;
    }
    Ok(())
}

/// The resources for clients that register themselves, parted by spaces, which none holds.
fn resources(project: &Project) -> String {
    let resources: Vec<&str> = project.details.registration_resources.iter().map(ResourceUri::as_str).collect();
    resources.join(" ")
}

fn session_micros(project: &Project) -> i64 {
    // At most a day.
    i64::try_from(project.details.session_lifetime.as_micros()).unwrap_or(i64::MAX)
}

fn read(row: &Row) -> Result<Project> {
    let prefix = SecretPrefix::parse_own(row.str("secret_prefix")?);
    let lifetime = u64::try_from(row.int("session_micros")?);
    let registration = ClientRegistration::parse(row.str("client_registration")?);
    let resources = row.str("registration_resources")?.split_ascii_whitespace();
    Ok(Project {
        id: ProjectId::stored(row.text("id")?),
        details: ProjectDetails {
            display_name: row.text("display_name")?,
            description: row.text("description")?,
            secret_prefix: prefix.ok_or_else(|| damaged("projects.secret_prefix"))?,
            sign_up: SignUp::parse(row.str("sign_up")?).ok_or_else(|| damaged("projects.sign_up"))?,
            session_lifetime: lifetime.map(Duration::from_micros).map_err(|_| damaged("projects.session_micros"))?,
            user_scopes: key_rows::scopes(row.opt_str("scopes")?)?,
            client_registration: registration.ok_or_else(|| damaged("projects.client_registration"))?,
            client_documents: row.bool("client_documents")?,
            registration_scopes: key_rows::scopes(row.opt_str("registration_scopes")?)?,
            registration_resources: resources.map(|uri| ResourceUri::stored(uri.to_owned())).collect(),
            leak_policy: LeakPolicy::parse(row.str("leak_policy")?).ok_or_else(|| damaged("projects.leak_policy"))?,
            default_rate_limits: limits::read_defaults(row.opt_str("default_rate_limits")?)?,
        },
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        deleted_at: row.opt_time("deleted_at")?,
        version: row.int("version")?,
    })
}

const FIND: &str = concat!("SELECT ", project_columns!(), " FROM projects WHERE id = $1 AND deleted_at IS NULL");
const LIST: &str = concat!(
    "SELECT ",
    project_columns!(),
    " FROM projects WHERE deleted_at IS NULL AND id > $1 ORDER BY id LIMIT $2 OFFSET $3"
);
/// No name is empty: the condition leads along the index.
const COUNT: &str = "SELECT COUNT(*) AS total FROM projects WHERE deleted_at IS NULL AND id > ''";
const INSERT: &str =
    "INSERT INTO projects (id, display_name, description, secret_prefix, created_at, updated_at, version,
        sign_up, session_micros, client_registration, registration_resources, client_documents, leak_policy)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING";
const UPDATE: &str = "UPDATE projects SET display_name = $3, description = $4, secret_prefix = $5, updated_at = $6,
        deleted_at = $7, version = $8, sign_up = $9, session_micros = $10, client_registration = $11,
        registration_resources = $12, client_documents = $13, leak_policy = $14
    WHERE id = $1 AND version = $2 AND deleted_at IS NULL";
const INSERT_SCOPE: &str = "INSERT INTO sign_up_scopes (project, plain, spelling) VALUES ($1, $2, $3)";
const DELETE_SCOPES: &str = "DELETE FROM sign_up_scopes WHERE project = $1";
const INSERT_REGISTRATION_SCOPE: &str =
    "INSERT INTO registration_scopes (project, plain, spelling) VALUES ($1, $2, $3)";
const DELETE_REGISTRATION_SCOPES: &str = "DELETE FROM registration_scopes WHERE project = $1";

/// For the test of their plans: each statement and the index it walks along.
#[cfg(test)]
pub(super) const PLANNED: &[(&str, &str)] = &[
    (FIND, "sqlite_autoindex_projects_1"),
    (LIST, "projects_listed"),
    (COUNT, "projects_listed"),
    (DELETE_SCOPES, "PRIMARY KEY"),
    (DELETE_REGISTRATION_SCOPES, "PRIMARY KEY"),
    (UPDATE, "sqlite_autoindex_projects_1"),
];
