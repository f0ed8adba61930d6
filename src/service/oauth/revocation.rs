//! Ending tokens (RFC 7009).

use super::{AuthorizationServer, Origin};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error::OAuthError;
use crate::domain::secret::SecretPrefix;

impl AuthorizationServer {
    /// Ends a token of this client: an access token alone, a refresh token with its whole grant. What is no token of the
    /// client's is left alone, and not told apart (RFC 7009, section 2.2).
    pub async fn revoke(&self, client: &Client, token: &str, origin: &Origin) -> Result<(), OAuthError> {
        if let Some(hash) = self.hash(token, SecretPrefix::REFRESH) {
            if let Some((grant, _)) = self.0.store.find_refresh_token(&hash).await?
                && grant.client == client.id
            {
                self.end_grant(&grant, "grant.revoked", origin).await?;
            }
            return Ok(());
        }
        let Some(hash) = self.access_hash(token).await? else { return Ok(()) };
        let Some((found, _)) = self.0.store.find_access_token(&hash).await? else { return Ok(()) };
        if found.client == client.id
            && let Some(change) = self.0.store.revoke_access_token(&hash, &found, self.0.now()).await?
        {
            self.0.committed(&change);
        }
        Ok(())
    }
}
