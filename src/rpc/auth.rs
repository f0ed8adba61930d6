//! The Auth service on the wire.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::clients::ClientRpcs;
use super::convert;
use super::fields::Fields;
use super::grants::GrantRpcs;
use super::issuers::IssuerRpcs;
use super::page::{page_fields, place};
use super::projects::ProjectRpcs;
use super::request::{Around, Arrival};
use super::sessions::SessionRpcs;
use super::verify::{self, Asked};
use super::watch::events;
use crate::auth::decide::Outcome;
use crate::domain::change::Revision;
use crate::domain::error::{Error, Result};
use crate::domain::scope::Scope;
use crate::proto::dispatch::Reply;
use crate::proto::v1;
use crate::proto::v1::auth_server::Auth as AuthRpc;
use crate::proto::v1::explain_verify_response::{Check, Outcome as WireOutcome};
use crate::service::Context;
use crate::service::paging::ListScope;
use crate::service::revocations::Revocations;
use crate::service::scopes::Scopes;
use crate::service::verify::{Verdict, Verify};
use crate::telemetry::metrics::{Door, Metrics};

/// Decodes, validates, calls the services, encodes.
#[derive(Clone, Debug)]
pub struct AuthService {
    context: Arc<Context>,
    verify: Verify,
    scopes: Scopes,
    clients: ClientRpcs,
    projects: ProjectRpcs,
    issuers: IssuerRpcs,
    sessions: SessionRpcs,
    grants: GrantRpcs,
    revocations: Revocations,
    metrics: Arc<Metrics>,
}

impl AuthService {
    /// The RPCs over this context.
    pub fn new(context: Arc<Context>, revocations: Revocations, metrics: Arc<Metrics>) -> Self {
        let (verify, scopes) = (Verify::new(Arc::clone(&context)), Scopes::new(Arc::clone(&context)));
        let clients = ClientRpcs::new(Arc::clone(&context));
        let projects = ProjectRpcs::new(Arc::clone(&context));
        let issuers = IssuerRpcs::new(Arc::clone(&context));
        let sessions = SessionRpcs::new(Arc::clone(&context), Arc::clone(&metrics));
        let grants = GrantRpcs::new(Arc::clone(&context));
        Self { context, verify, scopes, clients, projects, issuers, sessions, grants, revocations, metrics }
    }

    /// Verify, for a question that was read where it lies.
    pub(super) async fn verify_at_a_glance(&self, asked: Asked<'_>, arrival: Arrival) -> Result<Reply, Status> {
        let around = Around::of(Some(arrival))?;
        let verdict = self.decide(&around, asked).await.map_err(|error| around.status(&error))?;
        Ok(Reply::Unary { metadata: MetadataMap::new(), message: verify::encoded(&verdict) })
    }

    async fn decide(&self, around: &Around, asked: Asked<'_>) -> Result<Verdict> {
        let question = asked.question("")?;
        let verdict = self.verify.verify(&around.caller, &question.inquiry()).await?;
        self.metrics.decided(Door::Verify, verdict.objection);
        if verdict.address_reported {
            self.metrics.address_reported(Door::Verify);
            verify::write_down_address(&verdict, around.caller.request_id(), self.context.clock.now());
        }
        Ok(verdict)
    }
}

#[tonic::async_trait]
impl AuthRpc for AuthService {
    async fn verify(&self, request: Request<v1::VerifyRequest>) -> Result<Response<v1::VerifyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let verdict = self.decide(&around, Asked::from(&message)).await;
        verdict.map(|verdict| Response::new(verify::message(verdict))).map_err(|error| around.status(&error))
    }

    async fn batch_verify(
        &self,
        request: Request<v1::BatchVerifyRequest>,
    ) -> Result<Response<v1::BatchVerifyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            if !(1..=100).contains(&message.requests.len()) {
                let rule = format!("must have 1 to 100 entries, not {}", message.requests.len());
                return Err(Error::field("requests", rule));
            }
            // All questions are judged well put before the first is answered, so that a bad one costs nothing.
            for (index, one) in message.requests.iter().enumerate() {
                Asked::from(one).question(&format!("requests[{index}]."))?;
            }
            let mut results = Vec::with_capacity(message.requests.len());
            for one in &message.requests {
                results.push(verify::message(self.decide(&around, Asked::from(one)).await?));
            }
            Ok(v1::BatchVerifyResponse { results })
        };
        answer.await.map(Response::new).map_err(|error| around.status(&error))
    }

    async fn explain_verify(
        &self,
        request: Request<v1::ExplainVerifyRequest>,
    ) -> Result<Response<v1::ExplainVerifyResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let v1::ExplainVerifyRequest { credential, publishable_key, scopes, client_ip, dpop, dpop_jkt, cost } = message;
        let message = v1::VerifyRequest { credential, publishable_key, scopes, client_ip, dpop, dpop_jkt, cost };
        let answer = async {
            let question = Asked::from(&message).question("")?;
            let (verdict, checks) = self.verify.explain(&around.caller, &question.inquiry()).await?;
            let checks = checks.into_iter().map(|explanation| Check {
                name: explanation.check.as_str().to_owned(),
                outcome: outcome(explanation.outcome).into(),
                detail: explanation.detail.into_owned(),
            });
            Ok(v1::ExplainVerifyResponse { checks: checks.collect(), decision: Some(verify::message(verdict)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn who_am_i(&self, request: Request<v1::WhoAmIRequest>) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let (around, _) = Around::split(request)?;
        let caller = &around.caller;
        let key = caller.key();
        Ok(Response::new(v1::WhoAmIResponse {
            key_id: key.map(|key| key.id.to_string()).unwrap_or_default(),
            key_type: key.map_or(v1::key::Type::Unspecified, |key| convert::kind(key.kind)).into(),
            name: key.map(|key| key.details.name.clone()).unwrap_or_default(),
            project: caller.project().to_string(),
            environment: convert::environment(caller.environment()).into(),
            owner: key.and_then(|key| key.details.owner.clone()),
            scopes: convert::scopes(caller.scopes()),
            expires_at: caller.expires_at().map(convert::time),
            user_id: caller.user().map(ToString::to_string),
            session_id: caller.session().map(|session| session.id.to_string()),
            client_id: caller.credential().token().map(|token| token.client.to_string()),
            publishable_key_id: caller.publishable_key().map(ToString::to_string),
        }))
    }

    type WatchRevocationsStream = Pin<Box<dyn Stream<Item = Result<v1::WatchRevocationsResponse, Status>> + Send>>;

    async fn watch_revocations(
        &self,
        request: Request<v1::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let (around, message) = Around::split(request)?;
        let watch = self.revocations.watch(&around.caller, message.from_revision.map(Revision)).await;
        let watch = watch.map_err(|error| around.status(&error))?;
        Ok(Response::new(Box::pin(events(watch, around))))
    }

    async fn create_scope(
        &self,
        request: Request<v1::CreateScopeRequest>,
    ) -> Result<Response<v1::CreateScopeResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let wanted = message.scope.ok_or_else(|| Error::field("scope", "is needed"))?;
            let mut fields = Fields::under("scope.");
            let scope = Scope::parse(&wanted.name);
            if scope.is_none() {
                fields.refuse("name", Scope::RULE);
            }
            let description = fields.prose("description", wanted.description, 500);
            let scope = fields.finish(scope)?.ok_or_else(|| Error::field("scope.name", Scope::RULE))?;
            let scope = self.scopes.create(&around.caller, scope, description).await?;
            Ok(v1::CreateScopeResponse { scope: Some(convert::scope(scope)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn get_scope(&self, request: Request<v1::GetScopeRequest>) -> Result<Response<v1::GetScopeResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let found = self.scopes.find(&around.caller, &message.name).await;
        let scope = found.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetScopeResponse { scope: Some(convert::scope(scope)) }))
    }

    async fn list_scopes(
        &self,
        request: Request<v1::ListScopesRequest>,
    ) -> Result<Response<v1::ListScopesResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let list = ListScope::new(&around.caller, "scopes", "");
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.scopes.list(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |scope| scope.scope.plain());
            Ok(place.answer(|pagination, next_page_token| v1::ListScopesResponse {
                data: page.items.into_iter().map(convert::scope).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    async fn update_scope(
        &self,
        request: Request<v1::UpdateScopeRequest>,
    ) -> Result<Response<v1::UpdateScopeResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let wanted = message.scope.ok_or_else(|| Error::field("scope", "is needed"))?;
            let mut fields = Fields::under("scope.");
            fields.mask(message.update_mask.as_ref(), &["description"]);
            let description = fields.prose("description", wanted.description, 500);
            let description = fields.finish(description)?;
            let scope = self.scopes.update(&around.caller, &wanted.name, description).await?;
            Ok(v1::UpdateScopeResponse { scope: Some(convert::scope(scope)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn delete_scope(
        &self,
        request: Request<v1::DeleteScopeRequest>,
    ) -> Result<Response<v1::DeleteScopeResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.scopes.delete(&around.caller, &message.name).await;
        let scope = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteScopeResponse { scope: Some(convert::scope(scope)) }))
    }

    async fn create_client(
        &self,
        request: Request<v1::CreateClientRequest>,
    ) -> Result<Response<v1::CreateClientResponse>, Status> {
        self.clients.create(request).await
    }

    async fn get_client(
        &self,
        request: Request<v1::GetClientRequest>,
    ) -> Result<Response<v1::GetClientResponse>, Status> {
        self.clients.find(request).await
    }

    async fn list_clients(
        &self,
        request: Request<v1::ListClientsRequest>,
    ) -> Result<Response<v1::ListClientsResponse>, Status> {
        self.clients.list(request).await
    }

    async fn update_client(
        &self,
        request: Request<v1::UpdateClientRequest>,
    ) -> Result<Response<v1::UpdateClientResponse>, Status> {
        self.clients.update(request).await
    }

    async fn delete_client(
        &self,
        request: Request<v1::DeleteClientRequest>,
    ) -> Result<Response<v1::DeleteClientResponse>, Status> {
        self.clients.delete(request).await
    }

    async fn rotate_client_secret(
        &self,
        request: Request<v1::RotateClientSecretRequest>,
    ) -> Result<Response<v1::RotateClientSecretResponse>, Status> {
        self.clients.rotate_secret(request).await
    }

    async fn create_issuer(
        &self,
        request: Request<v1::CreateIssuerRequest>,
    ) -> Result<Response<v1::CreateIssuerResponse>, Status> {
        self.issuers.create(request).await
    }

    async fn get_issuer(
        &self,
        request: Request<v1::GetIssuerRequest>,
    ) -> Result<Response<v1::GetIssuerResponse>, Status> {
        self.issuers.find(request).await
    }

    async fn list_issuers(
        &self,
        request: Request<v1::ListIssuersRequest>,
    ) -> Result<Response<v1::ListIssuersResponse>, Status> {
        self.issuers.list(request).await
    }

    async fn update_issuer(
        &self,
        request: Request<v1::UpdateIssuerRequest>,
    ) -> Result<Response<v1::UpdateIssuerResponse>, Status> {
        self.issuers.update(request).await
    }

    async fn delete_issuer(
        &self,
        request: Request<v1::DeleteIssuerRequest>,
    ) -> Result<Response<v1::DeleteIssuerResponse>, Status> {
        self.issuers.delete(request).await
    }

    async fn create_project(
        &self,
        request: Request<v1::CreateProjectRequest>,
    ) -> Result<Response<v1::CreateProjectResponse>, Status> {
        self.projects.create(request).await
    }

    async fn get_project(
        &self,
        request: Request<v1::GetProjectRequest>,
    ) -> Result<Response<v1::GetProjectResponse>, Status> {
        self.projects.find(request).await
    }

    async fn list_projects(
        &self,
        request: Request<v1::ListProjectsRequest>,
    ) -> Result<Response<v1::ListProjectsResponse>, Status> {
        self.projects.list(request).await
    }

    async fn update_project(
        &self,
        request: Request<v1::UpdateProjectRequest>,
    ) -> Result<Response<v1::UpdateProjectResponse>, Status> {
        self.projects.update(request).await
    }

    async fn delete_project(
        &self,
        request: Request<v1::DeleteProjectRequest>,
    ) -> Result<Response<v1::DeleteProjectResponse>, Status> {
        self.projects.delete(request).await
    }

    async fn sign_in(&self, request: Request<v1::SignInRequest>) -> Result<Response<v1::SignInResponse>, Status> {
        self.sessions.sign_in(request).await
    }

    async fn sign_up(&self, request: Request<v1::SignUpRequest>) -> Result<Response<v1::SignUpResponse>, Status> {
        self.sessions.sign_up(request).await
    }

    async fn sign_out(&self, request: Request<v1::SignOutRequest>) -> Result<Response<v1::SignOutResponse>, Status> {
        self.sessions.sign_out(request).await
    }

    async fn change_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::ChangePasswordResponse>, Status> {
        self.sessions.change_password(request).await
    }

    async fn set_password(
        &self,
        request: Request<v1::SetPasswordRequest>,
    ) -> Result<Response<v1::SetPasswordResponse>, Status> {
        self.sessions.set_password(request).await
    }

    async fn list_my_sessions(
        &self,
        request: Request<v1::ListMySessionsRequest>,
    ) -> Result<Response<v1::ListMySessionsResponse>, Status> {
        self.sessions.list_own(request).await
    }

    async fn revoke_my_session(
        &self,
        request: Request<v1::RevokeMySessionRequest>,
    ) -> Result<Response<v1::RevokeMySessionResponse>, Status> {
        self.sessions.revoke_own(request).await
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        self.sessions.list(request).await
    }

    async fn revoke_session(
        &self,
        request: Request<v1::RevokeSessionRequest>,
    ) -> Result<Response<v1::RevokeSessionResponse>, Status> {
        self.sessions.revoke(request).await
    }

    async fn list_my_grants(
        &self,
        request: Request<v1::ListMyGrantsRequest>,
    ) -> Result<Response<v1::ListMyGrantsResponse>, Status> {
        self.grants.list_own(request).await
    }

    async fn end_my_grant(
        &self,
        request: Request<v1::EndMyGrantRequest>,
    ) -> Result<Response<v1::EndMyGrantResponse>, Status> {
        self.grants.end_own(request).await
    }

    async fn list_grants(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        self.grants.list(request).await
    }

    async fn end_grant(&self, request: Request<v1::EndGrantRequest>) -> Result<Response<v1::EndGrantResponse>, Status> {
        self.grants.end(request).await
    }
}

fn outcome(outcome: Outcome) -> WireOutcome {
    match outcome {
        Outcome::Failed => WireOutcome::Failed,
        Outcome::Passed => WireOutcome::Passed,
        Outcome::Skipped => WireOutcome::Skipped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason::Reason;

    #[test]
    fn every_reason_is_named_in_the_protos_and_the_reverse() {
        for reason in Reason::ALL {
            let name = reason.wording().name;
            let known =
                v1::DecisionCode::from_str_name(name).is_some() || v1::ErrorReason::from_str_name(name).is_some();
            assert!(known, "{name} is not in error_reason.proto");
        }
        let ours = |name: &str| name == "VALID" || name.ends_with("_UNSPECIFIED") || Reason::find(name).is_some();
        for number in 0..100 {
            let code = v1::DecisionCode::try_from(number).map(|code| code.as_str_name());
            let reason = v1::ErrorReason::try_from(number).map(|reason| reason.as_str_name());
            assert!(code.is_err() || code.is_ok_and(ours), "{code:?}");
            assert!(reason.is_err() || reason.is_ok_and(ours), "{reason:?}");
        }
    }
}
