//! Requests of clients to sign a user out (OpenID Connect RP-Initiated Logout 1.0).
//!
//! What is ended is the session here. What clients were given goes on: the grant is not the session's, and was given to act when
//! the user is away too. Who wants it back revokes it.

use super::AuthorizationServer;
use crate::domain::id::UserId;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error::{OAuthError, Word};

/// The parameters of a request, as they came.
#[derive(Clone, Copy, Default)]
pub struct LogoutAsked<'a> {
    /// `id_token_hint`.
    pub id_token_hint: Option<&'a str>,
    /// `client_id`.
    pub client_id: Option<&'a str>,
    /// `post_logout_redirect_uri`.
    pub post_logout_redirect_uri: Option<&'a str>,
    /// `state`.
    pub state: Option<&'a str>,
}

/// A request that can be done.
#[derive(Clone, Debug)]
pub struct LogoutRequest {
    /// Who asks, if that is said.
    pub client: Option<Client>,
    /// Whom the client proved to know: it need not ask them again.
    pub user: Option<UserId>,
    /// Where they go afterwards: an address that the client has registered, and what it wants back.
    pub back_to: Option<(String, Option<String>)>,
}

impl AuthorizationServer {
    /// Reads a request. A hint that is not ours proves nothing and leads nowhere: the user is asked, and stays here.
    ///
    /// # Errors
    /// What is wrong with it; nobody is sent anywhere then.
    pub async fn read_logout(&self, asked: &LogoutAsked<'_>) -> Result<LogoutRequest, OAuthError> {
        let invalid = |what: &str| OAuthError::new(Word::InvalidRequest, what);
        if asked.state.is_some_and(|state| state.len() > MAX_STATE) {
            return Err(invalid("state has up to 2000 bytes"));
        }
        let hint = match asked.id_token_hint {
            None => None,
            Some(presented) => match self.0.signing.read_hint(presented).await? {
                Some(hint) => Some(hint),
                None => return Ok(LogoutRequest { client: None, user: None, back_to: None }),
            },
        };
        if let (Some(hint), Some(named)) = (&hint, asked.client_id)
            && hint.client != named
        {
            return Err(invalid("the client_id is not that of the id_token_hint"));
        }
        let client = match hint.as_ref().map(|hint| hint.client.as_str()).or(asked.client_id) {
            Some(id) => self.client_of_id(id).await?,
            None => None,
        };
        let back_to = match asked.post_logout_redirect_uri {
            None => None,
            Some(uri) => {
                let registered = client.iter().flat_map(|client| &client.details.post_logout_redirect_uris);
                if !registered.into_iter().any(|known| known.matches(uri)) {
                    let what = "the post_logout_redirect_uri is not one that the client has registered, or the request \
                        does not say which client it is from";
                    return Err(invalid(what));
                }
                // Anybody registers such a client: nobody is sent to its address but who signed in for it.
                let unvouched = hint.is_none() && client.as_ref().is_some_and(|client| client.registered_itself);
                (!unvouched).then(|| (uri.to_owned(), asked.state.map(str::to_owned)))
            }
        };
        Ok(LogoutRequest { client, user: hint.map(|hint| hint.user), back_to })
    }
}

/// Bytes of what comes back as it was sent.
const MAX_STATE: usize = 2_000;
