//! The part of the Auth service on the wire that people sign in at.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};

use super::convert;
use super::fields::Fields;
use super::page::{page_fields, place};
use super::request::{Around, Entrance, Sender};
use crate::auth::caller::Caller;
use crate::domain::error::{Error, Result};
use crate::domain::key::KeyKind;
use crate::domain::password::PlainPassword;
use crate::domain::reason::Reason;
use crate::domain::session::{ListedSession, Login};
use crate::domain::throttle::Throttle;
use crate::domain::user::{Email, Handle, UserDetails};
use crate::proto::v1;
use crate::service::Context;
use crate::service::paging::ListScope;
use crate::service::passwords::Passwords;
use crate::service::sessions::{Sessions, SignedIn, Visitor};
use crate::telemetry::metrics::{Metrics, SignIn};

/// Decodes, validates, calls the services, encodes.
#[derive(Clone, Debug)]
pub(super) struct SessionRpcs {
    context: Arc<Context>,
    sessions: Sessions,
    passwords: Passwords,
    metrics: Arc<Metrics>,
    failures: Arc<Failures>,
}

/// The log of those who were not let in.
#[derive(Debug)]
struct Failures {
    began: Instant,
    throttle: Throttle,
}

impl SessionRpcs {
    /// The RPCs over this context.
    pub(super) fn new(context: Arc<Context>, metrics: Arc<Metrics>) -> Self {
        let (sessions, passwords) = (Sessions::new(Arc::clone(&context)), Passwords::new(Arc::clone(&context)));
        let failures = Arc::new(Failures { began: Instant::now(), throttle: Throttle::new(TELL_EVERY) });
        Self { context, sessions, passwords, metrics, failures }
    }

    pub(super) async fn sign_in(
        &self,
        request: Request<v1::SignInRequest>,
    ) -> Result<Response<v1::SignInResponse>, Status> {
        let (entrance, mut message) = Entrance::split(request)?;
        let answer = async {
            let mut fields = Fields::default();
            let login = login(&mut fields, &message);
            let password = presented(&mut fields, "password", mem::take(&mut message.password));
            let (Some(login), Some(password)) = fields.finish((login, password))? else {
                return Err(Error::field("password", "is needed"));
            };
            let signed_in = self.sessions.sign_in(&visitor(&entrance), &login, password).await;
            self.count(&entrance.sender, signed_in.as_ref().err());
            Ok(sign_in_out(signed_in?))
        };
        answer.await.map(Response::new).map_err(|error: Error| entrance.status(&error))
    }

    pub(super) async fn sign_up(
        &self,
        request: Request<v1::SignUpRequest>,
    ) -> Result<Response<v1::SignUpResponse>, Status> {
        let (entrance, message) = Entrance::split(request)?;
        let answer = async {
            let v1::SignUpRequest { handle, password, alias, first_name, last_name } = message;
            let mut fields = Fields::default();
            let details = UserDetails {
                handle: Handle::parse(&handle),
                alias: alias.map(|alias| fields.name("alias", alias, 1, 100)),
                first_name: fields.name("first_name", first_name, 0, 100),
                last_name: fields.name("last_name", last_name, 0, 100),
                ..UserDetails::default()
            };
            if details.handle.is_none() {
                fields.refuse("handle", Handle::RULE);
            }
            let details = fields.finish(details)?;
            // The guard lets in nobody without a credential.
            let caller =
                entrance.caller.as_ref().ok_or_else(|| Error::new(Reason::MissingCredential, "call with a key"))?;
            let signed_in = self.sessions.sign_up(caller, &visitor(&entrance), details, password).await?;
            let v1::SignInResponse { token, issued_at, expires_at, session_id, user } = sign_in_out(signed_in);
            Ok(v1::SignUpResponse { token, issued_at, expires_at, session_id, user })
        };
        answer.await.map(Response::new).map_err(|error: Error| entrance.status(&error))
    }

    pub(super) async fn sign_out(
        &self,
        request: Request<v1::SignOutRequest>,
    ) -> Result<Response<v1::SignOutResponse>, Status> {
        let (around, _) = Around::split(request)?;
        let ended = self.sessions.sign_out(&around.caller).await;
        ended.map(|()| Response::new(v1::SignOutResponse {})).map_err(|error| around.status(&error))
    }

    pub(super) async fn change_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::ChangePasswordResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let v1::ChangePasswordRequest { old_password, new_password } = message;
            let mut fields = Fields::default();
            let old = presented(&mut fields, "old_password", old_password);
            let old = fields.finish(old)?.ok_or_else(|| Error::field("old_password", "is needed"))?;
            self.passwords.change(&around.caller, old, new_password).await?;
            Ok(v1::ChangePasswordResponse {})
        };
        answer.await.map(Response::new).map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn set_password(
        &self,
        request: Request<v1::SetPasswordRequest>,
    ) -> Result<Response<v1::SetPasswordResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let set = self.passwords.set(&around.caller, &message.id, message.password).await;
        set.map(|()| Response::new(v1::SetPasswordResponse {})).map_err(|error| around.status(&error))
    }

    pub(super) async fn list_own(
        &self,
        request: Request<v1::ListMySessionsRequest>,
    ) -> Result<Response<v1::ListMySessionsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let user = around.caller.user().map(ToString::to_string).unwrap_or_default();
            let list = ListScope::new(&around.caller, "own sessions", &user);
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.sessions.list_own(&around.caller, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |listed| listed.session.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListMySessionsResponse {
                data: page.items.into_iter().map(|listed| session(listed, &around)).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn revoke_own(
        &self,
        request: Request<v1::RevokeMySessionRequest>,
    ) -> Result<Response<v1::RevokeMySessionResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let revoked = self.sessions.revoke_own(&around.caller, &message.id).await;
        revoked.map(|()| Response::new(v1::RevokeMySessionResponse {})).map_err(|error| around.status(&error))
    }

    pub(super) async fn list(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let answer = async {
            let list = ListScope::new(&around.caller, "sessions", &message.user_id);
            let keyring = &self.context.keyring;
            let wanted = page_fields!(message).read(around.dialect, &list, keyring)?;
            let page = self.sessions.list(&around.caller, &message.user_id, &wanted).await?;
            let place = place(&page, &wanted, &list, keyring, |listed| listed.session.id.as_str());
            Ok(place.answer(|pagination, next_page_token| v1::ListSessionsResponse {
                data: page.items.into_iter().map(|listed| session(listed, &around)).collect(),
                pagination,
                next_page_token,
            }))
        };
        answer.await.map_err(|error: Error| around.status(&error))
    }

    pub(super) async fn revoke(
        &self,
        request: Request<v1::RevokeSessionRequest>,
    ) -> Result<Response<v1::RevokeSessionResponse>, Status> {
        let (around, message) = Around::split(request)?;
        let revoked = self.sessions.revoke(&around.caller, &message.user_id, &message.id).await;
        revoked.map(|()| Response::new(v1::RevokeSessionResponse {})).map_err(|error| around.status(&error))
    }

    /// Counts how it ended, and writes down what may be a guess. Never the name that was given: some give the password there.
    fn count(&self, sender: &Sender, failure: Option<&Error>) {
        let outcome = match failure.map(|error| error.reason) {
            None => SignIn::Right,
            Some(Reason::SignInFailed) => SignIn::Wrong,
            Some(Reason::TooManyAttempts) => SignIn::TooMany,
            Some(_) => SignIn::Failed,
        };
        self.metrics.signed_in(outcome);
        if !matches!(outcome, SignIn::Wrong | SignIn::TooMany) {
            return;
        }
        let Some(untold) = self.failures.throttle.pass(self.failures.began.elapsed()) else { return };
        let Sender { address, request_id, .. } = sender;
        tracing::info!(%request_id, client = %address, outcome = outcome.as_str(), untold, "a sign-in was refused");
    }
}

fn visitor(entrance: &Entrance) -> Visitor<'_> {
    let Entrance { caller, sender: Sender { address, user_agent, request_id } } = entrance;
    let place = caller.as_ref().map(|caller| (caller.project(), caller.environment()));
    // A publishable key may be in everybody's hands, and a user's key in those of anybody who signed up; any other is a
    // backend's.
    let speaks_for_many = caller
        .as_ref()
        .and_then(Caller::key)
        .is_some_and(|key| !matches!(key.kind, KeyKind::Publishable | KeyKind::User));
    Visitor { place, speaks_for_many, address: *address, user_agent, request_id }
}

/// What names the user: one of three fields.
fn login(fields: &mut Fields, message: &v1::SignInRequest) -> Option<Login> {
    let v1::SignInRequest { handle, email, login, .. } = message;
    let (field, text) = match (handle, email, login) {
        (Some(handle), None, None) => ("handle", handle),
        (None, Some(email), None) => ("email", email),
        (None, None, Some(login)) => ("login", login),
        _ => {
            fields.refuse("login", "one of handle, email and login must be given");
            return None;
        }
    };
    let (login, rule) = match field {
        "email" => (Login::email(text), Email::RULE),
        "login" if text.contains('@') => (Login::email(text), Email::RULE),
        _ => (Login::handle(text), Handle::RULE),
    };
    if login.is_none() {
        fields.refuse(field, rule);
    }
    login
}

/// A password that may be right.
fn presented(fields: &mut Fields, field: &str, text: String) -> Option<PlainPassword> {
    let password = PlainPassword::presented(text).filter(|password| !password.expose().is_empty());
    if password.is_none() {
        fields.refuse(field, "must have 1 to 256 characters");
    }
    password
}

fn sign_in_out(signed_in: SignedIn) -> v1::SignInResponse {
    let SignedIn { token, session, user } = signed_in;
    v1::SignInResponse {
        token: token.expose().to_owned(),
        issued_at: Some(convert::time(session.created_at)),
        expires_at: Some(convert::time(session.expires_at)),
        session_id: session.id.to_string(),
        user: Some(convert::user(user)),
    }
}

fn session(listed: ListedSession, around: &Around) -> v1::Session {
    let ListedSession { session, origin } = listed;
    v1::Session {
        current: around.caller.session().is_some_and(|current| current.id == session.id),
        id: session.id.to_string(),
        user_id: session.user.to_string(),
        environment: convert::environment(session.environment).into(),
        created_at: Some(convert::time(session.created_at)),
        expires_at: Some(convert::time(session.expires_at)),
        client_ip: origin.client_ip.map(|address| address.to_string()),
        user_agent: origin.user_agent,
    }
}

/// Of refused sign-ins, one in this time is written down, with how many were not.
const TELL_EVERY: Duration = Duration::from_millis(100);
