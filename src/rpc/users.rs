//! The Users service on the wire.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::Around;
use crate::domain::error::{Error, Result};
use crate::domain::user::{Email, Handle, UserDetails, UserKind};
use crate::proto::v1;
use crate::proto::v1::users_server::Users as UsersRpc;
use crate::service::Context;
use crate::service::paging::ListScope;
use crate::service::users::{Told, Users};
use crate::store::UserFilter;

/// Decodes, validates, calls the service, encodes.
#[derive(Clone, Debug)]
pub struct UsersService {
    context: Arc<Context>,
    users: Users,
}

impl UsersService {
    /// The RPCs over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { users: Users::new(Arc::clone(&context)), context }
    }
}

#[tonic::async_trait]
impl UsersRpc for UsersService {
    async fn create_user(
        &self,
        request: Request<v1::CreateUserRequest>,
    ) -> Result<Response<v1::CreateUserResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let user = message.user.ok_or_else(|| Error::field("user", "is needed"))?;
            let (kind, details) = new_user(user)?;
            let user = self.users.create(&around.caller, kind, details).await?;
            Ok(v1::CreateUserResponse { user: Some(convert::user(user)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn authenticate(
        &self,
        request: Request<v1::AuthenticateRequest>,
    ) -> Result<Response<v1::AuthenticateResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let user = self.users.authenticate(&around.caller, told(message)?).await?;
            Ok(v1::AuthenticateResponse { user: Some(convert::user(user)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn get_me(&self, request: Request<v1::GetMeRequest>) -> Result<Response<v1::GetMeResponse>, Status> {
        let (around, _) = Around::split(request)?;
        let user = self.users.me_as_told(&around.caller).await.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetMeResponse { user: Some(convert::user(user)) }))
    }

    async fn update_me(&self, request: Request<v1::UpdateMeRequest>) -> Result<Response<v1::UpdateMeResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let user = message.user.ok_or_else(|| Error::field("user", "is needed"))?;
            let mut fields = Fields::under("user.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE_IN_PERSON);
            fields.finish(())?;
            let etag = user.etag.clone();
            let change = |kind, details: &mut _| change(kind, details, user, &mask);
            let user = self.users.update_me(&around.caller, Some(&etag), change).await?;
            Ok(v1::UpdateMeResponse { user: Some(convert::user(user)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn delete_me(&self, request: Request<v1::DeleteMeRequest>) -> Result<Response<v1::DeleteMeResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.users.delete_me(&around.caller, message.etag.as_deref()).await;
        let user = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteMeResponse { user: Some(convert::user(user)) }))
    }

    async fn get_user(&self, request: Request<v1::GetUserRequest>) -> Result<Response<v1::GetUserResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let user = self.users.find(&around.caller, &message.id).await.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::GetUserResponse { user: Some(convert::user(user)) }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let filter = filter(&message)?;
            let list = ListScope::new(&around.caller, "users", &format!("{filter:?}"));
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.users.list(&around.caller, &filter, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |user| user.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListUsersResponse {
                data: page.items.into_iter().map(convert::user).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    async fn search_users(
        &self,
        request: Request<v1::SearchUsersRequest>,
    ) -> Result<Response<v1::SearchUsersResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let words = fields.words("query", &message.query);
            let words = fields.finish(words)?;
            let list = ListScope::new(&around.caller, "users found", &words.join(" "));
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.users.search(&around.caller, &words, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |user| user.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::SearchUsersResponse {
                data: page.items.into_iter().map(convert::user).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    async fn update_user(
        &self,
        request: Request<v1::UpdateUserRequest>,
    ) -> Result<Response<v1::UpdateUserResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let user = message.user.ok_or_else(|| Error::field("user", "is needed"))?;
            let mut fields = Fields::under("user.");
            let mask = fields.mask(message.update_mask.as_ref(), &CHANGEABLE);
            fields.finish(())?;
            let (id, etag) = (user.id.clone(), user.etag.clone());
            let change = |kind, details: &mut _| change(kind, details, user, &mask);
            let user = self.users.update(&around.caller, &id, Some(&etag), change).await?;
            Ok(v1::UpdateUserResponse { user: Some(convert::user(user)) })
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    async fn block_user(
        &self,
        request: Request<v1::BlockUserRequest>,
    ) -> Result<Response<v1::BlockUserResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let blocked = self.users.block(&around.caller, &message.id, message.etag.as_deref()).await;
        let user = blocked.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::BlockUserResponse { user: Some(convert::user(user)) }))
    }

    async fn unblock_user(
        &self,
        request: Request<v1::UnblockUserRequest>,
    ) -> Result<Response<v1::UnblockUserResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let unblocked = self.users.unblock(&around.caller, &message.id, message.etag.as_deref()).await;
        let user = unblocked.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::UnblockUserResponse { user: Some(convert::user(user)) }))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let deleted = self.users.delete(&around.caller, &message.id, message.etag.as_deref()).await;
        let user = deleted.map_err(|error| around.status(&error))?;
        Ok(Response::new(v1::DeleteUserResponse { user: Some(convert::user(user)) }))
    }
}

fn new_user(user: v1::User) -> Result<(UserKind, UserDetails)> {
    let mut fields = Fields::under("user.");
    let kind = fields.known("type", user.r#type, |kind| match kind {
        v1::user::Type::Unspecified => Some(UserKind::Human),
        other => convert::user_kind_in(other),
    });
    let kind = kind.unwrap_or(UserKind::Human);
    let mut details = UserDetails::default();
    take(&mut fields, kind, &mut details, user, &CHANGEABLE);
    fields.finish((kind, details))
}

fn told(message: v1::AuthenticateRequest) -> Result<Told> {
    let mut fields = Fields::default();
    let v1::AuthenticateRequest { first_name, last_name, email } = message;
    let told = Told {
        first_name: first_name.map(|name| fields.name("first_name", name, 0, 100)),
        last_name: last_name.map(|name| fields.name("last_name", name, 0, 100)),
        email: email.and_then(|text| read_email(&mut fields, &text)),
    };
    fields.finish(told)
}

/// Changes the masked fields.
fn change(kind: UserKind, details: &mut UserDetails, user: v1::User, mask: &[&str]) -> Result<()> {
    let mut fields = Fields::under("user.");
    take(&mut fields, kind, details, user, mask);
    fields.finish(())
}

fn take(fields: &mut Fields, kind: UserKind, details: &mut UserDetails, user: v1::User, mask: &[&str]) {
    let v1::User { handle, alias, email, first_name, last_name, metadata, scopes, .. } = user;
    let wanted = |name| mask.contains(&name);
    if wanted("handle") {
        if handle.is_none() && kind == UserKind::ServiceAccount {
            fields.refuse("handle", "a service account needs one");
        }
        details.handle = handle.and_then(|text| read_handle(fields, &text));
    }
    if wanted("alias") {
        details.alias = alias.map(|alias| fields.name("alias", alias, 1, 100));
    }
    if wanted("email") {
        details.email = email.and_then(|text| read_email(fields, &text));
    }
    if wanted("first_name") {
        details.first_name = fields.name("first_name", first_name, 0, 100);
    }
    if wanted("last_name") {
        details.last_name = fields.name("last_name", last_name, 0, 100);
    }
    if wanted("metadata") {
        details.metadata = fields.metadata("metadata", metadata);
    }
    if wanted("scopes") {
        details.scopes = fields.scope_set("scopes", &scopes);
    }
}

fn filter(message: &v1::ListUsersRequest) -> Result<UserFilter> {
    let mut fields = Fields::default();
    let filter = UserFilter {
        kind: message.r#type.and_then(|kind| fields.known("type", kind, convert::user_kind_in)),
        state: message.state.and_then(|state| fields.known("state", state, convert::user_state_in)),
        email: message.email.as_ref().and_then(|text| read_email(&mut fields, text)),
        handle: message.handle.as_ref().and_then(|text| read_handle(&mut fields, text)),
    };
    fields.finish(filter)
}

fn read_handle(fields: &mut Fields, text: &str) -> Option<Handle> {
    let handle = Handle::parse(text);
    if handle.is_none() {
        fields.refuse("handle", Handle::RULE);
    }
    handle
}

fn read_email(fields: &mut Fields, text: &str) -> Option<Email> {
    let email = Email::parse(text);
    if email.is_none() {
        fields.refuse("email", Email::RULE);
    }
    email
}

const CHANGEABLE: [&str; 7] = ["handle", "alias", "email", "first_name", "last_name", "metadata", "scopes"];
/// Not the free pairs: they are the project's own, which may rely on them.
const CHANGEABLE_IN_PERSON: [&str; 5] = ["handle", "alias", "email", "first_name", "last_name"];
