//! Services that answer what a test says and keep what they were asked; and the generated arms, called one by one.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::proto::dispatch::{Call, Dispatch, Framed, Messages, Reply, Services};
use crate::proto::v1::auth_server::Auth;
use crate::proto::v1::keys_server::Keys;
use crate::proto::v1::products_server::Products;
use crate::proto::v1::users_server::Users;
use crate::proto::v1::*;
use crate::proto::{METHODS, MethodId};

/// Answers every call with one answer, and keeps the last call.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) answer: Mutex<Option<Result<Reply, Status>>>,
    pub(super) asked: Mutex<Option<Asked>>,
}

/// A call as a service saw it.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: MethodId,
    pub(super) message: Bytes,
    pub(super) metadata: MetadataMap,
    pub(super) marker: Marker,
}

/// Stands for the caller that the server puts into a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Marker(pub(super) u8);

impl Recorder {
    pub(super) fn answering(message: &impl Message) -> Self {
        Self::replying(Ok(Reply::Unary { metadata: MetadataMap::new(), message: Framed::new(message) }))
    }

    pub(super) fn replying(reply: Result<Reply, Status>) -> Self {
        Self { answer: Mutex::new(Some(reply)), asked: Mutex::default() }
    }

    pub(super) fn streaming(messages: Messages) -> Self {
        Self::replying(Ok(Reply::Stream { metadata: MetadataMap::new(), messages }))
    }

    /// What the service was asked, decoded.
    pub(super) fn asked<M: Message + Default>(&self) -> M {
        let asked = self.asked.lock().unwrap();
        M::decode(&*asked.as_ref().expect("the service was called").message).unwrap()
    }

    pub(super) fn was_called(&self) -> bool {
        self.asked.lock().unwrap().is_some()
    }
}

impl Dispatch<Marker> for Recorder {
    async fn dispatch(&self, call: Call<Marker>) -> Result<Reply, Status> {
        let Call { method, context: marker, metadata, message } = call;
        *self.asked.lock().unwrap() = Some(Asked { method, message, metadata, marker });
        self.answer.lock().unwrap().take().expect("one call per recorder")
    }
}

/// Says in its metadata which function was called.
struct Named;

macro_rules! named {
    ($service:ident { $($method:ident: $request:ty => $response:ty),* $(,)? } $($extra:tt)*) => {
        #[tonic::async_trait]
        impl $service for Named {
            $(async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                let mut response = Response::new(<$response>::default());
                response.metadata_mut().insert("called", stringify!($method).parse().unwrap());
                assert_eq!(request.extensions().get(), Some(&Marker(7)));
                Ok(response)
            })*
            $($extra)*
        }
    };
}

named!(Keys {
    create_key: CreateKeyRequest => CreateKeyResponse,
    get_key: GetKeyRequest => GetKeyResponse,
    list_keys: ListKeysRequest => ListKeysResponse,
    list_audit_events: ListAuditEventsRequest => ListAuditEventsResponse,
    report_leak: ReportLeakRequest => ReportLeakResponse,
    list_leak_reports: ListLeakReportsRequest => ListLeakReportsResponse,
    list_alerts: ListAlertsRequest => ListAlertsResponse,
    get_alert: GetAlertRequest => GetAlertResponse,
    list_alert_rules: ListAlertRulesRequest => ListAlertRulesResponse,
    update_alert_rule: UpdateAlertRuleRequest => UpdateAlertRuleResponse,
    get_usage: GetUsageRequest => GetUsageResponse,
    list_access_log: ListAccessLogRequest => ListAccessLogResponse,
    get_scope_usage: GetScopeUsageRequest => GetScopeUsageResponse,
    narrow_key: NarrowKeyRequest => NarrowKeyResponse,
    update_key: UpdateKeyRequest => UpdateKeyResponse,
    delete_key: DeleteKeyRequest => DeleteKeyResponse,
    rotate_key: RotateKeyRequest => RotateKeyResponse,
    suspend_key: SuspendKeyRequest => SuspendKeyResponse,
    resume_key: ResumeKeyRequest => ResumeKeyResponse,
    reveal_key: RevealKeyRequest => RevealKeyResponse,
    create_user_key: CreateUserKeyRequest => CreateUserKeyResponse,
    list_user_keys: ListUserKeysRequest => ListUserKeysResponse,
    get_user_key: GetUserKeyRequest => GetUserKeyResponse,
    delete_user_key: DeleteUserKeyRequest => DeleteUserKeyResponse,
    create_webhook: CreateWebhookRequest => CreateWebhookResponse,
    get_webhook: GetWebhookRequest => GetWebhookResponse,
    list_webhooks: ListWebhooksRequest => ListWebhooksResponse,
    update_webhook: UpdateWebhookRequest => UpdateWebhookResponse,
    delete_webhook: DeleteWebhookRequest => DeleteWebhookResponse,
    rotate_webhook_secret: RotateWebhookSecretRequest => RotateWebhookSecretResponse,
    test_webhook: TestWebhookRequest => TestWebhookResponse,
    list_webhook_deliveries: ListWebhookDeliveriesRequest => ListWebhookDeliveriesResponse,
    redeliver_webhook: RedeliverWebhookRequest => RedeliverWebhookResponse,
}
    type ExportAccessLogStream = futures_util::stream::Empty<Result<ExportAccessLogResponse, Status>>;

    async fn export_access_log(
        &self,
        _: Request<ExportAccessLogRequest>,
    ) -> Result<Response<Self::ExportAccessLogStream>, Status> {
        let mut response = Response::new(futures_util::stream::empty());
        response.metadata_mut().insert("called", "export_access_log".parse().unwrap());
        Ok(response)
    }
);

named!(Products {
    create_product: CreateProductRequest => CreateProductResponse,
    get_product: GetProductRequest => GetProductResponse,
    list_products: ListProductsRequest => ListProductsResponse,
    search_products: SearchProductsRequest => SearchProductsResponse,
    update_product: UpdateProductRequest => UpdateProductResponse,
    delete_product: DeleteProductRequest => DeleteProductResponse,
});

named!(Users {
    create_user: CreateUserRequest => CreateUserResponse,
    authenticate: AuthenticateRequest => AuthenticateResponse,
    get_me: GetMeRequest => GetMeResponse,
    update_me: UpdateMeRequest => UpdateMeResponse,
    delete_me: DeleteMeRequest => DeleteMeResponse,
    get_user: GetUserRequest => GetUserResponse,
    list_users: ListUsersRequest => ListUsersResponse,
    search_users: SearchUsersRequest => SearchUsersResponse,
    update_user: UpdateUserRequest => UpdateUserResponse,
    block_user: BlockUserRequest => BlockUserResponse,
    unblock_user: UnblockUserRequest => UnblockUserResponse,
    delete_user: DeleteUserRequest => DeleteUserResponse,
});

named!(Auth {
    verify: VerifyRequest => VerifyResponse,
    batch_verify: BatchVerifyRequest => BatchVerifyResponse,
    explain_verify: ExplainVerifyRequest => ExplainVerifyResponse,
    who_am_i: WhoAmIRequest => WhoAmIResponse,
    sign_in: SignInRequest => SignInResponse,
    sign_up: SignUpRequest => SignUpResponse,
    sign_out: SignOutRequest => SignOutResponse,
    change_password: ChangePasswordRequest => ChangePasswordResponse,
    set_password: SetPasswordRequest => SetPasswordResponse,
    list_my_sessions: ListMySessionsRequest => ListMySessionsResponse,
    revoke_my_session: RevokeMySessionRequest => RevokeMySessionResponse,
    list_sessions: ListSessionsRequest => ListSessionsResponse,
    revoke_session: RevokeSessionRequest => RevokeSessionResponse,
    list_my_grants: ListMyGrantsRequest => ListMyGrantsResponse,
    end_my_grant: EndMyGrantRequest => EndMyGrantResponse,
    list_grants: ListGrantsRequest => ListGrantsResponse,
    end_grant: EndGrantRequest => EndGrantResponse,
    create_scope: CreateScopeRequest => CreateScopeResponse,
    get_scope: GetScopeRequest => GetScopeResponse,
    list_scopes: ListScopesRequest => ListScopesResponse,
    update_scope: UpdateScopeRequest => UpdateScopeResponse,
    delete_scope: DeleteScopeRequest => DeleteScopeResponse,
    create_client: CreateClientRequest => CreateClientResponse,
    get_client: GetClientRequest => GetClientResponse,
    list_clients: ListClientsRequest => ListClientsResponse,
    update_client: UpdateClientRequest => UpdateClientResponse,
    delete_client: DeleteClientRequest => DeleteClientResponse,
    rotate_client_secret: RotateClientSecretRequest => RotateClientSecretResponse,
    create_issuer: CreateIssuerRequest => CreateIssuerResponse,
    get_issuer: GetIssuerRequest => GetIssuerResponse,
    list_issuers: ListIssuersRequest => ListIssuersResponse,
    update_issuer: UpdateIssuerRequest => UpdateIssuerResponse,
    delete_issuer: DeleteIssuerRequest => DeleteIssuerResponse,
    create_project: CreateProjectRequest => CreateProjectResponse,
    get_project: GetProjectRequest => GetProjectResponse,
    list_projects: ListProjectsRequest => ListProjectsResponse,
    update_project: UpdateProjectRequest => UpdateProjectResponse,
    delete_project: DeleteProjectRequest => DeleteProjectResponse,
}
    type WatchRevocationsStream = futures_util::stream::Iter<std::vec::IntoIter<Result<WatchRevocationsResponse, Status>>>;

    async fn watch_revocations(
        &self,
        request: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let revision = request.into_inner().from_revision.unwrap_or_default();
        let answers = (1..3).map(|n| Ok(WatchRevocationsResponse { revision: revision + n, ..Default::default() }));
        let mut response = Response::new(futures_util::stream::iter(answers.collect::<Vec<_>>()));
        response.metadata_mut().insert("called", "watch_revocations".parse().unwrap());
        Ok(response)
    }
);

fn named() -> Services<Named, Named, Named, Named> {
    Services { auth: Arc::new(Named), keys: Arc::new(Named), products: Arc::new(Named), users: Arc::new(Named) }
}

fn seven(method: MethodId, message: Bytes) -> Call<Marker> {
    Call { method, context: Marker(7), metadata: MetadataMap::new(), message }
}

#[tokio::test]
async fn every_method_calls_its_own_function() {
    for method in MethodId::all() {
        let (Reply::Unary { metadata, .. } | Reply::Stream { metadata, .. }) =
            named().dispatch(seven(method, Bytes::new())).await.unwrap();
        let called = metadata.get("called").unwrap().to_str().unwrap().replace('_', "");
        let name = method.path().rsplit_once('/').unwrap().1.to_lowercase();
        assert_eq!(called, name, "{}", METHODS[method.index()]);
    }
}

#[tokio::test]
async fn streams_are_encoded_message_by_message() {
    let message = WatchRevocationsRequest { from_revision: Some(7) }.encode_to_vec();
    let method = MethodId::find("/gatepost.v1.Auth/WatchRevocations").unwrap();
    let Reply::Stream { messages, .. } = named().dispatch(seven(method, message.into())).await.unwrap() else {
        panic!("not a stream")
    };
    let messages: Vec<_> =
        messages.map(|wire| WatchRevocationsResponse::decode(&*wire.unwrap()).unwrap()).collect().await;
    assert_eq!(messages.iter().map(|message| message.revision).collect::<Vec<_>>(), [8, 9]);
}

/// The bytes of an answer.
pub(super) async fn bytes(response: http::Response<tonic::body::Body>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}
