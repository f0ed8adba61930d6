//! The projects part of the Auth service on the wire.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use super::{convert, limits};
use crate::domain::administrator::AdministratorKey;
use crate::domain::error::{Error, Result};
use crate::domain::id::ProjectId;
use crate::domain::key::KeyKind;
use crate::domain::limit::RateLimits;
use crate::domain::oauth::client::MAX_URIS;
use crate::domain::oauth::uri::ResourceUri;
use crate::domain::project::{ProjectDetails, SESSION_LIFETIMES};
use crate::domain::secret::SecretPrefix;
use crate::proto::v1;
use crate::proto::v1::project::DefaultRateLimits;
use crate::service::Context;
use crate::service::paging::ListScope;
use crate::service::projects::{Founded, Projects};

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub(super) struct ProjectRpcs {
    context: Arc<Context>,
    projects: Projects,
}

impl ProjectRpcs {
    /// The RPCs over this context.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { projects: Projects::new(Arc::clone(&context)), context }
    }

    pub(super) async fn create(
        &self,
        request: Request<v1::CreateProjectRequest>,
    ) -> Result<Response<v1::CreateProjectResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let project = message.project.ok_or_else(|| Error::field("project", "is needed"))?;
            let (id, details) = new_project(project)?;
            let Founded { project, live, test } = self.projects.create(&around.caller, id, details).await?;
            let shown = |new: AdministratorKey| {
                (Some(convert::key(new.key, project.created_at)), new.secret.expose().to_owned())
            };
            let ((live_key, live_secret), (test_key, test_secret)) = (shown(live), shown(test));
            let project = Some(convert::project(project));
            Ok(v1::CreateProjectResponse { project, live_key, live_secret, test_key, test_secret })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn find(
        &self,
        request: Request<v1::GetProjectRequest>,
    ) -> Result<Response<v1::GetProjectResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let found = self.projects.find(&around.caller, &message.id).await;
        let project = found.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetProjectResponse { project: Some(convert::project(project)) }))
    }

    pub(super) async fn list(
        &self,
        request: Request<v1::ListProjectsRequest>,
    ) -> Result<Response<v1::ListProjectsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let list = ListScope::new(&around.caller, "projects", "");
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.projects.list(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |project| project.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListProjectsResponse {
                data: page.items.into_iter().map(convert::project).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn update(
        &self,
        request: Request<v1::UpdateProjectRequest>,
    ) -> Result<Response<v1::UpdateProjectResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let project = message.project.ok_or_else(|| Error::field("project", "is needed"))?;
            let mut fields = Fields::under("project.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            fields.finish(())?;
            let (id, etag) = (project.id.clone(), project.etag.clone());
            let update =
                self.projects.update(&around.caller, &id, Some(&etag), |details| change(details, project, &mask));
            Ok(v1::UpdateProjectResponse { project: Some(convert::project(update.await?)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn delete(
        &self,
        request: Request<v1::DeleteProjectRequest>,
    ) -> Result<Response<v1::DeleteProjectResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.projects.delete(&around.caller, &message.id, message.etag.as_deref()).await;
        let project = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteProjectResponse { project: Some(convert::project(project)) }))
    }
}

fn new_project(project: v1::Project) -> Result<(ProjectId, ProjectDetails)> {
    let mut fields = Fields::under("project.");
    let id = ProjectId::parse(&project.id);
    if id.is_none() {
        fields.refuse("id", ProjectId::RULE);
    }
    let mut details = ProjectDetails {
        display_name: fields.line("display_name", project.display_name, 0, 100),
        description: fields.prose("description", project.description, 1_000),
        ..ProjectDetails::default()
    };
    if !project.key_prefix.is_empty() {
        prefix(&mut fields, &project.key_prefix, &mut details);
    }
    sign_up(&mut fields, project.sign_up, &mut details);
    if project.session_lifetime.is_some() {
        session_lifetime(&mut fields, project.session_lifetime, &mut details);
    }
    details.user_scopes = fields.scope_set("user_scopes", &project.user_scopes);
    client_registration(&mut fields, project.client_registration, &mut details);
    details.client_documents = project.client_id_metadata_documents;
    details.registration_scopes = fields.scope_set("registration_scopes", &project.registration_scopes);
    details.registration_resources = resources(&mut fields, &project.registration_resources);
    leak_policy(&mut fields, project.leak_policy, &mut details);
    details.default_rate_limits = defaults(&mut fields, &project.default_rate_limits);
    let id = fields.finish(id)?.ok_or_else(|| Error::field("project.id", ProjectId::RULE))?;
    Ok((id, details))
}

/// Changes the masked fields.
fn change(details: &mut ProjectDetails, project: v1::Project, mask: &[&str]) -> Result<()> {
    let mut fields = Fields::under("project.");
    for field in mask {
        match *field {
            "display_name" => details.display_name = fields.line("display_name", project.display_name.clone(), 0, 100),
            "description" => details.description = fields.prose("description", project.description.clone(), 1_000),
            "sign_up" => sign_up(&mut fields, project.sign_up, details),
            "session_lifetime" => session_lifetime(&mut fields, project.session_lifetime, details),
            "user_scopes" => details.user_scopes = fields.scope_set("user_scopes", &project.user_scopes),
            "client_registration" => client_registration(&mut fields, project.client_registration, details),
            "client_id_metadata_documents" => details.client_documents = project.client_id_metadata_documents,
            "registration_scopes" => {
                details.registration_scopes = fields.scope_set("registration_scopes", &project.registration_scopes);
            }
            "registration_resources" => {
                details.registration_resources = resources(&mut fields, &project.registration_resources);
            }
            "leak_policy" => leak_policy(&mut fields, project.leak_policy, details),
            "default_rate_limits" => {
                details.default_rate_limits = defaults(&mut fields, &project.default_rate_limits);
            }
            // The mask holds only the names of CHANGEABLE; this is the last of them.
            _ => prefix(&mut fields, &project.key_prefix, details),
        }
    }
    fields.finish(())
}

fn prefix(fields: &mut Fields, wanted: &str, details: &mut ProjectDetails) {
    match SecretPrefix::parse_own(wanted) {
        Some(prefix) => details.secret_prefix = prefix,
        None => fields.refuse("key_prefix", SecretPrefix::RULE),
    }
}

fn sign_up(fields: &mut Fields, wanted: i32, details: &mut ProjectDetails) {
    if let Some(setting) = fields.known("sign_up", wanted, convert::sign_up_in) {
        details.sign_up = setting;
    }
}

fn client_registration(fields: &mut Fields, wanted: i32, details: &mut ProjectDetails) {
    if let Some(setting) = fields.known("client_registration", wanted, convert::client_registration_in) {
        details.client_registration = setting;
    }
}

fn leak_policy(fields: &mut Fields, wanted: i32, details: &mut ProjectDetails) {
    if let Some(policy) = fields.known("leak_policy", wanted, convert::leak_policy_in) {
        details.leak_policy = policy;
    }
}

fn resources(fields: &mut Fields, wanted: &[String]) -> Vec<ResourceUri> {
    fields.each("registration_resources", wanted, MAX_URIS, ResourceUri::parse)
}

fn defaults(fields: &mut Fields, given: &[DefaultRateLimits]) -> Vec<(KeyKind, RateLimits)> {
    limits::read_defaults(fields, "default_rate_limits", given)
}

/// Without a time, it is the default again.
fn session_lifetime(fields: &mut Fields, wanted: Option<prost_types::Duration>, details: &mut ProjectDetails) {
    let Some(wanted) = wanted else {
        details.session_lifetime = ProjectDetails::default().session_lifetime;
        return;
    };
    match Duration::try_from(wanted) {
        Ok(wanted) if SESSION_LIFETIMES.contains(&wanted) => details.session_lifetime = wanted,
        _ => fields.refuse("session_lifetime", "must be 5 minutes to 24 hours: 300s to 86400s"),
    }
}

const CHANGEABLE: [&str; 12] = [
    "display_name",
    "description",
    "key_prefix",
    "sign_up",
    "session_lifetime",
    "user_scopes",
    "client_registration",
    "client_id_metadata_documents",
    "registration_scopes",
    "registration_resources",
    "leak_policy",
    "default_rate_limits",
];
