//! Signing in with a password, and the sessions that come of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Context;
use super::users::{Users, refuse_keys};
use crate::auth::attempts::{Account, Source};
use crate::auth::caller::Caller;
use crate::auth::password::Judgement;
use crate::auth::signing::{SessionClaims, SessionToken};
use crate::domain::audit::AuditEvent;
use crate::domain::clock::Timestamp;
use crate::domain::environment::Environment;
use crate::domain::error::{Error, Result};
use crate::domain::id::{AuditEventId, CredentialId, ProjectId, SessionId, UserId};
use crate::domain::page::{Page, PageRequest};
use crate::domain::password::PlainPassword;
use crate::domain::project::{Project, SignUp};
use crate::domain::reason::Reason;
use crate::domain::session::{ListedSession, Login, Origin, Session};
use crate::domain::usage::kept_agent;
use crate::domain::user::{User, UserDetails, UserKind};
use crate::store::NewSession;

/// The part of the Auth service that people sign in at.
#[derive(Clone, Debug)]
pub struct Sessions {
    context: Arc<Context>,
    users: Users,
}

/// Who asks to be let in.
#[derive(Clone, Copy, Debug)]
pub struct Visitor<'a> {
    /// The project and environment of those who may be let in; none for live users of the project `default`.
    pub place: Option<(&'a ProjectId, Environment)>,
    /// Whether the address is that of a backend, which speaks for many people.
    pub speaks_for_many: bool,
    /// Where the call came from.
    pub address: IpAddr,
    /// What the client calls itself.
    pub user_agent: &'a str,
    /// The request.
    pub request_id: &'a str,
}

/// A session that has begun.
#[derive(Debug)]
pub struct SignedIn {
    /// What to call with.
    pub token: SessionToken,
    /// The session.
    pub session: Session,
    /// Who signed in.
    pub user: User,
}

impl Sessions {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { users: Users::new(Arc::clone(&context)), context }
    }

    /// Signs a user in.
    ///
    /// # Errors
    /// SIGN_IN_FAILED, whatever is wrong, and after about as much work; TOO_MANY_ATTEMPTS; OVERLOADED.
    pub async fn sign_in(&self, visitor: &Visitor<'_>, login: &Login, password: PlainPassword) -> Result<SignedIn> {
        let (project, environment) = visitor.place();
        let name = login.folded();
        let account = Account { project: &project, environment, login: &name };
        let attempt = self.context.attempts.begin(account, visitor.source())?;
        match self.try_password(visitor, &project, environment, login, password).await {
            Ok(Some(signed_in)) => {
                attempt.succeeded();
                Ok(signed_in)
            }
            Ok(None) => Err(Error::new(Reason::SignInFailed, "The name or the password is wrong")),
            Err(error) => {
                attempt.undo();
                Err(error)
            }
        }
    }

    /// Adds a user to the caller's project and environment, who chose this password, and signs them in.
    ///
    /// # Errors
    /// CALLER_NOT_ALLOWED where the project is not open for it; INVALID_FIELD for a password that breaks a rule;
    /// TOO_MANY_ATTEMPTS; OVERLOADED; ALREADY_EXISTS for the handle.
    pub async fn sign_up(
        &self,
        caller: &Caller,
        visitor: &Visitor<'_>,
        details: UserDetails,
        password: String,
    ) -> Result<SignedIn> {
        let event = |user: &UserId, _| self.context.audit(caller, "user.signed_up", user.as_str());
        let place = (caller.project().clone(), caller.environment());
        self.add(place, visitor, details, password, event).await
    }

    /// The same for somebody in a browser, who calls with nothing: the place of the visitor is that of the new user.
    pub async fn sign_up_in_browser(
        &self,
        visitor: &Visitor<'_>,
        details: UserDetails,
        password: String,
    ) -> Result<SignedIn> {
        let place = visitor.place();
        let event = |user: &UserId, now| visitor.did(&self.context, &place, user, "user.signed_up", user.as_str(), now);
        self.add(place.clone(), visitor, details, password, event).await
    }

    /// Whether people may add themselves as users of a project.
    pub async fn is_open(&self, project: &ProjectId) -> Result<bool> {
        let project = self.context.store.find_project(project).await?;
        Ok(project.is_some_and(|project| project.details.sign_up == SignUp::Open))
    }

    async fn add(
        &self,
        (place, environment): (ProjectId, Environment),
        visitor: &Visitor<'_>,
        details: UserDetails,
        password: String,
        event: impl FnOnce(&UserId, Timestamp) -> AuditEvent,
    ) -> Result<SignedIn> {
        let context = &*self.context;
        let password = chosen("password", password, &details)?;
        self.open_project(&place).await?;
        context.attempts.sign_up(visitor.address)?;
        let password = context.passwords.hash(password).await?;
        // That took its time: what the project says now counts.
        let project = self.open_project(&place).await?;
        let now = context.now();
        let user = User {
            id: UserId::new(now, &*context.entropy),
            project: place,
            environment,
            kind: UserKind::Human,
            details: UserDetails { scopes: project.details.user_scopes, ..details },
            created_at: now,
            updated_at: now,
            blocked_at: None,
            deleted_at: None,
            version: 1,
        };
        let (session, token) = self.begin(&user, project.details.session_lifetime, now)?;
        let hash = context.keyring.hash(token.expose());
        let new = NewSession { session: &session, hash: &hash, origin: &visitor.origin() };
        context.store.sign_up(&user, &password, &new, &event(&user.id, now)).await?;
        Ok(SignedIn { token, session, user })
    }

    async fn open_project(&self, project: &ProjectId) -> Result<Project> {
        let project = self.context.store.find_project(project).await?;
        project.filter(|project| project.details.sign_up == SignUp::Open).ok_or_else(|| {
            let message = "Nobody may sign up here by themselves; ask whoever runs this for an account";
            Error::new(Reason::CallerNotAllowed, message)
        })
    }

    /// Ends the session that the caller calls with.
    pub async fn sign_out(&self, caller: &Caller) -> Result<()> {
        refuse_keys(caller)?;
        let session = caller.session().ok_or_else(|| {
            let message = "There is no session to end; the token ends when its issuer said";
            Error::new(Reason::CallerNotAllowed, message)
        })?;
        let user = self.users.me(caller).await?;
        self.end(caller, &user, session.id.as_str()).await
    }

    /// Lists the sessions of the user who calls.
    pub async fn list_own(&self, caller: &Caller, page: &PageRequest) -> Result<Page<ListedSession>> {
        refuse_keys(caller)?;
        let user = self.users.me(caller).await?;
        Ok(self.context.store.list_sessions(&user, self.context.now(), page).await?)
    }

    /// Ends a session of somebody in a browser, who shows the session and calls with nothing else. One that has ended already is
    /// left as it is.
    pub async fn sign_out_in_browser(&self, visitor: &Visitor<'_>, user: &User, session: &Session) -> Result<()> {
        let (context, now) = (&*self.context, self.context.now());
        let place = (session.project.clone(), session.environment);
        let event = visitor.did(context, &place, &user.id, "session.revoked", session.id.as_str(), now);
        if let Some(ended) = context.store.end_session(user, &session.id, now, &event).await? {
            context.committed(&ended);
        }
        Ok(())
    }

    /// Ends a session of the user who calls.
    pub async fn revoke_own(&self, caller: &Caller, id: &str) -> Result<()> {
        refuse_keys(caller)?;
        let user = self.users.me(caller).await?;
        self.end(caller, &user, id).await
    }

    /// Lists the sessions of a user.
    pub async fn list(&self, caller: &Caller, user: &str, page: &PageRequest) -> Result<Page<ListedSession>> {
        let user = self.users.find(caller, user).await?;
        Ok(self.context.store.list_sessions(&user, self.context.now(), page).await?)
    }

    /// Ends a session of a user whom the caller governs.
    pub async fn revoke(&self, caller: &Caller, user: &str, id: &str) -> Result<()> {
        let (user, _) = self.users.governed(caller, user, None).await?;
        self.end(caller, &user, id).await
    }

    /// None if the user does not get in.
    async fn try_password(
        &self,
        visitor: &Visitor<'_>,
        project: &ProjectId,
        environment: Environment,
        login: &Login,
        password: PlainPassword,
    ) -> Result<Option<SignedIn>> {
        for _ in 0..TRIES {
            match self.try_once(visitor, project, environment, login, password.clone()).await? {
                Tried::In(signed_in) => return Ok(Some(*signed_in)),
                Tried::Wrong => return Ok(None),
                // Somebody else who signed in just now had it hashed again; it may be right still.
                Tried::Overtaken => {}
            }
        }
        Ok(None)
    }

    async fn try_once(
        &self,
        visitor: &Visitor<'_>,
        project: &ProjectId,
        environment: Environment,
        login: &Login,
        password: PlainPassword,
    ) -> Result<Tried> {
        let context = &*self.context;
        let account = context.store.find_account(project, environment, login).await?;
        let kept = account.as_ref().map(|account| account.password.clone());
        let judgement = context.passwords.judge(password, kept).await?;
        let (Some(account), Judgement::Right(renewed)) = (account, judgement) else { return Ok(Tried::Wrong) };
        let found = context.store.find_user(project, environment, &account.user).await?;
        let Some(user) = found else { return Ok(Tried::Wrong) };
        let now = context.now();
        let (session, token) = self.begin(&user, account.session_lifetime, now)?;
        let hash = context.keyring.hash(token.expose());
        let new = NewSession { session: &session, hash: &hash, origin: &visitor.origin() };
        let place = (project.clone(), environment);
        let event = visitor.did(context, &place, &user.id, "session.created", session.id.as_str(), now);
        let begun = context.store.begin_session(&new, &account.password, renewed.as_ref(), &event).await?;
        let Some(ended) = begun else { return Ok(Tried::Overtaken) };
        ended.iter().for_each(|change| context.committed(change));
        Ok(Tried::In(Box::new(SignedIn { token, session, user })))
    }

    /// A session and its token, which is in no store yet.
    fn begin(&self, user: &User, lifetime: Duration, now: Timestamp) -> Result<(Session, SessionToken)> {
        // A token says its times in whole seconds; the session is as old as its token.
        let created_at = Timestamp::from_micros(now.micros() - now.micros().rem_euclid(1_000_000));
        let session = Session {
            id: SessionId::new(now, &*self.context.entropy),
            project: user.project.clone(),
            environment: user.environment,
            user: user.id.clone(),
            created_at,
            expires_at: created_at.plus(lifetime),
            revoked_at: None,
        };
        let token = self.context.signing.mint(&SessionClaims {
            project: session.project.clone(),
            environment: session.environment,
            user: session.user.clone(),
            session: session.id.clone(),
            issued_at: session.created_at,
            expires_at: session.expires_at,
        })?;
        Ok((session, token))
    }

    async fn end(&self, caller: &Caller, user: &User, id: &str) -> Result<()> {
        let context = &*self.context;
        let unknown = || Error::not_found("session", id);
        let session = SessionId::parse(id).ok_or_else(unknown)?;
        let event = context.audit(caller, "session.revoked", session.as_str());
        let ended = context.store.end_session(user, &session, context.now(), &event).await?;
        context.committed(&ended.ok_or_else(unknown)?);
        Ok(())
    }
}

/// How often a password is judged that was hashed again each time.
const TRIES: usize = 2;

/// What came of showing a password.
enum Tried {
    In(Box<SignedIn>),
    /// It was right, but what is kept was replaced meanwhile.
    Overtaken,
    Wrong,
}

impl Visitor<'_> {
    /// The project and environment of the users who may be let in.
    fn place(&self) -> (ProjectId, Environment) {
        match self.place {
            Some((project, environment)) => (project.clone(), environment),
            None => (ProjectId::default_project(), Environment::Live),
        }
    }

    /// The entry of the audit log about what a user does in person who calls with nothing.
    fn did(
        &self,
        context: &Context,
        (project, environment): &(ProjectId, Environment),
        user: &UserId,
        action: &str,
        target: &str,
        now: Timestamp,
    ) -> AuditEvent {
        AuditEvent {
            id: AuditEventId::new(now, &*context.entropy),
            project: project.clone(),
            environment: Some(*environment),
            actor: Some(CredentialId::User(user.clone())),
            token: None,
            action: action.to_owned(),
            target: target.to_owned(),
            request_id: Some(self.request_id.to_owned()),
            client_ip: Some(self.address),
            occurred_at: now,
            before: None,
            after: None,
        }
    }

    fn source(&self) -> Source {
        Source { address: self.address, speaks_for_many: self.speaks_for_many }
    }

    fn origin(&self) -> Origin {
        Origin { client_ip: Some(self.address), user_agent: kept_agent(self.user_agent).into() }
    }
}

/// A password that somebody chose whose details these are, given in this field.
pub(super) fn chosen(field: &str, password: String, details: &UserDetails) -> Result<PlainPassword> {
    let handle = details.handle.as_ref().map(|handle| handle.as_str());
    let email = details.email.as_ref().map(|email| email.as_str());
    let names: Vec<_> = handle.into_iter().chain(email).collect();
    PlainPassword::chosen(password, &names).map_err(|rule| Error::field(field, rule))
}
