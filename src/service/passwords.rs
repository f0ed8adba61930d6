//! The passwords of users: their own to change, and for administrators to set.

use std::sync::Arc;

use super::Context;
use super::sessions::chosen;
use super::users::{Users, refuse_keys, refuse_oneself};
use crate::auth::attempts::{Account, Source};
use crate::auth::caller::Caller;
use crate::auth::password::Judgement;
use crate::domain::error::{Error, Result};
use crate::domain::password::PlainPassword;
use crate::domain::reason::Reason;
use crate::domain::user::UserKind;
use crate::store::NewPassword;

/// The part of the Auth service that keeps passwords.
#[derive(Clone, Debug)]
pub struct Passwords {
    context: Arc<Context>,
    users: Users,
}

impl Passwords {
    /// The service over this context.
    pub fn new(context: Arc<Context>) -> Self {
        Self { users: Users::new(Arc::clone(&context)), context }
    }

    /// Gives the user who calls another password, and ends their other sessions and what they gave to clients: whoever
    /// knew the old one may have given something away.
    ///
    /// # Errors
    /// INVALID_FIELD where the old one is wrong or the new one breaks a rule; TOO_MANY_ATTEMPTS; OVERLOADED.
    pub async fn change(&self, caller: &Caller, old: PlainPassword, new: String) -> Result<()> {
        refuse_keys(caller)?;
        let context = &*self.context;
        let user = self.users.me(caller).await?;
        let new = chosen("new_password", new, &user.details)?;
        // Whoever found a session open must not find out the password by it.
        let account = Account { project: &user.project, environment: user.environment, login: user.id.as_str() };
        let source = Source { address: caller.client(), speaks_for_many: false };
        let attempt = context.attempts.begin(account, source)?;
        let judged = async {
            let kept = context.store.find_password(&user.id).await?;
            Ok((context.passwords.judge(old, kept.clone()).await?, kept))
        };
        let kept = match judged.await {
            Ok((Judgement::Right(_), Some(kept))) => kept,
            Ok(_) => return Err(wrong()),
            Err(error) => {
                attempt.undo();
                return Err(error);
            }
        };
        attempt.succeeded();
        let password = context.passwords.hash(new).await?;
        let keep = caller.session().map(|session| &session.id);
        let new = NewPassword { user: &user, password: &password, in_place_of: Some(&kept), keep, now: context.now() };
        let event = context.audit(caller, "user.password_changed", user.id.as_str());
        let ended = context.store.set_password(&new, &event).await?;
        ended.ok_or_else(wrong)?.iter().for_each(|change| context.committed(change));
        Ok(())
    }

    /// Gives a user whom the caller governs a password, and ends their sessions and what they gave to clients.
    ///
    /// # Errors
    /// INVALID_FIELD for one that breaks a rule; INVALID_STATE for a service account; OVERLOADED.
    pub async fn set(&self, caller: &Caller, id: &str, password: String) -> Result<()> {
        let context = &*self.context;
        let (user, _) = self.users.governed(caller, id, None).await?;
        refuse_oneself(caller, &user)?;
        if user.kind == UserKind::ServiceAccount {
            return Err(Error::new(Reason::InvalidState, "a service account cannot sign in; it holds keys instead"));
        }
        let password = context.passwords.hash(chosen("password", password, &user.details)?).await?;
        // That took its time: the user may be more by now than the caller governs.
        let (user, _) = self.users.governed(caller, id, Some(&user.etag())).await?;
        let new = NewPassword { user: &user, password: &password, in_place_of: None, keep: None, now: context.now() };
        let event = context.audit(caller, "user.password_set", user.id.as_str());
        let ended = context.store.set_password(&new, &event).await?;
        ended.ok_or_else(|| Error::not_found("user", id))?.iter().for_each(|change| context.committed(change));
        Ok(())
    }
}

fn wrong() -> Error {
    Error::field("old_password", "is not the user's password")
}
