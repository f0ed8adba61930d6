//! Projects: who governs the installation makes and deletes them; an administrator of one reads and changes its own.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Context, expect_etag};
use crate::auth::caller::Caller;
use crate::domain::administrator::AdministratorKey;
use crate::domain::audit::{self, AuditEvent, fields};
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::ProjectId;
use crate::domain::page::{Page, PageRequest};
use crate::domain::project::{Project, ProjectDetails};
use crate::domain::reason::Reason;
use crate::domain::scope::{Scope, ScopeSet};

/// The projects part of the Auth service. That only administrators call it, and for some of it only those of the
/// installation, is the policy's to say.
#[derive(Clone, Debug)]
pub struct Projects(Arc<Context>);

/// Who gets scopes by a setting of a project.
#[derive(Clone, Copy, Debug)]
enum Holder {
    /// Users who add themselves, or are let in by an issuer.
    Users,
    /// Clients that register themselves.
    Clients,
}

/// A project that was made, with its first administrators.
#[derive(Debug)]
pub struct Founded {
    /// The project.
    pub project: Project,
    /// Its administrator for live data.
    pub live: AdministratorKey,
    /// Its administrator for test data.
    pub test: AdministratorKey,
}

impl Projects {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self(context)
    }

    /// Makes a project with an administrator key for each environment.
    pub async fn create(&self, caller: &Caller, id: ProjectId, mut details: ProjectDetails) -> Result<Founded> {
        details.user_scopes = self.grantable(caller, Holder::Users, true, &details.user_scopes).await?;
        let wanted = &details.registration_scopes;
        details.registration_scopes = self.grantable(caller, Holder::Clients, true, wanted).await?;
        let project = Project::new(id, details, self.0.now());
        let administrator = |environment| {
            let mut new = AdministratorKey::of(&project, environment, &*self.0.clock, &*self.0.entropy);
            "Made with the project".clone_into(&mut new.key.details.description);
            new
        };
        let (live, test) = (administrator(Environment::Live), administrator(Environment::Test));
        let stored = [&live, &test].map(|new| (new.key.clone(), new.hash(&self.0.keyring)));
        // In the log of whoever makes it, and as the first entries of its own.
        let made = || {
            let event = self.0.audit(caller, "project.created", project.id.as_str());
            event.changing(None, Some(shown(&project.details)))
        };
        let own = |event: AuditEvent| AuditEvent { project: project.id.clone(), ..event };
        let mut events = vec![made(), own(made()).of_whole_project()];
        for new in [&live, &test] {
            let event = own(self.0.audit(caller, "key.created", new.key.id.as_str())).changing_key(None, &new.key);
            events.push(AuditEvent { environment: Some(new.key.environment), ..event });
        }
        // No cache has to be told: nobody can have asked for a secret that did not exist.
        if !self.0.store.found_project(&project, &stored, &events).await? {
            let message = format!("there is, or was, a project {:?}; a name is given once", project.id.as_str());
            return Err(Error::new(Reason::AlreadyExists, message));
        }
        Ok(Founded { project, live, test })
    }

    /// Reads a project. To all but those who govern the installation, there is none but their own.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<Project> {
        let seen = ProjectId::parse(id).filter(|id| id == caller.project() || caller.governs_installation());
        let found = match seen {
            Some(id) => self.0.store.find_project(&id).await?,
            None => None,
        };
        found.ok_or_else(|| Error::not_found("project", id))
    }

    /// Lists all projects, by name.
    pub async fn list(&self, caller: &Caller, page: &PageRequest) -> Result<Page<Project>> {
        refuse_others(caller)?;
        Ok(self.0.store.list_projects(page).await?)
    }

    /// Changes the details of a project by `change`.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        etag: Option<&str>,
        change: impl FnOnce(&mut ProjectDetails) -> Result<()>,
    ) -> Result<Project> {
        let mut project = self.find(caller, id).await?;
        if caller.environment() != Environment::Live {
            let message = "a project's settings hold for live data too; change them with a live key";
            return Err(Error::new(Reason::EnvMismatch, message));
        }
        expect_etag(etag, &project.etag())?;
        let (version, mut details) = (project.version, project.details.clone());
        change(&mut details)?;
        if details.user_scopes != project.details.user_scopes {
            // Whoever governs the installation holds everything, but knows only the scopes of its own project.
            let foreign = project.id != *caller.project();
            details.user_scopes = self.grantable(caller, Holder::Users, foreign, &details.user_scopes).await?;
        }
        if details.registration_scopes != project.details.registration_scopes {
            let (foreign, wanted) = (project.id != *caller.project(), &details.registration_scopes);
            details.registration_scopes = self.grantable(caller, Holder::Clients, foreign, wanted).await?;
        }
        let (before, after) = (shown(&project.details), shown(&details));
        project.update(details, self.0.now());
        let audit = self.0.audit(caller, "project.updated", project.id.as_str()).changing(Some(before), Some(after));
        // What the installation does to others is for its live administrators to see, who alone may do it.
        let audit = if project.id == *caller.project() { audit.of_whole_project() } else { audit };
        let change = self.0.store.update_project(&project, version, &audit).await;
        self.0.committed(&change?);
        Ok(project)
    }

    /// Scopes for the users or clients of the caller's project, or of a foreign one, which may have the built-in ones.
    async fn grantable(&self, caller: &Caller, holder: Holder, foreign: bool, wanted: &ScopeSet) -> Result<ScopeSet> {
        let what = match (holder, foreign) {
            (Holder::Users, false) => ("project.user_scopes", "users"),
            (Holder::Users, true) => ("project.user_scopes", "users of another project"),
            (Holder::Clients, false) => ("project.registration_scopes", "clients that register themselves"),
            (Holder::Clients, true) => ("project.registration_scopes", "clients of another project"),
        };
        // Whoever may sign up, or register a client, would govern the project.
        let may_hold = |scope: &Scope| !scope.is_admin() && (!foreign || scope.is_built_in());
        self.0.grantable(caller, wanted, what, may_hold).await
    }

    /// Deletes a project for good: none of its credentials works when this returns.
    pub async fn delete(&self, caller: &Caller, id: &str, etag: Option<&str>) -> Result<Project> {
        refuse_others(caller)?;
        let mut project = self.find(caller, id).await?;
        if project.id.is_default() {
            let message = "the project default cannot be deleted: its administrators govern the installation";
            return Err(Error::new(Reason::InvalidState, message));
        }
        expect_etag(etag, &project.etag())?;
        let version = project.version;
        project.delete(self.0.now());
        let audit = self.0.audit(caller, "project.deleted", project.id.as_str());
        let change = self.0.store.delete_project(&project, version, &audit).await;
        self.0.committed(&change?);
        Ok(project)
    }
}

/// The details as the audit log shows them.
fn shown(details: &ProjectDetails) -> Map<String, Value> {
    let default_limits = details.default_rate_limits.iter();
    let default_limits = default_limits.map(|(kind, limits)| (kind.as_str().to_owned(), audit::limits(limits)));
    fields([
        ("displayName", json!(details.display_name)),
        ("description", json!(details.description)),
        ("keyPrefix", json!(details.secret_prefix.as_str())),
        ("signUp", json!(details.sign_up.as_str())),
        ("sessionLifetime", json!(format!("{}s", details.session_lifetime.as_secs_f64()))),
        ("clientRegistration", json!(details.client_registration.as_str())),
        ("clientIdMetadataDocuments", json!(details.client_documents)),
        ("registrationScopes", details.registration_scopes.iter().map(|scope| scope.spelling().to_owned()).collect()),
        ("registrationResources", details.registration_resources.iter().map(|uri| json!(uri.as_str())).collect()),
        ("leakPolicy", json!(details.leak_policy.as_str())),
        ("defaultRateLimits", json!(default_limits.collect::<Map<_, _>>())),
        ("userScopes", details.user_scopes.iter().map(|scope| scope.spelling().to_owned()).collect()),
    ])
}

/// The door has refused them by the policy of the RPC. What reaches all projects asks once more.
fn refuse_others(caller: &Caller) -> Result<()> {
    if caller.governs_installation() {
        return Ok(());
    }
    Err(Error::new(Reason::CallerNotAllowed, "only an administrator of the installation may do this"))
}
