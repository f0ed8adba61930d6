//! The part of the Auth service on the wire that tells what users gave to clients.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::error::{Error, Result};
use crate::domain::id::{ClientId, UserId};
use crate::proto::v1;
use crate::service::Context;
use crate::service::grants::Grants;
use crate::service::paging::ListScope;
use crate::store::GrantFilter;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub(super) struct GrantRpcs {
    context: Arc<Context>,
    grants: Grants,
}

impl GrantRpcs {
    /// The RPCs over this context.
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { grants: Grants::new(Arc::clone(&context)), context }
    }

    pub(super) async fn list_own(
        &self,
        request: Request<v1::ListMyGrantsRequest>,
    ) -> Result<Response<v1::ListMyGrantsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let user = around.caller.user().map(ToString::to_string).unwrap_or_default();
            let list = ListScope::new(&around.caller, "own grants", &user);
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.grants.list_own(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |listed| listed.grant.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListMyGrantsResponse {
                data: page.items.into_iter().map(convert::grant).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn end_own(
        &self,
        request: Request<v1::EndMyGrantRequest>,
    ) -> Result<Response<v1::EndMyGrantResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let ended = self.grants.end_own(&around.caller, &message.id).await;
        ended.map(|()| Response::new(v1::EndMyGrantResponse {})).map_err(|error| around.status(&error))
    }

    pub(super) async fn list(
        &self,
        request: Request<v1::ListGrantsRequest>,
    ) -> Result<Response<v1::ListGrantsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let filter = filter(&message)?;
            let named = format!("{}/{}", message.user(), message.client());
            let list = ListScope::new(&around.caller, "grants", &named);
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.grants.list(&around.caller, &filter, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |listed| listed.grant.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListGrantsResponse {
                data: page.items.into_iter().map(convert::grant).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn end(
        &self,
        request: Request<v1::EndGrantRequest>,
    ) -> Result<Response<v1::EndGrantResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let ended = self.grants.end(&around.caller, &message.id).await;
        ended.map(|()| Response::new(v1::EndGrantResponse {})).map_err(|error| around.status(&error))
    }
}

fn filter(message: &v1::ListGrantsRequest) -> Result<GrantFilter> {
    let mut fields = Fields::default();
    let user = message.user.as_deref().and_then(|id| {
        let user = UserId::parse(id);
        if user.is_none() {
            fields.refuse("user", "must be the id of a user, `usr_` and 32 hexadecimal digits");
        }
        user
    });
    let client = message.client.as_deref().and_then(|id| {
        let client = ClientId::parse(id);
        if client.is_none() {
            fields.refuse("client", "must be the id of a client, `cli_` and 32 hexadecimal digits");
        }
        client
    });
    fields.finish(GrantFilter { user, client })
}
